"""``frameengine snapshot review`` in a real pseudo-terminal: every key, and what stands on disk before, meanwhile and after."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from cli_runs import JACKET, WEATHER, Frameengine, Record, record_run
from frameengine.golden import INDEX, pending_path, unsettled
from pseudo_terminal import Terminal

RAIN = (WEATHER[0], [*WEATHER[1][:-1], "Rain all day."])


@pytest.fixture
def folder(record: Record, frameengine: Frameengine, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with two pending goldens, in the order of review: one that is new, and one with three changed frames."""
    monkeypatch.delenv("CI", raising=False)
    golden = record("weather", WEATHER, JACKET)
    assert frameengine("snapshot", "index", "traces").code == 0
    record_run(pending_path(golden), [RAIN, JACKET])
    record_run(golden.with_name("new.trace.pending.jsonl"), [JACKET])
    return golden.parent


def files(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder, hidden ones too."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def review(folder: Path, keys: str) -> tuple[int, str]:
    """Press *keys* in a review, each at its own prompt, and return exit code and screen; nothing is written before the last."""
    before = files(folder)
    terminal = Terminal("snapshot", "review", "traces", cwd=folder.parent)
    for number, key in enumerate(keys):
        terminal.wait_for("? y n s a q ?")
        assert files(folder) == before, f"written before key {number}"
        terminal.press(key)
    return terminal.end(), terminal.shown


def test_accepting_all_frames_takes_the_files(folder: Path) -> None:
    """Key y on the new file and on each changed frame puts both goldens in place, and the index says so."""
    wanted = files(folder)
    code, shown = review(folder, "yyyy")
    assert code == 0
    assert "accept this file?" in shown
    assert all(f"accept frame {place}?" in shown for place in ("1.3", "1.4", "2.1"))
    assert files(folder)["weather.trace.jsonl"] == wanted["weather.trace.pending.jsonl"]
    assert files(folder)["new.trace.jsonl"] == wanted["new.trace.pending.jsonl"]
    assert sorted(files(folder)) == [INDEX, "new.trace.jsonl", "weather.trace.jsonl"]
    assert unsettled(folder) == []


def test_what_changed_is_on_the_screen(folder: Path) -> None:
    """The reviewer sees the new run, the places that changed, both values, and that a trace is taken as a whole."""
    _, shown = review(folder, "sq")
    assert "Do I need a jacket?" in shown
    assert "a trace is chained, so it is taken as a whole" in shown
    assert "/calls/0/outcome/value/message/content" in shown
    assert "[-Saturday" in shown
    assert "{+Rain" in shown
    assert "change 1 of 3" in shown


def test_rejecting_a_frame_rejects_its_file(folder: Path) -> None:
    """Key n ends the questions about a file and, at the end, removes the pending golden; golden and index stay as they were."""
    before = files(folder)
    code, shown = review(folder, "nyn")
    assert code == 0
    assert "✗ rejected  traces/new.trace.jsonl" in shown
    assert "✗ rejected  traces/weather.trace.jsonl" in shown
    assert files(folder) == {name: before[name] for name in (INDEX, "weather.trace.jsonl")}


def test_skipping_leaves_it_pending(folder: Path) -> None:
    """Key s leaves a file, or a frame of it, for another time: nothing changes on disk where nothing was accepted."""
    before = files(folder)
    code, shown = review(folder, "ssss")
    assert code == 0
    assert "… still pending  traces/weather.trace.jsonl (1.3, 1.4, 2.1 left to judge)" in shown
    assert files(folder) == before


def test_accepted_frames_are_remembered_until_the_next_review(folder: Path) -> None:
    """A file with a frame that was skipped stays pending, and the next review asks for that frame alone."""
    before = files(folder)
    _, shown = review(folder, "sysy")
    assert "… still pending  traces/weather.trace.jsonl (1.4 left to judge)" in shown
    kept = files(folder)
    assert {name: data for name, data in kept.items() if "judged" not in name} == before
    _, shown = review(folder, "sy")
    assert "of which 2 accepted before" in shown
    assert "accept frame 1.3?" not in shown
    assert files(folder)["weather.trace.jsonl"] == before["weather.trace.pending.jsonl"]
    assert not [name for name in files(folder) if "judged" in name]


def test_all_accepts_what_is_left_of_the_file(folder: Path) -> None:
    """Key a accepts this frame and the rest of its file; the other file is still asked about."""
    before = files(folder)
    _, shown = review(folder, "sya")
    assert "accept frame 2.1?" not in shown
    assert "accepted without being shown: 2.1" in shown
    assert files(folder)["weather.trace.jsonl"] == before["weather.trace.pending.jsonl"]
    assert "new.trace.pending.jsonl" in files(folder)


def test_a_pending_golden_put_in_place_by_hand_is_shown_whole(folder: Path) -> None:
    """Copied over the golden nothing differs any more, and all of it is shown before somebody can approve it."""
    (folder / "weather.trace.jsonl").write_bytes((folder / "weather.trace.pending.jsonl").read_bytes())
    code, shown = review(folder, "sy")
    assert code == 0
    assert "nobody approved it" in shown
    assert WEATHER[0] in shown
    assert "weather.trace.jsonl" in files(folder)[INDEX].decode()


def test_quitting_keeps_what_was_decided(folder: Path) -> None:
    """Key q stops the questions: the file before it is accepted, the frame before it is remembered, the rest stays pending."""
    before = files(folder)
    code, shown = review(folder, "yyq")
    assert code == 0
    assert "accept frame 2.1?" not in shown
    assert files(folder)["new.trace.jsonl"] == before["new.trace.pending.jsonl"]
    assert files(folder)["weather.trace.jsonl"] == before["weather.trace.jsonl"]
    assert "weather.trace.pending.judged.json" in files(folder)


def test_help_and_other_keys_decide_nothing(folder: Path) -> None:
    """The key ? explains all keys and asks again; so does one that means nothing, even where an a is part of what it sends."""
    terminal = Terminal("snapshot", "review", "traces", cwd=folder.parent)
    terminal.answer("accept this file?", "?")
    for key in ("x", "\x1b[a", "é", "Y", "q"):
        assert "reject the whole file" in terminal.answer("accept this file?", key)
    assert terminal.end() == 0
    assert "Ctrl-C" in terminal.shown


def test_ctrl_c_leaves_everything_as_it_was(folder: Path) -> None:
    """Interrupted after some keys, the review has written nothing, says so, and gives the terminal back."""
    before = files(folder)
    terminal = Terminal("snapshot", "review", "traces", cwd=folder.parent)
    terminal.answer("accept this file?", "y")
    terminal.answer("accept frame 1.3?", "\x03")
    assert terminal.end() == 130
    assert "interrupted: nothing was written" in terminal.shown
    assert files(folder) == before


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_killed_in_the_middle_nothing_is_lost(folder: Path, number: int) -> None:
    """However the review ends, before its end nothing is written, and the next one begins where it had."""
    before = files(folder)
    terminal = Terminal("snapshot", "review", "traces", cwd=folder.parent)
    terminal.answer("accept this file?", "y")
    terminal.wait_for("accept frame 1.3?")
    os.kill(terminal.process.pid, number)
    assert terminal.end() == -number
    assert files(folder) == before
    assert review(folder, "yyyy")[0] == 0
    assert unsettled(folder) == []


def test_a_second_reviewer_is_refused(folder: Path) -> None:
    """While one review is open, another ends at once with the first one's process, and so do accept, reject and index."""
    terminal = Terminal("snapshot", "review", "traces", cwd=folder.parent)
    terminal.wait_for("accept this file?")
    for command in ("review", "accept", "reject", "index"):
        other = Terminal("snapshot", command, "traces", cwd=folder.parent)
        assert other.end() == 3
        assert f"being reviewed by process {terminal.process.pid}" in " ".join(other.shown.split())
    terminal.press("q")
    assert terminal.end() == 0
    assert review(folder, "q")[0] == 0


def test_a_golden_edited_by_hand_is_refused(folder: Path) -> None:
    """A golden whose bytes were touched ends the review before anybody judges."""
    path = folder / "weather.trace.jsonl"
    path.write_bytes(path.read_bytes().replace(b"Bern", b"Kiel", 1))
    before = files(folder)
    terminal = Terminal("snapshot", "review", "traces", cwd=folder.parent)
    assert terminal.end() == 3
    assert "was changed without a review" in terminal.shown
    assert files(folder) == before


def test_in_ci_nobody_is_asked(folder: Path) -> None:
    """With CI set, a terminal changes nothing: the review is refused."""
    before = files(folder)
    terminal = Terminal("snapshot", "review", "traces", cwd=folder.parent, env={"CI": "true"})
    assert terminal.end() == 2
    assert files(folder) == before


def test_without_a_terminal_the_other_commands_are_named(frameengine: Frameengine, folder: Path) -> None:
    """Where nobody could press a key, the review names the commands that need none."""
    done = frameengine("snapshot", "review", "traces")
    assert done.code == 2
    assert "frameengine snapshot accept PATH" in done.err
    assert folder.is_dir()


def test_nothing_pending_is_no_success(frameengine: Frameengine, folder: Path) -> None:
    """A review of nothing ends with an error, as it proves nothing."""
    frameengine("snapshot", "reject", "traces")
    terminal = Terminal("snapshot", "review", "traces", cwd=folder.parent)
    assert terminal.end() == 5
    assert "nothing is pending" in terminal.shown
