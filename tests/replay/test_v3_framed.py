"""The committed traces of v3-framed: what they show, that they replay, and that recording them again gives the same bytes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from frameengine.engine.guard import Guard
from frameengine.jsonvalue import FrozenMap
from frameengine.replay.replayer import Replayer
from frameengine.trace.reader import Line, TraceReader
from frameengine.trace.verify import verify

ROOT = Path(__file__).parents[2]
TRACES = ROOT / "traces"
SCENARIOS = ROOT / "fixtures" / "scenarios"
DIVERGING = TRACES / "diverging" / "changed-prompt.trace.jsonl"
FRAMED = sorted([TRACES / f"{path.stem}.trace.jsonl" for path in SCENARIOS.glob("*.toml") if path.stem != "changed-prompt"])

# One recording serves the tests of this file, so one worker takes all of them.
pytestmark = pytest.mark.xdist_group("v3-framed")


def lines(path: Path, kind: str) -> Iterator[Line]:
    """Yield the lines of one kind."""
    with TraceReader(path) as reader:
        for line in reader.lines():
            if line.kind == kind:
                yield line


def records(path: Path, node: str) -> list[FrozenMap]:
    """Return the records of one node in all frames."""
    return [record for line in lines(path, "frame") for record in line.data["records"] if record["node"] == node]


def emitted(path: Path, node: str, event: str) -> list[Any]:
    """Return the data of one event of one node."""
    return [data for record in records(path, node) for name, data in record.get("emissions", ()) if name == event]


def figures(path: Path) -> list[tuple[Any, ...]]:
    """Return path, frames, calls and status of each input."""
    return [tuple([line.data[key] for key in ("path", "total_frames", "calls", "status")]) for line in lines(path, "trace")]


def record(*arguments: str | Path) -> str:
    """Run the recording script and return what it printed."""
    command = [sys.executable, str(ROOT / "fixtures" / "record.py"), *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Record every scenario twice, from new databases, into two folders."""
    folders = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two")
    for folder in folders:
        record("--all", "--traces", folder)
    return folders


def test_there_is_a_trace_for_each_scenario() -> None:
    """No scenario is without its trace."""
    assert len(FRAMED) >= 4
    assert [path.name for path in [*FRAMED, DIVERGING] if not path.is_file()] == []


def test_recording_twice_gives_equal_bytes(recorded: tuple[Path, Path]) -> None:
    """Neither clock nor chance nor place is in a recording: two of them are the same file."""
    one, two = [{path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*.jsonl"))} for folder in recorded]
    assert len(one) == len(FRAMED) + 1
    assert one == two


def test_the_committed_traces_are_the_recorded_ones(recorded: tuple[Path, Path]) -> None:
    """What is committed is what the scenarios give today; after a change, look at the difference and record anew."""
    for path in [*FRAMED, DIVERGING]:
        fresh = recorded[0] / path.relative_to(TRACES)
        same = fresh.read_bytes() == path.read_bytes()
        assert same, f"{path.name} is out of date: python fixtures/record.py --all"


@pytest.mark.parametrize("path", FRAMED, ids=lambda path: path.stem)
@pytest.mark.parametrize("level", ["on", "full"])
def test_the_traces_replay(path: Path, level: Any) -> None:
    """Each trace is whole and replays with the same result, also under the strictest guard, and nothing has changed since."""
    receipt = verify(path)
    result = Replayer(path, guard=Guard(level)).run()
    assert result.verdict == "same"
    assert result.changed == ()
    assert (result.counts.inputs, result.counts.frames, result.counts.calls) == (
        receipt.counts.inputs,
        receipt.counts.frames,
        receipt.counts.calls,
    )


def test_each_path_has_its_number_of_frames() -> None:
    """Reflex takes 2 frames, Director 4, Director and Interpreter 5 (C43, C44, C45)."""
    assert figures(TRACES / "reflex.trace.jsonl") == [("reflex", 2, 3, "done")] * 2
    assert figures(TRACES / "director.trace.jsonl") == [("director", 4, 4, "done")]
    assert figures(TRACES / "director-interpreter.trace.jsonl") == [("director+interpreter", 5, 6, "done")]


def test_each_path_of_v2_has_its_number_of_frames() -> None:
    """v2 takes the same ways as v3, and a click or a tick takes one frame (C37)."""
    assert figures(TRACES / "v2-director-drives.trace.jsonl") == [
        ("reflex", 2, 3, "done"),
        ("director", 4, 4, "done"),
        ("director+interpreter", 5, 6, "done"),
        ("action", 1, 0, "done"),
        ("sensor", 1, 0, "done"),
    ]


def test_clicks_that_need_no_thought_ask_no_model() -> None:
    """A counter and a checklist answer clicks in one frame without a call; a click for somebody to think about takes four."""
    assert figures(TRACES / "surface.trace.jsonl") == [
        ("director", 4, 4, "done"),
        *[("action", 1, 0, "done")] * 3,
        ("director", 4, 4, "done"),
        ("action", 1, 0, "done"),
        ("director", 4, 3, "done"),
    ]


def test_who_comes_back_is_greeted_once() -> None:
    """The message after the ticks is told of the absence and of the screen, the one after it is not (C62)."""
    told = [
        [message for message in line.data["request"]["messages"] if "The user is back after" in str(message["content"])]
        for line in lines(TRACES / "presence.trace.jsonl", "outcome")
        if line.data["key"][2] == "output"
    ]
    assert [len(messages) for messages in told] == [0, 1, 0]
    assert "The screen does not show what it should" in told[1][0]["content"]


def test_the_sample_shows_every_path() -> None:
    """The sample conversation has greetings, an explanation, and questions to the database with one to three queries."""
    seen = figures(TRACES / "demo.trace.jsonl")
    assert [path for path, *_ in seen] == ["reflex", "director", *["director+interpreter"] * 7, "reflex"]
    assert [frames for _, frames, *_ in seen] == [2, 4, 5, 5, 5, 5, 5, 5, 5, 2]
    assert [calls for *_, calls, _ in seen] == [3, 4, 8, 6, 6, 6, 7, 7, 6, 3]


def test_output_and_ui_share_a_frame() -> None:
    """The frame of the answer has both nodes, in the order of the graph (C48); the memory follows it (N06)."""
    frames = list(lines(TRACES / "director.trace.jsonl", "frame"))
    assert [[record["node"] for record in frame.data["records"]] for frame in frames] == [
        ["input"],
        ["director"],
        ["thinker"],
        ["output", "ui"],
        ["memorizer"],
    ]


def test_conditions_are_in_the_record() -> None:
    """Each record that routed by a condition says which, and how it turned out (C09)."""
    demo = TRACES / "demo.trace.jsonl"
    first, second = records(demo, "input")[:2]
    assert (first["condition"], first["route"]) == ({"reflex": True, "not reflex": False}, ("output",))
    assert (second["condition"], second["route"]) == ({"reflex": False, "not reflex": True}, ("director",))
    direct, data = records(demo, "thinker")[:2]
    assert (direct["condition"]["has_tool_output"], direct["route"]) == (False, ("output", "ui"))
    assert (data["condition"]["has_tool_output"], data["route"]) == (True, ("interpreter",))


def test_the_failed_query_is_reported_as_failed() -> None:
    """The query for a column that is not there is an error in outcome, interpretation and answer, and a table for nobody."""
    demo = TRACES / "demo.trace.jsonl"
    failures = [line for line in lines(demo, "outcome") if line.data["outcome"]["status"] == "error"]
    assert [line.data["outcome"]["error"]["message"] for line in failures] == ["no such column: l.kwh"]
    outputs = [data["output"] for data in emitted(demo, "thinker", "tool_result")]
    assert [output for output in outputs if output.startswith("Error")] == ["Error: no such column: l.kwh"]
    assert [data["confidence"] for data in emitted(demo, "interpreter", "interpreted")] == [
        "high",
        "high",
        "high",
        "low",
        "high",
        "high",
        "high",
    ]


def test_tables_and_buttons_come_from_the_database() -> None:
    """Where a table was asked for, the rows of the query are the rows of the control; a planned button stands beside them."""
    # What stays on the surface is sent again with each answer.
    sent = [data["controls"] for data in emitted(TRACES / "demo.trace.jsonl", "ui", "controls")]
    (top,), (button, opened) = [shown for number, shown in enumerate(sent) if shown not in sent[:number]]
    assert top["columns"] == ("street", "city", "heating", "cost_eur")
    assert top["data"][1] == ("Lindenstraße 15", "Jena", "district heat", "26146.91")
    assert (button["type"], button["action"]) == ("button", "send_bills")
    assert opened["data"] == (("3. OG left", "2924.83", "3288.0", "-363.17"),)


def test_no_reply_of_the_samples_needed_a_default() -> None:
    """Every scripted reply is of the form that its node asks for, no context was over its budget, no step was refused."""
    for path in FRAMED:
        for node in ("input", "director", "thinker", "interpreter", "output", "ui", "memorizer", "sensor"):
            assert emitted(path, node, "parse_failed") == []
            assert emitted(path, node, "tool_refused") == []
            assert [data for data in emitted(path, node, "context") if data["fill_pct"] > 100] == []


def test_every_event_is_in_the_table() -> None:
    """Nodes, events and members of the samples of v3 equal this table: nothing extra, nothing missing (C53)."""
    table = {
        "sensor": {"started": ["interval"], "tick": ["tick", "deltas"], "stopped": []},
        "input": {"thinking": ["detail"], "context": CONTEXT, "perceived": ["analysis", "instruction"]},
        "director": {"thinking": ["detail"], "context": CONTEXT, "planned": ["tools", "hint"]},
        "thinker": {
            "thinking": ["detail"],
            "tool_call": ["tool", "args"],
            "tool_result": ["tool", "output"],
            "decided": ["instruction"],
        },
        "interpreter": {"thinking": ["detail"], "context": CONTEXT, "interpreted": ["summary", "row_count", "confidence"]},
        "output": {"reflex_path": ["detail"], "streaming": [], "context": CONTEXT, "text": ["stream", "text"], "done": []},
        "ui": {"controls": ["controls"], "machine_transition": ["action", "detail"], "text": ["stream", "text"]},
        "memorizer": {"thinking": ["detail"], "context": CONTEXT, "updated": ["state"]},
    }
    seen: dict[str, dict[str, list[str]]] = {}
    for name in ("demo", "surface", "presence"):
        for node in table:
            for record in records(TRACES / f"{name}.trace.jsonl", node):
                for event, data in record.get("emissions", ()):
                    seen.setdefault(node, {})[event] = list(data)
    assert seen == table


CONTEXT = ["messages", "tokens", "max_tokens", "fill_pct"]


def test_a_changed_prompt_diverges_at_the_first_request_that_holds_it() -> None:
    """The trace that was recorded with another Director's prompt differs at the Director's first request; the prompt is named."""
    result = Replayer(DIVERGING).run()
    found = result.divergence
    assert found is not None
    assert (found.kind, found.input, found.frame, found.node, found.call) == ("request", 2, 2, "director", 0)
    assert found.pointer == "/messages/0/content"
    assert "- At most three tools, run" in found.recorded
    assert "- At most five tools, run" in found.replayed
    assert found.cause == "prompt"
    assert "director_v2" in found.because
    assert result.changed == ("prompt director_v2",)


def test_one_scenario_can_be_recorded_alone(tmp_path: Path) -> None:
    """The script records a single scenario, on a database of one's own, and says so where there is none."""
    database, out = tmp_path / "b.sqlite", tmp_path / "one.trace.jsonl"
    script = ROOT / "fixtures" / "billing.py"
    subprocess.run([sys.executable, str(script), str(database)], check=True, capture_output=True)
    record(SCENARIOS / "director-interpreter.toml", out, "--database", f"billing={database}")
    assert out.read_bytes() == (TRACES / "director-interpreter.trace.jsonl").read_bytes()


def test_the_database_is_the_same_every_time(tmp_path: Path) -> None:
    """Building twice gives the same file, another seed gives another one."""
    script = ROOT / "fixtures" / "billing.py"
    files = [tmp_path / name for name in ("a", "b", "c")]
    for file, seed in zip(files, ("2025", "2025", "1"), strict=True):
        subprocess.run([sys.executable, str(script), str(file), "--seed", seed], check=True, capture_output=True)
    one, two, other = [file.read_bytes() for file in files]
    assert one == two
    assert one != other
