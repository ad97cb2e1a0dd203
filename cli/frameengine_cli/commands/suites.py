"""``frameengine test``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from frameengine_cli.commands import options

if TYPE_CHECKING:
    from frameengine.suites.runner import Result
    from frameengine_cli.suiting import Set


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
            "--cassette",
            metavar="FILE",
            help="Replies (TOML) or a trace; else what a suite names.",
            show_default=False,
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
    as_json: options.Json = False,
) -> None:
    """Run markdown suites offline, with written or recorded replies.

    Every expectation of a suite is a check. No model is called.

    Examples: frameengine test fixtures/suites/fast.md; frameengine test my.md --graph v4-eras --cassette mine.trace.jsonl
    """
    from frameengine.suites.format import load
    from frameengine_cli import output as out
    from frameengine_cli.commands.run import databases
    from frameengine_cli.screens.suites import Progress
    from frameengine_cli.suiting import set_up

    places = databases(database or [])
    runs: list[tuple[Set, tuple[Result, ...]]] = []
    for suite in [load(path) for path in suites]:
        for staged in set_up(suite, graph, cassette, places):
            progress = Progress(staged, quiet=as_json)
            runs.append((staged, _run(staged, output, progress.result)))
            progress.end()
    if junit is not None:
        out.save(junit, _junit(runs))
    failed = sum(not result.passed for _, results in runs for result in results)
    checks = sum(len(results) for _, results in runs)
    if as_json:
        out.document({"suites": [_members(*run) for run in runs], "checks": checks, "failed": failed}, ok=not failed)
    else:
        from frameengine_cli.screens.suites import total

        out.show(total(len(runs), checks, failed))
    if failed:
        raise typer.Exit(1)


def _run(staged: Set, folder: Path | None, on_result: Callable[[Result], None]) -> tuple[Result, ...]:
    """Run one suite on one graph, recorded where there is a folder for it."""
    from frameengine.suites.runner import run_suite

    if folder is None:
        results = run_suite(staged.suite, staged.bound, staged.performer, on_result=on_result)
        staged.check_used()
        return results
    from frameengine.trace.files import storage_error
    from frameengine.trace.header import header
    from frameengine.trace.writer import TraceWriter

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(folder, error) from error
    facts = {"inputs": "suite", "suite": staged.suite.path.name, "model": "scripted", "replies": Path(staged.source).name}
    with TraceWriter(folder / f"{staged.name}.trace.jsonl", header(staged.bound, provenance=facts), replace=True) as writer:
        results = run_suite(staged.suite, staged.bound, staged.performer, recorder=writer, on_result=on_result)
        writer.seal()
    staged.check_used()
    return results


def _members(staged: Set, results: tuple[Result, ...]) -> dict[str, Any]:
    return {
        "suite": str(staged.suite.path),
        "title": staged.suite.title,
        "graph": staged.bound.graph.name,
        "replies": staged.source,
        "passed": sum(result.passed for result in results),
        "failed": sum(not result.passed for result in results),
        "results": [
            {
                "step": result.step,
                "name": result.name,
                "check": result.expected,
                "line": result.line,
                "status": "PASS" if result.passed else "FAIL",
                "fault": result.fault,
            }
            for result in results
        ],
    }


def _junit(runs: list[tuple[Set, tuple[Result, ...]]]) -> str:
    from frameengine.reports.junit import Case, junit

    suites = []
    for staged, results in runs:
        cases = [
            Case(
                name=f"{number}. {result.expected}",
                group=f"{staged.name}.{result.step} {result.name}",
                status="passed" if result.passed else "failed",
                message=result.fault,
                file=str(staged.suite.path),
                line=result.line,
            )
            for number, result in enumerate(results, start=1)
        ]
        suites.append((staged.name, cases))
    return junit(suites)
