"""One node run to its end, by itself: what it asks, what it shows, what it hands on, what it changes."""

from __future__ import annotations

from typing import Any

from frameengine.effects import EffectFailure, EffectKey, ModelCall, ModelReply, Outcome, ToolCall, ToolReply, text_of
from frameengine.engine.guard import Guard
from frameengine.graph.model import NodeSpec
from frameengine.jsonvalue import EMPTY, freeze, thaw
from frameengine.node import NodeContext, NodeResult
from frameengine.state import RunState


class Driven:
    """A node that was run to its end, under the guard."""

    def __init__(self, node: Any, spec: NodeSpec, message: Any, *replies: Any, state: Any = EMPTY, now: int = 0) -> None:
        """Run *node* as *spec* of a graph; *replies* are texts, chat messages, tool results, failures or outcomes."""
        self.context = NodeContext(EffectKey(1, 1, spec.name, 0), freeze(state), config=spec, now=now)
        self.effects: list[Any] = []
        guard = Guard("full")
        guard.watch(type(node))
        waiting = list(replies)
        coroutine = node.run(message, self.context)
        outcomes: Any = None
        guard.enter(spec.name, 1)
        try:
            while True:
                performing = coroutine.send(outcomes)
                self.effects += [call.effect for call in performing.calls]
                outcomes = tuple([_outcome(call.effect, waiting.pop(0)) for call in performing.calls])
        except StopIteration as end:
            result: NodeResult = end.value
        finally:
            refusal = guard.leave()
        assert refusal is None, refusal
        assert not waiting, f"{len(waiting)} replies were not asked for"
        self.message = result.message
        self.changes = result.changes
        self.after = thaw(RunState(freeze(state)).apply(result.changes).sections)

    def events(self) -> list[str]:
        """Return the names of the emissions, in order."""
        return [emission.event for emission in self.context.joined_emissions()]

    def event(self, name: str) -> dict[str, Any]:
        """Return the data of the only emission of that name."""
        (found,) = [emission.data for emission in self.context.joined_emissions() if emission.event == name]
        data: dict[str, Any] = thaw(found)
        return data

    def calls(self) -> list[ModelCall]:
        """Return the model calls, in order."""
        return [effect for effect in self.effects if isinstance(effect, ModelCall)]

    def asked(self, number: int = 0) -> list[str]:
        """Return the messages of one model call as ``role: text``."""
        return [f"{message['role']}: {text_of(message)}" for message in self.calls()[number].messages]


def failure(message: str, kind: str = "test.failed") -> Outcome:
    """Return the outcome of an effect that failed."""
    return Outcome(status="error", error=EffectFailure(type=kind, message=message))


def _outcome(effect: Any, reply: Any) -> Outcome:
    if isinstance(reply, Outcome):
        return reply
    if isinstance(effect, ToolCall):
        return Outcome(value=ToolReply(content=reply))
    message = {"role": "assistant", "content": reply} if isinstance(reply, str) else reply
    return Outcome(value=ModelReply(message=freeze(message)))
