"""Every exit code of the table in docs/cli.md, and that nothing empty, unfinished or unknown ever looks green."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cli_runs import CALLS, JACKET, WEATHER, Frameengine, Record
from frameengine.engine.message import Engine
from frameengine.errors import LimitError, NothingCompared, StorageError
from frameengine.inputs import Input
from frameengine.replay.replayer import Replayer
from frameengine_cli import staging

ROOT = Path(__file__).parents[2]
TABLE = re.compile(r"^\| (\d+) \|", re.MULTILINE)
TESTED = {0, 1, 2, 3, 4, 5, 70, 125, 130, 141}


def start(*arguments: str | Path, **more: Any) -> subprocess.Popen[str]:
    """Start the command in a process of its own."""
    command = [sys.executable, "-m", "frameengine_cli", *[str(argument) for argument in arguments]]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)


def test_the_table_of_the_manual_is_the_one_that_is_tested() -> None:
    """docs/cli.md lists exactly the exit codes that these tests bring about."""
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    section = page[page.index("## Exit codes") :]
    assert {int(code) for code in TABLE.findall(section)} == TESTED


def test_0_same_verified_done(frameengine: Frameengine, weather: Path) -> None:
    """A trace that is whole and replays alike is 0."""
    assert [frameengine(command, weather).code for command in ("verify", "replay", "show")] == [0, 0, 0]


def test_1_a_run_in_which_a_message_failed(frameengine: Frameengine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run whose node failed is recorded, shown and 1."""
    from cli_runs import FAILURE

    monkeypatch.setattr(staging.Echo, "_echo", lambda _self, _call: FAILURE)
    done = frameengine("run", "--graph", "tool-loop", "-m", "hello", "-o", "failed.trace.jsonl")
    assert done.code == 1
    assert "✗ failed" in done.out
    assert frameengine("verify", "failed.trace.jsonl").code == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("no-such-command",),
        ("replay",),
        ("replay", "x", "--no-such-option"),
        ("replay", "latest"),
        ("show", "nothing-of-this-name"),
        ("graph", "show", "no-such-graph"),
        ("run",),
        ("run", "--graph", "tool-loop"),
        ("schema", "no-such-kind"),
    ],
    ids=" ".join,
)
def test_2_usage_and_unknown_names(frameengine: Frameengine, arguments: tuple[str, ...]) -> None:
    """What cannot be meant, or names nothing, is 2; the message says why and what to try, in text and as JSON."""
    done = frameengine(*arguments)
    assert done.code == 2
    assert done.out == ""
    assert re.match(r"error: .+\n  try: .+", done.err)
    as_json = frameengine(*arguments, "--json")
    assert as_json.code == 2
    assert as_json.json["ok"] is False
    assert as_json.json["error"]["message"]


def test_2_an_ambiguous_name(frameengine: Frameengine, record: Record) -> None:
    """A name that several runs begin with is 2, and each of them is named."""
    record("run-a", JACKET)
    record("run-b", JACKET)
    done = frameengine("verify", "run")
    assert done.code == 2
    assert "run-a" in done.err
    assert "run-b" in done.err


def test_2_a_place_that_is_not_there(frameengine: Frameengine, weather: Path) -> None:
    """A message or frame that the run has not is 2, and the message says which there are."""
    assert "its inputs are 1 to 2" in frameengine("show", f"{weather}@3").err
    done = frameengine("show", f"{weather}@1.9")
    assert done.code == 2
    assert "its frames are 1 to 4" in done.err


@pytest.mark.parametrize("command", ["verify", "replay", "show"])
class TestBadFiles:
    """Exit code 3, and 5 for what is whole and holds nothing."""

    def test_3_no_seal(self, frameengine: Frameengine, record: Record, command: str) -> None:
        """A trace without a seal is 3, whatever it holds."""
        done = frameengine(command, record("crashed", WEATHER, seal=False))
        assert done.code == 3
        assert "no seal" in done.err

    def test_3_empty(self, frameengine: Frameengine, tmp_path: Path, command: str) -> None:
        """An empty file is 3."""
        path = tmp_path / "empty.trace.jsonl"
        path.touch()
        done = frameengine(command, path)
        assert done.code == 3
        assert "empty" in done.err

    def test_3_changed(self, frameengine: Frameengine, weather: Path, command: str) -> None:
        """A file in which one word was changed is 3."""
        weather.write_bytes(weather.read_bytes().replace(b"jacket", b"racket", 1))
        done = frameengine(command, weather)
        assert done.code == 3
        assert "was changed" in done.err

    def test_3_no_trace(self, frameengine: Frameengine, tmp_path: Path, command: str) -> None:
        """A file of another kind is 3."""
        path = tmp_path / "notes.txt"
        path.write_text("hello\n", encoding="utf-8")
        assert frameengine(command, path).code == 3

    def test_3_no_file(self, frameengine: Frameengine, tmp_path: Path, command: str) -> None:
        """A path at which there is nothing is 3."""
        assert frameengine(command, tmp_path / "gone.trace.jsonl").code == 3

    def test_5_a_sealed_trace_without_a_run(self, frameengine: Frameengine, record: Record, command: str) -> None:
        """A trace that is whole and in which nothing happened is 5: it proves nothing."""
        done = frameengine(command, record("nothing"))
        assert done.code == 5
        assert "nothing to" in done.err


def test_4_unused_and_missing_replies(frameengine: Frameengine) -> None:
    """A reply that nobody asks for, and a question without a reply, are 4, and the trace has no seal."""
    unused = frameengine("run", "--graph", "tool-loop", "-m", "hello", "--reply", "a", "--reply", "b", "-o", "unused.trace.jsonl")
    assert (unused.code, "1 of 2 replies were not asked for" in unused.err) == (4, True)
    assert frameengine("verify", "unused.trace.jsonl").code == 3
    missing = frameengine("run", "--graph", "tool-loop", "-m", "a", "-m", "b", "--reply", "x")
    assert missing.code == 4


def test_5_an_import_that_captures_nothing(frameengine: Frameengine, tmp_path: Path) -> None:
    """A conversation without anything to run is imported and reported as 5."""
    path = tmp_path / "chat.json"
    path.write_text('[{"role":"system","content":"Be brief."}]', encoding="utf-8")
    assert frameengine("import", "openai", path, "-o", tmp_path / "chat.trace.jsonl").code == 5
    assert frameengine("import", "openai", path, "-o", tmp_path / "two.trace.jsonl", "--json").code == 5


def test_70_a_defect(frameengine: Frameengine, weather: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception that nobody foresaw is 70: one readable line and a pointer, the traceback only when asked for."""

    def broken(_self: Engine, _input: Input) -> None:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(Engine, "message", broken)
    done = frameengine("replay", weather)
    assert done.code == 70
    assert done.err == (
        "error: ZeroDivisionError: planted\n"
        "  try: this is a defect of frameengine, please report it; FRAMEENGINE_DEBUG=1 shows where it happened\n"
    )
    assert "Traceback" in frameengine("--debug", "replay", weather).err
    monkeypatch.setenv("FRAMEENGINE_DEBUG", "1")
    assert "Traceback" in frameengine("replay", weather).err
    assert frameengine("replay", weather, "--json").json["error"]["code"] == "internal"


def test_130_interrupted_while_replaying(frameengine: Frameengine, weather: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in a replay is 130, also for git bisect, and the message says where it was."""
    message = Engine.message

    def interrupted(self: Engine, entered: Input) -> Any:
        yield from message(self, entered)
        raise KeyboardInterrupt

    monkeypatch.setattr(Engine, "message", interrupted)
    done = frameengine("replay", weather)
    assert done.code == 130
    assert "interrupted while replaying input 1, frame 4" in done.err
    assert frameengine("replay", weather, "--bisect").code == 130


def test_130_a_run_that_is_interrupted_leaves_a_readable_trace(frameengine: Frameengine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the second message of a run is 130, says so, and the first message can be shown."""
    echo = staging.Echo._echo
    asked: list[Any] = []

    def interrupted(self: staging.Echo, call: Any) -> Any:
        asked.append(call)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return echo(self, call)

    monkeypatch.setattr(staging.Echo, "_echo", interrupted)
    done = frameengine("run", "--graph", "tool-loop", "-m", "one", "-m", "two", "-o", "cut.trace.jsonl")
    assert done.code == 130
    assert "interrupted in input 2: cut.trace.jsonl has 2 frames, and no seal" in done.err
    assert "You said: one" in frameengine("show", "cut.trace.jsonl@1", "--damaged").out


def test_130_anywhere_else(frameengine: Frameengine, weather: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in a command that writes nothing is 130 without a traceback."""
    from frameengine.trace import verify

    def interrupted(_path: Path, **_more: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(verify, "verify", interrupted)
    done = frameengine("verify", weather)
    assert (done.code, done.err.split("\n")[0]) == (130, "error: interrupted")


def unread(*arguments: str | Path) -> tuple[int, str]:
    """Return exit code and stderr of a command whose stdout nobody reads."""
    process = start(*arguments)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    complaint = process.stderr.read()
    process.stderr.close()
    return process.wait(), complaint


def diverging(weather: Path) -> Path:
    """Return a graph with which the weather diverges."""
    text = (ROOT / "frameengine" / "graph" / "definitions" / "tool-loop.toml").read_text(encoding="utf-8")
    path = weather.with_name("other.toml")
    path.write_text(text.replace("when = '\"tools\" not in nodes'", "when = '\"tools\" in nodes'"), encoding="utf-8")
    return path


def test_141_a_reader_that_goes_away(weather: Path) -> None:
    """A pipe that is closed early ends the command quietly, and not as if all had been seen to be well."""
    assert unread("show", weather, "--json") == (141, "")
    assert unread("replay", weather) == (141, "")
    assert unread("replay", weather, "--bisect") == (125, "")
    assert unread("--help") == (141, "")


def test_a_divergence_stays_one_though_nobody_reads_of_it(weather: Path) -> None:
    """A verdict that is known keeps its exit code where stdout is closed."""
    graph = diverging(weather)
    assert unread("replay", weather, "--graph", graph, "--quiet") == (4, "")
    assert unread("replay", weather, "--graph", graph, "--quiet", "--bisect") == (1, "")
    assert unread("replay", weather, "--graph", graph, "--json") == (4, "")
    assert unread("rerun", weather, "--graph", graph, "--allow-unused") == (141, "")


def test_only_a_divergence_is_bad_for_git(frameengine: Frameengine, weather: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What fails with 1, or with any code but that of a divergence, cannot be tested: git must not take it for bad."""
    assert frameengine("replay", weather, "--bisect").code == 0
    assert frameengine("replay", weather, "--graph", diverging(weather), "--bisect").code == 1

    def full(_self: Engine, _input: Input) -> None:
        raise StorageError("the disk is full")

    def limited(_self: Engine, _input: Input) -> None:
        raise LimitError("too many frames")

    for failure in (full, limited):
        monkeypatch.setattr(Engine, "message", failure)
        assert (frameengine("replay", weather).code, frameengine("replay", weather, "--bisect").code) == (1, 125)


def test_the_process_leaves_with_the_exit_code(tmp_path: Path) -> None:
    """``python -m frameengine_cli`` ends with the code, data on stdout, the rest on stderr, and no colour in a pipe."""
    process = start("verify", tmp_path / "gone", env={**os.environ, "FORCE_COLOR": "1"})
    out, err = process.communicate()
    assert (process.returncode, out) == (3, "")
    assert err.startswith("error: ")
    assert "\x1b" not in err


def test_errors_are_neutralised(frameengine: Frameengine) -> None:
    """A name from outside does not reach the terminal raw through an error message, its JSON included."""
    done = frameengine("show", "\x1b[2Jevil\u202e")
    assert done.code == 2
    assert r"\x1b[2Jevil\u202e" in done.err
    assert "\x1b" not in done.err
    assert "\u202e" not in frameengine("show", "evil\u202e", "--json").out


def test_a_defect_of_the_replayer_is_not_green(frameengine: Frameengine, weather: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A replay that compared less than the seal states is an error, whatever it found."""

    def lazy(_self: Replayer) -> None:
        raise NothingCompared("the file has 5 calls, the replay compared 0")

    monkeypatch.setattr(Replayer, "_check_counts", lazy)
    assert frameengine("replay", weather).code == 5


def test_a_tool_call_without_results_is_told(frameengine: Frameengine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that asks for a tool in a run that has none ends it with 4 and the way out."""
    from frameengine.effects import ModelReply, Outcome

    monkeypatch.setattr(
        staging, "_said", lambda _call, _text: Outcome(value=ModelReply(message=CALLS, finish_reason="tool_calls"))
    )
    done = frameengine("run", "--graph", "tool-loop", "-m", "hello")
    assert done.code == 4
    assert "write a scenario" in done.err
