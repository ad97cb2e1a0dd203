"""Serve an app on a socket: in the foreground until a signal comes, or in a thread beside other work."""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Protocol

from frameengine.errors import StorageError, UsageError
from frameengine_cli.proxying.wire import Receive, Scope, Send

if TYPE_CHECKING:
    from uvicorn import Server


class App(Protocol):
    """What is served: an ASGI app that can end its server, and is told when that has ended."""

    stop: Callable[[], None]
    """Ends the server; set when it begins."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        ...

    async def close(self) -> None:
        """Let go of what it holds."""
        ...


KEEP_ALIVE_SECONDS = 900
"""How long an idle connection stays: one that is closed while an agent thinks would fail its next call."""
GRACE_SECONDS = 2
"""How long answers under way may take to end once the server is to stop."""
START_SECONDS = 30.0
JOINED_BYTES = 64 << 10
"""Size from which what is to be written does not wait for more."""


def listen(host: str = "127.0.0.1", port: int = 0) -> socket.socket:
    """Return a socket that listens; 0 is any free port. Raises `UsageError` where it cannot be had."""
    try:
        infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError, OverflowError) as error:
        raise UsageError(f"there is no address {host!r}: {error}", hint="--host 127.0.0.1 is this machine alone") from None
    family, kind, protocol, _, address = infos[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(1024)
    except OSError as error:
        listener.close()
        hint = "end what listens there, or leave --port out for one that is free"
        raise UsageError(f"port {port} of {host} cannot be had: {error.strerror or error}", hint=hint) from None
    return listener


def url_of(listener: socket.socket) -> str:
    """Return the address of a listening socket, without a path."""
    host, port = listener.getsockname()[:2]
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    return f"http://{shown}:{port}"


def leads_to(listener: socket.socket, host: str, port: int | None) -> bool:
    """Return whether who connects to *host* and *port* gets to *listener*."""
    bound, ours = listener.getsockname()[:2]
    if port != ours:
        return False
    try:
        found = {info[4][0] for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    except OSError:
        return False
    anywhere = ip_address(bound).is_unspecified
    return any(_is_here(str(address)) if anywhere else _reached(str(address)) == bound for address in found)


def _reached(address: str) -> str:
    """Return the address that is reached by one: this machine itself by those that name none."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)  # noqa: S104


def _is_here(address: str) -> bool:
    """Return whether an address is one of this machine."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


def serve(app: App, sockets: list[socket.socket], *, started: Callable[[], None] = lambda: None) -> None:
    """Serve *app* until a signal asks to stop, or it stops itself (`Stop`); answers under way get a moment to end.

    *started* is called once connections are taken.
    """
    asyncio.run(_serve(app, _server(app, started), sockets, signals=True))


@contextmanager
def background(app: App, sockets: list[socket.socket]) -> Iterator[None]:
    """Serve *app* in a thread of its own for as long as the block takes."""
    ready, failure = threading.Event(), []
    server = _server(app, ready.set)

    def work() -> None:
        try:
            asyncio.run(_serve(app, server, sockets, signals=False))
        except BaseException as error:  # noqa: BLE001 - raised again by whoever waits for the thread
            failure.append(error)
        finally:
            ready.set()

    thread = threading.Thread(target=work, name="frameengine-proxy", daemon=True)
    thread.start()
    try:
        if not ready.wait(START_SECONDS):
            raise StorageError("the proxy does not start", hint="is the machine overloaded?")
        yield
    finally:
        server.should_exit = True
        thread.join()
        if failure:
            raise failure[0]


class Joining:
    """A transport that writes in one go what comes in one turn of the loop: head and body of an answer, pieces of a stream.

    Each write is a call of the system and wakes whoever reads. For a recorded stream given back at once that took as long as all
    the rest, on both sides.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._waiting = bytearray()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Write *data*, at the end of this turn at the latest."""
        if not self._waiting:
            self._loop.call_soon(self.flush)
        self._waiting += data
        if len(self._waiting) >= JOINED_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        if self._waiting:
            data, self._waiting = self._waiting, bytearray()
            self._transport.write(data)

    def close(self) -> None:
        """Close the connection once all is written."""
        self.flush()
        self._transport.close()


def _server(app: App, started: Callable[[], None]) -> Server:
    from uvicorn import Config, Server
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class Joined(H11Protocol):
        """Reads HTTP with h11, and writes through `Joining`; the end of an answer does not wait.

        httptools, which uvicorn would take where it is installed, refuses methods in small letters, and does not tell requests to
        a forward proxy, or paths with a fragment, from others.
        """

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            self.joining = Joining(transport)
            super().connection_made(self.joining)  # type: ignore[arg-type]

        def on_response_complete(self) -> None:
            self.joining.flush()
            super().on_response_complete()

    class Quiet(Server):
        """Leaves signals to whoever runs it, as its own way sends them again once it has stopped; and says when it has begun."""

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            started()

        def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]
            return nullcontext()

    config = Config(
        app,
        log_config=None,
        log_level="critical",
        access_log=False,
        lifespan="off",
        http=Joined,
        ws="none",
        # A connection is a lane, whatever its headers say of the client.
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    server = Quiet(config)
    app.stop = lambda: setattr(server, "should_exit", True)
    return server


async def _serve(app: App, server: Server, sockets: list[socket.socket], *, signals: bool) -> None:
    loop = asyncio.get_running_loop()
    heard = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if signals else ()
    for number in heard:
        loop.add_signal_handler(number, setattr, server, "should_exit", True)
    # What is loaded stays, and garbage is not looked for in it: for thousands of calls that would hold up one of them by 0.1 s.
    gc.freeze()
    try:
        await server.serve(sockets)
    finally:
        gc.unfreeze()
        await app.close()
        for number in heard:
            loop.remove_signal_handler(number)
