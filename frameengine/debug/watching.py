"""Where a watched value of the state changes."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence

from frameengine.debug.facts import Moment
from frameengine.debug.history import at, section, values
from frameengine.debug.matching import Stopping, never_stops
from frameengine.debug.points import Watchpoint
from frameengine.debug.stop import Hit
from frameengine.debug.timeline import Timeline
from frameengine.jsonvalue import MISSING


class Watcher:
    """Finds where the value of one watchpoint changes: only where a change of its section is recorded it is looked at."""

    def __init__(self, point: Watchpoint, timeline: Timeline) -> None:
        self.point = point
        self._timeline = timeline
        self._read = 0
        self._touched: Sequence[int] = ()

    def at(self, moment: Moment) -> list[Hit]:
        """Return the hit in a moment, with the value before and after; its node is the last one that changed it."""
        touched, position = self._positions(), moment.position
        index = bisect_left(touched, position)
        return self._hit(position) if index < len(touched) and touched[index] == position else []

    def hits(self, stopping: Stopping = never_stops, first: int = 1, behind: int | None = None) -> Iterator[Hit]:
        """Yield every hit from position *first* up to the one before *behind*, else to the end, until *stopping* says so."""
        touched = self._positions()
        start = bisect_left(touched, first)
        for position in touched[start : len(touched) if behind is None else bisect_left(touched, behind)]:
            if stopping():
                return
            yield from self._hit(position)

    def _positions(self) -> Sequence[int]:
        # Asked for anew only where the run has grown: a long run would be sorted at every step.
        if self._read != self._timeline.read:
            self._read, self._touched = self._timeline.read, self._timeline.touched(section(self.point.pointer))
        return self._touched

    def _hit(self, position: int) -> list[Hit]:
        found = values(self._timeline, position, self.point.pointer)
        if found is None:
            return []
        last = at(self._timeline, position, self.point.pointer)[-1]
        before, after = (None if value is MISSING else value for value in found)
        # Whoever shows a hit shows its node.
        what = last.op if last.node else f"{last.op} by {last.input}"
        place = self._timeline.place(position)
        return [Hit(number=self.point.number, place=place, node=last.node, what=what, before=before, after=after)]
