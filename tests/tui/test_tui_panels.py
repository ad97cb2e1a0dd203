"""Panels of the debugger's screen: what they show, what a click does, and what a person can change."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from textual.events import Paste

from cli_runs import JACKET, WEATHER, record_run
from frameengine.debug.edit import EditReply
from frameengine.effects import ModelCall, ModelReply
from frameengine.inputs import Action, Tick
from frameengine.jsonvalue import freeze
from frameengine.node import NodeContext, NodeResult
from frameengine.state import Change
from frameengine_cli.tui.bars import CommandLine
from frameengine_cli.tui.scrubber import Scrubber
from screens import Screen, opening, play
from toy import Meanwhile, bound, record

HERE = Path(__file__).parents[2]
ERAS = HERE / "traces" / "conversation-v4-eras.trace.jsonl"


@pytest.fixture(scope="module")
def weather(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a trace of two messages: one with tools, of which one fails, and one without."""
    return record_run(tmp_path_factory.mktemp("traces") / "weather.trace.jsonl", [WEATHER, JACKET])


def test_a_click_on_a_message_a_frame_or_a_call_goes_there(weather: Path) -> None:
    """Rows of both lists lead to their places."""

    async def scene(screen: Screen) -> None:
        await screen.click("#messages", 6, 2)
        assert screen.place == "1.0"
        rows = screen.rows("frames")
        failed = next(index for index, row in enumerate(rows) if "alerts" in row)
        await screen.click("#frames", 8, 1 + failed)
        assert screen.place == "1.2:2"
        await screen.click("#frames", 8, 2)
        assert screen.place == "1.1"

    play(weather, scene)


def test_a_click_on_the_line_of_the_run_goes_there(weather: Path) -> None:
    """The ends of the line are the ends of the run, and what is between lies between."""

    async def scene(screen: Screen) -> None:
        width = screen.app.query_one(Scrubber).content_size.width
        await screen.click("#scrubber", width, 1)
        assert screen.place == "2.2"
        await screen.click("#scrubber", 1, 1)
        assert screen.place == "start"
        await screen.click("#scrubber", 1 + width // 2, 1)
        assert screen.place == "1.3"

    play(weather, scene)


def test_a_click_on_a_tab_a_part_and_a_key_does_what_it_says(weather: Path) -> None:
    """Tabs change, parts open, and the line of keys works like the keys."""

    async def scene(screen: Screen) -> None:
        await screen.press("s", "s")
        await screen.click("#main", 13, 0)
        assert screen.app.tabs["main"] == "calls"
        await screen.click("#main", 4, 0)
        assert screen.app.tabs["main"] == "frame"
        await screen.click("#lower", 4, 1)
        assert screen.view("lower").row is not None
        before = screen.rows("lower")
        await screen.press("space")
        assert screen.rows("lower") != before
        await screen.click("#keys", 2, 0)
        assert screen.place == "1.2"

    play(weather, scene)


def test_a_frame_tells_what_went_in_and_what_came_out(weather: Path) -> None:
    """Node, route, input, effects with their figures, output, changes and emissions each have a row."""

    async def scene(screen: Screen) -> None:
        await screen.type("goto 1.2")
        rows = screen.rows("main")
        assert rows[0].startswith("● tools → model")
        assert any('◆ forecast(city: "Bern", days: 2)  ⇒ {sky: "sunny"}' in row for row in rows)
        assert any("alerts" in row and "tool.timeout: no answer after 30 s" in row for row in rows)
        assert any("output type:" in row for row in rows)
        assert any("Δ /history" in row for row in rows)
        await screen.type("goto 1.3")
        facts = [row.facts.plain for row in screen.view("main").rows if row.facts is not None]
        assert "412→18 tok · 1.2 s" in facts

    play(weather, scene)


def test_inside_a_frame_only_what_has_arrived_is_shown(weather: Path) -> None:
    """Effects without an outcome say so, nothing is committed, and the state is the one before the frame."""

    async def scene(screen: Screen) -> None:
        await screen.type("goto 1.2:1")
        rows = screen.rows("main")
        assert any("forecast" in row and "sunny" in row for row in rows)
        assert any("alerts" in row and "not yet answered" in row for row in rows)
        assert any("inside the frame: 1 outcome to come, nothing is committed" in row for row in rows)
        assert not any("output" in row for row in rows)
        await screen.press("3")
        assert "unchanged" in screen.text

    play(weather, scene)


def test_calls_mark_what_is_new_in_a_request(weather: Path) -> None:
    """Messages that an earlier call had are folded; the others bear a plus."""

    async def scene(screen: Screen) -> None:
        await screen.type("goto 1.3")
        await screen.press("2")
        rows = screen.rows("main")
        assert any("= 1 of 4 messages as in 1.1 model[0]" in row for row in rows)
        assert sum(row.strip().startswith("+ ") for row in rows) == 3
        assert any("Saturday stays sunny" in row for row in rows)

    play(weather, scene)


def test_the_state_marks_what_the_frame_changed(weather: Path) -> None:
    """A changed section is open and bears its sign, an item that is new says so."""

    async def scene(screen: Screen) -> None:
        await screen.type("goto 1.1")
        await screen.press("3")
        rows = screen.rows("lower")
        assert any("Δ history" in row and "(+" in row for row in rows)
        assert any(row.strip().endswith("new") for row in rows)
        assert "Δ 1 section" in screen.text

    play(weather, scene)


def test_the_graph_shows_the_way_of_the_message() -> None:
    """The node of this frame is marked, with the edge that was followed, those before it too, and what did not hold."""

    async def scene(screen: Screen) -> None:
        await screen.type("goto 3.2")
        await screen.press("4")
        rows = screen.rows("lower")
        assert any(row.startswith("◉ pa") for row in rows)
        assert any(row.startswith("● input") for row in rows)
        assert any(row.startswith("○ interpreter") for row in rows)
        assert any("━▶ expert_eras  if expert_is_eras ✓" in row for row in rows)
        assert screen.view("lower").row is not None
        assert screen.view("lower").row.text.plain.startswith("◉ pa")  # type: ignore[union-attr]

    play(ERAS, scene)


def test_breakpoints_stop_are_marked_listed_switched_off_and_deleted(weather: Path) -> None:
    """The key suggests one that suits the row; its places bear its sign on the line of the run and in the list of frames."""

    async def scene(screen: Screen) -> None:
        await screen.press("s", "s", "s")
        await screen.on("frames", "forecast")
        await screen.press("b")
        assert screen.app.query_one("#command").value == "break tool forecast"  # type: ignore[attr-defined]
        await screen.press("enter", "home", "c")
        assert screen.place == "1.2"
        assert "■ 1 " in screen.status
        assert screen.text.count("◉") >= 2
        await screen.press("5")
        assert any("◉ 1 tool forecast" in row for row in screen.rows("lower"))
        assert "1 of 1" in screen.text
        await screen.press("t")
        assert any("○ 1 tool forecast" in row for row in screen.rows("lower"))
        await screen.press("t", "d")
        assert not any("forecast" in row for row in screen.rows("lower"))
        assert "◉" not in screen.text

    play(weather, scene)


def test_a_watched_value_stops_and_who_changed_it_is_told(weather: Path) -> None:
    """One key watches the value under the cursor, with shift it names the node that changed it last."""

    async def scene(screen: Screen) -> None:
        await screen.press("s", "s", "3")
        await screen.on("lower", "history")
        await screen.press("w")
        assert screen.app.query_one("#command").value == "watch /history"  # type: ignore[attr-defined]
        await screen.press("enter", "c")
        assert screen.place == "1.2"
        await screen.on("lower", "history")
        await screen.press("W")
        assert "tools" in screen.text
        await screen.press("5")
        assert any("◎ 1 /history" in row for row in screen.rows("lower"))

    play(weather, scene)


def test_a_search_goes_on_with_n_and_back_with_shift(weather: Path) -> None:
    """What is found is said and marked; Escape ends the search, and n is the next message again."""

    async def scene(screen: Screen) -> None:
        await screen.press("slash")
        await screen.type("/sunny")
        assert screen.place == "1.2"
        assert "sunny" in screen.status
        await screen.press("n")
        assert screen.place == "1.3"
        await screen.press("N")
        assert screen.place == "1.2"
        await screen.press("escape", "n")
        assert screen.place == "1.4"
        await screen.press("slash")
        await screen.type("/nowhere at all")
        assert screen.status.startswith("✗")

    play(weather, scene)


def test_the_command_line_has_history_and_completion(weather: Path) -> None:
    """Up brings back what was typed, Tab completes as far as it is clear, Escape gives the keys back."""

    async def scene(screen: Screen) -> None:
        field = screen.app.query_one("#command")
        await screen.type("goto 1.2")
        await screen.press("colon", "up")
        assert field.value == "goto 1.2"  # type: ignore[attr-defined]
        await screen.press("down")
        assert field.value == ""  # type: ignore[attr-defined]
        await screen.press(*"bre", "tab")
        assert field.value == "break"  # type: ignore[attr-defined]
        await screen.press("escape")
        assert not field.has_focus
        await screen.press("s")
        assert screen.place == "1.3"

    play(weather, scene)


def test_an_answer_opens_a_panel_whose_places_lead_there(weather: Path) -> None:
    """Rows of a hit list lead to their frames, and Escape closes it."""

    async def scene(screen: Screen) -> None:
        await screen.type("hits node model")
        assert "hits node model" in screen.text
        await screen.on("answer", "2.1")
        await screen.press("enter")
        assert screen.place == "2.1"
        await screen.type("messages")
        assert screen.view("answer").has_class("open")
        await screen.press("escape")
        assert not screen.view("answer").has_class("open")

    play(weather, scene)


def test_a_mistake_is_told_with_a_way_out_and_takes_nothing_away(weather: Path) -> None:
    """An unknown command, a bad place, a bad condition: said in the status line, and the place stays."""

    async def scene(screen: Screen) -> None:
        await screen.type("goto 1.2")
        for line, said in (
            ("stpe", "did you mean step"),
            ("goto 9.9", "there is no place"),
            ("break if (", "✗"),
            ("edit", "edit"),
        ):
            await screen.type(line)
            assert said in screen.text, line
            assert screen.place == "1.2"

    play(weather, scene)


def test_a_reply_is_edited_forked_and_compared(weather: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The editor opens what is under the cursor; Ctrl-S keeps it; a fork makes a run of it and shows what differs."""
    monkeypatch.chdir(tmp_path)
    trace = tmp_path / weather.name
    trace.write_bytes(weather.read_bytes())

    async def scene(screen: Screen) -> None:
        await screen.type("goto 2.1")
        await screen.press("2", "e")
        editor = screen.app.screen.query_one("#text")
        assert editor.text == "Yes, for the evening."  # type: ignore[attr-defined]
        editor.text = "No, it stays warm."  # type: ignore[attr-defined]
        await screen.press("ctrl+s")
        assert "1 edit unforked" in screen.bar("head")
        await screen.press("q")
        assert "would be lost" in screen.status
        await screen.press("f")
        forked = screen.app.opened_session.forked
        assert forked is not None
        assert forked.source.path.resolve() == tmp_path / "weather-fork.trace.jsonl"
        assert any("it stays warm" in row for row in screen.rows("answer"))
        assert "compare" in screen.text
        assert "unforked" not in screen.bar("head")

    assert play(trace, scene).return_code == 0
    assert trace.read_bytes() == weather.read_bytes()


UNSEEN = "Here \U0001f468\u200d\U0001f469 you are "


def test_an_edit_keeps_every_sign_that_is_not_changed(tmp_path: Path) -> None:
    """What cannot be seen, white space at the ends, quotes and JSON in a text are in the edit as they were in the reply."""
    replies = [UNSEEN, "  ends\n\n", '"quoted"', '{"plan": "else"}', "-x 42"]
    trace = record_run(tmp_path / "signs.trace.jsonl", [("go", [reply]) for reply in replies])

    async def scene(screen: Screen) -> None:
        for number, reply in enumerate(replies, 1):
            await screen.type(f"goto {number}.1")
            await screen.press("2", "e")
            editor = screen.app.screen.query_one("#text")
            shown = editor.text  # type: ignore[attr-defined]
            assert ("\u200d" in reply) == (shown != reply)
            editor.text = shown.replace("e", "E").replace("4", "5")  # type: ignore[attr-defined]
            await screen.press("ctrl+s")
            edit = screen.app.opened_session.edits[-1]
            assert isinstance(edit, EditReply)
            assert isinstance(edit.outcome.value, ModelReply)
            assert edit.outcome.value.text == reply.replace("e", "E").replace("4", "5")

    play(trace, scene)


def test_the_editor_keeps_what_is_no_json_until_it_is(tmp_path: Path) -> None:
    """A text that stands there as JSON, and is broken, is not taken: the editor says so and stays, and nothing is lost."""
    trace = record_run(tmp_path / "signs.trace.jsonl", [("go", [UNSEEN])])

    async def scene(screen: Screen) -> None:
        await screen.type("goto 1.1")
        await screen.press("2", "e")
        editor = screen.app.screen.query_one("#text")
        whole = editor.text  # type: ignore[attr-defined]
        editor.text = whole[:-1]  # type: ignore[attr-defined]
        await screen.press("ctrl+s")
        assert "no JSON" in screen.text
        assert not screen.app.opened_session.edits
        editor.text = whole.replace("Here", "There")  # type: ignore[attr-defined]
        await screen.press("ctrl+s")
        [edit] = screen.app.opened_session.edits
        assert isinstance(edit, EditReply)
        assert isinstance(edit.outcome.value, ModelReply)
        assert edit.outcome.value.text == UNSEEN.replace("Here", "There")

    play(trace, scene)


def test_inputs_of_every_kind_and_odd_pointers_are_edited(tmp_path: Path) -> None:
    """An input is opened at any frame, with its fields where it is no text; a late one, and a name with spaces, too."""
    path = tmp_path / "kinds.trace.jsonl"
    work = {"work": _remembers, "note": _rests}
    graph = bound(work, [], entry={"UserMessage": "work", "Action": "note", "Tick": "note"}, state={"history": []})
    click = Action(name="click", data=freeze({"x": 1}))
    record(path, graph, ["hello", click], late=lambda made: Meanwhile(made, Tick(readings={"clock": 1})))

    async def scene(screen: Screen) -> None:
        seen = {}
        for place, panel, row, old, new in (
            ("1.1", "frames", "hello", "hello", " bye "),
            ("1.1", "frames", "tick", '"clock": 1', '{"readings": {"clock": 2}}'),
            ("3.1", "frames", "⇢", '"x": 1', '{"data": {"x": 2}}'),
            ("1.1", "state", "a b", "  two  words  ", "  two  Words  "),
        ):
            await screen.type(f"goto {place}")
            await screen.press("3")
            await screen.on({"state": "lower"}.get(panel, panel), row)
            await screen.press("e")
            editor = screen.app.screen.query_one("#text")
            assert old in editor.text  # type: ignore[attr-defined]
            editor.text = new  # type: ignore[attr-defined]
            await screen.press("ctrl+s")
            seen[row] = screen.app.opened_session.edits[-1].to_json()
        assert seen["hello"]["data"]["message"]["content"] == " bye "
        assert (seen["tick"]["number"], seen["tick"]["data"]) == (2, {"readings": {"clock": 2}})
        assert seen["⇢"]["data"] == {"name": "click", "data": {"x": 2}}
        assert seen["a b"]["changes"] == [{"op": "set", "at": "/a b", "value": "  two  Words  "}]

    play(path, scene)


async def _remembers(_message: Any, ctx: NodeContext) -> NodeResult:
    """Ask, and keep a text under a name with a space."""
    await ctx.perform(ModelCall(model="m", messages=freeze([{"role": "user", "content": "hi"}])))
    return NodeResult(None, [Change.set("/a b", "  two  words  ")])


async def _rests(_message: Any, _ctx: NodeContext) -> NodeResult:
    """Do nothing."""
    return NodeResult()


def test_lines_that_are_pasted_are_done_one_by_one(weather: Path) -> None:
    """Several lines are as many commands; the last one waits for Enter where it has no end; one line is put in as ever."""

    async def scene(screen: Screen) -> None:
        line = screen.app.query_one(CommandLine)
        await screen.pilot.press("colon")
        line.post_message(Paste("to 2.1\r\nprint node\nst"))
        line.value = "go"
        line.cursor_position = 2
        await screen.settle()
        assert (screen.place, line.value, screen.app.focused) == ("2.1", "st", line)
        assert line.history == ["goto 2.1", "print node"]
        await screen.press("enter")
        line.open("")
        line.post_message(Paste("goto 1.1\ngoto 1.2\n"))
        await screen.settle()
        assert (screen.place, line.display) == ("1.2", False)
        line.open("go")
        line.post_message(Paste("to 1.1"))
        await screen.settle()
        assert (screen.place, line.value) == ("1.2", "goto 1.1")

    play(weather, scene)


def test_an_edit_that_is_given_up_changes_nothing(weather: Path) -> None:
    """Escape leaves the editor and no edit waits; where nothing can be edited, that is said."""

    async def scene(screen: Screen) -> None:
        await screen.type("goto 2.1")
        await screen.press("2", "e", "x", "escape")
        assert not screen.app.opened_session.edits
        await screen.press("home", "4", "e")
        assert "nothing that can be edited" in screen.status

    play(weather, scene)


def test_a_terminal_too_small_says_so_and_grows_again(weather: Path) -> None:
    """Below the least size there is a sentence, above it the panels, with the place as it was."""

    async def scene(screen: Screen) -> None:
        await screen.press("s", "s")
        await screen.pilot.resize_terminal(50, 12)
        await screen.settle()
        assert "50x12 is too small for the debugger." in screen.text
        assert "frames of" not in screen.text
        await screen.pilot.resize_terminal(80, 24)
        await screen.settle()
        assert "frames of 1" in screen.text
        assert screen.place == "1.1"

    play(weather, scene)


def test_a_damaged_trace_is_marked_and_its_good_part_shown(weather: Path, tmp_path: Path) -> None:
    """The head says so in words; what is good can be gone about in."""
    torn = tmp_path / "torn.trace.jsonl"
    torn.write_bytes(weather.read_bytes()[:-900])

    async def scene(screen: Screen) -> None:
        assert "✗ DAMAGED, the good part only" in screen.bar("head")
        await screen.press("end")
        assert screen.place in ("2.1", "2.0", "1.4")

    play(opening(torn, damaged=True), scene)


def test_a_trace_that_cannot_be_read_ends_the_screen_with_its_error(weather: Path, tmp_path: Path) -> None:
    """Without leave to use a damaged trace the screen closes, and the error is there to be told."""
    torn = tmp_path / "torn.trace.jsonl"
    torn.write_bytes(weather.read_bytes()[:-900])

    async def scene(screen: Screen) -> None:
        await asyncio.sleep(0)

    app = play(torn, scene)
    assert app.failure is not None
    assert app.return_code == 3


def test_a_file_that_changes_while_it_is_open_is_marked(weather: Path, tmp_path: Path) -> None:
    """The head says what was done to it after the next command, what cannot be read any more is told, and nothing breaks."""
    trace = tmp_path / "weather.trace.jsonl"
    trace.write_bytes(weather.read_bytes())
    other = weather.read_bytes().replace(b"evening", b"morning")[:-1]

    async def scene(screen: Screen) -> None:
        await screen.press("s", "s")
        assert "✓ sealed" in screen.bar("head")
        trace.write_bytes(other)
        await screen.press("end")
        assert "✗ CHANGED ON DISK" in screen.bar("head")
        assert screen.status.startswith("✗")
        assert "input → " in screen.text or "model → " in screen.text

    play(trace, scene)


def test_ctrl_c_stops_what_is_under_way_and_nothing_else(weather: Path) -> None:
    """A long move ends where it is; where nothing is under way the session stays, and says how to leave."""

    async def scene(screen: Screen) -> None:
        await screen.press("ctrl+c")
        assert "q leaves" in screen.status
        debugger = screen.app.opened_session.debugger
        await screen.type("break if message == 2 and frame == 2")
        arrived = asyncio.Event()
        loop = asyncio.get_running_loop()

        def slowly(_: int) -> None:
            loop.call_soon_threadsafe(arrived.set)
            debugger._stopping.wait(10)

        debugger.progress = slowly
        screen.app.say("continue")
        await asyncio.wait_for(arrived.wait(), 20)
        await screen.press("ctrl+c")
        assert "stopped on the way" in screen.status

    assert play(weather, scene).return_code == 0
