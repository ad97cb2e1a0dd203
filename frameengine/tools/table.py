"""Tables as text: a header line and one line for each row, cells between tabs, and back.

A cell never holds a tab or a line end as such, and no cell can pass for a note, so what `format_table` writes `parse_table` reads
back whole, whatever the cells hold.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from attrs import frozen

NOTE: Final = "-- "
"""How a line begins that is about the table and no part of it."""
_WRITTEN: Final = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"}
_READ: Final = {"\\": "\\", "t": "\t", "n": "\n", "r": "\r", "-": "-"}
_SPECIAL: Final = re.compile(r"[\\\t\n\r]")
_ESCAPE: Final = re.compile(r"\\([\\tnr-])")


@frozen(kw_only=True)
class Table:
    """A table of texts."""

    columns: tuple[str, ...]
    """Names of the columns."""
    rows: tuple[tuple[str, ...], ...] = ()
    """The cells, row by row."""
    notes: tuple[str, ...] = ()
    """What the table's writer says about it: that it was cut, for instance."""


def format_cell(value: object) -> str:
    """Return a value of a database as the text of one cell."""
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        return f"x'{value.hex()}'"
    text = _SPECIAL.sub(lambda found: _WRITTEN[found[0]], str(value))
    return f"\\{text}" if text.startswith("--") else text


def format_line(cells: Iterable[object]) -> str:
    """Return one row as a line without its end."""
    return "\t".join([format_cell(cell) for cell in cells])


def format_table(columns: Sequence[str], rows: Iterable[Sequence[object]], notes: Iterable[str] = ()) -> str:
    """Return a table as text. *notes* are single lines."""
    return "\n".join([format_line(columns), *[format_line(row) for row in rows], *[NOTE + note for note in notes]])


def parse_table(text: str) -> Table | None:
    """Return the table that *text* holds, or None where it is none: every line must have as many cells as the first."""
    lines = text.split("\n")
    notes = tuple([line.removeprefix(NOTE) for line in lines if line.startswith(NOTE)])
    cells = [tuple([_ESCAPE.sub(_unescaped, cell) for cell in line.split("\t")]) for line in lines if not line.startswith(NOTE)]
    if not cells or any(len(row) != len(cells[0]) for row in cells):
        return None
    return Table(columns=cells[0], rows=tuple(cells[1:]), notes=notes)


def _unescaped(found: re.Match[str]) -> str:
    return _READ[found[1]]
