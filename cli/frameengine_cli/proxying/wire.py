"""What both proxies have in common: requests read whole, lanes, errors that clients understand, and clients that go away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, TypeAlias

from attrs import frozen

from frameengine.codec import dumps
from frameengine.limits import FOREIGN_BYTES_MAX

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers: TypeAlias = list[tuple[bytes, bytes]]

HOP = frozenset(
    {
        b"connection",
        b"http2-settings",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""Headers that hold for one connection only (RFC 9110, 7.6.1)."""
MISS_STATUS = 404
"""What a request without a recorded answer gets: clients retry 408, 409, 429 and what is 500 or more, and this they do not."""


LEFT = "the client left"
"""Says of a cancelled piece of work why it was."""


class Gone(Exception):
    """The client has closed its connection."""


@frozen(kw_only=True)
class Asked:
    """A request, whole."""

    method: str
    """GET, POST, …."""
    target: bytes
    """Path and query as they came."""
    path: str
    """The path."""
    query: str
    """The query."""
    headers: Headers
    """As they came, names in lower case."""
    body: bytes
    """As it came."""

    def fields(self) -> list[tuple[str, str]]:
        """Return the headers as texts."""
        return texts(self.headers)


class Lanes:
    """Numbers connections by their first request: what keeps order between the calls of one client."""

    def __init__(self) -> None:
        self._known: dict[Any, str] = {}

    def of(self, scope: Scope) -> str:
        """Return the lane of a request's connection."""
        client = scope.get("client")
        key = tuple(client) if client else None
        return self._known.setdefault(key, f"connection {len(self._known) + 1}")


def texts(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    """Return headers as texts."""
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]


async def read(scope: Scope, receive: Receive) -> Asked:
    """Read a request to its end. Raises `Gone`, and `NotTaken` for what is none that can be handed on."""
    headers: Headers = list(scope["headers"])
    raw: bytes = scope["raw_path"]
    if not raw.startswith(b"/"):
        what = "this is no forward proxy: it takes requests for itself"
        raise NotTaken(400, what, "set the base URL of the agent's client, not HTTP_PROXY")
    if b"#" in raw or b"#" in scope["query_string"]:
        raise NotTaken(400, "a request's path has no '#'", "write it as %23, or leave out what stands behind it")
    if any(name == b"upgrade" and b"websocket" in _listed(value) for name, value in headers):
        raise NotTaken(501, "WebSocket connections are not recorded", "use the HTTP interface of the same service")
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Gone
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > FOREIGN_BYTES_MAX:
            raise NotTaken(413, f"the request is longer than {FOREIGN_BYTES_MAX:,} bytes", "send large files by another way")
        if not message.get("more_body"):
            break
    query: bytes = scope["query_string"]
    return Asked(
        method=scope["method"],
        target=raw + (b"?" + query if query else b""),
        path=raw.decode("latin-1"),
        query=query.decode("latin-1"),
        headers=headers,
        body=b"".join(parts),
    )


def _listed(value: bytes) -> list[bytes]:
    """Return the members of a header that holds a list, in lower case."""
    return [member.strip() for member in value.lower().split(b",")]


class Refused(Exception):
    """A request that gets an error of ours."""

    def __init__(self, status: int, message: str, hint: str = "", **more: Any) -> None:
        super().__init__(message)
        self.status = status
        self.body = error_body(message, hint, **more)

    async def answer(self, send: Send) -> None:
        """Tell the client."""
        await answer(send, self.status, JSON_HEADERS, self.body)


class NotTaken(Refused):
    """A request that a proxy takes no part in: it is neither recorded nor answered, and counted."""


JSON_HEADERS: Headers = [(b"content-type", b"application/json"), (b"x-should-retry", b"false")]
"""Of an error of ours. The second one is heeded by the clients of OpenAI and Anthropic, whatever the status."""


def error_body(message: str, hint: str = "", *, code: str = "frameengine.proxy", **more: Any) -> bytes:
    """Return an error in the shape that clients of OpenAI read, and those of Anthropic too."""
    told = f"frameengine: {message}" + (f". Try: {hint}" if hint else "")
    return dumps({"type": "error", "error": {"message": told, "type": "frameengine_error", "param": None, "code": code, **more}})


async def answer(send: Send, status: int, headers: Headers, body: bytes) -> None:
    """Send a whole answer at once."""
    length = [] if status in {204, 304} or status < 200 else [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*headers, *length]})
    await send({"type": "http.response.body", "body": body})


async def while_there(receive: Receive, work: Awaitable[None]) -> None:
    """Do *work*, and cancel it where the client closes its connection before it is done."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_gone(receive))
    gone.add_done_callback(lambda _: task.cancel(LEFT))
    try:
        await task
    except asyncio.CancelledError:
        if not gone.done():
            raise
    finally:
        gone.cancel()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
