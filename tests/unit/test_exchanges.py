"""Exchanges as values: what is kept of a request and an answer, which recorded answer a request gets, what is left."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from base64 import b64decode
from collections.abc import Callable, Iterable
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import pytest
from attrs import evolve
from backports import zstd
from hypothesis import given, settings
from hypothesis import strategies as st

from frameengine.errors import CassetteMiss, NothingCompared, StorageError, TraceFormat, TraceIncomplete
from frameengine.exchanges.book import Book, Match, read_exchanges
from frameengine.exchanges.encoding import Decoder
from frameengine.exchanges.exchange import CLIENT_LEFT, DRAW, REQUEST_BYTES_MAX, Exchange, Request, Response, public_host
from frameengine.exchanges.gather import CHUNKS_MAX, RESPONSE_BYTES_MAX, Gathering, unkept
from frameengine.exchanges.recorder import ExchangeRecorder, redacted
from frameengine.graph.loader import load_graph
from frameengine.graph.registry import bind
from frameengine.importers.exchanges import import_exchanges
from frameengine.jsonvalue import freeze
from frameengine.replay.replayer import Replayer
from frameengine.trace.header import header
from frameengine.trace.redact import PASSING_MAX, Redactor
from frameengine.trace.verify import verify
from frameengine.trace.writer import TraceWriter

JSON = [("Content-Type", "application/json")]


def asked(content: Any = "hi", **more: Any) -> Request:
    """Return a chat request."""
    body = {"model": "m", "messages": [{"role": "user", "content": content}], **more}
    return Request.of("POST", "/v1/chat/completions", "", JSON, json.dumps(body).encode())


def said(text: str) -> Response:
    """Return an answer that came in one piece."""
    gathering = Gathering(200, JSON)
    gathering.add(1.0, text.encode())
    return gathering.response(2.0)


def made(text: str, *, content: Any = "hi", lane: str = "a", issued: int = 1) -> Exchange:
    """Return an exchange of a chat request."""
    return Exchange(request=asked(content), response=said(text), lane=lane, issued=issued)


def recorded(path: Path, exchanges: Iterable[Exchange]) -> Path:
    """Write a sealed recording."""
    with ExchangeRecorder(path, provenance={"recorded": "test"}) as recorder:
        for exchange in exchanges:
            recorder.keep(exchange)
        recorder.seal()
    return path


def test_what_says_who_asks_is_no_part_of_a_request() -> None:
    """Requests with other keys, cookies, clients and query keys are equal, and what was left out is known as secret."""
    first = Request.of(
        "post",
        "/v1/x",
        "alt=sse&key=one-key-of-google",
        [("Authorization", "Bearer key-number-one"), ("User-Agent", "a"), ("Content-Type", "application/json; charset=utf-8")],
        b'{"a":1}',
    )
    other = Request.of("POST", "/v1/x", "alt=sse", [("x-api-key", "k"), ("content-type", "application/json")], b'{ "a": 1 }')
    assert first.digest == other.digest
    assert first.wire() == other.wire() == {"query": "alt=sse", "headers": {"content-type": "application/json"}, "json": {"a": 1}}
    assert first.secrets == ("one-key-of-google", "key-number-one")


@pytest.mark.parametrize(
    ("method", "path", "query", "body"),
    [
        ("GET", "/v1/x", "", b'{"a":1}'),
        ("POST", "/v1/y", "", b'{"a":1}'),
        ("POST", "/v1/x", "b=1", b'{"a":1}'),
        ("POST", "/v1/x", "", b'{"a":2}'),
        ("POST", "/v1/x", "", b'{"a":1.0}'),
        ("POST", "/v1/x", "", b""),
    ],
)
def test_requests_that_ask_for_something_else_differ(method: str, path: str, query: str, body: bytes) -> None:
    """Method, path, query and body each make another request."""
    one = Request.of("POST", "/v1/x", "", JSON, b'{"a":1}')
    assert Request.of(method, path, query, JSON, body).digest != one.digest


def test_all_lines_of_a_header_count() -> None:
    """A header in two lines is one in one, and neither of them may differ."""
    one, other = ("anthropic-beta", "tools-1"), ("anthropic-beta", "files-2")
    both = Request.of("POST", "/v1/x", "", [one, other], b"")
    assert both.digest == Request.of("POST", "/v1/x", "", [("Anthropic-Beta", "tools-1, files-2")], b"").digest
    assert both.digest != Request.of("POST", "/v1/x", "", [other], b"").digest


@pytest.mark.parametrize(
    ("data", "member"),
    [
        (b'{"a": [1, 2.5, "x"]}', "json"),
        (b'{"a": 1, "a": 2}', "text"),
        (b'{"a": "\\ud83d"}', "text"),
        (b"[" * 64 + b"]" * 64, "text"),
        (b"[" * 63 + b"]" * 63, "json"),
        (json.dumps(list(range(60_000))).encode(), "text"),
        (b"grant_type=x", "text"),
        (b"\xff\xfe", "base64"),
        (b"\xff" * (REQUEST_BYTES_MAX + 1), "sha256"),
        (b"x" * (REQUEST_BYTES_MAX + 1), "sha256"),
    ],
)
def test_every_body_is_kept_in_a_form_that_a_trace_holds(data: bytes, member: str, tmp_path: Path) -> None:
    """JSON stays JSON where a trace can hold it; anything else is text, bytes or a digest; all of it matches again."""
    request = Request.of("POST", "/x", "", [], data)
    assert next(iter(request.body)) == member
    path = recorded(tmp_path / "x.trace.jsonl", [Exchange(request=request, response=said("ok"))])
    assert Book.read(path).claim(Request.of("POST", "/x", "", [], data)).response.body == b"ok"
    assert verify(path).counts.calls == 1
    assert Replayer(path).run().verdict == "same"
    assert Request.from_wire(request.name, request.wire()) == request


def test_a_request_of_ten_megabytes_is_recorded_and_found_again(tmp_path: Path) -> None:
    """A long body is kept whole, verified, and answered."""
    request = asked("é\n" * 5_000_000)
    path = recorded(tmp_path / "x.trace.jsonl", [Exchange(request=request, response=said("ok"))])
    assert verify(path).counts.calls == 1
    assert next(read_exchanges(path)).request.body == request.body
    assert Book.read(path).claim(request).response.body == b"ok"


ENCODINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "zstd": zstd.compress,
    "identity": bytes,
}


def raw_deflate(data: bytes) -> bytes:
    """Compress without the wrapping, as some servers do."""
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize("encoding", [*ENCODINGS, "raw deflate", "two members"])
@given(text=st.text(max_size=200), cuts=st.lists(st.integers(0, 300), max_size=6))
@settings(max_examples=30)
def test_an_answer_is_the_same_however_it_was_packed_and_cut(encoding: str, text: str, cuts: list[int]) -> None:
    """The body is what was packed; its pieces join to it; the header that speaks of packing is gone."""
    data = text.encode()
    if encoding == "raw deflate":
        packed, name = raw_deflate(data), "deflate"
    elif encoding == "two members":
        packed, name = gzip.compress(data[: len(data) // 2]) + gzip.compress(data[len(data) // 2 :]), "gzip"
    else:
        packed, name = ENCODINGS[encoding](data), encoding
    gathering = Gathering(200, [("Content-Encoding", name), ("Content-Length", "7")])
    places = [0, *sorted(cut for cut in cuts if cut < len(packed)), len(packed)]
    for number, (start, end) in enumerate(pairwise(places)):
        gathering.add(number, packed[start:end])
    response = gathering.response(9.0)
    assert response.body == data
    assert response.headers == {}
    assert b"".join(piece for _, piece in response.pieces()) == data
    assert sum(size for _, size in response.chunks) == len(text)


KEY = "Zq7Xw9canaryKd93hfPl2"


@pytest.mark.parametrize("encoding", ["gzip", "zstd", "br", "deflate"])
@pytest.mark.parametrize("body", ["plain", "{}", '{"error": "wrong key %s"}'])
def test_what_is_not_packed_as_its_header_says_is_kept_as_it_came(encoding: str, body: str, tmp_path: Path) -> None:
    """A client that believes the header fails, and so it must again: a text stays under it, but for the keys in it."""
    sent = (body % KEY if "%s" in body else body).encode()
    gathering = Gathering(200, [("content-encoding", encoding)])
    gathering.add(0.0, sent)
    request = Request.of("GET", "/", "", [("authorization", f"Bearer {KEY}")], b"")
    path = recorded(tmp_path / "x.trace.jsonl", [Exchange(request=request, response=gathering.response(1.0))])
    response = next(read_exchanges(path)).response
    assert (response.headers, response.complete) == ({"content-encoding": encoding}, True)
    assert response.body == sent.replace(KEY.encode(), b"[secret:1" + b"*" * (len(KEY) - 10) + b"]")


def held(path: Path) -> bytes:
    """Return all that a recording holds, with what is in base64 read."""
    data = path.read_bytes()
    return data + b"".join([b64decode(one + b"=" * (-len(one) % 4)) for one in re.findall(rb"[A-Za-z0-9+/]{16,}", data)])


@pytest.mark.parametrize("left", [1, 5, 30])
@pytest.mark.parametrize("encoding", ["gzip", "zstd", "gzip, gzip", "deflate", "gzip, zstd"])
def test_no_key_is_in_an_answer_that_ends_too_early_for_its_packing(encoding: str, left: int, tmp_path: Path) -> None:
    """What can be unpacked of it is cleaned and packed again, without an end as before, under the header that names that."""
    data = f'{{"error": "wrong key {KEY}", "more": "{"x" * 40}"}}'.encode()
    for name in encoding.split(", "):
        data = ENCODINGS[name](data)
    gathering = Gathering(401, [("content-encoding", encoding)])
    whole = Decoder(encoding)
    said_then = whole.feed(data[:-left])
    gathering.add(0.0, data[:-left])
    request = Request.of("GET", "/", "", [("authorization", f"Bearer {KEY}")], b"")
    path = recorded(tmp_path / "x.trace.jsonl", [Exchange(request=request, response=gathering.response(1.0))])
    response = next(read_exchanges(path)).response
    assert (response.complete, response.headers) == (True, {"content-encoding": encoding})
    decoder = Decoder(encoding)
    plain = decoder.feed(response.body)
    assert len(plain) == len(said_then)
    assert KEY.encode() not in plain
    assert (decoder.failed, decoder.inside) == (False, True)
    assert KEY.encode() not in held(path)


@pytest.mark.parametrize("encoding", ["br", "gzip, br", "gzip"])
def test_of_what_cannot_be_unpacked_the_digest_is_kept(encoding: str, tmp_path: Path) -> None:
    """Nobody can see whether a key stands in it: an answer becomes one that was cut, with a note, and a request its digest."""
    body = b"\x8b\x02\x80" + KEY.encode()
    gathering = Gathering(200, [("content-encoding", encoding)])
    gathering.add(0.0, body)
    request = Request.of("POST", "/", "", [("content-encoding", encoding)], body)
    path = recorded(tmp_path / "x.trace.jsonl", [Exchange(request=request, response=gathering.response(1.0))])
    response = next(read_exchanges(path)).response
    assert (response.body, response.complete) == (b"", False)
    assert sha256(body).hexdigest() in response.error
    assert KEY.encode() not in held(path)
    with pytest.raises(CassetteMiss, match="its answer is not in the recording"):
        Book.read(path).claim(request)
    with pytest.raises(CassetteMiss, match="no recorded request equals it"):
        Book.read(path).claim(Request.of("POST", "/", "", [("content-encoding", encoding)], body + b"x"))


def test_packings_in_turn_are_taken_off() -> None:
    """A body that was packed twice is kept unpacked, in requests and answers."""
    data = gzip.compress(zlib.compress(b'{"a": 1}'))
    assert Request.of("POST", "/", "", [("content-encoding", "deflate, gzip")], data).body == {"json": {"a": 1}}
    gathering = Gathering(200, [("content-encoding", "deflate,gzip")])
    for start in range(len(data)):
        gathering.add(0.0, data[start : start + 1])
    response = gathering.response(1.0)
    assert (response.body, response.headers) == (b'{"a": 1}', {})


def test_a_body_that_ends_too_early_says_as_much_as_it_did() -> None:
    """Who unpacks it gets the same, and misses the end as then."""
    encoding, body = "gzip", gzip.compress(b"x" * 99)[:-9]
    gathering = Gathering(200, [("content-encoding", encoding)])
    gathering.add(0.0, body)
    response = redacted(Exchange(request=asked(), response=gathering.response(1.0)), Redactor([KEY])).response
    assert response.headers == {"content-encoding": encoding}
    assert zlib.decompressobj(31).decompress(response.body) == zlib.decompressobj(31).decompress(body)
    assert (
        Exchange.from_outcome("GET /", asked().wire(), Exchange(request=asked(), response=response).outcome()).response
        == response
    )


@pytest.mark.parametrize("encoding", ["br", "gzip"])
def test_an_answer_that_is_lost_is_no_failed_call_of_an_import(encoding: str, tmp_path: Path) -> None:
    """Its agent had it: the exchange is named with the reason, and what the agent said next begins anew."""
    gathering = Gathering(200, [*JSON, ("content-encoding", encoding)])
    gathering.add(0.0, b"\x8b\x02\x80")
    lost = Exchange(request=asked(), response=gathering.response(1.0))
    report = import_exchanges([lost, made('{"choices": []}')], tmp_path / "frames.trace.jsonl")
    assert [(note.message, f"({encoding})" in note.what) for note in report.refused] == [(1, True)]
    assert [one.exchanges for one in report.conversations] == [(2,)]


def test_an_answer_that_is_too_long_and_then_breaks_off_is_too_long() -> None:
    """Its reader had more of it than is kept: no replay may give the part for the whole that there was."""
    gathering = Gathering(200, [])
    gathering.add(0.0, b"x" * (RESPONSE_BYTES_MAX + 1))
    response = gathering.response(1.0, complete=False, error="the upstream stopped in the middle of its answer")
    assert unkept(response)
    assert "stopped in the middle" in response.error
    with pytest.raises(CassetteMiss, match="its answer is not in the recording"):
        Book([Exchange(request=asked(), response=response)]).claim(asked())


def test_an_answer_that_is_too_long_is_cut_and_says_so() -> None:
    """What goes beyond the bound is not kept, the answer counts as incomplete, and ever so many pieces fit into a line."""
    gathering = Gathering(200, [])
    for number in range(RESPONSE_BYTES_MAX // (1 << 18) + 2):
        gathering.add(number, b"x" * (1 << 18))
    response = gathering.response(1.0)
    assert not response.complete
    assert len(response.body) <= RESPONSE_BYTES_MAX
    assert "longer than" in response.error
    many = Gathering(200, [])
    for number in range(CHUNKS_MAX + 500):
        many.add(number, b"xy")
    response = many.response(1.0)
    assert (len(response.chunks), response.body, response.complete) == (CHUNKS_MAX, b"xy" * (CHUNKS_MAX + 500), True)
    assert b"".join(piece for _, piece in response.pieces()) == response.body


def test_a_recording_is_an_ordinary_trace_that_gives_its_exchanges_back(tmp_path: Path) -> None:
    """It verifies, replays through its node, and holds requests, answers, times, lanes and failures as they were."""
    response = Response(status=0, complete=False, error="the upstream cannot be reached", ms=3.0)
    exchanges = [
        Exchange(request=asked("one"), response=said("héllo"), lane="a", issued=1, at=5),
        Exchange(request=asked("two"), response=response, lane="b", issued=4, at=9),
    ]
    path = recorded(tmp_path / "x.trace.jsonl", exchanges)
    assert verify(path).counts.inputs == 2
    assert Replayer(path).run().verdict == "same"
    assert list(read_exchanges(path)) == exchanges


def test_equal_requests_of_one_lane_are_answered_in_the_order_of_issue() -> None:
    """Fifty byte-equal requests get their fifty answers in order, though they ended in another, and none is ambiguous."""
    exchanges = [made(str(number), issued=number) for number in range(1, 51)]
    book = Book(exchanges[::-1])
    assert [book.claim(asked(), "live").response.body for _ in exchanges] == [str(n).encode() for n in range(1, 51)]
    assert (book.ambiguous, book.unused()) == (0, ())
    assert (book.receipt().verdict, book.receipt().exit_code) == ("same", 0)


@given(order=st.permutations([lane for lane in range(5) for _ in range(4)]))
@settings(max_examples=100)
def test_lanes_are_never_crossed(order: list[int]) -> None:
    """However five lanes take turns, each gets the answers of one recorded lane, in order, and each answer is used once."""
    recorded = [made(f"{lane}.{turn}", lane=f"r{lane}", issued=turn + 1) for turn in range(4) for lane in range(5)]
    book = Book(recorded, tasks=True)
    got: dict[int, list[str]] = {}
    for lane in order:
        got.setdefault(lane, []).append(book.claim(asked(), f"l{lane}").response.body.decode())
    assert all([one.split(".")[1] for one in answers] == ["0", "1", "2", "3"] for answers in got.values())
    assert all(len({one.split(".")[0] for one in answers}) == 1 for answers in got.values())
    assert len({one for answers in got.values() for one in answers}) == 20
    # The last lane may find but one left to take: that is no guess.
    assert book.ambiguous in {4, 5}


def test_a_lane_stays_with_the_recorded_one_that_its_other_requests_were_of() -> None:
    """A request that only one recorded lane made ties the two: the equal ones that follow are no guess."""
    exchanges = [made("x", lane="one"), made("y", lane="two"), made("mine", content="only two", lane="two", issued=2)]
    for tasks in (False, True):
        book = Book(exchanges, tasks=tasks)
        assert book.claim(asked("only two"), "live").response.body == b"mine"
        assert book.claim(asked(), "live").response.body == b"y"
        # A client may have handed the connection to another task meanwhile; a task is one and the same.
        assert book.ambiguous == (0 if tasks else 1)


def test_a_task_gets_the_answers_of_its_name_however_the_tasks_take_turns() -> None:
    """Equal requests of tasks with the recorded names are no guess, in any order; those of other names are."""
    exchanges = [made(name, lane=f"main/{name}") for name in "123"]
    book = Book(exchanges, tasks=True)
    assert [book.claim(asked(), f"main/{name}").response.body for name in "312"] == [b"3", b"1", b"2"]
    assert book.ambiguous == 0
    book = Book(exchanges, tasks=True)
    book.claim(asked(), "main/9")
    assert book.ambiguous == 1


def test_what_one_kind_of_client_asked_answers_no_other(tmp_path: Path) -> None:
    """Of two servers with the same paths each route gets its own answers, in any order; that of the other is a miss and named."""
    exchanges = [evolve(made(route, issued=number), route=route) for number, route in enumerate(("openai", "groq"), start=1)]
    path = recorded(tmp_path / "x.trace.jsonl", exchanges)
    book = Book.read(path)
    assert [book.claim(asked(), "live", route).response.body for route in ("groq", "openai")] == [b"groq", b"openai"]
    assert book.receipt().verdict == "same"
    for match in get_args(Match):
        book = Book.read(path, match=match)
        book.claim(asked(), "live", "openai")
        with pytest.raises(CassetteMiss, match="an equal one was asked of groq"):
            book.claim(asked(), "live", "openai")
    book = Book.read(path)
    book.claim(asked(), "live")
    assert book.ambiguous == 1


def test_equal_requests_of_two_hosts_are_ambiguous_where_no_host_is_asked() -> None:
    """A recording made in process knows the hosts; a proxy that answers from it cannot say which of two was meant."""
    far = [Request.of("POST", f"https://{host}/v1/x", "", JSON, b"{}") for host in ("a.example", "b.example")]
    near = Request.of("POST", "/v1/x", "", JSON, b"{}")
    for answers, ambiguous in ((("1", "2"), 1), (("1", "1"), 0)):
        pairs = zip(far, answers, strict=True)
        exchanges = [Exchange(request=one, response=said(text), issued=n) for n, (one, text) in enumerate(pairs)]
        book = Book(exchanges)
        assert [book.claim(near, "live").response.body.decode() for _ in exchanges] == list(answers)
        assert book.ambiguous == ambiguous
        book = Book(exchanges, tasks=True, hosts=True)
        assert [book.claim(one, "live").response.body.decode() for one in far[::-1]] == list(answers[::-1])
        assert book.ambiguous == 0


def kept_of(requests: list[Request], folder: Path) -> Path:
    """Record requests, whose answers are their numbers."""
    exchanges = [Exchange(request=one, response=said(str(n)), issued=n) for n, one in enumerate(requests, start=1)]
    return recorded(folder / "x.trace.jsonl", exchanges)


def test_texts_that_look_like_placeholders_are_told_apart(tmp_path: Path) -> None:
    """What somebody wrote is compared letter by letter; what the recording gave out in a secret's place stands for that."""
    key = "sk-proj-Zq8Lm3Vx7Tp2Rk9W"
    path = kept_of([asked("explain [s:1]"), asked("[secret:1*************]"), asked(f"use {key}")], tmp_path)
    assert [one.request.lookalikes for one in read_exchanges(path)] == [("[s:1]",), ("[secret:1*************]",), ()]
    for other in ("explain [s:9]", "[secret:2*************]", "explain [secret]", "use [secret:7*************]", "use [s:1]"):
        with pytest.raises(CassetteMiss):
            Book.read(path).claim(asked(other))
    book = Book.read(path)
    said_again = [one.request.body["json"]["messages"][0]["content"] for one in read_exchanges(path)]
    assert said_again[2].startswith("use [secret:")
    assert [book.claim(asked(text)).response.body for text in said_again] == [b"1", b"2", b"3"]
    assert book.receipt().verdict == "same"


def test_values_of_a_body_are_not_taken_for_one_another(tmp_path: Path) -> None:
    """A replaced value of another length misses, the same value stands for the same one, and a choice counts as ambiguous."""

    def login(password: str) -> Request:
        return asked("log in", metadata={"password": password})

    alice, bob, carol = "alice-password-1", "bob-password-222", "carol-has-a-longer-one"
    path = kept_of([login(alice), login(bob), login(alice), login(carol)], tmp_path)
    book = Book.read(path)
    assert book.claim(login(carol)).response.body == b"4"
    assert book.ambiguous == 0
    assert [book.claim(login(one)).response.body for one in (alice, bob, alice)] == [b"1", b"2", b"3"]
    assert book.ambiguous == 1
    book = Book.read(path)
    for one in (alice, alice):
        book.claim(login(one))
    with pytest.raises(CassetteMiss) as caught:
        book.claim(login(alice))
    assert "another secret" in caught.value.fields["nearest"][0]["why"] or caught.value.fields["used"]
    with pytest.raises(CassetteMiss):
        Book.read(path).claim(login("eve-is-somebody-else-who-says-more"))


def test_a_key_that_is_known_may_have_become_another_one(tmp_path: Path) -> None:
    """A key of a header or of the environment that stands in a body too answers for the recorded one, whatever its length."""

    def own(key: str, header: str) -> Request:
        body = json.dumps({"messages": [], "key_of_tool": f"sk-{key}"}).encode()
        return Request.of("POST", "/v1", "", [*JSON, ("authorization", f"Bearer {header}")], body)

    old, new = "Zq8Lm3Vx7Tp2Rk9Wq1", "Hn4Jd6Fs0Ba5Cg8Ye2-longer"
    path = kept_of([own(old, f"sk-{old}")], tmp_path)
    assert Book.read(path).claim(own(new, f"sk-{new}")).response.body == b"1"
    assert Book.read(path, secrets=[f"sk-{new}"]).claim(own(new, "")).response.body == b"1"
    with pytest.raises(CassetteMiss):
        Book.read(path).claim(own(new, ""))


def test_equal_answers_are_not_ambiguous() -> None:
    """Where every answer that could be meant is the same, nothing was guessed."""
    book = Book([made("same", lane="one"), made("same", lane="two")])
    book.claim(asked(), "x")
    assert book.ambiguous == 0


def timed(text: str, lane: str, at: int, ms: float, error: str = "") -> Exchange:
    """Return an exchange of an equal request, sent at some microsecond."""
    response = Response(status=0 if error else 200, body=text.encode(), complete=not error, error=error, ms=ms)
    return Exchange(request=asked(), response=response, lane=lane, at=at)


def test_equal_requests_one_after_another_are_not_ambiguous() -> None:
    """A client that takes a connection for each request gets its answers in order, and that is no guess."""
    for lanes in ("123", "111"):
        exchanges = [timed(f"{number}", lane, 1_000 * number, 0.9) for number, lane in enumerate(lanes, start=1)]
        book = Book(exchanges)
        assert [book.claim(asked(), f"live {number}").response.body for number in range(3)] == [b"1", b"2", b"3"]
        assert (book.ambiguous, book.receipt().verdict) == (0, "same")


def test_a_clock_that_is_set_right_meanwhile_puts_nothing_at_once() -> None:
    """A minute that the wall clock made shorter by a little still lies before what was asked at its end."""
    book = Book([timed("1", "one", 1_000, 60_000), timed("2", "two", 1_000 + 60_000_000 - 20_000, 1)])
    assert [book.claim(asked(), lane).response.body for lane in ("x", "y")] == [b"1", b"2"]
    assert book.ambiguous == 0


def test_equal_requests_at_once_are_never_called_the_same() -> None:
    """Whose answer was whose cannot be known: the verdict says so and fails, unless all their answers are one."""
    exchanges = [timed("1", "one", 1_000, 5.0), timed("2", "two", 2_000, 5.0)]
    book = Book(exchanges)
    assert {book.claim(asked(), lane).response.body for lane in ("x", "y")} == {b"1", b"2"}
    assert (book.ambiguous, book.receipt().verdict, book.receipt().exit_code) == (1, "ambiguous", 4)
    alike = Book([timed("1", "one", 1_000, 5.0), timed("1", "two", 2_000, 5.0)])
    assert {alike.claim(asked(), lane).response.body for lane in ("x", "y")} == {b"1"}
    assert (alike.ambiguous, alike.receipt().verdict) == (0, "same")


def test_a_connection_that_tells_another_order_than_the_time_is_ambiguous() -> None:
    """Who asks first on a connection that asked last may be a thread that is early, or a client that took another connection."""
    own = Exchange(request=asked("own"), response=said("own"), lane="two", at=500)
    book = Book([own, timed("1", "one", 1_000, 0.5), timed("2", "two", 2_000, 0.5)])
    book.claim(asked("own"), "live")
    assert book.claim(asked(), "live").response.body == b"2"
    assert (book.ambiguous, book.receipt().exit_code) == (1, 4)


def test_a_request_that_was_given_up_and_sent_again_is_not_ambiguous() -> None:
    """That a client has left is noticed when it asks again already: the two were one after the other all the same."""
    book = Book([timed("", "one", 1_000, 5_000.2, CLIENT_LEFT), timed("at last", "two", 5_001_100, 3.0)])
    assert [book.claim(asked(), lane).response.error for lane in ("x", "y")] == [CLIENT_LEFT, ""]
    assert book.ambiguous == 0
    book = Book([timed("", "one", 1_000, 5_000.2, CLIENT_LEFT), timed("at last", "two", 2_000, 3.0)])
    book.claim(asked(), "x")
    assert book.ambiguous == 1


def test_a_request_is_the_same_with_its_host_and_without() -> None:
    """A recording made in process names hosts; a proxy sees paths, query and body, and of these each counts."""
    whole = Request.of("POST", "https://api.example.com:8443/v1/chat/completions", "a=1", JSON, b"{}")
    assert whole.hostless == Request.of("POST", "/v1/chat/completions", "a=1", JSON, b"{}")
    assert whole.hostless.hostless is whole.hostless
    answered = Exchange(request=whole, response=said("yes"))
    assert Book([answered]).claim(whole.hostless).response.body == b"yes"
    for path, query in (("/chat/completions", "a=1"), ("/v1/chat/completions", "a=2")):
        with pytest.raises(CassetteMiss):
            Book([answered]).claim(Request.of("POST", path, query, JSON, b"{}"))
    with pytest.raises(CassetteMiss):
        Book([answered], hosts=True).claim(whole.hostless)


def test_draws_are_no_calls(tmp_path: Path) -> None:
    """Nobody asks a proxy for them: they are counted, none is left over, and calls keep the numbers of their inputs."""
    places = [["agent.py", "main", 3, "time.time"], ["agent.py", "main", 4, "time.time"]]
    draws = Exchange(request=Request(method=DRAW, path="/main", body=freeze({"json": places})), response=said("[1.0, 2.0]"))
    book = Book.read(recorded(tmp_path / "x.trace.jsonl", [draws, made("yes")]))
    with pytest.raises(CassetteMiss) as caught:
        book.claim(asked("other"))
    assert [one["input"] for one in caught.value.fields["nearest"]] == [2]
    book.claim(asked())
    receipt = book.receipt()
    assert (receipt.recorded, receipt.unused, receipt.draws) == (1, 0, 2)


def test_a_miss_names_the_nearest_and_why_each_was_rejected() -> None:
    """The nearest comes first, with the place where it differs; one that is used up says so; and the receipt is red."""
    book = Book([made("a", content="tell me a joke"), made("b", content="what is two and two", issued=2)])
    with pytest.raises(CassetteMiss) as caught:
        book.claim(asked("what is two and three"))
    near = caught.value.fields["nearest"]
    assert [one["input"] for one in near] == [2, 1]
    assert near[0]["pointer"] == "/json/messages/0/content"
    assert (near[0]["recorded"], near[0]["asked"]) == ("what is two and two", "what is two and three")
    assert caught.value.fields["used"] is False
    book.claim(asked("tell me a joke"))
    with pytest.raises(CassetteMiss) as caught:
        book.claim(asked("tell me a joke"))
    assert caught.value.fields["used"] is True
    assert caught.value.fields["nearest"][0]["why"] == "it has been used"
    receipt = book.receipt()
    assert (receipt.verdict, receipt.exit_code, receipt.missed, receipt.unused, receipt.replayed) == ("missed", 4, 2, 1, 1)


def test_what_nobody_asks_for_is_red() -> None:
    """A recording of which nothing is asked proves nothing (5); one of which something is left is not the same run (4)."""
    book = Book([made("a"), made("b", issued=2)])
    assert (book.receipt().verdict, book.receipt().exit_code) == ("nothing", 5)
    book.claim(asked())
    assert (book.receipt().verdict, book.receipt().exit_code) == ("unused", 4)
    assert [one.response.body for one in book.unused()] == [b"b"]


def test_the_place_in_a_conversation_will_do_where_that_is_allowed() -> None:
    """With ``chain`` other ids and settings are overlooked and counted; other words, tools or streaming are not."""
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    again = {"id": "call_9", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
    result = {"role": "tool", "tool_call_id": "call_1", "content": "2"}
    turns = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": None, "tool_calls": [call]}, result]
    live = [
        {"role": "user", "content": [{"type": "text", "text": "hi"}]},
        {"role": "assistant", "tool_calls": [again]},
        {**result, "tool_call_id": "call_9"},
    ]

    def request(messages: Any, **more: Any) -> Request:
        return Request.of("POST", "/v1/chat/completions", "", JSON, json.dumps({"messages": messages, **more}).encode())

    kept = Exchange(request=request(turns, temperature=0), response=said("ok"))
    with pytest.raises(CassetteMiss):
        Book([kept]).claim(request(live))
    for other in (
        request(live, stream=True),
        request([*live, live[0]]),
        request([live[0]]),
        request([*live[:2], {**result, "content": "3"}]),
    ):
        with pytest.raises(CassetteMiss):
            Book([kept], match="chain").claim(other)
    book = Book([kept], match="chain")
    assert book.claim(request(live, temperature=1)).response.body == b"ok"
    assert (book.receipt().verdict, book.receipt().exit_code, book.approximate) == ("approximate", 1, 1)


def test_another_conversation_may_hold_more_or_fewer_secrets(tmp_path: Path) -> None:
    """With ``chain`` the settings of a request may be other ones, those with a secret in them too."""
    path = kept_of([asked(metadata={"password": "alice-password-1"}), asked("more")], tmp_path)
    book = Book.read(path, match="chain")
    assert book.claim(asked()).response.body == b"1"
    assert book.claim(asked("more", metadata={"password": "alice-password-1"})).response.body == b"2"
    assert (book.receipt().verdict, book.approximate) == ("approximate", 2)


def test_what_is_no_recording_of_exchanges_is_refused(tmp_path: Path) -> None:
    """A run of another graph, an empty recording and an unfinished one each have an error of their own."""
    other = tmp_path / "other.trace.jsonl"
    with TraceWriter(other, header(bind(load_graph("tool-loop")))) as writer:
        writer.seal()
    with pytest.raises(TraceFormat, match="'tool-loop', not HTTP exchanges"):
        Book.read(other)
    with pytest.raises(NothingCompared, match="holds no exchange"):
        Book.read(recorded(tmp_path / "empty.trace.jsonl", []))
    open_ended = tmp_path / "open.trace.jsonl"
    with ExchangeRecorder(open_ended, provenance={}) as recorder:
        recorder.keep(made("a"))
    with pytest.raises(TraceIncomplete):
        Book.read(open_ended)
    (tmp_path / "zero").touch()
    with pytest.raises(TraceFormat):
        Book.read(tmp_path / "zero")


def test_after_a_failed_write_nothing_is_acknowledged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The exchange that could not be written, all that follow and the seal raise the same error."""
    with ExchangeRecorder(tmp_path / "x.trace.jsonl", provenance={}) as recorder:
        recorder.keep(made("a"))

        def full(descriptor: int, data: bytes) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("frameengine.trace.writer.write_all", full)
        with pytest.raises(StorageError, match="No space left"):
            recorder.keep(made("b"))
        monkeypatch.undo()
        attempts: list[Callable[[], None]] = [lambda: recorder.keep(made("c")), recorder.seal]
        for attempt in attempts:
            with pytest.raises(StorageError, match="No space left"):
                attempt()


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("x-auth-token", KEY),
        ("Ocp-Apim-Subscription-Key", KEY),
        ("Helicone-Auth", f"Bearer {KEY}"),
        ("x-own", KEY),
        ("Cookie", f"a=1; s={KEY}"),
    ],
)
def test_a_key_of_any_header_is_known_wherever_it_comes_back(header: str, value: str, tmp_path: Path) -> None:
    """An answer that repeats it holds a placeholder, though another header of that name came behind it."""
    request = Request.of("GET", "/", "X-Amz-Signature=abc123abc123abc&n=1", [(header, value), (header, "b=2")], b"")
    path = recorded(tmp_path / "x.trace.jsonl", [Exchange(request=request, response=said(f"wrong: {KEY}, abc123abc123abc"))])
    assert KEY.encode() not in held(path)
    assert b"abc123" not in held(path)
    assert next(read_exchanges(path)).request.query == "n=1"


def test_a_key_in_an_address_that_is_answered_is_known_from_there_on(tmp_path: Path) -> None:
    """A redirect is kept without user, password and token, and the next request that names them holds placeholders."""
    gathering = Gathering(302, [("Location", f"https://me:{KEY}@cdn.example/f?n=1&token={KEY}-too")])
    first = Exchange(request=asked(), response=gathering.response(1.0))
    path = recorded(tmp_path / "x.trace.jsonl", [first, made("ok", content=f"{KEY} and {KEY}-too", issued=2)])
    assert KEY.encode() not in held(path)
    assert next(read_exchanges(path)).response.headers["location"] == "https://cdn.example/f?n=1"


def test_a_text_in_utf_16_stays_one(tmp_path: Path) -> None:
    """The key in it is replaced by letters of the same width."""
    gathering = Gathering(400, [])
    gathering.add(0.0, f"wrong: sk-proj-{KEY}".encode("utf-16"))
    path = recorded(tmp_path / "x.trace.jsonl", [Exchange(request=asked(), response=gathering.response(1.0))])
    assert next(read_exchanges(path)).response.body.decode("utf-16").startswith("wrong: [secret:1")


def test_a_key_that_was_written_before_it_was_known_is_counted(tmp_path: Path) -> None:
    """What only a later request shows to be a key cannot be taken back: the recorder says how many of these stand in the file."""
    late = Request.of("GET", "/", "", [("authorization", f"Bearer {KEY}"), ("x-other", "never-said-7f3a9b2c4d")], b"")
    with ExchangeRecorder(tmp_path / "x.trace.jsonl", provenance={}) as recorder:
        recorder.keep(made(f"your word is {KEY}"))
        recorder.keep(Exchange(request=late, response=said(f"hello {KEY}"), issued=2))
        recorder.seal()
        assert recorder.exposed == 1


def nonce(number: int) -> Request:
    """Return a request with a header whose value is new each time."""
    return Request.of("GET", f"/{number}", "", [("x-own", f"nonce-{number:06d}-ab12cd"), ("authorization", f"Bearer {KEY}")], b"")


def test_values_that_are_new_in_each_request_do_not_pile_up(tmp_path: Path) -> None:
    """The newest are looked for, and those that come in each request; one that comes back later stands there, and is counted."""
    again = made("so nonce-000000-ab12cd was it", content=f"{KEY} nonce-{PASSING_MAX:06d}-ab12cd")
    with ExchangeRecorder(tmp_path / "x.trace.jsonl", provenance={}) as recorder:
        for number in range(PASSING_MAX + 40):
            recorder.keep(Exchange(request=nonce(number), response=said(f"nonce-{number:06d}-ab12cd"), issued=number + 1))
        recorder.keep(again)
        recorder.seal()
    data = held(tmp_path / "x.trace.jsonl")
    assert re.findall(rb"nonce-......-ab12cd", data) == [b"nonce-000000-ab12cd"]
    assert KEY.encode() not in data
    assert recorder.exposed == 1


def test_every_late_secret_is_looked_for_in_the_file(tmp_path: Path) -> None:
    """Of hundreds that come to be known behind it, the one that was written before is found."""
    with ExchangeRecorder(tmp_path / "x.trace.jsonl", provenance={}) as recorder:
        recorder.keep(made("we shall say nonce-000333-ab12cd"))
        for number in range(400):
            recorder.keep(Exchange(request=nonce(number), response=said("ok"), issued=number + 1))
        recorder.seal()
        assert recorder.exposed == 1


def test_of_an_address_only_the_host_is_told() -> None:
    """User, password, path and query of a URL may be secrets."""
    assert public_host("https://user:pass@example.org:8443/path?key=1") == "https://example.org:8443"
