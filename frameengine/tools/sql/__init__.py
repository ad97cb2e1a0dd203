"""The tool ``query_db``: one read-only statement on a SQLite file or a MariaDB server."""

from frameengine.tools.sql.mariadb import MariaDb
from frameengine.tools.sql.tool import NAME, SCHEMA, Database, SqlTool, database_of, register_sql

__all__ = ["NAME", "SCHEMA", "Database", "MariaDb", "SqlTool", "database_of", "register_sql"]
