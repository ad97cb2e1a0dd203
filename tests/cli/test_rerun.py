"""``frameengine rerun``: what it shows, what it writes, and with which exit code it ends."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from cli_runs import CALLS, JACKET, WEATHER, Frameengine, Record
from frameengine.replay.replayer import Replayer
from frameengine.trace.verify import verify

DEFINITIONS = Path(__file__).parents[2] / "frameengine" / "graph" / "definitions"
DEMO = Path(__file__).parents[2] / "traces" / "demo.trace.jsonl"


@pytest.fixture
def graphs(tmp_path: Path) -> dict[str, Path]:
    """Return graphs beside the tool loop: other names, another temperature in every request, no entry for messages."""
    text = (DEFINITIONS / "tool-loop.toml").read_text(encoding="utf-8")
    texts = {
        "renamed": text.replace('"tools"', '"hands"').replace('"output"', '"voice"'),
        "warmer": text + "\n[state.params]\ntemperature = 1\n",
        "deaf": text.replace('UserMessage = "model"', 'Webhook = "model"'),
    }
    paths = {}
    for name, changed in texts.items():
        paths[name] = tmp_path / f"{name}.toml"
        paths[name].write_text(changed, encoding="utf-8")
    return paths


def test_unchanged_code_is_exact(frameengine: Frameengine, weather: Path) -> None:
    """The record comes out again: exit 0, every reply by an equal request, all messages as recorded, and nothing written."""
    before = sorted(weather.parent.iterdir())
    done = frameengine("rerun", weather)
    assert (done.code, done.err) == (0, "")
    assert "✓ exact" in done.out
    assert "5 exact" in done.out
    assert "all 2 messages as recorded" in done.out
    assert sorted(weather.parent.iterdir()) == before


def test_the_new_run_is_kept(frameengine: Frameengine, weather: Path, tmp_path: Path, graphs: dict[str, Path]) -> None:
    """With -o the new trace stands there, sealed, replays, and is not written over without --force."""
    target = tmp_path / "new.trace.jsonl"
    done = frameengine("rerun", weather, "--graph", graphs["renamed"], "-o", target)
    assert done.code == 0
    assert verify(target).head[:12] in done.out
    assert Replayer(target).run().verdict == "same"
    again = frameengine("rerun", weather, "--graph", graphs["renamed"], "-o", target)
    assert (again.code, "say --force" in again.err) == (2, True)
    assert frameengine("rerun", weather, "-o", target, "--force").code == 0
    assert verify(target).canonical == verify(weather).canonical


def test_a_miss_shows_what_is_nearest(frameengine: Frameengine, weather: Path, graphs: dict[str, Path]) -> None:
    """The first call without a reply ends it: exit 4, the nearest recorded calls, and where the first of them differs."""
    done = frameengine("rerun", weather, "--graph", graphs["warmer"])
    assert done.code == 4
    assert "✗ no reply for 1.1 model[0]" in done.out
    assert "it differs at /params" in done.out
    assert "% alike" in done.out
    assert "100 %" not in done.out
    assert "error: weather.trace.jsonl: 1.1 model[0]: model call 'gpt-test' has no reply" in done.err
    assert "--policy slot or nearest" in done.err
    assert len(done.err.splitlines()) == 2


def test_approximate_is_no_success(frameengine: Frameengine, weather: Path, graphs: dict[str, Path]) -> None:
    """Replies to other requests are listed with their likeness and end with exit 1, unless somebody allows them."""
    wanted = ("rerun", weather, "--graph", graphs["warmer"], "--policy", "slot")
    done = frameengine(*wanted)
    assert done.code == 1
    assert "… approximate" in done.out
    assert "1.1 model[0]  slot, the reply to 1.1 model[0]" in done.out
    assert "3 of 5 calls got replies" in done.err
    allowed = frameengine(*wanted, "--allow-approximate")
    assert (allowed.code, allowed.err) == (0, "")
    assert "approximate" in allowed.out
    members = frameengine(*wanted, "--json")
    assert (members.code, members.json["ok"], members.json["error"]["code"]) == (1, False, "cassette.approximate")
    assert [(node["node"], node["hit_rate"]) for node in members.json["nodes"]] == [("model", 1.0), ("tools", 1.0)]
    assert [answer["how"] for answer in members.json["answered"]].count("slot") == 3


def test_unused_replies_are_no_success(frameengine: Frameengine, record: Record, tmp_path: Path) -> None:
    """A graph that asks less ends with exit 4 and names what is left over, unless somebody allows it."""
    from cli_runs import record_run

    path = record("jacket", JACKET)
    other = record_run(tmp_path / "other.trace.jsonl", [("Is it cold?", ["No."])])
    wanted = ("rerun", path, "--cassette", other)
    done = frameengine(*wanted)
    assert done.code == 4
    assert "unused" in done.out
    assert "1 of 2 recorded replies answered nothing" in done.err
    assert frameengine(*wanted, "--allow-unused").code == 0


def test_inputs_without_an_entry_are_an_error(frameengine: Frameengine, weather: Path, graphs: dict[str, Path]) -> None:
    """A graph that takes none of the inputs has run nothing: exit 5."""
    done = frameengine("rerun", weather, "--graph", graphs["deaf"])
    assert done.code == 5
    assert "ran no node for any of the 2 messages" in done.err


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (["--on-miss", "script"], "needs a script"),
        (["--on-miss", "live"], "asks models that are configured"),
        (["--on-miss", "stop", "--database", "a=b"], "answers nothing"),
        (["--database", "a"], "is not NAME=FILE"),
        (["--matrix"], "several columns"),
        (["--matrix", "--update"], "two things"),
        (["--template", "x.toml"], "belongs to --update"),
        (["--graph", "a", "--graph", "b"], "one graph is run"),
        (["--update", "-o", "x"], "-o keeps one run"),
        (["--graph", "nowhere"], "there is no graph"),
        (["--script", "nowhere.toml"], "cannot be read"),
    ],
)
def test_options_that_do_not_go_together(frameengine: Frameengine, weather: Path, options: list[str], what: str) -> None:
    """Contradictions are refused with exit 2 and a way out, before anything is run."""
    done = frameengine("rerun", weather, *options)
    assert done.code == 2
    assert what in done.err
    assert "  try: " in done.err


def test_files_that_cannot_be_run_again(frameengine: Frameengine, record: Record, tmp_path: Path) -> None:
    """An unsealed trace, an empty file and one that is not there are exit 3; a trace in which nothing happened is exit 5."""
    empty = tmp_path / "empty.trace.jsonl"
    empty.write_bytes(b"")
    assert frameengine("rerun", record("cut", JACKET, seal=False)).code == 3
    assert frameengine("rerun", empty).code == 3
    assert frameengine("rerun", tmp_path / "nowhere.trace.jsonl").code == 3
    assert frameengine("rerun", record("silent")).code == 5


# ---------------------------------------------------------------------- --update


def test_update_without_a_change_makes_nothing(frameengine: Frameengine, weather: Path) -> None:
    """Where the code gives what the golden holds there is nothing to review, and an older pending golden goes."""
    pending = weather.with_name("weather.trace.pending.jsonl")
    pending.write_bytes(b"older")
    done = frameengine("rerun", "--update", weather)
    assert done.code == 0
    assert "nothing has changed" in done.out
    assert not pending.exists()


def test_update_after_a_harmless_change(frameengine: Frameengine, weather: Path, graphs: dict[str, Path]) -> None:
    """One command makes the pending golden where every request is as it was: it replays, and the golden is untouched."""
    before = weather.read_bytes()
    done = frameengine("rerun", "--update", weather, "--graph", graphs["renamed"])
    assert done.code == 0
    assert "✓ pending" in done.out
    assert "next: frameengine snapshot review" in done.err
    pending = weather.with_name("weather.trace.pending.jsonl")
    assert Replayer(pending).run().verdict == "same"
    assert weather.read_bytes() == before


def test_update_names_every_reply_that_is_needed(
    frameengine: Frameengine, weather: Path, graphs: dict[str, Path], tmp_path: Path
) -> None:
    """All calls without a reply come in one list, with a template that has the recorded replies; filled in, it is the golden."""
    script = tmp_path / "replies.toml"
    wanted = ("rerun", "--update", weather, "--graph", graphs["warmer"])
    done = frameengine(*wanted, "--template", script)
    assert done.code == 4
    assert "✗ 3 calls without a reply" in done.out
    assert "reused  2 of 5 recorded replies" in done.out
    for place in ("1.1 model[0]", "1.3 model[0]", "2.1 model[0]"):
        assert f"◇ {place}" in done.out
    assert "as 1.1 model[0] does" in done.out
    assert f"frameengine rerun --update {weather} --graph {graphs['warmer']} --script {script}" in done.err
    pending = weather.with_name("weather.trace.pending.jsonl")
    assert not pending.exists()
    replies = tomllib.loads(script.read_text(encoding="utf-8"))["model"]["model"]
    assert replies[0]["tool_calls"] == CALLS["tool_calls"]
    assert replies[1:] == [WEATHER[1][-1], JACKET[1][0]]
    script.write_text(script.read_text(encoding="utf-8").replace("for the evening", "and a scarf"), encoding="utf-8")
    mine = script.read_bytes()
    refused = frameengine(*wanted, "--template", script)
    assert (refused.code, "exists" in refused.err, script.read_bytes()) == (2, True, mine)
    filled = frameengine(*wanted, "--script", script)
    assert filled.code == 0
    assert "3 script, 2 exact" in filled.out
    assert "1 of 2 messages changed" in filled.out
    assert "Yes, {+and" in filled.out
    assert Replayer(pending).run().verdict == "same"


def test_update_lists_what_is_needed_as_json(frameengine: Frameengine, weather: Path, graphs: dict[str, Path]) -> None:
    """With --json the calls stand in one document, with what stood in for them."""
    done = frameengine("rerun", "--update", weather, "--graph", graphs["warmer"], "--json")
    found: Any = done.json
    assert (done.code, done.err, found["ok"], found["verdict"], found["schema_version"]) == (4, "", False, "unfinished", 1)
    assert [(miss["key"], miss["stand_in"]) for miss in found["needed"]] == [
        ([1, 1, "model", 0], [1, 1, "model", 0]),
        ([1, 3, "model", 0], [1, 3, "model", 0]),
        ([2, 1, "model", 0], [2, 1, "model", 0]),
    ]
    assert found["needed"][1]["got"]["value"]["message"]["content"] == WEATHER[1][-1]


def test_update_tells_that_no_graph_file_was_looked_at(frameengine: Frameengine, weather: Path) -> None:
    """With the definition in the trace nothing can have changed in a graph file: the way to name one is told."""
    done = frameengine("rerun", "--update", weather, "--graph", "recorded")
    assert "graph files were not looked at (--graph FILE)" in done.out


PENDING = "weather.trace.pending.jsonl"


@pytest.mark.parametrize("older", [False, True])
def test_update_writes_no_approximate_golden(
    frameengine: Frameengine, weather: Path, graphs: dict[str, Path], older: bool
) -> None:
    """Replies to other requests make no pending golden unless allowed; one that is there already stays, and is named."""
    pending = weather.with_name(PENDING)
    if older:
        pending.write_bytes(b"older")
    wanted = ("rerun", "--update", weather, "--graph", graphs["warmer"], "--policy", "slot")
    done = frameengine(*wanted)
    assert done.code == 1
    assert "… approximate" in done.out
    assert "nothing was written" in done.err
    assert ("is left from before" in done.err) == older
    assert pending.exists() == older
    members = frameengine(*wanted, "--json").json
    assert (members["ok"], members["pending"], members["output"], members["error"]["code"]) == (
        False,
        None,
        None,
        "cassette.approximate",
    )
    assert pending.exists() == older
    assert frameengine(*wanted, "--allow-approximate").code == 0
    assert Replayer(pending).run().verdict == "same"


def test_update_writes_no_golden_that_newly_fails(
    frameengine: Frameengine, weather: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A message that failed and had not keeps the run from being a pending golden."""
    text = (DEFINITIONS / "tool-loop.toml").read_text(encoding="utf-8")
    (tmp_path / "raising.toml").write_text(text.replace('"chat_output"', '"raising_output:Output"'), encoding="utf-8")
    code = "class Output:\n    async def run(self, message, ctx):\n        raise ValueError('no')\n"
    (tmp_path / "raising_output.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    done = frameengine("rerun", "--update", weather, "--graph", tmp_path / "raising.toml")
    assert done.code == 1
    assert "failed, and had not when it was recorded; nothing was written" in done.err
    assert not weather.with_name(PENDING).exists()


def test_update_that_cannot_be_made_names_an_older_one(
    frameengine: Frameengine, weather: Path, graphs: dict[str, Path], tmp_path: Path
) -> None:
    """Where replies are needed, or a script does not fit, a pending golden of before is said to be one."""
    weather.with_name(PENDING).write_bytes(b"older")
    done = frameengine("rerun", "--update", weather, "--graph", graphs["warmer"])
    assert (done.code, "weather.trace.pending.jsonl is left from before" in done.err) == (4, True)
    script = tmp_path / "s.toml"
    script.write_text('[model]\nmodel = ["left over"]\n', encoding="utf-8")
    refused = frameengine("rerun", "--update", weather, "--graph", graphs["renamed"], "--script", script)
    assert (refused.code, "weather.trace.pending.jsonl is left from before" in refused.err) == (4, True)


def test_update_is_refused_in_ci(
    frameengine: Frameengine, weather: Path, graphs: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where CI is set no pending golden is written; a plain rerun goes on."""
    monkeypatch.setenv("CI", "true")
    done = frameengine("rerun", "--update", weather, "--graph", graphs["renamed"])
    assert (done.code, "--update is refused where CI is set" in done.err) == (2, True)
    assert not weather.with_name(PENDING).exists()
    assert frameengine("rerun", weather, "--graph", graphs["renamed"]).code == 0


def test_a_trace_is_no_cassette_besides_itself(frameengine: Frameengine, weather: Path) -> None:
    """The trace named as a cassette as well gives its replies once."""
    done = frameengine("rerun", weather, "--cassette", weather, "--json")
    assert (done.code, done.json["replies"]) == (0, 5)


def test_a_rerun_without_replies_has_compared_nothing(
    frameengine: Frameengine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no call got a reply, a message that comes out otherwise is exit 5; where all is as recorded, 0."""
    code = "from frameengine.node import NodeResult\nclass Say:\n    async def run(self, message, ctx):\n"
    graph = """name = "{0}"\nversion = 1\n[entry]\nUserMessage = "say"\n[[nodes]]
name = "say"\nimplementation = "{0}:Say"\n[state]\nhistory = []\n"""
    for name, said in (("calm_words", "well"), ("loud_words", "WELL")):
        told = f"        ctx.say('{said}')\n        return NodeResult()\n"
        (tmp_path / f"{name}.py").write_text(code + told, encoding="utf-8")
        (tmp_path / f"{name}.toml").write_text(graph.format(name), encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert frameengine("run", "--graph", "calm_words.toml", "-m", "hi", "-o", "calm.trace.jsonl").code == 0
    same = frameengine("rerun", "calm.trace.jsonl", "--graph", "calm_words.toml")
    assert (same.code, "… no replies" in same.out, "all 1 message as recorded" in same.out) == (0, True, True)
    done = frameengine("rerun", "calm.trace.jsonl", "--graph", "loud_words.toml")
    assert (done.code, "no call of the new run got a reply" in done.err) == (5, True)
    assert frameengine("rerun", "--update", "calm.trace.jsonl", "--graph", "loud_words.toml").code == 0


def test_update_from_stdin_is_refused(frameengine: Frameengine, weather: Path) -> None:
    """A pending golden stands beside its golden, which stdin has no place for."""
    done = frameengine("rerun", "--update", "-", stdin=weather.read_bytes())
    assert (done.code, "stdin has no place" in done.err) == (2, True)
    assert frameengine("rerun", "-", stdin=weather.read_bytes()).code == 0


# ---------------------------------------------------------------------- --matrix


def test_a_matrix_of_goldens(frameengine: Frameengine, record: Record) -> None:
    """Goldens of the same inputs stand side by side; an answer that changed is marked, and the exit code is that of a diff."""
    one = record("one", WEATHER, JACKET)
    other = record("other", WEATHER, (JACKET[0], ["No, it stays warm."]))
    done = frameengine("rerun", "--matrix", one, other)
    assert done.code == 1
    rows = [line.split() for line in done.out.splitlines()]
    assert next(row for row in rows if row[:1] == ["2"])[-5:] == ["2", "direct", "≠", "2", "direct"]
    assert done.out.count("≠ 2 direct") == 1
    assert "6; 1" in done.out
    assert frameengine("rerun", "--matrix", one, one).code == 0
    third = record("third", JACKET)
    refused = frameengine("rerun", "--matrix", one, third)
    assert (refused.code, "runs of other inputs" in refused.err) == (2, True)


def test_a_matrix_tells_records_that_differ_in_nothing_shown(
    frameengine: Frameengine, weather: Path, graphs: dict[str, Path]
) -> None:
    """Another request with the same path, frames, calls and answer is marked and exit 1; other nodes leave the figures only."""
    wanted = ("rerun", "--matrix", weather, "--policy", "slot", "--allow-approximate")
    done = frameengine(*wanted, "--graph", graphs["warmer"])
    assert done.code == 1
    assert (done.out.count("≈ "), done.out.count("≠ "), "≈ something else in its record" in done.out) == (3, 1, True)
    found = frameengine(*wanted, "--graph", graphs["warmer"], "--graph", graphs["renamed"], "--json")
    assert (found.code, found.json["compared"]) == (1, ["record", "record", "figures"])
    changes = [[version["changes"] for version in row["versions"]] for row in found.json["rows"]]
    assert changes == [[[], ["record"], ["path"]], [[], ["record"], []]]
    other = frameengine(*wanted, "--graph", graphs["renamed"])
    assert (other.code, other.out.count("≈")) == (1, 0)
    assert "where the graph has other nodes than the first, only path" in " ".join(other.out.split())


def test_a_matrix_of_graphs(frameengine: Frameengine, weather: Path, graphs: dict[str, Path]) -> None:
    """One trace through several graphs: a column and a hit rate for each node of each, beside the record."""
    wanted = ("rerun", "--matrix", weather, "--graph", graphs["renamed"], "--graph", graphs["warmer"])
    done = frameengine(*wanted, "--policy", "slot", "--json")
    assert done.code == 1
    found = done.json
    assert found["versions"][0] == "recorded"
    assert [run["verdict"] for run in found["reruns"]] == ["exact", "approximate"]
    assert [row["input"] for row in found["rows"]] == [1, 2]
    stopped = frameengine(*wanted)
    assert stopped.code == 4
    assert "warmer.toml: 1.1 model[0]" in stopped.err
    shown = frameengine(*wanted, "--policy", "slot", "--allow-approximate")
    assert shown.out.count("hit rate") == 2


def test_the_demo_through_its_own_graph(frameengine: Frameengine) -> None:
    """Ten messages with tools, errors and a table come out again, and so do their answers."""
    done = frameengine("rerun", DEMO, "--json")
    assert (done.code, done.json["verdict"], done.json["calls"]) == (0, "exact", {"exact": 56})
    assert all(version["changes"] == [] for row in done.json["messages"] for version in row["versions"])
