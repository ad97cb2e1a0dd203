"""Export of OpenAI messages: the conversation of any run, from its inputs and outcomes alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from frameengine.effects import Answer, Call, ModelReply, Outcome, ToolReply, failed
from frameengine.engine.driver import Run, virtual_at
from frameengine.engine.message import Engine
from frameengine.engine.stops import Ask
from frameengine.errors import ToolFailed, TraceIncomplete
from frameengine.exporters.openai import export_messages
from frameengine.graph.loader import load_graph
from frameengine.graph.registry import BoundGraph, bind
from frameengine.importers.openai import Conversation, import_messages
from frameengine.inputs import Body, Clear, Given, SwitchGraph, Tick, UserMessage
from frameengine.jsonvalue import freeze, thaw
from frameengine.performers.scripted import Scripted
from frameengine.replay.replayer import Replayer
from frameengine.trace.header import header
from frameengine.trace.reader import TraceReader
from frameengine.trace.repair import repair
from frameengine.trace.writer import TraceWriter
from rebuild import rebuild

LOOP = bind(load_graph("tool-loop"))
CALLS = [
    {"id": "one", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Bern"}'}},
    {"id": "two", "type": "function", "function": {"name": "time", "arguments": "{}"}},
]
ASKS = {"role": "assistant", "content": None, "tool_calls": CALLS}
ANSWER = {"role": "assistant", "content": "Sunny, and noon."}

Answering = Callable[[Call], Outcome]


class Performing:
    """A performer that answers with a function, the last effect first."""

    def __init__(self, answer: Answering) -> None:
        self.answer = answer

    def perform(self, ask: Ask) -> Iterable[Answer]:
        """Answer all new effects, in reverse."""
        return [Answer(call.key, self.answer(call)) for call in reversed(ask.new)]


def scripted(call: Call) -> Outcome:
    """Ask for two tools, then answer."""
    if call.effect.kind == "tool":
        value: Any = ToolReply(content="sunny") if call.key.call == 0 else ToolReply(content={"hour": 12, "past": [0]})
    else:
        value = ModelReply(message=freeze(ASKS if call.key.frame == 1 else ANSWER))
    return Outcome(value=value, at=virtual_at(call.key))


def recorded(
    path: Path, bodies: Iterable[Body], answer: Answering = scripted, bound: BoundGraph = LOOP, seal: bool = True
) -> Engine:
    """Record a run; return its engine."""
    engine = Engine(bound, switch={LOOP.graph.name: LOOP}.__getitem__)
    with TraceWriter(path, header(bound)) as writer:
        run = Run(engine, Performing(answer), writer)
        for body in bodies:
            run.send(body)
        if seal:
            writer.seal()
    return engine


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where a trace is written."""
    return tmp_path / "run.trace.jsonl"


QUESTION = UserMessage.of("Weather and time?")
CONVERSATION = [
    {"role": "user", "content": "Weather and time?"},
    ASKS,
    {"role": "tool", "tool_call_id": "one", "content": "sunny"},
    {"role": "tool", "tool_call_id": "two", "content": '{"hour":12,"past":[0]}'},
    ANSWER,
]


def test_a_run_of_our_own_is_exported(path: Path) -> None:
    """Results that no chat message carried get the id of their call, in call order whatever order they arrived in."""
    engine = recorded(path, [QUESTION, QUESTION])
    exported = export_messages(path)
    assert json.dumps(thaw(exported.messages)) == json.dumps(CONVERSATION * 2)
    assert exported.messages == engine.state.sections["history"]
    assert (exported.notes, exported.open) == ((), False)


def test_a_failed_tool_is_exported_as_the_model_saw_it(path: Path) -> None:
    """A tool that failed has the message that the next model call was asked with."""

    def failing(call: Call) -> Outcome:
        return failed(ToolFailed("no such city")) if call.effect.kind == "tool" else scripted(call)

    engine = recorded(path, [QUESTION], failing)
    exported = export_messages(path)
    assert exported.messages == engine.state.sections["history"]
    assert exported.messages[2]["content"] == "Error: no such city"


def test_a_failed_model_call_is_reported(path: Path) -> None:
    """A model call without a reply leaves no message, and a note with its key."""

    def failing(call: Call) -> Outcome:
        return failed(ValueError("overloaded")) if call.key.frame == 3 else scripted(call)

    recorded(path, [QUESTION], failing)
    exported = export_messages(path)
    assert thaw(exported.messages) == CONVERSATION[:-1]
    assert exported.notes == ("the model call 1.3 model[0] has no reply: it is of status 'error'",)


def test_a_fork_shows_its_edit(path: Path, tmp_path: Path) -> None:
    """A run that goes on from a recording with an edited reply is exported with the edit, and the original without."""
    talk = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    import_messages(Conversation(messages=freeze(talk)), path)
    edited = {**talk[1], "content": "Good day"}
    fork = tmp_path / "fork.trace.jsonl"
    with TraceReader(path) as reader:
        bodies = [line.input().body for line in reader.lines() if line.kind == "input"]

    def answer(call: Call) -> Outcome:
        return Outcome(value=ModelReply(message=freeze(edited)), at=virtual_at(call.key))

    recorded(fork, bodies, answer)
    assert Replayer(fork).run().verdict == "same"
    assert thaw(export_messages(fork).messages) == [talk[0], edited]
    assert thaw(export_messages(path).messages) == talk


def test_inputs_that_are_no_messages_are_reported(path: Path) -> None:
    """Ticks are counted as left out; a Clear is said to have happened; what was given stands in its place."""
    given = Given(messages=freeze([{"role": "system", "content": "Be brief."}]))
    recorded(path, [given, Tick(), QUESTION, Clear(), Tick(), QUESTION])
    exported = export_messages(path)
    assert thaw(exported.messages) == [{"role": "system", "content": "Be brief."}, *CONVERSATION * 2]
    assert exported.notes == (
        "input 4 clears the conversation; what was said before it is exported all the same",
        "left out, being no message: 2 Tick",
        "left out, being no message: 1 Clear",
    )


@pytest.fixture
def other(tmp_path: Path) -> BoundGraph:
    """Return a graph that is the tool loop in all but its name."""
    definition = tmp_path / "other.toml"
    graph = Path(__file__).parents[2] / "frameengine" / "graph" / "definitions" / "tool-loop.toml"
    definition.write_text(graph.read_text(encoding="utf-8").replace('name = "tool-loop"', 'name = "other"'), encoding="utf-8")
    return bind(load_graph(str(definition)))


def test_another_graph_is_exported_by_what_it_showed(path: Path, other: BoundGraph) -> None:
    """A graph that is no tool loop gives the user's messages and the answers it showed, and the export says so."""
    recorded(path, [QUESTION, QUESTION], bound=other)
    exported = export_messages(path)
    assert thaw(exported.messages) == [CONVERSATION[0], CONVERSATION[-1]] * 2
    assert len(exported.notes) == 1
    assert "'other' is no tool loop" in exported.notes[0]


def test_a_switch_changes_how_a_run_is_exported(path: Path, other: BoundGraph) -> None:
    """From a SwitchGraph on, the run is exported as one of its new graph."""
    recorded(path, [QUESTION, SwitchGraph(graph="tool-loop"), QUESTION], bound=other)
    assert thaw(export_messages(path).messages) == [CONVERSATION[0], CONVERSATION[-1], *CONVERSATION]


def test_an_unsealed_trace_is_refused_unless_it_is_wanted(path: Path) -> None:
    """A run that was cut short is refused; its good part is exported on request, with a note."""
    recorded(path, [QUESTION], seal=False)
    with pytest.raises(TraceIncomplete):
        export_messages(path)
    exported = export_messages(path, damaged=True)
    assert thaw(exported.messages) == CONVERSATION
    assert "only the good part of the file" in exported.notes[0]


def test_a_reply_that_no_frame_followed_is_exported(path: Path) -> None:
    """A paid reply is not lost: an outcome whose frame was never committed is exported from the good part of the file."""
    recorded(path, [QUESTION])
    lines = path.read_bytes().split(b"\n")
    last = max(number for number, line in enumerate(lines) if line.startswith(b'{"kind":"outcome"'))
    path.write_bytes(b"\n".join([*lines[: last + 1], b""]))
    assert thaw(export_messages(path, damaged=True).messages) == CONVERSATION


def test_a_result_without_a_call_is_reported(path: Path, tmp_path: Path) -> None:
    """In a file that was tampered with, a result that no reply asked for is exported with an empty id, and named."""
    recorded(path, [QUESTION])

    def cut(line: dict[str, Any]) -> dict[str, Any]:
        if line["kind"] == "outcome" and line["effect"] == "model" and line["key"][1] == 1:
            line["outcome"]["value"]["message"]["tool_calls"] = CALLS[:1]
        return line

    target = tmp_path / "cut.trace.jsonl"
    rebuild(path, target, cut)
    exported = export_messages(target)
    assert [message.get("tool_call_id") for message in exported.messages if message["role"] == "tool"] == ["one", ""]
    assert exported.notes == ("the result 1.2 tools[1] belongs to no tool call of the reply before it; it has no id",)


def test_a_repaired_trace_says_so_when_it_is_exported(tmp_path: Path) -> None:
    """What a repair left out is a note of the export."""
    whole, torn, good = (tmp_path / f"{name}.trace.jsonl" for name in ("whole", "torn", "good"))
    bound = bind(load_graph("tool-loop"))
    with TraceWriter(whole, header(bound)) as writer:
        run = Run(Engine(bound), Scripted({"model": ["one", "two"]}), writer)
        run.send(UserMessage.of("first"))
        run.send(UserMessage.of("second"))
        writer.seal()
    torn.write_bytes(whole.read_bytes()[:-400])
    repair(torn, good)
    assert any("repair" in str(note) for note in export_messages(good).notes)
    assert not any("repair" in str(note) for note in export_messages(whole).notes)
