"""The feed: one event for each emission, frame traces in short, and a log that drops nothing."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from frameengine.effects import Answer, ToolCall
from frameengine.engine.driver import Run
from frameengine.engine.message import Engine
from frameengine.errors import StorageError, UsageError
from frameengine.graph.registry import BoundGraph
from frameengine.hud.feed import KEPT, Feed
from frameengine.hud.log import FeedLog, read
from frameengine.hud.view import event
from frameengine.inputs import UserMessage
from frameengine.jsonvalue import FrozenMap
from frameengine.messages import Command, InputAnalysis
from frameengine.node import NodeContext, NodeResult
from frameengine.trace.reader import TraceReader
from toy import Echo, Note, bound, edge, pass_on, record

SOCIAL = Command(analysis=InputAnalysis(intent="social", complexity="trivial"), source_text="hi")


async def greet(_: Any, ctx: NodeContext) -> NodeResult:
    """Say what kind of message it is."""
    ctx.emit("thinking", detail="d")
    return NodeResult(SOCIAL)


async def answer(_: Any, ctx: NodeContext) -> NodeResult:
    """Answer in two pieces, beside a stream that is none of the answer."""
    ctx.emit("reflex_path", detail="social/trivial")
    ctx.say("one moment", stream="thinking")
    ctx.say("Good ")
    ctx.emit("process_start", pid=1)
    ctx.say("morning")
    return NodeResult()


def reflexes() -> BoundGraph:
    """Return a graph of two nodes with a reflex path, the first with a role of its own."""
    edges = [edge("in_1", "out", carries="Command", condition="reflex")]
    made = bound({"in_1": greet, "out": answer}, edges, more={"in_1": 'role = "input"'})
    condition = 'analysis.intent == "social" and analysis.complexity == "trivial"'
    return evolve(made, graph=evolve(made.graph, conditions={"reflex": condition}))


def feed(*said: str, sinks: tuple[Any, ...] = (), **more: Any) -> tuple[Feed, Engine]:
    """Return the feed of a run in which *said* was said."""
    graph = reflexes()
    told = Feed(graph.graph, *sinks, **more)
    engine = Engine(graph, instruments=[told])
    run = Run(engine, Echo())
    for text in said:
        run.send(UserMessage.of(text))
    return told, engine


def test_each_emission_is_one_event_under_the_name_of_its_role() -> None:
    """C11: an event names its node by role, a process itself, the reflex path its cause; the frame trace comes last."""
    kept: list[FrozenMap] = []
    feed("hi", sinks=(kept.append,))
    assert [(told["node"], told["event"]) for told in kept] == [
        ("input", "thinking"),
        ("runtime", "reflex_path"),
        ("process", "process_start"),
        ("frame_engine", "frame_trace"),
    ]
    assert all(told["type"] == "hud" for told in kept)
    assert kept[1]["detail"] == "social/trivial"


def test_a_frame_trace_in_short_has_the_keys_of_the_dict_form_and_cuts_texts() -> None:
    """C10: the message is cut to 100 characters, inputs and outputs to 200, route and condition are texts."""
    told, _ = feed("x" * 500, monotonic=count(0, 0.00125).__next__)
    short = told.history[-1]
    assert list(short) == ["message", "graph", "total_frames", "total_ms", "started", "path", "frames"]
    assert short["message"] == "x" * 100
    assert short["total_frames"] == 2
    first, second = short["frames"]
    assert list(first) == ["frame", "node", "duration_ms", "input", "output", "route", "condition", "error"]
    assert len(first["input"]) == 200
    assert (first["route"], first["condition"], first["duration_ms"]) == ("out", "reflex=True", 1.2)
    assert (second["output"], second["error"]) == ("", "")
    assert short["total_ms"] == 2.5


def test_the_answer_is_what_was_said_in_its_own_stream() -> None:
    """C52: the response is the answer's text, without what was said meanwhile in another stream."""
    told, _ = feed("hi")
    assert told.last is not None
    assert told.last.response == "Good morning"


def test_the_last_twenty_frame_traces_are_remembered_and_no_more() -> None:
    """C49: after 25 messages there are 20 traces, the newest last."""
    told, _ = feed(*[f"message {number}" for number in range(25)])
    assert len(told.history) == KEPT == 20
    assert [told.history[0]["message"], told.history[-1]["message"]] == ["message 5", "message 24"]


def test_a_sink_that_raises_is_dropped_and_the_run_goes_on() -> None:
    """W28: a closed socket behind the feed ends the feed, not the message."""

    def closed(_: FrozenMap) -> None:
        raise ConnectionError("closed")

    _, engine = feed("one", "two", sinks=(closed,))
    assert [type(error) for _, error in engine.instruments.dropped] == [ConnectionError]
    assert engine.now > 0


def test_two_feeds_share_nothing() -> None:
    """W34: what one run's feed remembers is not seen by another's."""
    one, _ = feed("hi")
    other, _ = feed()
    assert (len(one.history), len(other.history), other.last) == (1, 0, None)


def test_w33_every_event_arrives_in_order_before_the_run_goes_on() -> None:
    """W33: however many events two parallel nodes show, a sink has all of them, in graph order, when the message is done."""

    def shows(many: int) -> Any:
        async def work(_: Any, ctx: NodeContext) -> None:
            await ctx.perform(ToolCall("t"))
            for number in range(many):
                ctx.emit("step", number=number)

        return work

    kept: list[FrozenMap] = []
    graph = bound({"a": pass_on, "b": shows(300), "c": shows(200)}, [edge("a", "b", "c")])

    class LastFirst(Echo):
        def perform(self, ask: Any) -> Any:
            call = list(ask.outstanding.values())[-1]
            return [Answer(call.key, self.answer(call))]

    Run(Engine(graph, instruments=[Feed(graph.graph, kept.append)]), LastFirst()).send(UserMessage.of("hi"))
    shown = [(told["node"], told["number"]) for told in kept if told["event"] == "step"]
    assert shown == [("b", number) for number in range(300)] + [("c", number) for number in range(200)]


def test_w37_what_the_feed_cuts_stands_whole_in_the_trace(tmp_path: Path) -> None:
    """W37, N22: the short form is cut and forgets; the file has every text of every message, to its end."""

    async def repeats(message: Any, _: NodeContext) -> NodeResult:
        return NodeResult(Note(text=message.text + "!"))

    graph = bound({"a": repeats})
    told, path = Feed(graph.graph), tmp_path / "t.trace.jsonl"
    said = [f"{number}: {'x' * 5_000} end" for number in range(25)]
    record(path, graph, said, instruments=[told])
    assert (len(told.history), len(told.history[-1]["message"]), len(told.history[-1]["frames"][0]["output"])) == (20, 100, 200)
    with TraceReader(path) as reader:
        records = [one for line in reader.lines() if line.kind == "frame" for one in line.data["records"]]
    assert [one["output"]["text"] for one in records] == [f"{text}!" for text in said]
    assert [one["input"]["text"] for one in records] == said


def test_what_a_node_emits_cannot_pose_as_another_node() -> None:
    """The members that say whose event it is win over those of a node's data."""
    assert event("ui", "tick", {"node": "director", "type": "x", "event": "y"}) == {"type": "hud", "node": "ui", "event": "tick"}


# ---------------------------------------------------------------------- the log


def log(path: Path, times: list[str] | None = None, **more: Any) -> FeedLog:
    """Return a log whose clock gives *times*."""
    ticks = iter(times or [f"2025-01-01 00:00:{number:06.3f}" for number in range(60)])
    return FeedLog(path, session="s-1", now=lambda: next(ticks), **more)


def test_a_log_line_has_time_session_and_the_event_without_its_type(tmp_path: Path) -> None:
    """C54: one JSON object a line, non-ASCII kept, time and session first."""
    sink = log(tmp_path / "hud.jsonl")
    sink(event("ui", "controls", {"controls": ["Größe"]}))
    raw = (tmp_path / "hud.jsonl").read_bytes()
    assert raw == (
        '{"ts":"2025-01-01 00:00:00.000","session":"s-1","controls":["Größe"],"node":"ui","event":"controls"}\n'.encode()
    )


def test_times_in_the_log_never_go_back(tmp_path: Path) -> None:
    """W36: where the clock goes back, the newest time stays."""
    sink = log(tmp_path / "hud.jsonl", ["12:00:01.000", "12:00:00.999", "12:00:02.000"])
    for _ in range(3):
        sink(event("ui", "x", {}))
    assert [line["ts"] for line in read(tmp_path / "hud.jsonl").lines] == ["12:00:01.000", "12:00:01.000", "12:00:02.000"]


@given(st.lists(st.integers(0, 80), min_size=1, max_size=40), st.integers(0, 45))
def test_rotation_drops_nothing_and_reading_crosses_segments(tmp_path_factory: Any, sizes: list[int], last: int) -> None:
    """W35, C55: every event stands in exactly one segment, and the newest N are found across them, in order."""
    path = tmp_path_factory.mktemp("log") / "hud.jsonl"
    sink = log(path, ["t"] * len(sizes), segment_bytes=200)
    for number, size in enumerate(sizes):
        sink(event("n", "e", {"number": number, "fill": "x" * size}))
    lines = [json.loads(line) for file in path.parent.iterdir() for line in file.read_bytes().split(b"\n") if line]
    assert sorted(line["number"] for line in lines) == list(range(len(sizes)))
    assert [line["number"] for line in read(path, last).lines] == list(range(len(sizes)))[max(0, len(sizes) - last) :]


def test_broken_lines_are_skipped_and_counted(tmp_path: Path) -> None:
    """C56: a line that is no object does not keep the others from being read; a log that is not there is empty."""
    path = tmp_path / "hud.jsonl"
    path.write_bytes(b'{"a":1}\nnonsense\n[1]\n{"a":2}\n\xff\n')
    found = read(path)
    assert ([line["a"] for line in found.lines], found.skipped) == ([1, 2], 3)
    assert read(tmp_path / "none.jsonl").lines == ()


def test_no_line_is_asked_for_and_none_is_given(tmp_path: Path) -> None:
    """W29: 0 lines are no lines, and a negative number is refused."""
    path = tmp_path / "hud.jsonl"
    path.write_bytes(b'{"a":1}\n')
    assert read(path, 0).lines == ()
    with pytest.raises(UsageError):
        read(path, -1)


def test_a_log_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    """A folder that is not there is an error with the path, not silence (W25)."""
    with pytest.raises(StorageError, match=r"none"):
        log(tmp_path / "none" / "hud.jsonl")(event("n", "e", {}))
