"""One frame: what a node may await, what becomes of one that breaks its contract, and what the others notice of it."""

from __future__ import annotations

import asyncio
import json
import warnings
from collections.abc import Awaitable
from contextlib import suppress
from inspect import getsourcelines
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from frameengine.effects import Answer, Call, EffectKey, ModelCall, Outcome, ToolCall
from frameengine.engine.driver import Run
from frameengine.engine.frame import NodeTask, error_value, run_frame
from frameengine.engine.guard import Guard
from frameengine.engine.message import Engine
from frameengine.engine.stops import Ask, Reply
from frameengine.errors import EffectError, Nondeterminism, ToolFailed, UsageError
from frameengine.inputs import UserMessage
from frameengine.jsonvalue import EMPTY, FrozenMap, freeze
from frameengine.limits import CALLS_PER_NODE_MAX
from frameengine.node import Node, NodeContext, NodeResult
from frameengine.records import Frame, FrameRecord
from frameengine.state import Change
from toy import Awaited, Do, Echo, Kept, Note, Work, bound, broken, edge, key, pass_on, reply, run

OFF = Guard("off", static=False)
LOOKUP = ToolCall("lookup", {"q": 1})


def only_record(work: Work | Node, **engine: Any) -> FrameRecord:
    """Run a graph of one node and return its record."""
    made, kept = run(bound({"a": work}), **engine)
    made.send(UserMessage.of("hi"))
    (record,) = kept.records("a")
    assert isinstance(record, FrameRecord)
    return record


def error_of(work: Work | Node, **engine: Any) -> tuple[str, str]:
    """Run a graph of one node that fails; return type and message of its error."""
    record = only_record(work, **engine)
    assert record.error is not None
    assert (record.output, record.changes, record.route) == (None, (), ())
    return record.error["type"], record.error["message"]


def line_in(kind: type[Any]) -> str:
    """Return file:line of the marked line in a class of this file."""
    lines, first = getsourcelines(kind)
    number = next(number for number, line in enumerate(lines, start=first) if line.endswith("# here\n"))
    return f"{Path(__file__).name}:{number}"


# ---------------------------------------------------------------------- foreign awaits


class Sleeps:
    """Gives way to an event loop."""

    async def run(self, message: Any, ctx: NodeContext) -> NodeResult:
        """Sleep."""
        await asyncio.sleep(0)  # here
        return NodeResult()


class WaitsForFuture:
    """Awaits a future of a loop that does not run."""

    async def run(self, message: Any, ctx: NodeContext) -> None:
        """Wait."""
        loop = asyncio.new_event_loop()
        try:
            await loop.create_future()  # here
        finally:
            loop.close()


class Odd:
    """An awaitable that suspends with something of its own."""

    def __await__(self) -> Any:
        yield "odd"  # here


class AwaitsSomethingOdd:
    """Awaits what no event loop knows either."""

    async def run(self, message: Any, ctx: NodeContext) -> None:
        """Wait."""
        await self.helper()

    async def helper(self) -> None:
        """Wait on behalf of another method."""
        await Odd()


@pytest.mark.parametrize(
    ("node", "what", "place"),
    [(Sleeps, "no effect", Sleeps), (WaitsForFuture, "Future", WaitsForFuture), (AwaitsSomethingOdd, "str", Odd)],
)
def test_a_foreign_await_is_refused_and_named(node: type[Node], what: str, place: type[Any]) -> None:
    """A node that suspends on anything but an effect fails; the error names node, frame, file and the innermost line of it."""
    kind, message = error_of(node(), guard=OFF)
    assert kind == "node.foreign_await"
    assert "node 'a'" in message
    assert what in message
    assert "frame 1" in message
    assert line_in(place) in message


def test_the_recorded_error_holds_no_folder() -> None:
    """What is recorded of a foreign await is the same wherever the code is installed."""
    _, message = error_of(Sleeps(), guard=OFF)
    assert str(Path(__file__).parent) not in message


def test_the_loop_of_an_async_caller_is_hidden() -> None:
    """Inside an event loop a node sees none: timeouts and tasks fail at once, and the caller's loop is there again after."""

    async def timeout(_: Any, ctx: NodeContext) -> None:
        async with asyncio.timeout(1):
            await ctx.perform(LOOKUP)

    async def task(_: Any, ctx: NodeContext) -> None:
        helper = AwaitsSomethingOdd().helper()
        try:
            await asyncio.create_task(helper)
        finally:
            helper.close()

    async def running(_: Any, ctx: NodeContext) -> None:
        asyncio.get_running_loop()

    async def drive(work: Work) -> str:
        made, kept = run(bound({"a": work}), Awaited(Echo()), guard=OFF)
        await made.send_async(UserMessage.of("hi"))
        assert asyncio.get_running_loop().is_running()
        (record,) = kept.records("a")
        return str(record.error["message"])

    for work in (timeout, task, running):
        assert "no running event loop" in asyncio.run(drive(work))


def test_gather_is_refused() -> None:
    """Effects given to asyncio.gather do not become a second way to wait: the node fails, and the effects are not performed."""

    async def work(_: Any, ctx: NodeContext) -> None:
        await asyncio.gather(ctx.perform(LOOKUP), ctx.perform(LOOKUP))

    performer = Echo()
    with warnings.catch_warnings():
        # Python 3.11 makes a loop here, and warns of it and of the tasks that it never runs.
        warnings.simplefilter("ignore")
        made, kept = run(bound({"a": work}), performer, guard=OFF)
        assert made.send(UserMessage.of("hi")).status == "failed"
        assert kept.records("a")[0].error is not None
        asyncio.set_event_loop(None)
    assert performer.calls == []


def test_awaits_that_never_suspend_are_harmless() -> None:
    """A coroutine or awaitable that ends without suspending may be awaited, and so may an empty perform_all."""

    class Ready:
        def __await__(self) -> Any:
            return iter(())

    async def helper() -> int:
        await Ready()
        return 7

    async def work(_: Any, ctx: NodeContext) -> NodeResult:
        nothing = await ctx.perform_all([])
        return NodeResult(Note(text=f"{await helper()} {nothing}"))

    record = only_record(work)
    assert record.output is not None
    assert record.output["text"] == "7 []"


def test_an_effect_of_another_node_is_foreign() -> None:
    """A node cannot await an effect that another one asked for: neither gets an answer that is not its own."""
    shared: list[Awaitable[Any]] = []

    async def lends(_: Any, ctx: NodeContext) -> None:
        shared.append(ctx.perform(LOOKUP))
        await ctx.perform(LOOKUP)

    async def borrows(_: Any, ctx: NodeContext) -> None:
        await shared[0]

    made, kept = run(bound({"root": pass_on, "a": lends, "b": borrows}, [edge("root", "a", "b")]))
    assert made.send(UserMessage.of("hi")).status == "failed"
    assert kept.records("b")[0].error["type"] == "node.foreign_await"
    assert "2 a[0]" in kept.records("b")[0].error["message"].replace("1.", "")
    assert kept.records("a")[0].error["type"] == "node.forgotten_effect"


# ---------------------------------------------------------------------- forgotten, doubled and odd effects


async def forgets(_: Any, ctx: NodeContext) -> None:
    """Ask and never await."""
    ctx.perform(LOOKUP)


async def forgets_all(_: Any, ctx: NodeContext) -> None:
    """Ask for several and never await them."""
    ctx.perform_all([ModelCall(model="m", messages=()), LOOKUP])


async def forgets_nothing(_: Any, ctx: NodeContext) -> None:
    """Ask for nothing and never await it."""
    ctx.perform_all([])


async def starts_by_hand(_: Any, ctx: NodeContext) -> None:
    """Take an effect out of the engine's hands."""
    iter(ctx.perform(LOOKUP).__await__()).__next__()


@pytest.mark.parametrize(
    ("work", "named"),
    [
        (forgets, "tool call 'lookup'"),
        (forgets_all, "model call 'm'"),
        (forgets_nothing, "an empty perform_all"),
        (starts_by_hand, "tool call 'lookup'"),
    ],
)
def test_an_effect_that_is_never_awaited_is_an_error(work: Work, named: str) -> None:
    """What was asked for and not awaited fails the node, and was not performed."""
    performer = Echo()
    made, kept = run(bound({"a": work}), performer)
    made.send(UserMessage.of("hi"))
    error = kept.records("a")[0].error
    assert error["type"] == "node.forgotten_effect"
    assert named in error["message"]
    assert performer.calls == []


def test_an_effect_awaited_twice_is_an_error() -> None:
    """The second await of one effect fails the node; the effect was performed once."""

    async def work(_: Any, ctx: NodeContext) -> None:
        asked = ctx.perform(LOOKUP)
        await asked
        await asked

    record = only_record(work)
    assert record.error is not None
    assert record.error["type"] == "node"
    assert "twice" in record.error["message"]
    assert len(record.calls) == 1


def test_more_effects_than_the_bound_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound on effects of one node is named in the error, and none beyond it is performed."""
    assert CALLS_PER_NODE_MAX == 100_000
    monkeypatch.setattr("frameengine.node.CALLS_PER_NODE_MAX", 3)

    async def work(_: Any, ctx: NodeContext) -> None:
        await ctx.perform_all([LOOKUP] * 3)
        await ctx.perform(LOOKUP)

    record = only_record(work)
    assert record.error == {"type": "limit", "message": "effects of one node in one frame is 4, the bound is 3"}
    assert len(record.calls) == 3


# ---------------------------------------------------------------------- what a node returns and raises


@pytest.mark.parametrize(
    ("result", "named"),
    [
        ("text", "returned str, not NodeResult"),
        (NodeResult("text"), "a message of type builtins.str"),
        (NodeResult(Note(), ({"op": "set"},)), "changes that are no Change"),  # type: ignore[arg-type]
        (NodeResult({"x": float("nan")}), "not a JSON number"),
        (NodeResult(Note(), (Change.delete("/nowhere"),)), "nothing to delete"),
        (NodeResult(Note(), (Change.set("/a" * 100, 1),)), "the bound is 64"),
    ],
)
def test_an_odd_result_is_the_nodes_error(result: Any, named: str) -> None:
    """What a node returns and cannot be recorded fails the node, not the run."""

    async def work(_: Any, ctx: NodeContext) -> Any:
        return result

    made, kept = run(bound({"a": work, "b": pass_on}))
    assert made.send(UserMessage.of("hi")).status == "failed"
    assert named in kept.records("a")[0].error["message"]
    assert kept.records("b") == []
    assert made.send(UserMessage.of("again")).input == 2


def test_no_result_ends_the_branch() -> None:
    """None stands for a result without message and changes."""

    async def work(_: Any, ctx: NodeContext) -> None:
        return None

    record = only_record(work)
    assert (record.output, record.error, record.changes) == (None, None, ())


class Mute(Exception):
    """An exception that cannot say what it is."""

    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("error", "message"),
    [(ValueError("no"), "no"), (ValueError("lone \ud800"), "lone \\ud800"), (Mute(), "(its __str__ raised RuntimeError)")],
)
def test_any_exception_can_be_recorded(error: Exception, message: str) -> None:
    """An exception is recorded by type and message, whatever its message is like."""

    async def work(_: Any, ctx: NodeContext) -> None:
        raise error

    assert error_of(work) == (f"{type(error).__module__}.{type(error).__qualname__}", message)
    assert freeze(error_value(error)) == error_value(error)


def test_an_effect_error_can_be_caught() -> None:
    """A failed effect raises in the node, which may go on; the record shows the call and no error."""
    caught: list[EffectError] = []

    async def work(_: Any, ctx: NodeContext) -> NodeResult:
        try:
            await ctx.perform(LOOKUP)
        except ToolFailed as error:
            caught.append(error)
        return NodeResult(Note(text="went on"))

    made, kept = run(bound({"a": work}), Echo(lambda call: broken(call, "no rows")))
    assert made.send(UserMessage.of("hi")).status == "done"
    assert kept.records("a")[0].calls[0].status == "error"
    assert [(error.message, error.fields["type"]) for error in caught] == [("no rows", "toy.broken")]


# ---------------------------------------------------------------------- results in call order


def test_results_come_in_call_order_whatever_the_order_of_arrival() -> None:
    """perform_all gives results in the order of the calls, for every order in which they arrive (N19)."""
    seen: list[list[int]] = []

    async def work(_: Any, ctx: NodeContext) -> None:
        replies = await ctx.perform_all([ToolCall("t", {"n": n}) for n in range(4)])
        seen.append([reply.content["rows"][0] for reply in replies])

    class Ordered(Echo):
        def __init__(self, order: tuple[int, ...]) -> None:
            super().__init__()
            self.order = list(order)

        def perform(self, ask: Ask) -> list[Answer]:
            wanted = key("a", self.order.pop(0))
            return [Answer(wanted, self.answer(ask.outstanding[wanted]))]

    for order in permutations(range(4)):
        made, _ = run(bound({"a": work}), Ordered(order))
        made.send(UserMessage.of("hi"))
    assert seen == [[0, 1, 2, 3]] * 24


def test_the_first_failure_in_call_order_is_raised() -> None:
    """Several effects failed: the one asked for first is raised, after all have come back."""

    async def work(_: Any, ctx: NodeContext) -> None:
        await ctx.perform_all([ToolCall("t", {"n": n}) for n in range(3)])

    made, kept = run(bound({"a": work}), Echo(lambda call: broken(call, f"failure {call.key.call}")))
    made.send(UserMessage.of("hi"))
    (record,) = kept.records("a")
    assert record.error["message"] == "failure 0"
    assert [call.status for call in record.calls] == ["error"] * 3


def test_failures_can_be_kept_in_their_places() -> None:
    """With keep_failures each failure stands where its result would, and nothing is raised."""

    async def work(_: Any, ctx: NodeContext) -> NodeResult:
        replies = await ctx.perform_all([ToolCall("t", {"n": n}) for n in range(3)], keep_failures=True)
        return NodeResult(Note(text=" ".join(type(reply).__name__ for reply in replies)))

    made, kept = run(bound({"a": work}), Echo(lambda call: broken(call) if call.key.call == 1 else reply(call)))
    made.send(UserMessage.of("hi"))
    assert kept.records("a")[0].output["text"] == "ToolReply ToolFailed ToolReply"


# ---------------------------------------------------------------------- the frame's own protocol


def task(work: Work, name: str = "a") -> NodeTask:
    """Return one node, ready to run."""
    return NodeTask(Do(work), Note(), EMPTY, NodeContext(EffectKey(1, 1, name, 0), EMPTY), OFF)


async def asks(_: Any, ctx: NodeContext) -> None:
    """Ask once."""
    await ctx.perform(LOOKUP)


def test_asks_show_new_effects_once_and_outstanding_ones_always() -> None:
    """An Ask names what is new in graph order, and everything that has no answer yet; nothing given back repeats the Ask."""
    frame = run_frame([task(asks, "a"), task(asks, "b")])
    ask = next(frame)
    assert [call.key.node for call in ask.new] == ["a", "b"]
    again = frame.send(Reply())
    assert again.new == ()
    assert list(again.outstanding) == [call.key for call in ask.new]
    rest = frame.send(Reply((Answer(ask.new[1].key, broken(ask.new[1])),)))
    assert list(rest.outstanding) == [ask.new[0].key]
    with pytest.raises(StopIteration):
        frame.send(Reply((Answer(ask.new[0].key, broken(ask.new[0])),)))


@pytest.mark.parametrize("node", ["a", "stranger"])
def test_an_answer_that_nobody_awaits_is_refused(node: str) -> None:
    """A second answer to an effect, or one to an effect that was never asked for, is the caller's error."""
    frame = run_frame([task(asks), task(asks, "b")])
    ask = next(frame)
    outcome = broken(ask.new[0])
    frame.send(Reply((Answer(ask.new[0].key, outcome),)))
    with pytest.raises(UsageError, match="nobody awaits"):
        frame.send(Reply((Answer(EffectKey(1, 1, node, 0), outcome),)))


def test_a_given_up_frame_closes_its_nodes() -> None:
    """When the run is given up, suspended nodes run their finally blocks, and what they do there harms nobody."""
    closed: list[str] = []

    async def tidy(_: Any, ctx: NodeContext) -> None:
        try:
            await ctx.perform(LOOKUP)
        finally:
            closed.append(ctx.node)
            await ctx.perform(LOOKUP)

    frame = run_frame([task(tidy, "a"), task(tidy, "b")])
    next(frame)
    frame.close()
    assert closed == ["a", "b"]


def test_a_node_that_is_stopped_and_asks_again_fails_alone() -> None:
    """A finally block that awaits once more after a foreign await ends as that error, not as a broken run."""

    async def stubborn(_: Any, ctx: NodeContext) -> None:
        try:
            await asyncio.sleep(0)
        finally:
            await ctx.perform(LOOKUP)

    kind, _ = error_of(stubborn, guard=OFF)
    assert kind == "node.foreign_await"


def test_a_refusal_in_a_finally_block_of_a_stopped_node_fails_the_run() -> None:
    """The guard holds in what a node does while it is stopped."""

    async def sneaky(_: Any, ctx: NodeContext) -> None:
        try:
            await Odd()
        finally:
            open("somewhere", "wb").close()  # noqa: ASYNC230, PTH123 - one call, which the audit hook sees

    made, _ = run(bound({"a": sneaky}), guard=Guard("on", static=False))
    with pytest.raises(Nondeterminism):
        made.send(UserMessage.of("hi"))


def test_a_refusal_fails_the_run_even_when_the_node_catches_it() -> None:
    """A node that touches a file and swallows the refusal does not get away with it: no frame is committed, the run is over."""

    async def work(_: Any, ctx: NodeContext) -> NodeResult:
        with suppress(BaseException):
            open("somewhere")  # noqa: ASYNC230, PTH123, SIM115 - one call, which the audit hook sees
        return NodeResult(Note(text="as if nothing had been"))

    made, kept = run(bound({"a": work}), guard=Guard("on", static=False))
    with pytest.raises(Nondeterminism, match="node 'a'"):
        made.send(UserMessage.of("hi"))
    assert kept.frames == []


def test_where_a_recording_stops_the_node_stops() -> None:
    """An outcome that was not recorded ends the node there: the record is open, holds the call, and has no error."""
    went_on: list[str] = []

    async def work(_: Any, ctx: NodeContext) -> NodeResult:
        try:
            await ctx.perform(LOOKUP)
        except Exception:  # noqa: BLE001 - it must not be told
            went_on.append("told")
        return NodeResult(Note(), (Change.set("/x", 1),))

    made, kept = run(bound({"a": work, "b": pass_on}), Echo(lambda _: Outcome(status="not_recorded")))
    trace = made.send(UserMessage.of("hi"))
    (record,) = kept.records("a")
    assert (trace.status, trace.frames, record.open, record.error, record.changes) == ("open", 1, True, None, ())
    assert [call.status for call in record.calls] == ["not_recorded"]
    assert (went_on, kept.records("b")) == ([], [])


def test_calls_are_recorded_in_call_order() -> None:
    """The record lists calls by index, with digests of request and outcome that the outcome lines have too."""

    async def work(_: Any, ctx: NodeContext) -> None:
        await ctx.perform(LOOKUP)
        await ctx.perform_all([LOOKUP, ModelCall(model="m", messages=())])

    seen: dict[EffectKey, tuple[Call, Outcome]] = {}

    class Watch:
        def on_outcome(self, call: Call, outcome: Outcome) -> None:
            seen[call.key] = (call, outcome)

    record = only_record(work, instruments=[Watch()])
    assert [(call.call, call.kind, call.name) for call in record.calls] == [
        (0, "tool", "lookup"),
        (1, "tool", "lookup"),
        (2, "model", "m"),
    ]
    for call in record.calls:
        asked, outcome = seen[key("a", call.call)]
        assert (call.request, call.outcome) == (asked.digest, outcome.digest)


# ---------------------------------------------------------------------- errors that want to end more than the node


class Leaves:
    """Asks, then wants to leave the process."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    async def run(self, _: Any, ctx: NodeContext) -> NodeResult:
        """Ask and raise."""
        await ctx.perform(LOOKUP)
        raise self.error  # here


@pytest.mark.parametrize("error", [SystemExit(0), asyncio.CancelledError(), GeneratorExit(), ExceptionGroup("x", [ValueError()])])
def test_whatever_a_node_raises_is_its_error(error: BaseException) -> None:
    """An exception that would end the process or a task ends the node and is recorded, as any other."""
    kind = type(error)
    assert error_of(Leaves(error))[0] == f"{kind.__module__}.{kind.__qualname__}"


def test_an_interrupt_ends_the_run() -> None:
    """KeyboardInterrupt is the user's, and no node's error."""
    with pytest.raises(KeyboardInterrupt):
        only_record(Leaves(KeyboardInterrupt()))


def test_a_stopped_node_that_wants_to_leave_has_failed() -> None:
    """SystemExit out of the finally block of a node that is stopped is recorded too."""

    async def leaves(_: Any, ctx: NodeContext) -> None:
        try:
            await ctx.perform(LOOKUP)
        finally:
            raise SystemExit(0)

    assert error_of(leaves, performer=Echo(lambda _: Outcome(status="not_recorded")))[0] == "builtins.SystemExit"


def test_a_node_that_is_given_up_does_not_end_the_process() -> None:
    """Where a run is given up for another reason, that reason stays, whatever its nodes raise when they are closed."""

    async def leaves(_: Any, ctx: NodeContext) -> None:
        try:
            await ctx.perform(LOOKUP)
        finally:
            raise SystemExit(0)

    steps = run_frame([task(leaves)])
    next(steps)
    with pytest.raises(OSError, match="gone"):
        steps.throw(OSError("gone"))


def test_an_error_that_leaves_when_asked_what_it_says_is_recorded() -> None:
    """A ``__str__`` that raises SystemExit takes nothing with it."""

    class Odd(Exception):
        def __str__(self) -> str:
            raise SystemExit(0)

    assert error_value(Odd())["message"] == "(its __str__ raised SystemExit)"


# ---------------------------------------------------------------------- where a node raised


class Fails:
    """Fails below its own code."""

    async def run(self, _: Any, ctx: NodeContext) -> NodeResult:
        """Raise in a library."""
        await ctx.perform(LOOKUP)
        self._parse()
        return NodeResult()

    def _parse(self) -> None:
        json.loads("{")  # here


class Refused:
    """Does not catch the failure of its call."""

    async def run(self, _: Any, ctx: NodeContext) -> NodeResult:
        """Ask for what fails."""
        await ctx.perform(LOOKUP)  # here
        return NodeResult()


class Metas(Kept):
    """Keeps frames with their meta."""

    def frame(self, frame: Frame, meta: FrozenMap) -> None:
        """Keep both."""
        self.lines.append((frame, meta))


@pytest.mark.parametrize(("node", "answer"), [(Fails, reply), (Refused, broken)])
def test_the_frames_line_says_where_a_node_raised(node: type[Any], answer: Any) -> None:
    """The innermost line in the node's own file stands in the meta of the frame, without a folder; in no record."""
    kept = Metas()
    Run(Engine(bound({"a": node()})), Echo(answer), kept).send(UserMessage.of("hi"))
    frame, meta = next(line for line in kept.lines if isinstance(line, tuple) and isinstance(line[0], Frame))
    assert meta == {"raised": {"a": line_in(node)}}
    assert Path(__file__).name not in str(frame.wire())


def test_the_place_of_a_foreign_await_is_told() -> None:
    """For a refused await it is the line that awaits; where nothing was raised the meta says nothing."""
    for node, place in ((Sleeps(), line_in(Sleeps)), (Do(pass_on), "")):
        done = NodeTask(node, Note(), EMPTY, NodeContext(EffectKey(1, 1, "a", 0), EMPTY), OFF)
        done.resume()
        assert (done.ended, done.raised) == (True, place)
