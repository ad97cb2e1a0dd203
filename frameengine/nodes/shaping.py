"""Tools that shape what the user sees (C68): they touch nothing outside, so a plan's executor carries them out itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from frameengine.errors import ValueRefused
from frameengine.jsonvalue import EMPTY, FrozenMap, Json, freeze
from frameengine.ui.controls import CONTROLS_MAX, button, display
from frameengine.ui.machines import applied
from frameengine.ui.surface import OPS_MAX
from frameengine.ui.values import name, small

SHAPING: Final[Mapping[str, str]] = {
    "emit_actions": "actions: [{label, action, payload?, binding?: {op: inc|dec|set|toggle, var, step?, value?}}]",
    "emit_display": "items: [{type, label, value?, style?, var?}]",
    "set_state": "key, value",
    "create_machine": "id, initial, states: {name: {actions: [{label, go | action, payload?}], display: [items]}}",
    "add_state": "id, state, buttons: [{label, go | action, payload?}], content",
    "reset_machine": "id",
    "destroy_machine": "id",
    "update_machine": "id, data: {name: value}",
    "transition_machine": "id, target",
}
"""Name of each tool -> its arguments, as a prompt says them."""
_ITEMS: Final[Mapping[str, tuple[str, str, Callable[[Json], Any]]]] = {
    "emit_actions": ("actions", "label and action", button),
    "emit_display": ("items", "type and label", display),
}
_OPS: Final[Mapping[str, tuple[str, ...]]] = {
    "create_machine": ("id", "initial", "states"),
    "add_state": ("id", "state"),
    "reset_machine": ("id",),
    "destroy_machine": ("id",),
    "update_machine": ("id", "data"),
    "transition_machine": ("id", "target"),
}
"""Name of the tool -> arguments that its operation needs."""


def arguments_of(tool: FrozenMap) -> str:
    """Return the arguments of a tool of a graph as a prompt says them; those of the shaping tools are known."""
    arguments: str = tool.get("arguments") or SHAPING.get(tool["name"], "")
    return arguments


class Shape:
    """What the steps of a plan said about the surface so far."""

    def __init__(self) -> None:
        self.actions: list[FrozenMap] = []
        """Buttons to offer."""
        self.items: list[FrozenMap] = []
        """Things to show."""
        self.state: FrozenMap = EMPTY
        """Values for the state of the surface."""
        self.machine_ops: list[FrozenMap] = []
        """Operations on machines, in the order of the steps."""

    def take(self, tool: str, args: FrozenMap) -> str:
        """Take one step; return what is wrong with it, empty where nothing is. A refused step leaves nothing behind."""
        if tool == "set_state":
            return self._remember(args)
        return self._show(tool, args) if tool in _ITEMS else self._operate(tool, args)

    def table(self, text: str) -> None:
        """Let a tool's output be shown as a table."""
        self.items.append(freeze({"type": "table", "text": text}))

    def _remember(self, args: FrozenMap) -> str:
        if not isinstance(args.get("key"), str) or not args["key"] or "value" not in args:
            return "it takes a key and a value"
        try:
            self.state = freeze({**self.state, name(args["key"], "the key"): small(args["value"], "the value")})
        except ValueRefused as error:
            return error.message
        return ""

    def _show(self, tool: str, args: FrozenMap) -> str:
        member, needed, read = _ITEMS[tool]
        items = args.get(member)
        takes = f"it takes {member}, a list of objects with {needed}"
        if not isinstance(items, tuple):
            return takes
        kept = self.actions if tool == "emit_actions" else self.items
        if len(kept) + len(items) > CONTROLS_MAX:
            return f"more than {CONTROLS_MAX} {member}"
        for number, item in enumerate(items):
            try:
                read(item)
            except ValueRefused as error:
                return f"{takes}; {member}[{number}]: {error.message}"
        kept.extend(items)
        return ""

    def _operate(self, tool: str, args: FrozenMap) -> str:
        """Take an operation on a machine. What depends on the machines there are is decided where they stand: by the UI node."""
        needed = _OPS[tool]
        if any(args.get(member) is None for member in needed):
            return f"it takes {' and '.join(needed)}"
        if len(self.machine_ops) >= OPS_MAX:
            return f"more than {OPS_MAX} operations on machines"
        # The operation is the tool's, whatever the arguments say.
        op: FrozenMap = freeze({"op": tool.removesuffix("_machine"), **{key: item for key, item in args.items() if key != "op"}})
        if op["op"] == "create":
            _, problem = applied(EMPTY, op)
            if problem:
                return problem
        self.machine_ops.append(op)
        return ""
