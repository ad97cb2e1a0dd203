"""The database query: what it answers, and that nothing it is given can change a byte or run for ever."""

from __future__ import annotations

import os
import re
import sqlite3
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frameengine.errors import ToolFailed
from frameengine.tools.registry import ToolRegistry
from frameengine.tools.sql import NAME, SqlTool, asked, register_sql, result, sqlite
from frameengine.tools.sql.asked import QUERY_CHARS_MAX
from frameengine.tools.sql.result import RESULT_BYTES_MAX, ROWS_MAX
from frameengine.tools.sql.sqlite import Bounds
from frameengine.tools.table import parse_table


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build a small database: 3,000 items, a view, a table with a long name in quotes."""
    path = tmp_path_factory.mktemp("sql folder %20") / "shop ?.sqlite"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT NOT NULL, price REAL)")
        connection.execute("CREATE VIEW cheap AS SELECT name FROM items WHERE price < 2")
        connection.execute('CREATE TABLE "group" (a)')
        connection.executemany(
            "INSERT INTO items VALUES (?, ?, ?)", [(i, f"item {i}\tof\n{i % 7}", i / 2) for i in range(1, 3001)]
        )
        connection.execute("INSERT INTO \"group\" VALUES ('--'), (NULL), ('-- cut')")
    return path


def query(database: Path, text: str, *, steps: int = 10_000_000) -> str:
    """Run one statement."""
    return SqlTool({"shop": database}, bounds=Bounds(steps=steps))(text, "shop")


def files(database: Path) -> dict[str, str]:
    """Return every file beside the database with the digest of its bytes."""
    return {path.name: sha256(path.read_bytes()).hexdigest() for path in sorted(database.parent.iterdir())}


@pytest.mark.parametrize(
    ("statement", "result"),
    [
        ("SELECT id, price FROM items WHERE id < 3 ORDER BY id", "id\tprice\n1\t0.5\n2\t1.0"),
        ("-- a comment\n/* another */ SELECT COUNT(*) AS n FROM items;", "n\n3000"),
        ("WITH few AS (SELECT id FROM items WHERE id < 4) SELECT COUNT(*) AS n FROM few", "n\n3"),
        ("SELECT COUNT(*) AS n FROM (SELECT 1 UNION SELECT 2)", "n\n2"),
        ("SELECT COUNT(*) AS n FROM cheap", "n\n3"),
        ('SELECT * FROM "group" ORDER BY rowid', "a\n\\--\nNULL\n\\-- cut"),
        ("SELECT name FROM items WHERE id = 8", "name\nitem 8\\tof\\n1"),
        ("SELECT COUNT(*) AS n FROM items WHERE name LIKE 'ITEM 1_\t%'", "n\n10"),
        ("SELECT id, ROW_NUMBER() OVER (ORDER BY id DESC) AS r FROM items ORDER BY id DESC LIMIT 1", "id\tr\n3000\t1"),
        ("SHOW TABLES", "table\ncheap\ngroup\nitems"),
        ("-- all\nshow/* of them */Tables -- end", "table\ncheap\ngroup\nitems"),
        ("describe ITEMS ;", "column\ttype\tnull\tkey\nid\tINTEGER\tyes\tprimary\nname\tTEXT\tno\t\nprice\tREAL\tyes\t"),
        ('DESC "group"', "column\ttype\tnull\tkey\na\t\tyes\t"),
    ],
)
def test_reading(database: Path, statement: str, result: str) -> None:
    """Selections and looks at the schema come as tab-separated text under a header."""
    assert query(database, statement) == result


HOSTILE = [
    "INSERT INTO items VALUES (9999, 'x', 1)",
    "UPDATE items SET price = 0",
    "DELETE FROM items",
    "DROP TABLE items",
    "CREATE TABLE copy AS SELECT * FROM items",
    "CREATE TEMP TABLE t (a)",
    "WITH d AS (SELECT 1) DELETE FROM items",
    "WITH d AS (SELECT 1) INSERT INTO items SELECT 1, 'x', 1",
    "SELECT 1; DELETE FROM items",
    "SELECT 1;;DROP TABLE items",
    "/* SELECT */ DELETE FROM items",
    "-- SELECT\nDELETE FROM items",
    "ATTACH DATABASE 'other.sqlite' AS other",
    "VACUUM INTO 'copy.sqlite'",
    "VACUUM",
    "PRAGMA query_only = 0",
    "PRAGMA journal_mode = WAL",
    "SELECT * FROM pragma_table_info('items')",
    "SELECT COUNT(*) FROM pragma_database_list",
    "SELECT sql FROM sqlite_master",
    "SELECT COUNT(*) FROM sqlite_schema",
    "SELECT * FROM sqlite_dbpage",
    "SELECT load_extension('evil')",
    "SELECT writefile('out', 'x')",
    "SELECT readfile('secret')",
    "SELECT fts3_tokenizer('simple', x'00')",
    "SELECT random()",
    "SELECT CURRENT_TIMESTAMP",
    "SELECT zeroblob(900000000)",
    "SELECT printf('%.*c', 900000000, 'x')",
    "SELECT replace(name, 'i', name) FROM items",
    "SELECT * FROM json_each('[1]')",
    "BEGIN IMMEDIATE",
    "EXPLAIN DELETE FROM items",
    "EXPLAIN QUERY PLAN SELECT 1",
    "REINDEX",
    "ANALYZE",
    "REPLACE INTO items VALUES (1, 'x', 1)",
    "SELECT 1 \0; DELETE FROM items",
    "SELECT " + "(" * 5000 + "1" + ")" * 5000,
    "SELECT '" + "x" * QUERY_CHARS_MAX + "'",
    "SELECT * INTO other FROM items",
    "SELECT * FROM items FOR UPDATE",
    "DESCRIBE items; DELETE FROM items",
    "DESCRIBE sqlite_master",
    "DESCRIBE nothing",
    "SHOW DATABASES",
    "SELEC 1",
    "",
    "SELECT '\ud800'",
    "VALUES (1)",
    "SELECT * FROM items WHERE id = ?",
    "S\u0415LECT 1",
]


@pytest.mark.parametrize("statement", HOSTILE, ids=lambda text: text[:40])
def test_everything_else_is_refused_and_changes_nothing(database: Path, statement: str) -> None:
    """A statement that is more than a read fails, no byte beside the database changes, and no file appears."""
    before = files(database)
    with pytest.raises(ToolFailed):
        query(database, statement)
    assert files(database) == before


def growing(levels: int) -> str:
    """Return subqueries of which each holds the text of the one before eight times."""
    eight = " || ".join(["t"] * 8)
    return "WITH s0 AS (SELECT 'x' AS t), " + ", ".join([f"s{n + 1} AS (SELECT {eight} AS t FROM s{n})" for n in range(levels)])


ENDLESS = [
    f"{growing(12)} SELECT LENGTH(t) FROM s12",
    "SELECT COUNT(*) FROM items a, items b, items c",
    "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT COUNT(*) FROM r",
    "SELECT COUNT(*) FROM items a, items b WHERE (a.name || b.name) LIKE '%a%b%c%d%'",
    "SELECT a.name FROM items a, items b ORDER BY b.name || a.name",
    "SELECT a.id, '" + "x" * 7_000 + "' AS wide FROM items a, items b ORDER BY wide, b.id",
]


@pytest.mark.parametrize("statement", ENDLESS, ids=lambda text: text[:40])
def test_what_would_take_for_ever_ends(database: Path, statement: str) -> None:
    """Cross joins, recursion, expensive patterns, large sorts and exploding text end with an error, and leave no file behind."""
    before = files(database)
    with pytest.raises(ToolFailed, match=r"steps|memory|refused"):
        query(database, statement)
    assert files(database) == before


def test_the_budget_is_counted_in_steps(database: Path) -> None:
    """The same query ends at the same budget every time: no clock takes part."""
    statement = "SELECT COUNT(*) FROM items a, items b WHERE b.id < 50"
    assert query(database, statement) == "COUNT(*)\n147000"
    for _ in range(3):
        with pytest.raises(ToolFailed, match="more than 100,000 steps"):
            query(database, statement, steps=100_000)


def test_a_pattern_costs_what_it_compares(database: Path) -> None:
    """LIKE is charged for the length of pattern and text, though it is a single step of SQLite's machine."""
    assert query(database, "SELECT COUNT(*) AS n FROM items WHERE name LIKE '%x%'", steps=200_000) == "n\n0"
    with pytest.raises(ToolFailed, match="more than 200,000 steps"):
        query(database, f"SELECT COUNT(*) AS n FROM items WHERE name LIKE '%{'x' * 100}%'", steps=200_000)


def test_a_long_result_is_cut_and_says_so(database: Path) -> None:
    """More than the bound of rows, or of bytes, gives a table with a note; a result that just fits has none."""
    cut = parse_table(query(database, "SELECT id FROM items ORDER BY id"))
    assert cut is not None
    assert len(cut.rows) == ROWS_MAX
    assert cut.notes == ("cut after 1,000 rows; there are more",)
    whole = parse_table(query(database, f"SELECT id FROM items ORDER BY id LIMIT {ROWS_MAX}"))
    assert whole is not None
    assert (len(whole.rows), whole.notes) == (ROWS_MAX, ())
    wide = query(database, f"SELECT id, '{'x' * 5000}' AS wide FROM items ORDER BY id")
    assert len(wide.encode()) <= RESULT_BYTES_MAX + 100
    table = parse_table(wide)
    assert table is not None
    assert table.notes == (f"cut after {len(table.rows)} rows; there are more",)


def test_a_large_value_is_refused(database: Path) -> None:
    """Text that grows by joining stops at the bound of one value."""
    text = f"'{'x' * 1000}'"
    assert query(database, f"SELECT LENGTH({' || '.join(['t'] * 16)}) AS n FROM (SELECT {text} AS t)") == "n\n16000"
    with pytest.raises(ToolFailed, match="too big"):
        query(database, f"SELECT LENGTH({' || '.join(['t'] * 17)}) AS n FROM (SELECT {text} AS t)")


def test_errors_are_those_of_sqlite(database: Path) -> None:
    """A mistake in the statement comes back in SQLite's words, which a model can work with."""
    with pytest.raises(ToolFailed, match="no such column: prize"):
        query(database, "SELECT prize FROM items")
    with pytest.raises(ToolFailed, match="no such table: itms"):
        query(database, "SELECT * FROM itms")


def test_a_database_is_known_by_name_only(database: Path) -> None:
    """A path is no database, and the error lists those there are."""
    with pytest.raises(ToolFailed, match="no database") as caught:
        SqlTool({"shop": database})("SELECT 1", str(database))
    assert caught.value.hint == "known are shop"


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    """A missing file, one that is no database, what is no file, and WAL mode give an error, and reading creates nothing."""
    missing, junk, wal = tmp_path / "missing", tmp_path / "junk", tmp_path / "wal"
    junk.write_bytes(b"this is no database at all" * 100)
    with closing(sqlite3.connect(wal)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE t (a)")
    before = files(junk)
    os.mkfifo(tmp_path / "pipe")
    for path, why in (
        (missing, "No such file"),
        (tmp_path / "pipe", "it is no file"),
        (junk, "not a database"),
        (wal, "WAL mode"),
    ):
        with pytest.raises(ToolFailed, match=why):
            query(path, "SELECT 1")
    (tmp_path / "pipe").unlink()
    assert files(junk) == before


def test_the_bounds_on_the_page_are_those_of_the_code() -> None:
    """Each bound in the table of docs/tools.md has the value that the code has."""
    page = (Path(__file__).parents[2] / "docs" / "tools.md").read_text(encoding="utf-8")
    told = dict(re.findall(r"^\| `(\w+_MAX)` \| ([\d,]+) \|", page, re.MULTILINE))
    assert len(told) == 6
    for name, value in told.items():
        home = next(module for module in (asked, result, sqlite) if hasattr(module, name))
        assert int(value.replace(",", "")) == getattr(home, name), name


def test_the_tool_is_registered_under_its_name(database: Path) -> None:
    """The registry runs the query with checked arguments."""
    registry = ToolRegistry()
    register_sql(registry, {"shop": database})
    assert registry.names == (NAME,)
    assert registry.run(NAME, {"query": "SELECT 1 AS one", "database": "shop"}) == "one\n1"
    with pytest.raises(ToolFailed, match="'database' is missing"):
        registry.run(NAME, {"query": "SELECT 1"})


WORDS = st.sampled_from(
    (
        "SELECT WITH INSERT UPDATE DELETE DROP ATTACH VACUUM INTO PRAGMA FROM items cheap sqlite_master WHERE id name ( ) , ; * "
        "= 1 'x' -- /* */ AS t UNION ALL EXPLAIN CREATE TEMP TABLE VALUES LIKE ORDER BY LIMIT query_only load_extension BEGIN"
    ).split()
)


@given(st.lists(WORDS, min_size=1, max_size=12))
def test_no_statement_has_an_effect(database: Path, words: list[str]) -> None:
    """Whatever is put together from SQL's words, it either reads or fails; the file stays what it is and stays alone."""
    before = files(database)
    for prefix in ("", "SELECT ", "WITH t AS (SELECT 1) "):
        try:
            query(database, prefix + " ".join(words), steps=50_000)
        except ToolFailed:
            continue
    assert files(database) == before
