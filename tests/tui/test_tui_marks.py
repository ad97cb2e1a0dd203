"""The places of breakpoints on the screen: all of them, and where they cannot all be found, why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from frameengine.debug import patterns
from frameengine.debug.place import Place
from frameengine.effects import ToolCall
from frameengine.node import NodeContext, NodeResult
from frameengine_cli.tui import working
from frameengine_cli.tui.app import Debug
from sample_traces import record as record_talk
from screens import Screen, opening, play
from toy import Note, bound, record


def test_a_breakpoint_in_a_frame_that_was_never_committed_has_its_mark(tmp_path: Path) -> None:
    """Where a recording breaks off inside a frame, what holds there is marked at the end of the run's line."""
    lines = record_talk(tmp_path / "whole").read_bytes().split(b"\n")
    cut = next(number for number, line in enumerate(lines) if b'"kind":"outcome","key":[3,2' in line)
    path = tmp_path / "broken.trace.jsonl"
    path.write_bytes(b"\n".join(lines[: cut + 1]) + b"\n")

    async def scene(screen: Screen) -> None:
        await screen.type("break tool find if message == 3")
        timeline = screen.app.opened_session.timeline
        [marks] = screen.app.working.marks.values()
        assert (marks.positions, marks.done) == ([timeline.places], True)
        await screen.press("c")
        assert screen.place == "3.2:1"

    play(opening(path, damaged=True), scene)


def test_a_pattern_that_is_refused_is_told_and_not_marked_in_silence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Marks that cannot all be found are not left out without a word: the pattern that takes too long is named."""

    async def say(message: Any, ctx: NodeContext) -> NodeResult:
        await ctx.perform(ToolCall("say", {"text": "a" * 60 + "!"}))
        return NodeResult(Note(text="on"))

    monkeypatch.setattr(patterns, "SECONDS", 0.1)
    monkeypatch.setattr(patterns, "ALL_SECONDS", 0.25)
    path = tmp_path / "a.trace.jsonl"
    record(path, bound(dict.fromkeys("abcde", say)))

    async def scene(screen: Screen) -> None:
        await screen.type("break regex ^(a+)+b$")
        assert "regex ^(a+)+b$: this pattern takes too long" in screen.status
        assert all(marks.done for marks in screen.app.working.marks.values())

    play(path, scene)


def test_what_is_typed_while_the_run_is_read_speaks_of_all_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hit list that is asked for before the run is read waits for it, and the screen then shows the run as read."""
    path = record_talk(tmp_path / "t", 8)
    opened, read = Debug.opened, []

    def typing(app: Debug) -> None:
        opened(app)
        read.append(app.opened_session.timeline.loaded)
        app.say("hits tool find")

    monkeypatch.setattr(working, "LINES_AT_ONCE", 3)
    monkeypatch.setattr(Debug, "opened", typing)

    async def scene(screen: Screen) -> None:
        assert read == [False]
        assert "8.2" in screen.text
        assert "8 places" in screen.text
        assert "reading" not in screen.bar("head")

    play(path, scene)
    play(evolve(opening(path), place=Place(8, 2)), goes_there)


async def goes_there(screen: Screen) -> None:
    """Check that the place that was asked for is reached, though a line was typed before it was read."""
    assert screen.place == "8.2"
