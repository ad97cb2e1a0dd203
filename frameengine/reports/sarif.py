"""Findings as SARIF 2.1.0, which code scanning tools read."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from json import dumps
from pathlib import PurePath
from typing import Any, Final
from urllib.parse import quote

from frameengine import __version__
from frameengine.plaintext import visible_json
from frameengine.reports.finding import RULES, Finding

SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"


def sarif(findings: Sequence[Finding]) -> str:
    """Return the document, indented. No time stands in it: equal findings give equal bytes."""
    rules = [{"id": name, "shortDescription": {"text": text}} for name, text in RULES.items()]
    driver = {"name": "frameengine", "version": __version__, "rules": rules}
    # Columns count as Python and the traces do, and not as the format's default says.
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": [_result(each) for each in findings]}
    document = {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}
    return "\n".join([visible_json(line) for line in dumps(document, indent=2, ensure_ascii=False).split("\n")]) + "\n"


def _result(found: Finding) -> dict[str, Any]:
    told = f"{found.title}\n{found.message}"
    location: dict[str, Any] = {}
    if found.file:
        # A reader that shows results beside lines wants one; the first stands for the file as a whole.
        region = {"startLine": found.line or 1}
        location["physicalLocation"] = {"artifactLocation": {"uri": _uri(found.file)}, "region": region}
    if found.place:
        location["logicalLocations"] = [{"fullyQualifiedName": found.place}]
    fingerprint = sha256(f"{found.rule}\n{found.file}\n{found.place}\n{found.title}".encode()).hexdigest()
    return {
        "ruleId": found.rule,
        "ruleIndex": list(RULES).index(found.rule),
        "level": found.level,
        "message": {"text": _plain(told)},
        "locations": [location] if location else [],
        "partialFingerprints": {"place/v1": fingerprint},
    }


def _plain(text: str) -> str:
    """Return a text in which no brackets make a link."""
    return text.replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]")


def _uri(path: str) -> str:
    """Return a path as a URI: relative where the path is, so that it is found in any checkout."""
    plain = PurePath(path)
    return ("file://" if plain.is_absolute() else "") + quote(plain.as_posix())
