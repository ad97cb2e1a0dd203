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
_KEY = (int, int, str, int, str)


def check_shape(members: dict[str, Any]) -> None:
    """Raise `BadContent` where a line lacks what its kind must have."""
    kind = members["kind"]
    for name, expected in REQUIRED[kind]:
        if type(members.get(name)) is not expected:
            what = f"is not {_NAMES[expected]}" if name in members else "is missing"
            raise BadContent(f"the member {name!r} of a line of kind {kind} {what}")
    if (
        type(members.get("at", 0)) is not int
        or type(members.get("meta", members)) is not dict
        or not members.get("meta", members)
    ):
        raise BadContent("'at' is a whole number, and 'meta' an object that is not empty")
    if kind == "outcome":
        key = members["key"]
        if len(key) not in (4, 5) or any(type(part) is not expected for part, expected in zip(key, _KEY, strict=False)):
            raise BadContent("a key is [input, frame, node, call], or those and the stream")
    elif kind == "frame":
        for record in members["records"]:
            if type(record) is not dict or type(record.get("node")) is not str or type(record.get("input")) is not dict:
                raise BadContent("a record is an object that has a node and an input")
