"""``frameengine test``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from frameengine_cli.commands import options

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from frameengine.engine.driver import Recorder
    from frameengine.reports.junit import Case
    from frameengine.suites.runner import Result
    from frameengine_cli.screens.suites import Progress
    from frameengine_cli.suiting import Ran, Staged


def run_suites(
    suites: Annotated[
        list[Path], typer.Argument(metavar="SUITE.md...", help="Suites in markdown (docs/suites.md).", show_default=False)
    ],
    *,
    graph: Annotated[
        str | None,
        typer.Option("--graph", metavar="NAME|PATH", help="The graph; else each that a suite names.", show_default=False),
    ] = None,
    cassette: Annotated[
        Path | None,
        typer.Option(
            "--cassette", metavar="FILE", help="Replies (TOML) or a trace; else what a suite names.", show_default=False
        ),
    ] = None,
    database: Annotated[
        list[str] | None, typer.Option("--database", metavar="NAME=FILE", help="Where a database is.", show_default=False)
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="DIR", help="Folder for a trace of each run.", show_default=False)
    ] = None,
    junit: Annotated[
        Path | None, typer.Option("--junit", metavar="FILE", help="Write the results as JUnit XML.", show_default=False)
    ] = None,
    force: options.Force = False,
    as_json: options.Json = False,
) -> None:
    """Run markdown suites offline, with written or recorded replies.

    Every expectation of a suite is a check. No model is called.

    Examples: frameengine test fixtures/suites/fast.md; frameengine test my.md --graph v4-eras --cassette mine.trace.jsonl
    """
    from frameengine.suites.format import load
    from frameengine_cli import output as out
    from frameengine_cli.commands.options import databases
    from frameengine_cli.suiting import check_databases, set_up

    places = databases(database or [])
    # All is read and fitted before anything runs: a slip in the last suite is told at once.
    read = [load(path) for path in suites]
    staged = [one for suite in read for one in set_up(suite, graph, cassette, places)]
    check_databases(places, staged)
    runs = [_run(one, output, _progress(one, staged, quiet=as_json), force=force, quiet=as_json) for one in staged]
    if junit is not None:
        out.save(junit, _junit(runs))
    worst = max(ran.exit_code for ran in runs)
    if as_json:
        sums = {name: sum(getattr(ran, name) for ran in runs) for name in ("passed", "failed")}
        missed = sum(len(ran.missed) for ran in runs)
        out.document({"suites": [_members(ran) for ran in runs], **sums, "not_looked_at": missed}, ok=not worst)
    elif len(runs) > 1:
        from frameengine_cli.screens.suites import verdict

        out.show(verdict(runs))
    if worst:
        raise typer.Exit(worst)


def _progress(one: Staged, staged: Sequence[Staged], *, quiet: bool) -> Progress:
    from frameengine_cli.screens.suites import OneLine, Silent, Whole

    if quiet:
        return Silent()
    if len(staged) == 1:
        return Whole(one)
    sizes = [(len(other.suite.path.stem), len(other.bound.graph.name), len(other.suite.steps)) for other in staged]
    suite, graph, steps = (max(column) for column in zip(*sizes, strict=True))
    return OneLine(one, (suite, graph, steps))


def _run(one: Staged, folder: Path | None, progress: Progress, *, force: bool, quiet: bool) -> Ran:
    """Run one suite on one graph, and tell what became of it; what stops it stops no other."""
    from itertools import pairwise
    from time import perf_counter

    from frameengine.errors import FrameEngineError
    from frameengine_cli.failures import report
    from frameengine_cli.suiting import Ran

    results: list[Result] = []
    moments = [perf_counter()]

    def note(result: Result) -> None:
        results.append(result)
        moments.append(perf_counter())
        progress.result(result)

    stopped: FrameEngineError | None = None
    try:
        _carry_out(one, folder, progress, note, force=force)
    except FrameEngineError as error:
        stopped = error
    seconds = [after - before for before, after in pairwise(moments)]
    ran = Ran(staged=one, results=results, seconds=seconds, error=stopped)
    progress.end(ran)
    if stopped is not None and not quiet:
        report(stopped, as_json=False)
    return ran


def _carry_out(one: Staged, folder: Path | None, progress: Progress, note: Callable[[Result], None], *, force: bool) -> None:
    """Run one suite on one graph, recorded where there is a folder for it. Raises `FrameEngineError` where it is stopped."""
    from frameengine.suites.runner import run_suite

    def run(recorder: Recorder | None) -> None:
        run_suite(one.suite, one.bound, one.performer, recorder=recorder, on_step=progress.step, on_result=note)
        one.check_used()

    if folder is None:
        run(None)
        return
    from frameengine.trace.files import storage_error
    from frameengine.trace.header import header
    from frameengine.trace.writer import TraceWriter

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(folder, error) from error
    facts = {"inputs": "suite", "suite": one.suite.path.name, "model": "scripted", "replies": one.source.name}
    with TraceWriter(folder / f"{one.name}.trace.jsonl", header(one.bound, provenance=facts), replace=force) as writer:
        run(writer)
        writer.seal()


def _members(ran: Ran) -> dict[str, Any]:
    from frameengine_cli.failures import error_members

    members = {
        "suite": str(ran.staged.suite.path),
        "title": ran.staged.suite.title,
        "graph": ran.staged.bound.graph.name,
        "replies": str(ran.staged.source),
        "ok": not ran.exit_code,
        "passed": ran.passed,
        "failed": ran.failed,
        "not_looked_at": len(ran.missed),
        "results": [
            {
                "step": result.step,
                "name": result.name,
                "check": result.expected,
                "line": result.line,
                "status": "PASS" if result.passed else "FAIL",
                "fault": result.fault,
            }
            for result in ran.results
        ],
    }
    return members if ran.error is None else {**members, "error": error_members(ran.error)}


def _junit(runs: Sequence[Ran]) -> str:
    from frameengine.reports.junit import junit

    return junit([(ran.staged.name, list(_cases(ran))) for ran in runs])


def _cases(ran: Ran) -> Iterator[Case]:
    """Yield what was looked at, what stopped the run, and what nobody came to look at any more."""
    from frameengine.reports.junit import Case

    name, file = ran.staged.name, str(ran.staged.suite.path)
    for result, seconds in zip(ran.results, ran.seconds, strict=True):
        yield Case(
            name=f"line {result.line}: {result.expected}",
            classname=f"{name}.{result.step} {result.name}",
            status="passed" if result.passed else "failed",
            message=result.fault,
            detail=f"{file}:{result.line}\nexpected  {result.expected}\nseen      {result.fault}",
            file=file,
            line=result.line,
            seconds=seconds,
        )
    if ran.error is not None:
        hint = f"\ntry: {ran.error.hint}" if ran.error.hint else ""
        detail = f"{ran.error.message}{hint}"
        yield Case(name="the run", classname=name, status="error", message=ran.error.message, detail=detail, file=file)
    for step, line in ran.missed:
        yield Case(
            name=f"line {line.number}: {line.directive}: {line.text}",
            classname=f"{name}.{step.number} {step.name}",
            status="skipped",
            message="the run stopped before it",
            file=file,
            line=line.number,
        )
