"""Interpreter: say what tool output says, and no more (C24)."""

from __future__ import annotations

from typing import ClassVar, Final

from attrs import evolve

from frameengine.messages import InterpretedResult, ThoughtResult
from frameengine.node import NodeContext, NodeResult
from frameengine.nodes.context import chat, model_call, read_reply, system_prompt, untrusted
from frameengine.nodes.cut import cut
from frameengine.nodes.parsing import parse_interpreted

PROMPT: Final = "interpreter_v1"
BUDGET: Final = 2_000
"""Tokens."""
OUTPUT_CHARS: Final = 1_500
"""Characters of tool output that are read, unless the graph says otherwise (``config.output_chars``)."""


class Interpreter:
    """Turn tool output into checked facts, and hand the thought on with them as its response."""

    slot: ClassVar[str] = "interpreter"
    contract: ClassVar[str] = "InterpretedResult"

    def __init__(self, prompt: str | None = None) -> None:
        """Read the prompt, or take *prompt* instead."""
        self._system = system_prompt(PROMPT, prompt)

    async def run(self, message: ThoughtResult, ctx: NodeContext) -> NodeResult:
        """Make one model call; a reply that cannot be read becomes the statement that there is no summary."""
        ctx.emit("thinking", detail=f"reading what {message.tool_used or 'the plan'} gave")
        output = cut(message.tool_output, ctx.config.config.get("output_chars", OUTPUT_CHARS))
        asked = chat("user", f"{untrusted('question', message.question)}\n\n{untrusted('tool_output', output)}")
        result = await read_reply(ctx, model_call(ctx, (self._system, asked), budget=BUDGET), parse_interpreted)
        ctx.emit("interpreted", summary=result.summary[:200], row_count=result.row_count, confidence=result.confidence)
        return NodeResult(evolve(message, response=_findings(result)))


def _findings(result: InterpretedResult) -> str:
    facts = [f"- {fact}" for fact in result.key_facts]
    doubt = [] if result.confidence == "high" else [f"(confidence: {result.confidence})"]
    return "\n".join([result.summary, *facts, *doubt])
