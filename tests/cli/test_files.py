"""What commands leave on disk, and what they say where the system refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cli_runs import JACKET, WEATHER, Frameengine, Record
from frameengine.engine.driver import Run
from frameengine_cli import staging

CHAT = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "hi"}]


@pytest.fixture
def chat(tmp_path: Path) -> Path:
    """Return a file with a conversation."""
    path = tmp_path / "chat.json"
    path.write_text(json.dumps(CHAT), encoding="utf-8")
    return path


def test_a_file_that_cannot_be_written_is_no_defect(frameengine: Frameengine, weather: Path, tmp_path: Path) -> None:
    """A folder that is not there, and one in the place of the file, are told with a way out, and 1."""
    for command in (("export", "openai", weather), ("graph", "export", "tool-loop")):
        for place, way_out in ((tmp_path / "nowhere" / "x", "make the folder first"), (tmp_path, "name a file, not a folder")):
            done = frameengine(*command, "--force", "-o", place)
            assert done.code == 1
            assert str(place) in done.err
            assert way_out in done.err
        assert "is a folder" in frameengine(*command, "-o", tmp_path).err


def test_any_other_refusal_of_the_system_is_one_line(
    frameengine: Frameengine, weather: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of the operating system that nobody foresaw names the file and is 1, not a defect."""
    from frameengine.trace import verify

    def refused(_path: Path, **_more: object) -> None:
        raise PermissionError(13, "Permission denied", "some-file")

    monkeypatch.setattr(verify, "verify", refused)
    done = frameengine("verify", weather)
    assert (done.code, done.err.split("\n")[0]) == (1, "error: some-file: Permission denied")
    assert frameengine("verify", weather, "--json").json["error"]["code"] == "storage"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
@pytest.mark.parametrize("more", [(), ("--json",)], ids=["text", "json"])
def test_a_full_disk_behind_stdout_is_told(weather: Path, more: tuple[str, ...]) -> None:
    """Output that cannot be written is one line on stderr and 1, whatever is written."""
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        command = [sys.executable, "-m", "frameengine_cli", "show", str(weather), *more]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == "error: stdout: No space left on device"
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


def test_a_run_that_fails_says_that_its_file_is_kept(frameengine: Frameengine) -> None:
    """The unsealed file and the way on are named, and that way works."""
    arguments = ("run", "--graph", "tool-loop", "-m", "hello", "-o", "mine.trace.jsonl", "--reply", "a")
    done = frameengine(*arguments, "--reply", "b")
    assert done.code == 4
    assert "mine.trace.jsonl is kept without a seal: run again with --force" in done.err
    assert frameengine(*arguments, "--force").code == 0
    unnamed = frameengine("run", "--graph", "tool-loop", "-m", "a", "-m", "b", "--reply", "x")
    assert unnamed.err.rstrip().endswith("traces/tool-loop.trace.jsonl is kept without a seal: run again")


def test_an_interrupted_run_says_how_to_go_on(frameengine: Frameengine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C names the file, how to look into it, and how to write it anew."""

    def interrupted(_self: staging.Echo, _call: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(staging.Echo, "_echo", interrupted)
    done = frameengine("run", "--graph", "tool-loop", "-m", "hello", "-o", "my trace.jsonl")
    assert "frameengine show 'my trace.jsonl' --damaged, or run again with --force" in done.err


@pytest.mark.parametrize("ending", [KeyboardInterrupt, ZeroDivisionError])
def test_an_import_that_fails_leaves_no_file(
    frameengine: Frameengine, chat: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: type[BaseException]
) -> None:
    """An import can be repeated, so nothing of a broken one stays."""

    def broken(_self: Run, _body: object) -> None:
        raise ending

    monkeypatch.setattr(Run, "send", broken)
    assert frameengine("import", "openai", chat).code in (130, 70)
    assert list((tmp_path / "traces").iterdir()) == []


def test_an_import_that_is_refused_leaves_the_older_file(frameengine: Frameengine, chat: Path, tmp_path: Path) -> None:
    """A file that is in the way is not removed."""
    trace = tmp_path / "mine.trace.jsonl"
    frameengine("import", "openai", chat, "-o", trace)
    before = trace.read_bytes()
    assert frameengine("import", "openai", chat, "-o", trace).code == 2
    assert trace.read_bytes() == before


def test_an_import_without_a_name_takes_a_free_one(frameengine: Frameengine, chat: Path, tmp_path: Path) -> None:
    """The same conversation can be imported twice."""
    assert [frameengine("import", "openai", chat).code for _ in range(2)] == [0, 0]
    assert sorted(path.name for path in (tmp_path / "traces").iterdir()) == ["chat-2.trace.jsonl", "chat.trace.jsonl"]


def test_an_import_that_captures_nothing_leaves_nothing(frameengine: Frameengine, weather: Path, tmp_path: Path) -> None:
    """What could not be replayed does not become the latest trace."""
    path = tmp_path / "chat.json"
    path.write_text('[{"role":"system","content":"Be brief."}]', encoding="utf-8")
    done = frameengine("import", "openai", path)
    assert (done.code, "not kept" in done.out) == (5, True)
    assert list(weather.parent.iterdir()) == [weather]
    assert frameengine("import", "openai", path, "--json").json["imported"][0]["kept"] is False


def test_repair_writes_over_a_file_only_if_told(frameengine: Frameengine, record: Record, tmp_path: Path) -> None:
    """The suggestion of a refusal is one that works; the damaged file itself is never written over."""
    path = record("torn", WEATHER, JACKET, seal=False)
    good = tmp_path / "good.trace.jsonl"
    good.write_text("old", encoding="utf-8")
    refused = frameengine("repair", path, "-o", good)
    assert (refused.code, "--force" in refused.err) == (2, True)
    assert frameengine("repair", path, "-o", good, "--force").code == 0
    assert frameengine("verify", good).code == 0
    damaged = path.read_bytes()
    assert frameengine("repair", path, "-o", path, "--force").code == 2
    assert path.read_bytes() == damaged


def test_a_repair_that_keeps_no_frame_is_no_success(frameengine: Frameengine, record: Record) -> None:
    """A repaired file in which nothing was run is 5, with a warning."""
    from frameengine.inputs import Given

    path = record("given", (Given(messages=[{"role": "system", "content": "Be brief."}]), []), seal=False)
    done = frameengine("repair", path, "-o", "good.trace.jsonl")
    assert done.code == 5
    assert "no frame and no call" in done.err
    assert frameengine("repair", path, "-o", "again.trace.jsonl", "--json").code == 5


def test_an_export_says_what_is_no_message(frameengine: Frameengine, tmp_path: Path) -> None:
    """Model, tools and parameters of an imported request are not in the messages, and the export says so."""
    tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    path = tmp_path / "request.json"
    path.write_text(json.dumps({"model": "gpt-x", "tools": tools, "messages": CHAT}), encoding="utf-8")
    frameengine("import", "openai", path, "-o", "request.trace.jsonl")
    done = frameengine("export", "openai", "request.trace.jsonl")
    assert json.loads(done.out) == CHAT
    assert done.err == "note: not exported: model, tools\n"


def test_a_terminal_that_knows_text_only_has_a_width(monkeypatch: pytest.MonkeyPatch) -> None:
    """TERM=dumb says nothing about how wide a terminal is."""
    from frameengine_cli import output

    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("COLUMNS", "132")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert output.width() == 132
    assert not output.is_terminal()


def test_a_bar_is_told_how_much_of_the_file_is_done(weather: Path) -> None:
    """Proving a file tells the bytes behind each message, which grow up to the seal."""
    from frameengine.trace.verify import verify

    told: list[int] = []
    receipt = verify(weather, done=told.append)
    assert len(told) == receipt.counts.inputs
    assert told == sorted(told)
    assert 0 < told[0] < told[-1] < receipt.size


def test_ctrl_c_while_the_command_is_loaded_shows_no_traceback(tmp_path: Path) -> None:
    """An interruption before anything runs is one line and 130."""
    (tmp_path / "typer.py").write_text("raise KeyboardInterrupt\n", encoding="utf-8")
    command = [sys.executable, "-m", "frameengine_cli", "version"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "error: interrupted\n")
