"""A desk that answers questions about a database. One of its three nodes has a bug."""

import json
from typing import Any

from attrs import frozen

from frameengine.effects import ModelCall, ToolCall
from frameengine.messages import Envelope
from frameengine.node import NodeContext, NodeResult
from frameengine.state import Change

PROMPT = """You plan one query for each question about the customers of a heating-cost firm.
Table: customers (id, name, kind, city, since). Reply with JSON: goal (what the figure is), query (SQLite)."""


@frozen
class Work:
    """There is a question to work on; the plan for it stands in the state."""

    question: str


@frozen
class Found:
    """What the database said: a line of headings, and a figure."""

    rows: str


class Director:
    """Ask a model for a plan, and keep it in the state."""

    async def run(self, message: Envelope, ctx: NodeContext) -> NodeResult:
        """Make one model call."""
        asked = [*ctx.state["questions"], message.text]
        said = [{"role": "user", "content": text} for text in asked]
        call = ModelCall(model=ctx.config.model, messages=[{"role": "system", "content": PROMPT}, *said])
        reply = await ctx.perform(call)
        changes = [Change.append("/questions", message.text)]
        plan = read_plan(reply.text)
        if plan is not None:
            changes.append(Change.set("/plan", plan))
        return NodeResult(Work(message.text), changes)


def read_plan(text: str) -> dict[str, Any] | None:
    """Return the plan in a reply, whatever stands around it; None where there is none."""
    start, end = text.find("{"), text.find("}")
    try:
        plan = json.loads(text[start : end + 1])
    except ValueError:
        return None
    return plan if isinstance(plan, dict) and "query" in plan else None


class Thinker:
    """Run the query of the plan."""

    async def run(self, message: Work, ctx: NodeContext) -> NodeResult:
        """Make one tool call; no model is asked."""
        found = await ctx.perform(ToolCall("query_db", {"query": ctx.state["plan"]["query"], "database": "billing"}))
        return NodeResult(Found(found.content))


class Output:
    """Say the figure."""

    async def run(self, message: Found, ctx: NodeContext) -> NodeResult:
        """Show one sentence."""
        ctx.say(f"There are {message.rows.split()[-1]}.")
        return NodeResult()
