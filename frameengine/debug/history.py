"""Who changed a value of the state, where, and from what to what."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any, Final

from attrs import frozen

from frameengine.codec import written
from frameengine.debug.place import START, Place
from frameengine.debug.timeline import Timeline
from frameengine.errors import NodeError, UsageError
from frameengine.inputs import Body, Given, StateEdit
from frameengine.jsonvalue import MISSING, FrozenMap, Json, frozen_map, point, pointer_step, step_name
from frameengine.state import Change, RunState, change_from_json
from frameengine.state import Operation as Op

NEAR_MAX: Final = 8
"""Pointers that are named where one is not there."""


@frozen(kw_only=True)
class Changed:
    """One change of one value."""

    place: Place
    """The frame whose commit changed it, or the message whose input did."""
    node: str = ""
    """The node that did it; empty where an input did."""
    input: str = ""
    """Type of the input that did it; empty where a node did."""
    op: Op
    """set, append or delete."""
    before: Json = None
    """The value before; None where there was none."""
    after: Json = None
    """The value afterwards; None where there is none."""
    made: bool = False
    """Whether there was nothing before."""
    gone: bool = False
    """Whether there is nothing afterwards."""

    @classmethod
    def of(cls, before: Json, after: Json, **facts: Any) -> Changed:
        """Return the change from one value to another, either of which may be `MISSING`."""
        made, gone = before is MISSING, after is MISSING
        return cls(before=None if made else before, after=None if gone else after, made=made, gone=gone, **facts)

    def to_json(self) -> dict[str, Any]:
        """Return the change as plain JSON."""
        return {
            "place": self.place.to_json(),
            "node": self.node,
            "input": self.input,
            "op": self.op,
            "before": self.before,
            "after": self.after,
            "made": self.made,
            "gone": self.gone,
        }


def changes(timeline: Timeline, pointer: str) -> Iterator[Changed]:
    """Yield every change of the value at a JSON pointer, in order. Raises `UsageError` for a pointer that never is there."""
    known_pointer(timeline, pointer)
    for position in timeline.touched(section(pointer)):
        yield from at(timeline, position, pointer)


def who(timeline: Timeline, pointer: str, place: Place) -> Changed | None:
    """Return the newest change of a value at or before a place; None where it is as it was at the start.

    Raises `UsageError` for a pointer that never is there.
    """
    known_pointer(timeline, pointer)
    touched = timeline.touched(section(pointer))
    for index in range(bisect_right(touched, timeline.index(place.boundary)) - 1, -1, -1):
        found = at(timeline, touched[index], pointer)
        if found:
            return found[-1]
    return None


def values(timeline: Timeline, position: int, pointer: str) -> tuple[Json, Json] | None:
    """Return the values before and after a position, `MISSING` where there is none; None where they are the same."""
    before = _value(timeline.state(timeline.place(position - 1)).sections, pointer)
    after = _value(timeline.state(timeline.place(position)).sections, pointer)
    return None if _same(before, after) else (before, after)


def first_change(timeline: Timeline, pointer: str) -> int | None:
    """Return the first position at which a value is another one than before; None where it never is."""
    found = (position for position in timeline.touched(section(pointer)) if values(timeline, position, pointer) is not None)
    return next(found, None)


def at(timeline: Timeline, position: int, pointer: str) -> list[Changed]:
    """Return the changes of a value at a position, in the order in which they were made."""
    if not position:
        return []
    place, name = timeline.place(position), section(pointer)
    before, after = timeline.state(timeline.place(position - 1)).sections, timeline.state(place).sections
    folded = RunState(frozen_map({name: before[name]} if name in before else {}))
    value = _value(before, pointer)
    found: list[Changed] = []
    body = None if place.frame else timeline.input(place.message).body
    entered = "StateEdit" if body is None else type(body).__name__
    for node, change in _made(timeline, place, body, name):
        try:
            folded = folded.apply([change])
        except NodeError:
            # Changes that do not fit what was recorded before them: the timeline takes none of the frame's, and doubts the state.
            found, value = [], _value(before, pointer)
            break
        now = _value(folded.sections, pointer)
        if not _same(value, now):
            found.append(Changed.of(value, now, place=place, node=node, input="" if node else entered, op=change.op))
            value = now
    # A conversation that was cleared, another graph, an edit that came in when the frame was done: no record has these.
    if not _same(value, now := _value(after, pointer)):
        found.append(Changed.of(value, now, place=place, input=entered, op="delete" if now is MISSING else "set"))
    return found


def _made(timeline: Timeline, place: Place, body: Body | None, name: str) -> Iterator[tuple[str, Change]]:
    """Yield who made which change of a section: nodes in the order of their commits, or else the input."""
    if isinstance(body, Given | StateEdit):
        yield from [("", change) for change in body.changes() if section(change.at) == name]
    for record in timeline.records(place):
        for written_down in record.get("changes", ()):
            if section(written_down["at"]) == name:
                yield str(record["node"]), change_from_json(written_down)


# ---------------------------------------------------------------------- pointers


def section(pointer: str) -> str:
    """Return the section of the state that a pointer begins with."""
    return step_name(pointer.split("/", 2)[1])


def known_pointer(timeline: Timeline, pointer: str, *, growing: bool = False) -> None:
    """Raise `UsageError` where no value stands at a pointer anywhere in the run; of a *growing* one only its form is checked."""
    if not pointer.startswith("/") or pointer == "/":
        hint = "write /SECTION or /SECTION/MEMBER, such as /memory/topic"
        raise UsageError(f"{pointer!r} is no pointer into the state", hint=hint, pointer=pointer)
    if growing:
        return
    timeline.load_all()
    states = [timeline.state(START).sections, timeline.state(timeline.last).sections]
    if any(_value(state, pointer) is not MISSING for state in states) or first_change(timeline, pointer) is not None:
        return
    near = _near(states, pointer)
    hint = f"did you mean {' or '.join(near)}?" if near else "the state of this run is empty"
    raise UsageError(f"nothing ever stands at {pointer} in the state of this run", hint=hint, pointer=pointer, known=near)


def _near(states: list[FrozenMap], pointer: str) -> list[str]:
    """Return pointers that are there and resemble one that is not: those beside where it leaves what is there."""
    steps = pointer.split("/")
    for depth in range(len(steps) - 1, 0, -1):
        parent = "/".join(steps[:depth])
        members = [_value(state, parent) for state in states]
        names = [pointer_step(name) for held in members if isinstance(held, dict) for name in held]
        names += [str(index) for held in members if isinstance(held, tuple) for index in range(min(len(held), NEAR_MAX))]
        if names:
            unique = list(dict.fromkeys(names))
            return [f"{parent}/{name}" for name in get_close_matches(steps[depth], unique, 3) or unique[:NEAR_MAX]]
    return []


def _value(sections: FrozenMap, pointer: str) -> Json:
    try:
        return point(sections, pointer)
    except KeyError:
        return MISSING


def _same(one: Json, other: Json) -> bool:
    """Return whether two values are written alike: 1 and true are not, though they are equal."""
    if one is other:
        return True
    return one is not MISSING and other is not MISSING and one == other and written(one) == written(other)
