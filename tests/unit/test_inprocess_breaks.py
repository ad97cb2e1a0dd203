"""Recording in the process where things go wrong: streams that break off, forks, and nothing worth keeping."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import httpx2
import pytest

import frameengine
from agent_models import chat, echoing
from frameengine.errors import NothingCompared, UsageError
from frameengine.exchanges.book import read_exchanges
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
