"""``frameengine replay``."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import typer
from attrs import frozen

from frameengine_cli.commands import options
from frameengine_cli.commands.record import (
    AllowAmbiguous,
    AllowApproximate,
    AllowUnused,
    Also,
    Isolate,
    Match,
    Recording,
    Terms,
    replay_agent,
)

if TYPE_CHECKING:
    from frameengine.graph.registry import BoundGraph
    from frameengine.jsonvalue import FrozenMap
    from frameengine.replay.replayer import ReplayResult
    from frameengine_cli.refs import Source
    from frameengine_cli.reporting import ReplayReports

EXIT_FLAKY = 1
Refs: TypeAlias = Annotated[
    list[str] | None,
    typer.Argument(metavar="REF...", help=f"{options.REF_HELP} Several give a line for each, and a sum.", show_default=False),
]
Graph: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--graph",
        metavar="NAME|PATH",
        help="Graph to replay with; 'recorded' for the trace's own. Else the shipped one of that name, if there is one.",
        show_default=False,
    ),
]
Output: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "-o",
        "--output",
        metavar="FILE",
        help="Write the replayed run as a trace (one REF only); with --exec what the agent asks, and the answers it gets.",
        show_default=False,
    ),
]
GuardLevel: TypeAlias = Annotated[
    Literal["off", "on", "full"], typer.Option("--guard", help="How closely node code is watched for clocks and chance.")
]
Speed: TypeAlias = Annotated[
    float | None,
    typer.Option("--speed", metavar="X", help="Show the conversation, X times as fast as it was.", show_default=False),
]
Bisect: TypeAlias = Annotated[
    bool, typer.Option("--bisect", help="Exit codes for 'git bisect run': 0 same, 1 diverged, 125 cannot test.")
]


def replay(
    refs: Refs = None,
    *,
    graph: Graph = None,
    output: Output = None,
    guard: GuardLevel = "on",
    trust: options.Trust = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print no line for each message.")] = False,
    speed: Speed = None,
    runs: options.Runs = 1,
    _bisect: Bisect = False,
    junit: options.Junit = None,
    github: options.Github = False,
    sarif: options.Sarif = None,
    recording: Recording = None,
    match: Match = "exact",
    unused: AllowUnused = False,
    ambiguous: AllowAmbiguous = False,
    approximate: AllowApproximate = False,
    isolate: Isolate = None,
    also: Also = None,
    force: options.Force = False,
    as_json: options.Json = False,
    traces: options.Traces = None,
) -> None:
    """Run the nodes on what was recorded and compare everything.

    The real code gets the recorded inputs and replies; no model, tool, network or clock is asked. Exit 0 where all is the
    same, 4 at the first difference. Several REFs give a line for each, and the highest of their exit codes.

    With --exec it runs somebody's agent instead, with its model calls answered from a recording of them; -o keeps what it asks.

    Examples: frameengine replay latest; frameengine replay traces/*.jsonl; frameengine replay --exec FILE -- python agent.py
    """
    from frameengine.errors import UsageError
    from frameengine_cli.playing import check_speed
    from frameengine_cli.reporting import ReplayReports

    refs = _named(refs, recording, traces)
    how = How(graph=graph, guard=guard, trust=trust, speed=speed)
    reports = ReplayReports(junit, sarif, github=github)
    allowed = {"unused": unused, "ambiguous": ambiguous, "approximate": approximate}
    terms = Terms(match=match, isolate=isolate, also=tuple(also or ()), **allowed)
    if recording is not None:
        if how != _USUAL or reports.wanted or github or runs > 1:
            raise UsageError("an agent is run, not a graph", hint="what else --exec takes, 'frameengine replay --help' says")
        replay_agent(recording, refs, terms, output=output, force=force, as_json=as_json, traces=traces)
        return
    terms.check_unsaid()
    check_speed(speed, alone=not (len(refs) > 1 or runs > 1 or quiet or as_json or github))
    if github and as_json:
        raise UsageError("--github and --json both go to stdout", hint="choose one; --junit and --sarif write files")
    if runs > 1:
        if len(refs) > 1 or output is not None:
            raise UsageError("--runs is about one trace, and keeps none", hint="name one trace, and leave out -o")
        if reports.wanted:
            raise UsageError("--runs has no reports", hint="leave out --junit, --github and --sarif, or --runs")
        _repeat(refs[0], how, runs, traces, as_json=as_json)
        return
    if len(refs) > 1 and output is not None:
        raise UsageError(f"-o takes the replay of one trace, and there are {len(refs)}", hint="leave out -o, or name one trace")
    reports.check(refs, traces)
    with reports.written():
        if len(refs) > 1:
            _each(refs, how, traces, reports, as_json=as_json)
        else:
            _one(refs[0], how, traces, reports, output=output, force=force, quiet=quiet, as_json=as_json)


def _named(refs: list[str] | None, recording: str | None, folder: Path | None) -> list[str]:
    """Return the traces that are named, or with --exec the command. Raises `UsageError` where there is none, or one too many.

    A recording of an agent with a command behind it is meant for --exec.
    """
    from frameengine.errors import FrameEngineError, UsageError
    from frameengine.trace.reader import read_header
    from frameengine_cli.conversing import holds_exchanges
    from frameengine_cli.refs import find, traces_folder, typed

    if not refs and recording is not None:
        hint = f"the command goes behind '--': frameengine replay --exec {typed(recording)} -- python agent.py"
        raise UsageError("--exec answers an agent, and no command starts one", hint=hint)
    if not refs:
        raise UsageError("no trace is named", hint="name one: frameengine replay latest; --help says more")
    if recording is not None or len(refs) == 1:
        return refs

    def header(ref: str) -> FrozenMap | None:
        try:
            return read_header(find(ref, traces_folder(folder)))
        except (FrameEngineError, OSError):
            return None

    first = header(refs[0]) if refs[0] != "-" else None
    if first is not None and holds_exchanges(first) and header(refs[1]) is None:
        what = f"{refs[0]} is a recording of an agent, and {refs[1]} no trace"
        raise UsageError(what, hint=f"say --exec: frameengine replay --exec {typed(refs[0])} -- {shlex.join(refs[1:])}")
    return refs


def _repeat(ref: str, how: How, runs: int, folder: Path | None, *, as_json: bool) -> None:
    """Replay in several processes; leave with 1 where they do not all end alike, else with the code that all have."""
    from frameengine_cli import output
    from frameengine_cli.refs import opened
    from frameengine_cli.repeating import repeated
    from frameengine_cli.screens.runs import screen

    with opened(ref, folder) as source:
        endings = repeated(source.path, how.options(), runs)
    flaky = len(endings) > 1
    code = EXIT_FLAKY if flaky else endings[0].code
    if as_json:
        members = {"verdict": "flaky" if flaky else endings[0].document.get("verdict", "error"), "path": str(source.name)}
        output.document({**members, "runs": runs, "endings": [one.to_json() for one in endings]}, ok=not code)
    else:
        output.show(screen(endings, runs, str(source.name), output.look()))
    if code:
        raise typer.Exit(code)


def _one(
    ref: str,
    how: How,
    folder: Path | None,
    reports: ReplayReports,
    *,
    output: Path | None,
    force: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    from frameengine_cli import output as out
    from frameengine_cli.refs import opened

    with reports.about(ref), opened(ref, folder) as source:
        found = _kept(source, how, output, force=force, quiet=quiet or as_json or reports.github)
        reports.replayed(found.result)
    with out.ending(0 if found.same else 4):
        if as_json:
            out.document(_members(found), ok=found.same)
        elif not reports.github:
            _show(found)


@frozen(kw_only=True)
class How:
    """What a user says about how to replay."""

    graph: str | None
    """The graph; None for the shipped one of the recorded name, or else the recorded definition."""
    guard: Any
    """Level of the guard."""
    trust: bool
    """Whether what only the trace names may be imported."""
    speed: float | None = None
    """How many times as fast as it was the conversation is shown; None for at once, and not shown."""

    def options(self) -> list[str]:
        """Return what says the same on the command line; how fast it is shown is left out."""
        graph = ["--graph", self.graph] if self.graph is not None else []
        return ["--guard", self.guard, *graph, *(["--trust"] if self.trust else [])]


_USUAL = How(graph=None, guard="on", trust=False)


@frozen(kw_only=True)
class Replayed:
    """A replay, and what it was made with."""

    result: ReplayResult
    """What it found."""
    source: Source
    """The trace."""
    graph: str
    """How to call the graph."""
    embedded: bool
    """Whether it is the one in the trace, which no file was compared with."""

    @property
    def same(self) -> bool:
        """Whether nothing differs."""
        return self.result.divergence is None


def _each(refs: list[str], how: How, folder: Path | None, reports: ReplayReports, *, as_json: bool) -> None:
    from frameengine_cli import output
    from frameengine_cli.refs import opened
    from frameengine_cli.screens.receipt import same_line
    from frameengine_cli.several import Done, each

    def one(ref: str) -> Done:
        with reports.about(ref), opened(ref, folder) as source:
            found = _replayed(source, how, None, quiet=True)
            reports.replayed(found.result)
        if as_json or reports.github:
            pass
        elif found.same:
            output.say(same_line(found.result, str(source.name)))
        else:
            _show(found)
        members = {"ok": found.same, **_members(found)}
        return Done("same", members) if found.same else Done("diverged", members, 4)

    each(refs, one, name="replays", as_json=as_json)


def _kept(source: Source, how: How, output: Path | None, *, force: bool, quiet: bool) -> Replayed:
    """Replay into *output*. With *force* it takes the place of an older file, once it is there."""
    from frameengine.errors import UsageError
    from frameengine.trace.files import part_of, storage_error
    from frameengine_cli.refs import check_absent

    if output is None or not output.exists():
        return _replayed(source, how, output, quiet=quiet)
    check_absent(output, force=force)
    if not output.is_file():
        raise UsageError(f"{output} is not a regular file", hint="choose another name", path=str(output))
    if output.samefile(source.path):
        raise UsageError(f"{output} is the trace that is replayed", hint="choose another name", path=str(output))
    part = part_of(output)
    try:
        part.unlink(missing_ok=True)
        found = _replayed(source, how, part, quiet=quiet)
        part.replace(output)
    except OSError as error:
        raise storage_error(output, error) from error
    finally:
        part.unlink(missing_ok=True)
    return found


def _replayed(source: Source, how: How, output: Path | None, *, quiet: bool) -> Replayed:
    from attrs import evolve

    from frameengine.engine.guard import Guard
    from frameengine.replay.replayer import Replayer, check_runs_code, embedded_graph
    from frameengine.replay.touched import with_touch
    from frameengine.trace.reader import read_header
    from frameengine_cli.chatting.people import People
    from frameengine_cli.failures import Interrupted
    from frameengine_cli.graphs import choose_graph, switched_graph
    from frameengine_cli.playing import Player, Watcher
    from frameengine_cli.progress import patience
    from frameengine_cli.refs import last_seal

    path = source.path
    header = read_header(path)
    bound, used = choose_graph(header, how.graph)
    check_runs_code(embedded_graph(header, path) if bound is None else bound.graph, path)
    seal = last_seal(path)
    total = seal.get("inputs") if seal is not None else None
    watcher = Watcher(quiet=quiet)
    view = None if how.speed is None else People()

    switched: dict[str, None] = {}

    def switch(name: str) -> BoundGraph:
        other, called = switched_graph(name, trust=how.trust)
        switched[called] = None
        return other

    replayer = Replayer(
        path, bound=bound, guard=Guard(how.guard), output=output, instruments=(watcher,), switch=switch, trust=how.trust
    )
    watcher.differs = lambda: replayer.differs
    instruments = replayer.engine.instruments
    if view is not None and how.speed is not None:
        instruments.add(Player(how.speed, replayer.engine.previews, view))
        instruments.add(view)
    try:
        if view is not None or (sys.stdout.isatty() and not quiet):
            # The lines on the screen tell how far it is; a bar among them would only get in their way.
            result = replayer.run()
        else:
            with patience("replaying", total if isinstance(total, int) else None) as done:
                watcher.done = done
                result = replayer.run()
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted while replaying {watcher.place}", hint="the trace was only read; run it again") from None
    for _, error in instruments.dropped:
        # A screen that is gone is noticed when the receipt is written, with the exit code that is known by then.
        if not isinstance(error, OSError):
            raise error
    watcher.end(same=result.divergence is None)
    result = evolve(with_touch(result, bound=bound, switch=switch, trust=how.trust), path=source.name)
    return Replayed(result=result, source=source, graph=", then ".join([used, *switched]), embedded=bound is None)


def _members(replayed: Replayed) -> dict[str, Any]:
    from frameengine.codec import tagged
    from frameengine_cli.screens.run import counts_json

    result = replayed.result
    found = result.divergence
    members: dict[str, Any] = {
        "verdict": result.verdict,
        "path": str(result.path),
        "counts": counts_json(result.counts),
        "canonical": tagged(result.canonical),
        "graph": replayed.graph,
        "changed": list(result.changed),
        "open": list(result.open),
        "live_calls": 0,
        "divergence": None if found is None else found.to_json(),
    }
    if found is not None:
        message = f"diverged at {found.place}: {found.kind} {found.pointer}".rstrip()
        members["error"] = {"code": "determinism.diverged", "message": message, "hint": "see divergence", "fields": {}}
    return members


def _show(found: Replayed) -> None:
    from frameengine_cli import output
    from frameengine_cli.screens.divergence import report
    from frameengine_cli.screens.receipt import replayed

    result, look = found.result, output.look()
    if result.divergence is None:
        output.show(replayed(result, found.graph, look, embedded=found.embedded))
    else:
        output.show(report(result, result.divergence, found.graph, look, typed=found.source.typed))
