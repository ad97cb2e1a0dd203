"""What every line of a kind must have, so that whoever reads it may rely on it. The committed schemas say the rest."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from frameengine.trace.contents import BadContent

REQUIRED: Mapping[str, tuple[tuple[str, type[Any]], ...]] = MappingProxyType(
    {
        "header": (("format", int),),
        "input": (("number", int), ("type", str), ("data", dict)),
        "outcome": (("key", list), ("effect", str), ("request", dict), ("outcome", dict)),
        "frame": (("input", int), ("frame", int), ("records", list)),
        "trace": (("input", int), ("path", str), ("total_frames", int), ("frames", int), ("calls", int), ("status", str)),
        "seal": (("inputs", int), ("frames", int), ("calls", int), ("lines", int), ("head", str)),
    }
)
"""Kind of a line to the members it must have, and their types."""
_NAMES: Mapping[type[Any], str] = MappingProxyType({int: "a whole number", str: "a string", dict: "an object", list: "a list"})
_SHAPES: Mapping[str, tuple[tuple[str, ...], tuple[type[Any], ...]]] = MappingProxyType(
    {kind: (tuple([name for name, _ in needed]), tuple([kind for _, kind in needed])) for kind, needed in REQUIRED.items()}
)
_KEY = (int, int, str, int, str)
_UNDIGESTED = "'at' is a whole number, and 'meta' an object that is not empty"


def check_shape(members: dict[str, Any]) -> None:
    """Raise `BadContent` where a line lacks what its kind must have."""
    kind = members["kind"]
    names, types = _SHAPES[kind]
    if tuple(map(type, map(members.get, names))) != types:
        raise _misshapen(members, kind)
    if "at" in members and type(members["at"]) is not int:
        raise BadContent(_UNDIGESTED)
    if "meta" in members and (type(members["meta"]) is not dict or not members["meta"]):
        raise BadContent(_UNDIGESTED)
    if kind == "outcome":
        types = tuple(map(type, members["key"]))
        if types not in (_KEY, _KEY[:4]):
            raise BadContent("a key is [input, frame, node, call], or those and the stream")
    elif kind == "frame":
        for record in members["records"]:
            if type(record) is not dict or type(record.get("node")) is not str or type(record.get("input")) is not dict:
                raise BadContent("a record is an object that has a node and an input")


def _misshapen(members: dict[str, Any], kind: str) -> BadContent:
    """Return what to say of the first member that is missing or of another type."""
    name, expected = next((name, expected) for name, expected in REQUIRED[kind] if type(members.get(name)) is not expected)
    what = f"is not {_NAMES[expected]}" if name in members else "is missing"
    return BadContent(f"the member {name!r} of a line of kind {kind} {what}")
