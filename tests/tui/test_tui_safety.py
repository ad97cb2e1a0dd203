"""R1 on the debugger's screen: nothing of a trace reaches the terminal but characters that can be seen."""

from __future__ import annotations

from pathlib import Path

import pytest

from frameengine.debug.place import Place
from frameengine.errors import FrameEngineError
from frameengine.plaintext import is_visible, visible_line
from hostile import OURS, SEQUENCES, foreign, texts, write
from pseudo_terminal import Terminal
from screens import Screen, opening, play


def test_the_check_finds_what_is_not_ours() -> None:
    """Each hostile sequence, written as it is between two of ours, is found: but those that are the same as ours."""
    missed = [sequence for sequence in SEQUENCES if not list(foreign(f"\x1b[1;1Hx{sequence}y\x1b[0m"))]
    assert [sequence for sequence in missed if not OURS.fullmatch(sequence)] == []
    assert len(missed) < 20


def test_every_cell_of_every_panel_can_be_seen(tmp_path: Path) -> None:
    """With a hostile text in every field, each place, each tab with all parts open, and each answer draw visible cells only."""
    held = texts()
    trace = write(tmp_path / "hostile.trace.jsonl", held)
    seen: set[str] = set()

    def check(screen: Screen) -> None:
        for panel in ("messages", "frames", "main", "lower", "upper-right", "lower-right", "answer"):
            for row in screen.view(panel).rows:
                for text in (row.text.plain, "" if row.facts is None else row.facts.plain):
                    assert all(is_visible(char) and char not in "\n\t" for char in text), (panel, text)
                    seen.add(text)
        for strip in screen.app.screen._compositor.render_strips():
            assert all(is_visible(char) for char in strip.text)
            assert all(not segment.control for segment in strip)
            assert all(segment.style is None or segment.style.link is None for segment in strip)

    async def scene(screen: Screen) -> None:
        for number in range(1, len(held) + 1):
            screen.app.opened_session.debugger.go(Place(number, 1))
            screen.app.show(moved=True)
            for panel in ("main", "lower", "upper-right", "lower-right"):
                screen.view(panel).folds.turned.update(dict.fromkeys(screen.view(panel).folds.shown, True))
                screen.view(panel)._remake()
            check(screen)
            if number % 10 == 0:
                await screen.settle()
                check(screen)
        for line in ("frame", "effect 1", "state", "changes", "messages", "list", "break node x", "hits error", "search bold"):
            await screen.type(line)
            check(screen)
        await screen.type("goto 2.2")
        check(screen)
        for bar in ("head", "status"):
            assert all(is_visible(char) for char in screen.bar(bar))

    play(trace, scene, size=(200, 60))
    whole = "\n".join(seen)
    assert [text for text in held if visible_line(text) not in whole] == []


def test_a_refusal_with_a_hostile_text_can_be_seen(tmp_path: Path) -> None:
    """The file's name, and what a person pastes, come back in errors: visibly."""
    trace = write(tmp_path / "a\x1b]0;x\x07b.trace.jsonl", texts()[:2])

    async def scene(screen: Screen) -> None:
        assert "\\x1b]0;x\\x07" in screen.text
        for line in ("\x1b[2J", "goto \u202e9", "break node \x9b31m", "/\x1b[31mnowhere"):
            await screen.type(line)
            assert all(is_visible(char) for char in screen.text)

    play(opening(trace), scene)


@pytest.mark.parametrize("size", [(80, 24), (200, 60)], ids=["80x24", "200x60"])
def test_only_our_own_sequences_reach_the_terminal(tmp_path: Path, size: tuple[int, int]) -> None:
    """What the command writes to a real terminal, place by place, is ours, or can be seen."""
    held = texts()
    write(tmp_path / "hostile.trace.jsonl", held)
    columns, lines = size
    with Terminal("debug", "hostile.trace.jsonl", cwd=tmp_path, columns=columns, lines=lines) as terminal:
        terminal.wait_for("quit")
        for number in range(1, len(held) + 1):
            terminal.press("n")
            terminal.wait_for(f"{number}.2 of")
            if number % 8 == 0:
                for key in "2z3z4z5z1z":
                    terminal.press(key)
        terminal.press("q")
        assert terminal.end() == 0
    assert list(foreign(terminal.raw)) == []


def test_an_error_of_opening_is_told_after_the_screen_is_gone(tmp_path: Path) -> None:
    """A file that is no trace leaves the error, and no screen."""
    path = tmp_path / "no.trace.jsonl"
    path.write_text("{}\n", encoding="utf-8")

    async def scene(_: Screen) -> None:
        return

    assert isinstance(play(opening(path), scene).failure, FrameEngineError)
