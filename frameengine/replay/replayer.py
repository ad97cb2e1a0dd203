"""Replay a trace strictly: the real nodes, the recorded outcomes, and a comparison of everything."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any, Literal, TypeAlias

from attrs import evolve, frozen

from frameengine.codec import canonical
from frameengine.engine.guard import Guard
from frameengine.engine.message import Engine
from frameengine.engine.stops import Ask, Committed, Reply, Stop
from frameengine.errors import Diverged, NothingCompared, TraceFormat
from frameengine.graph.model import Graph
from frameengine.graph.registry import BoundGraph, bind, fingerprint
from frameengine.inputs import Input
from frameengine.jsonvalue import EMPTY, FrozenMap
from frameengine.records import Frame, FrameTrace
from frameengine.replay.cause import with_cause
from frameengine.replay.divergence import NOTHING, Divergence, Kind, compare, wired
from frameengine.replay.frames import Lockstep, Segment, read_segment
from frameengine.state import RunState
from frameengine.trace.canonical import CanonicalDigest
from frameengine.trace.reader import Counts, Line, TraceReader
from frameengine.trace.writer import TraceWriter

Verdict: TypeAlias = Literal["same", "diverged"]


@frozen(kw_only=True)
class ReplayResult:
    """What a replay found."""

    path: Path
    """The trace."""
    header: FrozenMap
    """Its header."""
    verdict: Verdict
    """same, or diverged."""
    counts: Counts
    """Inputs, frames and calls that were replayed and compared; equal to the seal's where the verdict is same."""
    canonical: str
    """Canonical digest of the record and, where the verdict is same, of the replay; in hex."""
    divergence: Divergence | None = None
    """The first difference, where there is one."""
    graph: str = ""
    """Where the graph came from: its name, a path, or the definition in the header."""
    changed: tuple[str, ...] = ()
    """What has another digest than when it was recorded, and made no difference so far."""

    def raise_if_diverged(self) -> ReplayResult:
        """Return the result; raise `Diverged` where it is a divergence."""
        if self.divergence is not None:
            raise Diverged(
                f"{self.path}: diverged at {self.divergence.place}: {self.divergence.kind} {self.divergence.pointer}".rstrip(),
                hint="see the recorded and the replayed value; 'frameengine replay' shows both",
                divergence=self.divergence.to_json(),
            )
        return self


class _Stopped(Exception):
    """A divergence was found and replay goes no further."""

    def __init__(self, divergence: Divergence) -> None:
        super().__init__(divergence.place)
        self.divergence = divergence


class Replayer:
    """One replay of one trace."""

    def __init__(
        self,
        path: Path,
        *,
        bound: BoundGraph | None = None,
        guard: Guard | None = None,
        output: Path | None = None,
        instruments: tuple[Any, ...] = (),
        switch: Callable[[str], BoundGraph] | None = None,
    ) -> None:
        """Prepare to replay *path*, with *bound* or else with the definition in its header; *output* takes the replayed run."""
        self.path = path
        self._stack = ExitStack()
        self._reader = self._stack.enter_context(TraceReader(path))
        header = self.header = self._reader.header
        self.bound = bound or bind(embedded_graph(header, path))
        state = header.get("state")
        self.engine = Engine(
            self.bound,
            seed=header.get("seed", 0),
            state=None if state is None else RunState(state),
            guard=guard or Guard(),
            instruments=instruments,
            switch=switch,
        )
        self._digest = CanonicalDigest()
        self._counts = {"inputs": 0, "frames": 0, "calls": 0}
        self._changed_outcome: Divergence | None = None
        self._writer: TraceWriter | None = None
        if output is not None:
            members = {name: value for name, value in header.items() if name not in ("kind", "format", "durability")}
            self._writer = self._stack.enter_context(TraceWriter(output, members))

    def run(self) -> ReplayResult:
        """Replay to the seal or to the first divergence. Raises `TraceError` or `NothingCompared`."""
        divergence: Divergence | None = None
        with self._stack:
            lines = self._reader.lines()
            try:
                for line in lines:
                    self._message(line, lines)
                divergence = self._changed_outcome
                if divergence is None:
                    self._check_counts()
                    if self._writer is not None:
                        self._writer.seal()
            except _Stopped as stopped:
                divergence = stopped.divergence
                self._drain(lines)
        return self._result(divergence)

    def _result(self, divergence: Divergence | None) -> ReplayResult:
        recorded, current = self.header.get("fingerprint", EMPTY), fingerprint(self.bound)
        if divergence is not None:
            prompts = {spec.name: tuple(spec.prompts) for spec in self.bound.graph.nodes}
            divergence = with_cause(divergence, recorded, current, prompts)
        return ReplayResult(
            path=self.path,
            header=self.header,
            verdict="same" if divergence is None else "diverged",
            counts=Counts(**self._counts),
            canonical=self._digest.hexdigest(),
            divergence=divergence,
            graph=self.bound.graph.name,
            changed=tuple(_changed(recorded, current)),
        )

    def _check_counts(self) -> None:
        counts = self._reader.counts
        ours = Counts(**self._counts)
        if ours != counts or not self._reader.sealed:
            raise NothingCompared(
                f"{self.path}: the file has {counts}, the replay compared {ours}", hint="this is a defect of the replayer: please report it"
            )
        if not counts.inputs or not (counts.frames or counts.calls):
            raise NothingCompared(
                f"{self.path}: {counts.inputs} inputs, {counts.frames} frames, {counts.calls} calls: there is nothing to compare",
                hint="record a run that does something",
                path=str(self.path),
            )

    def _message(self, line: Line, lines: Iterator[Line]) -> None:
        """Replay one input, frame by frame beside the record."""
        recorded = self._begin(line)
        steps = self.engine.message(recorded)
        reply: Reply | None = None
        for number in count(1):
            segment = self._segment(lines, recorded)
            if segment.late:
                reply = Reply(late=tuple(segment.late))
            stop = _advance(steps, reply)
            if segment.end.kind == "trace":
                self._end(segment.end, stop, recorded.number, number)
                return
            if isinstance(stop, FrameTrace):
                self._stop_at("missing", recorded.number, number, recorded=f"frame {number}", replayed=NOTHING)
            self._frame(segment, steps, stop, recorded.number, number)
            reply = Reply()

    def _begin(self, line: Line) -> Input:
        if line.kind != "input":
            raise self._bad(line, f"a {line.kind} outside a message")
        recorded = line.input()
        self._counts["inputs"] += 1
        self._digest.line(line.canonical())
        if recorded.number != self._counts["inputs"] or recorded.during is not None:
            raise self._bad(line, f"input {recorded.number} where input {self._counts['inputs']} of its own was expected")
        if self._writer is not None:
            self._writer.input(recorded)
        return recorded

    def _segment(self, lines: Iterator[Line], recorded: Input) -> Segment:
        segment = read_segment(lines)
        self._counts["inputs"] += len(segment.late) + (segment.cancel is not None)
        for key, form in segment.canonical:
            if key is None:
                self._digest.line(form)
            elif key.input != recorded.number:
                raise self._bad(segment.end, f"the outcome {key} stands inside input {recorded.number}")
            else:
                self._digest.outcome(key, form)
        self._digest.line(segment.end.canonical())
        return segment

    def _frame(self, segment: Segment, steps: Steps, stop: Stop | FrameTrace, number: int, frame: int) -> None:
        lockstep = Lockstep(segment, self.engine.order, number, frame)
        while isinstance(stop, Ask):
            answers = lockstep.answer(stop)
            if not answers:
                break
            cancel = segment.cancel is not None and any(answer.outcome.status == "cancelled" for answer in answers)
            stop = steps.send(Reply(tuple(answers), cancel=cancel))
        self._counts["calls"] += lockstep.calls
        lockstep.missing()
        if isinstance(stop, Committed):
            self._counts["frames"] += 1
            if canonical(stop.frame.wire()) != segment.end.canonical():
                lockstep.compare(stop.frame)
            self._write(segment, lockstep, stop.frame)
        self._judge(lockstep.divergences())

    def _judge(self, found: list[Divergence]) -> None:
        """Stop at the first difference. One of an outcome alone is kept until what follows from it is found."""
        for divergence in found:
            if self._changed_outcome is not None:
                if divergence.kind != "outcome":
                    raise _Stopped(evolve(self._changed_outcome, consequence=divergence))
            elif divergence.kind == "outcome":
                self._changed_outcome = divergence
            else:
                raise _Stopped(divergence)

    def _end(self, line: Line, stop: Stop | FrameTrace, number: int, frame: int) -> None:
        """Compare the figures of an input that the record is done with."""
        if not isinstance(stop, FrameTrace):
            self._stop_at("extra", number, frame, recorded=NOTHING, replayed=f"frame {frame}")
        elif canonical(stop.wire()) != line.canonical():
            difference = compare(line.data, wired(stop.wire()), kind="length", input=number, frame=0)
            if difference is not None:
                kind: Kind = "state" if difference.pointer == "/state" else "route" if difference.pointer == "/path" else "length"
                self._judge([evolve(difference, kind=kind)])
        if self._writer is not None and isinstance(stop, FrameTrace):
            self._writer.trace(stop, EMPTY)

    def _stop_at(self, kind: Kind, number: int, frame: int, **values: str) -> None:
        self._judge([Divergence(kind=kind, input=number, frame=frame, **values)])

    def _write(self, segment: Segment, lockstep: Lockstep, frame: Frame) -> None:
        if self._writer is None:
            return
        for late in (*segment.late, *([segment.cancel] if segment.cancel else ())):
            self._writer.input(late)
        for call, outcome in lockstep.answered():
            self._writer.outcome(call, evolve(outcome, meta=EMPTY))
        self._writer.frame(frame, EMPTY)

    def _drain(self, lines: Iterator[Line]) -> None:
        """Prove the rest of the file after a divergence: a damaged file is reported as one."""
        for line in lines:
            if line.kind == "outcome":
                self._digest.outcome(line.key(), line.canonical())
            else:
                self._digest.line(line.canonical())

    def _bad(self, line: Line, what: str) -> TraceFormat:
        return TraceFormat(
            f"{self.path}: line {line.number}: {what}", hint="the file was not written by this tool", path=str(self.path), line=line.number
        )


Steps: TypeAlias = Generator[Stop, Reply, FrameTrace]


def _advance(steps: Steps, reply: Reply | None) -> Stop | FrameTrace:
    """Go on to the next stop, or to the figures at the end."""
    try:
        return next(steps) if reply is None else steps.send(reply)
    except StopIteration as end:
        trace: FrameTrace = end.value
        return trace


def _changed(recorded: FrozenMap, current: FrozenMap) -> Iterator[str]:
    """Yield what has another digest than when it was recorded."""
    if recorded.get("graph") != current.get("graph"):
        yield "graph"
    for group, member in (("nodes", "code"), ("prompts", None)):
        before, after = recorded.get(group, EMPTY), current.get(group, EMPTY)
        for name in before:
            if name in after and (before[name] if member is None else before[name].get(member)) != (
                after[name] if member is None else after[name].get(member)
            ):
                yield f"{'code of node' if member else 'prompt'} {name}"


def embedded_graph(header: FrozenMap, path: Path) -> Graph:
    """Return the graph whose definition stands in a header."""
    definition = header.get("graph")
    if not isinstance(definition, FrozenMap):
        raise TraceFormat(f"{path}: the header has no graph", hint="name one with --graph", path=str(path), line=1)
    return Graph.from_json(definition)
