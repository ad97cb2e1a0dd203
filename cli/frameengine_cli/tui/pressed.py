"""What keys and mouse do: most of them say a line of the line mode."""

from __future__ import annotations

from typing import ClassVar

from textual import work
from textual.app import App
from textual.binding import Binding, BindingType

from frameengine.plaintext import visible_line
from frameengine_cli import phrases
from frameengine_cli.debugging.session import Session
from frameengine_cli.look import BAD, QUIET, STRONG
from frameengine_cli.tui import keys
from frameengine_cli.tui.bars import Bar, CommandLine
from frameengine_cli.tui.editor import Editor, held
from frameengine_cli.tui.help import Help
from frameengine_cli.tui.rows import Row
from frameengine_cli.tui.rowview import RowView
from frameengine_cli.tui.scene import Scene
from frameengine_cli.tui.scrubber import Scrubber
from frameengine_cli.tui.style import DARK, LIGHT
from frameengine_cli.tui.working import Working
from rich.text import Text

COLUMNS = ("left", "middle", "right")


class Pressed(App[int]):
    """The screen's keys, without what it shows."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *[Binding(key.keys, key.action, show=False) for key in keys.ALL if key.keys],
        Binding("ctrl+c", "interrupt", show=False, priority=True),
        Binding("ctrl+q", "leave", show=False, priority=True),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.working: Working
        """The session, and what is done in it."""
        self.scene: Scene | None = None
        """What is shown."""
        self.searching = False
        """Whether n and N go through what a search finds."""
        self.arrangement = "compact"
        """The layout."""
        self.tabs: dict[str, str] = {}
        """Panel to the tab that it shows."""
        self._asked_to_leave = False

    @property
    def opened_session(self) -> Session:
        """The session, which is open by now."""
        session = self.working.session
        assert session is not None  # noqa: S101 - what is asked for here comes after `opened`
        return session

    def say(self, line: str) -> None:
        """Do what a line of the line mode says."""
        raise NotImplementedError
