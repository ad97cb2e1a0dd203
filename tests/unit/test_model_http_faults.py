"""The fault matrix of the transport (F01 to F84): each row streamed and not, recorded, and replayed without a socket.

Whatever goes wrong is a typed failure, or an answer that says how it ended; never text in the history, never a thread or a
connection that is left over.
"""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from frameengine.effects import Call, EffectKey, ModelCall, ModelReply, Outcome
from frameengine.engine.driver import Clock, Run
from frameengine.engine.message import Engine
from frameengine.graph.loader import load_graph
from frameengine.graph.registry import bind
from frameengine.inputs import Cancel, UserMessage
from frameengine.performers.live import Live
from frameengine.performers.model_http import KINDS, Endpoint, HttpModel, Retry, Timeouts
from frameengine.replay.replayer import Replayer
from frameengine.tools.registry import ToolRegistry
from frameengine.trace.header import header
from frameengine.trace.writer import TraceWriter
from model_faults import HELLO, KEY, ROWS, TEXT, Row
from model_scripts import DONE, Hang, Request, Reset, Script, completion, error, sse, stream, tool_call
from model_server import ModelServer

ROOT = Path(__file__).parents[2]
CLOCK = Clock(lambda: 0, time.monotonic)
"""A clock whose day is the first of 1970, for endpoints that name a date."""
BACKOFF = ((0.25, 0.5), (0.5, 1.0))
"""Bounds of the usual waits between three tries."""


class Full:
    """A port that takes no more connections: its queue is full."""

    def __init__(self) -> None:
        self.server = socket.create_server(("127.0.0.1", 0), backlog=0)
        self.url = f"http://127.0.0.1:{self.server.getsockname()[1]}/v1"
        self.waiting = [socket.socket() for _ in range(3)]
        for one in self.waiting:
            one.setblocking(False)
            one.connect_ex(self.server.getsockname())

    def close(self) -> None:
        """Let everybody go."""
        for one in (*self.waiting, self.server):
            one.close()


@pytest.fixture(scope="module")
def server() -> Iterator[ModelServer]:
    """Serve for all rows; each sets its own script."""
    with ModelServer() as started:
        yield started


@contextmanager
def address(row: Row, server: ModelServer) -> Iterator[str]:
    """Find the address that a row is about."""
    if row.url == "refused":
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            yield f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
    elif row.url == "full":
        with closing(Full()) as full:
            yield full.url
    else:
        yield server.url.replace("http:", "https:") if row.url == "https" else row.url or server.url


def tools() -> ToolRegistry:
    """Return a registry with one tool."""
    registry = ToolRegistry()
    parameters = {"type": "object", "properties": {"at": {"type": "integer"}}, "required": ["at"]}
    registry.register("look", lambda at: f"at {at}", {"description": "Look.", "parameters": parameters})
    return registry


class Heard:
    """Keeps what a reader sees."""

    def __init__(self) -> None:
        self.text = ""

    def on_preview(self, _: EffectKey, __: int, emission: Any) -> None:
        """Show a preview."""
        self.text += emission.data.get("text", "")

    def on_retract(self, _: EffectKey) -> None:
        """Forget all."""
        self.text = ""


class Kept(TraceWriter):
    """A trace that keeps its outcomes at hand."""

    def outcome(self, call: Call, outcome: Outcome) -> None:
        """Keep an outcome of a model."""
        self.__dict__.setdefault("outcomes", []).append((call, outcome))
        super().outcome(call, outcome)


def play(row: Row, url: str, path: Path) -> tuple[list[Outcome], list[float], Engine, Heard]:
    """Run one message of `tool-loop` against an endpoint and record it; return what came of the model calls, and the waits."""
    waits: list[float] = []
    timeouts = Timeouts(**{"connect": 5, "first_token": 5, "idle": 5, "total": 200, **row.timeouts})
    endpoint = Endpoint(base_url=url, key=KEY, model="m", stream=row.streamed, timeouts=timeouts)
    live = Live(HttpModel(endpoint, clock=CLOCK, sleep=waits.append), tools())
    bound, heard = bind(load_graph("tool-loop")), Heard()
    engine = Engine(bound, instruments=[heard])
    with Kept(path, header(bound)) as writer:
        Run(engine, live, writer).send(UserMessage.of("What is the answer?"))
        writer.seal()
    live.close()
    return [outcome for call, outcome in writer.__dict__["outcomes"] if call.effect.kind == "model"], waits, engine, heard


def again(request: Request, script: Script) -> Script:
    """Play the script, and answer what follows a tool."""
    if request.json()["messages"][-1]["role"] != "tool":
        return script
    return stream("done") if request.json()["stream"] else completion("done")


def check_outcome(row: Row, outcome: Outcome) -> None:
    """Compare the outcome of the first call with what the row says."""
    if row.comes in KINDS:
        failure = outcome.error
        assert outcome.status == "error"
        assert failure is not None
        assert failure.type == f"model.{row.comes}", failure
        assert failure.fields.get("text") == row.text
        assert row.status in (None, failure.fields.get("status"))
        assert row.limit in ("", failure.fields.get("limit"))
        assert row.says in failure.message
        assert failure.fields["phase"] in ("connect", "headers", "first_token", "body", "stream")
    else:
        assert outcome.status == "ok", outcome.error
        assert isinstance(outcome.value, ModelReply)
        assert outcome.value.finish_reason == row.comes
        assert row.tools or outcome.value.text == row.text
    assert outcome.meta["attempts"] == row.tries
    assert row.warns in " ".join(outcome.meta.get("warnings", ()))


def check_waits(row: Row, waits: list[float]) -> None:
    """Compare the waits between the tries with what the endpoint asked for, or with the usual back-off."""
    if row.waits is not None:
        assert tuple(waits) == row.waits
        return
    assert len(waits) == row.tries - 1
    assert all(low <= wait <= high for wait, (low, high) in zip(waits, BACKOFF, strict=False))


@pytest.fixture
def no_sockets(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function from which on nobody can open a socket."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("a socket was opened")

    return lambda: [monkeypatch.setattr(socket, name, refuse) for name in ("socket", "create_connection", "getaddrinfo")]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id.replace(" ", "-"))
def test_the_matrix(row: Row, server: ModelServer, tmp_path: Path, no_sockets: Any) -> None:
    """The outcome is that of the table, with as many tries and waits; recorded, it replays to the same without a socket (C79)."""
    server.respond = lambda request: again(request, row.script)
    server.requests.clear()
    threads, path = threading.active_count(), tmp_path / "run.trace.jsonl"
    with address(row, server) as url:
        outcomes, waits, engine, heard = play(row, url, path)
        check_outcome(row, outcomes[0])
        check_waits(row, waits)
        if not row.url:
            assert len(server.requests) == row.tries + len(row.tools[:1])
        assert server.idle()
    assert threading.active_count() == threads
    assert KEY not in path.read_text(encoding="utf-8")
    history = engine.state.sections["history"]
    if row.comes in KINDS:
        assert history == ()
        assert heard.text == ""
    else:
        given = [message["content"] for message in history if message["role"] == "tool"]
        assert len(given) == len(row.tools)
        assert all(expected in content for expected, content in zip(row.tools, given, strict=True))
        assert history[-1]["content"] == (row.text or None) or row.text == ""
        assert heard.text == (row.text or "")
    no_sockets()
    result = Replayer(path).run()
    assert result.verdict == "same", result
    assert result.counts.calls == len(outcomes) + len(row.tools)


def test_the_table_is_complete() -> None:
    """Every row from F01 to F79 is played streamed and not; the others have tests of their own."""
    named = {(row.id[:3], row.streamed) for row in ROWS}
    assert named == {(f"F{number:02}", streamed) for number in range(1, 80) for streamed in (True, False)}


def call(text: str = "hello", *, show: bool = True, input: int = 1) -> Call:
    """Return a model call."""
    effect = ModelCall(model="m", messages=[{"role": "user", "content": text}], show=show)
    return Call.of(EffectKey(input, 1, "model", 0), effect)


def failure_of(outcome: Outcome) -> str:
    """Return the type of a failure."""
    assert outcome.error is not None
    return outcome.error.type


@pytest.mark.parametrize("streamed", [True, False])
def test_a_call_recovers(server: ModelServer, *, streamed: bool) -> None:
    """What fails before anything has come is asked again, and the meta says what went before."""
    waits: list[float] = []
    good = stream(TEXT) if streamed else completion(TEXT)
    server.enqueue([Reset()], error(503, "busy", [("retry-after", "1")]), good)
    outcome = HttpModel(Endpoint(base_url=server.url, stream=streamed), sleep=waits.append)(call())
    assert isinstance(outcome.value, ModelReply)
    assert outcome.value.text == TEXT
    assert outcome.meta["attempts"] == 3
    tried = [(one["type"], one.get("status")) for one in outcome.meta["retries"]]
    assert tried == [("connect_error", None), ("provider_error", 503)]
    assert waits[1] == 1


def test_an_answer_that_has_begun_is_asked_for_again_only_on_request(server: ModelServer) -> None:
    """After the first piece of text there is no other try, unless the endpoint says so; then the pieces are taken back."""
    told: list[str | None] = []
    endpoint = Endpoint(base_url=server.url)
    for after_text, expected in ((False, ["The answer", None]), (True, ["The answer", None, "The", " answer", " is", " 42."])):
        server.enqueue(sse(HELLO), *([stream(TEXT)] if after_text else []))
        model = HttpModel(
            evolve(endpoint, retry=Retry(after_text=after_text)), on_delta=lambda _, text: told.append(text), sleep=lambda _: None
        )
        assert (model(call()).status == "ok") is after_text
        assert told == expected
        told.clear()


def test_pieces_of_a_call_that_is_not_shown_are_told_to_nobody(server: ModelServer) -> None:
    """Only calls with `show` are read along."""
    server.enqueue(stream(TEXT))
    told: list[Any] = []
    assert HttpModel(Endpoint(base_url=server.url), on_delta=lambda *args: told.append(args))(call(show=False)).status == "ok"
    assert told == []


def test_jitter_comes_from_the_key_of_the_call(server: ModelServer) -> None:
    """The same call waits as long in every run, and another one differently."""
    server.respond = lambda _: error(500, "no")
    waits: list[float] = []
    model = HttpModel(Endpoint(base_url=server.url), sleep=waits.append)
    for number in (1, 1, 2):
        model(call(input=number))
    assert waits[:2] == waits[2:4] != waits[4:]


def test_no_other_try_begins_when_the_time_is_up(server: ModelServer) -> None:
    """A wait that would outlast the total limit ends the call at once."""
    server.enqueue(error(429, "later", [("retry-after", "5")]))
    waits: list[float] = []
    outcome = HttpModel(Endpoint(base_url=server.url, timeouts=Timeouts(total=4)), sleep=waits.append)(call())
    assert (failure_of(outcome), waits) == ("model.rate_limited", [])


def test_a_quota_that_is_used_up_is_not_asked_again(server: ModelServer) -> None:
    """No waiting helps against it."""
    server.enqueue(error(429, "no money", kind="insufficient_quota"))
    outcome = HttpModel(Endpoint(base_url=server.url), sleep=lambda _: None)(call())
    assert (failure_of(outcome), outcome.meta["attempts"]) == ("model.rate_limited", 1)


# ---------------------------------------------------------------------- F80 to F84: ending a call

WAITS: dict[str, Script] = {
    "F80 for headers": [Hang()],
    "F81 in the stream": [*sse(HELLO), Hang()],
    "F81 between two tries": error(503, "busy", [("retry-after", "50")]),
}


@pytest.mark.parametrize("threads", [2])
@pytest.mark.parametrize("script", WAITS.values(), ids=[name.replace(" ", "-") for name in WAITS])
def test_a_cancel_ends_a_call(server: ModelServer, tmp_path: Path, script: Script, threads: int) -> None:
    """A Cancel while a call waits ends it and its connection; the message is recorded as cancelled, and replays (F80, F81)."""
    server.respond = lambda _: script
    server.requests.clear()
    bound, path = bind(load_graph("tool-loop")), tmp_path / "run.trace.jsonl"
    live = Live(HttpModel(Endpoint(base_url=server.url)), threads=threads)
    with TraceWriter(path, header(bound)) as writer:
        run = Run(Engine(bound), live, writer)
        run.inbox.wake = live.wake

        def cancel() -> None:
            while not server.requests:
                time.sleep(0.005)
            time.sleep(0.05)
            run.inbox.put(Cancel())

        other = threading.Thread(target=cancel)
        other.start()
        trace = run.send(UserMessage.of("hello"))
        other.join()
        writer.seal()
    assert trace.status == "cancelled"
    # The thread of the call ends before its limits, which are minutes.
    live.close()
    assert server.idle()
    assert run.engine.state.sections["history"] == ()
    assert Replayer(path).run().verdict == "same"


def test_a_cancelled_call_comes_back_as_cancelled(server: ModelServer) -> None:
    """Whoever still waits for a dropped call is told that it was cancelled."""
    server.enqueue([*sse(HELLO), Hang()])
    told: list[str | None] = []

    def leave(one: Call, text: str | None) -> None:
        told.append(text)
        model.drop([one.key])

    model = HttpModel(Endpoint(base_url=server.url), on_delta=leave)
    assert model(call()).status == "cancelled"
    assert told[0] == "The answer"
    assert server.idle()


def test_a_cancel_does_not_wait_for_a_tool(server: ModelServer, tmp_path: Path) -> None:
    """A Cancel while a tool runs ends the message at once, and no model is asked any more (F82)."""
    began, released = threading.Event(), threading.Event()

    def look(at: int) -> int:
        began.set()
        released.wait(20)
        return at

    registry = ToolRegistry()
    registry.register("look", look, {"description": "Look.", "parameters": {"type": "object", "properties": {"at": {}}}})
    server.requests.clear()
    server.enqueue(stream(None, tool_calls=[tool_call("look", {"at": 1})]))
    bound, path = bind(load_graph("tool-loop")), tmp_path / "run.trace.jsonl"
    live = Live(HttpModel(Endpoint(base_url=server.url)), registry, threads=2)
    with TraceWriter(path, header(bound)) as writer:
        run = Run(Engine(bound), live, writer)
        run.inbox.wake = live.wake

        def cancel() -> None:
            began.wait(20)
            run.inbox.put(Cancel())

        other = threading.Thread(target=cancel)
        other.start()
        status = run.send(UserMessage.of("hello")).status
        assert not released.is_set()
        released.set()
        other.join()
        writer.seal()
    live.close()
    assert (status, len(server.requests)) == ("cancelled", 1)
    assert Replayer(path).run().verdict == "same"


KILLED = """
import sys
from pathlib import Path
from frameengine.engine.driver import Run
from frameengine.engine.message import Engine
from frameengine.graph.loader import load_graph
from frameengine.graph.registry import bind
from frameengine.inputs import UserMessage
from frameengine.performers.live import Live
from frameengine.performers.model_http import Endpoint, HttpModel
from frameengine.trace.header import header
from frameengine.trace.writer import TraceWriter
bound = bind(load_graph("tool-loop"))
with TraceWriter(Path(sys.argv[2]), header(bound)) as writer:
    Run(Engine(bound), Live(HttpModel(Endpoint(base_url=sys.argv[1]))), writer).send(UserMessage.of("hello"))
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["F83-killed", "F83-interrupted"])
def test_a_process_that_ends_in_a_call_leaves_no_answer(server: ModelServer, tmp_path: Path, how: signal.Signals) -> None:
    """The trace has the message and no outcome, so nothing passes for one; the server is rid of the connection."""
    server.requests.clear()
    server.enqueue([*sse(HELLO), Hang()])
    path = tmp_path / "run.trace.jsonl"
    with subprocess.Popen([sys.executable, "-c", KILLED, server.url, str(path)], stderr=subprocess.DEVNULL) as child:
        while not server.requests:
            time.sleep(0.01)
        child.send_signal(how)
        assert child.wait(20) != 0
    assert server.idle()
    text = path.read_text(encoding="utf-8")
    assert "hello" in text
    assert not re.search('"kind":"(outcome|frame|seal)"', text)


def test_a_model_that_is_closed_ends_its_calls(server: ModelServer) -> None:
    """Whoever leaves ends what is under way, and can be asked again (F84)."""
    server.requests.clear()
    server.enqueue([Hang()], [Hang()], stream(TEXT))
    model, outcomes = HttpModel(Endpoint(base_url=server.url)), []
    threads = [threading.Thread(target=lambda number=number: outcomes.append(model(call(input=number)))) for number in (1, 2)]
    for thread in threads:
        thread.start()
    while len(server.requests) < 2:
        time.sleep(0.005)
    model.close()
    for thread in threads:
        thread.join(5)
    assert [outcome.status for outcome in outcomes] == ["cancelled", "cancelled"]
    assert server.idle()
    assert model(call()).status == "ok"


MEMORY = """
import json, resource, sys
sys.path[:0] = sys.argv[2:]
from model_faults import ROWS
from frameengine.effects import Call, EffectKey, ModelCall
from frameengine.performers.model_http import Endpoint, HttpModel
asked = Call.of(EffectKey(1, 1, "a", 0), ModelCall(model="m", messages=[{"role": "user", "content": "hello"}]))
def ask(number, streamed):
    headers = {"x-row": str(number)}
    return HttpModel(Endpoint(base_url=sys.argv[1], headers=headers, stream=streamed))(asked)
assert ask(-1, True).status == "ok"
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
grown = {}
for number, row in enumerate(ROWS):
    if row.comes == "too_large" and row.id[:3] >= "F73":
        outcome = ask(number, row.streamed)
        assert outcome.error.type == "model.too_large", (row.id, outcome)
        now = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        grown[row.id], before = now - before, max(now, before)
print(json.dumps(grown))
"""


def test_no_answer_takes_much_memory(server: ModelServer) -> None:
    """Endless, huge and compressed answers together raise the memory of a process by at most 32 MiB (F73 to F76)."""
    server.respond = lambda request: (
        stream(TEXT) if request.header("x-row") == "-1" else ROWS[int(request.header("x-row"))].script
    )
    paths = [str(ROOT / "fixtures"), str(ROOT / "tests" / "support")]
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, server.url, *paths], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    grown = json.loads(done.stdout)
    assert len(grown) == 12
    assert sum(grown.values()) <= 32 << 10, grown


def test_the_end_mark_alone_is_no_answer(server: ModelServer) -> None:
    """A stream of nothing but its end mark has no choices."""
    server.enqueue(sse(DONE))
    assert failure_of(HttpModel(Endpoint(base_url=server.url))(call())) == "model.bad_response"
