"""The pages in docs are run, and held against the code: programs, commands, tables, words and links."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

import pytest
from attrs import frozen

from frameengine import limits
from frameengine.errors import CassetteMiss
from frameengine.replay.divergence import KINDS as DIVERGENCES
from frameengine.replay.divergence import Cause
from frameengine.replay.replayer import Replayer
from frameengine.rerun.versions import matrix
from frameengine.trace import numbering, writer
from frameengine.trace.format import KINDS
from frameengine.trace.schemas import schema_of
from frameengine.trace.verify import verify
from pseudo_terminal import Terminal

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
RUNNABLE = (
    "agents.md",
    "chat.md",
    "diff.md",
    "extending.md",
    "guard.md",
    "in-process.md",
    "rerun.md",
    "snapshots.md",
    "suites.md",
    "testcase.md",
    "tools.md",
    "trace-format.md",
)
"""Pages whose files are written and whose commands are run, in order, in one folder."""
EXAMPLE = "example.trace.jsonl"
TRACES = sorted([*(ROOT / "traces").glob("*.trace.jsonl"), *(ROOT / "traces" / "diverging").glob("*.trace.jsonl")])
HANG_SECONDS = 300
"""A command that takes this long waits for something that will not come."""

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAMED = re.compile(r"# ([\w-]+\.(?:py|toml|md))\n")
EXIT = re.compile(r"\s+# exit (\d+)$")
DIGEST = re.compile(r"\b[0-9a-f]{12,64}\b")
ROW = re.compile(r"^\| (.+) \|$", re.MULTILINE)
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)")
PATH = re.compile(r"`((?:frameengine|tests|traces|fixtures|cli|docs|benchmarks)/[\w./-]*)`")


@frozen(kw_only=True)
class Command:
    """One command of a page."""

    text: str
    """What is typed."""
    status: int
    """The exit status that the page promises."""
    shown: tuple[str, ...]
    """Lines of its output that the page shows."""


def read(name: str) -> str:
    """Return the text of a page."""
    return (DOCS / name).read_text(encoding="utf-8")


def blocks(page: str) -> list[tuple[str, str]]:
    """Return language and text of each fenced block."""
    return [(found[1], found[2]) for found in FENCE.finditer(page)]


def commands(block: str) -> list[Command]:
    """Return the commands of a console block, each with the output below it."""
    found: list[Command] = []
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        typed, *shown = part.rstrip("\n").split("\n")
        promise = EXIT.search(typed)
        found.append(Command(text=EXIT.sub("", typed), status=int(promise[1]) if promise else 0, shown=tuple(shown)))
    return found


def cells(page: str, first: str) -> list[list[str]]:
    """Return the rows of the table whose first heading is *first*, header and rule left out."""
    start = page.index(f"| {first} |")
    table = page[start : page.find("\n\n", start)]
    return [row.split(" | ") for row in ROW.findall(table)[1:] if not row.startswith("---")]


def words(text: str) -> str:
    """Return *text* with single spaces, so that the width of a screen makes no difference."""
    return " ".join(text.split())


def masked(text: str) -> str:
    """Return *text* without its digests, which a new version of the project changes."""
    return DIGEST.sub("(digest)", text)


def type_in(command: Command, folder: Path, environment: Mapping[str, str], mask: Callable[[str], str]) -> None:
    """Run one command and hold its status and its output against the page."""
    done = subprocess.run(
        ["bash", "-c", command.text],
        cwd=folder,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=HANG_SECONDS,
    )
    assert done.returncode == command.status, f"{command.text}\n{done.stdout}"
    left = mask(words(done.stdout))
    for line in filter(str.strip, command.shown):
        _, found, left = left.partition(mask(words(line)))
        assert found, f"{command.text} does not print, in this order: {line}\n{done.stdout}"


def write_files(page: str, folder: Path) -> list[str]:
    """Write the named files of a page, and its trace; return their names."""
    names = []
    for language, text in blocks(page):
        named = NAMED.match(text)
        name = EXAMPLE if language == "jsonl" else named[1] if named else None
        if name is not None:
            (folder / name).write_text(text, encoding="utf-8")
            names.append(name)
    return names


@pytest.fixture
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return an environment with the `frameengine` and `python` under test, in which modules of the folder can be imported."""
    # A page is followed on somebody's own machine, where goldens may be accepted.
    left_out = ("FRAMEENGINE_", "PYTHON", "PYTEST_", "XDG_", "CI")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    home = str(tmp_path_factory.mktemp("home"))
    own = {"PATH": path, "HOME": home, "NO_COLOR": "1", "COLUMNS": "120", "PYTHONPATH": ".", "PYTHONDONTWRITEBYTECODE": "1"}
    return {**kept, **own}


@pytest.mark.parametrize("name", RUNNABLE)
def test_a_page_can_be_followed(name: str, tmp_path: Path, environment: dict[str, str]) -> None:
    """Whoever writes the files of a page and types its commands gets the statuses and the output that it shows."""
    page = read(name)
    assert write_files(page, tmp_path)
    typed = [command for language, text in blocks(page) if language == "console" for command in commands(text)]
    assert typed
    for command in typed:
        type_in(command, tmp_path, environment, str)


def session(block: str) -> list[tuple[str, str, str]]:
    """Return prompt, what is typed, and all that is shown until the next prompt, of what is done in the debugger."""
    parts = re.split(r"^\(([\w.]+)\) (.*)\n", block, flags=re.MULTILINE)[1:]
    return [(parts[at], parts[at + 1], parts[at + 2]) for at in range(0, len(parts), 3)]


def test_the_tutorial_can_be_followed(tmp_path: Path, environment: dict[str, str]) -> None:
    """Whoever does what the debugging tutorial says sees what it shows; in the debugger to the last sign, in a terminal."""
    page = blocks(read("tutorial-debugging.md"))
    tour = tmp_path / "tour"
    [setup] = [text for language, text in page if language == "sh"]
    type_in(Command(text=setup.replace("/tmp/tour", f"'{tour}'"), status=0, shown=()), ROOT, environment, str)
    told = "".join([text for language, text in page if language == "console"])
    before, opening, after = told.partition("$ frameengine debug ")
    typed, _, rest = after.partition("\n")
    inside, leaving, after = rest.partition(") quit\n")
    seen = {**environment, "COLUMNS": "100"}
    for command in commands(before):
        type_in(command, tour, seen, masked)
    done = session(inside + leaving)
    assert opening
    assert len(done) >= 10
    # Wider than the screens, so that the line editor breaks no line that is typed.
    with Terminal("debug", *typed.split(), cwd=tour, columns=400, env=seen) as terminal:
        for at, (prompt, line, _) in enumerate(done):
            if at:
                shown = terminal.wait_for(f"\n({prompt}) ").partition("\n")[2].rpartition("\n")[0]
                assert [row.rstrip() for row in shown.rstrip().split("\n")] == done[at - 1][2].rstrip().split("\n"), done[at - 1]
            else:
                terminal.wait_for(f"({prompt}) ")
            terminal.press(f"{line}\r")
        # The code of the last command that did not do what it said: the fork that had no answer for a call.
        assert terminal.end() == CassetteMiss.exit_code
    for command in commands(after):
        type_in(command, tour, seen, masked)


def test_the_program_of_the_readme_records_a_trace_that_replays(tmp_path: Path, environment: dict[str, str]) -> None:
    """The README's Python program runs as it stands, and what it recorded replays."""
    assert write_files((ROOT / "README.md").read_text(encoding="utf-8"), tmp_path) == ["record.py"]
    for text in ("python record.py", "frameengine replay mine.trace.jsonl"):
        type_in(Command(text=text, status=0, shown=()), tmp_path, environment, str)


def test_the_screens_of_the_readme_are_real(environment: dict[str, str]) -> None:
    """Each screen in the README is what its command prints; digests may differ, because goldens are recorded anew."""
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    typed = [command for language, text in blocks(page) if language == "console" for command in commands(text)]
    shown = [command for command in typed if command.shown]
    assert len(shown) >= 2
    for command in shown:
        type_in(command, ROOT, environment, masked)


def test_the_example_trace_is_whole_and_replays(tmp_path: Path) -> None:
    """The file on the page of the format is a trace of this version, byte for byte, and replays to the digest of the page."""
    page = read("trace-format.md")
    write_files(page, tmp_path)
    receipt = verify(tmp_path / EXAMPLE)
    result = Replayer(tmp_path / EXAMPLE).run()
    assert (result.verdict, result.canonical) == ("same", receipt.canonical)
    assert f"intact {receipt.head}\n" in page
    assert f"canonical {receipt.canonical}\n" in page


@pytest.mark.parametrize("trace", TRACES, ids=lambda path: path.name)
def test_the_page_of_the_format_is_enough_for_a_reader(trace: Path, tmp_path: Path, environment: dict[str, str]) -> None:
    """The page's two programs, which know nothing of this project, prove every committed trace and find its canonical digest."""
    write_files(read("trace-format.md"), tmp_path)
    receipt = verify(trace)
    for program, line in (("chain.py", f"intact {receipt.head}"), ("canonical.py", f"canonical {receipt.canonical}")):
        type_in(Command(text=f"python {program} '{trace}'", status=0, shown=(line,)), tmp_path, environment, str)


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "a changed byte": lambda data: data.replace(b"trace hold", b"trace Hold", 1),
    "a line less": lambda data: data[: data.index(b"\n") + 1] + data[data.index(b"\n", data.index(b"\n") + 1) + 1 :],
    "no seal": lambda data: data[: data.rindex(b"\n", 0, -1) + 1],
    "a torn end": lambda data: data[:-1],
    "something after the seal": lambda data: data + data[data.rindex(b"\n", 0, -1) + 1 :],
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_the_page_s_program_finds_damage(damage: str, tmp_path: Path, environment: dict[str, str]) -> None:
    """The program that proves a file whole refuses one that is not."""
    write_files(read("trace-format.md"), tmp_path)
    path = tmp_path / EXAMPLE
    path.write_bytes(DAMAGE[damage](path.read_bytes()))
    type_in(Command(text=f"python chain.py {EXAMPLE}", status=1, shown=()), tmp_path, environment, str)


def test_the_bounds_on_the_page_are_those_of_the_code() -> None:
    """Each bound in the table of the format has the value that the code has."""
    rows = cells(read("trace-format.md"), "name")
    assert len(rows) >= 8
    for name, bound, *_ in rows:
        home = next(module for module in (limits, numbering, writer) if hasattr(module, name.strip("`")))
        assert int(bound.replace(",", "")) == getattr(home, name.strip("`")), name


def test_the_members_on_the_page_are_those_of_the_schemas() -> None:
    """The table of lines has every kind, every member that a line must have, and none that it may not have."""
    rows = {row[0].strip("`"): re.findall(r"`(\w+)`", row[1]) for row in cells(read("trace-format.md"), "kind")}
    assert sorted(rows) == sorted(KINDS)
    for kind, names in rows.items():
        schema = schema_of(kind)
        told = {"kind", "chain", *names} - {"virtual", "recorded"}
        assert set(schema["required"]) <= told, kind
        assert told <= set(schema["properties"]), kind


def test_the_matrix_on_the_page_is_that_of_the_goldens() -> None:
    """The four columns of the ten-message conversation have the paths, frames and changed answers of the committed traces."""
    versions = matrix(sorted((ROOT / "traces").glob("conversation-v*.trace.jsonl")))
    told = cells(read("rerun.md"), "#")
    assert len(versions.columns) == 4
    assert [row[0] for row in told] == [str(entered.number) for entered in versions.rows]
    for entered, row in zip(versions.rows, told, strict=True):
        for column, cell in zip(versions.columns, row[1:], strict=True):
            figures = column.cells[entered.number].figures
            other = "≠ " if "answer" in versions.changes(column, entered.number) else ""
            assert cell == f"{other}{figures.total_frames} {figures.path}", entered.number


def test_kinds_and_causes_on_the_page_are_those_of_the_code() -> None:
    """The page on replay explains every kind of divergence, in the order of precedence, and every cause."""
    page = read("replaying.md")
    assert [row[0].strip("`") for row in cells(page, "kind")] == list(DIVERGENCES)
    causes = [name for row in cells(page, "cause") for name in re.findall(r"`([\w ]+)`", row[0])]
    assert sorted(causes) == sorted(get_args(Cause))


def test_every_word_of_the_glossary_has_a_home() -> None:
    """The words stand in order, once each, and what the last column names is there."""
    rows = cells(read("glossary.md"), "word")
    listed = [row[0].strip("*") for row in rows]
    assert listed == sorted(set(listed))
    for *_, homes in rows:
        for home in re.findall(r"`([\w.]+)`", homes):
            assert exists(f"frameengine.{home}"), home


def exists(name: str) -> bool:
    """Tell whether a dotted name is a module, or something in one."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            found: Any = import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for step in parts[end:]:
            found = getattr(found, step, None)
        return found is not None
    return False


def test_a_word_without_a_home_is_noticed() -> None:
    """A name that nothing has is not taken for one that something has."""
    assert exists("frameengine.state.RunState.apply")
    assert not exists("frameengine.state.RunStates")
    assert not exists("frameengine.nowhere.RunState")


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(DOCS).as_posix())
def test_links_and_paths_lead_somewhere(page: Path) -> None:
    """Each relative link of a page, and each path of the project that it names, is there."""
    text = page.read_text(encoding="utf-8")
    assert [link for link in LINK.findall(text) if not (page.parent / link).exists()] == []
    assert [path for path in PATH.findall(text) if not (ROOT / path).exists()] == []


def test_every_decision_is_listed_and_complete() -> None:
    """The index has each decision once, under its own title, and each says context, decision and consequences."""
    files = [page for page in PAGES if page.parent.name == "decisions" and page.name != "README.md"]
    index = read("decisions/README.md")
    for number, page in enumerate(files, start=1):
        title, _, text = page.read_text(encoding="utf-8").partition("\n")
        assert page.name.startswith(f"{number:04}-")
        assert title.startswith(f"# {number}. ")
        assert f"| {number} | [{title.partition('. ')[2]}]({page.name}) |" in index
        assert re.findall(r"^\*\*(\w+)\.\*\*", text, re.MULTILINE) == ["Context", "Decision", "Consequences"]
    assert index.count("](") == len(files) >= 13


def test_a_page_that_lies_is_noticed(tmp_path: Path, environment: dict[str, str]) -> None:
    """A command that exits otherwise, or prints something else, than its page says fails."""
    type_in(Command(text="echo a  b; echo c", status=0, shown=("a b", "c")), tmp_path, environment, str)
    for lie in (
        Command(text="echo a", status=1, shown=()),
        Command(text="echo a", status=0, shown=("b",)),
        Command(text="echo a; echo b", status=0, shown=("b", "a")),
    ):
        with pytest.raises(AssertionError):
            type_in(lie, tmp_path, environment, str)
