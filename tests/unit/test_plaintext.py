"""Nothing from outside moves the cursor, reorders or hides text."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frameengine.plaintext import is_visible, visible, visible_json, visible_line

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=200)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("\x9b2J", r"\x9b2J"),
        ("over\rwritten\b", r"over\x0dwritten\x08"),
        ("\x00\x07\x7f", r"\x00\x07\x7f"),
        ("a\u202eb\u2066c\u2069", r"a\u202eb\u2066c\u2069"),
        ("zero\u200bwidth\ufeff", r"zero\u200bwidth\ufeff"),
        ("tag\U000e0041\U000e007f", r"tag\U000e0041\U000e007f"),
        ("hidden\U000e0100\ufe00\u3164\u034f", r"hidden\U000e0100\ufe00\u3164\u034f"),
        ("line\u2028para\u2029", r"line\u2028para\u2029"),
        ("lone \ud800", r"lone \ud800"),
    ],
)
def test_what_a_terminal_might_obey_or_hide_is_shown_as_its_number(text: str, shown: str) -> None:
    """Control, direction, zero-width, tag and filler characters stand as their numbers."""
    assert visible(text) == shown


@pytest.mark.parametrize(
    "text", ["plain", "two\nlines\tand a tab", "Zürich, 東京\u3000駅, مرحبا", "thin\u202fspace", "❤\ufe0f", "e\u0301"]
)
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    """Letters of all scripts, spaces, accents and emoji reach the terminal unchanged."""
    assert visible(text) == text


@given(ANY_TEXT)
def test_only_visible_characters_remain(text: str) -> None:
    """Whatever comes in, what goes out is printable characters, line feeds and tabs, and stays the same a second time."""
    shown = visible(text)
    assert all(is_visible(char) for char in shown)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200b-\u200f\U000e0000-\U000e007f]", shown)
    assert visible(shown) == shown


@given(ANY_TEXT)
def test_a_line_is_one_line(text: str) -> None:
    """A text that is put on one line holds no line feed and no tab."""
    assert not set(visible_line(text)) & set("\n\t\r")


@given(st.text(max_size=200))
def test_json_keeps_its_meaning(text: str) -> None:
    """A JSON document that was made safe to look at still means the same."""
    shown = visible_json(json.dumps({text: [text]}, ensure_ascii=False))
    assert json.loads(shown) == {text: [text]}
    assert all(is_visible(char) for char in shown)
