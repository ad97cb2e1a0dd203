"""Machines: transition tables that are always sound (C71, C72)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frameengine.codec import dumps
from frameengine.inputs import Action
from frameengine.jsonvalue import EMPTY, FrozenMap, freeze, thaw
from frameengine.ui.machines import (
    MACHINES_BYTES_MAX,
    MACHINES_MAX,
    PARTS_MAX,
    STATES_MAX,
    SUMMARY_CHARS_MAX,
    applied,
    machine_controls,
    summary_lines,
    transition,
)

WIZARD = {
    "op": "create",
    "id": "wizard",
    "initial": "one",
    "states": {
        "one": {"actions": [{"label": "Next", "action": "next", "go": "two"}], "display": [{"type": "label", "label": "Step 1"}]},
        "two": {"buttons": [{"label": "Back", "action": "back", "go": "one"}, {"label": "Ask", "action": "ask", "payload": 7}]},
    },
}


def after(*ops: Any, machines: FrozenMap = EMPTY) -> FrozenMap:
    """Return the machines after operations, none of which may be refused."""
    for op in ops:
        machines, reason = applied(machines, freeze(op))
        assert reason == ""
    return machines


def why(machines: FrozenMap, **op: Any) -> str:
    """Return why an operation is refused; it must change nothing."""
    same, reason = applied(machines, freeze(op))
    assert same is machines
    return reason


def shown(machines: FrozenMap) -> list[Any]:
    """Return the controls of machines."""
    return [thaw(control) for control in machine_controls(freeze({"machines": machines}))]


def labels(machines: FrozenMap) -> list[str]:
    """Return the labels of all that machines show."""
    return [control["label"] for control in shown(machines)]


def click(machines: FrozenMap, name: str, **data: Any) -> FrozenMap:
    """Return the machines after a click that one of them answers."""
    moved = transition(freeze({"machines": machines}), Action(name=name, data=data))
    assert moved is not None
    return moved.machines


def test_a_machine_from_creation_to_its_end() -> None:
    """A new machine shows its initial state, a click the next one's controls, reset the first again, destroy nothing (C71)."""
    machines = after(WIZARD)
    assert shown(machines) == [
        {"type": "label", "label": "Step 1", "machine_id": "wizard"},
        {"type": "button", "label": "Next", "action": "next", "go": "two", "machine_id": "wizard"},
    ]
    machines = click(machines, "next")
    assert shown(machines) == [
        {"type": "button", "label": "Back", "action": "back", "go": "one", "machine_id": "wizard"},
        {"type": "button", "label": "Ask", "action": "ask", "payload": 7, "machine_id": "wizard"},
    ]
    assert labels(after({"op": "reset", "id": "wizard"}, machines=machines)) == ["Step 1", "Next"]
    assert after({"op": "destroy", "id": "wizard"}, machines=machines) == {}


def test_the_other_operations() -> None:
    """States are added or replaced, data is shown and taken away by null, a transition goes where it says, reset ends data."""
    third = {"op": "add_state", "id": "wizard", "state": "three", "buttons": ["one"], "content": "The end"}
    machines = after(WIZARD, third, {"op": "transition", "id": "wizard", "target": "three"})
    assert labels(machines) == ["The end", "one"]
    machines = after({"op": "update", "id": "wizard", "data": {"done": True, "left": 2}}, machines=machines)
    assert [(control["label"], control.get("value")) for control in shown(machines)][1:3] == [("done", True), ("left", 2)]
    machines = after({"op": "update", "id": "wizard", "data": {"left": None}}, machines=machines)
    assert labels(machines) == ["The end", "done", "one"]
    assert labels(after({"op": "reset", "id": "wizard"}, machines=machines)) == ["Step 1", "Next"]
    assert labels(after({**third, "buttons": [], "content": "Over"}, machines=machines)) == ["Over", "done"]


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        (["a", "b"], ["a"]),
        ({"a": "Hello", "b": None}, ["Hello"]),
        ({"a": [{"label": "go", "go": "b"}], "b": {}}, ["go"]),
        ([{"name": "a", "buttons": ["b"]}, "b"], ["b"]),
        ({"a": {"content": "text", "actions": [{"go": "a"}]}}, ["text", "a"]),
        ({"a": {"display": {"type": "label", "label": "one"}}}, ["one"]),
        ({"a": {"display": ["x", {"type": "label", "label": "y"}], "buttons": None}}, ["x", "y"]),
        ({"a": {"buttons": [{"label": "Back", "go": "b"}, {"label": "Cancel", "go": "b"}]}, "b": {}}, ["Back", "Cancel"]),
    ],
)
def test_states_in_all_their_forms(states: Any, expected: list[str]) -> None:
    """States may be an object or a list; a state bare names, a text, buttons or an object (C71)."""
    assert labels(after({"op": "create", "id": "m", "initial": "a", "states": states})) == expected


@pytest.mark.parametrize(
    ("op", "reason"),
    [
        ({"op": "create", "id": "m", "initial": "z", "states": ["a"]}, 'the initial state "z" is none of its states, "a"'),
        ({"op": "create", "id": "m", "states": ["a"]}, "the initial state is no name"),
        ({"op": "create", "id": "m", "initial": "a", "states": {}}, "is none of its states, none"),
        ({"op": "create", "id": "m", "initial": "a", "states": "a"}, "states is neither an object nor a list"),
        ({"op": "create", "id": "m", "initial": "a", "states": ["a", "a"]}, 'the state "a" stands twice'),
        ({"op": "create", "id": "m", "initial": "a", "states": {"a": [{"label": "x", "go": "z"}]}}, 'state "a" leads to "z"'),
        ({"op": "create", "id": "m", "initial": "a", "states": {"a": 7}}, 'state "a": it is neither'),
        ({"op": "create", "id": "m", "initial": "a", "states": {"a": {"buttons": {"x": 1}}}}, 'state "a": buttons is no list'),
        ({"op": "create", "id": "m", "initial": "a", "states": {"a": [7]}}, 'state "a": its action is no name'),
        (
            {"op": "create", "id": "m", "initial": "a", "states": {"a": [{"action": "x", "go": "a"}, {"action": "x"}]}},
            "lead to different states",
        ),
        ({"op": "create", "id": "m", "initial": "a", "states": {"a" * 101: {}}}, "101 characters"),
        ({"op": "create", "id": "m", "initial": "a", "states": [f"s{n}" for n in range(STATES_MAX + 1)]}, "at most 50 states"),
        ({"op": "create", "id": "m", "initial": "a", "states": {"a": ["a"] * (PARTS_MAX + 1)}}, "21 items"),
        ({"op": "create", "id": ["m"], "initial": "a", "states": ["a"]}, "the machine's id is no name"),
        ({"op": "add_state", "id": "wizard", "state": "x", "buttons": [{"label": "y", "go": "nowhere"}]}, 'leads to "nowhere"'),
        ({"op": "transition", "id": "wizard", "target": "nowhere"}, 'the target "nowhere" is none of its states, "one", "two"'),
        ({"op": "update", "id": "wizard", "data": [1]}, "data is no object"),
        ({"op": "update", "id": "wizard", "data": {f"d{n}": n for n in range(PARTS_MAX + 1)}}, "at most 20 members"),
        ({"op": "reset", "id": "nobody"}, 'there is no machine "nobody"; there are "wizard"'),
        ({"op": "explode", "id": "wizard"}, 'there is no operation "explode"'),
        ({"op": ["create"], "id": "wizard"}, 'there is no operation ["create"]'),
        ({}, "there is no operation null"),
    ],
)
def test_an_unsound_operation_is_refused(op: Any, reason: str) -> None:
    """A machine without its initial state, a way to nowhere, a name that is none: refused with a reason, nothing changes."""
    assert reason in why(after(WIZARD), **op)


def test_machines_are_bounded() -> None:
    """There are at most twenty machines, of a bounded size together; one that is there already may be made anew."""
    machines = after(*[{"op": "create", "id": f"m{n}", "initial": "a", "states": ["a"]} for n in range(MACHINES_MAX)])
    assert "20 machines already" in why(machines, op="create", id="one more", initial="a", states=["a"])
    assert labels(after({"op": "create", "id": "m3", "initial": "b", "states": ["b"]}, machines=machines))[3] == "b"
    large = {"a": {"display": ["x" * 2_000] * PARTS_MAX}, "b": {"display": ["y" * 2_000] * PARTS_MAX}}
    assert "the bound is 65,536" in why(EMPTY, op="create", id="m", initial="a", states=large)


def test_a_click_finds_its_machine() -> None:
    """Of two machines with the same button a click moves the one that it names, else the older one; others stay."""
    machines = after(WIZARD, {**WIZARD, "id": "other"})
    assert [machine["current"] for machine in click(machines, "next", machine_id="other").values()] == ["one", "two"]
    assert [machine["current"] for machine in click(machines, "next").values()] == ["two", "one"]
    ui = freeze({"machines": machines})
    for action in (Action(name="back"), Action(name="Next"), Action(name="ask"), Action(name="next", data={"machine_id": ""})):
        moved = transition(ui, action)
        assert moved is None or action.data
    assert transition(freeze({"machines": click(machines, "next", machine_id="other")}), Action(name="ask")) is None


def test_summaries_tell_states_buttons_and_data() -> None:
    """A machine's line names its state, its states, where its buttons lead and its data, and no name can break it."""
    machines = after(WIZARD, {"op": "update", "id": "wizard", "data": {"n": 1}}, {**WIZARD, "id": "x\ny"})
    first, second = summary_lines(freeze({"machines": machines}))
    assert first == 'machine "wizard" is in state "one" of "one", "two"; buttons: "Next" → "two"; data: {"n":1}'
    assert second.startswith(r'machine "x\ny" is in')
    many = after({"op": "create", "id": "m", "initial": "s1", "states": [f"s{n}" * 20 for n in range(1, 20)] + ["s1"]})
    assert len(summary_lines(freeze({"machines": many}))[0]) == SUMMARY_CHARS_MAX
    assert summary_lines(EMPTY) == ()


# ---------------------------------------------------------------------- properties

NAMES = st.sampled_from(["a", "b", "c", "long" * 12, "", "x" * 101, "ä|\n"])
ODD = st.none() | st.integers(-9, 9) | st.text(max_size=3) | st.lists(st.integers(-9, 9), max_size=2)
BUTTON = (
    st.fixed_dictionaries({}, optional={"label": NAMES | ODD, "action": NAMES | ODD, "go": NAMES, "payload": ODD}) | NAMES | ODD
)
STATE = st.lists(BUTTON, max_size=3) | st.fixed_dictionaries({"buttons": st.lists(BUTTON, max_size=3)}) | NAMES | ODD
STATES = st.dictionaries(NAMES, STATE, max_size=4) | st.lists(NAMES | ODD, max_size=4)
OPERATION = st.fixed_dictionaries(
    {"op": st.sampled_from(["create", "create", "add_state", "reset", "destroy", "update", "transition", "?"]), "id": NAMES},
    optional={
        "initial": NAMES,
        "states": STATES,
        "state": NAMES,
        "buttons": st.lists(BUTTON, max_size=3) | ODD,
        "data": st.dictionaries(NAMES, ODD, max_size=3) | ODD,
        "target": NAMES,
    },
)


@given(st.lists(OPERATION | NAMES, max_size=12))
def test_machines_stay_sound(steps: list[Any]) -> None:
    """After any operations and clicks each machine's state exists, each way leads to a state, and all is within its bounds."""
    machines: FrozenMap = EMPTY
    for step in steps:
        if isinstance(step, dict):
            before = machines
            machines, reason = applied(machines, freeze(step))
            assert not reason or machines is before
        else:
            moved = transition(freeze({"machines": machines}), Action(name=step))
            machines = machines if moved is None else moved.machines
        for key, machine in machines.items():
            assert {machine["current"], machine["initial"]} <= set(machine["states"])
            for state in machine["states"].values():
                assert all(offered.get("go", machine["current"]) in machine["states"] for offered in state["buttons"])
            assert 0 < len(key) <= 100
            assert len(machine["states"]) <= STATES_MAX
        assert len(dumps(machines)) <= MACHINES_BYTES_MAX
        ui = freeze({"machines": machines})
        assert all(control["machine_id"] in machines for control in machine_controls(ui))
        assert len(summary_lines(ui)) == len(machines)
