"""Write a trace: append only, one writer, every line chained to the one before."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeAlias

from frameengine.codec import dumps, escaped
from frameengine.effects import Call, Outcome
from frameengine.errors import EngineClosed, LimitError, StorageError, TraceLocked, UsageError
from frameengine.inputs import Input
from frameengine.jsonvalue import FrozenMap, Json
from frameengine.limits import LINE_BYTES_MAX
from frameengine.records import Frame, FrameTrace
from frameengine.trace.format import CHAIN_HEAD, CHAIN_TAIL, FORMAT, GENESIS, chained, outcome_wire, tail
from frameengine.trace.numbering import Numbering
from frameengine.trace.owner import owner_of

Durability: TypeAlias = Literal["durable", "fast"]
SYNC_FRAMES = 512
"""Frames between two syncs where durability is ``fast``: what a power cut may cost. A killed process loses nothing written."""


class TraceWriter:
    """One trace file being written. A `Recorder`.

    ``durable`` syncs every outcome and frame before it is acknowledged; ``fast`` hands every line to the operating system at once and
    syncs every `SYNC_FRAMES` frames and at the seal.
    """

    def __init__(self, path: Path, header: Mapping[str, Json], *, durability: Durability = "fast", replace: bool = False) -> None:
        """Create the file and write its header. Raises `TraceLocked`, `UsageError` (it exists) or `StorageError`."""
        self.path = path
        self.durable = durability == "durable"
        self.inputs = self.frames = self.calls = self.lines = 0
        self._chain = GENESIS
        self._numbering = Numbering()
        self._unsynced = 0
        self._sealed = False
        self._file: int | None = _create(path, replace)
        meta = header.get("meta")
        members = {name: value for name, value in header.items() if name != "meta"}
        self._put([self._chained(_header_body({**members, "durability": durability}) + tail(None, meta))], sync=self.durable)
        if self.durable:
            self._sync_folder()

    def input(self, input: Input) -> None:  # noqa: A002 - the glossary's word
        """Write an input's line."""
        self.inputs += 1
        self._write(input.wire(), input.at, None, sync=False)

    def outcome(self, call: Call, outcome: Outcome) -> None:
        """Write an outcome's line, with the request that it answers."""
        self.calls += 1
        self._write(outcome_wire(call, outcome), outcome.at, outcome.meta, sync=self.durable)

    def frame(self, frame: Frame, meta: FrozenMap) -> None:
        """Write a frame's line: all its records."""
        self.frames += 1
        self._unsynced += 1
        self._write(frame.wire(), None, meta, sync=self.durable or self._unsynced >= SYNC_FRAMES)

    def trace(self, trace: FrameTrace, meta: FrozenMap) -> None:
        """Write the figures of an input that is done with."""
        self._write(trace.wire(), None, meta, sync=self.durable)

    def seal(self) -> None:
        """Finish the trace: write its seal and sync. Nothing can be written after it."""
        wire = {
            "kind": "seal",
            "inputs": self.inputs,
            "frames": self.frames,
            "calls": self.calls,
            "lines": self.lines + 1,
            "head": self._chain.decode(),
        }
        self._write(wire, None, None, sync=True)
        self._sync_folder()
        self._sealed = True
        self.close()

    def close(self) -> None:
        """Let go of the file. Without a seal it stays readable, as incomplete."""
        if self._file is not None:
            descriptor, self._file = self._file, None
            os.close(descriptor)

    def __enter__(self) -> TraceWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self, wire: dict[str, Any], at: int | None, meta: FrozenMap | None, *, sync: bool) -> None:
        if self._file is None:
            raise EngineClosed(f"{self.path} is closed", hint="a sealed or failed trace takes no more lines")
        try:
            body = self._numbering.encode(wire)[:-1] + tail(at, meta)
            lines = self._content_lines()
            lines.append(self._chained(body))
        except Exception:
            self.close()
            raise
        self._put(lines, sync=sync)

    def _put(self, lines: list[bytes], *, sync: bool) -> None:
        if self._file is None:
            raise EngineClosed(f"{self.path} is closed", hint="a sealed or failed trace takes no more lines")
        try:
            _write_all(self._file, b"".join(lines))
            if sync:
                os.fsync(self._file)
                self._unsynced = 0
        except OSError as error:
            self._fail(error)

    def _chained(self, body: bytes) -> bytes:
        if len(body) >= LINE_BYTES_MAX - 128:
            raise LimitError(
                f"a line of {len(body):,} bytes, the bound is {LINE_BYTES_MAX:,}",
                hint="carry large data as one text: long texts are stored in pieces",
                name="line",
                bound=LINE_BYTES_MAX,
                actual=len(body),
            )
        self._chain = chained(self._chain, body)
        self.lines += 1
        return body + CHAIN_HEAD + self._chain + CHAIN_TAIL

    def _content_lines(self) -> list[bytes]:
        """Return the lines of the contents that the next line is the first to refer to."""
        lines: list[bytes] = []
        first, fresh = self._numbering.fresh()
        start = 0
        while start < len(fresh):
            size, end = 0, start
            while end < len(fresh) and (end == start or size + len(fresh[end]) < LINE_BYTES_MAX - 256):
                size += len(fresh[end]) + 1
                end += 1
            values = b",".join(fresh[start:end])
            lines.append(self._chained(b'{"kind":"content","first":%d,"values":[%b]' % (first + start, values)))
            start = end
        return lines

    def _sync_folder(self) -> None:
        try:
            folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            self._fail(error)

    def _fail(self, error: OSError) -> NoReturn:
        self.close()
        raise storage_error(self.path, error) from error


def _header_body(members: dict[str, Any]) -> bytes:
    """Return the header's body: everything in place, so that a file's first line tells what it is."""

    def inline(value: Any) -> Any:
        return escaped(value) if type(value) is FrozenMap else str(value)

    return dumps({"kind": "header", "format": FORMAT, **members}, inline)[:-1]


def _write_all(descriptor: int, data: bytes) -> None:
    written = os.write(descriptor, data)
    while written < len(data):
        data = data[written:]
        written = os.write(descriptor, data)


def _create(path: Path, replace: bool) -> int:
    """Open a new file for one writer. An existing one is left alone unless *replace*, and then only where nobody writes it."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise storage_error(path, error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(descriptor).st_size:
            if not replace:
                raise UsageError(f"{path} exists", hint="choose another name, or say --force to write it anew", path=str(path))
            os.ftruncate(descriptor, 0)
    except BlockingIOError:
        owner = owner_of(path)
        os.close(descriptor)
        raise TraceLocked(f"{path} is being written by {owner}", hint="wait for it, or choose another name", path=str(path), owner=owner) from None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def storage_error(path: Path, error: OSError) -> StorageError:
    """Say what the operating system refused, and what to do about it."""
    hints = {
        errno.ENOSPC: "free some space; what was acknowledged is in the file and readable",
        errno.EROFS: "choose a folder that can be written to",
        errno.EACCES: "choose a folder that can be written to",
        errno.ENOENT: "make the folder first",
        errno.EISDIR: "name a file, not a folder",
        errno.ELOOP: "name the file itself, not a link to it",
        errno.EFBIG: "the file size limit is reached; what was acknowledged is in the file and readable",
    }
    hint = hints.get(error.errno or 0, "see the operating system's message; what was acknowledged is in the file")
    return StorageError(f"{path}: {error.strerror or error}", hint=hint, path=str(path), errno=error.errno)
