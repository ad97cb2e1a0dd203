"""Alignment of sequences and of words: order is kept, what is equal is found, and size does not run away."""

from __future__ import annotations

from itertools import pairwise
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from frameengine.diff.align import WINDOW, align, gaps, merged, pair
from frameengine.diff.words import WORDS_MAX, word_parts

ITEMS = st.lists(st.sampled_from("abcdefg"), max_size=40)


def longest(left: list[str], right: list[str]) -> int:
    """Return the length of the longest common subsequence."""
    row = [0] * (len(right) + 1)
    for one in left:
        before = row[:]
        for j, other in enumerate(right):
            row[j + 1] = before[j] + 1 if one == other else max(row[j], before[j + 1])
    return row[-1]


@given(ITEMS, ITEMS)
def test_pairs_are_equal_and_in_order(left: list[str], right: list[str]) -> None:
    """Every pair holds equal items, and the indices of both sides ascend."""
    pairs = align(left, right)
    assert all(left[i] == right[j] for i, j in pairs)
    assert all(a < c and b < d for (a, b), (c, d) in pairwise(pairs))


@given(ITEMS, st.data())
def test_what_was_only_taken_out_is_aligned_whole(items: list[str], data: st.DataObject) -> None:
    """A sequence with items taken out is aligned with as many pairs as it has items, where each item is one of a kind."""
    unique = [f"{item}{index}" for index, item in enumerate(items)]
    kept = [item for item in unique if data.draw(st.booleans())]
    assert len(align(unique, kept)) == len(align(kept, unique)) == len(kept) == longest(unique, kept)


@given(ITEMS, ITEMS)
def test_merging_names_every_index_once_and_in_order(left: list[str], right: list[str]) -> None:
    """Pairs and what is alone between them make up both sides, and gaps are what is between pairs."""
    pairs = align(left, right)
    rows = list(merged(pairs, len(left), len(right)))
    assert [i for i, _ in rows if i is not None] == list(range(len(left)))
    assert [j for _, j in rows if j is not None] == list(range(len(right)))
    assert [(i, j) for i, j in rows if i is not None and j is not None] == pairs
    alone = [i for ours, _ in gaps(pairs, len(left), len(right)) for i in ours]
    assert alone == [i for i, j in rows if j is None]


def test_a_gap_too_large_for_a_table_is_aligned_by_occurrence() -> None:
    """Long sequences of few kinds, nothing of them unique, are aligned too, and an insertion costs no more than itself."""
    chance = Random(7)
    items = chance.choices("abc", k=5_000)
    assert len(items) ** 2 > WINDOW
    assert align(items, [*items[:2_500], "x", *items[2_500:]]) == [(i, i + (i >= 2_500)) for i in range(5_000)]
    other = chance.choices("abc", k=5_000)
    assert len(align(items, other)) > 500


def test_two_permutations_of_unique_items_are_aligned_along_their_longest_common_order() -> None:
    """Unique items in another order are aligned as far as their orders agree."""
    left = [str(number) for number in range(60)]
    right = left[:]
    Random(3).shuffle(right)
    assert len(align(left, right)) >= longest(left, right) * 0.9


def test_items_that_are_alike_are_paired_in_order() -> None:
    """Of a gap, those most alike are paired, none that has nothing in common, and beyond the window those of a kind."""

    def likeness(one: str, other: str) -> float:
        return len({*one} & {*other})

    assert pair(["abc", "xyz"], ["xyw", "q"], likeness, len) == [(1, 0)]
    assert pair(["abc"], ["q"], likeness, len) == []
    many = ["ab"] * 100
    assert pair(many, [*many, "ab"], likeness, len) == [(i, i) for i in range(100)]


TEXTS = st.text(st.sampled_from("ab ü.\n"), max_size=60)


@given(TEXTS, TEXTS)
def test_parts_of_a_text_make_up_both_texts(left: str, right: str) -> None:
    """Joined without what was added they are the left text, without what was removed the right one; neighbours differ."""
    parts = word_parts(left, right)
    assert "".join(part.text for part in parts if part.tag != "added") == left
    assert "".join(part.text for part in parts if part.tag != "removed") == right
    assert all(one.tag != other.tag for one, other in pairwise(parts))


def test_a_word_that_changed_is_told_alone() -> None:
    """Of two texts that differ in one word, that word is told, and what is around it is equal."""
    parts = word_parts("Answer in one word.", "Answer in two word.")
    assert [(part.tag, part.text) for part in parts] == [
        ("equal", "Answer in "),
        ("removed", "one"),
        ("added", "two"),
        ("equal", " word."),
    ]


def test_long_texts_are_compared_too() -> None:
    """Texts of more words than are looked at differ in the word that holds the rest."""
    long = "word " * WORDS_MAX
    parts = word_parts(long + "one", long + "two")
    assert [part.tag for part in parts] == ["equal", "removed", "added"]
    assert parts[1].text.endswith("one")
