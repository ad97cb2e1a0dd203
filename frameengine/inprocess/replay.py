"""Answer every HTTP call that an agent makes in this process from a recording, and let nothing else out."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from frameengine.errors import CassetteApproximate, CassetteMiss, CassetteUnused, Diverged, LiveCallRefused, NothingCompared
from frameengine.exchanges.book import Book, Match, read_exchanges
from frameengine.exchanges.exchange import Response
from frameengine.inprocess.block import Block, Clients, Receipt
from frameengine.inprocess.calls import asked, missed
from frameengine.inprocess.controls import Controls, checked_control
from frameengine.inprocess.draws import METHOD, ReplayedDraws
from frameengine.inprocess.network import Touch, Watch
from frameengine.inprocess.streams import given, library_of, raised
from frameengine.jsonvalue import EMPTY
from frameengine.trace.holders import secrets_of
from frameengine.trace.reader import TraceReader

PATIENCE = 5.0
"""Seconds beyond the recorded ones that a call which was cancelled waits to be cancelled again."""


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
        clients: Clients = "all",
    ) -> None:
        super().__init__(path, allow=allow, clients=clients)
        self._match: Match = match
        self._allow_unused, self._allow_approximate = allow_unused, allow_approximate
        self._book = Book([], match=match)
        self._inputs: list[int] = []
        self._draws = ReplayedDraws((), self._fail)
        self._watch = Watch(self._allowed, self.touched, lookups=True)

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
        return self._answer(request, self._claimed(request))

    async def asend(self, request: Any, forward: Callable[[], Awaitable[Any]]) -> Any:
        """Answer an async client's request from the recording."""
        if self._passes(request):
            return await forward()
        await request.aread()
        found = self._claimed(request)
        if isinstance(found, Response) and found.error.startswith("CancelledError"):
            from asyncio import sleep

            await sleep(found.ms / 1000 + PATIENCE)
        return self._answer(request, found)

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
        draws = [one for one in exchanges if one.request.method == METHOD]
        self._draws = ReplayedDraws(draws, self._fail)
        calls = [(number, one) for number, one in enumerate(exchanges, start=1) if one.request.method != METHOD]
        self._inputs = [number for number, _ in calls]
        self._book = Book([one for _, one in calls], match=self._match, tasks=True, secrets=secrets_of(os.environ))
        return Controls(checked_control(provenance.get("control", ())), self._lanes, self._draws)

    def _close(self, leaving: BaseException | None) -> None:
        for address, size in self._older.grown() if self._older is not None else ():
            what = f"{size:,} bytes went to {address} during the replay, over a connection that was open before"
            hint = "code in C sends past the recording: close the connection before the block, or name the address in allow="
            self._fail(LiveCallRefused(what, hint=hint, address=address))
        if leaving is not None:
            return
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
        if receipt.approximate and not self._allow_approximate:
            what = f"{self.path}: {receipt.approximate} requests were not equal to those whose answers they got"
            hint = "record again, or say allow_approximate=True"
            self._fail(CassetteApproximate(what, hint=hint, approximate=receipt.approximate))

    def _claimed(self, request: Any) -> Response | CassetteMiss:
        try:
            return self._book.claim(asked(request), self._lanes.here()).response
        except CassetteMiss as miss:
            for near in miss.fields.get("nearest", ()):
                near["input"] = self._inputs[near["input"] - 1]
            miss.hint = 'record again; where only ids or settings differ, say match="chain"'
            self._fail(miss)
            return miss

    def _answer(self, request: Any, found: Response | CassetteMiss) -> Any:
        library = library_of(request)
        if isinstance(found, CassetteMiss):
            return missed(library, found)
        if not found.status:
            raise self._broken(library, request, found)
        return given(library, found, lambda: self._broken(library, request, found))

    def _broken(self, library: ModuleType, request: Any, response: Response) -> Exception:
        """Return the error with which an answer ended when it was recorded; where it did not, it was read further than then."""
        if response.error and not response.error.startswith("CancelledError"):
            return raised(library, response.error, "ReadError" if response.status else "ConnectError")
        what = f"{request.method} {request.url.copy_with(query=None)}: the answer was waited for longer than when it was recorded"
        problem = Diverged(what, hint="the agent stopped reading there when it was recorded: record again")
        self._fail(problem)
        return problem


def replaying(
    path: Path | str,
    *,
    match: Match = "exact",
    allow: Iterable[str] = (),
    allow_unused: bool = False,
    allow_approximate: bool = False,
    clients: Clients = "all",
) -> Replaying:
    """Return a ``with`` or ``async with`` block that answers every HTTP call from the recording at *path*, and makes none.

    Clock, ids and chance that were recorded are given back. A request that misses gets an error answer which its client tells
    and does not try again; other ways to the network raise `LiveCallRefused` in place, unless *allow* has the address
    (``host:port``). *match* ``chain`` answers by the place in a conversation where no equal request is left.

    At its end the block raises the first of what went wrong: `CassetteMiss`, `CassetteUnused`, `Diverged`, `LiveCallRefused`
    (exit 4), `CassetteApproximate` (exit 1), `NothingCompared` (exit 5), unless another exception is leaving it already.
    """
    return Replaying(
        path, match=match, allow=allow, allow_unused=allow_unused, allow_approximate=allow_approximate, clients=clients
    )
