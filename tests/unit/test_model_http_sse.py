"""The parser of event streams: by the rules of the WHATWG, whatever the cuts, and bounded."""

from __future__ import annotations

import re
from itertools import chain, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frameengine.errors import LimitError
from frameengine.limits import MODEL_EVENT_BYTES_MAX
from frameengine.performers.model_http.sse import Event, Parser


def parsed(stream: bytes, *cuts: int) -> list[Event]:
    """Return the events of *stream*, fed in pieces."""
    parser = Parser()
    places = [0, *sorted(cuts), len(stream)]
    return [event for start, end in pairwise(places) for event in parser.feed(stream[start:end])]


def slow(stream: bytes) -> list[Event]:
    """Read a whole stream the way the rules are written down: decode, split into lines, interpret line by line (HTML, 9.2.6)."""
    text = stream.decode("utf-8", errors="replace").removeprefix("\ufeff")
    events: list[Event] = []
    data = kind = ""
    lines = re.split("\r\n|\r|\n", text)
    # Behind the last line end stands a line that has none: it is not interpreted, and neither is an event without its blank line.
    for line in lines[:-1]:
        if line == "":
            if data:
                events.append(Event(kind or "message", data.removesuffix("\n")))
            data = kind = ""
        elif line.startswith(":"):
            continue
        else:
            field, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if field == "event":
                kind = value
            elif field == "data":
                data += value + "\n"
    return events


ROWS = [
    ("F46 a byte order mark", b"\xef\xbb\xbfdata: a\n\n", [Event("message", "a")]),
    ("F46 a second one", b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\n", []),
    ("F47 LF", b"data: a\ndata: b\n\n", [Event("message", "a\nb")]),
    ("F47 CR", b"data: a\rdata: b\r\r", [Event("message", "a\nb")]),
    ("F47 CRLF", b"data: a\r\ndata: b\r\n\r\n", [Event("message", "a\nb")]),
    ("F47 mixed", b"data: a\rdata: b\r\n\rdata: c\n\r\n", [Event("message", "a\nb"), Event("message", "c")]),
    ("F48 comments only", b": OPENROUTER PROCESSING\n\n:\n\n: x\n", []),
    ("F49 unknown fields", b"foo: 1\nid: 7\nretry: 10\nDATA: no\ndata : no\ndata: a\n\n", [Event("message", "a")]),
    ("F50 without a space", b"data:a\ndata:  b\ndata\n\n", [Event("message", "a\n b\n")]),
    (
        "F45 several events",
        b"data: a\n\nevent: error\ndata: b\n\ndata: c\n\n",
        [*map(Event, ("message", "error", "message"), "abc")],
    ),
    ("F34 no blank line", b"data: a\n\ndata: b\n", [Event("message", "a")]),
    ("F33 cut within", b"data: a\n\ndata: {", [Event("message", "a")]),
    ("a type without data", b"event: ping\n\ndata: a\n\n", [Event("message", "a")]),
    ("empty data", b"data\n\ndata:\n\n", [Event("message", ""), Event("message", "")]),
    ("F51 no UTF-8", b"data: \xff\xc3(\xe2\x82\n\n", [Event("message", "\ufffd\ufffd(\ufffd")]),
]


@pytest.mark.parametrize(("stream", "events"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_the_rules(stream: bytes, events: list[Event]) -> None:
    """Each rule holds for the whole stream, for every single cut of it, and byte by byte."""
    assert slow(stream) == events
    assert parsed(stream) == events
    assert all(parsed(stream, cut) == events for cut in range(len(stream) + 1))
    assert parsed(stream, *range(len(stream))) == events


pieces = st.sampled_from(
    [
        b"data",
        b":",
        b" ",
        b"\n",
        b"\r",
        b"\r\n",
        b"\n\n",
        b"event",
        b"error",
        b"id: 1\n",
        b"x",
        b"\xc3\xa4",
        b"\xc3",
        b"\xef\xbb\xbf",
        b"{}",
    ]
)
streams = st.one_of(st.lists(pieces, max_size=40).map(b"".join), st.binary(max_size=60))


@given(streams, st.lists(st.integers(0, 120), max_size=6))
def test_any_stream_cut_anywhere_is_read_as_the_rules_say(stream: bytes, cuts: list[int]) -> None:
    """The events are those of a slow reading of the whole stream, however its bytes are cut."""
    events = parsed(stream, *[min(cut, len(stream)) for cut in cuts])
    assert events == slow(stream)


@given(streams)
def test_bytes_that_are_no_utf8_are_noticed(stream: bytes) -> None:
    """The parser says whether a line it has read had bytes that had to be replaced."""
    parser = Parser()
    list(parser.feed(stream))
    ended = re.split(rb"\r\n|\r|\n", stream)[:-1]
    assert parser.replaced == any(b"\xef\xbf\xbd" not in line and "\ufffd" in line.decode(errors="replace") for line in ended)


def large(size: int) -> bytes:
    """Return an event of so many bytes, in two lines."""
    return b"data: " + b"x" * (size // 2) + b"\ndata: " + b"y" * (size - size // 2 - 12) + b"\n\n"


@pytest.mark.parametrize("step", [1 << 16, 1 << 22])
def test_an_event_has_a_bound(step: int) -> None:
    """An event up to the bound is read and one beyond it refused, after those before it, however they are cut (F75)."""
    fits = large(MODEL_EVENT_BYTES_MAX)
    assert [len(event.data) for event in parsed(fits, *range(0, len(fits), step))] == [MODEL_EVENT_BYTES_MAX - 11]
    stream = b"data: a\n\n" + large(MODEL_EVENT_BYTES_MAX + 1) + b"data: b\n\n"
    parser = Parser()
    events: list[Event] = []
    with pytest.raises(LimitError, match="an event of a model's stream"):
        events.extend(event for start in range(0, len(stream), step) for event in parser.feed(stream[start : start + step]))
    assert events == [Event("message", "a")]


def test_a_comment_has_a_bound_and_many_have_none() -> None:
    """One endless line is refused; comments that keep a connection alive add up to nothing."""
    parser = Parser()
    for _ in range(40):
        assert list(parser.feed(b": " + b"x" * 65536 + b"\n\n")) == []
    with pytest.raises(LimitError):
        list(chain.from_iterable(parser.feed(b"x" * 65536) for _ in range(40)))
