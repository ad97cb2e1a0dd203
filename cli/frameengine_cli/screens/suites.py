"""The progress of suites, told as it happens: one run step by step, a mark for each check; several on a line each.

Lines are written from left to right and never taken back, so a pipe gets what a terminal gets.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Final, Protocol

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from frameengine_cli import output
from frameengine_cli.look import BAD, DIFFERS, GOOD, OPEN, QUIET, SAME, STRONG, words
from frameengine_cli.phrases import count, cut

if TYPE_CHECKING:
    from frameengine.suites.format import Step
    from frameengine.suites.runner import Result
    from frameengine_cli.suiting import Ran, Staged

INDENT: Final = 6
"""Columns before the name of a step."""
NAME_MAX: Final = 44
"""Columns of a step's name."""


class Progress(Protocol):
    """Is told how a run goes on."""

    def step(self, step: Step) -> None:
        """Take a step that begins."""
        ...

    def result(self, result: Result) -> None:
        """Take one result."""
        ...

    def end(self, ran: Ran) -> None:
        """Take the end of the run."""
        ...


class Silent:
    """Tells nothing."""

    def step(self, step: Step) -> None:
        """Take a step that begins."""

    def result(self, result: Result) -> None:
        """Take one result."""

    def end(self, ran: Ran) -> None:
        """Take the end of the run."""


class Whole:
    """Tells one run: a line for each step, a mark for each check, and under it what does not hold."""

    def __init__(self, staged: Staged) -> None:
        """Tell what is about to run."""
        suite, graph = staged.suite, staged.bound.graph.name
        self._width = min(max(len(step.name) for step in suite.steps), NAME_MAX)
        self._line = Line()
        self._faults: list[Result] = []
        facts = f"{count(len(suite.steps), 'step')}, {count(suite.checks, 'check')} · {suite.path.name} · {staged.source.name}"
        output.show(words((suite.title, STRONG), (f"  {graph}", GOOD)))
        output.show(words((facts, QUIET)))
        output.show(Text(""))

    def step(self, step: Step) -> None:
        """Tell the step before, and begin the line of this one."""
        self._close()
        name = cut(step.name, self._width).ljust(self._width)
        self._line.add((f"  {step.number:>2}  ", QUIET), (f"{name}  ", ""))

    def result(self, result: Result) -> None:
        """Add a mark."""
        self._line.add(mark(passed=result.passed))
        if not result.passed:
            self._faults.append(result)

    def end(self, ran: Ran) -> None:
        """Tell the last step, and the sum."""
        self._close()
        output.show(Text(""))
        output.show(verdict([ran]))

    def _close(self) -> None:
        self._line.close()
        if self._faults:
            output.show(faults(self._faults))
            self._faults = []


class OneLine:
    """Tells one run of several: a line with a mark for each step, and under it what does not hold."""

    def __init__(self, staged: Staged, widths: tuple[int, int, int]) -> None:
        """Begin the line; *widths* are those of the columns for suites, graphs and steps."""
        self._line = Line()
        self._faults: list[Result] = []
        self._step: bool | None = None
        suite, graph, self._room = widths
        self._line.add((staged.suite.path.stem.ljust(suite) + "  ", STRONG), (staged.bound.graph.name.ljust(graph) + "  ", QUIET))

    def step(self, step: Step) -> None:
        """Add the mark of the step before."""
        self._mark()

    def result(self, result: Result) -> None:
        """Take one result."""
        self._step = self._step is not False and result.passed
        if not result.passed:
            self._faults.append(result)

    def end(self, ran: Ran) -> None:
        """End the line."""
        self._mark()
        good = ran.exit_code == 0
        self._line.add((f"{'':{self._room}}  {ran.passed} of {ran.total}", QUIET if good else BAD))
        self._line.close()
        for _, group in groupby(self._faults, key=lambda result: result.step):
            results = list(group)
            output.show(words((f"  {results[0].step:>2}  ", QUIET), (results[0].name, "")))
            output.show(faults(results))

    def _mark(self) -> None:
        if self._step is not None:
            self._line.add(mark(passed=self._step))
            self._room -= 1
        self._step = None


class Line:
    """A line that grows: on a terminal before the user's eyes, elsewhere when it is whole."""

    def __init__(self) -> None:
        self._waiting = Text()
        self._console = output.console() if output.is_terminal() else None
        self._open = False

    def add(self, *parts: tuple[str, str]) -> None:
        """Write more of it."""
        self._open = True
        if self._console is None:
            self._waiting.append_text(words(*parts))
            return
        # Not cut to the terminal's width, which ends where the line began.
        self._console.print(words(*parts), end="", soft_wrap=True)
        sys.stdout.flush()

    def close(self) -> None:
        """End the line, if there is one."""
        if self._open:
            output.show(self._waiting)
        self._waiting, self._open = Text(), False


def mark(*, passed: bool) -> tuple[str, str]:
    """Return the sign of something that holds, or not."""
    return (SAME, GOOD) if passed else (DIFFERS, BAD)


def faults(results: Sequence[Result]) -> Padding:
    """Return what does not hold in a step: where it stands, what was expected, what was seen."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style=QUIET, no_wrap=True)
    grid.add_column(overflow="fold")
    for result in results:
        grid.add_row(f"line {result.line}", words((result.expected, STRONG)))
        grid.add_row("", words((result.fault, BAD)))
    return Padding(grid, (0, 0, 0, INDENT))


def verdict(runs: Sequence[Ran]) -> Text:
    """Return the sum of all runs on one line."""
    passed, total, failed = (sum(getattr(ran, name) for ran in runs) for name in ("passed", "total", "failed"))
    good = not any(ran.exit_code for ran in runs)
    sign, style = mark(passed=good)
    parts = [(f"{sign} ", style), (f"{passed:,} of {count(total, 'check')} passed", STRONG)]
    if failed:
        parts.append((f", {failed:,} failed", BAD))
    if missed := sum(len(ran.missed) for ran in runs):
        parts.append((f", {OPEN} {missed:,} not looked at", BAD))
    ran = f"{count(len(runs), 'run')}; " if len(runs) > 1 else ""
    return words(*parts, (f"  {ran}no model was called", QUIET))
