"""The README is run as it is written: each command in its ``console`` blocks must do what the page shows."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from attrs import frozen

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
FOLDERS = ("traces", "fixtures")
"""What the commands of the README may refer to."""
HANG_SECONDS = 300
"""A command that takes this long waits for something that will not come."""

NOT_RUN = {
    "cd": "there is one folder here",
    "git": "the checkout is there already",
    "pip": "installing is what tests/test_packaging.py does",
    "python -m pip": "as pip",
    "python -m venv": "the environment is there already",
    "python3 -m venv": "the environment is there already",
    "pytest": "the tests are running already",
    "source": "the environment is active already",
    ".ci/run": "it runs this test",
    "uv": "as pip",
}
"""How commands begin that are shown and not run, and why."""

FENCE = re.compile(r"^( *)(`{3,}|~{3,})\s*(\S*)")
EXIT = re.compile(r"(?:^|\s)# exit (\d+)\b.*$")
TARGET = re.compile(r"^([a-z][a-z-]*):.*", re.MULTILINE)


@frozen(kw_only=True)
class Command:
    """One command of a page."""

    line: int
    """Where it stands, from 1."""
    text: str
    """What is typed."""
    status: int = 0
    """The exit status that the page promises."""
    shown: tuple[str, ...] = ()
    """Lines of its output that the page shows; one that begins with an ellipsis stands for any."""


def commands(page: str) -> list[Command]:
    r"""Return the commands of the ``console`` blocks of *page*: what follows ``$ ``, continued after a backslash.

    The promised exit status is 0, or N where ``# exit N`` stands at the end of the command or alone on the line below it.
    """
    found: list[Command] = []
    lines = page.split("\n")
    fence = language = ""
    number = 0
    while number < len(lines):
        line = lines[number]
        number += 1
        mark = FENCE.match(line)
        if mark and not fence:
            fence, language = mark[2], mark[3]
        elif mark and mark[2].startswith(fence) and not mark[3]:
            fence = language = ""
        elif language == "console" and line.lstrip().startswith("$ "):
            start, text = number, line.lstrip()[2:]
            while text.endswith("\\") and number < len(lines):
                text = text[:-1].rstrip() + " " + lines[number].strip().removeprefix(">").strip()
                number += 1
            promise = EXIT.search(text)
            if promise is None and number < len(lines) and lines[number].lstrip().startswith("# exit "):
                promise = EXIT.search(lines[number])
            status = int(promise[1]) if promise else 0
            shown = []
            while number < len(lines) and not FENCE.match(lines[number]) and not lines[number].lstrip().startswith("$ "):
                shown.append(lines[number].strip())
                number += 1
            said = tuple([line for line in shown if line and not line.startswith(("…", "# exit "))])
            found.append(Command(line=start, text=EXIT.sub("", text).strip(), status=status, shown=said))
    return found


def kind(command: Command) -> str:
    """Tell what is done with a command: ``run``, ``make``, ``shown``, or ``unknown``."""
    first = command.text.split()[0]
    if first == "frameengine":
        return "run"
    if first == "make":
        return "make"
    return "shown" if any(f"{command.text} ".startswith(f"{start} ") for start in NOT_RUN) else "unknown"


def make_targets(makefile: str) -> set[str]:
    """Return the targets that *makefile* defines for people."""
    return {match[1] for match in TARGET.finditer(makefile)}


def run_all(listed: list[Command], folder: Path, environment: Mapping[str, str]) -> list[str]:
    """Run commands one after the other in *folder*, and return those that did not keep their promise."""
    problems = []
    for command in listed:
        done = subprocess.run(
            ["bash", "-c", command.text],
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=HANG_SECONDS,
        )
        if done.returncode != command.status:
            statuses = f"exit {done.returncode}, promised {command.status}"
            problems.append(f"line {command.line}: {command.text}\n  {statuses}\n{done.stdout}{done.stderr}")
        left = " ".join((done.stdout + done.stderr).split())
        for line in command.shown:
            _, found, left = left.partition(" ".join(line.split()))
            if not found:
                problems.append(f"line {command.line}: {command.text}\n  does not print, in this order: {line}\n{done.stdout}")
                break
    return problems


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Return an environment in which `frameengine` is the one under test and nothing of the user's is read or written."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("FRAMEENGINE_", "XDG_"))}
    home = tmp_path / "home"
    home.mkdir()
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**kept, "PATH": path, "HOME": str(home), "NO_COLOR": "1", "COLUMNS": "120"}


def readme() -> list[Command]:
    """Return the commands of the README."""
    return commands(README.read_text(encoding="utf-8"))


def test_every_command_of_the_readme_keeps_its_promise(tmp_path: Path, environment: dict[str, str]) -> None:
    """Each `frameengine` command runs as written, in order, in a folder with the samples, exits and prints as the page says."""
    folder = tmp_path / "project"
    folder.mkdir()
    for name in FOLDERS:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    listed = [command for command in readme() if kind(command) == "run"]
    assert listed, "the README shows no frameengine command in a console block"
    problems = run_all(listed, folder, environment)
    assert not problems, "\n" + "\n".join(problems)


def test_every_make_command_of_the_readme_exists() -> None:
    """Each `make` command names targets that the Makefile has."""
    targets = make_targets((ROOT / "Makefile").read_text(encoding="utf-8"))
    for command in readme():
        if kind(command) == "make":
            asked = {word for word in command.text.split()[1:] if "=" not in word and not word.startswith("-")}
            assert asked <= targets, f"line {command.line}: {command.text}"


def test_no_command_of_the_readme_is_passed_over() -> None:
    """Every command is run, or checked against the Makefile, or stands in NOT_RUN with a reason."""
    assert [command for command in readme() if kind(command) == "unknown"] == []


def test_links_of_the_readme_lead_somewhere() -> None:
    """Each relative link names a file or folder of the project."""
    links = re.findall(r"\]\((?!https?:|mailto:|#)([^)#\s]+)", README.read_text(encoding="utf-8"))
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_make_lists_every_target_with_a_text() -> None:
    """`make help` says something about every target that is meant for people."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    told = set(re.findall(r"^([a-z][a-z-]*):.*## \S", makefile, re.MULTILINE))
    assert {"demo", "install", "format", "lint", "types", "test", "nightly", "bench", "goldens", "check", "clean"} <= told
    assert make_targets(makefile) == told


PAGE = """
# A page

```console
$ frameengine replay traces/a.jsonl
same: 5 frames
$ frameengine diff a b  # exit 1
$ frameengine show nowhere
# exit 2
$ frameengine run \\
>     --graph cogs
$ make demo
```

```sh
$ frameengine not-this-one
```

   ~~~console
   $ pip install frameengine
   ~~~

````markdown
```console
$ frameengine nor-this-one
```
````
"""


def test_the_extractor_reads_commands_and_promises() -> None:
    """Commands are found in console blocks only, with their line, their continuation and the exit status they promise."""
    assert commands(PAGE) == [
        Command(line=5, text="frameengine replay traces/a.jsonl", shown=("same: 5 frames",)),
        Command(line=7, text="frameengine diff a b", status=1),
        Command(line=8, text="frameengine show nowhere", status=2),
        Command(line=10, text="frameengine run --graph cogs"),
        Command(line=12, text="make demo"),
        Command(line=20, text="pip install frameengine"),
    ]


def test_commands_are_told_apart() -> None:
    """A command that is neither ours, nor make's, nor listed with a reason is unknown."""
    expected = {
        "frameengine show": "run",
        "make demo": "make",
        "pip install x": "shown",
        "python -m venv .venv": "shown",
        "python script.py": "unknown",
        "pipx install x": "unknown",
        "frameengine-x": "unknown",
    }
    assert {text: kind(Command(line=1, text=text)) for text in expected} == expected


def test_a_broken_promise_is_reported(tmp_path: Path, environment: dict[str, str]) -> None:
    """A command that exits or prints otherwise than promised is named with its line, both statuses and what it printed."""
    listed = [
        Command(line=3, text="echo fine"),
        Command(line=4, text="echo oh no >&2; exit 4", status=1),
        Command(line=5, text="exit 4", status=4),
        Command(line=6, text="echo one; echo two", shown=("one", "two")),
        Command(line=7, text="echo one; echo two", shown=("two", "one")),
    ]
    problem, other = run_all(listed, tmp_path, environment)
    assert "line 4: echo oh no" in problem
    assert "exit 4, promised 1" in problem
    assert problem.endswith("oh no\n")
    assert "line 7: echo one; echo two\n  does not print, in this order: one" in other
