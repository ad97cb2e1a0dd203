"""UI: turn a thought into controls, and answer clicks that need no thought, without a model (C27, C70, C72 to C74)."""

from __future__ import annotations

from typing import ClassVar, Final

from frameengine.inputs import Action
from frameengine.jsonvalue import EMPTY, FrozenMap, Json, freeze
from frameengine.messages import Clicked, Command, InputAnalysis, ThoughtResult
from frameengine.node import NodeContext, NodeResult
from frameengine.nodes.context import HISTORY, chat
from frameengine.nodes.turn import begin_turn, close_failed_turn, note_activity
from frameengine.state import HISTORY_KEEP, Change
from frameengine.tools.table import parse_table
from frameengine.ui.actions import click_message, shown_text
from frameengine.ui.surface import Handled, answered, changes, clicked, current
from frameengine.ui.values import NAME_CHARS_MAX, cut

PIECE: Final = 12
"""Characters of a piece of text that was ready before it is said (C78)."""


class Ui:
    """Keep the surface: the controls of answers, machines, values, and clicks on them.

    A click that a machine or a binding answers is over here, and handed on as `Clicked` for the memory. Any other becomes a
    `Command`, for whichever node of the graph takes those.
    """

    slot: ClassVar[str] = "ui"

    async def run(self, message: ThoughtResult | Action, ctx: NodeContext) -> NodeResult:
        """Ask no model."""
        ui: FrozenMap = ctx.state.get("ui", EMPTY)
        if isinstance(message, ThoughtResult):
            return _answered(message, ui, ctx)
        handled = clicked(ui, message)
        return _to_be_thought_about(message, ctx) if handled is None else _handled(message, handled, ui, ctx)


def _answered(thought: ThoughtResult, ui: FrozenMap, ctx: NodeContext) -> NodeResult:
    after, refusals = answered(
        ui,
        actions=thought.actions,
        items=[_with_rows(item) for item in thought.display_items],
        values=thought.state_updates,
        ops=thought.machine_ops,
    )
    for refusal in refusals:
        ctx.emit(f"{refusal.kind}_refused", name=refusal.name, reason=refusal.reason)
    _show(ui, after, ctx)
    return NodeResult(changes=changes(ui, after))


def _handled(action: Action, handled: Handled, ui: FrozenMap, ctx: NodeContext) -> NodeResult:
    name = cut(action.name, NAME_CHARS_MAX)
    if handled.moved:
        ctx.emit("machine_transition", action=name, detail=handled.moved)
    _show(ui, handled.ui, ctx)
    for start in range(0, len(handled.text), PIECE):
        ctx.say(handled.text[start : start + PIECE])
    history = [*close_failed_turn(ctx), _remember(click_message(action)), _remember(chat("assistant", handled.text))]
    return NodeResult(Clicked(action=name, text=handled.text), (*changes(ui, handled.ui), *history, *note_activity(ctx)))


def _to_be_thought_about(action: Action, ctx: NodeContext) -> NodeResult:
    analysis = InputAnalysis(intent="action", topic=cut(action.name, NAME_CHARS_MAX), complexity="simple")
    command = Command(analysis=analysis, source_text=shown_text(action), metadata=action.data)
    return NodeResult(command, (*close_failed_turn(ctx), *begin_turn(ctx), _remember(click_message(action))))


def _show(before: FrozenMap, after: FrozenMap, ctx: NodeContext) -> None:
    """Send the controls where there are any (C48), and once when there are no more: the screen must not keep what is gone."""
    controls = current(after)
    if controls or current(before):
        ctx.emit("controls", controls=controls)


def _remember(message: FrozenMap) -> Change:
    return Change.append(HISTORY, message, keep=HISTORY_KEEP)


def _with_rows(item: Json) -> Json:
    """Return a table that stands as the text of a tool's output with its rows; anything else as it is."""
    if not isinstance(item, FrozenMap) or item.get("type") != "table" or not isinstance(item.get("text"), str):
        return item
    table = parse_table(item["text"])
    if table is None:
        return item
    return freeze({"type": "table", "columns": table.columns, "data": table.rows, "notes": table.notes})
