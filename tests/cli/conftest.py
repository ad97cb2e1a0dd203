"""What the tests of the command line share: traces made on the spot, and a way to type commands."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from cli_runs import JACKET, WEATHER, Done, Frameengine, Record, record_run
from frameengine.inputs import Body
from frameengine_cli.app import execute


@pytest.fixture
def record(tmp_path: Path) -> Record:
    """Return a function that records a run under a name in the folder ``traces``."""

    def make(name: str, *turns: tuple[Body | str, Sequence[Any]], seal: bool = True) -> Path:
        return record_run(tmp_path / "traces" / f"{name}.trace.jsonl", turns, seal=seal)

    return make


@pytest.fixture
def weather(record: Record) -> Path:
    """Return a trace of two messages: one with tools, of which one fails, and one without."""
    return record("weather", WEATHER, JACKET)


@pytest.fixture
def frameengine(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Frameengine:
    """Return a function that runs a command line in an empty folder."""
    monkeypatch.chdir(tmp_path)
    models = [f"{name}_{what}" for name in ("OPENAI", "OPENROUTER") for what in ("API_KEY", "BASE_URL", "MODEL")]
    for name in ("FRAMEENGINE_TRACES", "FRAMEENGINE_DEBUG", "FRAMEENGINE_MODELS", "CI", *models):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: str | Path, stdin: bytes | None = None) -> Done:
        if stdin is not None:
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capsys.readouterr()
        code = execute([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Done(code, captured.out, captured.err)

    return run
