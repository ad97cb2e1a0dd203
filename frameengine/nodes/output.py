"""Output: the one voice that the user hears (C26)."""

from __future__ import annotations

from typing import ClassVar, Final

from frameengine.jsonvalue import FrozenMap
from frameengine.messages import Answer, Command, ThoughtResult
from frameengine.node import NodeContext, NodeResult
from frameengine.nodes.context import HISTORY, chat, history, model_call, note_problems, system_prompt, untrusted
from frameengine.nodes.context_block import context_block
from frameengine.nodes.reply import prose
from frameengine.state import HISTORY_KEEP, Change

PROMPT: Final = "output_v1"
LAST: Final = 20
"""Messages of the history that are read (C15)."""
BUDGET: Final = 4_000
"""Tokens."""
NOTHING_SAID: Final = "I could not put an answer into words. Please ask again."
"""What the user reads where the model's reply has no text."""


class Output:
    """Word the answer, show it, and add it to the history.

    A thought brings findings to be put into words. A `Command` is the user's own message, come straight from the Input (the
    reflex path): the conversation alone is the request, and nobody's words are taken for a finding (W09).

    A model call that fails ends the message as failed: there is no answer then, and no text of an error may pass for one (W26).
    """

    slot: ClassVar[str] = "output"
    contract: ClassVar[str] = "text"

    def __init__(self, prompt: str | None = None) -> None:
        """Read the prompt, or take *prompt* instead."""
        self._system = system_prompt(PROMPT, prompt)

    async def run(self, message: ThoughtResult | Command, ctx: NodeContext) -> NodeResult:
        """Make one model call and say what it replied."""
        if isinstance(message, Command):
            ctx.emit("reflex_path", detail=f"{message.analysis.intent}/{message.analysis.complexity}")
        ctx.emit("streaming")
        asked = (self._system, *_conversation(message, ctx))
        reply = await ctx.perform(model_call(ctx, asked, budget=BUDGET, show=True))
        said = prose(reply.text)
        note_problems(ctx, said.problems)
        text = said.value or NOTHING_SAID
        ctx.say(text)
        ctx.emit("done")
        return NodeResult(Answer(text=text), (Change.append(HISTORY, chat("assistant", text), keep=HISTORY_KEEP),))


def _conversation(message: ThoughtResult | Command, ctx: NodeContext) -> tuple[FrozenMap, ...]:
    """Return the conversation with the context before its last message: findings, or what the user said."""
    past, block = history(ctx, LAST), context_block(ctx)
    if isinstance(message, ThoughtResult):
        return (*past, *block, chat("user", untrusted("findings", message.response)))
    return (*past[:-1], *block, *past[-1:])
