"""Where each line of a trace stands, so that any line and any content can be read again, proven to be what was read first.

The index is made while a `TraceReader` goes over the file once. It holds two numbers for a line and one more for a content line,
whatever they say; what they say is read when it is asked for.
"""

from __future__ import annotations

import os
import weakref
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from frameengine.codec import loads
from frameengine.errors import TraceError, TraceFormat, TraceIntegrity
from frameengine.trace.contents import BadContent
from frameengine.trace.files import storage_error
from frameengine.trace.format import CHAIN_BYTES, GENESIS, chained
from frameengine.trace.reader import Line
from frameengine.trace.source import MAGIC, open_trace
from frameengine.trace.stored import Stored

_CHAIN_AT = -67
"""Where the hex digits of a line's chain value begin, seen from its end."""
_PIN = 16
"""Of those as many are remembered: what is read again leads to the same ones, or was changed."""
_PINNED = slice(_CHAIN_AT, _CHAIN_AT + _PIN)
_BLOCK = 1 << 20
"""Bytes that are looked through at a time."""
_CONTENT = b'{"kind":"content"'


class TraceIndex:
    """The lines of a trace that was read, by number from 0, the header.

    A file that another program writes over while it is open is noticed when a line of it is read again: `TraceIntegrity`.
    """

    def __init__(self, path: Path) -> None:
        """Open *path* for reading again what `note` is told of. Raises `TraceError`."""
        self.path = path
        with open_trace(path) as file:
            self._source = os.dup(file.fileno())
        weakref.finalize(self, os.close, self._source)
        self._lines = self._source
        self._unpacked: IO[bytes] | None = None
        if os.pread(self._source, len(MAGIC), 0) == MAGIC:
            self._unpack()
        self._ends = array("q")
        self._pins = bytearray()
        self._firsts = array("q")
        self._content_lines = array("q")
        self._taken = os.fstat(self._source)
        # Looked up once: a run has millions of lines.
        self._ended, self._pinned = self._ends.append, self._pins.extend
        self.contents = Stored(self._values)
        """All contents of the trace, by number."""

    def _unpack(self) -> None:
        """Keep the unpacked lines in a file that has no name: one that is packed cannot be read from the middle."""
        from tempfile import TemporaryFile

        try:
            with TemporaryFile() as file:
                self._lines = os.dup(file.fileno())
        except OSError as error:
            raise storage_error(self.path, error) from error
        weakref.finalize(self, os.close, self._lines)
        self._unpacked = os.fdopen(os.dup(self._lines), "wb", buffering=1 << 18)
        weakref.finalize(self, self._unpacked.close)

    def __len__(self) -> int:
        return len(self._ends)

    @property
    def end(self) -> int:
        """Bytes that were read and proven, unpacked."""
        return self._ends[-1] if self._ends else 0

    @property
    def compressed(self) -> bool:
        """Whether the file is a packed one."""
        return self._unpacked is not None

    def note(self, offset: int, raw: bytes, members: dict[str, Any]) -> None:
        """Take the next line: what a `TraceReader` calls."""
        if "values" in members:
            self._firsts.append(members["first"])
            self._content_lines.append(len(self._ends))
        self._ended(offset + len(raw))
        self._pinned(raw[_PINNED])
        if self._unpacked is not None:
            try:
                self._unpacked.write(raw)
            except OSError as error:
                raise storage_error(self.path, error) from error

    def settle(self) -> None:
        """Take the file as it is now for the one that was read: what is done to it from here on, `changed` tells."""
        self._taken = os.fstat(self._source)

    def changed(self, *, growing: bool) -> str:
        """Return what was done to the file on disk since it was read; empty where nothing shows.

        Lines that a writer has added to a *growing* one, a plain file without a seal, are no change.
        """
        try:
            now = self.path.stat()
        except OSError as error:
            return f"it is gone ({error.strerror})"
        if not os.path.samestat(now, self._taken):
            return "another file stands in its place"
        if now.st_size < self._taken.st_size or (now.st_size > self._taken.st_size and not growing):
            return f"it has {now.st_size:,} bytes, and had {self._taken.st_size:,}"
        if now.st_mtime_ns != self._taken.st_mtime_ns and now.st_size == self._taken.st_size:
            return "it was written over"
        return ""

    def raw(self, number: int) -> bytes:
        """Return the bytes of a line. Raises `TraceIntegrity` where they are not those that were read first."""
        return next(self._proven(number, number))[1]

    def contains(self, sought: bytes) -> bool:
        """Return whether bytes stand anywhere in what was read. It goes over all of it at once, and proves none of it."""
        if self._unpacked is not None:
            self._unpacked.flush()
        size = _BLOCK + len(sought) - 1
        try:
            return any(sought in os.pread(self._lines, size, start) for start in range(0, self.end, _BLOCK))
        except OSError as error:
            raise storage_error(self.path, error) from error

    def line(self, number: int) -> Line:
        """Return a line. Raises `TraceError`."""
        return next(self.lines(number, number))

    def lines(self, first: int, last: int) -> Iterator[Line]:
        """Yield the lines from *first* to *last* that are no contents, proven. Raises `TraceError`."""
        for number, raw in self._proven(first, last):
            if not raw.startswith(_CONTENT):
                yield Line((self.path, number + 1, self._start(number)), raw, loads(raw), self.contents)

    def _proven(self, first: int, last: int) -> Iterator[tuple[int, bytes]]:
        ends, pins = self._ends, self._pins
        before = -_CHAIN_AT if first else 0
        start = self._start(first) - before
        data = self._read(start, ends[last] - start, first)
        chain, at = data[: before - 3] if before else GENESIS, before
        for number in range(first, last + 1):
            raw = data[at : ends[number] - start]
            at += len(raw)
            chain = chained(chain, raw[:-CHAIN_BYTES])
            if raw[_CHAIN_AT:-3] != chain or chain[:_PIN] != pins[number * _PIN : (number + 1) * _PIN]:
                raise self._changed(number)
            yield number, raw

    def _start(self, number: int) -> int:
        return self._ends[number - 1] if number else 0

    def _read(self, start: int, size: int, line: int) -> bytes:
        if self._unpacked is not None:
            self._unpacked.flush()
        data = b""
        try:
            while len(data) < size and (block := os.pread(self._lines, size - len(data), start + len(data))):
                data += block
        except OSError as error:
            raise self._error(TraceFormat, f"line {line + 1}: {error}", "get the file again", line) from error
        if len(data) < size:
            raise self._changed(line)
        return data

    def _changed(self, number: int) -> TraceError:
        what = f"line {number + 1} is no longer what it was: the file was changed while it was open"
        return self._error(TraceIntegrity, what, "open it again", number)

    def _error(self, kind: type[TraceError], what: str, hint: str, number: int) -> TraceError:
        return kind(f"{self.path}: {what}", hint=hint, path=str(self.path), line=number + 1, offset=self._start(number))

    def _values(self, number: int) -> tuple[int, list[Any], int]:
        """Return the first number, the values and the size of the content line in which content *number* stands."""
        found = bisect_right(self._firsts, number) - 1
        if found < 0:
            raise BadContent(f"content {number} is not there")
        raw = self.raw(self._content_lines[found])
        members = loads(raw)
        return members["first"], members["values"], len(raw)
