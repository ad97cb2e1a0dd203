"""Reruns of changed code and other graphs: which replies are found, what is missing, and what is said of the rest."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import pytest

from frameengine.cassette.match import Policy
from frameengine.effects import Answer, ModelCall, ModelReply, Outcome, ToolCall
from frameengine.engine.driver import Clock, Run
from frameengine.engine.message import Engine
from frameengine.engine.stops import Ask
from frameengine.errors import (
    CassetteApproximate,
    CassetteMiss,
    CassetteUnused,
    NothingCompared,
    TraceFormat,
    TraceIncomplete,
    UsageError,
)
from frameengine.graph.loader import load_graph, parse_graph
from frameengine.graph.registry import BoundGraph, bind, fingerprint
from frameengine.inputs import Action, Body, Cancel, SwitchGraph, Tick, UserMessage
from frameengine.jsonvalue import freeze
from frameengine.node import NodeContext, NodeResult
from frameengine.performers.live import Live
from frameengine.rerun.rerun import RerunResult, rerun
from frameengine.rerun.supply import Supply
from frameengine.trace.header import header
from frameengine.trace.reader import TraceReader, read_header
from frameengine.trace.verify import verify
from frameengine.trace.writer import TraceWriter
from rebuild import rebuild
from toy import Echo, Note, Work, bound, edge, pass_on, record, text_in

DEFINITIONS = Path(__file__).parents[2] / "frameengine" / "graph" / "definitions"
DEMO = Path(__file__).parents[2] / "traces" / "demo.trace.jsonl"


def asking(prompt: str, *, tool: str = "") -> Work:
    """Return a node that asks the model once, with a prompt, and then perhaps a tool."""

    async def work(message: Any, ctx: NodeContext) -> NodeResult:
        said = [{"role": "system", "content": prompt}, {"role": "user", "content": text_in(message)}]
        reply = await ctx.perform(ModelCall(model="m", messages=freeze(said)))
        if tool:
            await ctx.perform(ToolCall(tool, {"of": text_in(message)}))
        ctx.say(reply.text[:40])
        return NodeResult(Note(text=text_in(message)))

    return work


def agent(one: str = "be brief", other: str = "be kind", **more: Any) -> BoundGraph:
    """Return a graph of two nodes that ask the model."""
    return bound({"one": asking(one), "other": asking(other)}, **more)


def keys(result: RerunResult, how: str) -> list[str]:
    """Return the calls that were answered in a way."""
    return [str(answer.key) for answer in result.answered if answer.how == how]


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """Return a trace of two messages through two nodes."""
    path = tmp_path / "agent.trace.jsonl"
    record(path, agent(), ["hello", "bye"])
    return path


def variant(changes: dict[str, str]) -> BoundGraph:
    """Return v3-framed with parts of its file replaced, each of which must be there."""
    text = (DEFINITIONS / "v3-framed.toml").read_text(encoding="utf-8")
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    return bind(parse_graph(text, "variant"))


# ---------------------------------------------------------------------- what is found


def test_a_renamed_node_finds_its_replies_exactly(tmp_path: Path) -> None:
    """Another name for a node changes keys and paths, no request: every reply is found, and no run is called approximate."""
    renamed = variant({'name = "director"': 'name = "planner"', '"director"': '"planner"'})
    result = rerun(DEMO, renamed, output=tmp_path / "new.trace.jsonl")
    assert (result.verdict, result.count, result.unused) == ("exact", {"exact": verify(DEMO).counts.calls}, ())
    assert {node.node: (node.calls, node.rate) for node in result.nodes}["planner"] == (8, 1.0)
    assert verify(tmp_path / "new.trace.jsonl").canonical != verify(DEMO).canonical


@pytest.mark.parametrize("policy", ["slot", "nearest"])
def test_a_changed_request_is_found_by_a_looser_policy(trace: Path, tmp_path: Path, policy: Policy) -> None:
    """A changed prompt gets the reply of its slot; the hit says so, in the result and in the new trace, and it is approximate."""
    target = tmp_path / "new.trace.jsonl"
    result = rerun(trace, agent(other="be very kind"), policy=policy, output=target)
    assert result.verdict == "approximate"
    assert keys(result, "exact") == ["1.1 one[0]", "2.1 one[0]"]
    assert keys(result, "slot") == ["1.2 other[0]", "2.2 other[0]"]
    assert [(node.node, node.hows["exact"], node.hows["slot"]) for node in result.nodes] == [("one", 2, 0), ("other", 0, 2)]
    with TraceReader(target) as reader:
        told = [line.meta.get("reply") for line in reader.lines() if line.kind == "outcome"]
    assert [None if origin is None else (origin["how"], origin["from"]) for origin in told] == [
        None,
        ("slot", (1, 2, "other", 0)),
        None,
        ("slot", (2, 2, "other", 0)),
    ]
    with pytest.raises(CassetteApproximate, match="2 of 4 calls"):
        result.check_exact()


def test_the_nearest_is_found_where_no_slot_is_left(tmp_path: Path) -> None:
    """A new second call of a node has no recorded one in its place: by likeness it may get another's reply."""
    path = tmp_path / "agent.trace.jsonl"
    long = "answer as briefly as you can, and in the language that you were asked in; " * 3
    record(path, bound({"one": asking(long)}), ["hello", "hello there"])

    async def twice(message: Any, ctx: NodeContext) -> NodeResult:
        for _ in range(2 if ctx.key.input == 1 else 0):
            await asking(long.replace("briefly", "shortly"))(message, ctx)
        return NodeResult()

    graph = bound({"one": twice})
    with pytest.raises(CassetteMiss):
        rerun(path, graph, policy="slot")
    result = rerun(path, graph, policy="nearest")
    assert [(str(answer.key), answer.how) for answer in result.answered] == [("1.1 one[0]", "slot"), ("1.1 one[1]", "nearest")]
    assert 0.6 <= result.answered[1].similarity < 1


def test_another_contract_never_answers(trace: Path) -> None:
    """A node whose replies follow another contract gets none of the old ones by slot, whatever it is called."""

    class Strict:
        contract = "json"

        async def run(self, message: Any, ctx: NodeContext) -> Any:
            return await asking("reply in JSON")(message, ctx)

    with pytest.raises(CassetteMiss) as caught:
        rerun(trace, bound({"one": asking("be brief"), "other": Strict()}), policy="nearest")
    assert "contract" in caught.value.fields["nearest"][0]["why"]


def test_ambiguous_hits_are_counted(tmp_path: Path) -> None:
    """Equal requests of two nodes, asked by a third: each reply is given once, in order, and the choice is counted."""
    path = tmp_path / "twins.trace.jsonl"
    twins = bound({"start": pass_on, "a": asking("x"), "b": asking("x")}, [edge("start", "a", "b")])
    record(path, twins)

    async def both(message: Any, ctx: NodeContext) -> NodeResult:
        await asking("x")(message, ctx)
        await asking("x")(message, ctx)
        return NodeResult()

    result = rerun(path, bound({"start": pass_on, "c": both}))
    assert [answer.recorded and str(answer.recorded.key) for answer in result.answered] == ["1.2 a[0]", "1.2 b[0]"]
    assert [node.ambiguous for node in result.nodes] == [2]
    assert (result.verdict, result.unused) == ("exact", ())


# ---------------------------------------------------------------------- what is missing


def test_a_miss_stops_and_names_the_nearest(trace: Path, tmp_path: Path) -> None:
    """Without a reply the run ends there, says which call is most like it and where it differs, and leaves no file behind."""
    target = tmp_path / "new.trace.jsonl"
    with pytest.raises(CassetteMiss, match=r"1\.2 other\[0\].*no recorded call") as caught:
        rerun(trace, agent(other="be very kind"), output=target)
    nearest = caught.value.fields["nearest"][0]
    assert (nearest["key"], nearest["pointer"]) == ([1, 2, "other", 0], "/messages/0/content")
    assert (nearest["recorded"], nearest["asked"]) == ("be kind", "be very kind")
    assert [file.name for file in tmp_path.iterdir()] == [trace.name]


def test_all_that_is_needed_is_found_in_one_go(trace: Path, tmp_path: Path) -> None:
    """Exploring, recorded replies stand in: both changed calls are named, the first as certain, and nothing is written."""
    target = tmp_path / "new.trace.jsonl"
    result = rerun(trace, agent(other="be very kind"), explore=True, output=target)
    assert (result.verdict, result.output) == ("unfinished", None)
    needed = [(str(miss.call.key), miss.certain, str(miss.stand_in.key)) for miss in result.needed if miss.stand_in]
    assert needed == [("1.2 other[0]", True, "1.2 other[0]"), ("2.2 other[0]", False, "2.2 other[0]")]
    assert [file.name for file in tmp_path.iterdir()] == [trace.name]


def test_where_nothing_stands_in_the_message_stops_and_the_next_goes_on(trace: Path) -> None:
    """A call like no recorded one ends its message; the calls of the next message are found all the same."""

    async def tool(message: Any, ctx: NodeContext) -> NodeResult:
        await ctx.perform(ToolCall("unheard_of", {}))
        return NodeResult(Note(text=text_in(message)))

    graph = bound({"one": asking("be brief"), "new": tool, "other": asking("be kind")})
    result = rerun(trace, graph, explore=True)
    assert [(str(miss.call.key), miss.stand_in) for miss in result.needed] == [("1.2 new[0]", None), ("2.2 new[0]", None)]
    assert [each.now.status for each in result.messages] == ["open", "open"]
    assert keys(result, "exact") == ["1.1 one[0]", "2.1 one[0]"]


def script(path: Path, text: str) -> Supply:
    """Return who answers by a script of this text."""
    path.write_text(text, encoding="utf-8")
    return Supply(path)


def test_a_script_answers_what_the_record_does_not(trace: Path, tmp_path: Path) -> None:
    """Recorded replies go first, the script's follow in the order of asking; such a run is completed, not approximate."""
    supply = script(tmp_path / "s.toml", '[model]\nother = ["first", "second"]\n')
    result = rerun(trace, agent(other="be very kind"), on_miss=supply, output=tmp_path / "new.trace.jsonl")
    assert (result.verdict, dict(result.count)) == ("completed", {"exact": 2, "script": 2})
    with TraceReader(tmp_path / "new.trace.jsonl") as reader:
        said = [line.outcome().value for line in reader.lines() if line.kind == "outcome"]
    assert [getattr(value, "text", "")[:6] for value in said][1::2] == ["first", "second"]


@pytest.mark.parametrize(
    ("replies", "error", "what"),
    [
        ('other = ["first"]', CassetteMiss, "neither the script"),
        ('other = ["first", "second", "third"]', CassetteUnused, "1 of 'other'"),
        ('other = ["first", "(write this reply)"]', CassetteMiss, "neither the script"),
    ],
)
def test_a_script_must_fit(trace: Path, tmp_path: Path, replies: str, error: type[Exception], what: str) -> None:
    """Too few answers, too many, or a place that was not filled in: the run fails and writes nothing."""
    target = tmp_path / "new.trace.jsonl"
    with pytest.raises(error, match=what):
        rerun(trace, agent(other="new"), on_miss=script(tmp_path / "s.toml", f"[model]\n{replies}\n"), output=target)
    assert not target.exists()


def test_tools_can_be_run_really(tmp_path: Path, billing: Path) -> None:
    """A query that was never recorded is asked of the database, and its failure is an outcome as well."""
    queries = ["SELECT COUNT(*) AS n FROM customers", "SELECT wrong FROM customers"]

    def querying(*statements: str) -> BoundGraph:
        async def work(_: Any, ctx: NodeContext) -> NodeResult:
            calls = [ToolCall("query_db", {"query": each, "database": "billing"}) for each in statements]
            replies = await ctx.perform_all(calls, keep_failures=True)
            ctx.say(" / ".join([str(getattr(reply, "content", reply)) for reply in replies]))
            return NodeResult()

        return bound({"query": work})

    path = tmp_path / "queries.trace.jsonl"
    record(path, querying(queries[0]))
    with pytest.raises(CassetteMiss):
        rerun(path, querying(*queries))
    result = rerun(path, querying(*queries), on_miss=Supply(databases={"billing": billing}), output=tmp_path / "new.trace.jsonl")
    assert dict(result.count) == {"exact": 1, "live": 1}
    live = next(miss for miss in result.misses if miss.how == "live")
    assert live.outcome.error is not None
    assert "no such column: wrong" in live.outcome.error.message
    assert result.verdict == "completed"
    with pytest.raises(UsageError, match="there is no file"):
        Supply(databases={"billing": tmp_path / "nowhere.sqlite"})


@pytest.fixture(scope="module")
def billing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a small database."""
    import sqlite3

    path = tmp_path_factory.mktemp("data") / "billing.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE customers (id INTEGER PRIMARY KEY)")
        connection.executemany("INSERT INTO customers VALUES (?)", [(1,), (2,)])
    connection.close()
    return path


# ---------------------------------------------------------------------- what is left over


def test_unused_replies_are_named(trace: Path) -> None:
    """A graph that asks less leaves replies over, which is an error unless somebody allows it."""
    result = rerun(trace, bound({"one": asking("be brief")}))
    assert [str(entry.key) for entry in result.unused] == ["1.2 other[0]", "2.2 other[0]"]
    assert result.verdict == "exact"
    with pytest.raises(CassetteUnused, match="2 of 4 recorded replies") as caught:
        result.check_used()
    assert caught.value.exit_code == 4


def test_inputs_that_a_graph_cannot_take_are_named(tmp_path: Path) -> None:
    """An input that ran nodes and has no entry now is as bad as an unused reply; where all are such, nothing was run."""
    path = tmp_path / "clicks.trace.jsonl"
    entry = {"UserMessage": "one", "Action": "one"}
    bodies: list[Body | str] = ["hello", Action(name="send")]
    record(path, bound({"one": pass_on}, entry=entry), bodies)
    result = rerun(path, bound({"one": pass_on}))
    assert result.ignored == (2,)
    with pytest.raises(CassetteUnused, match="takes no such input as 2"):
        result.check_used()
    with pytest.raises(NothingCompared, match="ran no node for any of the 2 messages"):
        rerun(path, bound({"one": pass_on}, entry={"Tick": "one"}))


def test_a_message_that_fails_now_is_named(trace: Path) -> None:
    """A node that raises in the new code makes its message a failed one, unless it had failed when it was recorded."""

    async def broken(_: Any, ctx: NodeContext) -> NodeResult:
        raise ValueError("no")

    result = rerun(trace, bound({"one": asking("be brief"), "other": broken}))
    assert result.failed == (1, 2)
    failing = bound({"one": broken})
    record(trace.with_name("failed.trace.jsonl"), failing)
    assert rerun(trace.with_name("failed.trace.jsonl"), failing).failed == ()


@pytest.mark.parametrize("damage", ["empty", "no seal", "nothing in it", "not there"])
def test_traces_that_cannot_be_run_again(damage: str, trace: Path, tmp_path: Path) -> None:
    """Files that are empty, unsealed, without a run, or not there are refused with what is wrong."""
    path = tmp_path / "bad.trace.jsonl"
    data = trace.read_bytes()
    if damage == "empty":
        path.write_bytes(b"")
    elif damage == "no seal":
        path.write_bytes(data[: data.rindex(b"\n", 0, -1) + 1])
    elif damage == "nothing in it":
        record(path, agent(), [])
    expected: dict[str, Any] = {"empty": TraceFormat, "no seal": TraceIncomplete, "nothing in it": NothingCompared}
    with pytest.raises(expected.get(damage, Exception)):
        rerun(path, agent())


def test_inputs_that_lie_about_their_place_are_refused(trace: Path, tmp_path: Path) -> None:
    """A file in which an input says that it entered elsewhere than it stands, or skips a number, is none of this tool."""

    def elsewhere(line: dict[str, Any]) -> dict[str, Any]:
        return {**line, "during": [1, 1]} if line["kind"] == "input" and line["number"] == 2 else line

    def skipped(line: dict[str, Any]) -> dict[str, Any]:
        return {**line, "number": 7} if line["kind"] == "input" and line["number"] == 2 else line

    for edit in (elsewhere, skipped):
        rebuild(trace, tmp_path / "forged.trace.jsonl", edit)
        with pytest.raises(TraceFormat):
            rerun(tmp_path / "forged.trace.jsonl", agent())


# ---------------------------------------------------------------------- where inputs come in


class Bringing(Echo):
    """Answers, and puts inputs into the run when it is asked for the nth time."""

    def __init__(self, run: Run, coming: dict[int, Body]) -> None:
        super().__init__()
        self.run = run
        self.coming = coming

    def perform(self, ask: Ask) -> list[Answer]:
        """Answer all, or nothing where a Cancel comes in."""
        body = self.coming.get(len(self.calls) + len(ask.new))
        if body is not None and ask.new:
            self.run.inbox.put(body)
        self.calls += ask.new
        cut = isinstance(body, Cancel)
        return [] if cut or not ask.new else [Answer(call.key, self.answer(call)) for call in ask.new]


def bringing(coming: dict[int, Body]) -> Callable[[Run], Bringing]:
    """Return what makes such a performer out of a run."""
    return lambda run: Bringing(run, coming)


def placed(path: Path) -> list[tuple[int, str, int | None, tuple[int, int] | None]]:
    """Return number, type, time and place of each input."""
    with TraceReader(path) as reader:
        inputs = [line.input() for line in reader.lines() if line.kind == "input"]
    places = [None if each.during is None else (each.during.input, each.during.frame) for each in inputs]
    return [(each.number, each.type, each.at, place) for each, place in zip(inputs, places, strict=True)]


ENTRY = {"UserMessage": "one", "Tick": "sensor"}


def watched(*names: str) -> BoundGraph:
    """Return a chain of asking nodes, and a sensor that ticks go to."""
    nodes = {name: asking(f"you are {name}") for name in names}
    edges = [edge(one, other) for one, other in pairwise(names)]
    return bound({**nodes, "sensor": pass_on}, edges, entry=ENTRY)


def test_late_inputs_come_in_where_they_were_recorded(tmp_path: Path) -> None:
    """A tick keeps number, frame boundary and time though the graph asks other things."""
    path, target = tmp_path / "late.trace.jsonl", tmp_path / "new.trace.jsonl"
    graph = watched("one", "two", "three")
    record(path, graph, ["hello", "bye"], late=bringing({2: Tick(readings={"t": 1})}))
    assert placed(path)[1][3] == (1, 2)
    renamed = bound(
        {"one": asking("you are one"), "zwei": asking("you are two"), "three": asking("you are three"), "sensor": pass_on},
        [edge("one", "zwei"), edge("zwei", "three")],
        entry=ENTRY,
    )
    result = rerun(path, renamed, output=target)
    assert (result.moved, result.verdict) == ((), "exact")
    assert placed(target) == placed(path)


def test_a_late_input_that_no_node_takes_any_more_is_named(tmp_path: Path) -> None:
    """A tick that a node was given, and for which the new graph has none, is as bad as an unused reply; others are no loss."""
    path = tmp_path / "late.trace.jsonl"
    record(path, watched("one", "two"), ["hello"], late=bringing({1: Tick(readings={"t": 1})}))
    deaf = bound({name: asking(f"you are {name}") for name in ("one", "two")}, [edge("one", "two")])
    result = rerun(path, deaf)
    assert (result.verdict, result.ignored, result.unused) == ("exact", (2,), ())
    with pytest.raises(CassetteUnused, match="takes no such input as 2"):
        result.check_used()
    assert rerun(path, watched("one", "two")).ignored == ()
    record(path.with_name("deaf.trace.jsonl"), deaf, ["hello"], late=bringing({1: Tick(readings={"t": 1})}))
    assert rerun(path.with_name("deaf.trace.jsonl"), deaf).ignored == ()


def test_a_late_input_whose_frame_is_gone_comes_in_after_the_message(tmp_path: Path) -> None:
    """Where the message ends earlier, the tick is an input of its own: numbers and times stay, and the move is told."""
    path, target = tmp_path / "late.trace.jsonl", tmp_path / "new.trace.jsonl"
    record(path, watched("one", "two", "three"), ["hello", "bye"], late=bringing({3: Tick(readings={"t": 1})}))
    result = rerun(path, watched("one", "two"), output=target)
    assert [(moved.input, moved.recorded, moved.now) for moved in result.moved] == [(2, (1, 3), None)]
    assert [each[:3] for each in placed(target)] == [each[:3] for each in placed(path)]
    assert placed(target)[1][3] is None
    assert [str(entry.key) for entry in result.unused] == ["1.3 three[0]", "3.3 three[0]"]
    assert (result.counts.inputs, len(result.messages)) == (3, 3)


def test_a_cancel_cuts_off_the_same_call_though_its_request_changed(tmp_path: Path) -> None:
    """What a Cancel cut off is a matter of the moment: the changed call in that place is cut off too, and is no miss."""
    path, target = tmp_path / "cancel.trace.jsonl", tmp_path / "new.trace.jsonl"
    record(path, watched("one", "two"), ["hello", "bye"], late=bringing({2: Cancel()}))
    nodes = {"one": asking("you are one"), "two": asking("you are number two"), "sensor": pass_on}
    changed = bound(nodes, [edge("one", "two")], entry=ENTRY)
    result = rerun(path, changed, policy="slot", output=target)
    assert keys(result, "cancelled") == ["1.2 two[0]"]
    assert [str(answer.key) for answer in result.answered if not answer.equal] == ["1.2 two[0]"]
    assert [each.now.status for each in result.messages] == ["cancelled", "done"]
    assert (result.moved, placed(target)) == ((), placed(path))
    assert keys(result, "slot") == ["3.2 two[0]"]


@pytest.mark.parametrize("prompt", ["you are two", "you are number two"])
def test_what_was_cut_off_in_answer_to_another_request_is_approximate(tmp_path: Path, prompt: str) -> None:
    """A cancelled call with another request than the recorded one is no exact match, though its message ends alike."""
    path = tmp_path / "cancel.trace.jsonl"
    record(path, watched("one", "two"), ["hello"], late=bringing({2: Cancel()}))
    nodes = {"one": asking("you are one"), "two": asking(prompt), "sensor": pass_on}
    result = rerun(path, bound(nodes, [edge("one", "two")], entry=ENTRY))
    assert (dict(result.count), result.verdict) == (
        {"exact": 1, "cancelled": 1},
        "exact" if prompt == "you are two" else "approximate",
    )
    if result.verdict == "approximate":
        with pytest.raises(CassetteApproximate, match="1 of 2 calls"):
            result.check_exact()


@pytest.mark.parametrize(("prompt", "worth"), [("be brief", "no replies"), ("be kind", "approximate")])
def test_where_a_recording_stops_another_request_is_approximate(tmp_path: Path, prompt: str, worth: str) -> None:
    """A call that stands where the recording stops is worth nothing by itself, and approximate where it asks something else."""
    path = tmp_path / "open.trace.jsonl"
    record(path, bound({"one": asking("be brief")}), performer=Echo(lambda _call: Outcome(status="not_recorded")))
    result = rerun(path, bound({"one": asking(prompt)}), policy="slot")
    assert (dict(result.count), result.verdict) == ({"not recorded": 1}, worth)


def test_where_no_call_got_a_reply_nothing_is_exact(tmp_path: Path) -> None:
    """A trace without calls, or a graph that asks nothing, compares no request: it is not called exact, and can be refused."""
    path = tmp_path / "quiet.trace.jsonl"
    record(path, bound({"one": pass_on}), ["hello"])
    for result in (rerun(path, bound({"one": pass_on})), rerun(path, bound({"one": pass_on, "two": pass_on}))):
        assert (result.verdict, result.answered) == ("no replies", ())
        with pytest.raises(NothingCompared, match="no call of the new run got a reply"):
            result.check_answered()


def test_of_twins_the_one_that_was_answered_is(tmp_path: Path) -> None:
    """Two nodes ask the same, and the Cancel cuts one of them off: in the rerun that one again, and the other is answered."""

    class First(Bringing):
        def perform(self, ask: Ask) -> list[Answer]:
            self.calls += ask.new
            if not ask.new:
                self.run.inbox.put(Cancel())
            return [Answer(call.key, self.answer(call)) for call in ask.new if call.key.node == "b"]

    path = tmp_path / "twins.trace.jsonl"
    graph = bound({"start": pass_on, "a": asking("x"), "b": asking("x")}, [edge("start", "a", "b")])
    record(path, graph, late=lambda run: First(run, {}))
    result = rerun(path, graph, output=tmp_path / "new.trace.jsonl")
    assert (keys(result, "cancelled"), keys(result, "exact"), result.unused) == (["1.2 a[0]"], ["1.2 b[0]"], ())
    assert verify(tmp_path / "new.trace.jsonl").canonical == verify(path).canonical


def test_a_cancel_whose_frame_asks_nothing_comes_in_at_the_next_one_that_does(tmp_path: Path) -> None:
    """Where another node stands in that frame, the Cancel comes later, and is told as moved."""
    path, target = tmp_path / "cancel.trace.jsonl", tmp_path / "new.trace.jsonl"
    record(path, watched("one", "two"), ["hello"], late=bringing({2: Cancel()}))
    nodes = {"one": asking("you are one"), "between": pass_on, "two": asking("you are two"), "sensor": pass_on}
    result = rerun(path, bound(nodes, [edge("one", "between"), edge("between", "two")], entry=ENTRY), output=target)
    assert [(moved.input, moved.recorded, moved.now) for moved in result.moved] == [(2, (1, 2), (1, 3))]
    assert placed(target)[1][3] == (1, 3)
    assert [each.now.status for each in result.messages] == ["cancelled"]


def test_recorded_times_are_kept(tmp_path: Path) -> None:
    """With a recorded clock inputs and replies keep their times, and a node that reads the time reads the same."""
    now = count(1_700_000_000_000_000, 1_000)
    clock = Clock(lambda: next(now), lambda: 0.0)

    async def timed(message: Any, ctx: NodeContext) -> NodeResult:
        await asking("be brief")(message, ctx)
        return NodeResult(Note(text=str(ctx.now())))

    graph, path, target = bound({"one": timed, "two": timed}), tmp_path / "timed.trace.jsonl", tmp_path / "new.trace.jsonl"
    live = Live(lambda call: ModelReply(message=freeze({"content": call.key.node})), clock=clock)
    with TraceWriter(path, header(graph, clock="recorded")) as writer:
        run = Run(Engine(graph), live, writer)
        run.send(UserMessage.of("hello"), 1_699_999_999_000_000)
        writer.seal()
    result = rerun(path, graph, output=target)
    assert (result.verdict, verify(target).canonical) == ("exact", verify(path).canonical)
    assert placed(target) == placed(path) == [(1, "UserMessage", 1_699_999_999_000_000, None)]
    renamed = bound({"eins": timed, "zwei": timed}, entry={"UserMessage": "eins"})
    moved = rerun(path, renamed, output=tmp_path / "moved.trace.jsonl")
    assert moved.verdict == "exact"
    with TraceReader(tmp_path / "moved.trace.jsonl") as reader:
        times = [line.at for line in reader.lines() if line.kind == "outcome"]
    assert (times, reader.header["clock"]) == ([1_699_999_999_000_000] * 2, "recorded")
    new = bound({"one": asking("new"), "two": asking("new")})
    rerun(path, new, on_miss=script(tmp_path / "s.toml", '[model]\none = ["a"]\ntwo = ["b"]\n'), output=target, replace=True)
    with TraceReader(target) as reader:
        assert [line.at for line in reader.lines() if line.kind == "outcome"] == [1_699_999_999_000_000] * 2


def test_late_times_are_kept(tmp_path: Path) -> None:
    """With a recorded clock a tick keeps the time at which it came in, and so does a Cancel."""
    path, target = tmp_path / "late.trace.jsonl", tmp_path / "new.trace.jsonl"
    now = count(1_700_000_000_000_000, 1_000)
    graph = watched("one", "two", "three")
    with TraceWriter(path, header(graph, clock="recorded")) as writer:
        run = Run(Engine(graph), None, writer, clock=Clock(lambda: next(now), lambda: 0.0))
        run.performer = Bringing(run, {1: Tick(), 3: Cancel()})
        run.send(UserMessage.of("hello"))
        writer.seal()
    assert rerun(path, graph, output=target).verdict == "exact"
    assert placed(target) == placed(path)
    assert [at for _, _, at, _ in placed(target)] == [1_700_000_000_000_000 + 1_000 * step for step in range(3)]


def test_a_switch_names_the_graph_that_is_run(tmp_path: Path) -> None:
    """An input that switches is run with the graph of now, whose digests stand in the new trace; its replies are found."""
    path, target = tmp_path / "switch.trace.jsonl", tmp_path / "new.trace.jsonl"
    first, second = agent(name="first"), bound({"three": asking("be wise")}, name="second")
    switch = SwitchGraph(graph="second", fingerprint=fingerprint(second))
    record(path, first, ["hello", switch, "bye"], switch=lambda _name: second)
    changed = bound({"three": asking("be wise")}, name="second", code={"three": "rewritten"})
    result = rerun(path, first, output=target, switch=lambda _name: changed)
    assert (result.verdict, result.unused) == ("exact", ())
    with TraceReader(target) as reader:
        bodies = [line.input().body for line in reader.lines() if line.kind == "input"]
    assert isinstance(bodies[1], SwitchGraph)
    assert bodies[1].fingerprint == fingerprint(changed) != fingerprint(second)

    class Strict:
        contract = "json"

        async def run(self, message: Any, ctx: NodeContext) -> Any:
            return await asking("be very wise")(message, ctx)

    with pytest.raises(CassetteMiss):
        rerun(path, first, policy="slot", switch=lambda _name: bound({"three": Strict()}, name="second"))
    loose = bound({"three": asking("be very wise")}, name="second")
    assert keys(rerun(path, first, policy="slot", switch=lambda _name: loose), "slot") == ["3.1 three[0]"]


# ---------------------------------------------------------------------- what the new trace says


def test_the_new_trace_names_its_parent(trace: Path, tmp_path: Path) -> None:
    """Its header has the parent's seal, the policy and every count, beside what the parent's header said."""
    target = tmp_path / "new.trace.jsonl"
    result = rerun(trace, agent(other="be very kind"), policy="slot", output=target)
    provenance = read_header(target)["provenance"]
    assert provenance["rerun"] == "approximate: 2 exact, 2 slot"
    assert provenance["parent"] == {
        "name": trace.name,
        "head": f"sha256:{verify(trace).head}",
        "policy": "slot",
        "verdict": "approximate",
        "replies": 4,
        "calls": {"exact": 2, "slot": 2},
        "ambiguous": 0,
        "unused": 0,
        "moved": 0,
    }
    assert (result.parent, result.head) == (verify(trace).head, verify(target).head)


def test_a_trace_is_never_written_over_by_its_own_rerun(trace: Path, tmp_path: Path) -> None:
    """The parent as target is refused, an existing file too unless it may be replaced; neither is touched."""
    before = trace.read_bytes()
    with pytest.raises(UsageError, match="is the trace that is run again"):
        rerun(trace, agent(), output=trace, replace=True)
    other = tmp_path / "other.trace.jsonl"
    other.write_bytes(b"mine")
    with pytest.raises(UsageError, match="exists"):
        rerun(trace, agent(), output=other)
    assert (trace.read_bytes(), other.read_bytes()) == (before, b"mine")
    rerun(trace, agent(), output=other, replace=True)
    assert verify(other).counts == verify(trace).counts


def test_the_state_of_the_record_is_where_a_rerun_begins(tmp_path: Path) -> None:
    """A run that began with a state of its own begins with it again; sections that only the new graph has are added."""
    from frameengine.state import RunState

    async def remember(message: Any, ctx: NodeContext) -> NodeResult:
        await asking(f"{ctx.state.get('mood')} {ctx.state.get('extra', 'none')}")(message, ctx)
        return NodeResult()

    path = tmp_path / "state.trace.jsonl"
    record(path, bound({"one": remember}), state=RunState(freeze({"history": [], "mood": "sunny"})))
    assert rerun(path, bound({"one": remember})).verdict == "exact"
    with pytest.raises(CassetteMiss) as caught:
        rerun(path, bound({"one": remember}, state={"history": [], "mood": "grey", "extra": "more"}))
    assert caught.value.fields["nearest"][0]["asked"] == "sunny more"


def test_another_trace_can_answer(trace: Path, tmp_path: Path) -> None:
    """Replies of a further trace are used where the parent has none."""
    other = tmp_path / "other.trace.jsonl"
    record(other, agent(other="be very kind"), ["hello", "bye"])
    result = rerun(trace, agent(other="be very kind"), cassettes=(trace, other))
    assert result.verdict == "exact"
    assert {answer.recorded.source for answer in result.answered if answer.recorded} == {trace, other}


def test_an_endless_graph_ends_as_an_error(trace: Path, tmp_path: Path) -> None:
    """What ends a run ends a rerun, and nothing is left behind."""
    from frameengine.errors import LimitError

    with pytest.raises(LimitError, match="frames of one message"):
        rerun(trace, bound({"one": pass_on}, [edge("one", "one", condition="n < 5000")]), output=tmp_path / "new.trace.jsonl")
    assert [file.name for file in tmp_path.iterdir()] == [trace.name]


def test_the_tool_loop_under_other_names(tmp_path: Path) -> None:
    """The shipped loop with its nodes renamed finds every reply of model and tools, and asks them in the same frames."""
    from cli_runs import JACKET, WEATHER, record_run

    path = record_run(tmp_path / "weather.trace.jsonl", [WEATHER, JACKET])
    text = (DEFINITIONS / "tool-loop.toml").read_text(encoding="utf-8")
    renamed = bind(parse_graph(text.replace('"tools"', '"hands"').replace('"model"', '"mind"'), "renamed"))
    result = rerun(path, renamed)
    assert (result.verdict, dict(result.count), result.unused) == ("exact", {"exact": 5}, ())
    assert result.counts == rerun(path, bind(load_graph("tool-loop"))).counts
    assert [call.name for call in result.answered if call.effect == "tool"] == ["forecast", "alerts"]
