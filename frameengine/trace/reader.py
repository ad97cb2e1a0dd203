"""Read a trace line by line, checking every byte of it on the way: bounded memory, no seeking."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from attrs import define, frozen

from frameengine.codec import Undecodable, dumps, loads
from frameengine.effects import EffectKey, Outcome, outcome_from_json
from frameengine.errors import TraceError, TraceFormat, TraceIncomplete, TraceIntegrity, TraceNotFound, TraceVersion
from frameengine.inputs import Input, input_from_json
from frameengine.jsonvalue import FrozenMap, freeze
from frameengine.limits import LINE_BYTES_MAX
from frameengine.trace.compressed import is_compressed, open_compressed
from frameengine.trace.contents import BadContent, Contents
from frameengine.trace.format import CHAIN_BYTES, CHAIN_HEAD, CHAIN_TAIL, FORMAT, GENESIS, KINDS, chained, tail


class Line:
    """One line of a trace, its bytes proven; what it holds is decoded when asked for, while the reader stands on it."""

    __slots__ = ("_contents", "_resolved", "_trailer", "at", "kind", "meta", "number", "offset", "raw", "value")

    def __init__(self, number: int, offset: int, raw: bytes, value: dict[str, Any], contents: Contents) -> None:
        self.number = number
        """Line number, from 1."""
        self.offset = offset
        """Byte offset of its start."""
        self.raw = raw
        """Its bytes, newline included."""
        self.value = value
        """Its members, references not resolved."""
        self.kind: str = value["kind"]
        """header, input, outcome, frame, trace or seal."""
        self.at: int | None = value.pop("at", None)
        """Its time in microseconds, where it has one."""
        self.meta: FrozenMap = freeze(value.pop("meta", {}))
        """Its undigested members."""
        del value["chain"]
        self._trailer = len(tail(self.at, self.meta)) + CHAIN_BYTES
        self._contents = contents
        self._resolved: FrozenMap | None = None

    @property
    def data(self) -> FrozenMap:
        """Its digested members, whole."""
        if self._resolved is None:
            self._resolved = self._contents.resolve(self.value)
        return self._resolved

    def canonical(self) -> bytes:
        """Return its canonical form: equal for equal lines of different files, whatever their times and numbering."""
        return self._contents.canonical(self.raw[: -self._trailer] + b"}")

    def key(self) -> EffectKey:
        """Return the key of an outcome's line."""
        return EffectKey(*self.value["key"])

    def outcome(self) -> Outcome:
        """Return the outcome of an outcome's line."""
        return outcome_from_json(self.value["effect"], self.data["outcome"], self.at or 0, self.meta)

    def input(self) -> Input:
        """Return the input of an input's line."""
        return input_from_json(self.data, self.at or 0)


@frozen(kw_only=True)
class Counts:
    """How much a trace holds."""

    inputs: int = 0
    """Inputs."""
    frames: int = 0
    """Frames."""
    calls: int = 0
    """Effects."""


@define
class _Position:
    line: int = 0
    offset: int = 0
    chain: bytes = GENESIS
    inputs: int = 0
    frames: int = 0
    calls: int = 0


class TraceReader:
    """A trace being read. Iterate `lines` once; afterwards `sealed` and `counts` hold.

    With ``damaged=False`` anything wrong raises a `TraceError`. With ``damaged=True`` reading stops at the first thing wrong, which
    then stands in `problem`: the good prefix is what was yielded.
    """

    def __init__(self, path: Path, *, damaged: bool = False) -> None:
        """Open *path* and read its header. Raises `TraceError` where there is no header to go by."""
        self.path = path
        self.damaged = damaged
        self.problem: TraceError | None = None
        self.sealed = False
        self._at = _Position()
        self._contents = Contents()
        self._file = _open(path)
        try:
            first = self._read()
            if first is None:
                raise self._error(TraceFormat, "the file is empty", "record again, or name another file", line=1)
            if first.kind != "header":
                raise self._error(TraceFormat, f"the first line is a {first.kind}, not a header", "this is no trace", line=1)
            _check_version(path, first.value)
        except BaseException:
            self._file.close()
            raise
        self.header_line = first
        """The header's line."""
        self.header: FrozenMap = first.data
        """The header's members."""

    @property
    def counts(self) -> Counts:
        """What was read so far."""
        return Counts(inputs=self._at.inputs, frames=self._at.frames, calls=self._at.calls)

    @property
    def head(self) -> str:
        """Chain value of the last line read, in hex."""
        return self._at.chain.decode()

    @property
    def line_count(self) -> int:
        """Lines read and proven."""
        return self._at.line

    @property
    def offset(self) -> int:
        """Bytes read and proven."""
        return self._at.offset

    def __enter__(self) -> TraceReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def lines(self) -> Iterator[Line]:
        """Yield every input, outcome, frame and trace line in order."""
        try:
            while (line := self._next_line()) is not None:
                yield line
        except TraceError as error:
            if not self.damaged:
                raise
            self.problem = error
        finally:
            self._file.close()

    def _next_line(self) -> Line | None:
        line = self._read()
        if line is None:
            raise self._error(
                TraceIncomplete,
                f"no seal: the file ends after line {self._at.line} ({self._at.inputs} inputs, {self._at.frames} frames are good)",
                "use 'frameengine repair' to keep the good part, or record again",
            )
        if line.kind == "header":
            raise self._error(TraceFormat, "a second header", "one file holds one run", line=line.number)
        if line.kind == "seal":
            self._check_seal(line)
            return None
        if line.kind == "input":
            self._at.inputs += 1
        elif line.kind == "outcome":
            self._at.calls += 1
        elif line.kind == "frame":
            self._at.frames += 1
        return line

    def _check_seal(self, line: Line) -> None:
        counts = {"inputs": self._at.inputs, "frames": self._at.frames, "calls": self._at.calls, "lines": line.number}
        for name, actual in counts.items():
            if line.value.get(name) != actual:
                raise self._error(
                    TraceIntegrity,
                    f"the seal says {line.value.get(name)} {name}, the file has {actual}",
                    "the file was changed after it was sealed; record again",
                    line=line.number,
                )
        if self._file.read(1):
            raise self._error(
                TraceIntegrity, f"bytes after the seal, from byte {self._at.offset}", "cut the file there, or record again", line=line.number + 1
            )
        self.sealed = True

    def _read(self) -> Line | None:
        """Read the next line that is not a content line; content lines before it are taken in."""
        self._contents.forget()
        while True:
            number, offset = self._at.line + 1, self._at.offset
            raw = self._raw_line(number)
            if raw is None:
                return None
            value = self._checked(raw, number)
            previous, self._at.chain = self._at.chain, raw[-67:-3]
            self._at.line, self._at.offset = number, offset + len(raw)
            try:
                if value["kind"] == "content":
                    self._contents.add(value, len(raw))
                    continue
                return Line(number, offset, raw, value, self._contents)
            except (BadContent, KeyError, TypeError, ValueError) as error:
                self._at.chain, self._at.line, self._at.offset = previous, number - 1, offset
                raise self._error(TraceFormat, f"line {number}: {_said(error)}", "the file was not written by this tool", line=number) from None

    def _raw_line(self, number: int) -> bytes | None:
        try:
            raw = self._file.readline(LINE_BYTES_MAX + 1)
        except OSError as error:
            raise self._error(TraceFormat, f"line {number}: {error}", "the file cannot be read further", line=number) from error
        if not raw:
            return None
        if raw[-1:] == b"\n":
            return raw
        if len(raw) > LINE_BYTES_MAX:
            raise self._error(TraceFormat, f"line {number} is longer than {LINE_BYTES_MAX:,} bytes", "this is no trace", line=number)
        raise self._error(
            TraceIncomplete,
            f"the last line (line {number}, byte {self._at.offset}) is torn: {len(raw)} bytes without an end",
            "use 'frameengine repair' to keep the good part, or record again",
            line=number,
        )

    def _checked(self, raw: bytes, number: int) -> dict[str, Any]:
        """Return a line's members after proving its form and its place in the chain."""
        try:
            value = loads(raw)
        except Undecodable as error:
            raise self._error(TraceFormat, f"line {number} is not JSON of this format: {_reason(raw, error)}", _way_out(raw), line=number) from None
        if type(value) is not dict or value.get("kind") not in KINDS:
            raise self._error(TraceFormat, f"line {number} is not a line of a trace", "this is no trace", line=number)
        if raw[-len(CHAIN_TAIL) :] != CHAIN_TAIL or raw[-CHAIN_BYTES : -CHAIN_BYTES + len(CHAIN_HEAD)] != CHAIN_HEAD:
            raise self._error(TraceFormat, f"line {number} does not end in its chain value", _way_out(raw), line=number)
        if chained(self._at.chain, raw[:-CHAIN_BYTES]) != raw[-67:-3]:
            raise self._error(
                TraceIntegrity,
                f"line {number} was changed: its chain value does not hold",
                "use 'frameengine repair' to keep what comes before it, or record again",
                line=number,
            )
        if dumps(value) + b"\n" != raw:
            raise self._error(
                TraceFormat, f"line {number} is not in canonical form (a duplicate key, a space, a number out of range)", "record again", line=number
            )
        return value

    def _error(self, kind: type[TraceError], what: str, hint: str, **fields: Any) -> TraceError:
        return kind(f"{self.path}: {what}", hint=hint, path=str(self.path), offset=self._at.offset, **fields)


def _said(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"the member {error.args[0]!r} is missing"
    return str(error)


def _reason(raw: bytes, error: Exception) -> str:
    if raw.startswith(b"\xef\xbb\xbf"):
        return "it starts with a byte order mark"
    if raw.endswith(b"\r\n"):
        return "it ends in CR LF"
    if b"\0" in raw:
        return "it holds zero bytes"
    return str(error)


def _way_out(raw: bytes) -> str:
    if raw.startswith(b"\xef\xbb\xbf") or raw.endswith(b"\r\n"):
        return "an editor or a transfer rewrote the file; get it again byte for byte"
    return "name a file that this tool wrote"


def _open(path: Path) -> IO[bytes]:
    """Open a regular file for reading. Never blocks on a pipe or device."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        hint = "check the name" if isinstance(error, FileNotFoundError) else "check the file's permissions"
        raise TraceNotFound(f"{path}: {error.strerror}", hint=hint, path=str(path)) from error
    file = os.fdopen(descriptor, "rb", buffering=1 << 18)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        file.close()
        raise TraceNotFound(f"{path} is not a file", hint="name a trace file (*.trace.jsonl)", path=str(path))
    if is_compressed(file):
        return open_compressed(file, path)
    return file


def _check_version(path: Path, header: dict[str, Any]) -> None:
    found = header.get("format")
    if found == FORMAT:
        return
    newer = isinstance(found, int) and found > FORMAT
    hint = "install a newer frameengine" if newer else f"use 'frameengine migrate {path}'"
    raise TraceVersion(
        f"{path} has format {found!r}, this version reads {FORMAT}", hint=hint, path=str(path), line=1, found=freeze(found), supported=[FORMAT]
    )


def read_header(path: Path) -> FrozenMap:
    """Return the header of a trace without reading further."""
    with TraceReader(path) as reader:
        return reader.header

