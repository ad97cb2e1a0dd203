"""The recording proxy: requests go to the upstream as they came, answers come back as they come, and both are kept."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from frameengine.errors import FrameEngineError, ToolFailed
from frameengine.exchanges.encoding import takeable
from frameengine.exchanges.exchange import CLIENT_LEFT, Exchange, Request, Response
from frameengine.exchanges.gather import Gathering
from frameengine.exchanges.recorder import ExchangeRecorder
from frameengine.performers.proxy_http import Coming, Upstream
from frameengine_cli.endpoints import onward
from frameengine_cli.proxying.wire import (
    HOP,
    LEFT,
    Asked,
    Gone,
    Headers,
    Lanes,
    NotTaken,
    Receive,
    Refused,
    Scope,
    Send,
    read,
    texts,
    while_there,
)

DEFECT_STATUS = 500
BAD_GATEWAY = 502
STORAGE_STATUS = 507
END_SECONDS = 1.0
"""How long the last event of a stream waits for the end of the body behind it, before it is handed on all the same."""
IN_THREAD_BYTES = 256 << 10
"""Size from which an exchange is written beside the loop, so that other answers go on meanwhile."""


class RecordApp:
    """The app that records what it hands on to *upstream*. *told* is called with each exchange that is kept."""

    def __init__(
        self,
        recorder: ExchangeRecorder,
        upstream: str | Upstream,
        *,
        told: Callable[[Exchange], None] = lambda _: None,
        lanes: Lanes | None = None,
        route: str = "",
    ) -> None:
        """*lanes* are shared by apps that write one recording; *route* is what tells the calls of this one from theirs."""
        self._recorder = recorder
        self._upstream = onward(upstream) if isinstance(upstream, str) else upstream
        recorder.know(self._upstream.secrets)
        self._told = told
        self._lanes = lanes or Lanes()
        self.route = route
        """The kind of client that asks here; empty where there is one only."""
        self.stop: Callable[[], None] = lambda: None
        """Ends the server; set by whoever serves."""
        self.failure: FrameEngineError | None = None
        """Why nothing is recorded any more."""
        self.defect: Exception | None = None
        """What went wrong in here that nobody had reckoned with."""
        self.under_way = 0
        """Requests whose answer has not come to its end."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand on one request."""
        self.under_way += 1
        try:
            await self._hand_on(scope, receive, send)
        except Gone:
            pass
        except Refused as refused:
            self._recorder.refused += isinstance(refused, NotTaken)
            await refused.answer(send)
        except Exception as error:
            self.fail(error)
            raise
        finally:
            self.under_way -= 1

    async def _hand_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        lane = self._lanes.of(scope)
        issued = self._recorder.issue(lane)
        asked = await read(scope, receive)
        self._check()
        await while_there(receive, _Passing(self, asked, send, lane, issued).run())

    async def close(self) -> None:
        """Close the connections to the upstream."""
        await self._upstream.close()

    def _check(self) -> None:
        if self.failure is not None:
            raise Refused(STORAGE_STATUS, f"nothing is recorded any more: {self.failure.message}", self.failure.hint)

    def fail(self, error: Exception) -> None:
        """End the server because of a defect of ours."""
        self.defect = self.defect or error
        self.stop()

    def raise_problem(self) -> None:
        """Raise what has ended the recording before its time, if something has."""
        problem = self.defect or self.failure
        if problem is not None:
            raise problem

    def open(self, asked: Asked) -> Any:
        """Send a request on. Of the encodings that the client takes, those are asked for that can be taken off."""
        return self._upstream.send(asked.method, asked.target, _onward(asked.headers), asked.body)

    def keep(self, exchange: Exchange) -> None:
        """Write an exchange. Raises `Refused` where that fails, now or before: then the client is not to have its answer."""
        try:
            self._recorder.keep(exchange)
        except FrameEngineError as error:
            self.failure = error
            self.stop()
            self._check()
        self._told(exchange)


record_app = RecordApp


def unanswered(response: Response) -> Refused:
    """Return what an agent is told where the upstream gave no answer: the same when it is recorded and replayed."""
    return Refused(BAD_GATEWAY, response.error)


class _Passing:
    """One request on its way."""

    def __init__(self, app: RecordApp, asked: Asked, send: Send, lane: str, issued: int) -> None:
        self._app = app
        self._asked = asked
        self._send = send
        self._lane, self._issued = lane, issued
        self._at = time.time_ns() // 1000
        self._start = time.monotonic()
        self._gathering: Gathering | None = None
        self._head: dict[str, Any] | None = None
        self._kept = False

    def _ms(self) -> float:
        return (time.monotonic() - self._start) * 1000

    async def run(self) -> None:
        """Hand the request on and its answer back; keep both, however it ends."""
        try:
            await self._exchange()
        except asyncio.CancelledError as error:
            if not self._kept:
                self._keep(self._unfinished(CLIENT_LEFT if LEFT in error.args else "the proxy was stopped"))
            raise
        except Refused:
            # What has begun cannot become an error any more: the connection is cut.
            if self._can_refuse:
                raise
        except Exception as error:  # noqa: BLE001 - raised again by whoever serves
            self._app.fail(error)
            what = f"the proxy failed ({type(error).__name__}: {error})"
            if not self._kept:
                self._keep(self._response(what))
            if self._can_refuse:
                raise Refused(DEFECT_STATUS, what, "this is a defect of frameengine, please report it") from None

    @property
    def _can_refuse(self) -> bool:
        return self._gathering is None or self._head is not None

    async def _exchange(self) -> None:
        try:
            async with self._app.open(self._asked) as coming:
                await self._pass(coming)
        except ToolFailed as error:
            response = self._response(error.message)
            self._keep(response)
            if not response.status:
                raise unanswered(response) from None
            # The client's connection is cut, as the upstream's was, with what came before.
            if self._gathering is not None and (held := self._gathering.holding.flush()):
                await self._onward(held)

    async def _pass(self, coming: Coming) -> None:
        length = next((int(value) for name, value in coming.headers if name.lower() == b"content-length"), None)
        if self._asked.method == "HEAD" or coming.status in (204, 304):
            length = 0
        self._gathering = gathering = Gathering(coming.status, texts(coming.headers), length)
        headers = [(name, value) for name, value in coming.headers if name.lower() not in HOP]
        self._head = {"type": "http.response.start", "status": coming.status, "headers": headers}
        if length is None:
            await self._begin()
        async for pieces in _together(coming.pieces, gathering):
            data = b"".join([gathering.add(self._ms(), piece) for piece in pieces]) if pieces else gathering.holding.flush()
            if data:
                await self._onward(data)
        response = gathering.response(self._ms())
        if len(response.body) + len(self._asked.body) > IN_THREAD_BYTES:
            exchange = self._made(response)
            self._kept = True
            await asyncio.shield(asyncio.to_thread(self._app.keep, exchange))
        else:
            self._keep(response)
        await self._begin()
        await self._send({"type": "http.response.body", "body": gathering.holding.flush(), "more_body": False})

    async def _onward(self, data: bytes) -> None:
        await self._begin()
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def _begin(self) -> None:
        """Send the head, once. It waits for the first bytes where the length is known: an error may have to take its place."""
        if self._head is not None:
            head, self._head = self._head, None
            await self._send(head)

    def _response(self, error: str) -> Response:
        if self._gathering is None:
            return Response(status=0, complete=False, error=error, ms=round(self._ms(), 3))
        return self._gathering.response(self._ms(), complete=False, error=error)

    def _unfinished(self, error: str) -> Response:
        """Return the answer to a client that is gone: whole where it, or its last event, had come."""
        if self._gathering is not None and self._gathering.holding.whole:
            return self._gathering.response(self._ms())
        return self._response(error)

    def _made(self, response: Response) -> Exchange:
        asked = self._asked
        request = Request.of(asked.method, asked.path, asked.query, asked.fields(), asked.body)
        lane, route = self._lane, self._app.route
        return Exchange(request=request, response=response, lane=lane, issued=self._issued, at=self._at, route=route)

    def _keep(self, response: Response) -> None:
        self._kept = True
        self._app.keep(self._made(response))


async def _together(pieces: AsyncIterator[bytes], gathering: Gathering) -> AsyncIterator[list[bytes]]:
    """Yield those pieces together that are there together: each handed on by itself costs more than all that is done with it.

    None are yielded where nothing has come for a while behind what is held back.
    """
    there: list[bytes] = []
    more = asyncio.Event()

    async def fetch() -> None:
        async for piece in pieces:
            there.append(piece)
            more.set()

    fetching = asyncio.ensure_future(fetch())
    fetching.add_done_callback(lambda _: more.set())
    try:
        while there or not fetching.done():
            try:
                async with asyncio.timeout(END_SECONDS if gathering.holding.held else None):
                    await more.wait()
            except TimeoutError:
                yield []
                continue
            more.clear()
            taken, there[:] = there[:], []
            if taken:
                yield taken
        await fetching
    finally:
        fetching.cancel()
        # Whoever closes the answer finds nobody reading it.
        await asyncio.wait([fetching])


def _onward(headers: Headers) -> Headers:
    """Return the headers of a request as they are handed on."""
    kept = []
    for name, value in headers:
        if name in HOP or name in (b"host", b"content-length", b"expect"):
            continue
        if name == b"accept-encoding":
            value = takeable(value.decode("latin-1")).encode("latin-1")  # noqa: PLW2901 - the same header
        kept.append((name, value))
    return kept
