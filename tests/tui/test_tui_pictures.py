"""The debugger's screen as reviewed: what stands where at three sizes, and colours that can be read on both grounds.

``PYTHONPATH=tests/support python tests/tui/test_tui_pictures.py`` draws the pictures anew, for a review of what changed.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from textual.color import Color

from frameengine_cli.tui.style import BARE, DARK, LIGHT, THEMES
from screens import Screen, play

HERE = Path(__file__).parent
KEPT = HERE / "pictures"
TRACE = HERE.parents[1] / "traces" / "conversation-v4-eras.trace.jsonl"
SIZES = {"80x24": (80, 24), "120x40": (120, 40), "200x60": (200, 60)}
LINES = ["break tool query_db", "watch /memory/topic", "continue", "continue", "continue"]
"""What is done before the picture is taken."""


def picture(size: tuple[int, int], theme: str) -> str:
    """Return the screen as text after `LINES`."""
    taken: list[str] = []

    async def scene(screen: Screen) -> None:
        for line in LINES:
            await screen.type(line)
        await screen.settle()
        taken.append(screen.text)

    play(TRACE, scene, size=size, theme=theme)
    return taken[0]


@pytest.mark.parametrize("name", SIZES)
def test_the_screen_is_as_reviewed(name: str) -> None:
    """Panels, rows, signs and figures stand where they stood when a person looked at them."""
    assert picture(SIZES[name], DARK) == (KEPT / f"{name}.txt").read_text(encoding="utf-8")


def test_light_and_dark_show_the_same() -> None:
    """Nothing is told by a colour alone: without colours, on a dark and on a light ground the text is the same."""
    assert picture(SIZES["120x40"], LIGHT) == (KEPT / "120x40.txt").read_text(encoding="utf-8")
    assert picture(SIZES["80x24"], BARE) == (KEPT / "80x24.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("theme", [theme for theme in THEMES if not theme.ansi], ids=lambda theme: theme.name)
def test_every_colour_can_be_read(theme: object) -> None:
    """Text, quiet text and both colours have a contrast of at least 4.5 on every ground they stand on."""
    variables = theme.variables  # type: ignore[attr-defined]
    inks = {name: getattr(theme, name) for name in ("foreground", "primary", "warning", "secondary")} | {
        "quiet": variables["quiet"]
    }
    grounds = {"background": theme.background, "panel": theme.panel, **{name: variables[name] for name in ("cursor", "here")}}  # type: ignore[attr-defined]
    poor = {
        (ink, ground): round(contrast(one, other), 2)
        for ink, one in inks.items()
        for ground, other in grounds.items()
        if contrast(one, other) < (3 if ground == "cursor" else 4.5)
    }
    assert poor == {}


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours, from 1 to 21."""
    light, dark = sorted([luminance(Color.parse(one)), luminance(Color.parse(other))], reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(color: Color) -> float:
    """Return how bright a colour is, from 0 to 1."""
    parts = [part / 255 for part in color.rgb]
    red, green, blue = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


if __name__ == "__main__":
    KEPT.mkdir(exist_ok=True)
    for name, size in SIZES.items():
        (KEPT / f"{name}.txt").write_text(picture(size, DARK), encoding="utf-8")
    sys.stdout.write(f"drawn: {KEPT}\n")
