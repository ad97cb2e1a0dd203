"""Read a trace line by line, checking every byte of it on the way: bounded memory, no seeking."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from shlex import quote
from typing import Any, Self, TypeAlias, TypeVar

from attrs import frozen

from frameengine.codec import Undecodable, dumps, loads
from frameengine.effects import Call, EffectKey, Outcome, effect_from_json, outcome_from_json
from frameengine.errors import FrameEngineError, TraceError, TraceFormat, TraceIncomplete, TraceIntegrity, TraceVersion
from frameengine.inputs import Input, input_from_json
from frameengine.jsonvalue import EMPTY, FrozenMap, freeze
from frameengine.limits import FRAME_WEIGHT_MAX, LINE_BYTES_MAX
from frameengine.trace.contents import BadContent, Contents
from frameengine.trace.files import writer_of
from frameengine.trace.format import CHAIN_BYTES, CHAIN_HEAD, CHAIN_TAIL, FORMAT, GENESIS, KINDS, chained, tail, weight
from frameengine.trace.refusal import rewritten, said
from frameengine.trace.shape import check_data, check_outcome, check_shape
from frameengine.trace.source import open_trace

T = TypeVar("T")
OURS = "name a file that this tool wrote"
NOT_OURS = "the file was not written by this tool"
TO_REPAIR = "frameengine repair {path} -o FILE keeps the good part; or record again"
UNDIGESTED = frozenset({"at", "meta", "chain"})
"""Members of a line that its canonical form leaves out."""


class Line:
    """One line of a trace, its bytes proven; what it holds is decoded when asked for, while the reader stands on it.

    What was asked for once stays. Everything raises `TraceFormat` where a line is not what its kind says.
    """

    __slots__ = ("_canonical", "_contents", "_data", "_path", "at", "kind", "number", "offset", "raw", "value")

    def __init__(self, place: tuple[Path, int, int], raw: bytes, members: dict[str, Any], contents: Contents) -> None:
        check_shape(members)
        self._path, self.number, self.offset = place
        """File, line number, from 1, and byte offset of its start."""
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
        self._canonical: bytes | None = None

    @property
    def meta(self) -> FrozenMap:
        """Its undigested members."""
        meta = self.value.get("meta")
        if meta is None:
            return EMPTY
        result: FrozenMap = self._decoded(lambda: freeze(meta))
        return result

    @property
    def data(self) -> FrozenMap:
        """Its digested members, whole."""
        if self._data is None:
            digested = {name: value for name, value in self.value.items() if name not in UNDIGESTED}
            self._data = self._decoded(lambda: self._checked(self._contents.resolve(digested, header=self.kind == "header")))
        return self._data

    def canonical(self) -> bytes:
        """Return its canonical form: equal for equal lines of different files, whatever their times and numbering."""
        if self._canonical is None:
            self._canonical = self._decoded(self._form)
        return self._canonical

    def form(self, part: Any) -> bytes:
        """Return the canonical form of a part of `value`."""
        return self._decoded(lambda: self._contents.canonical(dumps(part)))

    def _form(self) -> bytes:
        undigested = tail(self.at, self.value.get("meta"))
        body, after = self.raw[: -CHAIN_BYTES - len(undigested)], self.raw[-CHAIN_BYTES - len(undigested) : -CHAIN_BYTES]
        if after != undigested:
            raise BadContent("'at' and 'meta' stand last, before the chain value")
        return self._contents.canonical(body + b"}")

    def key(self) -> EffectKey:
        """Return the key of an outcome's line."""
        return self._decoded(lambda: EffectKey(*self.value["key"]))

    def outcome(self) -> Outcome:
        """Return the outcome of an outcome's line."""
        return self._decoded(self._outcome)

    def call(self) -> Call:
        """Return the call of an outcome's line."""
        return self._decoded(lambda: Call.of(self.key(), effect_from_json(self.value["effect"], self._request())))

    def _request(self) -> FrozenMap:
        return self._contents.resolve(self.value["request"], entering=True)

    def input(self) -> Input:
        """Return the input of an input's line."""
        return self._decoded(
            lambda: input_from_json(self._checked(self._contents.resolve(self.value, entering=True)), self.at or 0)
        )

    def _outcome(self) -> Outcome:
        effect, value = self.value["effect"], self._contents.resolve(self.value["outcome"], entering=True)
        check_outcome(effect, value)
        return outcome_from_json(effect, value, self.at or 0, self.meta)

    def _checked(self, data: FrozenMap) -> FrozenMap:
        check_data(self.kind, data)
        return data

    def _decoded(self, decode: Callable[[], T]) -> T:
        try:
            return decode()
        except TraceError:
            raise
        except (FrameEngineError, LookupError, TypeError, ValueError, AttributeError) as error:
            raise self._bad(error) from None

    def _bad(self, error: Exception) -> TraceFormat:
        what = f"{self._path}: line {self.number}: {said(error)}"
        return TraceFormat(what, hint=NOT_OURS, path=str(self._path), line=self.number, offset=self.offset)


@frozen(kw_only=True)
class Counts:
    """How much a trace holds."""

    inputs: int = 0
    """Inputs."""
    frames: int = 0
    """Frames."""
    calls: int = 0
    """Effects."""


Note: TypeAlias = Callable[[int, bytes, dict[str, Any]], None]
"""Takes the byte offset of a line, its bytes, and its members as they stand."""


class TraceReader:
    """A trace being read. Iterate `lines` once; afterwards `sealed` and `counts` hold.

    With ``damaged=False`` anything wrong raises a `TraceError`. With ``damaged=True`` reading stops at the first thing wrong,
    which then stands in `problem`: the good prefix is what was yielded.
    """

    def __init__(self, path: Path, *, damaged: bool = False, note: Note | None = None) -> None:
        """Open *path* and read its header. Raises `TraceError` where there is no header to go by.

        *note* is told of each line that was proven, the contents among them.
        """
        self.path = path
        self._note = note
        self.damaged = damaged
        self.problem: TraceError | None = None
        self.sealed = False
        self.line_count = 0
        """Lines read and proven."""
        self.offset = 0
        """Bytes read and proven."""
        self._inputs = self._frames = self._calls = 0
        self._message: int | None = None
        self._weight = 0
        self._chain = self._before = GENESIS
        self._contents = Contents()
        self._file = open_trace(path)
        try:
            first = self._read()
            if first is None:
                raise self._error(TraceFormat, "the file is empty", "record again, or name another file", line=1)
            if first.kind != "header":
                raise self._error(TraceFormat, f"the first line is a {first.kind}, not a header", "this is no trace", line=1)
            _check_version(path, first.value)
            self.header_line = first
            """The header's line."""
            self.header: FrozenMap = first.data
            """The header's members."""
        except BaseException:
            self._file.close()
            raise

    @property
    def contents(self) -> Contents:
        """What the lines read so far may refer to."""
        return self._contents

    def again(self) -> None:
        """Open the file again behind what was proven: `lines` then yields what a writer has appended since.

        For plain files that end without a seal. Raises `TraceError` where there is no such file any more.
        """
        self.problem = None
        self._file.close()
        self._file = open_trace(self.path)
        self._file.seek(self.offset)

    @property
    def counts(self) -> Counts:
        """What was read so far."""
        return Counts(inputs=self._inputs, frames=self._frames, calls=self._calls)

    @property
    def head(self) -> str:
        """Chain value of the last line read, in hex."""
        return self._chain.decode()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Read no further."""
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
            raise self._unsealed()
        if line.kind == "header":
            raise self._error(TraceFormat, "a second header", "one file holds one run", line=line.number)
        if line.kind == "seal":
            self._check_seal(line)
            return None
        if line.kind == "input":
            self._inputs += 1
            if "during" not in line.value:
                self._message = line.value["number"]
        elif line.kind == "outcome":
            self._calls += 1
        elif line.kind == "frame":
            self._frames += 1
        elif line.kind == "trace":
            self._message = None
        return line

    def _unsealed(self) -> TraceError:
        writer = writer_of(self.path)
        why = f"no seal yet, it is being written by {writer}" if writer else "no seal"
        return self._error(
            TraceIncomplete,
            f"{why}: the file ends after line {self.line_count} (good: inputs {self._inputs}, frames {self._frames})",
            "wait until it has ended, or end it: it seals the file then" if writer else TO_REPAIR,
            line=self.line_count + 1,
        )

    def _check_seal(self, line: Line) -> None:
        counts = {"inputs": self._inputs, "frames": self._frames, "calls": self._calls, "lines": line.number}
        for name, actual in counts.items():
            if line.value[name] != actual:
                what = f"the seal says {line.value[name]} {name}, the file has {actual}"
                raise self._error(
                    TraceIntegrity, what, "the file was changed after it was sealed; record again", line=line.number
                )
        if line.value["head"] != self._before.decode():
            what = "the seal names another line before it"
            raise self._error(TraceIntegrity, what, "the file was changed after it was sealed; record again", line=line.number)
        if self._message is not None:
            raise self._error(TraceFormat, f"sealed before input {self._message} has ended", NOT_OURS, line=line.number)
        try:
            more = self._file.read(1)
        except OSError as error:
            raise self._error(TraceFormat, f"after the seal: {error}", "get the file again", line=line.number + 1) from error
        if more:
            what = f"bytes after the seal, from byte {self.offset}"
            raise self._error(TraceIntegrity, what, "cut the file there, or record again", line=line.number + 1)
        self.sealed = True

    def _read(self) -> Line | None:
        """Read the next line that is not a content line; content lines before it are taken in."""
        contents, readline = self._contents, self._file.readline
        contents.forget()
        while True:
            try:
                raw = readline(LINE_BYTES_MAX + 1)
            except OSError as error:
                raise self._error(
                    TraceFormat, f"line {self.line_count + 1}: {error}", "get the file again", line=self.line_count + 1
                ) from error
            if not raw:
                return None
            try:
                members = loads(raw)
                exact = dumps(members) == raw[:-1]
            except (Undecodable, TypeError) as error:
                raise self._refusal(raw, error) from None
            chain = sha256(self._chain + raw[:-CHAIN_BYTES]).hexdigest().encode()
            if not exact or raw[-CHAIN_BYTES:] != CHAIN_HEAD + chain + CHAIN_TAIL or len(raw) > LINE_BYTES_MAX:
                raise self._refusal(raw)
            kind = members.get("kind") if type(members) is dict else None
            line, items = None, 0
            try:
                if kind == "content":
                    contents.add(members, len(raw))
                elif type(kind) is str and kind in KINDS:
                    line = Line((self.path, self.line_count + 1, self.offset), raw, members, contents)
                    items = contents.items(raw)
                else:
                    raise self._refusal(raw)
            except (BadContent, KeyError, TypeError, ValueError) as error:
                raise self._refusal(raw, error) from None
            self._weigh(raw, items, kind)
            if self._note is not None:
                self._note(self.offset, raw, members)
            self._before, self._chain = self._chain, chain
            self.line_count += 1
            self.offset += len(raw)
            if line is not None:
                return line

    def _weigh(self, raw: bytes, items: int, kind: str) -> None:
        """Add a line to the frame's; whoever reads holds all of them, and a compressed file may stand for any number."""
        self._weight += weight(raw, items)
        if self._weight > FRAME_WEIGHT_MAX:
            number = self.line_count + 1
            what = f"line {number}: the lines of one frame weigh more than {FRAME_WEIGHT_MAX:,}"
            raise self._error(TraceFormat, what, "the file was made to fill memory, or not by this tool", line=number)
        if kind in ("frame", "trace"):
            self._weight = 0

    def _refusal(self, raw: bytes, error: Exception | None = None) -> TraceError:
        """Return what to say of a line that was not accepted."""
        number = self.line_count + 1
        line = f"line {number}"
        if len(raw) > LINE_BYTES_MAX:
            return self._error(TraceFormat, f"{line} is longer than {LINE_BYTES_MAX:,} bytes", "this is no trace", line=number)
        if not raw.endswith(b"\n"):
            hint = TO_REPAIR if self.line_count else "nothing in it is whole: record again, or name another file"
            what = f"the last line ({line}, byte {self.offset}) is torn: {len(raw)} bytes without an end"
            return self._error(TraceIncomplete, what, hint, line=number, torn=len(raw))
        if done := rewritten(raw):
            hint = "an editor or a transfer rewrote the file; get it again byte for byte"
            return self._error(TraceFormat, f"{line} {done}", hint, line=number)
        if isinstance(error, Undecodable):
            return self._error(TraceFormat, f"{line} is not JSON of this format: {error}", OURS, line=number)
        if number == 1:
            # A newer format may be chained in another way, and the way out is another one.
            try:
                _check_version(self.path, loads(raw))
            except TraceVersion as version:
                return version
        if error is not None:
            return self._error(TraceFormat, f"{line}: {said(error)}", NOT_OURS, line=number)
        if raw[-len(CHAIN_TAIL) :] != CHAIN_TAIL or raw[-CHAIN_BYTES : -CHAIN_BYTES + len(CHAIN_HEAD)] != CHAIN_HEAD:
            return self._error(TraceFormat, f"{line} does not end in its chain value", OURS, line=number)
        if chained(self._chain, raw[:-CHAIN_BYTES]) != raw[-67:-3]:
            what = f"{line} was changed: its chain value does not hold"
            return self._error(TraceIntegrity, what, TO_REPAIR, line=number)
        if dumps(loads(raw)) != raw[:-1]:
            what = f"{line} is not in canonical form (a duplicate key, a space, a number out of range)"
            return self._error(TraceFormat, what, "record again", line=number)
        return self._error(TraceFormat, f"{line} is not a line of a trace", "this is no trace", line=number)

    def _error(self, kind: type[TraceError], what: str, hint: str, **fields: Any) -> TraceError:
        way = hint.replace("{path}", quote(str(self.path)))
        return kind(f"{self.path}: {what}", hint=way, path=str(self.path), offset=self.offset, **fields)


def _check_version(path: Path, header: Any) -> None:
    found = header.get("format") if type(header) is dict else None
    if type(found) is not int or found == FORMAT:
        return
    hint = (
        "install a newer frameengine"
        if found > FORMAT
        else "migrate it (frameengine.trace.migrate), or use the version that wrote it"
    )
    what = f"{path} has format {found}, this version reads {FORMAT}"
    raise TraceVersion(what, hint=hint, path=str(path), line=1, found=found, supported=[FORMAT])


def read_header(path: Path) -> FrozenMap:
    """Return the header of a trace without reading further."""
    with TraceReader(path) as reader:
        return reader.header
