"""Read a trace line by line, checking every byte of it on the way: bounded memory, no seeking."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

from attrs import frozen

from frameengine.codec import Undecodable, dumps, loads
from frameengine.effects import EffectKey, Outcome, outcome_from_json
from frameengine.errors import TraceError, TraceFormat, TraceIncomplete, TraceIntegrity, TraceVersion, ValueRefused
from frameengine.inputs import Input, input_from_json
from frameengine.jsonvalue import EMPTY, FrozenMap, freeze
from frameengine.limits import LINE_BYTES_MAX
from frameengine.trace.contents import BadContent, Contents
from frameengine.trace.format import CHAIN_BYTES, CHAIN_HEAD, CHAIN_TAIL, FORMAT, GENESIS, KINDS, chained, tail
from frameengine.trace.source import open_trace

T = TypeVar("T")
UNDIGESTED = frozenset({"at", "meta", "chain"})
"""Members of a line that its canonical form leaves out."""


class Line:
    """One line of a trace, its bytes proven; what it holds is decoded when asked for, while the reader stands on it."""

    __slots__ = ("_contents", "_data", "_trailer", "at", "kind", "number", "offset", "raw", "value")

    def __init__(self, number: int, offset: int, raw: bytes, members: dict[str, Any], contents: Contents) -> None:
        self.number = number
        """Line number, from 1."""
        self.offset = offset
        """Byte offset of its start."""
        self.raw = raw
        """Its bytes, newline included."""
        self.kind: str = members["kind"]
        """header, input, outcome, frame, trace or seal."""
        self.at: int | None = members.get("at")
        """Its time in microseconds, where it has one."""
        self.value = members
        """Its members as they stand, references not resolved."""
        self._contents = contents
        self._data: FrozenMap | None = None

    @property
    def meta(self) -> FrozenMap:
        """Its undigested members."""
        meta = self.value.get("meta")
        result: FrozenMap = EMPTY if meta is None else freeze(meta)
        return result

    @property
    def data(self) -> FrozenMap:
        """Its digested members, whole."""
        if self._data is None:
            digested = {name: value for name, value in self.value.items() if name not in UNDIGESTED}
            self._data = self._decoded(lambda: self._contents.resolve(digested))
        return self._data

    def canonical(self) -> bytes:
        """Return its canonical form: equal for equal lines of different files, whatever their times and numbering."""
        trailer = CHAIN_BYTES + len(tail(self.at, self.value.get("meta")))
        try:
            return self._contents.canonical(self.raw[:-trailer] + b"}")
        except BadContent as error:
            raise self._bad(error) from None

    def key(self) -> EffectKey:
        """Return the key of an outcome's line."""
        return self._decoded(lambda: EffectKey(*self.value["key"]))

    def outcome(self) -> Outcome:
        """Return the outcome of an outcome's line."""
        return self._decoded(lambda: outcome_from_json(self.value["effect"], self.data["outcome"], self.at or 0, self.meta))

    def input(self) -> Input:
        """Return the input of an input's line."""
        return self._decoded(lambda: input_from_json(self.data, self.at or 0))

    def _decoded(self, decode: Callable[[], T]) -> T:
        try:
            return decode()
        except (BadContent, ValueRefused, KeyError, TypeError, ValueError, AttributeError) as error:
            raise self._bad(error) from None

    def _bad(self, error: Exception) -> TraceFormat:
        what = f"the member {error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
        return TraceFormat(f"line {self.number}: {what}", hint="the file was not written by this tool", line=self.number, offset=self.offset)


@frozen(kw_only=True)
class Counts:
    """How much a trace holds."""

    inputs: int = 0
    """Inputs."""
    frames: int = 0
    """Frames."""
    calls: int = 0
    """Effects."""


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
        self.line_count = 0
        """Lines read and proven."""
        self.offset = 0
        """Bytes read and proven."""
        self._inputs = self._frames = self._calls = 0
        self._chain = GENESIS
        self._contents = Contents()
        self._file = open_trace(path)
        try:
            first = self._read()
            if first is None:
                raise self._error(TraceFormat, "the file is empty", "record again, or name another file", line=1)
            if first.kind != "header":
                raise self._error(TraceFormat, f"the first line is a {first.kind}, not a header", "this is no trace", line=1)
            _check_version(path, first.data)
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
        return Counts(inputs=self._inputs, frames=self._frames, calls=self._calls)

    @property
    def head(self) -> str:
        """Chain value of the last line read, in hex."""
        return self._chain.decode()

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
                f"no seal: the file ends after line {self.line_count} ({self._inputs} inputs, {self._frames} frames are good)",
                "use 'frameengine repair' to keep the good part, or record again",
            )
        if line.kind == "header":
            raise self._error(TraceFormat, "a second header", "one file holds one run", line=line.number)
        if line.kind == "seal":
            self._check_seal(line)
            return None
        if line.kind == "input":
            self._inputs += 1
        elif line.kind == "outcome":
            self._calls += 1
        elif line.kind == "frame":
            self._frames += 1
        return line

    def _check_seal(self, line: Line) -> None:
        counts = {"inputs": self._inputs, "frames": self._frames, "calls": self._calls, "lines": line.number}
        for name, actual in counts.items():
            if line.data.get(name) != actual:
                raise self._error(
                    TraceIntegrity,
                    f"the seal says {line.data.get(name)} {name}, the file has {actual}",
                    "the file was changed after it was sealed; record again",
                    line=line.number,
                )
        if self._file.read(1):
            raise self._error(
                TraceIntegrity, f"bytes after the seal, from byte {self.offset}", "cut the file there, or record again", line=line.number + 1
            )
        self.sealed = True

    def _read(self) -> Line | None:
        """Read the next line that is not a content line; content lines before it are taken in."""
        contents, readline = self._contents, self._file.readline
        contents.forget()
        while True:
            try:
                raw = readline(LINE_BYTES_MAX + 1)
            except OSError as error:
                raise self._error(TraceFormat, f"line {self.line_count + 1}: {error}", "get the file again", line=self.line_count + 1) from error
            if not raw:
                return None
            try:
                members = loads(raw)
            except Undecodable as error:
                raise self._refusal(raw, error) from None
            chain = sha256(self._chain + raw[:-CHAIN_BYTES]).hexdigest().encode()
            if not raw.endswith(b'%b%b"}\n' % (CHAIN_HEAD, chain)) or dumps(members) != raw[:-1]:
                raise self._refusal(raw)
            kind = members["kind"] if type(members) is dict and "kind" in members else None
            if kind not in KINDS:
                raise self._refusal(raw)
            if kind == "content":
                try:
                    contents.add(members, len(raw))
                except (BadContent, KeyError, TypeError, ValueError) as error:
                    raise self._refusal(raw, error) from None
            line = None if kind == "content" else Line(self.line_count + 1, self.offset, raw, members, contents)
            self._chain = chain
            self.line_count += 1
            self.offset += len(raw)
            if line is not None:
                return line

    def _refusal(self, raw: bytes, error: Exception | None = None) -> TraceError:
        """Return what to say of a line that was not accepted."""
        number = self.line_count + 1
        if not raw.endswith(b"\n"):
            if len(raw) > LINE_BYTES_MAX:
                return self._error(TraceFormat, f"line {number} is longer than {LINE_BYTES_MAX:,} bytes", "this is no trace", line=number)
            return self._error(
                TraceIncomplete,
                f"the last line (line {number}, byte {self.offset}) is torn: {len(raw)} bytes without an end",
                "use 'frameengine repair' to keep the good part, or record again",
                line=number,
            )
        if isinstance(error, Undecodable):
            return self._error(TraceFormat, f"line {number} is not JSON of this format: {_reason(raw, error)}", _way_out(raw), line=number)
        if error is not None:
            return self._error(TraceFormat, f"line {number}: {error}", "the file was not written by this tool", line=number)
        if raw[-len(CHAIN_TAIL) :] != CHAIN_TAIL or raw[-CHAIN_BYTES : -CHAIN_BYTES + len(CHAIN_HEAD)] != CHAIN_HEAD:
            return self._error(TraceFormat, f"line {number} does not end in its chain value", _way_out(raw), line=number)
        if chained(self._chain, raw[:-CHAIN_BYTES]) != raw[-67:-3]:
            return self._error(
                TraceIntegrity,
                f"line {number} was changed: its chain value does not hold",
                "use 'frameengine repair' to keep what comes before it, or record again",
                line=number,
            )
        if dumps(loads(raw)) != raw[:-1]:
            what = "is not in canonical form (a duplicate key, a space, a number out of range)"
            return self._error(TraceFormat, f"line {number} {what}", "record again", line=number)
        return self._error(TraceFormat, f"line {number} is not a line of a trace", "this is no trace", line=number)

    def _error(self, kind: type[TraceError], what: str, hint: str, **fields: Any) -> TraceError:
        return kind(f"{self.path}: {what}", hint=hint, path=str(self.path), offset=self.offset, **fields)


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


def _check_version(path: Path, header: FrozenMap) -> None:
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

