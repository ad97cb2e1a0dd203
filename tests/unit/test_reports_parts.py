"""The parts that every report is made of: both sides of a difference, what stands together, what is left out."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from documents import edited
from frameengine.diff.compare import compare
from frameengine.diff.result import FieldChange
from frameengine.jsonvalue import MISSING, freeze
from frameengine.reports import parts
from sample_traces import record


def whole(side: parts.Side | None) -> str:
    """Return the text of a side."""
    assert side is not None
    return "".join([piece.text for piece in side])


@settings(max_examples=80)
@given(st.lists(st.sampled_from(["a", "b", "c", " ", "\n", "."]), max_size=20), st.lists(st.sampled_from("ab \n"), max_size=20))
def test_the_pieces_of_short_texts_are_the_texts(left: list[str], right: list[str]) -> None:
    """Nothing of a short text is lost, the pieces take turns, and what is the same holds no word that differs."""
    one, other = "".join(left), "".join(right)
    ours, theirs = parts.sides(one, other)
    assert (whole(ours), whole(theirs)) == (one, other)
    for side in (ours or (), theirs or ()):
        tags = [piece.tag for piece in side]
        assert all(first != second for first, second in pairwise(tags))
        assert all(piece.text for piece in side)
    if one == other and one:
        assert [piece.tag for piece in ours or ()] == ["same"]


def test_a_changed_phrase_is_one_run() -> None:
    """White space between words that differ belongs to them; white space beside words that are the same does not."""
    left, right = parts.sides("say it in one sentence now", "say it with many words now")
    assert [(piece.tag, piece.text) for piece in left or ()] == [
        ("same", "say it "),
        ("differs", "in one sentence"),
        ("same", " now"),
    ]
    assert [piece.text for piece in right or ()] == ["say it ", "with many words", " now"]


def test_long_texts_are_cut_around_their_differences() -> None:
    """Of equal words only those beside a difference are kept; of words that differ the start, and how many more there are."""
    same = "word " * 500
    left, right = parts.sides(f"{same}old {same}", f"{same}new {same}")
    for side, word in ((left, "old"), (right, "new")):
        assert [piece.text for piece in side or () if piece.tag == "differs"] == [word]
        assert len(whole(side)) < 400
    left, right = parts.sides("", "x" * 1000)
    assert left == ()
    assert whole(right) == "x" * 300 + " … 700 more characters"


def test_a_side_that_has_nothing_is_none() -> None:
    """Nothing, the empty text and null are three things."""
    assert parts.sides(MISSING, "a")[0] is None
    assert parts.sides("", "a")[0] == ()
    assert whole(parts.sides(None, MISSING)[0]) == "null"


def test_equal_differences_stand_together(tmp_path: Path) -> None:
    """Fields of a record, and records, that differ in the same way are one group; others keep to themselves."""

    def edit(document: Any) -> None:
        for message in document["messages"]:
            message["frames"][0][0]["calls"][0]["request"]["model"] = "other"
        document["messages"][2]["frames"][1][0]["calls"][0]["outcome"]["value"]["content"] = "none"

    one = record(tmp_path / "a.trace.jsonl")
    found = compare(one, edited(one, tmp_path / "b.trace.jsonl", edit))
    assert [[str(change.spot) for change in group] for group in parts.causes(found)] == [
        ["1.1 model", "2.1 model", "3.1 model"],
        ["3.2 tools"],
    ]
    assert parts.causes(found)[0][0] is found.first
    field = FieldChange(pointer="/a", left=1, right=2)
    grouped = parts.alike([field, evolve(field, right=3), evolve(field, pointer="/b", right_pointer="/c")])
    assert [[each.pointer for each in group] for group in grouped] == [["/a", "/b"], ["/a"]]
    assert [parts.pointer(group[-1]) for group in grouped] == ["/b → /c", "/a"]


def test_true_and_one_are_no_equal_differences() -> None:
    """Values are held against each other as JSON is: 1, 1.0 and true are three."""
    fields = [FieldChange(pointer="/a", left=value, right=0) for value in (1, 1.0, True)]
    assert len(parts.alike(fields)) == 3


def test_messages_keep_both_numbers(tmp_path: Path) -> None:
    """What follows stands below its message, which is called by both of its numbers where a message came in before it."""

    def edit(document: Any) -> None:
        document["messages"].insert(0, document["messages"][0])
        document["messages"][2]["frames"][0][0]["output"] = freeze({"type": "x"})

    one = record(tmp_path / "a.trace.jsonl")
    found = compare(one, edited(one, tmp_path / "b.trace.jsonl", edit))
    named = [(parts.number(message), parts.alone(message), len(changes)) for message, changes in parts.consequences(found)]
    assert [name for name in named if name[1]] == [("2", "added", 4)]
    assert "2 → 3" in [parts.number(message) for message in found.messages]


def test_what_was_left_out_is_told(tmp_path: Path) -> None:
    """Ignored differences are counted place by place, and a pointer that matched nothing is named."""

    def edit(document: Any) -> None:
        document["messages"][0]["frames"][0][0]["output"] = {"type": "x"}

    one = record(tmp_path / "a.trace.jsonl")
    two = edited(one, tmp_path / "b.trace.jsonl", edit)
    assert parts.left_out(compare(one, two, ignore=["/output", "/nope"])) == [
        "1 difference left out: 1 at /output",
        "matched nothing: /nope",
    ]
    assert parts.left_out(compare(one, two, only=["/input"])) == ["1 difference left out: 1 outside of what was asked for"]
    assert parts.left_out(compare(one, one)) == []
