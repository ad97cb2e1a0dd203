"""v4-eras from end to end: its paths, what it shows, what it looks up, and that no reply of a model stops the conversation."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from driven import failure
from frameengine.effects import Answer, Call, ModelCall, Outcome, ToolCall, ToolReply, text_of
from frameengine.engine.driver import Run, virtual_at
from frameengine.engine.guard import Guard
from frameengine.engine.message import Engine
from frameengine.engine.stops import Ask
from frameengine.graph.loader import load_graph
from frameengine.graph.registry import BoundGraph, bind
from frameengine.inputs import UserMessage
from frameengine.jsonvalue import freeze, thaw
from frameengine.nodes.parsing import NO_PLAN, NO_ROUTING
from frameengine.performers.scripted import Scripted
from frameengine.records import Emission, Frame, FrameRecord, FrameTrace
from frameengine.replay.replayer import Replayer
from frameengine.scenario import load_scenario
from frameengine.trace.header import header
from frameengine.trace.writer import TraceWriter

ROOT = Path(__file__).parents[2]
SCENARIOS = ROOT / "fixtures" / "scenarios"
NAMES = ("v4-reflex", "v4-pa", "v4-expert", "v4-expert-interpreter")

# One database and one recording serve the tests of this file, so one worker takes all of them.
pytestmark = pytest.mark.xdist_group("v4-eras")


class Watch:
    """Keeps what a run shows, asks and commits."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.traces: list[FrameTrace] = []
        self.calls: list[Call] = []
        self.order: list[str] = []

    def on_preview(self, key: Any, index: int, emission: Emission) -> None:
        """Note a text before its frame is committed."""
        if emission.event == "text":
            self.order.append(f"{key.node} says {emission.data['text']}")

    def on_ask(self, call: Call) -> None:
        """Keep a call."""
        self.calls.append(call)
        self.order.append(f"{call.key.node} asks")

    def on_frame(self, frame: Frame) -> None:
        """Keep a frame."""
        self.frames.append(frame)

    def on_trace(self, trace: FrameTrace) -> None:
        """Keep a message's figures."""
        self.traces.append(trace)

    def figures(self) -> list[tuple[str, int, str]]:
        """Return path, frames of the main phase and status of each input."""
        return [(trace.path, trace.total_frames, trace.status) for trace in self.traces]

    def records(self, node: str) -> list[FrameRecord]:
        """Return the records of one node."""
        return [record for frame in self.frames for record in frame.records if record.node == node]

    def emitted(self, node: str, event: str) -> list[Any]:
        """Return the data of one event of one node."""
        return [thaw(emission.data) for record in self.records(node) for emission in record.emissions if emission.event == event]

    def queries(self, number: int) -> list[str]:
        """Return the statements that one input sent to the database."""
        return [
            call.effect.arguments["query"]
            for call in self.calls
            if call.key.input == number and isinstance(call.effect, ToolCall)
        ]

    def asked(self, node: str) -> list[str]:
        """Return the text of each model request of one node."""
        return [
            "\n".join([text_of(message) for message in call.effect.messages])
            for call in self.calls
            if call.key.node == node and isinstance(call.effect, ModelCall)
        ]


def sibling(name: str) -> Any:
    """Load a script of the fixtures."""
    spec = spec_from_file_location(name, ROOT / "fixtures" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, tuple[Watch, Path]]:
    """Record every scenario of the graph on a new database: what was seen of it, and its trace."""
    folder = tmp_path_factory.mktemp("v4")
    database = folder / "billing.sqlite"
    sibling("billing").build(database)
    seen = {}
    for name in NAMES:
        scenario = load_scenario(SCENARIOS / f"{name}.toml")
        if scenario.databases:
            scenario = scenario.with_databases({"billing": database})
        bound = bind(load_graph(scenario.graph))
        performer, watch, trace = scenario.performer(), Watch(), folder / f"{name}.trace.jsonl"
        with TraceWriter(trace, header(bound, seed=scenario.seed)) as writer:
            run = Run(Engine(bound, seed=scenario.seed, instruments=[watch]), performer, writer)
            for body in scenario.inputs:
                run.send(body)
            writer.seal()
        performer.check_used()
        seen[name] = (watch, trace)
    return seen


# ---------------------------------------------------------------------- the scenarios


def test_each_path_has_its_number_of_frames(recorded: Mapping[str, tuple[Watch, Path]]) -> None:
    """Reflex takes 2 frames, the assistant 3, an expert 4, expert and interpreter 5, a click of the surface 1 (C39, C46)."""
    whole = ("pa+expert+interpreter", 5, "done")
    assert recorded["v4-reflex"][0].figures() == [("reflex", 2, "done")] * 2
    assert recorded["v4-pa"][0].figures() == [("pa", 3, "done")] * 2
    assert recorded["v4-expert"][0].figures() == [("pa+expert", 4, "done"), ("action", 1, "done"), whole]
    assert recorded["v4-expert-interpreter"][0].figures() == [whole] * 4


@pytest.mark.parametrize("name", NAMES)
def test_the_recordings_replay(recorded: Mapping[str, tuple[Watch, Path]], name: str) -> None:
    """Each trace replays to the same records under the strictest guard, and asks nobody (N13)."""
    watch, trace = recorded[name]
    result = Replayer(trace, guard=Guard("full")).run()
    assert result.verdict == "same"
    assert (result.counts.inputs, result.counts.calls) == (len(watch.traces), len(watch.calls))


def test_a_table_is_described_once_in_a_conversation(recorded: Mapping[str, tuple[Watch, Path]]) -> None:
    """The first job looks at the table, the second on the same table does not, on a real database (C32, C88, N24)."""
    watch, _ = recorded["v4-expert-interpreter"]
    first, second = watch.queries(1), watch.queries(2)
    assert first[0] == "DESCRIBE customers"
    assert first[1].startswith("SELECT kind, COUNT(*)")
    assert len(first) == 2
    assert len(second) == 1
    assert second[0].startswith("SELECT kind, COUNT(*)")


def test_an_unknown_column_is_corrected(recorded: Mapping[str, tuple[Watch, Path]]) -> None:
    """The database refuses a guessed column, the job is planned anew, and both results of the new plan are in the output."""
    watch, _ = recorded["v4-expert-interpreter"]
    outputs = [data["output"] for data in watch.emitted("expert_eras", "tool_result")]
    assert "Error: no such column: sent" in outputs
    thought = watch.records("interpreter")[2].input
    assert "[1] query_db: SELECT year" in thought["tool_output"]
    assert "2024\t42" in thought["tool_output"]
    assert "[2] query_db: SELECT COUNT(*)" in thought["tool_output"]
    assert "450\t797525.45" in thought["tool_output"]
    assert "no such column" not in thought["tool_output"]


def test_a_writing_query_and_an_unknown_tool_are_refused_in_sight(recorded: Mapping[str, tuple[Watch, Path]]) -> None:
    """The database refuses to delete, the expert refuses a tool that is not there, and the message is answered (C86, C87, T9)."""
    watch, _ = recorded["v4-expert-interpreter"]
    (refused,) = watch.emitted("expert_eras", "tool_refused")
    assert (refused["step"], refused["tool"]) == (2, "send_mail")
    output = watch.records("interpreter")[3].input["tool_output"]
    assert "DELETE FROM bills" in output
    assert "\nError: refused: " in output
    assert "Refused: there is no tool 'send_mail' here" in output


def test_conditions_are_in_the_record(recorded: Mapping[str, tuple[Watch, Path]]) -> None:
    """Each routing says by which named condition it was made, and how it turned out (C39)."""
    pa, _ = recorded["v4-pa"]
    assert [(record.condition, record.route) for record in pa.records("pa")] == [({"expert_is_none": True}, ("output", "ui"))] * 2
    expert, _ = recorded["v4-expert"]
    assert [(record.condition, record.route) for record in expert.records("pa")] == [
        ({"expert_is_eras": True}, ("expert_eras",))
    ] * 2
    assert [record.route for record in expert.records("expert_eras")] == [("output", "ui"), ("interpreter",)]
    reflex, _ = recorded["v4-reflex"]
    assert reflex.records("input")[0].condition == {"reflex": True, "not reflex": False}


def test_output_and_ui_share_the_last_frame(recorded: Mapping[str, tuple[Watch, Path]]) -> None:
    """The surface is made once, in the frame of the answer, also where the interpreter has passed the thought on (C48)."""
    watch, _ = recorded["v4-expert-interpreter"]
    nodes = [[record.node for record in frame.records] for frame in watch.frames[:6]]
    assert nodes == [["input"], ["pa"], ["expert_eras"], ["interpreter"], ["output", "ui"], ["memorizer"]]
    tables = [control for data in watch.emitted("ui", "controls")[:1] for control in data["controls"]]
    assert tables[0]["data"] == [["housing association", "3"], ["property manager", "3"], ["private owner", "1"]]


def test_the_user_reads_that_somebody_works_before_the_expert_starts(recorded: Mapping[str, tuple[Watch, Path]]) -> None:
    """The assistant's message is shown between its own request and the expert's first, and the answer comes last (C92)."""
    watch, _ = recorded["v4-expert"]
    assert watch.order[:6] == [
        "input asks",
        "pa asks",
        "pa says I am setting that up for you.",
        "expert_eras asks",
        "expert_eras asks",
        "output asks",
    ]
    assert watch.order[6].startswith("output says Here you are: a **counter**")
    texts = watch.emitted("pa", "text") + watch.emitted("output", "text")
    assert [text["stream"] for text in texts] == ["thinking", "thinking", "answer", "answer"]


def test_experts_know_nothing_of_the_conversation(recorded: Mapping[str, tuple[Watch, Path]]) -> None:
    """No word of the user, of an answer or of the memory stands in an expert's request; the assistant has them (C31, C39)."""
    watch, _ = recorded["v4-expert-interpreter"]
    words = ("Und in Kassel?", "Wohnungsgenossenschaften", "Vergleicht Städte miteinander.")
    assert not [word for request in watch.asked("expert_eras") for word in words if word in request]
    assert all(word in watch.asked("pa")[2] for word in words)


def test_a_click_that_the_surface_does_not_know_goes_to_the_assistant(recorded: Mapping[str, tuple[Watch, Path]]) -> None:
    """It enters at the ui and reaches the assistant as an action with its data, without Input; the other asks nobody (C74)."""
    watch, _ = recorded["v4-expert"]
    (command,) = [record.output for record in watch.records("ui") if record.output and record.output["type"] == "Command"]
    assert command["analysis"]["intent"] == "action"
    assert command["metadata"] == {"year": 2024}
    assert "count_unsent" in watch.asked("pa")[1]
    assert [call.key.node for call in watch.calls if call.key.input == 2] == []
    assert len(watch.records("input")) == 1


CONTEXT = ["fill_pct", "max_tokens", "messages", "tokens"]
EVENTS = {
    "input": {"thinking": ["detail"], "context": CONTEXT, "perceived": ["analysis", "instruction"]},
    "pa": {
        "thinking": ["detail"],
        "context": CONTEXT,
        "routed": ["expert", "hint", "job", "language"],
        "text": ["stream", "text"],
    },
    "expert": {
        "thinking": ["detail"],
        "context": CONTEXT,
        "planned": ["hint", "tools"],
        "tool_call": ["args", "tool"],
        "tool_result": ["output", "tool"],
        "tool_refused": ["reason", "step", "tool"],
        "done": ["response"],
    },
    "interpreter": {"thinking": ["detail"], "context": CONTEXT, "interpreted": ["confidence", "row_count", "summary"]},
}
"""Role -> event -> members, of the roles between the message and the answer."""


def test_every_event_is_in_the_table(recorded: Mapping[str, tuple[Watch, Path]]) -> None:
    """Events and members of these roles equal the table: nothing extra, nothing missing (C53m to C53p)."""
    roles = {spec.name: spec.role for spec in load_graph("v4-eras").nodes}
    seen: dict[str, dict[str, list[str]]] = {}
    for watch, _ in recorded.values():
        for record in [record for frame in watch.frames for record in frame.records]:
            for emission in record.emissions:
                if roles[record.node] in EVENTS:
                    seen.setdefault(roles[record.node], {})[emission.event] = sorted(emission.data)
    assert seen == EVENTS


# ---------------------------------------------------------------------- replies that are none

QUESTION = {
    "who": "x",
    "language": "en",
    "intent": "question",
    "topic": "t",
    "tone": "casual",
    "complexity": "simple",
    "context": "c",
}
ROUTING = {"expert": "eras", "job": "Count the customers.", "thinking_message": "One moment.", "language": "en"}
PLAN = {
    "tool_sequence": [{"tool": "query_db", "args": {"query": "SELECT COUNT(*) AS n FROM customers"}}],
    "response_hint": "Give the number.",
}
FACTS = {"summary": "There are 24.", "row_count": 1, "key_facts": ["24"], "confidence": "high"}
GOOD = {
    "input": json.dumps(QUESTION),
    "pa": json.dumps(ROUTING),
    "plan": json.dumps(PLAN),
    "answer": "There are 24.",
    "interpreter": json.dumps(FACTS),
    "output": "There are **24**.",
    "memorizer": "{}",
}


class Replies:
    """A performer that answers each node's model calls by their place; the database always gives a count."""

    def __init__(self) -> None:
        self.replies: dict[str, Any] = dict(GOOD)

    def perform(self, ask: Ask) -> list[Answer]:
        """Answer all new effects."""
        return [Answer(call.key, self._outcome(call)) for call in ask.new]

    def _outcome(self, call: Call) -> Outcome:
        if isinstance(call.effect, ToolCall):
            return Outcome(value=ToolReply(content="n\n24"), at=virtual_at(call.key))
        place = call.key.node
        if place == "expert_eras":
            place = "answer" if "<results>" in text_of(call.effect.messages[-1]) else "plan"
        return Scripted({call.key.node: [self.replies[place]]}).perform(Ask((call,), {call.key: call}))[0].outcome


KINDS: Mapping[str, Any] = {
    "empty": "",
    "null": {"role": "assistant", "content": None},
    "prose": "I am sure that there are many.",
    "truncated": '{"expert": "eras", "tool_sequence": [{"tool": "que',
    "wrong types": json.dumps(
        {"expert": 7, "job": [], "language": {}, "tool_sequence": {"a": 1}, "response_hint": 3, "thinking_message": [1]}
    ),
    "unknown enum": json.dumps(
        {"expert": "astrologer", "language": "tlh", "present_as": "hologram", "tool_sequence": [{"tool": "x"}]}
    ),
    "100,000 steps": json.dumps({"expert": "eras", "tool_sequence": [{"tool": "query_db"}] * 100_000}),
    "1,000 deep": '{"expert":' * 1_000 + "1" + "}" * 1_000,
    "hostile escapes": '{"expert": "\\u0000\\u001b]0;x\\u0007", "tool_sequence": ["\\u202e"], "response_hint": "\\u0007"}',
    "lone surrogate": '{"expert": "eras", "job": "\\ud800", "tool_sequence": ["\\ud800"]}',
    "six steps": json.dumps({"expert": "eras", "tool_sequence": [{"tool": "emit_display", "args": {"items": []}}] * 6}),
    "overridden operation": json.dumps(
        {"expert": "eras", "tool_sequence": [{"tool": "destroy_machine", "args": {"id": "m", "op": "create"}}]}
    ),
}
"""Kind of bad reply -> the reply."""
FENCED = "Of course:\n```json\n{}\n```\nAnything else?"


def conversation(bound: BoundGraph, replies: Replies, *texts: str) -> Watch:
    """Return what was seen of a conversation."""
    watch = Watch()
    run = Run(Engine(bound, instruments=[watch]), replies)
    for text in texts:
        run.send(UserMessage.of(text))
    return watch


@pytest.fixture(scope="module")
def bound() -> BoundGraph:
    """Return the graph with its code."""
    return bind(load_graph("v4-eras"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", ["pa", "plan", "answer"])
def test_no_reply_stops_the_conversation(bound: BoundGraph, place: str, kind: str) -> None:
    """A bad reply leaves a recorded default or a refused step, its message is answered, the next is as ever (W25, W55)."""
    watch, replies = Watch(), Replies()
    run = Run(Engine(bound, instruments=[watch]), replies)
    replies.replies[place] = KINDS[kind]
    run.send(UserMessage.of("How many customers?"))
    replies.replies = dict(GOOD)
    run.send(UserMessage.of("How many customers?"))
    assert [trace.status for trace in watch.traces] == ["done", "done"]
    assert watch.figures()[1] == ("pa+expert+interpreter", 5, "done")
    assert all(record.error is None for frame in watch.frames for record in frame.records)
    node = "pa" if place == "pa" else "expert_eras"
    marks = [emission.event for emission in watch.records(node)[0].emissions]
    if place == "answer":
        # Any text is an answer.
        assert ("parse_failed" in marks) == (kind in ("empty", "null", "100,000 steps"))
    elif (place, kind) != ("plan", "overridden operation"):
        assert "parse_failed" in marks or "tool_refused" in marks


def test_defaults_tell_the_truth(bound: BoundGraph) -> None:
    """Where the routing or the plan cannot be read, the answer is told that nothing was looked up."""
    replies = Replies()
    replies.replies["pa"] = "?"
    assert NO_ROUTING in conversation(bound, replies, "x").asked("output")[0]
    replies = Replies()
    replies.replies["plan"] = "?"
    watch = conversation(bound, replies, "x")
    assert watch.figures() == [("pa+expert", 4, "done")]
    assert NO_PLAN in watch.asked("expert_eras")[1]


def test_a_plan_of_six_and_an_operation_of_its_own_are_refused_in_sight(bound: BoundGraph) -> None:
    """The sixth step is refused in an event; an operation that the arguments name is the tool's all the same (T9, W07)."""
    replies = Replies()
    replies.replies["plan"] = KINDS["six steps"]
    (refused,) = conversation(bound, replies, "x").emitted("expert_eras", "tool_refused")
    assert refused["reason"] == "a plan has at most 5 steps, and 1 more were planned"
    replies.replies["plan"] = KINDS["overridden operation"]
    thought = conversation(bound, replies, "x").records("expert_eras")[0].output
    assert thought is not None
    assert [op["op"] for op in thought["machine_ops"]] == ["destroy"]


@pytest.mark.parametrize("place", ["pa", "plan", "interpreter"])
def test_a_fenced_reply_reads_like_a_bare_one(bound: BoundGraph, place: str) -> None:
    """A reply between fences and prose takes the message the same way."""
    replies = Replies()
    replies.replies[place] = FENCED.format(GOOD[place])
    watch = conversation(bound, replies, "How many customers?")
    assert watch.figures() == [("pa+expert+interpreter", 5, "done")]
    assert not watch.emitted("pa", "parse_failed") + watch.emitted("expert_eras", "parse_failed")


# ---------------------------------------------------------------------- a job given again


class Failing(Replies):
    """A database that refuses every query."""

    def _outcome(self, call: Call) -> Outcome:
        if isinstance(call.effect, ToolCall):
            return evolve(failure("the database is away"), at=virtual_at(call.key))
        return super()._outcome(call)


def with_retry(bound: BoundGraph) -> BoundGraph:
    """Return the graph with a failed job going back to the assistant."""
    nodes = [
        evolve(spec, config=freeze({**spec.config, "retry": True})) if spec.name == "expert_eras" else spec
        for spec in bound.graph.nodes
    ]
    return evolve(bound, graph=evolve(bound.graph, nodes=tuple(nodes)))


def test_a_failed_job_is_given_again_once_where_the_graph_says_so(bound: BoundGraph) -> None:
    """Off, the failure is answered at once; on, the assistant rewords the job once, and the second failure is answered (C93)."""
    off = conversation(bound, Failing(), "How many customers?")
    assert off.figures() == [("pa+expert+interpreter", 5, "done")]
    on = conversation(with_retry(bound), Failing(), "How many customers?")
    assert on.figures() == [("pa+expert+interpreter", 7, "done")]
    assert [record.output["type"] for record in on.records("expert_eras") if record.output] == ["ExpertFailed", "ThoughtResult"]
    assert "the database is away" in on.asked("pa")[1]


def test_a_long_conversation_keeps_its_bounds(bound: BoundGraph) -> None:
    """After 60 messages the history holds forty, the schema its one table, and no request has grown since the window was full."""
    watch = Watch()
    engine = Engine(bound, instruments=[watch])
    run = Run(engine, Replies())
    for number in range(60):
        run.send(UserMessage.of(f"question {number:03}"))
    state = engine.state.sections
    assert len(state["history"]) == 40
    assert list(state["caches"]["schema"]) == ["billing: DESCRIBE customers"]
    sizes = [len(request) for request in watch.asked("pa")]
    assert len(dict.fromkeys(sizes[30:])) == 1
