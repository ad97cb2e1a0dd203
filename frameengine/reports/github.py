"""Findings as commands that a workflow on GitHub understands, and shows beside the file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from frameengine.reports.finding import Finding

SHOWN_MAX: Final = 10
"""Annotations of each level that GitHub shows for a step."""


def commands(findings: Sequence[Finding]) -> str:
    """Return a line for each finding, of each level no more than are shown; the last line says how many were left out.

    Each is a command of one line, so that no text in it can be taken for another command.
    """
    kept: list[Finding] = []
    for level in ("error", "warning"):
        kept += [each for each in findings if each.level == level][:SHOWN_MAX]
    left = len(findings) - len(kept)
    more = [f"::notice title=frameengine::{left:,} more differences"] if left else []
    return "".join([f"{line}\n" for line in [*[_annotation(each) for each in kept], *more]])


def _annotation(found: Finding) -> str:
    place = {"file": found.file} if found.file else {}
    line = {"line": str(found.line)} if found.line else {}
    properties = {**place, **line, "title": found.title}
    told = ",".join([f"{name}={_property(value)}" for name, value in properties.items()])
    return f"::{found.level} {told}::{_data(found.message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
