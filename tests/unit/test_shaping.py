"""Tools that shape the surface: what a step of a plan leaves, and why it is refused (C68, W07)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frameengine.jsonvalue import EMPTY, freeze, thaw
from frameengine.nodes.shaping import SHAPING, Shape

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
STEPS: dict[str, dict[str, Any]] = {
    "emit_actions": {"actions": [{"label": "Send", "action": "send", "payload": {"id": 1}}]},
    "emit_display": {"items": [{"type": "label", "label": "Total", "value": 3}]},
    "set_state": {"key": "count" * 10, "value": 0},
    "create_machine": {"id": "m", "initial": "a", "states": {"a": {"actions": [{"label": "on", "go": "b"}]}, "b": "done"}},
    "add_state": {"id": "m", "state": "c", "buttons": [{"label": "back", "go": "a"}], "content": "third"},
    "reset_machine": {"id": "m"},
    "destroy_machine": {"id": "m"},
    "update_machine": {"id": "m", "data": {"step": 2}},
    "transition_machine": {"id": "m", "target": "b"},
}
"""A good step for each tool."""
OPS = {
    "create_machine": "create",
    "add_state": "add_state",
    "reset_machine": "reset",
    "destroy_machine": "destroy",
    "update_machine": "update",
    "transition_machine": "transition",
}


def left(shape: Shape) -> list[Any]:
    """Return all that a shape holds, one entry for each thing."""
    return [*map(thaw, (*shape.actions, *shape.items, *shape.machine_ops)), *shape.state.items()]


def test_every_tool_is_named() -> None:
    """The tools of the surface are those of C68, and each says which arguments it takes."""
    assert list(SHAPING) == list(STEPS)
    for tool, args in STEPS.items():
        assert all(member in SHAPING[tool] for member in args)


@pytest.mark.parametrize("tool", STEPS)
def test_each_tool_changes_one_thing(tool: str) -> None:
    """A good step of any tool is taken, and leaves exactly one thing."""
    shape = Shape()
    assert shape.take(tool, freeze(STEPS[tool])) == ""
    assert len(left(shape)) == 1


def test_operations_keep_their_order() -> None:
    """Operations on machines stand in the order of the steps, each with its arguments as they were."""
    shape = Shape()
    for tool in OPS:
        assert shape.take(tool, freeze(STEPS[tool])) == ""
    assert [thaw(op) for op in shape.machine_ops] == [{"op": op, **STEPS[tool]} for tool, op in OPS.items()]


@pytest.mark.parametrize("tool", OPS)
def test_w07_arguments_cannot_override_the_operation(tool: str) -> None:
    """An argument named op changes nothing: the operation is that of the tool (W07)."""
    shape = Shape()
    assert shape.take(tool, freeze({"op": "destroy", **STEPS[tool]})) == ""
    assert shape.machine_ops[0]["op"] == OPS[tool]
    assert next(iter(shape.machine_ops[0])) == "op"


@pytest.mark.parametrize(
    ("tool", "args", "problem"),
    [
        ("emit_actions", {"actions": "all"}, "it takes actions, a list of objects with label and action"),
        ("emit_actions", {"actions": [{"label": "x", "action": "y"}, {"label": "x"}]}, "actions[1]: its action is no name"),
        ("emit_actions", {"actions": [{"label": "x", "action": "y"}] * 51}, "more than 50 actions"),
        ("emit_actions", {"actions": [{"label": 7, "action": "y"}]}, "its label is no text"),
        (
            "emit_actions",
            {"actions": [{"label": "+", "action": "inc", "binding": {"op": "pow", "var": "n"}}]},
            "none of inc, dec",
        ),
        ("emit_actions", {"actions": [{"label": "x", "action": "y", "payload": "z" * 5_000}]}, "its payload takes 5,002 bytes"),
        ("emit_display", {"items": [{"type": "label"}]}, "neither label nor text"),
        ("emit_display", {"items": [7]}, "it takes items"),
        ("set_state", {"key": "", "value": 1}, "it takes a key and a value"),
        ("set_state", {"key": "x"}, "it takes a key and a value"),
        ("set_state", {"key": "x", "value": "y" * 5_000}, "the value takes 5,002 bytes"),
        ("create_machine", {"id": "m", "states": {"a": {}}}, "it takes id and initial and states"),
        ("create_machine", {"id": "m", "initial": "z", "states": {"a": {}}}, 'the initial state "z" is none of its states, "a"'),
        (
            "create_machine",
            {"id": "m", "initial": "a", "states": {"a": [{"label": "x", "go": "z"}]}},
            'leads to "z", which is none',
        ),
        ("create_machine", {"id": "m" * 101, "initial": "a", "states": {"a": {}}}, "101 characters"),
        ("transition_machine", {"id": "m"}, "it takes id and target"),
        ("update_machine", {"id": "m", "data": None}, "it takes id and data"),
    ],
)
def test_a_bad_step_is_refused(tool: str, args: Any, problem: str) -> None:
    """A step that cannot be carried out says why, and leaves nothing."""
    shape = Shape()
    assert problem in shape.take(tool, freeze(args))
    assert left(shape) == []


def test_operations_are_bounded() -> None:
    """Of very many operations on machines the first fifty are taken."""
    shape = Shape()
    problems = [shape.take("reset_machine", freeze({"id": "m"})) for _ in range(51)]
    assert problems == [""] * 50 + ["more than 50 operations on machines"]


@given(st.sampled_from(list(SHAPING)), st.dictionaries(st.sampled_from([*"abc", "id", "op", "states", "key", "value"]), JSON))
def test_any_arguments_are_taken_or_refused(tool: str, args: Any) -> None:
    """Whatever the arguments are, a step either leaves something or says why not, and never raises."""
    shape = Shape()
    problem = shape.take(tool, freeze(args))
    assert bool(problem) == (left(shape) == [])


def test_a_new_shape_is_empty() -> None:
    """A shape begins with nothing, so what one plan left reaches no other."""
    Shape().take("set_state", freeze(STEPS["set_state"]))
    assert (left(Shape()), Shape().state) == ([], EMPTY)
