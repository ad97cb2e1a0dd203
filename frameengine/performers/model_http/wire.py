"""Connections that keep to the time limits of their call, and that another thread can end.

A call has a connection of its own: what a broken answer leaves behind on one can then never be read as the answer to the next.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterable
from contextlib import suppress
from threading import Event
from typing import Any

import httpcore2
import httpx2

from frameengine.performers.model_http.endpoint import Timeouts
from frameengine.performers.model_http.fault import Phase

LEAST = 0.001
"""Seconds of the shortest wait: a socket takes 0 for no waiting at all."""


class Watch:
    """The time that one call may still take, and the way to end it from another thread."""

    def __init__(self, timeouts: Timeouts, monotonic: Callable[[], float]) -> None:
        self._timeouts = timeouts
        self._monotonic = monotonic
        self._end = monotonic() + timeouts.total
        self._started = monotonic()
        self._socket: socket.socket | None = None
        self._cancelled = Event()
        self.phase: Phase = "connect"
        self.limit = ""
        """Which limit the last wait was under."""
        self.ended = False
        """Whether the other side has closed it."""
        self._first_token = False

    @property
    def cancelled(self) -> bool:
        """Whether the call was cancelled."""
        return self._cancelled.is_set()

    def begin(self, *, first_token: bool) -> None:
        """Begin a try. *first_token*: whether its answer is streamed, and its first piece awaited."""
        self._started = self._monotonic()
        self._first_token = first_token
        self.phase, self.ended = "connect", False

    def sent(self) -> None:
        """Take note that the request is on its way: the time to its first token begins."""
        self._started = self._monotonic()

    def ms(self) -> int:
        """Return the milliseconds since the request was sent."""
        return round((self._monotonic() - self._started) * 1000)

    def left(self) -> float:
        """Return the seconds that the whole call may still take."""
        return self._end - self._monotonic()

    def wait(self) -> float:
        """Return the seconds that the next step may take. Raises httpcore's `ReadTimeout` where none are left."""
        now, limits = self._monotonic(), {"total": self.left()}
        if self.phase == "connect":
            limits["connect"] = self._started + self._timeouts.connect - now
        elif self.phase in ("stream", "body"):
            limits["idle"] = self._timeouts.idle
        elif self._first_token:
            limits["first_token"] = self._started + self._timeouts.first_token - now
        self.limit = min(limits, key=lambda name: limits[name])
        seconds = limits[self.limit]
        if seconds <= 0 or self.cancelled:
            raise httpcore2.ReadTimeout(f"the {self.limit} limit is used up")
        return max(seconds, LEAST)

    def hold(self, connection: socket.socket) -> None:
        """Take note of the socket that a cancel has to shut."""
        self._socket = connection
        if self.cancelled:
            self.cancel()

    def cancel(self) -> None:
        """End the call: a wait for the network, or between two tries, returns at once."""
        self._cancelled.set()
        if self._socket is not None:
            with suppress(OSError):
                # The plain method: that of a TLS socket would first take its state away from the thread that reads.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def pause(self, seconds: float) -> None:
        """Wait between two tries, unless cancelled."""
        self._cancelled.wait(seconds)


class _Stream(httpcore2.NetworkStream):
    """A connection whose every step keeps to the watch."""

    def __init__(self, inner: httpcore2.NetworkStream, watch: Watch) -> None:
        self._inner = inner
        self._watch = watch
        watch.hold(inner.get_extra_info("socket"))

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self._watch.phase == "connect":
            self._watch.phase = "headers"
        data = self._inner.read(max_bytes, self._watch.wait())
        self._watch.ended = not data
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, self._watch.wait())
        self._watch.sent()

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, self._watch.wait()), self._watch)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class _Backend(httpcore2.SyncBackend):
    """Opens such connections."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        return _Stream(super().connect_tcp(host, port, self._watch.wait(), local_address, socket_options), self._watch)


class _Transport(httpx2.HTTPTransport):
    """httpx2's own transport over such connections; the parent's pool is not made, since this one takes its place."""

    def __init__(self, watch: Watch, tls: ssl.SSLContext | None) -> None:
        backend = _Backend(watch)
        self._pool = httpcore2.ConnectionPool(ssl_context=tls, max_keepalive_connections=0, network_backend=backend)


def client(watch: Watch, tls: ssl.SSLContext | None) -> httpx2.Client:
    """Return a client for one try: it follows no redirect, reads no environment and keeps no cookie for another."""
    return httpx2.Client(transport=_Transport(watch, tls), trust_env=False, follow_redirects=False, timeout=None)
