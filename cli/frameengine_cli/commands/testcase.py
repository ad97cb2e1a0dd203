"""``frameengine testcase``."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from attrs import frozen

from frameengine_cli.commands import options

if TYPE_CHECKING:
    from rich.console import RenderableType

    from frameengine.cutting import Cut
    from frameengine.graph.model import Graph
    from frameengine.graph.registry import BoundGraph
    from frameengine.replay.divergence import Divergence
    from frameengine.testcase import FrameCase
    from frameengine_cli.look import Look
    from frameengine_cli.refs import Place, Source

FRAME_HELP = f"{options.REF_HELP} @2.3 is the third frame of its second message."


def make(
    ref: Annotated[str, typer.Argument(metavar="REF@MESSAGE.FRAME", help=FRAME_HELP, show_default=False)],
    *,
    output: Annotated[
        Path,
        typer.Option("-o", "--output", metavar="DIR", help="Folder for the test; this one, if not said.", show_default=False),
    ] = Path(),
    node: Annotated[
        str | None,
        typer.Option("--node", metavar="NAME", help="Of a frame of several nodes, this one only.", show_default=False),
    ] = None,
    graph: Annotated[
        str | None,
        typer.Option(
            "--graph",
            metavar="NAME|PATH",
            help="Graph that the test runs; 'recorded' for the trace's own. Else the shipped one of that name, if there is one.",
            show_default=False,
        ),
    ] = None,
    trust: Annotated[bool, typer.Option("--trust", help="Import and run the code that the trace itself names.")] = False,
    damaged: Annotated[
        bool, typer.Option("--damaged", help="Take the frame from the good part of a damaged or unfinished trace.")
    ] = False,
    force: options.Force = False,
    as_json: options.Json = False,
    traces: options.Traces = None,
) -> None:
    """Make a test from a frame: it passes now, and fails when that frame changes.

    Two files: a pytest test, and beside it what went into the frame and what must come of it. Only this frame runs in the test;
    no model or tool is asked.

    Example: frameengine testcase latest@2.3 -o tests
    """
    from frameengine.errors import UsageError
    from frameengine_cli.conversing import opened_as_frames
    from frameengine_cli.refs import split_place

    name, place = split_place(ref)
    if name.startswith("-") and name != "-":
        raise UsageError(f"no such option: {ref}", hint="frameengine testcase --help")
    if place is None or place.frame is None:
        first = f"{name}@{1 if place is None else place.message}.1"
        raise UsageError(f"{ref} is no frame", hint=f"frameengine testcase {first}, or another of its frames", ref=ref)
    wanted = Wanted(graph=graph, node=node, folder=output, trust=trust, damaged=damaged, force=force)
    with opened_as_frames(name, traces, plain=damaged) as source:
        made = make_test(source, place, wanted)
    _tell(made, as_json=as_json)


@frozen(kw_only=True)
class Wanted:
    """What a user says about the test."""

    graph: str | None
    """The graph; None for the shipped one of the recorded name, or else the recorded definition."""
    node: str | None
    """The node; None for all of the frame."""
    folder: Path
    """Where the files go."""
    trust: bool
    """Whether what only the trace names may be imported."""
    damaged: bool
    """Whether the good part of a file will do."""
    force: bool
    """Whether files may be written over."""


@frozen(kw_only=True)
class Used:
    """The graph that a test runs."""

    bound: BoundGraph
    """The graph."""
    called: str
    """How to call it on screens."""
    named: str | Path | None
    """What the test says: a name, or a path as it is seen from its folder; None for the definition in the fixture."""


@frozen(kw_only=True)
class Made:
    """A test that was written."""

    test: Path
    """The test."""
    fixture: Path
    """What it reads."""
    case: FrameCase
    """The same as a value."""
    used: Used
    """Its graph."""
    cut: Cut
    """Where it came from."""


def make_test(source: Source, place: Place, wanted: Wanted) -> Made:
    """Cut the frame out, prove that the test passes, and write both files.

    Raises `NothingCompared` for the conversations of somebody's agent, which runs nowhere in such a test.
    """
    from frameengine.cutting import finished, name_of, only, source_of
    from frameengine.errors import NothingCompared
    from frameengine.testcase import with_messages
    from frameengine.trace.files import published
    from frameengine_cli.refs import STDIN, check_absent, stem

    if source.agent is not None:
        raise NothingCompared(
            "the frames are a tool loop's that stands in for the agent: a test of them would never run the agent",
            hint=f"test the agent itself: frameengine replay --exec {source.agent} -- COMMAND",
            path=str(source.name),
        )
    found = _cut(source, place, wanted)
    used = _used(found, wanted)
    case = found.case if wanted.node is None else only(found.case, wanted.node)
    name = name_of("run" if source.name == STDIN else stem(source.name), case, wanted.node)
    test, fixture = wanted.folder / f"{name}.py", wanted.folder / f"{name}.json"
    for file in (test, fixture):
        check_absent(file, force=wanted.force)
    case, left = with_messages(case, used.bound)
    case = finished(case, used.bound, embedded=used.named is None)
    text = case.text()
    _check(case, left or _read_again(text, used), source)
    wanted.folder.mkdir(parents=True, exist_ok=True)
    for file, content in ((fixture, text), (test, source_of(name, case, used.named))):
        with published(file, replace=wanted.force) as sink:
            sink.write(content.encode())
    return Made(test=test, fixture=fixture, case=case, used=used, cut=found)


def _cut(source: Source, place: Place, wanted: Wanted) -> Cut:
    from frameengine.cutting import cut
    from frameengine.errors import TraceFormat, TraceIncomplete, TraceIntegrity, UnknownRef
    from frameengine_cli.progress import patience
    from frameengine_cli.refs import size

    try:
        with patience("reading", size(source.path), in_bytes=True) as done:
            return cut(
                source.path,
                place.message,
                place.frame or 0,
                switch=_finder(wanted.graph),
                damaged=wanted.damaged,
                progress=done,
            )
    except UnknownRef as error:
        error.hint = f"see which there are: frameengine show {source.typed or '-'}"
        raise
    except (TraceFormat, TraceIncomplete, TraceIntegrity) as error:
        if not wanted.damaged and error.fields.get("line") != 1:
            error.hint = "--damaged takes a frame from the good part" + (f"; {error.hint}" if error.hint else "")
        raise


def _finder(wanted: str | None) -> Callable[[str], Graph]:
    """Return what finds a graph that an input switches to: the one that the user names, if it is called so, or a shipped one."""
    from frameengine.errors import GraphError
    from frameengine.graph.loader import list_graphs, load_graph
    from frameengine_cli.graphs import RECORDED

    def find(name: str) -> Graph:
        given = None if wanted in (None, RECORDED) else load_graph(str(wanted))
        if given is not None and given.name == name:
            return given
        if name not in [known for known, _ in list_graphs()]:
            what = f"the trace switches to graph {name!r}, which is not a shipped one"
            raise GraphError(what, hint="name its file with --graph", name=name)
        return load_graph(name)

    return find


def _used(found: Cut, wanted: Wanted) -> Used:
    """Return the graph for the test, chosen as a replay does."""
    from frameengine.errors import UsageError
    from frameengine.graph.registry import bind
    from frameengine.jsonvalue import freeze
    from frameengine_cli.graphs import choose_graph

    bound, called = choose_graph(freeze({"graph": {"name": found.graph.name}}), wanted.graph)
    if bound is None:
        if found.switched:
            what = f"the trace switches to graph {found.graph.name!r}, and its definition stands nowhere in it"
            raise UsageError(what, hint="name its file with --graph")
        return Used(bound=bind(found.graph, trusted=wanted.trust), called=called, named=None)
    if wanted.graph is None or not (wanted.graph.endswith(".toml") or "/" in wanted.graph):
        return Used(bound=bound, called=called, named=bound.graph.name)
    return Used(bound=bound, called=called, named=_seen_from(wanted.folder, Path(wanted.graph)))


def _seen_from(folder: Path, file: Path) -> Path:
    """Return the way from a folder to a file. Raises `UsageError` where it would lead over the root of this machine."""
    from frameengine.errors import UsageError

    places = [folder.absolute(), file.absolute()]
    if len(Path(os.path.commonpath(places)).parts) == 1:
        what = f"a test in {folder} would name {file} by its place on this machine"
        raise UsageError(what, hint="put the test into the project of the graph, or say --graph recorded", path=str(folder))
    return Path(os.path.relpath(places[1], places[0]))


def _read_again(text: str, used: Used) -> tuple[Divergence, ...]:
    """Run what the test will read, not what it was made of."""
    from frameengine.testcase import FrameCase, differences

    return differences(FrameCase.parse(text, "the fixture"), used.bound)


def _check(case: FrameCase, left: tuple[Divergence, ...], source: Source) -> None:
    """Raise `Diverged` where the test would not pass now."""
    from frameengine.errors import Diverged
    from frameengine.testcase import lines

    if not left:
        return
    told = [f"frame {case.place} does not come out as it was recorded, so a test of it would fail now", *lines(left)]
    plain = [str(node.record["input"]["type"]) for node in case.nodes if node.message is None and "type" in node.record["input"]]
    hint = f"record the run again; more about it: frameengine replay {source.typed or '-'}"
    if plain:
        hint = f"import {', '.join(plain)}, an attrs class, at the top of a module of the graph's nodes; or {hint}"
    raise Diverged("\n".join(told), hint=hint, differences=[each.to_json() for each in left])


def members(made: Made) -> dict[str, Any]:
    """Return a test that was made, for programs."""
    from frameengine_cli.failures import error_members

    case, problem = made.case, made.cut.problem
    return {
        "test": str(made.test),
        "fixture": str(made.fixture),
        "run": case.run or None,
        "place": [case.input.number, case.frame],
        "nodes": [node.node for node in case.nodes],
        "calls": _calls(case),
        "graph": made.used.called,
        "embedded": made.used.named is None,
        "problem": None if problem is None else error_members(problem),
    }


def screen(made: Made, look: Look) -> RenderableType:
    """Return a test that was made, for people."""
    from frameengine_cli import phrases
    from frameengine_cli.look import GOOD, SAME, pairs, words

    case = made.case
    unseen = "; its file is not looked at (--graph FILE)" if made.used.named is None else ""
    rows: list[tuple[str, RenderableType]] = [
        ("frame", words((case.place, ""), (f"  {', '.join([node.node for node in case.nodes])}", ""))),
        ("holds", words((f"{phrases.count(_calls(case), 'call')}; {phrases.size(made.fixture.stat().st_size)}", ""))),
        ("graph", words((f"{made.used.called}{unseen}", ""))),
        ("test", words((str(made.test), ""))),
        ("fixture", words((str(made.fixture), ""))),
    ]
    return look.panel(pairs(rows), f"{SAME} test made", "it passes now", style=GOOD)


def _calls(case: FrameCase) -> int:
    return sum(len(node.calls) for node in case.nodes)


def _tell(made: Made, *, as_json: bool) -> None:
    from frameengine_cli import output
    from frameengine_cli.refs import typed

    if as_json:
        output.document(members(made))
        return
    output.show(screen(made, output.look()))
    # What is told after it comes after it, where both go to one file as well.
    sys.stdout.flush()
    if made.cut.problem is not None:
        output.remark(f"the trace is damaged behind this frame: {made.cut.problem.message}")
    output.remark(f"  next: pytest {typed(made.test)}")
