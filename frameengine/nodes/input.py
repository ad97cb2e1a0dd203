"""Input: understand what was said, and answer nothing yet (C18)."""

from __future__ import annotations

from typing import ClassVar, Final

import attrs

from frameengine.jsonvalue import freeze
from frameengine.messages import Command, Envelope
from frameengine.node import NodeContext, NodeResult
from frameengine.nodes.context import HISTORY, history, model_call, note_problems, system_prompt
from frameengine.nodes.parsing import parse_analysis
from frameengine.state import HISTORY_KEEP, Change

PROMPT: Final = "input_v2"
LAST: Final = 8
"""Messages of the history that are read, the new one included (C15)."""
BUDGET: Final = 2_000
"""Tokens."""


class StructuredInput:
    """Classify a message into the seven fields of an `InputAnalysis`, and add it to the history."""

    slot: ClassVar[str] = "input"
    contract: ClassVar[str] = "InputAnalysis"

    def __init__(self, prompt: str | None = None) -> None:
        """Read the prompt, or take *prompt* instead."""
        self._system = system_prompt(PROMPT, prompt)

    async def run(self, message: Envelope, ctx: NodeContext) -> NodeResult:
        """Make one model call; a reply that cannot be read counts as a simple request, which the Director looks at."""
        ctx.emit("thinking", detail="reading the message")
        said = message.chat
        reply = await ctx.perform(model_call(ctx, (self._system, *history(ctx, LAST - 1), said), budget=BUDGET))
        parsed = parse_analysis(reply.text)
        note_problems(ctx, parsed.problems)
        command = Command(analysis=parsed.value, source_text=message.text)
        ctx.emit("perceived", analysis=freeze(attrs.asdict(parsed.value)), instruction=command.instruction)
        return NodeResult(command, (Change.append(HISTORY, said, keep=HISTORY_KEEP),))
