"""Fourteen places where a secret may pass a proxy, in seven spellings each: none of them reaches a file, a screen or an error."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from canaries import PLACES, SPELLINGS, canary, found, spelled
from model_scripts import Head, Header, Script, Send, answer
from model_server import ModelServer
from proxies import CHAT, TYPED, Client, Process, close_clients

EVENT = 'data: {"choices":[{"index":0,"delta":{"content":%s}}]}\n\n'


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """Close what a test has opened."""
    yield
    close_clients()


def plant(place: str, spelling: str) -> tuple[str, list[Header], dict[str, Any], Script]:
    """Return query, headers and body of a request, and the script of its answer, with a secret in one of them."""
    secret = spelled(place, spelling)
    query, headers, content = "n=1", [*TYPED, ("authorization", "Bearer " + canary("header"))], "hello"
    reply: Script = answer(b'{"ok": true}')
    text = f"see {secret} there"
    if place == "header":
        reply = answer(json.dumps({"error": {"message": f"wrong key {secret}"}}), 401)
    elif place == "query":
        query = f"n=1&key={quote(canary(place), safe='')}"
        content = text
    elif place == "cookie":
        headers.append(("cookie", f"a=1; session={canary(place)}"))
        content = text
    elif place == "webhook":
        headers.append(("x-hub-signature", secret))
    elif place in {"body", "env", "userinfo"}:
        content = text
    elif place == "response":
        reply = answer(json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}]}))
    elif place == "stream":
        pieces = [EVENT % json.dumps(text[start : start + 5]) for start in range(0, len(text), 5)]
        reply = [
            Head(headers=(("content-type", "text/event-stream"),), framing="chunked"),
            *[Send(one.encode()) for one in pieces],
        ]
    elif place == "gzip":
        reply = answer(gzip.compress(json.dumps({"text": text}).encode()), headers=[("content-encoding", "gzip")])
    elif place == "error":
        reply = answer(f"upstream says: {text}", 500, [("content-type", "text/plain")])
    else:
        shapes = {
            "traceback": f'Traceback (most recent call last):\n  File "x.py", line 1\nValueError: {secret}',
            "stdout": f"$ env\nKEY={secret}\n",
            "row": json.dumps([{"id": 1, "note": text}]),
        }
        content = shapes[place]
    return query, headers, {"messages": [{"role": "tool", "content": content}], "place": place, "spelling": spelling}, reply


def ask(url: str, place: str, spelling: str, server: ModelServer | None) -> tuple[int, bytes]:
    """Send the request of a place and a spelling."""
    query, headers, body, reply = plant(place, spelling)
    if server is not None:
        server.enqueue(reply)
    sent: Sequence[Header] = headers if server is not None else TYPED
    status, _, got = Client(url).ask("POST", f"{CHAT}?{query}", json.dumps(body).encode(), sent)
    return status, got


def shown(*arguments: str) -> bytes:
    """Return all that a command prints."""
    done = subprocess.run([sys.executable, "-m", "frameengine_cli", *arguments], capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_no_canary_reaches_anything_that_is_written(tmp_path: Path) -> None:
    """All 98 pass to where they belong, none is in the trace, a screen or a receipt, and the recording answers without keys."""
    path = tmp_path / "x.trace.jsonl"
    known = {
        f"CANARY_{place.upper()}_KEY": canary(place) for place in PLACES if place not in {"header", "query", "cookie", "userinfo"}
    }
    user = f"user:{quote(canary('userinfo'), safe='')}@"
    with ModelServer() as server:
        process = Process("record", "--upstream", server.url.replace("//", f"//{user}"), "-o", str(path), **known)
        for place in PLACES:
            for spelling in SPELLINGS:
                ask(process.url.removesuffix("/v1"), place, spelling, server)
                request = server.requests[-1]
                _, _, body, _ = plant(place, spelling)
                assert json.loads(request.body) == body
                assert request.header("authorization") == "Bearer " + canary("header")
        code, receipt, told = process.end()
    assert (code, receipt["exchanges"]) == (0, 98)
    process = Process("replay", str(path))
    for place in PLACES:
        for spelling in SPELLINGS:
            if place not in {"body", "env", "userinfo", "traceback", "stdout", "row", "query", "cookie"}:
                assert ask(process.url.removesuffix("/v1"), place, spelling, None)[0] in {200, 401, 500}
    missed = Client(process.url).chat("something else")[2]
    _, second, told_again = process.end()
    written = {
        "trace": path.read_bytes(),
        "record": json.dumps(receipt).encode() + told.encode(),
        "replay": json.dumps(second).encode() + told_again.encode() + missed,
        "show": shown("show", str(path)) + shown("show", str(path), "--json") + shown("show", f"{path}@7"),
    }
    hits = {(name, place): found(data, place) for name, data in written.items() for place in PLACES}
    assert {where: spellings for where, spellings in hits.items() if spellings} == {}


def test_the_search_would_find_them(tmp_path: Path) -> None:
    """In a recording without a redactor every canary would be found: a search that finds nothing anywhere proves nothing."""
    for place in PLACES:
        for spelling in SPELLINGS:
            assert found(f"x{spelled(place, spelling)}y".encode(), place), (place, spelling)


@pytest.mark.parametrize("cut", [1, 3, 7])
def test_a_key_that_comes_in_pieces_is_found_by_its_shape(cut: int, tmp_path: Path) -> None:
    """A key that nobody told of, a few letters in each event of a stream, is replaced in its pieces; the client gets it."""
    path, key = tmp_path / "x.trace.jsonl", "sk-proj-Abcdefghijklmnop0123456789"
    text = f"your key is {key}, keep it"
    pieces = [text[start : start + cut] for start in range(0, len(text), cut)]
    events = [(EVENT % json.dumps(piece)).encode() for piece in pieces]
    with ModelServer() as server:
        server.enqueue(
            [Head(headers=(("content-type", "text/event-stream"),), framing="chunked"), *[Send(one) for one in events]]
        )
        process = Process("record", "--upstream", server.url, "-o", str(path))
        assert Client(process.url).chat("hi")[2] == b"".join(events)
        assert process.end()[1]["secrets"] == 1
    process = Process("replay", str(path))
    lines = Client(process.url).chat("hi")[2].decode().split("\n\n")
    process.end()
    told = [json.loads(line.removeprefix("data: "))["choices"][0]["delta"]["content"] for line in lines if line]
    assert [len(piece) for piece in told] == [len(piece) for piece in pieces]
    assert "".join(told) == text.replace(key, "[secret:1" + "*" * (len(key) - 10) + "]")
