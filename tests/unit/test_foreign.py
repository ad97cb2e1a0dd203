"""JSON from elsewhere: taken only where every parser would read the same, and carried as text where a trace could not hold it."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frameengine.errors import LimitError, ValueRefused
from frameengine.foreign import carried, parse
from frameengine.jsonvalue import FrozenMap, thaw
from frameengine.limits import DEPTH_MAX, FOREIGN_DIGITS_MAX

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False) | texts
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=15
)


@given(values, st.booleans(), st.sampled_from([None, 2]))
def test_good_json_is_read_as_it_is(value: Any, ascii_only: bool, indent: int | None) -> None:
    """Whatever spacing and escapes a document has, its value comes out, frozen, from text and from bytes."""
    document = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    assert json.dumps(thaw(parse(document))) == json.dumps(value)
    assert json.dumps(thaw(parse(document.encode()))) == json.dumps(value)


@pytest.mark.parametrize(
    ("document", "what"),
    [
        ("", "not JSON"),
        ("{'a': 1}", "not JSON"),
        ('{"a": 1} x', "not JSON"),
        ("[1,]", "not JSON"),
        ("NaN", "NaN is not JSON"),
        ('{"a": -Infinity}', "-Infinity is not JSON"),
        ("1e999", "too large"),
        ("[18446744073709551616]", "64 bits"),
        ('{"a": 1, "a": 1}', "'a' stands twice"),
        ('{"x": {"b": 1, "b": 2}}', "'b' stands twice"),
        ('"\\ud800"', "lone surrogate"),
        (b'\xef\xbb\xbf{"a": 1}', "byte order mark"),
        (b'{"a": "\xff"}', "not UTF-8 at byte 7"),
        ("[" * (DEPTH_MAX + 1) + "]" * (DEPTH_MAX + 1), "deeper than"),
        ("[" * 200_000, "deeper than"),
        ('{"a":' * 100_000, "deeper than"),
    ],
)
def test_what_parsers_read_differently_is_refused(document: str | bytes, what: str) -> None:
    """Ambiguous, broken and bottomless documents are refused in words, never by a crash."""
    with pytest.raises(ValueRefused, match=what):
        parse(document)


def test_brackets_inside_strings_do_not_count_as_nesting() -> None:
    """A text may hold any number of brackets, escaped quotes included."""
    text = '[{"' * 100 + '\\"' + "[" * 100
    assert parse(json.dumps([text])) == (text,)


def test_errors_name_the_line() -> None:
    """A broken document says where it breaks."""
    with pytest.raises(ValueRefused, match="line 3, column") as caught:
        parse('{\n"a": 1,\n"b" 2}')
    assert caught.value.fields["line"] == 3


def test_bounds_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Too large a document and too long an integer are limits with name, bound and figure."""
    with pytest.raises(LimitError) as caught:
        parse("1" * (FOREIGN_DIGITS_MAX + 1))
    assert caught.value.fields == {"name": "digits", "bound": FOREIGN_DIGITS_MAX, "actual": FOREIGN_DIGITS_MAX + 1}
    monkeypatch.setattr("frameengine.foreign.FOREIGN_BYTES_MAX", 10)
    with pytest.raises(LimitError, match="the bound is 10"):
        parse("[1,2,3,4,5,6]")


@pytest.mark.parametrize("value", [math.nan, [math.inf], {"a": 2**70}, "lone \ud800", {"x": {"y": -math.inf}}])
def test_a_value_that_a_trace_cannot_hold_is_carried_as_text_and_flagged(value: Any) -> None:
    """The flag says how it is encoded and why; reading the text as Python's JSON gives the value back."""
    flagged = carried(value)
    assert isinstance(flagged, FrozenMap)
    assert flagged["frameengine:encoded"] == "json"
    assert flagged["why"]
    assert repr(json.loads(flagged["text"])) == repr(value)


@given(values)
def test_a_value_that_a_trace_can_hold_is_carried_as_it_is(value: Any) -> None:
    """Nothing is flagged without need."""
    assert json.dumps(thaw(carried(value))) == json.dumps(value)


def test_what_is_no_json_at_all_is_refused() -> None:
    """An object, a set or a circle is not carried."""
    circle: list[Any] = []
    circle.append(circle)
    for odd in (object(), {1, 2}, circle):
        with pytest.raises(ValueRefused):
            carried(odd)


@pytest.mark.parametrize("number", ["1e-400", "-0.5e-999", "1e-99999999999999999999"])
def test_a_number_that_would_become_zero_is_refused(number: str) -> None:
    """A number that 64 bits would turn into 0 is refused, never altered in silence."""
    with pytest.raises(ValueRefused, match="become 0"):
        parse(f"[{number}]")


def test_other_ways_to_write_a_number_are_fine() -> None:
    """The nearest number of 64 bits is taken however it is written, and a negative zero keeps its sign."""
    assert parse("[1E2, 1.10, 0.10, 1e-7, 0.10000000000000001, 0e5]") == (100.0, 1.1, 0.1, 1e-7, 0.1, 0.0)
    assert math.copysign(1, parse("-0")) == -1


def test_strings_without_an_end_take_linear_time() -> None:
    """Many quotes that nothing closes are refused at once: no work is done twice."""
    with pytest.raises(ValueRefused):
        parse('"' + '\\"' * 400_000)
