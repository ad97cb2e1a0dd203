"""A conversation with a shipped graph whose models and tools are scripts: what was asked, shown and left behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from frameengine.effects import Answer, Call, EffectFailure, ModelCall, Outcome, text_of
from frameengine.engine.driver import Run, virtual_at
from frameengine.engine.message import Engine
from frameengine.engine.stops import Ask
from frameengine.graph.loader import load_graph
from frameengine.graph.registry import BoundGraph, bind
from frameengine.inputs import Body, UserMessage
from frameengine.jsonvalue import thaw
from frameengine.performers.scripted import Script
from frameengine.records import FrameTrace
from toy import Kept

FAILED = "FAILED"
"""A reply that stands for a call that fails."""


@cache
def shipped(graph: str) -> BoundGraph:
    """Return a shipped graph with its nodes."""
    return bind(load_graph(graph))


class Models:
    """A performer whose models and tools are scripts, and which keeps what was asked; `FAILED` is a call that fails."""

    def __init__(self, model: Mapping[str, Sequence[Any]], tool: Mapping[str, Sequence[Any]] | None = None) -> None:
        self.scripts = {"model": Script(model), "tool": Script(tool or {})}
        self.calls: list[Call] = []

    def perform(self, ask: Ask) -> list[Answer]:
        """Answer all new effects."""
        self.calls += ask.new
        return [Answer(call.key, self._outcome(call)) for call in ask.new]

    def _outcome(self, call: Call) -> Outcome:
        outcome = self.scripts[call.effect.kind](call)
        if getattr(outcome.value, "text", None) == FAILED:
            error = EffectFailure(type="effect.model", message="the model is overloaded")
            return Outcome(status="error", error=error, at=virtual_at(call.key))
        return outcome

    def requests(self, node: str) -> list[list[str]]:
        """Return the messages of each request of a node as ``role: text``."""
        return [
            [f"{message['role']}: {text_of(message)}" for message in call.effect.messages]
            for call in self.calls
            if call.key.node == node and isinstance(call.effect, ModelCall)
        ]


class Talk:
    """A conversation with a graph, recorded in memory."""

    def __init__(
        self, graph: str, model: Mapping[str, Sequence[Any]], tool: Mapping[str, Sequence[Any]] | None = None, **engine: Any
    ) -> None:
        """Begin one; *engine*: what its engine is made with, beside the graph."""
        self.models = Models(model, tool)
        self.kept = Kept()
        self.run = Run(Engine(shipped(graph), **engine), self.models, self.kept)

    def send(self, *bodies: Body | str) -> list[FrameTrace]:
        """Send inputs one after another; a text is a user's message."""
        return [self.run.send(UserMessage.of(body) if isinstance(body, str) else body) for body in bodies]

    @property
    def state(self) -> dict[str, Any]:
        """The state as it stands."""
        state: dict[str, Any] = thaw(self.run.engine.state.sections)
        return state

    def emitted(self, event: str) -> list[tuple[str, Any]]:
        """Return node and data of each emission of that name."""
        return [
            (record.node, emission.data)
            for frame in self.kept.frames
            for record in frame.records
            for emission in record.emissions
            if emission.event == event
        ]

    def nodes(self) -> list[list[str]]:
        """Return the nodes of each frame."""
        return [[record.node for record in frame.records] for frame in self.kept.frames]
