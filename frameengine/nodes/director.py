"""Director: decide what is to be done, once for each message that is more than a greeting (C23)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Final

import attrs

from frameengine.codec import dumps
from frameengine.inputs import Action
from frameengine.jsonvalue import EMPTY, FrozenMap, freeze
from frameengine.messages import Command, InputAnalysis
from frameengine.node import NodeContext, NodeResult
from frameengine.nodes.context import HISTORY, chat, history, model_call, note_problems, system_prompt, untrusted
from frameengine.nodes.parsing import parse_plan
from frameengine.state import HISTORY_KEEP, Change

PROMPT: Final = "director_v2"
LAST: Final = 12
"""Messages of the history that are read (C15)."""
BUDGET: Final = 4_000
"""Tokens."""


class DecidingDirector:
    """Turn a command into a plan: which tools with which arguments, or what to answer without any.

    The tools that it may plan stand in the graph (``config.tools``: name, arguments, description). Schemas that earlier plans
    looked up stand in the state, so that no table is described twice.
    """

    slot: ClassVar[str] = "director"
    contract: ClassVar[str] = "DirectorPlan"

    def __init__(self, prompt: str | None = None) -> None:
        """Read the prompt, or take *prompt* instead."""
        self._system = system_prompt(PROMPT, prompt)

    async def run(self, message: Command | Action, ctx: NodeContext) -> NodeResult:
        """Make one model call; a reply that cannot be read becomes a plan to say so."""
        changes: tuple[Change, ...] = ()
        clicked: tuple[FrozenMap, ...] = ()
        if isinstance(message, Action):
            clicked = (chat("user", f"[clicked {message.name}]"),)
            changes = (Change.append(HISTORY, clicked[0], keep=HISTORY_KEEP),)
            message = _command(message)
        ctx.emit("thinking", detail="planning")
        messages = (self._system, *_tools(ctx), *history(ctx, LAST), *clicked, _task(message, ctx))
        reply = await ctx.perform(model_call(ctx, messages, budget=BUDGET))
        parsed = parse_plan(reply.text, message)
        note_problems(ctx, parsed.problems)
        ctx.emit("planned", tools=len(parsed.value.tool_sequence), hint=parsed.value.response_hint[:80])
        return NodeResult(parsed.value, changes)


def _command(action: Action) -> Command:
    """Return a click as a command; it is understood as it is (C74)."""
    data = f" | data: {dumps(action.data).decode()}" if action.data else ""
    analysis = InputAnalysis(intent="action", topic=action.name)
    return Command(analysis=analysis, source_text=f"ACTION: {action.name}{data}", metadata=action.data)


def _tools(ctx: NodeContext) -> Iterator[FrozenMap]:
    tools = ctx.config.config.get("tools", ())
    if tools:
        lines = [f"- {tool.get('name')}({tool.get('arguments', '')}): {tool.get('description', '')}" for tool in tools]
        yield chat("system", "Tools you may plan:\n" + "\n".join(lines))


def _task(command: Command, ctx: NodeContext) -> FrozenMap:
    analysis = {"source_text": command.source_text, **attrs.asdict(command.analysis)}
    parts = [untrusted("task", dumps(freeze(analysis)).decode())]
    schemas: FrozenMap = ctx.state.get("caches", EMPTY).get("schema", EMPTY)
    if schemas:
        parts.append(untrusted("schema", "\n\n".join([f"{statement}\n{text}" for statement, text in schemas.items()])))
    return chat("user", "\n\n".join(parts))
