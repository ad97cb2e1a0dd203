"""Tools that shape what the user sees (C68): they touch nothing outside, so a plan's executor carries them out itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from frameengine.jsonvalue import EMPTY, FrozenMap, Json, freeze

ITEMS_MAX: Final = 50
"""Buttons, and things to show, of one answer."""


class Shape:
    """What the steps of a plan said about the surface so far."""

    def __init__(self) -> None:
        self.actions: list[FrozenMap] = []
        """Buttons to offer."""
        self.items: list[FrozenMap] = []
        """Things to show."""
        self.state: FrozenMap = EMPTY
        """Values for the state of the surface."""

    def take(self, tool: str, args: FrozenMap) -> str:
        """Take one step; return what is wrong with it, empty where nothing is."""
        if tool == "set_state":
            key = args.get("key")
            if not isinstance(key, str) or not key or "value" not in args:
                return "it takes a key and a value"
            self.state = freeze({**self.state, key: args["value"]})
            return ""
        member, needed = SHAPING[tool]
        items = args.get(member)
        if not isinstance(items, tuple) or not all(_complete(item, needed) for item in items):
            return f"it takes {member}, a list of objects with {' and '.join(needed)}"
        kept = self.actions if tool == "emit_actions" else self.items
        if len(kept) + len(items) > ITEMS_MAX:
            return f"more than {ITEMS_MAX} {member}"
        kept.extend(items)
        return ""

    def table(self, text: str) -> None:
        """Let a tool's output be shown as a table."""
        self.items.append(freeze({"type": "table", "text": text}))


SHAPING: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "emit_actions": ("actions", ("label", "action")),
    "emit_display": ("items", ("type", "label")),
    "set_state": ("", ()),
}
"""Name of the tool -> member that holds its items, and what each item needs."""


def _complete(item: Json, needed: tuple[str, ...]) -> bool:
    return isinstance(item, FrozenMap) and all(isinstance(item.get(key), str) for key in needed)
