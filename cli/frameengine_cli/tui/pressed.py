"""What keys and mouse do: most of them say a line of the line mode."""

from __future__ import annotations

import os
from abc import abstractmethod
from typing import ClassVar

from rich.text import Text
from textual import work
from textual.app import App
from textual.binding import Binding, BindingType

from frameengine.effects import Call, ModelCall
from frameengine.plaintext import visible_line
from frameengine_cli import phrases
from frameengine_cli.debugging.live import PAUSES
from frameengine_cli.debugging.session import Session
from frameengine_cli.failures import EXIT_INTERRUPTED
from frameengine_cli.look import BAD, QUIET, STRONG
from frameengine_cli.tui import keys
from frameengine_cli.tui.bars import Bar, CommandLine
from frameengine_cli.tui.editor import NOTHING, Editor, Written, held, keep, request_of
from frameengine_cli.tui.help import Help
from frameengine_cli.tui.lists import subject_of
from frameengine_cli.tui.rows import Row
from frameengine_cli.tui.rowview import RowView
from frameengine_cli.tui.scene import Scene
from frameengine_cli.tui.scrubber import Scrubber
from frameengine_cli.tui.style import DARK, LIGHT
from frameengine_cli.tui.working import Act, Working

COLUMNS = ("left", "middle", "right")
OPENING = tuple(key.action for key in keys.ALL if key.action.startswith("type("))
"""Actions that open the command line."""


class Pressed(App[int]):
    """The screen's keys, without what it shows."""

    BINDINGS: ClassVar[list[BindingType]] = [
        # What is typed behind a key that opens the command line is for that line, however fast it comes: such keys go first.
        *[Binding(key.keys, key.action, show=False, priority=key.action in OPENING) for key in keys.ALL if key.keys],
        Binding("ctrl+c", "interrupt", show=False, priority=True),
        Binding("ctrl+q", "leave", show=False, priority=True),
    ]

    def __init__(self) -> None:
        # The library makes greys of colours where none are wanted, unless the terminal's own ones are used.
        super().__init__(ansi_color=True if "NO_COLOR" in os.environ else None)
        self.working: Working
        """The session, and what is done in it."""
        self.scene: Scene | None = None
        """What is shown."""
        self.searching = False
        """Whether n and N go through what a search finds."""
        self.asked_to_leave = False
        """Whether the last key was one to leave, and edits wait."""

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Return whether a key does what it stands for; where somebody types, it is a sign."""
        return action != "type" or (len(self.screen_stack) == 1 and not isinstance(self.focused, CommandLine))

    @property
    def opened_session(self) -> Session:
        """The session, which is open by now."""
        session = self.working.session
        assert session is not None  # noqa: S101 - what is asked for here comes after `opened`
        return session

    @abstractmethod
    def say(self, line: str, act: Act | None = None) -> None:
        """Do what a line of the line mode says; or do *act*, which *line* then is the name of."""

    @abstractmethod
    def panels(self, *, top: bool = False, only: str = "") -> None:
        """Fill the panels with tabs anew; nothing is read in the trace for that."""

    @abstractmethod
    def action_tab(self, name: str) -> None:
        """Show a tab, and give it the keys."""

    def status(self, *parts: tuple[str, str], facts: Text | None = None) -> None:
        """Say something in the line above the keys."""
        self.query_one("#status", Bar).say(*parts, facts=facts)

    # ------------------------------------------------------------------ mouse, rows, typed lines

    def on_row_view_chosen(self, event: RowView.Chosen) -> None:
        """Go where the chosen row leads."""
        if event.row.place is not None and event.row.place != self.opened_session.place:
            self.say(f"goto {event.row.place}")

    def on_row_view_titled(self, event: RowView.Titled) -> None:
        """Show the tab whose name was clicked."""
        self.action_tab(event.name)

    def on_scrubber_sought(self, event: Scrubber.Sought) -> None:
        """Go to the place that was clicked."""
        self.say(f"goto {event.place}")

    def on_input_submitted(self, event: CommandLine.Submitted) -> None:
        """Do what was typed."""
        self.query_one(CommandLine).shut()
        self._typed(event.value)

    def on_command_line_pasted(self, event: CommandLine.Pasted) -> None:
        """Do the lines that were pasted one after another; the last one waits for Enter, where it has no end."""
        self.query_one(CommandLine).open(event.rest)
        if not event.rest:
            self.query_one(CommandLine).shut()
        for line in event.lines:
            self._typed(line)

    def _typed(self, line: str) -> None:
        line = line.strip()
        self.query_one(CommandLine).keep(line)
        if line:
            self.searching = line.startswith("/") or line.split()[0] == "search"
            self.say(line)

    def _row(self) -> Row | None:
        """Return the row under the cursor of the panel that has the keys."""
        return self.focused.row if isinstance(self.focused, RowView) else None

    # ------------------------------------------------------------------ moves

    def action_say(self, line: str) -> None:
        """Do what a key stands for."""
        self.asked_to_leave = False
        self.say(line)

    def action_next(self, back: bool) -> None:
        """Go to the next message; in a search to the next find."""
        if self.searching:
            self.say("search ?" if back else "search")
        else:
            self.say("reverse-next" if back else "next")

    def action_until(self) -> None:
        """Go to the row under the cursor, unless something stops on the way."""
        row = self._row()
        if row is not None and row.place is not None:
            self.say(f"until {row.place}")

    def action_interrupt(self) -> None:
        """Stop what is under way. Where nothing is, say how to leave: a key too many must not lose edits."""
        session = self.working.session
        if session is None:
            self.leave(EXIT_INTERRUPTED)
        elif session.live is not None and session.live.under_way:
            self.say("cancel")
        elif not self.working.interrupt():
            self.status(("nothing is under way", QUIET), ("  q leaves", QUIET))

    def action_escape(self) -> None:
        """Stop what is under way; else close what is open."""
        if self.working.interrupt() or self.close_answer() or self._unzoom():
            return
        if self.searching:
            self.searching = False
            self.panels()
            self.status(("the search is over", QUIET))

    # ------------------------------------------------------------------ panels

    def action_panel(self, by: int) -> None:
        """Give the keys to the next panel that can be seen."""
        panels = [view for view in self.query(RowView) if view.display and view.region.area]
        focused = self.focused
        if panels:
            at = panels.index(focused) if isinstance(focused, RowView) and focused in panels else -by
            panels[(at + by) % len(panels)].focus()

    def action_zoom(self) -> None:
        """Show the column that has the keys alone, or all again."""
        if self._unzoom() or self.focused is None:
            return
        for each in self.focused.ancestors:
            if each.id in COLUMNS:
                self.screen.add_class("zoomed", f"zoom-{each.id}")

    def _unzoom(self) -> bool:
        zoomed = self.screen.has_class("zoomed")
        self.screen.remove_class("zoomed", *[f"zoom-{name}" for name in COLUMNS])
        return zoomed

    def close_answer(self) -> bool:
        """Close the panel of answers; return whether it was open."""
        view = self.query_one("#answer", RowView)
        was_open = view.has_class("open")
        if was_open:
            if view.has_focus:
                self.query_one("#frames").focus()
            view.remove_class("open")
        return was_open

    def action_theme(self) -> None:
        """Change between light and dark."""
        if not self.no_color:
            self.theme = LIGHT if self.theme == DARK else DARK
            self.screen.refresh(layout=True)

    def action_help(self) -> None:
        """Show what the keys do."""
        self.push_screen(Help())

    # ------------------------------------------------------------------ stop, look, change

    def action_break(self) -> None:
        """Begin a line with the breakpoint that suits the row."""
        row = self._row()
        suits = row.stop if row is not None else ""
        if not suits and self.scene is not None and self.scene.step is not None:
            suits = f"node {self.scene.step.records[0]['node']}"
        self.action_type(f"break {visible_line(suits)}")

    def action_watch(self) -> None:
        """Begin a line that watches the value under the cursor."""
        self.action_type(f"watch {self._pointer() or '/'}")

    def action_who(self) -> None:
        """Say who changed the value under the cursor last."""
        pointer = self._pointer()
        if pointer:
            self.say(f"who {pointer}")
        else:
            self.action_type("who /")

    def _pointer(self) -> str:
        row = self._row()
        subject = row.subject if row is not None else ""
        return subject if subject.startswith("/") else ""

    def action_delete(self) -> None:
        """Delete the breakpoint under the cursor."""
        row = self._row()
        if row is not None and row.number:
            self.say(f"delete {row.number}")

    def action_turn(self) -> None:
        """Switch the breakpoint under the cursor off, or on again."""
        row = self._row()
        if row is not None and row.number:
            points = {point.number: point for point in self.opened_session.debugger.breakpoints.all()}
            self.say(f"{'disable' if points[row.number].enabled else 'enable'} {row.number}")

    def action_type(self, text: str) -> None:
        """Open the line that takes commands."""
        if self.working.session is not None:
            self.query_one(CommandLine).open(text)

    @work
    async def action_edit(self) -> None:
        """Edit what is under the cursor."""
        row, scene = self._row(), self.scene
        subject = row.subject if row is not None else ""
        if not subject and scene is not None and scene.arrived == 1:
            subject = subject_of(scene.effects[0], 1)
        if not subject or scene is None:
            way = "  effects, inputs and values of the state can: 2, 3"
            self.status(("nothing that can be edited is under the cursor", BAD), (way, QUIET))
            return
        typed = await self.push_screen_wait(Editor(subject, held(subject, scene)))
        if typed is not None:
            self.say(f"edit {subject}", lambda session: keep(session, scene, subject, typed))

    def action_pause(self) -> None:
        """Hold a run under way in another way: before effects, behind frames, at breakpoints only."""
        live = self.opened_session.live
        self.say(f"pause {PAUSES[(PAUSES.index(live.pauses) + 1) % len(PAUSES)]}" if live is not None else "pause")

    @work
    async def action_send(self) -> None:
        """Edit the request that waits, and send that."""
        call = self._asking()
        if call is not None:
            typed = await self.push_screen_wait(Editor("request", request_of(call), "sends it"))
            if typed is not None:
                self.say(f"send {typed}")

    @work
    async def action_answer(self) -> None:
        """Answer by hand what waits."""
        call = self._asking()
        if call is not None:
            before = Written.of("") if isinstance(call.effect, ModelCall) else NOTHING
            typed = await self.push_screen_wait(Editor("answer", before, "gives it to the node"))
            if typed is not None:
                self.say(f"answer {typed}")

    def _asking(self) -> Call | None:
        """Return the call that waits; say so where none does."""
        session = self.working.session
        call = None if session is None or session.live is None else session.live.asking
        if call is None:
            self.status(("no effect waits for a decision", BAD), ("  p holds a run before effects, m talks to it", QUIET))
        return call

    def action_fork(self) -> None:
        """Make a new run with the edits, and compare."""
        self.say("fork")

    def action_leave(self) -> None:
        """Leave; where edits wait for a fork, only when asked twice."""
        session = self.working.session
        if session is not None and session.edits and not self.asked_to_leave:
            self.asked_to_leave = True
            waiting = phrases.count(len(session.edits), "edit")
            self.status((f"{waiting} would be lost: f forks, q once more leaves", f"{STRONG} {BAD}"))
            return
        if session is not None and session.live is not None and session.live.under_way and not self.asked_to_leave:
            self.asked_to_leave = True
            self.status(("a message is under way: q once more leaves it open, ctrl+c cancels it", f"{STRONG} {BAD}"))
            return
        self.leave(0)

    def leave(self, code: int) -> None:
        """End, with an exit code."""
        self.working.end()
        self.exit(code, return_code=code)
