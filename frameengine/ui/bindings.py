"""Local actions: a button that changes one value of the surface, without a model (C69)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from frameengine.errors import ValueRefused
from frameengine.inputs import Action
from frameengine.jsonvalue import MISSING, FrozenMap, Json, freeze
from frameengine.ui.values import name, quoted, refused, small

OPERATIONS: Final = ("inc", "dec", "set", "toggle")
BINDINGS_MAX: Final = 100
"""Bindings that are remembered; the oldest is forgotten first."""


def binding(value: Json) -> FrozenMap:
    """Return a binding ``{op, var, step?, value?}``. Raises `ValueRefused` where it cannot be one."""
    if not isinstance(value, FrozenMap):
        raise refused("its binding is no object")
    if value.get("op") not in OPERATIONS:
        raise refused(f"its binding's op is none of {', '.join(OPERATIONS)}")
    made: dict[str, Json] = {"op": value["op"], "var": name(value.get("var"), "its binding's var")}
    step = value.get("step")
    if step is not None:
        if not _is_number(step):
            raise refused("its binding's step is no number")
        made["step"] = step
    if "value" in value:
        made["value"] = small(value["value"], "its binding's value")
    result: FrozenMap = freeze(made)
    return result


def bound(bindings: FrozenMap, buttons: Iterable[FrozenMap]) -> FrozenMap:
    """Return *bindings* after *buttons* were offered.

    One that is offered without a binding ends the binding of its action: the click must not be answered by an older button's.
    """
    rules = dict(bindings)
    for offered in buttons:
        action = str(offered["action"])
        if "binding" in offered:
            rules[action] = offered["binding"]
        else:
            rules.pop(action, None)
    kept: FrozenMap = freeze(dict(list(rules.items())[-BINDINGS_MAX:]))
    return kept


def local(values: FrozenMap, rule: FrozenMap, action: Action) -> tuple[FrozenMap, str] | None:
    """Return the surface's values after *action* under *rule*, and what to say; None where it is not local.

    It is not where the value that it names does not exist, or is of another kind than the operation takes.
    """
    var = rule["var"]
    if var not in values:
        return None
    try:
        new = small(_new(values[var], rule, action.data), "the value")
    except ValueRefused:
        return None
    after: FrozenMap = freeze({**values, var: new})
    return after, f"{var} = {quoted(new)}"


def _new(value: Json, rule: FrozenMap, data: FrozenMap) -> Json:
    if rule["op"] == "set":
        new = data.get("value", rule.get("value", MISSING))
        if new is MISSING:
            raise refused("there is no value to set")
        return new
    if rule["op"] == "toggle":
        if not isinstance(value, bool):
            raise refused("only true and false can be toggled")
        return not value
    if not _is_number(value):
        raise refused("only a number can be counted")
    step = rule.get("step", 1)
    return freeze(value + step if rule["op"] == "inc" else value - step)


def _is_number(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
