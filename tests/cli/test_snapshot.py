"""``frameengine snapshot`` without a terminal: list, accept, reject and index; and ``replay --runs``."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli_runs import JACKET, WEATHER, Frameengine, Record, record_run
from frameengine.golden import INDEX, is_pending, pending_path, unsettled, write_index
from frameengine.trace.files import published
from frameengine.trace.reader import read_header
from frameengine.trace.reheaded import copy_under
from frameengine_cli.refs import SUFFIXES, traces

RAIN = (WEATHER[0], [*WEATHER[1][:-1], "Rain all day."])


@pytest.fixture(autouse=True)
def no_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    """Be on somebody's own machine."""
    monkeypatch.delenv("CI", raising=False)


@pytest.fixture
def golden(record: Record, frameengine: Frameengine) -> Path:
    """Return an approved golden in ``traces``, with a pending one in which a reply is another."""
    path = record("weather", WEATHER, JACKET)
    assert frameengine("snapshot", "index", "traces").code == 0
    record_run(pending_path(path), [RAIN, JACKET])
    return path


def test_what_waits_for_review_is_listed(frameengine: Frameengine, golden: Path) -> None:
    """Each pending golden is named with the number of frames that changed, and the exit code is 1."""
    done = frameengine("snapshot", "pending")
    assert done.code == 1
    assert "traces/weather.trace.pending.jsonl" in done.out
    assert "3 frames" in done.out
    (one,) = frameengine("snapshot", "pending", golden, "--json").json["pending"]
    assert [(frame["place"], frame["accepted"]) for frame in one["frames"]] == [("1.3", False), ("1.4", False), ("2.1", False)]
    assert one["frames"][0]["changes"][0]["fields"][0]["right"] == "Rain all day."
    assert (one["golden"], one["new"]) == (str(golden), False)


def test_goldens_without_an_index_are_nobodys_approval(frameengine: Frameengine, record: Record) -> None:
    """Where no index lists a golden, nothing says that it is the approved one: exit 1, and the way to approve it."""
    record("weather", WEATHER)
    for place in (".", "traces", "traces/weather.trace.jsonl"):
        done = frameengine("snapshot", "pending", place)
        assert (done.code, "has no goldens.sha256" in done.out, "snapshot index traces" in done.out) == (1, True, True), place


def test_a_pending_golden_is_no_run(frameengine: Frameengine, golden: Path) -> None:
    """No reference but its path leads to a pending golden: not a name, not latest, not a pattern for traces."""
    assert traces(golden.parent) == [golden]
    assert not pending_path(golden).name.endswith(SUFFIXES)
    assert frameengine("verify", "weather", "--json").json["path"] == "traces/weather.trace.jsonl"
    assert frameengine("verify", "latest", "--json").json["path"] == "traces/weather.trace.jsonl"


def test_accepting_makes_everything_green(frameengine: Frameengine, golden: Path) -> None:
    """An accepted golden is in place and listed; then nothing is pending and the exit code is 0."""
    wanted = pending_path(golden).read_bytes()
    done = frameengine("snapshot", "accept", golden)
    assert (done.code, done.out) == (0, f"✓ accepted  {golden}\n")
    assert golden.read_bytes() == wanted
    assert unsettled(golden.parent) == []
    done = frameengine("snapshot", "pending")
    assert (done.code, done.out) == (0, "✓ nothing is pending, and every golden is the approved one\n")
    assert frameengine("snapshot", "pending", "traces", "--json").json["ok"]


def test_an_approximate_golden_says_so(frameengine: Frameengine, golden: Path) -> None:
    """Where replies to other requests stand in what is accepted, the line that tells of it says how many."""
    draft = pending_path(golden).rename(golden.with_name("draft"))
    members = {**read_header(draft), "provenance": {"rerun": "approximate: 3 exact, 1 slot"}}
    with published(pending_path(golden)) as sink:
        copy_under(members, draft, sink)
    draft.unlink()
    assert frameengine("snapshot", "pending", "--json").json["pending"][0]["made"] == "approximate: 3 exact, 1 slot"
    done = frameengine("snapshot", "accept", golden)
    assert done.out == f"✓ accepted  {golden} (approximate: 3 exact, 1 slot)\n"


def test_frames_can_be_accepted_one_by_one(frameengine: Frameengine, golden: Path) -> None:
    """The file is taken with the last of its frames; before that it stays pending, and says which are left."""
    before = golden.read_bytes()
    done = frameengine("snapshot", "accept", golden, "--frame", "1.3", "--frame", "2.1")
    assert done.out == f"… still pending  {golden} (1.4 left to judge)\n"
    assert golden.read_bytes() == before
    assert "of which 2 accepted before" in frameengine("snapshot", "pending").out
    done = frameengine("snapshot", "accept", golden, "--frame", "1.4", "--json")
    assert done.json["decisions"] == [{"golden": str(golden), "verdict": "accepted", "left": []}]
    assert unsettled(golden.parent) == []


def test_a_frame_that_did_not_change_cannot_be_accepted(frameengine: Frameengine, golden: Path) -> None:
    """An unknown frame is refused with those that did change, and a frame of several files as well."""
    done = frameengine("snapshot", "accept", golden, "--frame", "1.1")
    assert done.code == 2
    assert "1.1 did not change; changed: 1.3, 1.4, 2.1" in done.err
    record_run(golden.with_name("b.trace.pending.jsonl"), [JACKET])
    assert frameengine("snapshot", "accept", "traces", "--frame", "1.3").code == 2
    assert pending_path(golden).exists()


def test_rejecting_removes_the_pending_golden(frameengine: Frameengine, golden: Path) -> None:
    """The golden stays as it was, and the pending one is gone."""
    before = golden.read_bytes()
    done = frameengine("snapshot", "reject", "traces")
    assert (done.code, done.out) == (0, "✗ rejected  traces/weather.trace.jsonl\n")
    assert golden.read_bytes() == before
    assert not pending_path(golden).exists()


@pytest.mark.parametrize("command", ["accept", "reject", "index", "review"])
def test_nothing_is_written_in_ci(frameengine: Frameengine, golden: Path, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    """With CI set, every command that writes is refused; the list still works."""
    before = {path.name: path.read_bytes() for path in golden.parent.iterdir()}
    monkeypatch.setenv("CI", "true")
    done = frameengine("snapshot", command, "traces")
    assert done.code == 2
    assert "CI is set" in done.err
    assert {path.name: path.read_bytes() for path in golden.parent.iterdir()} == before
    assert frameengine("snapshot", "pending").code == 1


def test_goldens_that_are_not_as_approved_are_listed(frameengine: Frameengine, golden: Path, record: Record) -> None:
    """Missing and unused goldens are told beside the pending ones, with the way out, from wherever in the folder one asks."""
    golden.unlink()
    other = record("other", JACKET)
    pending_path(golden).unlink()
    done = frameengine("snapshot", "pending")
    assert done.code == 1
    assert "golden traces/weather.trace.jsonl is missing" in done.out
    assert "golden traces/other.trace.jsonl is unused" in done.out
    assert "try: remove it, or approve it: frameengine snapshot index traces" in done.out
    kinds = [one["kind"] for one in frameengine("snapshot", "pending", other, "--json").json["unsettled"]]
    assert kinds == ["unused", "missing"]


def test_values_are_goldens_too(frameengine: Frameengine, tmp_path: Path) -> None:
    """A folder with golden values and no trace is no folder without goldens."""
    (tmp_path / "values").mkdir()
    (tmp_path / "values" / "a.value.json").write_text("1\n", encoding="utf-8")
    done = frameengine("snapshot", "pending", "values")
    assert (done.code, done.out) == (0, "✓ nothing is pending, and every golden is the approved one\n")


def test_every_index_above_is_looked_at(frameengine: Frameengine, golden: Path) -> None:
    """What an outer index misses is told from the inner folder."""
    pending_path(golden).unlink()
    write_index(golden.parent.parent, {"gone.trace.jsonl": "0" * 64})
    found = frameengine("snapshot", "pending", "traces", "--json").json["unsettled"]
    assert [one["kind"] for one in found] == ["missing", "unused"]


def test_indexing_tells_what_it_approves(frameengine: Frameengine, golden: Path, record: Record) -> None:
    """Each golden that comes to be listed, changes or is struck off is named; a second time there is nothing to change."""
    golden.unlink()
    record("other", JACKET)
    done = frameengine("snapshot", "index", "traces")
    assert done.out == "added    other.trace.jsonl\nremoved  weather.trace.jsonl\n✓ traces: approved as it is\n"
    assert frameengine("snapshot", "index", "traces").out == "✓ traces: nothing to change\n"
    assert frameengine("snapshot", "index", "traces", "--json").json["changes"] == {}
    assert (golden.parent / INDEX).read_text().endswith("  other.trace.jsonl\n")


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (("pending", "empty"), 5),
        (("pending", "gone"), 2),
        (("accept", "empty"), 5),
        (("reject", "empty"), 5),
        (("accept", "traces/gone.trace.jsonl"), 2),
        (("index", "empty"), 2),
        (("index", "gone"), 2),
        (("accept",), 2),
    ],
)
def test_nothing_to_do_is_no_success(frameengine: Frameengine, golden: Path, command: tuple[str, ...], code: int) -> None:
    """A folder without goldens, a name that leads nowhere and a command without one end with an error and a way out."""
    Path("empty").mkdir()
    done = frameengine("snapshot", *command)
    assert done.code == code
    assert "try: " in done.err
    assert pending_path(golden).exists()


def test_words_from_outside_do_nothing_to_the_terminal(frameengine: Frameengine, tmp_path: Path) -> None:
    """A file whose name would move the cursor is shown with numbers."""
    record_run(tmp_path / "traces" / "a\x1b[2J.trace.pending.jsonl", [JACKET])
    done = frameengine("snapshot", "pending", "traces")
    assert "\\x1b[2J" in done.out
    assert "\x1b" not in done.out
    assert all(is_pending(path) for path in (tmp_path / "traces").iterdir())


SHUFFLING = """
from frameengine.effects import ModelCall
from frameengine.node import NodeResult
from shuffling_help import shuffled


class Ask:
    async def run(self, message, ctx):
        words = " ".join(shuffled(message.text.split()))
        await ctx.perform(ModelCall(model="m", messages=[{"role": "user", "content": words}]))
        return NodeResult()
"""
GRAPH = (
    'name = "shuffling"\nversion = 1\n[entry]\nUserMessage = "ask"\n[[nodes]]\nname = "ask"\nimplementation = "shuffling:Ask"\n'
)


@pytest.fixture
def shuffling(frameengine: Frameengine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str | Path, ...]:
    """Return a command that replays a run whose node takes an order from a set, in a module where the guard does not look."""
    (tmp_path / "shuffling.py").write_text(SHUFFLING, encoding="utf-8")
    (tmp_path / "shuffling_help.py").write_text("def shuffled(words):\n    return list(set(words))\n", encoding="utf-8")
    (tmp_path / "shuffling.toml").write_text(GRAPH, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))
    words = " ".join([f"word{number}" for number in range(12)])
    assert frameengine("run", "--graph", "shuffling.toml", "-m", words, "-q", "-o", "run.trace.jsonl").code == 0
    return ("replay", "run.trace.jsonl", "--graph", "shuffling.toml")


def test_a_flaky_trace_is_named(frameengine: Frameengine, shuffling: tuple[str | Path, ...]) -> None:
    """A replay that ends otherwise under another hash seed is flaky: exit 1, with each ending, its seeds, place and values."""
    done = frameengine(*shuffling, "--runs", "3")
    assert done.code == 1
    assert "✗ flaky (run.trace.jsonl)" in done.out
    assert "diverged at input 1, frame 1, node ask: request /messages/0/content" in done.out
    assert "recorded" in done.out
    found = frameengine(*shuffling, "--runs", "2", "--json").json
    assert (found["verdict"], found["ok"], found["runs"]) == ("flaky", False, 2)
    assert sorted(seed for ending in found["endings"] for seed in ending["seeds"]) == [1, 2]


def test_a_trace_that_replays_alike_is_not_flaky(frameengine: Frameengine, golden: Path) -> None:
    """The same in every process is exit 0, the same divergence in every process exit 4, a bad file what it always is."""
    done = frameengine("replay", golden, "--runs", "2")
    assert (done.code, "all alike" in done.out, "same" in done.out) == (0, True, True)
    other = golden.with_name("other.toml")
    other.write_text(
        'name = "tool-loop"\nversion = 9\n[entry]\nUserMessage = "model"\n[[nodes]]\nname = "model"\n'
        'implementation = "chat_model"\n[state]\nhistory = []\nmodel = "x"\n',
        encoding="utf-8",
    )
    assert frameengine("replay", golden, "--graph", other, "--runs", "2").code == 4
    golden.write_bytes(golden.read_bytes()[:-5])
    assert frameengine("replay", golden, "--runs", "2", "--json").json["verdict"] == "error"


def test_runs_are_about_one_trace(frameengine: Frameengine, golden: Path) -> None:
    """Several traces, or one that is to be kept, are refused with --runs."""
    assert frameengine("replay", golden, golden, "--runs", "2").code == 2
    assert frameengine("replay", golden, "--runs", "2", "-o", "x.trace.jsonl").code == 2
    assert frameengine("replay", golden, "--runs", "0").code == 2
