"""``frameengine debug``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

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
Damaged: TypeAlias = Annotated[
    bool, typer.Option("--damaged", help="Go about in the good part of a damaged or unfinished trace.")
]
Theme: TypeAlias = Annotated[
    Literal["light", "dark"] | None,
    typer.Option("--theme", help="Colours of the screen, if not the terminal's.", show_default=False),
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


def debug(
    ref: Run = None,
    *,
    plain: Plain = False,
    script: Script = None,
    commands: Commands = None,
    graph: Graph = None,
    trust: options.Trust = False,
    damaged: Damaged = False,
    exchanges: options.Exchanges = False,
    theme: Theme = None,
    as_json: AsJson = False,
    traces: options.Traces = None,
    stops: Stops = None,
    pause: Pause = None,
    scenario: Scenario = None,
    reply: Reply = None,
    replies: options.Replies = None,
    database: options.Readable = None,
    live: options.Live = False,
    models: options.ModelsFile = None,
    output: options.NewTrace = None,
    force: options.Force = False,
) -> None:
    """Go about in a run, forwards and backwards: step, break, watch, edit, fork. Or begin one, and hold it where you like.

    In a terminal it is a full screen; ? shows its keys, and ':' takes commands. Elsewhere, and with --plain, it takes commands
    line by line; 'help' lists them. Nothing is run but for a fork, a test, and a breakpoint on a divergence.

    Without a REF a run is begun and recorded: 'say TEXT' talks to it, 'pause effects' holds it before each effect.

    Exit 0 where every command did what it said, else the code of the last one that did not.

    Examples: frameengine debug latest; frameengine debug latest -c 'break error' -c continue -c frame;
    frameengine debug --graph v4-eras --pause effects
    """
    from frameengine_cli.chatting.reading import is_interactive
    from frameengine_cli.debugging.starting import Begin
    from frameengine_cli.refs import traces_folder

    given = [*(commands or []), *([] if script is None else _script(script))]
    shown = is_interactive() and not (plain or as_json or commands or script)
    if ref is not None:
        begun = {
            "--pause": pause, "--scenario": scenario, "--reply": reply, "--replies": replies, "--database": database,
            "--live": live, "--models": models, "-o": output, "--force": force,
        }  # fmt: skip
        _refuse("a recorded run asks nobody and is not written", begun, "leave out the REF, or")
        wanted = Wanted(graph=graph, trust=trust, damaged=damaged, stops=tuple(stops or ()), theme=theme or "")
        code = _recorded(ref, traces, wanted, given, shown=shown, exchanges=exchanges, as_json=as_json)
    else:
        recorded = {"--trust": trust, "--damaged": damaged, "--exchanges": exchanges}
        _refuse("a run that is begun is no recorded one", recorded, "say a REF, or")
        begin = Begin(
            graph=graph, scenario=scenario, reply=tuple(reply or ()), replies=replies, pauses=pause or "off",
            databases=options.databases(database or []), stops=tuple(stops or ()), folder=traces_folder(traces), output=output,
            models=options.live_models(live=live, models=models, scripted="--reply" if reply else "--replies" if replies else ""),
            force=force,
        )  # fmt: skip
        code = _run_screen(begin, theme or "") if shown else _run_lines(begin, given, as_json=as_json)
    if code:
        raise typer.Exit(code)


def _refuse(why: str, said: Mapping[str, object], way: str) -> None:
    """Raise `UsageError` where an option is said that is for another kind of run: it would do nothing."""
    from frameengine.errors import UsageError

    named = ", ".join([name for name, value in said.items() if value])
    if named:
        raise UsageError(f"{why}: {named}", hint=f"{way} leave out {named}")


@frozen(kw_only=True)
class Wanted:
    """What a user says about the session."""

    graph: str | None
    """Graph that forks run."""
    trust: bool
    """Whether code that only the trace names may be imported."""
    damaged: bool
    """Whether the good part of a trace will do."""
    stops: tuple[str, ...]
    """The first breakpoints, as they are typed."""
    theme: str
    """Colours of the screen; empty for the terminal's."""


def _recorded(
    ref: str, folder: Path | None, wanted: Wanted, given: list[str], *, shown: bool, exchanges: bool, as_json: bool
) -> int:
    """Go about in a recorded run; return the exit code."""
    from frameengine.errors import UsageError
    from frameengine_cli.conversing import opened_as_frames
    from frameengine_cli.debugging.lines import Lines
    from frameengine_cli.refs import split_place

    name, place = split_place(ref)
    if name == "-" and not given:
        what = "the trace comes from stdin, so no commands can come from there"
        raise UsageError(what, hint="say them with -c LINE, or in a file with -x")
    if name.startswith("-") and name != "-":
        raise UsageError(f"no such option: {name}", hint="frameengine debug --help")
    with opened_as_frames(name, folder, plain=exchanges or wanted.damaged) as source:
        if shown:
            return _screen(source, place, wanted)
        lines = Lines(_opened(source, place, wanted), as_json=as_json)
        lines.run(given)
        return lines.code


def _run_lines(begin: Begin, given: list[str], *, as_json: bool) -> int:
    """Begin a run, do what lines say, and let go of it; return the exit code."""
    from frameengine_cli import output
    from frameengine_cli.debugging.lines import Lines
    from frameengine_cli.debugging.starting import closed, opening

    lines = Lines(begin.session(), as_json=as_json)
    live = lines.session.live
    assert live is not None  # noqa: S101 - that is what was begun
    try:
        output.remark(opening(lines.session))
        lines.run(given)
    finally:
        said, code = closed(live)
        output.remark(said)
    return lines.code or code


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


def _screen(source: Source, place: Place | None, wanted: Wanted) -> int:
    """Show the full screen, which reads the trace once it has come up; return the exit code."""
    from frameengine_cli.refs import size

    _check_screen()
    from frameengine_cli.tui.run import run_screen
    from frameengine_cli.tui.working import Opening

    first = None if place is None else _first(place)
    opening = Opening(
        name=str(source.name), open=lambda: _session(source, wanted, whole=False), total=size(source.path), place=first
    )
    return run_screen(opening, theme=wanted.theme)


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
