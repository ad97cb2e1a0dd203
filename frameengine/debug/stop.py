"""Why a debugger stopped, and where."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from attrs import frozen

from frameengine.debug.place import Place
from frameengine.effects import EffectKey
from frameengine.jsonvalue import Json

Reason: TypeAlias = Literal["place", "breakpoint", "watchpoint", "start", "end", "interrupted"]
"""The move came to where it was meant to go; something was hit on the way; the run has nothing further in that direction; the
person asked for a stop."""


@frozen(kw_only=True)
class Hit:
    """A breakpoint or watchpoint that holds at a place."""

    number: int
    """Number of the breakpoint or watchpoint."""
    place: Place
    """The frame it holds in."""
    node: str = ""
    """The node that it is about; empty where it is about the whole frame or message."""
    key: EffectKey | None = None
    """The effect that it is about."""
    what: str = ""
    """What was found, in a few words, for people."""
    before: Json = None
    """Of a watchpoint: the value before the place."""
    after: Json = None
    """Of a watchpoint: the value at the place."""

    def to_json(self) -> dict[str, Any]:
        """Return the hit as plain JSON."""
        return {
            "number": self.number,
            "place": self.place.to_json(),
            "node": self.node,
            "key": None if self.key is None else self.key.wire(),
            "what": self.what,
            "before": self.before,
            "after": self.after,
        }


@frozen(kw_only=True)
class Stop:
    """Where a move ended, and why."""

    reason: Reason
    """Why there."""
    where: Place
    """The place."""
    hits: tuple[Hit, ...] = ()
    """What was hit, breakpoints before watchpoints, in order of their numbers."""
    notes: tuple[str, ...] = ()
    """For people: at an end of the run, conditions that could be evaluated nowhere on the way; at a hit, why the state it is
    about is in doubt."""

    def to_json(self) -> dict[str, Any]:
        """Return the stop as plain JSON."""
        return {
            "reason": self.reason,
            "where": self.where.to_json(),
            "hits": [hit.to_json() for hit in self.hits],
            "notes": list(self.notes),
        }
