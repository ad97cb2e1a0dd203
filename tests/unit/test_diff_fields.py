"""Differences of JSON values: complete, the same from both sides, and as small as they can be said."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from documents import patched
from frameengine.codec import written
from frameengine.diff.fields import changes
from frameengine.diff.filters import Pattern, steps_of
from frameengine.diff.patch import Pieces, pointer_of
from frameengine.diff.result import Change, FieldChange, Spot
from frameengine.jsonvalue import MISSING, freeze

SCALARS = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.0, 1.0, -0.0]) | st.text("ab/~", max_size=3)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text("ab/~", max_size=2), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES, VALUES)
def test_differences_make_one_value_out_of_the_other(left: Any, right: Any) -> None:
    """Done as a patch they give the other value, in both directions; and there are none where values are written the same."""
    one, other = freeze({"value": left}), freeze({"value": right})
    found = list(changes(one, other))
    pieces = Pieces()
    for each in found:
        pieces.field((0,), (0,), each)
    document, target = {"messages": [{"value": left}]}, {"messages": [{"value": right}]}
    assert equal(patched(document, pieces.operations()), target)
    assert equal(patched(target, pieces.operations(flipped=True)), document)
    assert bool(found) is (written(left) != written(right))


def equal(one: Any, other: Any) -> bool:
    """Return whether two values are the same but for the order of members, which a patch cannot always set."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(equal(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(equal, one, other))
    return written(one) == written(other)


CASES: list[tuple[Any, Any, list[tuple[str, str]]]] = [
    ({"a": 1}, {"a": 1.0}, [("/a", "/a")]),
    ({"a": True}, {"a": 1}, [("/a", "/a")]),
    ({"a": 1, "b": 2}, {"b": 2, "a": 1}, [("", "")]),
    ({"a": 1, "c": 2}, {"a": 1, "b": 0, "c": 2}, [("/b", "/b")]),
    ({"a": 1}, {"b": 1}, [("", "")]),
    ({"a": 1}, {}, [("/a", "/a")]),
    ([1, 2, 3], [2, 3], [("/0", "/0")]),
    (
        [{"role": "a", "n": 1}, {"role": "b", "n": 2}],
        [{"role": "x"}, {"role": "a", "n": 1}, {"role": "b", "n": 3}],
        [("/0", "/0"), ("/1/n", "/2/n")],
    ),
    ([{"role": "user", "content": "x"}], [{"role": "tool", "content": "y", "id": 1}], [("/0", "/0")]),
    ({"a/b": {"~": 1}}, {"a/b": {"~": 2}}, [("/a~1b/~0", "/a~1b/~0")]),
    ([1, "x" * 50], ["x" * 50], [("/0", "/0")]),
]


@pytest.mark.parametrize(("left", "right", "pointers"), CASES)
def test_a_difference_is_said_where_it_is(left: Any, right: Any, pointers: list[tuple[str, str]]) -> None:
    """Types and order count; items are aligned before they are compared; what has nothing in common differs as a whole."""
    assert [(each.pointer, each.right_pointer) for each in changes(freeze(left), freeze(right))] == pointers
    mirror = [each.mirrored() for each in changes(freeze(right), freeze(left))]
    assert sorted((each.pointer, each.right_pointer) for each in mirror) == sorted(pointers)


def test_shared_and_plain_texts_are_the_same() -> None:
    """Where in a file a text stood makes no difference."""
    assert list(changes(freeze(["x" * 50, {"a": "y" * 50}]), ("x" * 50, {"a": "y" * 50}))) == []


@pytest.mark.parametrize(
    ("pattern", "pointer", "reaches", "touches"),
    [
        ("/a", "/a/b", True, True),
        ("/a/b", "/a", False, True),
        ("/*/b", "/0/b/c", True, True),
        ("/a/*/c", "/a/1/d", False, False),
        ("/a~1b", "/a~1b", True, True),
        ("/a", "/ab", False, False),
    ],
)
def test_a_pattern_reaches_what_it_names_and_below(pattern: str, pointer: str, reaches: bool, touches: bool) -> None:
    """A star stands for one step, any other step for itself; what lies above is touched, not reached."""
    found = Pattern.of(pattern)
    assert (found.reaches(steps_of(pointer)), found.touches(steps_of(pointer))) == (reaches, touches)


def test_values_say_where_they_stand() -> None:
    """Spots, places and mirrored changes are what they say."""
    spot = Spot(input=2, frame=3, node="director")
    assert (str(spot), str(Spot(input=2, frame=0))) == ("2.3 director", "2")
    assert [pointer_of(place) for place in ((1,), (1, 2), (1, 2, 0))] == [
        "/messages/1",
        "/messages/1/frames/2",
        "/messages/1/frames/2/0",
    ]
    field = FieldChange(pointer="/a/1", left=1, right=MISSING)
    change = Change(kind="added", left=None, right=spot, fields=(field,), effect="tool")
    assert change.spot is spot
    assert change.mirrored().kind == "removed"
    assert change.mirrored().mirrored() == change
    assert field.to_json() == {"pointer": "/a/1", "left": 1}
