"""One HTTP request of somebody else's agent: what it asked for is asked for again, and what came back is on record."""

from __future__ import annotations

from typing import ClassVar

from frameengine.effects import ToolCall
from frameengine.inputs import Webhook
from frameengine.node import NodeContext, NodeResult


class HttpExchange:
    """Perform the request that came in."""

    slot: ClassVar[str] = "exchange"
    contract: ClassVar[str] = "http"

    async def run(self, message: Webhook, ctx: NodeContext) -> NodeResult:
        """Perform one request. That no answer came is a fact about the agent's world, and no failure of this node."""
        await ctx.perform_all([ToolCall(message.source, message.payload)], keep_failures=True)
        return NodeResult()
