"""The help: what every key does, and what the signs mean."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import ClassVar, Final

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen

from frameengine_cli.look import GOOD, QUIET, STRONG, words
from frameengine_cli.tui.keys import GROUPS
from frameengine_cli.tui.rows import Folds, Row
from frameengine_cli.tui.rowview import RowView
from frameengine_cli.tui.signs import SIGNS

KEYS_COLUMNS: Final = 82
SIGNS_COLUMNS: Final = 28
"""What keys and signs need to stand beside each other; where there is no room for that, signs stand below the keys."""


class Help(ModalScreen[None]):
    """All keys and signs."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,question_mark,f1", "dismiss", show=False)]

    def compose(self) -> ComposeResult:
        """Show them."""
        yield RowView(id="sheet")

    def on_mount(self) -> None:
        """Fill the sheet."""
        sheet = self.query_one(RowView)
        sheet.show(_rows)
        narrow = self.app.size.width < KEYS_COLUMNS + SIGNS_COLUMNS
        sheet.entitle("keys and signs", "G shows the signs · esc closes" if narrow else "esc closes")
        sheet.styles.height = len(sheet.rows) + 2
        sheet.focus()


def _rows(_: Folds, width: int) -> Sequence[Row]:
    keys, signs = _keys(), _signs()
    if width < KEYS_COLUMNS + SIGNS_COLUMNS:
        return [Row(text=line) for line in (*keys, Text(), *signs)]
    rows = []
    for left, right in zip_longest(keys, signs, fillvalue=Text()):
        left.truncate(KEYS_COLUMNS, pad=True)
        rows.append(Row(text=left.append_text(right)))
    return rows


def _keys() -> list[Text]:
    lines: list[Text] = []
    for title, group in GROUPS.items():
        lines += [Text()] if lines else []
        lines.append(words((title, f"{STRONG} {GOOD}")))
        lines += [words((f"{key.label:>11}  ", STRONG), (key.what, "")) for key in group]
    return [*lines, Text(), words(("The mouse works: rows, signs, names of tabs, the line of the run, keys.", QUIET))]


def _signs() -> list[Text]:
    lines: list[Text] = []
    for title, group in SIGNS.items():
        lines += [Text()] if lines else []
        lines.append(words((title, f"{STRONG} {GOOD}")))
        lines += [words((f"{sign:<6}", STRONG), (what, "")) for sign, what in group.items()]
    return lines
