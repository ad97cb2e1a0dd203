"""The recording proxy where things go wrong: nothing is cut that was not cut, and nothing passes for whole that was not."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from http.client import HTTPConnection, IncompleteRead
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from frameengine.errors import CassetteMiss, UsageError
from frameengine.exchanges.book import Book, read_exchanges
from frameengine.exchanges.exchange import CLIENT_LEFT
from frameengine.exchanges.gather import RESPONSE_BYTES_MAX
from frameengine.performers.proxy_http import Upstream
from frameengine_cli.proxying import record as module
from frameengine_cli.proxying.server import leads_to, listen
from model_scripts import Cut, Hang, Head, Pause, Reset, Send, answer
from model_server import ModelServer
from proxies import CHAT, TYPED, Client, close_clients, recording, replaying

SSE = (("content-type", "text/event-stream"),)


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """Close what a test has opened."""
    yield
    close_clients()


@pytest.mark.parametrize(
    ("kind", "first", "rest"),
    [
        ("text/event-stream", b'data: {"args":{"title":"x","done":true}}\n\n', b'data: {"rest":1}\n\n'),
        ("application/json", b'{"todo":[{"done": true},', b'{"done":false}]}'),
        ("text/event-stream", b"data: [DONE]\n\n", b'data: {"rest":1}\n\n'),
    ],
)
def test_an_answer_is_never_ended_by_a_pause(
    kind: str, first: bytes, rest: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However an event looks like the last one, what comes later reaches the client, is kept, and comes back."""
    path = tmp_path / "x.trace.jsonl"
    monkeypatch.setattr(module, "END_SECONDS", 0.1)
    with ModelServer() as server:
        server.enqueue([Head(headers=(("content-type", kind),), framing="chunked"), Send(first), Pause(0.4), Send(rest)])
        with recording(server.url, path) as url:
            assert Client(url).chat("hi")[2] == first + rest
    ((exchange),) = read_exchanges(path)
    assert (exchange.response.body, exchange.response.complete) == (first + rest, True)
    with replaying(path) as (url, book):
        assert Client(url).chat("hi")[2] == first + rest
        assert book.receipt().verdict == "same"


def test_an_upstream_that_stays_behind_its_last_event_keeps_nobody_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last event is handed on though the body does not end; a client that leaves with it has had the whole answer."""
    path = tmp_path / "x.trace.jsonl"
    monkeypatch.setattr(module, "END_SECONDS", 0.1)
    with ModelServer() as server:
        server.enqueue([Head(headers=SSE, framing="chunked"), Send(b"data: 1\n\ndata: [DONE]\n\n"), Hang()])
        with recording(server.url, path) as url:
            connection = HTTPConnection(urlsplit(url).netloc, timeout=30)
            connection.request("POST", CHAT, b"{}", dict(TYPED))
            assert connection.getresponse().read(23) == b"data: 1\n\ndata: [DONE]\n\n"
            connection.close()
            deadline = time.monotonic() + 10
            while not server.left and time.monotonic() < deadline:
                time.sleep(0.01)
    ((exchange),) = read_exchanges(path)
    assert (exchange.response.complete, exchange.response.error) == (True, "")


@pytest.mark.parametrize("end", [Cut(), Reset()])
def test_a_stream_that_breaks_off_behind_its_last_event_is_incomplete(end: Cut | Reset, tmp_path: Path) -> None:
    """The client gets what came and then the break, live and again."""
    path = tmp_path / "x.trace.jsonl"

    def part(url: str) -> bytes:
        with pytest.raises(IncompleteRead) as caught:
            Client(url).chat("hi")
        return caught.value.partial

    with ModelServer() as server:
        server.enqueue([Head(headers=SSE, framing="chunked"), Send(b"data: [DONE]\n\n"), Pause(0.1), end])
        with recording(server.url, path) as url:
            assert part(url) == b"data: [DONE]\n\n"
    ((exchange),) = read_exchanges(path)
    assert exchange.response.complete is False
    with replaying(path) as (url, _):
        assert part(url) == b"data: [DONE]\n\n"


@pytest.mark.parametrize("status", [101, 600, 999])
def test_a_status_that_is_none_is_a_failed_call(status: int, tmp_path: Path) -> None:
    """The client is told so with 502, when recording and from the recording."""
    path = tmp_path / "x.trace.jsonl"
    with ModelServer() as server:
        server.enqueue(answer(b"x", status) if status > 200 else [Head(status, (), length=0)])
        with recording(server.url, path) as url:
            live = Client(url).chat("hi")
    assert live[0] == 502
    ((exchange),) = read_exchanges(path)
    assert exchange.response.status == 0
    if status > 200:
        assert f"status {status}" in json.loads(live[2])["error"]["message"]
    with replaying(path) as (url, _):
        assert Client(url).chat("hi")[0] == 502


@pytest.mark.parametrize(
    "target", ["/v1/../../etc", '/v1/{}"<>^|`\\x', '/v1/x?a="b"&c={}', "//x//y", "/a/./b", "/%2e%2e/%zz", "/x?a=?b"]
)
def test_a_path_goes_on_as_it_came(target: str, tmp_path: Path) -> None:
    """Nothing is resolved, encoded or put in order on the way."""
    with ModelServer() as server, recording(server.url, tmp_path / "x.trace.jsonl") as url:
        server.enqueue(answer(b"{}"))
        assert Client(url).ask("GET", target)[0] == 200
        assert server.requests[0].path == target


def test_what_cannot_be_handed_on_is_refused(tmp_path: Path) -> None:
    """A path with a fragment, and a WebSocket among other upgrades, get an error that says so; the upstream hears of neither."""
    with ModelServer() as server, recording(server.url, tmp_path / "x.trace.jsonl") as url:
        assert Client(url).ask("GET", "/v1/models#f")[0] == 400
        upgrade = [("connection", "upgrade"), ("upgrade", "h2c, WebSocket")]
        assert Client(url).ask("GET", "/v1/realtime", headers=upgrade)[0] == 501
        assert server.requests == []


def test_a_defect_of_ours_is_told_kept_and_ends_the_recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client gets an error, the call is on record as unanswered, and whoever serves has the defect to raise."""
    path = tmp_path / "x.trace.jsonl"
    made: list[module.RecordApp] = []

    def broken(*_: object) -> None:
        raise RuntimeError("nobody reckoned with this")

    def remembered(*arguments: object) -> module.RecordApp:
        made.append(module.RecordApp(*arguments))  # type: ignore[arg-type]
        return made[0]

    monkeypatch.setattr(Upstream, "send", broken)
    monkeypatch.setattr("proxies.record_app", remembered)
    with ModelServer() as server, recording(server.url, path) as url:
        status, _, body = Client(url).chat("hi")
    assert (status, "nobody reckoned" in json.loads(body)["error"]["message"]) == (500, True)
    ((exchange),) = read_exchanges(path)
    assert (exchange.response.status, "nobody reckoned" in exchange.response.error) == (0, True)
    with pytest.raises(RuntimeError, match="nobody reckoned"):
        made[0].raise_problem()


def test_headers_do_not_say_which_connection_it_is(tmp_path: Path) -> None:
    """Two connections are two lanes, though a header claims that they come from one client."""
    path = tmp_path / "x.trace.jsonl"
    forwarded = [*TYPED, ("x-forwarded-for", "10.0.0.1"), ("x-forwarded-proto", "https")]
    with ModelServer() as server, recording(server.url, path) as url:
        for client in (Client(url), Client(url)):
            client.ask("POST", CHAT, b'{"messages":[{"role":"user","content":"x"}]}', forwarded)
    assert len({exchange.lane for exchange in read_exchanges(path)}) == 2


def test_a_client_that_closes_half_of_its_connection_has_left(tmp_path: Path) -> None:
    """On the wire it looks like one that is gone: the call is on record as one that nobody waited for."""
    path = tmp_path / "x.trace.jsonl"
    with ModelServer() as server:
        server.enqueue([Hang()])
        with recording(server.url, path) as url:
            parts = urlsplit(url)
            with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=30) as connection:
                connection.sendall(b"POST /v1/x HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}")
                deadline = time.monotonic() + 10
                while not server.requests and time.monotonic() < deadline:
                    time.sleep(0.01)
                connection.shutdown(socket.SHUT_WR)
                assert connection.recv(99) == b""
            deadline = time.monotonic() + 10
            while not server.left and time.monotonic() < deadline:
                time.sleep(0.01)
            assert server.left == 1
    ((exchange),) = read_exchanges(path)
    assert (exchange.response.error, exchange.response.complete) == (CLIENT_LEFT, False)


def test_an_answer_too_long_to_be_kept_is_no_answer_of_a_replay(tmp_path: Path) -> None:
    """The client has all of it; the recording says why it has not, and a replay misses it instead of giving a part."""
    path = tmp_path / "x.trace.jsonl"
    long = b"y" * (RESPONSE_BYTES_MAX + 1)
    with ModelServer() as server:
        server.enqueue(answer(long))
        with recording(server.url, path) as url:
            assert Client(url).chat("hi")[2] == long
    ((exchange),) = read_exchanges(path)
    assert exchange.response.error.startswith("longer than")
    book = Book([exchange])
    with pytest.raises(CassetteMiss, match="longer than"):
        book.claim(exchange.request)
    assert (book.receipt().verdict, book.receipt().unused) == ("missed", 0)


@pytest.mark.parametrize(
    "url",
    [
        "http://x:99999/",
        "http://x:0/",
        "http://exa mple/",
        "http://../",
        "https://x/v1?api-version=1",
        "http://x/v1?",
        "http://x/#f",
    ],
)
def test_an_upstream_that_is_none_is_refused_at_the_start(url: str) -> None:
    """A host or port that cannot be, and a query that would be lost, each with a way out."""
    with pytest.raises(UsageError) as caught:
        Upstream(url)
    assert caught.value.hint


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_the_proxy_knows_itself(host: str) -> None:
    """The address at which it listens leads to it, by name and by number; another port or address does not."""
    with listen(host) as listener, socket.socket() as other:
        port = listener.getsockname()[1]
        other.bind(("127.0.0.1", 0))
        assert all(leads_to(listener, name, port) for name in ("127.0.0.1", "localhost", "0.0.0.0"))
        assert not leads_to(listener, "127.0.0.1", other.getsockname()[1])
        assert not leads_to(listener, "127.0.0.1", None)
        assert leads_to(listener, "127.0.0.2", port) is (host == "0.0.0.0")
        assert not leads_to(listener, "192.0.2.1", port)
