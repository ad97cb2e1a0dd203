"""Statements put together from a grammar of SQL: reads, writes, and what lies between them. Made of words, joined last.

The tables are those of `shop`: items(id, name, price), the view cheap(name), and "group"(a).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from functools import cache
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

Words = tuple[str, ...]

COLUMNS = {"items": ("id", "name", "price"), "cheap": ("name",), '"group"': ("a",)}
ONE = ("abs", "lower", "upper", "length", "typeof", "round", "date", "unixepoch", "sign", "ceil")
TWO = ("ifnull", "nullif", "coalesce", "substr", "min", "max", "like", "strftime")
GATHER = ("count", "sum", "avg", "min", "max", "total", "group_concat")
OPERATORS = "+ - * / % || = <> != < <= > >= AND OR IS LIKE == << &".split()
LITERALS = "0 1 -7 2.5 1e3 .5 0x1F NULL 'a' 'it''s' '%1%' '' x'00ff' '2024-02-29' TRUE".split()
EVIL = (
    "load_extension('x') writefile('made','x') readfile('shop') edit('x') randomblob(9) random() zeroblob(9) printf('%n') "
    "fts3_tokenizer('a') sqlite_version() changes() last_insert_rowid() CURRENT_TIMESTAMP json('1')"
).split()
HIDDEN = (
    "sqlite_master sqlite_schema sqlite_temp_master pragma_table_info('items') pragma_database_list json_each('[1]') dbstat "
    "sqlite_stmt sqlite_dbpage fts3tokenize temp.made main.items other.items"
).split()
WRITES = (
    "INSERT INTO items VALUES (9001, 'x', 1)",
    "INSERT INTO items SELECT id + 5000, name, price FROM items RETURNING id",
    "REPLACE INTO items VALUES (1, 'x', 1)",
    "UPDATE items SET price = 0",
    "DELETE FROM items WHERE id = 1 RETURNING name",
    "DROP TABLE items",
    "DROP VIEW cheap",
    "ALTER TABLE items ADD COLUMN made",
    "CREATE TABLE made AS SELECT * FROM items",
    "CREATE TEMP TABLE made (a)",
    "CREATE VIEW made AS SELECT 1",
    "CREATE INDEX made ON items (price)",
    "CREATE TRIGGER made AFTER INSERT ON items BEGIN DELETE FROM items; END",
    "CREATE VIRTUAL TABLE made USING fts5(a)",
    "ATTACH DATABASE 'made' AS other",
    "ATTACH 'file:made?mode=rwc' AS other",
    "DETACH main",
    "VACUUM",
    "VACUUM INTO 'made'",
    "REINDEX",
    "ANALYZE",
    "BEGIN IMMEDIATE",
    "BEGIN EXCLUSIVE",
    "SAVEPOINT made",
    "PRAGMA query_only = 0",
    "PRAGMA journal_mode = WAL",
    "PRAGMA user_version = 9",
    "PRAGMA writable_schema = 1",
    "PRAGMA wal_checkpoint(TRUNCATE)",
    "PRAGMA temp_store_directory = '.'",
    "PRAGMA application_id(77)",
    "PRAGMA auto_vacuum = 2",
)
COMMENTS = ("/* a */", "/**/", "-- b\n", "/*! DELETE FROM items */", "/* ' */", "\n", "\t", "\r\n")


def build(path: Path) -> Path:
    """Write the database that statements speak of: 40 items, some of them odd."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT NOT NULL, price REAL)")
        connection.execute("CREATE VIEW cheap AS SELECT name FROM items WHERE price < 2")
        connection.execute('CREATE TABLE "group" (a)')
        connection.executemany("INSERT INTO items VALUES (?, ?, ?)", [(i, f"Item {i % 7}\t", i / 2) for i in range(1, 41)])
        connection.execute("INSERT INTO \"group\" VALUES ('--'), (NULL), (7), (x'41'), ('2024-02-29')")
    return path


def joined(parts: Iterable[Sequence[str]], word: str) -> Words:
    """Return *parts* with *word* between them."""
    words: list[str] = []
    for part in parts:
        words += [word, *part] if words else part
    return tuple(words)


@cache
def expressions(columns: Words, *, depth: int = 2) -> SearchStrategy[Words]:
    """Make expressions over *columns*, nested at most *depth* deep."""
    leaf = st.sampled_from([*columns, *LITERALS]).map(lambda word: (word,))
    if depth == 0:
        return leaf
    inner = expressions(columns, depth=depth - 1)
    return st.one_of(
        leaf,
        st.builds(lambda a, o, b: (*a, o, *b), inner, st.sampled_from(OPERATORS), inner),
        st.builds(lambda a: ("(", *a, ")"), inner),
        st.builds(lambda a: ("NOT", *a), inner),
        st.builds(lambda f, a: (f, "(", *a, ")"), st.sampled_from(ONE), inner),
        st.builds(lambda f, a, b: (f, "(", *a, ",", *b, ")"), st.sampled_from(TWO), inner, inner),
        st.builds(lambda a, b, c: ("CASE", "WHEN", *a, "THEN", *b, "ELSE", *c, "END"), inner, inner, inner),
        st.builds(lambda a, b, c: (*a, "BETWEEN", *b, "AND", *c), inner, leaf, leaf),
        st.builds(lambda a, b: (*a, "IN", "(", *joined(b, ","), ")"), inner, st.lists(leaf, min_size=1, max_size=3)),
        st.builds(
            lambda a, t: ("CAST", "(", *a, "AS", t, ")"), inner, st.sampled_from(("TEXT", "INTEGER", "REAL", "BLOB", "NUMERIC"))
        ),
        st.builds(lambda a: (*a, "IS", "NOT", "NULL"), inner),
        st.builds(lambda a: (*a, "COLLATE", "NOCASE"), inner),
    )


@st.composite
def reads(draw: st.DrawFn, *, depth: int = 1) -> Words:
    """Make a selection that is only a read."""
    table = draw(st.sampled_from(sorted(COLUMNS)))
    columns = COLUMNS[table]
    shown = draw(st.lists(expressions(columns), min_size=1, max_size=3))
    if draw(st.booleans()):
        shown.append((draw(st.sampled_from(GATHER)), "(", *draw(expressions(columns, depth=1)), ")"))
    words: list[str] = ["SELECT", *draw(st.sampled_from(((), ("DISTINCT",)))), *joined(shown, ",")]
    source: Words = (table,)
    if depth and draw(st.booleans()):
        source = ("(", "SELECT", "*", "FROM", table, "LIMIT", "9", ")", "AS", "q")
    words += ["FROM", *source]
    if draw(st.booleans()):
        words += ["WHERE", *draw(expressions(columns))]
    if draw(st.booleans()):
        words += ["GROUP", "BY", *draw(expressions(columns, depth=1))]
    if draw(st.booleans()):
        words += ["ORDER", "BY", *draw(expressions(columns, depth=1)), *draw(st.sampled_from(((), ("DESC",), ("NULLS", "LAST"))))]
    words += draw(st.sampled_from(((), ("LIMIT", "5"), ("LIMIT", "3", "OFFSET", "2"), ("LIMIT", "2", ",", "3"))))
    if depth and draw(st.integers(0, 3)) == 0:
        words = ["WITH", "w", "AS", "(", *words, ")", "SELECT", "*", "FROM", "w"]
    return tuple(words)


@st.composite
def attempts(draw: st.DrawFn) -> Words:
    """Make a statement that writes, reaches out, or hides one of the two in a read."""
    write = tuple(draw(st.sampled_from(WRITES)).split(" "))
    read = draw(reads(depth=0))
    shape = draw(st.integers(0, 9))
    if shape == 0:
        return write
    if shape == 1:
        return (*read, ";", *write)
    if shape == 2:
        return ("WITH", "w", "AS", "(", *read, ")", *write)
    if shape == 3:
        return ("WITH", "w", "AS", "(", *write, ")", "SELECT", "*", "FROM", "w")
    if shape == 4:
        return ("EXPLAIN", *draw(st.sampled_from(((), ("QUERY", "PLAN")))), *write)
    if shape == 5:
        return ("SELECT", draw(st.sampled_from(EVIL)), "FROM", "items")
    if shape == 6:
        return ("SELECT", "*", "FROM", draw(st.sampled_from(HIDDEN)))
    if shape == 7:
        return ("SELECT", "(", *write, ")")
    if shape == 8:
        return (*read, "INTO", *draw(st.sampled_from((("made",), ("OUTFILE", "'made'")))))
    cut = draw(st.integers(0, len(read)))
    return (*read[:cut], *write, *read[cut:])


@st.composite
def written(draw: st.DrawFn, words: SearchStrategy[Words]) -> str:
    """Write a statement down: in any case, with comments between its words, or plainly."""
    parts = list(draw(words))
    if draw(st.booleans()):
        for _ in range(draw(st.integers(1, 3))):
            parts.insert(draw(st.integers(0, len(parts))), draw(st.sampled_from(COMMENTS)))
    if draw(st.booleans()):
        parts = [part if "'" in part else draw(st.sampled_from((part, part.lower(), part.upper()))) for part in parts]
    return " ".join(parts) + draw(st.sampled_from(("", ";", " ; ", " -- end", "/* end */")))
