"""How a miss is told: both values beside the place where a recorded request differs."""

from __future__ import annotations

from typing import Any

import pytest

from frameengine.codec import dumps
from frameengine.errors import CassetteMiss
from frameengine.exchanges.book import Book
from frameengine.exchanges.exchange import Exchange, Request, Response
from frameengine.exchanges.near import spelled, told


def of(body: Any) -> Request:
    """Return a request with a JSON body."""
    return Request.of("POST", "/v1", "", [("content-type", "application/json")], dumps(body))


def missed(recorded: Any, asked: Any) -> CassetteMiss:
    """Return the miss of a request where another was recorded."""
    with pytest.raises(CassetteMiss) as caught:
        Book([Exchange(request=of(recorded), response=Response(status=200))]).claim(of(asked))
    return caught.value


PAIRS = [
    pytest.param("red", "blue", 'recorded "red", asked "blue"', id="texts"),
    pytest.param(1, "1", 'recorded 1, asked "1"', id="a number and its text"),
    pytest.param(None, 0.5, "recorded null, asked 0.5", id="null"),
    pytest.param([1], {"a": 1}, 'recorded [1], asked {"a":1}', id="a list and an object"),
    pytest.param("a\nb\u202e", "a b", r'recorded "a\nb\u202e", asked "a b"', id="what is not to be seen"),
]


@pytest.mark.parametrize(("recorded", "asked", "values"), PAIRS)
def test_both_values_are_told_as_json(recorded: Any, asked: Any, values: str) -> None:
    """Values of two types never look the same, and nothing in them moves a cursor."""
    line = told(missed({"x": recorded}, {"x": asked}))
    assert line == (
        f"POST /v1: no recorded request equals it; nearest: recorded POST /v1 (input 1): it differs at /json/x: {values}"
    )


def test_what_only_one_of_them_has_is_told() -> None:
    """A member that is missing is nothing, and no null."""
    near = missed({"a": 1, "x": None}, {"a": 1}).fields["nearest"][0]
    assert spelled(near).endswith("recorded null, asked nothing")
    near = missed({"a": 1}, {"a": 1, "x": 2}).fields["nearest"][0]
    assert spelled(near).endswith("recorded nothing, asked 2")


def test_long_values_are_told_where_they_part() -> None:
    """Of two long prompts the part is shown that differs, and how long each is."""
    before, after = "be kind. " * 500, " thank you." * 50
    line = told(missed({"x": f"{before}three{after}"}, {"x": f"{before}five{after}"}))
    recorded, asked = line.split("recorded ")[-1].split(", asked ")
    assert "kind. three thank" in recorded
    assert "kind. five thank" in asked
    assert recorded.endswith(' (5,055 characters)"')
    assert len(line) < 800


def test_as_many_are_told_of_as_are_wanted() -> None:
    """One line for a terminal, all that came near for an agent."""
    book = Book([Exchange(request=of({"x": number}), response=Response(status=200), issued=number) for number in (1, 2, 3)])
    with pytest.raises(CassetteMiss) as caught:
        book.claim(of({"x": 4}))
    assert told(caught.value).count("(input ") == 3
    assert told(caught.value, 1).count("(input ") == 1
    assert told(CassetteMiss("nothing near")) == "nothing near"
