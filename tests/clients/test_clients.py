"""Real clients, of today and of one major version back, recorded and replayed: in process, and through the proxy."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
sys.path[:0] = [str(ROOT / "fixtures"), str(HERE)]

from environments import NODE, PYTHON, Environment, made  # noqa: E402
from messages_api import respond  # noqa: E402

from frameengine.exchanges.book import Book  # noqa: E402
from frameengine.exchanges.recorder import ExchangeRecorder  # noqa: E402
from frameengine_cli.proxying.record import RecordApp  # noqa: E402
from frameengine_cli.proxying.replay import ReplayApp  # noqa: E402
from frameengine_cli.proxying.server import background, listen, url_of  # noqa: E402
from model_server import ModelServer  # noqa: E402

pytestmark = pytest.mark.nightly
HANG_SECONDS = 120


@pytest.fixture(params=[*PYTHON, *NODE], ids=lambda environment: environment.name)
def environment(request: pytest.FixtureRequest) -> Environment:
    """Return the environment of one client, made where it is not there yet."""
    try:
        return made(request.param)
    except (OSError, subprocess.CalledProcessError) as problem:
        pytest.skip(f"{request.param.name} cannot be installed here: {problem}")


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


def test_in_process(environment: Environment, tmp_path: Path) -> None:
    """A client that is recorded gets what it gets live, and the same from the recording, with no request to the server."""
    if environment in NODE:
        return
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
