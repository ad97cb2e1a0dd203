"""v1-current as a whole: who is asked in which order, how many frames that takes, and what of it stays."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from frameengine.engine.driver import Run
from frameengine.engine.message import Engine
from frameengine.graph.loader import load_graph
from frameengine.graph.registry import bind
from frameengine.inputs import Action, Body, Tick, UserMessage
from frameengine.performers.scripted import Scripted
from frameengine.replay.replayer import Replayer
from frameengine.trace.header import header
from frameengine.trace.writer import TraceWriter
from toy import Kept

SIMPLE = json.dumps({"intent": "question", "complexity": "simple"})
COMPLEX = json.dumps({"intent": "request", "complexity": "complex"})
PLAN = json.dumps({"goal": "THE GOAL", "tool_sequence": [{"tool": "query_db", "args": {"query": "SELECT 1"}}]})
MEMORY = json.dumps({"topic": "bills"})
LINE = json.dumps({"line": "Wants bills."})
SQL = {
    "id": "c",
    "type": "function",
    "function": {"name": "query_db", "arguments": '{"query": "SELECT 1", "database": "billing"}'},
}
CALL = {"role": "assistant", "content": None, "tool_calls": [SQL]}
EXCHANGE: dict[str, list[Any]] = {"output": ["Done."], "memorizer": [MEMORY], "director": [LINE]}


class Orderly(Scripted):
    """A scripted performer that notes who asked."""

    def __init__(self, *answers: Any) -> None:
        super().__init__(*answers)
        self.order: list[str] = []

    def perform(self, ask: Any) -> Any:
        """Answer, and note."""
        self.order += [call.key.node for call in ask.new if call.effect.kind == "model"]
        return super().perform(ask)


def run(bodies: list[Body | str], model: dict[str, list[Any]], tools: Any = None, graph: Any = None) -> tuple[Kept, Orderly, Any]:
    """Run inputs on v1-current; return what was kept, the performer, and the figures."""
    bound = bind(graph or load_graph("v1-current"))
    kept, performer = Kept(), Orderly(model, tools)
    driver = Run(Engine(bound), performer, kept)
    traces = [driver.send(UserMessage.of(body) if isinstance(body, str) else body) for body in bodies]
    performer.scripts["model"].check_used()
    return kept, performer, traces


def test_a_message_without_a_plan_takes_three_frames() -> None:
    """C36, C47, C129: input, thinker, then output and ui; memorizer and director follow in the epilogue and do not count."""
    kept, performer, (trace,) = run(["what is gas?"], {"input": [SIMPLE], "thinker": ["A fuel."], **EXCHANGE})
    assert performer.order == ["input", "thinker", "output", "memorizer", "director"]
    assert (trace.path, trace.total_frames, trace.frames) == ("thinker", 3, 5)
    phases = [(frame.phase, [record.node for record in frame.records]) for frame in kept.frames]
    assert phases[2:] == [("main", ["output", "ui"]), ("epilogue", ["memorizer"]), ("epilogue", ["director"])]


def test_a_message_with_a_plan_takes_four_frames_and_the_plan_is_gone_afterwards() -> None:
    """C22, C47, C129: the plan stands in the Thinker's request of this message and in none of the next one."""
    model: dict[str, list[Any]] = {
        "input": [COMPLEX, SIMPLE],
        "director": [PLAN, LINE, LINE],
        "thinker": [CALL, "One.", "Nothing."],
        "output": ["One.", "Nothing."],
        "memorizer": [MEMORY] * 2,
    }
    kept, performer, traces = run(["compare it all", "and now?"], model, {"thinker": ["1"]})
    assert [(trace.path, trace.total_frames) for trace in traces] == [("director+thinker", 4), ("thinker", 3)]
    assert performer.order[:7] == ["input", "director", "thinker", "thinker", "output", "memorizer", "director"]
    given = [json.dumps(dict(record.input), default=dict) for record in kept.records("thinker")]
    assert ["THE GOAL" in text for text in given] == [True, False]


def test_the_directors_line_reaches_every_node_of_the_next_message() -> None:
    """C22, C51: what the Director makes of an exchange stands in the context of all who work on the next one."""
    bound = bind(load_graph("v1-current"))
    seen: dict[str, str] = {}

    class Watching(Scripted):
        def perform(self, ask: Any) -> Any:
            for call in ask.new:
                seen[call.key.node] = str(call.effect.wire())
            return super().perform(ask)

    twice = {name: replies * 2 for name, replies in {"input": [SIMPLE], "thinker": ["A fuel."], **EXCHANGE}.items()}
    driver = Run(Engine(bound), Watching(twice))
    driver.send(UserMessage.of("one"))
    assert not any("Wants bills." in text for text in seen.values())
    driver.send(UserMessage.of("two"))
    assert ["Wants bills." in seen[name] for name in ("input", "thinker", "output")] == [True] * 3


def test_the_first_pipeline_asks_input_thinker_output_and_memorizer() -> None:
    """C128: with the Input in free words and nobody who directs, these four are asked, in this order; a tool asks twice."""
    graph = load_graph("v1-current")
    nodes = [evolve(node, implementation="input_v1") if node.name == "input" else node for node in graph.nodes]
    edges = [evolve(edge, condition="") for edge in graph.edges if "director" not in (edge.source, *edge.targets)]
    graph = evolve(graph, nodes=tuple([node for node in nodes if node.name != "director"]), edges=tuple(edges), conditions={})
    model: dict[str, list[Any]] = {
        "input": ["Asks what gas is."],
        "thinker": [CALL, "A fuel."],
        "output": ["A fuel."],
        "memorizer": [MEMORY],
    }
    _, performer, (trace,) = run(["what is gas?"], model, {"thinker": ["1"]}, graph)
    assert performer.order == ["input", "thinker", "thinker", "output", "memorizer"]
    assert trace.status == "done"


def test_an_unknown_button_goes_to_the_thinker() -> None:
    """C74: a click that nobody on the surface answers is a message without the input node."""
    kept, performer, (trace,) = run([Action(name="explain", data={"id": 7})], {"thinker": ["Seven.", "Seven."], **EXCHANGE})
    assert performer.order == ["thinker", "thinker", "output", "memorizer", "director"]
    assert [record.node for record in kept.frames[0].records] == ["ui"]
    assert (trace.total_frames, trace.status) == (3, "done")


def test_a_tick_is_one_frame_without_a_request() -> None:
    """A tick of the clock asks no model."""
    _, performer, (trace,) = run([Tick()], {})
    assert (performer.order, trace.total_frames, trace.path) == ([], 1, "sensor")


BAD = [
    "",
    "null",
    "prose",
    '{"a": ',
    "```json\n{}\n```",
    "[1]",
    '{"intent": 5, "line": [], "goal": {}}',
    "[" * 1000,
    "\x1b]52;c;x\x07",
]


@pytest.mark.parametrize("bad", BAD)
def test_bad_replies_of_every_role_leave_the_conversation_going(bad: str) -> None:
    """Whatever all the models say, both messages end as done, and what was wrong stands in the record."""
    # The Thinker may be asked up to three times: each audit of its reply asks once more.
    model = {name: [bad] * (6 if name == "thinker" else 2) for name in ("input", "director", "thinker", "output", "memorizer")}
    bound = bind(load_graph("v1-current"))
    kept = Kept()
    driver = Run(Engine(bound), Orderly(model), kept)
    assert [driver.send(UserMessage.of(text)).status for text in ("one", "two")] == ["done", "done"]
    assert any(
        emission.event == "parse_failed" for frame in kept.frames for record in frame.records for emission in record.emissions
    )


def test_a_recorded_conversation_replays(tmp_path: Path) -> None:
    """What v1 records, epilogue included, replays without a difference."""
    bound = bind(load_graph("v1-current"))
    model: dict[str, list[Any]] = {
        "input": [COMPLEX],
        "director": [PLAN, LINE],
        "thinker": [CALL, "One."],
        "output": ["One."],
        "memorizer": [MEMORY],
    }
    path = tmp_path / "v1.trace.jsonl"
    with TraceWriter(path, header(bound)) as writer:
        Run(Engine(bound), Scripted(model, {"thinker": ["1"]}), writer).send(UserMessage.of("compare"))
        writer.seal()
    assert Replayer(path).run().verdict == "same"
