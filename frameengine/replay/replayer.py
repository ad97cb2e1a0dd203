"""Replay a trace strictly: the real nodes, the recorded outcomes, and a comparison of everything."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing
from itertools import count
from pathlib import Path
from shlex import quote
from typing import Any, Literal, TypeAlias

from attrs import evolve, frozen

from frameengine.codec import canonical
from frameengine.engine.guard import Guard
from frameengine.engine.message import Engine
from frameengine.engine.stops import Ask, Committed, Reply, Stop
from frameengine.errors import Diverged, GraphValidation, NothingCompared, TraceFormat
from frameengine.graph.model import Graph
from frameengine.graph.registry import BoundGraph, bind, fingerprint
from frameengine.graph.validate import place_name, validate
from frameengine.inputs import Input, SwitchGraph
from frameengine.jsonvalue import EMPTY, FrozenMap, thaw
from frameengine.records import Frame, FrameTrace
from frameengine.replay.cause import Circumstances, changed
from frameengine.replay.delivered import Delivered
from frameengine.replay.divergence import NOTHING, Divergence, Kind, compare, wired
from frameengine.replay.frames import Lockstep, Segment, read_input, read_segment
from frameengine.state import RunState
from frameengine.trace.canonical import CanonicalDigest
from frameengine.trace.reader import Counts, Line, TraceReader
from frameengine.trace.writer import TraceWriter

Verdict: TypeAlias = Literal["same", "diverged"]
_WRITERS_OWN = ("kind", "format", "durability", "meta")
"""Members of a header that a replay's output does not take over."""


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
    """Name of the graph; of all of them, in order, where inputs switched to others."""
    changed: tuple[str, ...] = ()
    """What has another digest than when it was recorded, and made no difference so far."""
    fingerprinted: bool = False
    """Whether the record has a digest of every node that the replay ran with: without one nothing is known of changes."""
    open: tuple[int, ...] = ()
    """Inputs whose recording stops inside them: they are the same up to that call, and what would follow it nobody knows."""

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
        trust: bool = False,
    ) -> None:
        """Prepare to replay *path*, with *bound* or else with the definition in its header; *output* takes the replayed run.

        The definition in the header may name registered nodes; with *trust* any ``module:Class``, which is imported. Raises
        `TraceError`, and `GraphError` for a definition that cannot be used.
        """
        self.path = path
        self._digest = CanonicalDigest()
        self._delivered = Delivered()
        self._graphs: dict[str, None] = {}
        self._changes: dict[str, None] = {}
        self._fingerprinted = True
        self._counts = {"inputs": 0, "frames": 0, "calls": 0}
        self._open: list[int] = []
        self._ran: dict[str, None] = {}
        self._changed_outcome: Divergence | None = None
        self._writer: TraceWriter | None = None
        with ExitStack() as stack:
            self._reader = stack.enter_context(TraceReader(path))
            header = self.header = self._reader.header
            self._fingerprint: FrozenMap = header.get("fingerprint", EMPTY)
            self.bound = bound or bind(embedded_graph(header, path), trusted=trust)
            state = header.get("state")
            self.engine = Engine(
                self.bound,
                seed=header.get("seed", 0),
                state=None if state is None else RunState(state),
                guard=guard or Guard(),
                instruments=(self._delivered, *instruments),
                switch=switch,
            )
            if output is not None:
                members = {name: value for name, value in header.items() if name not in _WRITERS_OWN}
                self._writer = stack.enter_context(TraceWriter(output, members))
            self._stack = stack.pop_all()

    @property
    def differs(self) -> bool:
        """Whether a difference was found already: one of an outcome alone does not end the replay."""
        return self._changed_outcome is not None

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
        bound = self.engine.bound
        current = self._note_graph()
        if divergence is not None:
            prompts = {spec.name: spec.prompts for spec in bound.graph.nodes}
            divergence = Circumstances(recorded=self._fingerprint, current=current, prompts=prompts, ran=self._ran).of(divergence)
        return ReplayResult(
            path=self.path,
            header=self.header,
            verdict="same" if divergence is None else "diverged",
            counts=Counts(**self._counts),
            canonical=self._digest.hexdigest(),
            divergence=divergence,
            graph=", ".join(self._graphs),
            changed=tuple(self._changes),
            fingerprinted=self._fingerprinted,
            open=tuple(self._open),
        )

    def _note_graph(self) -> FrozenMap:
        """Take note of the graph in use, and of what has another digest than in its record; return its digests of now."""
        bound = self.engine.bound
        current = fingerprint(bound)
        recorded = self._fingerprint.get("nodes", EMPTY)
        self._graphs[bound.graph.name] = None
        self._fingerprinted &= all(recorded.get(spec.name, EMPTY).get("code") for spec in bound.graph.nodes)
        self._changes.update(dict.fromkeys(str(change) for change in changed(self._fingerprint, current)))
        return current

    def _check_counts(self) -> None:
        counts = self._reader.counts
        ours = Counts(**self._counts)
        if ours != counts or not self._reader.sealed or self._delivered.hexdigest() != self._digest.hexdigest():
            raise NothingCompared(
                f"{self.path}: the file has {counts}, the replay compared {ours}, or not all of it reached the nodes",
                hint="this is a defect of the replayer: please report it",
            )
        if not (counts.inputs and counts.frames and counts.calls):
            raise NothingCompared(
                f"{self.path}: nothing to compare: inputs {counts.inputs}, frames {counts.frames}, calls {counts.calls}",
                hint="record a run that does something",
                path=str(self.path),
            )

    def _message(self, line: Line, lines: Iterator[Line]) -> None:
        """Replay one input, frame by frame beside the record."""
        recorded = self._begin(line)
        reply: Reply | None = None
        last = False
        with closing(self.engine.message(recorded)) as steps:
            for number in count(1):
                segment = self._segment(lines, recorded, number)
                if last and (segment.late or segment.end.kind != "trace"):
                    raise self._bad(segment.end, f"input {recorded.number} goes on behind the frame in which it stopped")
                last = segment.last
                if segment.late:
                    reply = Reply(late=segment.late)
                stop = _advance(steps, reply)
                if number == 1:
                    self._delivered.message(recorded.number, line.canonical())
                if segment.end.kind == "trace":
                    self._end(segment, stop, recorded.number, number)
                    return
                if isinstance(stop, FrameTrace):
                    self._stop_at("missing", recorded.number, number, recorded=f"frame {number}", replayed=NOTHING)
                else:
                    self._frame(segment, steps, stop, recorded.number, number)
                reply = Reply()

    def _begin(self, line: Line) -> Input:
        if line.kind != "input":
            raise self._bad(line, f"a {line.kind} outside a message")
        recorded = read_input(line)
        self._counts["inputs"] += 1
        self._digest.line(line.canonical())
        if recorded.number != self._counts["inputs"] or recorded.during is not None:
            raise self._bad(line, f"input {recorded.number} where input {self._counts['inputs']} of its own was expected")
        if isinstance(recorded.body, SwitchGraph):
            self._note_graph()
            self._fingerprint, self._ran = recorded.body.fingerprint, {}
        if self._writer is not None:
            self._writer.input(recorded)
        return recorded

    def _segment(self, lines: Iterator[Line], recorded: Input, frame: int) -> Segment:
        segment = read_segment(lines, recorded.number, frame)
        for entered in (*segment.late, *([segment.cancel] if segment.cancel else ())):
            self._counts["inputs"] += 1
            if entered.number != self._counts["inputs"]:
                raise self._bad(segment.end, f"input {entered.number} where input {self._counts['inputs']} was expected")
        for key, form in segment.canonical:
            if key is None:
                self._digest.line(form)
            else:
                self._digest.outcome(key, form)
        self._digest.line(segment.end.canonical())
        return segment

    def _frame(self, segment: Segment, steps: Steps, stop: Stop | FrameTrace, number: int, frame: int) -> None:
        lockstep = Lockstep(segment, self.engine.order, number, frame)
        while isinstance(stop, Ask):
            answers = lockstep.answer(stop)
            cancel = segment.cancelled(answers)
            if cancel and segment.cancel is not None:
                self.engine.instruments.call("on_input", segment.cancel)
            stop = steps.send(Reply(tuple(answers), cancel=cancel))
        self._counts["calls"] += lockstep.calls
        lockstep.missing()
        if isinstance(stop, Committed):
            if canonical(stop.frame.wire()) != segment.end.canonical():
                lockstep.compare(stop.frame, stop.raised)
            if not lockstep.stopped:
                self._delivered.segment(segment, [call.key for call, _ in lockstep.answered()])
                self._counts["frames"] += 1
                self._write(segment, lockstep, stop.frame)
        self._judge(lockstep.divergences())
        self._ran.update(dict.fromkeys(record["node"] for record in segment.end.value["records"]))

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

    def _end(self, segment: Segment, stop: Stop | FrameTrace, number: int, frame: int) -> None:
        """Compare the figures of an input that the record is done with."""
        line = segment.end
        if not isinstance(stop, FrameTrace):
            self._stop_at("extra", number, frame, recorded=NOTHING, replayed=f"frame {frame}")
        elif canonical(stop.wire()) != line.canonical():
            difference = compare(line.data, wired(stop.wire()), kind="length", input=number, frame=0)
            if difference is not None:
                kind: Kind = "state" if difference.pointer == "/state" else "route" if difference.pointer == "/path" else "length"
                self._judge([evolve(difference, kind=kind)])
        if line.data["status"] == "open":
            self._open.append(number)
        self._delivered.segment(segment, ())
        if self._writer is not None and isinstance(stop, FrameTrace):
            for late in segment.late:
                self._writer.input(late)
            self._writer.trace(stop, EMPTY)

    def _stop_at(self, kind: Kind, number: int, frame: int, *, recorded: str, replayed: str) -> None:
        self._judge([Divergence(kind=kind, input=number, frame=frame, recorded=recorded, replayed=replayed)])

    def _write(self, segment: Segment, lockstep: Lockstep, frame: Frame) -> None:
        if self._writer is None:
            return
        for late in segment.late:
            self._writer.input(late)
        answered = [(call, evolve(outcome, meta=EMPTY)) for call, outcome in lockstep.answered()]
        if segment.cancel is not None:
            # A Cancel stands between what had arrived and what it cut off: that order is digested.
            answered.sort(key=lambda pair: pair[0].key not in segment.early)
        entered = False
        for call, outcome in answered:
            if segment.cancel is not None and not entered and call.key not in segment.early:
                self._writer.input(segment.cancel)
                entered = True
            self._writer.outcome(call, outcome)
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
            f"{self.path}: line {line.number}: {what}",
            hint="the file was not written by this tool",
            path=str(self.path),
            line=line.number,
        )


Steps: TypeAlias = Generator[Stop, Reply, FrameTrace]


def _advance(steps: Steps, reply: Reply | None) -> Stop | FrameTrace:
    """Go on to the next stop, or to the figures at the end."""
    try:
        return next(steps) if reply is None else steps.send(reply)
    except StopIteration as end:
        trace: FrameTrace = end.value
        return trace


def check_runs_code(graph: Graph, path: Path) -> None:
    """Raise `NothingCompared` where no node of the graph computes anything: that it does the same again would say nothing.

    So it is with recorded HTTP calls, whose agent is no graph. Who gives a verdict asks this first.
    """
    if all(spec.implementation == "http_exchange" for spec in graph.nodes):
        what = f"{path} holds calls of an agent that is no graph: there is no node to run, so nothing would be compared"
        raise NothingCompared(
            what, hint=f"run the agent: frameengine replay --exec {quote(str(path))} -- COMMAND", path=str(path)
        )


def embedded_graph(header: FrozenMap, path: Path) -> Graph:
    """Return the graph whose definition stands in a header. Raises `TraceFormat`, and `GraphValidation` with its problems."""
    definition = header.get("graph")
    if not isinstance(definition, FrozenMap):
        raise TraceFormat(f"{path}: the header has no graph", hint="name one with --graph", path=str(path), line=1)
    try:
        # Long names stand as frozen texts in a header and as plain ones in a file, and a record tells the two apart.
        graph = Graph.from_json(thaw(definition))
        problems = [{"place": place_name(problem.place), "problem": problem.text} for problem in validate(graph)]
        if not all(isinstance(text, str) for spec in graph.nodes for text in (spec.implementation, *spec.prompts)):
            raise TypeError("implementations and prompts are names")
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        what = f"{path}: the graph in the header is no graph: {error}"
        raise TraceFormat(what, hint="name one with --graph", path=str(path), line=1) from error
    if problems:
        listed = "\n".join([f"  {problem['place']}: {problem['problem']}" for problem in problems])
        raise GraphValidation(
            f"{path}: the graph in the header does not hold together\n{listed}",
            hint="name one with --graph",
            source=str(path),
            problems=problems,
        )
    return graph
