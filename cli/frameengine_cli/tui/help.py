"""The help: what every key does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen

from frameengine_cli.look import GOOD, QUIET, STRONG, words
from frameengine_cli.tui.keys import GROUPS
from frameengine_cli.tui.rows import Folds, Outline, Row
from frameengine_cli.tui.rowview import RowView


class Help(ModalScreen[None]):
    """All keys."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,question_mark,f1", "dismiss", show=False)]

    def compose(self) -> ComposeResult:
        """Show them."""
        yield RowView(id="sheet")

    def on_mount(self) -> None:
        """Fill the sheet."""
        sheet = self.query_one(RowView)
        sheet.show(_rows)
        sheet.entitle("keys", "esc closes")
        sheet.styles.height = len(sheet.rows) + 2
        sheet.focus()


def _rows(_: Folds, width: int) -> Sequence[Row]:
    outline = Outline(Folds(), width)
    for title, group in GROUPS.items():
        outline.gap()
        outline.line(words((title, f"{STRONG} {GOOD}")))
        for key in group:
            outline.line(words((f"{key.label:>11}  ", STRONG), (key.what, "")))
    outline.gap()
    outline.line(words(("The mouse works: rows, signs, names of tabs, the line of the run, keys.", QUIET)))
    return outline.rows
