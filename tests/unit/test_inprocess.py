"""Recording and replaying an agent in its own process: what its clients see, what is kept, and how a block ends."""

from __future__ import annotations

import asyncio
import gzip
import os
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest

import frameengine
from agent_models import Pieces, chat, content, echoing, streaming
from frameengine.errors import (
    CassetteApproximate,
    CassetteMiss,
    CassetteUnused,
    Diverged,
    FrameEngineError,
    LiveCallRefused,
    NothingCompared,
    TraceError,
    UsageError,
)
from frameengine.exchanges.book import read_exchanges
from frameengine.exchanges.routes import NO_KEY
from frameengine.trace.verify import verify
from model_scripts import Head, Reset, Script, Send, completion
from model_server import ModelServer

URL = "http://model.test/v1/chat/completions"
LIBRARIES = [httpx, httpx2]
PARTS = [b'data: {"n": 1}\n\n', b'data: {"n": 2}\n\n', b"data: [DONE]\n\n"]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return where a recording goes."""
    return tmp_path / "run.trace.jsonl"


@pytest.fixture
def server() -> Iterator[ModelServer]:
    """Serve a small model."""
    with ModelServer() as serving:
        yield serving


def ask(client: Any, text: str, url: str = URL) -> str:
    """Ask a model that repeats what it is told."""
    reply = client.post(url, json=chat(text))
    reply.raise_for_status()
    answer = reply.json()
    said: str = answer["said"] if "said" in answer else answer["choices"][0]["message"]["content"]
    return said


def record(file: Path, *texts: str) -> None:
    """Record some questions to a model that repeats what it is told."""
    with frameengine.recording(file) as run, httpx2.Client(transport=run.transport(httpx2.MockTransport(echoing))) as client:
        for text in texts:
            ask(client, text)


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda module: module.__name__)
def test_every_client_is_held_whenever_it_was_made(library: Any, file: Path, server: ModelServer) -> None:
    """Clients made before and inside the block, sync and async, are recorded, and answered without the server."""
    url = f"{server.url}/chat/completions"

    async def agent(early: Any) -> list[str]:
        async with library.AsyncClient() as client:
            replies = [await client.post(url, json=chat("late")), await early.post(url, json=chat("early"))]
            return [reply.json()["choices"][0]["message"]["content"] for reply in replies]

    async def both(block: Any) -> list[str]:
        async with library.AsyncClient() as early, block:
            return await agent(early)

    def everything(block: Callable[[], Any]) -> list[str]:
        with library.Client() as early, block(), library.Client() as late:
            return [ask(early, "one", url), ask(late, "two", url)]

    live = everything(lambda: frameengine.recording(file))
    again = file.with_name("async.trace.jsonl")
    live_async = asyncio.run(both(frameengine.recording(again)))
    calls = len(server.requests)
    assert calls == 4
    assert everything(lambda: frameengine.replaying(file)) == live
    assert asyncio.run(both(frameengine.replaying(again))) == live_async
    assert len(server.requests) == calls
    assert verify(file).counts.calls == 2


def test_a_key_that_was_set_is_stood_in_for(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that is made inside the block starts without its key; no other variable is set, and it is gone afterwards."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-0123456789abcdef")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    record(file, "a")
    with frameengine.replaying(file) as replay, httpx2.Client(transport=replay.transport()) as client:
        assert os.environ["ANTHROPIC_API_KEY"] == "sk-ant-0123456789abcdef"
        ask(client, "a")
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    with frameengine.replaying(file) as replay, httpx2.Client(transport=replay.transport()) as client:
        assert os.environ["ANTHROPIC_API_KEY"] == NO_KEY
        assert "OPENAI_API_KEY" not in os.environ
        ask(client, "a")
    assert "ANTHROPIC_API_KEY" not in os.environ
    assert "sk-ant" not in file.read_text(encoding="utf-8")


def test_everything_is_put_back(file: Path, server: ModelServer) -> None:
    """After a block, failed or not, transports, tasks, threads, clock and chance are what they were."""

    def held() -> list[Any]:
        transports = [kind for library in LIBRARIES for kind in (library.HTTPTransport, library.AsyncHTTPTransport)]
        bases = [kind for library in LIBRARIES for kind in (library.BaseTransport, library.AsyncBaseTransport)]
        methods = [vars(kind).get(name) for kind in transports for name in ("handle_request", "handle_async_request")]
        hooks = ["__init_subclass__" in vars(kind) for kind in bases]
        starts = [threading.Thread.start, asyncio.base_events.BaseEventLoop.create_task]
        return [*methods, *hooks, *starts, time.time, random.random, vars(datetime)["now"]]

    before = held()
    with frameengine.recording(file, control=("clock", "random")):
        assert held() != before
        httpx.get(server.url)
    assert held() == before
    with pytest.raises(ZeroDivisionError), frameengine.replaying(file):
        1 / 0  # noqa: B018
    assert held() == before


def test_one_block_at_a_time(file: Path) -> None:
    """A block inside another is refused, and the outer one goes on."""
    record(file, "a")
    with frameengine.replaying(file) as replay, httpx2.Client(transport=replay.transport()) as client:
        with pytest.raises(UsageError, match="another recording or replaying block is open"), frameengine.replaying(file):
            pass
        assert ask(client, "a") == "a"
    with frameengine.replaying(file) as replay:
        assert ask(httpx2, "a") == "a"


def test_pieces_are_seen_when_they_come(file: Path) -> None:
    """Each piece of a stream is handed on before the next one is asked for, and the pieces are the same in a replay."""
    order: list[str] = []
    inner = streaming(*PARTS, told=order.append)
    with (
        frameengine.recording(file) as run,
        httpx2.Client(transport=run.transport(inner)) as client,
        client.stream("POST", URL, json=chat("x")) as reply,
    ):
        for number, piece in enumerate(reply.iter_raw(), start=1):
            assert piece == PARTS[number - 1]
            order.append(f"got {number}")
            # The last one is in the file before the agent has it.
            assert run.receipt.recorded == (number == len(PARTS))
    assert order == ["made 1", "got 1", "made 2", "got 2", "made 3", "got 3", "closed"]
    with frameengine.replaying(file), httpx2.stream("POST", URL, json=chat("x")) as reply:
        assert list(reply.iter_raw()) == PARTS


def test_a_client_that_leaves_at_the_end_mark_has_the_whole_answer(file: Path) -> None:
    """An answer whose last event was seen is complete, also where the body's own end was not waited for."""
    with (
        frameengine.recording(file) as run,
        httpx2.Client(transport=run.transport(streaming(*PARTS))) as client,
        client.stream("POST", URL, json=chat("x")) as reply,
    ):
        pieces = reply.iter_raw()
        assert [next(pieces) for _ in PARTS] == PARTS
    assert [exchange.response.complete for exchange in read_exchanges(file)] == [True]


def test_reading_further_than_recorded_is_a_divergence(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent that stopped reading early is given as much again, and fails if it wants more."""
    monkeypatch.setattr("frameengine.inprocess.replay.PATIENCE", 0.01)

    def read(run: Any, count: int, inner: Any = None) -> list[bytes]:
        with httpx2.Client(transport=run.transport(inner)) as client, client.stream("POST", URL, json=chat("x")) as reply:
            pieces = reply.iter_raw()
            return [next(pieces) for _ in range(count)]

    with frameengine.recording(file) as run:
        read(run, 2, streaming(*PARTS, PARTS[0]))
    assert [exchange.response.complete for exchange in read_exchanges(file)] == [False]
    with frameengine.replaying(file) as replay:
        assert read(replay, 2) == PARTS[:2]
    with pytest.raises(Diverged, match="waited for longer"), frameengine.replaying(file) as replay:
        read(replay, 3)


def test_broken_answers_break_again(file: Path, server: ModelServer) -> None:
    """A refused connection, a reset and a stream that fails raise the same kind of error in the replay, and no socket is used."""
    url = f"{server.url}/chat/completions"
    server.enqueue([Head(framing="chunked"), Send(b"{"), Reset()])

    def agent() -> list[str]:
        seen = []
        for target in (url, "http://127.0.0.1:9/v1"):
            with pytest.raises(httpx2.TransportError) as caught:
                httpx2.post(target, json=chat("x"))
            seen.append(type(caught.value).__name__)
        return seen

    with frameengine.recording(file):
        live = agent()
    with frameengine.replaying(file):
        assert agent() == live
    assert len(server.requests) == 1


def test_a_compressed_answer_is_kept_readable(file: Path) -> None:
    """What came compressed is stored as text, and is the same to the client either way."""
    body = gzip.compress(b'{"said": "compressed"}')
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    inner = httpx2.MockTransport(lambda _: httpx2.Response(200, headers=headers, stream=Pieces([body[:9], body[9:]])))
    with frameengine.recording(file) as run, httpx2.Client(transport=run.transport(inner)) as client:
        assert ask(client, "x") == "compressed"
    assert next(read_exchanges(file)).response.body == b'{"said": "compressed"}'
    with frameengine.replaying(file):
        assert ask(httpx2, "x") == "compressed"


def test_a_cancelled_call_is_cancelled_again(file: Path) -> None:
    """An agent that gave up on a call gives up on it in the replay, after as long."""

    async def hangs(_: Any) -> httpx2.Response:
        await asyncio.sleep(3600)
        raise AssertionError

    async def agent(block: Any, inner: Any = None) -> str:
        async with block as run, httpx2.AsyncClient(transport=run.async_transport(inner)) as client:
            try:
                async with asyncio.timeout(0.05):
                    await client.post(URL, json=chat("x"))
            except TimeoutError:
                return "gave up"
            return "answered"

    assert asyncio.run(agent(frameengine.recording(file), httpx2.MockTransport(hangs))) == "gave up"
    assert asyncio.run(agent(frameengine.replaying(file))) == "gave up"


def test_a_miss_is_an_answer_that_nobody_tries_again_and_fails_the_block(file: Path) -> None:
    """A request that is not in the recording gets an error with the nearest recorded one; the block raises it at its end."""
    record(file, "one apple", "two pears")
    block = frameengine.replaying(file)

    def agent() -> None:
        ask(httpx2, "two pears")
        ask(httpx2, "one apple")
        reply = httpx2.post(URL, json=chat("one apply"))
        assert reply.status_code == 404
        assert reply.headers["x-should-retry"] == "false"
        problem = reply.json()["error"]
        assert "recorded POST" in problem["message"]
        assert "(input 1)" in problem["message"]
        assert problem["nearest"][0]["pointer"] == "/json/messages/0/content"
        assert 'recorded "one apple", asked "one apply"' in problem["message"]

    with pytest.raises(CassetteMiss, match=r'content.*: recorded "one apple", asked "one apply"') as caught, block:
        agent()
    assert caught.value.exit_code == 4
    assert "receipt: recorded 2, replayed 2, missed 1" in caught.value.__notes__[0]
    assert block.receipt.missed == 1
    assert block.receipt.exit_code == 4


ENDS = [
    pytest.param((), ["a"], NothingCompared, 5, id="no call"),
    pytest.param(("a",), ["a", "b"], CassetteUnused, 4, id="fewer calls"),
    pytest.param(("a", "a"), ["a"], CassetteMiss, 4, id="one more call"),
]


@pytest.mark.parametrize(("asked", "recorded", "kind", "status"), ENDS)
def test_how_a_replay_ends(
    asked: tuple[str, ...], recorded: list[str], kind: type[FrameEngineError], status: int, file: Path
) -> None:
    """No call, fewer calls and more calls than recorded each fail the block, even where the agent ends the program as if well."""
    record(file, *recorded)

    def agent(status: int | None) -> None:
        for text in asked:
            httpx2.post(URL, json=chat(text))
        if status is not None:
            raise SystemExit(status)

    for leaving in (None, 0):
        with pytest.raises(kind) as caught, frameengine.replaying(file):
            agent(leaving)
        assert caught.value.exit_code == status


def test_another_exception_is_not_hidden(file: Path) -> None:
    """What leaves the block by itself still does, with a note of what went wrong with the replay."""
    record(file, "a")
    with pytest.raises(httpx2.HTTPStatusError) as caught, frameengine.replaying(file):
        ask(httpx2, "b")
    assert "no recorded request equals it" in caught.value.__notes__[0]
    assert "receipt: recorded 1, unused 1, missed 1" in caught.value.__notes__[0]


def test_who_is_left_by_an_exception_knows_what_is_wrong(file: Path) -> None:
    """Calls that an agent did not come to, since it failed, are a problem of the receipt, and a note of its exception."""
    record(file, "a", "b")
    block = frameengine.replaying(file)

    def agent() -> None:
        ask(httpx2, "a")
        raise KeyError("of the agent")

    with pytest.raises(KeyError) as caught, block:
        agent()
    assert "1 of 2 recorded calls were not made again" in caught.value.__notes__[0]
    assert block.receipt.exit_code == 4
    empty = frameengine.recording(file.with_name("empty.trace.jsonl"))
    with pytest.raises(ZeroDivisionError) as other, empty:
        1 / 0  # noqa: B018
    assert "no HTTP call was recorded" in other.value.__notes__[0]
    assert empty.receipt.exit_code == 5


def test_a_problem_that_leaves_the_block_itself_is_not_told_twice(file: Path) -> None:
    """What is raised in place and goes out of the block has one note: its way out, and the receipt."""
    record(file, "a")

    def agent() -> None:
        ask(httpx2, "a")
        socket.create_connection(("127.0.0.1", 9))

    with pytest.raises(LiveCallRefused) as caught, frameengine.replaying(file):
        agent()
    (note,) = caught.value.__notes__
    assert note == f"try: {caught.value.hint}\nreceipt: recorded 1, replayed 1"


def test_a_recording_without_a_call_fails(file: Path) -> None:
    """A block that recorded nothing raises with exit 5, however its agent was written."""
    with pytest.raises(NothingCompared) as caught, frameengine.recording(file):
        pass
    assert caught.value.exit_code == 5


def test_unused_and_approximate_can_be_allowed(file: Path) -> None:
    """What is left over, and what was answered by its place in a conversation, fail unless they are allowed."""
    record(file, "a", "b")
    with frameengine.replaying(file, allow_unused=True) as replay:
        ask(httpx2, "a")
    assert replay.receipt.unused == 1

    def warmer(match: Any, **options: Any) -> None:
        with frameengine.replaying(file, match=match, allow_unused=True, **options):
            httpx2.post(URL, json={**chat("a"), "temperature": 1})

    with pytest.raises(CassetteMiss):
        warmer("exact")
    with pytest.raises(CassetteApproximate):
        warmer("chain")
    warmer("chain", allow_approximate=True)
    with pytest.raises(UsageError, match="no match 'chian'"):
        warmer("chian")


def test_equal_paths_of_two_hosts_are_not_equal(file: Path) -> None:
    """The same path asked of two servers gets the answer of each."""
    inner = httpx2.MockTransport(lambda request: httpx2.Response(200, json={"from": request.url.host}))

    def agent(run: Any, inner: Any = None) -> list[str]:
        with httpx2.Client(transport=run.transport(inner)) as client:
            return [client.get(f"http://{host}.test/page").json()["from"] for host in "ba"]

    with frameengine.recording(file) as run:
        agent(run, inner)
    with frameengine.replaying(file) as replay:
        assert agent(replay) == ["b.test", "a.test"]


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda module: module.__name__)
def test_an_upload_is_found_again(library: Any, file: Path) -> None:
    """The boundary between the parts of an upload is drawn anew by every client; what stands between them counts."""

    def agent(run: Any, sound: bytes) -> int:
        inner = library.MockTransport(lambda _: library.Response(200, json={"text": "hello"}))
        with library.Client(transport=run.transport(inner)) as client:
            reply = client.post(URL, files={"file": ("a.wav", sound)}, data={"model": "m"})
            status: int = reply.status_code
            return status

    with frameengine.recording(file) as run:
        agent(run, b"RIFF\x00\xff")
    with frameengine.replaying(file) as replay:
        assert agent(replay, b"RIFF\x00\xff") == 200
    with pytest.raises(CassetteMiss), frameengine.replaying(file) as replay:
        assert agent(replay, b"RIFF\x00\xfe") == 404


def test_a_redirect_is_followed_again(file: Path) -> None:
    """Each step of a redirect is recorded, and the replay goes the same way."""

    def moved(request: Any) -> httpx2.Response:
        if request.url.path == "/new":
            return httpx2.Response(200, json={"at": "new"})
        return httpx2.Response(307, headers={"location": "/new"})

    def agent(run: Any, inner: Any = None) -> Any:
        with httpx2.Client(transport=run.transport(inner), follow_redirects=True) as client:
            return client.post("http://model.test/old", json=chat("x")).json()

    with frameengine.recording(file) as run:
        live = agent(run, httpx2.MockTransport(moved))
    with frameengine.replaying(file) as replay:
        assert agent(replay) == live
    assert replay.receipt.replayed == 2


def test_clients_of_ones_own_choice(file: Path, server: ModelServer) -> None:
    """With ``clients="given"`` only clients with a transport of the block are recorded."""
    url = f"{server.url}/chat/completions"
    with frameengine.recording(file, clients="given") as run, httpx2.Client(transport=run.transport()) as client:
        ask(client, "mine", url)
    assert run.receipt.recorded == 1
    assert run.receipt.past == ()

    def both() -> None:
        with httpx2.Client(transport=run.transport()) as client:
            ask(client, "mine", url)
        ask(httpx2, "not mine", url)

    run = frameengine.recording(file, clients="given", replace=True)
    with pytest.warns(frameengine.inprocess.UnrecordedConnection, match="test_inprocess.py"), run:
        both()
    assert run.receipt.recorded == 1


def test_keys_are_in_no_file(file: Path) -> None:
    """A key in a header never reaches the file, nor where the answer repeats it; the agent gets what was really sent."""
    key = "sk-proj-abcdefghijklmnopqrstuvwxyz012345"
    inner = httpx2.MockTransport(lambda _: httpx2.Response(200, json={"said": f"your key is {key}"}))
    with frameengine.recording(file) as run, httpx2.Client(transport=run.transport(inner)) as client:
        client.headers["authorization"] = f"Bearer {key}"
        assert ask(client, f"my key is {key}") == f"your key is {key}"
    assert key not in file.read_text(encoding="utf-8")
    with frameengine.replaying(file):
        reply = ask(httpx2.Client(headers={"authorization": f"Bearer {key}"}), f"my key is {key}")
    assert reply.startswith("your key is [s")


def test_keys_of_the_environment_are_in_no_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a variable that is called as a key holds is replaced wherever it stands, and a replay with another key is answered."""
    monkeypatch.setenv("MY_DB_PASSWORD", "hunter2-hunter2-hunter2")
    record(file, "the password is hunter2-hunter2-hunter2")
    assert "hunter2" not in file.read_text(encoding="utf-8")
    monkeypatch.setenv("MY_DB_PASSWORD", "another-one-altogether")
    with frameengine.replaying(file), httpx2.Client() as client:
        assert ask(client, "the password is another-one-altogether").startswith("the password is [s")


def test_a_key_that_is_used_after_it_was_written_is_told(file: Path) -> None:
    """A login answer in words of its own stands in the file already when its key is sent as one: the block warns."""
    key = "Zq7Xw9canaryKd93hfPl2"

    def late() -> None:
        with frameengine.recording(file) as run, httpx2.Client(transport=run.transport(httpx2.MockTransport(echoing))) as client:
            ask(client, f"the door opens with {key}")
            client.headers["authorization"] = f"Bearer {key}"
            ask(client, "hello")

    with pytest.warns(frameengine.inprocess.ExposedSecret, match="1 secret "):
        late()


def test_a_packing_that_cannot_be_undone_is_not_asked_for(file: Path) -> None:
    """Of what the client takes, the server is offered what can be unpacked: else a key in an answer would not be seen."""
    offered: list[str] = []

    def answering(request: httpx2.Request) -> httpx2.Response:
        offered.append(request.headers.get("accept-encoding", "(none)"))
        return httpx2.Response(200, json={"said": "hi"})

    with frameengine.recording(file) as run, httpx2.Client(transport=run.transport(httpx2.MockTransport(answering))) as client:
        for accepted in ("gzip, deflate, br, zstd;q=0.5", "br"):
            client.headers["accept-encoding"] = accepted
            ask(client, "hello")
    assert offered == ["gzip, deflate, zstd;q=0.5", "identity"]


@pytest.mark.parametrize("text", ["", "{}\n", "no trace at all\n"])
def test_a_foreign_file_is_refused(text: str, file: Path) -> None:
    """A file that is no recording is refused with the exit status of bad files, and nothing stays replaced."""
    file.write_text(text, encoding="utf-8")
    before = httpx2.HTTPTransport.handle_request
    with pytest.raises(TraceError) as caught, frameengine.replaying(file):
        pass
    assert caught.value.exit_code == 3
    assert httpx2.HTTPTransport.handle_request is before


def test_an_existing_recording_is_not_written_over(file: Path) -> None:
    """A second recording into the same file is refused, unless it may replace the first."""
    record(file, "a")
    with pytest.raises(UsageError), frameengine.recording(file):
        pass
    with frameengine.recording(file, replace=True) as run:
        ask(httpx2.Client(transport=run.transport(httpx2.MockTransport(echoing))), "b")
    assert [exchange.request.body["json"]["messages"][0]["content"] for exchange in read_exchanges(file)] == ["b"]


ROUNDS = 200


def test_six_at_once_each_get_their_own_answer(file: Path) -> None:
    """Of six calls under gather, and of six in threads, each gets its own answer, 200 rounds, whatever order they end in."""

    def answers(request: Any) -> httpx2.Response:
        return httpx2.Response(200, json={"said": content(request)})

    async def slow_answers(request: Any) -> httpx2.Response:
        # Longer texts wait for fewer turns of the loop: the order of arrival is another one than that of issue.
        for _ in range(12 - len(content(request))):
            await asyncio.sleep(0)
        return answers(request)

    async def gathered(run: Any, inner: Any) -> None:
        async with httpx2.AsyncClient(transport=run.async_transport(inner)) as client:
            for number in range(ROUNDS):
                texts = [f"{number}{'.' * extra}" for extra in range(6)]
                replies = await asyncio.gather(*[client.post(URL, json=chat(text)) for text in texts])
                assert [reply.json()["said"] for reply in replies] == texts

    def threaded(run: Any, inner: Any) -> None:
        with httpx2.Client(transport=run.transport(inner)) as client, ThreadPoolExecutor(6) as pool:
            for number in range(ROUNDS):
                texts = [f"{number}t{extra}" for extra in range(6)]
                assert list(pool.map(lambda text: ask(client, text), texts)) == texts

    with frameengine.recording(file) as run:
        asyncio.run(gathered(run, httpx2.MockTransport(slow_answers)))
        threaded(run, httpx2.MockTransport(answers))
    with frameengine.replaying(file) as replay:
        asyncio.run(gathered(replay, None))
        threaded(replay, None)
    assert replay.receipt.replayed == 12 * ROUNDS
    assert replay.receipt.ambiguous == 0


COUNT = 50


def test_equal_requests_one_after_another_keep_their_order(file: Path) -> None:
    """50 byte-equal requests with different answers are answered in their order, within a task, a thread and the block's own."""
    numbers = iter(range(10_000))
    inner = httpx2.MockTransport(lambda _: httpx2.Response(200, json={"said": str(next(numbers))}))

    async def task(run: Any, inner: Any) -> list[str]:
        async with httpx2.AsyncClient(transport=run.async_transport(inner)) as client:
            return [(await client.post(URL, json=chat("task"))).json()["said"] for _ in range(COUNT)]

    def agent(run: Any, inner: Any = None) -> list[list[str]]:
        with httpx2.Client(transport=run.transport(inner)) as client, ThreadPoolExecutor(1) as pool:
            own = [ask(client, "own") for _ in range(COUNT)]
            thread = list(pool.map(lambda _: ask(client, "thread"), range(COUNT)))
        return [own, thread, asyncio.run(task(run, inner))]

    with frameengine.recording(file) as run:
        live = agent(run, inner)
    with frameengine.replaying(file) as replay:
        assert agent(replay) == live
    assert replay.receipt.ambiguous == 0


def test_equal_requests_at_once_get_each_answer_once(file: Path) -> None:
    """50 byte-equal requests made at once get the 50 recorded answers, each task its own, however the answers are combined."""
    numbers = iter(range(10_000))

    async def numbered(_: Any) -> httpx2.Response:
        return httpx2.Response(200, json={"said": str(next(numbers))})

    async def agent(run: Any, inner: Any = None) -> list[str]:
        async with httpx2.AsyncClient(transport=run.async_transport(inner)) as client:
            replies = await asyncio.gather(*[client.post(URL, json=chat("same")) for _ in range(COUNT)])
            return [reply.json()["said"] for reply in replies]

    with frameengine.recording(file) as run:
        live = asyncio.run(agent(run, httpx2.MockTransport(numbered)))
    with frameengine.replaying(file) as replay:
        replayed = asyncio.run(agent(replay))
    assert replayed == live
    assert replay.receipt.ambiguous == 0


def test_a_block_is_used_once(file: Path) -> None:
    """A second entry is refused, in whichever way the first ended: receipt and problems would be those of both."""
    with frameengine.recording(file) as run, httpx2.Client(transport=run.transport(httpx2.MockTransport(echoing))) as client:
        client.post(URL, json=chat("x"))
    replay = frameengine.replaying(file)
    with pytest.raises(NothingCompared), replay:
        pass
    for block in (run, replay):
        with pytest.raises(UsageError, match="used once"), block:
            pass


def test_headers_beyond_ascii_come_back(file: Path) -> None:
    """A kept header of an answer may hold any text."""

    def model(_: Any) -> httpx2.Response:
        return httpx2.Response(200, headers=[(b"x-request-id", "größe-é".encode())], json={})

    def agent(run: Any) -> str:
        with httpx2.Client(transport=run.transport(httpx2.MockTransport(model))) as client:
            return client.post(URL, json=chat("x")).headers["x-request-id"]

    with frameengine.recording(file) as run:
        assert agent(run) == "größe-é"
    with frameengine.replaying(file) as replay:
        assert agent(replay) == "größe-é"


def test_lanes_are_named_by_who_started_whom(file: Path) -> None:
    """Tasks and threads have the same lanes in every run, in the order in which they were started, whoever asks first."""

    async def later(client: Any, turns: int) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
        await client.post(URL, json=chat(str(turns)))

    async def agent(run: Any, inner: Any) -> None:
        async with httpx2.AsyncClient(transport=run.async_transport(inner)) as client:
            await asyncio.gather(*[later(client, turns) for turns in (9, 6, 3)])

    with frameengine.recording(file) as run:
        worker = threading.Thread(target=lambda: ask(httpx2.Client(transport=run.transport(httpx2.MockTransport(echoing))), "t"))
        worker.start()
        worker.join()
        asyncio.run(agent(run, httpx2.MockTransport(echoing)))
    lanes = {exchange.request.body["json"]["messages"][0]["content"]: exchange.lane for exchange in read_exchanges(file)}
    assert lanes == {"t": "main/1", "9": "main/2/1", "6": "main/2/2", "3": "main/2/3"}


def test_a_transport_around_another_runs_in_the_replay_too(file: Path, server: ModelServer) -> None:
    """A transport of the agent's own that tries again is recorded below, so each of its tries is answered in the replay."""

    class Again(httpx2.BaseTransport):
        def __init__(self) -> None:
            self.inner = httpx2.HTTPTransport()
            self.tries = 0

        def handle_request(self, request: httpx2.Request) -> httpx2.Response:
            while True:
                self.tries += 1
                reply = self.inner.handle_request(request)
                if reply.status_code != 503:
                    return reply
                reply.read()

        def close(self) -> None:
            self.inner.close()

    def agent() -> int:
        again = Again()
        with httpx2.Client(transport=again) as client:
            ask(client, "x", f"{server.url}/chat/completions")
        return again.tries

    unwell: Script = [Head(503), Send(b"{}")]
    server.enqueue(unwell, unwell, completion("well"))
    with frameengine.recording(file):
        assert agent() == 3
    with frameengine.replaying(file):
        assert agent() == 3
    assert len(server.requests) == 3
