"""Query a MariaDB server with a user that can only read.

The server has no authorizer, so four things stand side by side: every statement goes through the second reader (`guard`), the
user's grants are asked for and must be those of a reader, the session and its transaction are read-only, and the server ends what
takes too long. The statement is sent with a LIMIT of its own, and rows are fetched one by one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

from attrs import field, frozen

from frameengine.errors import ToolFailed, UsageError
from frameengine.tools.sql.asked import Asked
from frameengine.tools.sql.guard import for_mariadb, need
from frameengine.tools.sql.result import ROWS_MAX, description, listing, no_such_table, result_text

if TYPE_CHECKING:
    from pymysql.connections import Connection

SCHEME: Final = "mariadb://"
PORT: Final = 3306
INSTALL: Final = "pip install 'frameengine[mariadb]'"

_READING: Final = frozenset(("USAGE", "SELECT", "SHOW VIEW"))
_GRANT: Final = re.compile(r"GRANT (?P<privileges>.*?) ON .*?(?P<more> WITH GRANT OPTION)?", re.DOTALL)
_COLUMNS: Final = re.compile(r"\([^)]*\)")
_SETTINGS: Final = (
    # How text and numbers are read must not depend on the server's settings: the second reader reads them in this way.
    "sql_mode = 'STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'",
    "time_zone = '+00:00'",
    "max_statement_time = {seconds}",
    f"max_session_mem_used = {256 << 20}",
    f"tmp_disk_table_size = {256 << 20}",
    f"group_concat_max_len = {16 << 10}",
)
_READ_ONLY: Final = ("SET SESSION TRANSACTION READ ONLY", "START TRANSACTION READ ONLY")
_TABLES: Final = "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()"
_COLUMNS_OF: Final = (
    "SELECT column_name, column_type, is_nullable, column_key FROM information_schema.columns "
    "WHERE table_schema = DATABASE() AND table_name = %s ORDER BY ordinal_position"
)
_TIMED_OUT: Final = 1969
_SLACK_SECONDS: Final = 5.0


@frozen(kw_only=True)
class MariaDb:
    """A database of a MariaDB server, and who reads it. Its password is in no text that this class gives."""

    user: str
    """A user that may SELECT, and nothing more."""
    name: str
    """Name of the database."""
    host: str = "localhost"
    """Name or address of the server."""
    port: int = PORT
    """Its port."""
    socket: str = ""
    """Path of its socket, instead of host and port."""
    password: str = field(default="", repr=False)
    """The user's password."""

    @classmethod
    def of(cls, url: str) -> MariaDb:
        """Return what ``mariadb://USER@HOST[:PORT]/NAME`` or ``mariadb://USER@/NAME?socket=PATH`` says. Raises `UsageError`."""
        hint = "write mariadb://USER@HOST/NAME or mariadb://USER@/NAME?socket=PATH"
        try:
            parts = urlsplit(url)
            if parts.password is not None:
                raise UsageError(
                    "a password does not stand in the address of a database",
                    hint="leave it out, and set FRAMEENGINE_PASSWORD_<NAME>, with the name that the scenario gives the database",
                )
            options = parse_qs(parts.query, strict_parsing=True) if parts.query else {}
            socket = options.pop("socket", [""])[-1]
            port = parts.port or PORT
        except ValueError as error:
            raise UsageError(f"{url} is no address of a database: {error}", hint=hint) from error
        name = unquote(parts.path.removeprefix("/"))
        if parts.scheme != "mariadb" or not parts.username or not name or options or parts.fragment:
            raise UsageError(f"{url} is no address of a database", hint=hint)
        return cls(user=unquote(parts.username), name=name, host=parts.hostname or "localhost", port=port, socket=socket)

    def check_installed(self) -> None:
        """Raise `ToolFailed` where something is missing that MariaDB cannot be queried without."""
        if find_spec("pymysql") is None:
            raise ToolFailed("MariaDB is queried with PyMySQL, which is not installed", hint=INSTALL)
        need()


def run(database: MariaDb, asked: Asked, seconds: float) -> str:
    """Answer *asked* as text. Raises `ToolFailed`, with the server's own words where it has any."""
    database.check_installed()
    from pymysql.err import MySQLError

    statement = for_mariadb(asked.text, database.name, ROWS_MAX + 1) if asked.kind == "select" else ""
    try:
        with closing(_connect(database, seconds)) as connection:
            if asked.kind == "select":
                return _select(connection, statement)
            tables = sorted([str(name) for (name,) in _rows(connection, _TABLES)])
            if asked.kind == "tables":
                return listing(tables)
            return _describe(connection, asked.text, tables)
    except MySQLError as error:
        raise _failure(error, seconds) from None
    except UnicodeError as error:
        raise ToolFailed(f"the result cannot be read: {error.reason if hasattr(error, 'reason') else error}") from None


def _failure(error: Exception, seconds: float) -> ToolFailed:
    number, words = error.args if len(error.args) == 2 else (0, str(error))
    if number == _TIMED_OUT:
        return ToolFailed(f"the query needs more than {seconds:g} seconds", hint="narrow it down")
    return ToolFailed(str(words), hint="check the statement against the tables: DESCRIBE <table>", number=number)


def _connect(database: MariaDb, seconds: float) -> Connection[Any]:
    """Return a connection that can only read, in a transaction that can only read."""
    import pymysql
    from pymysql.converters import encoders
    from pymysql.cursors import SSCursor

    if database.socket and not Path(database.socket).exists():
        raise ToolFailed(f"no server listens at {database.socket}", hint="start the server, or correct the address")
    connection = pymysql.connect(
        user=database.user,
        password=database.password,
        database=database.name,
        host=database.host,
        port=database.port,
        unix_socket=database.socket or None,
        charset="utf8mb4",
        cursorclass=SSCursor,
        conv=encoders,  # and no decoders: values as the server writes them
        connect_timeout=_SLACK_SECONDS,
        read_timeout=seconds + _SLACK_SECONDS,
        write_timeout=_SLACK_SECONDS,
        local_infile=False,
    )
    try:
        for statement in (f"SET SESSION {', '.join(_SETTINGS)}".format(seconds=seconds), *_READ_ONLY):
            _rows(connection, statement)
        _check_grants(database, [str(line) for (line,) in _rows(connection, "SHOW GRANTS")])
    except BaseException:
        connection.close()
        raise
    return connection


def _check_grants(database: MariaDb, lines: list[str]) -> None:
    """Raise `ToolFailed` where the user may do more than read. What the server says is not repeated: it has password hashes."""
    for line in lines:
        grant = _GRANT.fullmatch(line.partition(" IDENTIFIED ")[0])
        if grant is None:
            continue  # a role: what it gives stands in lines of its own
        privileges = [name.strip() for name in _COLUMNS.sub("", grant["privileges"]).split(",")]
        more = sorted(set(privileges) - _READING) + (["GRANT OPTION"] if grant["more"] else [])
        if more:
            raise ToolFailed(
                f"refused: the user {database.user!r} may do more than read: {', '.join(more)}",
                hint=f"CREATE USER … ; GRANT SELECT ON {database.name}.* TO … ; and name that one",
            )


def _rows(connection: Connection[Any], statement: str, arguments: tuple[str, ...] = ()) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, arguments or None)
        return list(cursor.fetchall()) if cursor.description else []


def _select(connection: Connection[Any], statement: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        names = [column[0] for column in cursor.description or ()]
        return result_text(names, _one_by_one(cursor), lambda: _warnings(connection, cursor))


def _warnings(connection: Connection[Any], cursor: Any) -> list[str]:
    """Return what the server has to say of a result: that it stopped a recursion, or cut a text, it says here only."""
    cursor.close()
    return list(dict.fromkeys([str(words) for _, _, words in connection.show_warnings()]))


def _one_by_one(cursor: Any) -> Iterator[tuple[Any, ...]]:
    while (row := cursor.fetchone()) is not None:
        yield row


def _describe(connection: Connection[Any], name: str, tables: list[str]) -> str:
    table = name if name in tables else {known.lower(): known for known in tables}.get(name.lower())
    if table is None:
        raise no_such_table(name, tables)
    rows = _rows(connection, _COLUMNS_OF, (table,))
    return description([(column, kind, nullable == "YES", key == "PRI") for column, kind, nullable, key in rows])
