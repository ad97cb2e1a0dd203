"""``frameengine show``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from frameengine_cli.commands import options

if TYPE_CHECKING:
    from rich.console import RenderableType

    from frameengine.trace.messages import Message, Step
    from frameengine_cli.refs import Place, Source
    from frameengine_cli.screens import exchanges
    from frameengine_cli.screens.run import Row, RunFacts


PLACE_HELP = "@2 is its second message, @2.3 the third frame of that."


def show(
    ref: Annotated[
        str, typer.Argument(metavar="REF[@MESSAGE[.FRAME]]", help=f"{options.REF_HELP} {PLACE_HELP}", show_default=False)
    ],
    *,
    damaged: Annotated[
        bool, typer.Option("--damaged", help="Show the good part of a damaged or unfinished trace; the exit code stays 3.")
    ] = False,
    full: Annotated[bool, typer.Option("--full", help="Cut no question and no answer.")] = False,
    exchanges: options.Exchanges = False,
    as_json: options.Json = False,
    traces: options.Traces = None,
) -> None:
    """Show a run, a message of it, or a frame whole.

    A run is a table of messages, a message a timeline of frames. No code is run: it works on traces whose graph or code is gone.

    Example: frameengine show latest@1.3
    """
    from frameengine.errors import UsageError
    from frameengine_cli.conversing import opened_as_frames
    from frameengine_cli.refs import split_place

    name, place = split_place(ref)
    if name.startswith("-") and name != "-":
        raise UsageError(f"no such option: {ref}", hint="frameengine show --help")
    with opened_as_frames(name, traces, plain=exchanges or damaged) as source:
        _show(source, place, damaged=damaged, full=full, as_json=as_json)


def _show(source: Source, place: Place | None, *, damaged: bool, full: bool, as_json: bool) -> None:
    from frameengine_cli import output

    facts, rows, found = _read(source, place, damaged=damaged, keep_all=as_json and place is None)
    # What is wrong with the file comes before what is not in it.
    if facts.problem is None:
        _check_not_empty(facts)
    step = None if place is None else _check_place(facts, place, found)
    if as_json:
        _document(facts, found, step)
    else:
        output.show(_screen(facts, rows, found, place, step, full=full))
    if facts.problem is not None and as_json:
        raise typer.Exit(facts.problem.exit_code)
    if facts.problem is not None:
        raise facts.problem


def _read(
    source: Source, place: Place | None, *, damaged: bool, keep_all: bool
) -> tuple[RunFacts, list[Row | exchanges.Row], list[Message]]:
    """Read a trace to its end, keeping of its messages what will be shown."""
    from frameengine.errors import TraceError
    from frameengine.trace.messages import messages
    from frameengine.trace.reader import TraceReader
    from frameengine_cli.conversing import holds_exchanges
    from frameengine_cli.progress import patience
    from frameengine_cli.refs import short_id, size
    from frameengine_cli.screens import exchanges
    from frameengine_cli.screens.run import Row, RunFacts

    rows: list[Row | exchanges.Row] = []
    kept: list[Message] = []
    problem: TraceError | None = None
    path = source.path
    with TraceReader(path, damaged=damaged) as reader, patience("reading", size(path), in_bytes=True) as done:
        plain = holds_exchanges(reader.header)
        try:
            for message in messages(reader, last=None if place is None else place.message):
                done(reader.offset)
                if place is not None:
                    kept += [message] if _inside(message, place) else []
                else:
                    rows.append(exchanges.Row.of(source.name, message) if plain else Row.of(message))
                    kept = kept if keep_all else []
                    kept.append(message)
        except TraceError as error:
            if not damaged:
                raise
            problem = error
        facts = RunFacts(
            path=source.name,
            typed=source.typed if source.typed is None or not plain else f"--exchanges {source.typed}",
            header=reader.header,
            counts=reader.counts,
            id=short_id(reader.head) if reader.sealed else None,
            problem=problem or reader.problem,
        )
    return facts, rows, kept


def _inside(message: Message, place: Place) -> bool:
    """Return whether the input that is asked for is the one of *message*, or came in while that was under way."""
    return any(entered.number == place.message for entered in message.entered)


def _check_not_empty(facts: RunFacts) -> None:
    from frameengine.errors import NothingCompared

    if not facts.counts.inputs:
        raise NothingCompared(
            f"{facts.path}: no input was recorded: there is nothing to show", hint="record a run that does something"
        )


def _check_place(facts: RunFacts, place: Place, found: list[Message]) -> Step | None:
    """Return the frame that is asked for; None where it is a message. Raises `UnknownRef`."""
    from frameengine.errors import UnknownRef

    if not found:
        if facts.problem is not None:
            raise facts.problem
        raise UnknownRef(
            f"{facts.path} has no message {place.message}: its inputs are 1 to {facts.counts.inputs}",
            hint="" if facts.typed is None else f"frameengine show {facts.typed}",
            place=place.message,
            inputs=facts.counts.inputs,
        )
    if place.frame is None:
        return None
    step = found[0].step(place.frame)
    if step is None:
        numbers = [step.number for step in found[0].steps]
        listed = f"its frames are 1 to {numbers[-1]}" if numbers else "it has no frames"
        raise UnknownRef(
            f"message {place.message} has no frame {place.frame}: {listed}",
            hint="" if facts.typed is None else f"frameengine show {facts.typed}@{place.message}",
            place=[place.message, place.frame],
            frames=numbers,
        )
    return step


def _document(facts: RunFacts, found: list[Message], step: Step | None) -> None:
    from frameengine_cli import output
    from frameengine_cli.failures import error_members

    members = facts.to_json()
    if facts.problem is not None:
        members["error"] = error_members(facts.problem)
    if step is not None:
        members["message"] = found[0].number
        members["frame"] = step.to_json()
    else:
        members["messages"] = [message.to_json() for message in found]
    output.document(members, ok=facts.problem is None)


def _screen(
    facts: RunFacts, rows: list[Row | exchanges.Row], found: list[Message], place: Place | None, step: Step | None, *, full: bool
) -> RenderableType:
    from rich.console import Group

    from frameengine_cli import output
    from frameengine_cli.look import QUIET, words
    from frameengine_cli.screens import exchanges
    from frameengine_cli.screens.frame import frame
    from frameengine_cli.screens.run import Row, damage, head, table
    from frameengine_cli.screens.timeline import timeline

    look = output.look()
    parts: list[RenderableType] = [head(facts, note=place is None)]
    if step is not None:
        parts.append(frame(found[0], step, look))
    elif found and (place is not None or len(rows) == 1):
        parts.append(timeline(found[0], look, full=full))
        if found[0].steps and facts.typed is not None:
            parts.append(
                words((f"a frame whole: frameengine show {facts.typed}@{found[0].number}.{found[0].steps[0].number}", QUIET))
            )
    elif rows:
        calls = [row for row in rows if isinstance(row, exchanges.Row)]
        odd = [row.number for row in rows if row.status != "done"]
        messages = [row for row in rows if isinstance(row, Row)]
        parts.append(exchanges.table(calls, look) if calls else table(messages, look, facts.header))
        if facts.typed is not None:
            number = next(iter([*odd, *[row.number for row in messages if row.calls], rows[0].number]))
            parts.append(words((f"a message frame by frame: frameengine show {facts.typed}@{number}", QUIET)))
    if facts.problem is not None:
        parts.append(damage())
    return Group(*parts)
