"""The order in which answers arrive reaches no record; and an engine that lets it in is noticed."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from frameengine.effects import Answer, Call, EffectKey, ModelCall, Outcome, ToolCall, ToolReply
from frameengine.engine import frame as engine_frame
from frameengine.engine import message as engine_message
from frameengine.engine.driver import virtual_at
from frameengine.engine.frame import NodeTask, RanFrame
from frameengine.engine.stops import Ask, Reply
from frameengine.errors import EffectError, TraceIntegrity
from frameengine.graph.registry import BoundGraph
from frameengine.inputs import Body, Given, Tick
from frameengine.node import NodeContext, NodeResult
from frameengine.state import Change
from frameengine.trace.reader import TraceReader
from frameengine.trace.verify import verify
from toy import Echo, Note, Shuffled, bound, broken, edge, pass_on, programmed, random_run, record, replay, reply

ORDERS = 200


async def works(message: Any, ctx: NodeContext) -> NodeResult:
    """Make calls one after another and several at once, show and change things in between, in a way of the node's own."""
    width = 1 + len(ctx.node) % 4
    said: list[str] = []
    for _ in range(width):
        answer = await ctx.perform(ModelCall(model="m", messages=({"role": "user", "content": " ".join(said)},)))
        said.append(answer.text[-5:])
        ctx.say(answer.text)
    answers = await ctx.perform_all([ToolCall("t", {"n": n}) for n in range(width * 3)], keep_failures=True)
    rows = [str(answer) if isinstance(answer, EffectError) else list(answer.content["rows"]) for answer in answers]
    ctx.emit("rows", rows=rows, chance=ctx.random.random(), at=ctx.now())
    return NodeResult(Note(text=ctx.next_id()), (Change.set("/last", ctx.node), Change.append("/log", rows)))


def graph() -> BoundGraph:
    """Return five nodes at once, chains behind some, and an epilogue."""
    branches = ["one", "two", "three", "output", "ui"]
    nodes = {"root": works, **dict.fromkeys(branches, works), "after": works, "tail": works}
    edges = [edge("root", *branches), edge("output", "tail"), edge("two", "after")]
    return bound(nodes, edges, more={"after": 'phase = "epilogue"'}, state={"history": [], "log": [], "last": ""})


def unlucky(call: Call) -> Outcome:
    """Fail some calls, by their requests."""
    return broken(call) if int(call.digest[:2], 16) % 5 == 0 and call.effect.kind == "tool" else reply(call)


INPUTS: list[Body | str] = ["first", Given(messages=({"role": "system", "content": "x"},)), "second"]


def digests(tmp_path: Path, orders: int = ORDERS) -> list[str]:
    """Return the canonical digests of one run over many orders of arrival, partial answers included."""
    found = []
    for order in range(orders):
        path = tmp_path / f"{order}.trace.jsonl"
        record(path, graph(), INPUTS, Shuffled(Random(order), unlucky))
        found.append(verify(path).canonical)
    return found


def arrivals(path: Path) -> list[EffectKey]:
    """Return the keys of a trace's outcomes in the order of arrival."""
    with TraceReader(path) as reader:
        return [line.key() for line in reader.lines() if line.kind == "outcome"]


def test_two_hundred_orders_of_arrival_leave_one_record(tmp_path: Path) -> None:
    """C42, N06: in whatever order parallel nodes and perform_all get answers: one canonical digest, and every trace replays."""
    found = digests(tmp_path)
    assert len(set(found)) == 1
    orders = {tuple(arrivals(tmp_path / f"{order}.trace.jsonl")) for order in range(ORDERS)}
    assert len(orders) == ORDERS
    outputs = set()
    for order in range(0, ORDERS, 20):
        path, output = tmp_path / f"{order}.trace.jsonl", tmp_path / f"{order}.replayed"
        assert replay(path, graph(), output=output).canonical == found[0]
        outputs.add(output.read_bytes())
    assert len(outputs) == 1


# ---------------------------------------------------------------------- planted engines


def by_completion(tasks: Sequence[NodeTask]) -> Generator[Ask, Reply, RanFrame]:
    """Run a frame and give its nodes back in the order in which they ended."""
    ended: list[NodeTask] = []
    frame = engine_frame.run_frame(tasks)
    answer: Reply | None = None
    while True:
        try:
            ask = next(frame) if answer is None else frame.send(answer)
        except StopIteration as end:
            ran: RanFrame = end.value
            ended += [task for task in tasks if task not in ended]
            return evolve(ran, tasks=tuple(ended))
        ended += [task for task in tasks if task.result is not None and task not in ended]
        answer = yield ask


class ResultsByArrival(NodeTask):
    """Gives perform_all its results in the order of arrival."""

    __slots__ = ("_arrived",)

    def answer(self, key: EffectKey, outcome: Outcome) -> None:
        """Give the first outcome to the first call, and so on."""
        if not hasattr(self, "_arrived"):
            self._arrived: list[Outcome] = []
        self._arrived.append(outcome)
        super().answer(key, outcome)
        if self._missing == 0 and self._awaiting is not None:
            for call, arrived in zip(self._awaiting.calls, self._arrived, strict=True):
                self.outcomes[call.key] = arrived
            self._arrived = []


def calls_by_arrival(task: NodeTask) -> tuple[Any, ...]:
    """Record a node's calls in the order of arrival."""
    calls = {call.call: call for call in CALL_RECORDS(task)}
    return tuple([calls[key.call] for key in task.outcomes])


CALL_RECORDS = engine_message._call_records
MUTANTS = [("run_frame", by_completion), ("NodeTask", ResultsByArrival), ("_call_records", calls_by_arrival)]


@pytest.mark.parametrize(("name", "mutant"), MUTANTS, ids=[name for name, _ in MUTANTS])
def test_an_engine_that_lets_the_order_of_arrival_in_is_noticed(
    name: str, mutant: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Committing as nodes end, or results and calls as they arrive: verify or several digests tell, and replay diverges."""
    with monkeypatch.context() as patch:
        patch.setattr(engine_message, name, mutant)
        try:
            noticed = len(set(digests(tmp_path, 20))) > 1
        except TraceIntegrity as error:
            noticed = "another call or outcome" in error.message
        assert noticed
    verdicts = [replay(path, graph()).verdict for path in sorted(tmp_path.glob("*.trace.jsonl"))]
    assert "diverged" in verdicts


# ---------------------------------------------------------------------- ticks, cancels, jitter


def test_ticks_and_cancels_at_any_moment_replay(tmp_path: Path) -> None:
    """Recorded with answers, ticks and cancels in forty timings, a run replays as it went, each time (N08, N18)."""
    for order in range(40):
        path = tmp_path / f"{order}.trace.jsonl"
        found = random_run(path, 13, order=order, most=3)
        assert replay(path, programmed(found.graph)).verdict == "same", order


def test_times_of_arrival_are_not_in_the_digest(tmp_path: Path) -> None:
    """Under a clock that jitters the digests are equal unless a node read the time."""

    async def calls(message: Any, ctx: NodeContext) -> NodeResult:
        await ctx.perform_all([ToolCall("t", {"n": n}) for n in range(3)])
        return NodeResult(Note())

    async def reads(message: Any, ctx: NodeContext) -> NodeResult:
        return NodeResult(Note(text=str(ctx.now())))

    for second, expected in ((pass_on, 1), (reads, 10)):
        found = set()
        for seed in range(10):
            chance = Random(seed)

            def jitter(call: Call, chance: Random = chance) -> Outcome:
                return Outcome(value=ToolReply(content=call.key.call), at=virtual_at(call.key) + chance.randint(0, 10**6))

            path = tmp_path / f"{expected}-{seed}"
            record(path, bound({"a": calls, "b": second}), performer=Echo(jitter))
            assert replay(path, bound({"a": calls, "b": second})).verdict == "same"
            found.add(verify(path).canonical)
        assert len(found) == expected


# ---------------------------------------------------------------------- equal requests


def count_up(seen: dict[EffectKey, int], call: Call) -> Outcome:
    """Answer equal calls with one number after another, in the order in which they are answered."""
    seen[call.key] = len(seen)
    return Outcome(value=ToolReply(content=seen[call.key]), at=virtual_at(call.key))


@given(st.integers(2, 50), st.lists(st.integers(1, 5), max_size=10), st.integers(0, 2**32))
def test_equal_calls_get_their_own_replies(width: int, groups: list[int], order: int) -> None:
    """Two to fifty equal calls with different replies, one after another and at once: replay gives each what it was given."""
    given_: list[list[int]] = []

    async def asks(message: Any, ctx: NodeContext) -> NodeResult:
        got: list[int] = []
        left = width
        for wanted in [*groups, width]:
            size = min(wanted, left)
            left -= size
            if size == 1:
                answers = [await ctx.perform(ToolCall("same", {"x": 1}))]
            else:
                answers = await ctx.perform_all([ToolCall("same", {"x": 1})] * size)
            got += [answer.content for answer in answers]
        given_.append(got)
        return NodeResult(Note(text=str(got)))

    seen: dict[EffectKey, int] = {}
    made = bound({"a": asks, "b": asks})
    with TemporaryDirectory() as folder:
        path = Path(folder) / "t.trace.jsonl"
        record(path, made, performer=Shuffled(Random(order), lambda call: count_up(seen, call)))
        assert replay(path, made).verdict == "same"
    live, again = given_[:2], given_[2:]
    assert live == again
    assert [sorted(got) for got in live] == [list(range(width)), list(range(width, 2 * width))]
    assert live[0] == [seen[EffectKey(1, 1, "a", call)] for call in range(width)]


def test_equal_calls_of_parallel_nodes_get_their_own_replies(tmp_path: Path) -> None:
    """Ten nodes that all ask the same in one frame: each replays with its own reply, in two hundred orders of arrival."""
    got: list[tuple[str, int]] = []

    async def asks(message: Any, ctx: NodeContext) -> NodeResult:
        for _ in range(3):
            answer = await ctx.perform(ToolCall("same"))
            got.append((ctx.node, answer.content))
        return NodeResult()

    names = [f"n{index}" for index in range(10)]
    made = bound({"root": pass_on, **dict.fromkeys(names, asks)}, [edge("root", *names)])
    for order in range(200):
        seen: dict[EffectKey, int] = {}
        path = tmp_path / str(order)
        got.clear()
        record(path, made, performer=Shuffled(Random(order), lambda call, seen=seen: count_up(seen, call)))  # type: ignore[misc]
        live = sorted(got)
        got.clear()
        assert replay(path, made).verdict == "same"
        assert sorted(got) == live
        assert sorted(number for _, number in live) == list(range(30))


def test_ticks_at_one_boundary_keep_their_order(tmp_path: Path) -> None:
    """Ticks that come in together run in the order in which they came, live and in replay (N08)."""
    ran: list[int] = []

    async def senses(message: Any, ctx: NodeContext) -> NodeResult:
        ran.append(message.readings["n"])
        return NodeResult()

    async def calls(message: Any, ctx: NodeContext) -> NodeResult:
        await ctx.perform(ToolCall("t"))
        return NodeResult()

    class Ticks(Echo):
        def __init__(self, made: Any) -> None:
            super().__init__()
            self.made = made

        def perform(self, ask: Ask) -> list[Answer]:
            for n in range(5):
                self.made.inbox.put(Tick(readings={"n": n}))
            return super().perform(ask)

    path = tmp_path / "t.trace.jsonl"
    made = bound({"a": calls, "sensor": senses}, [], entry={"UserMessage": "a", "Tick": "sensor"})
    record(path, made, late=Ticks)
    assert replay(path, made).verdict == "same"
    assert ran == [0, 1, 2, 3, 4] * 2
