"""The signs on the debugger's screen: one table for what they mean, for the help, and for the docs."""

from __future__ import annotations

from typing import Final

from frameengine_cli.debugging.living import HELD
from frameengine_cli.debugging.screens import HALT
from frameengine_cli.look import DELTA, DIFFERS, ENTERS, MODEL, NODE, OPEN, SAME, SHOWN, TOOL
from frameengine_cli.tui.graph import ACTIVE, IDLE, RAN
from frameengine_cli.tui.lists import BREAK
from frameengine_cli.tui.rows import CLOSED, OPENED
from frameengine_cli.tui.stops import EDITED, OFF, WATCHED

SIGNS: Final = {
    "In frames": {
        ENTERS: "an input came in",
        NODE: "a node ran",
        MODEL: "a model was asked",
        TOOL: "a tool was called",
        SHOWN: "shown to the user",
        DELTA: "changed in the state",
        f"{SAME} {DIFFERS} {OPEN}": "done, failed, not ended",
        f"{CLOSED} {OPENED}": "a part: closed, open",
        "+ =": "in a request: new, old",
    },
    "Set up": {
        BREAK: "a breakpoint",
        WATCHED: "a value that is watched",
        OFF: "one switched off",
        HALT: "what stopped a move",
        EDITED: "an edit that waits",
        HELD: "a run that is held",
    },
    "In the graph": {
        f"{ACTIVE} {RAN} {IDLE}": "runs here, ran, did not",
        "━▶ ─▸": "a way taken, or not",
    },
    "The line of the run": {
        "● ━ ─": "here, behind, ahead",
        "╋ ┼": "a message begins",
        DIFFERS: "it did not end well",
        BREAK: "a breakpoint holds there",
    },
}
"""In the order of the help."""
