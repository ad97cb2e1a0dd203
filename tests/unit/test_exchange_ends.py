"""How the end of an answer is recognised, and what of it waits until the answer is written down."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frameengine.exchanges.ends import EndMark
from frameengine.exchanges.gather import Gathering

SSE = "text/event-stream; charset=utf-8"
LINES = "application/x-ndjson"


def looked(kind: str, *pieces: bytes) -> bool:
    """Return whether the last event was seen once all *pieces* had come."""
    mark = EndMark(kind)
    for piece in pieces:
        mark.add(piece)
    return mark.seen


@pytest.mark.parametrize(
    ("kind", "body", "last"),
    [
        (SSE, b"data: x\n\ndata: [DONE]\n\n", True),
        (SSE, b"data:  [DONE]\r\r", True),
        (SSE, b"\xef\xbb\xbfdata:[DONE]\r\n\r\n", True),
        (SSE, b"data: [DONE]", True),
        (SSE, b"data: [DONE]\n\n: still here\n\nid: 7\n\n", True),
        (SSE, b'event: message_stop\ndata: {"type": "message_stop"}\n\n', True),
        (SSE, b'data: {"type":"response.completed","response":{"id":"r"}}\n\ndata: [DONE]\n\n', True),
        (LINES, b'{"done": false}\n{"done" : true, "context": [1]}\n', True),
        (SSE, b'data: {"args": {"title": "x", "done": true}}\n\n', False),
        (SSE, b'data: {"args": {"type": "message_stop"}}\n\n', False),
        (SSE, b'data: {"type": ["message_stop"]}\n\n', False),
        (SSE, b'data: {"content": "data: [DONE]"}\n\n', False),
        (SSE, b"data: say\ndata: [DONE]\n\n", False),
        (SSE, b"data: [DONE]\n\ndata: and yet more\n\n", False),
        (SSE, b"data: [DONE] or not\n\n", False),
        (LINES, b'{"done": false, "item": {"done": true}}\n', False),
        (LINES, b'{"done": true}\n{"more": 1}\n', False),
        ("application/json", b'{"done": true}\n', False),
        ("text/plain", b"data: [DONE]\n\n", False),
        ("", b"data: [DONE]\n\n", False),
    ],
)
def test_only_a_whole_last_event_of_a_stream_is_an_end(kind: str, body: bytes, last: bool) -> None:
    """It is found however the body is cut; what texts and arguments say, and what is no stream, is none."""
    assert looked(kind, body) is last
    assert looked(kind, *[body[at : at + 1] for at in range(len(body))]) is last


@given(
    texts=st.lists(st.text(max_size=20), max_size=6),
    newline=st.sampled_from(["\n", "\r\n", "\r"]),
    cuts=st.lists(st.integers(0, 400), max_size=8),
)
@settings(max_examples=100)
def test_the_end_is_the_same_wherever_the_bytes_are_cut(texts: list[str], newline: str, cuts: list[int]) -> None:
    """Whatever the texts of the events, each of the three kinds of newline, and any cut, also between the two bytes of one."""
    events = [json.dumps({"text": text, "done": True}) for text in texts]
    body = "".join([f"data: {event}{newline * 2}" for event in [*events, "[DONE]"]]).encode()
    places = sorted({0, len(body), *[cut for cut in cuts if cut < len(body)]})
    pieces = [body[start:end] for start, end in pairwise(places)]
    assert looked(SSE, *pieces)
    assert not looked(SSE, *pieces, f"data: {{}}{newline * 2}".encode())


@pytest.mark.parametrize(
    ("kind", "length", "pieces", "onward"),
    [
        (SSE, None, [b"data: a\n\n", b"data: [DONE]\n\n"], [b"data: a\n\n", b""]),
        (SSE, None, [b"data: [DO", b"NE]\n", b"\n"], [b"data: [DO", b"", b""]),
        # What was no end after all goes on with what shows that.
        (SSE, None, [b"data: [DONE]\n\n", b"data: b\n\n"], [b"", b"data: [DONE]\n\ndata: b\n\n"]),
        (LINES, None, [b'{"done":true}\n', b'{"done":true}\n'], [b"", b""]),
        ("application/json", None, [b'{"todo":[{"done": true},', b"{}]}"], [b'{"todo":[{"done": true},', b"{}]}"]),
        ("application/json", 5, [b"ab", b"c", b"de"], [b"ab", b"c", b""]),
    ],
)
def test_nothing_waits_but_the_end(kind: str, length: int | None, pieces: Sequence[bytes], onward: Sequence[bytes]) -> None:
    """All goes on at once but the piece that ends a body of a known length, or has a stream's last event."""
    gathering = Gathering(200, [("content-type", kind)], length)
    assert [gathering.add(1.0, piece) for piece in pieces] == onward
    assert b"".join(onward) + gathering.holding.flush() == b"".join(pieces)


def test_the_end_of_a_packed_stream_is_recognised() -> None:
    """What is looked at is what the client will read, and what waits is what it will get."""
    packed = gzip.compress(b"data: a\n\ndata: [DONE]\n\n")
    gathering = Gathering(200, [("content-type", SSE), ("content-encoding", "gzip")])
    assert gathering.add(1.0, packed) == b""
    assert (gathering.holding.whole, gathering.holding.flush()) == (True, packed)
