"""Fitting messages into a budget (C12 to C15, W08)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frameengine.jsonvalue import FrozenMap, freeze
from frameengine.nodes.context_fit import PROTECTED, estimate, fit


def message(role: str, tokens: int, name: str = "") -> FrozenMap:
    """Return a message of so many tokens, recognisable by its name."""
    made: FrozenMap = freeze({"role": role, "content": "x" * (4 * tokens), "name": name})
    return made


def made(pattern: str, *, names: str = "abcdefghijklmnop") -> list[FrozenMap]:
    """Return messages written as ``s10 u5 u700``: s for system, u for user, then the tokens; named a, b, c, …."""
    return [
        message("system" if word[0] == "s" else "user", int(word[1:]), name)
        for word, name in zip(pattern.split(), names, strict=False)
    ]


@pytest.mark.parametrize(("text", "tokens"), [("", 0), ("abc", 0), ("abcd", 1), ("abcdefg", 1), ("x" * 40, 10)])
def test_four_characters_are_a_token(text: str, tokens: int) -> None:
    """The estimate is the number of characters divided by four, rounded down (C12)."""
    assert estimate(text) == tokens


@pytest.mark.parametrize(
    ("pattern", "budget", "kept"),
    [
        ("s10 u10 u10", 100, "abc"),
        ("s10 u10 u10 u10 u10 u10 u10", 60, "acdefg"),
        ("s10 u10 u10 u10 u10 u10 u10", 70, "abcdefg"),
        # One large message in the middle does not block the small ones before it.
        ("s10 u10 u500 u10 u10 u10 u10 u10", 80, "abdefgh"),
        # Of the newest four the oldest goes first, and what is dropped for room lets nothing older back in.
        ("s10 u5 u80 u5 u5", 50, "ade"),
        # Chat goes before the second system message does.
        ("s10 s10 u50 u50 u10 u10", 60, "abef"),
        ("s10 s30 u50 u50 u50 u40", 60, "af"),
        # The first system message and the newest message stay, whatever they take.
        ("s500 u10 u10", 100, "ac"),
        ("s10 u500", 100, "ab"),
        ("u50 u50 u50", 100, "bc"),
        # No instruction goes where that would not be enough.
        ("s10 s10", 5, "ab"),
        ("", 10, ""),
    ],
)
def test_what_stays(pattern: str, budget: int, kept: str) -> None:
    """The oldest chat goes first, then system messages from the last back; the first and the newest stay (C13, W08)."""
    fitted = fit(made(pattern), budget)
    assert "".join([message["name"] for message in fitted.messages]) == kept
    assert fitted.tokens == sum([len(message["content"]) // 4 for message in fitted.messages])


def test_the_fill_may_pass_a_hundred() -> None:
    """A prompt larger than the budget stays, and the report says by how much it is over (C14)."""
    fitted = fit(made("s10010"), 2000)
    assert (fitted.tokens, fitted.budget, fitted.fill_pct) == (10_010, 2_000, 500)


@given(
    systems=st.lists(st.integers(0, 60), max_size=4),
    chat=st.lists(st.integers(0, 60), min_size=1, max_size=12),
    budget=st.integers(1, 300),
)
def test_w08_fitting_keeps_its_promises(systems: list[int], chat: list[int], budget: int) -> None:
    """W08: order is kept, the newest stays, no system message goes while other chat is there, only two may be too many."""
    messages = [message("system", size, f"s{index}") for index, size in enumerate(systems)]
    messages += [message("user", size, f"u{index}") for index, size in enumerate(chat)]
    fitted = fit(messages, budget)
    places = [messages.index(kept) for kept in fitted.messages]
    assert places == sorted(places)
    assert fitted.messages[-1] == messages[-1]
    kept_systems = [kept for kept in fitted.messages if kept["role"] == "system"]
    kept_chat = len(fitted.messages) - len(kept_systems)
    assert len(kept_systems) == len(systems) or kept_chat == 1
    if fitted.tokens > budget:
        assert kept_chat == 1
        # Nothing that may go would be enough, so no instruction goes for nothing.
        assert len(kept_systems) == len(systems)
    everything = sum(systems) + sum(chat)
    if everything <= budget:
        assert len(fitted.messages) == len(messages)
    if sum(systems) + sum(chat[-PROTECTED:]) <= budget:
        assert kept_chat >= min(PROTECTED, len(chat))
