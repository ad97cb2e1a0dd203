"""The loop around the engine: what is recorded when, cancels and ticks during a message, and callers of both colours."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import Queue
from random import Random
from typing import Any

import pytest

from frameengine.effects import Answer, Call, Outcome, ToolCall
from frameengine.engine.driver import IDLE_ANSWERS_MAX, VIRTUAL_INPUT, Clock, Run
from frameengine.engine.message import Engine
from frameengine.engine.stops import Ask
from frameengine.errors import CassetteMiss, EngineClosed, LimitError, StorageError, UsageError
from frameengine.inputs import Body, Cancel, Clear, Dashboard, Given, Input, SwitchGraph, Tick, UserMessage
from frameengine.jsonvalue import FrozenMap
from frameengine.node import NodeContext, NodeResult
from frameengine.records import Frame, FrameTrace
from frameengine.state import Change
from frameengine.trace.header import header
from frameengine.trace.reader import TraceReader
from frameengine.trace.verify import verify
from frameengine.trace.writer import TraceWriter
from toy import Awaited, Echo, Kept, Note, Shuffled, bound, edge, pass_on, random_run, record, replay, reply, run

HI = UserMessage.of("hi")


async def calls(_: Any, ctx: NodeContext) -> NodeResult:
    """Make two calls at once."""
    await ctx.perform_all([ToolCall("t", {"n": n}) for n in range(2)])
    return NodeResult(Note(text=ctx.node), (Change.set(f"/{ctx.node}", 1),))


async def ends(_: Any, ctx: NodeContext) -> None:
    """Hand nothing on."""


# ---------------------------------------------------------------------- inputs


def test_inputs_are_numbered_in_order_of_arrival() -> None:
    """Inputs of their own and late ones share one numbering, from where the run stood (N18)."""
    made, kept = run(bound({"a": calls}, entry={"UserMessage": "a"}))
    made.inputs = 4
    made.performer = Bringing(made, [Dashboard()])
    made.send(HI)
    made.send(HI)
    assert [(each.number, each.type) for each in kept.inputs] == [(5, "UserMessage"), (6, "Dashboard"), (7, "UserMessage")]


def test_virtual_times_depend_on_the_number_and_a_clock_replaces_them() -> None:
    """Without a clock an input's time is a function of its number; with one it is what the clock says; `at` beats both (N01)."""
    made, kept = run(bound({"a": ends}))
    made.send(HI)
    made.send(HI)
    made.send(HI, at=5)
    assert [each.at for each in kept.inputs] == [VIRTUAL_INPUT, 2 * VIRTUAL_INPUT, 5]
    ticks = iter([1.0, 2.0, 2.5, 4.0, 8.0])
    kept = Kept()
    made = Run(Engine(bound({"a": ends})), Echo(), Metas(kept), clock=Clock(lambda: 42, lambda: next(ticks)))
    made.send(HI)
    assert kept.inputs[0].at == 42
    assert kept.lines[-2:] == [{"ms": 1000.0}, {"ms": 3000.0}]


class Metas:
    """Keeps inputs, and the metas of frames and traces."""

    def __init__(self, kept: Kept) -> None:
        self.kept = kept

    def input(self, input: Input) -> None:
        """Keep it."""
        self.kept.lines.append(input)

    def outcome(self, call: Call, outcome: Outcome) -> None:
        """Keep nothing."""

    def frame(self, frame: Frame, meta: FrozenMap) -> None:
        """Keep the meta."""
        self.kept.lines.append(meta)

    def trace(self, trace: FrameTrace, meta: FrozenMap) -> None:
        """Keep the meta."""
        self.kept.lines.append(meta)


class Bringing(Echo):
    """Puts inputs into the run at its first Ask, then answers."""

    def __init__(self, made: Run, bodies: list[Body]) -> None:
        super().__init__()
        self.made = made
        self.bodies = bodies

    def perform(self, ask: Ask) -> list[Answer]:
        """Answer, and bring what is left to bring."""
        while self.bodies:
            self.made.inbox.put(self.bodies.pop(0))
        return super().perform(ask)


def late(*bodies: Body) -> Any:
    """Return what makes a performer that brings inputs along."""
    return lambda made: Bringing(made, list(bodies))


# ---------------------------------------------------------------------- ticks


def sensing(**nodes: Any) -> Any:
    """Return a chain of two nodes, with a sensor that ticks enter at."""
    return bound(
        {"a": calls, "b": calls, "sensor": ends, **nodes}, [edge("a", "b")], entry={"UserMessage": "a", "Tick": "sensor"}
    )


def test_a_tick_during_a_message_enters_at_the_next_boundary_and_replays(tmp_path: Path) -> None:
    """Its line stands after the frame that was under way and says so; the trace replays (N08)."""
    kept = Kept()
    made = Run(Engine(sensing()), None, kept)
    made.performer = Bringing(made, [Tick(readings={"t": 1})])
    made.send(HI)
    kinds = [type(line).__name__ for line in kept.lines]
    assert kinds == ["Input", "tuple", "tuple", "Frame", "Input", "tuple", "tuple", "Frame", "FrameTrace"]
    tick = kept.inputs[1]
    assert tick.during is not None
    assert (tick.number, tick.during.input, tick.during.frame) == (2, 1, 1)
    assert [each.node for each in kept.frames[1].records] == ["b", "sensor"]
    path = tmp_path / "t.trace.jsonl"
    record(path, sensing(), late=late(Tick(readings={"t": 1})))
    result = replay(path, sensing(), output=tmp_path / "o.trace.jsonl")
    assert (result.verdict, result.counts.inputs) == ("same", 2)
    assert verify(tmp_path / "o.trace.jsonl").canonical == verify(path).canonical


def test_a_tick_from_another_thread_wakes_the_performer() -> None:
    """A performer that waits is woken by a put, may answer nothing, and is asked again; the tick waits for the boundary."""
    kept = Kept()
    made = Run(Engine(sensing()), None, kept)
    performer = Threaded(made)
    made.performer = performer
    thread = threading.Thread(target=made.send, args=(HI,))
    thread.start()
    asked = performer.asked.get()
    made.inbox.put(Tick(readings={"t": 1}))
    while performer.woken.get() != "woken":
        pass
    performer.answers.put([Answer(call.key, reply(call)) for call in asked.new])
    performer.answers.put([Answer(call.key, reply(call)) for call in performer.asked.get().new])
    thread.join()
    assert [[each.node for each in frame.records] for frame in kept.frames] == [["a"], ["b", "sensor"]]


class Threaded:
    """Waits for answers from another thread, or for the inbox."""

    def __init__(self, made: Run) -> None:
        self.asked: Queue[Ask] = Queue()
        self.answers: Queue[list[Answer]] = Queue()
        self.woken: Queue[str] = Queue()
        made.inbox.wake = lambda: self.answers.put([])

    def perform(self, ask: Ask) -> list[Answer]:
        """Wait."""
        if ask.new:
            self.asked.put(ask)
        answers = self.answers.get()
        self.woken.put("answered" if answers else "woken")
        return answers


@pytest.mark.parametrize("body", [HI, Given(messages=()), Clear(), SwitchGraph(graph="x")])
def test_what_must_wait_for_the_message_is_refused_during_it(body: Body) -> None:
    """A message, a Given, a Clear and a SwitchGraph cannot enter in the middle of another message."""
    made, _ = run(sensing())
    with pytest.raises(UsageError, match=type(body).__name__):
        made.inbox.put(body)
    assert made.inbox.take() == []


# ---------------------------------------------------------------------- cancels


def parallel() -> Any:
    """Return two nodes at once, with a node behind each."""
    return bound(
        {"root": pass_on, "a": calls, "b": calls, "a2": ends, "b2": ends},
        [edge("root", "a", "b"), edge("a", "a2"), edge("b", "b2")],
    )


def test_a_cancel_in_mid_frame_cancels_outstanding_effects() -> None:
    """From another thread: what has arrived stays, what has not gets the outcome `cancelled`; the frame commits, none follows."""
    kept = Kept()
    made = Run(Engine(parallel()), None, kept)
    performer = Threaded(made)
    made.performer = performer
    thread = threading.Thread(target=made.send, args=(HI,))
    thread.start()
    asked = performer.asked.get()
    first = [call for call in asked.new if call.key.node == "a"]
    performer.answers.put([Answer(call.key, reply(call)) for call in first])
    assert performer.woken.get() == "answered"
    made.inbox.put(Cancel())
    thread.join()
    outcomes = {line[0]: line[1] for line in kept.lines if isinstance(line, tuple)}
    assert [(key.node, outcome.status) for key, outcome in outcomes.items()] == [("a", "ok")] * 2 + [("b", "cancelled")] * 2
    trace = kept.lines[-1]
    assert (trace.status, trace.frames) == ("cancelled", 2)
    assert kept.records("a")[0].error is None
    assert kept.records("b")[0].error["type"] == "effect.cancelled"
    cancel = kept.inputs[-1]
    assert isinstance(cancel.body, Cancel)
    assert cancel.during is not None
    assert (cancel.during.input, cancel.during.frame) == (1, 2)
    statuses = [
        line[1].status if isinstance(line, tuple) else line.type for line in kept.lines if isinstance(line, tuple | Input)
    ]
    assert statuses == ["UserMessage", "ok", "ok", "Cancel", "cancelled", "cancelled"]


def test_a_cancel_stands_between_what_had_arrived_and_what_it_cut_off(tmp_path: Path) -> None:
    """The trace has the Cancel in its place, replays, and the replay's output has the same canonical digest (N18)."""

    class OneThenCancel(Echo):
        def __init__(self, made: Run) -> None:
            super().__init__()
            self.made = made

        def perform(self, ask: Ask) -> list[Answer]:
            self.made.inbox.put(Cancel())
            call = list(ask.outstanding.values())[-1]
            return [Answer(call.key, reply(call))]

    path = tmp_path / "t.trace.jsonl"
    (first, second) = record(path, parallel(), ["hi", "again"], late=OneThenCancel)
    assert (first.status, second.status) == ("cancelled", "cancelled")
    lines = [line.split('"status":')[1][:5] if '"outcome"' in line else "input" for line in kinds(path, "input", "outcome")]
    assert lines == ["input", '"ok",', "input", '"canc', '"canc', '"canc'] * 2
    result = replay(path, parallel(), output=tmp_path / "o.trace.jsonl")
    assert (result.verdict, result.counts) == ("same", verify(path).counts)
    assert verify(tmp_path / "o.trace.jsonl").canonical == verify(path).canonical == result.canonical


def kinds(path: Path, *wanted: str) -> list[str]:
    """Return the lines of a file that are of some kinds."""
    return [line for line in path.read_text().split("\n") if any(line.startswith(f'{{"kind":"{kind}"') for kind in wanted)]


def test_effects_asked_for_after_a_cancel_are_cancelled_too() -> None:
    """A node that catches the cancellation and asks again is told the same at once, and ends in the frame."""
    told: list[str] = []

    async def insists(_: Any, ctx: NodeContext) -> NodeResult:
        for _attempt in range(3):
            (answer,) = await ctx.perform_all([ToolCall("t")], keep_failures=True)
            told.append(answer.code)
        return NodeResult(Note(text="in vain"))

    made, kept = run(bound({"a": insists, "b": ends}))
    made.performer = Never(made)
    trace = made.send(HI)
    assert told == ["effect.cancelled"] * 3
    assert (trace.status, trace.frames, trace.calls) == ("cancelled", 1, 3)
    assert kept.records("a")[0].output["text"] == "in vain"


class Never:
    """Answers nothing, and cancels."""

    def __init__(self, made: Run) -> None:
        self.made = made

    def perform(self, ask: Ask) -> list[Answer]:
        """Cancel."""
        self.made.inbox.put(Cancel())
        return []


def test_a_cancel_between_messages_is_forgotten() -> None:
    """A Cancel that comes too late for its message does not stop the next one."""
    made, kept = run(bound({"a": calls}))
    made.send(HI)
    made.inbox.put(Cancel())
    assert made.send(HI).status == "done"
    assert [each.type for each in kept.inputs] == ["UserMessage", "UserMessage"]


def test_what_came_in_beside_a_cancel_waits_for_the_next_message() -> None:
    """A tick that arrives in a cancelled message is not lost: it enters the next one, after its first frame."""

    class Both(Echo):
        def perform(self, ask: Ask) -> list[Answer]:
            if not self.calls:
                made.inbox.put(Tick())
                made.inbox.put(Cancel())
                self.calls += ask.new
                return []
            return super().perform(ask)

    made, kept = run(sensing(), Both())
    assert [made.send(HI).status, made.send(HI).status] == ["cancelled", "done"]
    assert [(each.type, each.during and each.during.input) for each in kept.inputs] == [
        ("UserMessage", None),
        ("Cancel", 1),
        ("UserMessage", None),
        ("Tick", 3),
    ]
    assert len(kept.records("sensor")) == 1


def test_what_came_in_beside_an_open_frame_waits_for_the_next_message(tmp_path: Path) -> None:
    """A tick that arrives in a message that stops is not recorded for a frame that never comes: it enters the next one."""
    path = tmp_path / "t.trace.jsonl"

    class Stops(Bringing):
        def perform(self, ask: Ask) -> list[Answer]:
            stops = bool(self.bodies)
            answers = super().perform(ask)
            return [Answer(each.key, Outcome(status="not_recorded")) for each in answers] if stops else answers

    traces = record(path, sensing(), [HI, HI], late=lambda made: Stops(made, [Tick()]))
    assert [trace.status for trace in traces] == ["open", "done"]
    with TraceReader(path) as reader:
        inputs = [line.input() for line in reader.lines() if line.kind == "input"]
    assert [(each.type, each.during and each.during.input) for each in inputs] == [
        ("UserMessage", None),
        ("UserMessage", None),
        ("Tick", 2),
    ]
    assert replay(path, sensing()).verdict == "same"


def test_instruments_hear_of_a_cancel_live_and_in_replay(tmp_path: Path) -> None:
    """An observer sees the Cancel as an input of its own in both."""

    class Heard:
        def __init__(self) -> None:
            self.inputs: list[str] = []

        def on_input(self, entered: Input) -> None:
            self.inputs.append(entered.type)

    live, again = Heard(), Heard()
    path = tmp_path / "t.trace.jsonl"
    record(path, parallel(), late=Never, instruments=[live])
    assert replay(path, parallel(), instruments=(again,)).verdict == "same"
    assert live.inputs == again.inputs == ["UserMessage", "Cancel"]


# ---------------------------------------------------------------------- performers and recorders that fail


def test_a_performer_that_raises_stops_the_run_and_keeps_what_was_paid_for() -> None:
    """Outcomes given before the failure are recorded; the frame is not; the run is closed; nodes are ended at once."""
    ended: list[str] = []

    async def tidy(_: Any, ctx: NodeContext) -> None:
        try:
            await ctx.perform_all([ToolCall("t", {"n": n}) for n in range(3)])
        finally:
            ended.append(ctx.node)

    class Miss(Echo):
        def perform(self, ask: Ask) -> Iterator[Answer]:  # type: ignore[override]
            yield Answer(ask.new[0].key, reply(ask.new[0]))
            raise CassetteMiss("no such reply")

    made, kept = run(bound({"a": tidy}), Miss())
    with pytest.raises(CassetteMiss):
        made.send(HI)
    assert ended == ["a"]
    assert len([line for line in kept.lines if isinstance(line, tuple)]) == 1
    assert kept.frames == []
    with pytest.raises(EngineClosed):
        made.send(HI)


def test_a_performer_that_raises_stop_iteration_does_not_end_the_message_well() -> None:
    """An exhausted iterator inside a performer is an error, never a message that is done."""

    class Exhausted:
        def perform(self, ask: Ask) -> list[Answer]:
            return next(iter([]))

    made, _ = run(bound({"a": calls}), Exhausted())
    with pytest.raises(StopIteration):
        made.send(HI)
    with pytest.raises(EngineClosed):
        made.send(HI)


@pytest.mark.parametrize("where", ["input", "outcome", "frame", "trace"])
def test_a_failing_recorder_stops_the_run(where: str) -> None:
    """Recording is no observer: whatever line cannot be kept, the run ends there, and no later frame begins."""

    class Failing(Kept):
        def __getattribute__(self, name: str) -> Any:
            if name == where:
                raise StorageError("the disk is full")
            return super().__getattribute__(name)

    kept = Failing()
    made = Run(Engine(bound({"a": calls, "b": calls})), Echo(), kept)
    with pytest.raises(StorageError):
        made.send(HI)
    expected = {"input": 0, "outcome": 0, "frame": 0, "trace": 2}
    assert len(kept.frames) == expected[where]
    with pytest.raises(EngineClosed):
        made.send(HI)


@pytest.mark.parametrize("twice", [True, False])
def test_an_odd_answer_is_refused_before_it_is_recorded(twice: bool) -> None:
    """An effect answered twice at once, or one that nobody asked for, stops the run; the record has no line of it."""

    class Odd(Echo):
        def perform(self, ask: Ask) -> list[Answer]:
            (first, *_), answers = ask.new, super().perform(ask)
            return [*answers, Answer(first.key if twice else first.key._replace(node="z"), reply(first))]

    made, kept = run(bound({"a": calls}), Odd())
    with pytest.raises(UsageError, match="nobody awaits"):
        made.send(HI)
    assert len([line for line in kept.lines if isinstance(line, tuple)]) == 2


def test_a_performer_that_never_answers_is_stopped() -> None:
    """Answering nothing again and again is a named bound, not a run that hangs."""

    class Idle:
        def perform(self, ask: Ask) -> list[Answer]:
            return []

    made, _ = run(bound({"a": calls}), Idle())
    with pytest.raises(LimitError) as caught:
        made.send(HI)
    assert caught.value.fields["bound"] == IDLE_ANSWERS_MAX


# ---------------------------------------------------------------------- one colour


def test_an_async_caller_writes_the_same_bytes(tmp_path: Path) -> None:
    """The same run, driven by send and by send_async, leaves files that are equal byte for byte."""
    graph = parallel()

    def threaded(path: Path) -> None:
        with TraceWriter(path, header(graph)) as writer:
            made = Run(Engine(parallel()), Echo(), writer)
            made.send(HI)
            made.send(HI)
            writer.seal()

    async def asynchronous(path: Path) -> None:
        with TraceWriter(path, header(graph)) as writer:
            made = Run(Engine(parallel()), Awaited(Echo()), writer)
            await made.send_async(HI)
            await made.send_async(HI)
            writer.seal()

    threaded(tmp_path / "t")
    asyncio.run(asynchronous(tmp_path / "a"))
    assert (tmp_path / "t").read_bytes() == (tmp_path / "a").read_bytes()


def test_many_runs_in_one_loop_do_not_mix() -> None:
    """Runs that take turns in one event loop each leave the records that they leave alone (N20)."""

    class Slow(Shuffled):
        async def perform(self, ask: Ask) -> list[Answer]:  # type: ignore[override]
            for _ in range(self.chance.randint(0, 3)):
                await asyncio.sleep(0)
            return super().perform(ask)

    async def one(seed: int) -> str:
        kept = Kept()
        await Run(Engine(parallel(), seed=seed), Slow(Random(seed)), kept).send_async(UserMessage.of(f"run {seed}"))
        return str([frame.wire() for frame in kept.frames])

    async def together() -> list[str]:
        return list(await asyncio.gather(*[one(seed) for seed in range(20)]))

    async def alone() -> list[str]:
        return [await one(seed) for seed in range(20)]

    assert asyncio.run(together()) == asyncio.run(alone())


def test_a_cancelled_task_ends_its_nodes() -> None:
    """When the task of an async caller is cancelled, the nodes are closed before the cancellation reaches the caller."""
    ended: list[str] = []

    async def tidy(_: Any, ctx: NodeContext) -> None:
        try:
            await ctx.perform(ToolCall("t"))
        finally:
            ended.append(ctx.node)

    class Forever:
        async def perform(self, ask: Ask) -> list[Answer]:
            await asyncio.Event().wait()
            return []

    async def caller() -> None:
        made, _ = run(bound({"a": tidy}), Forever())
        task = asyncio.ensure_future(made.send_async(HI))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ended == ["a"]

    asyncio.run(caller())


def test_random_runs_replay(tmp_path: Path) -> None:
    """Runs with ticks, cancels, failures and answers in any order replay, from the graph in their headers."""
    for seed in (2, 9):
        path = tmp_path / f"{seed}.trace.jsonl"
        random_run(path, seed, most=3)
        assert replay(path, trust=True).verdict == "same"
