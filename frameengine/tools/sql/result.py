"""A result as text, within bounds that hold for every database."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Final

from frameengine.errors import ToolFailed
from frameengine.tools.table import NOTE, format_line, format_table

ROWS_MAX: Final = 1_000
"""Rows of a result."""
RESULT_BYTES_MAX: Final = 1 << 20
"""Size of a result's text in UTF-8, the note that it was cut included."""
SECONDS_MAX: Final = 5.0
"""Time that a query may take."""

_NOTES_MAX: Final = 4
_WORDS_MAX: Final = 200
_NOTE_BYTES: Final = 64 + _NOTES_MAX * 4 * (_WORDS_MAX + len(NOTE) + 1)


def result_text(columns: Sequence[str], rows: Iterable[Sequence[object]], notes: Callable[[], Iterable[str]] = tuple) -> str:
    """Return a table (`tools.table`), cut where it passes a bound, and then with a note that says so; with *notes* at the end.

    At most one row more than are shown is taken from *rows*.
    """
    lines = [format_line(columns)]
    size = len(lines[0].encode())
    for row in rows:
        line = format_line(row)
        size += len(line.encode()) + 1
        if len(lines) > ROWS_MAX or size > RESULT_BYTES_MAX - _NOTE_BYTES:
            count = len(lines) - 1
            lines.append(f"{NOTE}cut after {count:,} row{'' if count == 1 else 's'}; there are more")
            break
        lines.append(line)
    return "\n".join([*lines, *[NOTE + " ".join(note.split())[:_WORDS_MAX] for note in islice(notes(), _NOTES_MAX)]])


def listing(tables: Iterable[str]) -> str:
    """Return the answer to SHOW TABLES."""
    return format_table(("table",), [(name,) for name in tables])


def description(columns: Iterable[tuple[str, str, bool, bool]]) -> str:
    """Return the answer to DESCRIBE; of each column name, type, whether it may be NULL, and whether it is of the primary key."""
    rows = [(name, kind, "yes" if nullable else "no", "primary" if key else "") for name, kind, nullable, key in columns]
    return format_table(("column", "type", "null", "key"), rows)


def no_such_table(name: str, tables: Iterable[str]) -> ToolFailed:
    """Return the error of a DESCRIBE that names no table."""
    return ToolFailed(f"no such table: {name}", hint=f"there are {', '.join(tables)}")
