"""Searches, signs and marks on the debugger's screen: what is found is opened, and nothing is said that nobody knows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli_runs import JACKET, WEATHER, record_run
from frameengine.debug.matching import Finder
from frameengine.debug.place import Place
from frameengine.debug.points import Breakpoint
from frameengine.effects import ModelCall
from frameengine.errors import UsageError
from frameengine.inputs import Tick
from frameengine.jsonvalue import freeze
from frameengine.node import NodeContext, NodeResult
from frameengine.state import Change
from frameengine_cli.look import BAD
from frameengine_cli.tui import working
from frameengine_cli.tui.rowview import RowView
from frameengine_cli.tui.scene import Scene
from frameengine_cli.tui.signs import SIGNS
from frameengine_cli.tui.working import Marks
from screens import Screen, play
from toy import Meanwhile, bound, record

ERAS = Path(__file__).parents[2] / "traces" / "conversation-v4-eras.trace.jsonl"


@pytest.fixture(scope="module")
def weather(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a trace of two messages: one with tools, of which one fails, and one without."""
    return record_run(tmp_path_factory.mktemp("traces") / "weather.trace.jsonl", [WEATHER, JACKET])


def under_cursor(screen: Screen) -> str:
    """Return the row of the frame that the cursor is on, which has the keys and is in sight."""
    view = screen.view("main")
    assert screen.app.focused is view
    assert screen.app.tabs["main"] == "frame"
    first = round(view.scroll_offset.y)
    assert first <= view.cursor < first + view.scrollable_content_region.height
    assert view.row is not None
    return view.row.text.plain


# ---------------------------------------------------------------------- search


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)], ids=["80x24", "120x40", "200x60"])
def test_a_search_opens_what_it_found_and_goes_to_the_row(size: tuple[int, int]) -> None:
    """The cursor is on a row that has the text, however deep it lay: in a reply, a request, a system prompt, an emission."""

    async def scene(screen: Screen) -> None:
        for text, place, what in (
            ("Marktstraße 48", "3.3", "tool reply"),
            ("others run them and word", "3.3", "model request"),
            ("fill_pct", "1.1", "emissions"),
        ):
            await screen.press("home", "3")
            await screen.type(f"/{text}")
            for _ in range(9):
                if what not in screen.status or screen.place != place:
                    await screen.press("n")
            assert (what in screen.status, screen.place) == (True, place), text
            assert text.casefold() in " ".join([under_cursor(screen), _next_row(screen)]).casefold(), text

    play(ERAS, scene, size=size)


def _next_row(screen: Screen) -> str:
    view = screen.view("main")
    return view.rows[view.cursor + 1].text.plain.strip() if view.cursor + 1 < len(view.rows) else ""


def test_a_part_that_somebody_closed_is_opened_by_a_search_and_closes_again(weather: Path) -> None:
    """What a person does to a part afterwards counts, and at another place it is as it was."""

    async def scene(screen: Screen) -> None:
        await screen.type("goto 1.2")
        await screen.on("main", "◆ forecast")
        await screen.press("space", "space")
        assert not any("⇒ result" in row for row in screen.rows("main"))
        await screen.press("home")
        await screen.type("/sunny")
        assert "sunny" in under_cursor(screen)
        assert any("⇒ result" in row for row in screen.rows("main"))
        await screen.on("main", "◆ forecast")
        await screen.press("space")
        assert not any("⇒ result" in row for row in screen.rows("main"))
        await screen.press("home")
        await screen.type("/sunny")
        await screen.type("goto 1.2")
        assert not any("⇒ result" in row for row in screen.rows("main"))

    play(weather, scene, size=(80, 24))


def test_a_search_goes_to_inputs_errors_and_changes(tmp_path: Path) -> None:
    """Each kind of place has its row: what entered, what came in late, what a node failed with, what it changed."""
    path = tmp_path / "kinds.trace.jsonl"
    graph = bound({"work": _works, "note": _rests}, [], entry={"UserMessage": "work", "Tick": "note"})
    record(path, graph, ["hello there", "break it"], late=lambda made: Meanwhile(made, Tick(readings={"clock": 17})))

    async def scene(screen: Screen) -> None:
        for text, place in (("hello there", "1.0"), ("clock", "1.1"), ("kept", "1.1"), ("no such thing", "2.1")):
            await screen.press("home")
            await screen.type(f"/{text}")
            for _ in range(9):
                if screen.place != place:
                    await screen.press("n")
            assert text in under_cursor(screen), (text, screen.status)

    play(path, scene)


async def _works(message: Any, ctx: NodeContext) -> NodeResult:
    """Ask, and keep something, or fail."""
    await ctx.perform(ModelCall(model="m", messages=freeze([{"role": "user", "content": "go"}])))
    if "break" in message.text:
        raise ValueError("no such thing")
    return NodeResult(None, [Change.set("/last", {"kept": [1, 2]})])


async def _rests(_message: Any, _ctx: NodeContext) -> NodeResult:
    """Do nothing."""
    return NodeResult()


def test_the_cursor_stays_on_its_row_when_there_is_less_room(weather: Path) -> None:
    """Parts that were open because there was room close when an answer takes it; the cursor is where it was."""

    async def scene(screen: Screen) -> None:
        await screen.type("goto 1.1")
        await screen.on("main", "Δ /history")
        before, rows = under_cursor(screen), len(screen.rows("main"))
        await screen.type("help")
        assert screen.view("answer").has_class("open")
        assert len(screen.rows("main")) < rows
        row = screen.view("main").row
        assert row is not None
        assert row.text.plain.replace("▸", "▾") == before

    play(weather, scene, size=(80, 24))


def test_the_end_of_a_search_reads_nothing(weather: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Escape may come while something else reads in the trace: what is shown is drawn anew, and its marks are gone."""

    async def scene(screen: Screen) -> None:
        await screen.type("/sunny")
        assert screen.view("main").marked == "sunny"
        monkeypatch.setattr(Scene, "of", None)
        await screen.press("escape")
        assert screen.view("main").marked == ""
        assert "the search is over" in screen.status

    play(weather, scene)


# ---------------------------------------------------------------------- keys and signs


def test_while_somebody_types_the_keys_of_that_line_are_shown(weather: Path) -> None:
    """What Enter, Tab and Escape do stands where the keys of panels stood, at the least width too; then those are back."""

    async def scene(screen: Screen) -> None:
        assert _last_line(screen).startswith(" s step  i into")
        await screen.press("3", "colon")
        assert _last_line(screen).startswith(" enter does it  tab completes  esc closes")
        await screen.press("escape")
        assert _last_line(screen).startswith(" s step  i into")
        assert screen.app.focused is screen.view("main")

    play(weather, scene, size=(60, 24))


def _last_line(screen: Screen) -> str:
    return screen.text.rstrip("\n").split("\n")[-1]


@pytest.mark.parametrize("width", [80, 120, 200])
def test_the_help_tells_every_sign(weather: Path, width: int) -> None:
    """Beside the keys where there is room, below them where there is not; nothing of it is cut."""

    async def scene(screen: Screen) -> None:
        await screen.press("question_mark")
        rows = screen.rows("sheet")
        for group in SIGNS.values():
            for sign, what in group.items():
                [*_, row] = [row for row in rows if row.rstrip().endswith(f"{sign:<6}{what}")]
                assert len(row.rstrip()) <= screen.view("sheet").scrollable_content_region.width
        beside = rows[0].rstrip().endswith("In frames")
        assert beside is (width >= 120)
        assert ("G shows the signs" in screen.text) is not beside

    play(weather, scene, size=(width, 40))


def test_the_page_lists_the_signs() -> None:
    """The table of the docs has every sign, in order, and says of it what the help says."""
    page = (Path(__file__).parents[2] / "docs" / "debugger-screen.md").read_text(encoding="utf-8")
    rows = [
        f"| {title.lower()} | {' '.join(f'`{one}`' for one in sign.split())} | {what} |"
        for title, group in SIGNS.items()
        for sign, what in group.items()
    ]
    assert "| where | sign | means |\n|---|---|---|\n" + "\n".join(rows) + "\n\n" in page


# ---------------------------------------------------------------------- marks


def test_a_breakpoint_that_cannot_be_looked_for_has_no_number_of_hits(weather: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Why it cannot is told beside it, and nothing is said of how often it holds."""
    real = Finder.hits

    def hits(finder: Finder, *span: Any) -> Iterator[Any]:
        if len(span) > 1:
            raise UsageError("where the run diverges cannot be found out")
        return real(finder, *span)

    monkeypatch.setattr(Finder, "hits", hits)

    async def scene(screen: Screen) -> None:
        await screen.press("5")
        await screen.type("break node model")
        rows = screen.view("lower").rows
        facts = [row.facts.plain for row in rows if row.facts is not None]
        assert facts == ["0 stops"]
        assert any("✗ where the run diverges" in row.text.plain for row in rows)

    play(weather, scene)


def test_a_number_of_hits_is_whole_or_says_that_it_is_not(weather: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no more places are marked than the most there may be, the number bears a plus."""
    monkeypatch.setattr(working, "PLACES_AT_ONCE", 1)

    async def scene(screen: Screen) -> None:
        await screen.press("5")
        await screen.type("break node model")
        assert "0 of 3" in screen.text
        monkeypatch.setattr(working, "MARKS_MAX", 2)
        await screen.type("break node output")
        await screen.type("break if frame > 0")
        assert [marks.total for marks in screen.app.working.marks.values()] == ["3", "2", "2+"]
        assert "0 of 2+" in screen.text

    play(weather, scene)


def test_marks_of_a_run_that_grows_keep_what_is_certain() -> None:
    """What holds before the newest message stays known, and only from there on it is looked for again."""
    marks = Marks(Breakpoint(on="error"), None, next=9, positions=[1, 4, 6], done=True, whole=True)  # type: ignore[arg-type]
    assert marks.total == "3"
    marks.again(5)
    assert (marks.positions, marks.next, marks.done, marks.total) == ([1, 4], 5, False, "")


def test_a_message_under_way_is_no_failure_on_the_screen(weather: Path) -> None:
    """As long as more of it may come neither its line nor the line of the run say that it ended badly."""

    async def scene(screen: Screen) -> None:
        timeline = screen.app.opened_session.timeline
        [*_, newest] = timeline.messages
        assert newest.status == "cut off"
        timeline.growing = True
        await screen.type(f"goto {Place(newest.number)}")
        view = screen.app.query_one("#messages", RowView)
        rows = [row for row in view.rows if row.place == Place(newest.number)]
        assert any("under way" in row.text.plain for row in rows)
        assert not any(BAD in str(span.style) for row in rows for span in row.text.spans)
        assert "cut off" not in screen.text

    path = weather.parent / "growing.trace.jsonl"
    lines = weather.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join(lines[:-4]) + b"\n")
    from screens import opening

    play(opening(path, damaged=True), scene)
