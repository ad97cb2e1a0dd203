"""The UI node: what it shows, hands on and remembers, and where clicks go (C27, C70, C72 to C78, W11, W57, W63)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from driven import Driven
from frameengine.effects import ToolCall
from frameengine.graph.model import NodeSpec
from frameengine.inputs import Action, UserMessage
from frameengine.jsonvalue import EMPTY, freeze, thaw
from frameengine.messages import Clicked, Command, InputAnalysis, ThoughtResult
from frameengine.node import NodeContext, NodeResult
from frameengine.nodes.turn import NOT_ANSWERED
from frameengine.nodes.ui import Ui
from frameengine.state import HISTORY_KEEP
from frameengine.tools.table import format_table
from frameengine.ui.actions import is_click, parse_action
from frameengine.ui.controls import TABLE_ROWS_MAX
from frameengine.ui.surface import current
from toy import bound, edge, pass_on, record, replay, run

SPEC = NodeSpec(name="ui", implementation="ui")
NOTHING: dict[str, Any] = {"state": {}, "bindings": {}, "machines": {}, "thinker_controls": []}
STATE: dict[str, Any] = {"history": [], "ui": NOTHING}
PLUS = {"label": "+", "action": "inc", "binding": {"op": "inc", "var": "count"}}
MINUS = {"label": "-", "action": "dec", "binding": {"op": "dec", "var": "count"}}
MACHINE = {
    "op": "create",
    "id": "wizard",
    "initial": "one",
    "states": {
        "one": [{"label": "Next", "action": "next", "go": "two"}],
        "two": [{"label": "Back", "action": "back", "go": "one"}],
    },
}


def drive(message: Any, state: Any = STATE) -> Driven:
    """Run the node."""
    return Driven(Ui(), SPEC, message, state=state)


def thought(**more: Any) -> ThoughtResult:
    """Return a thought that leaves something for the surface."""
    return ThoughtResult(response="", **{key: freeze(value) for key, value in more.items()})


def pieces(driven: Driven) -> list[str]:
    """Return the pieces of text as they were said."""
    return [emission.data["text"] for emission in driven.context.emissions if emission.event == "text"]


def labels(driven: Driven) -> list[str]:
    """Return the labels of what the surface shows afterwards."""
    return [control["label"] for control in current(freeze(driven.after["ui"]))]


# ---------------------------------------------------------------------- thoughts


def test_a_thought_becomes_controls() -> None:
    """Buttons, tables and displays become controls in that order, shown and kept; no effect is asked for (C27)."""
    driven = drive(
        thought(
            actions=[{"label": "Send", "action": "send", "payload": 1, "type": "table", "onclick": "evil()"}],
            display_items=[
                {"type": "table", "text": "a\tb\n1\tx\\ty"},
                {"type": "label", "label": "Total", "value": 3, "html": "<b>"},
            ],
            state_updates={"year/month": 2024},
        )
    )
    controls = [
        {"type": "button", "label": "Send", "action": "send", "payload": 1},
        {"type": "table", "columns": ["a", "b"], "data": [["1", "x\ty"]]},
        {"type": "label", "label": "Total", "value": 3},
    ]
    assert driven.event("controls") == {"controls": controls}
    assert driven.after["ui"] == {**NOTHING, "state": {"year/month": 2024}, "thinker_controls": controls}
    assert driven.message is None
    assert driven.effects == []


def test_nothing_to_show_shows_nothing() -> None:
    """A thought without controls on an empty surface changes and shows nothing; on another one it shows what is there (C48)."""
    driven = drive(thought())
    assert (driven.events(), driven.changes) == ([], ())
    before = drive(thought(actions=[{"label": "a", "action": "b"}]))
    again = drive(thought(), before.after)
    assert again.event("controls") == before.event("controls")
    assert again.changes == ()


def test_a_table_of_tool_output_is_bounded() -> None:
    """A long table is shown in part and says so, with what its writer noted."""
    text = format_table(("n",), [(number,) for number in range(1_000)], ["cut after 1,000 rows; there are more"])
    (control,) = drive(thought(display_items=[{"type": "table", "text": text}])).event("controls")["controls"]
    assert len(control["data"]) == TABLE_ROWS_MAX
    assert control["note"] == "200 of 1000 rows; cut after 1,000 rows; there are more"


@pytest.mark.parametrize(
    ("more", "event", "name", "reason"),
    [
        ({"machine_ops": [{**MACHINE, "initial": "three"}]}, "machine_refused", 'create "wizard"', "is none of its states"),
        ({"machine_ops": [{"op": "reset", "id": "x"}]}, "machine_refused", 'reset "x"', "there is no machine"),
        ({"machine_ops": [{**MACHINE, "states": {"one": ["two"]}}]}, "machine_refused", 'create "wizard"', 'leads to "two"'),
        ({"machine_ops": [{}]}, "machine_refused", "None null", "there is no operation null"),
        ({"actions": [{"label": "x"}]}, "control_refused", '"x"', "its action is no name"),
        ({"display_items": [{"type": "table", "text": "a\tb\nc"}]}, "control_refused", "display 1", "no list of rows"),
        ({"state_updates": {"k": "x" * 5_000}}, "state_refused", '"k"', "takes 5,002 bytes"),
    ],
)
def test_what_is_refused_is_shown(more: Any, event: str, name: str, reason: str) -> None:
    """What a thought asks for and does not get is an event with its reason; nothing else changes, and nothing raises."""
    driven = drive(thought(**more))
    assert driven.events() == [event]
    assert driven.event(event)["name"] == name
    assert reason in driven.event(event)["reason"]
    assert driven.changes == ()


def test_the_screen_is_cleared_once() -> None:
    """When the last control goes, the empty list is sent: the screen must not keep what is gone."""
    made = drive(thought(machine_ops=[MACHINE]))
    gone = drive(thought(machine_ops=[{"op": "destroy", "id": "wizard"}]), made.after)
    assert gone.event("controls") == {"controls": []}
    assert gone.after["ui"] == NOTHING
    assert drive(thought(), gone.after).events() == []


# ---------------------------------------------------------------------- clicks


def test_w11_a_click_on_a_counter() -> None:
    """A bound click changes the value, says so, and leaves two entries in the history and a trace for the memory (C70, W11)."""
    made = drive(thought(actions=[PLUS, MINUS], state_updates={"count": 0}))
    driven = drive(Action(name="inc"), made.after)
    assert driven.events() == ["controls", "text"]
    assert driven.event("text") == {"stream": "answer", "text": "count = 1"}
    assert driven.message == Clicked(action="inc", text="count = 1")
    click, answer = driven.after["history"]
    assert is_click(freeze(click))
    assert (click["content"], answer) == ("[clicked inc]", {"role": "assistant", "content": "count = 1"})
    assert driven.effects == []
    said = [{"role": ("user", "assistant")[n % 2], "content": str(n)} for n in range(HISTORY_KEEP)]
    full = {**made.after, "history": said}
    history = drive(Action(name="inc"), full).after["history"]
    assert (len(history), history[0]["content"]) == (HISTORY_KEEP, "2")


def test_w27_a_click_after_a_message_that_failed() -> None:
    """A click that begins a message closes the question before it that was never answered (W27)."""
    made = drive(thought(actions=[PLUS], state_updates={"count": 0}))
    open_question = {**made.after, "history": [{"role": "user", "content": "how many?"}]}
    history = drive(Action(name="inc"), open_question).after["history"]
    assert [message["content"] for message in history] == ["how many?", NOT_ANSWERED, "[clicked inc]", "count = 1"]


def test_a_click_on_a_machine() -> None:
    """A machine goes on, which is shown with the controls of its new state, those of the answer behind them (C53l, C72)."""
    made = drive(thought(actions=[{"label": "Other", "action": "other"}], machine_ops=[MACHINE]))
    assert labels(made) == ["Next", "Other"]
    driven = drive(Action(name="next"), made.after)
    assert driven.events() == ["machine_transition", "controls", "text"]
    assert driven.event("machine_transition") == {"action": "next", "detail": "wizard: one → two"}
    assert labels(driven) == ["Back", "Other"]
    assert driven.message == Clicked(action="next", text="wizard → two")
    assert [change.at for change in driven.changes] == ["/ui/machines/wizard/current", "/history", "/history"]


def test_ready_text_is_said_in_pieces() -> None:
    """Text that is there already is said in pieces of twelve characters, which the record joins (C78)."""
    made = drive(thought(actions=[{**PLUS, "binding": {"op": "set", "var": "v", "value": "x" * 19}}], state_updates={"v": ""}))
    driven = drive(Action(name="inc"), made.after)
    assert pieces(driven) == ['v = "xxxxxxx', "x" * 12, '"']
    assert driven.event("text")["text"] == f'v = "{"x" * 19}"'


@pytest.mark.parametrize(
    ("action", "source"),
    [
        (Action(name="send"), "ACTION: send"),
        (Action(name="send bills", data={"year": 2024}), 'ACTION: send bills | data: {"year":2024}'),
        (Action(name="a | data: {}", data={"x": "y|z"}), 'ACTION: "a | data: {}" | data: {"x":"y|z"}'),
    ],
)
def test_any_other_click_is_thought_about(action: Action, source: str) -> None:
    """A click that nothing answers becomes a command whose text is unambiguous, whatever the action is called (C74, W57)."""
    driven = drive(action)
    analysis = InputAnalysis(intent="action", topic=action.name, complexity="simple")
    assert driven.message == Command(analysis=analysis, source_text=source, metadata=action.data)
    assert parse_action(source) == action
    assert [is_click(freeze(message)) for message in driven.after["history"]] == [True]
    assert driven.events() == []


def test_a_click_to_think_about_begins_a_turn() -> None:
    """What the sensor noticed belongs to the turn of such a click, and to no later one."""
    sensor = {"ticks": 1, "flags": {"idle_return": {"away_duration": 600}}, "dashboard": [], "readings": {}}
    driven = drive(Action(name="send"), {**STATE, "sensor": sensor, "turn": {"flags": {}, "dashboard": None}})
    assert driven.after["turn"] == {"flags": {"idle_return": {"away_duration": 600}}, "dashboard": []}
    assert (driven.after["sensor"]["flags"], driven.after["sensor"]["dashboard"]) == ({}, None)
    assert driven.after["sensor"]["readings"]["idle"]["value"] == "active"


def test_hostile_clicks_are_bounded() -> None:
    """A click with a name and data of any size is read by nodes in part."""
    driven = drive(Action(name="n" * 100_000, data={"x": "y" * 100_000}))
    assert len(driven.message.analysis.topic) == 100
    assert len(driven.message.source_text) < 5_000
    assert len(driven.after["history"][0]["content"]) < 5_000


# ---------------------------------------------------------------------- in a graph


async def think(message: Any, ctx: NodeContext) -> NodeResult:
    """Offer a counter and a machine."""
    await ctx.perform(ToolCall("look", {}))
    actions = freeze([PLUS, MINUS])
    return NodeResult(thought(actions=actions, state_updates={"count": 0}, machine_ops=[MACHINE]))


async def keep(message: Any, ctx: NodeContext) -> NodeResult:
    """Take what is handed on, as the last node of a way."""
    return NodeResult()


def graph() -> Any:
    """Return a graph with the way of the cog graphs: messages to a thinker, clicks to the ui, what they leave to an epilogue."""
    nodes: dict[str, Any] = {"input": pass_on, "thinker": think, "ui": Ui(), "memorizer": keep}
    edges = [
        edge("input", "thinker"),
        edge("thinker", "ui", carries="ThoughtResult"),
        edge("ui", "thinker", carries="Command"),
        edge("ui", "memorizer", carries="Clicked"),
    ]
    entry = {"UserMessage": "input", "Action": "ui"}
    more = {"memorizer": 'phase = "epilogue"'}
    return bound(nodes, edges, entry=entry, more=more, state={"history": []})


def test_a_counter_in_a_run(tmp_path: Path) -> None:
    """Create, plus, plus, minus is one without a model call; each click is a frame and its epilogue; all of it replays."""
    path = tmp_path / "counter.trace.jsonl"
    clicks: list[Any] = [Action(name=name) for name in ("inc", "inc", "dec", "next")]
    traces = record(path, graph(), ["a counter", *clicks])
    assert [(trace.total_frames, trace.frames, trace.calls, trace.status) for trace in traces] == [
        (3, 3, 1, "done"),
        *[(1, 2, 0, "done")] * 4,
    ]
    assert replay(path, graph()).divergence is None
    made, kept = run(graph())
    for body in [UserMessage.of("a counter"), *clicks]:
        made.send(body)
    ui = made.engine.state.sections["ui"]
    assert ui["state"] == {"count": 1}
    assert ui["machines"]["wizard"]["current"] == "two"
    assert [record.input["action"] for record in kept.records("memorizer")] == ["inc", "inc", "dec", "next"]


def test_w57_typed_text_is_no_click() -> None:
    """A user who types the text of an action sends a message like any other: it goes to the input, and nothing counts (W57)."""
    made, kept = run(graph())
    made.send(UserMessage.of("a counter"))
    made.send(Action(name="inc"))
    made.send(UserMessage.of("ACTION: inc"))
    assert [[record.node for record in frame.records] for frame in kept.frames if frame.input == 3] == [
        ["input"],
        ["thinker"],
        ["ui"],
    ]
    assert len(kept.records("memorizer")) == 1


def test_an_unknown_button_is_thought_about() -> None:
    """A click that nothing answers takes the way of a message, with the ui in the place of the input (C74)."""
    made, kept = run(graph())
    made.send(Action(name="unknown"))
    assert [[record.node for record in frame.records] for frame in kept.frames] == [["ui"], ["thinker"], ["ui"]]
    assert kept.records("thinker")[0].input["source_text"] == "ACTION: unknown"


def test_the_largest_surface_can_be_recorded(tmp_path: Path) -> None:
    """A surface at all its bounds, made of characters that take the most room, fits the lines of a trace."""

    async def much(message: Any, ctx: NodeContext) -> NodeResult:
        await ctx.perform(ToolCall("look", {}))
        # Texts that are too short to be stored once and referred to, six bytes for each character.
        letters = ["\x01" * 39] * 17
        states = {"a": [{"label": "b", "action": "b", "payload": letters}]}
        ops = [{"op": "create", "id": f"m{n}", "initial": "a", "states": states} for n in range(20)]
        rule = {"op": "set", "var": "k1", "value": letters}
        actions = [{"label": "x", "action": f"a{n}", "binding": rule} for n in range(25)]
        items = [{"type": "label", "label": "v", "var": "k1"} for _ in range(50)]
        values = {f"k{n}": letters for n in range(100)}
        return NodeResult(thought(actions=actions, display_items=items, state_updates=values, machine_ops=ops))

    nodes: dict[str, Any] = {"thinker": much, "ui": Ui()}
    graph = bound(
        nodes, [edge("thinker", "ui", carries="ThoughtResult")], entry={"UserMessage": "thinker"}, state={"history": []}
    )
    path = tmp_path / "large.trace.jsonl"
    (trace,) = record(path, graph, ["much"])
    assert (trace.status, trace.frames) == ("done", 2)
    assert path.stat().st_size > 1_000_000
    assert replay(path, graph).divergence is None


def test_a_section_may_be_missing() -> None:
    """A graph whose state has no section for the surface gets one with the first thought."""
    driven = drive(thought(actions=[{"label": "a", "action": "b"}]), EMPTY)
    assert labels(driven) == ["a"]
    assert thaw(driven.after["ui"]["thinker_controls"]) == [{"type": "button", "label": "a", "action": "b"}]
