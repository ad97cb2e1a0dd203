"""Query a SQLite database without being able to change anything, and without being able to run for ever.

Opening a file read-only is not enough: such a connection may still attach, vacuum into and create other files. What holds here
is an authorizer that denies whatever it does not know, on a connection whose limits are set low, with a budget that is counted
in steps of SQLite's machine, so that the same query ends at the same place everywhere. A step may take long where it works on
long text, so time is bounded as well, far beyond what the steps of ordinary queries take. SQLite's memory is bounded for the
whole process, because it knows no other bound (`HEAP_BYTES_MAX`; it is only ever lowered).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Timer
from typing import Any, Final

from attrs import frozen

from frameengine.errors import ToolFailed
from frameengine.tools.like import like
from frameengine.tools.sql.asked import Asked, refused
from frameengine.tools.sql.result import SECONDS_MAX, description, listing, no_such_table, result_text

VALUE_BYTES_MAX: Final = 16 << 10
"""Size of one value or of one intermediate row."""
STEPS_MAX: Final = 10_000_000
"""Steps of SQLite's machine that one query may take."""
HEAP_BYTES_MAX: Final = 256 << 20
"""Memory that SQLite may take in this process."""
FUNCTIONS: Final = frozenset(
    (
        "abs avg ceil coalesce count cume_dist date datetime dense_rank first_value floor group_concat ifnull iif julianday lag "
        "last_value lead length like lower max min nth_value ntile nullif percent_rank rank round row_number sign strftime "
        "substr substring sum time total typeof unixepoch upper"
    ).split()
)
"""What a query may call: nothing that reads or writes outside, no chance, and nothing slower than its arguments are long."""

_STEPS_BETWEEN: Final = 1_000
_SETTINGS: Final = ("query_only = 1", "trusted_schema = 0", "temp_store = 2", f"hard_heap_limit = {HEAP_BYTES_MAX}")
"""The third: a sort that spills would create a file, so temporary data stays in memory."""
_LIMITS: Final = (
    (sqlite3.SQLITE_LIMIT_LENGTH, VALUE_BYTES_MAX),
    (sqlite3.SQLITE_LIMIT_SQL_LENGTH, 64 << 10),
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
_LISTING: Final = (
    "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND substr(name, 1, 7) <> 'sqlite_' ORDER BY name"
)
_WAL: Final = b"\x02\x02"


@frozen(kw_only=True)
class Bounds:
    """How much one query may take."""

    steps: int = STEPS_MAX
    """Steps of SQLite's machine."""
    seconds: float = SECONDS_MAX
    """Time, for what steps do not count."""


def run(path: Path, asked: Asked, bounds: Bounds, rewrite: Callable[[str], str] | None) -> str:
    """Answer *asked* from the file *path* as text. Raises `ToolFailed`, with SQLite's own words where it has any.

    With *rewrite*, SQLite first reads the statement as it was written, and then runs what *rewrite* makes of it.
    """
    with closing(_connect(path)) as connection:
        schema = _Schema.of(connection)
        if asked.kind == "tables":
            return listing(schema.tables)
        if asked.kind == "describe":
            return schema.describe(connection, asked.text)
        return _select(connection, schema, asked.text, bounds, rewrite)


def _connect(path: Path) -> sqlite3.Connection:
    if path.exists() and not path.is_file():
        raise ToolFailed("the database cannot be read: it is no file", hint="check the path that its name stands for")
    try:
        with path.open("rb") as file:
            head = file.read(20)
    except OSError as error:
        hint = "check the path that its name stands for"
        raise ToolFailed(f"the database cannot be read: {error.strerror}", hint=hint) from error
    if head[18:20] == _WAL:
        hint = "switch it over with PRAGMA journal_mode=DELETE, or give a copy"
        raise ToolFailed("the database is in WAL mode, where even reading creates files beside it", hint=hint)
    try:
        return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
    except sqlite3.Error as error:
        raise ToolFailed(f"the database cannot be opened: {error}", hint="is it a SQLite file?") from error


@frozen(kw_only=True)
class _Schema:
    tables: tuple[str, ...]
    """Tables and views."""
    readable: frozenset[str]
    """Their names in lower case."""
    modules: frozenset[str]
    """Virtual tables that are there without being made: some of them read more than the database."""

    @classmethod
    def of(cls, connection: sqlite3.Connection) -> _Schema:
        """Set the connection up and see what there is, before the authorizer hides it."""
        try:
            for setting in _SETTINGS:
                connection.execute(f"PRAGMA {setting}")
            tables = tuple([name for (name,) in connection.execute(_LISTING)])
            modules = frozenset([name.lower() for (name,) in connection.execute("PRAGMA module_list")])
        except sqlite3.Error as error:
            raise ToolFailed(f"the database cannot be read: {error}", hint="is it a SQLite file?") from error
        return cls(tables=tables, readable=frozenset([name.lower() for name in tables]), modules=modules)

    def describe(self, connection: sqlite3.Connection, name: str) -> str:
        known = {table.lower(): table for table in self.tables}
        table = known.get(name.lower())
        if table is None:
            raise no_such_table(name, self.tables)
        quoted = table.replace('"', '""')
        try:
            columns = connection.execute(f'PRAGMA table_info("{quoted}")').fetchall()
        except sqlite3.Error as error:  # a view whose table is gone
            raise ToolFailed(str(error), hint=f"there are {', '.join(self.tables)}") from error
        return description([(column, kind, not required, bool(key)) for _, column, kind, required, _, key in columns])

    def authorize(self, action: int, one: str | None, two: str | None, *_: str | None) -> int:
        """Allow reading what is known, with functions that are known; deny everything else."""
        if action == sqlite3.SQLITE_SELECT:
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_READ and self._may_read((one or "").lower(), two or ""):
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_FUNCTION and (two or "").lower() in FUNCTIONS:
            return sqlite3.SQLITE_OK
        return sqlite3.SQLITE_DENY

    def _may_read(self, table: str, column: str) -> bool:
        """Tell whether a column may be read. Without a column, the table may be the name of a subquery."""
        if table in self.readable:
            return True
        return not column and table not in self.modules and not table.startswith(("pragma_", "sqlite_"))


class _Budget:
    """The steps a query has left."""

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self.left = bounds.steps
        self.late = False
        self.problem: ToolFailed | None = None

    def step(self) -> int:
        self.left -= _STEPS_BETWEEN
        return int(self.left < 0)

    def like(self, pattern: Any, text: Any, escape: Any = None) -> int | None:
        """Answer LIKE: SQLite's own takes one step, however long it works."""
        if pattern is None or text is None:
            return None
        if isinstance(pattern, bytes) or isinstance(text, bytes):
            return 0
        pattern, text = str(pattern), str(text)
        self.left -= len(pattern) * len(text)
        try:
            if self.left < 0:
                raise self.spent()
            return int(like(pattern, text, None if escape is None else str(escape)))
        except ToolFailed as error:
            self.problem = error  # SQLite passes on that there was an exception, and not which
            raise

    def spent(self) -> ToolFailed:
        return ToolFailed(f"the query needs more than {self.bounds.steps:,} steps", hint="narrow it down")

    @contextmanager
    def clock(self, connection: sqlite3.Connection) -> Iterator[None]:
        """Interrupt what takes longer than it may."""

        def interrupt() -> None:
            self.late = True
            connection.interrupt()

        timer = Timer(self.bounds.seconds, interrupt)
        timer.start()
        try:
            yield
        finally:
            # The connection is closed next, so the timer must have ended.
            timer.cancel()
            timer.join()

    def failure(self, error: Exception) -> ToolFailed:
        """Return the failure that *error* stands for."""
        if self.problem is not None:
            return self.problem
        if self.left < 0:
            return self.spent()
        if self.late:
            return ToolFailed(f"the query needs more than {self.bounds.seconds:g} seconds", hint="narrow it down")
        if "not authorized" in str(error) or "prohibited" in str(error):
            return refused(str(error))
        return ToolFailed(str(error), hint="check the statement against the tables: DESCRIBE <table>")


def _select(
    connection: sqlite3.Connection, schema: _Schema, statement: str, bounds: Bounds, rewrite: Callable[[str], str] | None
) -> str:
    budget = _Budget(bounds)
    for arguments in (2, 3):
        connection.create_function("like", arguments, budget.like, deterministic=True)
    for name, bound in _LIMITS:
        connection.setlimit(name, bound)
    connection.set_authorizer(schema.authorize)
    connection.set_progress_handler(budget.step, _STEPS_BETWEEN)
    try:
        with budget.clock(connection):
            if rewrite is not None:
                # Compiled and not run: what is wrong with it is told in SQLite's words and of the text as it was written.
                connection.execute(f"EXPLAIN {statement}").close()
                statement = rewrite(statement)
            cursor = connection.execute(statement)
            return result_text([column[0] for column in cursor.description or ()], cursor)
    except MemoryError:
        raise ToolFailed("the query needs too much memory", hint="narrow it down, or sort less") from None
    except (sqlite3.Error, sqlite3.Warning, UnicodeError) as error:
        raise budget.failure(error) from None
