"""Patterns that are looked for in a process of their own: they find what Python finds, and cannot run for ever."""

from __future__ import annotations

import os
import re
import signal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frameengine.debug import patterns
from frameengine.debug.patterns import OutOfTime, Pattern
from frameengine.errors import InternalError, UsageError

WORDS = Pattern("b+c|\\Ax$|\ud800")


@settings(max_examples=200)
@given(st.lists(st.text(st.sampled_from("abcx\n\ud800é\U0001f468"), max_size=6), max_size=5))
def test_the_first_text_is_the_one_that_python_finds(texts: list[str]) -> None:
    """Whatever the texts hold, lone surrogates too, the position is that of the first one in which `re` finds the pattern."""
    search = re.compile("b+c|\\Ax$|\ud800").search
    assert WORDS.first(texts) == next((index for index, text in enumerate(texts) if search(text)), None)


def test_a_pattern_that_takes_for_ever_is_given_up() -> None:
    """It takes its time, no more, and the next texts are looked at by another process."""
    pattern = Pattern("(a+)+$")
    assert pattern.first(["b", "aa"]) == 1
    with pytest.raises(OutOfTime):
        pattern.first(["a" * 60 + "!"])
    assert pattern.first(["aa"]) == 0


def test_what_is_slow_has_a_bound_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pattern that takes for ever on text after text is refused by name once it has lost so much; a fast one never is."""
    monkeypatch.setattr(patterns, "SECONDS", 0.1)
    monkeypatch.setattr(patterns, "ALL_SECONDS", 0.25)
    pattern, fast = Pattern("(a+)+$"), Pattern("b+c")
    for _ in range(2):
        with pytest.raises(OutOfTime):
            pattern.first(["a" * 60 + "!"])
    for text in ("a" * 60 + "!", "aa"):
        with pytest.raises(UsageError, match=re.escape("regex (a+)+$: this pattern takes too long")) as refused:
            pattern.first([text])
        assert "text TEXT" in refused.value.hint
    for _ in range(2_000):
        assert fast.first(["abc" * 1_000, "x"]) == 0
    assert fast._left > 0.2


def test_what_is_slow_below_the_bound_of_one_effect_adds_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pattern that takes long, and not too long, again and again is refused as well: the time of one effect is not for each."""
    monkeypatch.setattr(patterns, "ALL_SECONDS", 0.2)
    pattern = Pattern("(a+)+$")
    text = "a" * 17 + "!"

    def look_for_ever() -> None:
        while True:
            assert pattern.first([text]) is None

    with pytest.raises(UsageError, match="takes too long"):
        look_for_ever()


def test_a_process_that_dies_otherwise_is_no_answer() -> None:
    """What somebody else ends has found nothing out, and says so."""
    pattern = Pattern("a")
    assert pattern.first(["b"]) is None
    process = pattern._process
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    with pytest.raises(InternalError, match="ended with -9"):
        pattern.first(["a"])
    assert pattern.first(["a"]) == 0


def test_nothing_is_left_of_a_pattern_that_is_gone() -> None:
    """The process ends with the pattern."""
    pattern = Pattern("a")
    pattern.first(["a"])
    process = pattern._process
    assert process is not None
    del pattern
    assert process.poll() is not None
