"""Query a SQLite database without being able to change anything, and without being able to run for ever.

Opening a file read-only is not enough: such a connection may still attach, vacuum into and create other files. What holds here
is an authorizer that denies whatever it does not know, on a connection whose limits are set low, with a budget that is counted
in steps of SQLite's machine and not in seconds, so that the same query ends at the same place everywhere. SQLite's memory is
bounded for the whole process, because it knows no other bound (`HEAP_BYTES_MAX`; it is only ever lowered).
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from attrs import field, frozen

from frameengine.errors import ToolFailed
from frameengine.jsonvalue import FrozenMap, freeze
from frameengine.tools.like import like
from frameengine.tools.registry import ToolRegistry
from frameengine.tools.table import format_line, format_table

QUERY_CHARS_MAX: Final = 8_000
"""Length of a query."""
ROWS_MAX: Final = 1_000
"""Rows of a result."""
RESULT_BYTES_MAX: Final = 1 << 20
"""Size of a result's text in UTF-8."""
VALUE_BYTES_MAX: Final = 16 << 10
"""Size of one value or of one intermediate row."""
STEPS_MAX: Final = 10_000_000
"""Steps of SQLite's machine that one query may take."""
HEAP_BYTES_MAX: Final = 256 << 20
"""Memory that SQLite may take in this process."""

NAME: Final = "query_db"
SCHEMA: Final[FrozenMap] = freeze(
    {
        "description": "Run one read-only statement (SELECT, DESCRIBE <table> or SHOW TABLES); returns tab-separated text.",
        "parameters": {
            "type": "object",
            "properties": {
                "query": {"type": "string", "description": "The statement, in SQLite's dialect."},
                "database": {"type": "string", "description": "Name of the database."},
            },
            "required": ["query", "database"],
            "additionalProperties": False,
        },
    }
)

_STEPS_BETWEEN: Final = 1_000
_FUNCTIONS: Final = frozenset(
    (
        "abs avg ceil coalesce count cume_dist date datetime dense_rank first_value floor group_concat ifnull iif julianday lag "
        "last_value lead length like lower max min nth_value ntile nullif percent_rank rank round row_number sign strftime "
        "substr substring sum time total typeof unixepoch upper"
    ).split()
)
"""What a query may call: nothing that reads or writes outside, no chance, and nothing slower than its arguments are long."""
_LIMITS: Final = (
    (sqlite3.SQLITE_LIMIT_LENGTH, VALUE_BYTES_MAX),
    (sqlite3.SQLITE_LIMIT_SQL_LENGTH, 4 * QUERY_CHARS_MAX),
    (sqlite3.SQLITE_LIMIT_COLUMN, 200),
    (sqlite3.SQLITE_LIMIT_EXPR_DEPTH, 100),
    (sqlite3.SQLITE_LIMIT_COMPOUND_SELECT, 20),
    (sqlite3.SQLITE_LIMIT_VDBE_OP, 50_000),
    (sqlite3.SQLITE_LIMIT_FUNCTION_ARG, 8),
    (sqlite3.SQLITE_LIMIT_ATTACHED, 0),
    (sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 0),
    (sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH, 1),
    (sqlite3.SQLITE_LIMIT_WORKER_THREADS, 0),
)
_LEADING: Final = re.compile(r"(?:\s|--[^\n]*(?:\n|$)|/\*.*?\*/)*", re.DOTALL)
_FIRST_WORD: Final = re.compile(r"(?:select|with)\b", re.IGNORECASE)
_SHOW_TABLES: Final = re.compile(r"\s*show\s+tables\s*;?\s*", re.IGNORECASE)
_DESCRIBE: Final = re.compile(r"\s*(?:describe|desc)\s+([\"`]?)(\w+)\1\s*;?\s*", re.IGNORECASE)
_WAL: Final = b"\x02\x02"
_READ_ONLY: Final = "only SELECT, DESCRIBE <table> and SHOW TABLES are allowed"


@frozen
class SqlTool:
    """Read-only queries on a few named databases."""

    databases: Mapping[str, Path]
    """Name -> SQLite file. A model names a database, never a file."""
    steps: int = field(default=STEPS_MAX, kw_only=True)
    """Steps of SQLite's machine that one query may take."""

    def __call__(self, query: str, database: str) -> str:
        """Return the result of one statement as text (`tools.table`); a note says where it was cut. Raises `ToolFailed`."""
        path = self.databases.get(database)
        if path is None:
            known = ", ".join(self.databases)
            raise ToolFailed(
                f"there is no database {database!r}", hint=f"known are {known}", database=database, known=list(self.databases)
            )
        statement = _checked(query)
        with closing(_connect(path)) as connection:
            schema = _Schema.of(connection)
            if _SHOW_TABLES.fullmatch(statement):
                return format_table(("table",), [(name,) for name in schema.tables])
            described = _DESCRIBE.fullmatch(statement)
            if described is not None:
                return schema.describe(connection, described[2])
            return _select(connection, schema, statement, self.steps)


def register_sql(registry: ToolRegistry, databases: Mapping[str, Path]) -> None:
    """Add the tool ``query_db`` for *databases* (name -> SQLite file)."""
    registry.register(NAME, SqlTool(databases), SCHEMA)


def _checked(query: str) -> str:
    if len(query) > QUERY_CHARS_MAX:
        raise _refused(f"the query has {len(query):,} characters, the bound is {QUERY_CHARS_MAX:,}")
    if "\0" in query:
        raise _refused("the query holds a NUL")
    rest = query[_leading(query) :]
    if not (_FIRST_WORD.match(rest) or _SHOW_TABLES.fullmatch(rest) or _DESCRIBE.fullmatch(rest)):
        raise _refused(_READ_ONLY)
    return rest


def _leading(query: str) -> int:
    found = _LEADING.match(query)
    return 0 if found is None else found.end()


def _refused(what: str) -> ToolFailed:
    return ToolFailed(f"refused: {what}", hint=_READ_ONLY)


def _connect(path: Path) -> sqlite3.Connection:
    try:
        with path.open("rb") as file:
            head = file.read(20)
    except OSError as error:
        raise ToolFailed(
            f"the database cannot be read: {error.strerror}", hint="check the path that its name stands for"
        ) from error
    if head[18:20] == _WAL:
        hint = "switch it over with PRAGMA journal_mode=DELETE, or give a copy"
        raise ToolFailed("the database is in WAL mode, where even reading creates files beside it", hint=hint)
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
    except sqlite3.Error as error:
        raise ToolFailed(f"the database cannot be opened: {error}", hint="is it a SQLite file?") from error
    return connection


@frozen
class _Schema:
    tables: tuple[str, ...]
    """Tables and views."""
    modules: frozenset[str]
    """Virtual tables that are there without being made: some of them read more than the database."""

    @classmethod
    def of(cls, connection: sqlite3.Connection) -> _Schema:
        """Set the connection up and see what there is, before the authorizer hides it."""
        # A sort that spills would create a file, so temporary data stays in memory.
        settings = ("query_only = 1", "trusted_schema = 0", "temp_store = 2", f"hard_heap_limit = {HEAP_BYTES_MAX}")
        listing = (
            "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND substr(name, 1, 7) <> 'sqlite_' ORDER BY name"
        )
        try:
            for setting in settings:
                connection.execute(f"PRAGMA {setting}")
            tables = tuple([name for (name,) in connection.execute(listing)])
            modules = frozenset([name.lower() for (name,) in connection.execute("PRAGMA module_list")])
        except sqlite3.Error as error:
            raise ToolFailed(f"the database cannot be read: {error}", hint="is it a SQLite file?") from error
        return cls(tables, modules)

    def describe(self, connection: sqlite3.Connection, name: str) -> str:
        known = {table.lower(): table for table in self.tables}
        table = known.get(name.lower())
        if table is None:
            raise ToolFailed(f"no such table: {name}", hint=f"there are {', '.join(self.tables)}")
        quoted = table.replace('"', '""')
        rows = [
            (column, kind, "no" if required else "yes", "primary" if key else "")
            for _, column, kind, required, _, key in connection.execute(f'PRAGMA table_info("{quoted}")')
        ]
        return format_table(("column", "type", "null", "key"), rows)

    def may_read(self, table: str, column: str) -> bool:
        """Tell whether a column may be read. Without a column, the table may be the name of a subquery."""
        name = table.lower()
        if name in [known.lower() for known in self.tables]:
            return True
        return not column and name not in self.modules and not name.startswith(("pragma_", "sqlite_"))


class _Budget:
    """The steps a query has left."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def step(self) -> int:
        self.left -= _STEPS_BETWEEN
        return int(self.left < 0)

    def like(self, pattern: Any, text: Any, escape: Any = None) -> int | None:
        """Answer LIKE: SQLite's own takes one step, however long it works."""
        if pattern is None or text is None:
            return None
        pattern, text = str(pattern), str(text)
        self.left -= len(pattern) * len(text)
        if self.left < 0:
            raise ToolFailed("the budget is spent", hint="narrow the query down")
        return int(like(pattern, text, None if escape is None else str(escape)))


def _select(connection: sqlite3.Connection, schema: _Schema, statement: str, steps: int) -> str:
    budget = _Budget(steps)
    for arguments in (2, 3):
        connection.create_function("like", arguments, budget.like, deterministic=True)

    def authorize(action: int, one: str | None, two: str | None, *_: str | None) -> int:
        if action == sqlite3.SQLITE_SELECT:
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_READ:
            return sqlite3.SQLITE_OK if schema.may_read(one or "", two or "") else sqlite3.SQLITE_DENY
        if action == sqlite3.SQLITE_FUNCTION:
            return sqlite3.SQLITE_OK if (two or "").lower() in _FUNCTIONS else sqlite3.SQLITE_DENY
        return sqlite3.SQLITE_DENY

    for name, bound in _LIMITS:
        connection.setlimit(name, bound)
    connection.set_authorizer(authorize)
    connection.set_progress_handler(budget.step, _STEPS_BETWEEN)
    try:
        cursor = connection.execute(statement)
        return _text(cursor)
    except MemoryError:
        raise ToolFailed("the query needs too much memory", hint="narrow it down, or sort less") from None
    except (sqlite3.Error, sqlite3.Warning, UnicodeError) as error:
        if budget.left < 0:
            raise ToolFailed(f"the query needs more than {steps:,} steps", hint="narrow it down") from None
        if "not authorized" in str(error) or "prohibited" in str(error):
            raise _refused(str(error)) from None
        raise ToolFailed(str(error), hint="check the statement against the tables: DESCRIBE <table>") from error


def _text(cursor: sqlite3.Cursor) -> str:
    lines = [format_line([column[0] for column in cursor.description or ()])]
    size = len(lines[0].encode())
    note = ""
    for row in cursor:
        line = format_line(row)
        size += len(line.encode()) + 1
        if len(lines) > ROWS_MAX or size > RESULT_BYTES_MAX:
            note = f"\n-- cut after {len(lines) - 1:,} rows; there are more"
            break
        lines.append(line)
    return "\n".join(lines) + note
