"""Move about in a timeline: step, into, next, continue, run to, and each of them backwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import Event

from frameengine.debug.breakpoints import Breakpoints
from frameengine.debug.place import START, Place
from frameengine.debug.points import Point, Watchpoint
from frameengine.debug.stop import Hit, Reason, Stop
from frameengine.debug.timeline import Timeline


class Debugger:
    """A place in a timeline, and the moves from it.

    A breakpoint stops at the end of the frame in which it holds, where everything of the frame can be looked at; forwards and
    backwards these are the same places. What holds at the place where a move begins does not stop it, unless that is inside the
    frame: then its end still lies ahead.
    """

    def __init__(
        self, timeline: Timeline, breakpoints: Breakpoints | None = None, *, progress: Callable[[int], None] | None = None
    ) -> None:
        """Stand at the start. *progress* is told the position that a long move has come to."""
        self.timeline = timeline
        self.breakpoints = breakpoints or Breakpoints(timeline)
        self.place: Place = START
        """Where it stands."""
        self.progress = progress
        self._stopping = Event()

    # ------------------------------------------------------------------ moves

    def step(self, *, back: bool = False) -> Stop:
        """Go to the next frame boundary, or to the one before."""
        return self._move(lambda _: True, back=back)

    def into(self, *, back: bool = False) -> Stop:
        """Go to the next effect, or to the one before: outcome by outcome inside a frame, in order of arrival."""
        place, timeline = self.place, self.timeline
        if back:
            inside = place.effects if place.effects is not None else len(timeline.effects(place)) + 1 if place.frame else 0
            return self._arrive(Place(place.message, place.frame, inside - 1)) if inside else self.step(back=True)
        if place.effects is None:
            index = timeline.index(place) + 1
            following = timeline.place(index) if index < timeline.places else START
            return self._arrive(Place(following.message, following.frame, 0)) if following.frame else self.step()
        arrived = place.effects + 1
        return (
            self._arrive(Place(place.message, place.frame, arrived)) if arrived <= len(timeline.effects(place)) else self.step()
        )

    def next(self, *, back: bool = False) -> Stop:
        """Go to the end of the message, or, from there, of the next one; backwards to the end of the message before."""
        message = self.place.message

        def ends(index: int) -> bool:
            if back:
                return self.timeline.place(index).message != message
            after = index + 1
            return after >= self.timeline.places or self.timeline.place(after).message != self.timeline.place(index).message

        return self._move(ends, back=back)

    def resume(self, *, back: bool = False) -> Stop:
        """Go on until something is hit, or to the end of the run; backwards to its start."""
        if self.breakpoints.active:
            return self._move(lambda _: False, back=back)
        return self._arrive(START, "start") if back else self._arrive(self.timeline.last, "end")

    def run_to(self, place: Place) -> Stop:
        """Go on, or back, to a place or to what is hit on the way. Raises `UnknownRef` where the run has no such place."""
        target = self.timeline.index(place)
        if place == self.place:
            return self._arrive(place)
        back = place < self.place
        if place.effects is None:
            return self._move(lambda index: index == target, back=back)
        # The end of the frame that it lies in is passed on the way back, and not on the way there.
        last = target if back else target - 1
        ahead = self._ahead(back=back)
        if (ahead >= last) if back else (ahead <= last):
            stop = self._move(lambda index: index == last, back=back)
            if stop.reason != "place":
                return stop
        return self._arrive(place)

    def go(self, place: Place) -> Stop:
        """Go straight to a place, whatever lies on the way. Raises `UnknownRef` where the run has no such place."""
        self.timeline.index(place)
        return self._arrive(place)

    # ------------------------------------------------------------------ what stops them

    def hits(self, point: Point) -> Iterator[Hit]:
        """Yield every hit of a breakpoint or watchpoint in the whole run, without moving or counting."""
        return self.breakpoints.hits(point)

    def stop(self) -> None:
        """End the move that is under way, at a frame boundary; to be called from another thread or a signal's handler."""
        self._stopping.set()

    def _ahead(self, *, back: bool) -> int:
        """Return the position of the first boundary in a direction."""
        index = self.timeline.index(self.place)
        return index - 1 if back else index if self.place.effects is not None else index + 1

    def _move(self, done: Callable[[int], bool], *, back: bool) -> Stop:
        """Go from boundary to boundary until *done* says so of one, or something is hit there."""
        self._stopping.clear()
        timeline, index, way = self.timeline, self._ahead(back=back), -1 if back else 1
        passed = self.place
        try:
            while 0 <= index < timeline.places:
                if self._stopping.is_set():
                    return self._arrive(passed, "interrupted")
                met = self.breakpoints.met(index) if index and self.breakpoints.active else []
                passed = timeline.place(index)
                if met:
                    reason: Reason = "watchpoint" if all(isinstance(point, Watchpoint) for point, _ in met) else "breakpoint"
                    return self._arrive(passed, reason, tuple([hit for _, hits in met for hit in hits]))
                if done(index):
                    return self._arrive(passed)
                if self.progress is not None:
                    self.progress(index)
                index += way
        except KeyboardInterrupt:
            return self._arrive(passed, "interrupted")
        return self._arrive(START, "start") if back else self._arrive(timeline.last, "end")

    def _arrive(self, place: Place, reason: Reason = "place", hits: tuple[Hit, ...] = ()) -> Stop:
        self.place = place
        notes = self.breakpoints.troubles if reason in ("start", "end") else ()
        return Stop(reason=reason, where=place, hits=hits, notes=notes)
