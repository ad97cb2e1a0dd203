"""Director: decide what is to be done, once for each message that is more than a greeting (C23)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import ClassVar, Final

import attrs

from frameengine.codec import dumps
from frameengine.jsonvalue import FrozenMap, freeze
from frameengine.messages import Command
from frameengine.node import NodeContext, NodeResult
from frameengine.nodes.context import chat, history, model_call, read_reply, system_prompt, untrusted
from frameengine.nodes.context_block import context_block
from frameengine.nodes.parsing import parse_plan
from frameengine.nodes.schemas import Schemas
from frameengine.nodes.shaping import arguments_of

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

    async def run(self, message: Command, ctx: NodeContext) -> NodeResult:
        """Make one model call; a reply that cannot be read becomes a plan to say so."""
        ctx.emit("thinking", detail="planning")
        asked = (self._system, *_tools(ctx), *history(ctx, LAST), *context_block(ctx), _task(message, ctx))
        call = model_call(ctx, asked, budget=BUDGET)
        plan = await read_reply(ctx, call, partial(parse_plan, command=message))
        ctx.emit("planned", tools=len(plan.tool_sequence), hint=plan.response_hint[:80])
        return NodeResult(plan)


def _tools(ctx: NodeContext) -> Iterator[FrozenMap]:
    tools = ctx.config.config.get("tools", ())
    if tools:
        lines = [f"- {tool['name']}({arguments_of(tool)}): {tool.get('description', '')}" for tool in tools]
        yield chat("system", "Tools you may plan:\n" + "\n".join(lines))


def _task(command: Command, ctx: NodeContext) -> FrozenMap:
    analysis = {"source_text": command.source_text, **attrs.asdict(command.analysis)}
    parts = [untrusted("task", dumps(freeze(analysis)).decode())]
    schemas = Schemas(ctx).text()
    if schemas:
        parts.append(untrusted("schema", schemas))
    return chat("user", "\n\n".join(parts))
