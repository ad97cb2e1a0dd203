"""Tables as text and back, and SQL's LIKE."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frameengine.errors import ToolFailed
from frameengine.tools.like import like
from frameengine.tools.table import Table, format_table, parse_table

CELLS = st.text(alphabet="ab-\\\t\n\r ntä", max_size=6)


@st.composite
def tables(draw: st.DrawFn) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Draw columns and rows of one width, of which no row and not the header is a single empty cell's worth of nothing."""
    width = draw(st.integers(1, 4))
    row = st.tuples(*[CELLS] * width)
    return draw(row), draw(st.lists(row, max_size=5))


@given(tables(), st.lists(st.text(alphabet="ab -", max_size=8), max_size=2))
def test_a_table_comes_back_whole(table: tuple[tuple[str, ...], list[tuple[str, ...]]], notes: list[str]) -> None:
    """Whatever the cells hold, tabs, line ends and what looks like a note included, writing and reading gives the same table."""
    columns, rows = table
    assert parse_table(format_table(columns, rows, notes)) == Table(columns=columns, rows=tuple(rows), notes=tuple(notes))


@pytest.mark.parametrize("text", ["a\tb\n1", "one line\nand\tanother", "-- only a note"])
def test_what_is_no_table_is_none(text: str) -> None:
    """Lines with different numbers of cells are no table."""
    assert parse_table(text) is None


def test_values_of_a_database_are_written_plainly() -> None:
    """Null, blobs and numbers have one written form each."""
    assert (
        format_table(("a", "b", "c", "d"), [(None, b"\x01\xff", 1.5, 2**62)])
        == "a\tb\tc\td\nNULL\tx'01ff'\t1.5\t4611686018427387904"
    )


@given(
    st.text(alphabet="aAbB%_\\é", max_size=8),
    st.text(alphabet="aAbB%_\\éÉ", max_size=8),
    st.sampled_from([None, "\\", "%", "b"]),
)
def test_like_is_that_of_sqlite(pattern: str, text: str, escape: str | None) -> None:
    """Our LIKE agrees with SQLite's own on patterns, case and escapes."""
    with closing(sqlite3.connect(":memory:")) as connection:
        suffix = "" if escape is None else " ESCAPE ?"
        arguments = (text, pattern) if escape is None else (text, pattern, escape)
        (expected,) = connection.execute(f"SELECT ? LIKE ?{suffix}", arguments).fetchone()
    assert like(pattern, text, escape) == bool(expected)


def test_an_escape_is_one_character() -> None:
    """A longer escape is refused in SQLite's words."""
    with pytest.raises(ToolFailed, match="single character"):
        like("a", "a", "ab")
