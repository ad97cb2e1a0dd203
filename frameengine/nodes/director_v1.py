"""Director of v1: watch the conversation after each exchange, and plan only where a message asks for it (C22)."""

from __future__ import annotations

from typing import ClassVar, Final

from attrs import asdict, evolve

from frameengine.codec import dumps
from frameengine.jsonvalue import EMPTY, freeze
from frameengine.messages import Command, Remembered
from frameengine.node import NodeContext, NodeResult
from frameengine.nodes.context import chat, history, model_call, read_reply, system_prompt, untrusted
from frameengine.nodes.context_block import context_block
from frameengine.nodes.parsing import parse_plan
from frameengine.nodes.reply import Fields, Parsed
from frameengine.state import Change

PLAN_PROMPT: Final = "director_v1_plan"
WATCH_PROMPT: Final = "director_v1_watch"
LAST: Final = 10
"""Messages of the history that are read."""
BUDGET: Final = 4_000
"""Tokens."""
LINE: Final = "/director/line"
"""Where the line stands that every node reads in its context."""
LINE_CHARS_MAX: Final = 300
"""Characters of it."""


class WatchingDirector:
    """Keep one line about where the conversation is going; on demand, plan a message for the Thinker.

    Planning takes the node's own model, watching the smaller one of ``config.watch_model``. A plan is a message and no state, so
    it is gone with the turn it was made for.
    """

    slot: ClassVar[str] = "director"
    contract: ClassVar[str] = "DirectorPlan"

    def __init__(self, plan: str | None = None, watch: str | None = None) -> None:
        """Read the prompts, or take these texts instead."""
        self._plan_prompt = system_prompt(PLAN_PROMPT, plan)
        self._watch_prompt = system_prompt(WATCH_PROMPT, watch)

    async def run(self, message: Command | Remembered, ctx: NodeContext) -> NodeResult:
        """Plan a command; look back where the memory is up to date."""
        return await (self._plan(message, ctx) if isinstance(message, Command) else self._watch(ctx))

    async def _plan(self, command: Command, ctx: NodeContext) -> NodeResult:
        ctx.emit("thinking", detail="planning")
        task = untrusted("task", dumps(freeze({"source_text": command.source_text, **asdict(command.analysis)})).decode())
        asked = (self._plan_prompt, *history(ctx, LAST), *context_block(ctx), chat("user", task))
        plan = await read_reply(ctx, model_call(ctx, asked, budget=BUDGET), lambda text: parse_plan(text, command))
        ctx.emit("planned", tools=len(plan.tool_sequence), hint=plan.response_hint[:80])
        return NodeResult(plan)

    async def _watch(self, ctx: NodeContext) -> NodeResult:
        """Make one model call; a reply that cannot be read leaves the line as it is."""
        ctx.emit("thinking", detail="watching the conversation")
        before = ctx.state.get("director", EMPTY).get("line", "")
        asked = (self._watch_prompt, *history(ctx, LAST), chat("user", untrusted("line", before)))
        call = model_call(ctx, asked, budget=BUDGET)
        model = ctx.config.config.get("watch_model", call.model)
        line = await read_reply(ctx, evolve(call, model=model), _line) or before
        ctx.emit("watched", line=line)
        return NodeResult(changes=() if line == before else (Change.set(LINE, line),))


def _line(text: str) -> Parsed[str]:
    fields = Fields.of(text)
    if not fields.absent:
        fields.require("line")
    return Parsed(" ".join(fields.text("line").split())[:LINE_CHARS_MAX], fields.problems)
