"""UI: turn a thought into controls, without a model (C27)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Final

from frameengine.jsonvalue import FrozenMap, freeze
from frameengine.messages import ThoughtResult
from frameengine.node import NodeContext, NodeResult
from frameengine.state import Change
from frameengine.tools.table import parse_table

CONTROLS: Final = "/ui/controls"
"""Where the controls stand in the state."""
STATE: Final = "/ui/state"
"""Where the values of the surface stand in the state."""
TABLE_ROWS_MAX: Final = 200
"""Rows of one table that are shown."""
TABLE_CHARS_MAX: Final = 64 << 10
"""Characters of one table that are shown."""
_BUTTON: Final = ("label", "action", "payload")
_DISPLAY: Final = ("type", "label", "value", "style")


class Ui:
    """Make buttons, tables and displays of what the Thinker left (C67). Nothing to show leaves what is there."""

    slot: ClassVar[str] = "ui"

    async def run(self, message: ThoughtResult, ctx: NodeContext) -> NodeResult:
        """Replace the controls where there are new ones; set the values that the thought names."""
        changes = [Change.set(f"{STATE}/{_escaped(key)}", value) for key, value in message.state_updates.items()]
        controls = freeze([*_buttons(message), *_displays(message)])
        if controls:
            ctx.emit("controls", controls=controls)
            changes.append(Change.set(CONTROLS, controls))
        return NodeResult(changes=changes)


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


def _buttons(thought: ThoughtResult) -> Iterator[dict[str, Any]]:
    for action in thought.actions:
        yield {"type": "button", **{key: action[key] for key in _BUTTON if key in action}}


def _displays(thought: ThoughtResult) -> Iterator[dict[str, Any]]:
    for item in thought.display_items:
        if item.get("type") == "table":
            yield from _table(item)
        else:
            yield {key: item[key] for key in _DISPLAY if key in item}


def _table(item: FrozenMap) -> Iterator[dict[str, Any]]:
    text = item.get("text")
    table = parse_table(text) if isinstance(text, str) else None
    if table is None:
        return
    rows: list[tuple[str, ...]] = []
    room = TABLE_CHARS_MAX
    for row in table.rows[:TABLE_ROWS_MAX]:
        room -= sum(map(len, row))
        if room < 0:
            break
        rows.append(row)
    control: dict[str, Any] = {"type": "table", "columns": table.columns, "data": rows}
    if len(rows) < len(table.rows) or table.notes:
        control["note"] = "; ".join([f"{len(rows)} of {len(table.rows)} rows", *table.notes])
    yield control
