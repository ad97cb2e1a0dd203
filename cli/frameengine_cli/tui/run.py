"""Run the debugger's screen, and leave the terminal as it was."""

from __future__ import annotations

import os
from typing import Final

from frameengine_cli.debugging.hangup import ending_with_the_terminal
from frameengine_cli.tui.app import Debug
from frameengine_cli.tui.style import DARK, LIGHT
from frameengine_cli.tui.working import Opening

_LIGHT_GROUNDS: Final = ("7", "15")


def run_screen(opening: Opening, *, theme: str = "") -> int:
    """Show the screen until it is left; return the exit code. Raises the `FrameEngineError` that opening the trace ended with.

    *theme*: ``light`` or ``dark``; empty to go by what the terminal says of itself.
    """
    chosen = theme or ("light" if os.environ.get("COLORFGBG", "").rpartition(";")[2] in _LIGHT_GROUNDS else "dark")
    app = Debug(opening, theme=LIGHT if chosen == "light" else DARK)
    with ending_with_the_terminal(app.put_away):
        app.run()
    if app.failure is not None:
        raise app.failure
    return app.return_code or 0
