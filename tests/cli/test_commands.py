"""The other commands: what they print, as text and as JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import frameengine as package
from cli_runs import JACKET, MODEL, WEATHER, Frameengine, Record
from frameengine.trace.schemas import KINDS
from frameengine_cli.look import Look
from frameengine_cli.output import console
from frameengine_cli.refs import run_id

COMMANDS = [
    ("run",),
    ("replay",),
    ("diff",),
    ("verify",),
    ("show",),
    ("import", "openai"),
    ("export", "openai"),
    ("export", "zst"),
    ("graph", "list"),
    ("graph", "show"),
    ("graph", "check"),
    ("graph", "export"),
    ("testcase",),
    ("repair",),
    ("schema",),
    ("version",),
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(frameengine: Frameengine, command: tuple[str, ...]) -> None:
    """--help shows an example and that there is --json, in lines that a narrow terminal takes."""
    done = frameengine(*command, "--help")
    assert done.code == 0
    assert "Example" in done.out
    assert f"frameengine {' '.join(command)}" in done.out
    assert "--json" in done.out


def test_the_manual_names_every_command() -> None:
    """docs/cli.md has a section with an example for each command."""
    page = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
    for command in COMMANDS:
        assert f"$ frameengine {' '.join(command)}" in page


def test_help_is_quick_because_it_loads_little() -> None:
    """Starting the command loads neither the terminal library's screens nor the engine nor a codec."""
    code = "import sys, frameengine_cli.commandline; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    heavy = (
        "rich.console",
        "orjson",
        "frameengine.engine",
        "frameengine.trace",
        "frameengine.graph",
        "frameengine.importers",
        "asyncio",
    )
    assert [name for name in loaded if name.startswith(heavy)] == []


def test_version(frameengine: Frameengine) -> None:
    """The version is the package's."""
    assert frameengine("version").out.startswith(f"frameengine {package.__version__} ")
    assert frameengine("version", "--json").json["version"] == package.__version__


def test_verify_gives_a_receipt(frameengine: Frameengine, weather: Path) -> None:
    """The receipt states what the file holds, its id and its digests, and that no code was run."""
    done = frameengine("verify", weather)
    for part in ("✓ intact", "no code was run", "2 inputs, 6 frames, 5 calls; as the seal says", f"run id     {run_id(weather)}"):
        assert part in done.out
    assert frameengine("verify", weather, "--json").json["id"] == run_id(weather)


def test_run_records_shows_and_says_who_answered(frameengine: Frameengine) -> None:
    """A run writes a trace that verifies and replays, shows its timeline, and says that no model was called."""
    done = frameengine("run", "--graph", "tool-loop", "-m", "hello", "--reply", "hi there")
    assert done.code == 0
    assert "● model → output" in done.out
    assert "recorded traces/tool-loop.trace.jsonl" in done.err
    assert "model: scripted by --reply; no model was called" in done.err
    assert frameengine("replay", "latest").code == 0
    assert "model scripted" in frameengine("show", "latest").out


def test_run_without_replies_has_an_echo_for_a_model(frameengine: Frameengine) -> None:
    """A graph can be tried without writing a reply; the output says what the model is."""
    done = frameengine("run", "--graph", "tool-loop", "-m", "hello", "--json")
    assert done.json["model"] == "an echo"
    assert "You said: hello" in frameengine("show", "latest").out


SCENARIO = """
graph = "tool-loop"
seed = 3
[provenance]
note = "by hand"
[[inputs]]
type = "UserMessage"
text = "Weather?"
[model]
model = [{ tool_calls = [{ id = "1", type = "function", function = { name = "sky", arguments = "{}" } }] }, "Sunny."]
[tools.scripted]
tools = ["sun"]
"""


def test_run_plays_a_scenario(frameengine: Frameengine, tmp_path: Path) -> None:
    """A scenario file gives graph, seed, inputs, replies and results; the trace is called after it."""
    path = tmp_path / "weather.toml"
    path.write_text(SCENARIO, encoding="utf-8")
    done = frameengine("run", path)
    assert done.code == 0
    assert "◆ sky()" in done.out
    assert "recorded traces/weather.trace.jsonl" in done.err
    header = frameengine("show", "weather", "--json").json["header"]
    assert (header["seed"], header["provenance"]["note"], header["provenance"]["model"]) == (3, "by hand", "scripted")
    assert frameengine("replay", "weather").code == 0
    assert frameengine("run", path, "-m", "more").code == 2
    assert frameengine("run", path, "--database", "none=x").code == 2


def test_run_never_writes_over_a_trace_unasked(frameengine: Frameengine) -> None:
    """Without a name runs are numbered; a name that is taken is refused without --force."""
    arguments = ("run", "--graph", "tool-loop", "-m", "hello", "--quiet")
    assert [frameengine(*arguments, "--json").json["path"] for _ in range(2)] == [
        "traces/tool-loop.trace.jsonl",
        "traces/tool-loop-2.trace.jsonl",
    ]
    assert frameengine(*arguments, "-o", "mine.trace.jsonl").code == 0
    assert frameengine(*arguments, "-o", "mine.trace.jsonl").code == 2
    assert frameengine(*arguments, "-o", "mine.trace.jsonl", "--force").code == 0


def test_the_seed_stands_in_the_trace(frameengine: Frameengine) -> None:
    """--seed is recorded, so that a replay uses it."""
    frameengine("run", "--graph", "tool-loop", "-m", "hello", "--seed", "7")
    assert frameengine("show", "latest", "--json").json["header"]["seed"] == 7


def test_graphs_are_listed_shown_checked_and_drawn(frameengine: Frameengine, tmp_path: Path) -> None:
    """The graph commands name the graph's parts, and write pictures of it."""
    assert "tool-loop" in frameengine("graph", "list").out
    assert "tool-loop" in [graph["name"] for graph in frameengine("graph", "list", "--json").json["graphs"]]
    shown = frameengine("graph", "show", "tool-loop").out
    assert "model → tools" in shown
    assert "path direct" in shown
    assert "tool-loop v1 is sound: 3 nodes, 3 edges" in frameengine("graph", "check", "tool-loop").out
    assert frameengine("graph", "export", "tool-loop").out.startswith("flowchart")
    assert frameengine("graph", "export", "tool-loop", "--format", "dot").out.startswith("digraph")
    assert json.loads(frameengine("graph", "export", "tool-loop", "--format", "cytoscape").out)[0]["group"] == "nodes"
    picture = tmp_path / "picture.mmd"
    assert frameengine("graph", "export", "tool-loop", "-o", picture).out == ""
    assert picture.read_text(encoding="utf-8").startswith("flowchart")


def test_all_problems_of_a_graph_are_told(frameengine: Frameengine, tmp_path: Path) -> None:
    """A graph that does not hold together is 2, with each problem and its place."""
    path = tmp_path / "bad.toml"
    path.write_text('name = "bad"\nversion = 1\n[entry]\nUserMessage = "nobody"\n[[nodes]]\nname = "a"\n', encoding="utf-8")
    done = frameengine("graph", "check", path, "--json")
    assert done.code == 2
    assert len(done.json["error"]["fields"]["problems"]) >= 2


def test_a_conversation_goes_in_and_comes_out_the_same(frameengine: Frameengine, tmp_path: Path) -> None:
    """import, replay and export give a recorded conversation back byte for byte."""
    messages = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "hi — how are you?"}]
    source, trace, back = tmp_path / "chat.json", tmp_path / "chat.trace.jsonl", tmp_path / "back.json"
    source.write_text(json.dumps(messages), encoding="utf-8")
    done = frameengine("import", "openai", source, "-o", trace)
    assert (done.code, done.out.startswith(f"✓ {trace}  2 messages, 1 call")) == (0, True)
    assert frameengine("replay", trace).code == 0
    assert frameengine("export", "openai", trace, "-o", back).code == 0
    assert json.loads(back.read_text(encoding="utf-8")) == messages
    assert json.loads(frameengine("export", "openai", trace).out) == messages
    assert frameengine("export", "openai", trace, "--json").json["messages"] == messages


def test_several_conversations_become_several_traces(frameengine: Frameengine, tmp_path: Path) -> None:
    """A file of several conversations makes a trace of each in a folder, and never fits one file."""
    lines = [
        json.dumps({"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": "ok"}]})
        for text in ("a", "b")
    ]
    source = tmp_path / "chats.jsonl"
    source.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert frameengine("import", "openai", source, "-o", tmp_path / "one.trace.jsonl").code == 2
    assert frameengine("import", "openai", source, "--json").code == 0
    assert sorted(path.name for path in (tmp_path / "traces").iterdir()) == ["chats-1.trace.jsonl", "chats-2.trace.jsonl"]
    assert frameengine("import", "openai", source).code == 0
    assert len(list((tmp_path / "traces").iterdir())) == 4
    assert frameengine("import", "openai", source, "-o", tmp_path / "traces").code == 2


def test_repair_keeps_the_good_part(frameengine: Frameengine, record: Record, tmp_path: Path) -> None:
    """A trace that lost its end is mended into a new file, which verifies; the damaged one stays as it is."""
    path = record("torn", WEATHER, JACKET)
    path.write_bytes(path.read_bytes()[:-700])
    damaged = path.read_bytes()
    done = frameengine("repair", path, "-o", tmp_path / "good.trace.jsonl")
    assert done.code == 0
    assert "✓ repaired" in done.out
    assert "1 input, 4 frames, 4 calls" in done.out
    assert path.read_bytes() == damaged
    assert frameengine("verify", tmp_path / "good.trace.jsonl").code == 0
    assert frameengine("repair", path, "-o", tmp_path / "good.trace.jsonl").code == 2
    assert frameengine("repair", path, "-o", tmp_path / "more.trace.jsonl", "--json").json["counts"]["inputs"] == 1


def test_schemas_are_printed(frameengine: Frameengine) -> None:
    """The schema of one kind is a JSON Schema; without a kind there is one for each."""
    assert "2020-12" in json.loads(frameengine("schema", "frame").out)["$schema"]
    assert list(json.loads(frameengine("schema").out)) == list(KINDS)
    assert list(frameengine("schema", "--json").json["schemas"]) == list(KINDS)


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    """With NO_COLOR a terminal gets no colours."""
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert console().no_color


def test_a_terminal_of_another_encoding_gets_numbers(weather: Path) -> None:
    """Signs that the terminal's encoding has not are written as numbers instead of ending the command."""
    done = subprocess.run(
        [sys.executable, "-m", "frameengine_cli", "show", str(weather)],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        check=False,
    )
    assert done.returncode == 0
    assert rb"\u2713 done" in done.stdout


def test_the_model_that_was_asked_is_named(frameengine: Frameengine, weather: Path) -> None:
    """The timeline names the model of each call."""
    assert f"◇ {MODEL}" in frameengine("show", f"{weather}@2").out
    assert Look(boxes=False).gutter == ""


def test_a_trace_is_packed_and_stays_a_trace(frameengine: Frameengine, weather: Path, tmp_path: Path) -> None:
    """The command export zst writes a smaller file that replays the same, never over another, and packs sealed traces only."""
    packed = tmp_path / "weather.trace.jsonl.zst"
    assert frameengine("export", "zst", weather, "-o", packed).code == 0
    assert packed.stat().st_size < weather.stat().st_size
    assert frameengine("replay", packed).code == 0
    assert frameengine("export", "zst", weather, "-o", packed).code == 2
    cut = tmp_path / "cut.trace.jsonl"
    cut.write_bytes(weather.read_bytes()[:-200])
    assert frameengine("export", "zst", cut).code == 3
    assert not (tmp_path / "cut.trace.jsonl.zst").exists()


def test_an_export_to_a_program_is_the_very_json(frameengine: Frameengine, tmp_path: Path) -> None:
    """Characters that a terminal must not see reach a program unchanged."""
    said = "bidi \u202e tag \U000e0041 zero \u200b esc \x1b done"
    chat, trace = tmp_path / "chat.json", tmp_path / "chat.trace.jsonl"
    chat.write_text(json.dumps([{"role": "user", "content": said}]))
    frameengine("import", "openai", chat, "-o", trace)
    done = frameengine("export", "openai", trace)
    assert json.loads(done.out) == [{"role": "user", "content": said}]
    assert "\u202e" in done.out


def test_a_repaired_trace_is_never_shown_as_whole(frameengine: Frameengine, weather: Path, tmp_path: Path) -> None:
    """The commands verify, replay and show tell what a repair left out."""
    torn, good = tmp_path / "torn.trace.jsonl", tmp_path / "good.trace.jsonl"
    torn.write_bytes(weather.read_bytes()[:-600])
    assert frameengine("repair", torn, "-o", good).code == 0
    for command in ("verify", "replay", "show"):
        done = frameengine(command, good)
        assert done.code == 0
        assert "left out" in done.out
        assert "left out" not in frameengine(command, weather).out


def test_a_name_cannot_forge_a_line_of_its_own(frameengine: Frameengine, tmp_path: Path) -> None:
    """A file name with line feeds in it reaches the screen indented under the error that it belongs to."""
    done = frameengine("verify", tmp_path / "x\n✓ same  (verified.trace.jsonl)\nerror: y")
    assert done.code in (2, 3)
    lines = done.err.splitlines()
    assert lines[0].startswith("error: ")
    assert all(line.startswith("  ") for line in lines[1:])
