"""Cut a frame out of a trace, with the state as its records tell it, and write the test that runs it. No code runs here."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from json import dumps
from pathlib import Path
from typing import Any

from attrs import define, evolve, field, frozen

from frameengine.effects import EffectKey
from frameengine.errors import FrameEngineError, TraceError, TraceIntegrity, UnknownRef
from frameengine.graph.model import Graph
from frameengine.graph.registry import BoundGraph, fingerprint
from frameengine.inputs import Cancel, Clear, Given, Input, StateEdit, SwitchGraph
from frameengine.jsonvalue import EMPTY, FrozenMap, freeze
from frameengine.replay.frames import read_input
from frameengine.replay.replayer import embedded_graph
from frameengine.state import Change, RunState, change_from_json
from frameengine.testcase import FrameCase, NodeCase
from frameengine.trace.reader import Line, TraceReader

ID_DIGITS = 12
"""Digits of a seal that make the id of a run."""


@frozen(kw_only=True)
class Cut:
    """A frame, and where it came from."""

    case: FrameCase
    """The frame; which classes its messages are of is not known yet."""
    header: FrozenMap
    """Header of the trace."""
    graph: Graph
    """The graph that was in use."""
    switched: bool
    """Whether an input of the run had chosen it: then its definition does not stand in the trace."""
    problem: TraceError | None
    """What is wrong with the file behind the frame; only where a damaged one may be read."""


def cut(
    path: Path,
    message: int,
    frame: int,
    *,
    switch: Callable[[str], Graph],
    damaged: bool = False,
    progress: Callable[[int], None] = lambda _bytes: None,
) -> Cut:
    """Return frame *frame* of input *message*, the rest of the file proven too; *switch* finds graphs that inputs switch to.

    Raises `TraceError`, `UnknownRef` where there is no such frame, and what *switch* raises.
    """
    with TraceReader(path, damaged=damaged) as reader:
        fold = _Fold(reader=reader, message=message, frame=frame, graph=embedded_graph(reader.header, path), switch=switch)
        fold.read(progress)
        if fold.case is None:
            if reader.problem is not None:
                raise reader.problem
            raise fold.unknown()
        return Cut(
            case=evolve(fold.case, run=reader.head[:ID_DIGITS] if reader.sealed else ""),
            header=reader.header,
            graph=fold.graph,
            switched=fold.switched,
            problem=reader.problem,
        )


@define(kw_only=True)
class _Fold:
    """What is known of a run between two lines of its trace."""

    reader: TraceReader
    message: int
    frame: int
    graph: Graph
    switch: Callable[[str], Graph]
    switched: bool = False
    state: RunState = field(init=False)
    now: int = 0
    entered: Input | None = None
    case: FrameCase | None = None
    frames: list[int] = field(factory=list)
    """Numbers of the frames of the wanted message."""
    inside: int | None = None
    """Number of the input during whose message the wanted one came in."""
    _calls: dict[EffectKey, FrozenMap] = field(factory=dict)
    _arrived: int = 0

    def __attrs_post_init__(self) -> None:
        state = self.reader.header.get("state")
        self.state = RunState(self.graph.state if state is None else state)

    def read(self, progress: Callable[[int], None]) -> None:
        """Read the file to its end: what is behind the frame is proven, and decoded no more."""
        for line in self.reader.lines():
            progress(self.reader.offset)
            if self.case is not None:
                continue
            if line.kind == "input":
                self._input(line)
            elif line.kind == "outcome":
                self._outcome(line)
            elif line.kind == "frame":
                self._frame(line)
            else:
                self._check_state(line)

    def unknown(self) -> UnknownRef:
        """Return the error for a frame that is not there."""
        counts, path = self.reader.counts, self.reader.path
        if self.inside is not None:
            what = f"input {self.message} came in during message {self.inside}, and its frames are numbered with that"
        elif self.frames:
            what = f"message {self.message} has no frame {self.frame}: its frames are 1 to {self.frames[-1]}"
        elif 1 <= self.message <= counts.inputs:
            what = f"message {self.message} has no frames: no node ran"
        else:
            what = f"{path} has no message {self.message}: its inputs are 1 to {counts.inputs}"
        return UnknownRef(what, hint="frameengine show REF lists them", place=[self.message, self.frame])

    def _input(self, line: Line) -> None:
        entered = read_input(line)
        if isinstance(entered.body, StateEdit):
            self._apply(line, entered.body.changes())
        if entered.during is not None:
            self.inside = entered.during.input if entered.number == self.message else self.inside
            # What a Cancel cuts off arrives with it, and counts from the next frame on.
            self.now = self.now if isinstance(entered.body, Cancel) else max(self.now, entered.at)
            return
        self.entered, self.now = entered, max(self.now, entered.at)
        body = entered.body
        if isinstance(body, Given):
            self._apply(line, body.changes())
        elif isinstance(body, Clear):
            self.state = RunState(self.graph.state)
        elif isinstance(body, SwitchGraph):
            self.graph, self.switched = self.switch(body.graph), True
            self.state = RunState(self.graph.state)

    def _outcome(self, line: Line) -> None:
        key = line.key()
        self._arrived = max(self._arrived, line.at or 0)
        if (key.input, key.frame) == (self.message, self.frame):
            call: dict[str, Any] = {"call": key.call}
            call.update({name: line.data[name] for name in ("effect", "request", "outcome")})
            self._calls[key] = freeze(call)

    def _frame(self, line: Line) -> None:
        data, entered = line.data, self.entered
        number = data["frame"]
        if data["input"] == self.message:
            self.frames.append(number)
            if number == self.frame and entered is not None and entered.number == self.message:
                self.case = self._cut(data, entered)
                return
        for record in data["records"]:
            self._apply(line, [change_from_json(change) for change in record.get("changes", ())])
        self.now = max(self.now, self._arrived)

    def _cut(self, data: FrozenMap, entered: Input) -> FrameCase:
        nodes = []
        for record in data["records"]:
            calls = [self._calls[key] for key in sorted(self._calls) if key.node == record["node"]]
            nodes.append(NodeCase(record=record, calls=tuple(calls)))
        return FrameCase(
            input=entered,
            frame=self.frame,
            phase=data.get("phase", "main"),
            seed=self.reader.header.get("seed", 0),
            now=self.now,
            state=self.state.sections,
            nodes=tuple(nodes),
            # With it a frame that no longer comes out as recorded says what changed since.
            fingerprint=EMPTY if self.switched else self.reader.header.get("fingerprint", EMPTY),
        )

    def _apply(self, line: Line, changes: Iterable[Change]) -> None:
        try:
            self.state = self.state.apply(changes)
        except FrameEngineError as error:
            raise self._contradiction(line, f"a recorded change does not fit: {error.message}") from error

    def _check_state(self, line: Line) -> None:
        """Raise `TraceIntegrity` where the state at the end of a message is not the one that its changes make."""
        if self.state.digest != line.data["state"]:
            raise self._contradiction(line, "the changes before it do not make the state that it tells of")

    def _contradiction(self, line: Line, what: str) -> TraceIntegrity:
        hint = "the file was put together by something else than this tool; record again"
        return TraceIntegrity(f"{self.reader.path}: line {line.number}: {what}", hint=hint, line=line.number)


def only(case: FrameCase, node: str) -> FrameCase:
    """Return the case of one node of a frame. Raises `UnknownRef`."""
    chosen = tuple([each for each in case.nodes if each.node == node])
    if not chosen:
        known = [each.node for each in case.nodes]
        hint = f"name one that did: {', '.join(known)}"
        raise UnknownRef(f"node {node!r} did not run in frame {case.place}", hint=hint, node=node, known=known)
    return evolve(case, nodes=chosen)


def finished(case: FrameCase, bound: BoundGraph, *, embedded: bool) -> FrameCase:
    """Return a case with the digests of the code that it passes with, and the graph's definition where it is to be *embedded*."""
    whole = fingerprint(bound)
    names = [node.node for node in case.nodes]
    prompts = [prompt for name in names for prompt in bound.graph.node(name).prompts]
    kept = {
        "graph": whole["graph"],
        "nodes": {name: whole["nodes"][name] for name in names},
        "prompts": {name: whole["prompts"][name] for name in prompts},
    }
    return evolve(case, graph=bound.graph.to_json() if embedded else None, fingerprint=freeze(kept))


def name_of(stem: str, case: FrameCase, node: str | None) -> str:
    """Return what the test of a case from the run *stem* is called: a name that Python takes."""
    parts = [stem, str(case.input.number), str(case.frame), *([] if node is None else [node])]
    return "test_" + re.sub(r"[^a-z0-9]+", "_", "_".join(parts).lower()).strip("_")


def source_of(name: str, case: FrameCase, graph: str | Path | None) -> str:
    """Return the text of the test; *graph* is a name, or the path of a file as it is seen from the test's folder."""
    nodes = " and ".join([node.node for node in case.nodes])
    leaves = f"nodes {nodes} leave" if len(case.nodes) > 1 else f"node {nodes} leaves"
    run = f" of run {case.run}" if case.run else ""
    named = f"graph={dumps(str(graph))}"
    if isinstance(graph, Path):
        named = f"graph=here.parent / {dumps(graph.as_posix())}"
    return f'''"""Frame {case.place}{run}, by itself: the file beside this one has what went in, and what must come of it."""

from pathlib import Path

from frameengine.testcase import check_frame


def {name}() -> None:
    """Given the recorded message, state and replies, {leaves} the recorded frame."""
    here = Path(__file__)
    check_frame(here.with_suffix(".json"){"" if graph is None else f", {named}"})
'''
