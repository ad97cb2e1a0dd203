"""``replay`` and ``verify`` on several traces at once."""

from __future__ import annotations

from pathlib import Path

from cli_runs import JACKET, Frameengine, Record


def test_several_traces_give_a_line_each_and_a_sum(frameengine: Frameengine, record: Record, weather: Path) -> None:
    """Each trace is named with what was compared, and the last line counts them."""
    other = record("other", JACKET)
    assert frameengine("replay", weather, other).out.splitlines() == [
        f"✓ same  {weather}  2 inputs, 6 frames, 5 calls",
        f"✓ same  {other}  1 input, 2 frames, 1 call",
        "2 same",
    ]
    done = frameengine("verify", weather, other)
    assert (done.code, done.out.splitlines()[-1]) == (0, "2 intact")


def test_the_worst_of_several_decides(frameengine: Frameengine, record: Record, weather: Path, tmp_path: Path) -> None:
    """One that diverges and one that is missing do not hide each other, nor stop what comes after them."""
    path = tmp_path / "short.toml"
    path.write_text(
        'name = "short"\nversion = 1\n[entry]\nUserMessage = "model"\n[[nodes]]\nname = "model"\n'
        'implementation = "chat_model"\n[state]\nhistory = []\n',
        encoding="utf-8",
    )
    assert frameengine("run", "--graph", path, "-m", "hello", "-o", "mine.trace.jsonl").code == 0
    done = frameengine("replay", weather, "gone.trace.jsonl", "mine.trace.jsonl", "--graph", path)
    assert done.code == 4
    assert "✗ diverged at input 1" in done.out
    assert done.out.splitlines()[-1] == "1 diverged, 1 in error, 1 same"
    assert "gone.trace.jsonl" in done.err
    crashed = record("crashed", JACKET, seal=False)
    assert frameengine("verify", crashed, weather).code == 3


def test_several_are_one_document(frameengine: Frameengine, weather: Path) -> None:
    """--json lists all of them, with the errors of those that could not be read."""
    done = frameengine("replay", weather, weather, "gone.trace.jsonl", "--json")
    assert done.code == 3
    assert [one["ok"] for one in done.json["replays"]] == [True, True, False]
    assert done.json["replays"][2]["error"]["code"] == "trace.not_found"
    assert done.json["sum"] == {"same": 2, "in error": 1}
    assert frameengine("verify", weather, weather, "--json").json["receipts"][1]["verdict"] == "intact"


def test_one_replayed_run_is_kept_at_a_time(frameengine: Frameengine, weather: Path) -> None:
    """-o with several traces is refused before anything is run."""
    done = frameengine("replay", weather, weather, "-o", "x.trace.jsonl")
    assert (done.code, done.out, Path("x.trace.jsonl").exists()) == (2, "", False)
