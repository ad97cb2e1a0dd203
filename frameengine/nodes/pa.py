"""PA: the personal assistant that answers by itself or gives the message to an expert, as a job complete in itself (C30)."""

from __future__ import annotations

from functools import partial
from typing import ClassVar, Final

import attrs

from frameengine.codec import dumps
from frameengine.jsonvalue import FrozenMap, freeze
from frameengine.messages import Command, ExpertFailed, ThoughtResult
from frameengine.node import NodeContext, NodeResult
from frameengine.nodes.context import chat, history, model_call, read_reply, system_prompt, untrusted
from frameengine.nodes.context_block import context_block
from frameengine.nodes.cut import cut
from frameengine.nodes.parsing import NO_EXPERT, parse_routing

PROMPT: Final = "pa_v1"
LAST: Final = 12
"""Messages of the history that are read."""
BUDGET: Final = 4_000
"""Tokens."""
PROBLEM_CHARS: Final = 2_000
"""Characters that are read of what an expert says of its failure."""
PROGRESS: Final = "thinking"
"""The stream of what the user reads while an expert works; the answer is another."""


class PersonalAssistant:
    """Route a message with one model call: the only node of its graph that knows the conversation and its circumstances.

    The experts stand in the graph (``config.experts``: name, description). For one of them the `PARouting` goes on, and the user
    reads at once that somebody is at work. Without one the hint is the thought, as if an expert had had it.
    """

    slot: ClassVar[str] = "pa"
    contract: ClassVar[str] = "PARouting"

    def __init__(self) -> None:
        """Read the prompt."""
        self._system = system_prompt(PROMPT)

    async def run(self, message: Command | ExpertFailed, ctx: NodeContext) -> NodeResult:
        """Make one model call; a reply that cannot be read goes to no expert, and the answer says so."""
        failed = isinstance(message, ExpertFailed)
        ctx.emit("thinking", detail="rewording the job" if failed else "choosing who answers")
        said = message.job if isinstance(message, ExpertFailed) else message.source_text
        asked = (self._system, _experts(ctx), *history(ctx, LAST), *context_block(ctx), _task(message))
        parse = partial(parse_routing, said=said, experts=[expert["name"] for expert in _listed(ctx)])
        routing = await read_reply(ctx, model_call(ctx, asked, budget=BUDGET), parse)
        job, hint = routing.job[:80], routing.response_hint[:80]
        ctx.emit("routed", expert=routing.expert, language=routing.language, job=job, hint=hint)
        if routing.expert == NO_EXPERT:
            return NodeResult(ThoughtResult(response=routing.response_hint, question=said))
        if routing.thinking_message:
            ctx.say(routing.thinking_message, stream=PROGRESS)
        return NodeResult(attrs.evolve(routing, attempt=2) if failed else routing)


def _listed(ctx: NodeContext) -> tuple[FrozenMap, ...]:
    experts: tuple[FrozenMap, ...] = ctx.config.config.get("experts", ())
    return experts


def _experts(ctx: NodeContext) -> FrozenMap:
    lines = [f"- {expert['name']}: {expert.get('description', '')}" for expert in _listed(ctx)]
    return chat("system", "\n".join(["Experts:", *lines, f"- {NO_EXPERT}: nobody; you answer"]))


def _task(message: Command | ExpertFailed) -> FrozenMap:
    if isinstance(message, ExpertFailed):
        return chat("user", f"{untrusted('job', message.job)}\n\n{untrusted('failed', cut(message.problem, PROBLEM_CHARS))}")
    said = {"source_text": message.source_text, **attrs.asdict(message.analysis)}
    return chat("user", untrusted("task", dumps(freeze(said)).decode()))
