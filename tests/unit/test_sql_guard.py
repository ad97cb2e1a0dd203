"""The second reader: what it lets through means what was written, what it cannot read is refused, and it ends."""

from __future__ import annotations

import logging
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings

from frameengine.errors import ToolFailed
from frameengine.tools.registry import ToolRegistry
from frameengine.tools.sql import Database, MariaDb, SqlTool, asked, guard, register_sql
from sql_corpus import refused
from sql_grammar import build, reads, written

to_mariadb = partial(guard.for_mariadb, database="shop", rows=1001)
EXAMPLES = 5_000 if settings().max_examples >= 2_000 else 150


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the small database that the grammar speaks of."""
    return build(tmp_path_factory.mktemp("guard") / "shop")


@pytest.mark.parametrize(
    ("statement", "sent"),
    [
        ("select  count( * )/* a */from items -- end\n", "select count( * ) from items"),
        (
            "SELECT CAST(id AS NUMERIC), +id, [id], 'it''s'",
            "SELECT CAST(id AS NUMERIC), +id, [id], 'it''s'",
        ),
        ("SELECT 1 /*! UNION SELECT 2 */", "SELECT 1"),
        ("SELECT/**/1", "SELECT 1"),
        ("SELECT '/* no comment */'", "SELECT '/* no comment */'"),
    ],
)
def test_sqlite_is_sent_the_same_words_without_comments(statement: str, sent: str) -> None:
    """The statement is put together from its tokens: what is in them stays as it was, what is between them becomes one space."""
    assert guard.for_sqlite(statement) == sent


@pytest.mark.parametrize(
    ("statement", "sent"),
    [
        ("select id from items", "SELECT `id` FROM `items` LIMIT 1001"),
        ("select id from items limit 5 offset 2", "SELECT `id` FROM `items` LIMIT 5 OFFSET 2"),
        ("select id from items limit 999999", "SELECT `id` FROM `items` LIMIT 1001"),
        ("select 1 union select 2", "SELECT 1 UNION SELECT 2 LIMIT 1001"),
        ("with w as (select 1 as n) select n from w", "WITH `w` AS (SELECT 1 AS `n`) SELECT `n` FROM `w` LIMIT 1001"),
        ("select 1 /*!50000 union select 2 */", "SELECT 1 LIMIT 1001"),
        ("select 'a\\'b', \"c\"", "SELECT 'a''b', 'c' LIMIT 1001"),
        ("select utc_user from shop.items", "SELECT `utc_user` FROM `shop`.`items` LIMIT 1001"),
    ],
)
def test_mariadb_is_sent_what_was_understood(statement: str, sent: str) -> None:
    """The statement is written anew, every name in quotes, with a limit of its own, and without any comment."""
    assert to_mariadb(statement) == sent


@pytest.mark.parametrize(
    "statement",
    [
        "select sleep(9)",
        "select `sleep`(9)",
        "select get_lock('a', 9)",
        "select load_file('/etc/passwd')",
        "select benchmark(9, 1)",
        "select made(1)",
        "select shop.made(1)",
        "select now()",
        "select current_user",
        "select current_timestamp",
        "select @a := 1",
        "select @@version",
        "select * from mysql.user",
        "select * from information_schema.tables",
        "select * from def.shop.items",
        "select * from items for update",
        "select * from items lock in share mode",
        "select 1 into @a",
        "select * from items into outfile 'made'",
        "select name regexp '(a+)+$' from items",
        "select * from json_table('[1]', '$[*]' columns (a int path '$')) t",
        "select * from items partition (p0)",
        "select match (name) against ('x') from items",
        "select (select 1 from mysql.user)",
        "with w as (select * from mysql.user) select * from w",
        "select 1 union select password from mysql.user",
    ],
)
def test_mariadb_is_sent_nothing_that_is_not_listed(statement: str) -> None:
    """Functions, tables, variables and clauses that no list names are refused: nobody but this reader asks."""
    with pytest.raises(ToolFailed, match="refused"):
        to_mariadb(statement)


def test_no_attack_passes_both_coarse_layers() -> None:
    """T7: of the corpus, what the first words and the second reader let through to MariaDB is a plain selection of one table."""
    passed = []
    for _, statement in refused():
        try:
            what = asked.read(statement)
            passed.append(to_mariadb(what.text) if what.kind == "select" else what.text)
        except ToolFailed:
            continue
    own = {"SELECT * FROM `sqlite_master` LIMIT 1001", "SELECT `sql` FROM `sqlite_schema` LIMIT 1001"}
    assert len(passed) < 20
    assert own < set(passed)
    for sent in passed:
        assert not any(word in sent.upper().split() for word in ("DELETE", "INSERT", "UPDATE", "DROP", "INTO", "CREATE")), sent


def test_the_second_reader_changes_no_answer(shop: Path) -> None:
    """What SQLite answers with the reader is what it answers without, name for name and row for row."""
    with_reader, without = SqlTool({"shop": shop}), SqlTool({"shop": shop}, second_reader=None)
    counts = {"same": 0, "refused": 0}

    @settings(max_examples=EXAMPLES)
    @given(written(reads()))
    def check(statement: str) -> None:
        expected, answer = outcome(without, statement), outcome(with_reader, statement)
        if answer.startswith("refused: the second reader"):
            counts["refused"] += 1
            return
        counts["same"] += 1
        # An expression without a name is named after its text, in which a comment may have been.
        assert answer.partition("\n")[2] == expected.partition("\n")[2], statement
        assert answer == expected or "/*" in statement or "--" in statement or "\n" in statement or "\t" in statement

    check()
    assert counts["same"] > 8 * counts["refused"]


def outcome(tool: SqlTool, statement: str) -> str:
    """Return what a statement gives, or why it gives nothing."""
    try:
        return tool(statement, "shop")
    except ToolFailed as error:
        return error.message


def test_the_program_that_runs_is_the_one_that_was_written(shop: Path) -> None:
    """SQLite compiles what is sent to the same program as what came in: the rewriting has no meaning of its own."""

    @settings(max_examples=EXAMPLES)
    @given(written(reads()))
    def check(statement: str) -> None:
        try:
            sent = guard.for_sqlite(statement)
        except ToolFailed:
            return
        with closing(sqlite3.connect(f"file:{shop}?mode=ro", uri=True)) as connection:
            try:
                program = connection.execute(f"EXPLAIN {statement}").fetchall()
            except sqlite3.Error:
                return
            assert connection.execute(f"EXPLAIN {sent}").fetchall() == program

    check()


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("SELECT * FROM a" + " LEFT JOIN a" * 30, "too involved"),
        ("SELECT " + "(" * 300 + "1" + ")" * 300, "nested too deep"),
        ("SELECT " + "f(" * 300 + "1" + ")" * 300, "nested too deep"),
        ("SELECT 1; SELECT 2", "one statement"),
        ("SELECT 1 FROM WHERE", "cannot parse the statement at line 1, column 19"),
        ("SELECT 'open", "cannot parse"),
        ("WITH w AS (SELECT 1) DELETE FROM w", "DELETE is no query"),
        ("ALTER TABLE items SET made = made", "is no query|cannot parse"),
    ],
)
@pytest.mark.parametrize("rewrite", [guard.for_sqlite, to_mariadb], ids=["sqlite", "mariadb"])
def test_what_cannot_be_read_is_refused(rewrite: Callable[[str], str], statement: str, why: str) -> None:
    """Deep, exponential, broken and other statements are refused with the reason, and the reader comes to an end."""
    with pytest.raises(ToolFailed, match=why):
        rewrite(statement)


def test_the_verdict_does_not_depend_on_who_asks() -> None:
    """A statement near the bound of nesting has the same verdict from a shallow and from a deep stack."""

    def verdict(nested: int, depth: int) -> str:
        if depth:
            return verdict(nested, depth - 1)
        try:
            guard.for_sqlite("SELECT " + "(" * nested + "1" + ")" * nested)
        except ToolFailed as error:
            return error.message
        return "accepted"

    shallow = [verdict(nested, 0) for nested in range(4, 60, 4)]
    assert {"accepted", "refused: the statement is nested too deep for the second reader"} == set(shallow)
    assert [verdict(nested, 600) for nested in range(4, 60, 4)] == shallow


def test_the_reader_leaves_nothing_behind(caplog: pytest.LogCaptureFixture) -> None:
    """It writes no statement to the log, and a profiler of the caller's stays."""

    def profile(*_: object) -> None:
        return None

    sys.setprofile(profile)
    try:
        with caplog.at_level(logging.DEBUG), pytest.raises(ToolFailed):
            guard.for_sqlite("SHOW \x1b[2J everything")
        assert sys.getprofile() is profile
    finally:
        sys.setprofile(None)
    assert caplog.text == ""


def test_every_kind_that_is_listed_is_one() -> None:
    """The lists name kinds that the reader has: a misspelt one would refuse for ever what it should allow."""
    from sqlglot import exp

    assert [name for name in sorted(guard.KINDS | guard.FUNCTIONS) if not hasattr(exp, name)] == []


def test_without_the_reader_sqlite_is_queried_and_mariadb_is_not(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where sqlglot is missing, or is the compiled one that cannot be bounded, the layers say so and MariaDB is refused."""
    databases: dict[str, Database] = {"shop": shop, "far": MariaDb(user="reader", name="far")}
    full = SqlTool(databases)
    assert full.layers == f"SQLite's authorizer, read-only user and session, sqlglot {guard.version()}"
    for missing, present in (("sqlglot", False), ("sqlglotc", True)):
        monkeypatch.setattr(
            guard, "find_spec", lambda name, missing=missing, present=present: present == (name == missing) or None
        )
        guard.version.cache_clear()
        try:
            tool = SqlTool(databases)
            assert tool.layers == "SQLite's authorizer, read-only user and session"
            assert tool("SELECT COUNT(*) AS n FROM items", "shop") == "n\n40"
            with pytest.raises(ToolFailed, match="sqlglot only"):
                tool("SELECT 1", "far")
        finally:
            monkeypatch.undo()
            guard.version.cache_clear()


def test_the_registration_says_what_guards_the_data(shop: Path) -> None:
    """Whoever registers the tool learns which layers there are, for the header of the trace."""
    assert register_sql(ToolRegistry(), {"shop": shop}).layers == f"SQLite's authorizer, sqlglot {guard.version()}"


def test_an_error_is_sqlite_s_own_though_the_reader_fails_too(shop: Path) -> None:
    """C87: what is wrong with a statement is told in SQLite's words, of the text as it was written."""
    for statement, words in (
        ("SELECT FROM items", 'near "FROM": syntax error'),
        ("SELECT prize FROM items", "no such column: prize"),
        ("SELECT name LIKE 'a' ESCAPE 'too long' FROM items", "ESCAPE expression must be a single character"),
    ):
        assert outcome(SqlTool({"shop": shop}), statement) == words
