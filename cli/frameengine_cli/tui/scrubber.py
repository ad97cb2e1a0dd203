"""The whole run on one line: where this is, where messages begin, what failed, where breakpoints hold. A click goes there."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable

from rich.segment import Segment
from rich.text import Text
from textual import events
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from frameengine.debug.place import Place
from frameengine.debug.timeline import Timeline
from frameengine.trace.messages import CUT_OFF
from frameengine_cli.look import BAD, DIFFERS, GOOD, QUIET, STRONG, words
from frameengine_cli.tui.lists import BREAK
from frameengine_cli.tui.style import recoloured

FAILED = ("failed", "open", "cancelled", CUT_OFF)
"""How messages end that a person wants to find."""
SPARSE = 8
"""Columns between the numbers of messages where not all have room."""


class Scrubber(Widget):
    """The run from left to right."""

    class Sought(Message):
        """A place was clicked."""

        def __init__(self, place: Place) -> None:
            self.place = place
            super().__init__()

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._timeline: Timeline | None = None
        self._at = 0
        self._last = 1
        self._starts: list[int] = []
        self._failed: list[int] = []
        self._hits: frozenset[int] = frozenset()
        self._drawn: tuple[Text, Text] | None = None

    def open(self, timeline: Timeline, total: int | None = None) -> None:
        """Take the run: where its messages begin, and which failed. *total*: its bytes, where it is not read to its end."""
        self._timeline = timeline
        rows = timeline.messages
        # The newest message that is known may have grown since.
        kept = max(len(self._starts) - 1, 0)
        while self._failed and self._failed[-1] >= self._starts[kept]:
            self._failed.pop()
        del self._starts[kept:]
        for index in range(kept, len(rows)):
            first, behind = rows.span(index)
            self._starts.append(first)
            if rows.status(index) in FAILED:
                self._failed.append(behind - 1)
        last = max(timeline.places - 1, 1)
        self._last = round(last * max(total / max(timeline.read, 1), 1)) if total else last
        self._redraw()

    def show(self, position: int) -> None:
        """Mark where the session stands."""
        self._at = position
        self._redraw()

    def mark(self, positions: Collection[int]) -> None:
        """Mark where breakpoints hold."""
        self._hits = frozenset(positions)
        self._redraw()

    def _redraw(self) -> None:
        self._drawn = None
        self.refresh()

    def _columns(self) -> Callable[[int], int]:
        """Return what tells the column of a position. To ask for the width takes long, and there are many positions."""
        room, last = self.content_size.width - 1, self._last
        return lambda position: round(position * room / last)

    def on_resize(self) -> None:
        """Draw for another width."""
        self._redraw()

    def on_click(self, event: events.Click) -> None:
        """Go to the place under the mouse."""
        offset = event.get_content_offset(self)
        if offset is not None and self._timeline is not None:
            position = round(offset.x * self._last / max(self.content_size.width - 1, 1))
            self.post_message(self.Sought(self._timeline.place(min(position, self._timeline.places - 1))))

    def render_line(self, y: int) -> Strip:
        """Draw the signs above the line, or the line."""
        if self._drawn is None:
            self._drawn = self._signs(), self._line()
        base = self.rich_style
        segments = [
            Segment(text, recoloured(base + style, self.app.theme) if style else base)
            for text, style, _ in self._drawn[min(y, 1)].render(self.app.console)
        ]
        return Strip(segments).adjust_cell_length(self.content_size.width, base)

    def _signs(self) -> Text:
        """Return numbers of messages where they begin, as many as have room, and over them what failed and where points hold."""
        width, starts, column_of = self.content_size.width, self._starts, self._columns()
        cells: list[tuple[str, str]] = [(" ", "")] * width
        index, gap = 0, 1 if len(starts) * 3 <= width else SPARSE
        while self._timeline is not None and index < len(starts):
            column, text = column_of(starts[index]), str(self._timeline.place(starts[index]).message)
            if not 0 <= column <= width - len(text):
                break
            for offset, char in enumerate(text):
                cells[column + offset] = (char, QUIET)
            index = bisect_left(starts, column + len(text) + gap, index + 1, key=column_of)
        for positions, sign in ((self._failed, DIFFERS), (self._hits, BREAK)):
            for column in map(column_of, positions):
                if 0 <= column < width:
                    cells[column] = (sign, f"{STRONG} {BAD}")
        return _text(cells)

    def _line(self) -> Text:
        width, column_of = self.content_size.width, self._columns()
        at = column_of(self._at)
        cells = [("━", GOOD) if column < at else ("─", QUIET) for column in range(width)]
        if len(self._starts) * 3 <= width:
            for column in map(column_of, self._starts):
                cells[column] = ("╋", GOOD) if column < at else ("┼", QUIET)
        if 0 <= at < width:
            cells[at] = ("●", f"{STRONG} {GOOD}")
        return _text(cells)


def _text(cells: Iterable[tuple[str, str]]) -> Text:
    text = Text(no_wrap=True)
    for char, style in cells:
        text.append_text(words((char, style)))
    return text
