"""A panel of rows: a cursor, a scroll bar, and only the rows in sight are drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, TypeAlias

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from frameengine.plaintext import visible_line
from frameengine_cli.tui.rows import Folds, Row, lies_in
from frameengine_cli.tui.style import recoloured

Maker: TypeAlias = Callable[[Folds, int], Sequence[Row]]
"""Makes the rows of a panel of so many columns."""

_PLAIN = Style()
TITLE_INDENT = 2
"""Columns of a border before its title."""


class RowView(ScrollView, can_focus=True, inherit_bindings=False):
    """Rows, and a cursor on one of them. What scrolls in other programs moves the cursor, or is a key of the screen."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "cursor(-1)", show=False),
        Binding("down,j", "cursor(1)", show=False),
        Binding("pageup,ctrl+b", "page(-1)", show=False),
        Binding("pagedown,ctrl+f", "page(1)", show=False),
        Binding("g", "first", show=False),
        Binding("G", "last", show=False),
        Binding("enter", "choose", show=False),
        Binding("space", "turn", show=False),
        Binding("z", "turn_all", show=False),
    ]

    class Chosen(Message):
        """A row was chosen, by Enter or by a click."""

        def __init__(self, view: RowView, row: Row) -> None:
            self.view = view
            self.row = row
            super().__init__()

        @property
        def control(self) -> RowView:
            """The panel."""
            return self.view

    class Titled(Message):
        """The name of a tab was clicked."""

        def __init__(self, name: str) -> None:
            self.name = name
            super().__init__()

    def __init__(self, *, id: str, follow: bool = False) -> None:
        super().__init__(id=id)
        self._tabs: Sequence[tuple[int, str]] = ()
        self.rows: Sequence[Row] = ()
        """What is shown."""
        self.cursor = 0
        """Index of the row that keys are about."""
        self.folds = Folds()
        """Which parts are open."""
        self.marked = ""
        """The text that is looked for."""
        self._make: Maker = lambda _folds, _width: ()
        self._follow = follow
        self._made_for = 0

    # ------------------------------------------------------------------ what is shown

    def show(self, make: Maker, *, top: bool = False, follow: bool | None = None) -> None:
        """Show other rows: from the *top*, or with the cursor where it was; in a panel that follows on the row that is here."""
        self._make = make
        self._follow = self._follow if follow is None else follow
        if top:
            self.cursor, self.folds.sought = 0, ""
            self.scroll_to(0, 0, animate=False, force=True)
        self._remake()
        if self._follow:
            found = next((index for index, row in self._near_here() if row.here), None)
            if found is not None:
                self.move_to(found)

    def _near_here(self) -> Sequence[tuple[int, Row]]:
        """Return the rows among which the one that is here may be; of long lists that say where, that one."""
        here = getattr(self.rows, "here", None)
        indexes = range(len(self.rows)) if here is None else [here]
        return [(index, self.rows[index]) for index in indexes if index < len(self.rows)]

    def prepare(self) -> None:
        """Make the rows in sight now, before something else reads where they come from."""
        first = round(self.scroll_offset.y)
        for index in range(first, min(first + self.size.height, len(self.rows))):
            _ = self.rows[index]

    def entitle(self, title: str, facts: str = "") -> None:
        """Show a title in the upper border, and facts in the lower one."""
        self.border_title = Content(visible_line(title))
        self.border_subtitle = Content(visible_line(facts))

    def entitle_tabs(self, tabs: Sequence[tuple[int, str]], current: str, facts: str) -> None:
        """Show numbers and names of tabs in the upper border, the *current* one marked; a click on one posts `Titled`."""
        self._tabs = tabs
        marked = "bold reverse" if len(tabs) > 1 else ""
        self.border_title = Content.assemble(*[(_tab(tab), marked if tab[1] == current else "not bold") for tab in tabs])
        self.border_subtitle = Content(visible_line(facts))

    @property
    def row(self) -> Row | None:
        """The row under the cursor."""
        return self.rows[self.cursor] if 0 <= self.cursor < len(self.rows) else None

    def _remake(self) -> None:
        # Before it is first laid out it is taken to be as wide as the screen.
        self._made_for = self.scrollable_content_region.width or self.app.size.width - 4
        self.folds.room = self.scrollable_content_region.height
        self.rows = self._make(self.folds, max(self._made_for, 1))
        self.cursor = min(self.cursor, max(len(self.rows) - 1, 0))
        self.virtual_size = Size(self._made_for, len(self.rows))
        self.refresh()

    def on_resize(self) -> None:
        """Make the rows anew for another width."""
        region, before = self.scrollable_content_region, self.row
        if (region.width, region.height) != (self._made_for, self.folds.room):
            self._remake()
            if before is not None and isinstance(self.rows, list):
                # Where there is more room or less, other parts are open.
                self.cursor = next((index for index, row in enumerate(self.rows) if _alike(row, before)), self.cursor)
            self.call_after_refresh(self.reveal)

    def render_line(self, y: int) -> Strip:
        """Draw one row."""
        width = self.scrollable_content_region.width
        index = y + round(self.scroll_offset.y)
        base = self.rich_style
        if index >= len(self.rows):
            return Strip.blank(width, base)
        row = self.rows[index]
        text = fitted(row, width)
        if self.marked:
            text.highlight_words([self.marked], "reverse", case_sensitive=False)
        style = self._over(index, row)
        segments = [
            Segment(part, recoloured(base + (drawn or _PLAIN), self.app.theme) + style)
            for part, drawn, _ in text.render(self.app.console)
        ]
        return Strip(segments).adjust_cell_length(width, base + style)

    def _over(self, index: int, row: Row) -> Style:
        """Return what a row has over its own style: the cursor's, or that of the row that is here."""
        if index == self.cursor and self.has_focus:
            name = "rows--cursor"
        elif row.here or (index == self.cursor and self._follow):
            name = "rows--here"
        else:
            return _PLAIN
        if self.app.native_ansi_color:
            return Style(reverse=True) if name == "rows--cursor" else Style(bold=True)
        return self.get_component_rich_style(name, partial=True)

    COMPONENT_CLASSES: ClassVar[set[str]] = {"rows--cursor", "rows--here"}

    # ------------------------------------------------------------------ keys and mouse

    def move_to(self, index: int) -> None:
        """Put the cursor on a row, and that row into sight."""
        self.cursor = max(0, min(index, len(self.rows) - 1))
        self.reveal()
        self.refresh()

    def seek(self, part: str, text: str) -> None:
        """Open a part, and put the cursor on its first row that has a text, which may go on in the next one.

        Rows that open something are no such: they are cut.
        """
        self.folds.seek(part)
        self._remake()
        inside = [index for index, row in enumerate(self.rows) if _belongs(row, part) and not row.fold]
        said = [self.rows[index].text.plain.strip().casefold() for index in inside]
        rows, wanted = list(zip(inside, said, [*said, ""][1:], strict=True)), text.casefold()
        found = [index for index, here, _ in rows if wanted in here]
        found += [index for index, here, after in rows if wanted in f"{here} {after}" or wanted in f"{here}{after}"]
        if found or inside:
            self.cursor = [*found, *inside][0]
            # The panel has room for the new rows once it is laid out anew.
            self.call_after_refresh(self.reveal)

    def reveal(self) -> None:
        """Scroll so far that the cursor is in sight."""
        region = Region(0, self.cursor, 1, 1)
        self.scroll_to_region(region, animate=False, force=True, spacing=None)

    def action_cursor(self, by: int) -> None:
        """Move the cursor."""
        self.move_to(self.cursor + by)

    def action_page(self, by: int) -> None:
        """Move the cursor by a panel's height."""
        self.move_to(self.cursor + by * max(self.scrollable_content_region.height - 1, 1))

    def action_first(self) -> None:
        """Go to the first row."""
        self.move_to(0)

    def action_last(self) -> None:
        """Go to the last row."""
        self.move_to(len(self.rows) - 1)

    def action_choose(self) -> None:
        """Go where the row leads; open or close it where it leads nowhere."""
        row = self.row
        if row is None:
            return
        if row.place is None and row.fold:
            self.action_turn()
        else:
            self.post_message(self.Chosen(self, row))

    def action_turn(self) -> None:
        """Open or close the part under the cursor."""
        row = self.row
        if row is not None and row.fold:
            self.folds.turn(row.fold)
            self._remake()

    def action_turn_all(self) -> None:
        """Open everything, or close it."""
        self.folds.turn_all()
        self._remake()
        self.reveal()

    def on_click(self, event: events.Click) -> None:
        """Put the cursor where the mouse is, and choose that row."""
        offset = event.get_content_offset(self)
        if offset is None:
            self._click_title(event.x - TITLE_INDENT) if event.y == 0 else None
            return
        index = offset.y + round(self.scroll_offset.y)
        if index < len(self.rows):
            self.move_to(index)
            self.action_choose()

    def _click_title(self, column: int) -> None:
        for tab in self._tabs:
            size = len(_tab(tab))
            if 0 <= column < size:
                self.post_message(self.Titled(tab[1]))
            column -= size


def _alike(row: Row, other: Row) -> bool:
    # The row that opens a part begins with another sign when it is closed.
    return (row.fold, row.part) == (other.fold, other.part) and (bool(row.fold) or row.text.plain == other.text.plain)


def _belongs(row: Row, part: str) -> bool:
    """Return whether a row may show what stands in a part: rows of the parts that it lies in may, where it has none itself."""
    return bool(row.part) and (lies_in(row.part, part) or lies_in(part, row.part))


def _tab(tab: tuple[int, str]) -> str:
    return f" {tab[0]} {tab[1]} "


def fitted(row: Row, width: int) -> Text:
    """Return a row's text cut to the width, with its facts at the right end."""
    facts = row.facts
    room = width - (facts.cell_len + 1 if facts is not None and facts.cell_len else 0)
    text = row.text.copy()
    if facts is None or not facts.cell_len or room < min(12, width):
        text.truncate(width, overflow="ellipsis")
        return text
    text.truncate(room - 1, overflow="ellipsis", pad=True)
    return text.append(" ").append_text(facts)
