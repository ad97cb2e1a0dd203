"""Replay runs the real nodes against the record, and everything is compared: nothing passes that was not proven."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest

from frameengine.effects import Answer, Outcome, ToolCall
from frameengine.engine.driver import Run
from frameengine.engine.message import Engine
from frameengine.engine.stops import Ask
from frameengine.errors import (
    GraphValidation,
    LimitError,
    NothingCompared,
    TraceError,
    TraceFormat,
    TraceIncomplete,
    TraceIntegrity,
    UsageError,
)
from frameengine.inputs import Given, SwitchGraph, Tick, UserMessage
from frameengine.jsonvalue import freeze, thaw
from frameengine.node import NodeContext, NodeResult
from frameengine.replay.replayer import Replayer
from frameengine.state import RunState
from frameengine.trace.header import header
from frameengine.trace.reader import TraceReader, read_header
from frameengine.trace.verify import verify
from frameengine.trace.writer import TraceWriter
from rebuild import rebuild
from toy import Echo, Note, bound, edge, pass_on, programmed, random_run, record, replay, reply


async def calls(message: Any, ctx: NodeContext) -> NodeResult:
    """Make one call."""
    await ctx.perform(ToolCall("t", {"at": ctx.now(), "by": ctx.random.random(), "id": ctx.next_id()}))
    return NodeResult(Note())


CHAIN = {"a": calls, "b": calls}


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """Return a trace of three messages."""
    path = tmp_path / "t.trace.jsonl"
    record(path, bound(CHAIN), ["one", "two", "three"], seed=5)
    return path


# ---------------------------------------------------------------------- the nodes really run


def test_replay_runs_every_node_as_often_as_recorded(trace: Path) -> None:
    """The nodes are executed, once for each record; none is skipped, none runs twice."""
    ran: list[str] = []

    async def counted(message: Any, ctx: NodeContext) -> NodeResult:
        ran.append(ctx.node)
        return await calls(message, ctx)

    result = replay(trace, bound(dict.fromkeys(CHAIN, counted)))
    with TraceReader(trace) as reader:
        records = [record["node"] for line in reader.lines() if line.kind == "frame" for record in line.data["records"]]
    assert (result.verdict, ran) == ("same", records)
    assert (result.counts.frames, result.counts.calls, result.counts.inputs) == (6, 6, 3)


def test_a_node_that_raises_makes_replay_fail(trace: Path) -> None:
    """Broken node code is a divergence, however good the record."""

    async def broken(message: Any, ctx: NodeContext) -> NodeResult:
        await calls(message, ctx)
        raise RuntimeError("broken since")

    found = replay(trace, bound({"a": calls, "b": broken})).divergence
    assert found is not None
    assert (found.kind, found.input, found.frame, found.node) == ("error", 1, 2, "b")


def test_a_node_cannot_reach_a_live_performer(trace: Path) -> None:
    """A call that was not recorded gets no answer from anywhere: its node ends there, and nothing of it is committed."""
    went_on: list[str] = []

    async def live(message: Any, ctx: NodeContext) -> NodeResult:
        await calls(message, ctx)
        await ctx.perform(ToolCall("live"))
        went_on.append(ctx.node)
        return NodeResult(Note())

    result = replay(trace, bound({"a": live, "b": calls}))
    assert result.divergence is not None
    assert (result.divergence.kind, result.divergence.replayed) == ("extra", "tool call live")
    assert went_on == []
    assert result.counts.frames == 0


def test_seed_state_and_time_come_from_the_record(tmp_path: Path) -> None:
    """A run with a seed, a state of its own and a recorded clock replays without being told of them."""
    path = tmp_path / "t.trace.jsonl"

    async def remembers(message: Any, ctx: NodeContext) -> NodeResult:
        await ctx.perform(ToolCall("t", {"mood": ctx.state["mood"], "at": ctx.now(), "by": ctx.random.random()}))
        return NodeResult(Note())

    record(path, bound({"a": remembers}), seed=99, state=RunState(freeze({"mood": "good"})))
    assert replay(path, bound({"a": remembers})).verdict == "same"
    assert read_header(path)["state"] == {"mood": "good"}


def test_without_a_graph_the_one_in_the_header_is_used(tmp_path: Path) -> None:
    """A trace carries its graph; nodes are found by the names in it, long names included."""
    path = tmp_path / "t.trace.jsonl"
    name = "a-node-with-a-name-of-more-than-forty-letters"
    graph = bound({name: pass_on, "b": pass_on}, [edge(name, "b", condition="n > 0 and n < 1000 and text != 'something'")])
    program = 'implementation = "toy:Program"\nconfig = { steps = [["model", 1]] }'
    graph = programmed(
        bound({name: pass_on, "b": pass_on}, more={name: program, "b": program}, state={"history": [], "log": []}).graph
    )
    record(path, graph)
    result = replay(path, trust=True)
    assert (result.verdict, result.graph, result.counts.calls) == ("same", "toy", 2)


def test_a_header_whose_graph_cannot_be_bound_closes_the_file(trace: Path) -> None:
    """An implementation that is not installed is told, and the file is not left open."""

    def strange(line: dict[str, Any]) -> dict[str, Any]:
        if line["kind"] == "header":
            line["graph"]["nodes"][0]["implementation"] = "nowhere_to_be_found:Node"
        return line

    path = trace.with_suffix(".strange")
    rebuild(trace, path, strange)
    with pytest.raises(GraphValidation):
        Replayer(path, trust=True)


def test_instruments_see_a_replay_like_a_live_run(trace: Path, tmp_path: Path) -> None:
    """Every hook is called in replay as it is live."""

    class Names:
        def __init__(self) -> None:
            self.heard: list[str] = []

        def __getattr__(self, name: str) -> Any:
            if not name.startswith("on_"):
                raise AttributeError(name)
            return lambda *_: self.heard.append(name)

    live, again = Names(), Names()
    record(tmp_path / "live", bound(CHAIN), ["one", "two", "three"], seed=5, instruments=[live])
    replay(trace, bound(CHAIN), instruments=(again,))
    assert live.heard == again.heard


# ---------------------------------------------------------------------- nothing compared


def test_previews_come_again_as_they_were(tmp_path: Path) -> None:
    """C80, N11: a replay shows the pieces of a text as the live run did, one by one, and joined they are the recorded text."""

    async def talks(message: Any, ctx: NodeContext) -> NodeResult:
        answer = await ctx.perform(ToolCall("t"))
        for piece in ("It ", "is ", answer.content["tool"], "."):
            ctx.say(piece)
        return NodeResult()

    class Pieces:
        def __init__(self) -> None:
            self.heard: list[Any] = []

        def on_preview(self, key: Any, index: int, emission: Any) -> None:
            self.heard.append((key, index, emission))

    live, again, path = Pieces(), Pieces(), tmp_path / "t.trace.jsonl"
    record(path, bound({"a": talks}), ["one", "two"], instruments=[live])
    assert replay(path, bound({"a": talks}), instruments=(again,)).verdict == "same"
    assert live.heard == again.heard
    assert [emission.data["text"] for _, _, emission in live.heard] == ["It ", "is ", "t", "."] * 2
    with TraceReader(path) as reader:
        texts = [line.data["records"][0]["emissions"] for line in reader.lines() if line.kind == "frame"]
    assert texts == [((("text", {"stream": "answer", "text": "It is t."})),)] * 2


def test_a_trace_without_calls_proves_nothing(tmp_path: Path) -> None:
    """Frames without a single effect are nothing that a replay could prove."""
    path = tmp_path / "t.trace.jsonl"
    record(path, bound({"a": pass_on}))
    with pytest.raises(NothingCompared, match="calls 0"):
        replay(path, bound({"a": pass_on}))


def test_a_trace_without_frames_proves_nothing(tmp_path: Path) -> None:
    """Inputs that run no node, or no inputs at all, are no comparison."""
    record(tmp_path / "given", bound({"a": calls}), [Given(messages=({"role": "system", "content": "x"},)), Tick()])
    record(tmp_path / "empty", bound({"a": calls}), [])
    for name in ("given", "empty"):
        with pytest.raises(NothingCompared, match="frames 0, calls 0"):
            replay(tmp_path / name, bound({"a": calls}))


# ---------------------------------------------------------------------- damaged files


def test_a_divergence_in_a_damaged_file_is_a_damaged_file(trace: Path) -> None:
    """When replay diverges early and the file is damaged later, the damage is what is told."""

    async def changed(message: Any, ctx: NodeContext) -> NodeResult:
        await ctx.perform(ToolCall("changed"))
        return NodeResult(Note())

    graph = bound({"a": changed, "b": calls})
    assert replay(trace, graph).divergence is not None
    data = trace.read_bytes()
    at = data.rindex(b'"kind":"frame"')
    damaged = trace.with_suffix(".damaged")
    damaged.write_bytes(data[:at] + b'"kind":"Frame"' + data[at + 14 :])
    with pytest.raises(TraceError):
        replay(damaged, graph)
    damaged.write_bytes(data[:-100])
    with pytest.raises(TraceIncomplete):
        replay(damaged, graph)
    damaged.write_bytes(data.replace(b'"seed":5', b'"seed":6'))
    with pytest.raises(TraceIntegrity):
        Replayer(damaged, bound=graph)


def test_an_unsealed_trace_is_never_the_same(tmp_path: Path) -> None:
    """A recording that nobody finished is incomplete, whatever it holds."""
    path, graph = tmp_path / "t.trace.jsonl", bound(CHAIN)
    record(path, graph)
    path.write_bytes(b"".join(line + b"\n" for line in path.read_bytes().split(b"\n")[:-2]))
    with pytest.raises(TraceIncomplete):
        replay(path, graph)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("outcome of another frame", lambda line: line["key"].__setitem__(1, 9)),
        ("outcome of another input", lambda line: line["key"].__setitem__(0, 9)),
    ],
)
def test_lines_out_of_place_are_refused(trace: Path, name: str, change: Any) -> None:
    """An outcome that says it belongs elsewhere is a format error with its line, never skipped."""
    seen: list[Any] = []

    def edit(line: dict[str, Any]) -> dict[str, Any]:
        if line["kind"] == "outcome":
            if len(seen) == 1:
                change(line)
            seen.append(line)
        return line

    path = trace.with_suffix(".edited")
    rebuild(trace, path, edit)
    with pytest.raises(TraceFormat):
        replay(path, bound(CHAIN))


def test_an_unknown_member_of_an_input_is_refused(trace: Path) -> None:
    """What an input says and this version does not know cannot be given to a node, so it is not passed over."""

    def edit(line: dict[str, Any]) -> dict[str, Any]:
        return {**line, "mood": "good"} if line["kind"] == "input" else line

    path = trace.with_suffix(".edited")
    rebuild(trace, path, edit)
    with pytest.raises(TraceFormat, match="more is said of input 1"):
        replay(path, bound(CHAIN))


# ---------------------------------------------------------------------- output


def test_the_output_of_a_replay_is_a_trace_in_key_order_without_meta(tmp_path: Path) -> None:
    """It has the inputs, outcomes sorted by key, frames and seal, no meta, and the canonical digest of the original."""
    path, output = tmp_path / "t.trace.jsonl", tmp_path / "o.trace.jsonl"
    graph = random_run(path, 9)
    result = replay(path, programmed(graph.graph), output=output)
    assert verify(output).canonical == verify(path).canonical == result.canonical
    assert verify(output).counts == verify(path).counts == result.counts
    with TraceReader(output) as reader:
        assert "meta" not in reader.header
        keys: list[Any] = []
        for line in reader.lines():
            assert not line.meta
            if line.kind == "outcome":
                keys.append(line.key())
            else:
                assert keys == sorted(keys)
                keys.clear()
    again = tmp_path / "again.trace.jsonl"
    assert replay(output, programmed(graph.graph), output=again).verdict == "same"
    assert again.read_bytes() == output.read_bytes()


def test_who_wrote_the_record_is_not_in_the_output(tmp_path: Path) -> None:
    """The meta of a header, the name of the writer in it, stays with the recording."""
    path, output = tmp_path / "t.trace.jsonl", tmp_path / "o.trace.jsonl"
    record(path, bound(CHAIN))

    def owned(line: dict[str, Any]) -> dict[str, Any]:
        return {**line, "meta": {"owner": "somebody"}} if line["kind"] == "header" else line

    rebuild(path, tmp_path / "owned", owned)
    replay(tmp_path / "owned", bound(CHAIN), output=output)
    assert b"somebody" in (tmp_path / "owned").read_bytes()
    assert b"somebody" not in output.read_bytes()


def test_the_output_of_a_diverging_replay_has_no_seal(trace: Path, tmp_path: Path) -> None:
    """It holds what was the same, and cannot be taken for a whole run."""
    output = tmp_path / "o.trace.jsonl"
    graph = bound({"a": calls, "b": pass_on})
    assert replay(trace, graph, output=output).verdict == "diverged"
    with pytest.raises(TraceIncomplete):
        verify(output)


def test_an_open_recording_stops_at_the_same_call(tmp_path: Path) -> None:
    """A recording that ends in mid-message replays to that call; its status is open on both sides, its output too."""

    async def two(message: Any, ctx: NodeContext) -> NodeResult:
        await calls(message, ctx)
        await calls(message, ctx)
        return NodeResult(Note())

    path, output = tmp_path / "t.trace.jsonl", tmp_path / "o.trace.jsonl"
    stops = Echo(lambda call: Outcome(status="not_recorded") if call.key.call == 1 else reply(call))
    (trace,) = record(path, bound({"a": two, "b": calls}), performer=stops)
    assert trace.status == "open"
    result = replay(path, bound({"a": two, "b": calls}), output=output)
    assert (result.verdict, result.counts.calls) == ("same", 2)
    assert verify(output).open

    found = replay(path, bound({"a": calls, "b": calls})).divergence
    assert found is not None
    assert (found.kind, found.call) == ("missing", 1)


# ---------------------------------------------------------------------- edits


def _places(value: Any, pointer: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict):
        return [place for key, item in value.items() for place in _places(item, (*pointer, key))] or [pointer]
    if isinstance(value, list):
        return [place for index, item in enumerate(value) for place in _places(item, (*pointer, index))] or [pointer]
    return [pointer]


def _change(value: Any, chance: Random) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, str):
        return value + "x" if chance.random() < 0.5 or not value else value[:-1]
    return "x" if value is None else {"x": 1}


@pytest.mark.parametrize("seed", range(120))
def test_no_single_edit_passes(seed: int, edits: tuple[Path, Any, list[tuple[int, tuple[Any, ...]]]], tmp_path: Path) -> None:
    """One member changed anywhere in an input, outcome, frame or trace line, chain and seal made to hold: never the same."""
    path, graph, places = edits
    chance = Random(seed)
    number, place = places[seed * 7919 % len(places)]
    at = -1

    def edit(line: dict[str, Any]) -> dict[str, Any]:
        nonlocal at
        at += 1
        if at == number:
            inner: Any = line
            for step in place[:-1]:
                inner = inner[step]
            inner[place[-1]] = _change(inner[place[-1]], chance)
        return line

    rebuild(path, tmp_path / "edited", edit)
    try:
        result = replay(tmp_path / "edited", programmed(graph.graph))
    except (TraceError, LimitError):
        return
    assert result.verdict == "diverged", place


@pytest.fixture(scope="module")
def edits(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, list[tuple[int, tuple[Any, ...]]]]:
    """Return a trace, its graph and all places in its lines that can be edited."""
    path = tmp_path_factory.mktemp("edits") / "t.trace.jsonl"
    graph = random_run(path, 5, most=3)
    places = []
    with TraceReader(path) as reader:
        for number, line in enumerate(reader.lines(), start=1):
            places += [(number, place) for place in _places(thaw(line.data)) if place != ("kind",)]
    return path, graph, places


def test_a_switch_replays_with_a_way_to_find_graphs(tmp_path: Path) -> None:
    """A trace with a SwitchGraph needs somebody who finds the other graph, and is the same then."""
    path = tmp_path / "t.trace.jsonl"
    other = bound({"x": calls}, name="other")
    record(path, bound(CHAIN), ["hi", SwitchGraph(graph="other"), "there"], switch=lambda _: other)
    assert replay(path, bound(CHAIN), switch=lambda _: other).verdict == "same"


def test_a_failing_run_leaves_a_trace_that_is_not_the_same(tmp_path: Path) -> None:
    """A run that died in mid-message cannot be sealed, and replay says that the file is incomplete."""

    class Dies(Echo):
        def perform(self, ask: Ask) -> list[Answer]:
            raise OSError("the model is gone")

    path, graph = tmp_path / "t.trace.jsonl", bound(CHAIN)
    with TraceWriter(path, header(graph)) as writer:
        run = Run(Engine(graph), Dies(), writer)
        with pytest.raises(OSError, match="gone"):
            run.send(UserMessage.of("hi"))
        with pytest.raises(UsageError):
            writer.seal()
    with pytest.raises(TraceIncomplete):
        replay(path, bound(CHAIN))
