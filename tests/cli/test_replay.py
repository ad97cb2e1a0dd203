"""``frameengine replay``: the receipt, the report of a divergence, and what it says of the graph."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli_runs import JACKET, Frameengine, Record
from frameengine.effects import Outcome
from frameengine.engine.driver import Run
from frameengine.engine.message import Engine
from frameengine.graph.loader import load_graph
from frameengine.graph.registry import bind
from frameengine.inputs import SwitchGraph, UserMessage
from frameengine.jsonvalue import freeze
from frameengine.performers.scripted import Scripted
from frameengine.replay.divergence import Divergence
from frameengine.replay.replayer import ReplayResult
from frameengine.trace.header import header
from frameengine.trace.reader import Counts
from frameengine.trace.writer import TraceWriter
from frameengine_cli.graphs import choose_graph
from frameengine_cli.look import Look
from frameengine_cli.output import plain
from frameengine_cli.screens.divergence import difference, report
from rebuild import rebuild

OTHER_GRAPH = """
name = "shorter-loop"
version = 2

[entry]
UserMessage = "model"

[[nodes]]
name = "model"
implementation = "chat_model"

[[paths]]
label = "short"
when = "True"

[state]
history = []
"""

REPORT = """\
✗ diverged at input 2, frame 3, node model, call 0 (weather.trace.jsonl)
  differs   request  /messages/3/content
  recorded  It is [-sunny-] in Bern.
  replayed  It is {+raining+} in Bern.
  cause     prompt  changed: prompt answer
  graph     tool-loop v1
  compared  2 inputs, 6 frames, 5 calls up to here

the recorded side whole: frameengine show weather.trace.jsonl@2.3
"""


@pytest.fixture
def shorter(tmp_path: Path) -> Path:
    """Return a graph whose model's answer goes nowhere."""
    path = tmp_path / "shorter.toml"
    path.write_text(OTHER_GRAPH, encoding="utf-8")
    return path


def test_a_replay_that_is_the_same_gives_a_receipt(frameengine: Frameengine, weather: Path) -> None:
    """A line for each message, then verdict, counts, digest, graph, changes and that nothing was called; exit 0."""
    done = frameengine("replay", weather)
    assert done.code == 0
    first, second = done.out.splitlines()[:2]
    assert " ".join(first.split()) == "✓ 1 What will the weather be like in Ber… tools 4 frames 4 calls"
    assert second.startswith("✓    2  Do I need a jacket?")
    assert first.index("4 frames") == second.index("2 frames")
    for part in (
        "✓ same",
        "2 inputs, 6 frames, 5 calls",
        "sha256:",
        "as shipped with this version",
        "nothing since",
        "0 live calls",
    ):
        assert part in done.out
    assert done.err == ""


def test_quiet_leaves_the_receipt_only(frameengine: Frameengine, weather: Path) -> None:
    """--quiet prints no line for the messages."""
    assert frameengine("replay", weather, "--quiet").out.startswith("✓ same")


def test_the_digest_of_a_replay_is_the_one_of_the_file(frameengine: Frameengine, weather: Path) -> None:
    """A replay and a receipt state the same canonical digest and counts."""
    replayed, verified = frameengine("replay", weather, "--json").json, frameengine("verify", weather, "--json").json
    assert replayed["canonical"] == verified["canonical"]
    assert replayed["counts"] == verified["counts"] == {"inputs": 2, "frames": 6, "calls": 5}
    assert replayed["live_calls"] == 0


def test_another_graph_is_noticed(frameengine: Frameengine, weather: Path, shorter: Path) -> None:
    """A graph that takes another way diverges: exit 4, the place, both values and the graph as the cause."""
    done = frameengine("replay", weather, "--graph", shorter)
    assert done.code == 4
    for part in ("✗ diverged at input 1, frame 1, node model", "differs   route", "cause     graph", "shorter-loop v2 (--graph"):
        assert part in done.out
    assert done.out.startswith("✗    1  What will")


def test_a_divergence_as_json(frameengine: Frameengine, weather: Path, shorter: Path) -> None:
    """--json gives the divergence and an error in one document, with exit code 4."""
    done = frameengine("replay", weather, "--graph", shorter, "--json")
    assert done.code == 4
    assert done.json["ok"] is False
    assert done.json["verdict"] == "diverged"
    assert done.json["error"]["code"] == "determinism.diverged"
    assert done.json["divergence"]["kind"] == "route"


def test_the_shipped_graph_goes_before_the_recorded_one() -> None:
    """Without --graph the shipped graph of the recorded name is used, the recorded definition only where there is none."""
    recorded = load_graph("tool-loop").to_json()
    bound, used = choose_graph(freeze({"graph": recorded}), None)
    assert bound is not None
    assert used == "tool-loop v1 (as shipped with this version)"
    assert choose_graph(freeze({"graph": recorded}), "recorded") == (None, "tool-loop (the definition in the trace)")
    assert choose_graph(freeze({"graph": {**recorded, "name": "mine"}}), None) == (None, "mine (the definition in the trace)")


def test_the_replayed_run_can_be_kept(frameengine: Frameengine, weather: Path, tmp_path: Path) -> None:
    """-o writes the replayed run as a trace with the same canonical digest, and never over a file."""
    again = tmp_path / "again.trace.jsonl"
    assert frameengine("replay", weather, "-o", again).code == 0
    assert frameengine("verify", again, "--json").json["canonical"] == frameengine("verify", weather, "--json").json["canonical"]
    refused = frameengine("replay", weather, "-o", again)
    assert (refused.code, "--force" in refused.err) == (2, True)
    again.write_text("old", encoding="utf-8")
    assert frameengine("replay", weather, "-o", again, "--force").code == 0
    assert frameengine("verify", again).code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again.trace.jsonl", "traces"]


def test_the_replayed_run_never_takes_the_place_of_its_trace(frameengine: Frameengine, weather: Path) -> None:
    """Not even --force makes a replay write over what it reads."""
    before = weather.read_bytes()
    assert frameengine("replay", weather, "-o", weather, "--force").code == 2
    assert weather.read_bytes() == before


def test_a_message_that_did_not_end_well_says_so(frameengine: Frameengine, record: Record) -> None:
    """A recording that stops inside a message replays alike and is named as open, never as plainly good."""
    done = frameengine("replay", record("open", ("hello", [Outcome(status="not_recorded")])))
    assert done.code == 0
    assert "1 frame 1 call open" in " ".join(done.out.split())


def test_an_open_message_is_told_wherever_a_replay_says_same(
    frameengine: Frameengine, record: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Receipt, line, JSON, runs, JUnit and GitHub all say that the recording stops inside it: nothing behind it was compared."""
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    path = record("open", ("hi", ["hello"]), ("bye", [Outcome(status="not_recorded")]))
    stops = "the recording stops inside message 2"
    receipt = frameengine("replay", path, "--quiet")
    assert receipt.out.startswith("… same as far as it was recorded")
    assert stops in receipt.out
    assert frameengine("replay", path, "--json").json["open"] == [2]
    assert stops in frameengine("replay", path, path).out
    frameengine("replay", path, "--github", "--junit", tmp_path / "junit.xml")
    assert all(stops in (tmp_path / name).read_text(encoding="utf-8") for name in ("junit.xml", "summary.md"))
    assert stops in frameengine("replay", path, "--runs", "2").out
    assert receipt.code == 0


def test_the_columns_stand_below_each_other_whatever_the_status(frameengine: Frameengine, record: Record) -> None:
    """A message that is open does not push the columns of its line to the left."""
    stops = [Outcome(status="not_recorded")]
    path = record("open", ("What will the weather be like in Bern and in Basel? " * 3, ["fine"]), ("x " * 90, stops))
    first, second = frameengine("replay", path).out.splitlines()[:2]
    assert second.endswith(" open")
    assert first.index("1 call") == second.index("1 call")


def test_a_replay_with_the_graph_of_the_trace_claims_nothing_of_graph_files(
    frameengine: Frameengine, tmp_path: Path, shorter: Path
) -> None:
    """A graph that is not shipped comes from the trace, so the receipt does not say that nothing changed."""
    assert frameengine("run", "--graph", shorter, "-m", "hello", "-o", "mine.trace.jsonl").code == 0
    told = "no code or prompt since the recording; graph files were not looked at (--graph FILE)"
    assert told in frameengine("replay", "mine.trace.jsonl").out
    assert "nothing since the recording" in frameengine("replay", "mine.trace.jsonl", "--graph", shorter).out


def test_bisect_speaks_the_language_of_git(frameengine: Frameengine, weather: Path, shorter: Path, tmp_path: Path) -> None:
    """--bisect: 0 for the same, 1 for a divergence, 125 for what cannot be tested."""
    assert frameengine("replay", weather, "--bisect").code == 0
    assert frameengine("replay", weather, "--bisect", "--graph", shorter).code == 1
    assert frameengine("replay", tmp_path / "gone.trace.jsonl", "--bisect").code == 125
    assert frameengine("replay", weather, "--bisect", "--graph", "no-such-graph").code == 125
    assert frameengine("replay", "--bisect", "--no-such-option").code == 125


def test_a_bad_file_is_found_before_anything_is_claimed(frameengine: Frameengine, record: Record) -> None:
    """A trace without a seal is a bad file for replay, and no receipt is printed."""
    done = frameengine("replay", record("crashed", JACKET, seal=False))
    assert done.code == 3
    assert "same" not in done.out


def test_the_report_shows_place_values_and_cause() -> None:
    """A divergence is shown with its place, pointer, the differing words marked on both sides, and its cause."""
    found = Divergence(
        kind="request",
        input=2,
        frame=3,
        node="model",
        call=0,
        pointer="/messages/3/content",
        recorded="It is sunny in Bern.",
        replayed="It is raining in Bern.",
        cause="prompt",
        because="changed: prompt answer",
    )
    result = ReplayResult(
        path=Path("weather.trace.jsonl"),
        header=freeze({}),
        verdict="diverged",
        counts=Counts(inputs=2, frames=6, calls=5),
        canonical="0" * 64,
        divergence=found,
    )
    assert plain(report(result, found, "tool-loop v1", Look(boxes=False), typed="weather.trace.jsonl")) == REPORT


def test_the_report_names_the_nearest_call_and_what_follows() -> None:
    """An extra call is shown with the recorded call most like it, a changed outcome with its first consequence."""
    follows = Divergence(kind="output", input=1, frame=2, node="output", pointer="/output/text", recorded="a", replayed="b")
    nearest = freeze(
        {"key": [1, 1, "model", 0], "used": True, "kind": "request", "pointer": "/model", "recorded": "x", "replayed": "y"}
    )
    found = Divergence(
        kind="extra",
        input=1,
        frame=1,
        node="model",
        call=1,
        recorded="(nothing)",
        replayed="z",
        nearest=nearest,
        consequence=follows,
    )
    result = ReplayResult(path=Path("x"), header=freeze({}), verdict="diverged", counts=Counts(), canonical="")
    shown = plain(report(result, found, "g", Look(boxes=False)))
    for part in (
        "recorded call 1.1 model[0], used by another call",
        "differs in request /model",
        "what follows from it",
        "[-a-]",
        "{+b+}",
    ):
        assert part in shown


def test_long_values_show_what_is_around_the_difference() -> None:
    """In a long text the differing word is shown with its neighbours, not the whole text."""
    before, after = "start " + "same " * 500, " same" * 500 + " end"
    recorded, replayed = difference(f"{before}old{after}", f"{before}new{after}")
    assert "[-old-]" in recorded.plain
    assert "{+new+}" in replayed.plain
    assert len(recorded.plain) < 300
    assert recorded.plain.startswith(" … ")
    assert recorded.plain.endswith(" … ")


# ---------------------------------------------------------------------- code that only the trace names


NODE = """
from frameengine.effects import ModelCall
from frameengine.node import NodeResult


class Leaves:
    async def run(self, message, ctx):
        await ctx.perform(ModelCall(model="m", messages=[]))
        raise SystemExit(0)


class Asks:
    async def run(self, message, ctx):
        await ctx.perform(ModelCall(model="m", messages=[]))
        return NodeResult()
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Return a function that records a run of a graph of the user's own, whose one node is of a class of the user's own."""
    (tmp_path / "own_nodes_for_replay.py").write_text(NODE, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(kind: str) -> Path:
        graph, path = tmp_path / "own.toml", tmp_path / "own.trace.jsonl"
        text = OTHER_GRAPH.replace("shorter-loop", "own").replace("chat_model", f"own_nodes_for_replay:{kind}")
        graph.write_text(text, encoding="utf-8")
        bound = bind(load_graph(graph))
        with TraceWriter(path, header(bound)) as writer:
            Run(Engine(bound), Scripted({"model": ["x"]}), writer).send(UserMessage.of("hi"))
            writer.seal()
        return path

    return make


def test_code_that_only_the_trace_names_needs_trust(
    frameengine: Frameengine, own: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without --graph or --trust a replay imports nothing that is not registered, and says what to do; exit 2."""
    path = own("Asks")
    monkeypatch.delitem(sys.modules, "own_nodes_for_replay")
    for more in ((), ("--graph", "recorded")):
        refused = frameengine("replay", path, *more)
        assert refused.code == 2
        assert "own_nodes_for_replay:Asks" in refused.err
        assert "--graph FILE, or say --trust" in refused.err
    assert "own_nodes_for_replay" not in sys.modules
    assert frameengine("replay", path, "--trust").code == 0
    assert frameengine("replay", path, "--graph", tmp_path / "own.toml").code == 0
    assert frameengine("replay", path, path, "--trust").code == 0


def test_a_node_that_wants_to_leave_the_process_gets_a_verdict(frameengine: Frameengine, own: Callable[[str], Path]) -> None:
    """SystemExit of a node is its error: recorded, replayed and compared, with the place where it was raised."""
    path = own("Leaves")
    done = frameengine("replay", path, "--trust")
    assert (done.code, "✓ same" in done.out) == (0, True)
    shown = frameengine("show", f"{path}@1.1").out
    assert "builtins.SystemExit" in shown
    assert "raised at own_nodes_for_replay.py:9" in shown


def test_a_command_that_wants_to_leave_the_process_is_a_defect(
    frameengine: Frameengine, weather: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SystemExit from inside a command never ends it with an exit code that says all is well."""

    def leaves(*_: object, **__: object) -> None:
        raise SystemExit(0)

    monkeypatch.setattr("frameengine_cli.graphs.choose_graph", leaves)
    done = frameengine("replay", weather)
    assert done.code == 70
    assert "SystemExit" in done.err
    assert frameengine("replay", "--help").code == 0


def test_a_switch_to_what_is_no_shipped_graph_needs_trust(
    frameengine: Frameengine, own: Callable[[str], Path], tmp_path: Path
) -> None:
    """An input that names a graph file loads it only when its user says so; the receipt names every graph."""
    own("Asks")
    target = str(tmp_path / "own.toml")
    path = tmp_path / "switch.trace.jsonl"
    bound = bind(load_graph("tool-loop"))
    with TraceWriter(path, header(bound)) as writer:
        run = Run(Engine(bound, switch=lambda name: bind(load_graph(name))), Scripted({"model": ["x", "y", "z"]}), writer)
        for body in (UserMessage.of("hi"), SwitchGraph(graph=target), UserMessage.of("ho"), SwitchGraph(graph="tool-loop")):
            run.send(body)
        writer.seal()
    refused = frameengine("replay", path)
    assert refused.code == 2
    assert "which is not a shipped one" in refused.err
    assert "say --trust" in refused.err
    done = frameengine("replay", path, "--trust", "--json")
    assert done.code == 0
    assert [part.split()[0] for part in done.json["graph"].split(", then ")] == ["tool-loop", "own", "tool-loop"]


def test_the_report_says_where_the_replay_raised() -> None:
    """An error in the replay is shown with the line in the node's own code."""
    found = Divergence(kind="error", input=1, frame=2, node="orders", where="triage.py:41")
    result = ReplayResult(path=Path("x"), header=freeze({}), verdict="diverged", counts=Counts(), canonical="")
    assert "raised at  triage.py:41" in plain(report(result, found, "g", Look(boxes=False)))


def test_a_message_whose_outcome_was_changed_gets_no_tick(frameengine: Frameengine, weather: Path, tmp_path: Path) -> None:
    """A reply that was changed in the first message is marked there, though what follows from it is found later or never."""
    changed = tmp_path / "changed.trace.jsonl"

    def edit(line: dict[str, Any]) -> dict[str, Any]:
        if line["kind"] == "outcome" and line["key"][0] == 1 and line["effect"] == "model":
            line["outcome"]["value"]["finish_reason"] = "another"
        return line

    rebuild(weather, changed, edit)
    done = frameengine("replay", changed)
    assert done.code == 4
    assert done.out.startswith("✗    1")


def test_a_record_without_digests_is_not_called_unchanged(frameengine: Frameengine, weather: Path, tmp_path: Path) -> None:
    """Where the header does not say which code ran, the receipt does not claim that nothing changed."""
    bare = tmp_path / "bare.trace.jsonl"

    def edit(line: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in line.items() if name != "fingerprint"}

    rebuild(weather, bare, edit)
    done = frameengine("replay", bare)
    assert done.code == 0
    assert "nothing since" not in done.out
    assert "unknown" in done.out
