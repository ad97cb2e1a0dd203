"""A second reader of every statement, and the first that understands it: sqlglot.

What is sent is never the text that came in but what this reader makes of it, so that nothing reaches a database that two readers
could take for different things: no comment, no second statement. What goes out is read once more, and each part of it must be of
a kind that is listed here.

For SQLite, whose authorizer has the last word, the text is put together again from its tokens, because what the reader writes
from its tree may mean something else (``CAST(x AS DECIMAL)`` would come out as REAL). For MariaDB, where nobody else asks, it is
written from the tree: there no quoting of the text's own may survive.

The reader is fast on ordinary statements and exponential on some others (a chain of outer joins without conditions), and it nests
as deep as a statement does, so its calls are counted and bounded. It works on a thread of its own, because a thread has one
profiler, and so that its depth does not depend on who asks.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, Literal

from frameengine.errors import ToolFailed
from frameengine.tools.sql.asked import refused

if TYPE_CHECKING:
    from sqlglot import exp

Dialect = Literal["sqlite", "mysql"]

CALLS_MAX: Final = 500_000
"""Calls of the reader for one statement: an ordinary one takes some thousands."""

KINDS: Final = frozenset(
    (
        # The shape of a query.
        "Select Union Except Intersect Subquery With CTE From Table TableAlias TableColumn Join Where Group Rollup Having Order "
        "Ordered Limit Offset Distinct Alias Column Identifier Star Tuple Values Window WindowSpec Filter "
        # Values and operators.
        "Literal Null Boolean Neg Paren And Or Xor Not EQ NEQ GT GTE LT LTE NullSafeEQ NullSafeNEQ Is In "
        "Between Like Escape Exists All Any Add Sub Mul Div IntDiv Mod DPipe BitwiseAnd BitwiseOr BitwiseXor BitwiseNot "
        "BitwiseLeftShift BitwiseRightShift Case If Cast DataType DataTypeParam Interval Var Collate"
    ).split()
)
"""What a query may be made of, for every database; by name, because another version of the reader may not have all of them."""
FUNCTIONS: Final = frozenset(
    (
        "Abs Avg Ceil Coalesce Concat ConcatWs Count CumeDist Date DateAdd DateDiff DateSub Day DayOfMonth DayOfWeek DayOfYear "
        "Dayname DenseRank Extract FirstValue Floor Greatest GroupConcat Hour Lag LastDay LastValue Lead Least Left Length Lower "
        "Max Min Minute Month NthValue Ntile Nullif PercentRank Pow Quarter Rank Right Round RowNumber Second Sign Sqrt "
        "StddevPop StddevSamp StrPosition StrToDate Substring Sum TimeToStr TimestampDiff Trim Trunc TsOrDsToDate "
        "TsOrDsToTimestamp Upper Variance VariancePop Week Year"
    ).split()
)
"""What a query on MariaDB may call: its server has nobody else who asks. (SQLite's authorizer decides on functions itself.)

Neither list has hexadecimal numbers: written anew, they would be texts.
"""

DEPTH_MAX: Final = 600
"""Calls of the reader within each other: about 25 pairs of brackets. A profiler must not get near Python's own bound."""

_ENTER: Final = ("call", "c_call")
_THREAD: Final = "frameengine-sql"


class _TooMuchError(BaseException):
    """The reader has passed a bound; nothing of the reader's catches this one."""


@lru_cache(maxsize=1)
def version() -> str | None:
    """Return the version of the reader, or None where there is none that can be used.

    The compiled form of it cannot: it makes no calls that could be counted, and nests until the process dies.
    """
    if find_spec("sqlglot") is None or find_spec("sqlglotc") is not None:
        return None
    try:
        return version_of("sqlglot")
    except PackageNotFoundError:
        return None


def for_sqlite(statement: str) -> str:
    """Return *statement* put together again from its tokens. Raises `ToolFailed` where it is no plain query."""
    return _apart(partial(_checked, statement, "sqlite", _joined, ""))


def for_mariadb(statement: str, database: str, rows: int) -> str:
    """Return *statement* as the reader writes it, for at most *rows* rows. Raises `ToolFailed` where it is no plain query.

    A table may be of *database* only, which is what the connection is on.
    """
    return _apart(partial(_checked, statement, "mysql", partial(_written, rows=rows), database))


def _apart(work: Callable[[], str]) -> str:
    """Do *work* on a thread of its own, its calls counted. Raises `ToolFailed`."""

    def counted() -> str:
        from sqlglot.errors import SqlglotError

        logging.getLogger("sqlglot").addFilter(_QUIET)
        sys.setprofile(_Bounded())
        try:
            return work()
        except _TooMuchError as error:
            raise refused(f"the statement is {error} for the second reader") from None
        except SqlglotError as error:
            raise refused(f"the second reader cannot parse the statement{_place(error)}") from None
        finally:
            sys.setprofile(None)

    with ThreadPoolExecutor(1, thread_name_prefix=_THREAD) as pool:
        return pool.submit(counted).result()


class _Quiet(logging.Filter):
    """Drops what the reader would write to the terminal about statements that came from outside."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether *record* is of another thread."""
        return not (record.threadName or "").startswith(_THREAD)


_QUIET: Final = _Quiet()


class _Bounded:
    """Counts the calls of a thread, as its profiler."""

    def __init__(self) -> None:
        self._calls = self._depth = 0

    def __call__(self, _: object, event: str, __: object) -> None:
        if event in _ENTER:
            self._calls += 1
            self._depth += 1
            if self._calls > CALLS_MAX:
                raise _TooMuchError("too involved")
            if self._depth > DEPTH_MAX:
                raise _TooMuchError("nested too deep")
        else:
            self._depth -= 1


def _checked(statement: str, dialect: Dialect, rewrite: Callable[[str], str], database: str) -> str:
    sent = rewrite(statement)
    if rewrite(sent) != sent:
        raise refused("the second reader reads what it wrote in another way")
    _check(_parsed(sent, dialect), dialect, database)
    return sent


def _parsed(statement: str, dialect: Dialect) -> exp.Query:
    import sqlglot
    from sqlglot import exp

    # A comment behind the last semicolon comes as a tree of its own.
    trees = [tree for tree in sqlglot.parse(statement, dialect=dialect) if not isinstance(tree, exp.Semicolon | None)]
    if len(trees) != 1:
        raise refused("there must be one statement")
    if not isinstance(trees[0], exp.Select | exp.SetOperation):
        raise refused(f"{trees[0].key.upper()} is no query")
    return trees[0]


def _joined(statement: str) -> str:
    from sqlglot import tokenize

    parts: list[str] = []
    end = 0
    for token in tokenize(statement, "sqlite"):
        parts += [" " * (bool(parts) and token.start > end), statement[token.start : token.end + 1]]
        end = token.end + 1
    return "".join(parts)


def _written(statement: str, rows: int) -> str:
    from sqlglot.errors import ErrorLevel

    tree = _parsed(statement, "mysql")
    limit = tree.args.get("limit")
    if limit is None or (limit.expression.is_int and int(limit.expression.name) > rows):
        tree = tree.limit(rows)
    # In quotes, a name is never a function that needs no brackets.
    return tree.sql("mysql", comments=False, identify=True, unsupported_level=ErrorLevel.RAISE)


def _check(tree: exp.Query, dialect: Dialect, database: str) -> None:
    from sqlglot import exp

    for node in tree.walk():
        kind = type(node).__name__
        if kind not in KINDS | FUNCTIONS and (dialect == "mysql" or not isinstance(node, exp.Func | exp.HexString | exp.Glob)):
            raise refused(f"{_name(node)} is not allowed")
        if isinstance(node, exp.Table) and not (isinstance(node.this, exp.Identifier) and _is_of(node, dialect, database)):
            raise refused(f"{node.sql(dialect)} is no table of this database")


def _is_of(table: exp.Table, dialect: Dialect, database: str) -> bool:
    return not table.catalog and (not table.db or dialect == "sqlite" or table.db == database)


def _name(node: Any) -> str:
    return str(node.name if type(node).__name__ == "Anonymous" else type(node).__name__).upper()


def _place(error: Exception) -> str:
    for found in getattr(error, "errors", ()):
        return f" at line {found['line']}, column {found['col']}" if found.get("line") else ""
    return ""


def need() -> None:
    """Raise `ToolFailed` where there is no reader that can be used, for a database that must not be without."""
    if version() is None:
        raise ToolFailed(
            "MariaDB is queried through sqlglot only, in its uncompiled form",
            hint="pip install 'frameengine[mariadb]', and leave sqlglotc out",
        )
