"""Write a trace: append only, one writer, every line chained to the one before."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from shutil import copyfileobj
from typing import Any, Literal, NoReturn, Self, TypeAlias

from frameengine.codec import dumps, escaped
from frameengine.effects import Call, Outcome
from frameengine.errors import EngineClosed, LimitError, StorageError, UsageError
from frameengine.inputs import Input
from frameengine.jsonvalue import FrozenMap, Json, freeze
from frameengine.limits import FRAME_WEIGHT_MAX, LINE_BYTES_MAX, check
from frameengine.records import Frame, FrameTrace
from frameengine.trace.files import create, published, storage_error, sync_folder, write_all
from frameengine.trace.format import FORMAT, GENESIS, linked, outcome_wire, seal_wire, tail, weight
from frameengine.trace.numbering import Numbering

Durability: TypeAlias = Literal["durable", "fast"]
SYNC_FRAMES = 512
"""Frames between two syncs where durability is ``fast``: what a power cut may cost. A killed process loses nothing written."""


class TraceWriter:
    """One trace file being written. A `Recorder`.

    A file that is to be replaced stays as it is until the first line behind the header: a run of nothing costs nothing.
    ``durable`` syncs every outcome and frame before it is acknowledged; ``fast`` hands every line to the operating system at once
    and syncs every `SYNC_FRAMES` frames and at the seal.
    """

    def __init__(self, path: Path, header: Mapping[str, Json], *, durability: Durability = "fast", replace: bool = False) -> None:
        """Create the file and write its header.

        Raises `TraceLocked`, `UsageError` (it exists), `StorageError`, or `LimitError` (the header is too long for a line).
        """
        if durability not in ("durable", "fast"):
            raise UsageError(f"there is no durability {durability!r}", hint="say durable or fast")
        self.path = path
        # Whoever runs may go to another folder meanwhile.
        self._place = path.absolute()
        self._process = os.getpid()
        self.durable = durability == "durable"
        self.inputs = self.frames = self.calls = self.lines = 0
        self._chain = GENESIS
        self._numbering = Numbering()
        self._unsynced = 0
        self._message: int | None = None
        self._weight = self._size = 0
        body = header_body({**header, "durability": durability})
        self._file: int | None = create(path, replace=replace, empty=False)
        self._waiting = b""
        try:
            first = self._chained(body)
            if os.fstat(self._file).st_size:
                self._waiting = first
            else:
                self._put(first, sync=self.durable)
        except BaseException:
            self._let_go()
            raise
        if self.durable:
            self._sync_folder()

    def input(self, input: Input) -> None:
        """Write an input's line."""
        self.inputs += 1
        if input.during is None:
            self._message = input.number
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
        self._weight = 0

    def trace(self, trace: FrameTrace, meta: FrozenMap) -> None:
        """Write the figures of an input that is done with."""
        self._write(trace.wire(), None, meta, sync=self.durable)
        self._message = None
        self._weight = 0

    def seal(self) -> None:
        """Finish the trace: write its seal and sync. Nothing can be written after it.

        Raises `UsageError` inside a message, because a sealed trace says of each message how it ended, and `StorageError` where
        the file is not what was written.
        """
        self.begin()
        if self._file is not None:
            self._check_file(self._file)
        self._write(self._seal(), None, None, sync=True)
        self._sync_folder()
        self.close()

    def save(self, target: Path, *, replace: bool = False) -> None:
        """Put what is written so far into the file *target*, sealed; this trace goes on.

        Raises `UsageError` inside a message and where *target* exists, `StorageError`, and `TraceLocked`.
        """
        self.begin()
        line, _ = linked(self._chain, dumps(self._seal())[:-1])
        with published(target, replace=replace) as sink:
            with self._place.open("rb") as source:
                copyfileobj(source, sink)
            sink.write(line)

    def _seal(self) -> dict[str, Any]:
        if self._file is not None and self._message is not None:
            hint = "let the message end, answer with 'not_recorded', or close the trace without a seal"
            raise UsageError(f"{self.path}: input {self._message} has not ended", hint=hint, input=self._message)
        return seal_wire(inputs=self.inputs, frames=self.frames, calls=self.calls, lines=self.lines + 1, head=self._chain)

    def discard(self) -> None:
        """Let go of a file without any input as if it had never been opened: one that was to be replaced is still there."""
        self.check_process()
        if self._file is None or self.inputs:
            return
        if not self._waiting and self._changed(self._file) is None:
            self._place.unlink()
        self.close()

    def check_process(self) -> None:
        """Raise `UsageError` in a fork of the process that opened the file: two would write one chain."""
        if os.getpid() != self._process:
            what = f"{self.path} is written by process {self._process}, and this is a fork of it"
            hint = "record in the process that opened it, or an agent with all that it starts: frameengine record -- COMMAND"
            raise UsageError(what, hint=hint, path=str(self.path), process=self._process)

    def close(self) -> None:
        """Let go of the file. Without a seal it stays readable, as incomplete. Raises `StorageError`."""
        if self._file is not None:
            descriptor, self._file = self._file, None
            try:
                os.close(descriptor)
            except OSError as error:
                raise storage_error(self.path, error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self, wire: dict[str, Any], at: int | None, meta: FrozenMap | None, *, sync: bool) -> None:
        if self._file is None:
            raise EngineClosed(f"{self.path} is closed", hint="a sealed or failed trace takes no more lines")
        try:
            body = self._numbering.encode(wire)[:-1]
            if at is not None or meta:
                body += tail(at, meta)
            fresh = self._numbering.fresh
            items = self._numbering.items
            line = b"".join([*self._content_lines(), self._chained(body, items)]) if fresh else self._chained(body, items)
        except BaseException:
            # The contents count as written from here on, and are not.
            self._let_go()
            raise
        self._put(line, sync=sync)

    def _put(self, lines: bytes, *, sync: bool) -> None:
        if self._file is None:
            raise EngineClosed(f"{self.path} is closed", hint="a sealed or failed trace takes no more lines")
        self.check_process()
        try:
            if self._waiting:
                os.ftruncate(self._file, 0)
                lines, self._waiting = self._waiting + lines, b""
            write_all(self._file, lines)
            self._size += len(lines)
            if sync:
                os.fsync(self._file)
                self._unsynced = 0
        except OSError as error:
            self._fail(error)

    def _chained(self, body: bytes, items: int = 0) -> bytes:
        if len(body) >= LINE_BYTES_MAX - 128:
            raise LimitError(
                f"a line of {len(body):,} bytes, the bound is {LINE_BYTES_MAX:,}",
                hint="carry large data as one text: long texts are stored in pieces",
                name="line",
                bound=LINE_BYTES_MAX,
                actual=len(body),
            )
        line, self._chain = linked(self._chain, body)
        self._weight += weight(line, items)
        check(
            "the weight of a frame's lines", FRAME_WEIGHT_MAX, self._weight, "ask for less in one frame, or for one after another"
        )
        self.lines += 1
        return line

    def _content_lines(self) -> list[bytes]:
        """Return the lines of the contents that the next line is the first to refer to."""
        first, fresh = self._numbering.take_fresh()
        values = b",".join(fresh)
        if len(values) < LINE_BYTES_MAX - 256 or len(fresh) == 1:
            return [self._chained(b'{"kind":"content","first":%d,"values":[%b]' % (first, values))]
        lines: list[bytes] = []
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

    def begin(self) -> None:
        """Write the header where it waits for a line behind it: for whoever reads along from the beginning."""
        if self._waiting:
            self._put(b"", sync=False)

    def _check_file(self, descriptor: int) -> None:
        """Raise `StorageError` where another hand was at the file: what is acknowledged would be nowhere, or in no order."""
        change = self._changed(descriptor)
        if change is not None:
            self._let_go()
            hint = "record again, and keep whatever tidies up there away from the file"
            raise StorageError(f"{self.path} {change} while it was written", hint=hint, path=str(self.path), change=change)

    def _changed(self, descriptor: int) -> str | None:
        try:
            there = self._place.stat(follow_symlinks=False)
        except OSError:
            return "was taken away"
        same = os.path.samestat(there, os.fstat(descriptor)) and there.st_size == self._size
        return None if same else "was changed or replaced"

    def _sync_folder(self) -> None:
        try:
            sync_folder(self._place)
        except OSError as error:
            self._fail(error)

    def _fail(self, error: OSError) -> NoReturn:
        # Never tried again: after a failed sync the system counts the lost pages as written.
        self._let_go()
        raise storage_error(self.path, error) from error

    def _let_go(self) -> None:
        """Close the file after a failure, which is the one to report."""
        with suppress(StorageError):
            self.close()


def header_body(header: Mapping[str, Json]) -> bytes:
    """Return the header's body: everything in place, so that a file's first line tells what it is."""

    def inline(value: Any) -> Any:
        return escaped(value) if type(value) is FrozenMap else str(value)

    members = escaped(freeze({name: value for name, value in header.items() if name not in ("kind", "format", "meta")}))
    return dumps({"kind": "header", "format": FORMAT, **members}, inline)[:-1] + tail(None, freeze(header.get("meta") or {}))
