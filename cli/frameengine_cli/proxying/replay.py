"""The replaying proxy: every answer comes from a recording, and a request that it does not hold is an error that says why."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from attrs import evolve

from frameengine.errors import CassetteMiss
from frameengine.exchanges.book import Book
from frameengine.exchanges.ends import is_stream
from frameengine.exchanges.exchange import CLIENT_LEFT, Exchange, Request, Response, header_bytes
from frameengine.exchanges.near import told
from frameengine.exchanges.recorder import ExchangeRecorder
from frameengine.jsonvalue import FrozenMap, freeze
from frameengine_cli.proxying.record import unanswered
from frameengine_cli.proxying.wire import (
    JSON_HEADERS,
    MISS_STATUS,
    Gone,
    Headers,
    Lanes,
    NotTaken,
    Receive,
    Refused,
    Scope,
    Send,
    answer,
    error_body,
    read,
    texts,
    while_there,
)

PATIENCE = 5.0
"""Seconds beyond the recorded ones for which an answer that a client did not wait for is kept back."""


class ReplayApp:
    """The app that answers from *book*: at once, or *speed* times as fast as it was.

    *told* is called with each exchange that is given back, *missed* with each miss. A *recorder* keeps what is asked, and what is
    answered: a miss with the error that the client gets.
    """

    def __init__(
        self,
        book: Book,
        *,
        speed: float | None = None,
        told: Callable[[Exchange], None] = lambda _: None,
        missed: Callable[[CassetteMiss], None] = lambda _: None,
        recorder: ExchangeRecorder | None = None,
    ) -> None:
        self._book = book
        self._recorder = recorder
        self._speed = speed
        self._told = told
        self._missed = missed
        self._lanes = Lanes()
        self.stop: Callable[[], None] = lambda: None
        """Ends the server; set by whoever serves."""
        self.defect: Exception | None = None
        """What went wrong in here that nobody had reckoned with: an answer that counts as given was not."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        lane, route = self._lanes.of(scope), scope.get("root_path", "").strip("/")
        try:
            asked = await read(scope, receive)
            started = time.monotonic()
            request = Request.of(asked.method, asked.path, asked.query, asked.fields(), asked.body)
            try:
                found = self._book.claim(request, lane, route)
            except CassetteMiss as miss:
                await self._miss(miss, send, request, lane, route)
                return
            self._keep(request, found.response, lane, route)
            self._told(found)
            if self._speed is None and found.response.error != CLIENT_LEFT:
                await self._send(found, asked.method, send, started)
            else:
                await while_there(receive, self._send(found, asked.method, send, started))
        except Gone:
            pass
        except Refused as refused:
            self._book.refused += isinstance(refused, NotTaken)
            await refused.answer(send)
        except Exception as error:
            self.defect = self.defect or error
            self.stop()
            raise

    async def _miss(self, miss: CassetteMiss, send: Send, request: Request, lane: str, route: str) -> None:
        """Tell of a request that has no answer, its client first of all."""
        if route:
            # Several servers are answered for here, and their paths may be alike.
            miss.message = f"{route}: {miss.message}"
            miss.fields["route"] = route
        self._missed(miss)
        body = miss_body(miss)
        self._keep(request, Response(status=MISS_STATUS, headers=MISS_HEADERS, body=body), lane, route)
        await answer(send, MISS_STATUS, JSON_HEADERS, body)

    def _keep(self, request: Request, response: Response, lane: str, route: str) -> None:
        """Record what is asked now, and its answer, which is there at once."""
        if self._recorder is None:
            return
        if response.error != CLIENT_LEFT:
            response = evolve(response, ms=0.0, chunks=tuple([(0.0, size) for _, size in response.chunks]))
        issued, now = self._recorder.issue(lane), time.time_ns() // 1000
        self._recorder.keep(Exchange(request=request, response=response, lane=lane, issued=issued, at=now, route=route))

    def raise_problem(self) -> None:
        """Raise what has ended the replay before its time, if something has."""
        if self.defect is not None:
            raise self.defect

    async def close(self) -> None:
        """Do nothing: a recording has no connections."""

    async def _send(self, exchange: Exchange, method: str, send: Send, started: float) -> None:
        response = exchange.response
        if not response.status:
            if await self._kept_back(response, started):
                what = "no answer is recorded: the client left here, and this one waits for longer"
                raise Refused(MISS_STATUS, what, "give it the timeout that it had, or record again")
            await self._wait(response.ms, started)
            raise unanswered(response)
        headers: Headers = [(name.encode("latin-1"), header_bytes(value)) for name, value in response.headers.items()]
        whole = response.complete and not is_stream(response.headers.get("content-type", ""))
        if whole and self._speed is None:
            await answer(send, response.status, headers, response.body)
            return
        if whole and method != "HEAD" and response.status not in (204, 304):
            headers.append((b"content-length", str(len(response.body)).encode()))
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        for ms, piece in response.pieces():
            await self._wait(ms, started)
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        if response.complete:
            await self._wait(response.ms, started)
            await send({"type": "http.response.body", "body": b""})
            return
        await self._kept_back(response, started)
        # It stops here, unended: the connection is cut, as it was.

    async def _kept_back(self, response: Response, started: float) -> bool:
        """Keep silent where the client left when it was recorded; return whether this one waits for longer, and count that."""
        if response.error != CLIENT_LEFT:
            return False
        await asyncio.sleep(started + response.ms / 1000 + PATIENCE - time.monotonic())
        self._book.outwait()
        return True

    async def _wait(self, ms: float, started: float) -> None:
        if self._speed is not None:
            await asyncio.sleep(started + ms / 1000 / self._speed - time.monotonic())


replay_app = ReplayApp
MISS_HEADERS: FrozenMap = freeze(dict(texts(JSON_HEADERS)))


def miss_body(miss: CassetteMiss) -> bytes:
    """Return what a client is told of a miss: the nearest recorded requests, and where each of them differs."""
    return error_body(told(miss), miss.hint, code=miss.code, used=miss.fields["used"], nearest=miss.fields["nearest"])
