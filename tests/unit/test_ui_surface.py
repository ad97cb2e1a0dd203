"""The surface as a whole: its layers, its bounds, what answers and clicks make of it (C69, C70, C73, C74)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frameengine.codec import dumps
from frameengine.inputs import Action
from frameengine.jsonvalue import EMPTY, FrozenMap, freeze, thaw
from frameengine.state import RunState
from frameengine.ui.bindings import BINDINGS_MAX
from frameengine.ui.controls import CONTROLS_MAX
from frameengine.ui.machines import MACHINES_BYTES_MAX
from frameengine.ui.surface import ANSWER_BYTES_MAX, OPS_MAX, VALUES_BYTES_MAX, VALUES_MAX, answered, changes, clicked, current

NOTHING: FrozenMap = freeze({"state": {}, "bindings": {}, "machines": {}, "thinker_controls": []})
PLUS = {"label": "+", "action": "plus", "binding": {"op": "inc", "var": "count"}}
MINUS = {"label": "-", "action": "minus", "binding": {"op": "dec", "var": "count"}}
COUNT = {"type": "label", "label": "Count", "var": "count"}
MACHINE = {"op": "create", "id": "m", "initial": "a", "states": {"a": [{"label": "on", "action": "on", "go": "b"}], "b": ["a"]}}


def answer(ui: FrozenMap = NOTHING, *, actions: Any = (), items: Any = (), values: Any = EMPTY, ops: Any = ()) -> Any:
    """Return the section after an answer, and its refusals."""
    return answered(ui, actions=freeze(actions), items=freeze(items), values=freeze(values), ops=freeze(ops))


def shown(ui: FrozenMap) -> list[str]:
    """Return the labels of what the surface shows."""
    return [control["label"] for control in current(ui)]


def test_a_counter_needs_no_model() -> None:
    """Create, plus, plus, minus is one, and the label that names the value shows it at once (C69)."""
    ui, refusals = answer(actions=[PLUS, MINUS], items=[COUNT], values={"count": 0})
    assert refusals == ()
    for action, count in (("plus", 1), ("plus", 2), ("minus", 1)):
        handled = clicked(ui, Action(name=action))
        assert handled is not None
        ui = handled.ui
        assert (handled.text, handled.moved, current(ui)[-1]["value"]) == (f"count = {count}", "", count)
    assert thaw(current(ui)) == [
        {"type": "button", "label": "+", "action": "plus"},
        {"type": "button", "label": "-", "action": "minus"},
        {"type": "label", "label": "Count", "value": 1},
    ]


def test_machines_survive_later_answers() -> None:
    """C73: machines come first, then the answer's controls; a later answer replaces only the latter, an empty one nothing."""
    ui, _ = answer(actions=[{"label": "one", "action": "x"}], ops=[MACHINE])
    assert shown(ui) == ["on", "one"]
    ui, _ = answer(ui, actions=[{"label": "two", "action": "y"}])
    assert shown(ui) == ["on", "two"]
    ui, _ = answer(ui)
    assert shown(ui) == ["on", "two"]
    assert [control.get("machine_id") for control in ui["thinker_controls"]] == [None]


def test_a_machine_comes_before_a_binding() -> None:
    """A click that both could answer moves the machine, and the binding only when no machine takes it (C74)."""
    ui, _ = answer(actions=[{**PLUS, "action": "on"}], values={"count": 0}, ops=[MACHINE])
    first = clicked(ui, Action(name="on"))
    assert first is not None
    assert (first.text, first.moved, first.ui["state"]["count"]) == ("m → b", "m: a → b", 0)
    second = clicked(first.ui, Action(name="on"))
    assert second is not None
    assert (second.text, second.moved) == ("count = 1", "")
    assert clicked(ui, Action(name="off")) is None


def test_a_machines_button_may_count() -> None:
    """A machine's button with a binding answers in the states that have it, and in no other."""
    states = {"a": [PLUS, {"label": "on", "action": "on", "go": "b"}], "b": []}
    ui, refusals = answer(values={"count": 0}, ops=[{**MACHINE, "states": states}])
    assert refusals == ()
    counted = clicked(ui, Action(name="plus"))
    assert counted is not None
    assert counted.text == "count = 1"
    assert all("binding" not in control for control in current(ui))
    moved = clicked(ui, Action(name="on"))
    assert moved is not None
    assert clicked(moved.ui, Action(name="plus")) is None


def test_refusals_name_what_and_why() -> None:
    """What an answer asks for and does not get is named with its reason, and all the rest of it is done."""
    ui, refusals = answer(
        actions=[{"label": "x"}, {"label": "y", "action": "y"}, 7],
        items=[{"type": "table"}, {"type": "label", "label": "ok"}],
        values={"good": 1, "": 2, "large": "x" * 5_000},
        ops=[{"op": "reset", "id": "m"}, MACHINE],
    )
    assert [(refusal.kind, refusal.name) for refusal in refusals] == [
        ("state", '""'),
        ("state", '"large"'),
        ("machine", 'reset "m"'),
        ("control", '"x"'),
        ("control", "button 3"),
        ("control", "display 1"),
    ]
    assert all(refusal.reason for refusal in refusals)
    assert shown(ui) == ["on", "y", "ok"]
    assert ui["state"] == {"good": 1}


def test_an_answer_is_bounded() -> None:
    """Of too many controls, operations and values, and of too much of them, the first are kept and the rest is refused."""
    many = [{"label": "x", "action": "y", "payload": "z" * 4_000}] * (CONTROLS_MAX + 1)
    ui, refusals = answer(
        actions=many, ops=[MACHINE] * (OPS_MAX + 1), values={f"k{n}": "v" * 1_000 for n in range(VALUES_MAX)}, items=[COUNT]
    )
    assert 0 < len(ui["thinker_controls"]) < CONTROLS_MAX
    assert sum(len(dumps(control)) for control in ui["thinker_controls"]) <= ANSWER_BYTES_MAX
    assert len(dumps(ui["state"])) <= VALUES_BYTES_MAX
    reasons = "\n".join(refusal.reason for refusal in refusals)
    for expected in ("51 in one answer", "take at most 131,072 bytes", "at most 100 values"):
        assert expected in reasons
    full, refusals = answer(values={f"k{n}": n for n in range(VALUES_MAX + 1)})
    assert (len(full["state"]), len(refusals)) == (VALUES_MAX, 1)


def test_changes_are_as_small_as_they_can_be() -> None:
    """A change names the place that differs; where members only change places, or 1 becomes true, there is one as well."""
    before, _ = answer(values={"a": 1, "b": {"x": 1, "y": 2}, "c": 0}, ops=[MACHINE])
    after, _ = answer(before, values={"b": {"y": 2, "x": 1}, "a": True}, ops=[{"op": "transition", "id": "m", "target": "b"}])
    made = changes(before, after)
    assert [(change.at, change.value) for change in made] == [
        ("/ui/state/a", True),
        ("/ui/state/b", {"y": 2, "x": 1}),
        ("/ui/machines/m/current", "b"),
    ]
    assert dumps(RunState(freeze({"ui": before})).apply(made).sections["ui"]) == dumps(after)
    assert changes(after, after) == ()


NAMES = st.sampled_from(["a", "b", "a/b~c", "long" * 12, "", "x" * 101])
RULE = st.fixed_dictionaries(
    {"op": st.sampled_from(["inc", "dec", "set", "toggle", "?"]), "var": NAMES}, optional={"step": st.integers(-3, 3)}
)
BUTTON = st.fixed_dictionaries({"action": NAMES}, optional={"label": NAMES, "binding": RULE, "payload": st.integers(0, 3)})
ITEM = st.fixed_dictionaries({"type": st.sampled_from(["label", "table", "button"]), "label": NAMES}, optional={"var": NAMES})
ANSWER = st.fixed_dictionaries(
    {
        "actions": st.lists(BUTTON | NAMES, max_size=3),
        "items": st.lists(ITEM, max_size=2),
        "values": st.dictionaries(NAMES, st.integers(-3, 3) | st.booleans() | NAMES, max_size=3),
        "ops": st.lists(
            st.fixed_dictionaries(
                {"op": st.sampled_from(["create", "destroy", "reset"]), "id": NAMES, "initial": NAMES},
                optional={"states": st.dictionaries(NAMES, st.lists(BUTTON | NAMES, max_size=2), max_size=2)},
            ),
            max_size=2,
        ),
    }
)


@given(st.lists(ANSWER | NAMES, max_size=8))
def test_the_section_is_sound_and_its_changes_lead_to_it(steps: list[Any]) -> None:
    """After any answers and clicks the section is bounded, its recorded changes give it, and it alone gives the controls."""
    ui = NOTHING
    state = RunState(freeze({"ui": ui}))
    for step in steps:
        if isinstance(step, dict):
            after, _ = answer(ui, **step)
        else:
            handled = clicked(ui, Action(name=step))
            after = ui if handled is None else handled.ui
        state = state.apply(changes(ui, after))
        assert dumps(state.sections["ui"]) == dumps(after)
        ui = after
        assert list(ui) == list(NOTHING)
        assert len(ui["bindings"]) <= BINDINGS_MAX
        assert len(ui["state"]) <= VALUES_MAX
        assert len(dumps(ui["machines"])) <= MACHINES_BYTES_MAX
        assert current(ui) == current(freeze(thaw(ui)))
        assert not any({"binding", "var"} & set(control) for control in current(ui))


@pytest.mark.parametrize("missing", [EMPTY, freeze({"controls": []})])
def test_a_section_without_members_is_an_empty_one(missing: FrozenMap) -> None:
    """A graph that gives the section no members starts with nothing on the surface."""
    assert current(missing) == ()
    assert clicked(missing, Action(name="a")) is None
    assert shown(answer(missing, actions=[PLUS])[0]) == ["+"]
