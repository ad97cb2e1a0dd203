"""The debugger's screen without a terminal: keys go in, and what a person would read comes out."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from unittest.mock import patch

from textual.geometry import Offset
from textual.pilot import Pilot

from frameengine.debug.debugger import Debugger
from frameengine.debug.timeline import Timeline
from frameengine_cli.debugging.session import Session
from frameengine_cli.refs import Source, typed
from frameengine_cli.tui.app import Debug
from frameengine_cli.tui.bars import Bar, CommandLine
from frameengine_cli.tui.rowview import RowView
from frameengine_cli.tui.style import DARK
from frameengine_cli.tui.working import Opening

HANG_SECONDS = 30


class Screen:
    """A screen under test."""

    def __init__(self, app: Debug, pilot: Pilot[int]) -> None:
        self.app = app
        self.pilot = pilot

    async def settle(self) -> None:
        """Wait until nothing is under way."""
        async with asyncio.timeout(HANG_SECONDS):
            await self.pilot.pause()
            while self.app.is_running and self._under_way():
                await self.pilot.pause(0.005)
            await self.pilot.pause()

    def _under_way(self) -> bool:
        working = self.app.working
        session = working.session
        if session is None or not session.timeline.loaded:
            return True
        return working.beside or working.waiting or bool(working.line) or not all(marks.done for marks in working.marks.values())

    async def press(self, *keys: str) -> None:
        """Press keys, each after what came of the one before."""
        for key in keys:
            await self.pilot.press(key)
            await self.settle()

    async def type(self, line: str) -> None:
        """Type a line after ``:``, and Enter."""
        await self.pilot.press("colon")
        self.app.query_one(CommandLine).value = line
        await self.press("enter")

    async def click(self, selector: str, x: int, y: int) -> None:
        """Click a panel, from its upper left corner."""
        await self.pilot.click(selector, offset=Offset(x, y))
        await self.settle()

    @property
    def place(self) -> str:
        """Where the session stands."""
        return str(self.app.opened_session.place)

    @property
    def text(self) -> str:
        """What is on the screen."""
        return "".join([strip.text.rstrip() + "\n" for strip in self.app.screen._compositor.render_strips()])

    @property
    def status(self) -> str:
        """What the line above the keys says, with what stands at its end."""
        return self.bar("status")

    def bar(self, name: str) -> str:
        """What one of the lines says, with what stands at its end."""
        row = self.app.screen_stack[0].query_one(f"#{name}", Bar).row
        return f"{row.text.plain}{'' if row.facts is None else ' | ' + row.facts.plain}"

    def rows(self, panel: str) -> list[str]:
        """What a panel holds, also what is out of sight."""
        return [row.text.plain for row in self.app.screen.query_one(f"#{panel}", RowView).rows]

    def view(self, panel: str) -> RowView:
        """Return a panel."""
        return self.app.screen.query_one(f"#{panel}", RowView)

    async def on(self, panel: str, text: str) -> None:
        """Give a panel the keys, and put the cursor on the first row that has a text."""
        view = self.view(panel)
        view.focus()
        view.move_to(next(index for index, row in enumerate(self.rows(panel)) if text in row))
        await self.settle()


def opening(trace: Path, *, damaged: bool = False) -> Opening:
    """Return how the command opens a trace."""

    def session() -> Session:
        timeline = Timeline(trace, damaged=damaged, whole=False)
        source = Source(path=trace, name=trace, typed=typed(trace))
        return Session(source=source, timeline=timeline, debugger=Debugger(timeline))

    return Opening(name=str(trace), open=session, total=trace.stat().st_size)


def play(
    trace: Path | Opening, scene: Callable[[Screen], Awaitable[None]], *, size: tuple[int, int] = (120, 40), theme: str = DARK
) -> Debug:
    """Open a trace on a screen, do what *scene* does, and leave; return the screen that was left.

    The theme is the one asked for: what the tests were started with (NO_COLOR) does not change it.
    """
    with patch.dict(os.environ):
        os.environ.pop("NO_COLOR", None)
        app = Debug(trace if isinstance(trace, Opening) else opening(trace), theme=theme)

    async def run() -> None:
        async with app.run_test(size=size) as pilot:
            screen = Screen(app, pilot)
            await screen.settle()
            await scene(screen)
            if app.is_running:
                app.leave(0)

    asyncio.run(run())
    return app
