"""What a replay through the proxy gives back besides good answers: silence, failures, and words about misses."""

from __future__ import annotations

import json
import time
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from frameengine.exchanges.book import Book, read_exchanges
from frameengine.exchanges.exchange import CLIENT_LEFT
from frameengine_cli.agents.routes import Routed
from frameengine_cli.look import Look
from frameengine_cli.proxying import replay as replay_module
from frameengine_cli.proxying.replay import ReplayApp
from frameengine_cli.proxying.running import problems_of
from frameengine_cli.proxying.server import background, listen, url_of
from frameengine_cli.screens.exchanges import replayed
from model_scripts import Hang, Head, Script, Send, answer
from model_server import ModelServer
from proxies import CHAT, TYPED, Client, close_clients, recording, replaying

HUNG: list[Script] = [
    [Hang()],
    [Head(headers=(("content-type", "text/event-stream"),), framing="chunked"), Send(b"data: 1\n\n"), Hang()],
]


def codes(book: Book) -> list[str]:
    """Return the codes of what is wrong with a replay of which nothing odd is allowed."""
    return [problem.code for problem in problems_of(book, approximate=False, ambiguous=False, unused=False)]


def leaves(url: str, seconds: float) -> tuple[bytes, bool]:
    """Ask, and leave after a while; return what came, and whether the server was silent until then."""
    connection = HTTPConnection(urlsplit(url).netloc, timeout=seconds)
    got = b""
    try:
        connection.request("POST", CHAT, b"{}", dict(TYPED))
        response = connection.getresponse()
        while piece := response.read1(99):
            got += piece
    except TimeoutError:
        return got, True
    except (HTTPException, OSError):
        return got, False
    finally:
        connection.close()
    return got, False


@pytest.mark.parametrize("script", HUNG, ids=["nothing came", "it began"])
def test_a_client_that_left_finds_the_same_silence(script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A timeout comes again; a client that waits for longer is cut off, and the receipt is red."""
    path = tmp_path / "x.trace.jsonl"
    with ModelServer() as server:
        server.enqueue(script)
        with recording(server.url, path) as url:
            live = leaves(url, 0.4)
            deadline = time.monotonic() + 20
            while f'"{CLIENT_LEFT}"' not in path.read_text() and time.monotonic() < deadline:
                time.sleep(0.02)
    assert live[1]
    (exchange,) = read_exchanges(path)
    assert (exchange.response.error, exchange.response.complete) == (CLIENT_LEFT, False)
    with replaying(path) as (url, book):
        assert leaves(url, 0.4) == live
    assert (book.receipt().verdict, book.receipt().outwaited) == ("same", 0)
    monkeypatch.setattr(replay_module, "PATIENCE", 0.1)
    with replaying(path) as (url, book):
        got, silent = leaves(url, 30)
    assert not silent
    assert got == live[0] or b"the client left here" in got
    assert (book.receipt().verdict, book.receipt().exit_code, book.receipt().outwaited) == ("outwaited", 4, 1)
    assert codes(book) == ["determinism.diverged"]


def test_an_upstream_that_does_not_answer_fails_in_the_same_words(tmp_path: Path) -> None:
    """An agent that shows the error to its model asks the same again."""
    path = tmp_path / "x.trace.jsonl"
    with ModelServer() as server:
        gone = server.url
    with recording(gone, path) as url:
        live = Client(url).chat("x")
    with replaying(path) as (url, _):
        again = Client(url).chat("x")
    close_clients()
    assert live[0] == 502
    assert (again[0], again[2]) == (live[0], live[2])


def test_headers_beyond_ascii_come_back(tmp_path: Path) -> None:
    """A kept header of an answer may hold any bytes."""
    path = tmp_path / "x.trace.jsonl"
    value = "größe".encode().decode("latin-1")
    with ModelServer() as server:
        server.enqueue(answer("{}", headers=(("x-request-id", value),)))
        with recording(server.url, path) as url:
            live = Client(url).chat("x")
    with replaying(path) as (url, _):
        again = Client(url).chat("x")
    close_clients()
    assert again[1]["x-request-id"] == live[1]["x-request-id"] == value


def test_a_miss_says_by_which_route_it_came(tmp_path: Path) -> None:
    """Where one proxy stands for several servers, equal paths of two of them are told apart."""
    path = tmp_path / "x.trace.jsonl"
    with ModelServer() as server, recording(server.url, path) as url:
        Client(url).chat("x")
    misses: list[Any] = []
    app = Routed(["groq"], lambda _: ReplayApp(Book.read(path), missed=misses.append))
    with listen() as listener, background(app, [listener]):
        status, _, body = Client(url_of(listener)).ask("POST", f"/groq{CHAT}", b"{}", TYPED)
    close_clients()
    assert status == 404
    assert "frameengine: groq: POST /v1/chat/completions: no recorded" in json.loads(body)["error"]["message"]
    assert [miss.fields["route"] for miss in misses] == ["groq"]


def test_a_defect_of_ours_ends_the_replay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that counts as given and was not is raised by whoever serves, whatever the receipt says."""
    path = tmp_path / "x.trace.jsonl"
    with ModelServer() as server, recording(server.url, path) as url:
        Client(url).chat("x")

    async def broken(*_: object) -> None:
        raise RuntimeError("nobody reckoned with this")

    monkeypatch.setattr(replay_module, "answer", broken)
    app = ReplayApp(Book.read(path))
    with listen() as listener, background(app, [listener]):
        assert Client(url_of(listener)).chat("x")[0] == 500
    close_clients()
    with pytest.raises(RuntimeError, match="nobody reckoned"):
        app.raise_problem()


def test_a_miss_is_the_only_problem_that_is_told(tmp_path: Path) -> None:
    """What was recorded in the place of a request that missed is left over for that reason alone: no problem of its own."""
    path = tmp_path / "x.trace.jsonl"
    with ModelServer() as server, recording(server.url, path) as url:
        client = Client(url)
        client.chat("one")
        client.chat("two")
    with replaying(path) as (url, book):
        client = Client(url)
        client.chat("one")
        assert codes(book) == ["cassette.unused"]
        client.chat("three")
        assert codes(book) == ["cassette.miss"]
        assert book.receipt().unused == 1
    close_clients()


def test_a_receipt_does_not_say_more_than_is_known(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """That nothing was sent anywhere is said of an agent that was shut in; of any other, that its egress was not checked."""
    from rich.console import Console

    path = tmp_path / "x.trace.jsonl"
    with ModelServer() as server, recording(server.url, path) as url:
        Client(url).chat("x")
    close_clients()
    for shut, said in ((True, "nothing was sent anywhere"), (False, "the proxy sent nothing (egress was not checked)")):
        Console(width=120).print(replayed(Book.read(path).receipt(), path, Look(boxes=False), good=True, shut=shut))
        assert said in capsys.readouterr().out
