"""The messages that the roles hand on: their fields, their defaults, and what is derived from them."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from frameengine.inputs import UserMessage
from frameengine.messages import (
    Command,
    DirectorPlan,
    Envelope,
    InputAnalysis,
    InterpretedResult,
    PARouting,
    PlannedTool,
    ThoughtResult,
    to_json,
)
from toy import bound, pass_on, run

SHAPES: list[tuple[Any, dict[str, Any]]] = [
    (Envelope(text="hi"), {"text": "hi", "user_id": "anon", "session_id": "", "timestamp": ""}),
    (
        InputAnalysis(),
        {
            "who": "unknown",
            "language": "en",
            "intent": "request",
            "topic": "",
            "tone": "casual",
            "complexity": "simple",
            "context": "",
        },
    ),
    (
        ThoughtResult(response="r"),
        {
            "response": "r",
            "tool_used": "",
            "tool_output": "",
            "actions": (),
            "state_updates": {},
            "display_items": (),
            "machine_ops": (),
        },
    ),
    (
        DirectorPlan(),
        {"goal": "", "steps": (), "present_as": "summary", "tool_sequence": (), "reasoning": "", "response_hint": ""},
    ),
    (InterpretedResult(summary="s"), {"summary": "s", "row_count": 0, "key_facts": (), "confidence": "high"}),
    (PARouting(), {"expert": "none", "job": "", "thinking_message": "", "response_hint": "", "language": "de"}),
]


@pytest.mark.parametrize(("message", "fields"), SHAPES, ids=lambda value: type(value).__name__)
def test_a_message_has_its_fields_and_their_defaults(message: Any, fields: dict[str, Any]) -> None:
    """Made with what it needs alone, a message holds the defaults of its row (C01, C03, C05 to C08), recorded with its type."""
    assert {name: getattr(message, name) for name in fields} == fields
    assert to_json(message)["type"] == type(message).__name__
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(message, next(iter(fields)), "other")


def test_an_envelope_says_who_spoke() -> None:
    """C01: a message is wrapped once, with the identity that the run was given and no other."""
    made, kept = run(bound({"a": pass_on, "b": pass_on}))
    made.send(UserMessage.of("hi", user_id="eva", session_id="s-7", channel="web"))
    made.send(UserMessage.of("hi"))
    first, second = [record.input for record in kept.records("a")]
    assert first == {**second, "user_id": "eva", "session_id": "s-7", "channel": "web"}
    assert (second["type"], second["text"], second["user_id"], second["session_id"]) == ("Envelope", "hi", "anon", "")
    assert [record.input["type"] for record in kept.records("b")] == ["Note", "Note"]


def test_an_instruction_is_derived_from_the_analysis() -> None:
    """C03: who, intent, topic and tone make one line; in v1 the perception itself is the instruction (C02)."""
    analysis = InputAnalysis(who="Eva", intent="question", topic="bills", tone="urgent", complexity="complex")
    command = Command(analysis=analysis, source_text="how many?")
    assert command.instruction == "Eva: question about bills (urgent, complex)"
    assert attrs.evolve(command, metadata={"perception": "Eva counts bills."}).instruction == "Eva counts bills."
    assert "instruction" not in to_json(command)


def test_a_plan_says_whether_it_needs_tools() -> None:
    """C06: with a hint alone a plan is a direct response, with a tool it has tools, with neither it is neither."""
    hint = DirectorPlan(response_hint="Say hello.")
    tool = DirectorPlan(response_hint="Say hello.", tool_sequence=(PlannedTool(tool="query_db"),))
    assert [(plan.has_tools, plan.is_direct_response) for plan in (hint, tool, DirectorPlan())] == [
        (False, True),
        (True, False),
        (False, False),
    ]
