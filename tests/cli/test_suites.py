"""`test`: suites as a user runs them, what they print, and the exit codes."""

from __future__ import annotations

import io
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from billing_database import build_billing
from cli_runs import Frameengine
from frameengine_cli.look import DIFFERS, SAME

ROOT = Path(__file__).parents[2]
SUITES = ROOT / "fixtures" / "suites"
SUITE = """# Greeting

## Setup

- graph: v3-framed
- replies: replies.toml

## Steps

### 1. Hello

- send: Hello!
- expect_response: contains "hello"
- expect_trace: frames 2

### 2. Again

- send: Hello again!
- expect_response: contains "again"
"""
REPLIES = """[model]
input = ['{"intent": "social", "complexity": "trivial"}', '{"intent": "social", "complexity": "trivial"}']
output = ["Hello!", "Hello again!"]
memorizer = ["{}", "{}"]
"""


# One database serves the tests of suites, so one worker takes all of them.
pytestmark = pytest.mark.xdist_group("suites")


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """Return a suite of two greetings, with its replies beside it."""
    (tmp_path / "replies.toml").write_text(REPLIES, encoding="utf-8")
    path = tmp_path / "greeting.md"
    path.write_text(SUITE, encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def billing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the billing database."""
    return build_billing(tmp_path_factory.mktemp("billing"))


def change(path: Path, old: str, new: str) -> Path:
    """Change a file in one place."""
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return path


def test_a_suite_that_holds_is_told_step_by_step(frameengine: Frameengine, suite: Path) -> None:
    """Each step is a line with a mark for each check; the sum says that no model was called. Exit 0."""
    done = frameengine("test", suite)
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == [
        "Greeting  v3-framed",
        "2 steps, 3 checks · greeting.md · replies.toml",
        "",
        f"   1  Hello  {SAME}{SAME}",
        f"   2  Again  {SAME}",
        "",
        f"{SAME} 3 of 3 checks passed  no model was called",
    ]


def test_a_check_that_fails_is_told_with_its_line_and_what_was_seen(frameengine: Frameengine, suite: Path) -> None:
    """What does not hold stands under its step: line, expectation, what was seen. Exit 1."""
    done = frameengine("test", change(suite, 'contains "hello"', 'contains "moin"'))
    assert done.code == 1
    assert done.out.splitlines()[3:7] == [
        f"   1  Hello  {DIFFERS}{SAME}",
        '      line 13  expect_response: contains "moin"',
        '               the response is "Hello!"',
        f"   2  Again  {SAME}",
    ]
    assert done.out.splitlines()[-1] == f"{DIFFERS} 2 of 3 checks passed, 1 failed  no model was called"


def test_what_a_model_says_cannot_move_the_cursor(frameengine: Frameengine, suite: Path) -> None:
    """Escapes in a reply, in a title and in a name are shown as their numbers."""
    change(suite.parent / "replies.toml", '"Hello!"', '"\\u001b[2J"')
    done = frameengine("test", change(change(suite, "# Greeting", "# Gre\x1beting"), "1. Hello", "1. Hel\x1blo"))
    assert done.code == 1
    assert "\x1b" not in done.out
    assert "\\x1b[2J" in done.out


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("- expect_trace: frames 2", "- expect_trace: frame 2", "line 14: expect_trace: it begins with"),
        ("- expect_trace: frames 2", "- expct_trace: frames 2", "line 14: expct_trace is unknown; there is expect_trace"),
        ("- graph: v3-framed\n", "", "names no graph"),
        ("- replies: replies.toml\n", "", "names no replies for v3-framed"),
        ("replies.toml", "nowhere.toml", "nowhere.toml cannot be read"),
        ("v3-framed", "v3-farmed", "v3-farmed"),
        ("frames 2", "node pa did not run", "line 14: v3-framed has no node pa"),
        ("- replies", "- database: billing = none.sqlite\n- replies", "there is no file"),
    ],
)
def test_a_suite_that_cannot_be_run_is_an_error_of_usage(
    old: str, new: str, said: str, frameengine: Frameengine, suite: Path
) -> None:
    """What is wrong is said with its line, before anything runs, and with a way out. Exit 2."""
    done = frameengine("test", change(suite, old, new))
    assert (done.code, done.out) == (2, "")
    assert said in " ".join(done.err.split())
    assert "try: " in done.err


def test_a_slip_in_the_last_suite_stops_the_first(frameengine: Frameengine, suite: Path, tmp_path: Path) -> None:
    """All suites are read and fitted before one of them runs."""
    last = tmp_path / "last.md"
    last.write_text(SUITE.replace("frames 2", "frames two"), encoding="utf-8")
    done = frameengine("test", suite, last)
    assert (done.code, done.out) == (2, "")


def test_a_missing_reply_ends_the_run_and_what_is_left_is_counted(frameengine: Frameengine, suite: Path) -> None:
    """What was not looked at is no success: the sum says so, and the error names node and call. Exit 4."""
    change(suite.parent / "replies.toml", '"Hello!", "Hello again!"', '"Hello!"')
    done = frameengine("test", suite)
    assert done.code == 4
    assert done.out.splitlines()[-1] == f"{DIFFERS} 2 of 3 checks passed, … 1 not looked at  no model was called"
    assert "the script has 1 answers for node 'output'" in done.err


def test_replies_that_are_left_over_are_an_error(frameengine: Frameengine, suite: Path) -> None:
    """All checks hold, and yet a reply that nobody asked for is no success. Exit 4."""
    change(suite.parent / "replies.toml", '"Hello again!"]', '"Hello again!", "Bye!"]')
    done = frameengine("test", suite)
    assert done.code == 4
    assert f"{DIFFERS} 3 of 3 checks passed" in done.out
    assert "nobody asked for: 1 of 'output'" in done.err


def test_several_runs_are_a_line_each_and_one_sum(frameengine: Frameengine, suite: Path, tmp_path: Path) -> None:
    """A mark for each step; what stops one run stops no other; the exit code is the highest."""
    change(suite, "v3-framed", "v3-framed, v2-director-drives")
    worse = tmp_path / "worse.md"
    worse.write_text(SUITE.replace('contains "again"', 'contains "never"'), encoding="utf-8")
    done = frameengine("test", suite, worse)
    assert done.code == 1
    assert done.out.splitlines() == [
        f"greeting  v3-framed           {SAME}{SAME}  3 of 3",
        f"greeting  v2-director-drives  {SAME}{SAME}  3 of 3",
        f"worse     v3-framed           {SAME}{DIFFERS}  2 of 3",
        "   2  Again",
        '      line 19  expect_response: contains "never"',
        '               the response is "Hello again!"',
        f"{DIFFERS} 8 of 9 checks passed, 1 failed  3 runs; no model was called",
    ]
    short = tmp_path / "short.toml"
    short.write_text(REPLIES.replace('"Hello!", ', ""), encoding="utf-8")
    assert frameengine("test", worse, suite, "--cassette", short).code == 4


def test_json_has_every_result(frameengine: Frameengine, suite: Path) -> None:
    """One document with each check's step, line, status and fault, and nothing else on stdout."""
    done = frameengine("test", change(suite, "frames 2", "frames 3"), "--json")
    assert (done.code, done.err, done.json["ok"], done.json["schema_version"]) == (1, "", False, 1)
    assert {name: done.json[name] for name in ("passed", "failed", "not_looked_at")} == {
        "passed": 2,
        "failed": 1,
        "not_looked_at": 0,
    }
    (run,) = done.json["suites"]
    assert (run["title"], run["graph"], run["ok"]) == ("Greeting", "v3-framed", False)
    assert [result["status"] for result in run["results"]] == ["PASS", "FAIL", "PASS"]
    assert run["results"][1] == {
        "step": 1,
        "name": "Hello",
        "check": "expect_trace: frames 3",
        "line": 14,
        "status": "FAIL",
        "fault": "there were 2",
    }


def test_json_of_a_run_that_stopped_has_results_and_error(frameengine: Frameengine, suite: Path) -> None:
    """What was looked at stands beside the error, so a reader of the document loses nothing."""
    change(suite.parent / "replies.toml", '"Hello!", "Hello again!"', '"Hello!"')
    done = frameengine("test", suite, "--json")
    (run,) = done.json["suites"]
    assert (done.code, done.json["ok"], done.err) == (4, False, "")
    assert (len(run["results"]), run["not_looked_at"], run["error"]["code"]) == (2, 1, "cassette.miss")


def test_junit_tells_failures_errors_and_what_was_skipped_apart(frameengine: Frameengine, suite: Path, tmp_path: Path) -> None:
    """A check is a case with file and line; what stopped the run is an error; what it did not reach is skipped."""
    change(suite.parent / "replies.toml", '"Hello!", "Hello again!"', '"Hello!"')
    done = frameengine("test", change(suite, "frames 2", "frames 3"), "--junit", tmp_path / "out.xml")
    assert done.code == 4
    (run,) = ET.parse(tmp_path / "out.xml").getroot()
    assert (run.get("name"), run.get("tests"), run.get("failures"), run.get("errors"), run.get("skipped")) == (
        "greeting.v3-framed",
        "4",
        "1",
        "1",
        "1",
    )
    assert [(case.get("line"), [child.tag for child in case]) for case in run] == [
        ("13", []),
        ("14", ["failure"]),
        (None, ["error"]),
        ("19", ["skipped"]),
    ]
    failure = run[1][0]
    assert (failure.get("message"), failure.text) == (
        "there were 2",
        f"{suite}:14\nexpected  expect_trace: frames 3\nseen      there were 2",
    )


def test_a_run_is_recorded_and_its_trace_answers_the_next(frameengine: Frameengine, suite: Path, tmp_path: Path) -> None:
    """`-o` writes a trace that replays and serves as `--cassette`; it is not written over without `--force`."""
    assert frameengine("test", suite, "-o", tmp_path / "out").code == 0
    trace = tmp_path / "out" / "greeting.v3-framed.trace.jsonl"
    assert frameengine("replay", trace).code == 0
    before = trace.read_bytes()
    done = frameengine("test", suite, "-o", tmp_path / "out")
    assert (done.code, trace.read_bytes()) == (2, before)
    assert frameengine("test", suite, "-o", tmp_path / "out", "--force").code == 0
    assert trace.read_bytes() == before
    (tmp_path / "replies.toml").unlink()
    assert frameengine("test", suite, "--cassette", trace).code == 0
    longer = change(suite, "- send: Hello again!", "- send: Hello again, you!")
    done = frameengine("test", longer, "--cassette", trace)
    assert (done.code, "not looked at" in done.out) == (4, True)


def test_a_recorded_reply_that_is_not_asked_for_is_noticed(frameengine: Frameengine, suite: Path, tmp_path: Path) -> None:
    """A suite that asks less than its trace holds is no success. Exit 4."""
    frameengine("test", suite, "-o", tmp_path)
    shorter = suite.read_text(encoding="utf-8").partition("### 2.")[0]
    suite.write_text(shorter, encoding="utf-8")
    assert frameengine("test", suite, "--cassette", tmp_path / "greeting.v3-framed.trace.jsonl").code == 4


def test_a_terminal_sees_each_check_as_it_is_made(frameengine: Frameengine, suite: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step's name is written before it is done, each mark as soon as its check is; the lines are those of a pipe."""
    plain = frameengine("test", suite).out
    pieces: list[str] = []

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

        def flush(self) -> None:
            pieces.append(self.getvalue())

    screen = Terminal()
    monkeypatch.setattr("sys.stdout", screen)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    frameengine("test", suite)
    monkeypatch.undo()
    seen = [bare(piece) for piece in pieces]
    assert any(piece.rstrip().endswith("1  Hello") for piece in seen)
    assert any(piece.endswith(f"Hello  {SAME}") for piece in seen)
    assert any(piece.endswith(f"Hello  {SAME}{SAME}") for piece in seen)
    assert [line.rstrip() for line in bare(screen.getvalue()).splitlines()] == plain.splitlines()


def bare(text: str) -> str:
    """Return what a terminal shows, without colours and other styles."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def test_a_database_that_no_suite_uses_is_a_slip(frameengine: Frameengine, suite: Path, tmp_path: Path) -> None:
    """The name of a database is checked against those that the suites use. Exit 2."""
    done = frameengine("test", suite, "--database", f"biling={tmp_path}/b.sqlite")
    assert (done.code, done.out) == (2, "")
    assert "no suite here uses a database 'biling'" in done.err


def test_the_shipped_suites_hold_on_the_command_line(frameengine: Frameengine, billing: Path) -> None:
    """C122 to C124: nine suites on the graphs that they name, 16 runs, all checks, from one command."""
    done = frameengine("test", *sorted(SUITES.glob("*.md")), "--database", f"billing={billing}", "--json")
    assert done.code == 0, done.out
    assert (len(done.json["suites"]), done.json["passed"]) == (16, 488)
