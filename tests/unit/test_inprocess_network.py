"""Nothing leaves a replay: every other way to the network is refused where it is tried, and fails the block."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import urllib.request
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import httpx2
import pytest

import frameengine
from agent_models import chat, echoing
from frameengine.errors import LiveCallRefused, UsageError
from frameengine.inprocess import UnrecordedConnection
from model_server import ModelServer

URL = "http://model.test/v1/chat/completions"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Record one call."""
    path = tmp_path / "run.trace.jsonl"
    with frameengine.recording(path) as run, httpx2.Client(transport=run.transport(httpx2.MockTransport(echoing))) as client:
        client.post(URL, json=chat("x"))
    return path


@pytest.fixture
def server() -> Iterator[ModelServer]:
    """Serve something that must not be reached."""
    with ModelServer() as serving:
        yield serving


def by_urllib(server: ModelServer) -> None:
    """Ask by the standard library."""
    urllib.request.urlopen(f"{server.url}/models").close()


def by_socket(server: ModelServer) -> None:
    """Open a socket."""
    socket.create_connection(("127.0.0.1", server.port)).close()


def by_loop(server: ModelServer) -> None:
    """Open a connection of an event loop, as aiohttp does."""

    async def go() -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.close()
        await writer.wait_closed()

    asyncio.run(go())


def by_datagram(server: ModelServer) -> None:
    """Send a datagram."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"x", ("127.0.0.1", server.port))


def by_name(server: ModelServer) -> None:
    """Look a name up."""
    socket.getaddrinfo("model.test", 443)


WAYS = [by_urllib, by_socket, by_loop, by_datagram, by_name]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_every_other_way_out_is_refused(way: Callable[[ModelServer], None], file: Path, server: ModelServer) -> None:
    """A socket, whoever opens it, raises in place with host, port, file and line; the server sees nothing; the block fails."""
    block = frameengine.replaying(file)

    def agent() -> None:
        httpx2.post(URL, json=chat("x"))
        way(server)

    with pytest.raises(LiveCallRefused) as caught, block:
        agent()
    assert caught.value.exit_code == 4
    address = "model.test:443" if way is by_name else f"127.0.0.1:{server.port}"
    assert caught.value.fields["address"] == address
    where, line = caught.value.fields["where"].rsplit(":", 1)
    assert where.endswith("test_inprocess_network.py")
    assert int(line) in range(way.__code__.co_firstlineno, way.__code__.co_firstlineno + 9)
    assert (server.requests, server.connections) == ([], 0)


def by_reverse_lookup(_: ModelServer) -> None:
    """Ask for the name of an address."""
    socket.getnameinfo(("192.0.2.1", 443), 0)


def by_reverse_lookup_of_a_host(_: ModelServer) -> None:
    """Ask for the name of an address in the older way."""
    socket.gethostbyaddr("192.0.2.1")


@pytest.mark.parametrize("way", [by_reverse_lookup, by_reverse_lookup_of_a_host], ids=lambda way: way.__name__)
def test_names_of_addresses_are_not_asked_for(way: Callable[[ModelServer], None], file: Path, server: ModelServer) -> None:
    """A lookup of a number goes to a name server like any other."""
    with pytest.raises(LiveCallRefused, match=r"192\.0\.2\.1"), frameengine.replaying(file):
        way(server)


@pytest.fixture
def opened(server: ModelServer) -> Iterator[HTTPConnection]:
    """Use a connection, which stays open."""
    connection = HTTPConnection("127.0.0.1", server.port)
    connection.request("GET", "/v1/models")
    connection.getresponse().read()
    yield connection
    connection.close()


def test_a_connection_that_was_open_before_is_refused_in_a_replay(
    file: Path, server: ModelServer, opened: HTTPConnection
) -> None:
    """It is refused where it is written to, with address, file and line, and the server sees nothing of it."""
    block = frameengine.replaying(file)

    def agent() -> None:
        httpx2.post(URL, json=chat("x"))
        opened.request("GET", "/v1/models")

    with pytest.raises(LiveCallRefused) as caught, block:
        agent()
    assert caught.value.fields["address"] == f"127.0.0.1:{server.port}"
    assert "test_inprocess_network.py" in caught.value.fields["where"]
    assert len(server.requests) == 1
    assert "sendall" not in vars(socket.socket)


def test_a_connection_that_was_open_before_is_told_of_by_a_recording(
    file: Path, server: ModelServer, opened: HTTPConnection
) -> None:
    """Once, however often it is used; those of recorded clients are not told of."""
    with httpx2.Client() as client:
        client.get(f"{server.url}/models")

        def agent() -> None:
            client.get(f"{server.url}/models")
            for _ in range(2):
                opened.request("GET", "/v1/models")
                opened.getresponse().read()

        block = frameengine.recording(file, replace=True)
        with pytest.warns(UnrecordedConnection, match="not recorded: 1, "), block:
            agent()
    assert [touch.address for touch in block.receipt.past] == [f"127.0.0.1:{server.port}"]
    assert block.receipt.recorded == 1


def test_what_c_code_sends_over_an_open_connection_fails_the_block(
    file: Path, server: ModelServer, opened: HTTPConnection
) -> None:
    """Nothing of Python sees it; the system counts the bytes."""
    block = frameengine.replaying(file)

    def agent() -> None:
        httpx2.post(URL, json=chat("x"))
        os.write(opened.sock.fileno(), b"GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n")

    with pytest.raises(LiveCallRefused, match=r"36 bytes went to 127\.0\.0\.1:\d+ during the replay"), block:
        agent()
    assert len(server.requests) <= 2


def test_open_connections_that_are_allowed_or_taken_by_a_server_of_this_process_are_let_be(
    file: Path, server: ModelServer, opened: HTTPConnection
) -> None:
    """An allowed address stays reachable over them; what a server answers is no call."""
    with frameengine.replaying(file, allow=(f"127.0.0.1:{server.port}",)) as replay:
        httpx2.post(URL, json=chat("x"))
        opened.request("GET", "/v1/models")
        assert opened.getresponse().read()
    assert replay.receipt.past == ()


def test_a_refusal_that_is_swallowed_fails_the_block(file: Path, server: ModelServer) -> None:
    """A thread that reaches out and keeps quiet about its failure still fails the block at its end."""
    block = frameengine.replaying(file)

    def telemetry() -> None:
        try:
            by_urllib(server)
        except LiveCallRefused:
            return

    def agent() -> None:
        httpx2.post(URL, json=chat("x"))
        worker = threading.Thread(target=telemetry)
        worker.start()
        worker.join()

    with pytest.raises(LiveCallRefused), block:
        agent()
    assert len(block.receipt.past) == 1


def test_what_is_allowed_is_let_through_and_not_recorded(file: Path, server: ModelServer) -> None:
    """An address in ``allow`` is reached by sockets and clients alike, in the recording and the replay, and is in neither."""
    allow = (f"localhost:{server.port}", f"127.0.0.1:{server.port}")

    def agent(run: Any, inner: httpx2.BaseTransport | None = None) -> None:
        by_socket(server)
        assert httpx2.get(f"{server.url}/models").status_code == 200
        with httpx2.Client(transport=run.transport(inner)) as client:
            client.post(URL, json=chat("x"))

    with frameengine.recording(file, replace=True, allow=allow) as run:
        agent(run, httpx2.MockTransport(echoing))
    assert run.receipt.recorded == 1
    with frameengine.replaying(file, allow=allow) as replay:
        agent(replay)
    assert replay.receipt.replayed == 1
    assert len(server.requests) == 2
    with pytest.raises(UsageError, match="no address"):
        frameengine.replaying(file, allow=("localhost",))


def test_a_recording_tells_of_what_it_did_not_see(file: Path, server: ModelServer) -> None:
    """A connection past the recording is warned of at the end, with its place; those of recorded clients are not."""

    def agent() -> None:
        httpx2.get(f"{server.url}/models")
        by_socket(server)

    block = frameengine.recording(file, replace=True)
    with pytest.warns(UnrecordedConnection, match=r"not recorded: 1, .*test_inprocess_network\.py:\d+") as caught, block:
        agent()
    assert [warning.filename for warning in caught] == [__file__]
    assert [touch.address for touch in block.receipt.past] == [f"127.0.0.1:{server.port}"]


def test_local_sockets_of_other_kinds_are_let_be(file: Path, tmp_path: Path) -> None:
    """Pairs of sockets and sockets in the file system are no network."""
    block = frameengine.replaying(file)
    with block:
        httpx2.post(URL, json=chat("x"))
        one, other = socket.socketpair()
        one.sendall(b"x")
        assert other.recv(1) == b"x"
        one.close()
        other.close()
        with socket.socket(socket.AF_UNIX) as client, pytest.raises(FileNotFoundError):
            client.connect(str(tmp_path / "absent"))
    assert block.receipt.past == ()
