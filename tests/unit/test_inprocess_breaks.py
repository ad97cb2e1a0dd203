"""Recording in the process where things go wrong: streams that break off, forks, and nothing worth keeping."""

from __future__ import annotations

import asyncio
import os
import random
import socket
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest

import frameengine
from agent_models import Pieces, chat, echoing, streaming
from frameengine.errors import CassetteMiss, LiveCallRefused, NothingCompared, StorageError, UsageError
from frameengine.exchanges.book import read_exchanges
from frameengine.exchanges.exchange import CLIENT_LEFT
from frameengine.exchanges.recorder import ExchangeRecorder
from frameengine.inprocess import UnkeptAnswer
from frameengine.trace.verify import verify
from model_scripts import Cut, Head, Pause, Reset, Send
from model_server import ModelServer

URL = "http://model.test/v1/chat/completions"
SSE = (("content-type", "text/event-stream"),)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return where a recording goes."""
    return tmp_path / "run.trace.jsonl"


def client_of(run: Any) -> httpx2.Client:
    """Return a client whose model repeats what it is told."""
    return httpx2.Client(transport=run.transport(httpx2.MockTransport(echoing)))


def record(file: Path, text: str) -> None:
    """Record one question."""
    with frameengine.recording(file) as run, client_of(run) as client:
        client.post(URL, json=chat(text))


@pytest.mark.parametrize("end", [Cut(), Reset()])
def test_a_stream_that_breaks_off_is_incomplete_whatever_it_said(end: Cut | Reset, file: Path) -> None:
    """An event that looks like the last one does not make whole what the connection broke; it breaks again in a replay."""
    parts = [b'data: {"args":{"done":true}}\n\n', b"data: [DONE]\n\n"]

    def agent(url: str) -> tuple[bytes, str]:
        got = b""
        with httpx2.stream("POST", f"{url}/chat/completions", json=chat("x")) as reply:
            try:
                for piece in reply.iter_raw():
                    got += piece
            except httpx2.TransportError as error:
                return got, type(error).__name__
        return got, ""

    with ModelServer() as server:
        server.enqueue([Head(headers=SSE, framing="chunked"), *[Send(part) for part in parts], Pause(0.1), end])
        with frameengine.recording(file):
            live = agent(server.url)
    assert live[0] == b"".join(parts)
    assert live[1]
    assert [exchange.response.complete for exchange in read_exchanges(file)] == [False]
    with frameengine.replaying(file):
        assert agent(server.url) == live


def test_a_fork_cannot_write_into_the_recording(file: Path) -> None:
    """The child is told before anything is sent, and what the parent records is whole."""
    with frameengine.recording(file) as run, client_of(run) as client:
        client.post(URL, json=chat("one"))
        child = os.fork()
        if child == 0:
            try:
                client.post(URL, json=chat("of the child"))
            except UsageError as error:
                os._exit(7 if "fork" in error.message and error.hint else 1)
            finally:
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        client.post(URL, json=chat("two"))
    assert verify(file).counts.calls == 2
    asked = [exchange.request.body["json"]["messages"][0]["content"] for exchange in read_exchanges(file)]
    assert asked == ["one", "two"]


@pytest.mark.parametrize("crash", [False, True])
def test_a_block_without_a_call_costs_no_good_recording(crash: bool, file: Path) -> None:
    """What was to be replaced is as it was, and where nothing was there nothing is left."""
    record(file, "good")
    before = file.read_bytes()

    def agent() -> None:
        if crash:
            raise RuntimeError("it fails before it asks anything")

    for path in (file, file.with_name("new.trace.jsonl")):
        with pytest.raises(RuntimeError if crash else NothingCompared), frameengine.recording(path, replace=True):
            agent()
    assert file.read_bytes() == before
    assert sorted(path.name for path in file.parent.iterdir()) == [file.name]


def test_a_fork_gets_no_answers_of_the_replay(file: Path) -> None:
    """Else both would get the same answer, and nobody would count the one of the child."""
    record(file, "one")
    with frameengine.replaying(file) as replay:
        child = os.fork()
        if child == 0:
            try:
                httpx2.post(URL, json=chat("one"))
            except UsageError as error:
                os._exit(7 if "fork" in error.message and error.hint else 1)
            finally:
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        assert httpx2.post(URL, json=chat("one")).status_code == 200
    assert replay.receipt.replayed == 1


def test_many_draws_without_a_call_cost_no_good_recording(file: Path) -> None:
    """However much the agent draws: what was to be replaced is as it was until there is a call."""
    record(file, "good")
    before = file.read_bytes()

    def agent() -> None:
        for _ in range(2500):
            random.random()

    with pytest.raises(NothingCompared), frameengine.recording(file, replace=True, control=("random",)):
        agent()
    assert file.read_bytes() == before


def test_many_draws_before_a_call_come_back(file: Path) -> None:
    """They are kept in several exchanges, in their order."""

    def agent(run: Any) -> list[float]:
        drawn = [random.random() for _ in range(2500)]
        with client_of(run) as client:
            client.post(URL, json=chat("x"))
        return drawn

    with frameengine.recording(file, control=("random",)) as run:
        live = agent(run)
    with frameengine.replaying(file) as replay:
        assert agent(replay) == live


def task(block: Any, inner: Callable[[Any], Any]) -> str:
    """Leave a task with a call under way when the block ends; return how the task ends."""

    async def agent() -> str:
        async with block as run:
            hanging = httpx2.AsyncClient(transport=run.async_transport(httpx2.MockTransport(inner)))
            left = asyncio.ensure_future(hanging.post(URL, json=chat("left")))
            await asyncio.sleep(0.01)
            async with httpx2.AsyncClient(transport=run.async_transport(httpx2.MockTransport(echoing))) as client:
                await client.post(URL, json=chat("done"))
        left.cancel()
        (ended,) = await asyncio.gather(left, return_exceptions=True)
        return type(ended).__name__

    return asyncio.run(agent())


def test_a_call_that_is_under_way_when_the_block_ends_is_recorded_as_left(file: Path) -> None:
    """It is in the file, without an answer; a replay of the same agent is the same, and keeps silent there."""

    async def hangs(_: Any) -> httpx2.Response:
        await asyncio.sleep(3600)
        raise AssertionError

    run = frameengine.recording(file)
    assert task(run, hangs) == "CancelledError"
    assert run.receipt.recorded == 2
    errors = {
        exchange.request.body["json"]["messages"][0]["content"]: exchange.response.error for exchange in read_exchanges(file)
    }
    assert errors == {"left": CLIENT_LEFT, "done": ""}
    replay = frameengine.replaying(file)
    assert task(replay, hangs) == "CancelledError"
    assert (replay.receipt.replayed, replay.receipt.problems) == (2, ())


def test_a_thread_whose_call_outlives_the_block_gets_its_answer(file: Path) -> None:
    """The client of a recording notices nothing; what it hears after the block's end is no part of the recording."""
    sent, ended = threading.Event(), threading.Event()

    def slow(_: Any) -> httpx2.Response:
        sent.set()
        assert ended.wait(10)
        return httpx2.Response(200, json={"said": "late"})

    said: list[str] = []
    with frameengine.recording(file) as run, client_of(run) as client:
        hanging = httpx2.Client(transport=run.transport(httpx2.MockTransport(slow)))
        worker = threading.Thread(target=lambda: said.append(hanging.post(URL, json=chat("left")).json()["said"]))
        worker.start()
        client.post(URL, json=chat("done"))
        assert sent.wait(10)
    ended.set()
    worker.join()
    assert said == ["late"]
    assert verify(file).counts.calls == run.receipt.recorded == 2
    assert hanging.post(URL, json=chat("after")).json()["said"] == "late"
    assert run.receipt.recorded == 2


class Stalling(httpx2.AsyncByteStream):
    """A body that stops coming."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"data: {}\n\n"
        await asyncio.sleep(3600)


def test_an_agent_that_gives_up_on_a_stream_gives_up_on_it_again(file: Path) -> None:
    """A timeout in the middle of an answer is no divergence: nothing more comes in the replay either."""
    headers = {"content-type": "text/event-stream"}
    model = httpx2.MockTransport(lambda _: httpx2.Response(200, headers=headers, stream=Stalling()))

    async def agent(block: Any) -> list[bytes]:
        got = []

        async def listen(client: httpx2.AsyncClient) -> None:
            async with client.stream("POST", URL, json=chat("x")) as reply:
                async for piece in reply.aiter_raw():
                    got.append(piece)  # noqa: PERF401 - what came before the time was over counts

        async with block as run, httpx2.AsyncClient(transport=run.async_transport(model)) as client:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(listen(client), 0.05)
        return got

    live = asyncio.run(agent(frameengine.recording(file)))
    assert live == [b"data: {}\n\n"]
    assert asyncio.run(agent(frameengine.replaying(file))) == live


def test_a_stream_that_is_never_closed_is_recorded_as_far_as_it_was_read(file: Path) -> None:
    """The block's end is its end; who reads on has the rest, which nobody records."""
    parts = [b"data: 1\n\n", b"data: 2\n\n", b"data: [DONE]\n\n"]
    with frameengine.recording(file) as run:
        client = httpx2.Client(transport=run.transport(streaming(*parts)))
        reply = client.send(client.build_request("POST", URL, json=chat("x")), stream=True)
        pieces = reply.iter_raw()
        got = [next(pieces)]
    assert [*got, *pieces] == parts
    (kept,) = read_exchanges(file)
    assert (kept.response.body, kept.response.complete, kept.response.error) == (parts[0], False, CLIENT_LEFT)


def test_what_a_recorded_client_left_behind_is_refused_in_a_replay(file: Path) -> None:
    """A task that was started inside a recorded call has its context for ever; the next block sees what it does all the same."""

    async def agent(server: socket.socket) -> list[str]:
        go, tasks, seen = asyncio.Event(), [], []

        async def background() -> None:
            await go.wait()
            try:
                socket.create_connection(server.getsockname()).close()
            except LiveCallRefused:
                seen.append("refused")

        async def model(_: Any) -> httpx2.Response:
            tasks.append(asyncio.create_task(background()))
            return httpx2.Response(200, json={})

        async with frameengine.recording(file) as run:
            await httpx2.AsyncClient(transport=run.async_transport(httpx2.MockTransport(model))).post(URL, json=chat("x"))
        replay = frameengine.replaying(file)
        with suppress(LiveCallRefused):
            async with replay, httpx2.AsyncClient() as client:
                await client.post(URL, json=chat("x"))
                go.set()
                await tasks[0]
        assert len(replay.receipt.past) == 1
        return seen

    with socket.create_server(("127.0.0.1", 0)) as server:
        assert asyncio.run(agent(server)) == ["refused"]


def test_what_cannot_be_written_is_no_call_that_was_recorded(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk fails the call and the block, once, and the receipt counts what is in the file."""

    def full(*_: Any) -> None:
        raise StorageError("the disk is full", hint="make room")

    run = frameengine.recording(file)

    def agent() -> None:
        with client_of(run) as client:
            client.post(URL, json=chat("one"))
            monkeypatch.setattr(ExchangeRecorder, "_keep", full)
            for _ in range(2):
                with pytest.raises(StorageError):
                    client.post(URL, json=chat("two"))

    with pytest.raises(StorageError), run:
        agent()
    assert run.receipt.recorded == 1
    assert len(run.receipt.problems) == 1


def test_an_answer_that_is_not_kept_is_told(file: Path) -> None:
    """A body in an unknown packing is the agent's and not the recording's: the block warns, and a replay misses there."""
    headers = {"content-encoding": "br"}
    model = httpx2.MockTransport(lambda _: httpx2.Response(200, headers=headers, stream=Pieces([b"\xff\x00"])))

    def agent(run: Any) -> int:
        with httpx2.Client(transport=run.transport(model)) as client, client.stream("POST", URL, json=chat("x")) as reply:
            return len(b"".join(reply.iter_raw()))

    run = frameengine.recording(file)
    with pytest.warns(UnkeptAnswer, match=r"not in it: 1, the first to POST http://model\.test.*packed") as caught, run:
        assert agent(run) == 2
    assert [warning.filename for warning in caught] == [__file__]
    with pytest.raises(CassetteMiss, match="not in the recording") as missed, frameengine.replaying(file) as replay:
        agent(replay)
    assert "let the agent ask for less" in missed.value.hint
