"""What is suggested: every hint is a way out, and names nothing that is gone."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import frameengine as package
from cli_runs import Frameengine, Record
from frameengine.scenario import load_scenario

ROOT = Path(__file__).parents[2]
BAD_GRAPH = """
name = "bad"
version = 1
[entry]
UserMessage = "nobody"
[[nodes]]
name = "a"
implementation = "no_such_module_of_mine:A"
[[nodes]]
name = "b"
implementation = "no_such_module_of_mine:B"
[[nodes]]
name = "c"
implementation = "chat_model"
prompts = ["no-such-prompt"]
"""


@pytest.mark.parametrize(
    "arguments", [("verify", "-"), ("show", "-"), ("show", "-@9"), ("replay", "-"), ("export", "openai", "-")], ids=" ".join
)
def test_a_trace_on_stdin_is_called_so(frameengine: Frameengine, weather: Path, arguments: tuple[str, ...]) -> None:
    """Neither a result nor an error names the file in which stdin was kept, nor suggests to open it."""
    data = weather.read_bytes()
    for given in (data, data[:-300], data.replace(b"jacket", b"racket", 1)):
        done = frameengine(*arguments, stdin=given)
        assert "frameengine-" not in done.out + done.err
        assert not re.search(r"(show|repair) \S*stdin", done.out + done.err)
    assert "frameengine-" not in frameengine(*arguments, "--json", stdin=data[:-300]).out


def test_a_hint_can_be_pasted(frameengine: Frameengine, record: Record) -> None:
    """A path with a space is quoted in what is suggested."""
    record("my run", ("hello", ["hi"]), ("again", ["yes"]))
    assert "frameengine show 'traces/my run.trace.jsonl'@1" in frameengine("show", "traces/my run.trace.jsonl").out


def test_a_folder_and_a_place_where_a_run_is_wanted(frameengine: Frameengine, weather: Path) -> None:
    """A folder is told as one, with a trace in it; a place in a run is for show and testcase only."""
    for folder in (weather.parent, "traces"):
        done = frameengine("replay", folder)
        assert (done.code, "is a folder" in done.err, "weather.trace.jsonl" in done.err) == (2, True, True)
    for ref in ("latest@2", f"{weather}@2"):
        done = frameengine("replay", ref)
        assert done.code == 2
        assert "only show and testcase take @MESSAGE" in done.err
        assert f"frameengine show {ref}" in done.err


DOCUMENTS = {
    "exchange": ({"request": {"messages": []}, "response": {}}, 'make it {"messages": [...]}'),
    "raw exchange": ({"request": {"body": "{}"}, "response": {"body": "{}"}}, 'make it {"messages": [...]}'),
    "responses api": ({"model": "m", "input": "hello", "output": []}, 'make it {"messages": [...]}'),
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_another_document_is_named_with_the_way_from_it(frameengine: Frameengine, tmp_path: Path, name: str) -> None:
    """A recorded exchange and a file of the Responses API are recognised."""
    document, hint = DOCUMENTS[name]
    path = tmp_path / "x.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    done = frameengine("import", "openai", path)
    assert (done.code, hint in done.err) == (2, True)


def test_a_trace_and_a_chat_are_told_apart(frameengine: Frameengine, weather: Path, tmp_path: Path) -> None:
    """Importing a trace, and showing a conversation, lead to the other command."""
    done = frameengine("import", "openai", weather)
    assert (done.code, f"frameengine show {weather}" in done.err) == (2, True)
    for number, indent in enumerate((None, 2)):
        chat = tmp_path / f"chat {number}.json"
        chat.write_text(json.dumps([{"role": "user", "content": "hello"}], indent=indent) + "\n", encoding="utf-8")
        done = frameengine("show", chat)
        assert (done.code, f"frameengine import openai '{chat}'" in done.err) == (3, True)


def test_an_answer_beside_the_messages_is_no_parameter(frameengine: Frameengine, tmp_path: Path) -> None:
    """A response in the document is reported as not imported, and is not sent with every request."""
    path = tmp_path / "x.json"
    document = {"messages": [{"role": "user", "content": "hello"}], "response": {"id": 1}, "temperature": 0}
    path.write_text(json.dumps(document), encoding="utf-8")
    done = frameengine("import", "openai", path, "-o", "x.trace.jsonl")
    assert "not imported: response" in done.err
    header = frameengine("show", "x.trace.jsonl", "--json").json["header"]
    assert header["state"]["params"] == {"temperature": 0}


def test_everything_that_is_wrong_with_a_graph_is_told_at_once(frameengine: Frameengine, tmp_path: Path) -> None:
    """Structure, code and prompts stand in one list; a module that is missing stands in it once, with what to set."""
    path = tmp_path / "bad.toml"
    path.write_text(BAD_GRAPH, encoding="utf-8")
    done = frameengine("graph", "check", path)
    assert done.code == 2
    assert "nobody" in done.err
    assert "there is no prompt 'no-such-prompt'" in done.err
    assert done.err.count("no_such_module_of_mine cannot be imported") == 1
    assert "PYTHONPATH=FOLDER" in done.err
    assert "nodes[1] (b)" in done.err


def test_a_graph_is_no_scenario(frameengine: Frameengine, tmp_path: Path) -> None:
    """Running the file of a graph leads to --graph."""
    path = tmp_path / "mine.toml"
    path.write_text(BAD_GRAPH, encoding="utf-8")
    done = frameengine("run", path)
    assert (done.code, f"frameengine run --graph {path} -m TEXT" in done.err) == (2, True)


def test_the_scenario_of_the_manual_is_one(tmp_path: Path) -> None:
    """The example in docs/cli.md is read without a problem."""
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    found = re.search(r"```toml\n(graph = .*?)```", page, re.DOTALL)
    assert found is not None
    path = tmp_path / "example.toml"
    path.write_text(found[1], encoding="utf-8")
    scenario = load_scenario(path)
    assert (scenario.seed, list(scenario.model), list(scenario.databases)) == (7, ["output", "director"], ["billing"])


def test_a_graph_is_whole_on_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names and conditions go on in the next line instead of being cut, and a role that is the name is not repeated."""
    from frameengine.graph.loader import load_graph
    from frameengine_cli.look import Look
    from frameengine_cli.output import plain
    from frameengine_cli.screens.graph import screen

    shown = plain(screen(load_graph("v3-framed"), Look(boxes=False)), 80)
    assert "…" not in shown
    assert max(len(line) for line in shown.split("\n")) <= 80
    assert "role" not in plain(screen(load_graph("tool-loop"), Look(boxes=False)), 80)


def test_version_and_debug_are_options_as_well(frameengine: Frameengine, weather: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--version says what the command says; --debug is taken after the command too."""
    assert frameengine("--version").out == frameengine("version").out
    assert package.__version__ in frameengine("--version").out
    assert frameengine("verify", weather, "--debug").code == 0
    assert "Traceback" in frameengine("verify", "gone.trace.jsonl", "--debug").err
