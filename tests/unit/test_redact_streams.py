"""Keys in pieces: whatever the stream of JSON looks like, none comes together again, and nothing else is changed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frameengine.performers.model_http.sse import Parser
from frameengine.trace.redact import Redactor

KEY = "Zq7Xw9canaryKd93hfPl2"
Shape = Callable[[list[Any]], str]


def chunk(text: str, index: int = 0) -> dict[str, Any]:
    """Return a piece as a chat model sends it."""
    return {"id": "c", "choices": [{"index": index, "delta": {"content": text}}]}


def over_lines(one: Any) -> str:
    """Return an event whose data is spread over lines."""
    return "".join([f"data: {line}\n" for line in json.dumps(one, indent=1).split("\n")]) + "\n"


SHAPES: dict[str, Shape] = {
    "events": lambda all_: "".join([f"data: {json.dumps(one)}\n\n" for one in all_]) + "data: [DONE]\n\n",
    "events of cr": lambda all_: "".join([f"data: {json.dumps(one)}\r\r" for one in all_]),
    "events of crlf": lambda all_: "".join([f"event: x\r\ndata:{json.dumps(one)}\r\n\r\n" for one in all_]),
    "events over lines": lambda all_: "".join([over_lines(one) for one in all_]),
    "events without blank lines": lambda all_: "".join([f"data: {json.dumps(one)}\n" for one in all_]),
    "a broken event among them": lambda all_: 'data: {"a": ["x\n\n'.join([f"data: {json.dumps(one)}\n\n" for one in all_]),
    "lines": lambda all_: "".join([json.dumps(one) + "\n" for one in all_]),
    "one list": json.dumps,
    "one list over lines": lambda all_: json.dumps(all_, indent=2),
    "a list, piece by piece": lambda all_: "[" + ",\r\n".join([json.dumps(one, indent=2) for one in all_]) + "]",
    "one behind another": lambda all_: "".join([json.dumps(one) for one in all_]),
    "escaped": lambda all_: re.sub(r"[a-z](?=[A-Za-z0-9]*\"\}\}\])", lambda hit: f"\\u00{ord(hit[0]):02x}", json.dumps(all_)),
}


def objects(body: str) -> list[Any]:
    """Return the objects of a stream, by the rules of their own formats."""
    if "data:" in body:
        events = [event.data for event in Parser().feed(body.encode())]
        documents = events or body.replace("data: ", "").splitlines()
    else:
        documents = [body]
    found: list[Any] = []
    for document in documents:
        at = 0
        while at < len(document):
            try:
                one, end = json.JSONDecoder().raw_decode(document, at)
            except ValueError:
                at += 1
                continue
            found += one if isinstance(one, list) else [one]
            at = end
    return [one for one in found if isinstance(one, dict) and "choices" in one]


def said(body: str, index: int = 0) -> list[str]:
    """Return the pieces of one text of a stream."""
    choices = [choice for one in objects(body) for choice in one["choices"] if choice["index"] == index]
    return [choice["delta"]["content"] for choice in choices]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [1, 3, 8])
def test_a_key_in_pieces_is_replaced_in_its_pieces(shape: str, size: int) -> None:
    """In every kind of stream the pieces keep their number and their sizes, and hold no part of the key."""
    text = f"it is {KEY}, keep it"
    pieces = [text[start : start + size] for start in range(0, len(text), size)]
    body = SHAPES[shape]([chunk(piece) for piece in pieces])
    assert "".join(said(body)).count(KEY) == 1 or shape == "events without blank lines"
    clean = Redactor([KEY]).text(body)
    told = said(clean)
    assert KEY not in "".join(told)
    assert "".join(told).startswith("it is [s") or shape == "events without blank lines"
    assert [len(piece) for piece in told] == [len(piece) for piece in said(body)]


def test_texts_beside_each_other_are_kept_apart() -> None:
    """Two texts that come by turns are each read by themselves."""
    parts = [KEY[start : start + 4] for start in range(0, len(KEY), 4)]
    body = SHAPES["events"]([chunk(part, index) for part in parts for index in (0, 1)])
    clean = Redactor([KEY]).text(body)
    assert [KEY in "".join(said(clean, index)) for index in (0, 1)] == [False, False]


PLACES: dict[str, Callable[[str], Any]] = {
    "the only item of a list": lambda part: {"delta": [part]},
    "a name that stands twice": lambda part: {"thought": {"text": "hm"}, "answer": {"text": part}},
    "a name that stands twice, first": lambda part: {"answer": {"text": part}, "thought": {"text": "hm"}},
    "a name that stands behind others": lambda part: {"type": "a", "delta": {"type": "b", "text": part}},
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("shape", ["lines", "events"])
def test_a_key_is_found_wherever_its_pieces_stand(place: str, shape: str) -> None:
    """Pieces in lists, and beside other texts of the same name, are seen to belong together as any."""
    parts = [KEY[start : start + 4] for start in range(0, len(KEY), 4)]
    clean = Redactor([KEY]).text(SHAPES[shape]([PLACES[place](part) for part in parts]))
    assert not [part for part in parts if f'"{part}"' in clean]


@given(
    texts=st.lists(st.text(max_size=12), max_size=6),
    shape=st.sampled_from(sorted(SHAPES)),
)
def test_a_stream_without_a_key_stays_as_it_is(texts: list[str], shape: str) -> None:
    """Not a letter of it is written in another way."""
    body = SHAPES[shape]([chunk(text, index % 3) for index, text in enumerate(texts)])
    assert Redactor([KEY]).text(body) == body


@given(st.text(alphabet='{}[]",:\\dat\r\n a1', max_size=80))
def test_what_is_no_json_does_no_harm(body: str) -> None:
    """A text of any form is read to its end and left as it is."""
    assert Redactor([KEY]).text(body) == body


@pytest.mark.nightly
@pytest.mark.parametrize(
    "unit",
    [
        *(
            "a",
            " ",
            "\n",
            "\r",
            '"',
            "\\",
            "{",
            "{}",
            "[",
            '{"a":"',
            "data:",
            "data:{\n\n",
            '{"index":1,"a":"b"}',
            "\\u0041",
            "\\/",
            '["a",',
            '{"a":"b","a":"c"}\n',
            "&amp;",
        ),
        *('"password":', '"password":["a",', '\\"token\\":\\"', "sk-", "eyJaaaaaaaa.", "-----BEGIN PRIVATE KEY-----", "Bearer "),
        *('data: {"index":1,"content":"sk-proj-Abcdefghij"}\n\n', 'data: {"content":"klmnopqrs0123"}\n\n'),
    ],
)
def test_redaction_takes_linear_time(unit: str) -> None:
    """Twice the text takes at most 2.6 times as long, up to two MiB, whatever it is made of."""
    from time import process_time

    def took(size: int) -> float:
        text = unit * (size // len(unit))
        best = 99.0
        for _ in range(3):
            redactor = Redactor([KEY, "correct horse battery"])
            start = process_time()
            redactor.text(text)
            best = min(best, process_time() - start)
        return best

    assert took(1 << 21) <= 2.6 * took(1 << 20) + 0.02
