"""Thinker: carry a plan out, step by step, and think up nothing of its own (C21)."""

from __future__ import annotations

from typing import ClassVar

from frameengine.messages import DirectorPlan
from frameengine.node import NodeContext, NodeResult
from frameengine.nodes.schemas import Schemas, look_of
from frameengine.nodes.steps import Steps


class PlanExecutor:
    """Run the tools of a plan in their order.

    Only tools that the graph names (``config.tools``) run. A step that is none, or names another tool, is refused where
    everybody sees it: in an event and in the output that the next node reads. A tool that fails is output as well: its error.
    What a look at a schema gave is remembered, and no look is repeated.
    """

    slot: ClassVar[str] = "thinker"
    contract: ClassVar[str] = "tool"

    async def run(self, message: DirectorPlan, ctx: NodeContext) -> NodeResult:
        """Carry the steps out; no model is asked."""
        ctx.emit("thinking", detail=message.goal)
        schemas = Schemas(ctx)
        steps = Steps(ctx, ctx.config.config.get("tools", ()), schemas.of)
        await steps.carry_out(message)
        for step, output in steps.results:
            if (look := look_of(step)) is not None:
                schemas.remember(look, output)
        question = message.goal if message.command is None else message.command.source_text
        thought = steps.thought(message.response_hint, question)
        ctx.emit("decided", instruction=thought.response[:200] if message.tool_sequence else "no tools used")
        return NodeResult(thought, schemas.changes)
