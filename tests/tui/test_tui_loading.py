"""Long runs on the debugger's screen: it is there before the trace is read, and lists hold no more than can be looked at."""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import evolve

from frameengine.debug.layout import Summary
from frameengine.debug.place import Place
from frameengine_cli.tui import scene, working
from frameengine_cli.tui.app import Debug
from frameengine_cli.tui.scrubber import SPARSE, Scrubber
from sample_traces import record
from screens import Screen, opening, play

MESSAGES = 60


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a trace of many messages."""
    return record(tmp_path_factory.mktemp("traces") / "long.trace.jsonl", MESSAGES)


def test_the_first_screen_comes_before_the_rest_is_read(long: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages can be looked at and moves be made while the trace is read; how much is read is told, and the end of it."""
    monkeypatch.setattr(working, "LINES_AT_ONCE", 25)
    monkeypatch.setattr(working, "TOLD_SECONDS", 0.0)
    seen: list[tuple[bool, int, str, str]] = []
    told = Debug.read_on

    def read_on(app: Debug) -> None:
        told(app)
        timeline = app.opened_session.timeline
        status = app.query_one("#status").row.text.plain  # type: ignore[attr-defined]
        seen.append((timeline.loaded, len(timeline.messages), status, str(app.opened_session.place)))
        if len(seen) == 2:
            app.say("step")

    monkeypatch.setattr(Debug, "read_on", read_on)

    async def watch(screen: Screen) -> None:
        assert screen.place == "1.0"
        assert "60 inputs" in screen.bar("head")
        assert "✓ sealed" in screen.bar("head")

    play(long, watch)
    growing = [count for _, count, _, _ in seen]
    assert growing == sorted(growing)
    assert growing[0] < MESSAGES // 2
    assert all(status.startswith(("reading ━", "reading ─")) for loaded, _, status, _ in seen if not loaded)
    assert seen[-1][0]
    # The step was made while there was more to read.
    assert any(place == "1.0" and not loaded for loaded, _, _, place in seen)


def test_the_place_that_was_asked_for_is_gone_to_once_it_is_read(long: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """REF@MESSAGE.FRAME opens there; a place that the run has not is told, at the start."""
    monkeypatch.setattr(working, "LINES_AT_ONCE", 25)

    async def there(screen: Screen) -> None:
        assert screen.place == "50.2"
        assert "frames of 50" in screen.text

    async def nowhere(screen: Screen) -> None:
        assert screen.place == "start"
        assert "there is no place 99.1" in screen.status

    play(evolve(opening(long), place=Place(50, 2)), there)
    play(evolve(opening(long), place=Place(99, 1)), nowhere)


def test_lists_make_only_rows_that_are_in_sight(long: Path) -> None:
    """A message is read when its row comes into sight: not all of them to show the first."""
    read: list[int] = []

    async def watch(screen: Screen) -> None:
        assert len(screen.view("messages").rows) == 1 + 2 * MESSAGES
        assert 0 < len(set(read)) < MESSAGES // 2
        await screen.press("end")
        assert MESSAGES in read

    def noted(summary: Summary) -> str:
        read.append(summary.number)
        return f"message {summary.number}"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Summary, "text", property(noted))
        play(long, watch)


def test_a_message_of_many_frames_shows_those_around(long: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of hundreds of frames the list has three blocks, says how many are before and behind, and leads there."""
    monkeypatch.setattr(scene, "BLOCK", 1)

    async def watch(screen: Screen) -> None:
        await screen.type("goto 5.1")
        rows = screen.rows("frames")
        frames = [row for row in rows if "●" in row]
        assert len(frames) == 3
        assert "… 1 frame behind" in rows[-1].strip()
        await screen.on("frames", "behind")
        await screen.press("enter")
        assert screen.place == "5.4"
        assert any("frame before" in row or "frames before" in row for row in screen.rows("frames"))

    play(long, watch)


def test_the_scrubber_has_the_numbers_of_as_many_messages_as_have_room(long: Path) -> None:
    """Each number stands where its message begins, and the next one is that of the first message behind the gap."""

    async def watch(screen: Screen) -> None:
        scrubber, timeline = screen.app.query_one(Scrubber), screen.app.opened_session.timeline
        width = scrubber.content_size.width
        expected, free = [" "] * width, 0
        for row in timeline.messages:
            column = round(timeline.index(Place(row.number)) * (width - 1) / (timeline.places - 1))
            digits = str(row.number)
            if column >= free and column + len(digits) <= width:
                expected[column : column + len(digits)] = digits
                free = column + len(digits) + SPARSE
        assert scrubber.render_line(0).text == "".join(expected)
        assert len("".join(expected).split()) > 3

    play(long, watch)
