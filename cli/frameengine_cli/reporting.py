"""Reports for other tools: files beside a command's own output, annotations, and the summary of a step on GitHub."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from frameengine_cli import output
from frameengine_cli.failures import Interrupted

if TYPE_CHECKING:
    from frameengine.errors import FrameEngineError
    from frameengine.replay.replayer import ReplayResult
    from frameengine.reports.finding import Finding
    from frameengine.reports.junit import Case

STEP_SUMMARY = "GITHUB_STEP_SUMMARY"
"""Environment variable that names the file of a step's summary."""


def check_target(target: Path | None, traces: Iterable[Path]) -> None:
    """Raise `UsageError` where a report would be written over one of the *traces* that it is about."""
    from frameengine.errors import UsageError

    if target is not None and target.exists() and any(target.samefile(trace) for trace in traces if trace.exists()):
        raise UsageError(f"{target} is one of the traces", hint="choose another name for the report", path=str(target))


def annotate(findings: Sequence[Finding], summary: str) -> None:
    """Print annotations, and append *summary*, Markdown, to that of the step where there is one.

    Whoever calls this prints nothing else from outside: GitHub takes any line of a log that begins with two colons as a command.
    """
    from frameengine.reports.github import commands
    from frameengine.trace.files import storage_error

    output.write(commands(findings))
    target = os.environ.get(STEP_SUMMARY)
    if not target:
        return
    try:
        with Path(target).open("a", encoding="utf-8") as file:
            file.write(summary + "\n")
    except OSError as error:
        raise storage_error(Path(target), error) from error


class ReplayReports:
    """What became of each replay, for the reports that are asked for."""

    def __init__(self, junit: Path | None, sarif: Path | None, *, github: bool) -> None:
        self._junit, self._sarif, self.github = junit, sarif, github
        self._traces: list[Path] = []
        self._cases: list[Case] = []
        self._findings: list[Finding] = []
        self._summaries: list[str] = []

    @property
    def wanted(self) -> bool:
        """Whether there is a report to write."""
        return self.github or self._junit is not None or self._sarif is not None

    def check(self, refs: Iterable[str], folder: Path | None) -> None:
        """Raise `UsageError` where a report would be written over a trace, before anything is."""
        from frameengine.errors import FrameEngineError
        from frameengine_cli.refs import find, traces_folder

        for ref in refs if self.wanted else ():
            # One that names nothing is told when it is its turn.
            with suppress(FrameEngineError):
                self._traces.append(find(ref, traces_folder(folder)))
        for target in (self._junit, self._sarif):
            check_target(target, self._traces)

    @contextmanager
    def about(self, ref: str) -> Iterator[None]:
        """Take note of what keeps *ref* from being replayed, and let it go on."""
        from frameengine.errors import FrameEngineError

        try:
            yield
        except Interrupted:
            raise
        except FrameEngineError as error:
            self._failed(ref, error)
            raise

    @contextmanager
    def written(self) -> Iterator[None]:
        """Write the reports at the end, also where something went wrong, but not of what was interrupted."""
        try:
            yield
        except Interrupted:
            raise
        except BaseException:
            self._write()
            raise
        self._write()

    def replayed(self, result: ReplayResult) -> None:
        """Take note of a replay."""
        from frameengine.reports.finding import of_divergence
        from frameengine.reports.junit import Case
        from frameengine.reports.markdown import code
        from frameengine.reports.markdown import of_divergence as comment
        from frameengine_cli.screens.receipt import stops
        from frameengine_cli.screens.run import counted

        name, found = str(result.path), result.divergence
        if found is None:
            sign, ends = ("⚠️", f"; {stops(result.open)}") if result.open else ("✅", "")
            self._cases.append(Case(name=f"{name}{ends}", classname="replay"))
            self._summaries.append(f"{sign} same: {code(name)}, {counted(result.counts)}{ends}")
            return
        finding = of_divergence(found, name)
        failed = Case(name=name, classname="replay", status="failed", message=finding.title, detail=finding.message, file=name)
        self._cases.append(failed)
        self._findings.append(finding)
        self._summaries.append(comment(found, name))

    def _failed(self, ref: str, error: FrameEngineError) -> None:
        from frameengine.reports.finding import of_error
        from frameengine.reports.junit import Case
        from frameengine.reports.markdown import code

        finding = of_error(error, ref)
        self._cases.append(Case(name=ref, classname="replay", status="error", message=error.message, detail=finding.message))
        self._findings.append(finding)
        self._summaries.append(f"### ❌ {code(finding.message)}")

    def _write(self) -> None:
        if self._junit is not None:
            from frameengine.reports.junit import junit

            output.save(self._junit, junit([("replay", self._cases)]))
        if self._sarif is not None:
            from frameengine.reports.sarif import sarif

            output.save(self._sarif, sarif(self._findings))
        if self.github:
            annotate(self._findings, "\n\n".join(self._summaries))
