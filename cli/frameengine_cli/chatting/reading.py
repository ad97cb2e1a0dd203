"""Lines from whoever types them, with history and completion at a terminal; and Ctrl-C while a message is under way."""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Thread, current_thread, main_thread
from typing import Any

from frameengine_cli import output

PROMPT = "\u203a "
_ESCAPES = re.compile(r"\x1b\[[0-9;]*m")
CANCELS, LEAVES = 1, 2
"""How often Ctrl-C was pressed during one message, and what that means; once more kills."""


def is_interactive() -> bool:
    """Return whether somebody types at a terminal and sees what comes."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def prepare(complete: Callable[[str], list[str]]) -> None:
    """Let lines be edited, called back and completed where that is possible. Bytes that are no text are shown as numbers."""
    reconfigure = getattr(sys.stdin, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")
    if not is_interactive():
        return
    with suppress(ImportError):
        import readline

        readline.set_completer_delims(" \t\n")
        readline.set_completer(lambda _, index: (*complete(readline.get_line_buffer()), None)[index])
        libedit = "libedit" in (readline.__doc__ or "")
        readline.parse_and_bind("bind ^I rl_complete" if libedit else "tab: complete")


def lines(*, prompt: bool) -> Iterator[str]:
    """Yield what is typed, line by line. Raises `KeyboardInterrupt` at a prompt where Ctrl-C is pressed; can be asked on then."""
    return _Typed() if prompt else (line.rstrip("\n") for line in sys.stdin)


class _Typed:
    def __iter__(self) -> _Typed:
        return self

    def __next__(self) -> str:
        try:
            return input(_prompt())
        except EOFError:
            raise StopIteration from None


def _prompt() -> str:
    """Return the prompt in the colours of this terminal, its escapes marked as such for the line editor."""
    if not output.is_terminal():
        return "> "
    from frameengine_cli.look import GOOD, STRONG, words

    console = output.console()
    with console.capture() as captured:
        console.print(words((PROMPT, f"{STRONG} {GOOD}")), end="")
    return _ESCAPES.sub(lambda found: f"\x01{found[0]}\x02", captured.get())


@contextmanager
def cancelling(cancel: Callable[[], None]) -> Iterator[Callable[[], int]]:
    """Let Ctrl-C call *cancel*, for the message under way; give a function that says how often it was pressed."""
    presses = 0

    def pressed(*_: Any) -> None:
        nonlocal presses
        presses += 1
        if presses > LEAVES:
            raise KeyboardInterrupt
        # In a thread: the main one may stand between looking for news and waiting for it, and would miss this.
        Thread(target=cancel, daemon=True).start()

    if current_thread() is not main_thread():
        yield lambda: presses
        return
    before = signal.signal(signal.SIGINT, pressed)
    try:
        yield lambda: presses
    finally:
        signal.signal(signal.SIGINT, before)
