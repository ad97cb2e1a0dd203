"""Input of v1: say in one sentence what was perceived, and answer nothing yet (C17)."""

from __future__ import annotations

from typing import ClassVar, Final

from frameengine.jsonvalue import frozen_map
from frameengine.messages import Command, Envelope, InputAnalysis
from frameengine.node import NodeContext, NodeResult
from frameengine.nodes.context import HISTORY, history, model_call, read_reply, system_prompt
from frameengine.nodes.context_block import context_block
from frameengine.nodes.input import open_turn
from frameengine.nodes.reply import TEXT_CHARS_MAX, Parsed
from frameengine.state import HISTORY_KEEP, Change

PROMPT: Final = "input_v1"
LAST: Final = 8
"""Messages of the history that are read, the new one included (C15)."""
BUDGET: Final = 2_000
"""Tokens."""


class FreeInput:
    """Turn a message into a `Command` whose instruction is the model's own sentence."""

    slot: ClassVar[str] = "input"
    contract: ClassVar[str] = "perception"

    def __init__(self, prompt: str | None = None) -> None:
        """Read the prompt, or take *prompt* instead."""
        self._system = system_prompt(PROMPT, prompt)

    async def run(self, message: Envelope, ctx: NodeContext) -> NodeResult:
        """Make one model call; where the reply has no text, nothing is perceived, and the words speak for themselves."""
        ctx.emit("thinking", detail="reading the message")
        changes = tuple(open_turn(message, ctx))
        asked = (self._system, *history(ctx, LAST - 1), *context_block(ctx, changes), message.chat)
        perceived = await read_reply(ctx, model_call(ctx, asked, budget=BUDGET), _sentence)
        command = Command(
            analysis=InputAnalysis(who=message.user_id),
            source_text=message.text,
            metadata=frozen_map({"perception": perceived} if perceived else {}),
        )
        ctx.emit("perceived", instruction=command.instruction)
        return NodeResult(command, (*changes, Change.append(HISTORY, message.chat, keep=HISTORY_KEEP)))


def _sentence(text: str) -> Parsed[str]:
    said = " ".join(text.split())[:TEXT_CHARS_MAX]
    return Parsed(said, () if said else ("the reply has no text",))
