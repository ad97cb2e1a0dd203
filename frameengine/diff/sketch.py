"""A trace in digests: all that aligning two of them takes, read in one go and in little memory."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeAlias

from attrs import evolve, field, frozen

from frameengine.codec import canonical, digest, dumps
from frameengine.diff.document import Step, figures, input_document, walk, with_shared
from frameengine.effects import MAIN_STREAM, EffectKey
from frameengine.errors import TraceFormat, TraceIntegrity
from frameengine.inputs import SwitchGraph
from frameengine.jsonvalue import EMPTY, FrozenMap, freeze, thaw
from frameengine.replay.divergence import wired
from frameengine.replay.frames import bad_line, read_input
from frameengine.trace.format import outcome_wire
from frameengine.trace.reader import Counts, Line, TraceReader

Digest: TypeAlias = bytes
"""The first 16 bytes of sha256."""


@frozen
class Item:
    """A record, or an input that came in during a message."""

    slot: int
    """The frame it stands in."""
    place: int
    """Its index there."""
    node: str
    """Name of its node; empty for an input."""
    body: Digest
    """Digest of all but the node's name."""
    parts: tuple[Digest, ...]
    """Digests of its input, its output and its calls: how alike two records are."""

    @property
    def key(self) -> tuple[str, Digest]:
        """What equal records share."""
        return self.node, self.body


@frozen(kw_only=True)
class MessageSketch:
    """One message."""

    number: int
    """Number of its input."""
    type: str
    """Type of its input."""
    entered: Digest
    """Digest of its input."""
    fingerprint: FrozenMap
    """Digests of graph, code and prompts that it ran with."""
    graph: FrozenMap
    """The graph it ran with; empty where the trace does not hold it."""
    items: list[Item] = field(factory=list)
    """Its records and late inputs, in order."""
    figures: FrozenMap = EMPTY
    """Its figures; empty where the recording broke off."""

    @cached_property
    def key(self) -> Digest:
        """What equal messages share."""
        return _short(canonical([self.entered.hex(), [[item.slot, *_hex(item.key)] for item in self.items], self.figures]))


def _hex(key: tuple[str, Digest]) -> tuple[str, str]:
    return key[0], key[1].hex()


@frozen(kw_only=True)
class Sketch:
    """A whole trace."""

    path: Path
    """The file."""
    header: FrozenMap
    """Its header."""
    counts: Counts
    """What was read of it."""
    problem: str
    """What is wrong with it; empty for a whole file."""
    head: str
    """Chain value of its seal, in hex; of the last line read, where there is none."""
    messages: tuple[MessageSketch, ...]
    """Its messages."""

    @property
    def state(self) -> FrozenMap:
        """The state at the start."""
        state: FrozenMap = self.header.get("state", self.header.get("graph", EMPTY).get("state", EMPTY))
        return state

    def state_before(self, index: int) -> str:
        """Return the digest of the state before a message; empty where it is not known."""
        return str(self.messages[index - 1].figures.get("state", "")) if index else digest(self.state)


def _short(data: bytes) -> Digest:
    return sha256(data).digest()[:16]


def sketch(path: Path, *, damaged: bool = False, done: Callable[[int], None] = lambda _bytes: None) -> Sketch:
    """Read *path* to its seal; *done* is told the bytes read, once for each message.

    Records must tell of the outcomes in the file, and figures of its frames, so that the digests in records stand for all of it.
    Raises `TraceError`. Of a *damaged* file everything up to its last whole frame is taken.
    """
    with TraceReader(path, damaged=damaged) as reader:
        found = _Messages(path, reader.header)
        try:
            for step in walk(reader):
                found.take(step)
                if step.line.kind == "trace":
                    done(reader.offset)
        except TraceFormat as error:
            if "path" in error.fields:
                raise
            # Of two files it must be said which one.
            raise TraceFormat(f"{path}: {error.message}", hint=error.hint, path=str(path), **error.fields) from None
        problem = "" if reader.problem is None else reader.problem.message
        messages = tuple(found.messages)
        return Sketch(path=path, header=reader.header, counts=reader.counts, problem=problem, head=reader.head, messages=messages)


class _Messages:
    """The messages of a trace, line by line."""

    def __init__(self, path: Path, header: FrozenMap) -> None:
        self.messages: list[MessageSketch] = []
        self._path = path
        self._fingerprint, self._graph = header.get("fingerprint", EMPTY), header.get("graph", EMPTY)
        self._calls: dict[tuple[str, int], tuple[Any, ...]] = {}
        self._late: list[tuple[str, Digest]] = []
        self._streams: list[str] = []
        self._made = self._main = 0

    def take(self, step: Step) -> None:
        """Take the next line. Raises `TraceError` where it is not what others of its kind are."""
        try:
            self._take(step)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise bad_line(step.line, f"its members are not of the form that they must have ({error})") from None

    def _take(self, step: Step) -> None:
        line = step.line
        if line.kind == "outcome":
            self._outcome(line)
        elif line.kind == "input":
            self._input(line, during=bool(step.slot))
        else:
            items = self.messages[-1].items
            items += [Item(step.slot, place, "", body, (kind.encode(),)) for place, (kind, body) in enumerate(self._late)]
            if line.kind == "frame":
                items += self._records(line, step.slot, len(self._late))
            else:
                self._end(line, step.slot - 1)
            self._late = []

    def _input(self, line: Line, *, during: bool) -> None:
        entered = read_input(line)
        body = _short(canonical(input_document(entered)))
        if during:
            self._late.append((entered.type, body))
            return
        if isinstance(entered.body, SwitchGraph):
            self._fingerprint, self._graph = entered.body.fingerprint, EMPTY
        self._made = self._main = 0
        self._late = []
        self.messages.append(
            MessageSketch(
                number=entered.number, type=entered.type, entered=body, fingerprint=self._fingerprint, graph=self._graph
            )
        )

    def _outcome(self, line: Line) -> None:
        """Keep what a record must say of an outcome."""
        key, value = line.key(), line.value
        place = (key.node, key.call)
        if place in self._calls:
            raise self._contradiction(line, f"a second outcome for {key}")
        if key.stream != MAIN_STREAM:
            self._streams.append(f"{key.node} {key.call} {key.stream}")
        effect, request, outcome = value["effect"], value["request"], value["outcome"]
        message = outcome["value"]["message"] if effect == "model" and "value" in outcome else _REFERENCE
        if effect == "model" and list(request["messages"]) == list(message) == list(_REFERENCE) and type(request["model"]) is str:
            asked = sha256(line.form({"effect": effect, "request": request})).hexdigest()
            came = sha256(line.form(outcome)).hexdigest()
            self._calls[place] = (key.call, effect, request["model"], outcome["status"], asked, came)
            return
        # What stands in place here may be a reference elsewhere: it is digested anew.
        call, back = line.call(), line.outcome()
        if thaw(line.data) != thaw(wired(outcome_wire(call, back))):
            raise bad_line(line, f"more is said of the outcome {key} than is known here")
        self._calls[place] = (key.call, effect, call.effect.name, back.status, call.digest, back.digest)

    def _records(self, line: Line, slot: int, first: int) -> list[Item]:
        value = line.value
        beside = dumps([value.get("phase"), sorted(self._streams)])
        self._streams = []
        items = []
        for index, record in enumerate(value["records"]):
            calls = record.get("calls", ())
            for number, told in enumerate(calls):
                kept = self._calls.pop((record["node"], told[0]), None)
                if kept is None or (kept != tuple(told) and kept != line.data["records"][index]["calls"][number]):
                    place = EffectKey(value["input"], slot, record["node"], told[0])
                    what = f"the record of {place} tells of another call or outcome than the file holds"
                    raise self._contradiction(line, what)
            self._made += len(calls)
            form = _form(line, record, index)
            parts = [*[_part(line, record[name]) for name in ("input", "output") if name in record]]
            parts += [told[place].encode()[:16] for told in calls for place in (4, 5)]
            items.append(Item(slot, first + index, record["node"], _short(beside + form), tuple(parts)))
        if self._calls:
            node, call = next(iter(self._calls))
            place = EffectKey(value["input"], slot, node, call)
            raise self._contradiction(line, f"no record of frame {slot} tells of the outcome {place}")
        self._main = slot if "phase" not in value else self._main
        return items

    def _end(self, line: Line, frames: int) -> None:
        if self._calls:
            node, call = next(iter(self._calls))
            raise self._contradiction(line, f"no record tells of the call {call} of node {node}")
        counted = {"total_frames": self._main, "frames": frames, "calls": self._made}
        for name, actual in counted.items():
            if line.value[name] != actual:
                raise self._contradiction(line, f"input {line.value['input']} has {actual} {name}, not {line.value[name]}")
        self.messages[-1] = evolve(self.messages[-1], figures=figures(line))

    def _contradiction(self, line: Line, what: str) -> TraceIntegrity:
        return TraceIntegrity(f"{self._path}: line {line.number}: {what}", hint=_HINT, path=str(self._path), line=line.number)


_HINT = "the file was put together by something else than this tool; record again"
_REFERENCE = {"$c": 0}


def _form(line: Line, record: dict[str, Any], index: int) -> bytes:
    """Return the canonical form of a record without its node."""
    if all(list(record[name]) == list(_REFERENCE) for name in ("input", "output") if name in record):
        return line.form({name: value for name, value in record.items() if name != "node"})
    # What stands in place here may be a reference elsewhere, so all of it is made anew.
    data: FrozenMap = freeze(thaw(line.data["records"][index]))
    return canonical({name: value for name, value in with_shared(data).items() if name != "node"})


def _part(line: Line, value: Any) -> Digest:
    form = line.form(value)
    return form[1:17] if form[:1] == b"#" else _short(form)
