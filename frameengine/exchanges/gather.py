"""Gather an answer from the pieces in which it comes."""

from __future__ import annotations

from base64 import b64encode
from codecs import getincrementaldecoder
from collections.abc import Iterable
from hashlib import sha256

from frameengine.codec import dumps
from frameengine.exchanges.encoding import Decoder
from frameengine.exchanges.ends import Holding
from frameengine.exchanges.exchange import Response, as_text, kept_headers
from frameengine.jsonvalue import freeze
from frameengine.trace.holders import header_secrets

RESPONSE_BYTES_MAX = 20 << 20
"""Encoded size of an answer that is kept; a longer one is cut, and counts as incomplete."""
TOO_LONG = f"longer than the {RESPONSE_BYTES_MAX:,} bytes that are kept of an answer"
"""The error of such an answer, which nobody cut but us."""
UNREADABLE = "packed in a way that cannot be undone here, so not kept, since a key may stand in it"
"""The error of an answer whose content encoding is unknown, or does not hold."""
CHUNKS_MAX = 20_000
"""Pieces whose times are kept; what comes after them counts to the last: they must fit into a line."""
_WORST = 6
"""Bytes that a byte can take when it is encoded."""


class Gathering:
    """An answer that is coming in. `add` takes bytes as they came, compressed or not; `response` says what they were."""

    def __init__(self, status: int, headers: Iterable[tuple[str, str]], length: int | None = None) -> None:
        """*length* is what the head says of the body, as it comes; None where it does not."""
        self.status = status
        came = list(headers)
        self.headers = kept_headers(came)
        self._secrets = tuple(header_secrets(came, answer=True))
        self.holding = Holding(length, self.headers.get("content-type", ""))
        """What of it has to wait until it is written down."""
        self._decoder = Decoder(self.headers.get("content-encoding", ""))
        self._raw: list[bytes] = []
        self._plain: list[bytes] = []
        self._ms: list[float] = []
        self._size = 0
        self._cut = False

    def add(self, ms: float, data: bytes) -> bytes:
        """Take a piece that came *ms* milliseconds after the request was sent; return what may be handed on already."""
        plain = self._decoder.feed(data)
        if not self._cut and data:
            self._keep(ms, data, plain)
        return self.holding.take(data, plain)

    def _keep(self, ms: float, data: bytes, plain: bytes) -> None:
        self._size += max(len(plain), len(data))
        if self._size > RESPONSE_BYTES_MAX:
            self._cut = True
            return
        self._raw.append(data)
        self._plain.append(plain)
        if len(self._ms) < CHUNKS_MAX:
            self._ms.append(round(ms, 3))

    def response(self, ms: float, *, complete: bool = True, error: str = "") -> Response:
        """Return the answer, which ended after *ms* milliseconds."""
        # What ends too early, though nobody cut it, fails in whoever unpacks it: so it must again.
        raw = self._decoder.failed or (complete and self._decoder.inside)
        parts = _timed(self._raw if raw else self._plain)
        body = b"".join(parts)
        cut = self._cut
        if _WORST * len(body) > RESPONSE_BYTES_MAX and _encoded(body) > RESPONSE_BYTES_MAX:
            body, cut = body[: RESPONSE_BYTES_MAX // _WORST], True
        if cut:
            complete, error = False, f"{TOO_LONG}; {error}" if error else TOO_LONG
        headers = dict(self.headers)
        if not raw:
            headers.pop("content-encoding", None)
        elif self._decoder.failed and as_text(body) is None:
            # A key in it would not be seen, and whoever can unpack it would have that. What is text all the same is kept under
            # the header that does not hold: a client that tries to unpack it fails, and so it must again.
            packed = headers.get("content-encoding", "")
            complete, error = False, f"{UNREADABLE} ({packed}): {len(body):,} bytes, sha256 {sha256(body).hexdigest()}"
            body, parts = b"", []
        return Response(
            status=self.status,
            headers=freeze(headers),
            body=body,
            complete=complete,
            error=error,
            chunks=tuple(zip(self._ms if parts else (), _sizes(body, parts), strict=True)),
            ms=round(ms, 3),
            secrets=self._secrets,
        )


def unkept(response: Response) -> bool:
    """Return whether an answer came to its reader and is not kept so: no replay can give it."""
    return response.error.startswith((TOO_LONG, UNREADABLE))


def _timed(parts: list[bytes]) -> list[bytes]:
    """Return pieces, of which the last is all that came behind those whose times are kept."""
    return [*parts[: CHUNKS_MAX - 1], b"".join(parts[CHUNKS_MAX - 1 :])] if len(parts) > CHUNKS_MAX else parts


def _sizes(body: bytes, parts: list[bytes]) -> list[int]:
    """Return how much each piece adds: code points where the whole is text, else bytes."""
    if as_text(body) is None:
        return [len(part) for part in parts]
    reader = getincrementaldecoder("utf-8")()
    return [len(reader.decode(part)) for part in parts]


def _encoded(body: bytes) -> int:
    text = as_text(body)
    return len(b64encode(body)) if text is None else len(dumps(text))
