"""``frameengine rerun``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import typer

from frameengine_cli.commands import options

if TYPE_CHECKING:
    from rich.console import RenderableType

    from frameengine.errors import FrameEngineError
    from frameengine.rerun.rerun import RerunResult
    from frameengine.rerun.versions import Matrix
    from frameengine_cli.refs import Source
    from frameengine_cli.rerunning import Again, Terms

Graphs: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--graph",
        metavar="NAME|PATH",
        help="Graph to run; 'recorded' for the trace's own. Else the shipped one of that name. With --matrix again for each.",
        show_default=False,
    ),
]
LoosestWay: TypeAlias = Annotated[
    Literal["exact", "slot", "nearest"], typer.Option("--policy", help="The loosest way in which a recorded reply may be found.")
]
OnMiss: TypeAlias = Annotated[
    Literal["stop", "script", "live"] | None,
    typer.Option(
        "--on-miss", help="What a call without a reply does; stop, unless --script or --database is given.", show_default=False
    ),
]
Script: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--script", metavar="FILE", help="A scenario whose replies answer what the record does not.", show_default=False
    ),
]
Databases: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--database", metavar="NAME=FILE", help="SQLite database that tools query where there is no reply.", show_default=False
    ),
]
Cassettes: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--cassette", metavar="REF", help="A trace whose replies may be used as well.", show_default=False),
]
Output: TypeAlias = Annotated[
    Path | None, typer.Option("-o", "--output", metavar="FILE", help="Keep the new run as a trace.", show_default=False)
]
Approximate: TypeAlias = Annotated[
    bool, typer.Option("--allow-approximate", help="Exit 0 though replies were recorded for other requests.")
]
Unused: TypeAlias = Annotated[
    bool, typer.Option("--allow-unused", help="Exit 0 though recorded replies or inputs were left out.")
]
Update: TypeAlias = Annotated[
    bool, typer.Option("--update", help="Make the pending golden beside the trace; name every call that needs a reply.")
]
Template: TypeAlias = Annotated[
    Path | None,
    typer.Option("--template", metavar="FILE", help="With --update: write a script to fill in.", show_default=False),
]
AsMatrix: TypeAlias = Annotated[
    bool, typer.Option("--matrix", help="Versions side by side: several traces of the same inputs, or one and several graphs.")
]


def rerun(
    refs: options.Refs,
    *,
    graph: Graphs = None,
    policy: LoosestWay = "exact",
    on_miss: OnMiss = None,
    script: Script = None,
    database: Databases = None,
    models: options.ModelsFile = None,
    cassette: Cassettes = None,
    output: Output = None,
    update: Update = False,
    template: Template = None,
    matrix: AsMatrix = False,
    allow_approximate: Approximate = False,
    allow_unused: Unused = False,
    trust: options.Trust = False,
    force: options.Force = False,
    as_json: options.Json = False,
    traces: options.Traces = None,
) -> None:
    """Run recorded inputs through changed code or another graph, answered from the recorded replies.

    Each reply is used once, for an equal request unless --policy says otherwise. A call without one stops the run. After an
    intended change, --update makes the golden that waits for review, or says which replies it still needs.

    Examples: frameengine rerun latest --graph my-agent.toml --policy slot; frameengine rerun --update traces/demo.trace.jsonl;
    frameengine rerun --matrix v3.trace.jsonl v4.trace.jsonl
    """
    from frameengine_cli.refs import check_absent, find, opened, traces_folder
    from frameengine_cli.rerunning import Terms

    terms = Terms(
        policy=policy,
        on_miss=on_miss,
        script=script,
        databases=options.databases(database or []),
        models=models,
        cassettes=[find(ref, traces_folder(traces)) for ref in cassette or []],
        trust=trust,
    )
    _check(refs, graph or [], output, template, update=update, matrix=matrix)
    if matrix:
        _matrix(refs, graph or [], terms, traces, as_json=as_json, approximate=allow_approximate)
        return
    wanted = graph[0] if graph else None
    if template is not None and template != script:
        # What was filled in by hand is not to be lost; a script that is read is kept in what is written.
        check_absent(template, force=force)
    with opened(refs[0], traces) as source:
        if update:
            _update(source, terms, wanted, template, as_json=as_json, approximate=allow_approximate)
        else:
            allowed = {"approximate": allow_approximate, "unused": allow_unused}
            _single(source, terms, wanted, output, allowed, force=force, as_json=as_json)


def _check(refs: list[str], graphs: list[str], output: Path | None, template: Path | None, *, update: bool, matrix: bool) -> None:
    """Raise `UsageError` where options do not go together."""
    from frameengine.errors import UsageError

    if update and matrix:
        raise UsageError("--update and --matrix are two things", hint="choose one")
    if len(refs) > 1 and (not matrix or graphs):
        raise UsageError(f"one trace is run again, and there are {len(refs)}", hint="for versions side by side: --matrix A B")
    if matrix and len(refs) == 1 and not graphs:
        raise UsageError("a matrix has several columns", hint="name several traces, or add --graph NAME for each version")
    if len(graphs) > 1 and not matrix:
        raise UsageError("one graph is run", hint="for several: --matrix TRACE --graph OLD --graph NEW")
    if output is not None and (update or matrix):
        raise UsageError("-o keeps one run", hint="a pending golden has a name of its own; for a matrix keep each run by itself")
    if template is not None and not update:
        raise UsageError("--template belongs to --update", hint="frameengine rerun --update TRACE --template FILE")


@contextmanager
def _somewhere(output: Path | None) -> Iterator[Path]:
    """Give a place for a new trace, for a moment where nobody wants to keep it."""
    from tempfile import TemporaryDirectory

    if output is not None:
        yield output
        return
    with TemporaryDirectory(prefix="frameengine-") as folder:
        yield Path(folder) / "rerun.trace.jsonl"


def _single(
    source: Source,
    terms: Terms,
    graph: str | None,
    output: Path | None,
    allowed: dict[str, bool],
    *,
    force: bool,
    as_json: bool,
) -> None:
    """Run one trace again and tell what it is worth."""
    from attrs import evolve

    from frameengine.rerun.versions import matrix
    from frameengine_cli import output as out
    from frameengine_cli.refs import check_absent
    from frameengine_cli.rerunning import again, explained, problems_of, tell
    from frameengine_cli.screens.rerun import Told, receipt

    if output is not None:
        check_absent(output, force=force)
    with _somewhere(output) as target, explained(source.name.name, as_json=as_json):
        made = again(source, terms, graph, target, replace=force)
        versions = matrix([source.path, target])
    result = evolve(made.result, path=source.name, output=output, head=made.result.head if output is not None else None)
    problems = problems_of(result, **allowed, versions=versions)
    with out.ending(_code(problems)):
        if as_json:
            out.document(_members(result, made.graph, versions, problems), ok=not problems)
        else:
            _show(receipt(Told(result=result, graph=made.graph, versions=versions), out.look()))
            tell(problems)


def _update(source: Source, terms: Terms, graph: str | None, template: Path | None, *, as_json: bool, approximate: bool) -> None:
    """Make the pending golden of a trace, or say what it still needs, or why it may be none."""
    import os

    from attrs import evolve

    from frameengine.errors import UsageError
    from frameengine.golden import check_no_ci, pending_path
    from frameengine.rerun.versions import matrix
    from frameengine.trace.verify import verify
    from frameengine_cli import output as out
    from frameengine_cli.rerunning import again, naming_older, nothing_written, problems_of, publish, tell
    from frameengine_cli.screens.rerun import Told, pending, receipt

    check_no_ci(os.environ, "--update")
    if source.typed is None:
        raise UsageError("a pending golden stands beside its golden, and stdin has no place", hint="name the file")
    target = pending_path(source.path)
    with _somewhere(None) as draft, naming_older(target):
        made = again(source, terms, graph, draft, explore=True)
        result = evolve(made.result, path=source.name, output=None, head=None)
        if result.needed:
            again_so = " ".join(["frameengine rerun --update", str(source.typed), *terms.typed(graph)])
            _needed(source, result, template, target, graph=made.graph, again=again_so, as_json=as_json)
            return
        versions = matrix([source.path, draft])
        problems = problems_of(result, approximate=approximate, unused=True)
        changed = verify(source.path).canonical != verify(draft).canonical
        if changed and not problems:
            publish(draft, target)
            result = evolve(made.result, path=source.name, output=target)
    if problems:
        problems[-1].message += f"; {nothing_written(target)}"
    elif not changed:
        target.unlink(missing_ok=True)
    told = Told(result=result, graph=made.graph, versions=versions)
    with out.ending(_code(problems)):
        if as_json:
            members = _members(result, made.graph, versions, problems)
            out.document({**members, "pending": None if result.output is None else str(target)}, ok=not problems)
        elif problems:
            _show(receipt(told, out.look()))
            tell(problems)
        elif not changed:
            unseen = "; graph files were not looked at (--graph FILE)" if made.embedded else ""
            out.say(f"✓ nothing has changed: {source.name} is what the code gives now")
            out.say(f"  graph  {made.graph}{unseen}")
        else:
            _show(pending(told, target, source.name, out.look()))
            out.remark(f"  next: frameengine snapshot review {source.typed}")


def _code(problems: list[FrameEngineError]) -> int:
    return max([problem.exit_code for problem in problems], default=0)


def _needed(
    source: Source, result: RerunResult, template: Path | None, target: Path, *, graph: str, again: str, as_json: bool
) -> None:
    """Name every call that needs a reply, write a script to fill in, and leave."""
    from frameengine.errors import CassetteMiss
    from frameengine.rerun.plan import read_plan
    from frameengine.rerun.template import template as script
    from frameengine_cli import output as out
    from frameengine_cli.failures import report
    from frameengine_cli.refs import typed
    from frameengine_cli.rerunning import nothing_written
    from frameengine_cli.screens.rerun import needed

    if template is not None:
        out.save(template, script(result.misses, source.name.name))
    count = len(result.needed)
    again, _, script_file = again.partition(" --script ")
    # A script that was given is kept in what is written: the same file serves for both.
    name, kept = script_file or "replies.toml", f" --script {script_file}" if script_file else ""
    hint = f"{again}{kept} --template {name} writes them down to be filled in; then --script {name}"
    if template is not None:
        hint = f"look through {typed(template)}, then: {again} --script {typed(template)}"
    what = "1 call has" if count == 1 else f"{count:,} calls have"
    keys = [miss.call.key.wire() for miss in result.needed]
    told = f"{source.name}: {what} no recorded reply; {nothing_written(target)}"
    error = CassetteMiss(told, hint=hint, needed=keys, count=count)
    with out.ending(error.exit_code):
        if as_json:
            out.document(_members(result, graph, None, [error]), ok=False)
        else:
            inputs = {message.input.number: message.input for message in read_plan(source.path).messages}
            _show(needed(result, inputs, out.look()))
            if template is not None:
                out.remark(f"{typed(template)} holds a reply for each, as it was recorded in that place")
            report(error, as_json=False)


def _matrix(refs: list[str], graphs: list[str], terms: Terms, folder: Path | None, *, as_json: bool, approximate: bool) -> None:
    """Show versions side by side: traces of the same inputs, or one trace and what graphs make of it."""
    from contextlib import ExitStack
    from tempfile import TemporaryDirectory

    from frameengine.rerun.versions import matrix
    from frameengine_cli.refs import opened
    from frameengine_cli.rerunning import again, explained

    with ExitStack() as stack:
        sources = [stack.enter_context(opened(ref, folder)) for ref in refs]
        paths, names = [source.path for source in sources], [str(source.name.name) for source in sources]
        made: list[Again] = []
        if graphs:
            place = Path(stack.enter_context(TemporaryDirectory(prefix="frameengine-")))
            for index, graph in enumerate(graphs):
                with explained(f"{names[0]} with {graph}", as_json=as_json):
                    made.append(again(sources[0], terms, graph, place / f"{index}.trace.jsonl"))
                paths.append(place / f"{index}.trace.jsonl")
            names = ["recorded", *graphs]
        versions = matrix(paths)
    _tell_matrix(versions, names, made, as_json=as_json, approximate=approximate)


def _tell_matrix(versions: Matrix, names: list[str], made: list[Again], *, as_json: bool, approximate: bool) -> None:
    from frameengine_cli import output as out
    from frameengine_cli.rerunning import problems_of, tell
    from frameengine_cli.screens.rerun import by_node, matrix

    problems = [problem for one in made for problem in problems_of(one.result, approximate=approximate, unused=True)]
    code = max(int(versions.differ), _code(problems))
    with out.ending(code):
        if as_json:
            reruns = [_members(one.result, one.graph, None, []) for one in made]
            compared = ["record" if versions.whole(column) else "figures" for column in versions.columns]
            members = {"versions": names, "compared": compared, "rows": _rows(versions), "reruns": reruns}
            out.document(members, ok=not code)
        else:
            graphs = [column.graph for column in versions.columns]
            alike = len(set(graphs)) < len(graphs)
            titles = [f"{name}\n{graph}" for name, graph in zip(names, graphs, strict=True)] if alike or made else graphs
            out.show(matrix(versions, titles, out.look()))
            for name, one in zip(names[len(names) - len(made) :], made, strict=True):
                out.say(f"\n{name}: {one.result.verdict}")
                _show(by_node(one.result.nodes, out.look()))
            tell(problems)


def _show(screen: RenderableType) -> None:
    """Show a screen before what is told after it, where both go to one file as well."""
    import sys

    from frameengine_cli import output

    output.show(screen)
    sys.stdout.flush()


def _rows(versions: Matrix) -> list[dict[str, Any]]:
    from attrs import asdict

    from frameengine.codec import tagged

    rows = []
    for entered in versions.rows:
        cells = []
        for column in versions.columns:
            cell = column.cells.get(entered.number)
            figures = None if cell is None else {**asdict(cell.figures), "answer": cell.answer, "record": tagged(cell.record)}
            cells.append({"message": figures, "changes": list(versions.changes(column, entered.number))})
        rows.append({"input": entered.number, "versions": cells})
    return rows


def _members(result: RerunResult, graph: str, versions: Matrix | None, problems: list[FrameEngineError]) -> dict[str, Any]:
    from frameengine.codec import tagged
    from frameengine.rerun.members import members
    from frameengine_cli.failures import error_members
    from frameengine_cli.screens.run import counts_json

    found: dict[str, Any] = {
        "path": str(result.path),
        "parent": tagged(result.parent),
        "graph": graph,
        "output": None if result.output is None else str(result.output),
        "head": None if result.head is None else tagged(result.head),
        "counts": counts_json(result.counts),
        **members(result),
    }
    if versions is not None:
        found["messages"] = _rows(versions)
    if problems:
        found["error"] = error_members(problems[0])
        found["problems"] = [error_members(problem) for problem in problems]
    return found
