"""One message: frames in order, parallel failures, the epilogue, times, late inputs, and the inputs that run no node."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from attrs import evolve

from frameengine.effects import Answer, Call, EffectKey, Outcome, ToolCall, ToolReply
from frameengine.engine.driver import VIRTUAL_INPUT, virtual_at
from frameengine.engine.guard import Guard
from frameengine.engine.message import Engine
from frameengine.engine.stops import Ask, Committed, Reply
from frameengine.errors import EngineClosed, LimitError, UsageError
from frameengine.inputs import Action, Clear, Dashboard, During, Given, Input, SwitchGraph, Tick, UserMessage, Webhook
from frameengine.jsonvalue import freeze
from frameengine.limits import FRAMES_PER_MESSAGE_MAX
from frameengine.node import NodeContext, NodeResult
from frameengine.records import FrameTrace
from frameengine.state import Change, RunState
from toy import Echo, Kept, Note, bound, broken, edge, key, pass_on, reply, run

HI = UserMessage.of("hi")


async def fails(_: Any, ctx: NodeContext) -> None:
    """Fail."""
    raise ValueError(f"{ctx.node} cannot")


async def ends(_: Any, ctx: NodeContext) -> None:
    """Hand nothing on."""


async def calls(message: Any, ctx: NodeContext) -> NodeResult:
    """Make one call and hand a note on."""
    answer = await ctx.perform(ToolCall("t", {"node": ctx.node}))
    return NodeResult(Note(text=str(answer.content["rows"][0])), (Change.set(f"/{ctx.node}", "called"),))


def shape(kept: Kept) -> list[list[str]]:
    """Return the names of the nodes of every frame."""
    return [[record.node for record in frame.records] for frame in kept.frames]


# ---------------------------------------------------------------------- frames


def test_a_message_goes_through_numbered_frames() -> None:
    """A frame runs all nodes that have a message, in graph order; the next begins when all are done (C09, C42)."""
    graph = bound(
        {"root": pass_on, "c": calls, "b": calls, "end": ends}, [edge("root", "b", "c"), edge("b", "end")], state={"history": []}
    )
    made, kept = run(graph)
    trace = made.send(HI)
    assert shape(kept) == [["root"], ["c", "b"], ["end"]]
    assert [frame.frame for frame in kept.frames] == [1, 2, 3]
    assert (trace.total_frames, trace.frames, trace.calls, trace.status, trace.path) == (3, 3, 2, "done", "custom")
    assert [record.route for record in kept.records("root")] == [("b", "c")]
    assert trace.state == made.engine.state.digest


def test_the_path_is_labelled_by_the_graph() -> None:
    """The first path label that holds names the way a message took."""
    graph = bound({"a": pass_on, "b": pass_on, "c": ends})
    labelled = graph.graph.from_json(
        {**graph.graph.to_json(), "paths": [{"label": "long", "when": "frames > 2 and 'b' in nodes"}]}
    )
    made, _ = run(bound({"a": pass_on}))
    assert made.send(HI).path == "custom"
    made, _ = run(evolve(graph, graph=labelled))
    assert made.send(HI).path == "long"


def test_every_frame_is_recorded_before_the_next_begins() -> None:
    """The recorder has a frame's line, and each outcome's, before any node goes on."""
    seen: list[tuple[str, list[str]]] = []
    kept = Kept()

    async def looks(message: Any, ctx: NodeContext) -> NodeResult:
        seen.append((ctx.node, [type(line).__name__ for line in kept.lines]))
        await ctx.perform(ToolCall("t"))
        seen.append((ctx.node, [type(line).__name__ for line in kept.lines]))
        return NodeResult(Note())

    made, _ = run(bound({"a": looks, "b": looks}))
    made.recorder = kept
    made.send(HI)
    assert seen == [
        ("a", ["Input"]),
        ("a", ["Input", "tuple"]),
        ("b", ["Input", "tuple", "Frame"]),
        ("b", ["Input", "tuple", "Frame", "tuple"]),
    ]


def test_two_messages_may_not_be_under_way_at_once() -> None:
    """A second message is refused before anything of it can be recorded, and the first one goes on unharmed."""
    engine = Engine(bound({"a": calls}))
    first = engine.message(Input(number=1, body=HI))
    ask = next(first)
    with pytest.raises(EngineClosed):
        engine.message(Input(number=2, body=HI))
    assert isinstance(ask, Ask)
    committed = first.send(Reply(tuple([Answer(call.key, reply(call)) for call in ask.new])))
    assert isinstance(committed, Committed)
    with pytest.raises(StopIteration):
        next(first)
    assert not engine.closed


def test_a_circle_ends_at_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """A graph that goes round for ever is stopped by a named bound, and the run is closed."""
    assert FRAMES_PER_MESSAGE_MAX == 1_000
    graph = bound({"a": pass_on}, [edge("a", "a", condition="n > 0")])
    made, kept = run(graph)
    with pytest.raises(LimitError) as caught:
        made.send(HI)
    assert caught.value.fields == {
        "name": "frames of one message",
        "bound": FRAMES_PER_MESSAGE_MAX,
        "actual": FRAMES_PER_MESSAGE_MAX + 1,
    }
    assert len(kept.frames) == FRAMES_PER_MESSAGE_MAX
    with pytest.raises(EngineClosed):
        made.send(HI)
    assert len(kept.inputs) == 1


def test_node_instances_see_frozen_messages() -> None:
    """A plain dict handed to two nodes is frozen: what one of them does to it cannot reach the other."""

    async def hands_on(_: Any, ctx: NodeContext) -> NodeResult:
        return NodeResult({"type": "Note", "items": [1]})

    async def writes(message: Any, ctx: NodeContext) -> None:
        message["items"] = "changed"

    async def reads(message: Any, ctx: NodeContext) -> NodeResult:
        return NodeResult(Note(text=str(list(message["items"]))))

    made, kept = run(bound({"root": hands_on, "a": writes, "b": reads}, [edge("root", "a", "b")]))
    made.send(HI)
    assert kept.records("a")[0].error["type"] == "usage.read_only"
    assert kept.records("b")[0].output["text"] == "[1]"


# ---------------------------------------------------------------------- parallel nodes


def test_when_one_of_two_parallel_nodes_raises_its_sibling_finishes() -> None:
    """The sibling ends its work, the frame commits with the error, and no successor of the failed node starts."""
    graph = bound(
        {"root": pass_on, "bad": fails, "good": calls, "after-bad": ends, "after-good": ends},
        [edge("root", "bad", "good"), edge("bad", "after-bad"), edge("good", "after-good")],
    )
    made, kept = run(graph)
    trace = made.send(HI)
    assert shape(kept) == [["root"], ["bad", "good"], ["after-good"]]
    assert kept.records("bad")[0].error == {"type": "builtins.ValueError", "message": "bad cannot"}
    assert kept.records("good")[0].error is None
    assert made.engine.state.sections["good"] == "called"
    assert trace.status == "failed"
    assert made.send(HI).status == "failed"


def test_a_failure_after_an_outcome_leaves_siblings_alone() -> None:
    """The order in which a failing node and its sibling get their outcomes makes no difference to either."""

    async def calls_and_fails(_: Any, ctx: NodeContext) -> None:
        await ctx.perform(ToolCall("t"))
        raise ValueError("afterwards")

    class Late(Echo):
        def __init__(self, first: str) -> None:
            super().__init__()
            self.first = first

        def perform(self, ask: Ask) -> list[Answer]:
            ready = [call for call in ask.outstanding.values() if call.key.node == self.first] or list(ask.outstanding.values())
            return [Answer(call.key, reply(call)) for call in ready]

    forms = []
    for first in ("bad", "good"):
        made, kept = run(
            bound({"root": pass_on, "bad": calls_and_fails, "good": calls}, [edge("root", "bad", "good")]), Late(first)
        )
        made.send(HI)
        forms.append([frame.wire() for frame in kept.frames])
    assert str(forms[0]) == str(forms[1])


def test_all_nodes_of_a_frame_see_the_state_as_it_was() -> None:
    """What one node of a frame changes is not seen by another of the same frame; changes apply in graph order."""

    async def counts(_: Any, ctx: NodeContext) -> NodeResult:
        return NodeResult(None, (Change.set(f"/seen-{ctx.node}", ctx.state["n"]), Change.set("/n", ctx.node)))

    made, _ = run(bound({"root": pass_on, "b": counts, "a": counts}, [edge("root", "a", "b")], state={"n": 0}))
    made.send(HI)
    assert dict(made.engine.state.sections) == {"n": "a", "seen-b": 0, "seen-a": 0}


def test_two_messages_for_one_node_take_two_frames() -> None:
    """Where two nodes of a frame send to a third, it runs for the first in graph order, and in the next frame for the other."""
    made, kept = run(
        bound(
            {"root": pass_on, "a": calls, "b": calls, "join": ends},
            [edge("root", "a", "b"), edge("a", "join"), edge("b", "join")],
        )
    )
    trace = made.send(HI)
    assert (trace.status, trace.total_frames) == ("done", 4)
    assert [(record.frame, record.input["text"]) for record in kept.records("join")] == [
        (3, kept.records("a")[0].output["text"]),
        (4, kept.records("b")[0].output["text"]),
    ]


# ---------------------------------------------------------------------- epilogue


def test_the_epilogue_runs_after_the_answer_and_continues_the_numbering() -> None:
    """Nodes of the epilogue wait for all main ones; total_frames is the last main frame, frames counts all."""
    epilogue = 'phase = "epilogue"'
    graph = bound(
        {"root": pass_on, "memo": pass_on, "tidy": ends, "b": pass_on, "out": ends},
        [edge("root", "memo", "b"), edge("memo", "tidy"), edge("b", "out")],
        more={"memo": epilogue, "tidy": epilogue},
    )
    made, kept = run(graph)
    trace = made.send(HI)
    assert shape(kept) == [["root"], ["b"], ["out"], ["memo"], ["tidy"]]
    assert [(frame.frame, frame.phase) for frame in kept.frames] == [
        (1, "main"),
        (2, "main"),
        (3, "main"),
        (4, "epilogue"),
        (5, "epilogue"),
    ]
    assert [record.phase for record in kept.records("memo")] == ["epilogue"]
    assert (trace.total_frames, trace.frames) == (3, 5)


def test_what_an_epilogue_starts_belongs_to_it() -> None:
    """A node of the main phase that a node of the epilogue hands on to runs after the answer, in no frame of the answer's."""
    graph = bound(
        {"watch": pass_on, "root": pass_on, "memo": pass_on, "end": ends},
        [edge("root", "memo"), edge("memo", "watch"), edge("watch", "end")],
        more={"memo": 'phase = "epilogue"'},
        entry={"UserMessage": "root"},
    )
    made, kept = run(graph)
    trace = made.send(HI)
    assert shape(kept) == [["root"], ["memo"], ["watch"], ["end"]]
    assert [frame.phase for frame in kept.frames] == ["main", "epilogue", "epilogue", "epilogue"]
    assert [record.phase for record in kept.records("watch")] == ["epilogue"]
    assert (trace.total_frames, trace.frames, trace.path) == (1, 4, "custom")
    made.send(HI)
    assert [frame.phase for frame in kept.frames[4:]] == ["main", "epilogue", "epilogue", "epilogue"]


# ---------------------------------------------------------------------- time


def test_the_time_is_the_newest_of_all_that_came_before_the_frame() -> None:
    """A node reads the largest `at` of inputs and outcomes before its frame, whatever comes in while it runs."""
    times: list[tuple[str, int]] = []

    async def reads(_: Any, ctx: NodeContext) -> NodeResult:
        before = ctx.now()
        await ctx.perform_all([ToolCall("t"), ToolCall("t")])
        assert ctx.now() == before
        times.append((ctx.node, before))
        return NodeResult(Note())

    ats = {key("a", 0): 700, key("a", 1): 300, key("b", 0, frame=2): 500, key("b", 1, frame=2): 600}
    made, kept = run(
        bound({"a": reads, "b": reads, "c": reads}), Echo(lambda call: Outcome(value=ToolReply(), at=ats.get(call.key, 0)))
    )
    made.send(HI, at=100)
    assert times == [("a", 100), ("b", 700), ("c", 700)]
    assert [record.now for record in (*kept.records("a"), *kept.records("b"))] == [100, 700]


def test_the_time_is_recorded_only_where_it_was_read() -> None:
    """A record holds the time if its node read it; otherwise the time reaches no record (N01)."""

    async def reads(_: Any, ctx: NodeContext) -> NodeResult:
        ctx.now()
        return NodeResult(Note())

    made, kept = run(bound({"a": reads, "b": pass_on}))
    made.send(HI)
    assert [record.now for record in (*kept.records("a"), *kept.records("b"))] == [VIRTUAL_INPUT, None]
    assert "now" not in kept.records("b")[0].wire()


def test_virtual_time_is_a_function_of_the_key() -> None:
    """Later inputs, frames and calls come later in virtual time."""
    keys = [EffectKey(1, 1, "a", 0), EffectKey(1, 1, "a", 1), EffectKey(1, 2, "a", 0), EffectKey(2, 1, "a", 0)]
    ats = [virtual_at(each) for each in keys]
    assert ats == sorted(ats)
    assert len(dict.fromkeys(ats)) == 4
    assert virtual_at(EffectKey(1, 1, "z", 0)) == ats[0]


# ---------------------------------------------------------------------- inputs that run no node


def test_given_messages_are_appended_and_run_nothing() -> None:
    """A Given puts its messages into the history as they are; no frame, status done."""
    made, kept = run(bound({"a": ends}))
    trace = made.send(Given(messages=({"role": "system", "content": "be brief"}, {"role": "user", "content": "x"})))
    assert made.engine.state.sections["history"] == ({"role": "system", "content": "be brief"}, {"role": "user", "content": "x"})
    assert (trace.path, trace.frames, trace.total_frames, trace.status, kept.frames) == ("given", 0, 0, "done", [])


def test_clear_goes_back_to_the_graphs_state() -> None:
    """A Clear puts every section back to the graph's initial one, whatever the run began with."""
    made, _ = run(bound({"a": calls}, state={"history": ["x"]}), state=RunState(freeze({"history": [], "more": 1})))
    made.send(HI)
    assert made.send(Clear()).path == "clear"
    assert made.engine.state.sections == {"history": ("x",)}


def test_switch_graph_goes_on_with_another_graph() -> None:
    """C41: a SwitchGraph takes the graph that the caller finds, from its initial state, with its node order and edges."""
    other = bound({"x": pass_on, "y": ends}, state={"new": True}, name="other")
    made, kept = run(bound({"a": ends}), switch={"other": other}.__getitem__)
    made.send(HI)
    assert made.send(SwitchGraph(graph="other")).path == "switch"
    made.send(HI)
    assert shape(kept) == [["a"], ["x"], ["y"]]
    assert made.engine.state.sections == {"new": True}
    assert made.engine.bound is other


def test_w61_a_switch_to_a_graph_that_there_is_not_changes_nothing() -> None:
    """W61: it is refused before anything is recorded; graph, state and the numbers of inputs stay, and the run goes on."""
    made, kept = run(bound({"a": ends}), switch={}.__getitem__)
    made.send(HI)
    before = made.engine.state
    with pytest.raises(KeyError):
        made.send(SwitchGraph(graph="nope"))
    assert made.engine.state == before
    assert made.send(HI).status == "done"
    assert [entered.number for entered in kept.inputs] == [1, 2]


def test_a_switch_needs_somebody_who_finds_graphs() -> None:
    """Without a switch the input is refused, and the graph stays."""
    made, _ = run(bound({"a": ends}))
    with pytest.raises(UsageError, match="switch"):
        made.send(SwitchGraph(graph="other"))


def test_an_input_that_the_graph_has_no_entry_for_is_ignored() -> None:
    """It is recorded, runs nothing, and says so in its path."""
    made, kept = run(bound({"a": ends}))
    for body in (Tick(), Dashboard(), Webhook(source="x"), Action(name="y")):
        trace = made.send(body)
        assert (trace.path, trace.frames, trace.status) == ("ignored", 0, "done")
    assert len(kept.inputs) == 4


def test_every_kind_of_input_can_have_an_entry() -> None:
    """An Action, a Tick, a Dashboard and a Webhook start the node that the graph names, with the body as its message."""
    kinds = ("Action", "Tick", "Dashboard", "Webhook")
    made, kept = run(bound({"a": pass_on}, [], entry=dict.fromkeys(kinds, "a")))
    for body in (Action(name="y"), Tick(readings={"t": 1}), Dashboard(), Webhook(source="x")):
        made.send(body)
    assert [record.input["type"] for record in kept.records("a")] == list(kinds)


def test_an_odd_chat_message_reaches_the_entry_whole() -> None:
    """A message that is more than its text goes along in the envelope; a plain one does not stand there twice."""
    made, kept = run(bound({"a": ends}))
    made.send(UserMessage(message={"role": "user", "content": [{"type": "text", "text": "hi"}]}, user_id="u"))
    made.send(HI)
    first, second = kept.records("a")
    assert (first.input["text"], first.input["user_id"]) == ("hi", "u")
    assert first.input["message"]["content"] == ({"type": "text", "text": "hi"},)
    assert second.input["message"] == {}


# ---------------------------------------------------------------------- late inputs


def drive(engine: Engine, number: int, late: dict[int, list[Input]]) -> Iterator[Any]:
    """Run one input, answering everything; *late*: what comes in after which frame."""
    steps = engine.message(Input(number=number, body=HI, at=number * 1000))
    reply_: Reply | None = None
    while True:
        try:
            stop = next(steps) if reply_ is None else steps.send(reply_)
        except StopIteration as end:
            yield end.value
            return
        if isinstance(stop, Ask):
            reply_ = Reply(tuple([Answer(call.key, reply(call)) for call in stop.new]))
        else:
            yield stop.frame
            reply_ = Reply(late=tuple(late.get(stop.frame.frame, ())))


def late_tick(number: int, after: int, at: int = 0) -> Input:
    """Return a Tick that came in after a frame of input 1."""
    return Input(number=number, body=Tick(readings={"n": number}), at=at, during=During(input=1, frame=after))


def sensing(**nodes: Any) -> Any:
    """Return a chain of two nodes, with a sensor that ticks enter at."""
    return bound(
        {"a": pass_on, "b": ends, "sensor": ends, **nodes}, [edge("a", "b")], entry={"UserMessage": "a", "Tick": "sensor"}
    )


def test_a_late_input_enters_at_the_next_frame_boundary() -> None:
    """A Tick that came during frame 1 runs in frame 2, beside what the message does there."""
    frames = list(drive(Engine(sensing()), 1, {1: [late_tick(2, 1)]}))
    assert [[record.node for record in frame.records] for frame in frames[:-1]] == [["a"], ["b", "sensor"]]


def test_a_late_input_after_the_last_frame_makes_one_more() -> None:
    """What came during the last frame still runs before the message is done."""
    *frames, trace = drive(Engine(sensing()), 1, {2: [late_tick(2, 2)]})
    assert [[record.node for record in frame.records] for frame in frames] == [["a"], ["b"], ["sensor"]]
    assert trace.frames == 3


def test_several_late_inputs_for_one_node_wait_their_turn() -> None:
    """Two ticks at one boundary enter one frame after another, in order; nothing is lost and nothing conflicts."""
    *frames, trace = drive(Engine(sensing()), 1, {1: [late_tick(2, 1), late_tick(3, 1), late_tick(4, 1)]})
    ticks = [record.input["readings"]["n"] for frame in frames for record in frame.records if record.node == "sensor"]
    assert ticks == [2, 3, 4]
    assert (trace.status, trace.frames) == ("done", 4)


def test_a_late_input_waits_while_its_node_has_a_message() -> None:
    """A Tick for a node that an edge has just sent to runs a frame later."""
    graph = bound({"a": pass_on, "sensor": ends}, [edge("a", "sensor")], entry={"UserMessage": "a", "Tick": "sensor"})
    *frames, _ = drive(Engine(graph), 1, {1: [late_tick(2, 1)]})
    assert [frame.records[0].input["type"] for frame in frames] == ["Envelope", "Note", "Tick"]


def test_a_late_input_moves_the_time_on() -> None:
    """The time of the frames after it is at least that of the late input."""
    seen: list[int] = []

    async def reads(_: Any, ctx: NodeContext) -> None:
        seen.append(ctx.now())

    list(drive(Engine(sensing(b=reads)), 1, {1: [late_tick(2, 1, at=77_000)]}))
    assert seen == [77_000]


def test_a_late_input_must_say_where_it_came_in() -> None:
    """One without its place is refused: replay could not put it there again."""
    with pytest.raises(UsageError, match="during"):
        list(drive(Engine(sensing()), 1, {1: [Input(number=2, body=Tick())]}))


def test_what_the_graph_has_no_entry_for_is_ignored_late_too() -> None:
    """A late Dashboard without an entry changes nothing."""
    dashboard = Input(number=2, body=Dashboard(), during=During(input=1, frame=1))
    *frames, trace = drive(Engine(sensing()), 1, {1: [dashboard]})
    assert (len(frames), trace.status) == (2, "done")


def test_a_failure_in_one_message_does_not_close_the_run() -> None:
    """A node's failure belongs to its message; the next message runs."""
    made, _ = run(bound({"a": fails}))
    assert [made.send(HI).status, made.send(HI).status] == ["failed", "failed"]


def test_the_figures_of_a_message_name_its_state() -> None:
    """Two messages that leave the same state behind have the same digest, one that changes it another."""

    async def stores(message: Any, ctx: NodeContext) -> NodeResult:
        return NodeResult(None, (Change.set("/last", message.text),))

    made, _ = run(bound({"a": stores}))
    traces = [made.send(UserMessage.of(text)) for text in ("x", "x", "y")]
    assert isinstance(traces[0], FrameTrace)
    assert traces[0].state == traces[1].state
    assert traces[1].state != traces[2].state


def test_running_inside_an_event_loop_changes_no_record() -> None:
    """The same run, driven from a thread with a running loop, leaves the same records."""

    async def inside() -> str:
        made, kept = run(bound({"a": calls, "b": calls}), guard=Guard("off", static=False))
        made.send(HI)
        return str([frame.wire() for frame in kept.frames])

    made, kept = run(bound({"a": calls, "b": calls}), guard=Guard("off", static=False))
    made.send(HI)
    assert asyncio.run(inside()) == str([frame.wire() for frame in kept.frames])


def test_an_error_outcome_carries_its_facts() -> None:
    """The facts of a failure reach the node as fields of the error."""
    seen: list[dict[str, Any]] = []

    async def work(_: Any, ctx: NodeContext) -> None:
        (failure,) = await ctx.perform_all([ToolCall("t")], keep_failures=True)
        seen.append(failure.fields)

    def answer(call: Call) -> Outcome:
        return broken(call)

    made, _ = run(bound({"a": work}), Echo(answer))
    made.send(HI)
    assert seen == [{"type": "toy.broken", "key": [1, 1, "a", 0]}]
