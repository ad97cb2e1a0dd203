"""``frameengine debug``."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer
from attrs import frozen

from frameengine_cli.commands import options

if TYPE_CHECKING:
    from frameengine.debug.place import Place as DebugPlace
    from frameengine.jsonvalue import FrozenMap
    from frameengine.replay.replayer import ReplayResult
    from frameengine_cli.debugging.session import Session
    from frameengine_cli.debugging.starting import Begin
    from frameengine_cli.refs import Place, Source

PLACE_HELP = "@2 begins where its second message enters, @2.3 at the third frame of that."


Run: TypeAlias = Annotated[
    str | None,
    typer.Argument(
        metavar="REF[@MESSAGE[.FRAME]]",
        help=f"{options.REF_HELP} {PLACE_HELP} Without it a run is begun: --graph.",
        show_default=False,
    ),
]
Plain: TypeAlias = Annotated[bool, typer.Option("--plain", help="Commands line by line; so it is where this is no terminal.")]
Script: TypeAlias = Annotated[
    Path | None,
    typer.Option("-x", "--script", metavar="FILE", help="Do what the lines of a file say, and end.", show_default=False),
]
Commands: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("-c", "--command", metavar="LINE", help="Do this, and end; may be said several times.", show_default=False),
]
Graph: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--graph",
        metavar="NAME|PATH",
        help="Graph that forks run; 'recorded' for the trace's own. Without REF: the graph to run.",
        show_default=False,
    ),
]
Trust: TypeAlias = Annotated[bool, typer.Option("--trust", help="Import and run the code that the trace itself names.")]
Damaged: TypeAlias = Annotated[
    bool, typer.Option("--damaged", help="Go about in the good part of a damaged or unfinished trace.")
]
Theme: TypeAlias = Annotated[
    str | None,
    typer.Option("--theme", metavar="light|dark", help="Colours of the screen, if not the terminal's.", show_default=False),
]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print a JSON document for each command.")]
Stops: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("-b", "--break", metavar="KIND …", help="A breakpoint to begin with; again for more.", show_default=False),
]
Pause: TypeAlias = Annotated[
    str | None,
    typer.Option("--pause", metavar="effects|frames|off", help="Of a run that is begun: hold it there.", show_default=False),
]
Scenario: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--scenario", metavar="FILE.toml", help="Begin the run of a scenario: its inputs, replies, tools.", show_default=False
    ),
]
Reply: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--reply", metavar="TEXT", help="Of a run that is begun: what the model answers, in order.", show_default=False),
]
Replies: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--replies",
        metavar="FILE.toml",
        help="What models answer, by node; else a scripted stand-in goes by rules.",
        show_default=False,
    ),
]
DatabaseOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--database", metavar="NAME=FILE|URL", help="A database that tools may read.", show_default=False),
]
Output: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "-o", "--output", metavar="FILE", help="The trace; a free name in the traces folder without it.", show_default=False
    ),
]


def debug(
    ref: Run = None,
    *,
    plain: Plain = False,
    script: Script = None,
    commands: Commands = None,
    graph: Graph = None,
    trust: Trust = False,
    damaged: Damaged = False,
    exchanges: options.Exchanges = False,
    theme: Theme = None,
    as_json: AsJson = False,
    traces: options.Traces = None,
    stops: Stops = None,
    pause: Pause = None,
    scenario: Scenario = None,
    reply: Reply = None,
    replies: Replies = None,
    database: DatabaseOption = None,
    live: options.Live = False,
    models: options.ModelsFile = None,
    output: Output = None,
    force: options.Force = False,
) -> None:
    """Go about in a run, forwards and backwards: step, break, watch, edit, fork. Or begin one, and hold it where you like.

    In a terminal it is a full screen; ? shows its keys, and ':' takes commands. Elsewhere, and with --plain, it takes commands
    line by line; 'help' lists them. Nothing is run but where a fork is made.

    Without a REF a run is begun and recorded: 'say TEXT' talks to it, 'pause effects' holds it before each effect.

    Exit 0 where every command did what it said, else the code of the last one that did not.

    Examples: frameengine debug latest; frameengine debug latest -c 'break error' -c continue -c frame;
    frameengine debug --graph v4-eras --pause effects
    """
    from frameengine.errors import UsageError
    from frameengine_cli.chatting.reading import is_interactive
    from frameengine_cli.debugging.lines import Lines, typed_lines
    from frameengine_cli.refs import split_place

    given = list(commands or [])
    if script is not None:
        given += _script(script)
    shown = is_interactive() and not (plain or as_json or commands or script)
    asked = {
        "pauses": pause, "scenario": scenario, "reply": tuple(reply or ()), "replies": replies, "databases": database,
        "models": models, "output": output,
    }  # fmt: skip
    if ref is None:
        begin = _begin(asked, graph, tuple(stops or ()), traces, live=live, force=force)
        code = _run_screen(begin, theme or "") if shown else _run_lines(begin, given, as_json=as_json)
    else:
        if live or any(asked.values()):
            raise UsageError("a recorded run asks nobody: that is for a run that is begun", hint="leave out the REF, or the rest")
        name, place = split_place(ref)
        if name == "-" and not given:
            what = "the trace comes from stdin, so no commands can come from there"
            raise UsageError(what, hint="say them with -c LINE, or in a file with -x")
        wanted = Wanted(graph=graph, trust=trust, damaged=damaged, stops=tuple(stops or ()))
        with _source(name, traces, plain=exchanges or damaged) as source:
            if shown:
                code = _screen(source, place, wanted, theme or "")
            else:
                lines = Lines(_opened(source, place, wanted), as_json=as_json)
                lines.run(given or typed_lines(lines.session))
                code = lines.code
    if code:
        raise typer.Exit(code)


@frozen(kw_only=True)
class Wanted:
    """What a user says about the session."""

    graph: str | None
    """Graph that forks run."""
    trust: bool
    """Whether code that only the trace names may be imported."""
    damaged: bool
    """Whether the good part of a trace will do."""
    stops: tuple[str, ...] = ()
    """The first breakpoints, as they are typed."""


def _begin(
    asked: dict[str, Any], graph: str | None, stops: tuple[str, ...], traces: Path | None, *, live: bool, force: bool
) -> Begin:
    """Return what is said of a run that is to be begun. Raises `UsageError` where it does not go together."""
    from frameengine.errors import UsageError
    from frameengine_cli.debugging.starting import Begin
    from frameengine_cli.refs import traces_folder

    scenario, who = asked["scenario"], [name for name in ("scenario", "reply", "replies") if asked[name]]
    if (graph is None) == (scenario is None):
        raise UsageError("a recorded run is needed, or else a graph or a scenario", hint="frameengine debug REF, or --graph NAME")
    if len(who) > 1:
        raise UsageError(f"--{who[0]} and --{who[1]} both say what is answered", hint="leave out one of them")
    scripted = next((f"--{name}" for name in ("reply", "replies") if asked[name]), "")
    models = options.live_models(live=live, models=asked["models"], scripted=scripted)
    members = {
        **asked,
        "models": models,
        "databases": options.databases(asked["databases"] or []),
        "pauses": asked["pauses"] or "off",
    }
    return Begin(graph=graph, stops=stops, folder=traces_folder(traces), force=force, **members)


def _run_lines(begin: Begin, given: list[str], *, as_json: bool) -> int:
    """Begin a run, do what lines say, and let go of it; return the exit code."""
    from frameengine_cli import output
    from frameengine_cli.debugging.lines import Lines, typed_lines
    from frameengine_cli.debugging.starting import closed, opening

    lines = Lines(begin.session(), as_json=as_json)
    live = lines.session.live
    assert live is not None  # noqa: S101 - that is what was begun
    try:
        output.remark(opening(lines.session))
        lines.run(given or typed_lines(lines.session))
    finally:
        said, code = closed(live)
        output.remark(said)
    return lines.code or code


def _source(name: str, folder: Path | None, *, plain: bool) -> AbstractContextManager[Source]:
    from frameengine.errors import UsageError
    from frameengine_cli.conversing import opened_as_frames

    if name.startswith("-") and name != "-":
        raise UsageError(f"no such option: {name}", hint="frameengine debug --help")
    return opened_as_frames(name, folder, plain=plain)


def _script(path: Path) -> list[str]:
    from frameengine.errors import UsageError

    try:
        return path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        what = getattr(error, "strerror", None) or "not UTF-8"
        raise UsageError(f"{path}: {what}", hint="name a text file with one command a line", path=str(path)) from None


def _run_screen(begin: Begin, theme: str) -> int:
    """Begin a run on the full screen, and let go of it; return the exit code."""
    from frameengine_cli import output
    from frameengine_cli.debugging.starting import closed

    _check_screen()
    from frameengine_cli.tui.run import run_screen
    from frameengine_cli.tui.working import Opening

    session = begin.session()
    live = session.live
    assert live is not None  # noqa: S101 - that is what was begun
    live.waits = False
    try:
        code = run_screen(Opening(name=str(session.source.name), open=lambda: session), theme=theme)
    finally:
        said, left = closed(live)
        output.remark(said)
    return code or left


def _check_screen() -> None:
    from importlib.util import find_spec

    from frameengine.errors import UsageError

    if find_spec("textual") is None:
        raise UsageError("the screen needs textual, which is not installed", hint="pip install 'frameengine[tui]', or --plain")


def _screen(source: Source, place: Place | None, wanted: Wanted, theme: str) -> int:
    """Show the full screen, which reads the trace once it has come up; return the exit code."""
    from frameengine_cli.refs import size

    _check_screen()
    from frameengine_cli.tui.run import run_screen
    from frameengine_cli.tui.working import Opening

    first = None if place is None else _first(place)
    opening = Opening(
        name=str(source.name), open=lambda: _session(source, wanted, whole=False), total=size(source.path), place=first
    )
    return run_screen(opening, theme=theme)


def _opened(source: Source, place: Place | None, wanted: Wanted) -> Session:
    from frameengine_cli.output import remark

    session = _session(source, wanted, whole=True)
    problem = session.timeline.problem
    if problem is not None:
        remark(f"the trace is good up to {session.timeline.last}: {problem.message}")
    if place is not None:
        session.debugger.go(_first(place))
    return session


def _first(place: Place) -> DebugPlace:
    """Return where a session begins that is asked for with REF@MESSAGE.FRAME."""
    from frameengine.debug.place import Place as DebugPlace

    return DebugPlace(place.message, place.frame or 0)


def _session(source: Source, wanted: Wanted, *, whole: bool) -> Session:
    from frameengine.debug.breakpoints import Breakpoints
    from frameengine.debug.debugger import Debugger
    from frameengine.debug.timeline import Timeline
    from frameengine.errors import TraceFormat, TraceIncomplete, TraceIntegrity
    from frameengine_cli.debugging.session import Session
    from frameengine_cli.progress import patience
    from frameengine_cli.refs import size

    try:
        if whole:
            with patience("reading", size(source.path), in_bytes=True) as done:
                timeline = Timeline(source.path, damaged=wanted.damaged, progress=done)
        else:
            timeline = Timeline(source.path, damaged=wanted.damaged, whole=False)
    except (TraceFormat, TraceIncomplete, TraceIntegrity) as error:
        if not wanted.damaged and error.fields.get("line") != 1:
            error.hint = "--damaged goes about in the good part" + (f"; {error.hint}" if error.hint else "")
        raise
    debugger = Debugger(timeline, Breakpoints(timeline, replay=lambda: _replayed(source, timeline.header, wanted)))
    for stop in wanted.stops:
        debugger.breakpoints.add(stop)
    return Session(source=source, timeline=timeline, debugger=debugger, graph=wanted.graph, trust=wanted.trust)


def _replayed(source: Source, header: FrozenMap, wanted: Wanted) -> ReplayResult:
    """Replay the run, with the same graph as its forks, to find out where it diverges."""
    from frameengine.replay.replayer import Replayer
    from frameengine_cli.graphs import choose_graph, switched_graph

    bound, _ = choose_graph(header, wanted.graph)
    replayer = Replayer(
        source.path, bound=bound, switch=lambda name: switched_graph(name, trust=wanted.trust)[0], trust=wanted.trust
    )
    return replayer.run()
