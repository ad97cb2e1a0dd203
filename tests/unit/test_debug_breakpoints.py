"""Breakpoints and watchpoints: how they are typed, numbered and counted, where moves stop, and what can never hit."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from documents import edited
from frameengine.debug import matching, never, patterns
from frameengine.debug.breakpoints import Breakpoint, Breakpoints, Watchpoint, parse_breakpoint
from frameengine.debug.debugger import Debugger
from frameengine.debug.facts import NAMES, check_names, facts
from frameengine.debug.history import changes, who
from frameengine.debug.place import START, Place
from frameengine.debug.points import KINDS, split_argument
from frameengine.debug.stop import Stop
from frameengine.debug.timeline import Timeline
from frameengine.errors import ExpressionError, FrameEngineError, UnknownRef, UsageError
from frameengine.expr import compile_expression
from frameengine.inputs import Clear, StateEdit, SwitchGraph, UserMessage
from frameengine.jsonvalue import thaw
from frameengine.node import NodeResult
from frameengine.replay.replayer import Replayer, ReplayResult
from frameengine.state import Change
from sample_traces import record as record_sample
from toy import Echo, bound, record


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a conversation of three messages, each of which asks a model, a tool, a model again, and says the answer."""
    return record_sample(tmp_path_factory.mktemp("debug") / "talk.trace.jsonl")


@pytest.fixture
def debugger(path: Path) -> Debugger:
    """Return a debugger at the start of the conversation."""
    return Debugger(Timeline(path))


def told(stop: Stop) -> str:
    """Return reason and place of a stop, with what was hit."""
    return " ".join([stop.reason, str(stop.where), *[f"{hit.number}:{hit.node}" for hit in stop.hits]])


def walk(move: Callable[..., Stop], *, back: bool = False) -> list[str]:
    """Return every stop of a move until an end of the run."""
    stops: list[str] = []
    while not stops or not stops[-1].startswith(("start", "end")):
        stops.append(told(move(back=back)))
    return stops


# ---------------------------------------------------------------------- as they are typed

TYPED = [
    ("tool find", "tool", "find", None),
    ("  tool   find  ", "tool", "find", None),
    ("tool find if frame == 2", "tool", "find", "frame == 2"),
    ("text customers live if node == 'model'", "text", "customers live", "node == 'model'"),
    ("text 'a if b' if frame == 1", "text", "a if b", "frame == 1"),
    ('text "it\'s" ', "text", "it's", None),
    ("regex ^a|b$", "regex", "^a|b$", None),
    (r'regex "\d+ if "', "regex", r"\d+ if ", None),
    ("frame 2.3", "frame", "2.3", None),
    ("if frame == 2", "if", "", "frame == 2"),
    ("error if message == 1", "error", "", "message == 1"),
]


@pytest.mark.parametrize(("text", "kind", "argument", "condition"), TYPED)
def test_a_breakpoint_is_read_as_it_is_typed(text: str, kind: str, argument: str, condition: str | None, path: Path) -> None:
    """Kind, argument and condition are told apart, and what is shown of it reads as the same again."""
    points = Breakpoints(Timeline(path), growing=True)
    read = points.parse(text)
    assert isinstance(read, Breakpoint)
    assert (read.on, read.argument, read.condition and read.condition.text) == (kind, argument, condition)
    assert points.parse(read.text) == read
    assert read.to_json()["text"] == read.text


@settings(max_examples=300)
@given(st.text(st.sampled_from("ab if\"'\\ "), min_size=1, max_size=12))
def test_an_argument_that_can_be_typed_is_shown_as_it_is_typed(argument: str) -> None:
    """An argument that is shown reads as itself, alone and with a condition, unless it holds both kinds of quotes."""
    shown = Breakpoint(on="text", argument=argument).text.partition(" ")[2]
    if "'" not in argument or '"' not in argument:
        assert split_argument(shown) == (argument, "")
        assert split_argument(f"{shown} if x") == (argument, "x")


REFUSED = [
    ("toool find", "is no kind of breakpoint, at column 1", "did you mean: tool find"),
    ("find", "'find' is no kind of breakpoint", "did you mean: tool find$"),
    ("fnd if frame == 2", "'fnd' is no kind of breakpoint", "did you mean: tool find if frame == 2$"),
    ("xyzzy", "'xyzzy' is no kind of breakpoint", "such as: tool find; kinds are node, frame"),
    ("", "'' is no kind of breakpoint", "kinds are node, frame"),
    ("tool", "tool what?", "such as: tool find$"),
    ("path", "path what?", "such as: path tools$"),
    ("model", "model what?", "such as: model gpt-4o-mini$"),
    ("error 5", "error takes no argument, and there is '5'", "error if CONDITION"),
    ("if", "The condition is missing", "such as: if "),
    ("tool find if", "The condition is missing", "such as: if "),
    ("effect database", "is no kind of effect", "effect model, or effect tool"),
    ("status finished", "is no status of a message", "done"),
    ("frame two", "'two' is no place of a run", "such as 2, 2.3"),
    ("regex a(", r"is no regular expression: missing \), unterminated subpattern, at column 2", "text TEXT"),
    ("if nod == 'model'", "there is no 'nod', at column 1 of", "did you mean node"),
    ("tool find if frame == 2 and  statt.x", "there is no 'statt', at column 17 of", "did you mean state"),
    ("node modl", "can never hit: there is no node 'modl'", "did you mean model?"),
    ("tool fined", "can never hit: no tool 'fined' is ever called", "did you mean find?"),
    ("tool x", "can never hit: no tool 'x' is ever called", "there are find"),
    ("model gpt", "can never hit: no model 'gpt' is ever called", "there are none"),
    ("emission tetx", "can never hit: no node ever emits 'tetx'", "did you mean text?"),
    ("path tool", "can never hit: no message takes the path 'tool'", "did you mean tools?"),
    ("status failed", "can never hit: no message is 'failed'", "there are done"),
    ("frame 9", "can never hit: no message has a frame 9", "the longest one has 4"),
    ("frame 9.1", "can never hit: there is no place 9.1", "the last one is 3.4"),
    ("error", "can never hit: no node and no effect fails", "break on"),
    ("divergence", "can never hit: the code of now does everywhere what was recorded", "break on"),
    ("text never said", "can never hit: 'never said' is in no request and in no reply", r"regex \(\?i\)"),
    ("regex never.said", "can never hit: 'never.said' is in no request", r"regex \(\?i\)"),
    ("if state.historie", "the state never has a section 'historie'", "did you mean history?"),
    ("tool find if frame == 1", r"its condition does not hold anywhere \(asked 3 times\)", r"goto 1\.2, then print frame == 1$"),
    (
        "tool find if call.request.argument.n == 2",
        "there is no member 'argument'",
        r"goto 1\.2, then print calls\[0\]\.request\.argument\.n == 2$",
    ),
    ("tool find if n == 2", "there is no 'n'", r"did you mean call\.request\.arguments\.n\?$"),
    (
        "if output.goal == 1",
        r"asked 12 times and could never be evaluated: null has no member 'goal'",
        r"goto 1\.1, then print out",
    ),
    ("if frame > 'a'", "could never be evaluated: a number cannot be compared with text", "goto 1.1, then print frame > 'a'$"),
    ("/historie", "nothing ever stands at /historie", "did you mean /history?"),
    ("/history/900", "nothing ever stands at /history/900", "did you mean /history/"),
    ("/", "is no pointer into the state", "such as /memory/topic"),
]


@pytest.mark.parametrize(("text", "message", "hint"), REFUSED)
def test_what_is_mistyped_or_can_never_hit_is_said_at_once(text: str, message: str, hint: str, path: Path) -> None:
    """A breakpoint that cannot be read, or can hit nowhere in this run, is refused with the place and the way out."""
    points = Breakpoints(Timeline(path))
    with pytest.raises(UsageError, match=message) as refused:
        points.add(text)
    assert re.search(hint, refused.value.hint), refused.value.hint
    assert points.all() == []


def test_an_error_in_a_condition_shows_its_place(path: Path) -> None:
    """A condition outside of the language is refused with the column of what is wrong in it."""
    with pytest.raises(ExpressionError, match="at column 10") as refused:
        parse_breakpoint("tool find if call.x ==", Timeline(path))
    assert refused.value.fields["column"] == 10


def test_a_run_that_grows_may_still_bring_what_is_not_there(path: Path) -> None:
    """While a run is recorded, names that have not come yet are taken; what is mistyped is not."""
    points = Breakpoints(Timeline(path), growing=True)
    assert points.add("tool not_yet").text == "tool not_yet"
    assert points.watch("/later").pointer == "/later"
    with pytest.raises(UsageError, match="no kind of breakpoint"):
        points.add("toool x")


def test_a_pointer_is_no_breakpoint(path: Path) -> None:
    """Who asks for a breakpoint and types a pointer is told about watchpoints."""
    with pytest.raises(UsageError, match="is a pointer") as refused:
        parse_breakpoint("/history", Timeline(path))
    assert refused.value.hint == "watch /history"
    assert isinstance(Breakpoints(Timeline(path)).parse("/history"), Watchpoint)


def test_every_kind_has_its_search_and_its_reason() -> None:
    """No kind is without a search, or without words for why it can never hit."""
    from frameengine.debug import never

    assert set(KINDS) == set(matching._ABOUT) == set(never._WHY)


def test_the_page_lists_every_kind_and_every_name() -> None:
    """The tables of docs/debugging.md have each kind of breakpoint and each name of a condition, in the order of the code."""
    page = (Path(__file__).parents[2] / "docs" / "debugging.md").read_text(encoding="utf-8")
    for heading, known in (("| kind | argument |", KINDS), ("| name | value |", NAMES)):
        table = page[page.index(heading) :].split("\n\n", 1)[0]
        assert tuple(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == known


def test_the_program_of_the_page_runs(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The Python on docs/debugging.md finds who wrote the history last."""
    page = (Path(__file__).parents[2] / "docs" / "debugging.md").read_text(encoding="utf-8")
    [program] = [block for block in re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL) if "def tell" in block]
    names: dict[str, Any] = {}
    exec(program.replace("call.status == 'error'", "call.status == 'ok'"), names)
    names["tell"](path)
    shown = capsys.readouterr().out
    assert "1.2 tools tool find\n2.2 tools tool find\n" in shown
    assert "node='model'" in shown


# ---------------------------------------------------------------------- numbers, counts, ignore, once


def test_numbers_run_on_and_are_never_used_again(debugger: Debugger) -> None:
    """Breakpoints and watchpoints share one row of numbers, and a number that was deleted does not come back."""
    points = debugger.breakpoints
    assert [points.add("tool find").number, points.watch("/history").number] == [1, 2]
    points.delete(2)
    assert points.add("node model").number == 3
    assert [(point.number, point.text) for point in points.all()] == [(1, "tool find"), (3, "node model")]
    for change in (
        points.delete,
        points.count,
        lambda number: points.enable(number, on=True),
        lambda number: points.ignore(number, 1),
    ):
        with pytest.raises(UsageError, match="there is no breakpoint 2") as refused:
            change(2)
        assert refused.value.hint == "there are 1, 3"


def test_hits_are_counted_passed_over_and_switched_off(debugger: Debugger) -> None:
    """An ignored stop counts as a hit, a disabled breakpoint has none, and one that is meant once goes with its stop."""
    points = debugger.breakpoints
    points.add("tool find", ignore=1)
    points.add("emission text", once=True)
    assert walk(debugger.resume) == ["breakpoint 1.4 2:output", "breakpoint 2.2 1:tools", "breakpoint 3.2 1:tools", "end 3.4"]
    assert [point.number for point in points.all()] == [1]
    assert points.count(1) == 3
    points.ignore(1, 2)
    assert walk(debugger.resume, back=True) == ["breakpoint 1.2 1:tools", "start start"]
    points.enable(1, on=False)
    assert walk(debugger.resume) == ["end 3.4"]
    assert points.count(1) == 6
    points.enable(1, on=True)
    assert walk(debugger.resume, back=True) == [
        "breakpoint 3.2 1:tools",
        "breakpoint 2.2 1:tools",
        "breakpoint 1.2 1:tools",
        "start start",
    ]
    with pytest.raises(UsageError, match="-1 stops"):
        points.ignore(1, -1)


def test_a_hit_list_moves_and_counts_nothing(debugger: Debugger) -> None:
    """`hits` finds all places of a breakpoint, added or only parsed, and leaves place, counts and ignores alone."""
    point = debugger.breakpoints.add("tool find", ignore=5, once=True)
    parsed = debugger.breakpoints.parse("tool find")
    assert (
        [str(hit.place) for hit in debugger.hits(point)]
        == [str(hit.place) for hit in debugger.hits(parsed)]
        == ["1.2", "2.2", "3.2"]
    )
    [first, *_] = debugger.hits(point)
    assert (first.node, str(first.key), first.what) == ("tools", "1.2 tools[0]", "tool find")
    assert (debugger.place, debugger.breakpoints.count(1), debugger.breakpoints.all()) == (START, 0, [point])


def test_several_hits_at_one_place_stop_once(debugger: Debugger) -> None:
    """A stop tells all that holds there, breakpoints before watchpoints, in order of their numbers."""
    debugger.breakpoints.watch("/history")
    debugger.breakpoints.add("tool find")
    debugger.breakpoints.add("node tools")
    assert told(debugger.resume()) == "watchpoint 1.1 1:model"
    assert told(debugger.resume()) == "breakpoint 1.2 2:tools 3:tools 1:tools"


# ---------------------------------------------------------------------- moves


def test_every_move_stops_at_what_lies_on_its_way(debugger: Debugger) -> None:
    """Step, next and run-to stop at a breakpoint in between; go does not."""
    debugger.breakpoints.add("tool find")
    assert [told(debugger.step()) for _ in range(3)] == ["place 1.0", "place 1.1", "breakpoint 1.2 1:tools"]
    assert [told(debugger.next()) for _ in range(3)] == ["place 1.4", "breakpoint 2.2 1:tools", "place 2.4"]
    assert told(debugger.run_to(Place(3, 4))) == "breakpoint 3.2 1:tools"
    assert told(debugger.run_to(Place(2, 2))) == "breakpoint 2.2 1:tools"
    assert told(debugger.run_to(Place(1, 1))) == "breakpoint 1.2 1:tools"
    assert told(debugger.run_to(Place(1, 1))) == "place 1.1"
    assert told(debugger.run_to(Place(1, 1))) == "place 1.1"
    assert told(debugger.go(Place(3, 3))) == "place 3.3"
    assert [told(debugger.next(back=True)) for _ in range(4)] == [
        "breakpoint 3.2 1:tools",
        "place 2.4",
        "breakpoint 2.2 1:tools",
        "place 1.4",
    ]
    assert [told(debugger.next(back=True)) for _ in range(3)] == ["breakpoint 1.2 1:tools", "place start", "start start"]
    with pytest.raises(UnknownRef):
        debugger.run_to(Place(9, 9))
    assert debugger.place == START


def test_from_inside_a_frame_its_end_still_lies_ahead(debugger: Debugger) -> None:
    """Going on from between two effects does not skip what holds in that frame; going back does not meet it."""
    debugger.breakpoints.add("tool find")
    inside = Place(2, 2, 1)
    for move in (debugger.resume, debugger.step, debugger.next):
        debugger.go(inside)
        assert told(move()) == "breakpoint 2.2 1:tools"
    debugger.go(inside)
    assert told(debugger.resume(back=True)) == "breakpoint 1.2 1:tools"
    debugger.go(inside)
    assert told(debugger.step(back=True)) == "place 2.1"
    assert told(debugger.run_to(inside)) == "place 2.2:1"
    assert told(debugger.run_to(Place(2, 2, 0))) == "place 2.2:0"
    assert told(debugger.run_to(inside)) == "place 2.2:1"
    assert told(debugger.run_to(Place(3, 2, 0))) == "breakpoint 2.2 1:tools"
    assert told(debugger.run_to(Place(3, 2, 0))) == "place 3.2:0"
    assert told(debugger.run_to(Place(2, 1))) == "breakpoint 2.2 1:tools"
    debugger.go(Place(3, 1))
    assert told(debugger.run_to(inside)) == "breakpoint 2.2 1:tools"
    assert told(debugger.run_to(inside)) == "place 2.2:1"
    assert [told(debugger.into()) for _ in range(2)] == ["breakpoint 2.2 1:tools", "place 2.3:0"]


def test_a_move_can_be_stopped_at_a_frame_boundary(path: Path) -> None:
    """A stop from outside ends the move that is under way where it is, and the next one goes on from there."""
    debugger = Debugger(Timeline(path))

    def stop_behind_the_second_frame(index: int) -> None:
        if index == 3:
            debugger.stop()

    debugger.progress = stop_behind_the_second_frame
    debugger.breakpoints.add("tool find if message == 3")
    assert told(debugger.resume()) == "interrupted 1.2"
    assert told(debugger.resume()) == "breakpoint 3.2 1:tools"
    debugger.stop()
    assert told(debugger.resume(back=True)) == "interrupted 1.2"
    assert told(debugger.resume(back=True)) == "start start"


def test_ctrl_c_in_a_pattern_that_takes_for_ever_loses_nothing(tmp_path: Path) -> None:
    """A pattern that goes back and forth without end is broken off by Ctrl-C, and the debugger stands where it had come to."""
    path = tmp_path / "a.trace.jsonl"
    record(path, bound({"a": _said("so far"), "b": _said("a" * 60 + "!")}))
    timeline = Timeline(path)
    points = Breakpoints(timeline, growing=True)
    points.add("regex ^(a+)+b$")

    def interrupt_soon(_: int) -> None:
        # The first frame is behind it: the signal comes in the midst of the second one's pattern.
        signal.setitimer(signal.ITIMER_REAL, 0.2)

    debugger = Debugger(timeline, points, progress=interrupt_soon)
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        debugger.go(Place(1, 0))
        assert told(debugger.resume()) == "interrupted 1.1"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert points.count(1) == 0


def _said(text: str) -> Any:
    """Return a node that calls a tool with a text and hands on."""

    async def work(message: Any, ctx: Any) -> NodeResult:
        from frameengine.effects import ToolCall
        from toy import Note

        await ctx.perform(ToolCall("say", {"text": text}))
        return NodeResult(Note(text=text))

    return work


def test_a_pattern_that_takes_for_ever_counts_as_a_hit_that_says_so(tmp_path: Path) -> None:
    """After its time a pattern is given up at this effect, which counts as a hit; the next effects are looked at as ever."""
    path = tmp_path / "a.trace.jsonl"
    record(path, bound({"a": _said("so far"), "b": _said("a" * 60 + "!"), "c": _said("aab")}))
    points = Breakpoints(Timeline(path))
    assert [(hit.node, hit.what) for hit in points.hits(points.parse("regex ^(a+)+b?$"))] == [
        ("b", "the pattern takes too long: look at request and reply of tool say"),
        ("c", "in the request of tool say"),
    ]


def test_a_pattern_that_takes_for_ever_everywhere_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """However long the run is, a pattern may lose only so much time in all; then it is named, and nothing has moved."""
    monkeypatch.setattr(patterns, "SECONDS", 0.1)
    monkeypatch.setattr(patterns, "ALL_SECONDS", 0.25)
    path = tmp_path / "a.trace.jsonl"
    record(path, bound({name: _said("a" * 60 + "!") for name in "abcde"}))
    debugger = Debugger(Timeline(path))
    point = debugger.breakpoints.add("regex ^(a+)+b$", ignore=9)
    for look in (lambda: list(debugger.hits(point)), debugger.resume, debugger.resume):
        with pytest.raises(UsageError, match=re.escape("regex ^(a+)+b$: this pattern takes too long")):
            look()
        assert debugger.place == START
    debugger.breakpoints.delete(point.number)
    assert told(debugger.resume()) == "end 1.5"


def test_a_long_run_is_asked_by_its_bytes_for_a_name_that_is_nowhere(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that stands nowhere in the file is refused without looking into a frame; one that does may still be typed."""
    monkeypatch.setattr(never, "LOOKED_THROUGH", 1)
    monkeypatch.setattr(matching.Finder, "at", None)
    points = Breakpoints(Timeline(path))
    for text in ("tool nowhere", "node nowhere", "emission nowhere", "model nowhere", "error", "tool nowhere if frame == 1"):
        with pytest.raises(UsageError, match="can never hit"):
            points.parse(text)
    for text in ("tool find", "node tools", "tool model", "text nowhere"):
        assert points.parse(text)


def test_an_expression_at_a_place_names_only_what_can_be_there(path: Path) -> None:
    """An unknown name is refused with its column and the nearest; call, which only a condition knows, with what is there."""
    check_names(compile_expression("len(calls) > 1 and state.history"))
    with pytest.raises(UsageError, match=r"no 'nothere', at column 9 of 'node == nothere'"):
        check_names(compile_expression("node == nothere"))
    with pytest.raises(UsageError, match="no 'call'") as caught:
        check_names(compile_expression("call.name"))
    assert "calls[0]" in caught.value.hint


def test_names_with_the_signs_of_pointers_are_followed(tmp_path: Path) -> None:
    """A section whose name has a tilde or a stroke is found however it is written, and its changes have who made them."""

    async def work(_message: Any, _ctx: Any) -> NodeResult:
        return NodeResult(None, [Change.set("/~2x", 1), Change.set("/a~1b~0c", {"d": 2})])

    path = tmp_path / "a.trace.jsonl"
    record(path, bound({"w": work}, state={"x": 0}))
    timeline = Timeline(path)
    for pointer in ("/~2x", "/~02x", "/a~1b~0c", "/a~1b~0c/d"):
        last = who(timeline, pointer, timeline.last)
        assert last is not None, pointer
        assert last.node == "w"
        points = Breakpoints(timeline)
        assert [str(hit.place) for hit in points.hits(points.watch(pointer))] == ["1.1"]


def test_a_text_too_long_for_a_pattern_counts_as_a_hit_that_says_so(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pattern does not run over a text beyond its bound, and such a text is never passed over in silence."""
    monkeypatch.setattr(matching, "REGEX_CHARS_MAX", 100)
    points = Breakpoints(Timeline(path))
    whats = [hit.what for hit in points.hits(points.parse("regex never said"))]
    assert whats
    assert all("characters, which is too long for a pattern" in what for what in whats)


def test_the_end_tells_of_a_condition_that_could_never_be_evaluated(path: Path) -> None:
    """A condition that lacks what it names at every place holds nowhere, and the end of the run says so."""
    points = Breakpoints(Timeline(path), growing=True)
    debugger = Debugger(Timeline(path), points)
    points.add("if output.goal == 'x'")
    points.add("if frame == 99")
    [note] = debugger.resume().notes
    assert re.match(r"1: the condition was asked 12 times and could never be evaluated: .*'goal'", note)


# ---------------------------------------------------------------------- what a condition sees


def test_the_facts_of_a_record_are_all_there(path: Path) -> None:
    """At the end of a frame a condition has every name but that of one effect, and of what was not recorded."""
    here = facts(Timeline(path), Place(2, 2))
    assert set(NAMES) - set(here) == {"call", "ms"}
    assert (here["message"], here["frame"], here["node"], here["phase"], here["type"]) == (2, 2, "tools", "main", "UserMessage")
    assert here["text"].startswith("Question 2")
    [call] = here["calls"]
    assert (call["kind"], call["name"], call["status"], call["error"]) == ("tool", "find", "ok", None)
    assert thaw(call["request"]) == {"name": "find", "arguments": {"n": 2}}
    assert call["reply"]["rows"][0] == (1, "Bern")
    assert (here["tools"], here["route"], here["error"]) == (("find",), ("model",), None)
    assert len(here["state"]["history"]) == len(here["before"]["history"]) + 1
    reply = facts(Timeline(path), Place(1, 3))["calls"][0]["reply"]
    assert set(reply) == {"text", "message", "finish_reason", "usage", "model"}
    assert reply["text"].endswith("That was question 1.")


def test_inside_a_frame_only_what_has_come_in_is_there(path: Path) -> None:
    """Between effects a condition has what the node was given, the outcomes that have arrived, and the state before."""
    timeline = Timeline(path)
    begun, arrived, done = (facts(timeline, place) for place in (Place(2, 2, 0), Place(2, 2, 1), Place(2, 2)))
    assert (begun["calls"], begun["node"], len(arrived["calls"])) == ((), "tools", 1)
    assert {"output", "error", "changes", "emissions", "route"}.isdisjoint(arrived)
    assert arrived["state"] == arrived["before"] == done["before"] != done["state"]
    with pytest.raises(UsageError, match=r"did not run at 2\.2") as refused:
        facts(timeline, Place(2, 2), "model")
    assert refused.value.hint == "here ran tools"
    assert set(facts(timeline, START)) == {"message", "frame", "state", "before"}


def test_a_message_without_frames_can_be_asked_for(tmp_path: Path) -> None:
    """A message that runs no node has its type, path and state, and a condition on them stops there."""
    path = tmp_path / "a.trace.jsonl"
    record(path, bound({"a": None}), [UserMessage.of("one"), Clear(), UserMessage.of("two")])  # type: ignore[dict-item]
    points = Breakpoints(Timeline(path))
    for text in ("if type == 'Clear'", "path clear", "if path == 'clear' and frame == 0"):
        assert [str(hit.place) for hit in points.hits(points.parse(text))] == ["2.0"]


# ---------------------------------------------------------------------- divergence, damage, doubt


def test_a_breakpoint_on_the_divergence_stops_where_strict_replay_differs(path: Path, tmp_path: Path) -> None:
    """The run is replayed once, and the frame that differs is the one place of the breakpoint, node and effect named."""

    def edit(whole: dict[str, Any]) -> None:
        whole["messages"][1]["frames"][1][0]["calls"][0]["request"]["arguments"]["n"] = 77

    changed = edited(path, tmp_path / "changed.trace.jsonl", edit)
    timeline, runs = Timeline(changed), []

    def replay() -> ReplayResult:
        runs.append(Replayer(changed).run())
        return runs[-1]

    points = Breakpoints(timeline, replay=replay)
    debugger = Debugger(timeline, points)
    points.add("divergence")
    stop = debugger.resume()
    assert told(stop) == "breakpoint 2.2 1:tools"
    assert (str(stop.hits[0].key), stop.hits[0].what) == ("2.2 tools[0]", "request /arguments/n")
    assert walk(debugger.resume) == ["end 3.4"]
    assert told(debugger.resume(back=True)) == "breakpoint 2.2 1:tools"
    assert len(runs) == 1


def test_a_divergence_cannot_be_found_without_the_code(tmp_path: Path) -> None:
    """Where the code of a run is not to be had, a breakpoint on its divergence says so, and what to do."""
    path = tmp_path / "a.trace.jsonl"
    record(path, bound({"a": _said("x")}))
    with pytest.raises(UsageError, match="where the run diverges cannot be found out") as refused:
        Breakpoints(Timeline(path)).add("divergence")
    assert "--graph" in refused.value.hint


def test_an_unfinished_frame_at_the_end_is_searched_as_well(path: Path, tmp_path: Path) -> None:
    """Where a recording breaks off inside a frame, the effects that it has are met there, forwards and backwards."""
    lines = path.read_bytes().split(b"\n")
    cut = next(number for number, line in enumerate(lines) if b'"kind":"outcome","key":[3,2' in line)
    broken = tmp_path / "broken.trace.jsonl"
    broken.write_bytes(b"\n".join(lines[: cut + 1]) + b"\n")
    debugger = Debugger(Timeline(broken, damaged=True))
    assert str(debugger.timeline.last) == "3.1"
    for text in ("tool find", "node tools", "text Bern", "if call.kind == 'tool'"):
        assert [str(hit.place) for hit in debugger.hits(debugger.breakpoints.parse(text))][-1] == "3.2:1"
    debugger.breakpoints.add("tool find if call.reply is not None and message == 3")
    assert walk(debugger.resume) == ["breakpoint 3.2:1 1:tools", "end 3.2:1"]
    assert told(debugger.step(back=True)) == "place 3.1"
    assert told(debugger.step()) == "breakpoint 3.2:1 1:tools"
    assert walk(debugger.resume, back=True) == ["start start"]
    debugger.go(debugger.timeline.last)
    assert [told(debugger.into()) for _ in range(3)] == ["place 3.2:0", "place 3.2:1", "end 3.2:1"]
    debugger.go(debugger.timeline.last)
    assert told(debugger.run_to(Place(3, 2, 1))) == "breakpoint 3.2:1 1:tools"
    assert told(debugger.next(back=True)) == "place 2.4"
    assert told(debugger.next()) == "breakpoint 3.2:1 1:tools"
    status = Breakpoints(debugger.timeline)
    assert [str(hit.place) for hit in status.hits(status.parse("status 'cut off'"))] == ["3.2:1"]


def test_a_state_in_doubt_is_said_with_the_stop(tmp_path: Path) -> None:
    """Where the state cannot be proven to be the one of the run, a stop that depends on it says why."""
    path = tmp_path / "a.trace.jsonl"
    graph = bound({"a": _said("x")})
    record(path, graph, ["one", SwitchGraph(graph="elsewhere"), "two"], switch=lambda _: graph)
    debugger = Debugger(Timeline(path))
    debugger.breakpoints.add("tool say if 'history' in state or frame == 1")
    debugger.breakpoints.add("frame 1 if message == 1")
    first, second = debugger.resume(), debugger.resume()
    assert (told(first), first.notes) == ("breakpoint 1.1 1:a 2:a", ())
    assert second.where == Place(3, 1)
    assert second.notes[0].startswith("the state may be another one than the run had: ")


# ---------------------------------------------------------------------- histories


def test_each_change_of_a_frame_has_its_node_and_its_values(tmp_path: Path) -> None:
    """Two nodes that change one value in one frame are told apart, and the watchpoint tells the sum of both."""

    def sets(value: int) -> Any:
        async def work(_message: Any, _ctx: Any) -> NodeResult:
            return NodeResult(None, [Change.set("/memory/topic", value)])

        return work

    async def fan(_message: Any, _ctx: Any) -> NodeResult:
        from toy import Note

        return NodeResult(Note(text="go"))

    from toy import edge

    path = tmp_path / "a.trace.jsonl"
    graph = bound({"root": fan, "x": sets(1), "y": sets(2)}, [edge("root", "x", "y")], state={"memory": {}})
    record(path, graph, ["one", Clear(), "two"])
    timeline = Timeline(path)
    told_of = [
        (str(one.place), one.node, one.input, one.before, one.after, one.made, one.gone)
        for one in changes(timeline, "/memory/topic")
    ]
    assert told_of == [
        ("1.2", "x", "", None, 1, True, False),
        ("1.2", "y", "", 1, 2, False, False),
        ("2.0", "", "Clear", 2, None, False, True),
        ("3.2", "x", "", None, 1, True, False),
        ("3.2", "y", "", 1, 2, False, False),
    ]
    assert who(timeline, "/memory/topic", Place(1, 1)) is None
    last = who(timeline, "/memory/topic", timeline.last)
    assert last is not None
    assert (last.op, last.to_json()["node"]) == ("set", "y")
    points = Breakpoints(timeline)
    hits = list(points.hits(points.watch("/memory/topic")))
    assert [(str(hit.place), hit.node, hit.before, hit.after, hit.what) for hit in hits] == [
        ("1.2", "y", None, 2, "set"),
        ("2.0", "", 2, None, "delete by Clear"),
        ("3.2", "y", None, 2, "set"),
    ]


def test_a_value_that_never_changes_cannot_be_watched(tmp_path: Path) -> None:
    """A watchpoint on a value that is the same from beginning to end is refused; its history is empty."""
    path = tmp_path / "a.trace.jsonl"
    record(path, bound({"a": _said("x")}, state={"history": [], "topic": "t"}))
    timeline = Timeline(path)
    with pytest.raises(UsageError, match="has the same value from beginning to end") as refused:
        Breakpoints(timeline).watch("/topic")
    assert refused.value.hint == "look at it with: state /topic"
    assert list(changes(timeline, "/topic")) == []
    assert who(timeline, "/topic", timeline.last) is None
    for call in (lambda: who(timeline, "/topik", timeline.last), lambda: list(changes(timeline, "/topik"))):
        with pytest.raises(FrameEngineError) as unknown:
            call()
        assert unknown.value.hint == "did you mean /topic?"


def test_true_is_another_value_than_one(tmp_path: Path) -> None:
    """Values that Python calls equal and JSON does not count as a change."""
    values = iter([1, True, True, 1.0])

    async def work(_message: Any, _ctx: Any) -> NodeResult:
        return NodeResult(None, [Change.set("/flag", next(values))])

    path = tmp_path / "a.trace.jsonl"
    record(path, bound({"a": work}, state={"flag": 0}), ["1", "2", "3", "4"])
    assert [str(one.place) for one in changes(Timeline(path), "/flag")] == ["1.1", "2.1", "4.1"]


def test_an_edit_by_hand_is_told_from_what_nodes_change(tmp_path: Path) -> None:
    """A state that somebody edited, before a message or during one, is the doing of the edit, at the place where it came in."""

    class Meddling(Echo):
        """Answers, and edits the state during the first message."""

        def __init__(self, made: Any) -> None:
            super().__init__()
            self.made = made

        def perform(self, ask: Any) -> Any:
            """Answer."""
            if self.made is not None:
                self.made.inbox.put(StateEdit([Change.set("/topic", "by hand")]))
                self.made = None
            return super().perform(ask)

    path = tmp_path / "a.trace.jsonl"
    graph = bound({"a": _said("x"), "b": _said("y")}, state={"history": [], "topic": "t"})
    record(path, graph, ["one", StateEdit([Change.set("/topic", "again")]), "two"], late=Meddling)
    timeline = Timeline(path)
    edits = [(str(one.place), one.node, one.input, one.before, one.after) for one in changes(timeline, "/topic")]
    assert edits == [("1.1", "", "StateEdit", "t", "by hand"), ("3.0", "", "StateEdit", "by hand", "again")]
    points = Breakpoints(timeline)
    assert [(str(hit.place), hit.what) for hit in points.hits(points.watch("/topic"))] == [
        ("1.1", "set by StateEdit"),
        ("3.0", "set by StateEdit"),
    ]
