"""Single keys from a terminal."""

from __future__ import annotations

import os
import sys
import termios
import tty
from collections.abc import Callable

from frameengine.errors import UsageError
from frameengine_cli.failures import Interrupted

KEY_BYTES_MAX = 64
"""A key sends no more, as long as it is."""


def check_terminal(instead: str) -> None:
    """Raise `UsageError` where nobody could press a key; *instead* is the command for there."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("a review needs a terminal, and this is none", hint=instead)


def ask(prompt: Callable[[], None]) -> str:
    """Show a prompt and return the key that is pressed then; one that sends several characters counts as its first.

    What was typed before the prompt stood there is thrown away: it was not meant for it. Raises `Interrupted` where the terminal
    is gone.
    """
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor, termios.TCSAFLUSH)
        prompt()
        sys.stdout.flush()
        pressed = os.read(descriptor, KEY_BYTES_MAX)
    finally:
        termios.tcsetattr(descriptor, termios.TCSAFLUSH, before)
    if not pressed:
        raise Interrupted("the terminal is gone: nothing was written", hint="review again")
    return pressed.decode("utf-8", "replace")[0]
