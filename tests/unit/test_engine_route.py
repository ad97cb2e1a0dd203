"""Where messages go: edges by message type, conditions over message and state, and nodes that have a message already."""

from __future__ import annotations

from typing import Any

import pytest

from frameengine.engine.route import NOWHERE, Pending, Router
from frameengine.errors import ExpressionError
from frameengine.inputs import UserMessage
from frameengine.jsonvalue import EMPTY, freeze
from frameengine.node import NodeContext, NodeResult
from frameengine.state import Change
from toy import Note, bound, edge, pass_on, run


async def ends(_: Any, ctx: NodeContext) -> None:
    """Hand nothing on."""


def router(*edges: str) -> Router:
    """Return the router of a graph with nodes a, b and c."""
    return Router.of(bound({"a": pass_on, "b": ends, "c": ends}, [*edges, edge("a", "b", "c", carries="Never")]).graph)


NOTE = freeze({"type": "Note", "text": "x", "n": 3})


def test_a_message_goes_along_edges_that_carry_its_type() -> None:
    """Only edges for the message's type count; an edge may have several targets, kept in order."""
    routing = router(edge("a", "c", "b"), edge("a", "b", carries="Other")).route("a", NOTE, EMPTY)
    assert (routing.targets, routing.conditions) == (("c", "b"), {})


def test_a_message_that_no_edge_carries_goes_nowhere() -> None:
    """It ends the branch without an error."""
    assert router().route("a", freeze({"type": "Strange"}), EMPTY) is NOWHERE


def test_conditions_decide_and_are_kept() -> None:
    """Each condition is evaluated over message and state; the record gets every one with its value."""
    table = router(edge("a", "b", condition="n > 2 and state.on"), edge("a", "c", condition="n > 5"))
    routing = table.route("a", NOTE, freeze({"on": True}))
    assert routing.targets == ("b",)
    assert dict(routing.conditions) == {"n > 2 and state.on": True, "n > 5": False}


def test_one_condition_on_two_edges_is_evaluated_once() -> None:
    """Equal conditions give one entry, and both edges follow it."""
    routing = router(edge("a", "b", condition="n > 2"), edge("a", "c", condition="n > 2")).route("a", NOTE, EMPTY)
    assert (routing.targets, dict(routing.conditions)) == (("b", "c"), {"n > 2": True})


def test_a_node_gets_a_message_once_however_many_edges_lead_to_it() -> None:
    """Two conditions that both hold deliver one message, and the route names the node once."""
    made, kept = run(bound({"a": pass_on, "b": ends}, [edge("a", "b", condition="n > 0"), edge("a", "b", condition="n < 9")]))
    assert made.send(UserMessage.of("hi")).status == "done"
    assert kept.records("a")[0].route == ("b",)
    assert len(kept.records("b")) == 1


def test_a_condition_that_fails_is_the_nodes_error() -> None:
    """An expression over something that is not there fails the node that sent the message, and nothing is started or changed."""
    with pytest.raises(ExpressionError):
        router(edge("a", "b", condition="nothing.there == 1")).route("a", NOTE, EMPTY)
    made, kept = run(bound({"a": pass_on, "b": ends}, [edge("a", "b", condition="nothing.there == 1")]))
    assert made.send(UserMessage.of("hi")).status == "failed"
    (record,) = kept.records("a")
    assert record.error["type"] == "expression.missing"
    assert (record.output, record.route, kept.records("b")) == (None, (), [])


def test_conditions_see_the_state_before_the_frame() -> None:
    """What the sending node changes in the same frame does not decide where its message goes."""

    async def switches(_: Any, ctx: NodeContext) -> NodeResult:
        return NodeResult(Note(), (Change.set("/on", True),))

    made, kept = run(bound({"a": switches, "b": ends}, [edge("a", "b", condition="state.on")], state={"on": False}))
    made.send(UserMessage.of("hi"))
    made.send(UserMessage.of("hi"))
    assert [record.condition["state.on"] for record in kept.records("a")] == [False, True]


def test_pending_gives_main_messages_before_those_of_the_epilogue() -> None:
    """The epilogue is taken only when nothing main is left."""
    pending = Pending({"a": "main", "z": "epilogue"})
    assert not pending
    pending.put(("z", "a"), 1, EMPTY)
    assert pending.take() == ("main", {"a": (1, EMPTY)})
    assert pending
    assert pending.take() == ("epilogue", {"z": (1, EMPTY)})
    assert not pending


def test_pending_keeps_what_an_epilogue_starts_in_the_epilogue() -> None:
    """Once the epilogue has begun, a message for a main node waits in it, beside those of its own nodes."""
    pending = Pending({"a": "main", "z": "epilogue"})
    pending.put(("z",), 1, EMPTY)
    pending.take()
    pending.put(("a", "z"), 2, EMPTY)
    assert pending.take() == ("epilogue", {"a": (2, EMPTY), "z": (2, EMPTY)})
    assert not pending


def test_a_second_message_for_a_node_waits_for_the_next_frame() -> None:
    """A node gets one message in a frame; those behind it keep their order, and lose nothing."""
    pending = Pending({"a": "main", "b": "main"})
    pending.put(("b",), 1, EMPTY)
    pending.put(("a", "b"), 2, EMPTY)
    pending.put(("b",), 3, EMPTY)
    assert [pending.take() for _ in range(3)] == [
        ("main", {"b": (1, EMPTY), "a": (2, EMPTY)}),
        ("main", {"b": (2, EMPTY)}),
        ("main", {"b": (3, EMPTY)}),
    ]
    assert not pending
