"""The tool as a registry knows it: which databases there are, and who answers for which."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from attrs import field, frozen

from frameengine.errors import ToolFailed
from frameengine.jsonvalue import FrozenMap, freeze
from frameengine.tools.registry import ToolRegistry
from frameengine.tools.sql import asked, guard, mariadb, sqlite
from frameengine.tools.sql.mariadb import MariaDb

NAME: Final = "query_db"
SCHEMA: Final[FrozenMap] = freeze(
    {
        "description": "Run one read-only statement (SELECT, DESCRIBE <table> or SHOW TABLES); returns tab-separated text.",
        "parameters": {
            "type": "object",
            "properties": {
                "query": {"type": "string", "description": "The statement, in the dialect of the database."},
                "database": {"type": "string", "description": "Name of the database."},
            },
            "required": ["query", "database"],
            "additionalProperties": False,
        },
    }
)

Database = Path | MariaDb
"""A SQLite file, or a database of a MariaDB server."""


def database_of(text: str, folder: Path | None = None) -> Database:
    """Return the database that *text* names: a path, relative to *folder*, or an address. Raises `UsageError`."""
    if text.lower().startswith(mariadb.SCHEME):
        return MariaDb.of(text)
    return (folder or Path()) / text


@frozen
class SqlTool:
    """Read-only queries on a few named databases."""

    databases: Mapping[str, Database]
    """Name -> database. A model names a database, never a file or an address."""
    bounds: sqlite.Bounds = field(factory=sqlite.Bounds, kw_only=True)
    """How much one query may take."""
    second_reader: str | None = field(factory=guard.version, kw_only=True)
    """Version of sqlglot, where it reads every statement too; None where it is not installed. MariaDB is not queried without."""

    @property
    def layers(self) -> str:
        """What stands between a model and the data, for a trace's provenance."""
        kinds = [type(database) for database in self.databases.values()]
        own = [] if kinds and all(kind is MariaDb for kind in kinds) else ["SQLite's authorizer"]
        server = ["read-only user and session"] if MariaDb in kinds else []
        return ", ".join([*own, *server, *([f"sqlglot {self.second_reader}"] if self.second_reader else [])])

    def __call__(self, query: str, database: str) -> str:
        """Return the result of one statement as text (`tools.table`); a note says where it was cut. Raises `ToolFailed`."""
        found = self.databases.get(database)
        if found is None:
            known = ", ".join(self.databases)
            raise ToolFailed(
                f"there is no database {database!r}", hint=f"known are {known}", database=database, known=list(self.databases)
            )
        what = asked.read(query)
        if isinstance(found, MariaDb):
            return mariadb.run(found, what, self.bounds.seconds)
        return sqlite.run(found, what, self.bounds, guard.for_sqlite if self.second_reader else None)


def register_sql(registry: ToolRegistry, databases: Mapping[str, Database]) -> SqlTool:
    """Add the tool ``query_db`` for *databases*; return it, with `SqlTool.layers` to say what guards them."""
    tool = SqlTool(databases)
    registry.register(NAME, tool, SCHEMA)
    return tool
