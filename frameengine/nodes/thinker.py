"""Thinker: carry a plan out, step by step, and think up nothing of its own (C21)."""

from __future__ import annotations

from typing import ClassVar, Final

from frameengine.codec import dumps
from frameengine.effects import ToolCall
from frameengine.errors import ToolFailed
from frameengine.jsonvalue import EMPTY, FrozenMap, Json
from frameengine.messages import DirectorPlan, PlannedTool, ThoughtResult
from frameengine.node import NodeContext, NodeResult
from frameengine.nodes.shaping import SHAPING, Shape
from frameengine.state import Change

STEPS_MAX: Final = 5
"""Steps of one plan."""
DATABASE_TOOL: Final = "query_db"
CACHED_MAX: Final = 50
"""Schemas that are remembered for the conversation."""
CACHED_CHARS_MAX: Final = 4_000
"""Length of a schema that is remembered."""
_LOOKS_AT_SCHEMA: Final = ("DESCRIBE", "DESC", "SHOW")


class PlanExecutor:
    """Run the tools of a plan in their order.

    Only tools that the graph names (``config.tools``) run. A step that is none, or names another tool, is refused where
    everybody sees it: in an event and in the output that the next node reads. A tool that fails is output as well: its error.
    """

    slot: ClassVar[str] = "thinker"
    contract: ClassVar[str] = "tool"

    async def run(self, message: DirectorPlan, ctx: NodeContext) -> NodeResult:
        """Carry out up to `STEPS_MAX` steps; no model is asked."""
        ctx.emit("thinking", detail=message.goal)
        work = _Work(message, ctx)
        for number, step in enumerate(message.tool_sequence[:STEPS_MAX], start=1):
            reason = work.refusal(step)
            if reason:
                work.refuse(number, step.tool, reason)
            elif step.tool in SHAPING:
                work.shape_with(number, step)
            else:
                await work.perform(number, step)
        left = len(message.tool_sequence) - STEPS_MAX
        if left > 0:
            work.refuse(STEPS_MAX + 1, "", f"a plan has at most {STEPS_MAX} steps, and {left} more were planned")
        thought = work.thought()
        ctx.emit("decided", instruction=thought.response[:200] if message.tool_sequence else "no tools used")
        return NodeResult(thought, work.changes)


class _Work:
    """A plan being carried out."""

    def __init__(self, plan: DirectorPlan, ctx: NodeContext) -> None:
        self.changes: list[Change] = []
        self._plan = plan
        self._ctx = ctx
        self._allowed: tuple[Json, ...] = ctx.config.config.get("tools", ())
        self._known: FrozenMap = ctx.state.get("caches", EMPTY).get("schema", EMPTY)
        self._sections: list[str] = []
        self._shape = Shape()
        self._used = ""

    def refusal(self, step: PlannedTool) -> str:
        """Return why a step does not run; empty where it does."""
        if not step.tool:
            return "the step names no tool with its arguments"
        if step.tool not in self._allowed:
            return f"there is no tool {step.tool!r} here; there are {', '.join(self._allowed) or 'none'}"
        return ""

    def refuse(self, number: int, tool: str, reason: str) -> None:
        self._ctx.emit("tool_refused", step=number, tool=tool, reason=reason)
        self._sections.append(f"[{number}] {tool or 'step'}\nRefused: {reason}")

    def shape_with(self, number: int, step: PlannedTool) -> None:
        """Take what a step says about the surface; it leaves the node in the result, not as an effect."""
        problem = self._shape.take(step.tool, step.args)
        if problem:
            self.refuse(number, step.tool, problem)
        else:
            self._ctx.emit("tool_call", tool=step.tool, args=step.args)
            self._used = step.tool

    async def perform(self, number: int, step: PlannedTool) -> None:
        """Run one tool, or take a schema that this conversation has looked up already."""
        ctx = self._ctx
        key = _schema_key(step)
        known = self._known.get(key) if key else None
        if known is None:
            ctx.emit("tool_call", tool=step.tool, args=step.args)
            try:
                reply = await ctx.perform(ToolCall(step.tool, step.args))
                content = reply.content if reply.message is None else reply.message.get("content")
                output, failed = content if isinstance(content, str) else dumps(content).decode(), False
            except ToolFailed as error:
                output, failed = f"Error: {error.message}", True
            ctx.emit("tool_result", tool=step.tool, output=output[:200])
        else:
            output, failed = known, False
            ctx.emit("tool_cached", tool=step.tool, args=step.args)
        self._used = step.tool
        self._sections.append(f"[{number}] {_shown(step)}\n{output}")
        if failed:
            return
        if key and known is None and len(output) <= CACHED_CHARS_MAX and len(self._known) < CACHED_MAX:
            self.changes.append(Change.set(f"/caches/schema/{key.replace('~', '~0').replace('/', '~1')}", output))
        elif self._plan.present_as == "table" and step.tool == DATABASE_TOOL and not key:
            self._shape.table(output)

    def thought(self) -> ThoughtResult:
        plan, shape = self._plan, self._shape
        return ThoughtResult(
            response=plan.response_hint,
            tool_used=self._used,
            tool_output="\n\n".join(self._sections),
            actions=tuple(shape.actions),
            state_updates=shape.state,
            display_items=tuple(shape.items),
            question=plan.command.source_text if plan.command is not None else plan.goal,
        )


def _schema_key(step: PlannedTool) -> str:
    """Return the name under which a look at the schema is remembered; empty for any other step."""
    query, database = step.args.get("query"), step.args.get("database")
    if step.tool != DATABASE_TOOL or not isinstance(query, str) or not isinstance(database, str):
        return ""
    words = query.rstrip("; \n").split()
    if len(words) != 2 or words[0].upper() not in _LOOKS_AT_SCHEMA:
        return ""
    return f"{database}: {'DESCRIBE' if words[0].upper() == 'DESC' else words[0].upper()} {words[1]}"


def _shown(step: PlannedTool) -> str:
    query = step.args.get("query")
    return f"{step.tool}: {query if isinstance(query, str) else dumps(step.args).decode()}"
