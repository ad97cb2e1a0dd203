"""``frameengine diff``: what it shows, what it takes, and with which exit code it ends."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from cli_runs import ANSWER, JACKET, WEATHER, Frameengine, Record, record_run
from documents import edited, patched, plain
from frameengine.diff.compare import compare
from frameengine.inputs import Clear
from frameengine.plaintext import is_visible
from frameengine_cli.look import Look
from frameengine_cli.screens.diff import Shown, screen

DEFINITIONS = Path(__file__).parents[2] / "frameengine" / "graph" / "definitions"


@pytest.fixture
def pair(weather: Path) -> tuple[Path, Path]:
    """Return two traces: in the second another answer, which is in another request later, and another tool result."""

    def edit(whole: Any) -> None:
        first, second = whole["messages"]
        first["frames"][2][0]["calls"][0]["outcome"]["value"]["message"]["content"] = ANSWER.replace("fog", "a storm")
        second["frames"][0][0]["calls"][0]["request"]["messages"][-2]["content"] = ANSWER.replace("fog", "a storm")

    return weather, edited(weather, weather.parent / "other.trace.jsonl", edit)


def on_terminal(shown: Shown) -> str:
    """Return a screen as a terminal shows it, without colours."""
    sink = StringIO()
    console = Console(file=sink, width=shown.width, force_terminal=True, color_system=None, markup=False, highlight=False)
    console.print(screen(shown, Look(boxes=True)))
    return "".join([line.rstrip() + "\n" for line in sink.getvalue().rstrip("\n").split("\n")])


def test_the_same_trace_is_the_same(frameengine: Frameengine, weather: Path) -> None:
    """A trace and itself: exit 0, and how much was compared."""
    done = frameengine("diff", weather, weather)
    assert (done.code, done.err) == (0, "")
    assert "✓ same" in done.out
    assert "2 messages, frame by frame" in done.out


def test_the_first_difference_is_the_headline(frameengine: Frameengine, pair: tuple[Path, Path]) -> None:
    """Exit 1, place, kind, pointer, both sides with the words that differ, and the likely cause."""
    done = frameengine("diff", *pair)
    assert (done.code, done.err) == (1, "")
    lines = done.out.split("\n")
    assert "✗ differs at 1.3 model" in lines
    pointer = "/calls/0/outcome/value/message/content"
    for part in ("changed  model call", pointer, "[-fog-]", "{+a storm+}", "cause    model reply"):
        assert part in done.out
    assert done.out.index("✗ differs") < done.out.index("differs by itself") < done.out.index("#  path")


def test_consequences_are_folded_and_open(frameengine: Frameengine, weather: Path, record: Record) -> None:
    """What follows from the first difference is named in a line for each message, and shown whole with --all."""
    other = record("other", (WEATHER[0], [*WEATHER[1][:-1], "Rain."]), JACKET)
    folded, opened = (frameengine("diff", weather, other, *more) for more in ((), ("--all",)))
    assert folded.code == opened.code == 1
    assert "what follows" in folded.out
    assert "--all opens them" in folded.out
    assert "4 output" in folded.out
    assert "  1.4 output  changed" not in folded.out
    assert "  1.4 output  changed" in opened.out
    assert "--all opens them" not in opened.out


@pytest.mark.parametrize("width", [60, 80, 119])
def test_a_narrow_screen_is_stacked(pair: tuple[Path, Path], width: int) -> None:
    """Below 120 columns the sides stand below each other, and no line is wider than the screen."""
    shown = on_terminal(Shown(found=compare(*pair), width=width))
    assert max(map(len, shown.split("\n"))) <= width
    assert "  left   Saturday" in shown
    assert "  right  Saturday" in shown


@pytest.mark.parametrize("width", [120, 160])
def test_a_wide_screen_has_both_sides_beside_each_other(pair: tuple[Path, Path], width: int) -> None:
    """From 120 columns on, one line holds both sides."""
    lines = on_terminal(Shown(found=compare(*pair), width=width)).split("\n")
    assert max(map(len, lines)) <= width
    assert any(line.count("Saturday stays sunny") == 2 for line in lines)
    assert any("left" in line and "right" in line for line in lines)


def test_a_message_that_is_new_and_one_that_is_gone(frameengine: Frameengine, record: Record, weather: Path) -> None:
    """A message on one side only is told as added or removed, in the table too."""
    longer = record("longer", WEATHER, ("What about tomorrow?", ["Sun."]), JACKET)
    there, back = frameengine("diff", weather, longer), frameengine("diff", longer, weather)
    assert there.code == back.code == 1
    assert "✗ differs at message 2" in there.out
    assert "added  on the right only" in there.out
    assert "removed  on the left only" in back.out
    assert "3 added" in there.out
    assert "3 removed" in back.out


def test_differences_that_are_equal_stand_together(frameengine: Frameengine, weather: Path, tmp_path: Path) -> None:
    """A change that is the same in every request is shown once, and the other places are named."""

    def edit(whole: Any) -> None:
        for place in ((0, 0), (0, 2), (1, 0)):
            whole["messages"][place[0]]["frames"][place[1]][0]["calls"][0]["request"]["model"] = "gpt-next"

    done = frameengine("diff", weather, edited(weather, tmp_path / "b.trace.jsonl", edit))
    assert done.out.count("gpt-{+next+}") == 1
    assert "the same at 1.3 model, 2.1 model" in done.out


def test_filters_are_counted(frameengine: Frameengine, pair: tuple[Path, Path]) -> None:
    """What is left out is counted on the screen and makes no difference; a pointer that matches nothing is named."""
    done = frameengine("diff", *pair, "--ignore", "/calls", "--ignore", "/nope")
    assert "differences left out" in done.out
    assert "at /calls" in done.out
    assert "matched nothing: /nope" in done.out
    only = frameengine("diff", *pair, "--only", "/route")
    assert only.code == 0
    assert "outside of what was asked for" in only.out


def test_one_message_can_be_compared(frameengine: Frameengine, pair: tuple[Path, Path]) -> None:
    """--message compares one message alone; one that is not there is a mistake."""
    done = frameengine("diff", *pair, "--message", "2", "--json")
    assert {change["left"]["input"] for change in done.json["changes"]} == {2}
    assert frameengine("diff", *pair, "--message", "9").code == 2


@pytest.mark.parametrize(
    "filters", [("--ignore", "/*"), ("--ignore", ""), ("--only", "/nope"), ("--only", "/route", "--ignore", "/route")]
)
def test_nothing_left_to_compare_is_an_error(frameengine: Frameengine, pair: tuple[Path, Path], filters: tuple[str, ...]) -> None:
    """Filters that leave nothing never look like no difference."""
    done = frameengine("diff", *pair, *filters)
    assert done.code in (2, 5)
    assert done.out == ""
    assert done.err.startswith("error: ")


def test_an_empty_comparison_is_an_error(frameengine: Frameengine, record: Record) -> None:
    """Traces in which no frame ran: exit 5."""
    empty = record("empty", (Clear(), []))
    done = frameengine("diff", empty, empty)
    assert done.code == 5
    assert "nothing to compare" in done.err


def test_a_damaged_trace_is_a_bad_file(frameengine: Frameengine, weather: Path, record: Record) -> None:
    """A trace without a seal is exit 3, with --damaged too as long as nothing differs; what differs then is exit 1."""
    torn = record("torn", WEATHER, JACKET, seal=False)
    assert frameengine("diff", weather, torn).code == 3
    done = frameengine("diff", weather, torn, "--damaged")
    assert done.code == 3
    assert "✗ no difference as far as the files go" in done.out
    assert "✗" in done.out.split("✗ no difference")[0]
    assert frameengine("diff", weather, record("short", WEATHER, seal=False), "--damaged").code == 1
    as_json = frameengine("diff", weather, torn, "--damaged", "--json")
    assert (as_json.code, as_json.json["ok"], as_json.json["verdict"]) == (3, False, "incomplete")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("a",), "two traces are compared, and one is named"),
        (("a", "b", "c"), "two traces are compared, and 3 are named"),
        (("-", "-"), "stdin holds one trace"),
        (("a", "b", "--markdown", "--patch"), "--markdown and --patch both go to stdout"),
        (("a", "b", "--graph", "x"), "two graphs are compared on one trace"),
        (("a", "--graph", "x"), "two graphs are compared on one trace"),
        (("a", "b", "--policy", "slot"), "--policy is about reruns"),
        (("latest", "nothing-of-this-name"), "no run"),
    ],
)
def test_what_cannot_be_meant_is_refused(frameengine: Frameengine, weather: Path, arguments: tuple[str, ...], told: str) -> None:
    """A command line that does not name two things to compare is exit 2, and says what to do."""
    done = frameengine("diff", *arguments)
    assert done.code == 2
    assert told in done.err
    assert "  try: " in done.err


def test_references_are_those_of_all_commands(frameengine: Frameengine, pair: tuple[Path, Path]) -> None:
    """Names, their starts, latest and stdin name traces; stdin is called so."""
    assert frameengine("diff", "weather", "other").code == 1
    assert frameengine("diff", "latest", "latest").code == 0
    done = frameengine("diff", "-", "weather", stdin=pair[1].read_bytes())
    assert done.code == 1
    assert "left   stdin" in done.out
    assert "frameengine-" not in done.out + frameengine("diff", "-", "weather", "--json", stdin=pair[1].read_bytes()).out


def test_json_holds_everything(frameengine: Frameengine, pair: tuple[Path, Path]) -> None:
    """One document with verdict, cause, both sides, every change and message."""
    done = frameengine("diff", *pair, "--json")
    assert done.code == 1
    value = done.json
    assert (value["schema_version"], value["ok"], value["verdict"], value["cause"]) == (1, False, "differs", "model reply")
    assert value["changes"][value["first"]]["left"] == {"input": 1, "frame": 3, "node": "model"}
    assert value["left"]["path"] == str(pair[0])
    assert "reruns" not in value
    assert len(value["changes"]) == len(compare(*pair).changes)


def test_the_patch_makes_the_right_side(frameengine: Frameengine, pair: tuple[Path, Path]) -> None:
    """The RFC 6902 patch, applied to the left document, gives the right one; of the same trace it is empty."""
    done = frameengine("diff", *pair, "--patch")
    assert done.code == 1
    assert patched(plain(pair[0]), done.json) == plain(pair[1])
    assert frameengine("diff", pair[0], pair[0], "--patch").json == []


def test_nothing_from_outside_reaches_the_terminal_as_it_is(frameengine: Frameengine, tmp_path: Path) -> None:
    """Control, direction and hidden characters of texts and names are shown as numbers in every form of output."""
    evil = "see\x1b[2J\x9b31m \u202ereversed\u202c \U000e0041 \u200b done"
    one = record_run(tmp_path / "one.trace.jsonl", [(f"a {evil}", [f"b {evil}"])])
    other = record_run(tmp_path / "other.trace.jsonl", [(f"a {evil}", [f"c {evil} d"])])
    for form in ((), ("--all",), ("--json",), ("--markdown",), ("--patch",), ("--github",)):
        done = frameengine("diff", one, other, *form)
        assert done.code == 1
        assert all(is_visible(char) for char in done.out), form
        assert "1b" in done.out


@pytest.fixture
def graphs(tmp_path: Path) -> dict[str, Path]:
    """Return graphs beside the tool loop: the same, other names, another temperature in every request."""
    text = (DEFINITIONS / "tool-loop.toml").read_text(encoding="utf-8")
    texts = {
        "same": text,
        "renamed": text.replace('"output"', '"voice"'),
        "warmer": text + "\n[state.params]\ntemperature = 1\n",
    }
    paths = {}
    for name, changed in texts.items():
        paths[name] = tmp_path / f"{name}.toml"
        paths[name].write_text(changed, encoding="utf-8")
    return paths


def test_two_graphs_are_compared_on_one_trace(frameengine: Frameengine, weather: Path, graphs: dict[str, Path]) -> None:
    """The recorded inputs run through both: exit 0 where they do the same, 1 where not, and nothing is written."""
    before = sorted(weather.parent.iterdir())
    same = frameengine("diff", "--graph", "tool-loop", "--graph", graphs["same"], weather)
    assert (same.code, same.err) == (0, "")
    assert same.out.count("5 exact") == 2
    done = frameengine("diff", "--graph", graphs["same"], "--graph", graphs["renamed"], weather)
    assert done.code == 1
    assert "1.4 output → 1.4 voice" in done.out
    assert "renamed" in done.out
    assert "through" in done.out.split()
    as_json = frameengine("diff", "--graph", "tool-loop", "--graph", graphs["renamed"], weather, "--json")
    assert [rerun["verdict"] for rerun in as_json.json["reruns"]] == ["exact", "exact"]
    assert "frameengine-" not in as_json.out
    assert sorted(weather.parent.iterdir()) == before


def test_a_graph_that_asks_something_else_is_no_success(frameengine: Frameengine, weather: Path, graphs: dict[str, Path]) -> None:
    """A call without a reply is exit 4 with the nearest recorded ones; replies to other requests are never exit 0 unasked."""
    missed = frameengine("diff", "--graph", "tool-loop", "--graph", graphs["warmer"], weather)
    assert missed.code == 4
    assert "no reply for 1.1 model[0]" in missed.out
    assert "--policy slot or nearest" in missed.err
    loose = ("diff", "--graph", graphs["warmer"], "--graph", graphs["warmer"], weather, "--policy", "slot")
    done = frameengine(*loose)
    assert done.code == 1
    assert "✓ same" in done.out
    assert "approximate: " in done.out
    assert "got replies that were recorded for other requests" in done.err
    assert frameengine(*loose, "--json").json["ok"] is False
    assert frameengine(*loose, "--allow-approximate").code == 0


def test_the_files_of_a_rerun_are_not_named(frameengine: Frameengine, record: Record) -> None:
    """Where nothing can be compared, the error names the trace and the graphs, and no file that is gone already."""
    empty = record("empty", (Clear(), []))
    done = frameengine("diff", "--graph", "tool-loop", "--graph", "tool-loop", empty)
    assert done.code == 5
    assert "frameengine-" not in done.err


def test_the_demo_between_two_graphs(frameengine: Frameengine) -> None:
    """Ten messages of the demo through two shipped graphs: the model of the Director differs, and nothing else."""
    demo = Path(__file__).parents[2] / "traces" / "demo.trace.jsonl"
    done = frameengine(
        "diff", "--graph", "v3-framed", "--graph", "v2-director-drives", demo, "--policy", "slot", "--allow-approximate", "--json"
    )
    assert done.code == 1
    fields = [field["pointer"] for change in done.json["changes"] for field in change["fields"]]
    assert frozenset(fields) == {"/calls/0/request/model"}
    assert (done.json["cause"], len(fields)) == ("graph", 8)
    json.dumps(done.json)
