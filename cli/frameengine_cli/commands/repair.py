"""``frameengine repair``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from frameengine_cli.commands import options

if TYPE_CHECKING:
    from frameengine.trace.repair import RepairReport


def repair(
    ref: options.Ref,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="The repaired trace.", show_default=False)],
    force: options.Force = False,
    as_json: options.Json = False,
    traces: options.Traces = None,
) -> None:
    """Write the good part of a damaged trace as a sealed one.

    The damaged or unfinished file stays as it is. A message that was under way is left out.

    Example: frameengine repair broken.trace.jsonl -o good.trace.jsonl
    """
    from attrs import evolve

    from frameengine.errors import NothingCompared
    from frameengine.trace.repair import repair as mend
    from frameengine_cli import output as out
    from frameengine_cli.progress import patience
    from frameengine_cli.refs import opened

    with opened(ref, traces) as source, patience("repairing"):
        report = evolve(mend(source.path, output, replace=force), path=source.name)
    empty = not (report.counts.frames or report.counts.calls)
    if as_json:
        from frameengine_cli.screens.run import counts_json

        out.document(
            {"path": str(report.path), "target": str(report.target), "counts": counts_json(report.counts), **report.note()},
            ok=not empty,
        )
    else:
        _show(report)
    if empty and as_json:
        raise typer.Exit(NothingCompared.exit_code)
    if empty:
        raise NothingCompared(
            f"{report.target} has no frame and no call: there is nothing in it to replay",
            hint="record the run again",
            path=str(report.target),
        )


def _show(report: RepairReport) -> None:
    from frameengine_cli import output, phrases
    from frameengine_cli.look import BAD, GOOD, SAME, pairs, words
    from frameengine_cli.screens.run import counted

    lines = phrases.count(report.dropped_lines, "line")
    rows = [
        ("problem", words((report.problem.message, BAD))),
        ("kept", words((f"{counted(report.counts)}; {phrases.size(report.kept_bytes)} of whole messages", ""))),
        ("left out", words((f"{lines}, {phrases.size(report.dropped_bytes)}", ""))),
        ("written", words((str(report.target), ""))),
    ]
    output.show(output.look().panel(pairs(rows), f"{SAME} repaired", f"{report.path.name} stays as it is", style=GOOD))
