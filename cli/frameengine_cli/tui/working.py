"""The work behind the screen: read the trace, do what lines say, look for breakpoints; in a thread beside it, one by one."""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import Callable
from ctypes import c_ulong, py_object, pythonapi
from threading import Event, get_ident
from typing import Final, Protocol, TypeAlias, TypeVar

from attrs import define, field, frozen

from frameengine.debug.matching import Finder
from frameengine.debug.place import Place
from frameengine.debug.points import Point
from frameengine.debug.watching import Watcher
from frameengine.errors import FrameEngineError, UnknownRef
from frameengine_cli.debugging.commands import dispatch
from frameengine_cli.debugging.hangup import GRACE_SECONDS
from frameengine_cli.debugging.living import followed
from frameengine_cli.debugging.session import Answer, Session
from frameengine_cli.failures import defect

T = TypeVar("T")
Act: TypeAlias = Callable[[Session], Answer]
"""Something that is done in a session as a line is, and cannot be written as one."""
LINES_AT_ONCE: Final = 2_000
"""Lines of the trace that are read before the screen is asked again whether there is something else to do."""
TOLD_SECONDS: Final = 0.4
"""Between two reports of how much is read."""
SWITCH_SECONDS: Final = 0.001
"""How long the thread that reads, or the screen, keeps the other waiting for the interpreter. With Python's own 5 ms a key waits
several times before it has its effect, and the thread at each line that is long: its hash is taken without the interpreter."""
PLACES_AT_ONCE: Final = 500
"""Places that are looked through for a breakpoint before something else has its turn."""
MARKS_MAX: Final = 5_000
"""Places of one breakpoint that are marked."""


@frozen(kw_only=True)
class Opening:
    """How the screen gets its session, once it has come up."""

    name: str
    """The file, for people."""
    open: Callable[[], Session]
    """Open it; the timeline may be read to its header only (``Timeline(…, whole=False)``). Raises `FrameEngineError`."""
    total: int | None = None
    """Bytes that there are to read; None where that is not known."""
    place: Place | None = None
    """Where to go first."""


@define
class Marks:
    """Where a breakpoint holds in the whole run, as far as it was looked for."""

    point: Point
    """The breakpoint."""
    finder: Finder | Watcher
    """What looks for them."""
    next: int = 1
    """The first position that was not looked at."""
    positions: list[int] = field(factory=list)
    """Positions of its frames."""
    done: bool = False
    """Whether no more is looked for."""
    whole: bool = False
    """Whether the whole run was looked at."""
    fault: str = ""
    """Why nothing more can be found; empty where nothing is in the way."""

    @property
    def total(self) -> str:
        """At how many places it holds, for people; empty as long as nobody knows."""
        return f"{len(self.positions):,}{'' if self.whole else '+'}" if self.done and not self.fault else ""

    def again(self, first: int) -> None:
        """Look once more from a position on: the run has grown, and what its last message comes to may be another thing now."""
        self.positions = [position for position in self.positions if position < first]
        self.next, self.done, self.whole = min(self.next, first), False, False


class Screen(Protocol):
    """Is told what came of the work, on the screen's own thread."""

    def opened(self) -> None:
        """Take note that the session is there; its trace may not be read to its end."""

    def read_on(self) -> None:
        """Take note that more of the trace is read."""

    def answered(self, line: str, answer: Answer) -> None:
        """Take what a line gave."""

    def refused(self, line: str, error: FrameEngineError) -> None:
        """Take why a line was not done."""

    def marked(self) -> None:
        """Take note that more is known of where breakpoints hold."""

    def failed(self, error: FrameEngineError) -> None:
        """Take why the trace cannot be opened, or not be read to its end."""


def _is_read(session: Session, place: Place) -> bool:
    try:
        session.timeline.index(place)
    except UnknownRef:
        return False
    return True


class Working:
    """The session, and the lines that wait."""

    def __init__(self, opening: Opening, screen: Screen) -> None:
        self.opening = opening
        self.line = ""
        """The line that is being done; empty where none is."""
        self.beside = False
        """Whether something reads in the trace just now: nobody else may."""
        self.marks: dict[int, Marks] = {}
        """Breakpoint to where it holds."""
        self._screen = screen
        self._session: Session | None = None
        self._lines: deque[tuple[str, Act | None]] = deque()
        self._wake = asyncio.Event()
        self._goal = opening.place
        self._told = 0.0
        self._ending = False
        self._thread = 0
        self._idle = Event()
        self._idle.set()

    @property
    def session(self) -> Session | None:
        """The session, once it is open."""
        return self._session

    @property
    def waiting(self) -> bool:
        """Whether more lines are to be done."""
        return bool(self._lines)

    def say(self, line: str, act: Act | None = None) -> None:
        """Do what a line says, or *act*, after what was said before."""
        self._lines.append((line, act))
        self._wake.set()

    def interrupt(self) -> bool:
        """Stop the line under way, and forget those that wait; return whether there was one."""
        self._lines.clear()
        if not self.line or self._session is None:
            return False
        self._session.debugger.stop()
        return True

    def end(self) -> None:
        """Stop whatever is under way: nobody wants it any more."""
        self._ending = True
        self.interrupt()

    def abandon(self) -> None:
        """Break off what is under way, wherever it is, so that it leaves nothing half written; wait until it has."""
        self.end()
        if self._thread:
            pythonapi.PyThreadState_SetAsyncExc(c_ulong(self._thread), py_object(SystemExit))
            self._idle.wait(GRACE_SECONDS)

    async def run(self) -> None:
        """Work until nobody wants it any more."""
        before = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_SECONDS)
        try:
            await self._work()
        finally:
            sys.setswitchinterval(before)

    async def _work(self) -> None:
        try:
            self._session = await self._beside(self.opening.open)
        except FrameEngineError as error:
            self._screen.failed(error)
            return
        self._screen.opened()
        while True:
            if self._lines:
                await self._do(*self._lines.popleft())
            elif self._session.live is not None and self._session.live.runs:
                await self._follow(self._session)
            elif not self._session.timeline.loaded:
                if not await self._load(self._session):
                    return
            elif (missing := next((marks for marks in self.marks.values() if not marks.done), None)) is not None:
                await self._look(self._session, missing)
            else:
                self._wake.clear()
                await self._wake.wait()

    async def _beside(self, work: Callable[[], T]) -> T:
        def begun() -> T:
            self._thread = get_ident()
            self._idle.clear()
            try:
                return work()
            finally:
                self._thread = 0
                self._idle.set()

        self.beside = True
        try:
            return await asyncio.to_thread(begun)
        finally:
            self.beside = False

    async def _load(self, session: Session) -> bool:
        try:
            await self._beside(lambda: session.timeline.load(LINES_AT_ONCE))
        except FrameEngineError as error:
            self._screen.failed(error)
            return False
        self._has_read(session)
        # Let the screen be drawn while nothing reads.
        await asyncio.sleep(0)
        return True

    def _has_read(self, session: Session) -> None:
        """Go where the session is to begin, once that is read, and tell the screen from time to time."""
        if self._goal is not None and (session.timeline.loaded or _is_read(session, self._goal)):
            self.say(f"goto {self._goal}")
            self._goal = None
        now = asyncio.get_running_loop().time()
        if session.timeline.loaded or now - self._told >= TOLD_SECONDS:
            self._told = now
            self._screen.read_on()

    async def _do(self, line: str, act: Act | None) -> None:
        assert self._session is not None  # noqa: S101 - lines are taken once it is open
        session, loaded = self._session, self._session.timeline.loaded
        self.line = line
        try:
            try:
                answer = await self._beside(lambda: dispatch(session, line) if act is None else act(session))
            finally:
                self.line = ""
                if session.timeline.loaded and not loaded:
                    # It was about the whole run, and that was read for it.
                    self._has_read(session)
        except FrameEngineError as error:
            self._screen.refused(line, error)
        except Exception as error:  # noqa: BLE001 - a defect in one command does not take the session, and its edits, with it
            self._screen.refused(line, defect(error))
        else:
            self._screen.answered(line, answer)

    async def _follow(self, session: Session) -> None:
        """Look where a run under way has come to."""
        try:
            answer = await self._beside(lambda: followed(session))
        except FrameEngineError as error:
            self._screen.refused("", error)
        else:
            if answer is not None:
                first = session.timeline.index(Place(session.timeline.last.message))
                for marks in self.marks.values():
                    marks.again(first)
                self._screen.answered("", answer)

    def want_marks(self) -> None:
        """Look for the places of new breakpoints; forget those of breakpoints that are gone or off."""
        if self._session is None:
            return
        debugger = self._session.debugger
        points = {point.number: point for point in debugger.breakpoints.all() if point.enabled}
        kept = {number: marks for number, marks in self.marks.items() if points.get(number) == marks.point}
        finder = debugger.breakpoints.finder
        new = {number: Marks(point, finder(point)) for number, point in points.items() if number not in kept}
        changed = bool(new) or kept.keys() != self.marks.keys()
        self.marks = {**kept, **new}
        self._wake.set()
        if changed:
            self._screen.marked()

    async def _look(self, session: Session, marks: Marks) -> None:
        behind = marks.next + PLACES_AT_ONCE

        def wanted_elsewhere() -> bool:
            return self._ending or bool(self._lines)

        try:
            hits = await self._beside(lambda: list(marks.finder.hits(wanted_elsewhere, marks.next, behind)))
        except FrameEngineError as error:
            marks.done, marks.fault = True, error.message
            self._screen.refused(f"hits {marks.point.text}", error)
        else:
            if wanted_elsewhere():
                # It may have been broken off: these places are looked through again.
                return
            found = [session.timeline.index(hit.place) for hit in hits]
            marks.positions += dict.fromkeys(found)
            marks.next, marks.whole = behind, behind >= session.timeline.positions
            marks.done = marks.whole or len(marks.positions) >= MARKS_MAX
        if marks.done or hits:
            self._screen.marked()
