"""Model replies as typed values: whatever a reply holds, a value comes out, and every default is named (W12, W55)."""

from __future__ import annotations

import json
from functools import partial
from time import process_time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frameengine.errors import ValueRefused
from frameengine.jsonvalue import thaw
from frameengine.messages import Command, DirectorPlan, InputAnalysis, InterpretedResult, PlannedTool
from frameengine.nodes.parsing import (
    NO_PLAN,
    NO_SUMMARY,
    parse_analysis,
    parse_interpreted,
    parse_memory,
    parse_plan,
)
from frameengine.nodes.reply import ITEMS_MAX, PROBLEMS_MAX, REPLY_CHARS_MAX, TEXT_CHARS_MAX, json_object

COMMAND = Command(analysis=InputAnalysis(), source_text="how many?")
ANALYSIS: dict[str, Any] = {
    "who": "Eva",
    "language": "de",
    "intent": "question",
    "topic": "bills",
    "tone": "urgent",
    "complexity": "complex",
    "context": "About 2024.",
}
PLAN: dict[str, Any] = {
    "goal": "count",
    "steps": ["count them"],
    "present_as": "table",
    "tool_sequence": [{"tool": "query_db", "args": {"query": "SELECT 1", "database": "billing"}}],
    "reasoning": "short",
    "response_hint": "say the number",
}
INTERPRETED: dict[str, Any] = {"summary": "There are 3.", "row_count": 3, "key_facts": ["3"], "confidence": "medium"}
ODD: list[Any] = [
    None,
    0,
    -1,
    1.5,
    True,
    "",
    "x",
    "x" * 5000,
    [],
    {},
    [None],
    [[]],
    [{}],
    {"a": 1},
    "SOCIAL",
    ["x"] * 300,
    2**63,
    " trivial ",
]


def test_a_classification_is_read_whole() -> None:
    """All seven fields of a good reply arrive, and nothing is complained about (C03)."""
    parsed = parse_analysis(json.dumps(ANALYSIS))
    assert parsed.value == InputAnalysis(**ANALYSIS)
    assert parsed.problems == ()


def test_a_plan_is_read_whole() -> None:
    """All fields of a good plan arrive, with the command that it is for (C06)."""
    parsed = parse_plan(json.dumps(PLAN), COMMAND)
    tool = PlannedTool(tool="query_db", args={"query": "SELECT 1", "database": "billing"})
    assert parsed.value == DirectorPlan(**{**PLAN, "steps": ("count them",), "tool_sequence": (tool,), "command": COMMAND})
    assert parsed.problems == ()


def test_an_interpretation_is_read_whole() -> None:
    """All fields of a good interpretation arrive (C07)."""
    parsed = parse_interpreted(json.dumps(INTERPRETED))
    assert parsed.value == InterpretedResult(**{**INTERPRETED, "key_facts": ("3",)})
    assert parsed.problems == ()


GOOD = '{"a": "}{ \\" ``` \\\\", "b": {"c": [1]}}'


@pytest.mark.parametrize(
    "reply",
    [
        GOOD,
        f"  \n{GOOD}\n",
        f"```json\n{GOOD}\n```",
        f"```JSON\n{GOOD}\n```\nThat is my answer.",
        f"```\n{GOOD}\n```",
        f"Here you are: {GOOD} Is that all right?",
        f"```python\nprint({{}})\n```\nand then\n```json\n{GOOD}\n```",
        # What stands between two blocks begins with a fence and ends with one, and is prose.
        f'```sql\nSELECT 1\n```\n{{"not": "this"}}\n```json\n{GOOD}\n```',
        f"```json\n{GOOD}",
    ],
)
def test_the_object_is_found(reply: str) -> None:
    """The JSON object is found bare, fenced and in prose; braces and fences inside its strings do not confuse it."""
    assert thaw(json_object(reply)) == json.loads(GOOD)


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        ("I would rather talk.", "no JSON object"),
        ('{"a": 1', "ends inside"),
        ('{"a": "1}', "ends inside"),
        ("{a: 1}", "not JSON"),
        ('{"a": 1, "a": 2}', "twice"),
        ('{"a": NaN}', "not JSON"),
        ('{"a": 1e999}', "too large"),
        ('{"a": ' + "9" * 5000 + "}", "digits"),
        ('{"a": "\\ud800"}', "surrogate"),
        ('{"a":' * 70 + "1" + "}" * 70, "deeper"),
        ("[1, 2]", "no JSON object"),
        ("{" + " " * REPLY_CHARS_MAX + "}", "characters"),
    ],
)
def test_an_unreadable_reply_says_why(reply: str, why: str) -> None:
    """Each way of not being a JSON object is refused with its reason, and all three readers fall back with that reason."""
    with pytest.raises(ValueRefused, match=why):
        json_object(reply)
    for parsed in (parse_analysis(reply), parse_plan(reply, COMMAND), parse_interpreted(reply)):
        (problem,) = parsed.problems
        assert why in problem


def test_fallbacks_never_pretend() -> None:
    """Without a readable reply a message is a simple request, a plan says there is none, a summary that it failed (C03, C07)."""
    assert parse_analysis("hm").value == InputAnalysis(intent="request", complexity="simple")
    assert parse_plan("hm", COMMAND).value == DirectorPlan(goal="how many?", response_hint=NO_PLAN, command=COMMAND)
    assert parse_interpreted("hm").value == InterpretedResult(summary=NO_SUMMARY, confidence="low")
    assert parse_analysis("").problems == ("the reply has no text",)


def test_unknown_words_become_defaults_and_are_named() -> None:
    """A word that an enumeration has not is replaced by the default, and the field is named (C03)."""
    parsed = parse_analysis(json.dumps({**ANALYSIS, "intent": "chitchat", "tone": "angry", "complexity": 3}))
    assert (parsed.value.intent, parsed.value.tone, parsed.value.complexity) == ("request", "casual", "simple")
    assert [problem.split()[0] for problem in parsed.problems] == ["intent", "tone", "complexity"]


def test_missing_decisions_are_named() -> None:
    """What decides the way of a message, or of a job, may not be left out silently (C89)."""
    assert parse_analysis("{}").problems == ("intent is missing", "complexity is missing")
    assert parse_interpreted("{}").problems == ("summary is missing",)
    assert parse_plan("{}", COMMAND).problems == ("there is neither tool_sequence nor response_hint",)
    assert parse_plan("{}", COMMAND).value.response_hint == NO_PLAN


@pytest.mark.parametrize(
    "step", [None, 3, "query_db", [], {}, {"tool": ""}, {"tool": 7}, {"tool": "query_db", "args": "x"}, {"args": {}}]
)
def test_a_step_that_is_none_is_kept_without_a_tool(step: Any) -> None:
    """A step without a tool and its arguments keeps its place, so that whoever runs the plan can refuse it visibly (W07)."""
    parsed = parse_plan(json.dumps({**PLAN, "tool_sequence": [step, *PLAN["tool_sequence"]]}), COMMAND)
    first, second = parsed.value.tool_sequence
    assert first.tool == ""
    assert second.tool == "query_db"


def test_large_replies_are_bounded() -> None:
    """Long texts are cut, long lists end, and so does the list of problems, each with a word about it."""
    plan = parse_plan(json.dumps({**PLAN, "goal": "g" * 5000, "tool_sequence": [1] * 1000}), COMMAND)
    assert len(plan.value.goal) == TEXT_CHARS_MAX
    assert len(plan.value.tool_sequence) == ITEMS_MAX
    assert len(plan.problems) == 2
    noisy = parse_plan(json.dumps({**PLAN, "steps": [1] * 100}), COMMAND)
    assert len(noisy.problems) == PROBLEMS_MAX + 1
    assert noisy.problems[-1] == "and 80 more"


@pytest.mark.parametrize("odd", ODD, ids=repr)
def test_w55_odd_values_never_raise(odd: Any) -> None:
    """Any value in any field gives a typed result, every text of which is a text (W55)."""
    for key in ANALYSIS:
        parsed = parse_analysis(json.dumps({**ANALYSIS, key: odd}))
        assert all(isinstance(getattr(parsed.value, name), str) for name in ANALYSIS)
    for key in PLAN:
        plan = parse_plan(json.dumps({**PLAN, key: odd}), COMMAND).value
        assert all(isinstance(step, PlannedTool) for step in plan.tool_sequence)
        assert plan.present_as in {"table", "summary", "machine"}
        assert plan.has_tools or plan.is_direct_response
    for key in INTERPRETED:
        result = parse_interpreted(json.dumps({**INTERPRETED, key: odd})).value
        assert result.summary
        assert result.row_count >= 0


@given(st.text(alphabet='{}[]"\\`:,\n \tajsn0.e-', max_size=300))
def test_any_text_gives_a_value(text: str) -> None:
    """No text makes a reader raise; a default never comes without a problem."""
    for parsed in (parse_analysis(text), parse_plan(text, COMMAND), parse_interpreted(text), parse_memory(text)):
        assert parsed.value is not None
    assert parse_interpreted(text).problems
    assert parse_memory(text).problems or not parse_memory(text).value.get("facts")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_an_object_in_a_fence_is_the_object(value: Any) -> None:
    """What is written into a fenced block is read back, whatever the strings in it hold."""
    document = {"value": value}
    try:
        assert thaw(json_object(f"So:\n```json\n{json.dumps(document)}\n```\n")) == document
    except ValueRefused as error:
        assert "64 bits" in error.message or "surrogate" in error.message  # noqa: PT017 - refused values are part of the contract


@pytest.mark.parametrize("unit", ['"', '\\"', "{", "```\n", '{"', "\\", "```json\n{"])
def test_hostile_replies_are_read_in_linear_time(unit: str) -> None:
    """A reply of the largest size made of one troublesome piece is refused, in a bounded number of steps of the pattern."""
    reply = "{" + (unit * REPLY_CHARS_MAX)[: REPLY_CHARS_MAX - 1]
    assert parse_plan(reply, COMMAND).problems


def test_a_memory_is_read_field_by_field() -> None:
    """What a model may set arrives in one line each; who the user is, and what is no field, is not read (W02)."""
    reply = {"topic": " open\nbills ", "facts": ["Likes\ttables.", ""], "user_name": "root", "situation": "x", "clicks": ["y"]}
    parsed = parse_memory(json.dumps(reply))
    assert thaw(parsed.value) == {"topic": "open bills", "facts": ["Likes tables."]}
    assert parsed.problems == ()


READERS: list[Any] = [parse_analysis, parse_interpreted, parse_memory, partial(parse_plan, command=COMMAND)]


@pytest.mark.nightly
@pytest.mark.parametrize("read", READERS, ids=["analysis", "interpreted", "memory", "plan"])
@pytest.mark.parametrize("unit", ['"', '\\"', "{", "}", "```\n", '{"', "\\", "```json\n{", '"a": [1, {}], ', "\\ud800", " \n"])
def test_reading_takes_linear_time_without_the_bound(read: Any, unit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if replies of a MiB were read, twice the text would take at most 2.6 times as long."""
    monkeypatch.setattr("frameengine.nodes.reply.REPLY_CHARS_MAX", 4 << 20)

    def least(size: int, head: str) -> float:
        text = head + (unit * (size // len(unit)))[: size - len(head)]
        times = []
        for _ in range(3):
            start = process_time()
            read(text)
            times.append(process_time() - start)
        return min(times)

    for head in ("", '{"a": "', '```json\n{"facts": ['):
        one, two = least(1 << 19, head), least(1 << 20, head)
        assert two <= 2.6 * one + 0.005, (head, one, two)
