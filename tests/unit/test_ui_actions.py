"""Clicks as text: read back whatever they hold, told from what a user types (C74 to C76, W57, W63)."""

from __future__ import annotations

from time import perf_counter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from frameengine.inputs import Action, UserMessage
from frameengine.jsonvalue import freeze
from frameengine.ui.actions import ACTION_CHARS_MAX, action_text, click_message, is_click, parse_action, shown_text

NAMES = st.text(min_size=1, max_size=100).filter(str.strip)
DATA = st.dictionaries(st.text(max_size=5), st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5), max_size=3)


@pytest.mark.parametrize(
    ("text", "action"),
    [
        ("ACTION: inc", Action(name="inc")),
        (" ACTION:inc ", Action(name="inc")),
        ('ACTION: send bills | data: {"year": 2024}', Action(name="send bills", data={"year": 2024})),
        ('ACTION: inc|data:{"a":"x | data: y"}', Action(name="inc", data={"a": "x | data: y"})),
        ('ACTION: "a | b" | data: {"x": 1}', Action(name="a | b", data={"x": 1})),
        ('ACTION: "say \\"hi\\""', Action(name='say "hi"')),
        ("ACTION: größe", Action(name="größe")),
    ],
)
def test_actions_are_read(text: str, action: Action) -> None:
    """A name ends at the first pipe unless it is quoted; the data is an object."""
    assert parse_action(text) == action


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("inc", "begins with ACTION:"),
        ("action: inc", "begins with ACTION:"),
        ("ACTION:", "is no name"),
        ("ACTION: | data: {}", "is no name"),
        ('ACTION: ""', "is no name"),
        ("ACTION: " + "x" * 101, "101 characters"),
        ('ACTION: "inc', "no closing quote"),
        (r'ACTION: "\q"', "not JSON"),
        (r'ACTION: "\ud800"', "surrogate"),
        ('ACTION: "inc" data: {}', "comes nothing, or | data:"),
        ("ACTION: a | b", "comes nothing, or | data:"),
        ("ACTION: a | b | data: {}", "comes nothing, or | data:"),
        ("ACTION: inc data: {}", "stands a |"),
        ("ACTION: inc | data: {bad}", "not JSON"),
        ("ACTION: inc | data:", "not JSON"),
        ('ACTION: inc | data: {"a": 1, "a": 2}', "stands twice"),
        ('ACTION: inc | data: {"a": 1e999}', "too large"),
        ("ACTION: inc | data: [1]", "no JSON object"),
        ("ACTION: inc | data: " + "[" * 10_000, "nested deeper"),
        ("ACTION: inc | data: " + '"' * ACTION_CHARS_MAX, "at most 65,536 characters"),
    ],
)
def test_w57_a_bad_action_is_a_problem(text: str, problem: str) -> None:
    """A pipe in a bare name and data that cannot be read are said, and never become a click without data (W57)."""
    found = parse_action(text)
    assert isinstance(found, str)
    assert problem in found


@given(NAMES, DATA)
@example("a data: {}", {})
@example('"', {"data:": "|"})
def test_any_click_is_read_back(name: str, data: dict[str, object]) -> None:
    """What a click is written as is read back as that click, whatever its name and its data hold."""
    action = Action(name=name, data=data)
    assert parse_action(action_text(action)) == action
    assert parse_action(shown_text(action)) == action


@given(st.text(max_size=60) | st.text(alphabet='"\\|{}[]: data:\n', max_size=60))
def test_any_text_is_a_click_or_a_problem(text: str) -> None:
    """No text makes the reader raise."""
    for candidate in (text, f"ACTION:{text}", f"ACTION: a | data: {text}", f'ACTION: "{text}'):
        assert isinstance(parse_action(candidate), Action | str)


def test_a_node_reads_a_bounded_part() -> None:
    """Of a long name and of much data a node reads the beginning, and that the rest is missing."""
    text = shown_text(Action(name="n" * 5_000, data={"x": "y" * 9_000}))
    assert len(text) < 4_300
    assert "[cut: 4,000 of 9,008 characters]" in text
    assert len(click_message(Action(name="n" * 5_000, data={"x": "y" * 9_000}))["content"]) < 4_200


def test_w63_a_click_is_no_typed_text() -> None:
    """A click in the history has a mark that the same words, typed, have not (W63); it tells name and data (C70, C76)."""
    click = click_message(Action(name="send", data={"year": 2024}))
    assert click["content"] == '[clicked send] {"year":2024}'
    assert click_message(Action(name="send"))["content"] == "[clicked send]"
    assert is_click(click)
    typed = UserMessage.of(click["content"]).message
    assert typed != click
    assert not is_click(typed)
    assert not is_click(freeze({"role": "assistant", "name": "click", "content": ""}))


@pytest.mark.nightly
@pytest.mark.parametrize("unit", ['"', '\\"', "\\", "|", "| data:", " ", "{", '{"', "a", "data:"])
def test_reading_takes_linear_time(unit: str) -> None:
    """Twice the text takes at most 2.6 times as long, and what is no text of a click is refused at once."""

    def least(size: int, head: str) -> float:
        text = head + (unit * size)[: size - len(head)]
        times = []
        for _ in range(15):
            start = perf_counter()
            for _ in range(20):
                parse_action(text)
            times.append(perf_counter() - start)
        return min(times)

    for head in ("ACTION: ", 'ACTION: "', "ACTION: a | data: ", 'ACTION: a | data: {"x": "'):
        one, two = least(ACTION_CHARS_MAX // 2, head), least(ACTION_CHARS_MAX, head)
        assert two <= 2.6 * one + 0.0005, (head, one, two)
