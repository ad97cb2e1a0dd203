"""``frameengine proxy``: exit codes, receipts, mistakes, and what a full disk and a kill leave."""

from __future__ import annotations

import json
import random
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.client import IncompleteRead
from pathlib import Path

import httpx2
import pytest

import frameengine
from frameengine.exchanges.book import Book, read_exchanges
from frameengine.exchanges.gather import RESPONSE_BYTES_MAX
from frameengine.trace.repair import repair
from frameengine.trace.verify import verify
from model_scripts import Pause, answer, completion
from model_server import ModelServer
from proxies import Client, Process, close_clients


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """Close what a test has opened."""
    yield
    close_clients()


def test_a_full_disk_is_told_to_the_client_and_nothing_is_acknowledged(tmp_path: Path) -> None:
    """The call that could not be written gets an error and not its answer; the command ends with the storage error."""
    path = tmp_path / "x.trace.jsonl"
    with ModelServer() as server:
        process = Process("record", "--upstream", server.url, "-o", str(path))
        resource.prlimit(process.child.pid, resource.RLIMIT_FSIZE, (12_000, 12_000))
        client = Client(process.url)
        answered = 0
        while (reply := client.chat(f"{answered} " + "x" * 1000))[0] == 200:
            answered += 1
            assert answered < 50
        assert reply[0] == 507
        assert "nothing is recorded" in json.loads(reply[2])["error"]["message"]
        out, _ = process.child.communicate(timeout=30)
    assert process.child.returncode == 1
    assert json.loads(out)["error"]["code"] == "storage"
    assert answered > 1
    repair(path, tmp_path / "good.trace.jsonl")
    assert len(Book.read(tmp_path / "good.trace.jsonl").unused()) == answered


def killed(tmp_path: Path, rounds: int) -> None:
    """Kill the proxy at a random moment under four clients, again and again, and hold the file against what they have."""
    for turn in range(rounds):
        path, good = tmp_path / f"{turn}.trace.jsonl", tmp_path / f"{turn}.good.trace.jsonl"
        log: list[str] = []
        with ModelServer() as server:
            process = Process("record", "--upstream", server.url, "-o", str(path))

            def agent(name: int, url: str = process.url, log: list[str] = log) -> None:
                client = Client(url)
                try:
                    for number in range(10_000):
                        said = f"{name}.{number}"
                        if said.encode() in client.chat(said, stream=number % 2 == 0)[2]:
                            log.append(said)
                except (OSError, IncompleteRead, ValueError):
                    return

            agents = [threading.Thread(target=agent, args=(name,)) for name in range(4)]
            for one in agents:
                one.start()
            time.sleep(random.Random(turn).uniform(0.3, 0.8))
            process.end(signal.SIGKILL)
            for one in agents:
                one.join(30)
        assert log
        repair(path, good)
        kept = {exchange.request.body["json"]["messages"][0]["content"] for exchange in read_exchanges(good)}
        assert set(log) <= kept
        assert len(kept) <= len(log) + 4


def test_a_kill_loses_nothing_that_was_answered(tmp_path: Path) -> None:
    """After SIGKILL at any moment every answer that a client had whole is in the file, and at most the one that it waited for."""
    killed(tmp_path, 2)


@pytest.mark.nightly
def test_no_kill_of_many_loses_anything_that_was_answered(tmp_path: Path) -> None:
    """The same sixty times."""
    killed(tmp_path, 60)


def test_the_commands_record_and_replay_and_say_so(tmp_path: Path) -> None:
    """Record, replay: exit 0; a miss or something left: 4; no call: 5, and no file is left."""
    path = tmp_path / "x.trace.jsonl"
    with ModelServer() as server:
        process = Process("record", "--upstream", server.url, "-o", str(path))
        assert process.url.endswith("/v1")
        live = [Client(process.url).chat(text) for text in ("one", "two")]
        code, receipt, _ = process.end()
        assert (code, receipt["verdict"], receipt["exchanges"]) == (0, "recorded", 2)
        process = Process("record", "--upstream", server.url, "-o", str(tmp_path / "none.trace.jsonl"))
        code, receipt, _ = process.end(signal.SIGTERM)
        assert (code, receipt["error"]["code"]) == (5, "nothing")
        assert not (tmp_path / "none.trace.jsonl").exists()
    for asked, expected in (
        (["one", "two"], (0, "same")),
        (["one"], (4, "unused")),
        (["one", "two", "six"], (4, "missed")),
        ([], (5, "nothing")),
    ):
        process = Process("replay", str(path))
        assert process.url.endswith("/v1")
        got = [Client(process.url).chat(text) for text in asked]
        assert got[:2] == live[: len(asked)]
        code, receipt, _ = process.end(signal.SIGTERM)
        assert (code, receipt["verdict"]) == expected


def test_a_recording_made_in_process_is_answered_from_by_a_proxy(tmp_path: Path) -> None:
    """Its hosts do not count, the base URL is found in its paths, and each call is answered once."""
    path = tmp_path / "x.trace.jsonl"
    with ModelServer() as server, frameengine.recording(path), httpx2.Client(trust_env=False) as client:
        body = {"model": "m", "messages": [{"role": "user", "content": "one"}]}
        live = client.post(f"{server.url}/chat/completions", json=body).content
    process = Process("replay", str(path))
    assert process.url.endswith("/v1")
    with httpx2.Client(trust_env=False) as client:
        assert client.post(f"{process.url}/chat/completions", json=body).content == live
    code, receipt, _ = process.end(signal.SIGTERM)
    assert (code, receipt["verdict"]) == (0, "same")


def test_equal_requests_at_once_fail_unless_that_is_allowed(tmp_path: Path) -> None:
    """Nobody can know which of two different answers belongs to which: exit 4 and a hint, or allowed by name."""
    path = tmp_path / "x.trace.jsonl"

    def both(url: str) -> None:
        asking = [threading.Thread(target=lambda: Client(url).chat("same")) for _ in range(2)]
        for one in asking:
            one.start()
        for one in asking:
            one.join()

    with ModelServer() as server:
        server.enqueue(*[[Pause(0.5), *completion(f"answer {number}")] for number in range(2)])
        process = Process("record", "--upstream", server.url, "-o", str(path))
        both(process.url)
        assert process.end()[0] == 0
    for options, expected in (([], 4), (["--allow-ambiguous"], 0)):
        process = Process("replay", str(path), *options)
        both(process.url)
        code, receipt, _ = process.end(signal.SIGTERM)
        assert (code, receipt["verdict"], receipt["ambiguous"], receipt["ok"]) == (expected, "ambiguous", 1, not expected)


def test_what_no_proxy_takes_is_counted(tmp_path: Path) -> None:
    """A request that is refused is in no recording, and both receipts say that there was one."""
    path = tmp_path / "x.trace.jsonl"
    upgrade = [("connection", "upgrade"), ("upgrade", "websocket")]
    with ModelServer() as server:
        for arguments, verdict in (
            (["record", "--upstream", server.url, "-o", str(path)], "recorded"),
            (["replay", str(path)], "same"),
        ):
            process = Process(*arguments)
            assert Client(process.url).ask("GET", "/v1/realtime", headers=upgrade)[0] == 501
            assert Client(process.url).chat("hi")[0] == 200
            code, receipt, _ = process.end()
            assert (code, receipt["verdict"], receipt["refused"]) == (0, verdict, 1)


def test_a_miss_shows_both_values(tmp_path: Path) -> None:
    """The proxy says what was recorded and what is asked where they part; of a long text, the part around that place; no key."""
    path = tmp_path / "x.trace.jsonl"
    key, long = "sk-proj-Zq8Lm3Vx7Tp2Rk9W", "x" * 5000
    with ModelServer() as server:
        process = Process("record", "--upstream", server.url, "-o", str(path))
        Client(process.url).chat(f"{long} one {long}")
        process.end()
    process = Process("replay", str(path))
    body = json.loads(Client(process.url).chat(f"{long} two \x1b[31m {key} {long}")[2])
    code, _, told = process.end()
    lines = [line.strip() for line in told.splitlines()]
    at = lines.index("nearest: input 1, it differs at /json/messages/0/content")
    recorded, asked = lines[at + 1 : at + 3]
    assert recorded.startswith('recorded "…xx')
    assert asked.startswith('asked    "…xx')
    assert "x one x" in recorded
    assert "x two " in asked
    assert len(recorded) < 400
    assert (code, "\x1b" in told, key in told) == (4, False, False)
    assert all(part in body["error"]["message"] for part in ("x one x", "x two "))
    assert key not in json.dumps(body)


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["record", "-o", "{new}"], 2, "--upstream"),
        (["record", "--upstream", "nowhere", "-o", "{new}"], 2, "http://"),
        (["record", "--upstream", "ftp://host", "-o", "{new}"], 2, "http://"),
        (["record", "--upstream", "http://x:99999/v1", "-o", "{new}"], 2, "no port 99999"),
        (["record", "--upstream", "https://x/v1?api-version=1", "-o", "{new}"], 2, "query"),
        (["record", "--upstream", "http://localhost:{free}/v1", "-o", "{new}", "--port", "{free}"], 2, "this proxy itself"),
        (["record", "--upstream", "http://127.0.0.1:1", "-o", "{new}", "--port", "{port}"], 2, "cannot be had"),
        (["record", "--upstream", "http://127.0.0.1:1", "-o", "{new}", "--host", "no such host"], 2, "no address"),
        (["record", "--upstream", "http://127.0.0.1:1", "-o", "{empty}"], 2, "exists"),
        (["replay", "{empty}"], 3, "empty"),
        (["replay", "{foreign}"], 3, "not HTTP exchanges"),
        (["replay", "{foreign}", "--speed", "0"], 2, "no speed"),
        (["replay", "{new}"], 3, "No such file"),
    ],
)
def test_a_mistake_is_told_before_anything_starts(arguments: list[str], code: int, told: str, tmp_path: Path) -> None:
    """No upstream, none that is one, a port in use, a file that is none: each its exit code, one line and a way out."""
    foreign = Path(__file__).parents[2] / "traces" / "conversation-v3-framed.trace.jsonl"
    empty = tmp_path / "empty.trace.jsonl"
    with socket.socket() as taken, socket.socket() as free:
        for one in (taken, free):
            one.bind(("127.0.0.1", 0))
        taken.listen()
        ports = {"port": taken.getsockname()[1], "free": free.getsockname()[1]}
        free.close()
        names = {"new": tmp_path / "new.trace.jsonl", "empty": empty, "foreign": foreign, **ports}
        (empty.write_text("x") if arguments[0] == "record" else empty.touch())
        typed = [argument.format(**names) for argument in arguments]
        done = subprocess.run(
            [sys.executable, "-m", "frameengine_cli", "proxy", *typed], capture_output=True, text=True, timeout=60, check=False
        )
    assert done.returncode == code, done.stderr
    assert told in done.stderr
    assert "try:" in done.stderr
    assert "Traceback" not in done.stderr


def test_two_proxies_cannot_write_one_file(tmp_path: Path) -> None:
    """The second one is told who writes it, with exit code 3, and the first goes on."""
    path = tmp_path / "x.trace.jsonl"
    with ModelServer() as server:
        process = Process("record", "--upstream", server.url, "-o", str(path))
        done = subprocess.run(
            [sys.executable, "-m", "frameengine_cli", "proxy", "record", "--upstream", server.url, "-o", str(path), "--force"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, f"process {process.child.pid}" in done.stderr) == (3, True)
        assert Client(process.url).chat("hi")[0] == 200
        assert process.end()[0] == 0
    assert verify(path).counts.calls == 1


def test_a_recording_of_nothing_costs_no_good_one(tmp_path: Path) -> None:
    """With --force and no call the exit code is 5, and what was to be replaced is as it was."""
    path = tmp_path / "x.trace.jsonl"
    with ModelServer() as server:
        process = Process("record", "--upstream", server.url, "-o", str(path))
        Client(process.url).chat("hi")
        assert process.end()[0] == 0
        before = path.read_bytes()
        assert Process("record", "--upstream", server.url, "-o", str(path), "--force").end()[0] == 5
        assert path.read_bytes() == before
        process = Process("record", "--upstream", server.url, "-o", str(path), "--force")
        Client(process.url).chat("another")
        assert process.end()[0] == 0
    assert [one.request.body["json"]["messages"][0]["content"] for one in read_exchanges(path)] == ["another"]


def test_a_file_that_was_taken_away_is_not_called_recorded(tmp_path: Path) -> None:
    """The receipt is an error that says what happened, and promises nothing of a repair."""
    path = tmp_path / "x.trace.jsonl"
    with ModelServer() as server:
        process = Process("record", "--upstream", server.url, "-o", str(path))
        Client(process.url).chat("hi")
        path.unlink()
        code, receipt, _ = process.end()
    assert (code, receipt["error"]["code"]) == (1, "storage")
    assert "taken away" in receipt["error"]["message"]
    assert "repair" not in receipt["error"]["hint"]


def test_an_answer_too_long_to_be_kept_is_told_at_once_and_in_the_receipt(tmp_path: Path) -> None:
    """It counts apart from answers that the upstream cut."""
    path = tmp_path / "x.trace.jsonl"
    with ModelServer() as server:
        server.enqueue(answer(b"y" * (RESPONSE_BYTES_MAX + 1)))
        process = Process("record", "--upstream", server.url, "-o", str(path))
        assert len(Client(process.url).chat("hi")[2]) == RESPONSE_BYTES_MAX + 1
        code, receipt, told = process.end()
    assert (code, receipt["exchanges"], receipt["cut"], receipt["unkept"]) == (0, 1, 0, 1)
    assert "no replay can give it" in told


def test_the_environment_s_keys_are_known(tmp_path: Path) -> None:
    """A key of the environment that no pattern would find is not in the file, wherever it stood."""
    path = tmp_path / "x.trace.jsonl"
    key = "a private word of ours"
    with ModelServer() as server:
        process = Process("record", "--upstream", server.url, "-o", str(path), HOUSE_API_KEY=key)
        assert key.encode() in Client(process.url).chat(f"say {key}")[2]
        assert process.end()[1]["secrets"] == 1
    assert key not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
