"""States at frame boundaries, folded from recorded changes without decoding what they refer to.

A folded state holds its values as the trace does: a long text, a message or a list is a reference, ``{"$c": 17}``, and stays one
until somebody asks for the state. So folding a whole run costs little more than reading it, and a checkpoint is small.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any, Generic, TypeVar

from frameengine.codec import loads, written
from frameengine.errors import FrameEngineError
from frameengine.jsonvalue import FrozenMap, Json, freeze, frozen_map
from frameengine.state import Change, RunState, grow
from frameengine.trace.stored import Stored, resolved

T = TypeVar("T")
SPACING = 16
"""Frame boundaries between two checkpoints, to begin with; it doubles when there are too many."""
CHECKPOINTS_MAX = 2_048
"""Checkpoints that are kept."""
CHECKPOINT_BYTES_MAX = 32 << 20
"""Bytes of all of them."""
FOLDING_ERRORS = (FrameEngineError, LookupError, TypeError, ValueError, AttributeError)
"""What a change can raise that no run has written."""


def folded(state: RunState, changes: Iterable[Any], contents: Stored) -> RunState:
    """Return a folded state after *changes*, as they stand in a line. Raises one of `FOLDING_ERRORS` where one does not fit."""
    for change in changes:
        at, op, value, keep = change["at"], change["op"], change.get("value"), change.get("keep", 0)
        if type(value) is dict and len(value) == 1 and "$c" in value:
            value = frozen_map(value)
            grown = grow(state.sections, at, value, keep) if op == "append" and "$" not in at else None
            if grown is not None:
                state = RunState(grown)
                continue
        # A user's key is escaped in what is folded, and so must be the steps that name it.
        at = at.replace("/$", "/$$")
        steps = [step.replace("~1", "/").replace("~0", "~") for step in at.split("/")[1:]]
        state = RunState(_opened(state.sections, steps if op == "append" else steps[:-1], contents))
        state = state.apply([Change(op=op, at=at, value=value, keep=keep)])
    return state


def _opened(value: Json, steps: list[str], contents: Stored) -> Json:
    """Return *value* with every reference on the way opened: a change goes inside it."""
    if type(value) is FrozenMap and "$c" in value:
        value = contents.opened(value["$c"])
    if not steps:
        return value
    step, rest = steps[0], steps[1:]
    if type(value) is FrozenMap and step in value:
        inner = _opened(value[step], rest, contents)
        return value if inner is value[step] else freeze({**value, step: inner})
    if type(value) is tuple and step.isdecimal() and int(step) < len(value):
        index = int(step)
        inner = _opened(value[index], rest, contents)
        return value if inner is value[index] else (*value[:index], inner, *value[index + 1 :])
    return value


def whole(state: RunState, contents: Stored) -> RunState:
    """Return a folded state with everything that it refers to."""
    return RunState(resolved(state.sections, contents))


class Checkpoints:
    """Folded states at some positions: near enough that any other is a few frames away, few enough to keep.

    They are kept encoded, as they would stand in a file: a state of forty messages takes less than a kilobyte.
    """

    def __init__(self, state: RunState) -> None:
        self._positions = [0]
        self._states = [written(state.sections)]
        self._bytes = len(self._states[0])
        self.spacing = SPACING

    def __len__(self) -> int:
        return len(self._positions)

    def offer(self, position: int, state: RunState) -> None:
        """Keep the state at *position*, which is the newest, where the one before is far enough away, or is of the same place."""
        if 0 < position - self._positions[-1] < self.spacing:
            return
        encoded = written(state.sections)
        if position == self._positions[-1]:
            self._bytes += len(encoded) - len(self._states[-1])
            self._states[-1] = encoded
            return
        self._positions.append(position)
        self._states.append(encoded)
        self._bytes += len(encoded)
        while len(self._positions) > 1 and (len(self._positions) > CHECKPOINTS_MAX or self._bytes > CHECKPOINT_BYTES_MAX):
            # The first stays: there is always one before.
            del self._positions[1::2], self._states[1::2]
            self.spacing *= 2
            self._bytes = sum(map(len, self._states))

    def before(self, position: int) -> tuple[int, RunState]:
        """Return the newest checkpoint at or before *position*."""
        index = bisect_right(self._positions, position) - 1
        return self._positions[index], RunState(freeze(loads(self._states[index])))


class Recent(Generic[T]):
    """What was asked for last, by position."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[int, T] = OrderedDict()

    def get(self, position: int) -> T | None:
        """Return what is kept for a position."""
        found = self._kept.get(position)
        if found is not None:
            self._kept.move_to_end(position)
        return found

    def put(self, position: int, value: T) -> T:
        """Keep *value*, and forget the oldest; return it."""
        self._kept[position] = value
        self._kept.move_to_end(position)
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return value


def reason_of(error: Exception) -> str:
    """Return in a few words why a change could not be folded."""
    return error.message if isinstance(error, FrameEngineError) else f"a change is not of the form that it must have ({error!r})"
