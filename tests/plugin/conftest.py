"""A small agent with two goldens, as a project of its own that the plugin is tried on."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

AGENT = """
from frameengine.effects import ModelCall
from frameengine.node import NodeResult


class Ask:
    async def run(self, message, ctx):
        asked = {"role": "user", "content": f"Please answer: {message.text}"}
        reply = await ctx.perform(ModelCall(model="m", messages=[asked]))
        ctx.say(f"Answer: {reply.text}")
        return NodeResult()
"""
GRAPH = """
name = "asking"
version = 1

[entry]
UserMessage = "ask"

[[nodes]]
name = "ask"
implementation = "agent:Ask"
"""
INI = """
[pytest]
pythonpath = .
frames_goldens = goldens
frames_graphs = asking.toml
"""


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the project once: an agent, its graph, and two recorded and approved goldens."""
    folder = tmp_path_factory.mktemp("template")
    (folder / "agent.py").write_text(AGENT, encoding="utf-8")
    (folder / "asking.toml").write_text(GRAPH, encoding="utf-8")
    (folder / "pytest.ini").write_text(INI, encoding="utf-8")
    (folder / "goldens").mkdir()
    for name, text in (("hello", "How are you?"), ("bye", "Good bye!")):
        run = [
            "run",
            "--graph",
            "asking.toml",
            "-m",
            text,
            "--reply",
            f"reply to {name}",
            "-q",
            "-o",
            f"goldens/{name}.trace.jsonl",
        ]
        type_in(folder, *run)
    type_in(folder, "snapshot", "index", "goldens")
    return folder


def type_in(folder: Path, *arguments: str) -> None:
    """Run a command of ours in a folder, where its modules can be imported and nobody calls it CI."""
    environment = {"PYTHONPATH": ".", "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-m", "frameengine_cli", *arguments]
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)


@pytest.fixture
def project(pytester: pytest.Pytester, template: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Return a copy of the project, on a machine that is no CI, and in no worker: sessions in it are whole ones."""
    for name in ("CI", "PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT", "PYTEST_XDIST_TESTRUNUID"):
        monkeypatch.delenv(name, raising=False)
    shutil.copytree(template, pytester.path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    return pytester
