"""Somebody's agent, started by us: recorded, answered from the recording, shut in, and never left behind."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from cli_runs import Done
from frameengine.errors import NoSandbox
from frameengine.exchanges.book import read_exchanges
from frameengine.exchanges.routes import NO_KEY
from frameengine.tools.sandbox import network
from frameengine_cli.agents.child import Child, waiting_for_signals
from frameengine_cli.commands.record import _name
from model_scripts import Cut, Head, Pause, Send, answer, completion, stream, tool_call
from model_server import ModelServer
from processes import marked
from pseudo_terminal import Terminal

HANG_SECONDS = 60
KEY = "sk-test-Tz8Qm3Vx7Lp2Rk9W"
ASK = """
import json, os, sys, urllib.request

def ask(messages, variable="OPENAI_BASE_URL", path="/chat/completions"):
    headers = {"content-type": "application/json", "authorization": "Bearer " + os.environ["OPENAI_API_KEY"]}
    body = json.dumps({"model": "m", "messages": messages}).encode()
    with urllib.request.urlopen(urllib.request.Request(os.environ[variable] + path, body, headers)) as answer:
        return json.load(answer)["choices"][0]["message"]
"""
"""An agent's client, out of the standard library."""
TALK = (
    ASK
    + """
history = [{"role": "system", "content": "Be brief."}]
for question in sys.argv[1:]:
    history.append({"role": "user", "content": question})
    history.append(ask(history))
    print(history[-1]["content"])
"""
)
"""An agent that asks what it is told to ask, one question after the other."""


@pytest.fixture
def server() -> Iterator[ModelServer]:
    """Serve a model that repeats what it is told."""
    with ModelServer() as serving:
        yield serving


Run = Callable[..., Done]


@pytest.fixture
def run(tmp_path: Path, server: ModelServer) -> Run:
    """Return a function that runs a command line in an empty folder, in a process of its own; with a key, unless told not to."""

    def run(*arguments: str | Path, key: bool = True) -> Done:
        done = subprocess.run(
            [sys.executable, "-m", "frameengine_cli", *map(str, arguments)],
            cwd=tmp_path,
            env=environment(server, key=key),
            capture_output=True,
            text=True,
            check=False,
            timeout=HANG_SECONDS,
            stdin=subprocess.DEVNULL,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    return run


def environment(server: ModelServer, *, key: bool = True) -> dict[str, str]:
    """Return an environment in which clients ask *server*."""
    kept = {name: value for name, value in os.environ.items() if name not in ("CI", "OPENAI_API_KEY", "FRAMEENGINE_TRACES")}
    return {**kept, "OPENAI_BASE_URL": server.url, **({"OPENAI_API_KEY": KEY} if key else {})}


def agent(folder: Path, code: str = TALK, name: str = "agent.py") -> list[str]:
    """Write an agent, and return the command that runs it."""
    (folder / name).write_text(code, encoding="utf-8")
    return ["--", sys.executable, name]


def test_an_agent_is_recorded_and_answered_without_key_or_server(tmp_path: Path, run: Run, server: ModelServer) -> None:
    """The replay prints what the recording printed, asks nobody, needs no key, and the recording holds none."""
    command = agent(tmp_path)
    first = run("record", "-o", "a.trace.jsonl", *command, "one", "two")
    assert (first.code, first.out) == (0, "You said: one\nYou said: two\n")
    assert "holds    2 calls" in first.err
    assert "egress not checked" in first.err
    asked = len(server.requests)
    assert dict(server.requests[0].headers)["authorization"] == f"Bearer {KEY}"
    again = run("replay", "--exec", "a.trace.jsonl", *command, "one", "two", key=False)
    assert (again.code, again.out) == (0, first.out)
    assert "2 of 2 recorded calls" in again.err
    assert len(server.requests) == asked == 2
    assert KEY not in (tmp_path / "a.trace.jsonl").read_text(encoding="utf-8")


def test_fewer_and_other_calls_than_recorded_fail(tmp_path: Path, run: Run) -> None:
    """An agent that asks less leaves a call unused, one that asks something else misses: both exit 4, and say what."""
    command = agent(tmp_path)
    run("record", "-o", "a.trace.jsonl", *command, "one", "two")
    fewer = run("replay", "--exec", "a.trace.jsonl", *command, "one")
    assert (fewer.code, fewer.out) == (4, "You said: one\n")
    assert "1 recorded call of 2 nobody asked for" in fewer.err
    assert run("replay", "--exec", "a.trace.jsonl", "--allow-unused", *command, "one").code == 0
    more = run("replay", "--exec", "a.trace.jsonl", "--json", *command, "one", "two", "three")
    assert (more.code, more.json["verdict"], more.json["missed"], more.json["ok"]) == (4, "missed", 1, False)
    assert more.json["misses"][0]["nearest"][0]["request"] == "POST /v1/chat/completions"
    assert more.json["agent"]["exit"] == 1


def test_no_call_at_all_is_no_recording_and_no_replay(tmp_path: Path, run: Run) -> None:
    """An agent that calls nothing is exit 5 both times, and leaves no file."""
    empty = run("record", "-o", "none.trace.jsonl", "--", "true")
    assert (empty.code, (tmp_path / "none.trace.jsonl").exists()) == (5, False)
    assert "OPENAI_BASE_URL" in empty.err
    run("record", "-o", "a.trace.jsonl", *agent(tmp_path), "one")
    assert run("replay", "--exec", "a.trace.jsonl", "--", "true").code == 5


def test_the_agents_exit_code_counts_where_all_is_well(tmp_path: Path, run: Run) -> None:
    """A recording and a replay end as the agent did; what is wrong with them goes before."""
    command = agent(tmp_path, TALK + "sys.exit(9)\n")
    assert run("record", "-o", "a.trace.jsonl", *command, "one").code == 9
    assert run("replay", "--exec", "a.trace.jsonl", *command, "one").code == 9
    assert run("replay", "--exec", "a.trace.jsonl", *command).code == 5
    kill = agent(tmp_path, TALK + "import signal; os.kill(os.getpid(), signal.SIGKILL)\n")
    assert run("replay", "--exec", "a.trace.jsonl", *kill, "one").code == 128 + signal.SIGKILL


def test_the_receipt_alone_is_on_stdout_with_json(tmp_path: Path, run: Run) -> None:
    """With --json what the agent prints goes to stderr, and stdout is one document."""
    done = run("record", "--json", "-o", "a.trace.jsonl", *agent(tmp_path), "one")
    assert (done.json["schema_version"], done.json["exchanges"], done.json["agent"]["exit"]) == (1, 1, 0)
    assert "You said: one" in done.err


def test_a_command_that_cannot_be_started_is_the_users_mistake(tmp_path: Path, run: Run) -> None:
    """A missing program is exit 2 with its name, and leaves no file."""
    done = run("record", "-o", "a.trace.jsonl", "--", "no-such-agent")
    assert (done.code, (tmp_path / "a.trace.jsonl").exists()) == (2, False)
    assert "no-such-agent: No such file or directory" in done.err
    assert "Traceback" not in done.err


def test_an_agent_that_asks_nothing_costs_no_good_recording(tmp_path: Path, run: Run) -> None:
    """With --force a program that is missing, or makes no call, leaves what was to be replaced as it was."""
    assert run("record", "-o", "a.trace.jsonl", *agent(tmp_path), "one").code == 0
    before = (tmp_path / "a.trace.jsonl").read_bytes()
    for command, code in (("no-such-agent", 2), ("true", 5)):
        assert run("record", "--force", "-o", "a.trace.jsonl", "--", command).code == code
        assert (tmp_path / "a.trace.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("replay", "--exec", "missing.trace.jsonl", "--", "true"), 3, "missing.trace.jsonl"),
        (("replay", "--exec", "a.trace.jsonl", "--runs", "2", "--", "true"), 2, "an agent is run, not a graph"),
        (("replay", "a.trace.jsonl", "--match", "chain"), 2, "are about an agent"),
        (("record", "--upstream", "nowhere", "--", "true"), 2, "--upstream: the upstream is no URL"),
        (("record",), 2, "COMMAND"),
    ],
)
def test_what_makes_no_sense_is_refused(run: Run, arguments: tuple[str, ...], code: int, words: str) -> None:
    """Each mistake has its exit code and says what it is, without a traceback."""
    done = run(*arguments)
    assert (done.code, words in done.err, "Traceback" in done.err) == (code, True, False)


def test_clients_of_several_kinds_go_to_their_own_servers(
    tmp_path: Path, run: Run, server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each kind of client has a way of its own, and the recording has the path that its server saw."""
    code = ASK + "ask([{'role': 'user', 'content': 'a'}], 'GROQ_BASE_URL', '/openai/v1/chat/completions')\n"
    code += "ask([{'role': 'user', 'content': 'b'}], 'MY_BASE')\n"
    command = agent(tmp_path, "import os\n" + code)
    with ModelServer() as other:
        monkeypatch.setenv("GROQ_BASE_URL", other.url.removesuffix("/v1"))
        done = run("record", "-o", "a.trace.jsonl", "--env", "MY_BASE", *command)
        monkeypatch.delenv("GROQ_BASE_URL")
        assert done.code == 0, done.err
        assert ([one.path for one in other.requests], len(server.requests)) == (["/openai/v1/chat/completions"], 1)
    kept = list(read_exchanges(tmp_path / "a.trace.jsonl"))
    assert [exchange.request.path for exchange in kept] == ["/openai/v1/chat/completions", "/v1/chat/completions"]
    assert len({exchange.lane for exchange in kept}) == 2
    assert run("replay", "--exec", "a.trace.jsonl", "--env", "MY_BASE", *command, key=False).code == 0


def test_a_key_that_was_there_is_stood_in_for(tmp_path: Path, run: Run) -> None:
    """At replay the key variables of the recording are set where they are not; no others are."""
    command = agent(
        tmp_path, TALK + "print(os.environ.get('OPENAI_API_KEY'), os.environ.get('ANTHROPIC_API_KEY'), file=sys.stderr)\n"
    )
    run("record", "-o", "a.trace.jsonl", *command, "one")
    assert f"{NO_KEY} None" in run("replay", "--exec", "a.trace.jsonl", *command, "one", key=False).err


IN_PROCESS = """
import sys
import frameengine
from agent import talk

kind, file, base, *questions = sys.argv[1:]
with (frameengine.recording if kind == "record" else frameengine.replaying)(file) as run:
    talk(questions, base)
print(run.receipt, file=sys.stderr)
"""
"""Runs `HTTPX` with its calls recorded, or answered, in its own process."""
HTTPX = """
import os, sys, time
import httpx2

def talk(questions, base):
    history = [{"role": "system", "content": "Be brief."}]
    headers = {"authorization": "Bearer " + os.environ["OPENAI_API_KEY"]}
    with httpx2.Client(headers=headers, trust_env=False) as client:
        for question in questions:
            history.append({"role": "user", "content": question})
            answer = client.post(base + "/chat/completions", json={"model": "m", "messages": history}).raise_for_status()
            history.append(answer.json()["choices"][0]["message"])
            print(history[-1]["content"])

if __name__ == "__main__":
    talk(sys.argv[1:], os.environ["OPENAI_BASE_URL"])
"""


def in_process(folder: Path, server: ModelServer, *arguments: str, key: bool = True) -> Done:
    """Run the agent with its calls recorded, or answered, in its own process."""
    (folder / "inside.py").write_text(IN_PROCESS, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "inside.py", *arguments],
        cwd=folder,
        env=environment(server, key=key),
        capture_output=True,
        text=True,
        check=False,
        timeout=HANG_SECONDS,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def test_a_recording_made_in_process_answers_an_agent_that_is_started(tmp_path: Path, run: Run, server: ModelServer) -> None:
    """Hosts do not count then, the base URL is found, the key is stood in for, and a changed agent misses as ever."""
    command = agent(tmp_path, HTTPX)
    first = in_process(tmp_path, server, "record", "a.trace.jsonl", server.url, "one", "two")
    assert (first.code, first.out) == (0, "You said: one\nYou said: two\n"), first.err
    again = run("replay", "--exec", "a.trace.jsonl", *command, "one", "two", key=False)
    assert (again.code, again.out) == (0, first.out), again.err
    other = run("replay", "--exec", "a.trace.jsonl", "--json", *command, "one", "three")
    assert (other.code, other.json["missed"]) == (4, 1)
    near = other.json["misses"][0]["nearest"][0]
    assert (near["pointer"], near["asked"]) == ("/json/messages/3/content", "three")
    assert len(server.requests) == 2


def test_a_recording_by_proxy_answers_an_agent_in_its_process(tmp_path: Path, run: Run, server: ModelServer) -> None:
    """It does so wherever the agent thinks that its model is, without its key, and names what the agent asks otherwise."""
    first = run("record", "-o", "a.trace.jsonl", *agent(tmp_path, HTTPX), "one", "two")
    assert first.code == 0
    again = in_process(tmp_path, server, "replay", "a.trace.jsonl", "https://api.example.com/v1", "one", "two", key=False)
    assert (again.code, again.out) == (0, first.out), again.err
    assert again.err == "recorded 2, replayed 2\n"
    other = in_process(tmp_path, server, "replay", "a.trace.jsonl", "https://api.example.com/v1", "one", "three")
    assert other.code == 1
    assert 'recorded "two", asked "three"' in other.err
    assert len(server.requests) == 2


def test_draws_are_not_given_back_by_a_proxy_and_it_says_so(tmp_path: Path, run: Run, server: ModelServer) -> None:
    """An agent with the time in its prompt misses, and is told which replay gives the time back."""
    command = agent(tmp_path, HTTPX.replace('"Be brief."', "str(time.time())"))
    script = IN_PROCESS.replace("(file)", "(file, **({'control': ('clock',)} if kind == 'record' else {}))")
    (tmp_path / "inside.py").write_text(script, encoding="utf-8")
    ran = [sys.executable, "inside.py", "record", "a.trace.jsonl", server.url, "one"]
    subprocess.run(ran, cwd=tmp_path, env=environment(server), check=True, timeout=HANG_SECONDS, capture_output=True)
    done = run("replay", "--exec", "a.trace.jsonl", *command, "one")
    assert done.code == 4
    assert "draws     1 of clock, chance and ids: not given back by a proxy" in done.err
    assert "frameengine.replaying() alone" in done.err


def test_what_is_asked_now_is_kept_and_can_be_compared(tmp_path: Path, run: Run, server: ModelServer) -> None:
    """With -o a replay leaves a recording, misses in it as failed requests; a file is written over with --force only."""
    command = agent(tmp_path)
    run("record", "-o", "a.trace.jsonl", *command, "one", "two")
    same = run("replay", "--exec", "a.trace.jsonl", "-o", "now.trace.jsonl", *command, "one", "two")
    assert (same.code, "asked now.trace.jsonl" in same.err) == (0, True), same.err
    before, now = [list(read_exchanges(tmp_path / f"{name}.trace.jsonl")) for name in ("a", "now")]
    assert [(one.request, one.response.body) for one in now] == [(one.request, one.response.body) for one in before]
    assert run("replay", "--exec", "now.trace.jsonl", *command, "one", "two").code == 0
    assert run("diff", "a.trace.jsonl", "now.trace.jsonl").code == 0
    assert KEY not in (tmp_path / "now.trace.jsonl").read_text(encoding="utf-8")
    for name, told in (("now", "exists"), ("a", "is the trace that is replayed")):
        kept = (tmp_path / f"{name}.trace.jsonl").read_bytes()
        refused = run("replay", "--exec", "a.trace.jsonl", "-o", f"{name}.trace.jsonl", *command, "one")
        assert (refused.code, told in refused.err) == (2, True)
        assert (tmp_path / f"{name}.trace.jsonl").read_bytes() == kept
    changed = run("replay", "--exec", "a.trace.jsonl", "-o", "now.trace.jsonl", "--force", *command, "one", "three")
    assert changed.code == 4
    assert "try: frameengine diff a.trace.jsonl now.trace.jsonl" in changed.err
    assert [one.response.status for one in read_exchanges(tmp_path / "now.trace.jsonl")] == [200, 404]
    differs = run("diff", "a.trace.jsonl", "now.trace.jsonl")
    assert differs.code == 1
    assert "[-two-]" in differs.out
    assert "{+three+}" in differs.out
    assert len(server.requests) == 2


def test_a_miss_says_how_to_see_what_changed(tmp_path: Path, run: Run) -> None:
    """The hint has the option that keeps what was asked, and the command that compares it; nothing is left unasked."""
    command = agent(tmp_path)
    run("record", "-o", "a.trace.jsonl", *command, "one")
    missed = run("replay", "--exec", "a.trace.jsonl", *command, "two")
    assert "-o now.trace.jsonl as well, and then: frameengine diff a.trace.jsonl now.trace.jsonl" in missed.err
    nothing = run("replay", "--exec", "a.trace.jsonl", "-o", "now.trace.jsonl", "--", "true")
    assert (nothing.code, (tmp_path / "now.trace.jsonl").exists()) == (5, False)


AT_ONCE = """
from concurrent.futures import ThreadPoolExecutor

def one(number):
    first = ask([{"role": "user", "content": "start"}])
    return ask([{"role": "user", "content": first["content"]}])["content"]

with ThreadPoolExecutor(3) as pool:
    for answer in pool.map(one, range(3)):
        print(answer, file=sys.stderr)
"""


def test_equal_requests_at_once_are_never_the_same(tmp_path: Path, run: Run, server: ModelServer) -> None:
    """Workers whose first requests are equal may be given each other's answers: exit 4 and the way out, or allowed by name."""
    command = agent(tmp_path, ASK + AT_ONCE)
    # The first three answers wait for one another, so that their requests are under way at once.
    server.enqueue(*[[Pause(0.5), *completion(f"number {number}")] for number in range(3)])
    assert run("record", "-o", "a.trace.jsonl", *command).code == 0
    done = run("replay", "--exec", "a.trace.jsonl", "--json", *command)
    assert (done.code, done.json["verdict"], done.json["ok"], done.json["ambiguous"]) == (4, "ambiguous", False, 2)
    assert done.json["problems"][0]["code"] == "cassette.ambiguous"
    assert "--allow-ambiguous" in done.json["problems"][0]["hint"]
    allowed = run("replay", "--exec", "a.trace.jsonl", "--allow-ambiguous", *command)
    assert (allowed.code, "✓ ambiguous" in allowed.err) == (0, True)


def test_two_servers_with_the_same_paths_are_never_crossed(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal requests to two endpoints get each its own answer in any order, and one endpoint does not answer for the other."""
    command = agent(
        tmp_path, ASK + "for name in sys.argv[1:]:\n    print(ask([{'role': 'user', 'content': 'a'}], name)['content'])\n"
    )
    one, two = "OPENAI_BASE_URL", "OPENROUTER_BASE_URL"
    with ModelServer(lambda _: completion("from the other")) as other:
        monkeypatch.setenv(two, other.url)
        assert run("record", "-o", "a.trace.jsonl", *command, one, two).out == "You said: a\nfrom the other\n"
        monkeypatch.delenv(two)
    swapped = run("replay", "--exec", "a.trace.jsonl", *command, two, one)
    assert (swapped.code, swapped.out) == (0, "from the other\nYou said: a\n")
    twice = run("replay", "--exec", "a.trace.jsonl", *command, one, one)
    assert (twice.code, twice.out) == (4, "You said: a\n")
    assert "an equal one was asked of openrouter" in " ".join(twice.err.split())


def test_a_key_in_an_address_or_a_command_is_in_no_file(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A base URL whose path is a key leaves its placeholder in the recording, which is answered from as any other."""
    command = agent(tmp_path, TALK)
    named = tmp_path / f"agent-{KEY}"
    named.symlink_to(sys.executable)
    with ModelServer() as server:
        url = server.url.removesuffix("/v1") + f"/gateway/{KEY}/v1"
        monkeypatch.setattr(ModelServer, "url", property(lambda _: url))
        first = run("record", "-o", "a.trace.jsonl", "--", named, *command[2:], "one")
        assert (first.code, KEY in (tmp_path / "a.trace.jsonl").read_text(encoding="utf-8")) == (0, False), first.err
        again = run("replay", "--exec", "a.trace.jsonl", "-o", "now.trace.jsonl", *command, "one")
    assert (again.code, again.out) == (0, first.out), again.err
    assert KEY not in (tmp_path / "now.trace.jsonl").read_text(encoding="utf-8")


LATE_KEY = """
ask([{"role": "user", "content": "correct-horse-battery-99"}])
os.environ["OPENAI_API_KEY"] = "correct-horse-battery-99"
ask([{"role": "user", "content": "b"}])
"""
"""An agent that says something which is its key only later."""


def test_what_a_replay_keeps_is_told_with_the_keys_in_it(tmp_path: Path, run: Run) -> None:
    """A trace of what was asked is called exposed as a recording is, and is named only where it was written."""
    command = agent(tmp_path, ASK + LATE_KEY)
    assert "exposed" in run("record", "-o", "a.trace.jsonl", *command).err
    done = run("replay", "--exec", "a.trace.jsonl", "-o", "now.trace.jsonl", *command)
    assert (done.code, "asked now.trace.jsonl" in done.err, "✗ 1 secret in the trace" in done.err) == (0, True, True)
    keep = ("replay", "--exec", "a.trace.jsonl", "--force", "-o", "now.trace.jsonl")
    assert run(*keep, "--json", *command).json["exposed"] == 1
    nothing = run(*keep, "--", "true")
    assert (nothing.code, "now.trace.jsonl" in nothing.err) == (5, False)


IN_A_TURN = """
import json, os, sys, urllib.request

def post(path, body):
    request = urllib.request.Request(os.environ["OPENAI_BASE_URL"] + path, json.dumps(body).encode())
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)

said = [{"role": "user", "content": "look"}]
reply = post("/chat/completions", {"model": "m", "messages": said})["choices"][0]["message"]
result = {"role": "tool", "tool_call_id": reply["tool_calls"][0]["id"], "content": "1"}
post("/chat/completions", {"model": sys.argv[1], "messages": [*said, reply, result]})
post("/embeddings", {"input": sys.argv[2]})
"""
"""An agent that names another model in the middle of a turn, and asks for an embedding."""


def test_recordings_whose_conversations_are_the_same_differ_in_their_calls(tmp_path: Path, run: Run, server: ModelServer) -> None:
    """Another model within a turn and a call of another protocol are in no conversation, and yet no diff calls them the same."""
    command = agent(tmp_path, IN_A_TURN)
    for name, told in {"a": ("m", "x"), "b": ("m", "x"), "model": ("n", "x"), "vector": ("m", "y")}.items():
        server.enqueue(completion(None, tool_calls=[tool_call("lookup")]), completion("done"), answer("{}"))
        assert run("record", "-o", f"{name}.trace.jsonl", *command, *told).code == 0
    same = run("diff", "a.trace.jsonl", "b.trace.jsonl")
    assert (same.code, "✓ same" in same.out, "their calls" in same.err) == (0, True, False), same.out
    for name, place in {"model": "/json/model", "vector": "/json/input"}.items():
        done = run("diff", "a.trace.jsonl", f"{name}.trace.jsonl")
        assert (done.code, f"/input/data/payload{place}" in done.out) == (1, True), done.out
        assert "the conversations are the same, their calls are not: here are the calls" in done.err
        part = run("diff", "a.trace.jsonl", f"{name}.trace.jsonl", "--only", "/input")
        assert (part.code, "their calls are not: see --exchanges" in part.err) == (0, True)
        rest = run("diff", "a.trace.jsonl", f"{name}.trace.jsonl", "--ignore", "/now")
        # What is ignored may be what the requests of a conversation differ in; another protocol's are in none.
        assert (rest.code, "their calls are not" in rest.err) == (1 if name == "vector" else 0, True)
    server.enqueue(answer("{}"))
    alone = agent(tmp_path, IN_A_TURN.partition("said = ")[0] + "post('/embeddings', {'input': 'x'})\n", "alone.py")
    assert run("record", "-o", "alone.trace.jsonl", *alone).code == 0
    assert run("diff", "a.trace.jsonl", "alone.trace.jsonl").code == 1


def test_several_conversations_have_a_heading_each(tmp_path: Path, run: Run) -> None:
    """What is given and cleared between them goes into it; turns keep the numbers by which they are shown and named."""
    talk = 'for text in "ab":\n    ask([{"role": "system", "content": "S"}, {"role": "user", "content": text}])\n'
    command = agent(tmp_path, ASK + talk)
    run("record", "-o", "a.trace.jsonl", *command)
    table = [line.split() for line in run("show", "a.trace.jsonl").out.splitlines()[4:]]
    assert table[0][:6] == ["1", "conversation", "1", "given:", "1", "message"]
    assert (table[1][:3], table[1][-1]) == (["2", "a", "direct"], "done")
    assert table[2][:3] == ["4", "conversation", "2"]
    assert (table[3][:3], table[3][-1]) == (["5", "b", "direct"], "done")
    assert table[4][-1] == "a.trace.jsonl@2"
    assert run("show", "a.trace.jsonl@5").code == run("show", "a.trace.jsonl@3").code == 0


def test_a_forgotten_exec_or_command_is_said_with_the_whole_line(tmp_path: Path, run: Run) -> None:
    """A recording with a command behind it is no list of traces, and one without a command starts no agent."""
    command = agent(tmp_path)
    run("record", "-o", "a.trace.jsonl", *command, "one")
    done = run("replay", "a.trace.jsonl", *command, "one two")
    assert done.code == 2
    assert f"try: say --exec: frameengine replay --exec a.trace.jsonl -- {sys.executable} agent.py 'one two'" in done.err
    done = run("replay", "--exec", "a.trace.jsonl")
    assert done.code == 2
    assert "behind '--': frameengine replay --exec a.trace.jsonl -- python agent.py" in done.err
    done = run("replay")
    assert (done.code, "no trace is named" in done.err) == (2, True)
    assert "several" not in run("replay", "a.trace.jsonl", "a.trace.jsonl").err


REACH = """
import json, os, socket, sys
reached = {}
for name, place in json.loads(sys.argv[1]).items():
    try:
        socket.create_connection(tuple(place), timeout=5).close()
        reached[name] = True
    except OSError:
        reached[name] = False
ask([{"role": "user", "content": "a"}])
print(json.dumps(reached))
"""


def test_a_replayed_agent_reaches_nothing_but_the_recording(tmp_path: Path, run: Run) -> None:
    """A listener on this machine's loopback is reached by the agent that is recorded, and not by the one that is replayed."""
    command = agent(tmp_path, ASK + REACH)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        places = json.dumps({"here": listener.getsockname(), "public": ("192.0.2.1", 9)})
        open_ = run("record", "-o", "a.trace.jsonl", *command, places)
        assert json.loads(open_.out)["here"] is True, open_.err
        shut = run("replay", "--exec", "a.trace.jsonl", *command, places)
        left_open = run("replay", "--exec", "a.trace.jsonl", "--no-isolate", *command, places)
    assert json.loads(left_open.out)["here"] is True
    assert "egress not checked" in left_open.err
    if "not checked" in shut.err:
        # Where the machine gives no network away, the receipt must say so, with the reason.
        assert "egress not checked: " in shut.err
    else:
        assert (shut.code, json.loads(shut.out)) == (0, {"here": False, "public": False})


def test_a_machine_without_namespaces_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where no network can be had, an agent that must be shut in is refused, and another runs with the reason kept."""
    monkeypatch.setattr("frameengine_cli.agents.child._START", _WITHOUT.format(module=network.__name__))
    with waiting_for_signals():
        with pytest.raises(NoSandbox, match="no namespaces here"):
            Child(["true"], isolate=True)
        with Child(["true"], isolate=None) as child:
            assert (child.isolated, child.why_not) == (False, "no namespaces here")
            assert child.run(dict(os.environ)) == 0


_WITHOUT = """
import sys; sys.path.append(sys.argv[2])
import {module} as network
def leave(): raise OSError(1, "no namespaces here")
network.leave = leave
from frameengine.tools.sandbox.escort import main; main()
"""


def lingers(mark: str) -> str:
    """Return an agent that leaves a process behind, which has *mark* on its command line."""
    return TALK + f"import subprocess, time\nsubprocess.Popen(['sleep', '{mark}'], start_new_session=True)\n"


def wait_until(true: Callable[[], bool]) -> None:
    """Wait for something that must come true."""
    end = time.monotonic() + HANG_SECONDS
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_nothing_of_an_agent_is_left_behind(tmp_path: Path, run: Run) -> None:
    """What an agent leaves running in a session of its own is ended with it: nobody would record its calls."""
    mark = str(uuid4().int % 10**8 + 10**6)
    assert run("record", "-o", "a.trace.jsonl", *agent(tmp_path, lingers(mark)), "one").code == 0
    assert marked(mark) == []


def test_a_kill_of_ours_leaves_no_child_and_loses_no_answer(tmp_path: Path, run: Run, server: ModelServer) -> None:
    """After kill -9 the agent and all that it started are gone, and every answered call is in the file."""
    mark = str(uuid4().int % 10**8 + 10**6)
    command = agent(tmp_path, lingers(mark) + "time.sleep(1000)\n")
    arguments = ["record", "-o", "a.trace.jsonl", *command, "one", "two"]
    recording = subprocess.Popen(
        [sys.executable, "-m", "frameengine_cli", *arguments], cwd=tmp_path, env=environment(server), stdout=subprocess.DEVNULL
    )
    wait_until(lambda: bool(marked(mark)))
    recording.kill()
    recording.wait()
    wait_until(lambda: not marked(mark) and not marked(command[-1]))
    assert run("repair", "a.trace.jsonl", "-o", "b.trace.jsonl").code == 0
    assert len(list(read_exchanges(tmp_path / "b.trace.jsonl"))) == 2


TRAP = "import signal\nsignal.signal(signal.{name}, lambda *_: (print('heard', flush=True), sys.exit(7)))\n"
WAITS = "print('ready', flush=True)\nimport time; time.sleep(1000)\n"


def test_a_signal_for_us_is_the_agents(tmp_path: Path, run: Run, server: ModelServer) -> None:
    """SIGTERM reaches the agent, which ends as it likes; the recording is whole."""
    command = agent(tmp_path, TRAP.format(name="SIGTERM").join(["import sys\n", TALK]) + WAITS)
    recording = subprocess.Popen(
        [sys.executable, "-m", "frameengine_cli", "record", "-o", "a.trace.jsonl", *command, "one"],
        cwd=tmp_path,
        env=environment(server),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert recording.stdout is not None
    with recording.stdout as shown:
        while shown.readline() != "ready\n":
            pass
        recording.terminate()
        assert shown.read() == "heard\n"
    assert recording.wait(HANG_SECONDS) == 7
    assert run("verify", "a.trace.jsonl").code == 0


def test_ctrl_c_in_a_terminal_reaches_the_agent_once(tmp_path: Path, server: ModelServer) -> None:
    """Ctrl-C is the agent's, once, and the recording is sealed when the agent has ended by it."""
    counts = "import signal, sys\nheard = []\nsignal.signal(signal.SIGINT, lambda *_: heard.append(1))\n"
    code = (
        counts
        + TALK
        + "import time\nprint('ready', flush=True)\nwhile not heard:\n    time.sleep(0.01)\n"
        + "time.sleep(0.3)\nprint('heard', len(heard))\n"
    )
    terminal = Terminal("record", "-o", "a.trace.jsonl", *agent(tmp_path, code), "one", cwd=tmp_path, env=environment(server))
    terminal.wait_for("ready")
    terminal.press("\x03")
    assert terminal.end() == 0
    assert "heard 1" in terminal.shown
    assert len(list(read_exchanges(tmp_path / "a.trace.jsonl"))) == 1


def test_screens_see_a_recording_as_conversations(tmp_path: Path, run: Run) -> None:
    """show, diff and debug look at a recorded agent through its conversations, say so, and can be told not to."""
    command = agent(tmp_path)
    run("record", "-o", "a.trace.jsonl", *command, "one", "two")
    run("record", "-o", "b.trace.jsonl", *command, "one", "three")
    line = "a.trace.jsonl: 2 exchanges seen as 1 conversation (--exchanges shows them plain)"
    shown = run("show", "a.trace.jsonl")
    assert (shown.code, line in shown.err, "tool-loop v1" in shown.out) == (0, True, True)
    plain = run("show", "--exchanges", "a.trace.jsonl")
    assert (plain.code, plain.err, "exchanges v1" in plain.out) == (0, "", True)
    assert "frameengine show --exchanges a.trace.jsonl@1" in plain.out
    assert "You said: two" in run("show", "a.trace.jsonl@3").out
    differs = run("diff", "a.trace.jsonl", "b.trace.jsonl")
    assert (differs.code, "differs at message 3" in differs.out) == (1, True)
    for there_is_not in ("goto 9", "goto 9.1", "list 9"):
        refused = run("debug", "a.trace.jsonl", "-c", there_is_not)
        assert (refused.code, "error: a.trace.jsonl: there is no " in refused.err) == (2, True), refused.err
        assert "frameengine-" not in refused.err
    lines = ("goto 2.1", "edit reply other", "fork --policy nearest", "compare")
    forked = run("debug", "a.trace.jsonl", *[word for each in lines for word in ("-c", each)])
    assert "left   a.trace.jsonl" in forked.out, forked.err
    walked = run("debug", "a.trace.jsonl", "-c", "step")
    assert (walked.code, line in walked.err) == (0, True)


def test_recorded_calls_stand_in_rows(tmp_path: Path, run: Run, server: ModelServer) -> None:
    """``show --exchanges`` tells of each call what was asked, its status and sizes, and what is missing of its answer."""
    server.enqueue(
        answer(b"[1, 2]"),
        stream("fine"),
        answer(b"no", 404),
        answer(b"\x8b\x02\x80", headers=[("content-encoding", "br")]),
        [Head(framing="chunked"), Send(b"par"), Cut()],
    )
    code = ASK + "import contextlib\nfor _ in range(5):\n    with contextlib.suppress(Exception): ask([])\n"
    assert run("record", "-o", "a.trace.jsonl", *agent(tmp_path, code)).code == 0
    shown = run("show", "--exchanges", "a.trace.jsonl").out.splitlines()
    rows = [re.split("  +", line) for line in shown if re.match(r"\d  ", line)]
    assert [row[1] for row in rows] == ["POST /v1/chat/completions"] * 5
    assert all(row[3].isdecimal() for row in rows)
    assert [[row[2], *row[4:]] for row in rows] == [
        ["✓ 200", "27 bytes", "6 bytes"],
        ["✓ 200", "27 bytes", "729 bytes", "stream"],
        ["✗ 404", "27 bytes", "2 bytes"],
        ["✗ 200", "27 bytes", "not kept: packed in a way that cann…"],
        ["✗ 200", "27 bytes", "3 bytes", "the upstream stopped in the middle …"],
    ]


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (["python", "agents/my_agent.py", "data.csv"], "my_agent"),
        (["uv", "run", "--with", "x", "my_agent.py"], "my_agent"),
        (["node", "dist/agent.mjs"], "agent"),
        (["python3", "-u", "-m", "my_agent.main", "--config", "c.py"], "my_agent.main"),
        (["python", "-m", "../up"], "up"),
        (["./bin/my-agent", "-m", "gpt"], "my-agent"),
    ],
)
def test_a_recording_is_named_after_the_agent(command: list[str], name: str) -> None:
    """The script, the module, or the program: not the interpreter, and never a path."""
    assert _name(command) == name


def test_a_recording_without_a_name_takes_a_free_one(tmp_path: Path, run: Run) -> None:
    """The second is not written over the first."""
    command = agent(tmp_path, name="my_agent.py")
    for _ in range(2):
        assert run("record", *command, "one").code == 0
    names = sorted([path.name for path in (tmp_path / "traces").iterdir()])
    assert names == ["my_agent-2.trace.jsonl", "my_agent.trace.jsonl"]


def test_conversations_are_imported_as_a_trace_that_replays(tmp_path: Path, run: Run) -> None:
    """An import of exchanges writes one trace of all conversations, which verifies and replays; one without any is exit 5."""
    run("record", "-o", "a.trace.jsonl", *agent(tmp_path), "one", "two")
    done = run("import", "exchanges", "a.trace.jsonl", "-o", "frames.trace.jsonl", "--json")
    assert (done.code, done.json["exchanges"], done.json["calls"], len(done.json["conversations"])) == (0, 2, 2, 1)
    assert run("verify", "frames.trace.jsonl").code == 0
    assert run("replay", "frames.trace.jsonl").code == 0
    assert run("import", "exchanges", "a.trace.jsonl", "-o", "frames.trace.jsonl").code == 2
    code = ASK + "import contextlib\nwith contextlib.suppress(Exception): ask([], path='/embeddings')\n"
    run("record", "-o", "c.trace.jsonl", *agent(tmp_path, code))
    other = run("import", "exchanges", "c.trace.jsonl", "-o", "none.trace.jsonl")
    assert (other.code, (tmp_path / "none.trace.jsonl").exists()) == (5, False)
    assert "POST /v1/embeddings" in other.err
    before = (tmp_path / "frames.trace.jsonl").read_bytes()
    assert run("import", "exchanges", "c.trace.jsonl", "-o", "frames.trace.jsonl", "--force").code == 5
    assert (tmp_path / "frames.trace.jsonl").read_bytes() == before


def test_what_runs_nodes_says_that_the_agent_did_not_run(tmp_path: Path, run: Run) -> None:
    """Replay, rerun, a golden under pytest and a test of a frame are all refused: none of them would run the agent."""
    run("record", "-o", "a.trace.jsonl", *agent(tmp_path), "one", "two")
    for words in ("replay", "replay --graph exchanges", "replay --graph recorded", "rerun", "rerun --update"):
        refused = run(*words.split(), "a.trace.jsonl")
        assert (refused.code, "frameengine replay --exec a.trace.jsonl -- COMMAND" in refused.err) == (5, True), words
    test = run("testcase", "a.trace.jsonl@2.1")
    assert (test.code, "frameengine replay --exec a.trace.jsonl -- COMMAND" in test.err) == (5, True)
    assert run("debug", "a.trace.jsonl", "-c", "goto 2.1", "-c", "testcase .").code == 5
    assert not list(tmp_path.glob("test_*"))
    goldens = tmp_path / "goldens"
    goldens.mkdir()
    (tmp_path / "a.trace.jsonl").rename(goldens / "a.trace.jsonl")
    assert run("snapshot", "index", "goldens").code == 0
    command = [sys.executable, "-m", "pytest", "-q", "goldens"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, "there is no node to run, so nothing would be compared" in done.stdout) == (1, True), done.stdout
