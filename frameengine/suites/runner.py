"""Run a suite on a graph: each act is an input of one run, each expectation looks at what the last act led to."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import takewhile
from typing import Any, Final

from attrs import evolve, frozen

from frameengine.effects import Answer, Call, EffectKey, ModelCall, Outcome, ToolCall, ToolReply, text_of
from frameengine.engine.driver import VIRTUAL_INPUT, Recorder, Run, virtual_at
from frameengine.engine.message import Engine
from frameengine.engine.stops import Ask
from frameengine.errors import UsageError
from frameengine.graph.model import Graph
from frameengine.graph.registry import BoundGraph
from frameengine.inputs import Body, Clear, Dashboard, Input, Tick, UserMessage
from frameengine.jsonvalue import EMPTY, FrozenMap
from frameengine.node import ANSWER, TEXT_EVENT
from frameengine.nodes.shaping import SHAPING
from frameengine.records import Frame, FrameRecord, FrameTrace
from frameengine.suites.actions import Act, pressed
from frameengine.suites.evidence import Check, Evidence, ToolUse, as_json
from frameengine.suites.events import not_to_be_missed
from frameengine.suites.format import Line, Step, Suite
from frameengine.ui.surface import current

SECOND: Final = 1_000_000
"""Microseconds."""

NOT_DONE: Final = "not looked at: what it is about was not done"
"""Fault of an expectation behind a click that found no button."""


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
    todo = [entry for step in suite.steps for entry in step.todo]
    seen = [event for _, item in todo if isinstance(item, Check) for event in item.sees]
    problems = [f"  line {line.number}: {strange}" for line, item in todo if (strange := _strange(item, graph, seen))]
    if problems:
        raise UsageError("\n".join([f"{suite.path} does not fit {graph.name}:", *problems]), hint="correct these lines")


def _strange(item: Act | Check, graph: Graph, seen: Collection[tuple[str, str]]) -> str:
    """Return what makes a line meaningless on *graph*, or nothing; *seen* are the events that the suite wants to see."""
    if isinstance(item, Act):
        kind = item.input
        return "" if kind == Clear.type or kind in graph.entry else f"no node of {graph.name} takes a {kind}: nothing would happen"
    return item.strange(graph) or (not_to_be_missed(graph, *item.misses, seen) if item.misses else "")


def run_suite(
    suite: Suite,
    bound: BoundGraph,
    performer: Any,
    *,
    recorder: Recorder | None = None,
    on_step: Callable[[Step], None] = lambda _: None,
    on_result: Callable[[Result], None] = lambda _: None,
) -> tuple[Result, ...]:
    """Run *suite* and return its results in order; each is told to *on_result* as soon as it is there (C125).

    *on_step* is told of a step before anything of it is done. Beside the expectations, of which `Suite.checks` tells the number
    beforehand (W56), a click on a button that is not there and a message that failed have a result each.
    Raises `UsageError` (`check_graph`), and what the performer raises where a reply is missing.
    """
    check_graph(suite, bound.graph)
    conversation = _Conversation(suite, bound, performer, recorder)
    results = []
    for step in suite.steps:
        on_step(step)
        for result in conversation.results(step):
            results.append(result)
            on_result(result)
    return tuple(results)


class _Conversation:
    """The run of one suite."""

    def __init__(self, suite: Suite, bound: BoundGraph, performer: Any, recorder: Recorder | None) -> None:
        self._suite = suite
        self._engine = Engine(bound)
        self._seen = _Seen(recorder)
        self._evidence: Evidence | None = None
        self._in_time = _InTime(performer)
        self._run = Run(self._engine, self._in_time, self._seen)
        who = {key: "".join(suite.needs(key)[:1]) for key in ("user", "channel")}
        self._who = {"user_id": who["user"] or "anon", "channel": who["channel"]}

    def results(self, step: Step) -> Iterator[Result]:
        """Carry a step out."""
        for place, (line, item) in enumerate(step.todo):
            if isinstance(item, Check):
                # The reader refuses an expectation before the first act.
                fault = NOT_DONE if self._evidence is None else item.fault(self._evidence)
                yield _result(step, line, fault)
                continue
            body = self._body(item)
            if body is None:
                self._evidence = None
                yield _result(step, line, f"no button is called that; there are {self._buttons()}")
                continue
            trace = self._send(item, body)
            self._evidence = self._seen.evidence(trace, self._engine.state.sections)
            if trace.status != "done" and not _judged(step.todo[place + 1 :]):
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
        self._in_time.began = self._engine.now + (act.seconds or 1) * SECOND
        return self._run.send(body, self._in_time.began)

    def _buttons(self) -> str:
        labels = [str(control.get("label")) for control in current(self._ui) if control.get("type") == "button"]
        return ", ".join(labels) or "none"

    @property
    def _ui(self) -> FrozenMap:
        section: FrozenMap = self._engine.state.sections.get("ui", EMPTY)
        return section


def _judged(rest: Sequence[tuple[Line, Act | Check]]) -> bool:
    """Return whether an expectation of the act before *rest* is about how its message ended."""
    return any(item.status for _, item in takewhile(lambda entry: isinstance(entry[1], Check), rest) if isinstance(item, Check))


def _result(step: Step, line: Line, fault: str) -> Result:
    return Result(step=step.number, name=step.name, expected=f"{line.directive}: {line.text}", line=line.number, fault=fault)


class _InTime:
    """A performer whose answers arrive in the time of the suite.

    Virtual time lets half an hour pass with each second input. Here a step takes seconds, and as long as it waits, so that
    nobody was away who did not wait.
    """

    def __init__(self, performer: Any) -> None:
        self._performer = performer
        self.began = 0
        """When the input came in."""

    def perform(self, ask: Ask) -> list[Answer]:
        return [
            evolve(answer, outcome=evolve(answer.outcome, at=self._at(answer.key))) for answer in self._performer.perform(ask)
        ]

    def _at(self, key: EffectKey) -> int:
        return self.began + virtual_at(key) - key.input * VIRTUAL_INPUT


class _Seen:
    """A recorder that keeps the newest message, and hands all on to another one."""

    def __init__(self, behind: Recorder | None) -> None:
        self._behind = behind
        self.begin()

    def begin(self) -> None:
        self._frames: list[Frame] = []
        self._answers: list[tuple[Call, Outcome]] = []

    def input(self, input: Input) -> None:
        if self._behind is not None:
            self._behind.input(input)

    def outcome(self, call: Call, outcome: Outcome) -> None:
        self._answers.append((call, outcome))
        if self._behind is not None:
            self._behind.outcome(call, outcome)

    def frame(self, frame: Frame, meta: FrozenMap) -> None:
        self._frames.append(frame)
        if self._behind is not None:
            self._behind.frame(frame, meta)

    def trace(self, trace: FrameTrace, meta: FrozenMap) -> None:
        if self._behind is not None:
            self._behind.trace(trace, meta)

    def evidence(self, trace: FrameTrace, state: FrozenMap) -> Evidence:
        """Return what the newest message led to."""
        records = tuple([record for frame in self._frames for record in frame.records])
        shown = [emission for record in records for emission in record.emissions if emission.event == TEXT_EVENT]
        return Evidence(
            response="".join([emission.data["text"] for emission in shown if emission.data["stream"] == ANSWER]),
            controls=current(state.get("ui", EMPTY)),
            state=state,
            records=records,
            trace=trace,
            tools=(*self._called(), *_shaping(records)),
            asked=tuple(
                [(call.key.node, _asked(call.effect)) for call, _ in self._answers if isinstance(call.effect, ModelCall)]
            ),
        )

    def errors(self) -> str:
        """Return the errors of the newest message, each after a colon."""
        errors = [(record.node, record.error) for frame in self._frames for record in frame.records if record.error is not None]
        return "".join([f": {node}: {error.get('message', '')}" for node, error in errors])

    def _called(self) -> Iterator[ToolUse]:
        for call, outcome in self._answers:
            if isinstance(call.effect, ToolCall):
                yield ToolUse(name=call.effect.name, arguments=as_json(call.effect.arguments), gave=_gave(outcome))


def _shaping(records: Sequence[FrameRecord]) -> Iterator[ToolUse]:
    """Yield the tools that shaped the surface inside a node."""
    for record in records:
        for emission in record.emissions:
            if emission.event == "tool_call" and emission.data.get("tool") in SHAPING:
                yield ToolUse(name=str(emission.data["tool"]), arguments=as_json(emission.data.get("args")))


def _asked(call: ModelCall) -> str:
    return "\n".join([text_of(message) for message in call.messages])


def _gave(outcome: Outcome) -> str:
    """Return a tool's result as text, or its error."""
    if isinstance(outcome.value, ToolReply):
        content = outcome.value.content if outcome.value.message is None else text_of(outcome.value.message)
        return content if isinstance(content, str) else as_json(content)
    return outcome.status if outcome.error is None else outcome.error.message
