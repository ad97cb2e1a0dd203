"""Connections that keep to the time limits of their call, and that another thread can end.

A call has a connection of its own: what a broken answer leaves behind on one can then never be read as the answer to the next.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import lru_cache
from threading import Event
from typing import Any

import httpcore2
import httpx2

from frameengine.errors import UsageError
from frameengine.performers.model_http.endpoint import Endpoint, Timeouts
from frameengine.performers.model_http.fault import Phase

LEAST = 0.001
"""Seconds of the shortest wait: a socket takes 0 for no waiting at all."""
PIECE = 1 << 16
"""Bytes of a request that are sent under one wait: whoever takes them in slowly must not outlast the time limits."""


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

    def stands(self) -> None:
        """Take note that the connection stands, with proxy and TLS."""
        if self.phase == "connect":
            self.phase = "headers"

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
    """A connection whose every step keeps to the watch. It stands when the TLS *layers* are there that it is to have."""

    def __init__(self, inner: httpcore2.NetworkStream, watch: Watch, layers: int) -> None:
        self._inner = inner
        self._watch = watch
        self._layers = layers
        watch.hold(inner.get_extra_info("socket"))

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        data = self._inner.read(max_bytes, self._watch.wait())
        self._watch.ended = not data
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if not self._layers:
            self._watch.stands()
        for start in range(0, len(buffer), PIECE):
            self._inner.write(buffer[start : start + PIECE], self._watch.wait())
        if not self._layers:
            self._watch.sent()

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        try:
            seconds = self._watch.wait()
        except httpcore2.ReadTimeout:
            # Who asks for TLS does not know the connection yet, and could not close it.
            self.close()
            raise
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, seconds), self._watch, self._layers - 1)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class _Backend(httpcore2.SyncBackend):
    """Opens such connections."""

    def __init__(self, watch: Watch, layers: int) -> None:
        self._watch = watch
        self._layers = layers

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        """Try the addresses of *host* one after another; they share the time that there is, so that none uses up all of it."""
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise httpcore2.ConnectError(str(error)) from error
        places = list(dict.fromkeys(str(each[4][0]) for each in found))
        failed: Exception = httpcore2.ConnectError(f"{host} has no address")
        for tried, place in enumerate(places):
            seconds = self._watch.wait() / (len(places) - tried)
            try:
                inner = super().connect_tcp(place, port, seconds, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failed = error
            else:
                return _Stream(inner, self._watch, self._layers)
        raise failed


class _Transport(httpx2.HTTPTransport):
    """httpx2's own transport over such connections; the parent's pool is not made, since this one takes its place."""

    def __init__(self, watch: Watch, endpoint: Endpoint) -> None:
        proxy = httpx2.Proxy(endpoint.proxy) if endpoint.proxy else None
        way = [httpx2.URL(endpoint.url), *([] if proxy is None else [proxy.url])]
        layers = sum(url.scheme == "https" for url in way)
        tls = tls_context(endpoint.ca_file) if layers else None
        backend = _Backend(watch, layers)
        common: dict[str, Any] = {"ssl_context": tls, "max_keepalive_connections": 0, "network_backend": backend}
        if proxy is None:
            self._pool = httpcore2.ConnectionPool(**common)
        else:
            url = httpcore2.URL(scheme=proxy.url.raw_scheme, host=proxy.url.raw_host, port=proxy.url.port, target=b"/")
            self._pool = httpcore2.HTTPProxy(
                url, proxy_auth=proxy.raw_auth, proxy_ssl_context=tls if url.scheme == b"https" else None, **common
            )


def client(watch: Watch, endpoint: Endpoint) -> httpx2.Client:
    """Return a client for one try: it follows no redirect, reads no environment and keeps no cookie for another.

    Raises `UsageError` for certificates that cannot be used.
    """
    return httpx2.Client(transport=_Transport(watch, endpoint), trust_env=False, follow_redirects=False, timeout=None)


@lru_cache(maxsize=16)
def tls_context(ca_file: str = "") -> ssl.SSLContext:
    """Return what checks certificates: by those of the system, and by those in *ca_file* where one is named.

    Kept, since to read those of the system takes longer than a connection. Raises `UsageError` for a file that holds none.
    """
    context = httpx2.create_ssl_context(trust_env=False)
    if ca_file:
        try:
            context.load_verify_locations(cafile=ca_file)
        except OSError as error:
            why = "it holds no certificates" if isinstance(error, ssl.SSLError) else error.strerror
            hint = "name a file of certificates in PEM"
            raise UsageError(f"the certificates in {ca_file} cannot be used: {why}", hint=hint, member=["ca_file"]) from None
    return context
