"""Whether a difference is what somebody changed by hand: the header of a fork names its parent, and what was edited there."""

from __future__ import annotations

from frameengine.codec import tagged
from frameengine.diff.consequence import edited_at
from frameengine.diff.filters import steps_of
from frameengine.diff.result import Change, Spot
from frameengine.diff.sketch import Sketch
from frameengine.jsonvalue import EMPTY, FrozenMap, Json


def edited(left: Sketch, right: Sketch, first: Change) -> str:
    """Return which edit the first difference is; empty where neither run is a fork of the other, or it is none of its edits."""
    for parent, fork, spot in ((left, right, first.left), (right, left, first.right)):
        origin = fork.header.get("provenance", EMPTY).get("parent")
        if not isinstance(origin, FrozenMap) or origin.get("head") != tagged(parent.head):
            continue
        for edit in _items(origin.get("edits")):
            if isinstance(edit, FrozenMap) and _is_of(edit, first, spot):
                return f"edited in the fork: {_told(edit)}"
    return ""


def _is_of(edit: FrozenMap, first: Change, spot: Spot | None) -> bool:
    """Return whether a difference stands where an edit was made; *spot* is its place in the parent."""
    kind, key = edit.get("kind"), _items(edit.get("key"))
    if kind == "state":
        # It stands in the fork only; in the parent there is no place for it.
        return spot is None and bool(edited_at(first.whole)) and edited_at(first.whole) == _items(edit.get("at"))
    if spot is None or not first.fields:
        return False
    part, *steps = steps_of(first.fields[0].pointer)
    if kind == "input":
        if part == "entered":
            return f"{spot.input}.{spot.frame - 1}" == edit.get("place")
        return part == "input" and spot.frame == 0 and spot.input == edit.get("number")
    # A node that got something else may ask once more; the call stands alone then, and not only its outcome differs.
    at_call = part == "calls" and steps[1:2] in ([], ["outcome"])
    return at_call and len(key) >= 4 and (spot.input, spot.frame, spot.node, steps[0]) == (*key[:3], str(key[3]))


def _told(edit: FrozenMap) -> str:
    if edit["kind"] == "state":
        return f"state at {edit.get('place')}: {', '.join(map(str, _items(edit.get('at'))))}"
    if edit["kind"] == "input":
        return f"input {edit.get('number')}"
    number, frame, node, call = edit["key"][:4]
    return f"{edit['kind']} of {number}.{frame} {node}[{call}]"


def _items(value: Json) -> tuple[Json, ...]:
    """Return a list of a header, in which anything may stand; nothing for what is no list."""
    return value if isinstance(value, tuple) else ()
