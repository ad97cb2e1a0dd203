"""Local actions: what a click makes of a value, and when it is none (C69)."""

from __future__ import annotations

from typing import Any

import pytest

from frameengine.inputs import Action
from frameengine.jsonvalue import EMPTY, freeze, thaw
from frameengine.ui.bindings import BINDINGS_MAX, binding, bound, local
from frameengine.ui.controls import button


def new(value: Any, rule: dict[str, Any], data: Any = EMPTY) -> Any:
    """Return what a click makes of the value ``n``; None where it is not local."""
    done = local(freeze({"n": value, "m": 0}), binding(freeze({"var": "n", **rule})), Action(name="a", data=data))
    if done is None:
        return None
    assert done[0]["m"] == 0
    return thaw(done[0]["n"])


@pytest.mark.parametrize(
    ("value", "rule", "data", "expected"),
    [
        (0, {"op": "inc"}, {}, 1),
        (0, {"op": "dec"}, {}, -1),
        (5, {"op": "inc", "step": 10}, {}, 15),
        (1.5, {"op": "dec", "step": 0.5}, {}, 1.0),
        (False, {"op": "toggle"}, {}, True),
        (True, {"op": "toggle"}, {}, False),
        ("x", {"op": "set", "value": {"y": [1]}}, {}, {"y": [1]}),
        ("x", {"op": "set", "value": 1}, {"value": 2}, 2),
        ("x", {"op": "set"}, {"value": False}, False),
    ],
)
def test_operations(value: Any, rule: dict[str, Any], data: dict[str, Any], expected: Any) -> None:
    """Counting takes the step, toggling turns, setting takes the click's value before the button's."""
    assert new(value, rule, data) == expected


@pytest.mark.parametrize(
    ("value", "rule", "data"),
    [
        ("x", {"op": "inc"}, {}),
        (True, {"op": "inc"}, {}),
        (None, {"op": "dec"}, {}),
        (1, {"op": "toggle"}, {}),
        (1, {"op": "set"}, {}),
        (1, {"op": "set"}, {"value": "x" * 5_000}),
        (2**64 - 1, {"op": "inc"}, {}),
        (-(2**63), {"op": "dec"}, {}),
        (1e308, {"op": "inc", "step": 1e308}, {}),
    ],
)
def test_what_cannot_be_done_is_not_local(value: Any, rule: dict[str, Any], data: dict[str, Any]) -> None:
    """A value of another kind, a missing one, or a result that no trace holds: the click goes on to be thought about."""
    assert new(value, rule, data) is None


def test_an_unknown_value_is_not_local() -> None:
    """A binding to a value that nobody has set does not answer."""
    assert local(EMPTY, binding(freeze({"op": "inc", "var": "n"})), Action(name="a")) is None


def test_what_is_said() -> None:
    """The click is answered with the value's name and its new value."""
    rule = binding(freeze({"op": "inc", "var": "count"}))
    assert local(freeze({"count": 1}), rule, Action(name="a")) == ({"count": 2}, "count = 2")


def offered(*actions: str, **more: Any) -> list[Any]:
    """Return buttons."""
    return [button(freeze({"action": action, **more})) for action in actions]


def test_a_button_without_a_binding_ends_the_older_one() -> None:
    """The newest button of an action decides: a click on one that is to be thought about is not answered by an older binding."""
    inc = {"op": "inc", "var": "n"}
    rules = bound(EMPTY, offered("a", "long" * 12, binding=inc))
    assert thaw(rules) == {"a": inc, "long" * 12: inc}
    assert thaw(bound(rules, offered("a"))) == {"long" * 12: inc}
    assert thaw(bound(rules, offered("a", binding={"op": "dec", "var": "n"})))["a"]["op"] == "dec"


def test_bindings_are_bounded() -> None:
    """Of very many bindings the newest are remembered."""
    rules = bound(EMPTY, offered(*[f"a{n}" for n in range(BINDINGS_MAX + 5)], binding={"op": "inc", "var": "n"}))
    assert list(rules) == [f"a{n}" for n in range(5, BINDINGS_MAX + 5)]
