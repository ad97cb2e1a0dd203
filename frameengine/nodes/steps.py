"""Carry the steps of a plan out, one after another; what cannot run is refused where everybody sees it (C90, W07)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from attrs import frozen

from frameengine.codec import dumps
from frameengine.effects import ToolCall
from frameengine.errors import ToolFailed
from frameengine.jsonvalue import Json
from frameengine.messages import DirectorPlan, PlannedTool, ThoughtResult
from frameengine.node import NodeContext
from frameengine.nodes.shaping import SHAPING, Shape

STEPS_MAX: Final = 5
"""Steps of one plan."""
RESULT_CHARS: Final = 200
"""Characters of a tool's output in an event; the whole stands in the outcome."""


@frozen
class Failure:
    """A step whose tool failed."""

    step: PlannedTool
    message: str


def as_text(content: Json) -> str:
    """Return what a tool gave as text: a text as it is, anything else as JSON."""
    return content if isinstance(content, str) else dumps(content).decode()


async def call_tool(ctx: NodeContext, call: ToolCall, read: Callable[[Json], str] = as_text) -> tuple[str, bool]:
    """Run one tool and show it; return its output, as *read* turns it into text, and whether it failed.

    Where it failed the text tells the error.
    """
    ctx.emit("tool_call", tool=call.name, args=call.arguments)
    failed = False
    try:
        reply = await ctx.perform(call)
        output = read(reply.content if reply.message is None else reply.message.get("content"))
    except ToolFailed as error:
        output, failed = f"Error: {error.message}", True
    ctx.emit("tool_result", tool=call.name, output=output[:RESULT_CHARS])
    return output, failed


class Steps:
    """The steps of one plan: what they gave, what they shape, what failed."""

    def __init__(
        self, ctx: NodeContext, allowed: Sequence[str], known: Callable[[PlannedTool], str | None] | None = None
    ) -> None:
        """Take the names of the tools that may run, and what gives the output of a step that need not run again, or None."""
        self.sections: list[str] = []
        """What each step gave, or why it was refused."""
        self.results: list[tuple[PlannedTool, str]] = []
        """The steps whose tool ran now and did not fail, and what it gave."""
        self.failures: list[Failure] = []
        """The steps whose tool failed."""
        self._ctx = ctx
        self._allowed = allowed
        self._known = known
        self._shape = Shape()
        self._used = ""

    async def carry_out(self, plan: DirectorPlan) -> None:
        """Run up to `STEPS_MAX` steps in their order; each that cannot run, and those beyond, are refused."""
        for number, step in enumerate(plan.tool_sequence[:STEPS_MAX], start=1):
            reason = self._refusal(step)
            if reason:
                self._refuse(number, step.tool, reason)
            elif step.tool in SHAPING:
                self._take(number, step)
            else:
                await self._perform(number, step, as_table=plan.present_as == "table")
        left = len(plan.tool_sequence) - STEPS_MAX
        if left > 0:
            self._refuse(STEPS_MAX + 1, "", f"a plan has at most {STEPS_MAX} steps, and {left} more were planned")

    def thought(self, response: str, question: str) -> ThoughtResult:
        """Return all of it, nothing cut, with *response* as what to tell the user."""
        shape = self._shape
        return ThoughtResult(
            response=response,
            tool_used=self._used,
            tool_output="\n\n".join(self.sections),
            actions=tuple(shape.actions),
            state_updates=shape.state,
            display_items=tuple(shape.items),
            machine_ops=tuple(shape.machine_ops),
            question=question,
        )

    def _refusal(self, step: PlannedTool) -> str:
        if not step.tool:
            return "the step names no tool with its arguments"
        if step.tool not in self._allowed:
            return f"there is no tool {step.tool!r} here; there are {', '.join(self._allowed) or 'none'}"
        return ""

    def _refuse(self, number: int, tool: str, reason: str) -> None:
        self._ctx.emit("tool_refused", step=number, tool=tool, reason=reason)
        self.sections.append(f"[{number}] {tool or 'step'}\nRefused: {reason}")

    def _take(self, number: int, step: PlannedTool) -> None:
        """Take what a step says about the surface; it leaves the node in the thought, not as an effect."""
        problem = self._shape.take(step.tool, step.args)
        if problem:
            self._refuse(number, step.tool, problem)
        else:
            self._ctx.emit("tool_call", tool=step.tool, args=step.args)
            self._used = step.tool

    async def _perform(self, number: int, step: PlannedTool, *, as_table: bool) -> None:
        known = None if self._known is None else self._known(step)
        if known is None:
            output, failed = await call_tool(self._ctx, ToolCall(step.tool, step.args))
        else:
            output, failed = known, False
            self._ctx.emit("tool_cached", tool=step.tool, args=step.args)
        self._used = step.tool
        query = step.args.get("query")
        shown = query if isinstance(query, str) else dumps(step.args).decode()
        self.sections.append(f"[{number}] {step.tool}: {shown}\n{output}")
        if failed:
            self.failures.append(Failure(step, output))
            return
        if known is None:
            self.results.append((step, output))
        if as_table and isinstance(query, str):
            self._shape.table(output)
