"""``frameengine debug`` in line mode: what a log shows, and that nothing is said which is not so."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import frameengine
from cli_runs import JACKET, MODEL, WEATHER, Done, Frameengine, Record, Scripted
from frameengine.debug import checkpoint, states
from frameengine.debug.debugger import Debugger
from frameengine.debug.pause import Approve
from frameengine.debug.place import Place
from frameengine.debug.stop import Stop
from frameengine.effects import Call
from frameengine.engine.driver import Run
from frameengine.engine.message import Engine
from frameengine.graph.loader import load_graph
from frameengine.graph.model import Graph
from frameengine.graph.registry import bind
from frameengine.inputs import SwitchGraph, UserMessage
from frameengine.jsonvalue import freeze
from frameengine.records import FrameTrace
from frameengine.state import RunState
from frameengine.trace.header import header
from frameengine.trace.writer import TraceWriter
from frameengine_cli.debugging.starting import Begin, closed
from pseudo_terminal import Terminal

DEFINITIONS = Path(frameengine.__file__).parent / "graph" / "definitions"


def typed(*lines: str) -> list[str]:
    """Return lines as options."""
    return [word for line in lines for word in ("-c", line)]


def told(done: Done) -> list[Any]:
    """Return the documents of a run with --json."""
    return [json.loads(line) for line in done.out.splitlines()]


@pytest.fixture
def torn(record: Record) -> Path:
    """Return a trace that ends inside its second frame, of whose two effects one has its outcome."""
    path = record("torn", WEATHER)
    lines = path.read_bytes().split(b"\n")
    outcomes = [index for index, line in enumerate(lines) if line.startswith(b'{"kind":"outcome"')]
    path.write_bytes(b"\n".join(lines[: outcomes[1] + 1]) + b"\n")
    return path


# ---------------------------------------------------------------------- logs


def test_a_log_shows_what_was_asked_before_what_was_answered(frameengine: Frameengine, weather: Path, tmp_path: Path) -> None:
    """Lines of options, of a file and of a pipe stand there with the place they were said at; for programs they do not."""
    script = tmp_path / "script.txt"
    script.write_text("goto 1.2\nzork\nstep\n", encoding="utf-8")
    asked = ["(start) goto 1.2", "(1.2) zork", "(1.2) step"]
    for done in (
        frameengine("debug", weather, *typed("goto 1.2", "zork", "step")),
        frameengine("debug", weather, "-x", script),
        frameengine("debug", weather, "--plain", stdin=script.read_bytes()),
    ):
        assert [line for line in done.out.splitlines() if line.startswith("(")] == asked
        assert done.out.index("(1.2) step") < done.out.index("1.3  frame 3 of 4")
    assert "(" not in frameengine("debug", weather, "--json", *typed("where")).out


def test_an_empty_line_of_a_file_does_nothing_in_a_terminal_either(weather: Path, tmp_path: Path) -> None:
    """Only somebody who types means "once more" by it: a script comes to the same place wherever it is run."""
    script = tmp_path / "script.txt"
    script.write_text("goto 1.1\nstep\n\nwhere\n", encoding="utf-8")
    with Terminal("debug", weather, "-x", script, cwd=tmp_path) as terminal:
        terminal.wait_for("(1.2) where")
        assert terminal.end() == 0


# ---------------------------------------------------------------------- frames that have no end


def test_what_a_broken_off_frame_has_can_be_looked_at(frameengine: Frameengine, torn: Path) -> None:
    """Its effects are listed, shown and edited; that it was never committed is said, and not that none has begun."""
    lines = typed("goto 1.2:1", "effects", "effect 1", "edit result 5", "frame")
    done = frameengine("debug", torn, "--damaged", *lines)
    assert "inside frame 2, which was never committed" in done.out
    assert done.out.count("sunny") == 3
    assert "1 result of 1.2 tools[0] forecast: 5" in done.out
    assert done.err.count("error:") == 1
    assert "frame 1.2 was never committed: only its effects are there" in done.err


def test_inside_a_frame_nothing_is_shown_that_comes_with_its_end(frameengine: Frameengine, weather: Path) -> None:
    """Output, emissions and changes are those of the end, where the state has them too; the whole frame says what it is."""
    for line in ("output", "emissions", "changes"):
        done = frameengine("debug", weather, *typed("goto 1.2:1", line))
        assert (done.code, f"{line} come with its end" in done.err, "try: step" in done.err) == (2, True, True)
    inside = frameengine("debug", weather, *typed("goto 1.2:1", "input", "frame"))
    assert (inside.code, "1.2:1 lies inside it: this is how it ended" in inside.out) == (0, True)
    assert "lies inside" not in frameengine("debug", weather, *typed("goto 1.2", "frame")).out


def test_a_state_that_is_not_known_is_never_told_without_saying_so(
    frameengine: Frameengine, weather: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Values, changes and expressions of a state that may be another one bear that note, for people and for programs."""
    lines = ["end", "state", "state model", "print state", "print before.model", "changes history", "changes model", "who model"]
    known = told(frameengine("debug", weather, "--json", *typed(*lines)))[1:]
    assert [document["doubt"] for document in known] == [None] * len(known)
    real = checkpoint.folded
    monkeypatch.setattr(states, "folded", lambda state, changes, contents: real(state, changes[:-1], contents))
    for document in told(frameengine("debug", weather, "--json", *typed(*lines)))[1:]:
        assert "whose digest was recorded" in document["doubt"], document["command"]
    people = frameengine("debug", weather, *typed(*lines)).out
    assert people.count("the state may be another one than the run had") == len(known)


# ---------------------------------------------------------------------- moves


def test_a_move_that_is_made_many_times_can_be_stopped_between_two(
    frameengine: Frameengine, weather: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody who stops it does not wait for the rest, and it says that it was stopped; a last move that is done is done."""
    arrive, come = Debugger._arrive, [0]

    def stopping(debugger: Debugger, place: Place, *rest: Any) -> Stop:
        come[0] += 1
        if come[0] == 2:
            debugger.stop()
        return arrive(debugger, place, *rest)

    monkeypatch.setattr(Debugger, "_arrive", stopping)
    for line, reason in (("step 5", "interrupted"), ("into 5", "interrupted"), ("step 2", "place")):
        come[0] = 0
        [document] = told(frameengine("debug", weather, "--json", *typed(line)))
        assert (document["place"]["frame"], document["reason"]) == (1, reason), line


def test_numbers_and_names_that_are_mistyped_are_refused(frameengine: Frameengine, weather: Path) -> None:
    """Two numbers where one is meant, no number, a name that no expression has: said at once, and no defect."""
    for line, said in (
        ("ignore 1,2 3", "number of a breakpoint"),
        ("ignore x 3", "number of a breakpoint"),
        ("ignore 9 3", "there is no breakpoint 9"),
        ("display stat.history", "did you mean state"),
        ("display call.name", "here it is calls[0]"),
    ):
        done = frameengine("debug", weather, *typed("break error", line))
        assert (done.code, said in done.err) == (2, True), (line, done.err)


def test_a_pointer_may_be_typed_without_its_slash(frameengine: Frameengine, weather: Path) -> None:
    """Wherever a value of the state is named."""
    for line in ("state history", "who history", "changes history", "watch history"):
        assert frameengine("debug", weather, *typed("end", line)).code == 0, line


# ---------------------------------------------------------------------- forks


def test_a_fork_that_stops_says_what_can_be_typed(frameengine: Frameengine, record: Record, tmp_path: Path) -> None:
    """Policies that would find a reply, and whoever may answer, each with what was said already; the first one does it."""
    weather, target = record("weather", WEATHER, JACKET), tmp_path / "my fork.jsonl"
    edit = ["goto 1.2", 'edit result #1 "snow"']
    done = told(frameengine("debug", weather, "--json", *typed(*edit, f"fork '{target}'")))[-1]
    assert done["try"] == [
        f"fork --policy slot '{target}'",
        f"fork --policy nearest '{target}'",
        f"fork --live '{target}'",
        f"fork --script FILE.toml '{target}'",
    ]
    people = frameengine("debug", weather, *typed(*edit, "fork"))
    assert (people.code, "fork --policy slot\n" in people.out) == (4, True)
    assert frameengine("debug", weather, *typed(*edit, done["try"][0])).code == 1
    assert target.exists()


def test_no_policy_is_offered_where_no_reply_would_do(frameengine: Frameengine, record: Record) -> None:
    """A call of a tool that no recorded one stands in for needs somebody who answers."""
    path = record("one", JACKET)
    wants = json.dumps(WEATHER[1][0])
    done = told(frameengine("debug", path, "--json", *typed("goto 1.1", f"edit reply {wants}", "fork")))[-1]
    assert done["try"] == ["fork --database NAME=FILE", "fork --script FILE.toml"]


@pytest.fixture
def switched(tmp_path: Path) -> Path:
    """Return a trace that goes over to a graph that only it names, a file."""
    shutil.copy(DEFINITIONS / "tool-loop.toml", tmp_path / "theirs.toml")
    path, first = tmp_path / "switched.trace.jsonl", bind(load_graph("tool-loop"))
    state = RunState(freeze({"history": (), "model": MODEL}))
    engine = Engine(first, state=state, switch=lambda name: bind(load_graph(name)))
    with TraceWriter(path, header(first, state=state)) as writer:
        run = Run(engine, Scripted(["one", "two"]), writer)
        for body in (UserMessage.of("hi"), SwitchGraph(graph=str(tmp_path / "theirs.toml")), UserMessage.of("again")):
            run.send(body)
        writer.seal()
    return path


def test_a_fork_imports_nothing_that_only_the_trace_names(
    frameengine: Frameengine, switched: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A graph file that an input switches to is loaded where the trace is trusted, as a replay does, and not else."""
    loaded: list[str] = []

    def noted(name: str) -> Graph:
        loaded.append(name)
        return load_graph(name)

    monkeypatch.setattr("frameengine.graph.loader.load_graph", noted)
    lines = typed("goto 1.1", "edit reply other", "fork --policy slot fork.trace.jsonl")
    refused = frameengine("debug", switched, *lines)
    assert (refused.code, "which is not a shipped one" in refused.err, "--trust" in refused.err) == (2, True, True)
    assert not [name for name in loaded if "theirs" in name]
    assert frameengine("debug", switched, "--trust", *lines).code in (0, 1)
    assert Path("fork.trace.jsonl").exists()


# ---------------------------------------------------------------------- options


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("REF", "--force"), "--force"),
        (("REF", "-o", "x.jsonl", "--pause", "off"), "--pause, -o"),
        (("--graph", "tool-loop", "--damaged"), "--damaged"),
        (("--graph", "tool-loop", "--trust", "--exchanges"), "--trust, --exchanges"),
    ],
)
def test_options_that_would_do_nothing_are_refused(
    frameengine: Frameengine, weather: Path, options: Sequence[str], said: str
) -> None:
    """An option for a run that is begun says so of a recorded one, and the other way round; all of them are named."""
    done = frameengine("debug", *[weather if each == "REF" else each for each in options], *typed("where"))
    assert (done.code, said in done.err, f"leave out {said}" in done.err) == (2, True, True)
    assert frameengine("debug", weather, "--theme", "dusk", *typed("where")).code == 2


# ---------------------------------------------------------------------- runs under way


def test_a_message_under_way_is_not_cut_off(frameengine: Frameengine) -> None:
    """In every list, for people and for programs; where the run breaks off it is."""
    begin = ["--graph", "tool-loop", "--reply", "one", "-o", "live.jsonl", "--force"]
    lines = typed("pause effects", "say hello", "messages", "list", "effects")
    documents = told(frameengine("debug", *begin, "--json", *lines))
    assert [documents[2]["messages"][0]["status"], documents[3]["message"]["status"]] == ["under way", "under way"]
    people = frameengine("debug", *begin, *lines)
    assert ("under way" in people.out, "cut off" in people.out) == (True, False)
    broken = frameengine("debug", *begin, *typed("say one", "say two", "@2", "list"))
    assert "cut off" in broken.out


def test_a_message_that_ends_while_somebody_leaves_is_not_open(tmp_path: Path) -> None:
    """What was under way and came to its end in time is done: nothing is said to be left, and the exit code is good."""
    run = Begin(graph="tool-loop", reply=("one",), databases={}, folder=tmp_path).session().live
    assert run is not None
    run.begin(UserMessage.of("hello"))
    while not isinstance(news := run._news.get(), FrameTrace):
        run._orders.put(Approve() if isinstance(news, Call) else None)
    # The end is there, and nobody has looked at it.
    run._news.put(news)
    said, code = closed(run)
    assert ("it is open" in said, code) == (False, 0)
