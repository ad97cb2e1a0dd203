"""Input: understand what was said, and answer nothing yet (C18)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Final

import attrs

from frameengine.jsonvalue import freeze
from frameengine.messages import Command, Envelope
from frameengine.node import NodeContext, NodeResult
from frameengine.nodes.context import HISTORY, history, model_call, read_reply, system_prompt
from frameengine.nodes.context_block import context_block
from frameengine.nodes.parsing import parse_analysis
from frameengine.nodes.planning import needs_plan
from frameengine.nodes.turn import begin_turn, close_failed_turn
from frameengine.state import HISTORY_KEEP, Change

PROMPT: Final = "input_v2"
LAST: Final = 8
"""Messages of the history that are read, the new one included (C15)."""
BUDGET: Final = 2_000
"""Tokens."""
NOBODY: Final = ("", "anon")
"""Identities that are none."""


class StructuredInput:
    """Classify a message into the seven fields of an `InputAnalysis`, and add it to the history.

    Where the graph has somebody who plans on demand (``config.plans``), the command says whether it asks for a plan.
    """

    slot: ClassVar[str] = "input"
    contract: ClassVar[str] = "InputAnalysis"

    def __init__(self, prompt: str | None = None) -> None:
        """Read the prompt, or take *prompt* instead."""
        self._system = system_prompt(PROMPT, prompt)

    async def run(self, message: Envelope, ctx: NodeContext) -> NodeResult:
        """Make one model call; a reply that cannot be read counts as a simple request, which the Director looks at."""
        ctx.emit("thinking", detail="reading the message")
        changes = tuple(open_turn(message, ctx))
        asked = (self._system, *history(ctx, LAST - 1), *context_block(ctx, changes), message.chat)
        analysis = await read_reply(ctx, model_call(ctx, asked, budget=BUDGET), parse_analysis)
        command = Command(analysis=analysis, source_text=message.text)
        if ctx.config.config.get("plans"):
            command = attrs.evolve(command, metadata={"needs_plan": needs_plan(command)})
        ctx.emit("perceived", analysis=freeze(attrs.asdict(analysis)), instruction=command.instruction)
        return NodeResult(command, (*changes, Change.append(HISTORY, message.chat, keep=HISTORY_KEEP)))


def open_turn(message: Envelope, ctx: NodeContext) -> Iterator[Change]:
    """Yield what a message changes before it is understood: a failed turn is closed, the new one begins, its user is known."""
    yield from close_failed_turn(ctx)
    yield from begin_turn(ctx)
    yield from _identity(message, ctx)


def _identity(message: Envelope, ctx: NodeContext) -> Iterator[Change]:
    """Yield who speaks and from where, as the caller says with each message (W22): no model does, and none changes it (W02)."""
    memory = ctx.state.get("memory")
    if memory is None:
        return
    if message.user_id in NOBODY:
        name, situation = "", f"anonymous on {message.channel}" if message.channel else "local session"
    else:
        name, situation = message.user_id, f"authenticated on {message.channel or 'unknown'}"
    for key, value in (("user_name", name), ("situation", situation)):
        if memory.get(key) != value:
            yield Change.set(f"/memory/{key}", value)
