"""Controls: what becomes of buttons, tables and displays that a model wrote (C67)."""

from __future__ import annotations

from typing import Any

import pytest

from frameengine.errors import ValueRefused
from frameengine.inputs import Action
from frameengine.jsonvalue import freeze, thaw
from frameengine.records import Emission
from frameengine.ui.controls import TABLE_BYTES_MAX, TABLE_ROWS_MAX, action_of, button, display, process_cards


def nested(depth: int) -> Any:
    """Return objects in objects."""
    return {"x": nested(depth - 1)} if depth else 1


def test_a_button_keeps_what_is_its_own() -> None:
    """Of a button label, action, payload and binding stay; foreign members are dropped; the label may be left out (C67)."""
    given = {"label": "Send", "action": "send", "payload": [1], "type": "table", "onclick": "evil()"}
    assert button(freeze(given)) == {"type": "button", "label": "Send", "action": "send", "payload": (1,)}
    assert button(freeze({"action": "send"}))["label"] == "send"
    bound = button(freeze({"action": "inc", "binding": {"op": "inc", "var": "n", "step": 2, "x": 1}}))
    assert bound["binding"] == {"op": "inc", "var": "n", "step": 2}
    assert button(freeze({"action": "a", "payload": nested(16)}))["payload"] == nested(16)
    assert len(button(freeze({"action": "a", "label": "x" * 5_000}))["label"]) == 200


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (7, "no object"),
        ({"label": "x"}, "its action is no name"),
        ({"action": " "}, "its action is no name"),
        ({"action": "x" * 101}, "101 characters"),
        ({"action": "a", "label": None}, "its label is no text"),
        ({"action": "a", "payload": "x" * 5_000}, "takes 5,002 bytes"),
        ({"action": "a", "payload": [[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]}, "nested deeper than 16"),
        ({"action": "a", "payload": nested(17)}, "nested deeper than 16"),
        ({"action": "a", "binding": "inc"}, "its binding is no object"),
        ({"action": "a", "binding": {"op": "inc"}}, "its binding's var is no name"),
        ({"action": "a", "binding": {"op": "inc", "var": "n", "step": True}}, "step is no number"),
    ],
)
def test_what_is_no_button_is_refused(value: Any, why: str) -> None:
    """A button that could not be shown or clicked is refused with the reason."""
    with pytest.raises(ValueRefused, match=why):
        button(freeze(value))


def test_things_to_show() -> None:
    """A thing to show keeps type, label, text, value and style; a button among them is one; a named value stays a name (C67)."""
    given = {"type": "label", "label": "Total", "value": 3, "style": "bold", "html": "<b>"}
    assert thaw(display(freeze(given))) == {"type": "label", "label": "Total", "value": 3, "style": "bold"}
    assert thaw(display(freeze({"type": "label", "text": "hi"}))) == {"type": "label", "text": "hi"}
    assert display(freeze({"type": "button", "action": "go"}))["action"] == "go"
    assert display(freeze({"type": "label", "label": "Count", "var": "count"}))["var"] == "count"
    assert len(display(freeze({"type": "label", "text": "x" * 5_000}))["text"]) == 2_000
    for odd in (
        {"label": "x"},
        {"type": "label"},
        {"type": "label", "label": 3},
        {"type": "x", "label": "y", "value": ["z" * 5_000]},
    ):
        with pytest.raises(ValueRefused):
            display(freeze(odd))


def test_tables_of_lists_and_of_objects() -> None:
    """A table's rows may be lists or objects; cells become texts, and nothing is an empty cell (C67)."""
    lists = {"type": "table", "columns": ["a", "b"], "data": [["x", 1], [None, {"y": 2}]]}
    assert thaw(display(freeze(lists))) == {"type": "table", "columns": ["a", "b"], "data": [["x", "1"], ["", '{"y":2}']]}
    objects = {"type": "table", "data": [{"a": "x", "b": 1}, {"b": 2, "c": 3}]}
    assert thaw(display(freeze(objects))) == {"type": "table", "columns": ["a", "b"], "data": [["x", "1"], ["", "2"]]}


@pytest.mark.parametrize(
    "value",
    [
        {"type": "table"},
        {"type": "table", "data": []},
        {"type": "table", "columns": ["a"], "data": "x"},
        {"type": "table", "columns": ["a"], "data": [["x", "y"]]},
        {"type": "table", "columns": ["a"], "data": [7]},
        {"type": "table", "columns": [1], "data": []},
        {"type": "table", "columns": ["a"] * 51, "data": []},
    ],
)
def test_what_is_no_table_is_refused(value: Any) -> None:
    """A table whose columns or rows cannot be read is refused."""
    with pytest.raises(ValueRefused):
        display(freeze(value))


def test_a_table_is_bounded_and_says_so() -> None:
    """A long table and a wide one are shown in part, with a note; cells of any script count by their bytes."""
    long = display(freeze({"type": "table", "columns": ["n"], "data": [[str(n)] for n in range(1_000)], "notes": ["cut"]}))
    assert (len(long["data"]), long["note"]) == (TABLE_ROWS_MAX, "200 of 1000 rows; cut")
    wide = display(freeze({"type": "table", "columns": ["n"], "data": [["\x00" * 10_000] for _ in range(20)]}))
    assert (len(wide["data"]), wide["note"]) == (TABLE_BYTES_MAX // 60_004, "1 of 20 rows")


def test_a_click_says_what_the_button_carries() -> None:
    """An object is the click's data as it is, any other payload its value, and a machine's button names the machine."""
    assert action_of(freeze({"type": "button", "label": "x", "action": "a"})) == Action(name="a")
    assert action_of(freeze({"action": "a", "payload": {"id": 1}})) == Action(name="a", data={"id": 1})
    assert action_of(freeze({"action": "a", "payload": 0})) == Action(name="a", data={"value": 0})
    assert action_of(freeze({"action": "a", "machine_id": "m", "go": "b"})) == Action(name="a", data={"machine_id": "m"})


def test_a_process_is_a_card() -> None:
    """Start and end of a process are one card; one that has not ended has no end; other events are none (C67)."""
    emissions = [
        Emission(event="process_start", data={"pid": 1, "tool": "python", "status": "running", "code": "1"}),
        Emission(event="process_start", data={"pid": 2, "tool": "python", "status": "running", "code": "2"}),
        Emission(event="tick", data={"pid": 3}),
        Emission(event="process_done", data={"pid": 1, "tool": "python", "status": "done", "exit_code": 0, "elapsed": 0.12}),
    ]
    first, second = map(thaw, process_cards(emissions))
    assert first == {
        "type": "process", "pid": 1, "tool": "python", "status": "done", "code": "1", "exit_code": 0, "elapsed": 0.12
    }  # fmt: skip
    assert (second["status"], "elapsed" in second) == ("running", False)
