"""The progress of a suite: a line for each step as soon as it is done, and what did not hold under it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from rich.text import Text

from frameengine_cli import output
from frameengine_cli.look import BAD, DIFFERS, GOOD, QUIET, SAME, STRONG, words
from frameengine_cli.phrases import count

if TYPE_CHECKING:
    from frameengine.suites.runner import Result
    from frameengine_cli.suiting import Set


class Progress:
    """Tells the results of one suite on one graph as they come."""

    def __init__(self, staged: Set, *, quiet: bool) -> None:
        self._quiet = quiet
        self._results: list[Result] = []
        self._staged = staged
        self._step = 0
        graph = staged.bound.graph.name
        self._say(words((staged.suite.title, STRONG), (f"  {staged.suite.path.name} on {graph}", QUIET)))

    def result(self, result: Result) -> None:
        """Take one result; a step is told when the next begins."""
        if result.step != self._step:
            self._tell()
            self._step = result.step
            self._results = []
        self._results.append(result)

    def end(self) -> None:
        """Tell the last step."""
        self._tell()
        self._say(Text(""))

    def _tell(self) -> None:
        if not self._results:
            return
        faults = [result for result in self._results if not result.passed]
        sign, style = (DIFFERS, BAD) if faults else (SAME, GOOD)
        passed = f"{len(self._results) - len(faults)} of {count(len(self._results), 'check')}"
        step = self._results[0]
        self._say(words((f"  {sign} ", style), (f"{step.step:>2}  ", QUIET), (f"{step.name:<40}", ""), (f" {passed}", QUIET)))
        for fault in faults:
            self._say(words((f"        line {fault.line}  ", QUIET), (fault.expected, STRONG)))
            self._say(words(("        " + " " * len(f"line {fault.line}  "), ""), (fault.fault, BAD)))

    def _say(self, line: Text) -> None:
        if not self._quiet:
            output.show(line)
            sys.stdout.flush()


def total(runs: int, checks: int, failed: int) -> Text:
    """Return the sum of all suites on one line."""
    sign, style = (DIFFERS, BAD) if failed else (SAME, GOOD)
    passed = f"{checks - failed:,} of {count(checks, 'check')} passed"
    return words((f"{sign} ", style), (passed, STRONG), (f"  {count(runs, 'run')}; no model was called", QUIET))
