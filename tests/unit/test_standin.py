"""The stand-in for a model: what it replies is read without a complaint, says nothing that it was not told, and never fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frameengine.codec import dumps
from frameengine.effects import Call, EffectKey, ModelCall, ModelReply, ToolCall
from frameengine.jsonvalue import freeze
from frameengine.messages import Command, InputAnalysis
from frameengine.nodes.context import untrusted
from frameengine.nodes.parsing import (
    parse_analysis,
    parse_expert_plan,
    parse_interpreted,
    parse_memory,
    parse_plan,
    parse_routing,
)
from frameengine.performers.standin import StandIn
from frameengine.performers.wishes import COLUMNS, TRY, wish_of

SAID = (*TRY, "Thank you!", "Good morning", "Nothing that it knows", "ACTION: go", "")
READS: dict[str, Callable[[str, str], Any]] = {
    "input": lambda text, _: parse_analysis(text),
    "director": lambda text, said: parse_plan(text, Command(analysis=InputAnalysis(), source_text=said)),
    "pa": lambda text, said: parse_routing(text, said, ["eras"]),
    "expert_eras": parse_expert_plan,
    "interpreter": lambda text, _: parse_interpreted(text),
    "memorizer": lambda text, _: parse_memory(text),
}


def asked(node: str, *messages: tuple[str, str], **more: Any) -> ModelReply:
    """Return the reply to a request of *node*."""
    listed = [{"role": role, "content": text} for role, text in messages]
    call = Call.of(EffectKey(1, 1, node, 0), ModelCall(model="m", messages=listed, **more))
    return StandIn()(call)


def request(node: str, said: str) -> tuple[str, str]:
    """Return the last message of a request as *node* writes it."""
    task = untrusted("task", dumps(freeze({"source_text": said})).decode())
    marked = {
        "director": task,
        "pa": task,
        "expert_eras": untrusted("job", said),
        "interpreter": f"{untrusted('question', said)}\n\n{untrusted('tool_output', '[1] query_db: SELECT 1' + chr(10) + said)}",
        "memorizer": untrusted("memory", "{}"),
    }
    return "user", marked.get(node, said)


@pytest.mark.parametrize("node", READS)
@pytest.mark.parametrize("said", SAID)
def test_each_role_reads_its_reply_without_a_complaint(node: str, said: str) -> None:
    """The reply to each role has the form that the role expects: no default has to stand in."""
    reply = asked(node, ("system", "You are."), ("user", said), request(node, said))
    assert READS[node](reply.text, said).problems == ()


@given(st.text(max_size=60), st.sampled_from([*READS, "thinker", "output", "somebody"]), st.booleans())
def test_whatever_is_said_it_replies(said: str, node: str, tools: bool) -> None:
    """No text makes it fail, in no role, and equal requests get equal replies."""
    said = said.encode("utf-8", "ignore").decode()
    offered = [{"type": "function", "function": {"name": "query_db"}}] if tools else []
    first, second = [asked(node, ("user", said), request(node, said), tools=offered) for _ in range(2)]
    assert first == second
    assert first.text or first.tool_calls
    assert first.model == "scripted stand-in"


@pytest.mark.parametrize(
    "said", ["list the customers in Jena", "How many bills per year?", "compare buildings and flats", "flats above 80 m2"]
)
def test_what_it_has_no_rule_for_is_not_answered_with_something_wider(said: str) -> None:
    """A word that may narrow the wish, or a second table, gets the list of what it can do, not an answer to another question."""
    assert wish_of(said) == wish_of("something else")


@pytest.mark.parametrize("said", TRY)
def test_what_it_proposes_it_can_do(said: str) -> None:
    """Each message that it proposes to a newcomer is a wish that tools fulfil."""
    assert wish_of(said).steps


@pytest.mark.parametrize(
    ("said", "topic"),
    [
        ("hi how many customers", "number of customers"),
        ("Wie viele Kunden haben wir?", "number of customers"),
        ("a customer", "customers"),
        ("count my counter", "a counter"),
        ("hello there", ""),
    ],
)
def test_a_wish_goes_before_the_greeting_that_it_comes_with(said: str, topic: str) -> None:
    """A message is small talk only where no rule knows a wish in it."""
    assert wish_of(said).topic == topic


def test_what_it_tells_of_data_comes_from_the_tools() -> None:
    """Figures and errors are those of the output; an empty result is told as such."""
    for output, wanted in (
        ("customers\n7", "The database holds 7 customers."),
        ("Error: no such table: customers", "Error: no such table: customers"),
        ("name\tcity", "Nothing was found."),
    ):
        material = f"{untrusted('question', TRY[0])}\n\n{untrusted('tool_output', f'[1] query_db: SELECT{chr(10)}{output}')}"
        assert parse_interpreted(asked("interpreter", ("user", material)).text).value.summary == wanted
        told = asked("thinker", ("user", untrusted("message", TRY[0])), ("tool", output))
        assert told.text == wanted


def test_every_table_of_the_example_can_be_counted_and_listed() -> None:
    """A count and a list of each table are planned as one statement on the example database."""
    for table in COLUMNS:
        for said in (f"How many {table}?", f"List the {table}"):
            (step,) = wish_of(said).steps
            assert step["args"]["database"] == "billing"
            assert f" FROM {table}" in step["args"]["query"]


def test_it_is_no_tool() -> None:
    """A tool call is refused as the mistake of whoever made it one of the model's."""
    with pytest.raises(TypeError):
        StandIn()(Call.of(EffectKey(1, 1, "a", 0), ToolCall("query_db", {})))
