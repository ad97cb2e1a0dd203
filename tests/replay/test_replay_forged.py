"""Traces that somebody wrote on purpose: what replay calls the same was delivered, and what it imports was asked for."""

from __future__ import annotations

import sys
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import pytest

from frameengine.effects import Outcome, ToolCall
from frameengine.errors import GraphError, GraphValidation, NothingCompared, TraceFormat
from frameengine.inputs import SwitchGraph
from frameengine.jsonvalue import EMPTY
from frameengine.node import NodeContext, NodeResult
from frameengine.replay import frames
from frameengine.replay.delivered import Delivered
from frameengine.replay.replayer import Replayer
from rebuild import rebuild
from toy import Echo, Note, bound, pass_on, record, replay, reply


async def calls(_: Any, ctx: NodeContext) -> NodeResult:
    """Make two calls, one after the other, and live with what becomes of them."""
    for name in ("one", "two"):
        await ctx.perform_all([ToolCall(name)], keep_failures=True)
    return NodeResult(Note())


CHAIN = {"a": calls, "b": calls}
SENSOR = bound({"a": calls, "b": calls, "sensor": pass_on}, edges=None, entry={"UserMessage": "a", "Tick": "sensor"})
CANCELLED = Outcome(status="cancelled")


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """Return a trace of one message: two frames of two calls each."""
    path = tmp_path / "t.trace.jsonl"
    record(path, bound(CHAIN))
    return path


def put(path: Path, kind: str, nth: int, *lines: dict[str, Any], before: bool = False) -> Path:
    """Return a copy with *lines* behind, or before, the nth line of a kind."""
    target, seen = path.with_suffix(".forged"), 0

    def edit(line: dict[str, Any]) -> dict[str, Any] | list[dict[str, Any]]:
        nonlocal seen
        seen += line["kind"] == kind
        if line["kind"] != kind or seen != nth:
            return line
        return [*lines, line] if before else [line, *lines]

    rebuild(path, target, edit)
    return target


def entered(kind: str, data: dict[str, Any], frame: int, number: int = 2) -> dict[str, Any]:
    """Return the line of an input that came in during the first message."""
    return {"kind": "input", "number": number, "type": kind, "data": data, "during": [1, frame]}


HELLO = {"message": {"role": "user", "content": "delete everything"}}


# ---------------------------------------------------------------------- inputs that nobody delivers


@pytest.mark.parametrize(
    ("kind", "data"),
    [("UserMessage", HELLO), ("Given", {"messages": [HELLO["message"]]}), ("Clear", {}), ("SwitchGraph", {"graph": "other"})],
)
def test_what_cannot_enter_during_a_message_is_refused(trace: Path, kind: str, data: dict[str, Any]) -> None:
    """A message, a Given, a Clear and a SwitchGraph between two frames reach no node, so they are no part of a replay."""
    data = {**data, "fingerprint": {}} if kind == "SwitchGraph" else data
    with pytest.raises(TraceFormat, match=f"a {kind}, cannot enter"):
        replay(put(trace, "frame", 1, entered(kind, data, 1)), bound(CHAIN))


@pytest.mark.parametrize(("line", "nth", "before"), [("frame", 1, True), ("outcome", 1, False), ("outcome", 1, True)])
def test_a_cancel_that_cancels_nothing_is_refused(trace: Path, line: str, nth: int, before: bool) -> None:
    """A Cancel without a cancelled outcome behind it is not one that anybody pressed."""
    with pytest.raises(TraceFormat, match="is a Cancel"):
        replay(put(trace, line, nth, entered("Cancel", {}, 1), before=before), bound(CHAIN))


def test_a_cancelled_outcome_before_its_cancel_is_refused(tmp_path: Path) -> None:
    """A Cancel stands before all that it cut off."""
    path = tmp_path / "t.trace.jsonl"
    record(path, bound(CHAIN), performer=Echo(lambda call: CANCELLED if call.key.frame == 1 else reply(call)))
    assert replay(path, bound(CHAIN)).verdict == "same"
    with pytest.raises(TraceFormat, match="is a Cancel"):
        replay(put(path, "outcome", 1, entered("Cancel", {}, 1)), bound(CHAIN))


@pytest.mark.parametrize("frame", [1, 0, -1])
def test_a_tick_inside_a_frame_is_refused(trace: Path, frame: int) -> None:
    """A tick enters between two frames only, whatever it says of itself."""
    tick = entered("Tick", {"readings": {}}, frame)
    for kind, before in (("outcome", True), ("frame", True)):
        with pytest.raises(TraceFormat):
            replay(put(trace, kind, 1, tick, before=before), bound(CHAIN))


@pytest.mark.parametrize("status", ["not_recorded", "cancelled"])
def test_a_tick_behind_the_end_of_a_message_is_refused(tmp_path: Path, status: Any) -> None:
    """Where a message was cancelled or stops, no frame follows in which a late input could be handed on."""
    path = tmp_path / "t.trace.jsonl"
    record(path, SENSOR, performer=Echo(lambda _: Outcome(status=status)))
    frame, number = 1, 2
    if status == "cancelled":
        cancelled = put(path, "outcome", 1, entered("Cancel", {}, 1), before=True)
        path, number = cancelled.rename(tmp_path / "cancelled"), 3
    with pytest.raises(TraceFormat, match="goes on behind the frame"):
        replay(put(path, "frame", 1, entered("Tick", {"readings": {}}, frame, number)), SENSOR)


def test_a_replay_that_delivers_less_is_not_the_same(trace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The digest of what reached the engine must be that of the record: a replayer that passes over an input is found out."""
    monkeypatch.setattr(Delivered, "on_input", lambda *_: None)
    with pytest.raises(NothingCompared, match="not all of it reached the nodes"):
        replay(trace, bound(CHAIN))


# ---------------------------------------------------------------------- code that only the trace names


def test_a_trace_does_not_say_what_is_imported(trace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module named in a header is imported only when its user says so."""
    (tmp_path / "strange_module_of_a_trace.py").write_text("raise SystemExit(0)\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    def strange(line: dict[str, Any]) -> dict[str, Any]:
        if line["kind"] == "header":
            line["graph"]["nodes"][0]["implementation"] = "strange_module_of_a_trace:X"
        return line

    target = tmp_path / "strange"
    rebuild(trace, target, strange)
    with pytest.raises(GraphError, match="strange_module_of_a_trace:X") as caught:
        Replayer(target)
    assert caught.value.code == "graph"
    assert "--graph FILE, or say --trust" in caught.value.hint
    with pytest.raises(GraphValidation, match="cannot be imported: SystemExit"):
        Replayer(target, trust=True)
    assert "strange_module_of_a_trace" not in sys.modules


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda graph: graph["entry"].update(UserMessage="nobody"), GraphValidation),
        (lambda graph: graph["state"].update({"no name": 1}), GraphValidation),
        (lambda graph: graph["nodes"].append(graph["nodes"][0]), GraphValidation),
        (lambda graph: graph.pop("nodes"), GraphError),
        (lambda graph: graph.update(nodes=[1]), (GraphError, TraceFormat)),
    ],
)
def test_a_graph_in_a_header_must_hold_together(trace: Path, tmp_path: Path, change: Any, error: Any) -> None:
    """The definition in a header is checked as one in a file is, before anything is imported."""

    def edit(line: dict[str, Any]) -> dict[str, Any]:
        if line["kind"] == "header":
            change(line["graph"])
        return line

    rebuild(trace, tmp_path / "edited", edit)
    with pytest.raises(error):
        Replayer(tmp_path / "edited", trust=True)


# ---------------------------------------------------------------------- what is known of changes, and where a node raised


def test_a_record_without_digests_says_nothing_of_changes(trace: Path, tmp_path: Path) -> None:
    """Where the header has no digest of a node, the result says that nothing is known."""
    assert replay(trace, bound(CHAIN)).fingerprinted
    for number, drop in enumerate(
        (lambda header: header.pop("fingerprint"), lambda header: header["fingerprint"]["nodes"].pop("b"))
    ):

        def edit(line: dict[str, Any], drop: Any = drop) -> dict[str, Any]:
            if line["kind"] == "header":
                drop(line)
            return line

        rebuild(trace, tmp_path / str(number), edit)
        result = replay(tmp_path / str(number), bound(CHAIN))
        assert (result.verdict, result.fingerprinted, result.changed) == ("same", False, ())


def test_changes_of_every_graph_are_told(tmp_path: Path) -> None:
    """After a switch the result names both graphs, what changed in the first, and that nothing is known of the second."""
    path = tmp_path / "t.trace.jsonl"
    other = bound({"x": calls}, name="other")
    record(path, bound(CHAIN), ["hi", SwitchGraph(graph="other", fingerprint=EMPTY), "there"], switch=lambda _: other)
    result = replay(path, bound(CHAIN, code={"b": "edited"}), switch=lambda _: other)
    assert (result.verdict, result.graph, result.fingerprinted) == ("same", "toy, other", False)
    assert len(result.changed) == 1
    assert "b" in result.changed[0]


def test_a_node_that_raises_in_the_replay_says_where(trace: Path) -> None:
    """The divergence has the line in the node's own code; the record does not."""

    class Breaks:
        async def run(self, message: Any, ctx: NodeContext) -> NodeResult:
            """Call as recorded, then fail."""
            await calls(message, ctx)
            raise ValueError("broken since")

    found = replay(trace, bound({"a": calls, "b": Breaks()})).divergence
    assert found is not None
    assert found.kind == "error"
    line = Breaks.run.__code__.co_firstlineno + 3
    assert found.where == f"{Path(__file__).name}:{line}"
    assert found.to_json()["where"] == found.where


# ---------------------------------------------------------------------- the nearest call


def test_the_nearest_call_is_looked_for_once_and_in_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many calls are new and however many are recorded, one is compared, with a bounded number of recorded ones."""
    path = tmp_path / "t.trace.jsonl"
    tried: list[str] = []

    class Counting(SequenceMatcher[str]):
        def __init__(self, *arguments: Any, **more: Any) -> None:
            tried.append("")
            super().__init__(*arguments, **more)

    async def fewer(_: Any, ctx: NodeContext) -> NodeResult:
        await ctx.perform_all([ToolCall("old", {"n": number}) for number in range(300)])
        return NodeResult(Note())

    async def more(_: Any, ctx: NodeContext) -> NodeResult:
        await ctx.perform_all([ToolCall("old", {"n": number}) for number in range(600)])
        return NodeResult(Note())

    record(path, bound({"a": fewer}))
    monkeypatch.setattr(frames, "SequenceMatcher", Counting)
    found = replay(path, bound({"a": more})).divergence
    assert found is not None
    assert (found.kind, found.call) == ("extra", 300)
    assert found.nearest is not None
    assert found.nearest["kind"] == "request"
    assert len(tried) == frames.NEAREST_TRIED


@pytest.mark.parametrize("member", [{"implementation": {}}, {"implementation": None}, {"prompts": [[]]}])
def test_a_header_whose_nodes_name_no_code_is_refused(trace: Path, member: dict[str, Any]) -> None:
    """A node in the header whose implementation or prompts are no names is a fault of the file, not of this tool."""
    target = trace.with_suffix(".forged")

    def edit(line: dict[str, Any]) -> dict[str, Any]:
        if line["kind"] == "header":
            line["graph"]["nodes"][0].update(member)
        return line

    rebuild(trace, target, edit)
    with pytest.raises(TraceFormat, match="no graph"):
        Replayer(target).run()
