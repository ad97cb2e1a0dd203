"""The debugger's screen over a run under way: it is talked to, held and decided on, and its trace replays."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from textual.widgets import TextArea

from billing_database import build_billing
from frameengine.replay.replayer import Replayer
from frameengine.trace.messages import messages
from frameengine.trace.reader import TraceReader
from frameengine_cli.debugging.live import LiveRun
from frameengine_cli.debugging.starting import Begin, closed
from frameengine_cli.tui.bars import CommandLine
from frameengine_cli.tui.working import Opening
from pseudo_terminal import HANG_SECONDS, Terminal
from screens import Screen, play

ASK = "How many customers do we have?"


@pytest.fixture(scope="module")
def billing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the billing database."""
    return build_billing(tmp_path_factory.mktemp("data"))


class Live:
    """A run on the screen."""

    def __init__(self, screen: Screen, run: LiveRun) -> None:
        self.screen = screen
        self.run = run

    @property
    def pauses(self) -> str:
        """Where the run is held."""
        return self.run.pauses

    async def press(self, *keys: str) -> None:
        """Press keys, each when the run is held or has ended."""
        for key in keys:
            await self.screen.pilot.press(key)
            await self.settle()

    async def settle(self) -> None:
        """Wait until the run waits for somebody."""
        await self.screen.settle()
        while self.run.runs:
            await self.screen.pilot.pause(0.01)
        await self.screen.settle()

    async def say(self, text: str) -> None:
        """Say something with the key for it."""
        await self.press("m")
        line = self.screen.app.query_one(CommandLine)
        assert line.value == "say "
        line.value += text
        await self.press("enter")

    async def write(self, text: str) -> str:
        """Write a text into the editor and keep it; return what stood in it."""
        area = self.screen.app.screen.query_one(TextArea)
        before, area.text = area.text, text
        await self.press("ctrl+s")
        return before


def talk(path: Path, billing: Path, scene: Callable[[Live], Awaitable[None]], *, size: tuple[int, int] = (120, 40)) -> str:
    """Begin a run on a screen, do what *scene* does, and let go of it; return what became of its trace."""
    session = Begin(graph="v3-framed", databases={"billing": billing}, folder=path.parent, output=path).session()
    run = session.live
    assert run is not None
    run.waits = False

    async def on(screen: Screen) -> None:
        await scene(Live(screen, run))

    try:
        play(Opening(name=str(path), open=lambda: session), on, size=size)
    finally:
        said, _ = closed(run)
    return said


def did(path: Path) -> list[str]:
    """Return what a person did about each call of a trace that replays."""
    assert Replayer(path).run().verdict == "same"
    with TraceReader(path) as reader:
        calls = [call for message in messages(reader) for step in message.steps for call in step.calls]
    return [str(call.outcome.meta.get("did", "")) for call in calls]


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)], ids=["80x24", "120x40", "200x60"])
def test_each_key_decides(tmp_path: Path, billing: Path, size: tuple[int, int]) -> None:
    """Approve, edit and send, answer by hand, skip and fail have a key each; the trace has them, and replays."""
    path = tmp_path / "live.trace.jsonl"

    async def scene(live: Live) -> None:
        await live.press("p")
        assert "before every effect" in live.screen.status
        await live.say(ASK)
        assert "1.1 input[0] asks" in live.screen.text
        assert "E edit and send" in live.screen.text
        await live.press("a", "a", "E")
        assert "COUNT(*)" in await live.write('{"query": "SELECT 41 AS customers", "database": "billing"}')
        assert "1.4 interpreter[0] asks" in live.screen.text
        await live.press("x", "A")
        await live.write("There are 41, by hand.")
        await live.press("X")
        live.screen.app.query_one(CommandLine).value = "fail no more"
        await live.press("enter")
        assert not live.run.under_way
        assert "done  There are 41, by hand." in live.screen.status

    assert talk(path, billing, scene, size=size).startswith("recorded")
    assert did(path) == ["", "", "sent", "skipped", "answered", "failed"]


def test_the_screen_follows_a_run_that_is_not_held(tmp_path: Path, billing: Path) -> None:
    """The list of messages grows, the place is the newest, and the head says that it is recorded."""
    path = tmp_path / "live.trace.jsonl"

    async def scene(live: Live) -> None:
        assert "recording" in live.screen.bar("head")
        await live.say(ASK)
        await live.say("hello")
        assert live.screen.place == "2.3"
        assert any("hello" in row for row in live.screen.rows("messages"))
        await live.press("S")
        assert live.screen.place == "2.2"

    talk(path, billing, scene)
    assert len(did(path)) == 9


def test_p_goes_through_the_ways_of_holding(tmp_path: Path, billing: Path) -> None:
    """Effects, frames, breakpoints only; behind a frame the key for approving begins the next."""

    async def scene(live: Live) -> None:
        await live.press("p", "p")
        assert live.pauses == "frames"
        await live.say("hello")
        assert live.screen.place == "1.1"
        assert "approve begins the next" in live.screen.text
        await live.press("a")
        assert live.screen.place == "1.2"
        await live.press("p")
        assert live.pauses == "off"
        await live.press("a")
        assert not live.run.under_way

    talk(tmp_path / "live.trace.jsonl", billing, scene)


def test_nothing_is_called_wrong_that_is_only_under_way(tmp_path: Path, billing: Path) -> None:
    """At its start, and held inside a frame, a run is under way: no sign of a fault, and what to press is told."""

    async def scene(live: Live) -> None:
        assert "it is being recorded" in live.screen.text
        assert "m says something to it" in live.screen.text
        assert "no seal" not in live.screen.text
        await live.press("p")
        await live.say(ASK)
        for _ in range(3):
            assert "under way" in live.screen.text
            assert "cut off" not in live.screen.text
            assert "✗ never" not in live.screen.text
            await live.press("a")

    talk(tmp_path / "live.trace.jsonl", billing, scene)


def test_a_line_that_is_typed_stands_behind_a_prompt(tmp_path: Path, billing: Path) -> None:
    """Keys that begin a line open the same prompt as ``:`` does; what was answered by hand says so in the list of frames."""

    async def scene(live: Live) -> None:
        await live.press("p")
        await live.say("hello")
        for key, line in (("X", ":fail"), ("m", ":say"), ("b", ":break")):
            await live.press(key)
            assert line in live.screen.text.replace(": ", ":"), key
            await live.press("escape")
            assert line not in live.screen.text.replace(": ", ":"), key
        await live.press("A")
        await live.write('{"intent": "social", "topic": "", "complexity": "trivial"}')
        assert "by hand" in live.screen.text

    talk(tmp_path / "live.trace.jsonl", billing, scene)


def test_ctrl_c_cancels_and_q_asks_twice(tmp_path: Path, billing: Path) -> None:
    """Ctrl-C cancels the message under way; q inside of one says what it would do, and does it the second time."""
    path = tmp_path / "live.trace.jsonl"

    async def scene(live: Live) -> None:
        await live.press("p")
        await live.say("hello")
        await live.press("ctrl+c")
        assert not live.run.under_way
        await live.say(ASK)
        await live.press("q")
        assert "q once more leaves it open" in live.screen.status
        await live.screen.pilot.press("q")

    # The Cancel is input 2.
    assert "message 3 was left where it was: it is open" in talk(path, billing, scene)
    assert Replayer(path).run().verdict == "same"


def test_a_breakpoint_holds_the_run(tmp_path: Path, billing: Path) -> None:
    """Typed on the screen, it holds before the tool is called, and its mark stands at the frame afterwards."""

    async def scene(live: Live) -> None:
        await live.screen.type("break tool query_db")
        await live.say(ASK)
        assert "1.3 thinker[0] asks" in live.screen.text
        assert "tool query_db" in live.screen.status
        await live.press("a")
        assert not live.run.under_way

    talk(tmp_path / "live.trace.jsonl", billing, scene)


def test_keys_of_a_run_under_way_refuse_where_none_is(tmp_path: Path, billing: Path) -> None:
    """Where no effect waits nothing is sent or answered, and the way on is told."""

    async def scene(live: Live) -> None:
        for key in ("a", "x", "E", "A"):
            await live.press(key)
            assert "no effect waits for a decision" in live.screen.status, key

    assert talk(tmp_path / "live.trace.jsonl", billing, scene) == "nothing was said, so no trace is kept"


def test_a_run_is_begun_talked_to_and_sealed_in_a_terminal(tmp_path: Path) -> None:
    """The command comes up without a trace, takes what is said, and seals when it is left; the terminal is as it was."""
    options = ("debug", "--graph", "tool-loop", "--reply", "here I am", "-o", "live.trace.jsonl")
    with Terminal(*options, cwd=tmp_path, columns=100, lines=30) as terminal:
        terminal.wait_for("recording")
        terminal.press("m")
        terminal.wait_for("say ")
        terminal.press("hello\r")
        terminal.wait_for("done  here I am")
        terminal.press("q")
        assert terminal.end() == 0
    assert terminal.left == terminal.modes
    assert "recorded live.trace.jsonl" in terminal.shown
    assert did(tmp_path / "live.trace.jsonl") == [""]


def test_a_terminal_that_is_closed_loses_nothing(tmp_path: Path) -> None:
    """The command ends at once; what was done is in the file, and can be gone about in."""
    options = ("debug", "--graph", "tool-loop", "--reply", "here I am", "--reply", "again", "-o", "live.trace.jsonl")
    with Terminal(*options, cwd=tmp_path, columns=100, lines=30) as terminal:
        terminal.wait_for("recording")
        terminal.press("m")
        terminal.wait_for("say ")
        terminal.press("hello\r")
        terminal.wait_for("done  here I am")
        terminal.hang_up()
        assert terminal.process.wait(HANG_SECONDS) in (129, -signal.SIGHUP)
    with TraceReader(tmp_path / "live.trace.jsonl", damaged=True) as reader:
        [message] = messages(reader)
    assert message.status == "done"
