"""The two proxies between a client and a model server: bytes unchanged, everything kept, answered again, errors clear."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, IncompleteRead
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from backports import zstd

from frameengine.errors import NothingCompared
from frameengine.exchanges.book import Book, read_exchanges
from frameengine.exchanges.gather import unkept
from model_scripts import Cut, Hang, Head, Pause, Reset, Script, Send, answer, completion, stream
from model_server import ModelServer
from proxies import CHAT, TYPED, Client, close_clients, recording, replaying


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """Close what a test has opened."""
    yield
    close_clients()


def test_fifty_equal_requests_one_after_another_are_answered_in_order(tmp_path: Path) -> None:
    """Each gets the answer that it got, and none is ambiguous."""
    path = tmp_path / "x.trace.jsonl"
    with ModelServer() as server:
        server.enqueue(*[completion(f"answer {number}") for number in range(50)])
        with recording(server.url, path) as url:
            client = Client(url)
            live = [client.chat("same")[2] for _ in range(50)]
    assert len(set(live)) == 50
    with replaying(path) as (url, book):
        client = Client(url)
        assert [client.chat("same")[2] for _ in range(50)] == live
        assert (book.receipt().verdict, book.ambiguous) == ("same", 0)


def test_fifty_equal_requests_at_once_use_each_answer_once(tmp_path: Path) -> None:
    """Every answer is given exactly once, and nobody calls that the same: which was whose cannot be known."""
    path = tmp_path / "x.trace.jsonl"

    def all_at_once(url: str) -> list[bytes]:
        barrier = threading.Barrier(50)

        def one(_: int) -> bytes:
            client = Client(url)
            barrier.wait(30)
            return client.chat("same")[2]

        with ThreadPoolExecutor(50) as pool:
            return list(pool.map(one, range(50)))

    with ModelServer() as server:
        server.enqueue(*[completion(f"answer {number}") for number in range(50)])
        with recording(server.url, path) as url:
            live = all_at_once(url)
    assert len(set(live)) == 50
    with replaying(path) as (url, book):
        assert sorted(all_at_once(url)) == sorted(live)
        receipt = book.receipt()
    assert (receipt.verdict, receipt.exit_code, receipt.replayed, receipt.ambiguous) == ("ambiguous", 4, 50, 49)


def test_pieces_arrive_as_they_are_sent(tmp_path: Path) -> None:
    """The client has the first piece while the upstream still holds the second back, when recording and at recorded speed."""
    path = tmp_path / "x.trace.jsonl"
    script: Script = [
        Head(headers=(("content-type", "text/event-stream"),), framing="chunked"),
        Send(b"data: 1\n\n"),
        Pause(0.6),
        Send(b"data: 2\n\n"),
    ]

    def times(url: str) -> list[float]:
        connection = HTTPConnection(urlsplit(url).netloc, timeout=30)
        connection.request("POST", CHAT, b"{}", dict(TYPED))
        response = connection.getresponse()
        seen = []
        while response.read1(99):
            seen.append(time.monotonic())
        connection.close()
        return seen

    with ModelServer() as server:
        server.enqueue(script)
        with recording(server.url, path) as url:
            first, second = times(url)
            assert second - first > 0.3
    ((exchange),) = read_exchanges(path)
    (one, size), (two, _) = exchange.response.chunks
    assert size == 9
    assert two - one > 300
    with replaying(path, speed=1) as (url, _):
        first, second = times(url)
        assert second - first > 0.3


@pytest.mark.parametrize("encoding", ["gzip", "zstd, br, gzip", "br"])
def test_a_packed_answer_goes_on_packed_and_is_kept_unpacked(encoding: str, tmp_path: Path) -> None:
    """The client gets the packed bytes; the upstream is asked for nothing that cannot be unpacked; replay needs no packing."""
    path = tmp_path / "x.trace.jsonl"
    packed = gzip.compress(b'{"a": 1}')
    with ModelServer() as server:
        server.enqueue(answer(packed, headers=[("content-encoding", "gzip")]))
        with recording(server.url, path) as url:
            status, headers, body = Client(url).ask("POST", CHAT, b"{}", [("accept-encoding", encoding)])
        assert (status, headers["content-encoding"], body) == (200, "gzip", packed)
        assert "br" not in server.requests[0].header("accept-encoding")
    with replaying(path) as (url, _):
        _, headers, body = Client(url).ask("POST", CHAT, b"{}")
    assert (body, "content-encoding" in headers) == (b'{"a": 1}', False)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd", "br"])
def test_an_answer_with_stale_headers_of_packing_passes_as_it_is(encoding: str, tmp_path: Path) -> None:
    """What calls itself packed and is not reaches the client unchanged, live and again: one that unpacks it fails both times."""
    path = tmp_path / "x.trace.jsonl"

    def ask(url: str) -> tuple[str | None, bytes]:
        _, headers, body = Client(url).ask("POST", CHAT, b"{}")
        return headers.get("content-encoding"), body

    with ModelServer() as server:
        server.enqueue(answer(b'{"a": "plain"}', headers=[("content-encoding", encoding)]))
        with recording(server.url, path) as url:
            live = ask(url)
    assert live == (encoding, b'{"a": "plain"}')
    with replaying(path) as (url, _):
        assert ask(url) == live


@pytest.mark.parametrize(("encoding", "packed"), [("deflate", zlib.compress(b"[1]")), ("zstd", zstd.compress(b"[1]"))])
def test_other_packings_go_on_as_they_came_and_are_kept_unpacked(encoding: str, packed: bytes, tmp_path: Path) -> None:
    """Deflate and zstd are what gzip is: the client gets the bytes of the upstream, and a replay the same body unpacked."""
    path = tmp_path / "x.trace.jsonl"
    with ModelServer() as server:
        server.enqueue(answer(packed, headers=[("content-encoding", encoding)]))
        with recording(server.url, path) as url:
            _, headers, body = Client(url).ask("POST", CHAT, b"{}", [("accept-encoding", encoding)])
            assert (headers["content-encoding"], body) == (encoding, packed)
            assert server.requests[0].header("accept-encoding") == encoding
    with replaying(path) as (url, book):
        _, headers, body = Client(url).ask("POST", CHAT, b"{}")
        assert (body, "content-encoding" in headers, book.receipt().verdict) == (b"[1]", False, "same")


def test_an_answer_in_brotli_that_nobody_asked_for_passes_and_is_said_to_be_lost(tmp_path: Path) -> None:
    """The client has every byte; the exchange names the packing, and a replay misses it instead of giving something else."""
    path = tmp_path / "x.trace.jsonl"
    packed = b"\x8b\x02\x80not unpacked here\x03"
    with ModelServer() as server:
        server.enqueue(answer(packed, headers=[("content-encoding", "br")]))
        with recording(server.url, path) as url:
            assert Client(url).chat("hi")[2] == packed
    ((exchange),) = read_exchanges(path)
    assert unkept(exchange.response)
    assert "packed in a way that cannot be undone here" in exchange.response.error
    assert f"(br): {len(packed)} bytes" in exchange.response.error
    with replaying(path) as (url, book):
        status, _, body = Client(url).chat("hi")
        assert (status, "(br)" in json.loads(body)["error"]["message"]) == (404, True)
        assert book.receipt().verdict == "missed"


def test_a_chunked_request_and_one_of_ten_megabytes_are_handed_on_whole(tmp_path: Path) -> None:
    """The upstream gets every byte of both, and both are answered from the recording."""
    path = tmp_path / "x.trace.jsonl"
    large = json.dumps({"messages": [{"role": "user", "content": "x" * 10_000_000}]}).encode()

    def ask(url: str) -> None:
        connection = HTTPConnection(urlsplit(url).netloc, timeout=30)
        connection.request("POST", CHAT, iter([b'{"messages"', b": []}"]), dict(TYPED), encode_chunked=True)
        assert connection.getresponse().read() == b"{}"
        connection.close()
        assert Client(url).ask("POST", CHAT, large, TYPED)[2] == b"[]"

    with ModelServer() as server:
        server.enqueue(answer(b"{}"), answer(b"[]"))
        with recording(server.url, path) as url:
            ask(url)
        assert [request.body for request in server.requests] == [b'{"messages": []}', large]
    with replaying(path) as (url, book):
        ask(url)
        assert book.receipt().verdict == "same"


def test_an_upstream_that_cannot_be_reached_is_a_clear_error_and_on_record(tmp_path: Path) -> None:
    """The client gets 502 with the reason, when recording and from the recording."""
    path = tmp_path / "x.trace.jsonl"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with recording(f"http://127.0.0.1:{taken.getsockname()[1]}", path) as url:
            status, _, body = Client(url).chat("hi")
    assert status == 502
    assert "cannot be reached" in json.loads(body)["error"]["message"]
    with replaying(path) as (url, book):
        status, _, body = Client(url).chat("hi")
        assert status == 502
        assert "cannot be reached" in json.loads(body)["error"]["message"]
        assert book.receipt().verdict == "same"


@pytest.mark.parametrize("end", [Cut(), Reset()])
@pytest.mark.parametrize("framing", ["chunked", "length"])
def test_an_answer_that_is_cut_is_cut_for_the_client_too_and_again(end: Any, framing: Any, tmp_path: Path) -> None:
    """What came is handed on and kept as incomplete; no client can take it for whole, neither live nor from the recording."""
    path = tmp_path / "x.trace.jsonl"

    def part(url: str) -> bytes:
        with pytest.raises((IncompleteRead, ConnectionError)) as caught:
            Client(url).chat("hi", stream=True)
        return caught.value.partial if isinstance(caught.value, IncompleteRead) else b""

    with ModelServer() as server:
        server.enqueue([Head(framing=framing, length=99), Send(b"data: par"), Pause(0.1), end])
        with recording(server.url, path) as url:
            assert part(url) in {b"data: par", b""}
    ((exchange),) = read_exchanges(path)
    assert (exchange.response.body, exchange.response.complete) == (b"data: par", False)
    assert "stopped in the middle" in exchange.response.error
    with replaying(path) as (url, _):
        assert part(url) == b"data: par"


@pytest.mark.parametrize("begun", [False, True])
def test_a_client_that_goes_away_leaves_an_incomplete_exchange(begun: bool, tmp_path: Path) -> None:
    """What had come until then is kept, the connection to the upstream is closed, and the proxy goes on."""
    path = tmp_path / "x.trace.jsonl"
    head: Script = [Head(headers=(("content-type", "text/event-stream"),), framing="chunked"), Send(b"data: 1\n\n")]
    with ModelServer() as server:
        server.enqueue([*(head if begun else ()), Hang()], completion("next"))
        with recording(server.url, path) as url:
            connection = socket.create_connection((urlsplit(url).hostname, urlsplit(url).port))
            connection.sendall(b"POST /v1/x HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}")
            if begun:
                while b"data: 1" not in connection.recv(4096):
                    pass
            else:
                deadline = time.monotonic() + 10
                while not server.requests and time.monotonic() < deadline:
                    time.sleep(0.01)
            connection.close()
            deadline = time.monotonic() + 10
            while not server.left and time.monotonic() < deadline:
                time.sleep(0.01)
            assert server.left == 1
            assert Client(url).chat("hi")[0] == 200
    first, second = read_exchanges(path)
    assert (first.response.complete, second.response.complete) == (False, True)
    assert first.response.body == (b"data: 1\n\n" if begun else b"")
    assert "went away" in first.response.error


def test_what_is_no_http_call_of_an_agent_is_refused_and_sent_nowhere(tmp_path: Path) -> None:
    """WebSocket, a request for another host and CONNECT get errors that say what to do instead; the upstream hears of none."""
    path = tmp_path / "x.trace.jsonl"
    with ModelServer() as server, recording(server.url, path) as url:
        upgrade = [
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-key", "eA=="),
            ("sec-websocket-version", "13"),
        ]
        status, _, body = Client(url).ask("GET", "/v1/realtime", headers=upgrade)
        assert (status, "WebSocket" in json.loads(body)["error"]["message"]) == (501, True)
        status, _, body = Client(url).ask("GET", "http://example.org/v1/models")
        assert (status, "base URL" in json.loads(body)["error"]["message"]) == (400, True)
        assert Client(url).ask("CONNECT", "example.org:443")[0] == 400
        assert server.requests == []
        # A client that offers HTTP/2 on the side is served as it is.
        assert Client(url).ask("GET", "/v1/models", headers=[("connection", "Upgrade"), ("upgrade", "h2c")])[0] == 200
    with replaying(path) as (url, _):
        assert Client(url).ask("GET", "/v1/realtime", headers=upgrade)[0] == 501


def test_an_unknown_path_is_the_upstream_s_to_refuse(tmp_path: Path) -> None:
    """Any path and method go on as they are, and what comes back is kept as any answer."""
    path = tmp_path / "x.trace.jsonl"
    with ModelServer() as server:
        server.enqueue(answer(b"no such thing", 404), [Head(204, (), "length")], answer(b"", 200))
        with recording(server.url, path) as url:
            client = Client(url)
            live = [client.ask("DELETE", "/a%20b/%C3%A4?x=1&y="), client.ask("PUT", "/x", b"1"), client.ask("HEAD", "/x")]
        assert [(one.method, one.path) for one in server.requests] == [
            ("DELETE", "/a%20b/%C3%A4?x=1&y="),
            ("PUT", "/x"),
            ("HEAD", "/x"),
        ]
    assert [one[0] for one in live] == [404, 204, 200]
    with replaying(path) as (url, book):
        client = Client(url)
        again = [client.ask("DELETE", "/a%20b/%C3%A4?x=1&y="), client.ask("PUT", "/x", b"1"), client.ask("HEAD", "/x")]
        assert [(one[0], one[2]) for one in again] == [(one[0], one[2]) for one in live]
        assert book.receipt().verdict == "same"


def test_a_miss_is_an_error_that_no_client_repeats(tmp_path: Path) -> None:
    """A request without a recorded answer gets 404, the nearest recorded one and why, in OpenAI's shape."""
    path = tmp_path / "x.trace.jsonl"
    with ModelServer() as server, recording(server.url, path) as url:
        Client(url).chat("what is two and two")
    with replaying(path) as (url, book):
        status, headers, body = Client(url).chat("what is two and three")
        error = json.loads(body)["error"]
        assert (status, headers["x-should-retry"], error["code"]) == (404, "false", "cassette.miss")
        assert error["nearest"][0]["pointer"] == "/json/messages/0/content"
        assert "differs at /json/messages/0/content" in error["message"]
        assert (book.receipt().verdict, book.receipt().exit_code) == ("missed", 4)


def test_a_recording_without_calls_is_no_book(tmp_path: Path) -> None:
    """Nothing was captured, so nothing can be answered."""
    path = tmp_path / "x.trace.jsonl"
    with ModelServer() as server, recording(server.url, path):
        pass
    with pytest.raises(NothingCompared):
        Book.read(path)


def test_a_recording_made_with_a_key_is_answered_without_one(tmp_path: Path) -> None:
    """The key is in headers, query and text when it is recorded; without it, or with another, the same answers come."""
    path = tmp_path / "x.trace.jsonl"
    keys = ["sk-live-0123456789abcdefgh", "sk-other-9876543210zyxw"]

    def ask(url: str, key: str) -> tuple[int, bytes]:
        body = {"messages": [{"role": "user", "content": f"is {key} a good key?"}]}
        headers = [("authorization", f"Bearer {key}"), *TYPED] if key else TYPED
        query = f"?key={key}" if key else ""
        status, _, got = Client(url).ask("POST", CHAT + query, json.dumps(body).encode(), headers)
        return status, got

    with ModelServer() as server:
        server.enqueue(stream("fine"))
        with recording(server.url, path) as url:
            live = ask(url, keys[0])
        assert server.requests[0].header("authorization") == f"Bearer {keys[0]}"
        assert keys[0].encode() in server.requests[0].body
    assert keys[0] not in path.read_text()
    with replaying(path) as (url, book):
        assert ask(url, keys[1]) == live
        assert book.receipt().verdict == "same"
