"""Output: the one voice that the user hears (C26)."""

from __future__ import annotations

from typing import ClassVar, Final

from frameengine.jsonvalue import FrozenMap
from frameengine.messages import Answer, Command, ThoughtResult
from frameengine.node import NodeContext, NodeResult
from frameengine.nodes.context import HISTORY, chat, history, model_call, note_problems, system_prompt, untrusted
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
    reflex path): the conversation alone is the request, and nobody's words are taken for a finding.
    """

    slot: ClassVar[str] = "output"
    contract: ClassVar[str] = "text"

    def __init__(self, prompt: str | None = None) -> None:
        """Read the prompt, or take *prompt* instead."""
        self._system = system_prompt(PROMPT, prompt)

    async def run(self, message: ThoughtResult | Command, ctx: NodeContext) -> NodeResult:
        """Make one model call and say what it replied."""
        ctx.emit("streaming")
        findings = _findings(message) if isinstance(message, ThoughtResult) else ()
        reply = await ctx.perform(model_call(ctx, (self._system, *history(ctx, LAST), *findings), budget=BUDGET, show=True))
        text = reply.text.strip()
        if not text:
            note_problems(ctx, ("the reply has no text",))
            text = NOTHING_SAID
        ctx.say(text)
        ctx.emit("done")
        return NodeResult(Answer(text=text), (Change.append(HISTORY, chat("assistant", text), keep=HISTORY_KEEP),))


def _findings(thought: ThoughtResult) -> tuple[FrozenMap, ...]:
    return (chat("user", untrusted("findings", thought.response)),)
