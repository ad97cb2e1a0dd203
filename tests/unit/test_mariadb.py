"""The same query on MariaDB, against a server of the tests' own: what it answers, and that it only reads (C86, W07, T6-T8)."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import evolve

from frameengine.effects import Call, EffectKey, ToolCall
from frameengine.engine.stops import Ask
from frameengine.errors import ToolFailed, UsageError
from frameengine.performers.live import Live
from frameengine.tools.registry import ToolRegistry
from frameengine.tools.sql import MariaDb, SqlTool, database_of, guard, mariadb, register_sql
from frameengine.tools.sql.asked import Asked
from frameengine.tools.sql.result import RESULT_BYTES_MAX, ROWS_MAX
from frameengine.tools.sql.sqlite import Bounds
from frameengine.tools.table import format_line, parse_table
from frameengine.trace.reader import TraceReader
from frameengine_cli.app import execute
from mariadb_server import NoServer, Server, running
from sql_corpus import HARMLESS, refused, variants

# One server for all of them, in whichever process they run.
pytestmark = pytest.mark.xdist_group("mariadb")

PASSWORD = "open sesame"
SCHEMA = (
    "CREATE TABLE items (id INT PRIMARY KEY, name VARCHAR(50) NOT NULL, price DECIMAL(8, 2), made DATE, seen DATETIME, raw BLOB)",
    "INSERT INTO items SELECT seq, CONCAT('Item ', seq, '\t', seq % 7), seq / 2, NULL, NULL, NULL FROM seq_1_to_3000",
    "UPDATE items SET made = '2024-01-31' + INTERVAL id DAY, seen = '2024-02-29 10:11:12', raw = x'00ff'",
    "CREATE VIEW cheap AS SELECT name FROM items WHERE price < 2",
    "CREATE TABLE `group` (a TEXT)",
    "INSERT INTO `group` VALUES ('--'), (NULL), ('\u00e9\U0001f600')",
    "CREATE TABLE large (id INT PRIMARY KEY, body LONGTEXT)",
    "INSERT INTO large SELECT seq, REPEAT('x', 1100000) FROM seq_1_to_2",
    "CREATE FUNCTION made() RETURNS INT DETERMINISTIC RETURN 1",
    f"CREATE USER reader@localhost IDENTIFIED BY '{PASSWORD}'",
    "GRANT SELECT ON shop.* TO reader@localhost",
)


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """Start a server with a shop in it, once for all tests; skip with the reason where none can be had."""
    try:
        with running() as started:
            started.run(*SCHEMA, database="shop")
            yield started
    except NoServer as error:
        # Where it can be had, a run that left these tests out would prove nothing.
        must = os.environ.get("CI") == "true" and os.geteuid() == 0 and shutil.which("apt-get")
        (pytest.fail if must else pytest.skip)(f"no MariaDB server: {error}")


@pytest.fixture
def database(server: Server) -> MariaDb:
    """Return the shop as its reader sees it."""
    return MariaDb(user="reader", name="shop", socket=str(server.socket), password=PASSWORD)


@pytest.fixture
def tool(database: MariaDb) -> SqlTool:
    """Return the tool on the shop."""
    return SqlTool({"shop": database})


def look(server: Server) -> dict[str, object]:
    """Return what there is on the server: tables and their checksums, users, functions, settings, and files beside its own."""
    names = [name for (name,) in server.run("SELECT table_name FROM information_schema.tables WHERE table_schema = 'shop'")]
    own = ("ib", "aria", "#", "log", "ddl")
    files = [str(path.relative_to(server.data)) for path in sorted(server.data.rglob("*")) if not path.name.startswith(own)]
    return {
        "tables": sorted(names),
        "sums": server.run(f"CHECKSUM TABLE {', '.join([f'shop.`{name}`' for name in sorted(names)])}"),
        "databases": server.run("SHOW DATABASES"),
        "users": server.run("SELECT User, Host FROM mysql.global_priv ORDER BY 1, 2"),
        "routines": server.run("SELECT routine_name FROM information_schema.routines WHERE routine_schema = 'shop'"),
        "logging": server.run("SELECT @@global.general_log, @@global.sql_mode"),
        "files": files,
    }


def accepted(tool: SqlTool, statement: str) -> bool:
    """Run a statement; tell whether it was answered."""
    try:
        tool(statement, "shop")
    except ToolFailed:
        return False
    return True


@pytest.mark.parametrize(
    ("statement", "result"),
    [
        ("SELECT name, price FROM items WHERE id = 1", "name\tprice\nItem 1\\t1\t0.50"),
        ("SELECT made, seen, raw FROM items WHERE id = 1", "made\tseen\traw\n2024-02-01\t2024-02-29 10:11:12\tx'00ff'"),
        ("select count(*) as n from items a join items b on a.id = b.id -- end", "n\n3000"),
        ("WITH few AS (SELECT id FROM items WHERE id < 4) SELECT COUNT(*) AS n FROM few;", "n\n3"),
        ("SELECT a FROM `group` ORDER BY a IS NULL, a", "a\n\\--\n\u00e9\U0001f600\nNULL"),
        ("SELECT DATE_FORMAT(made, '%Y-%m') AS m, SUM(price) AS s FROM items WHERE id <= 29 GROUP BY m", "m\ts\n2024-02\t217.50"),
        ("SELECT IFNULL(NULL, 'x') AS a, IF(1 > 2, 'y', 'z') AS b, 7 DIV 2 AS c, 7 / 2 AS d", "a\tb\tc\td\nx\tz\t3\t3.5000"),
        ("SELECT id, ROW_NUMBER() OVER (ORDER BY id DESC) AS r FROM items ORDER BY id DESC LIMIT 1", "id\tr\n3000\t1"),
        ("SELECT 1 AS n UNION SELECT 2 ORDER BY n DESC", "n\n2\n1"),
        ("SELECT COUNT(*) AS n FROM shop.cheap", "n\n3"),
        ("SELECT 'a\\'b' AS q, 'c\\\\d' AS r, \"e\" AS s", "q\tr\ts\na'b\tc\\\\d\te"),
        ("SHOW /* all */ TABLES", "table\ncheap\ngroup\nitems\nlarge"),
        ("describe Large", "column\ttype\tnull\tkey\nid\tint(11)\tno\tprimary\nbody\tlongtext\tyes\t"),
        ("DESC `cheap`", "column\ttype\tnull\tkey\nname\tvarchar(50)\tno\t"),
    ],
)  # fmt: skip
def test_reading(tool: SqlTool, statement: str, result: str) -> None:
    """Selections and looks at the schema have the text form that they have on SQLite, values as the server writes them."""
    assert tool(statement, "shop") == result


EXPRESSIONS = (
    "ABS(-price), CEIL(price), CEILING(2.1), FLOOR(price), ROUND(price, 1), ROUND(2.5), SIGN(-2), MOD(7, 3)",
    "7 % 3, -7 DIV 2, 7 / 2",
    "POW(2, 3), POWER(2, 0.5), SQRT(2), TRUNCATE(2.77, 1), GREATEST(1, 3, 2), LEAST('b', 'a'), 1 << 4, 6 & 3",
    "6 | 1, 6 ^ 3, ~0",
    "LOWER(name), UPPER(name), LENGTH('\u00e9'), CHAR_LENGTH('\u00e9'), SUBSTR(name, 2, 3), SUBSTRING(name, -2)",
    "LEFT(name, 2), RIGHT(name, 2)",
    "TRIM('  a '), LTRIM('  a '), RTRIM(' a  '), TRIM(LEADING 'x' FROM 'xax'), CONCAT('a', NULL)",
    "CONCAT_WS('-', 'a', NULL, 'b')",
    "INSTR('abc', 'c'), LOCATE('c', 'abc'), LOCATE('b', 'abcb', 3), name LIKE 'item 1_%', name NOT LIKE '%x'",
    "'a!%' LIKE 'a!%' ESCAPE '!'",
    "YEAR(made), MONTH(made), DAY(made), DAYOFMONTH(made), QUARTER(made), WEEK(made), WEEK(made, 1)",
    "DAYOFWEEK(made), DAYOFYEAR(made)",
    "DATE(seen), HOUR(seen), MINUTE(seen), SECOND(seen), LAST_DAY(made), DAYNAME(made), MONTHNAME(made)",
    "EXTRACT(YEAR FROM made)",
    "DATE_FORMAT(made, '%Y-%m'), DATE_FORMAT(seen, '%d.%m.%y %H:%i:%s'), DATE_FORMAT(made, '%M %e, %W')",
    "STR_TO_DATE('3.2.2024', '%d.%m.%Y')",
    "DATEDIFF(made, '2024-01-01'), DATE_ADD(made, INTERVAL 1 MONTH), DATE_SUB(made, INTERVAL 3 DAY)",
    "made + INTERVAL 1 YEAR, made - INTERVAL 2 DAY",
    "TIMESTAMPDIFF(MONTH, '2023-01-01', made), TIMESTAMPDIFF(DAY, made, seen), DATE '2024-01-01'",
    "made < '2025-01-01', made = DATE(seen)",
    "IF(id > 1, 'a', 'b'), IFNULL(NULL, 2), NULLIF(1, 1), COALESCE(NULL, NULL, 3), CASE id WHEN 1 THEN 'x' END",
    "CASE WHEN id > 1 THEN 1 ELSE 0 END",
    "CAST('12.7' AS DECIMAL(6, 2)), CAST(2.7 AS SIGNED), CAST(3 AS UNSIGNED), CAST(7 AS CHAR)",
    "CONVERT('5', SIGNED), CAST('2024-01-01' AS DATE)",
    "1 = 1, 1 <> 2, 1 != 1, NULL <=> NULL, NOT 0, 1 XOR 1, 1 AND 0, 1 OR 0, 1 && 0, 1 || 0, id IS NULL",
    "id IS NOT NULL, 2 BETWEEN 1 AND 3, TRUE",
    "1 IN (1, 2), 1 NOT IN (2), (1, 2) = (1, 2), 5 NOT BETWEEN 1 AND 3, EXISTS (SELECT 1)",
    "NOT EXISTS (SELECT 1), 1 = ANY (SELECT 1), (SELECT 9)",
    "2 - -1, -(-2), - 1 + 2 * 3 % 4, (1 + 2) * 3, 10 - 4 - 3, 8 / 4 / 2, NOT 1 = 2, 1e3, .5, 5.",
    "9223372036854775807, 'a' 'b', 'it''s', 'a\\nb'",
    "'a' = 'A', 'a' COLLATE utf8mb4_bin = 'A', 'a\\\\b', '100%', '\\%', \"it's\", 'say \"a\"', 1 + '2'",
    "'x' < 'y' COLLATE utf8mb4_bin",
)
GATHERED = (
    "SELECT COUNT(*), COUNT(DISTINCT price), SUM(price), AVG(price), MIN(name), MAX(made), STD(id), STDDEV_SAMP(id) FROM items",
    "SELECT VARIANCE(id), VAR_SAMP(id), VAR_POP(id), GROUP_CONCAT(DISTINCT id % 5 ORDER BY id % 5 DESC SEPARATOR ';') FROM items",
    "SELECT id % 3 AS r, COUNT(*) FROM items GROUP BY r HAVING COUNT(*) > 1 ORDER BY 2 DESC, 1",
    "SELECT id % 3 AS r, COUNT(*) FROM items GROUP BY r WITH ROLLUP",
    "SELECT a.id, b.price FROM items a LEFT JOIN items b ON a.id = b.id + 1 AND b.id < 3 WHERE a.id < 5 ORDER BY a.id",
    "SELECT COUNT(*) FROM items a JOIN items b USING (id) CROSS JOIN (SELECT 1 AS one) c",
    "SELECT LAG(id, 2) OVER w, LEAD(id) OVER w, CUME_DIST() OVER w FROM items WHERE id < 9 WINDOW w AS (ORDER BY id)",
    "SELECT SUM(id) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW), FIRST_VALUE(id) OVER () FROM items LIMIT 9",
    "SELECT RANK() OVER (PARTITION BY id % 2 ORDER BY price), DENSE_RANK() OVER (ORDER BY id % 3) FROM items ORDER BY id LIMIT 9",
    "SELECT 1 UNION ALL SELECT 1 EXCEPT SELECT 2 INTERSECT SELECT 3",
    "SELECT DISTINCT id % 2 FROM items ORDER BY 1 LIMIT 1, 5",
)


def test_the_server_answers_what_was_asked(server: Server, tool: SqlTool) -> None:
    """What the second reader writes means what it read: the server gives the same values for both."""
    import pymysql
    from pymysql.converters import encoders

    statements = [*[f"SELECT {listed} FROM items WHERE id < 9 ORDER BY id" for listed in EXPRESSIONS], *GATHERED]
    connection = pymysql.connect(unix_socket=str(server.socket), user="root", database="shop", charset="utf8mb4", conv=encoders)
    try:
        with connection.cursor() as cursor:
            for setting in mariadb._SETTINGS:
                cursor.execute(f"SET SESSION {setting.format(seconds=60)}")
            for statement in statements:
                cursor.execute(statement)
                lines = [line for line in tool(statement, "shop").split("\n")[1:] if not line.startswith("-- ")]
                assert lines == [format_line(row) for row in cursor.fetchall()], statement
    finally:
        connection.close()


def test_nothing_that_is_accepted_has_an_effect(server: Server, tool: SqlTool) -> None:
    """T6, T7: the whole corpus, in every way of writing it, leaves data, users, settings and files as they were."""
    before = look(server)
    for _, statement in refused():
        for text in (statement, variants(statement)[0]):
            # What names a table that only SQLite has is a plain selection here, and fails.
            assert not accepted(tool, text), text[:200]
    for statement in HARMLESS:
        assert accepted(tool, statement), statement
    assert look(server) == before


def test_the_oracle_sees_what_a_weak_guard_lets_through(server: Server) -> None:
    """Power: what one who may write does without the reader shows in what the oracle looks at, a file beside the tables too."""
    before = look(server)
    try:
        for statement, undo in (
            ("UPDATE items SET price = 0 WHERE id = 1", "UPDATE items SET price = 0.50 WHERE id = 1"),
            ("CREATE TABLE made AS SELECT 1", "DROP TABLE made"),
            ("CREATE USER made", "DROP USER made"),
            ("SELECT 1 INTO OUTFILE 'made'", "SELECT 1"),
        ):
            server.run(statement, database="shop")
            assert look(server) != before
            server.run(undo, database="shop")
    finally:
        after = look(server)
    assert {**after, "files": ()} == {**before, "files": ()}


WRITES = ("DELETE FROM items", "CREATE TABLE made (a INT)", "SELECT 1 INTO OUTFILE 'made'", "SET GLOBAL general_log = 1")


@pytest.mark.parametrize("statement", WRITES)
def test_the_server_refuses_what_would_get_past_the_reader(
    server: Server, database: MariaDb, statement: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The layers do not lean on each other: the user's grants alone stop what a reader without eyes would send."""
    monkeypatch.setattr(mariadb, "for_mariadb", lambda statement, *_: statement)
    before = look(server)
    with pytest.raises(ToolFailed, match=r"denied|privilege|READ ONLY"):
        mariadb.run(database, Asked("select", statement), 5.0)
    assert look(server) == before


@pytest.mark.parametrize("statement", WRITES[:2])
def test_the_session_refuses_what_a_user_may_do(
    server: Server, database: MariaDb, statement: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does the session lean on the grants: a user who may do everything cannot write in it."""
    monkeypatch.setattr(mariadb, "for_mariadb", lambda statement, *_: statement)
    monkeypatch.setattr(mariadb, "_check_grants", lambda *_: None)
    before = look(server)
    with pytest.raises(ToolFailed, match="READ ONLY"):
        mariadb.run(evolve(database, user="root", password=""), Asked("select", statement), 5.0)
    assert look(server) == before


def test_a_user_who_may_write_is_refused(server: Server, database: MariaDb) -> None:
    """Whoever may do more than SELECT, by himself, by a role or as everybody, does not get to query; the error names no hash."""
    with pytest.raises(ToolFailed, match="'root' may do more than read: ALL PRIVILEGES, GRANT OPTION") as caught:
        mariadb.run(evolve(database, user="root", password=""), Asked("tables", ""), 5.0)
    assert "GRANT SELECT ON shop" in caught.value.hint
    for give, more, take in (
        ("GRANT INSERT ON shop.items TO reader@localhost", "INSERT", "REVOKE INSERT ON shop.items FROM reader@localhost"),
        (
            "GRANT UPDATE (price) ON shop.items TO reader@localhost", "UPDATE",
            "REVOKE UPDATE (price) ON shop.items FROM reader@localhost",
        ),
        ("GRANT FILE ON *.* TO reader@localhost", "FILE", "REVOKE FILE ON *.* FROM reader@localhost"),
        ("GRANT EXECUTE ON shop.* TO PUBLIC", "EXECUTE", "REVOKE EXECUTE ON shop.* FROM PUBLIC"),
        (
            "GRANT SELECT ON shop.* TO reader@localhost WITH GRANT OPTION", "GRANT OPTION",
            "REVOKE GRANT OPTION ON shop.* FROM reader@localhost",
        ),
    ):  # fmt: skip
        server.run(give)
        try:
            with pytest.raises(ToolFailed, match=f"may do more than read: {more}$") as caught:
                mariadb.run(database, Asked("tables", ""), 5.0)
            assert "*" not in caught.value.message
        finally:
            server.run(take)
    assert mariadb.run(database, Asked("select", "SELECT 1 AS n"), 5.0) == "n\n1"


def test_a_long_result_is_cut_and_says_so(tool: SqlTool) -> None:
    """T8: the bounds of rows and bytes are those of SQLite, whatever limit a statement has of its own, and a cut is flagged."""
    for statement in ("SELECT id FROM items ORDER BY id", "SELECT id FROM items ORDER BY id LIMIT 2500"):
        table = parse_table(tool(statement, "shop"))
        assert table is not None
        assert (len(table.rows), table.notes) == (ROWS_MAX, ("cut after 1,000 rows; there are more",))
    table = parse_table(tool(f"SELECT id FROM items ORDER BY id LIMIT {ROWS_MAX}", "shop"))
    assert table is not None
    assert (len(table.rows), table.notes) == (ROWS_MAX, ())
    wide = tool(f"SELECT id, '{'x' * 6_000}' AS wide FROM items", "shop")
    assert len(wide.encode()) <= RESULT_BYTES_MAX
    assert "\n-- cut after " in wide
    assert tool("SELECT * FROM large", "shop") == "id\tbody\n-- cut after 0 rows; there are more"


def test_what_takes_too_long_is_ended_by_the_server(database: MariaDb) -> None:
    """T8: a cross join and an endless sort end at their bound, and the next query is answered."""
    tool = SqlTool({"shop": database}, bounds=Bounds(seconds=0.3))
    for statement in (
        "SELECT COUNT(*) FROM items a, items b, items c",
        "SELECT a.name FROM items a, items b, items c ORDER BY CONCAT(c.name, b.name)",
    ):
        with pytest.raises(ToolFailed, match=r"more than 0\.3 seconds|is full"):
            tool(statement, "shop")
    assert tool("SELECT 1 AS n", "shop") == "n\n1"


def test_what_the_server_cut_is_flagged(tool: SqlTool) -> None:
    """Where the server stops a recursion or cuts a text it says so in a warning only, and the warning comes with the result."""
    endless = tool("WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r) SELECT COUNT(*) AS n FROM r", "shop")
    assert "\n-- Query execution was interrupted." in endless
    assert "may be incomplete" in endless
    cut = parse_table(tool("SELECT LENGTH(GROUP_CONCAT(name, name)) AS n FROM items", "shop"))
    assert cut is not None
    assert (cut.rows, len(cut.notes)) == ((("16384",),), 1)
    assert "was cut by" in cut.notes[0]
    odd = parse_table(tool("SELECT name + 1 AS n FROM items WHERE id < 9", "shop"))
    assert odd is not None
    assert 0 < len(odd.notes) <= 4
    assert all(note.startswith("Truncated incorrect DOUBLE value") for note in odd.notes)


def test_errors_are_those_of_the_server_and_nothing_raises_through(database: MariaDb, tmp_path: Path) -> None:
    """C87: a failing query is an outcome `error` with the server's own words, whether the statement or the server fails."""
    gone = evolve(database, socket=str(tmp_path / "gone"))
    shut = evolve(database, socket="", host="127.0.0.1", port=1)
    registry = ToolRegistry()
    register_sql(registry, {"shop": database, "gone": gone, "shut": shut, "locked": evolve(database, password="wrong")})
    for name, statement, words in (
        ("shop", "SELECT prize FROM items", "Unknown column 'prize' in 'SELECT'"),
        ("shop", "SELECT * FROM itms", "Table 'shop.itms' doesn't exist"),
        ("shop", "DESCRIBE itms", "no such table: itms"),
        ("shop", "DELETE FROM items", "refused: only SELECT, DESCRIBE <table> and SHOW TABLES are allowed"),
        ("gone", "SELECT 1", "no server listens at"),
        ("shut", "SELECT 1", "Can't connect to MySQL server on '127.0.0.1'"),
        ("locked", "SELECT 1", "Access denied for user 'reader'@'localhost' (using password: YES)"),
    ):
        call = Call.of(EffectKey(1, 1, "thinker", 0), ToolCall("query_db", {"query": statement, "database": name}))
        (answer,) = Live(tools=registry).perform(Ask((call,), {call.key: call}))
        assert answer.outcome.status == "error"
        assert answer.outcome.error is not None
        assert answer.outcome.error.type == "effect.tool"
        assert answer.outcome.error.message.startswith(words)
        assert PASSWORD not in str(answer.outcome)


SCENARIO = """
graph = "tool-loop"

[[inputs]]
type = "UserMessage"
text = "How many items are there?"

[[model.model]]
content = ""
[[model.model.tool_calls]]
id = "1"
type = "function"
[model.model.tool_calls.function]
name = "query_db"
arguments = '{"query": "SELECT COUNT(*) AS n FROM items", "database": "shop"}'

[[model.model]]
content = "There are 3,000."

[tools.databases]
shop = "mariadb://reader@/shop?socket=SOCKET"
"""


def test_a_scenario_runs_on_the_server_and_replays_without_it(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """C86: `run` records what the server answered and what stood in between, but no password and no address, and it replays."""
    scenario, trace = tmp_path / "count.toml", tmp_path / "count.trace.jsonl"
    scenario.write_text(SCENARIO.replace("SOCKET", "/nowhere"), encoding="utf-8")
    monkeypatch.setenv("FRAMEENGINE_PASSWORD_SHOP", PASSWORD)
    address = f"shop=mariadb://reader@/shop?socket={server.socket}"
    assert execute(["run", str(scenario), "--database", address, "-o", str(trace)]) == 0
    with TraceReader(trace) as reader:
        provenance = reader.header["provenance"]
    assert provenance["tools"] == "live (MariaDB: shop)"
    assert provenance["query_db"] == f"read-only user and session, sqlglot {guard.version()}"
    text = trace.read_text(encoding="utf-8")
    assert r"n\n3000" in text
    assert PASSWORD not in text
    assert str(server.socket) not in text
    assert execute(["replay", str(trace)]) == 0
    assert PASSWORD not in "".join(capsys.readouterr())


def test_an_address_is_read_and_never_holds_a_password() -> None:
    """Addresses name user, place and database; one with a password, or that says something else, is refused with the way out."""
    assert database_of("mariadb://ann@db.example/shop") == MariaDb(user="ann", name="shop", host="db.example")
    assert database_of("mariadb://ann@db.example:3307/shop") == MariaDb(user="ann", name="shop", host="db.example", port=3307)
    assert database_of("mariadb://a%40b@/shop?socket=/run/s") == MariaDb(user="a@b", name="shop", socket="/run/s")
    assert database_of("shop.sqlite", Path("here")) == Path("here/shop.sqlite")
    with pytest.raises(UsageError, match="a password does not stand") as caught:
        database_of(f"mariadb://ann:{PASSWORD}@db/shop")
    assert "FRAMEENGINE_PASSWORD_" in caught.value.hint
    assert PASSWORD not in str(caught.value)
    wrong = "mariadb://db/shop mariadb://ann@db mariadb://ann@db:x/shop mariadb://ann@db/shop?tls=1 mariadb://ann@db/shop#a"
    for address in wrong.split():
        with pytest.raises(UsageError, match="is no address of a database"):
            database_of(address)
    assert PASSWORD not in repr(MariaDb(user="ann", name="shop", password=PASSWORD))


def test_without_its_driver_the_way_to_install_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where PyMySQL or sqlglot is missing, the error is one line with the command that installs them."""
    for home in (mariadb, guard):
        with monkeypatch.context() as patched:
            patched.setattr(home, "find_spec", lambda _: None)
            guard.version.cache_clear()
            with pytest.raises(ToolFailed) as caught:
                MariaDb(user="ann", name="shop").check_installed()
            assert "pip install 'frameengine[mariadb]'" in caught.value.hint
    guard.version.cache_clear()
