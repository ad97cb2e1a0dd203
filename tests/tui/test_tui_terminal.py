"""The debugger's screen in a real terminal: how it ends, and how it leaves the terminal."""

from __future__ import annotations

import signal
from pathlib import Path
from time import sleep

import pytest

from cli_runs import JACKET, WEATHER, record_run
from pseudo_terminal import HANG_SECONDS, Terminal


@pytest.fixture(scope="module")
def weather(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a trace of two messages."""
    return record_run(tmp_path_factory.mktemp("traces") / "weather.trace.jsonl", [WEATHER, JACKET])


def test_the_terminal_is_left_as_it_was(weather: Path) -> None:
    """After q its modes are those from before, the other screen is gone, and the cursor is back."""
    with Terminal("debug", weather.name, cwd=weather.parent, columns=80, lines=24) as terminal:
        terminal.wait_for("of 2.2")
        terminal.press("s")
        terminal.wait_for("1.0 of 2.2")
        terminal.press("q")
        assert terminal.end() == 0
    assert terminal.left == terminal.modes
    for mode in ("?1049", "?1000", "?1003", "?1004", "?2004"):
        assert terminal.raw.rfind(f"\x1b[{mode}l") > terminal.raw.rfind(f"\x1b[{mode}h"), mode
    assert terminal.raw.rfind("\x1b[?25h") > terminal.raw.rfind("\x1b[?25l")


def test_ctrl_c_never_ends_with_a_traceback(weather: Path) -> None:
    """Pressed at any time, it stops what is under way or says how to leave."""
    with Terminal("debug", weather.name, cwd=weather.parent, columns=80, lines=24) as terminal:
        terminal.wait_for("of 2.2")
        for _ in range(3):
            terminal.press("\x03")
        terminal.wait_for("q leaves")
        terminal.press("q")
        assert terminal.end() == 0
    assert "Traceback" not in terminal.shown


@pytest.mark.parametrize("wait", [False, True], ids=["while it opens", "while it is open"])
def test_a_terminal_that_is_closed_ends_it(weather: Path, wait: bool) -> None:
    """The command ends with the code of a hang-up, and at once."""
    with Terminal("debug", weather.name, cwd=weather.parent, columns=80, lines=24) as terminal:
        if wait:
            terminal.wait_for("of 2.2")
        terminal.hang_up()
        assert terminal.process.wait(HANG_SECONDS) in (129, -signal.SIGHUP)


def test_a_terminal_that_is_closed_during_a_fork_leaves_no_draft(weather: Path, tmp_path: Path) -> None:
    """What the fork has written so far is removed, though another thread writes it."""
    trace, proving = tmp_path / weather.name, tmp_path / "proving"
    trace.write_bytes(weather.read_bytes())
    slow = (
        f"import time; import frameengine.debug.fork as f; f._prove = lambda *_: (open({str(proving)!r}, 'w').close(), "
        "[time.sleep(0.05) for _ in range(9999)]); from frameengine_cli.app import main; main()"
    )
    with Terminal("debug", f"{trace.name}@2.1", cwd=tmp_path, program=("-c", slow)) as terminal:
        terminal.wait_for("sealed")
        terminal.wait_for("2.1 of 2.2")
        terminal.press(":edit reply 1 other\r")
        terminal.wait_for("1 edit unforked")
        terminal.press("f")
        while not proving.exists():
            assert terminal.process.poll() is None
            sleep(0.02)
        assert list(tmp_path.glob(".*.draft"))
        terminal.hang_up()
        assert terminal.process.wait(HANG_SECONDS) == 129
    assert sorted(tmp_path.iterdir()) == sorted([trace, proving])


def test_a_signal_to_hang_up_leaves_the_terminal_as_it_was(weather: Path) -> None:
    """Where the terminal is still there, its modes are those from before and the other screen is gone."""
    with Terminal("debug", weather.name, cwd=weather.parent, columns=80, lines=24) as terminal:
        terminal.wait_for("of 2.2")
        terminal.process.send_signal(signal.SIGHUP)
        assert terminal.end() == 129
    assert terminal.left == terminal.modes
    assert terminal.raw.rfind("\x1b[?1049l") > terminal.raw.rfind("\x1b[?1049h")


def test_a_defect_is_told_in_a_line_without_a_traceback(weather: Path) -> None:
    """What no test foresaw ends the screen with the code of a defect, how to report it, and no value of the trace."""
    broken = "import frameengine_cli.tui.lists as l; l.title = None; from frameengine_cli.app import main; main()"
    with Terminal("debug", weather.name, cwd=weather.parent, columns=80, lines=24, program=("-c", broken)) as terminal:
        assert terminal.end() == 70
    assert "error: TypeError: 'NoneType' object is not callable" in terminal.shown
    assert "please report it" in terminal.shown
    assert "Traceback" not in terminal.shown


def test_no_color_draws_without_colours(weather: Path) -> None:
    """With NO_COLOR no colour is set; what the cursor is on is told by reversing it."""
    with Terminal("debug", weather.name, cwd=weather.parent, columns=80, lines=24, env={"NO_COLOR": "1"}) as terminal:
        terminal.wait_for("of 2.2")
        terminal.press("s")
        terminal.wait_for("1.0 of 2.2")
        terminal.press("q")
        terminal.end()
    codes = {code for part in terminal.raw.split("\x1b[")[1:] if "m" in part for code in _codes(part)}
    assert codes <= {"", "0", "1", "2", "3", "4", "7", "39", "49"}
    assert "7" in codes


def _codes(part: str) -> list[str]:
    """Return the numbers of a colour sequence; none of another one."""
    numbers = part.split("m", 1)[0]
    return numbers.split(";") if all(char.isdigit() or char == ";" for char in numbers) else []


def test_a_pattern_that_takes_for_ever_holds_no_key(tmp_path: Path) -> None:
    """While its hits are looked for and marked, keys do what they do, and q leaves."""
    trace = record_run(tmp_path / "slow.trace.jsonl", [("a" * 60 + "!", ["yes"])] * 20)
    with Terminal("debug", trace.name, cwd=tmp_path, columns=80, lines=24) as terminal:
        terminal.wait_for("sealed")
        terminal.press(":break regex (a+)+$\r")
        terminal.wait_for("1: regex")
        terminal.press("s")
        terminal.wait_for("1.0 of 20.2")
        terminal.press(":hits 1\r")
        terminal.wait_for("esc stops it")
        terminal.press("\x03")
        terminal.wait_for("hits was stopped")
        terminal.press("q")
        assert terminal.end() == 0
