"""Keys of the debugger's screen: each does what the help says of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli_runs import JACKET, WEATHER, record_run
from frameengine_cli.tui import keys
from frameengine_cli.tui.help import Help
from frameengine_cli.tui.style import DARK, LIGHT
from screens import Screen, play

ERAS = Path(__file__).parents[2] / "traces" / "conversation-v4-eras.trace.jsonl"
MOVES = {
    "s": ("2.1", "2.2"),
    "right": ("2.1", "2.2"),
    "S": ("2.1", "2"),
    "left": ("2.1", "2"),
    "i": ("2.1", "2.2:0"),
    "I": ("2.1", "2.1:1"),
    "n": ("1", "1.4"),
    "N": ("2.1", "1.4"),
    "c": ("1", "2.2"),
    "C": ("2.1", "start"),
    "home": ("2.1", "start"),
    "end": ("1", "2.2"),
}
"""Key to where it is pressed, and where it leads in a run of two messages with four and two frames."""
TABS = {"1": "frame", "2": "calls", "3": "state", "4": "graph", "5": "stops"}
ELSEWHERE = [
    "u",
    "tab",
    "shift+tab",
    "plus",
    "escape",
    "b",
    "w",
    "W",
    "d",
    "t",
    "slash",
    "colon",
    "e",
    "f",
    "T",
    "question_mark",
    "q",
    "m",
    "p",
    "a",
    "E",
    "A",
    "x",
    "X",
]
"""Keys with a test of their own, here or in the tests of panels."""


@pytest.fixture(scope="module")
def weather(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a trace of two messages: one with tools, of which one fails, and one without."""
    return record_run(tmp_path_factory.mktemp("traces") / "weather.trace.jsonl", [WEATHER, JACKET])


def place_of(text: str) -> str:
    """Return a place as the screen writes it."""
    return text if "." in text or text == "start" else f"{text}.0"


def test_each_key_of_a_move_makes_it(weather: Path) -> None:
    """The place after a key is the one that its command leads to, and the head of the screen names it."""

    async def scene(screen: Screen) -> None:
        for key, (start, end) in MOVES.items():
            await screen.type(f"goto {start}")
            assert screen.place == place_of(start)
            await screen.press(key)
            assert screen.place == place_of(end), key
            assert f"{place_of(end)} of 2.2" in screen.bar("head"), key

    play(weather, scene)


def test_no_key_scrolls_where_the_help_says_that_it_moves() -> None:
    """Home, end and the arrows mean the run, also in a panel that has more rows than room."""

    async def scene(screen: Screen) -> None:
        for key, place in (("right", "3.4"), ("left", "3.2"), ("home", "start"), ("end", "10.3")):
            await screen.type("goto 3.3")
            await screen.press("2")
            assert screen.view("main").max_scroll_y > 0
            await screen.press(key)
            assert screen.place == place

    play(ERAS, scene)


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)], ids=["80x24", "120x40", "200x60"])
def test_each_tab_can_be_shown_at_each_size(weather: Path, size: tuple[int, int]) -> None:
    """A number gives the keys to the panel that has the tab, and that shows it."""

    async def scene(screen: Screen) -> None:
        for key, name in TABS.items():
            await screen.press(key)
            panel = screen.app.focused
            assert panel is not None
            assert screen.app.tabs[str(panel.id)] == name

    play(weather, scene, size=size)


def test_tab_goes_round_the_panels_and_shift_tab_back(weather: Path) -> None:
    """Every panel in sight gets the keys once, in the same order backwards."""

    async def scene(screen: Screen) -> None:
        seen = []
        for _ in range(5):
            await screen.press("tab")
            seen.append(screen.app.focused)
        back = []
        for _ in range(4):
            await screen.press("shift+tab")
            back.append(screen.app.focused)
        assert len({str(panel.id) for panel in seen if panel is not None}) == 4
        assert seen[0] is seen[4]
        assert back == [seen[3], seen[2], seen[1], seen[0]]

    play(weather, scene)


def test_u_runs_to_the_row_under_the_cursor(weather: Path) -> None:
    """The row's place is reached, unless a breakpoint lies on the way: then that."""

    async def scene(screen: Screen) -> None:
        await screen.press("n")
        await screen.on("frames", "1 ●")
        await screen.press("u")
        assert screen.place == "1.1"
        await screen.type("break node tools")
        await screen.on("frames", "4 ●")
        await screen.press("u")
        assert screen.place == "1.2"

    play(weather, scene)


def test_plus_shows_a_panel_alone_and_escape_all_again(weather: Path) -> None:
    """The column of the panel takes the whole width."""

    async def scene(screen: Screen) -> None:
        await screen.press("1", "plus")
        assert "frames of" not in screen.text
        assert screen.view("main").size.width > 100
        await screen.press("escape")
        assert "─ frames " in screen.text

    play(weather, scene)


def test_the_theme_changes_and_back(weather: Path) -> None:
    """T goes from dark to light and back."""

    async def scene(screen: Screen) -> None:
        await screen.press("T")
        assert screen.app.theme == LIGHT
        await screen.press("T")
        assert screen.app.theme == DARK

    play(weather, scene)


def test_the_help_names_every_key(weather: Path) -> None:
    """The question mark opens a sheet with all keys and what they do; Escape closes it."""

    async def scene(screen: Screen) -> None:
        await screen.press("question_mark")
        assert isinstance(screen.app.screen, Help)
        shown = screen.rows("sheet")
        for key in keys.ALL:
            assert any(key.label in row and key.what in row for row in shown), key
        await screen.press("escape")
        assert not isinstance(screen.app.screen, Help)

    play(weather, scene)


def test_q_leaves(weather: Path) -> None:
    """The exit code of a session that is left is 0."""

    async def scene(screen: Screen) -> None:
        await screen.pilot.press("q")

    assert play(weather, scene).return_code == 0


def test_every_key_has_a_test() -> None:
    """No key of the table is without one."""
    tested = {*MOVES, *TABS, *ELSEWHERE}
    bound = [key.keys.split(",") for key in keys.ALL if key.keys]
    assert [names for names in bound if not tested & set(names)] == []


def test_a_key_that_is_held_down_loses_nothing(weather: Path) -> None:
    """Keys that come faster than the screen can draw are all done, in order."""

    async def scene(screen: Screen) -> None:
        for _ in range(4):
            screen.app.action_say("step")
        screen.app.action_say("reverse-step")
        await screen.settle()
        assert screen.place == "1.2"
        assert "1.2" in screen.bar("head")

    play(weather, scene)


def test_the_page_lists_the_keys() -> None:
    """The table of the docs has every key, in order, and says of it what the help says."""
    page = (Path(__file__).parents[2] / "docs" / "debugger-screen.md").read_text(encoding="utf-8")
    rows = [f"| {' '.join(f'`{one}`' for one in key.label.split())} | {key.what} |" for key in keys.ALL]
    assert "| key | does |\n|---|---|\n" + "\n".join(rows) + "\n\n" in page
