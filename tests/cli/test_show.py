"""``frameengine show``: the table, the timeline, the frame."""

from __future__ import annotations

import re
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console, RenderableType

from cli_runs import ANSWER, JACKET, WEATHER, Frameengine, Record
from frameengine.effects import Outcome, ToolCall
from frameengine.inputs import Given, StateEdit, Tick, UserMessage
from frameengine.node import NodeContext, NodeResult
from frameengine.plaintext import is_visible
from frameengine.state import Change
from frameengine.trace.messages import Message, messages
from frameengine.trace.reader import TraceReader
from frameengine_cli.look import Look
from frameengine_cli.output import plain
from frameengine_cli.screens.frame import frame
from frameengine_cli.screens.timeline import timeline
from toy import Meanwhile, bound, record

EVIL = "see\x1b[2J\x9b31m \u202ereversed\u202c \U000e0041 \u200b done"

TIMELINE = """\
╭─ message 1 ──────────────────────────────────────────────────────────────────────────────────────╮
│ What will the weather be like in Bern?                                                           │
╰────────────────────────────────────────────────────────────────────────────── path tools · done ─╯
  1 ● model → tools
    │  ◇ gpt-test  ⇒ wants forecast(city: "Bern", days: 2), alerts(region: "BE")    412→18 tok 1.2 s
    │  Δ /history +2 (user, assistant)
  2 ● tools → model
    │  ◆ forecast(city: "Bern", days: 2)  ⇒ {sky: "sunny"}                                     34 ms
    │  ◆ alerts(region: "BE")  ⇒ ✗ tool.timeout: no answer after 30 s
    │  Δ /history +2 (tool, tool)
  3 ● model → output
    │  ◇ gpt-test  ⇒ "Saturday stays sunny with 12 °C; on Sunday fog comes up. The… 412→18 tok 1.2 s
    │  Δ /history +1 (assistant)
  4 ● output
       » answer "Saturday stays sunny with 12 °C; on Sunday fog comes up. There ar…
╭─ answer ─────────────────────────────────────────────────────────────────────────────────────────╮
│ Saturday stays sunny with 12 °C; on Sunday fog comes up. There are no alerts.                    │
╰──────────────────────────────────────────────────────────────────────────────────────────────────╯
✓ done  4 frames · 4 calls (2 model, 2 tool) · 824→36 tok · 2.5 s in calls
"""

TABLE = """\
#  input                                                       path    frames  calls  tokens  status
1  What will the weather be like in Bern?                      tools        4      4  824→36  ✓ done
2  Do I need a jacket?                                         direct       2      1  412→18  ✓ done
"""


def read(path: Path) -> list[Message]:
    """Return the messages of a trace."""
    with TraceReader(path) as reader:
        return list(messages(reader))


def on_terminal(screen: RenderableType, width: int = 100) -> str:
    """Return a screen as a terminal shows it, without colours."""
    sink = StringIO()
    Console(file=sink, width=width, force_terminal=True, color_system=None, markup=False, highlight=False).print(screen)
    return "".join([line.rstrip() + "\n" for line in sink.getvalue().rstrip("\n").split("\n")])


def test_a_message_is_a_timeline_of_frames(weather: Path) -> None:
    """A message shows question, nodes, routes, calls with tokens and time, failures, changes, emissions, answer and totals."""
    assert on_terminal(timeline(read(weather)[0], Look(boxes=True))) == TIMELINE


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_timeline_fits_its_terminal(weather: Path, width: int) -> None:
    """No line is wider than the terminal, and each frame keeps its own line."""
    lines = on_terminal(timeline(read(weather)[0], Look(boxes=True)), width).split("\n")
    assert max(len(line) for line in lines) <= width
    assert [line[:5] for line in lines if re.match(r"  \d ●", line)] == ["  1 ●", "  2 ●", "  3 ●", "  4 ●"]


def test_without_a_terminal_there_are_the_same_words_and_no_boxes(weather: Path) -> None:
    """A pipe gets everything that a terminal gets, but for lines that only connect things."""
    boxes = re.compile(r"[─│╭╮╰╯]")
    message = read(weather)[0]
    shown = plain(timeline(message, Look(boxes=False)), width=160)
    assert not boxes.search(shown)
    with_boxes = on_terminal(timeline(message, Look(boxes=True)), width=160)
    assert sorted(boxes.sub(" ", with_boxes).split()) == sorted(shown.replace("(path", "path").replace("done)", "done").split())


def test_a_run_is_a_table_of_messages(frameengine: Frameengine, weather: Path) -> None:
    """Without a message number, a run of several messages is a table of them under the run's own facts."""
    done = frameengine("show", weather)
    assert done.code == 0
    assert TABLE in done.out
    assert "tool-loop v1 · 2 inputs, 6 frames, 5 calls · model scripted" in done.out


def test_a_run_of_one_message_is_shown_at_once(frameengine: Frameengine, record: Record) -> None:
    """A run of one message needs no number to be shown frame by frame."""
    done = frameengine("show", record("one", JACKET))
    assert "● model → output" in done.out


def test_a_frame_is_shown_whole(frameengine: Frameengine, weather: Path) -> None:
    """A frame shows each message of its request, marked as new or known, the reply, the changes and the output."""
    done = frameengine("show", f"{weather}@1.3")
    assert done.code == 0
    marks = re.findall(r"^ *([=+]) (\w+)", done.out, re.MULTILINE)
    assert marks == [("=", "1"), ("=", "user"), ("+", "assistant"), ("+", "tool"), ("+", "tool")]
    for part in ('{"city":"Bern","days":2}', "answers 1", "⇒ reply (stop)", "append /history", "type  Answer", ANSWER):
        assert part in done.out


def test_a_failed_tool_is_shown_with_its_reason(frameengine: Frameengine, weather: Path) -> None:
    """A call that failed says so in the frame, with the failure's type and message."""
    assert "✗ error: tool.timeout: no answer after 30 s" in frameengine("show", f"{weather}@1.2").out


def test_long_texts_are_cut_unless_all_is_asked_for(frameengine: Frameengine, record: Record) -> None:
    """A long question is cut in the timeline with a note, and whole with --full."""
    path = record("long", ("\n".join([f"line {number}" for number in range(40)]), ["ok"]))
    assert "line 39" not in frameengine("show", path).out
    assert "28 more lines (--full)" in frameengine("show", path).out
    assert "line 39" in frameengine("show", path, "--full").out


def test_messages_that_were_only_given_are_named(frameengine: Frameengine, record: Record) -> None:
    """Messages that are present but not run are listed as such, without frames."""
    path = record("given", (Given(messages=[{"role": "system", "content": "Be brief."}]), []), JACKET)
    assert "given: 1 message (system)" in frameengine("show", path).out
    assert "path given" in frameengine("show", f"{path}@1").out


def test_an_edit_of_the_state_is_named(frameengine: Frameengine, record: Record) -> None:
    """A state that was edited by hand is listed with what was changed, escaped like any text, and without frames."""
    edit = StateEdit([Change.set("/topic", EVIL), Change.append("/history", {"role": "user"}), Change.delete("/topic")])
    path = record("edited", (edit, []), JACKET)
    shown = frameengine("show", path).out
    assert "edit: /history +1 (user), /topic = " in shown
    assert "path edit" in frameengine("show", f"{path}@1").out
    assert all(is_visible(char) for char in shown)


def test_messages_that_were_only_given_can_be_read(frameengine: Frameengine, record: Record) -> None:
    """Each given message stands with its role and its text, cut unless all is asked for."""
    long = "\n".join([f"line {number}" for number in range(40)])
    said = Given(messages=[{"role": "system", "content": "Be brief."}, {"role": "assistant", "content": long}])
    path = record("given", (said, []), JACKET)
    shown = frameengine("show", f"{path}@1").out
    assert "Be brief." in shown
    assert "28 more lines (--full)" in shown
    assert "line 39" not in shown
    assert "line 39" in frameengine("show", "--full", f"{path}@1").out


def test_parts_that_are_no_text_are_named(frameengine: Frameengine, record: Record) -> None:
    """An image in a message is a line with its length, in the timeline and in the frame, beside the text."""
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    content = [{"type": "text", "text": "What is this?"}, image]
    path = record("image", (UserMessage(message={"role": "user", "content": content}), ["A square."]))
    for place in ("@1", "@1.1"):
        shown = frameengine("show", f"{path}{place}").out
        assert "What is this?" in shown
        assert "[image_url, 26 characters]" in shown


def test_what_a_recording_does_not_say_is_not_made_up(frameengine: Frameengine, tmp_path: Path) -> None:
    """A model without a name is said to be not recorded, and an unknown reason for the end is left out."""
    chat = tmp_path / "chat.json"
    chat.write_text('[{"role":"user","content":"hello"},{"role":"assistant","content":"hi"}]', encoding="utf-8")
    frameengine("import", "openai", chat, "-o", "chat.trace.jsonl")
    assert "(model not recorded)" in frameengine("show", "chat.trace.jsonl@1").out
    shown = frameengine("show", "chat.trace.jsonl@1.1").out
    assert "model[0]: model (model not recorded)" in shown
    assert "⇒ reply\n" in shown
    assert "unknown" not in shown


def test_messages_after_the_one_that_is_asked_for_are_not_decoded(weather: Path) -> None:
    """Reading up to a message reads the whole file, and gives nothing of what comes after it."""
    with TraceReader(weather) as reader:
        assert [message.number for message in messages(reader, last=1)] == [1]
        assert reader.sealed


def test_the_hint_under_the_table_leads_to_what_went_wrong(frameengine: Frameengine, record: Record, weather: Path) -> None:
    """It names the first message that is not done; the first one where all are."""
    record("one-open", JACKET, ("hello", [Outcome(status="not_recorded")]))
    assert "show traces/one-open.trace.jsonl@2\n" in frameengine("show", "one-open").out
    assert "show traces/weather.trace.jsonl@1\n" in frameengine("show", weather.stem.split(".")[0]).out


def test_the_note_of_a_run_stands_on_its_own_screen_only(frameengine: Frameengine, tmp_path: Path) -> None:
    """A message's screen has a short head."""
    path = tmp_path / "x.toml"
    path.write_text(
        'graph = "tool-loop"\n[provenance]\nnote = "by hand"\n'
        '[[inputs]]\ntype = "UserMessage"\ntext = "a"\n[model]\nmodel = ["b"]\n',
        encoding="utf-8",
    )
    frameengine("run", path, "-o", "x.trace.jsonl")
    assert "note by hand" in frameengine("show", "x.trace.jsonl").out
    assert "note by hand" not in frameengine("show", "x.trace.jsonl@1").out


def test_a_recording_that_stops_is_shown_as_open(frameengine: Frameengine, record: Record) -> None:
    """A call without a recorded outcome is marked, and so are its frame and its message."""
    done = frameengine("show", record("open", ("hello", [Outcome(status="not_recorded")])))
    assert "not recorded: the recording stops here" in done.out
    assert "… open" in done.out


def test_the_good_part_of_an_unfinished_trace_is_shown(frameengine: Frameengine, record: Record) -> None:
    """With --damaged the good part of a trace without a seal is shown, marked, and the exit code stays 3."""
    path = record("crashed", WEATHER, JACKET, seal=False)
    assert frameengine("show", path).out == ""
    done = frameengine("show", path, "--damaged")
    assert done.code == 3
    assert "not sealed" in done.out
    assert "Do I need a jacket?" in done.out
    assert "✗ damaged:" in done.out
    assert f"{done.out}{done.err}".count("no seal") == 1


def test_calls_of_a_frame_that_was_never_committed_are_shown(frameengine: Frameengine, weather: Path) -> None:
    """A trace that ends inside a frame shows the replies that had arrived."""
    lines = weather.read_bytes().split(b"\n")
    first_outcome = next(number for number, line in enumerate(lines) if line.startswith(b'{"kind":"outcome"'))
    weather.write_bytes(b"\n".join(lines[: first_outcome + 1]) + b"\n")
    done = frameengine("show", weather, "--damaged")
    assert done.code == 3
    assert "wants forecast" in done.out
    assert "cut off" in done.out


def test_json_holds_the_whole_run(frameengine: Frameengine, weather: Path) -> None:
    """--json gives every message, frame, request and outcome, uncut."""
    document = frameengine("show", weather, "--json").json
    assert document["schema_version"] == 1
    assert document["ok"] is True
    assert [len(message["frames"]) for message in document["messages"]] == [4, 2]
    call = document["messages"][0]["frames"][2]["calls"][0]
    assert [message["role"] for message in call["request"]["messages"]] == ["user", "assistant", "tool", "tool"]
    assert call["outcome"]["value"]["message"]["content"] == ANSWER


def test_json_of_a_damaged_trace_is_one_document(frameengine: Frameengine, record: Record) -> None:
    """--json --damaged prints the good part and the error in one document, with exit code 3."""
    done = frameengine("show", record("crashed", JACKET, seal=False), "--damaged", "--json")
    assert done.code == 3
    assert done.json["ok"] is False
    assert done.json["error"]["code"] == "trace.incomplete"
    assert len(done.json["messages"]) == 1


@pytest.mark.parametrize("place", ["", "@1", "@1.1", "@1.2"])
@pytest.mark.parametrize("as_json", [(), ("--json",)], ids=["text", "json"])
def test_nothing_from_outside_reaches_the_terminal_raw(
    frameengine: Frameengine, record: Record, place: str, as_json: tuple[str, ...]
) -> None:
    """Escape sequences, direction marks, tags and zero-width characters of users and models are shown as numbers."""
    done = frameengine("show", f"{record('evil', (EVIL, [EVIL]))}{place}", *as_json)
    assert done.code == 0
    assert all(is_visible(char) for char in done.out)
    assert r"\u202e" in done.out


def test_nothing_from_outside_reaches_a_coloured_terminal_raw(record: Record) -> None:
    """On a terminal the only escape sequences are the colours of the screen itself."""
    message = read(record("evil", (EVIL, [EVIL])))[0]
    for screen in (timeline(message, Look(boxes=True)), frame(message, message.steps[0], Look(boxes=True))):
        sink = StringIO()
        Console(file=sink, width=100, force_terminal=True, color_system="truecolor", markup=False, highlight=False).print(screen)
        assert "\x1b[" in sink.getvalue()
        assert all(is_visible(char) for char in re.sub(r"\x1b\[[0-9;]*m", "", sink.getvalue()))


def test_markup_of_the_terminal_library_is_text(frameengine: Frameengine, record: Record) -> None:
    """What looks like the terminal library's own markup is shown, not obeyed."""
    assert "[bold red]x[/] :smile:" in frameengine("show", record("markup", ("[bold red]x[/] :smile:", ["ok"]))).out


def test_what_came_in_behind_the_last_frame_is_shown(frameengine: Frameengine, tmp_path: Path) -> None:
    """An input that came in when the last frame was done stands behind it, and is found by its number and by its words."""
    graph = bound({"ask": _count})
    edit, tick = StateEdit([Change.set("/topic", "moved by hand")]), Tick(readings={"clock": 7})
    record(tmp_path / "t.trace.jsonl", graph, ["one", "two"], late=lambda made: Meanwhile(made, edit, tick))
    for place in ("1", "3"):
        shown = frameengine("show", f"t.trace.jsonl@{place}").out
        lines = [line.strip() for line in shown.splitlines()]
        behind = [number for number, line in enumerate(lines) if re.search(r"input [23] ", line)]
        assert len(behind) == 2
        assert behind[0] > next(number for number, line in enumerate(lines) if line.startswith("1 ●"))
    found = frameengine("debug", "t.trace.jsonl", "-c", "search moved by hand", "--json")
    assert '"what":"input 2"' in found.out


async def _count(_: Any, ctx: NodeContext) -> NodeResult:
    await ctx.perform(ToolCall("count", {}))
    return NodeResult()
