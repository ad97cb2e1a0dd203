"""The lines above and below the panels: what run this is, what happened last, a command to type, the keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar

from rich.segment import Segment
from rich.text import Text
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.strip import Strip
from textual.suggester import Suggester
from textual.widget import Widget
from textual.widgets import Input

from frameengine_cli.look import QUIET, STRONG, words
from frameengine_cli.tui.keys import ALL
from frameengine_cli.tui.rows import Row
from frameengine_cli.tui.rowview import fitted
from frameengine_cli.tui.style import recoloured

HISTORY_MAX = 1_000


class Bar(Widget):
    """One line."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.row = Row(text=Text())
        """What it says."""

    def say(self, *parts: tuple[str, str], facts: Text | None = None) -> None:
        """Say something else."""
        self.row = Row(text=words(*parts), facts=facts)
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """Draw the line."""
        width, base = self.content_size.width, self.rich_style
        segments = [
            Segment(text, recoloured(base + style, self.app.theme) if style else base)
            for text, style, _ in fitted(self.row, width).render(self.app.console)
        ]
        return Strip(segments).adjust_cell_length(width, base)


class Keys(Bar):
    """The keys that matter most, as many as have room. A click does what the key does."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._spans: list[tuple[int, int, str]] = []

    def on_resize(self) -> None:
        """Choose for another width."""
        width, text, spans = self.size.width, Text(), []
        # Help and the way out stay, however narrow it is.
        keys = [key for key in ALL if key.short]
        last = [key for key in keys if key.action in ("help", "leave")]
        room = width - sum(len(key.label.split()[0]) + len(key.short) + 3 for key in last)
        shown = []
        for key in keys:
            size = len(key.label.split()[0]) + len(key.short) + 3
            if key not in last and size <= room:
                shown.append(key)
                room -= size
        for key in (*shown, *last):
            start = text.cell_len
            text.append_text(words((f" {key.label.split()[0]}", STRONG), (f" {key.short} ", QUIET)))
            spans.append((start, text.cell_len, key.action))
        self._spans = spans
        self.row = Row(text=text)
        self.refresh()

    async def on_click(self, event: events.Click) -> None:
        """Do what is under the mouse."""
        for start, end, action in self._spans:
            if start <= event.x < end:
                await self.app.run_action(action)


class Typing(Bar):
    """What keys do while somebody types a command: stands in the place of the others then."""

    def on_mount(self) -> None:
        """Say it."""
        keys = {"enter": "does it", "tab": "completes", "esc": "closes", "↑ ↓": "earlier lines", "→": "suggestion"}
        self.say(*[part for key, what in keys.items() for part in ((f" {key}", STRONG), (f" {what} ", QUIET))])


class _Suggested(Suggester):
    """Suggests the newest line of the history that goes on like this, else the first completion."""

    def __init__(self, line: CommandLine) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self._line = line

    async def get_suggestion(self, value: str) -> str | None:
        """Return what the line may become."""
        if not value.strip():
            return None
        past = next((line for line in reversed(self._line.history) if line.startswith(value) and line != value), None)
        return past or next(self._line.completed(value), None)


class CommandLine(Input):
    """The line that takes the commands of the line mode."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close", show=False),
        Binding("up", "past(-1)", show=False),
        Binding("down", "past(1)", show=False),
        Binding("tab", "complete", show=False),
    ]

    def __init__(self, complete: Callable[[str], Iterator[str]], *, id: str) -> None:
        self.history: list[str] = []
        """Lines that were typed, oldest first."""
        self._complete = complete
        self._at = 0
        self._drawn_up = ""
        self._before: Widget | None = None
        hint = "a command, /text to search, @2.3 to go there; help lists all"
        super().__init__(id=id, placeholder=hint, select_on_focus=False, suggester=_Suggested(self))

    def open(self, text: str) -> None:
        """Begin a line with *text*."""
        if not self.has_focus:
            self._before = self.screen.focused
        self._at, self._drawn_up = len(self.history), text
        self.value = text
        self.cursor_position = len(text)
        self.screen.add_class("typing")
        # At once, and not when the classes have come to be: keys that were typed ahead are for this line.
        self.display = True
        self.screen.set_focus(self)

    def keep(self, line: str) -> None:
        """Remember a line."""
        if line and (not self.history or self.history[-1] != line):
            self.history = [*self.history, line][-HISTORY_MAX:]

    def completed(self, value: str) -> Iterator[str]:
        """Yield the whole lines that *value* may become."""
        start = value[: len(value) - len(value.rsplit(" ", maxsplit=1)[-1])]
        for end in self._complete(value):
            line = f"{start}{end}".rstrip()
            if line.startswith(value) and line != value:
                yield line

    def action_close(self) -> None:
        """Give up the line."""
        self.shut()

    def shut(self) -> None:
        """Close, and give the keys back to the panel that had them."""
        self.display = False
        self.screen.remove_class("typing")
        self.value = ""
        self.screen.set_focus(self._before)

    class Pasted(Message):
        """Several lines were pasted."""

        def __init__(self, lines: Sequence[str], rest: str) -> None:
            super().__init__()
            self.lines = lines
            """The whole lines, the first behind what stood there before."""
            self.rest = rest
            """What has no end."""

    def on_paste(self, event: events.Paste) -> None:
        """Take several lines as several commands; one line is put in as ever."""
        text = "\n".join(event.text.splitlines())
        if "\n" not in text:
            return
        event.prevent_default().stop()
        start, end = sorted(self.selection)
        if event.text[-1] in "\r\n":
            text += "\n"
        *whole, rest = f"{self.value[:start]}{text}{self.value[end:]}".split("\n")
        self.post_message(self.Pasted(whole, rest))

    def action_past(self, by: int) -> None:
        """Go through the history: only through lines that begin as this one did."""
        fitting: Sequence[int] = [index for index, line in enumerate(self.history) if line.startswith(self._drawn_up)]
        ahead = [index for index in fitting if index > self._at] if by > 0 else [index for index in fitting if index < self._at]
        if ahead:
            self._at = ahead[0] if by > 0 else ahead[-1]
            self.value = self.history[self._at]
        elif by > 0:
            self._at, self.value = len(self.history), self._drawn_up
        self.cursor_position = len(self.value)

    def action_complete(self) -> None:
        """Complete as far as it is clear."""
        found = list(self.completed(self.value))
        if found:
            alike = next((end for end in range(len(found[0]), 0, -1) if all(line[:end] == found[0][:end] for line in found)), 0)
            self.value = f"{found[0]} " if len(found) == 1 else found[0][:alike]
            self.cursor_position = len(self.value)
