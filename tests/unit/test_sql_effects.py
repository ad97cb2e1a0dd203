"""Whatever a query is, it changes no byte of any file, makes none, opens no socket and ends (T6, T7, T8, W07)."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frameengine.errors import ToolFailed
from frameengine.tools.sql import SqlTool, asked, guard, sqlite
from frameengine.tools.sql.result import RESULT_BYTES_MAX, ROWS_MAX
from frameengine.tools.sql.sqlite import Bounds
from frameengine.tools.table import parse_table
from sql_corpus import HARMLESS, refused, variants
from sql_grammar import attempts, build, reads, written

EXAMPLES = 20_000 if settings().max_examples >= 2_000 else 500
"""Statements for each property: many more at night."""
READERS = [pytest.param(None, id="authorizer alone"), pytest.param(guard.version(), id="with the second reader")]
OPEN_FILES = Path("/proc/self/fd")

Look = Callable[[], dict[str, str]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of a database, in which every relative path and every temporary file would land."""
    place = tmp_path / "data"
    place.mkdir()
    monkeypatch.chdir(place)
    monkeypatch.setenv("SQLITE_TMPDIR", str(place))
    monkeypatch.setenv("TMPDIR", str(place))
    build(place / "shop")
    return place


def look(folder: Path) -> dict[str, str]:
    """Return every file of a folder with the digest of its bytes and its date, and the sockets that are open."""
    found = {}
    for path in sorted(folder.rglob("*")):
        about = path.stat()
        digest = sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        found[path.name] = f"{digest} {about.st_mtime_ns} {about.st_mode}"
    if OPEN_FILES.is_dir():
        found |= {target: "open" for target in opened() if target.startswith("socket:")}
    return found


def opened() -> Iterator[str]:
    """Return what this process has open."""
    for path in sorted(OPEN_FILES.iterdir()):
        try:
            yield str(path.readlink())
        except OSError:
            continue


def accepted(tool: SqlTool, statement: str) -> bool:
    """Run a statement; tell whether it was answered."""
    try:
        result = tool(statement, "shop")
    except ToolFailed:
        return False
    assert len(result.encode()) <= RESULT_BYTES_MAX
    return True


def tool(folder: Path, reader: str | None = None) -> SqlTool:
    """Return the tool on the database of a folder, bounded so that examples take no time."""
    return SqlTool({"shop": folder / "shop"}, bounds=Bounds(steps=200_000), second_reader=reader)


def test_nothing_that_is_accepted_has_an_effect(folder: Path) -> None:
    """T6: of reads and attempts out of a grammar, none changes a byte or makes a file; most reads are answered."""
    before = look(folder)
    counts = {"reads": 0, "answered": 0}

    @settings(max_examples=EXAMPLES)
    @given(st.booleans(), st.sampled_from((None, guard.version())), st.data())
    def check(read: bool, reader: str | None, data: st.DataObject) -> None:
        statement = data.draw(written(reads() if read else attempts()))
        answered = accepted(tool(folder, reader), statement)
        assert look(folder) == before
        counts["reads"] += read
        counts["answered"] += read and answered

    check()
    # An oracle that sees refusals only would prove nothing.
    assert counts["answered"] > counts["reads"] // 2 > EXAMPLES // 8


def weak_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every statement pass the first layer."""
    monkeypatch.setattr(asked, "read", lambda query: asked.Asked("select", query))


def weak_authorizer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let SQLite do what it likes."""
    monkeypatch.setattr(sqlite._Schema, "authorize", lambda *_: sqlite3.SQLITE_OK)


def weak_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let statements be of any size, and attach what they like."""
    monkeypatch.setattr(sqlite, "_LIMITS", ())


def weak_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out query_only, and the rest of the settings."""
    monkeypatch.setattr(sqlite, "_SETTINGS", ())


def weak_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    """Open the file for writing."""
    monkeypatch.setattr(sqlite, "_connect", lambda path: sqlite3.connect(path, isolation_level=None))


Weaken = Callable[[pytest.MonkeyPatch], None]
WEAK_ENOUGH: list[tuple[Weaken, ...]] = [
    (weak_words, weak_authorizer, weak_limits, weak_settings),
    (weak_words, weak_authorizer, weak_limits, weak_settings, weak_mode),
    (weak_authorizer, weak_settings, weak_mode),
]
STILL_STRONG: list[tuple[Weaken, ...]] = [
    (weak_words,),
    (weak_authorizer,),
    (weak_limits, weak_settings, weak_mode),
    (weak_words, weak_settings, weak_mode),
]


def named(weakenings: tuple[Weaken, ...]) -> str:
    """Name a case for its weakenings."""
    return ", ".join([weaken.__name__.removeprefix("weak_") for weaken in weakenings])


@pytest.mark.parametrize("weakenings", WEAK_ENOUGH, ids=named)
def test_the_oracle_catches_a_guard_that_is_too_weak(
    folder: Path, weakenings: tuple[Weaken, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Power: without the authorizer and a second layer, the same corpus and the same oracle find effects, mode=ro or not."""
    for weaken in weakenings:
        weaken(monkeypatch)
    before = look(folder)
    for _, statement in refused():
        accepted(tool(folder), statement)
        if look(folder) != before:
            return
    pytest.fail("the oracle saw nothing")


def test_the_grammar_reaches_what_a_weak_guard_lets_through(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Power: the statements of the grammar find a weak guard as well."""
    for weaken in (weak_words, weak_authorizer, weak_limits, weak_settings, weak_mode):
        weaken(monkeypatch)
    before = look(folder)
    seen: list[str] = []

    @settings(max_examples=200)
    @given(written(attempts()))
    def search(statement: str) -> None:
        if not seen:
            accepted(tool(folder), statement)
            seen.extend([statement] if look(folder) != before else [])

    search()
    assert seen


@pytest.mark.parametrize("weakenings", STILL_STRONG, ids=named)
def test_one_layer_less_is_still_enough(folder: Path, weakenings: tuple[Weaken, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """The layers do not lean on each other: with one of them gone, the corpus has no effect."""
    for weaken in weakenings:
        weaken(monkeypatch)
    before = look(folder)
    for _, statement in refused():
        accepted(tool(folder), statement)
        assert look(folder) == before, statement


@pytest.mark.parametrize("reader", READERS)
def test_every_known_bypass_is_refused_however_it_is_written(folder: Path, reader: str | None) -> None:
    """T7: each statement of the corpus is refused, in any case, spacing and with comments in it, and nothing happens."""
    before = look(folder)
    query = tool(folder, reader)
    assert len(refused()) >= 120
    for about, statement in refused():
        for text in (statement, *variants(statement)):
            assert not accepted(query, text), (about, text[:200])
    assert look(folder) == before


@pytest.mark.parametrize("reader", READERS)
def test_what_only_looks_like_an_attack_is_answered_however_it_is_written(folder: Path, reader: str | None) -> None:
    """A text or a comment that holds an attack is answered in every way of writing it, without an effect."""
    before = look(folder)
    query = tool(folder, reader)
    for statement in HARMLESS:
        for text in (statement, *variants(statement)):
            assert accepted(query, text), text
    assert look(folder) == before


ITEMS = "items a, items b, items c, items d"
LONG = f"WITH w AS (SELECT '{'x' * 3_000}' AS t), many AS (SELECT a.id + b.id + c.id + d.id AS n FROM {ITEMS})"
WIDE = "w.t || w.t || w.t || many.n"
SLOW = [
    f"{LONG} SELECT COUNT(*) FROM w, many WHERE LOWER(UPPER(LOWER(UPPER({WIDE})))) = ''",
    f"{LONG} SELECT COUNT(*) FROM (SELECT DISTINCT {WIDE} COLLATE NOCASE FROM w, many)",
]


@pytest.mark.parametrize("statement", SLOW, ids=["function", "comparison"])
def test_what_is_slow_in_few_steps_ends_by_the_clock(folder: Path, statement: str) -> None:
    """T8: steps that work on long text take thousands of times as long as others, so time is bounded too."""
    query = SqlTool({"shop": folder / "shop"}, bounds=Bounds(seconds=0.2))
    with pytest.raises(ToolFailed, match=r"more than 0\.2 seconds"):
        query(statement, "shop")


EIGHT = "||".join(["t"] * 8)
STEPS = ", ".join([f"s{n + 1} AS (SELECT {EIGHT} AS t FROM s{n})" for n in range(6)])
DENIALS = {
    "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT COUNT(*) FROM r": "refused",
    "SELECT COUNT(*) FROM items a, items b, items c, items d, items e, items f": "more than 10,000,000 steps",
    "SELECT zeroblob(900000000)": "refused",
    f"SELECT {' || '.join([repr('x' * 1_000)] * 7)} || t || t FROM (SELECT '{'y' * 900}' || name AS t FROM items)": "",
    f"SELECT '{'x' * 3_900}' AS a, '{'y' * 3_900}' AS b, t.* FROM (SELECT * FROM items) t": "",
    f"WITH s0 AS (SELECT 'xx' AS t), {STEPS} SELECT LENGTH(t) FROM s6": "too big|too much memory",
}
"""Statement -> why it fails; empty where it is answered within the bounds."""


@pytest.mark.parametrize("statement", DENIALS, ids=lambda statement: statement[:40])
def test_what_would_take_everything_stops(folder: Path, statement: str) -> None:
    """T8: endless and exploding queries end with an error that says why; long rows come within the bounds."""
    query = SqlTool({"shop": folder / "shop"})
    if not DENIALS[statement]:
        assert accepted(query, statement)
        return
    with pytest.raises(ToolFailed, match=DENIALS[statement]):
        query(statement, "shop")


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT a.id FROM items a, items b",
        f"SELECT a.id, '{'x' * 6_000}' FROM items a, items b",
        f"SELECT a.id, '{chr(9) * 3_000}', '{'é' * 3_000}' FROM items a, items b",
    ],
    ids=["rows", "bytes", "bytes once written"],
)
def test_a_result_is_bounded_and_flagged(folder: Path, statement: str) -> None:
    """T8: a result has at most a thousand rows and a mebibyte, its note included, and says where it was cut."""
    text = SqlTool({"shop": folder / "shop"})(statement, "shop")
    table = parse_table(text)
    assert table is not None
    assert 0 < len(table.rows) <= ROWS_MAX
    assert len(text.encode()) <= RESULT_BYTES_MAX
    assert table.notes == (f"cut after {len(table.rows):,} rows; there are more",)


def test_a_hot_journal_is_left_alone(folder: Path) -> None:
    """A journal that a crash left behind would have to be rolled back: the query fails, and both files stay as they are."""
    connection = sqlite3.connect(folder / "shop", isolation_level=None)
    connection.execute("PRAGMA cache_spill = 1")
    connection.execute("PRAGMA cache_size = 1")
    connection.execute("BEGIN")
    connection.execute("UPDATE items SET name = name || '" + "x" * 2_000 + "'")
    crashed = folder / "crashed"
    crashed.mkdir()
    for file in ("shop", "shop-journal"):
        (crashed / file).write_bytes((folder / file).read_bytes())
    connection.execute("ROLLBACK")
    connection.close()
    before = look(crashed)
    assert not accepted(tool(crashed), "SELECT * FROM items")
    assert look(crashed) == before
