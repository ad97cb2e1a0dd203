"""How screens look: few colours that everybody can tell apart, a sign beside each colour, boxes on terminals only.

Every text on a screen is made here, so nothing from outside gets past `frameengine.plaintext`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from attrs import frozen
from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from frameengine.plaintext import visible, visible_line

GOOD = "#3a9bdc"
"""Blue: same, done, new."""
BAD = "#e07b00"
"""Orange: differs, failed, gone."""
QUIET = "bright_black"
STRONG = "bold"

NARROW = 60
"""Columns of a screen below which what is too long for its column goes on in the next line, and nothing is cut."""
NUMBER = "#"
"""Heading of a column of numbers by which rows are called."""
SAME, DIFFERS, OPEN = "✓", "✗", "…"
NODE, MODEL, TOOL, SHOWN, DELTA, ENTERS = "●", "◇", "◆", "»", "Δ", "⇢"


@frozen
class Look:
    """What a screen may use."""

    boxes: bool
    """Whether it is for a terminal: boxes and lines that connect things."""

    @property
    def gutter(self) -> str:
        """What connects the frames of a message."""
        return "│" if self.boxes else ""

    def panel(self, body: RenderableType, title: str, facts: str = "", *, style: str = QUIET) -> RenderableType:
        """Return *body* under a title, with facts about it."""
        if self.boxes:
            return Panel(
                body,
                title=words((title, STRONG)),
                subtitle=words((facts, QUIET)) if facts else None,
                title_align="left",
                subtitle_align="right",
                box=box.ROUNDED,
                border_style=style,
                padding=(0, 1),
            )
        heading = [(title, STRONG), *([(" ", ""), (f"({facts})", STRONG)] if facts else [])]
        return Group(words(*heading), Padding(body, (0, 0, 1, 2)))

    def heading(self, title: str, facts: str = "") -> RenderableType:
        """Return the heading of a part of a screen."""
        return words((title, f"{STRONG} {GOOD}"), ("  ", ""), (facts, QUIET))

    def table(self, *columns: str, right: Iterable[str] = (), wide: str = "", fold: bool = False) -> Table:
        """Return an empty table. *right* names columns of numbers, *wide* the one that takes the rest of the width.

        What is too long for its column is cut, or goes on in the next line where the table may *fold*.
        """
        numbers = frozenset(right)
        table = _Table(
            box=box.SIMPLE_HEAD if self.boxes else None,
            header_style=STRONG,
            border_style=QUIET,
            pad_edge=False,
            padding=(0, 2, 0, 0),
            expand=bool(wide),
            show_edge=False,
        )
        for name in columns:
            table.add_column(
                # A heading may have two lines.
                block(name),
                justify="right" if name in numbers else "left",
                no_wrap=not fold,
                overflow="fold" if fold else "ellipsis",
                ratio=1 if name == wide else None,
            )
        return table


class _Table(Table):
    """A table whose numbers of rows are never cut: what is said of a row is found by them. On a narrow screen its cells wrap."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw it."""
        if options.max_width < NARROW:
            self.padding = (0, 1, 0, 0)
            for column in self.columns:
                if str(column.header) != NUMBER:
                    column.no_wrap, column.overflow, column.ratio = False, "fold", None
        yield from super().__rich_console__(console, options)

    def add_row(self, *cells: RenderableType | None, **options: Any) -> None:
        """Add a row."""
        super().add_row(*cells, **options)
        for column, cell in zip(self.columns, cells, strict=False):
            if str(column.header) == NUMBER and isinstance(cell, Text):
                column.min_width = max(column.min_width or 1, cell.cell_len)


def words(*parts: tuple[str, str]) -> Text:
    """Return one line made of (text, style) parts, safe to show."""
    line = Text()
    for text, style in parts:
        inner = text.strip(" ")
        lead = text[: len(text) - len(text.lstrip(" "))]
        trail = text[len(lead) + len(inner) :]
        line.append(f"{lead}{visible_line(inner)}{trail}", style or None)
    return line


def block(text: str, style: str = "", *, lines: int = 0) -> Text:
    """Return a text of several lines, safe to show; cut after *lines* lines where that is not 0, with a note."""
    safe = visible(text).expandtabs(4)
    parts = safe.split("\n")
    if lines and len(parts) > lines + 1:
        whole = Text("\n".join(parts[:lines]), style)
        whole.append(f"\n… {len(parts) - lines} more lines (--full)", QUIET)
        return whole
    return Text(safe, style)


def pairs(rows: Iterable[tuple[str, RenderableType]]) -> Table:
    """Return names and values, one pair on a row."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style=QUIET, no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in rows:
        grid.add_row(words((name, "")), value)
    return grid
