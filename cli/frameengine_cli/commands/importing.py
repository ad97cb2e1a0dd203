"""``frameengine import``: recordings of other systems become traces."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import typer

from frameengine_cli.commands import options

if TYPE_CHECKING:
    from frameengine.importers.exchanges import ExchangesReport
    from frameengine.importers.openai import Conversation, ImportReport, Note

Report = TypeVar("Report", "ExchangesReport", "ImportReport")

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True, help="Turn recordings of other systems into traces.")

NOTES_SHOWN = 8
"""Different notes that are printed."""
CONVERSATIONS_SHOWN = 20
_ORIGINS = {"again": "the same request as", "branch": "branches off after", "rewritten": "a history rewritten, likely after"}


@app.callback()
def root() -> None:
    """Turn recordings of other systems into traces."""


@app.command("openai")
def openai(
    source: Annotated[
        str, typer.Argument(metavar="FILE", help="JSON or JSON Lines with OpenAI messages; '-' for stdin.", show_default=False)
    ],
    *,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE|DIR",
            help="The trace, or a folder for several; the traces folder without it.",
            show_default=False,
        ),
    ] = None,
    shape: Annotated[
        Literal["auto", "messages", "tau-bench"], typer.Option("--shape", help="Where the document holds its messages.")
    ] = "auto",
    force: options.Force = False,
    as_json: options.Json = False,
    traces: options.Traces = None,
) -> None:
    """Run recorded OpenAI conversations through the tool loop, one trace each.

    A trace replays, and its messages export unchanged.

    Example: frameengine import openai chat.json -o chat.trace.jsonl
    """
    from frameengine.importers.openai import read_conversations
    from frameengine_cli import output as out
    from frameengine_cli import phrases
    from frameengine_cli.failures import Interrupted
    from frameengine_cli.progress import patience
    from frameengine_cli.refs import traces_folder

    reports: list[ImportReport] = []
    document = sys.stdin.buffer.read() if source == "-" else Path(source)
    try:
        with patience("importing") as done:
            conversations = list(read_conversations(document, shape))
            targets = _targets(source, len(conversations), output, traces_folder(traces), force=force)
            for conversation, target in zip(conversations, targets, strict=True):
                reports.append(_import(conversation, target, force=force))
                done(len(reports))
    except KeyboardInterrupt:
        after = phrases.count(len(reports), "conversation")
        raise Interrupted(f"interrupted after {after}", hint="the traces written so far are whole") from None
    if as_json:
        imported = [{**report.to_json(), "kept": bool(report.calls)} for report in reports]
        out.document({"imported": imported}, ok=any(report.calls for report in reports))
    else:
        _tell(reports)
    if not any(report.calls for report in reports):
        if as_json:
            raise typer.Exit(5)
        from frameengine.errors import NothingCompared

        raise NothingCompared(
            "nothing was captured: no conversation has a call that can be run", hint="see the notes above; no trace is kept"
        )


@app.command("exchanges")
def exchanges(
    ref: options.Ref,
    *,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="The trace; the traces folder without it.", show_default=False),
    ] = None,
    force: options.Force = False,
    as_json: options.Json = False,
    traces: options.Traces = None,
) -> None:
    """Run the conversations in recorded HTTP calls through the tool loop, all in one trace.

    Calls are told apart by the messages that an agent sends again each time. What is no chat completion is counted, and stays in
    the recording.

    Example: frameengine import exchanges agent.trace.jsonl -o agent.frames.trace.jsonl
    """
    from frameengine.errors import NothingCompared
    from frameengine.exchanges.book import read_exchanges
    from frameengine.importers.exchanges import import_exchanges
    from frameengine_cli import output as out
    from frameengine_cli.progress import patience
    from frameengine_cli.refs import check_absent, free_name, opened, stem, traces_folder

    with opened(ref, traces) as source:
        target = output or free_name(traces_folder(traces), f"{stem(source.name)}-frames")
        check_absent(target, force=force)
        with patience("importing") as done:
            found, name = read_exchanges(source.path), str(source.name)
            report = _kept(target, lambda draft: import_exchanges(found, draft, source=name, progress=done), force=force)
    if as_json:
        out.document({**report.to_json(), "seen_as": report.seen_as, "kept": bool(report.calls)}, ok=bool(report.calls))
    else:
        _tell_conversations(report)
    if not report.calls:
        if as_json:
            raise typer.Exit(5)
        hint = f"look at the exchanges: frameengine show --exchanges {source.typed or source.name}"
        raise NothingCompared("nothing was captured: there is no conversation that can be run; no trace is kept", hint=hint)


def _tell_conversations(report: ExchangesReport) -> None:
    from frameengine_cli import output, phrases

    output.say(f"{'✓' if report.calls else '✗'} {report.path}  {report.seen_as}")
    for number, one in enumerate(report.conversations[:CONVERSATIONS_SHOWN], start=1):
        first, last = one.inputs
        inputs = f"input {first}" if first == last else f"inputs {first}-{last}"
        comes = f", {_ORIGINS[one.origin]} exchange {one.of}" if one.origin else ""
        calls = phrases.count(one.calls, "call") if one.calls else "given, not run"
        output.say(f"  {number:>3}  {inputs}, {phrases.count(len(one.exchanges), 'exchange')}, {calls}{comes}")
        for note in one.notes[:NOTES_SHOWN]:
            output.remark(f"note: conversation {number}: {_note(note)}")
    more = len(report.conversations) - CONVERSATIONS_SHOWN
    if more > 0:
        output.say(f"  and {more} more conversations (--json has all)")
    for name, count in report.others.items():
        output.remark(f"note: {phrases.count(count, 'exchange')} {name}, no chat completion: not imported")
    for note in report.refused[:NOTES_SHOWN]:
        output.remark(f"note: exchange {note.message} is not imported: {note.what}")


def _import(conversation: Conversation, target: Path, *, force: bool) -> ImportReport:
    from frameengine.importers.openai import import_messages

    return _kept(target, lambda draft: import_messages(conversation, draft), force=force)


def _kept(target: Path, made: Callable[[Path], Report], *, force: bool) -> Report:
    """Import into a draft, and put that at *target* where something was run; else what stands there is as it was.

    Without a call it could not be replayed, and would be what `latest` means.
    """
    from shutil import copyfileobj
    from tempfile import TemporaryDirectory

    from attrs import evolve

    from frameengine.trace.files import published

    with TemporaryDirectory(prefix="frameengine-") as folder:
        draft = Path(folder) / "draft.trace.jsonl"
        report = made(draft)
        if report.calls:
            with draft.open("rb") as file, published(target, replace=force) as sink:
                copyfileobj(file, sink)
    return evolve(report, path=target)


def _targets(source: str, count: int, output: Path | None, folder: Path, *, force: bool) -> list[Path]:
    """Return the file of each conversation: where *output* says, or free names in *folder*.

    Raises `UsageError` before anything is written where one is taken.
    """
    from frameengine.errors import UsageError
    from frameengine_cli.refs import SUFFIXES, check_absent, free_name

    if output is not None and count == 1 and not output.is_dir():
        targets = [output]
    else:
        if output is not None and output.name.endswith(SUFFIXES):
            raise UsageError(f"{source} holds {count} conversations, and {output} is one file", hint="name a folder with -o")
        name = "stdin" if source == "-" else Path(source).name.split(".")[0]
        digits = len(str(count))
        names = [name] if count == 1 else [f"{name}-{number:0{digits}}" for number in range(1, count + 1)]
        if output is None and not force:
            return [free_name(folder, name) for name in names]
        folder = output or folder
        folder.mkdir(parents=True, exist_ok=True)
        targets = [folder / f"{name}.trace.jsonl" for name in names]
    for target in targets:
        check_absent(target, force=force)
    return targets


def _tell(reports: list[ImportReport]) -> None:
    from collections import Counter

    from frameengine_cli import output, phrases

    for report in reports:
        sign = "✓" if report.calls else "✗"
        facts = [phrases.count(report.messages, "message"), phrases.count(report.calls, "call")]
        facts += [f"{report.given} given"] if report.given else []
        facts += ["stops inside a message"] if report.open else []
        facts += [] if report.calls else ["not kept"]
        output.say(f"{sign} {report.path}  {', '.join(facts)}")
    notes = Counter(note for report in reports for note in dict.fromkeys(_note(note) for note in report.notes))
    for note, times in list(notes.items())[:NOTES_SHOWN]:
        output.remark(f"note: {note}" + (f" ({phrases.count(times, 'conversation')})" if len(reports) > 1 else ""))
    if len(notes) > NOTES_SHOWN:
        output.remark(f"and {len(notes) - NOTES_SHOWN} more notes (--json has all)")


def _note(note: Note) -> str:
    return note.what if note.message is None else f"message {note.message}: {note.what}"
