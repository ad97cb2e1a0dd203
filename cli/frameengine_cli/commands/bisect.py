"""``frameengine bisect``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from frameengine_cli.commands import options

if TYPE_CHECKING:
    from frameengine.graph.registry import BoundGraph
    from frameengine.rerun.bisect import BisectResult, Tested


def bisect(
    ref: options.Ref,
    *,
    graphs: Annotated[
        Path,
        typer.Option(
            "--graphs", metavar="DIR|FILE", help="Graph files in order of name, or a file that lists them, the oldest first."
        ),
    ],
    every: Annotated[bool, typer.Option("--all", help="Test every version, and not only as many as halving takes.")] = False,
    trust: Annotated[bool, typer.Option("--trust", help="Load the graph files that inputs of the trace switch to.")] = False,
    as_json: options.Json = False,
    traces: options.Traces = None,
) -> None:
    """Find the first of several versions of a graph whose replay of a trace diverges, and show where.

    Where oldest and newest replay, every version is tested. Those that cannot be loaded are skipped and named. Exit 0 where
    none diverges, 4 where one does, 5 where none can be tested. For versions in git: git bisect run frameengine replay TRACE
    --bisect.

    Example: frameengine bisect traces/demo.trace.jsonl --graphs graphs/
    """
    from frameengine.rerun.bisect import Bisect, untestable, versions
    from frameengine_cli import output
    from frameengine_cli.graphs import switched_graph
    from frameengine_cli.progress import patience
    from frameengine_cli.refs import opened

    def switch(name: str) -> BoundGraph:
        return switched_graph(name, trust=trust)[0]

    listed = versions(graphs)
    tested = 0
    with opened(ref, traces) as source, patience("testing versions", len(listed)) as done:

        def told(_one: Tested) -> None:
            nonlocal tested
            tested += 1
            done(tested)

        result = Bisect(source.path, listed, switch=switch, told=told).run(every=every)
    if result.verdict == "untestable":
        raise untestable(result)
    diverged = result.verdict in ("found", "all bad")
    with output.ending(4 if diverged else 0):
        if as_json:
            output.document(_members(result), ok=not diverged)
        else:
            from frameengine_cli.screens.bisect import found

            output.show(found(result, source, output.look()))


def _members(result: BisectResult) -> dict[str, Any]:
    first = result.first_bad
    return {
        "verdict": result.verdict,
        "versions": list(result.versions),
        "tested": [_tested(one) for one in result.tested],
        "last_good": None if result.last_good is None else result.last_good.version,
        "first_bad": None if first is None else first.version,
        "between": list(result.between),
        "changed": list(result.changed),
        "again": list(result.again),
        "divergence": None if first is None else _tested(first)["divergence"],
    }


def _tested(one: Tested) -> dict[str, Any]:
    from frameengine_cli.failures import error_members

    found = None if one.result is None else one.result.divergence
    return {
        "version": one.version,
        "judgement": one.judgement,
        "divergence": None if found is None else found.to_json(),
        "error": None if one.error is None else error_members(one.error),
    }
