"""Breakpoints, watchpoints and histories against a brute-force search, on random runs and on real recordings."""

from __future__ import annotations

import lzma
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from brute import NOWHERE, POINTERS, POINTS, Hit, Spot, changed, changers, spots
from frameengine.debug import facts, history, matching, watching
from frameengine.debug.breakpoints import Breakpoints
from frameengine.debug.debugger import Debugger
from frameengine.debug.history import changes, who
from frameengine.debug.place import START
from frameengine.debug.stop import Hit as Found
from frameengine.debug.stop import Stop
from frameengine.debug.timeline import Timeline
from frameengine.errors import UsageError
from frameengine.importers.openai import import_messages, read_conversations
from frameengine.jsonvalue import thaw
from toy import random_run

SEEDS = 200
QUICK = 8


def errors(found: list[Spot]) -> list[Hit]:
    """Return failed effects and failed nodes, in order of the records."""
    hits = []
    for spot in found:
        for record in spot.records:
            failed = [made for made in spot.made(record) if made.outcome.status == "error"]
            hits += [(str(spot.place), made.key.node, made.key.call) for made in failed]
            if record.get("error") is not None:
                hits.append((str(spot.place), record["node"], -1))
    return hits


def of(hit: Found) -> Hit:
    """Return a hit as the brute-force search tells it."""
    return str(hit.place), hit.node, -1 if hit.key is None else hit.key.call


def listed(points: Breakpoints, text: str) -> list[Hit]:
    """Return the hit list of a breakpoint; empty where it is said to hit never."""
    try:
        return [of(hit) for hit in points.hits(points.parse(text))]
    except UsageError as error:
        if "never" not in error.fields:
            raise
        return []


def all_stops(debugger: Debugger, *, back: bool) -> list[Stop]:
    """Go on to the end, or back to the start, and return every stop on the way."""
    stops = []
    while (stop := debugger.resume(back=back)).reason not in ("start", "end"):
        stops.append(stop)
    return stops


def check_moves(timeline: Timeline, text: str, hits: list[Hit]) -> None:
    """Check that going forwards and backwards stops at just the places of a hit list."""
    debugger = Debugger(timeline)
    debugger.breakpoints.add(text)
    ahead = all_stops(debugger, back=False)
    assert [of(hit) for stop in ahead for hit in stop.hits] == hits
    assert debugger.breakpoints.count(1) == len(ahead) == len(dict.fromkeys(place for place, _, _ in hits))
    behind = all_stops(debugger, back=True)
    # What holds at the very end is where the way back begins, and does not stop it.
    assert [stop.hits for stop in reversed(behind)] == [stop.hits for stop in ahead if stop.where != timeline.last]
    assert debugger.place == START


def check_run(path: Path) -> None:
    """Check every breakpoint and pointer on one run."""
    found, timeline = spots(path), Timeline(path)
    points = Breakpoints(timeline)
    for text, expected in {**POINTS, "error": errors}.items():
        hits = expected(found)
        assert listed(points, text) == hits, text
        if hits:
            check_moves(timeline, text, hits)
    for pointer in POINTERS:
        check_pointer(timeline, found, pointer)


def check_pointer(timeline: Timeline, found: list[Spot], pointer: str) -> None:
    """Check watchpoint, history and `who` of one pointer at every place."""
    expected = changers(found, pointer)
    stops = changed(found, pointer)
    if not stops and all(NOWHERE in (before, after) for _, _, before, after in expected):
        with pytest.raises(UsageError):
            Breakpoints(timeline).watch(pointer)
        return
    told = [
        (str(one.place), one.node or one.input, _plain(one.before, one.made), _plain(one.after, one.gone))
        for one in changes(timeline, pointer)
    ]
    assert told == expected
    for spot in found:
        newest = [one for one in expected if _order(one[0]) <= (spot.place.message, spot.place.frame)]
        last = who(timeline, pointer, spot.place)
        assert (last and (str(last.place), last.node or last.input)) == (newest[-1][:2] if newest else None)
    if stops:
        points = Breakpoints(timeline)
        watched = [(str(hit.place), hit.before, hit.after) for hit in points.hits(points.watch(pointer))]
        assert [(place, thaw(before), thaw(after)) for place, before, after in watched] == [
            (place, _none(before), _none(after)) for place, before, after in stops
        ]
        check_moves(timeline, pointer, [of(hit) for hit in points.hits(points.parse(pointer))])


def _order(place: str) -> tuple[int, int]:
    message, frame = place.split(".")
    return int(message), int(frame)


def _plain(value: Any, missing: bool) -> Any:
    return NOWHERE if missing else thaw(value)


def _none(value: Any) -> Any:
    return None if value == NOWHERE else value


@pytest.mark.parametrize("seed", range(QUICK))
def test_hits_and_histories_of_random_runs_are_those_of_a_brute_force_search(seed: int, tmp_path: Path) -> None:
    """On a random run, breakpoints of every kind, watchpoints, changes and `who` say what a slow search says (C175)."""
    path = tmp_path / "random.trace.jsonl"
    random_run(path, seed)
    check_run(path)


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(QUICK, SEEDS))
def test_hits_and_histories_of_many_random_runs_are_those_of_a_brute_force_search(seed: int, tmp_path: Path) -> None:
    """On 200 random runs, breakpoints of every kind, watchpoints, changes and `who` say what a slow search says (C175)."""
    path = tmp_path / "random.trace.jsonl"
    random_run(path, seed)
    check_run(path)


def test_the_random_runs_have_something_of_every_kind(tmp_path: Path) -> None:
    """Among the runs of every push each breakpoint hits somewhere and each pointer changes, or the comparison shows nothing."""
    texts, pointers = {*POINTS, "error"}, {*POINTERS}
    for seed in range(QUICK):
        path = tmp_path / f"{seed}.trace.jsonl"
        random_run(path, seed)
        found = spots(path)
        texts -= {text for text, expected in {**POINTS, "error": errors}.items() if expected(found)}
        pointers -= {pointer for pointer in POINTERS if changed(found, pointer)}
    assert not texts
    assert not pointers


def planted(monkeypatch: pytest.MonkeyPatch, defect: str) -> None:
    """Put a defect into the search."""
    if defect == "a filter that is too narrow":
        monkeypatch.setattr(matching, "needle", lambda point: b'"never written"' if point.on == "tool" else None)
    elif defect == "only the first hit of a frame":
        found = matching.Finder.at
        monkeypatch.setattr(matching.Finder, "at", lambda finder, moment: found(finder, moment)[:1])
    elif defect == "the state of another place":
        monkeypatch.setitem(facts._OF_MOMENT, "state", lambda moment: moment.timeline.state(START).sections)
    elif defect == "a change that is overlooked":
        monkeypatch.setattr(watching, "values", lambda *_: None)
    elif defect == "inputs change nothing":
        made = history.at
        monkeypatch.setattr(history, "at", lambda *place: [one for one in made(*place) if one.node])
    elif defect == "back past the first":
        move = Debugger._move
        ways = {False: move, True: lambda debugger, *_, **__: debugger._arrive(START, "start")}
        monkeypatch.setattr(Debugger, "_move", lambda debugger, done, back: ways[back](debugger, done, back=back))


@pytest.mark.parametrize(
    "defect",
    [
        "a filter that is too narrow",
        "only the first hit of a frame",
        "the state of another place",
        "a change that is overlooked",
        "inputs change nothing",
        "back past the first",
    ],
)
def test_a_defect_in_the_search_is_noticed(defect: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The comparison with the brute-force search fails for a search that has a defect."""
    path = tmp_path / "random.trace.jsonl"
    random_run(path, 20)
    check_run(path)
    planted(monkeypatch, defect)
    with pytest.raises((AssertionError, UsageError)):
        check_run(path)


# ---------------------------------------------------------------------- real recordings


def tau_bench(folder: Path, target: Path, every: int) -> Iterator[tuple[list[Any], Path]]:
    """Yield each *every*-th conversation of tau-bench, plain, and the trace that it was imported to."""
    data = lzma.decompress((folder / "tau-bench" / "gpt-4o-airline.jsonl.xz").read_bytes())
    for number, conversation in enumerate(islice(read_conversations(data, "tau-bench"), 0, None, every)):
        path = target / f"{number}.trace.jsonl"
        import_messages(conversation, path)
        yield thaw(conversation.messages), path


def walked(path: Path) -> Timeline:
    """Return the timeline of a trace, walked to its end and back, frame by frame and effect by effect."""
    timeline = Timeline(path)
    for move in (Debugger.step, Debugger.into, Debugger.next):
        debugger, ahead, behind = Debugger(timeline), [START], [START]
        while move(debugger).reason == "place":
            ahead.append(debugger.place)
        behind.append(debugger.place)
        while move(debugger, back=True).reason == "place":
            behind.append(debugger.place)
        assert ahead[1:] == behind[1:][::-1][1:] if move is not Debugger.next else ahead[-1] == timeline.last
        assert ahead[-1] == timeline.last
        assert debugger.place == START
    return timeline


def check_conversation(conversation: list[Any], path: Path) -> None:
    """Check each kind of breakpoint against the messages that were imported: the same ones, in their order."""
    timeline = walked(path)
    points = Breakpoints(timeline)
    replies = [message for message in conversation if message["role"] == "assistant"]
    asked = [call["function"]["name"] for reply in replies for call in reply.get("tool_calls") or ()]
    results = [str(message["content"]) for message in conversation if message["role"] == "tool"]
    turns = sum(message["role"] == "user" for message in conversation)
    models, tools = listed(points, "effect model"), listed(points, "effect tool")
    # Where the recording stops, a model was asked whose reply nobody recorded.
    assert len(models) in (len(replies), len(replies) + 1)
    assert (len(tools), len(results)) == (len(asked), len(asked))

    def nth(text: str, among: list[Hit]) -> list[int]:
        return [among.index(hit) for hit in listed(points, text)]

    for tool in (*dict.fromkeys(asked), "no_such_tool"):
        expected = [number for number, called in enumerate(asked) if called == tool]
        assert nth(f"tool {tool}", tools) == nth(f"if call.kind == 'tool' and call.name == '{tool}'", tools) == expected
    words = dict.fromkeys(re.findall(r"\b[A-Z0-9]{6}\b", " ".join([str(reply.get("content")) for reply in replies])))
    for word in islice(words, 4):
        written = [str([reply.get("content"), reply.get("tool_calls")]) for reply in replies]
        for text in (f"text {word}", f"regex (?i){word.lower()}"):
            told = [of(hit) for hit in points.hits(points.parse(text)) if "reply of model" in hit.what]
            assert [models.index(hit) for hit in told] == [number for number, text in enumerate(written) if word in text]
        condition = f"call.status == 'ok' and '{word}' in call.reply.text"
        said_by = [number for number, reply in enumerate(replies) if word in (reply.get("content") or "")]
        assert nth(f"effect model if {condition}", models) == said_by
    wrong = [number for number, result in enumerate(results) if "Error" in result]
    assert nth("effect tool if call.status == 'ok' and 'Error' in call.reply", tools) == wrong
    check_messages(timeline, points, turns)
    for text in ("effect tool", "node model", "/history"):
        if hits := listed(points, text):
            check_moves(timeline, text, hits)


def check_messages(timeline: Timeline, points: Breakpoints, turns: int) -> None:
    """Check the kinds that are about messages and frames, and those that hold nowhere in a recording of this kind."""
    rows = timeline.messages
    first = [str(row.number) + ".1" for row in rows if row.type == "UserMessage"]
    assert len(first) == turns
    for text in ("frame 1", "if type == 'UserMessage' and frame == 1", "node model if frame == 1"):
        assert list(dict.fromkeys(place for place, _, _ in listed(points, text))) == first
    for kind in ("path", "status"):
        for value in dict.fromkeys(getattr(row, kind) for row in rows):
            ends = [f"{row.number}.{row.frames}" for row in rows if getattr(row, kind) == value]
            assert [place for place, _, _ in listed(points, f"{kind} {value}")] == ends
    shown = [place for place, _, _ in listed(points, "emission text")]
    assert shown == [place for place, _, _ in listed(points, "if len(emissions) > 0 and emissions[0].event == 'text'")] != []
    assert listed(points, "error") == listed(points, "divergence") == listed(points, "model no-such-model") == []


@pytest.mark.data
def test_breakpoints_on_real_recordings_hit_where_the_conversation_says(data_dir: Path, tmp_path: Path) -> None:
    """On ten tau-bench recordings each kind hits as often as the conversation has it, and walking there and back works."""
    for conversation, path in tau_bench(data_dir, tmp_path, 10):
        check_conversation(conversation, path)


@pytest.mark.data
@pytest.mark.nightly
def test_breakpoints_on_all_real_recordings_hit_where_the_conversation_says(data_dir: Path, tmp_path: Path) -> None:
    """On all tau-bench recordings each kind hits as often as the conversation has it, and walking there and back works."""
    count = 0
    for conversation, path in tau_bench(data_dir, tmp_path, 1):
        check_conversation(conversation, path)
        count += 1
    assert count == 100
