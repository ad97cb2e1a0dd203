"""A recording proxy against one that only hands on, and a call answered by the replaying proxy against vcrpy."""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from socket import socket
from typing import Any
from urllib.parse import urlsplit

from benchmarks.measure import Figure, fresh, rounds, timed
from benchmarks.peer_vcr import seconds_a_call
from benchmarks.peers import installed
from benchmarks.pipeline import padded

TOKENS = 40
STREAMS = 60
CLIENTS = 4
ROUNDS = 7
SIZES = (100, 1_000, 5_000)
CALLS = SIZES[0]
PATH = "/v1/chat/completions"
EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"token"}}]}\n\n'
PAUSE = 0.002
"""Seconds between two tokens where latency is measured."""


def _request(number: int = 0) -> bytes:
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": padded(f"request {number}")}]}).encode()


class Asking:
    """A client with one connection."""

    def __init__(self, url: str) -> None:
        self.connection = HTTPConnection(urlsplit(url).netloc, timeout=60)

    def stream(self, query: str) -> float:
        """Ask for a stream and read it; return the seconds until its first token."""
        started = time.perf_counter()
        self.connection.request("POST", f"{PATH}?{query}", _request(), {"content-type": "application/json"})
        response = self.connection.getresponse()
        response.read1(1 << 16)
        first = time.perf_counter() - started
        assert response.read().endswith(b"[DONE]\n\n")
        return first

    def call(self, number: int) -> None:
        """Ask for an answer and read it."""
        self.connection.request("POST", PATH, _request(number), {"content-type": "application/json"})
        response = self.connection.getresponse()
        assert response.status == 200, response.read()
        response.read()

    def calls(self) -> None:
        """Ask for all answers, one after another."""
        for number in range(CALLS):
            self.call(number)


def latency(url: str) -> float:
    """Return the median seconds until the first of `TOKENS` tokens."""
    client = Asking(url)
    seconds = statistics.median([client.stream("slow=1") for _ in range(STREAMS)])
    client.connection.close()
    return seconds


def throughput(url: str) -> float:
    """Return the seconds that `CLIENTS` clients take for `STREAMS` streams each, whose tokens come as fast as they can."""
    clients = [Asking(url) for _ in range(CLIENTS)]

    def work(client: Asking) -> None:
        for _ in range(STREAMS):
            client.stream("slow=0")

    with ThreadPoolExecutor(CLIENTS) as pool:
        seconds = timed(lambda: list(pool.map(work, clients)))
    for client in clients:
        client.connection.close()
    return seconds


def figures(folder: Path) -> Iterator[Figure]:
    """Yield latency and throughput against a proxy that only hands on, and a replayed call by size and against vcrpy."""
    with _child("upstream") as upstream, _child("bare", upstream) as bare:
        trace = str(fresh(folder / "proxy.trace.jsonl"))
        with _child("record", upstream, trace) as record:
            yield _against(latency, bare, record, "first token through the recording proxy / a bare one", bound=1.3, scale=1e3)
            yield _against(throughput, bare, record, "throughput of the recording proxy / a bare one", bound=0.8, scale=1e3)
    yield from _replayed(folder)


def _against(measure: Callable[[str], float], bare: str, record: str, name: str, *, bound: float, scale: float) -> Figure:
    times = rounds({"bare": partial(measure, bare), "record": partial(measure, record)}, ROUNDS)
    more = bound < 1
    ratio = times.ratio("bare", "record") if more else times.ratio("record", "bare")
    detail = f"{times.median('record') * scale:.2f} ms / {times.median('bare') * scale:.2f} ms"
    return Figure(name=name, ratio=ratio, bound=bound, at_least=more, detail=detail)


def _replayed(folder: Path) -> Iterator[Figure]:
    variants = {str(size): partial(_replay_seconds, _recording(folder, size)) for size in SIZES}
    if installed("vcrpy"):
        variants["vcrpy"] = partial(seconds_a_call, folder)
    times = rounds(variants, ROUNDS)
    each = {size: times.median(str(size)) for size in SIZES}
    name = f"a call through the replaying proxy, of {SIZES[-1]:,} / of {SIZES[0]}"
    detail = ", ".join([f"{size:,}: {each[size] * 1e6:,.0f} us" for size in SIZES])
    yield Figure(name=name, ratio=times.ratio(str(SIZES[-1]), str(SIZES[0])), bound=1.5, detail=detail)
    if "vcrpy" in variants:
        yield Figure(
            name=f"vcrpy with body matching / a call through the proxy, of {SIZES[0]}",
            ratio=times.ratio("vcrpy", str(SIZES[0])),
            bound=20,
            at_least=True,
            detail=f"{times.median('vcrpy') * 1e6:,.0f} us / {each[SIZES[0]] * 1e6:,.0f} us",
        )


def _recording(folder: Path, size: int) -> Path:
    """Write a recording of *size* different calls."""
    from frameengine.exchanges.exchange import Exchange, Request, Response
    from frameengine.exchanges.recorder import ExchangeRecorder

    path = fresh(folder / f"proxy-{size}.trace.jsonl")
    body = json.dumps({"choices": [{"index": 0, "message": {"role": "assistant", "content": padded("reply")}}]}).encode()
    headers = [("content-type", "application/json")]
    with ExchangeRecorder(path, provenance={}) as recorder:
        for number in range(size):
            request = Request.of("POST", PATH, "", headers, _request(number))
            recorder.keep(Exchange(request=request, response=Response(status=200, body=body), issued=number + 1))
        recorder.seal()
    return path


def _replay_seconds(path: Path) -> float:
    """Return the seconds that a call takes, over the first `CALLS` of a recording, loading not counted."""
    with _child("replay", str(path)) as url:
        client = Asking(url)
        client.connection.connect()
        seconds = timed(client.calls) / CALLS
        client.connection.close()
    return seconds


@contextmanager
def _child(*arguments: str) -> Iterator[str]:
    """Run a part of this module in a process of its own; yield where it listens."""
    command = [sys.executable, "-m", "benchmarks.proxy", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1]) as child:
        assert child.stdout is not None
        try:
            yield child.stdout.readline().strip()
        finally:
            child.terminate()


class Upstream:
    """An app that streams tokens."""

    stop: Callable[[], None]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Stream one answer."""
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        for number in range(TOKENS):
            if scope["query_string"] == b"slow=1" and number:
                await asyncio.sleep(PAUSE)
            await send({"type": "http.response.body", "body": EVENT, "more_body": True})
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})

    async def close(self) -> None:
        """Do nothing."""


class Bare:
    """An app that hands on and does nothing else, as one writes it with starlette and serves it with uvicorn."""

    def __init__(self, url: str) -> None:
        import httpx2
        from starlette.applications import Starlette
        from starlette.requests import Request
        from starlette.responses import StreamingResponse
        from starlette.routing import Route

        client = httpx2.AsyncClient(base_url=url, timeout=60)

        async def forward(request: Request) -> StreamingResponse:
            onward = client.build_request(
                request.method,
                httpx2.URL(path=request.url.path, query=request.url.query.encode()),
                headers=request.headers.raw,
                content=await request.body(),
            )
            response = await client.send(onward, stream=True)

            async def pieces() -> AsyncIterator[bytes]:
                async for piece in response.aiter_raw():
                    yield piece
                await response.aclose()

            return StreamingResponse(pieces(), response.status_code, {"content-type": response.headers["content-type"]})

        self._app = Starlette(routes=[Route("/{path:path}", forward, methods=["GET", "POST"])])

    def serve(self, listener: socket, started: Callable[[], None]) -> None:
        """Serve it with nothing of ours: what our server does to be quick is a part of what is measured."""
        from uvicorn import Config, Server

        class Told(Server):
            async def startup(self, sockets: list[socket] | None = None) -> None:
                await super().startup(sockets)
                started()

        config = Config(
            self,
            http="h11",
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            server_header=False,
            date_header=False,
        )
        Told(config).run([listener])

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Hand on one request."""
        await self._app(scope, receive, send)


def _main(role: str, arguments: Sequence[str]) -> None:
    from frameengine.exchanges.book import Book
    from frameengine.exchanges.recorder import ExchangeRecorder
    from frameengine_cli.proxying.record import record_app
    from frameengine_cli.proxying.replay import replay_app
    from frameengine_cli.proxying.server import listen, serve, url_of

    with listen() as listener:

        def started() -> None:
            print(url_of(listener), flush=True)

        if role == "upstream":
            serve(Upstream(), [listener], started=started)
        elif role == "bare":
            Bare(arguments[0]).serve(listener, started)
        elif role == "replay":
            serve(replay_app(Book.read(Path(arguments[0]))), [listener], started=started)
        else:
            with ExchangeRecorder(Path(arguments[1]), provenance={}) as recorder:
                serve(record_app(recorder, arguments[0]), [listener], started=started)


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2:])
