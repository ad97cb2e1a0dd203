"""JSON from elsewhere: parsed strictly, and carried as text where a trace could not hold it."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

from frameengine.errors import LimitError, ValueRefused
from frameengine.jsonvalue import FrozenMap, Json, freeze
from frameengine.limits import DEPTH_MAX, FOREIGN_BYTES_MAX, FOREIGN_DIGITS_MAX, check

_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
"""A string, or one without an end, which must be taken as well: going back to try less of it takes quadratic time."""
_SHOWN_MAX = 40
"""Characters of a refused number that are repeated."""
_NONZERO = re.compile(r"[1-9]")
_BRACKET = re.compile(r"[\[\]{}]")


def parse(document: str | bytes) -> Json:
    """Return one foreign JSON document as frozen JSON.

    Raises `ValueRefused` for anything that is not JSON, that JSON parsers read differently (NaN, 1e999, duplicate keys, lone
    surrogates), or that a trace cannot hold; `LimitError` for documents beyond `limits.FOREIGN_BYTES_MAX`.
    """
    check("a foreign JSON document, in bytes,", FOREIGN_BYTES_MAX, len(document), "split the file")
    text = _decoded(document)
    _check_depth(text)
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise ValueRefused(
            f"not JSON: {error.msg} at line {error.lineno}, column {error.colno}",
            hint="check the document there",
            line=error.lineno,
        ) from None
    return freeze(value)


def _decoded(document: str | bytes) -> str:
    if isinstance(document, str):
        return document
    if document.startswith(b"\xef\xbb\xbf"):
        raise ValueRefused("the document starts with a byte order mark", hint="save it as UTF-8 without one", line=1)
    try:
        return document.decode()
    except UnicodeDecodeError as error:
        raise ValueRefused(f"not UTF-8 at byte {error.start}", hint="convert the document to UTF-8", offset=error.start) from None


def _check_depth(text: str) -> None:
    """Refuse deep nesting before the parser recurses into it."""
    if text.count("[") + text.count("{") <= DEPTH_MAX:
        return
    depth = 0
    for bracket in _BRACKET.finditer(_STRING.sub("", text)):
        if bracket.group() in "[{":
            depth += 1
            if depth > DEPTH_MAX:
                raise ValueRefused(f"nested deeper than {DEPTH_MAX}", hint="flatten the value")
        else:
            depth -= 1


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        seen: dict[str, Any] = {}
        for key, value in pairs:
            if key in seen:
                raise ValueRefused(
                    f"the key {key!r} stands twice in one object", hint="JSON parsers disagree on such objects; remove one"
                )
            seen[key] = value
    return result


def _constant(name: str) -> NoReturn:
    raise ValueRefused(f"{name} is not JSON", hint="use null or a string")


def _integer(digits: str) -> int | float:
    if digits == "-0":
        return -0.0
    if len(digits) > FOREIGN_DIGITS_MAX:
        raise LimitError(
            f"an integer of {len(digits):,} digits",
            hint="carry it as a string",
            name="digits",
            bound=FOREIGN_DIGITS_MAX,
            actual=len(digits),
        )
    return int(digits)


def _number(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueRefused(f"{_short(text)} is too large for a number", hint="carry it as a string")
    if value == 0 and _NONZERO.search(text.lower().partition("e")[0]):
        raise ValueRefused(f"{_short(text)} is too small for a number: it would become 0", hint="carry it as a string")
    return value


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant, parse_int=_integer, parse_float=_number)


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]}… ({len(text):,} characters)"


def carried(value: Any) -> Json:
    """Return *value* as frozen JSON; where a trace cannot hold it, as text of Python's extended JSON, flagged.

    The flag is a mapping ``{"frameengine:encoded": "json", "text": …, "why": …}``. It is what nodes and records see, live and in
    replay alike. Raises `ValueRefused` where *value* is not even extended JSON.
    """
    try:
        return freeze(value)
    except ValueRefused as refused:
        try:
            text = json.dumps(value)
        except (TypeError, ValueError, RecursionError):
            raise refused from None
        flagged: FrozenMap = freeze({"frameengine:encoded": "json", "text": text, "why": refused.message})
        return flagged
