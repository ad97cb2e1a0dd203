"""``run --live``, ``chat --live``, and live answers of ``rerun`` and the debugger: recorded, and replayed offline."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli_runs import Frameengine
from frameengine.trace.messages import Message, messages
from frameengine.trace.reader import TraceReader, read_header
from frameengine.trace.verify import verify
from model_scripts import (
    DONE,
    Cut,
    Hang,
    Pause,
    Request,
    Script,
    chunk,
    completion,
    deltas,
    error,
    event,
    sse,
    stream,
    tool_call,
    usage_of,
)
from model_server import ModelServer
from terminal import Terminal

KEY = "sk-planted-0123456789abcdef"
FRAMED = ("v3-framed", "v4-eras")


@pytest.fixture
def server() -> Iterator[ModelServer]:
    """Serve for one test, which may stop it."""
    with ModelServer() as started:
        yield started


@pytest.fixture(autouse=True)
def configured(server: ModelServer, frameengine: Frameengine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the usual variables lead to the server."""
    for name, value in (("BASE_URL", server.url), ("API_KEY", KEY), ("MODEL", "m")):
        monkeypatch.setenv(f"OPENAI_{name}", value)


def only(path: Path | str) -> Message:
    """Return the one message of a trace."""
    with TraceReader(Path(path)) as reader:
        (message,) = messages(reader)
    return message


# ---------------------------------------------------------------------- run


@pytest.mark.parametrize("graph", FRAMED)
def test_a_live_run_replays_with_the_server_stopped(server: ModelServer, frameengine: Frameengine, graph: str) -> None:
    """Real requests over HTTP make a trace with recorded times and pieces, and it replays to the byte without server and key."""
    done = frameengine("run", "--graph", graph, "-m", "hello there", "-m", "and again", "--live", "-o", "x.trace.jsonl", "--json")
    assert (done.code, done.json["statuses"]) == (0, ["done", "done"])
    assert done.json["spent"]["calls"] == len(server.requests) == done.json["counts"]["calls"]
    assert {request.header("authorization") for request in server.requests} == {f"Bearer {KEY}"}
    header = read_header(Path("x.trace.jsonl"))
    assert (header["clock"], header["provenance"]["model"]) == ("recorded", "live")
    server.close()
    os.environ.pop("OPENAI_API_KEY")
    again = frameengine("replay", "x.trace.jsonl", "-o", "y.trace.jsonl", "--json")
    assert (again.code, again.json["verdict"], again.json["canonical"]) == (0, "same", done.json["canonical"])
    assert verify(Path("y.trace.jsonl")).canonical == verify(Path("x.trace.jsonl")).canonical


def test_pieces_and_their_times_are_recorded(server: ModelServer, frameengine: Frameengine) -> None:
    """Each piece of a streamed reply is in the outcome's meta with its size and time, text and tool calls alike."""
    call = tool_call("look", {"at": 1})
    server.enqueue(stream("one two three", gap=0.01, tool_calls=[call]), stream("done"))
    frameengine("run", "--graph", "tool-loop", "-m", "hi", "--live", "-o", "x.trace.jsonl")
    first = only("x.trace.jsonl").calls[0].outcome
    chunks = first.meta["chunks"]
    assert [size for _, size in chunks["text"]] == [3, 4, 6]
    assert [(place, size) for _, place, size in chunks["tools"]] == [(0, 4), (0, 5)]
    times = [row[0] for row in (*chunks["text"], *chunks["tools"])]
    assert times == sorted(times)


def test_a_cut_stream_is_a_failure_that_replays(server: ModelServer, frameengine: Frameengine) -> None:
    """An answer that breaks off in its middle is recorded as failed, with what had come, is exit 1, and replays the same."""
    server.enqueue([*sse(*map(event, deltas("half an answer")[:3])), Pause(0.02), Cut()])
    done = frameengine("run", "--graph", "tool-loop", "-m", "hi", "--live", "-o", "x.trace.jsonl")
    assert done.code == 1
    assert "1 failed" in done.err
    failure = only("x.trace.jsonl").calls[0].outcome.error
    assert failure is not None
    assert (failure.type, failure.fields["text"]) == ("model.truncated", "half an")
    server.close()
    assert frameengine("replay", "x.trace.jsonl").code == 0


def test_calls_that_all_break_off_are_recorded(server: ModelServer, frameengine: Frameengine) -> None:
    """Where every answer breaks off, the failed calls stand in a sealed trace, and it replays."""
    server.respond = lambda _: [*sse(event(deltas("a b")[1])), Cut()]
    done = frameengine("run", "--graph", "v4-eras", "-m", "hello", "--live", "-o", "x.trace.jsonl", "--json")
    assert (done.code, done.json["spent"]["failed"] > 0) == (1, True)
    assert verify(Path("x.trace.jsonl")).counts.calls == done.json["counts"]["calls"]
    server.close()
    assert frameengine("replay", "x.trace.jsonl").code == 0


def test_the_receipt_tells_tokens_cost_and_tries(server: ModelServer, frameengine: Frameengine) -> None:
    """What the endpoint reports is added up; a call that was tried again counts its tries."""
    paid = usage_of(10, 4, cost=0.00125)
    server.enqueue(error(429, "slow down", [("retry-after", "0")]), stream("hi", usage=paid), stream("ho", usage=paid))
    arguments = ("run", "--graph", "tool-loop", "-m", "a", "-m", "b", "--live", "-o", "x.trace.jsonl")
    done = frameengine(*arguments, "--json")
    told = {"tokens": 2, "cost": 2}
    assert done.json["spent"] == {
        "calls": 2, "tries": 3, "failed": 0, "tokens": {"in": 20, "out": 8}, "cost": 0.0025, "told": told
    }  # fmt: skip
    server.enqueue(stream("hi", usage=paid), stream("ho", usage=paid))
    assert "2 model calls · 20→8 tok · cost 0.0025" in frameengine(*arguments, "--force").err


def test_a_sum_says_of_how_many_calls_it_is(server: ModelServer, frameengine: Frameengine) -> None:
    """Tokens and cost that only some calls told do not pass for those of all."""
    bare = sse(event(chunk({"content": "hi"}, finish="stop")), DONE)
    server.enqueue(stream("hi", usage=usage_of(10, 4, cost=0.5)), stream("hi", usage=usage_of(1, 1)), bare)
    arguments = ("run", "--graph", "tool-loop", "-m", "a", "-m", "b", "-m", "c", "--live", "-o", "x.trace.jsonl", "--json")
    done = frameengine(*arguments)
    assert done.json["spent"]["told"] == {"tokens": 2, "cost": 1}
    server.enqueue(stream("hi", usage=usage_of(10, 4, cost=0.5)), stream("hi", usage=usage_of(1, 1)), bare)
    said = frameengine(*arguments[:-1], "--force").err
    assert "3 model calls · 11→5 tok (of 2 of them) · cost 0.5 (of 1 of them)" in said


@pytest.mark.parametrize(
    ("status", "said", "way"),
    [(401, "bad key", "doctor --reach"), (404, "no such model", "doctor says"), (400, "no", "doctor")],
)
def test_a_refused_call_is_told_and_kept(server: ModelServer, frameengine: Frameengine, status: int, said: str, way: str) -> None:
    """What the endpoint refuses is exit 1 with a way out; the recording is sealed, replays, and holds no key."""
    server.enqueue(error(status, f"{said} {KEY}"))
    done = frameengine("run", "--graph", "tool-loop", "-m", "hi", "--live", "-o", "x.trace.jsonl", "--json")
    assert (done.code, done.json["ok"], done.json["error"]["code"]) == (1, False, "effect.model")
    assert f"{status}" in done.json["error"]["message"]
    assert way in done.json["error"]["hint"]
    assert KEY not in done.out + done.err + Path("x.trace.jsonl").read_text(encoding="utf-8")
    assert frameengine("replay", "x.trace.jsonl").code == 0


def test_an_unreachable_host_is_told_and_kept(
    server: ModelServer, frameengine: Frameengine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nobody listens the run fails with exit 1, names the base URL as what to check, and keeps a trace that replays."""
    server.close()
    Path("m.toml").write_text(f'[endpoints.a]\nbase_url = "{server.url}"\nretry = {{ attempts = 1 }}\n', encoding="utf-8")
    done = frameengine("run", "--graph", "v3-framed", "-m", "hi", "--live", "--models", "m.toml", "-o", "x.trace.jsonl")
    assert done.code == 1
    assert "check the base URL" in done.err
    assert frameengine("replay", "x.trace.jsonl").code == 0


def test_a_failed_call_counts_though_the_message_is_done(server: ModelServer, frameengine: Frameengine) -> None:
    """A node that makes something of a failure ends its message well; the run is exit 1 all the same."""
    server.respond = lambda _: error(400, "no") if len(server.requests) == 1 else stream("Fine.")
    done = frameengine("run", "--graph", "v4-eras", "-m", "hi", "--live", "-o", "x.trace.jsonl", "--json")
    assert (done.code, done.json["statuses"], done.json["spent"]["failed"]) == (1, ["done"], 1)


def test_nothing_configured_and_no_key_are_refused_before_anything_is_written(
    frameengine: Frameengine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a configuration the error says where one belongs; without the key it names variable and file; no trace is made."""
    for name in ("BASE_URL", "API_KEY", "MODEL"):
        monkeypatch.delenv(f"OPENAI_{name}")
    arguments = ("run", "--graph", "tool-loop", "-m", "hi", "--live", "-o", "x.trace.jsonl")
    done = frameengine(*arguments)
    assert (done.code, "frameengine.toml" in done.err) == (2, True)
    text = '[endpoints.a]\nbase_url = "https://a.example/v1"\nkey_env = "A_KEY"\n'
    Path("frameengine.toml").write_text(text, encoding="utf-8")
    done = frameengine(*arguments)
    assert (done.code, "A_KEY is not set" in done.err, "frameengine.toml" in done.err) == (2, True, True)
    assert not Path("x.trace.jsonl").exists()


def test_where_the_configuration_is_looked_for(
    server: ModelServer, frameengine: Frameengine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--models goes before FRAMEENGINE_MODELS, that before frameengine.toml, and that before the usual variables."""
    for name in ("option", "variable", "frameengine"):
        text = f'[endpoints.a]\nbase_url = "{server.url}"\n[models.default]\nmodel = "{name}"\n'
        Path(f"{name}.toml").write_text(text, encoding="utf-8")
    monkeypatch.setenv("FRAMEENGINE_MODELS", "variable.toml")
    arguments = ("run", "--graph", "tool-loop", "-m", "hi", "--live", "--force", "-o", "x.trace.jsonl")
    frameengine(*arguments, "--models", "option.toml")
    frameengine(*arguments)
    monkeypatch.delenv("FRAMEENGINE_MODELS")
    frameengine(*arguments)
    Path("frameengine.toml").unlink()
    frameengine(*arguments)
    assert [request.json()["model"] for request in server.requests] == ["option", "variable", "frameengine", "m"]


@pytest.mark.parametrize(
    "options", [("--models", "m.toml"), ("--live", "--reply", "hi")], ids=["models without live", "live and reply"]
)
def test_options_that_contradict_are_refused(frameengine: Frameengine, options: tuple[str, ...]) -> None:
    """Who answers must be said once."""
    assert frameengine("run", "--graph", "tool-loop", "-m", "hi", *options).code == 2


def test_a_short_key_is_no_obstacle(server: ModelServer, frameengine: Frameengine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Local servers take any key: one that is shorter than a placeholder can be is sent, and words like it stay."""
    monkeypatch.setenv("OPENAI_API_KEY", "ollama")
    server.enqueue(stream("I am ollama."))
    assert frameengine("run", "--graph", "tool-loop", "-m", "who?", "--live", "-o", "x.trace.jsonl").code == 0
    assert server.requests[0].header("authorization") == "Bearer ollama"
    assert "I am ollama." in Path("x.trace.jsonl").read_text(encoding="utf-8")


# ---------------------------------------------------------------------- at a terminal


def at_terminal(folder: Path, *arguments: str) -> Terminal:
    """Run a command in a terminal of its own."""
    environment = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "CI")}
    command = [sys.executable, "-m", "frameengine_cli", *arguments]
    return Terminal(command, folder, {**environment, "TERM": "xterm-256color"}, columns=100)


def test_a_reply_is_read_while_it_comes(server: ModelServer, tmp_path: Path) -> None:
    """At a terminal words are shown before the reply is whole; where the server dies then, they are taken back (exit 1)."""
    server.enqueue([*sse(*map(event, deltas("first second third fourth")[:4])), Hang()])
    with at_terminal(tmp_path, "run", "--graph", "tool-loop", "-m", "hi", "--live", "-o", "x.trace.jsonl") as screen:
        screen.expect("first")
        server.close()
        screen.expect("withdrawn")
        assert screen.wait() == 1
    failure = only(tmp_path / "x.trace.jsonl").calls[0].outcome.error
    assert failure is not None
    assert failure.type == "model.truncated"


def test_the_last_word_comes_before_the_timeline(server: ModelServer, tmp_path: Path) -> None:
    """What was shown as it came is whole before anything else is shown."""
    server.enqueue(stream("first second third"))
    with at_terminal(tmp_path, "run", "--graph", "tool-loop", "-m", "hi", "--live", "-o", "x.trace.jsonl") as screen:
        assert "╭" not in screen.expect("first second third\n")
        screen.expect("✓ done")
        assert screen.wait() == 0


def test_ctrl_c_cancels_the_message_and_keeps_a_whole_trace(
    server: ModelServer, frameengine: Frameengine, tmp_path: Path
) -> None:
    """Ctrl-C in mid-reply records a Cancel, leaves out the messages that follow, seals the trace, and it replays; exit 130."""
    server.enqueue([*sse(*map(event, deltas("first second third fourth")[:4])), Hang()])
    command = ("run", "--graph", "tool-loop", "-m", "one", "-m", "two", "--live", "-o", "x.trace.jsonl")
    with at_terminal(tmp_path, *command) as screen:
        screen.expect("first")
        screen.type("\x03")
        assert screen.wait() == 130
    assert len(server.requests) == 1
    assert verify(tmp_path / "x.trace.jsonl").counts.inputs == 2
    assert frameengine("replay", "x.trace.jsonl").code == 0


def test_what_a_failed_call_showed_is_withdrawn(server: ModelServer, tmp_path: Path) -> None:
    """Words of a reply that breaks off are taken back where they can be read."""
    server.enqueue([*sse(*map(event, deltas("first second third fourth")[:4])), Cut()])
    with at_terminal(tmp_path, "run", "--graph", "tool-loop", "-m", "hi", "--live", "-o", "x.trace.jsonl") as screen:
        screen.expect("first")
        screen.expect("withdrawn")
        assert screen.wait() == 1


# ---------------------------------------------------------------------- chat


def test_a_live_chat_shows_pieces_and_tells_what_was_spent(server: ModelServer, frameengine: Frameengine) -> None:
    """Programs get each piece as it comes, the answer once, and the figures at the end; the trace replays."""
    done = frameengine("chat", "--graph", "tool-loop", "--live", "--json", "-o", "x.trace.jsonl", stdin=b"hello you there\n")
    told = [json.loads(line) for line in done.out.splitlines()]
    pieces = [each["text"] for each in told if each.get("kind") == "text"]
    assert (done.code, "".join(pieces)) == (0, "You said: hello you there")
    assert len(pieces) > 1
    assert told[-1]["spent"]["calls"] == len(server.requests) == 1
    server.close()
    assert frameengine("replay", "x.trace.jsonl").code == 0


def test_a_chat_goes_on_after_a_failed_call(server: ModelServer, frameengine: Frameengine) -> None:
    """A refused call fails its message, is exit 1 in the end, and the next message is answered."""
    server.enqueue(error(401, f"wrong key {KEY}"))
    done = frameengine("chat", "--graph", "tool-loop", "--live", "-o", "x.trace.jsonl", stdin=b"one\ntwo\n")
    assert (done.code, "401" in done.out) == (1, True)
    assert "You said: two" in done.out, done.out
    assert "2 model calls" in done.err
    assert KEY not in done.out + done.err + Path("x.trace.jsonl").read_text(encoding="utf-8")


# ---------------------------------------------------------------------- rerun and fork


def test_a_rerun_asks_live_models_for_what_is_not_recorded(server: ModelServer, frameengine: Frameengine, weather: Path) -> None:
    """--on-miss live sends what no recorded reply answers to the model that is configured, without secrets in the new trace."""
    server.respond = lambda _: stream(f"It is {KEY}.")
    arguments = ("rerun", weather, "--graph", "v3-framed", "--on-miss", "live", "--allow-unused", "-o", "x.trace.jsonl", "--json")
    done = frameengine(*arguments)
    assert done.json["verdict"] == "completed"
    assert done.json["calls"]["live"] == len(server.requests) > 0
    assert KEY not in Path("x.trace.jsonl").read_text(encoding="utf-8")
    server.close()
    assert frameengine("replay", "x.trace.jsonl").code == 0


def test_a_fork_in_the_debugger_asks_live_models(server: ModelServer, frameengine: Frameengine, weather: Path) -> None:
    """What an edit changes is answered by the model that is configured, where the fork says --live."""
    server.respond = lambda _: stream("Take an umbrella.")
    lines = b"goto 1.3\nedit input Is it raining?\nfork --live fork.trace.jsonl\nquit\n"
    done = frameengine("debug", weather, stdin=lines)
    assert Path("fork.trace.jsonl").exists(), done.out + done.err
    assert len(server.requests) > 0
    assert "Take an umbrella." in Path("fork.trace.jsonl").read_text(encoding="utf-8")


def half(request: Request) -> Script:
    """Answer the first role of a framed graph, and refuse the second one, which makes do without."""
    return error(500, "no luck") if b"<task>" in request.body else stream('{"intent": "question", "response_hint": "x"}')


def test_a_rerun_tells_of_live_calls_that_failed(server: ModelServer, frameengine: Frameengine, weather: Path) -> None:
    """A live call that fails in the end is exit 1 and told with what to do, also where every message is done all the same."""
    Path("frameengine.toml").write_text(
        f'[endpoints.a]\nbase_url = "{server.url}"\nretry = {{ attempts = 1 }}\n[models.default]\nmodel = "m"\n', encoding="utf-8"
    )
    server.respond = half
    arguments = (
        "rerun",
        weather,
        "--graph",
        "v3-framed",
        "--on-miss",
        "live",
        "--allow-unused",
        "--force",
        "-o",
        "x.trace.jsonl",
    )
    done, as_json = frameengine(*arguments), frameengine(*arguments, "--json")
    assert (done.code, as_json.code, as_json.json["ok"]) == (1, 1, False)
    assert "director[0]: the endpoint answered 500" in done.err
    assert "try: frameengine doctor" in done.err
    # No problem of a message: all of them are done.
    assert [problem["code"] for problem in as_json.json["problems"]] == ["effect.model"]


def test_a_fork_tells_of_live_calls_that_failed(server: ModelServer, frameengine: Frameengine, weather: Path) -> None:
    """A fork whose live calls failed is kept, and is no success: exit 1, and the first of them by name."""
    server.respond = lambda _: error(400, "no luck")
    edits = ("-c", "goto 1.3", "-c", "edit input Is it raining?")
    done = frameengine("debug", weather, *edits, "-c", "fork --live fork.trace.jsonl")
    as_json = frameengine("debug", weather, *edits, "-c", "fork --live again.trace.jsonl", "--json")
    assert (done.code, as_json.code, "the endpoint answered 400" in done.out) == (1, 1, True), done.out + done.err
    failed = json.loads(as_json.out.splitlines()[-1])["fork"]["failed"]
    assert len(failed) == len(server.requests) / 2 > 0
    assert Path("fork.trace.jsonl").exists()


def test_completion_in_one_body_is_recorded_too(server: ModelServer, frameengine: Frameengine) -> None:
    """An endpoint that does not stream is asked for a body, and its reply is recorded and replays."""
    text = f'[endpoints.a]\nbase_url = "{server.url}"\nstream = false\n[models.default]\nmodel = "m"\n'
    Path("frameengine.toml").write_text(text, encoding="utf-8")
    server.enqueue(completion("whole"))
    done = frameengine("run", "--graph", "tool-loop", "-m", "hi", "--live", "-o", "x.trace.jsonl")
    body: Any = server.requests[0].json()
    assert (done.code, body["stream"]) == (0, False)
    assert "whole" in done.out
    assert frameengine("replay", "x.trace.jsonl").code == 0
