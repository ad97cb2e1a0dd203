"""How the debugger's screen looks: two themes of our own, one without colour, and the sheet of sizes."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from rich.color import Color
from rich.style import Style
from textual.theme import Theme

from frameengine_cli.look import BAD, GOOD, QUIET

DARK, LIGHT, BARE = "frames-dark", "frames-light", "frames-bare"


def _theme(name: str, *, dark: bool, **colours: str) -> Theme:
    """Return a theme of two colours, blue and orange: other ones say nothing."""
    blue, orange, ground = colours["blue"], colours["orange"], colours["ground"]
    return Theme(
        name=name, dark=dark, primary=blue, accent=blue, success=blue, warning=orange, error=orange, background=ground,
        surface=ground, panel=colours["bars"], foreground=colours["text"], secondary=colours["titles"],
        variables={each: colours[each] for each in ("edge", "cursor", "here", "quiet")},
    )  # fmt: skip


_BARE = "ansi_default"
THEMES: Final = (
    _theme(
        DARK, dark=True, blue="#4aa5e4", orange="#f0932b", text="#d3dae3", titles="#8fa3b8", quiet="#8a97a6",
        ground="#10141a", bars="#1a2029", edge="#2c3642", cursor="#24415c", here="#1b2734",
    ),
    _theme(
        LIGHT, dark=False, blue="#0b66a8", orange="#a85100", text="#1d2730", titles="#52606d", quiet="#5b6670",
        ground="#fbfaf7", bars="#efede7", edge="#d0ccc2", cursor="#cfe3f5", here="#ebf1f6",
    ),
    Theme(
        name=BARE, ansi=True, primary=_BARE, secondary=_BARE, accent=_BARE, warning=_BARE, error=_BARE, success=_BARE,
        foreground=_BARE, background=_BARE, surface=_BARE, panel=_BARE,
        variables=dict.fromkeys(
            ("edge", "cursor", "here", "quiet", "ansi-background", "ansi-foreground", "border-blurred"), _BARE
        ),
    ),
)  # fmt: skip

_STRONG: Final = {Color.parse(GOOD).triplet: "primary", Color.parse(BAD).triplet: "warning"}
_QUIET_NUMBER: Final = Color.parse(QUIET).number
_THEMES: Final = {theme.name: theme for theme in THEMES}


@lru_cache(maxsize=4096)
def recoloured(style: Style, theme: str) -> Style:
    """Return a style of `look` in the colours of a theme: strong enough on its ground."""
    color, chosen = style.color, _THEMES[theme]
    if color is None:
        return style
    if color.triplet is None and color.number == _QUIET_NUMBER:
        return style + (Style(dim=True) if chosen.ansi else Style(color=chosen.variables["quiet"]))
    if chosen.ansi or color.triplet not in _STRONG:
        return style
    return style + Style(color=getattr(chosen, _STRONG[color.triplet]))


SHEET: Final = """
Screen { background: $background; color: $foreground; layers: base over; }
#head { height: 1; background: $panel; }
#panels { height: 1fr; }
#left { width: 28; }
#middle { width: 1fr; }
#right { width: 60; display: none; }
#main { height: 5fr; }
#lower { height: 4fr; display: none; }
.tall #lower, .wider #lower { display: block; }
#messages { height: 2fr; }
#frames { height: 3fr; }
#upper-right { height: 3fr; }
#lower-right { height: 2fr; }
RowView {
    height: 1fr; border: round $edge; padding: 0 1; background: $background; color: $foreground;
    border-title-color: $secondary; border-subtitle-color: $quiet; border-subtitle-align: right;
    scrollbar-size-vertical: 1; overflow-x: hidden; overflow-y: auto;
    scrollbar-color: $edge; scrollbar-color-hover: $secondary; scrollbar-color-active: $primary;
    scrollbar-background: $background; scrollbar-background-hover: $background; scrollbar-background-active: $background;
    scrollbar-corner-color: $background;
}
RowView:focus { border: round $primary; border-title-color: $primary; border-title-style: bold; }
RowView:nocolor { border: round ansi_default; border-title-color: ansi_default; border-title-style: none; }
RowView:nocolor:focus { border: heavy ansi_default; border-title-style: bold; }
.rows--cursor { background: $cursor; }
.rows--here { background: $here; }
#tabs { height: 1; padding: 0 1; }
#answer { display: none; border: round $primary; }
#answer.open { display: block; }
#scrubber { height: 2; padding: 0 1; }
#status { height: 1; padding: 0 1; }
#typed { height: auto; background: $panel; }
#prompt { width: 2; height: 1; padding: 0 0 0 1; display: none; color: $primary; text-style: bold; }
.typing #prompt { display: block; }
#command { width: 1fr; height: 1; display: none; border: none; padding: 0 1 0 0; background: $panel; color: $foreground; }
#command:focus { border: none; }
#keys, #typing { height: 1; background: $panel; }
#typing { display: none; }
.typing #status, .typing #keys { display: none; }
.typing #typing { display: block; }
.wide #left { width: 40; }
.wider #left { width: 46; }
.wider #right { display: block; }
.zoomed #left, .zoomed #right, .zoomed #middle { display: none; }
.zoom-left #left { display: block; width: 1fr; }
.zoom-middle #middle { display: block; width: 1fr; }
.zoom-right #right { display: block; width: 1fr; }
#small { display: none; width: 100%; height: 100%; content-align: center middle; text-align: center; }
.small #small { display: block; }
.small #work { display: none; }
#work { height: 100%; }
ModalScreen { align: center middle; background: $background 60%; }
ModalScreen:nocolor { background: ansi_default; }
#sheet { width: 120; max-width: 100%; height: auto; max-height: 100%; border: round $primary; }
#editor { width: 96%; height: 88%; border: round $primary; background: $background; padding: 0 1; }
#editor TextArea { height: 1fr; border: none; background: $background; padding: 0; }
#editor TextArea:focus { border: none; }
#editor-what, #editor-keys, #editor-fault { height: 1; }
"""
"""Sizes and places. Widths come in three steps: 80 columns, from 110 `wide`, from 160 `wider`."""
