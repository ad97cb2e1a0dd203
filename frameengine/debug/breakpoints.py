"""The breakpoints and watchpoints of one debugger: numbered, counted, switched on and off."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from attrs import evolve

from frameengine.debug.facts import Asking, Moment
from frameengine.debug.matching import Finder
from frameengine.debug.parsing import parse_point, parse_watchpoint
from frameengine.debug.place import Place
from frameengine.debug.points import Breakpoint, Point, Watchpoint
from frameengine.debug.stop import Hit
from frameengine.debug.timeline import Timeline
from frameengine.debug.watching import Watcher
from frameengine.effects import Call
from frameengine.errors import GraphError, NothingCompared, UsageError
from frameengine.replay.replayer import Replayer, ReplayResult

__all__ = ["Breakpoint", "Breakpoints", "Watchpoint", "parse_breakpoint"]
P = TypeVar("P", bound=Point)


class Breakpoints:
    """Breakpoints and watchpoints by number; a number is never used again."""

    def __init__(self, timeline: Timeline, *, replay: Callable[[], ReplayResult] | None = None, growing: bool = False) -> None:
        """Begin with none. *replay* replays the run, where its own code is not to be taken, for breakpoints on its divergence.

        Of a run that is *growing*, or not read to its end so far, nobody knows what can never hit.
        """
        self._timeline = timeline
        self._replay = replay or (lambda: Replayer(timeline.path).run())
        self._growing = growing
        self._points: dict[int, Point] = {}
        self._finders: dict[int, Finder | Watcher] = {}
        self._counts: dict[int, int] = {}
        self._newest = 0
        self._divergence: tuple[Hit | None] | None = None
        self.held: tuple[int, ...] = ()
        """Numbers of those that held where was looked last, with those that were passed over."""

    @property
    def growing(self) -> bool:
        """Whether what the run does not have may still come."""
        return self._growing or not self._timeline.loaded

    def parse(self, text: str) -> Point:
        """Return what *text* describes, a JSON pointer being a watchpoint, without adding it. Raises as `parse_breakpoint`."""
        return parse_point(text, self._timeline, self._diverges, growing=self.growing)

    def add(self, text: str, *, once: bool = False, ignore: int = 0) -> Point:
        """Add a breakpoint as it is typed. With *once* it goes with its first stop; *ignore* stops are passed over before."""
        return self._added(evolve(self.parse(text), once=once, ignore=ignore))

    def watch(self, pointer: str, *, once: bool = False, ignore: int = 0) -> Watchpoint:
        """Add a watchpoint on a JSON pointer. Raises `UsageError` where nothing is there, or the value never changes."""
        return self._added(evolve(parse_watchpoint(pointer, self._timeline, growing=self.growing), once=once, ignore=ignore))

    def _added(self, point: P) -> P:
        self._newest += 1
        added = evolve(point, number=self._newest)
        self._points[self._newest], self._counts[self._newest] = added, 0
        return added

    def all(self) -> list[Point]:
        """Return all, in order of their numbers."""
        return list(self._points.values())

    @property
    def active(self) -> bool:
        """Whether anything can stop a move."""
        return any(point.enabled for point in self._points.values())

    def count(self, number: int) -> int:
        """Return at how many places a point was hit so far while moving, passed over or not. Raises `UsageError`."""
        self._at(number)
        return self._counts[number]

    @property
    def troubles(self) -> tuple[str, ...]:
        """What is to be said of conditions that could be evaluated nowhere on the way so far."""
        finders = [(number, finder) for number, finder in sorted(self._finders.items()) if isinstance(finder, Finder)]
        return tuple([f"{number}: {finder.trouble}" for number, finder in finders if finder.trouble])

    def delete(self, number: int) -> None:
        """Remove a point. Raises `UsageError`."""
        self._at(number)
        del self._points[number]
        self._finders.pop(number, None)

    def enable(self, number: int, on: bool) -> None:
        """Switch a point on or off. Raises `UsageError`."""
        self._points[number] = evolve(self._at(number), enabled=on)

    def ignore(self, number: int, count: int) -> None:
        """Let a point pass its next *count* stops. Raises `UsageError`."""
        if count < 0:
            raise UsageError(f"{count} stops cannot be passed over", hint="0 or more", count=count)
        self._points[number] = evolve(self._at(number), ignore=count)

    def _at(self, number: int) -> Point:
        if number not in self._points:
            known = list(self._points)
            hint = f"there are {', '.join(map(str, known)) or 'none'}"
            raise UsageError(f"there is no breakpoint {number}", hint=hint, known=known)
        return self._points[number]

    def met(self, position: int, wanted: Callable[[Point], bool] = lambda _: True) -> list[tuple[Point, list[Hit]]]:
        """Return what stops a move that comes to a position, and count it: breakpoints first, in order of their numbers.

        Only those that are *wanted* are asked.
        """
        return self._met(Moment(self._timeline, position), wanted)

    def met_by(self, call: Call, shared: int = 0) -> list[tuple[Point, list[Hit]]]:
        """Return what stops a run under way before *call* is done, and count it; *shared* as in `Made`."""
        return self._met(Asking(self._timeline, call, shared), lambda point: isinstance(point, Breakpoint) and point.sees_calls)

    def _met(self, moment: Moment, wanted: Callable[[Point], bool]) -> list[tuple[Point, list[Hit]]]:
        points = sorted(self._points.values(), key=lambda point: (isinstance(point, Watchpoint), point.number))
        # Looked for first and counted then: a move that is interrupted in between is as if it had not come here.
        held = [(point, hits) for point in points if point.enabled and wanted(point) and (hits := self._hits(point, moment))]
        self.held = tuple([point.number for point, _ in held])
        stopping = []
        for point, hits in held:
            self._counts[point.number] += 1
            if point.ignore:
                self._points[point.number] = evolve(point, ignore=point.ignore - 1)
                continue
            if point.once:
                self.delete(point.number)
            stopping.append((point, hits))
        return stopping

    def hits(self, point: Point, stopping: Callable[[], bool] = lambda: False) -> Iterator[Hit]:
        """Yield every hit of a point in the whole run, whether it is among these or was only parsed; nothing is counted.

        *stopping* is asked at every frame; once it says so, no more is looked for.
        """
        return self.finder(point).hits(stopping)

    def _hits(self, point: Point, moment: Moment) -> list[Hit]:
        if point.number not in self._finders:
            self._finders[point.number] = self.finder(point)
        return self._finders[point.number].at(moment)

    def finder(self, point: Point) -> Finder | Watcher:
        """Return what finds a point, whether it is among these or was only parsed; it counts nothing here."""
        if isinstance(point, Watchpoint):
            return Watcher(point, self._timeline)
        return Finder(point, self._timeline, self._diverges)

    def _diverges(self) -> Hit | None:
        if self._divergence is None:
            self._divergence = (_diverged(self._timeline, self._replay),)
        return self._divergence[0]


def parse_breakpoint(text: str, timeline: Timeline) -> Breakpoint:
    """Return the breakpoint that *text* describes; its number is 0.

    Raises `UsageError` and `ExpressionError`, also where it can never hit in this run: then ``fields['never']`` says why.
    """
    point = Breakpoints(timeline).parse(text)
    if isinstance(point, Watchpoint):
        raise UsageError(f"{text} is a pointer", hint=f"watch {text}")
    return point


def _diverged(timeline: Timeline, replay: Callable[[], ReplayResult]) -> Hit | None:
    timeline.check_unchanged()
    try:
        found = replay().divergence
    except (GraphError, NothingCompared) as error:
        what = f"where the run diverges cannot be found out: {error.message}"
        raise UsageError(what, hint=error.hint or "name the graph, or let the code that the trace names be imported") from error
    timeline.check_unchanged()
    if found is None:
        return None
    places = [timeline.place(position) for position in range(1, timeline.places)]
    here = [place for place in places if place.message == found.input]
    place = Place(found.input, found.frame)
    if place not in here or not found.frame:
        # A frame too many, or the figures of the message: there is no such frame to stand at.
        place = here[-1]
    return Hit(number=0, place=place, node=found.node, key=found.key, what=f"{found.kind} {found.pointer}".strip())
