"""Run a suite on a graph: each act is an input of one run, each expectation looks at what the last act led to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from attrs import frozen

from frameengine.codec import dumps
from frameengine.effects import Call, Outcome
from frameengine.engine.driver import VIRTUAL_INPUT, Recorder, Run
from frameengine.engine.message import Engine
from frameengine.errors import UsageError
from frameengine.graph.model import Graph
from frameengine.graph.registry import BoundGraph
from frameengine.inputs import Body, Dashboard, Input, Tick, UserMessage
from frameengine.jsonvalue import EMPTY, FrozenMap
from frameengine.node import TEXT_EVENT
from frameengine.nodes.shaping import SHAPING
from frameengine.records import Frame, FrameTrace
from frameengine.suites.actions import Act, pressed
from frameengine.suites.evidence import Check, Evidence
from frameengine.suites.format import Line, Step, Suite
from frameengine.ui.surface import current

SECOND: Final = 1_000_000
"""Microseconds."""
ANSWER: Final = "answer"
"""The stream of text that is the answer."""


@frozen(kw_only=True)
class Result:
    """One expectation that was looked at."""

    step: int
    """Number of its step."""
    name: str
    """Name of its step."""
    expected: str
    """What was expected, as it is written."""
    line: int
    """Its line in the suite."""
    fault: str
    """What was seen instead; empty where it holds."""

    @property
    def passed(self) -> bool:
        """Whether it holds."""
        return not self.fault


def check_graph(suite: Suite, graph: Graph) -> None:
    """Raise `UsageError` where *suite* speaks of what *graph* does not have: such an expectation could not fail, or not hold."""
    named = suite.needs("graph")
    if named and graph.name not in named:
        raise UsageError(
            f"{suite.path} is written for {', '.join(named)}, not for {graph.name}",
            hint="choose one of them, or add the graph to its setup",
            graph=graph.name,
        )
    problems = [
        f"  line {line.number}: {strange}"
        for step in suite.steps
        for line, item in step.todo
        if isinstance(item, Check) and (strange := item.strange(graph))
    ]
    if problems:
        raise UsageError("\n".join([f"{suite.path} does not fit {graph.name}:", *problems]), hint="correct these lines")


def run_suite(
    suite: Suite,
    bound: BoundGraph,
    performer: Any,
    *,
    recorder: Recorder | None = None,
    on_result: Callable[[Result], None] = lambda _: None,
) -> tuple[Result, ...]:
    """Run *suite* and return its results in order; each is told to *on_result* as soon as it is there (C125).

    Raises `UsageError` (`check_graph`), and what the performer raises where a reply is missing.
    """
    check_graph(suite, bound.graph)
    results = []
    for result in _Conversation(suite, bound, performer, recorder).results():
        results.append(result)
        on_result(result)
    return tuple(results)


class _Conversation:
    """The run of one suite."""

    def __init__(self, suite: Suite, bound: BoundGraph, performer: Any, recorder: Recorder | None) -> None:
        self._suite = suite
        self._engine = Engine(bound)
        self._seen = _Seen(recorder)
        self._run = Run(self._engine, performer, self._seen)
        who = {key: "".join(suite.needs(key)[:1]) for key in ("user", "channel")}
        self._who = {"user_id": who["user"] or "anon", "channel": who["channel"]}

    def results(self) -> Iterator[Result]:
        trace: FrameTrace | None = None
        for step in self._suite.steps:
            judged = any(isinstance(item, Check) and item.status for _, item in step.todo)
            for line, item in step.todo:
                # The reader refuses an expectation before the first act.
                if isinstance(item, Check) and trace is not None:
                    yield _result(step, line, item.fault(self._evidence(trace)))
                if isinstance(item, Check):
                    continue
                body = self._body(item)
                if body is None:
                    yield _result(step, line, f"no button is called that; there are {self._buttons()}")
                    continue
                trace = self._send(item, body)
                if trace.status != "done" and not judged:
                    yield _result(step, line, f"the message ended as {trace.status}{self._seen.errors()}")

    def _body(self, act: Act) -> Body | None:
        if act.patterns:
            return pressed(act.patterns, current(self._ui))
        if act.seconds:
            return Tick()
        if act.as_shown:
            return Dashboard(controls=current(self._ui))
        body: Body = act.body
        return UserMessage(message=body.message, **self._who) if isinstance(body, UserMessage) else body

    def _send(self, act: Act, body: Body) -> FrameTrace:
        self._seen.begin()
        now = self._engine.now
        return self._run.send(
            body, now + act.seconds * SECOND if act.seconds else max(now, (self._run.inputs + 1) * VIRTUAL_INPUT)
        )

    def _evidence(self, trace: FrameTrace) -> Evidence:
        records = tuple([record for frame in self._seen.frames for record in frame.records])
        shown = [emission for record in records for emission in record.emissions if emission.event == TEXT_EVENT]
        return Evidence(
            response="".join([emission.data["text"] for emission in shown if emission.data["stream"] == ANSWER]),
            controls=current(self._ui),
            state=self._engine.state.sections,
            records=records,
            trace=trace,
            tools=tuple(self._seen.tools()),
        )

    def _buttons(self) -> str:
        labels = [str(control.get("label")) for control in current(self._ui) if control.get("type") == "button"]
        return ", ".join(labels) or "none"

    @property
    def _ui(self) -> FrozenMap:
        section: FrozenMap = self._engine.state.sections.get("ui", EMPTY)
        return section


def _result(step: Step, line: Line, fault: str) -> Result:
    return Result(step=step.number, name=step.name, expected=f"{line.directive}: {line.text}", line=line.number, fault=fault)


class _Seen:
    """A recorder that keeps the newest message, and hands all on to another one."""

    def __init__(self, behind: Recorder | None) -> None:
        self._behind = behind
        self.begin()

    def begin(self) -> None:
        self.frames: list[Frame] = []
        self._calls: list[Call] = []

    def input(self, input: Input) -> None:
        if self._behind is not None:
            self._behind.input(input)

    def outcome(self, call: Call, outcome: Outcome) -> None:
        self._calls.append(call)
        if self._behind is not None:
            self._behind.outcome(call, outcome)

    def frame(self, frame: Frame, meta: FrozenMap) -> None:
        self.frames.append(frame)
        if self._behind is not None:
            self._behind.frame(frame, meta)

    def trace(self, trace: FrameTrace, meta: FrozenMap) -> None:
        if self._behind is not None:
            self._behind.trace(trace, meta)

    def tools(self) -> Iterator[tuple[str, str]]:
        """Yield name and arguments of each tool: of those that ran, and of those that shaped the surface inside a node."""
        for call in self._calls:
            if call.effect.kind == "tool":
                yield call.effect.name, dumps(call.effect.wire()["arguments"]).decode()
        for frame in self.frames:
            for record in frame.records:
                for emission in record.emissions:
                    if emission.event == "tool_call" and emission.data.get("tool") in SHAPING:
                        yield str(emission.data["tool"]), dumps(emission.data.get("args")).decode()

    def errors(self) -> str:
        """Return the errors of the newest message, each after a colon."""
        errors = [(record.node, record.error) for frame in self.frames for record in frame.records if record.error is not None]
        return "".join([f": {node}: {error.get('message', '')}" for node, error in errors])
