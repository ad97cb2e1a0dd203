"""The five-node pipeline that every benchmark runs: five frames, four model calls, a full window of forty messages."""

from __future__ import annotations

from collections.abc import Iterable

from frameengine.effects import Answer, ModelCall, ModelReply, Outcome
from frameengine.engine.driver import virtual_at
from frameengine.engine.stops import Ask
from frameengine.graph.loader import parse_graph
from frameengine.graph.registry import BoundGraph, bind
from frameengine.jsonvalue import FrozenMap, freeze
from frameengine.messages import Answer as Said
from frameengine.messages import Command, DirectorPlan, Envelope, InputAnalysis, InterpretedResult, ThoughtResult
from frameengine.node import NodeContext, NodeResult
from frameengine.state import HISTORY_KEEP, Change

NODES = ("input", "director", "thinker", "interpreter", "output")
CALLING = ("input", "director", "interpreter", "output")
MESSAGE_CHARS = 300
SYSTEM = {
    node: freeze({"role": "system", "content": f"You are the {node}. " + "Do your part, and no other. " * 8}) for node in CALLING
}

GRAPH = "\n".join(
    [
        'name = "pipeline"',
        "version = 1",
        'description = "five nodes in a row"',
        '[entry]\nUserMessage = "input"',
        *[f'[[nodes]]\nname = "{name}"\nimplementation = "benchmarks.pipeline:{name.capitalize()}"' for name in NODES],
        *[
            f'[[edges]]\nfrom = "{one}"\nto = "{other}"\ncarries = "{carries}"'
            for one, other, carries in zip(
                NODES, NODES[1:], ("Command", "DirectorPlan", "ThoughtResult", "InterpretedResult"), strict=False
            )
        ],
        '[[paths]]\nlabel = "all"\nwhen = "frames == 5"',
        "[state]\nhistory = []",
    ]
)


def pipeline() -> BoundGraph:
    """Return the graph with its code."""
    return bind(parse_graph(GRAPH, "benchmarks/pipeline.py"))


def padded(text: str) -> str:
    """Return *text* filled up to `MESSAGE_CHARS` characters."""
    return (text + " " + "abcdefghij" * 40)[:MESSAGE_CHARS]


async def _ask(ctx: NodeContext, *more: FrozenMap) -> ModelReply:
    return await ctx.perform(ModelCall(model="stub", messages=(SYSTEM[ctx.node], *ctx.state["history"], *more)))


class Input:
    """Understand the message."""

    async def run(self, message: Envelope, ctx: NodeContext) -> NodeResult:
        """Make one call and put the message into the history."""
        reply = await _ask(ctx, message.chat)
        command = Command(analysis=InputAnalysis(topic=reply.text[:20]), source_text=message.text)
        return NodeResult(command, [Change.append("/history", message.chat, keep=HISTORY_KEEP)])


class Director:
    """Decide what is to be done."""

    async def run(self, message: Command, ctx: NodeContext) -> NodeResult:
        """Make one call."""
        reply = await _ask(ctx)
        return NodeResult(DirectorPlan(goal=reply.text, steps=("look", "tell")))


class Thinker:
    """Do it; no model."""

    async def run(self, message: DirectorPlan, ctx: NodeContext) -> NodeResult:
        """Pass the goal on."""
        return NodeResult(ThoughtResult(response=message.goal))


class Interpreter:
    """Check it."""

    async def run(self, message: ThoughtResult, ctx: NodeContext) -> NodeResult:
        """Make one call."""
        reply = await _ask(ctx)
        return NodeResult(InterpretedResult(summary=reply.text))


class Output:
    """Say it."""

    async def run(self, message: InterpretedResult, ctx: NodeContext) -> NodeResult:
        """Make one call and put the answer into the history."""
        reply = await _ask(ctx)
        ctx.say(reply.text)
        return NodeResult(Said(text=reply.text), [Change.append("/history", reply.message, keep=HISTORY_KEEP)])


class Stub:
    """A model that answers at once, each answer new."""

    def __init__(self) -> None:
        self.calls = 0

    def perform(self, ask: Ask) -> Iterable[Answer]:
        """Answer every new call."""
        answers = []
        for call in ask.new:
            self.calls += 1
            reply = ModelReply(message=freeze({"role": "assistant", "content": padded(f"answer {self.calls}")}))
            answers.append(Answer(call.key, Outcome(value=reply, at=virtual_at(call.key))))
        return answers
