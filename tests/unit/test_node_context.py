"""What a node is given: effects with keys, emissions, and the run's own time, chance and ids."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frameengine.effects import EffectKey, ModelCall, ToolCall
from frameengine.errors import LimitError, NodeError, ReadOnly, ValueRefused
from frameengine.inputs import UserMessage
from frameengine.jsonvalue import EMPTY, freeze
from frameengine.limits import EMISSIONS_PER_NODE_MAX
from frameengine.node import NodeContext, NodeResult, Performing
from frameengine.records import Emission
from frameengine.state import Change
from toy import Note, bound, run


def context(node: str = "a", *, input: int = 1, frame: int = 1, seed: int = 0, **more: Any) -> NodeContext:
    """Return a context."""
    return NodeContext(EffectKey(input, frame, node, 0), more.pop("state", EMPTY), seed=seed, **more)


# ---------------------------------------------------------------------- effects


def test_effects_are_keyed_by_place_and_index() -> None:
    """Calls of a node are counted through, over perform and perform_all; equal requests get keys of their own."""
    ctx = context("a", input=3, frame=2)
    one = ToolCall("t", {"x": 1})
    first: Any = ctx.perform(one)
    rest: Any = ctx.perform_all([one, ModelCall(model="m", messages=()), one])
    assert isinstance(first, Performing)
    assert [call.key for call in (*first.calls, *rest.calls)] == [EffectKey(3, 2, "a", index) for index in range(4)]
    assert first.calls[0].digest == rest.calls[0].digest == rest.calls[2].digest
    assert ctx.performings == [first, rest]


def test_an_effect_that_a_trace_cannot_hold_is_refused_in_the_node() -> None:
    """NaN in arguments raises where the call is made."""
    with pytest.raises(ValueRefused):
        ToolCall("t", {"x": float("nan")})


def test_the_context_names_its_place() -> None:
    """Node, frame and input are those of the key."""
    ctx = context("a", input=3, frame=2)
    assert (ctx.node, ctx.frame, ctx.input) == ("a", 2, 3)


# ---------------------------------------------------------------------- state


def test_the_state_is_read_only_all_the_way_down() -> None:
    """Neither the sections nor anything inside them can be changed by a node."""
    attempts: list[str] = []

    async def writes(_: Any, ctx: NodeContext) -> None:
        deep: Any = ctx.state["deep"]
        writes: list[Callable[[], Any]] = [
            lambda: ctx.state.__setitem__("history", []),
            lambda: deep.update(x=1),
            lambda: deep["list"].append(1),
            lambda: deep["list"][0].__delitem__("a"),
            lambda: ctx.state.setdefault("new", 1),
        ]
        for write in writes:
            try:
                write()
            except (ReadOnly, AttributeError) as error:
                attempts.append(type(error).__name__)

    graph = bound({"a": writes})
    made, _ = run(graph)
    made.engine.state = made.engine.state.apply([Change.set("/deep", {"list": [{"a": 1}]})])
    before = made.engine.state.digest
    made.send(UserMessage.of("hi"))
    assert attempts == ["ReadOnly", "ReadOnly", "AttributeError", "ReadOnly", "ReadOnly"]
    assert made.engine.state.digest == before


# ---------------------------------------------------------------------- chance


def test_chance_is_seeded_by_seed_input_frame_and_node() -> None:
    """The same place in a run of the same seed draws the same; any other place or seed draws something else."""

    def draws(**place: Any) -> tuple[float, ...]:
        ctx = context(**{"node": "a", "input": 1, "frame": 1, "seed": 0, **place})
        return tuple(ctx.random.random() for _ in range(4))

    assert draws() == draws()
    others = [draws(node="b"), draws(input=2), draws(frame=2), draws(seed=1), draws(input=11), draws(frame=11)]
    assert len({draws(), *others}) == 7


def test_chance_goes_on_within_a_frame() -> None:
    """Two draws of one node in one frame come from one generator."""
    ctx = context()
    assert ctx.random is ctx.random
    assert ctx.random.random() != ctx.random.random()


def test_chance_is_the_same_in_every_process() -> None:
    """The first draw is pinned: a change of the seeding would let every recorded run diverge."""
    assert context(seed=7).random.getrandbits(64) == 8271824301431558958


# ---------------------------------------------------------------------- ids


@given(
    st.lists(
        st.tuples(
            st.integers(1, 12), st.integers(1, 12), st.sampled_from(["a", "b", "a-1", "1"]), st.sampled_from(["id", "x", "x-1"])
        )
    )
)
def test_ids_are_unique_in_a_run(places: list[tuple[int, int, str, str]]) -> None:
    """No two ids of a run are equal, whatever nodes, frames, inputs and prefixes they come from (N04)."""
    contexts: dict[tuple[int, int, str], NodeContext] = {}
    ids = []
    for input_, frame, node, prefix in places:
        if not node[0].isalpha():
            continue
        ctx = contexts.setdefault((input_, frame, node), context(node, input=input_, frame=frame))
        ids.append(ctx.next_id(prefix))
    assert len(dict.fromkeys(ids)) == len(ids)


def test_ids_are_counters() -> None:
    """An id says where it was made; the next one counts on (N04)."""
    ctx = context("a", input=2, frame=3)
    assert [ctx.next_id(), ctx.next_id("job")] == ["id-2.3.a.1", "job-2.3.a.2"]


# ---------------------------------------------------------------------- emissions


def test_emissions_are_frozen_copies() -> None:
    """What a node does to its data after it was shown does not reach the record."""
    ctx = context()
    rows = [1]
    ctx.emit("rows", rows=rows)
    rows.append(2)
    assert ctx.joined_emissions() == (Emission(event="rows", data=freeze({"rows": [1]})),)


@pytest.mark.parametrize(
    ("show", "error"),
    [
        (lambda ctx: ctx.emit("text", text="x"), NodeError),
        (lambda ctx: ctx.emit(5), NodeError),
        (lambda ctx: ctx.say(5), NodeError),
        (lambda ctx: ctx.say("x", stream=["s"]), NodeError),
        (lambda ctx: ctx.emit("lone \ud800"), ValueRefused),
        (lambda ctx: ctx.say("lone \ud800"), ValueRefused),
        (lambda ctx: ctx.emit("set", tags={1, 2}), ValueRefused),
    ],
)
def test_what_cannot_be_recorded_is_refused_where_it_is_shown(show: Any, error: type[Exception]) -> None:
    """An odd event, text or stream fails the node at that line, and nothing of it is shown or recorded."""
    previews: list[Emission] = []
    ctx = context(preview=previews.append)
    with pytest.raises(error):
        show(ctx)
    assert (ctx.joined_emissions(), previews) == ((), [])


def test_long_replies_can_be_said() -> None:
    """A text that is shared in the trace is a text like any other to say()."""
    ctx = context()
    ctx.say(freeze("x" * 100))
    ctx.say("y")
    assert ctx.joined_emissions()[0].data["text"] == "x" * 100 + "y"


@given(st.lists(st.tuples(st.sampled_from(["say", "emit"]), st.sampled_from(["answer", "notes"]), st.text(max_size=5))))
def test_joining_loses_nothing(shown: list[tuple[str, str, str]]) -> None:
    """Per stream the record has the pieces joined; events are all there, in order; a stream stands where it began."""
    ctx = context()
    for how, stream, text in shown:
        if how == "say":
            ctx.say(text, stream)
        else:
            ctx.emit("event", text=text)
    joined = ctx.joined_emissions()
    for stream in ("answer", "notes"):
        pieces = [text for how, name, text in shown if (how, name) == ("say", stream)]
        texts = [each.data["text"] for each in joined if each.data.get("stream") == stream]
        assert texts == (["".join(pieces)] if pieces else [])
    assert [each.data["text"] for each in joined if each.event == "event"] == [text for how, _, text in shown if how == "emit"]
    firsts = dict.fromkeys(stream if how == "say" else f"{index}" for index, (how, stream, _) in enumerate(shown))
    assert [each.data.get("stream", "") for each in joined] == [first if first in ("answer", "notes") else "" for first in firsts]


def test_more_emissions_than_the_bound_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound on emissions is named in the error."""
    assert EMISSIONS_PER_NODE_MAX == 100_000
    monkeypatch.setattr("frameengine.node.EMISSIONS_PER_NODE_MAX", 2)
    ctx = context()
    ctx.say("1")
    ctx.say("2")
    with pytest.raises(LimitError) as caught:
        ctx.say("3")
    assert caught.value.fields["name"] == "emissions of one node in one frame"


# ---------------------------------------------------------------------- results


def test_a_result_takes_changes_in_any_sequence() -> None:
    """Changes become a tuple; a result of nothing changes nothing."""
    assert NodeResult(None, [Change.set("/x", 1)]).changes == (Change.set("/x", 1),)
    assert (NodeResult().message, NodeResult().changes) == (None, ())


def test_the_time_is_read_without_a_trace_until_it_is_read() -> None:
    """Asking for the time is noted, as the record must then hold it."""
    ctx = context(now=5)
    assert not ctx.now_read
    assert (ctx.now(), ctx.now_read) == (5, True)


def test_the_node_gets_its_entry_of_the_graph() -> None:
    """Settings, model and budget of the graph reach the node as ctx.config (C11)."""

    async def reads(_: Any, ctx: NodeContext) -> NodeResult:
        return NodeResult(Note(text=f"{ctx.config.model} {ctx.config.budget} {ctx.config.config['x']}"))

    made, kept = run(bound({"a": reads}, more={"a": 'model = "m"\nbudget = 9\nconfig = { x = 1 }'}))
    made.send(UserMessage.of("hi"))
    assert kept.records("a")[0].output["text"] == "m 9 1"
