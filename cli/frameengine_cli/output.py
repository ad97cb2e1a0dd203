"""Where results go: data to stdout, the rest to stderr; boxes and colour for terminals only."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frameengine.plaintext import visible, visible_json

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from frameengine_cli.look import Look

SCHEMA_VERSION = 1
"""Version of every JSON document that the commands print."""
STDOUT = "stdout"
"""What stdout is called where it cannot be written."""
COMMAND = "frameengine"
"""What every command line of ours begins with."""
PLAIN_WIDTH = 100
"""Columns of a screen that goes to a file or a pipe."""


def write(text: str) -> None:
    """Write to stdout as it is. An `OSError` of it names stdout."""
    try:
        sys.stdout.write(text)
    except OSError as error:
        error.filename = STDOUT
        raise


def say(text: str) -> None:
    """Write a line to stdout."""
    write(visible(text) + "\n")


def remark(text: str) -> None:
    """Write a line to stderr: what is not the result. A terminal breaks it between words, and a command not at all."""
    lines = visible(text).split("\n")
    if sys.stderr.isatty():
        lines = [part for line in lines for part in _broken(line)]
    sys.stderr.write("\n".join(lines) + "\n")


def _broken(line: str) -> list[str]:
    """Return the lines of a terminal that a line takes; one with a command in it is left whole, so that it can be copied."""
    from textwrap import TextWrapper

    try:
        columns = os.get_terminal_size(sys.stderr.fileno()).columns or PLAIN_WIDTH
    except (OSError, ValueError):
        columns = PLAIN_WIDTH
    if len(line) <= columns or f"{COMMAND} " in line:
        return [line]
    before = line[: len(line) - len(line.lstrip(" "))]
    wrapper = TextWrapper(columns, subsequent_indent=f"{before}  ", break_long_words=False, break_on_hyphens=False)
    return wrapper.wrap(line) or [line]


def document(members: dict[str, Any], *, ok: bool = True) -> None:
    """Write one JSON document to stdout."""
    from frameengine.codec import dumps

    whole = {"schema_version": SCHEMA_VERSION, "ok": ok, **members}
    write(visible_json(dumps(whole).decode()) + "\n")


def save(path: Path, text: str) -> None:
    """Write a text to a file. Raises `StorageError`."""
    from frameengine.trace.files import storage_error

    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise storage_error(path, error) from error


@contextmanager
def ending(code: int) -> Iterator[None]:
    """Show what came out, and leave with the exit code of it, where that is not 0 also when nobody reads what is shown."""
    import typer

    try:
        yield
    except BrokenPipeError:
        if not code:
            raise
    if code:
        raise typer.Exit(code)


def is_terminal() -> bool:
    """Return whether stdout is a terminal that understands more than text."""
    return sys.stdout.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")


def look() -> Look:
    """Return how screens look here."""
    from frameengine_cli.look import Look

    return Look(boxes=is_terminal())


def console(*, error: bool = False, width: int | None = None) -> Console:
    """Return a console for stdout, or for stderr, that takes text as it is: no markup, no emoji codes, no guessed colours."""
    from rich.console import Console

    return Console(stderr=error, width=width, markup=False, emoji=False, highlight=False, soft_wrap=False)


def width() -> int:
    """Return the columns of a screen here."""
    from shutil import get_terminal_size

    # Not the terminal library's own figure: that is 80 for a terminal that understands text only.
    return get_terminal_size((PLAIN_WIDTH, 25)).columns if sys.stdout.isatty() else PLAIN_WIDTH


def show(screen: RenderableType) -> None:
    """Show a screen on stdout: as it is on a terminal, as plain lines elsewhere."""
    if is_terminal():
        console().print(screen)
    else:
        write(plain(screen, width()))


def plain(screen: RenderableType, width: int = PLAIN_WIDTH) -> str:
    """Return a screen as plain lines, without colour and without spaces at their ends."""
    from io import StringIO

    from rich.console import Console

    sink = StringIO()
    Console(file=sink, width=width, color_system=None, markup=False, emoji=False, highlight=False, legacy_windows=False).print(
        screen
    )
    return "".join([line.rstrip() + "\n" for line in sink.getvalue().rstrip("\n").split("\n")])
