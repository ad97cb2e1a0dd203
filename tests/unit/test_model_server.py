"""The model server of the fixtures: it sends what a script says, to the byte, and misbehaves only as it is told."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse, IncompleteRead, RemoteDisconnected
from pathlib import Path
from typing import Any

import pytest

from model_scripts import (
    DONE,
    Cut,
    Hang,
    Head,
    Pause,
    Repeat,
    Request,
    Reset,
    Script,
    Send,
    answer,
    completion,
    error,
    event,
    sse,
    stream,
    tool_call,
)
from model_server import ModelServer

ROOT = Path(__file__).parents[2]


@contextmanager
def served(*scripts: Script) -> Iterator[tuple[ModelServer, HTTPConnection]]:
    """Start a server with *scripts* and a client of it."""
    with ModelServer() as server:
        server.enqueue(*scripts)
        client = HTTPConnection(server.host, server.port, timeout=5)
        try:
            yield server, client
        finally:
            client.close()


def ask(client: HTTPConnection, body: bytes | Mapping[str, Any] = b"{}", path: str = "/v1/chat/completions") -> HTTPResponse:
    """Post one request and return the head of its answer."""
    client.request("POST", path, body if isinstance(body, bytes) else json.dumps(body), {"Content-Type": "application/json"})
    return client.getresponse()


def raw(server: ModelServer, request: bytes) -> bytes:
    """Return every byte that comes back for *request* on a connection of its own."""
    with socket.create_connection((server.host, server.port), timeout=5) as link:
        link.sendall(request)
        received = b""
        while piece := link.recv(1 << 16):
            received += piece
    return received


PLAIN = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"


def test_requests_are_kept_with_the_number_of_their_connection() -> None:
    """Two requests on one connection have its number, with their bytes and headers as they came."""
    with served(completion("a"), completion("b")) as (server, client):
        ask(client, b'{"n":1}').read()
        ask(client, b'{"n":2}').read()
        other = HTTPConnection(server.host, server.port, timeout=5)
        ask(other, b'{"n":3}', "/v1/elsewhere").read()
        other.close()
    assert [(request.connection, request.body) for request in server.requests] == [
        (1, b'{"n":1}'),
        (1, b'{"n":2}'),
        (2, b'{"n":3}'),
    ]
    assert server.requests[2].method == "POST"
    assert server.requests[2].path == "/v1/elsewhere"
    assert server.requests[0].header("content-type") == "application/json"
    assert server.requests[0].header("x-none") == ""


def test_a_completion_is_an_answer_with_its_length() -> None:
    """A whole answer is one JSON body with text, tool calls, finish reason and usage."""
    calls = [tool_call("look", {"at": 1})]
    with served(completion("hé", tool_calls=calls, usage={"prompt_tokens": 7})) as (_, client):
        response = ask(client)
        body = response.read()
    told = json.loads(body)
    assert response.status == 200
    assert int(response.headers["content-length"]) == len(body)
    assert told["choices"][0]["message"] == {"role": "assistant", "content": "hé", "tool_calls": calls}
    assert told["choices"][0]["finish_reason"] == "tool_calls"
    assert told["usage"] == {"prompt_tokens": 7}


def test_a_stream_ends_with_its_mark_and_joins_to_what_was_asked() -> None:
    """The events of a streamed answer join to the text and the arguments, and the last one is the end mark."""
    with served(stream("two words", tool_calls=[tool_call("look", {"at": 1})])) as (_, client):
        body = ask(client).read()
    assert body.endswith(DONE)
    chunks = [json.loads(line.removeprefix(b"data: ")) for line in body.split(b"\n\n")[:-2]]
    parts = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    assert "".join(part.get("content", "") for part in parts) == "two words"
    assert "".join(call["function"]["arguments"] for part in parts for call in part.get("tool_calls", ())) == '{"at": 1}'
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["total_tokens"] == 8


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ([Head(framing="chunked"), Send(b"abcd", at=(1, 3))], b"1\r\na\r\n2\r\nbc\r\n1\r\nd\r\n0\r\n\r\n"),
        ([Head(framing="chunked"), Send(b"ab"), Cut()], b"2\r\nab\r\n"),
        ([Head(framing="chunked"), Send(b"5\r\nab", raw=True), Cut()], b"5\r\nab"),
        ([Head(framing="close"), Send(b"ab"), Pause(0), Send(b"cd")], b"abcd"),
        ([Head(length=9), Send(b"ab"), Cut()], b"ab"),
        ([Head(), Repeat(b"ab", 3)], b"ababab"),
    ],
)
def test_a_script_reaches_the_wire_to_the_byte(script: Script, expected: bytes) -> None:
    """What follows the head on the wire is what the steps say in the framing that was asked for."""
    with served(script) as (server, _):
        head, _, body = raw(server, PLAIN).partition(b"\r\n\r\n")
    assert body == expected
    assert head.startswith(b"HTTP/1.1 200 ")


def test_a_head_carries_what_it_is_told() -> None:
    """Status, repeated headers and a wrong length stand in the head as the script has them."""
    script: Script = [Head(418, (("X-A", "1"), ("X-A", "2"), ("content-length", "7")), length=3), Send(b"abc")]
    with served(script) as (server, _):
        head = raw(server, PLAIN).partition(b"\r\n\r\n")[0]
    assert head.split(b"\r\n") == [
        b"HTTP/1.1 418 Scripted",
        b"X-A: 1",
        b"X-A: 2",
        b"content-length: 7",
        b"content-length: 3",
    ]


def test_a_cut_is_a_clean_end_however_large_the_request() -> None:
    """A connection that is cut after a large request ends, and is not reset."""
    with served([Head(framing="chunked"), Send(event({"a": 1})), Cut()]) as (_, client):
        response = ask(client, b"x" * 3_000_000)
        with pytest.raises(IncompleteRead) as cut:
            response.read()
    assert cut.value.partial == event({"a": 1})


def test_a_reset_is_a_reset() -> None:
    """A connection that is reset tells the client so, before and behind the head."""
    with served([Reset()], [Head(framing="chunked"), Send(b"ab"), Pause(0.05), Reset()]) as (_, client):
        with pytest.raises(ConnectionResetError):
            ask(client)
        client.close()
        response = ask(client)
        assert response.read(2) == b"ab"
        with pytest.raises(ConnectionResetError):
            response.read()


def test_a_cut_without_a_head_answers_nothing() -> None:
    """A script that only cuts leaves the client without an answer."""
    with served([Cut()]) as (_, client), pytest.raises(RemoteDisconnected):
        ask(client)


def test_a_server_that_hangs_lets_go_when_the_client_leaves() -> None:
    """A script that never answers ends with its client, and that is counted."""
    with ModelServer() as server:
        server.enqueue([Hang()])
        client = HTTPConnection(server.host, server.port, timeout=0.05)
        with pytest.raises(TimeoutError):
            ask(client)
        assert server.open == 1
        client.close()
        assert server.idle()
    assert server.left == 1


def test_an_endless_answer_ends_with_its_client() -> None:
    """A body without end is sent until nobody reads it."""
    with served([*sse(b": hi\n\n"), Repeat(b"x" * 4096)]) as (server, client):
        assert len(ask(client).read(100_000)) == 100_000
        client.close()
        assert server.idle()
    assert server.left == 1


def test_a_server_ends_although_clients_are_there() -> None:
    """Leaving the server closes connections that a client keeps open or does not read, and its thread ends."""
    with ModelServer() as server:
        server.enqueue([Head(), Repeat(b"x" * 65536, 4000)])
        with socket.create_connection((server.host, server.port)) as unread, socket.create_connection((server.host, server.port)):
            unread.sendall(PLAIN)
            assert unread.recv(10)
            server.close()
            assert server.open == 0
            assert not any(thread.name == "model-server" for thread in threading.enumerate())


def test_requests_in_chunks_are_read_to_their_end() -> None:
    """A body that is sent in chunks is put together, and an expectation is met."""
    request = b"POST /v1/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\nExpect: 100-continue\r\n\r\n"
    with served(completion("a")) as (server, _):
        told = raw(server, request + b"3\r\nabc\r\n2;x=1\r\nde\r\n0\r\nTrailer: 1\r\n\r\n")
    assert told.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 ")
    assert server.requests[0].body == b"abcde"


def test_a_function_answers_when_no_script_waits() -> None:
    """`respond` is asked with the request, and its mistake is an answer that names it."""

    def respond(request: Request) -> Script:
        return answer(request.json()["text"][::-1])

    with served(error(429, "slow down", [("retry-after", "1")])) as (server, client):
        server.respond = respond
        first = ask(client)
        assert first.status == 429
        assert first.headers["retry-after"] == "1"
        assert b"slow down" in first.read()
        assert ask(client, {"text": "abc"}).read() == b"cba"
        broken = ask(client)
        assert broken.status == 500
        assert b"KeyError" in broken.read()


def said(client: HTTPConnection, body: Mapping[str, Any]) -> Any:
    """Return the message of a whole answer."""
    return json.loads(ask(client, body).read())["choices"][0]["message"]


def test_without_scripts_it_is_a_small_model() -> None:
    """It repeats the user, calls the tool it is told to, tells what the tool gave, and knows its one model."""
    tools = [{"type": "function", "function": {"name": "look", "parameters": {}}}]
    with served() as (_, client):
        assert said(client, {"messages": [{"role": "user", "content": "hi"}]})["content"] == "You said: hi"
        wanted = {"messages": [{"role": "user", "content": 'call look {"at": 1}'}], "tools": tools}
        assert said(client, wanted)["tool_calls"][0]["function"] == {"name": "look", "arguments": '{"at": 1}'}
        assert said(client, {"messages": [{"role": "tool", "content": "9"}]})["content"] == "The tool gave: 9"
        assert ask(client, {"messages": []}).read().count(b"no chat request") == 1
        streamed = ask(client, {"stream": True, "messages": [{"role": "user", "content": "hi"}]}).read()
        assert streamed.endswith(DONE)
        assert ask(client, path="/v1/none").status == 404


def test_it_can_be_started_by_hand() -> None:
    """As a program it says its base URL and serves there; a port that is taken is an error."""
    command = [sys.executable, str(ROOT / "fixtures" / "model_server.py"), "--delay", "0", "--port"]
    with subprocess.Popen([*command, "0"], stdout=subprocess.PIPE, text=True) as program:
        try:
            assert program.stdout is not None
            url = program.stdout.readline().strip()
            port = int(url.removesuffix("/v1").rpartition(":")[2])
            client = HTTPConnection("127.0.0.1", port, timeout=5)
            client.request("GET", "/v1/models")
            assert b"echo-1" in client.getresponse().read()
            client.close()
            second = subprocess.run([*command, str(port)], capture_output=True, text=True, check=False, timeout=20)
            assert second.returncode == 1
            assert f"port {port} cannot be served" in second.stdout
        finally:
            program.terminate()
