"""Texts that are looked for: none that stands somewhere is overlooked, however many there are."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frameengine.trace import sought
from frameengine.trace.redact import PASSING_MAX, Redactor
from frameengine.trace.sought import FEW, SHORTEST, Sought

TEXTS = st.text("ab", min_size=SHORTEST, max_size=SHORTEST + 3)


@pytest.mark.parametrize("few", [0, FEW])
@given(texts=st.lists(TEXTS, max_size=12, unique=True), gone=st.integers(0, 12), around=st.text("ab", max_size=80))
@settings(max_examples=200)
def test_what_stands_in_a_text_is_among_what_may(few: int, texts: list[str], gone: int, around: str) -> None:
    """All that were added, not removed, and stand there are found: few or many, wherever they stand, whatever they share."""
    looked = Sought()
    for text in texts:
        looked.add(text)
    for text in texts[:gone]:
        looked.remove(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sought, "FEW", few)
        for whole in (around, *[around + text + around for text in texts]):
            assert {text for text in texts[gone:] if text in whole} <= set(looked.within(whole)) <= set(texts[gone:])
    assert bool(looked) is bool(texts[gone:])


def test_of_many_only_those_that_share_letters_are_looked_at() -> None:
    """A text in which none stands costs no search for each of them."""
    looked = Sought()
    for letters in product("abcd", repeat=5):
        looked.add("".join(letters) + "-of-a-secret")
    assert looked.within("nothing of the kind, ever, in here" * 20) == []
    assert looked.within("it is abcda-of-a-secret") != []


def test_what_is_known_for_good_outlives_what_came_in_passing() -> None:
    """A key in another case that came by, and is forgotten, takes nothing with it."""
    key, shouted = "tiger-in-a-cage-77", "TIGER-IN-A-CAGE-77"
    for known_first in (True, False):
        redactor = Redactor([key] if known_first else [])
        redactor.know([shouted], passing=True)
        redactor.know([] if known_first else [key])
        for number in range(PASSING_MAX + 1):
            redactor.know([f"passing-by-{number:06d}"], passing=True)
        assert key not in redactor.text(f"see {key}")
        assert shouted not in redactor.text(f"see {shouted}")


def test_all_secrets_of_one_call_are_known() -> None:
    """One request may have more of them than are remembered of all: none of its own is forgotten."""
    redactor = Redactor()
    redactor.know(["before-them-all-1"], passing=True)
    names = [f"passing-by-{number:06d}" for number in range(PASSING_MAX + 5)]
    redactor.know(names, passing=True)
    assert all(name not in redactor.text(name) for name in names)
    assert list(redactor.forgotten) == ["before-them-all-1"]


def test_what_is_known_again_was_forgotten_for_a_time() -> None:
    """What was written meanwhile cannot be taken back, so whoever counts that must still hear of it."""
    redactor = Redactor()
    for number in [*range(PASSING_MAX + 1), 0]:
        redactor.know([f"passing-by-{number:06d}"], passing=True)
    assert "passing-by-000000" in redactor.forgotten
    assert redactor.text("passing-by-000000").startswith("[secret:1")
