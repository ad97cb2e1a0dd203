"""``frameengine export``: traces become recordings of other systems."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from frameengine_cli.commands import options

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True, help="Turn traces into the formats of other systems.")


@app.callback()
def root() -> None:
    """Turn traces into the formats of other systems."""


@app.command("openai")
def openai(
    ref: options.Ref,
    *,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Where to; stdout without it.", show_default=False)
    ] = None,
    damaged: Annotated[bool, typer.Option("--damaged", help="Export the good part of a damaged or unfinished trace.")] = False,
    force: options.Force = False,
    as_json: options.Json = False,
    traces: options.Traces = None,
) -> None:
    """Write the conversation of a run as OpenAI messages.

    Example: frameengine export openai latest -o chat.json
    """
    from frameengine.codec import dumps
    from frameengine.errors import NothingCompared
    from frameengine.exporters.openai import export_messages
    from frameengine.plaintext import visible_json
    from frameengine_cli import output as out
    from frameengine_cli.conversing import opened_as_frames
    from frameengine_cli.phrases import count
    from frameengine_cli.refs import check_absent

    if output is not None:
        check_absent(output, force=force)
    with opened_as_frames(ref, traces, plain=damaged) as source:
        exported = export_messages(source.path, damaged=damaged)
        if not exported.messages:
            name = str(source.name)
            raise NothingCompared(f"{name} holds no messages", hint="record a run in which something is said", path=name)
    text = dumps(exported.messages).decode() + "\n"
    if output is not None:
        out.save(output, text)
    notes = [*exported.notes, *([f"not exported: {', '.join(exported.beside)}"] if exported.beside else [])]
    for note in notes:
        out.remark(f"note: {note}")
    if as_json:
        members = {"messages": exported.messages, "notes": notes, "open": exported.open}
        out.document({**members, "output": None if output is None else str(output)})
    elif output is None:
        # A program that reads this gets the very bytes; what could harm a terminal is escaped there, as JSON.
        out.write(visible_json(text) if out.is_terminal() else text)
    else:
        out.remark(f"wrote {output}: {count(len(exported.messages), 'message')}")


@app.command("zst")
def zst(
    ref: options.Ref,
    *,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FILE", help="Where to; the trace's name and .zst without it.", show_default=False
        ),
    ] = None,
    force: options.Force = False,
    as_json: options.Json = False,
    traces: options.Traces = None,
) -> None:
    """Write a sealed trace in its compressed form, which every command reads.

    Example: frameengine export zst latest
    """
    from frameengine.trace.compressed import compress
    from frameengine_cli import output as out
    from frameengine_cli.refs import opened

    with opened(ref, traces) as source:
        path = source.path
        target = output or Path(f"{path.name}.zst" if ref == "-" else f"{path}.zst")
        compress(path, target, replace=force)
        before, after = path.stat().st_size, target.stat().st_size
    if as_json:
        out.document({"output": str(target), "bytes": after, "uncompressed": before})
    else:
        out.remark(f"wrote {target}: {after:,} of {before:,} bytes")
