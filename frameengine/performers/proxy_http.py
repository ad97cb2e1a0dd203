"""The way out of a recording proxy: send a request as it came, and hand the answer on as it comes, byte for byte."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast
from urllib.parse import unquote, unquote_to_bytes

import httpx2
from attrs import frozen

from frameengine.errors import ToolFailed, UsageError

CONNECT_SECONDS = 30.0
IDLE_SECONDS = 600.0
"""Between two pieces, the first included: a model may think for minutes, and the agent has a patience of its own."""
PORT_MAX = 65535
STATUS_MIN, STATUS_MAX = 200, 599
"""Statuses that an answer can have and be handed on."""
_HOST = re.compile(rb"[A-Za-z0-9_.:-]*[A-Za-z0-9_:][A-Za-z0-9_.:-]*")
"""A name or an address, as it goes on the wire."""
Headers = list[tuple[bytes, bytes]]


@frozen
class Coming:
    """An answer whose head is there."""

    status: int
    """HTTP status."""
    headers: Headers
    """As they came."""
    pieces: AsyncIterator[bytes]
    """The body as it comes, its content encoding left on. Raises `ToolFailed` where it is cut."""


def server_url(url: str) -> httpx2.URL:
    """Return the URL of a server. Raises `UsageError` where that is none."""
    hint = "give the base URL that the agent would use, such as https://api.openai.com/v1"
    try:
        parsed = httpx2.URL(url)
    except (httpx2.InvalidURL, ValueError, TypeError) as error:
        raise UsageError(f"the upstream is no URL: {error}", hint=hint) from None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise UsageError("the upstream is no URL of a server: it begins with http:// or https://", hint=hint)
    if not _HOST.fullmatch(parsed.raw_host):
        raise UsageError(f"the upstream is no URL of a server: no host is called {parsed.host!r}", hint=hint)
    if parsed.port is not None and not 0 < parsed.port <= PORT_MAX:
        raise UsageError(f"the upstream is no URL of a server: there is no port {parsed.port}", hint=hint)
    if "?" in url or "#" in url:
        hint = "leave out what stands behind the path: the agent's own requests have to carry it"
        raise UsageError("the upstream's URL has a query or a fragment, which no request would get", hint=hint)
    return parsed


class Upstream:
    """A server that requests are handed on to. It follows no redirect, repeats nothing and adds nothing."""

    def __init__(self, url: str, *, proxy: str = "", ca_file: str = "") -> None:
        """Hand on to the server of *url*: by a *proxy* for HTTP, and trusting the certificates in *ca_file* as well, if any.

        Raises `UsageError` where the URL is no address of a server, and for a file that holds no certificates.
        """
        from frameengine.performers.model_http.wire import tls_context

        parsed = server_url(url)
        self.url = parsed.copy_with(userinfo=b"")
        """Its URL, without user and password."""
        self._userinfo = parsed.userinfo
        context = tls_context(ca_file)
        self._way = httpx2.Proxy(proxy, ssl_context=context if proxy.startswith("https") else None) if proxy else None
        # How many agents there are is not for this to say.
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=100)
        timeout = httpx2.Timeout(IDLE_SECONDS, connect=CONNECT_SECONDS)
        self._client = httpx2.AsyncClient(
            limits=limits,
            timeout=timeout,
            follow_redirects=False,
            proxy=self._way,
            verify=context,
            trust_env=False,
        )

    @property
    def path(self) -> str:
        """The path of its URL, without a slash at its end: what an agent's base URL has behind the proxy's address as well."""
        return self.url.raw_path.decode("ascii").rstrip("/")

    @property
    def secrets(self) -> tuple[str, ...]:
        """User and password of its URL, and those of the proxy."""
        proxy = () if self._way is None or self._way.auth is None else self._way.auth
        return tuple([part for part in (*map(unquote, self._userinfo.decode().split(":", 1)), *proxy) if part])

    @asynccontextmanager
    async def send(self, method: str, target: bytes, headers: Headers, body: bytes) -> AsyncIterator[Coming]:
        """Send a request and yield its answer. *target* is path and query, as they came.

        Raises `ToolFailed`, whose ``phase`` says how far it came: ``connect``, or ``head`` where the answer did not begin.
        """
        # As an extension it goes on the wire as it is; as a part of the URL it would be put in order first.
        request = httpx2.Request(method, self.url, headers=headers, content=body or None, extensions={"target": target})
        if self._userinfo and "authorization" not in request.headers:
            request.headers["authorization"] = f"Basic {_encoded(self._userinfo)}"
        try:
            response = await self._client.send(request, stream=True, auth=None)
        except httpx2.ConnectError as error:
            raise _failed("cannot be reached", error, "connect") from None
        except httpx2.ConnectTimeout as error:
            raise _failed("does not accept a connection", error, "connect") from None
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise _failed("gave no answer", error, "head") from None
        try:
            if not STATUS_MIN <= response.status_code <= STATUS_MAX:
                what = f"the upstream answered with the status {response.status_code}, which is none of HTTP's"
                raise ToolFailed(what, hint="is it an HTTP server of the kind that the agent expects?", phase="head")
            yield Coming(response.status_code, response.headers.raw, _pieces(response))
        finally:
            await response.aclose()

    async def close(self) -> None:
        """Close every connection."""
        await self._client.aclose()


async def _pieces(response: httpx2.Response) -> AsyncIterator[bytes]:
    try:
        # Not `aiter_raw`, which counts and measures on the way. It is the stream of an asynchronous client.
        async for piece in cast("httpx2.AsyncByteStream", response.stream):
            yield piece
    except httpx2.HTTPError as error:
        raise _failed("stopped in the middle of its answer", error, "body") from None


def _failed(what: str, error: Exception, phase: str) -> ToolFailed:
    said = f"{type(error).__name__}: {error}".rstrip(": ")
    return ToolFailed(f"the upstream {what} ({said})", hint="is the address right, and the server up?", phase=phase)


def _encoded(userinfo: bytes) -> str:
    return b64encode(unquote_to_bytes(userinfo)).decode()
