"""The benchmarks' own machinery, on sizes that take no time: a wrong ratio would be believed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from frameengine.jsonvalue import freeze
from frameengine.trace.reader import TraceReader
from frameengine.trace.verify import verify

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def root_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `benchmarks` be found, which is not installed, however pytest was started."""
    monkeypatch.syspath_prepend(str(ROOT))


@pytest.mark.parametrize(
    ("ratio", "at_least", "met"),
    [(9.9, False, True), (10, False, True), (10.1, False, False), (9.9, True, False), (10, True, True), (10.1, True, True)],
)
def test_a_figure_is_met_on_the_right_side_of_its_bound(ratio: float, at_least: bool, met: bool) -> None:
    """A figure meets a maximum from below and a minimum from above, the bound included, and its line says which."""
    from benchmarks.measure import Figure

    figure = Figure(name="a / b", ratio=ratio, bound=10, at_least=at_least)
    assert figure.met is met
    assert figure.line().startswith("ok " if met else "MISS ")
    assert ("≥ 10" if at_least else "≤ 10") in figure.line()


def _scripted(name: str, seconds: list[float], order: list[str]) -> Callable[[], float]:
    left = iter(seconds)

    def run() -> float:
        order.append(name)
        return next(left)

    return run


def test_rounds_take_turns_and_count_no_warm_up() -> None:
    """Variants run in turn, once more than asked for, and the first time of each is left out."""
    from benchmarks.measure import rounds

    order: list[str] = []
    times = rounds({"one": _scripted("one", [99, 1, 2, 6], order), "two": _scripted("two", [99, 4, 5, 4], order)}, 3)
    assert order == ["one", "two"] * 4
    assert times.rounds == {"one": (1, 2, 6), "two": (4, 5, 4)}
    assert times.median("one") == 2


def test_a_ratio_compares_within_a_round() -> None:
    """A ratio is the median of the rounds' ratios, so a machine that is slow for one round does not shift it."""
    from benchmarks.measure import Times

    times = Times({"one": (2.0, 20.0, 3.0), "floor": (1.0, 10.0, 1.0)})
    assert times.ratio("one", "floor") == 2
    assert times.ratio("floor", "one") == 0.5


def test_what_is_recorded_replays_and_a_changed_prompt_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The recorded pipeline holds five frames and four calls a message and replays the same, but not with another prompt."""
    from benchmarks import pipeline, recording

    path = tmp_path / "small.trace.jsonl"
    assert recording.record(path, 5) > 0
    with TraceReader(path) as reader:
        kinds = [line.kind for line in reader.lines()]
    messages = recording.WARM_UP + 5
    assert [kinds.count(kind) for kind in ("input", "frame", "outcome")] == [messages, 5 * messages, 4 * messages]
    recording.replay(path)
    monkeypatch.setitem(pipeline.SYSTEM, "director", freeze({"role": "system", "content": "You are somebody else."}))
    with pytest.raises(AssertionError):
        recording.replay(path)


def test_floors_write_and_read_the_lines_of_the_trace(tmp_path: Path) -> None:
    """The floor writes the very bytes that were recorded, so that it stands for the same work."""
    from benchmarks import recording

    path, target = tmp_path / "small.trace.jsonl", tmp_path / "floor.jsonl"
    recording.record(path, 5)
    assert recording.floor_of_writing(path, target) > 0
    assert target.read_bytes() == path.read_bytes()
    assert recording.floor_of_reading(path) > 0


@pytest.mark.parametrize(("graph", "path"), [("v3-framed", "director+interpreter"), ("v4-eras", "pa+expert+interpreter")])
def test_the_shipped_graphs_read_every_reply_of_the_cast(graph: str, path: str) -> None:
    """No reply that the benchmarks give needs a default, and no step is refused: a message does all of its work."""
    from benchmarks.cast import Cast
    from frameengine.engine.driver import Run
    from frameengine.engine.message import Engine
    from frameengine.graph.loader import load_graph
    from frameengine.graph.registry import bind
    from frameengine.hud.feed import Feed
    from frameengine.inputs import UserMessage

    bound, seen = bind(load_graph(graph)), list[Any]()
    run = Run(Engine(bound, instruments=[Feed(bound.graph, seen.append)]), Cast())
    assert [run.send(UserMessage.of(text)).path for text in ("one", "two")] == [path] * 2
    events = [event["event"] for event in seen]
    assert "controls" in events
    assert events.count("updated") == 2
    assert not [event for event in events if event in ("parse_failed", "tool_refused", "model_failed", "error")]


def test_a_session_is_measured_by_its_ends(tmp_path: Path) -> None:
    """Both ends of a conversation are timed and sealed, and memory that grows with every message is seen to grow."""
    from benchmarks import session

    first, last = session.tenths(tmp_path, 20)
    assert min(first, last) > 0
    assert [verify(tmp_path / name).counts.inputs for name in ("old.trace.jsonl", "new.trace.jsonl")] == [20, 2]
    assert min(session.framed(1), session.looped(1)) > 0
    early, late = session.bytes_held(5, 205, "tool-loop")
    assert late - early > 100 << 10


def test_peers_are_asked_for_the_same_work() -> None:
    """The peers' script asks the model as often as our pipeline, with as long a window of messages of the same length."""
    from benchmarks.peer_pipelines import LEAVES, WARM_UP, Script, kept
    from benchmarks.pipeline import CALLING, MESSAGE_CHARS, NODES, padded
    from frameengine.state import HISTORY_KEEP

    script = Script()
    state: dict[str, Any] = {"history": []}
    for number in range(WARM_UP + 1):
        state["text"] = padded(f"question {number}")
        for node in NODES:
            updates = script.step(node)(state)
            assert LEAVES[node] in updates
            state |= updates | {"history": kept(state["history"], updates.get("history", []))}
    assert script.calls == len(CALLING) * (WARM_UP + 1)
    assert script.given == 1 + HISTORY_KEEP
    assert [len(message["content"]) for message in state["history"]] == [MESSAGE_CHARS] * HISTORY_KEEP
    assert state["history"][-2]["content"] == state["text"]


def test_a_missing_peer_is_a_notice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its peers the topic measures nothing, names each with the way to get it, and raises nothing."""
    from benchmarks import peers

    names = ["burr", "langgraph", "langgraph-checkpoint-sqlite", "vcrpy"]
    monkeypatch.setattr(peers, "MODULES", {name: f"no_such_package.{name}" for name in names} | {"vcrpy": "no_such_module"})
    assert peers.skipped() == [f"{name} is not installed: pip install '.[bench]'" for name in names]
    assert list(peers.figures(tmp_path)) == []
    assert peers.vcr_seconds_a_call(tmp_path) is None


@pytest.mark.parametrize(("ratio", "status"), [(1.0, 0), (3.0, 1)])
def test_the_exit_code_says_whether_all_bounds_held(
    ratio: float, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command prints each figure and exits 1 as soon as one misses its bound."""
    from benchmarks import __main__ as command
    from benchmarks.measure import Figure

    def figures(folder: Path) -> Iterator[Figure]:
        assert folder.is_dir()
        yield Figure(name="good", ratio=1, bound=2)
        yield Figure(name="measured", ratio=ratio, bound=2)

    monkeypatch.setattr(command, "TOPICS", {"small": SimpleNamespace(figures=figures)})
    monkeypatch.setattr(sys, "argv", ["benchmarks", "small"])
    assert command.main() == status
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines[:2]] == ["good", "measured"]


def test_an_unknown_topic_is_a_usage_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A topic that does not exist exits 2 and names those that do."""
    from benchmarks import __main__ as command

    monkeypatch.setattr(sys, "argv", ["benchmarks", "speed"])
    assert command.main() == 2
    assert "no topic speed; there are recording, sizes" in capsys.readouterr().err


def test_moves_are_measured_at_all_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each kind of move is timed on a real trace, in every part of it, and a place that is visited is decoded and folded."""
    from benchmarks import debugging, recording
    from frameengine.debug.timeline import Timeline

    path = tmp_path / "small.trace.jsonl"
    recording.record(path, 5)
    monkeypatch.setattr(debugging, "STEPS", 5)
    timeline = Timeline(path)
    visited: list[int] = []
    visit = debugging.visit

    def noted(line: Timeline, index: int) -> None:
        visited.append(index)
        visit(line, index)

    monkeypatch.setattr(debugging, "visit", noted)
    found = list(debugging.moves(timeline))
    assert [figure.bound for figure in found] == [50, 50, 2]
    assert min(figure.ratio for figure in found) > 0
    tenth = (timeline.places - 1) // debugging.PARTS
    assert {(index - 1) // tenth for index in visited} >= set(range(debugging.PARTS))
    frames = [timeline.frame(timeline.place(index)) for index in visited]
    assert any(frame is not None and frame.calls for frame in frames)
