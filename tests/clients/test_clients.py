"""Real clients, of today and of one major version back, recorded and replayed: in process, and through the proxy."""

from __future__ import annotations

import json
import os
import subprocess
from contextlib import closing
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest

from client_environments import NODE, PYTHON, Environment, made
from frameengine.exchanges.book import Book
from frameengine.exchanges.recorder import ExchangeRecorder
from frameengine_cli.proxying.record import RecordApp
from frameengine_cli.proxying.replay import ReplayApp
from frameengine_cli.proxying.server import background, listen, url_of
from messages_api import respond
from model_server import ModelServer

pytestmark = pytest.mark.nightly
ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
HANG_SECONDS = 120
NAME = attrgetter("name")


@pytest.fixture
def environment(request: pytest.FixtureRequest) -> Environment:
    """Return the environment of one client, made where it is not there yet."""
    wanted: Environment = request.param
    try:
        return made(wanted)
    except (OSError, subprocess.CalledProcessError) as problem:
        pytest.skip(f"{wanted.name} cannot be installed here: {problem}")


def run(environment: Environment, mode: str, url: str, file: str = "") -> dict[str, Any]:
    """Run the client's agent in its environment, and return what it printed."""
    agents = HERE / "agents"
    if environment in NODE:
        # Node looks for packages beside the script.
        script = environment.folder / "agent.mjs"
        script.write_text((agents / "node_agent.mjs").read_text(encoding="utf-8"), encoding="utf-8")
        command = ["node", str(script), url]
    else:
        command = [str(environment.python), str(agents / "drive.py"), mode, environment.agent, url, file]
    quiet = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    environ = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ} | quiet
    done = subprocess.run(
        command,
        cwd=HERE,
        env=environ,
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("environment", PYTHON, ids=NAME, indirect=True)
def test_in_process(environment: Environment, tmp_path: Path) -> None:
    """A client that is recorded gets what it gets live, and the same from the recording, with no request to the server."""
    file = str(tmp_path / "run.trace.jsonl")
    with ModelServer(respond) as server:
        live = run(environment, "live", server.url)
        calls = len(server.requests)
        recorded = run(environment, "record", server.url, file)
        assert len(server.requests) == 2 * calls
        assert recorded["results"] == live["results"]
        assert recorded["receipt"]["recorded"] == calls
        assert recorded["past"] == []
        replayed = run(environment, "replay", server.url, file)
        assert len(server.requests) == 2 * calls
    assert replayed["results"] == live["results"]
    assert replayed["receipt"] == {"recorded": calls, "replayed": calls, "missed": 0, "ambiguous": 0}


@pytest.mark.parametrize("environment", [*PYTHON, *NODE], ids=NAME, indirect=True)
def test_through_the_proxy(environment: Environment, tmp_path: Path) -> None:
    """A client whose base URL is the proxy's gets what it gets live, and the same from the recording, with nothing behind it."""
    file = tmp_path / "run.trace.jsonl"
    with ModelServer(respond) as server:
        live = run(environment, "live", server.url)
        calls = len(server.requests)
        with ExchangeRecorder(file, provenance={"recorded": "proxy"}) as recorder, closing(listen()) as listener:
            with background(RecordApp(recorder, server.url), [listener]):
                recorded = run(environment, "live", url_of(listener) + "/v1")
            recorder.seal()
        assert recorded["results"] == live["results"]
        assert recorder.count == calls
    book = Book.read(file)
    with closing(listen()) as listener, background(ReplayApp(book), [listener]):
        replayed = run(environment, "live", url_of(listener) + "/v1")
    assert replayed["results"] == live["results"]
    receipt = book.receipt()
    assert (receipt.verdict, receipt.replayed, receipt.unused) == ("same", calls, 0)
