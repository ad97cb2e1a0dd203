"""Answer every HTTP call that an agent makes in this process from a recording, and let nothing else out."""

from __future__ import annotations

import os
import threading
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any, get_args

from attrs import frozen

from frameengine.errors import (
    CassetteAmbiguous,
    CassetteApproximate,
    CassetteMiss,
    CassetteUnused,
    Diverged,
    LiveCallRefused,
    NothingCompared,
    UsageError,
)
from frameengine.exchanges.book import Book, Match, read_exchanges
from frameengine.exchanges.exchange import CLIENT_LEFT, DRAW, Response
from frameengine.exchanges.near import told
from frameengine.exchanges.routes import missing_keys
from frameengine.inprocess.block import Block, Clients, Receipt
from frameengine.inprocess.calls import asked, missed
from frameengine.inprocess.controls import Controls, checked_control
from frameengine.inprocess.draws import ReplayedDraws
from frameengine.inprocess.lanes import running
from frameengine.inprocess.network import Touch, Watch
from frameengine.inprocess.streams import given, library_of, raised
from frameengine.jsonvalue import EMPTY
from frameengine.trace.holders import secrets_of
from frameengine.trace.reader import TraceReader

PATIENCE = 5.0
"""Seconds beyond the recorded ones that an answer for which the agent did not wait keeps silent, so that it need not again."""


class Replaying(Block):
    """A block whose HTTP calls are answered from a trace. It never makes a live one."""

    def __init__(
        self,
        path: Path | str,
        *,
        match: Match = "exact",
        allow: Iterable[str] = (),
        allow_unused: bool = False,
        allow_approximate: bool = False,
        allow_ambiguous: bool = False,
        clients: Clients = "all",
    ) -> None:
        super().__init__(path, allow=allow, clients=clients)
        if match not in get_args(Match):
            raise UsageError(f"there is no match {match!r}", hint=f"say {' or '.join(get_args(Match))}")
        self._match: Match = match
        self._allow_unused, self._allow_approximate = allow_unused, allow_approximate
        self._allow_ambiguous = allow_ambiguous
        self._book = Book([], match=match)
        self._draws = ReplayedDraws((), self._fail)
        self._watch = Watch(self, self._allowed, lookups=True)
        self.over = threading.Event()
        """Set when the block ends: nobody waits for an answer any more."""

    @property
    def receipt(self) -> Receipt:
        """What the replay has come to so far."""
        found = self._book.receipt()
        return Receipt(
            recorded=found.recorded,
            replayed=found.replayed,
            unused=found.unused,
            missed=found.missed,
            ambiguous=found.ambiguous,
            approximate=found.approximate,
            draws=self._draws.count,
            **self._figures(),
        )

    def send(self, request: Any, forward: Callable[[], Any]) -> Any:
        """Answer a request from the recording."""
        if self._passes(request):
            return forward()
        request.read()
        answer = self._answer(request)
        if isinstance(answer, _End):
            raise answer.now()
        return answer

    async def asend(self, request: Any, forward: Callable[[], Awaitable[Any]]) -> Any:
        """Answer an async client's request from the recording."""
        if self._passes(request):
            return await forward()
        await request.aread()
        answer = self._answer(request)
        if isinstance(answer, _End):
            raise await answer.later()
        return answer

    def touched(self, touch: Touch) -> None:
        """Refuse what reaches for the network past the recording."""
        self._past.append(touch)
        through = f" through {touch.through}" if touch.through else ""
        refusal = LiveCallRefused(
            f"{touch.where} reached for {touch.address}{through} during a replay",
            hint="use an httpx or httpx2 client there, name the address in allow=, or record by proxy (frameengine record)",
            address=touch.address,
            where=touch.where,
            through=touch.through,
        )
        self._fail(refusal)
        raise refusal

    def _open(self) -> Controls:
        exchanges = list(read_exchanges(self.path))
        with TraceReader(self.path) as reader:
            provenance = reader.header.get("provenance", EMPTY)
        # The lanes of a proxy are connections, and it saw no hosts.
        alike = provenance.get("recorded") not in ("proxy", "agent")
        self._draws = ReplayedDraws([one for one in exchanges if one.request.method == DRAW], self._fail)
        self._book = Book(exchanges, match=self._match, tasks=alike, hosts=alike, secrets=secrets_of(os.environ))
        for name, stand_in in missing_keys(provenance, os.environ).items():
            self._patches.add(os.environ, name, stand_in)
        return Controls(checked_control(provenance.get("control", ())), self._lanes, self._draws)

    def _close(self) -> None:
        self.over.set()
        for address, size in self._older.grown() if self._older is not None else ():
            what = f"{size:,} bytes went to {address} during the replay, over a connection that was open before"
            hint = "code in C sends past the recording: close the connection before the block, or name the address in allow="
            self._fail(LiveCallRefused(what, hint=hint, address=address))
        receipt = self._book.receipt()
        if not receipt.recorded or not (receipt.replayed or receipt.missed):
            hint = "let the agent run inside the block, with httpx or httpx2 clients"
            self._fail(NothingCompared(f"{self.path}: no HTTP call was made, so nothing was compared", hint=hint))
        if receipt.unused and receipt.replayed and not self._allow_unused:
            left = self._book.unused()
            what = f"{self.path}: {receipt.unused} of {receipt.recorded} recorded calls were not made again"
            hint = "the agent asked for less than when it was recorded: record again, or say allow_unused=True"
            self._fail(CassetteUnused(f"{what}, the first is {left[0].request.name}", hint=hint, unused=receipt.unused))
        if not self._problems and (problem := self._draws.unused()) is not None:
            self._fail(problem)
        if receipt.ambiguous and not self._allow_ambiguous:
            what = f"{self.path}: {receipt.ambiguous} requests may have got each other's answers"
            what += ": equal ones, under way at once or to several servers"
            hint = "let them differ, or ask them in turn, and record again; or say allow_ambiguous=True"
            self._fail(CassetteAmbiguous(what, hint=hint, ambiguous=receipt.ambiguous))
        if receipt.approximate and not self._allow_approximate:
            what = f"{self.path}: {receipt.approximate} requests were not equal to those whose answers they got"
            hint = "record again, or say allow_approximate=True"
            self._fail(CassetteApproximate(what, hint=hint, approximate=receipt.approximate))

    def _answer(self, request: Any) -> Any:
        """Return the answer to a request; where none was recorded, how it ended."""
        if os.getpid() != self._process:
            what = f"{self.path} answers process {self._process}, and this is a fork of it: both would get the same answers"
            hint = "replay such an agent by proxy, with all that it starts: frameengine replay --exec FILE -- COMMAND"
            raise UsageError(what, hint=hint, path=str(self.path), process=self._process)
        try:
            found = self._book.claim(asked(request), self._lanes.here()).response
        except CassetteMiss as miss:
            if self._controls is not None and (drawn := self._controls.told()):
                miss.hint = f"if a draw is what differs: {drawn}; {miss.hint}"
            self._fail(CassetteMiss(told(miss, 1), hint=miss.hint, **miss.fields))
            found = missed(miss)
        end = _End(self, request, found)
        return given(library_of(request), found, end) if found.status else end

    def outwaited(self, request: Any) -> Diverged:
        """Return what is wrong where an answer is waited for longer than when it was recorded."""
        what = f"{request.method} {request.url.copy_with(query=None)}: the answer was waited for longer than when it was recorded"
        problem = Diverged(what, hint="the agent stopped reading there when it was recorded: record again")
        if self.active:
            self._fail(problem)
        return problem


@frozen
class _End:
    """How a recorded answer ends that did not come to its end: as it did then, or in silence where the agent did not wait."""

    _block: Replaying
    _request: Any
    _response: Response

    def now(self) -> Exception:
        """Return the error, when it is time for it."""
        if self._response.error == CLIENT_LEFT:
            self._block.over.wait(self._silence)
        return self._error()

    async def later(self) -> Exception:
        """Return the error in an event loop, when it is time for it."""
        loops, _ = running()
        if self._response.error == CLIENT_LEFT and loops is not None:
            await loops.sleep(self._silence)
        return self._error()

    @property
    def _silence(self) -> float:
        return self._response.ms / 1000 + PATIENCE

    def _error(self) -> Exception:
        if self._response.error == CLIENT_LEFT:
            return self._block.outwaited(self._request)
        kind = "ReadError" if self._response.status else "ConnectError"
        return raised(library_of(self._request), self._response.error, kind)


def replaying(
    path: Path | str,
    *,
    match: Match = "exact",
    allow: Iterable[str] = (),
    allow_unused: bool = False,
    allow_approximate: bool = False,
    allow_ambiguous: bool = False,
    clients: Clients = "all",
) -> Replaying:
    """Return a ``with`` or ``async with`` block that answers every HTTP call from the recording at *path*, and makes none.

    Clock, ids and chance that were recorded are given back. A request that misses gets an error answer which its client tells
    and does not try again; other ways to the network raise `LiveCallRefused` in place, unless *allow* has the address
    (``host:port``). *match* ``chain`` answers by the place in a conversation where no equal request is left.

    A recording of a proxy will do as well: then hosts do not count. Keys that were set when it was recorded, and are not now,
    have a stand-in in ``os.environ`` while the block is open, so that clients which are made inside it start.

    At its end the block raises the first of what went wrong: `CassetteMiss`, `CassetteUnused`, `CassetteAmbiguous`, `Diverged`,
    `LiveCallRefused` (exit 4), `CassetteApproximate` (exit 1), `NothingCompared` (exit 5), unless another exception is leaving it
    already.
    """
    return Replaying(
        path,
        match=match,
        allow=allow,
        allow_unused=allow_unused,
        allow_approximate=allow_approximate,
        allow_ambiguous=allow_ambiguous,
        clients=clients,
    )
