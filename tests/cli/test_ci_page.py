"""The page on CI and its workflow: the commands run, and what should turn a pipeline red does."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from cli_runs import JACKET, WEATHER, Frameengine, Record, record_run
from rebuild import rebuild

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "ci.md").read_text(encoding="utf-8")
WORKFLOW = (DOCS / "examples" / "github-workflow.yml").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^\$ frameengine (.+)$", PAGE, re.MULTILINE)
RUN = re.compile(r"^ *(?:- )?run: (frameengine .+?)(?:  # <-.*)?$", re.MULTILINE)
SCRIPT = re.compile(r"^( +)run: \|\n((?:\1  .*\n)+)", re.MULTILINE)


@pytest.fixture
def goldens(record: Record, frameengine: Frameengine, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of one approved golden, with its earlier form in the folder of reports."""
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    for folder in ("goldens", "build"):
        Path(folder).mkdir()
    record("weather", WEATHER, JACKET).rename("goldens/order.trace.jsonl")
    record_run(Path("build/before.trace.jsonl"), [WEATHER, JACKET])
    assert frameengine("snapshot", "index", "goldens").code == 0
    return Path("goldens")


def typed(command: str) -> list[str]:
    """Return a command's arguments as a shell gives them, patterns of names filled in."""
    words = shlex.split(command)
    return [name for word in words for name in (map(str, sorted(Path().glob(word))) if "*" in word else [word])]


def test_the_page_and_the_workflow_agree() -> None:
    """The steps of the workflow are the commands of the page, in its order; the last of them stands in a script."""
    assert len(COMMANDS) == 4
    assert [f"frameengine {command}" for command in COMMANDS[:3]] == RUN.findall(WORKFLOW)
    assert "frameengine diff build/before.trace.jsonl" in WORKFLOW
    assert "github-workflow.yml" in PAGE


def test_the_commands_of_the_page_are_green(frameengine: Frameengine, goldens: Path) -> None:
    """On an approved golden that replays, every command is exit 0, and the reports are there."""
    for command in COMMANDS:
        assert frameengine(*typed(command)).code == 0, command
    assert sorted(path.name for path in Path("build").iterdir()) == [
        "before.trace.jsonl",
        "order.html",
        "replay.sarif",
        "replay.xml",
    ]


def _change(golden: Path) -> None:
    def edit(line: dict[str, object]) -> dict[str, object]:
        if line["kind"] == "frame" and line["frame"] == 2 and line["input"] == 2:
            line["records"][0]["emissions"] = [["text", {"stream": "answer", "text": "no"}]]  # type: ignore[index]
        return line

    changed = golden.with_name("changed")
    rebuild(golden, changed, edit)
    changed.replace(golden)


RED: dict[str, tuple[Callable[[Path], object], dict[int, int]]] = {
    "a changed frame": (_change, {0: 1, 1: 4}),
    "a missing golden": (lambda golden: golden.rename("build/elsewhere.trace.jsonl"), {0: 1, 1: 2}),
    "an unused golden": (lambda golden: (golden.parent / "new.trace.jsonl").write_bytes(golden.read_bytes()), {0: 1}),
    "a damaged golden": (lambda golden: golden.write_bytes(golden.read_bytes()[:-50]), {0: 1, 1: 3}),
    "a pending golden": (
        lambda golden: (golden.parent / "order.trace.pending.jsonl").write_bytes(golden.read_bytes()),
        {0: 1},
    ),
}
"""What happens, and the exit codes of the commands of the page, by their place, that notice it."""


@pytest.mark.parametrize("what", RED)
def test_what_nobody_approved_is_red(frameengine: Frameengine, goldens: Path, what: str) -> None:
    """Each thing in the table of the page has the exit code that the table says."""
    happens, codes = RED[what]
    happens(goldens / "order.trace.jsonl")
    for index, code in codes.items():
        done = frameengine(*typed(COMMANDS[index]))
        assert done.code == code, (done.out, done.err)


def test_no_goldens_are_red(frameengine: Frameengine, goldens: Path) -> None:
    """A folder without goldens is no green one."""
    for path in goldens.iterdir():
        path.unlink()
    assert frameengine(*typed(COMMANDS[0])).code == 5
    assert frameengine(*typed(COMMANDS[1])).code == 2


def test_the_script_of_the_workflow_runs(frameengine: Frameengine, goldens: Path, tmp_path: Path) -> None:
    """The step that shows what changed fetches the main branch, and makes an annotation, a summary and a page for each golden."""
    found = SCRIPT.search(WORKFLOW)
    assert found is not None
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("GIT")},
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "GITHUB_BASE_REF": "main",
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"),
        "HOME": str(tmp_path),
    }

    def shell(script: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-e", "-c", script], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
        )

    identity = "git config user.name t && git config user.email t@example.invalid"
    begun = shell(
        f"git init -q -b main && {identity} && git add goldens && git commit -qm one && git clone -q --bare . origin.git"
    )
    assert begun.returncode == 0, begun.stderr
    assert shell("git remote add origin origin.git && git switch -qc topic").returncode == 0
    assert shell(dedent(found[2])).stdout == ""
    _change(goldens / "order.trace.jsonl")
    done = shell(dedent(found[2]))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("::error file=goldens/order.trace.jsonl,title=differs at 2.2 output::")
    assert "### ❌ differs at `2.2 output`" in (tmp_path / "summary.md").read_text(encoding="utf-8")
    assert (tmp_path / "build" / "order.trace.jsonl.html").is_file()
    (goldens / "order.trace.jsonl").write_bytes(b"nothing\n")
    assert shell(dedent(found[2])).returncode == 3
