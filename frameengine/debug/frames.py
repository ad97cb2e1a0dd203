"""The frames of a trace by position, read again and decoded when somebody asks for them; the newest few are kept."""

from __future__ import annotations

from typing import Any, TypeAlias

from frameengine.debug.checkpoint import Recent
from frameengine.debug.layout import Layout
from frameengine.effects import EffectKey
from frameengine.inputs import Input
from frameengine.trace.index import TraceIndex
from frameengine.trace.messages import Made, Step, made, step_of

STEPS_KEPT = 16
"""Frames that are kept decoded."""
Arrived: TypeAlias = tuple[Made | Input, ...]
"""Outcomes and late inputs, in order of arrival."""


class Frames:
    """What happened in the frames of a trace."""

    def __init__(self, index: TraceIndex, layout: Layout) -> None:
        self._index, self._layout = index, layout
        self._kept: Recent[tuple[Step, Arrived]] = Recent(STEPS_KEPT)

    def at(self, position: int) -> tuple[Step, Arrived]:
        """Return the frame that ends at a position, and what came in within it. Raises `TraceError`."""
        known = self._kept.get(position)
        if known is not None:
            return known
        arrived = self.arrived(position)
        return self._kept.put(position, (step_of(self._index.line(self._layout.line(position)), arrived), arrived))

    def arrived(self, position: int) -> Arrived:
        """Return what came in before a position and behind the one before it: what the file ends with, behind the last."""
        layout = self._layout
        first = layout.line(position - 1) + 1
        last = layout.line(position) - 1 if position < layout.places else layout.newest
        outcomes = iter(layout.outcomes(position))
        found: list[Made | Input] = []
        for line in self._index.lines(first, last) if first <= last else ():
            if line.kind == "input":
                found.append(line.input())
            elif line.kind == "outcome":
                found.append(made(line, self._before(next(outcomes))))
        return tuple(found)

    def _before(self, outcome: int) -> dict[str, tuple[EffectKey, tuple[Any, ...]]]:
        """Return the model call before an outcome's of the same node, with its messages."""
        before = self._layout.before(outcome)
        if before is None:
            return {}
        line = self._index.line(self._layout.outcome_line(before))
        key = line.key()
        return {key.node: (key, line.data["request"].get("messages", ()))}
