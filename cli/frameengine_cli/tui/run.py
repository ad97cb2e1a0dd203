"""Run the debugger's screen, and leave the terminal as it was."""

from __future__ import annotations

import os
import signal
from typing import Final

from frameengine_cli.tui.app import Debug
from frameengine_cli.tui.style import DARK, LIGHT
from frameengine_cli.tui.working import Opening

EXIT_HUNG_UP: Final = 129
"""The terminal was closed: what a shell makes of the signal."""
_LIGHT_GROUNDS: Final = ("7", "15")


def run_screen(opening: Opening, *, theme: str = "") -> int:
    """Show the screen until it is left; return the exit code. Raises the `FrameEngineError` that opening the trace ended with.

    *theme*: ``light`` or ``dark``; empty to go by what the terminal says of itself.
    """
    chosen = theme or ("light" if os.environ.get("COLORFGBG", "").rpartition(";")[2] in _LIGHT_GROUNDS else "dark")
    app = Debug(opening, theme=LIGHT if chosen == "light" else DARK)
    before = signal.getsignal(signal.SIGHUP)
    # Nobody is left who could read anything: no edit is lost that was forked, and forks are files already.
    signal.signal(signal.SIGHUP, lambda *_: os._exit(EXIT_HUNG_UP))
    try:
        app.run()
    finally:
        signal.signal(signal.SIGHUP, before)
    if app.failure is not None:
        raise app.failure
    return app.return_code or 0
