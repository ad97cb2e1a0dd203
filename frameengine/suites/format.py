"""The markdown of a suite: a title, what it needs, and steps of things to do and to expect (C122).

docs/suites.md has the grammar. Reading finds all problems at once, each with its line; `text` writes a suite back, and reading
that gives the same suite.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from attrs import field, frozen

from frameengine.errors import UsageError
from frameengine.suites.actions import CLOSE_MIN, Act, read_act
from frameengine.suites.checks import read_check
from frameengine.suites.evidence import Check

SUITE_BYTES_MAX: Final = 1 << 20
"""Size of a suite's file."""
WHO: Final = ("user", "channel")
"""Who speaks, and where."""
NEEDS: Final = ("graph", "replies", "database", *WHO)
"""What the setup may name."""
ACTS: Final = ("send", "action", "dashboard", "wait", "clear")
"""What a step may do."""
EXPECTATIONS: Final = ("expect_response", "expect_actions", "expect_state", "expect_trace")
"""What a step may expect."""

_STEP: Final = re.compile(r"### (\d+)\. (\S.*)")
_LINE: Final = re.compile(r"- ([a-z_]+):(?: (.*))?")
_LIKE_A_LINE: Final = re.compile(r"\s*(?:[-*+]|\d+[.)])\s*([A-Za-z_]+)\s*:.*")
# Where an editor shows a new line, and this format sees none.
_BREAK: Final = re.compile("[\r\v\f\x1c-\x1e\x85\u2028\u2029]")


@frozen
class Line:
    """One dash line, as it is written."""

    directive: str
    """Its name."""
    text: str
    """What follows the colon."""
    number: int = field(default=0, eq=False)
    """Number of the line in the file, from 1."""


@frozen(kw_only=True)
class Step:
    """One step: its lines are carried out in order, and each expectation looks at what the last act led to."""

    number: int
    """Its number, from 1."""
    name: str
    """What it is called."""
    lines: tuple[Line, ...]
    """Its dash lines."""
    todo: tuple[tuple[Line, Act | Check], ...] = field(eq=False, repr=False)
    """Each line with what it means."""


@frozen(kw_only=True)
class Suite:
    """A suite, read and checked."""

    path: Path = field(eq=False)
    """Its file."""
    title: str
    """Its title."""
    prose: str = ""
    """What it says about itself."""
    setup: tuple[Line, ...] = ()
    """What it needs, line by line."""
    steps: tuple[Step, ...]
    """Its steps, in order."""

    def needs(self, directive: str) -> tuple[str, ...]:
        """Return what the setup says under *directive*, comma lists taken apart."""
        return tuple([part for line in self.setup if line.directive == directive for part in _parts(line)])

    @property
    def databases(self) -> Mapping[str, Path]:
        """Name of each database -> its file, seen from the suite's folder."""
        return {name: self.path.parent / file for name, file in map(_named, self.needs("database"))}

    def replies(self, graph: str) -> Path | None:
        """Return the file of replies for a graph: the one that names it, else the one that names none."""
        files = dict(map(_named, self.needs("replies")))
        file = files.get(graph, files.get(""))
        return None if file is None else self.path.parent / file

    @property
    def checks(self) -> int:
        """Number of expectations."""
        return sum(isinstance(item, Check) for step in self.steps for _, item in step.todo)


def _parts(line: Line) -> list[str]:
    """Return the parts of a comma list; a name of somebody is one, whatever stands in it."""
    return [line.text] if line.directive in WHO else [part.strip() for part in line.text.split(",")]


def _named(entry: str) -> tuple[str, str]:
    """Return the parts of ``NAME = FILE``; the name is empty where there is none."""
    name, equals, file = entry.partition("=")
    return (name.strip(), file.strip()) if equals else ("", name.strip())


def load(path: Path) -> Suite:
    """Return the suite in a file. Raises `UsageError` with every problem and its line."""
    try:
        raw = path.read_bytes()
        text = raw.decode()
    except OSError as error:
        raise UsageError(f"the suite {path} cannot be read: {error.strerror}", hint="check the path", path=str(path)) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8 at byte {error.start}", hint="save it as UTF-8", path=str(path)) from error
    if len(raw) > SUITE_BYTES_MAX:
        raise UsageError(f"{path} has {len(raw):,} bytes, the bound is {SUITE_BYTES_MAX:,}", hint="split it", path=str(path))
    return read(text, path)


def read(text: str, path: Path) -> Suite:
    """Return the suite that *text* describes; *path* names it. Raises `UsageError` with every problem and its line."""
    reader = _Reader()
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), start=1):
        reader.take(number, line.rstrip())
    reader.close()
    if reader.problems:
        lines = "\n".join([f"  line {number}: {problem}" for number, problem in reader.problems])
        count = f"{len(reader.problems)} problem{'s' if len(reader.problems) > 1 else ''}"
        listed = [{"line": number, "problem": problem} for number, problem in reader.problems]
        hint = "correct the file; docs/suites.md has the grammar"
        raise UsageError(f"{path}: {count}\n{lines}", hint=hint, path=str(path), problems=listed)
    prose = "\n".join(reader.prose).strip()
    return Suite(path=path, title=reader.title, prose=prose, setup=tuple(reader.setup), steps=tuple(reader.steps))


def text(suite: Suite) -> str:
    """Return *suite* as markdown."""
    parts = [f"# {suite.title}"]
    if suite.prose:
        parts.append(suite.prose)
    if suite.setup:
        parts += ["## Setup", _lines(suite.setup)]
    parts.append("## Steps")
    for step in suite.steps:
        parts += [f"### {step.number}. {step.name}", _lines(step.lines)]
    return "\n\n".join(parts) + "\n"


def _lines(lines: tuple[Line, ...]) -> str:
    return "\n".join([f"- {line.directive}: {line.text}".rstrip() for line in lines])


class _Reader:
    """Takes lines one by one; what is wrong is noted with its line."""

    def __init__(self) -> None:
        self.problems: list[tuple[int, str]] = []
        self.title = ""
        self.prose: list[str] = []
        self.setup: list[Line] = []
        self.steps: list[Step] = []
        self._needed: dict[tuple[str, str], int] = {}
        self._part = ""
        self._name = ""
        self._lines: list[Line] = []
        self._todo: list[tuple[Line, Act | Check]] = []
        self._acted = False
        self._cleared = False
        self._last = 0
        self._at = 0

    def take(self, number: int, line: str) -> None:
        self._last = number
        if _BREAK.search(line):
            self._note(number, "holds a line break that is none here; end lines with LF or CRLF")
        elif line.startswith("#"):
            self._heading(number, line)
        elif self._part == "" and self.title:
            self._prose(number, line)
        elif line.startswith("- "):
            self._dash(number, line)
        elif line and self._part:
            self._note(number, "is neither a heading nor a dash line; a dash line is one line: - directive: text")
        elif line:
            self._note(number, "stands before the title")

    def close(self) -> None:
        self._end_step()
        self._check_replies()
        if not self.title:
            self._note(1, "there is no title; the first line is: # Title")
        if self.problems:
            # What is missing may be what could not be read.
            return
        if not self.steps:
            self._note(self._last, "the suite has no steps; write ## Steps, and ### 1. name")
        elif not any(isinstance(item, Check) for step in self.steps for _, item in step.todo):
            self._note(self._last, "the suite expects nothing, so it could not fail")

    def _note(self, number: int, problem: str) -> None:
        self.problems.append((number, problem))

    def _prose(self, number: int, line: str) -> None:
        found = _LIKE_A_LINE.fullmatch(line)
        if found is not None and get_close_matches(found[1].lower(), (*NEEDS, *ACTS, *EXPECTATIONS), 1, CLOSE_MIN):
            self._note(number, f"{found[1]} stands before ## Setup and ## Steps, where nobody would carry it out")
        self.prose.append(line)

    def _heading(self, number: int, line: str) -> None:
        if line.startswith("# ") and line[2:].strip():
            if self.title:
                self._note(number, "is a second title")
            self.title = line[2:].strip()
        elif line in ("## Setup", "## Steps"):
            self._end_step()
            if self._part == line[3:] or (line == "## Setup" and self._part):
                self._note(number, f"{line} stands twice, or too late")
            self._part = line[3:]
        elif (step := _STEP.fullmatch(line)) is not None and self._part == "Steps":
            self._end_step()
            self._name, self._at = step[2].strip(), number
            if int(step[1]) != len(self.steps) + 1:
                self._note(number, f"is step {step[1]}, and {len(self.steps) + 1} comes next")
        else:
            self._note(number, "is no heading of a suite: # Title, ## Setup, ## Steps, ### 1. name")

    def _dash(self, number: int, line: str) -> None:
        found = _LINE.fullmatch(line)
        if found is None:
            self._note(number, "is no directive; write - directive: text")
            return
        entry = Line(found[1], (found[2] or "").strip(), number)
        known = NEEDS if self._part == "Setup" else (*ACTS, *EXPECTATIONS)
        if entry.directive not in known:
            near = get_close_matches(entry.directive, known, 1) or known
            self._note(number, f"{entry.directive} is unknown; there is {', '.join(near)}")
        elif self._part == "Setup":
            self._need(entry)
        elif not self._name:
            self._note(number, "stands in no step; write ### 1. name before it")
        else:
            self._step_line(entry)

    def _need(self, entry: Line) -> None:
        for part in _parts(entry):
            name, value = _named(part)
            if not value:
                self._note(entry.number, "needs a value")
            elif entry.directive == "database" and not name:
                self._note(entry.number, "is not NAME = FILE")
            # Of users and channels there is one each; the rest is told apart by name.
            named = {"graph": value, "user": "", "channel": ""}
            about = (entry.directive, named.get(entry.directive, name))
            if about in self._needed:
                self._note(entry.number, f"{about[1] or entry.directive} stands there already")
            self._needed.setdefault(about, entry.number)
        self.setup.append(entry)

    def _check_replies(self) -> None:
        """Note replies for a graph that the suite does not run on: a slip, after which others would be taken."""
        graphs = [about for directive, about in self._needed if directive == "graph"]
        for (directive, about), number in self._needed.items():
            if directive == "replies" and about and graphs and about not in graphs:
                self._note(number, f"{about} is no graph of this suite")

    def _step_line(self, entry: Line) -> None:
        meaning = (
            read_check(entry.directive, entry.text) if entry.directive in EXPECTATIONS else read_act(entry.directive, entry.text)
        )
        if isinstance(meaning, str):
            self._note(entry.number, f"{entry.directive}: {meaning}")
            return
        if isinstance(meaning, Check) and not self._acted:
            self._note(entry.number, "expects something before anything was done")
        if entry.directive == "expect_trace" and self._cleared:
            self._note(entry.number, "looks at a clear, in which nothing runs: it could not fail")
        if isinstance(meaning, Act):
            self._acted, self._cleared = True, entry.directive == "clear"
        self._lines.append(entry)
        self._todo.append((entry, meaning))

    def _end_step(self) -> None:
        if not self._name:
            return
        if not self._lines:
            self._note(self._at, "is a step in which nothing happens")
        step = Step(number=len(self.steps) + 1, name=self._name, lines=tuple(self._lines), todo=tuple(self._todo))
        self.steps.append(step)
        self._name, self._lines, self._todo = "", [], []
