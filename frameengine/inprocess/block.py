"""What recording and replaying share: one block at a time, everything in place while it is open, everything put back."""

from __future__ import annotations

import os
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias

from attrs import asdict, field, frozen

from frameengine.errors import FrameEngineError, UsageError
from frameengine.inprocess.controls import Controls
from frameengine.inprocess.hooks import follow_starts, held, hold_clients
from frameengine.inprocess.lanes import Lanes
from frameengine.inprocess.network import SENDING, Allowed, Touch, Watch
from frameengine.inprocess.older import Older
from frameengine.inprocess.own import Site
from frameengine.inprocess.patches import Patches
from frameengine.inprocess.streams import library_named, library_of

Clients: TypeAlias = Literal["all", "given"]

_one = threading.Lock()
"""Held by the open block: what it replaces belongs to the whole process."""


@frozen(kw_only=True)
class Receipt:
    """What a block came to."""

    recorded: int = 0
    """Exchanges that were recorded, or that the recording holds."""
    replayed: int = 0
    """Requests that were answered from the recording."""
    unused: int = 0
    """Recorded exchanges that nobody asked for."""
    missed: int = 0
    """Requests that the recording has no answer for."""
    ambiguous: int = 0
    """Requests for which an equal one of another lane, with another answer, could have been meant."""
    approximate: int = 0
    """Requests that were answered by their place in a conversation, and are not equal to what was recorded there."""
    draws: int = 0
    """Times the agent's own code read clock, chance or an id that were recorded, or given back."""
    uncontrolled: tuple[tuple[Site, str, int], ...] = ()
    """Where it read them and nobody recorded it: place, name, how often."""
    past: tuple[Touch, ...] = ()
    """What reached for the network past the recording: noted while recording, refused while replaying."""
    problems: tuple[FrameEngineError, ...] = field(default=(), eq=False)
    """What went wrong, in order; the block raises the first at its end."""

    @property
    def exit_code(self) -> int:
        """0 where nothing went wrong, else that of the first problem."""
        return self.problems[0].exit_code if self.problems else 0

    def __str__(self) -> str:
        counts = [(name, value) for name, value in asdict(self, recurse=False).items() if isinstance(value, int)]
        return ", ".join([f"{name} {value}" for name, value in counts if value]) or "nothing"


class Block:
    """A ``with`` or ``async with`` block in which every HTTP client of the process is held. `receipt` says what it came to."""

    def __init__(self, path: Path | str, *, allow: Any, clients: Clients) -> None:
        if clients not in ("all", "given"):
            raise UsageError(f"there are no clients {clients!r}", hint="say all, or given")
        self.path = Path(path)
        self.active = False
        self._clients = clients
        self._allowed = Allowed(allow)
        self._patches = Patches()
        self._lanes = Lanes()
        self._controls: Controls | None = None
        self._older: Older | None = None
        self._entered = False
        self._past: list[Touch] = []
        self._problems: list[FrameEngineError] = []
        self._watch = Watch(self, self._allowed, lookups=False)
        self._process = os.getpid()

    @property
    def receipt(self) -> Receipt:
        """What the block has come to so far; complete once it is over."""
        raise NotImplementedError

    def send(self, request: Any, forward: Callable[[], Any]) -> Any:
        """Answer a client's request."""
        raise NotImplementedError

    async def asend(self, request: Any, forward: Callable[[], Awaitable[Any]]) -> Any:
        """Answer an async client's request."""
        raise NotImplementedError

    def sending(self) -> bool:
        """Return whether a client of this block is at work here: what it does is being recorded."""
        return SENDING.get() is self

    def touched(self, touch: Touch) -> None:
        """Hear of something that reached for the network past the block; may raise."""
        raise NotImplementedError

    def _open(self) -> Controls:
        """Open the file, and return what stands between the agent and clock, chance and ids."""
        raise NotImplementedError

    def _close(self) -> None:
        """Finish; add to the problems what is wrong at the end."""
        raise NotImplementedError

    def transport(self, inner: Any = None, *, library: str = "httpx2") -> Any:
        """Return a transport for one client. *inner* puts requests on the wire; without it one of *library* does."""
        return held(self, library_named(library) if inner is None else library_of(inner), inner, is_async=False)

    def async_transport(self, inner: Any = None, *, library: str = "httpx2") -> Any:
        """Return a transport for one async client, as `transport` does."""
        return held(self, library_named(library) if inner is None else library_of(inner), inner, is_async=True)

    def __enter__(self) -> Self:
        if self._entered:
            raise UsageError("a block is used once, and this one was", hint="make another: its receipt and problems are its own")
        if not _one.acquire(blocking=False):
            raise UsageError(
                "another recording or replaying block is open in this process",
                hint="end it first: every HTTP client of the process belongs to one block",
            )
        self._entered = True
        try:
            self._lanes, self._process = Lanes(), os.getpid()
            self._controls = self._open()
            self.active = True
            if self._clients == "all":
                hold_clients(self, self._patches)
            follow_starts(self, self._lanes, self._patches)
            self._controls.install(self._patches)
            self._watch.start()
            self._older = Older(self, self._allowed)
            self._older.hold(self._patches, self._watch.tell)
        except BaseException:
            self._let_go()
            self._close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, leaving: BaseException | None, trace: TracebackType | None) -> None:
        __tracebackhide__ = True
        self._leave(leaving)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, leaving: BaseException | None, trace: TracebackType | None
    ) -> None:
        __tracebackhide__ = True
        self._leave(leaving)

    def _leave(self, leaving: BaseException | None) -> None:
        """End the block; raise the first problem, or add it to what is *leaving* the block already."""
        __tracebackhide__ = True  # by pytest: what is wrong is wrong with the agent
        self._let_go()
        try:
            self._close()
        except FrameEngineError as error:
            self._fail(error)
        if not self._problems:
            return
        first, more = self._problems[0], len(self._problems) - 1
        told = first.hint + (f" (and {more} more)" if more else "") + f"\nreceipt: {self.receipt}"
        # Who ends the program as if all were well must not hide that it is not.
        if leaving is None or (isinstance(leaving, SystemExit) and leaving.code in (None, 0)):
            first.add_note(f"try: {told}")
            raise first
        leaving.add_note(f"try: {told}" if leaving is first else f"frameengine: {first}. {told}")

    def _fail(self, error: FrameEngineError) -> None:
        # What could not be written is told again by each that comes after it.
        if not any(error is one for one in self._problems):
            self._problems.append(error)

    def _let_go(self) -> None:
        self._watch.stop()
        self.active = False
        if self._controls is not None:
            self._controls.remove()
        self._patches.undo()
        _one.release()

    def _passes(self, request: Any) -> bool:
        """Whether a request is for an address that is no part of the recording."""
        url = request.url
        return self._allowed.connect(url.host, url.port or (443 if url.scheme == "https" else 80))

    def _figures(self) -> dict[str, Any]:
        uncontrolled = () if self._controls is None else self._controls.uncontrolled
        return {"uncontrolled": uncontrolled, "past": tuple(self._past), "problems": tuple(self._problems)}
