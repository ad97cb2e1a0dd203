"""A request, its answer, and both together: values, and the JSON in which a trace holds them.

A request keeps what a model or tool may go by: method, path, query, a few headers, and the body. What proves who is asking
(headers and query members that carry keys) never becomes a part of it, so a recording made with a key matches without one.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

from attrs import evolve, field, frozen

from frameengine import foreign
from frameengine.codec import canonical, dumps, written
from frameengine.effects import EffectFailure, Outcome, ToolReply
from frameengine.errors import LimitError, ValueRefused
from frameengine.exchanges.encoding import decoded
from frameengine.jsonvalue import EMPTY, FrozenMap, freeze, frozen_map
from frameengine.trace.holders import header_secrets, public_query, public_url
from frameengine.trace.redact import neutral, placeholders

REQUEST_HEADERS = ("content-type", "anthropic-version", "anthropic-beta", "openai-beta")
"""Headers of a request that are kept. Others say who asks, by which library and from where."""
RESPONSE_HEADERS = (
    *("content-type", "content-encoding", "location", "retry-after", "retry-after-ms", "x-should-retry", "request-id"),
)
RESPONSE_PREFIXES = ("x-request-id", "x-ratelimit-", "anthropic-ratelimit-", "openai-")
"""Headers of an answer that are kept, and beginnings of their names. Those that say whose account it was are not."""
PRIVATE_HEADERS = ("openai-organization", "openai-project")
INLINE_BYTES_MAX = 256 << 10
"""Canonical size up to which a body stands in a line as JSON; beyond it is one text, which a trace stores in pieces."""
_LEFT_SEEN_US = 100_000
"""How much later than it was, at most, the end of an exchange is put down whose client went away: it has to be noticed."""
_SLEW = 0.0005
"""How much slower than the other clock, at most, the one runs that says when requests are sent: Linux sets it right like that."""
_CANONICAL_GROWTH = 8
"""How much longer than a document its canonical form is at most: 1e15 is written out."""
REQUEST_BYTES_MAX = 12 << 20
"""Encoded size up to which a body is kept; a larger one is known by its digest. A trace holds it three times in a frame."""
_BOUNDARY = re.compile(r'multipart/.*;\s*boundary="?([^";,\s]+)', re.IGNORECASE)
UNANSWERED = "exchange.unanswered"
DRAW = "DRAW"
"""What stands for the HTTP method where a recording made in process holds what the agent drew from clock, chance and ids."""
LATE = "late"
"""How the names of lanes begin that nobody saw starting: which of them is which is chance, and another in every run."""
CLIENT_LEFT = "the client went away"
"""The error of an answer for which the client did not wait: a replay keeps silent there until the client leaves once more."""


@frozen(kw_only=True)
class Request:
    """What an agent asked for."""

    method: str
    """GET, POST, …."""
    path: str
    """Path of the URL, as it was sent."""
    query: str = ""
    """Query of the URL, as it was sent, without members that carry keys."""
    headers: FrozenMap = EMPTY
    """The few that are kept, in lower case."""
    body: FrozenMap = EMPTY
    """``json``, ``text`` or ``base64``; ``sha256`` and ``bytes`` of one too large, or packed in an unknown way; or nothing."""
    lookalikes: tuple[str, ...] = ()
    """Texts that look like placeholders of secrets and stood in the request as they are: somebody wrote them."""
    secrets: tuple[str, ...] = field(default=(), eq=False, repr=False)
    """What was left out: a recorder replaces it wherever else it stands."""

    @classmethod
    def of(cls, method: str, path: str, query: str, headers: Iterable[tuple[str, str]], body: bytes) -> Request:
        """Return the request that these make. *headers* in any case; *body* as it was sent, whatever its encoding."""
        listed = list(headers)
        fields: dict[str, str] = {}
        for raw, value in listed:
            name = raw.lower()
            fields[name] = f"{fields[name]}, {value}" if name in fields else value
        query, secrets = public_query(query)
        plain = decoded(body, fields.get("content-encoding", ""))
        return cls(
            method=method.upper(),
            path=path,
            query=query,
            headers=freeze({name: _kept(name, fields[name]) for name in REQUEST_HEADERS if name in fields}),
            body=_packed(body) if plain is None else _body(_bounded(plain, fields.get("content-type", ""))),
            secrets=(*secrets, *header_secrets(listed)),
        )

    @property
    def name(self) -> str:
        """Method and path: what the exchange is called in lists."""
        return f"{self.method} {self.path}"

    @cached_property
    def hostless(self) -> Request:
        """The same request by its path alone, as a proxy sees it: in process scheme and host stand before that."""
        if self.path.startswith("/"):
            return self
        return evolve(self, path="/" + self.path.partition("://")[2].partition("/")[2])

    @cached_property
    def text(self) -> str:
        """All that makes requests equal, as one text."""
        return written([self.name, self._compared()]).decode()

    @cached_property
    def digest(self) -> str:
        """sha256, in hex, of `text`, whichever secrets its placeholders stand for: requests of two digests are never equal."""
        return sha256(neutral(self.text).encode()).hexdigest()

    @property
    def placeholders(self) -> tuple[str, ...]:
        """The placeholders in `text`, in order, and what looks like one: by these, requests of one digest are told apart."""
        return placeholders(self.text)

    @property
    def size(self) -> int:
        """Bytes of the body; of one that was JSON, those of the same value written anew."""
        return int(self.body["bytes"]) if "bytes" in self.body else len(self.content())

    def content(self) -> bytes:
        """Return the body as bytes; of one that was JSON, the same value written anew; none where only its digest is kept."""
        if "json" in self.body:
            return written(self.body["json"])
        if "base64" in self.body:
            return b64decode(self.body["base64"])
        return str(self.body.get("text", "")).encode()

    def _compared(self) -> FrozenMap:
        members = {"query": self.query, "headers": self.headers}
        # Frozen as they are: whoever compares does so for every call.
        return frozen_map({**{name: value for name, value in members.items() if value}, **self.body})

    def wire(self) -> FrozenMap:
        """Return query, headers, body and look-alikes as frozen JSON; what is empty is left out."""
        alike = {"lookalikes": self.lookalikes} if self.lookalikes else {}
        wire: FrozenMap = freeze({**self._compared(), **alike})
        return wire

    @classmethod
    def from_wire(cls, name: str, wire: Mapping[str, Any]) -> Request:
        """Return the request that `name` and `wire` gave."""
        method, _, path = name.partition(" ")
        body = {key: value for key, value in wire.items() if key not in ("query", "headers", "lookalikes")}
        return cls(
            method=method,
            path=path,
            query=wire.get("query", ""),
            headers=wire.get("headers", EMPTY),
            body=freeze(body),
            lookalikes=tuple(wire.get("lookalikes", ())),
        )


@frozen(kw_only=True)
class Response:
    """What came back, or that nothing did."""

    status: int
    """HTTP status; 0 where no answer came."""
    headers: FrozenMap = EMPTY
    """Those that are kept, in lower case."""
    body: bytes = b""
    """The body without its content encoding; as it came where ``headers`` names one, which was not to be taken off."""
    complete: bool = True
    """Whether it came to its end."""
    error: str = ""
    """What went wrong, where something did."""
    chunks: tuple[tuple[float, int], ...] = ()
    """Of each piece the milliseconds since the request was sent, and its size: code points of a text, else bytes."""
    ms: float = 0.0
    """Milliseconds until it was complete."""
    secrets: tuple[str, ...] = field(default=(), eq=False, repr=False)
    """What its headers told of keys: a recorder replaces it wherever it stands."""

    def pieces(self) -> Iterator[tuple[float, bytes]]:
        """Yield the body in the pieces in which it came, each with its milliseconds."""
        text = as_text(self.body)
        whole: str | bytes = self.body if text is None else text
        start = 0
        for number, (ms, size) in enumerate(self.chunks or ((self.ms, len(whole)),), start=1):
            end = len(whole) if number >= len(self.chunks) else start + size
            piece = whole[start:end]
            start = end
            if piece:
                yield ms, piece.encode() if isinstance(piece, str) else piece

    def wire(self) -> FrozenMap:
        """Return the answer as frozen JSON, without times."""
        text = as_text(self.body)
        body = {"base64": b64encode(self.body).decode()} if text is None else {"text": text}
        error = {"error": self.error} if self.error else {}
        wire: FrozenMap = freeze({"status": self.status, "headers": self.headers, **body, "complete": self.complete, **error})
        return wire


@frozen(kw_only=True)
class Exchange:
    """A request and its answer."""

    request: Request
    """What was asked."""
    response: Response
    """What came back."""
    lane: str = ""
    """The task, thread, job of a pool or connection that asked: what keeps order."""
    issued: int = 1
    """Position in the order of issue within the lane, from 1."""
    at: int = 0
    """When it was sent, in microseconds of the wall clock; 0 where nobody said."""
    route: str = ""
    """The kind of client that asked, where one recording holds several and a path does not say which; else empty."""

    @property
    def server(self) -> str:
        """What is known of where it was sent, beside the path: scheme and host, or the route; empty where nothing is."""
        path = self.request.path
        return self.route if path.startswith("/") else path.removesuffix(self.request.hostless.path)

    def over_before(self, other: Exchange) -> bool:
        """Return whether this one had come to its end when *other* was sent; where nobody said when they were, it had not."""
        took = self.response.ms * 1000 * (1 - _SLEW)
        seen = _LEFT_SEEN_US if self.response.error == CLIENT_LEFT else 0
        return bool(self.at) and self.at + took - seen <= other.at

    def outcome(self) -> Outcome:
        """Return the outcome by which a trace holds the answer."""
        response = self.response
        # Frozen as they are: to look at thousands of pairs one by one takes longer than to write them.
        route = {"route": freeze(self.route)} if self.route else {}
        lane = freeze(self.lane)
        meta = frozen_map({"chunks": response.chunks, "lane": lane, "issued": self.issued, "ms": response.ms, **route})
        at = self.at + round(response.ms * 1000)
        if response.status:
            return Outcome(value=ToolReply(content=response.wire()), at=at, meta=meta)
        return Outcome(status="error", error=EffectFailure(type=UNANSWERED, message=response.error), at=at, meta=meta)

    @classmethod
    def from_outcome(cls, name: str, arguments: FrozenMap, outcome: Outcome, sent: int = 0) -> Exchange:
        """Return the exchange of a recorded call; *sent* is when. Raises `KeyError` or `TypeError` where it is none."""
        meta = outcome.meta
        times = {"chunks": tuple([(ms, size) for ms, size in meta.get("chunks", ())]), "ms": meta.get("ms", 0.0)}
        if isinstance(outcome.value, ToolReply):
            content = outcome.value.content
            body = b64decode(content["base64"]) if "base64" in content else content["text"].encode()
            response = Response(
                status=content["status"],
                headers=content["headers"],
                body=body,
                complete=content["complete"],
                error=content.get("error", ""),
                **times,
            )
        else:
            said = outcome.status if outcome.error is None else outcome.error.message
            response = Response(status=0, complete=False, error=said, **times)
        request = Request.from_wire(name, arguments)
        lane, issued, route = meta.get("lane", ""), meta.get("issued", 1), meta.get("route", "")
        return cls(request=request, response=response, lane=lane, issued=issued, at=sent, route=route)


def kept_headers(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the headers of an answer that are kept, in lower case, those of one name joined."""
    kept: dict[str, str] = {}
    for raw, value in headers:
        name = raw.lower()
        if name in PRIVATE_HEADERS or not (name in RESPONSE_HEADERS or name.startswith(RESPONSE_PREFIXES)):
            continue
        value = public_url(value)[0] if name == "location" else value  # noqa: PLW2901 - the same header
        kept[name] = f"{kept[name]}, {value}" if name in kept else value
    return kept


def public_host(url: str) -> str:
    """Return scheme, host and port of a URL: what may be told of it, since the rest may hold a key."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def header_bytes(value: str) -> bytes:
    """Return the value of a header as it goes on the wire: clients and servers read bytes beyond ASCII as Latin-1."""
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        return value.encode()


def as_text(data: bytes) -> str | None:
    """Return the text that a body is; None where it is none. Nothing that is packed is one."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def _kept(name: str, value: str) -> str:
    """Return a header without what differs between equal requests: a content type's parameters."""
    return value.partition(";")[0].strip().lower() if name == "content-type" else value


def _bounded(data: bytes, content_type: str) -> bytes:
    """Return a body of several parts with a boundary that is the same for all: clients draw one anew for each request."""
    found = _BOUNDARY.match(content_type)
    return data if found is None else data.replace(f"--{found[1]}".encode(), b"--boundary")


def _packed(data: bytes) -> FrozenMap:
    """Return a body that cannot be unpacked: its digest, since a key in it would not be seen."""
    return _body(data) if as_text(data) is not None else _digested(data)


def _digested(data: bytes) -> FrozenMap:
    body: FrozenMap = freeze({"sha256": sha256(data).hexdigest(), "bytes": len(data)})
    return body


def _body(data: bytes) -> FrozenMap:
    body: FrozenMap
    if not data:
        return EMPTY
    text = as_text(data)
    carried = b64encode(data).decode() if text is None else text
    if 6 * len(data) > REQUEST_BYTES_MAX and len(dumps(carried)) > REQUEST_BYTES_MAX:
        return _digested(data)
    if text is not None:
        try:
            body = freeze({"json": foreign.parse(text)})
            if _CANONICAL_GROWTH * len(data) <= INLINE_BYTES_MAX or len(canonical(body)) <= INLINE_BYTES_MAX:
                return body
        except (LimitError, ValueRefused):
            pass
    body = freeze({"base64" if text is None else "text": carried})
    return body
