"""``frameengine debug``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from frameengine_cli.commands import options

if TYPE_CHECKING:
    from frameengine_cli.debugging.session import Session

PLACE_HELP = "@2 begins where its second message enters, @2.3 at the third frame of that."


def debug(
    ref: Annotated[
        str, typer.Argument(metavar="REF[@MESSAGE[.FRAME]]", help=f"{options.REF_HELP} {PLACE_HELP}", show_default=False)
    ],
    *,
    plain: Annotated[bool, typer.Option("--plain", help="Commands line by line; so it is where this is no terminal.")] = False,
    script: Annotated[
        Path | None,
        typer.Option("-x", "--script", metavar="FILE", help="Do what the lines of a file say, and end.", show_default=False),
    ] = None,
    commands: Annotated[
        list[str] | None,
        typer.Option("-c", "--command", metavar="LINE", help="Do this, and end; may be said several times.", show_default=False),
    ] = None,
    graph: Annotated[
        str | None,
        typer.Option(
            "--graph", metavar="NAME|PATH", help="Graph that forks run; 'recorded' for the trace's own.", show_default=False
        ),
    ] = None,
    trust: Annotated[bool, typer.Option("--trust", help="Import and run the code that the trace itself names.")] = False,
    damaged: Annotated[
        bool, typer.Option("--damaged", help="Go about in the good part of a damaged or unfinished trace.")
    ] = False,
    exchanges: options.Exchanges = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON document for each command.")] = False,
    traces: options.Traces = None,
) -> None:
    """Go about in a run, forwards and backwards: step, break, watch, edit, fork.

    Nothing is run but where a fork is made. 'help' lists the commands.

    Exit 0 where every command did what it said, else the code of the last one that did not.

    Examples: frameengine debug latest; frameengine debug latest -c 'break error' -c continue -c frame
    """
    from frameengine_cli.debugging.lines import Lines, typed_lines

    given = list(commands or [])
    if script is not None:
        given += _script(script)
    with _session(ref, graph=graph, trust=trust, damaged=damaged, folder=traces, plain=exchanges) as session:
        lines = Lines(session, as_json=as_json)
        lines.run(given or typed_lines(session))
    if lines.code:
        raise typer.Exit(lines.code)


def _script(path: Path) -> list[str]:
    from frameengine.errors import UsageError

    try:
        return path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        what = getattr(error, "strerror", None) or "not UTF-8"
        raise UsageError(f"{path}: {what}", hint="name a text file with one command a line", path=str(path)) from None


@contextmanager
def _session(ref: str, *, graph: str | None, trust: bool, damaged: bool, folder: Path | None, plain: bool) -> Iterator[Session]:
    from frameengine.debug.debugger import Debugger
    from frameengine.debug.place import Place
    from frameengine.debug.timeline import Timeline
    from frameengine_cli.conversing import opened_as_frames
    from frameengine_cli.debugging.session import Session
    from frameengine_cli.progress import patience
    from frameengine_cli.refs import size, split_place

    name, place = split_place(ref)
    with opened_as_frames(name, folder, plain=plain or damaged) as source:
        try:
            with patience("reading", size(source.path), in_bytes=True) as done:
                timeline = Timeline(source.path, damaged=damaged, progress=done)
        except (TraceFormat, TraceIncomplete, TraceIntegrity) as error:
            if not damaged and error.fields.get("line") != 1:
                error.hint = "--damaged goes about in the good part" + (f"; {error.hint}" if error.hint else "")
            raise
        if timeline.problem is not None:
            remark(f"the trace is good up to {timeline.last}: {timeline.problem.message}")
        debugger = Debugger(timeline)
        if place is not None:
            debugger.go(Place(place.message, place.frame or 0))
        yield Session(source=source, timeline=timeline, debugger=debugger, graph=graph, trust=trust)
