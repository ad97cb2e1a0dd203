"""Which differences follow from earlier ones, told from the flow of data: what a node was given differs already."""

from __future__ import annotations

from attrs import evolve

from frameengine.diff.filters import steps_of
from frameengine.diff.matching import Match
from frameengine.diff.result import Change, FieldChange
from frameengine.diff.sketch import Sketch
from frameengine.inputs import StateEdit
from frameengine.jsonvalue import MISSING, Json

_OUTSIDE = ("entered", "node", "phase")


class Consequences:
    """What is known of the differences so far, one message after another.

    A record follows where its input differs and something before it in its message does; where it asks, shows or remembers
    something else and the state it began with differs; and where it runs on one side only because of a route that differs. An
    outcome that differs for the same request follows from nothing.
    """

    def __init__(self, left: Sketch, right: Sketch) -> None:
        self._left, self._right = left, right
        self._any = self._renumbered = False

    def told(self, found: Match, changes: list[Change]) -> list[Change]:
        """Return the changes of a message, those marked that follow."""
        message = _Message(changes, state=self._any and (self._renumbered or self._state_differs(found)))
        told = []
        for change in changes:
            follows = change.follows or message.renamed_route(change) or (self._any and message.follows(change))
            told.append(evolve(change, follows=follows))
            message.take(change)
            self._any = self._any or not follows
            # An edit of the state has a number: what nodes make of those behind it, ids and chance, is another one.
            self._renumbered = self._renumbered or bool(edited_at(change.whole))
        return told

    def _state_differs(self, found: Match) -> bool:
        if found.left is None or found.right is None:
            return True
        one, other = self._left.state_before(found.left), self._right.state_before(found.right)
        return one != other or not one


class _Message:
    """What differs in one message so far."""

    def __init__(self, changes: list[Change], *, state: bool) -> None:
        self._state = state
        self._renames = {
            change.left.node: change.right.node for change in changes if change.kind == "renamed" and change.left and change.right
        }
        self._earlier = False
        self._touched: tuple[int, int] | None = None
        self._reached: dict[str, None] = {}

    def follows(self, change: Change) -> bool:
        """Return whether *change* follows from those before it."""
        if change.kind in ("added", "removed", "repeated"):
            return change.spot.node in self._reached
        if change.kind == "moved" or not change.fields:
            return False
        part, *steps = steps_of(change.fields[0].pointer)
        if change.spot.frame == 0:
            return part == "figures" and (self._earlier or self._state)
        if part in _OUTSIDE:
            return False
        if part == "input":
            return self._earlier
        if part == "calls" and steps[1:2] == ["outcome"]:
            return False
        return self._state or self._touched_before(change)

    def renamed_route(self, change: Change) -> bool:
        """Return whether nothing differs but the name of a node that a message goes to, and that node was renamed."""
        return bool(change.fields) and change.kind == "changed" and all(map(self._is_renamed, change.fields))

    def take(self, change: Change) -> None:
        """Take note of a change."""
        if self.renamed_route(change):
            return
        self._earlier = True
        whole = change.whole if isinstance(change.whole, dict) else {}
        self._reached.update(dict.fromkeys(whole.get("route", ())))
        changes, by_hand = "changes" in whole, bool(edited_at(whole))
        for field in change.fields:
            part, *steps = steps_of(field.pointer)
            changes = changes or part == "changes"
            by_hand = by_hand or (part == "entered" and steps[:2] == ["data", "changes"])
            if part == "route":
                values = [value for side in (field.left, field.right) for value in (side if isinstance(side, tuple) else [side])]
                self._reached.update(dict.fromkeys([value for value in values if isinstance(value, str)]))
        if (changes or by_hand) and self._touched is None:
            left, right = _frames(change)
            # An edit by hand came in behind the frame before the one that it stands in: what runs there sees it.
            self._touched = (left - 1, right - 1) if by_hand else (left, right)

    def _touched_before(self, change: Change) -> bool:
        if self._touched is None:
            return False
        left, right = _frames(change)
        return left > self._touched[0] or right > self._touched[1]

    def _is_renamed(self, field: FieldChange) -> bool:
        return (
            steps_of(field.pointer)[0] == "route"
            and MISSING not in (field.left, field.right)
            and isinstance(field.left, str)
            and self._renames.get(field.left) == field.right
        )


def edited_at(whole: Json) -> tuple[str, ...]:
    """Return the pointers that an edit of the state changed, where a record or message on one side only is one; else nothing."""
    entered = whole.get("entered", whole.get("input")) if isinstance(whole, dict) else None
    data = entered.get("data") if isinstance(entered, dict) and entered.get("type") == StateEdit.__name__ else None
    changes = data.get("changes") if isinstance(data, dict) else None
    return tuple([str(change.get("at")) for change in changes if isinstance(change, dict)]) if isinstance(changes, tuple) else ()


def _frames(change: Change) -> tuple[int, int]:
    """Return the frames on both sides; that of the other side where it stands on one only."""
    left, right = change.left or change.spot, change.right or change.spot
    return left.frame, right.frame
