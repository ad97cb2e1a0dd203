"""What the cog graphs do as wholes, whatever way a message takes: who reads how much, what the user hears, what stays."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from frameengine.effects import ToolReply
from frameengine.engine.driver import Run
from frameengine.engine.message import Engine
from frameengine.errors import UnknownGraph
from frameengine.inputs import SwitchGraph, UserMessage
from frameengine.jsonvalue import thaw
from frameengine.replay.replayer import Replayer
from frameengine.state import Change, RunState
from frameengine.trace.header import header
from frameengine.trace.reader import TraceReader
from frameengine.trace.verify import verify
from frameengine.trace.writer import TraceWriter
from talk import Models, Talk, shipped

SOCIAL = json.dumps({"intent": "social", "complexity": "trivial"})
QUESTION = json.dumps({"intent": "question", "complexity": "simple", "topic": "bills"})
COMPLEX = json.dumps({"intent": "question", "complexity": "complex"})
HINT = json.dumps({"response_hint": "Say that all is well."})
QUERY = json.dumps({"tool_sequence": [{"tool": "query_db", "args": {"query": "SELECT name FROM t", "database": "billing"}}]})
JOB = json.dumps({"expert": "eras", "job": "Count the bills.", "thinking_message": "One moment."})


def greetings(number: int, **changed: Any) -> dict[str, list[Any]]:
    """Return replies for so many greetings, each answered with its number."""
    usual = {
        "input": [SOCIAL] * number,
        "output": [f"Hello {index}." for index in range(number)],
        "memorizer": ["{}"] * number,
    }
    return {**usual, **changed}


# ---------------------------------------------------------------------- what is read


READS = [
    (
        "v1-current",
        {"input": [COMPLEX], "director": [HINT, '{"line": "l"}'], "thinker": ["Well."], "output": ["Well."], "memorizer": ["{}"]},
        {"input": (8, 2_000), "thinker": (12, 4_000), "output": (20, 4_000), "memorizer": (10, 3_000), "director": (10, 4_000)},
    ),
    (
        "v3-framed",
        {
            "input": [QUESTION],
            "director": [QUERY],
            "interpreter": ['{"summary": "s"}'],
            "output": ["Well."],
            "memorizer": ["{}"],
        },
        {
            "input": (8, 2_000),
            "director": (12, 4_000),
            "interpreter": (0, 2_000),
            "output": (20, 4_000),
            "memorizer": (10, 3_000),
        },
    ),
    (
        "v4-eras",
        {
            "input": [QUESTION],
            "pa": [JOB],
            "expert_eras": [HINT, "There are some."],
            "output": ["Well."],
            "memorizer": ["{}"],
        },
        {"input": (8, 2_000), "pa": (12, 4_000), "expert_eras": (0, 4_000), "output": (20, 4_000), "memorizer": (10, 3_000)},
    ),
]


@pytest.mark.parametrize(("graph", "model", "reads"), READS, ids=[graph for graph, _, _ in READS])
def test_each_role_reads_its_part_of_a_long_history(graph: str, model: Any, reads: Any) -> None:
    """C15: of sixty messages, each role's request holds its newest so many, and is fitted to its budget."""
    past = [{"role": "user" if index % 2 == 0 else "assistant", "content": f"past {index:02}"} for index in range(60)]
    state = RunState(shipped(graph).graph.state).apply([Change.set("/history", past)])
    talk = Talk(graph, model, {"thinker": ["n\n" + "row\n" * 1_000]}, state=state)
    talk.send("and now?")
    budgets = {node: data["max_tokens"] for node, data in talk.emitted("context")}
    for node, (messages, budget) in reads.items():
        (asked, *_) = talk.models.requests(node)
        said = [text.partition(": ")[2] for text in asked]
        held = [text for text in said if text.startswith("past ") or text in {"and now?", "Well."}]
        newest = [*[f"past {index:02}" for index in range(60)], "and now?", *(["Well."] if node == "memorizer" else [])]
        assert (held, budgets[node]) == (newest[len(newest) - messages :], budget), node
    assert all(len(asked[-1]) < 1_700 for asked in talk.models.requests("interpreter"))


def test_rows_are_counted_and_interpreted_in_a_frame_of_their_own() -> None:
    """C24: output of five rows reaches the Interpreter whole, its count stands in the event, the message takes five frames."""
    five = "name\n" + "\n".join("abcde")
    found = json.dumps({"summary": "s" * 300, "row_count": 5, "key_facts": ["the last is e"], "confidence": "medium"})
    model = {"input": [QUESTION], "director": [QUERY], "interpreter": [found], "output": ["Five."], "memorizer": ["{}"]}
    talk = Talk("v3-framed", model, {"thinker": [five]})
    (trace,) = talk.send("which?")
    assert (trace.path, trace.total_frames) == ("director+interpreter", 5)
    assert five in talk.models.requests("interpreter")[0][-1]
    assert talk.emitted("interpreted") == [("interpreter", {"summary": "s" * 200, "row_count": 5, "confidence": "medium"})]
    assert "- the last is e" in talk.models.requests("output")[0][-1]


# ---------------------------------------------------------------------- what the user hears


class Heard:
    """Keeps the pieces of text that a user sees before their frame is committed."""

    def __init__(self) -> None:
        self.pieces: list[str] = []

    def on_preview(self, key: Any, _: int, emission: Any) -> None:
        """Keep a piece of the answer."""
        if emission.event == "text" and emission.data["stream"] == "answer":
            self.pieces.append(emission.data["text"])


@pytest.mark.parametrize("graph", ["v1-current", "v3-framed", "v4-eras"])
def test_what_is_streamed_is_what_is_remembered(graph: str) -> None:
    """C25: the pieces that the user sees, joined, are the answer in the history, between the events streaming and done."""
    heard = Heard()
    model = {"input": [QUESTION], "director": [HINT, HINT], "pa": [HINT], "thinker": ["Fine."], "memorizer": ["{}"]}
    talk = Talk(graph, {**model, "output": ["  All is **well**. 🙂 "]}, instruments=[heard])
    talk.send("how are things?")
    assert "".join(heard.pieces) == talk.state["history"][-1]["content"] == "All is **well**. 🙂"
    (record,) = talk.kept.records("output")
    assert [emission.event for emission in record.emissions] == ["streaming", "context", "text", "done"]


def test_output_words_and_the_surface_shows() -> None:
    """C26: Output is given words and the user's language but no controls; the UI has those, in the same frame."""
    steps = [
        {"tool": "emit_actions", "args": {"actions": [{"label": "Send them", "action": "send_bills"}]}},
        {"tool": "create_machine", "args": {"id": "wizard", "initial": "a", "states": {"a": {}}}},
    ]
    plan = json.dumps({"tool_sequence": steps, "response_hint": "Say that they can be sent."})
    model = {"input": [QUESTION] * 2, "director": [plan, HINT], "output": ["Gern!"] * 2, "memorizer": ['{"language": "de"}'] * 2}
    talk = Talk("v3-framed", model)
    talk.send("Rechnungen?", "Und jetzt?")
    assert [nodes for nodes in talk.nodes() if "output" in nodes] == [["output", "ui"]] * 2
    first, second = talk.models.requests("output")
    assert not any(word in text for text in first for word in ("send_bills", "emit_actions", '"action"', "Send them"))
    assert [control["action"] for control in talk.emitted("controls")[0][1]["controls"]] == ["send_bills"]
    assert any("- language: de" in text for text in second)
    assert "language of the user's last" in " ".join(second[0].split())


# ---------------------------------------------------------------------- what stays


def test_the_memory_is_told_of_after_every_message() -> None:
    """C28: updated follows each message, whatever way it took and whatever the reply, in the epilogue."""
    model = {
        "input": [SOCIAL, QUESTION, SOCIAL],
        "director": [HINT],
        "output": ["Hi.", "Well.", "Bye."],
        "memorizer": ['{"topic": "bills"}', "no JSON", "{}"],
    }
    talk = Talk("v3-framed", model)
    talk.send("hi", "how are things?", "bye")
    told = [(node, data["state"]["topic"]) for node, data in talk.emitted("updated")]
    assert told == [("memorizer", "bills")] * 3
    assert [frame.input for frame in talk.kept.frames if frame.phase == "epilogue"] == [1, 2, 3]


def test_another_graph_begins_with_nothing() -> None:
    """C41: after a switch the state is the new graph's own; a graph that is not there changes nothing, and the run goes on."""
    model = greetings(1)
    model = {
        **model,
        "input": [SOCIAL, QUESTION],
        "output": ["Hi.", "Well."],
        "memorizer": ['{"facts": ["x"]}', "{}"],
        "pa": [HINT],
    }
    talk = Talk("v3-framed", model, switch=shipped)
    said = UserMessage.of("hi", user_id="eva", channel="web")
    talk.send(said)
    assert talk.state["memory"]["facts"] == ["x"]
    with pytest.raises(UnknownGraph):
        talk.send(SwitchGraph(graph="v5-none"))
    assert talk.state["memory"]["facts"] == ["x"]
    (switched,) = talk.send(SwitchGraph(graph="v4-eras"))
    assert (switched.path, talk.state) == ("switch", thaw(shipped("v4-eras").graph.state))
    (trace,) = talk.send(said)
    assert (trace.path, trace.total_frames) == ("pa", 3)
    assert [message["content"] for message in talk.state["history"]] == ["hi", "Well."]
    assert (talk.state["memory"]["user_name"], talk.state["memory"]["facts"]) == ("eva", [])
    assert not any("Hi." in text for request in talk.models.requests("pa") for text in request)


def test_w38_a_full_history_hides_no_news() -> None:
    """W38: the digest of the state tells each exchange and each control from the one before, at whatever length."""
    talk = Talk("v3-framed", greetings(24))
    traces = talk.send(*[f"hi {index}" for index in range(24)])
    assert len(talk.state["history"]) == 40
    assert len({trace.state for trace in traces}) == len(traces)
    state = talk.run.engine.state
    shown = state.apply([Change.set("/ui/thinker_controls", [{"type": "button", "label": "More", "action": "more"}])])
    assert (state.digest, shown.digest != state.digest) == (traces[-1].state, True)
    assert state.apply([Change.set("/ui", state.sections["ui"])]).digest == state.digest


def test_identity_is_an_input_of_the_record(tmp_path: Path) -> None:
    """N17: who speaks, as the caller found out, stands in the input's line; replay takes it from there, and asks nobody."""

    def recorded(user: str) -> Path:
        path = tmp_path / f"{user}.trace.jsonl"
        bound = shipped("v3-framed")
        with TraceWriter(path, header(bound)) as writer:
            Run(Engine(bound), Models(greetings(1)), writer).send(UserMessage.of("hi", user_id=user, channel="web"))
            writer.seal()
        return path

    eva, tom = recorded("eva"), recorded("tom")
    with TraceReader(eva) as reader:
        (body,) = [line.input().body for line in reader.lines() if line.kind == "input"]
    assert body == UserMessage.of("hi", user_id="eva", channel="web")
    assert Replayer(eva).run().verdict == "same"
    assert verify(eva).canonical != verify(tom).canonical


def test_what_the_database_said_is_what_a_replay_hears(tmp_path: Path) -> None:
    """N13: rows, their order and errors come from the record: a database that answers otherwise by now changes nothing."""
    answers = iter(["n\n2\n1", "n\n1\n2"])
    bound = shipped("v3-framed")
    model = {"input": [QUESTION], "director": [QUERY], "interpreter": ["{}"], "output": ["Two."], "memorizer": ["{}"]}
    traces = []
    for name in ("first", "second"):
        path = tmp_path / f"{name}.trace.jsonl"
        with TraceWriter(path, header(bound)) as writer:
            Run(Engine(bound), Models(model, {"thinker": [next(answers)]}), writer).send(UserMessage.of("which?"))
            writer.seal()
        traces.append(path)
    assert [Replayer(path).run().verdict for path in traces] == ["same", "same"]
    with TraceReader(traces[0]) as reader:
        outcomes = [line.outcome() for line in reader.lines() if line.kind == "outcome"]
    assert [outcome.value.content for outcome in outcomes if isinstance(outcome.value, ToolReply)] == ["n\n2\n1"]
    assert verify(traces[0]).canonical != verify(traces[1]).canonical
