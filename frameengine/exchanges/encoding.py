"""Take the content encoding off a body as it comes, piece by piece."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

from frameengine.trace.source import MAGIC, zstd

KNOWN = ("gzip", "x-gzip", "deflate", "zstd", "identity", "")
"""Encodings that can be taken off. A recording proxy asks for no others."""
DECODED_BYTES_MAX = 256 << 20
"""What a body may come to: a few bytes can stand for any number of them."""
_GZIP_MAGIC = b"\x1f\x8b"


class Decoder:
    """One body being decoded, of one encoding or of several in turn, as its header lists them."""

    def __init__(self, encoding: str) -> None:
        self._layers = [_Layer(name) for name in reversed(listed(encoding)) if name not in ("", "identity")]

    @property
    def failed(self) -> bool:
        """Whether its bytes are not what its header says of them."""
        return any(layer.failed for layer in self._layers)

    @property
    def inside(self) -> bool:
        """Whether what was fed stops in the middle of something packed."""
        return any(layer.inside for layer in self._layers)

    def feed(self, data: bytes) -> bytes:
        """Return what *data* adds to the body; nothing once it has failed."""
        for layer in self._layers:
            data = layer.feed(data)
        return data


def takeable(accepted: str) -> str:
    """Return what is to be accepted in the place of *accepted*: of that, what can be taken off here."""
    parts = [part.strip() for part in accepted.split(",")]
    return ", ".join([part for part in parts if part.partition(";")[0].strip().lower() in KNOWN[:-1]] or ["identity"])


def listed(encoding: str) -> list[str]:
    """Return the encodings that a header names, in the order in which they were applied."""
    return [name.strip().lower() for name in encoding.split(",")]


class _Layer:
    """One encoding being taken off."""

    def __init__(self, encoding: str) -> None:
        self.encoding = encoding
        self.failed = self.encoding not in KNOWN
        self._inner: Any = None
        self._size = 0
        self._head = b""

    def feed(self, data: bytes) -> bytes:
        """Return what *data* adds to the body; nothing once it has failed."""
        if self.failed or not data:
            return b""
        try:
            found = self._feed(data)
        except (zlib.error, ValueError, EOFError):
            found = self._bare(data)
        except Exception as error:
            # Each binding of zstd has an error of its own, and all of them are called so.
            if type(error).__name__ != "ZstdError":
                raise
            found = None
        if found is None or self._size + len(found) > DECODED_BYTES_MAX:
            self.failed = True
            return b""
        self._size += len(found)
        if not self._size:
            self._head += data
        return found

    def _bare(self, data: bytes) -> bytes | None:
        """Return what *data* says where it is deflated without a wrapping, as some send it; None where it is not."""
        if self.encoding != "deflate" or self._size:
            return None
        inner = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            found = inner.decompress(self._head + data, DECODED_BYTES_MAX + 1)
        except zlib.error:
            return None
        self._inner = None if inner.eof else inner
        return found

    @property
    def inside(self) -> bool:
        """Whether what was fed stops in the middle of something packed."""
        return self._inner is not None

    def _feed(self, data: bytes) -> bytes | None:
        """Return what *data* adds; None where it is not in this encoding. Another member may follow where one ends."""
        parts = []
        while data:
            if self._inner is None:
                self._inner = _opened(self.encoding, data)
                if self._inner is None:
                    return None
            parts.append(self._inner.decompress(data, DECODED_BYTES_MAX + 1))
            data = b""
            if self._inner.eof:
                data, self._inner = self._inner.unused_data, None
        return b"".join(parts)


def decoded(body: bytes, encoding: str) -> bytes | None:
    """Return *body* without its content encoding; None where it is in another, or an unknown one."""
    decoder = Decoder(encoding)
    found = decoder.feed(body)
    return None if decoder.failed else found


def cut_short(plain: bytes, encoding: str) -> bytes:
    """Return *plain* packed as a header says, without the end: whoever unpacks it gets all of it, and then misses the end."""
    for name in listed(encoding):
        if name == "zstd":
            packer = zstd(Path("body")).ZstdCompressor()
            plain = packer.compress(plain) + packer.flush(packer.FLUSH_BLOCK) or MAGIC
        elif name not in ("", "identity"):
            deflater = zlib.compressobj(wbits=zlib.MAX_WBITS if name == "deflate" else 16 + zlib.MAX_WBITS)
            plain = deflater.compress(plain) + deflater.flush(zlib.Z_SYNC_FLUSH)
    return plain


def _opened(encoding: str, data: bytes) -> Any:
    """Return what unpacks *data*, which begins here; None where it does not begin as its encoding does."""
    if encoding == "zstd":
        return zstd(Path("body")).ZstdDecompressor() if data[: len(MAGIC)] == MAGIC[: len(data)] else None
    if encoding == "deflate":
        return zlib.decompressobj()
    return zlib.decompressobj(16 + zlib.MAX_WBITS) if data[:2] == _GZIP_MAGIC[: len(data)] else None
