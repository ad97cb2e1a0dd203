"""Frozen JSON: takes exactly what a trace can give back, cannot be changed, and can be compared to the place."""

from __future__ import annotations

import copy
import json
import math
import pickle
from collections import OrderedDict
from enum import IntEnum
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frameengine.codec import dumps, loads
from frameengine.errors import ReadOnly, ValueRefused
from frameengine.jsonvalue import EMPTY, MISSING, FrozenMap, Text, first_difference, freeze, point, thaw
from frameengine.limits import DEPTH_MAX, INTEGER_MAX, INTEGER_MIN, KEYS_MAX, TEXT_SHARED_MIN

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
scalars = (
    st.none() | st.booleans() | st.integers(INTEGER_MIN, INTEGER_MAX) | st.floats(allow_nan=False, allow_infinity=False) | texts
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=20
)


class Colour(IntEnum):
    """A number that JSON would lose the name of."""

    RED = 1


@given(values)
def test_freezing_loses_nothing(value: Any) -> None:
    """Frozen JSON thaws to what it was, down to the encoded bytes; freezing twice gives the same object."""
    frozen = freeze(value)
    assert json.dumps(thaw(frozen)) == json.dumps(value)
    assert loads(dumps(frozen)) == thaw(frozen)
    assert dumps(frozen) == dumps(value)
    assert dumps(freeze(frozen)) == dumps(frozen)
    if isinstance(frozen, FrozenMap):
        assert freeze(frozen) is frozen


@pytest.mark.parametrize(
    ("value", "what", "pointer"),
    [
        (math.nan, "not a JSON number", ""),
        ({"a": [0, -math.inf]}, "not a JSON number", "/a/1"),
        ({"a": {"b/c": INTEGER_MAX + 1}}, "64 bits", "/a/b~1c"),
        ([INTEGER_MIN - 1], "64 bits", "/0"),
        ([10**5000], "more than 30 digits", "/0"),
        ({"~": "\ud800"}, "lone surrogate", "/~0"),
        ({"\udfff": 1}, "lone surrogate", ""),
        ({1: 2}, "not a string", ""),
        ({None: 2}, "not a string", ""),
        ({"x": {1, 2}}, "not a JSON type", "/x"),
        ({"x": b"bytes"}, "not a JSON type", "/x"),
        ({"x": Colour.RED}, "not a JSON type", "/x"),
        ([object()], "not a JSON type", "/0"),
    ],
)
def test_what_a_trace_could_not_give_back_is_refused_at_its_place(value: Any, what: str, pointer: str) -> None:
    """The refusal says what is wrong and where, as a JSON pointer, and how to go on (N21)."""
    with pytest.raises(ValueRefused, match=what) as caught:
        freeze(value)
    assert caught.value.fields["pointer"] == pointer
    assert caught.value.hint


def nested(depth: int) -> Any:
    """Return a list in a list in a list."""
    value: Any = []
    for _ in range(depth - 1):
        value = [value]
    return value


def test_the_bounds_are_exact() -> None:
    """At its bound a value is taken, one beyond it is refused: integers, nesting and keys."""
    assert freeze([INTEGER_MIN, INTEGER_MAX]) == (INTEGER_MIN, INTEGER_MAX)
    freeze(nested(DEPTH_MAX))
    with pytest.raises(ValueRefused, match=f"deeper than {DEPTH_MAX}"):
        freeze(nested(DEPTH_MAX + 1))
    freeze(dict.fromkeys(map(str, range(KEYS_MAX))))
    with pytest.raises(ValueRefused, match="10,001 keys"):
        freeze(dict.fromkeys(map(str, range(KEYS_MAX + 1))))


def test_mappings_and_subclasses_become_plain() -> None:
    """Any mapping is taken as an object, a str subclass as a string; nothing of their own stays."""

    class Name(str):
        __slots__ = ()

    frozen = freeze(MappingProxyType({"a": OrderedDict(b=Name("c"))}))
    assert thaw(frozen) == {"a": {"b": "c"}}
    assert type(frozen["a"]["b"]) is str


def test_long_texts_are_marked_as_shared() -> None:
    """From the bound on a string is a Text, which is a str in every way."""
    short, long = freeze("x" * (TEXT_SHARED_MIN - 1)), freeze("x" * TEXT_SHARED_MIN)
    assert (type(short), type(long)) == (str, Text)
    assert long == "x" * TEXT_SHARED_MIN
    assert {long: 1}["x" * TEXT_SHARED_MIN] == 1
    assert type(thaw(long)) is str


WRITES = [
    lambda value: value.__setitem__("a", 2),
    lambda value: value.__delitem__("a"),
    lambda value: value.__ior__({"b": 1}),
    lambda value: value.clear(),
    lambda value: value.pop("a"),
    lambda value: value.popitem(),
    lambda value: value.setdefault("b", 1),
    lambda value: value.update(b=1),
]


@pytest.mark.parametrize("write", WRITES)
def test_a_frozen_map_refuses_every_write(write: Any) -> None:
    """Each way to change a dict raises, and changes nothing."""
    value = freeze({"a": [1]})
    with pytest.raises(ReadOnly):
        write(value)
    assert value == {"a": (1,)}


def test_a_frozen_map_can_be_extended_into_a_new_one() -> None:
    """The way out that the hint names works, and leaves the old one alone."""
    value = freeze({"a": 1})
    assert {**value, "b": 2} == {"a": 1, "b": 2}
    assert value | {"b": 2} == {"a": 1, "b": 2}
    assert value == {"a": 1}


def test_copies_of_frozen_values_are_frozen() -> None:
    """Copy and deepcopy give the value itself; a pickle comes back frozen, long texts included."""
    value = freeze({"a": ["x" * 50]})
    assert copy.copy(value) is value
    assert copy.deepcopy(value) is value
    again = pickle.loads(pickle.dumps(value))
    assert (again, type(again), type(again["a"][0])) == (value, FrozenMap, Text)
    with pytest.raises(ReadOnly):
        again["a"] = 1


def test_dollar_keys_are_noticed() -> None:
    """Only a key that starts with a dollar sign needs escaping."""
    assert freeze({"$c": 1}).dollar
    assert not freeze({"a$": 1, "b": {"$c": 1}}).dollar
    assert not EMPTY.dollar


# ---------------------------------------------------------------------- pointers and differences


@given(values)
def test_every_place_can_be_pointed_at(value: Any) -> None:
    """point() finds what first_difference names, for any change of any leaf."""

    def leaves(item: Any, pointer: str) -> Any:
        if isinstance(item, dict):
            for key, inner in item.items():
                yield from leaves(inner, f"{pointer}/{key.replace('~', '~0').replace('/', '~1')}")
        elif isinstance(item, list):
            for index, inner in enumerate(item):
                yield from leaves(inner, f"{pointer}/{index}")
        else:
            yield pointer, item

    for pointer, leaf in leaves(value, ""):
        assert point(value, pointer) is leaf


@pytest.mark.parametrize("pointer", ["/b", "/a/2", "/a/-1", "/a/x", "/a/0/0", "a", "/a/" + "9" * 30])
def test_a_pointer_to_nothing_is_a_key_error(pointer: str) -> None:
    """What is not there is not None."""
    with pytest.raises(KeyError):
        point({"a": [1, 2]}, pointer)


@pytest.mark.parametrize(
    ("one", "other", "found"),
    [
        ({"a": 1}, {"a": 1}, None),
        ({"a": [1, {"b/c": 2}]}, {"a": [1, {"b/c": 3}]}, ("/a/1/b~1c", 2, 3)),
        ([1], [1, 2], ("/1", MISSING, 2)),
        ({"a": 1, "b": 2}, {"a": 1}, ("/b", 2, MISSING)),
        ({"a": 1}, {"b": 2, "a": 1}, ("/b", MISSING, 2)),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, ("", ["a", "b"], ["b", "a"])),
        (1, 1.0, ("", 1, 1.0)),
        (True, 1, ("", True, 1)),
        (0.0, -0.0, ("", 0.0, -0.0)),
        (None, False, ("", None, False)),
        ("1", 1, ("", "1", 1)),
        ({}, [], ("", {}, [])),
        ((1, 2), [1, 2], None),
        ("x" * 50, freeze("x" * 50), None),
    ],
)
def test_the_first_difference_is_found(one: Any, other: Any, found: Any) -> None:
    """Pointer and both values of the first place that would be written differently; None where nothing would."""
    assert first_difference(one, other) == found


@given(values, values)
def test_difference_and_encoding_agree(one: Any, other: Any) -> None:
    """Two values differ somewhere exactly if their encodings differ; the other way round is the mirror image."""
    found = first_difference(freeze(one), freeze(other))
    assert (found is None) == (dumps(one) == dumps(other))
    mirrored = first_difference(freeze(other), freeze(one))
    assert (mirrored is None) == (found is None)
