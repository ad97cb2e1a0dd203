"""Move about in a timeline: step, into, next, continue, run to, and each of them backwards."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
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
            following = timeline.place(index) if self._there(index) else START
            return self._arrive(Place(following.message, following.frame, 0)) if following.frame else self.step()
        if place.effects == len(timeline.effects(place)):
            return self.step()
        return self._arrive(Place(place.message, place.frame, place.effects + 1))

    def next(self, *, back: bool = False) -> Stop:
        """Go to the end of the message, or, from there, of the next one; backwards to the end of the message before."""
        message, timeline = self.place.message, self.timeline

        def ends(index: int) -> bool:
            if back:
                return timeline.place(index).message != message
            if not self._there(index + 1):
                return timeline.loaded
            return timeline.place(index + 1).message != timeline.place(index).message

        return self._move(ends, back=back)

    def resume(self, *, back: bool = False) -> Stop:
        """Go on until something is hit, or to the end of the run; backwards to its start."""
        if self.breakpoints.active:
            return self._move(lambda _: False, back=back)
        if not back:
            self.read_all()
        return self._ended(self.timeline.end, back=back)

    def run_to(self, place: Place) -> Stop:
        """Go on, or back, to a place or to what is hit on the way. Raises `UnknownRef` where the run has no such place."""
        target = self._position(place)
        if place == self.place:
            return self._arrive(place)
        back = place < self.place
        if place == self.timeline.place(target):
            return self._move(lambda index: index == target, back=back)
        # The end of the frame that it lies in is passed on the way back, and not on the way there.
        here = self.timeline.index(self.place)
        passed = here - (self.place != self.timeline.place(here))
        if here > target if back else passed < target - 1:
            last = target if back else target - 1
            stop = self._move(lambda index: index == last, back=back)
            if stop.reason != "place":
                return stop
        return self._arrive(place)

    def go(self, place: Place) -> Stop:
        """Go straight to a place, whatever lies on the way. Raises `UnknownRef` where the run has no such place."""
        self._position(place)
        return self._arrive(place)

    # ------------------------------------------------------------------ what stops them

    def hits(self, point: Point) -> Iterator[Hit]:
        """Yield every hit of a breakpoint or watchpoint in the whole run, or up to a `stop`, without moving or counting."""
        self.read_all()
        return self.breakpoints.hits(point, self._stopping.is_set)

    def read_all(self) -> None:
        """Read the rest of a run that is not read to its end so far, up to a `stop`."""
        self._stopping.clear()
        self.timeline.load_all(self._stopping.is_set)

    def while_wanted(self, positions: Iterable[int]) -> Iterator[int]:
        """Yield *positions* one after another, up to a `stop`."""
        self._stopping.clear()
        for position in positions:
            if self._stopping.is_set():
                return
            yield position

    @property
    def stopped(self) -> bool:
        """Whether what was done last was ended by `stop`."""
        return self._stopping.is_set()

    def stop(self) -> None:
        """End what is under way, at a frame boundary; to be called from another thread or a signal's handler."""
        self._stopping.set()

    def _move(self, done: Callable[[int], bool], *, back: bool) -> Stop:
        """Go from boundary to boundary until *done* says so of one, or something is hit there."""
        self._stopping.clear()
        way, passed, here = -1 if back else 1, self.place, self.timeline.index(self.place)
        # From inside a frame its own end lies ahead, and the boundary it began at behind.
        index = here if not back and passed != self.timeline.place(here) else here + way
        try:
            while self._there(index):
                if self._stopping.is_set():
                    return self._arrive(passed, "interrupted")
                met = self.breakpoints.met(index) if index and self.breakpoints.active else []
                passed = self.timeline.place(index)
                if met:
                    return self._stopped(passed, met)
                if done(index):
                    return self._arrive(passed)
                if self.progress is not None:
                    self.progress(index)
                index += way
        except KeyboardInterrupt:
            return self._arrive(passed, "interrupted")
        return self._ended(passed, back=back)

    def _position(self, place: Place) -> int:
        """Return the position of a place; a run that is not read to its end so far is read on for it. Raises `UnknownRef`."""
        self._stopping.clear()
        while place > self.timeline.end and not self.timeline.loaded and not self._stopping.is_set():
            self.timeline.load()
        return self.timeline.index(place)

    def _there(self, index: int) -> bool:
        """Return whether there is such a position; a run that is not read to its end so far is read on for it."""
        while index >= self.timeline.positions and not self.timeline.loaded and not self._stopping.is_set():
            self.timeline.load()
        return 0 <= index < self.timeline.positions

    def _ended(self, passed: Place, *, back: bool) -> Stop:
        """Arrive at an end of the run; where somebody wanted a `stop` before all of it was read, at what was *passed* last."""
        if back:
            return self._arrive(START, "start")
        return self._arrive(self.timeline.end, "end") if self.timeline.loaded else self._arrive(passed, "interrupted")

    def _stopped(self, place: Place, met: list[tuple[Point, list[Hit]]]) -> Stop:
        """Arrive where something was met."""
        points = [point for point, _ in met]
        reason: Reason = "watchpoint" if all(isinstance(point, Watchpoint) for point in points) else "breakpoint"
        doubt = self.timeline.doubt(place) if any(point.reads_state for point in points) else ""
        notes = (f"the state may be another one than the run had: {doubt}",) if doubt else ()
        return self._arrive(place, reason, tuple([hit for _, hits in met for hit in hits]), notes)

    def _arrive(self, place: Place, reason: Reason = "place", hits: tuple[Hit, ...] = (), notes: tuple[str, ...] = ()) -> Stop:
        self.place = place
        if reason in ("start", "end"):
            notes = self.breakpoints.troubles
        return Stop(reason=reason, where=place, hits=hits, notes=notes)
