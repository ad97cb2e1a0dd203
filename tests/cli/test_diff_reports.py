"""Reports for other tools: files, annotations and the summary of a step, of `diff` and of `replay`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from cli_runs import JACKET, WEATHER, Frameengine, Record
from report_pages import Reader

DIVERGING = Path(__file__).parents[2] / "traces" / "diverging" / "changed-prompt.trace.jsonl"
COMMAND = re.compile(r"::(error|warning|notice) .*")


@pytest.fixture
def pair(record: Record) -> tuple[Path, Path]:
    """Return two traces with another answer, which others follow from."""
    return record("old", WEATHER, JACKET), record("new", (WEATHER[0], [*WEATHER[1][:-1], "Rain."]), JACKET)


@pytest.fixture
def summary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the file of a step's summary, which has a line already."""
    path = tmp_path / "summary.md"
    path.write_text("before\n", encoding="utf-8")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(path))
    return path


def test_a_page_is_written_beside_the_screen(frameengine: Frameengine, pair: tuple[Path, Path], tmp_path: Path) -> None:
    """--html writes a page on its own, whatever else is printed, and anew each time."""
    target = tmp_path / "diff.html"
    for form in ((), ("--json",), ("--github",)):
        done = frameengine("diff", *pair, "--html", target, *form)
        assert done.code == 1
        read = Reader(target.read_text(encoding="utf-8"))
        assert read.problems == []
        assert "differs at 1.3 model" in read.texts


def test_findings_are_written_as_sarif(frameengine: Frameengine, pair: tuple[Path, Path], tmp_path: Path) -> None:
    """--sarif names the right trace's file and the place; of the same traces there is no result."""
    target = tmp_path / "diff.sarif"
    assert frameengine("diff", *pair, "--sarif", target).code == 1
    (result,) = json.loads(target.read_text(encoding="utf-8"))["runs"][0]["results"]
    assert result["ruleId"] == "first-difference"
    assert frameengine("diff", pair[0], pair[0], "--sarif", target).code == 0
    assert json.loads(target.read_text(encoding="utf-8"))["runs"][0]["results"] == []


@pytest.mark.parametrize("option", ["--html", "--sarif"])
def test_a_report_is_not_written_over_a_trace(frameengine: Frameengine, pair: tuple[Path, Path], option: str) -> None:
    """A report that would take the place of a trace is refused, and the trace stays."""
    before = pair[1].read_bytes()
    done = frameengine("diff", *pair, option, pair[1])
    assert done.code == 2
    assert "is one of the traces" in done.err
    assert pair[1].read_bytes() == before


def test_a_report_that_cannot_be_written_is_an_error(frameengine: Frameengine, pair: tuple[Path, Path], tmp_path: Path) -> None:
    """A folder that is not there is told, and is no exit 0 although the traces are the same."""
    done = frameengine("diff", pair[0], pair[0], "--html", tmp_path / "nowhere" / "x.html")
    assert done.code == 1
    assert "nowhere" in done.err


def test_github_gets_annotations_and_a_summary(frameengine: Frameengine, pair: tuple[Path, Path], summary: Path) -> None:
    """Stdout holds commands and nothing else; the summary of the step is added to, as Markdown."""
    done = frameengine("diff", *pair, "--github")
    assert done.code == 1
    lines = done.out.split("\n")
    assert lines.pop() == ""
    assert lines
    assert all(COMMAND.fullmatch(line) for line in lines)
    assert lines[0].startswith(f"::error file={pair[1]},title=differs at 1.3 model::changed ")
    told = summary.read_text(encoding="utf-8")
    assert told.startswith("before\n### ❌ differs at `1.3 model`\n")
    assert frameengine("diff", pair[0], pair[0], "--github").out == ""
    assert "### ✅ same" in summary.read_text(encoding="utf-8")


def test_markdown_is_the_summary(frameengine: Frameengine, pair: tuple[Path, Path], summary: Path) -> None:
    """What --markdown prints is what --github adds to the summary."""
    printed = frameengine("diff", *pair, "--markdown").out
    frameengine("diff", *pair, "--github")
    assert summary.read_text(encoding="utf-8") == f"before\n{printed}\n"


def test_a_replay_has_a_case_for_each_trace(frameengine: Frameengine, weather: Path, tmp_path: Path) -> None:
    """JUnit lists what was the same, what diverged and what could not be replayed; none of them is left out."""
    target = tmp_path / "replay.xml"
    done = frameengine("replay", weather, DIVERGING, "nothing-of-this-name", "--junit", target)
    assert done.code == 4
    cases = ET.fromstring(target.read_text(encoding="utf-8")).findall(".//testcase")
    assert [(case.get("name"), [child.tag for child in case]) for case in cases] == [
        (str(weather), []),
        (str(DIVERGING), ["failure"]),
        ("nothing-of-this-name", ["error"]),
    ]
    failure = cases[1].find("failure")
    assert failure is not None
    assert failure.get("message") == "diverged at input 2, frame 2, node director, call 0"
    for part in ("request /messages/0/content", "At most three tools", "At most five tools", "cause: "):
        assert part in (failure.text or "")


def test_one_replay_has_reports_as_well(frameengine: Frameengine, weather: Path, tmp_path: Path) -> None:
    """A single trace that is the same, diverges or is no trace is one case, and one finding where it is not the same."""
    junit, sarif = tmp_path / "replay.xml", tmp_path / "replay.sarif"
    bad = tmp_path / "bad.trace.jsonl"
    bad.write_text("{}\n", encoding="utf-8")
    for ref, code, tags, rules in (
        (weather, 0, [], []),
        (DIVERGING, 4, ["failure"], ["divergence"]),
        (bad, 3, ["error"], ["error"]),
    ):
        assert frameengine("replay", ref, "--junit", junit, "--sarif", sarif).code == code
        (case,) = ET.fromstring(junit.read_text(encoding="utf-8")).findall(".//testcase")
        assert [child.tag for child in case] == tags
        results = json.loads(sarif.read_text(encoding="utf-8"))["runs"][0]["results"]
        assert [each["ruleId"] for each in results] == rules


def test_replays_are_annotated(frameengine: Frameengine, weather: Path, summary: Path) -> None:
    """--github prints commands alone and sums up every trace; a trace that diverged is an error at its file."""
    done = frameengine("replay", DIVERGING, "--github")
    assert done.code == 4
    (line,) = done.out.split("\n")[:-1]
    assert line.startswith(f"::error file={DIVERGING},title=diverged at input 2%2C frame 2%2C node director%2C call 0::request ")
    told = summary.read_text(encoding="utf-8")
    assert "### ❌ diverged at `input 2, frame 2, node director, call 0`" in told
    assert "- - At most [-three-] tools" in told
    several = frameengine("replay", weather, DIVERGING, "--github")
    assert several.code == 4
    assert [line for line in several.out.split("\n") if line and not COMMAND.fullmatch(line)] == ["1 same, 1 diverged"]
    assert f"✅ same: `{weather}`" in summary.read_text(encoding="utf-8")


def test_reports_that_contradict_are_refused(frameengine: Frameengine, weather: Path, tmp_path: Path) -> None:
    """Two forms of stdout, reports of --runs, and a report in the place of the trace are exit 2."""
    before = weather.read_bytes()
    runs = ("--runs", "2", "--junit", tmp_path / "x.xml")
    for more in (("--github", "--json"), runs, ("--junit", weather), ("--sarif", weather)):
        done = frameengine("replay", weather, *more)
        assert done.code == 2, more
        assert weather.read_bytes() == before
