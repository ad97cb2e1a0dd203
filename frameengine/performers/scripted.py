"""Answers written beforehand, by node and call index (C177)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from frameengine.effects import Answer, Call, ModelReply, Outcome, ToolReply
from frameengine.engine.driver import virtual_at
from frameengine.engine.stops import Ask
from frameengine.errors import CassetteMiss, CassetteUnused
from frameengine.jsonvalue import freeze


class Script:
    """Answers of one kind of effect: for each node a list, used in the order in which the node asks."""

    def __init__(self, answers: Mapping[str, Sequence[Any]]) -> None:
        """*answers*: node name to a list of texts, chat messages, or (for tools) any JSON."""
        self._answers = {node: tuple(items) for node, items in answers.items()}
        self._used = dict.fromkeys(self._answers, 0)

    def __call__(self, call: Call) -> Outcome:
        """Return the next answer of the call's node. Raises `CassetteMiss` where there is none."""
        node = call.key.node
        index = self._used.get(node, 0)
        answers = self._answers.get(node, ())
        if index >= len(answers):
            raise CassetteMiss(
                f"the script has {len(answers)} answers for node {node!r}, and {call.key} asks for number {index + 1}",
                hint=f"add an answer under {node!r}",
                node=node,
                key=call.key.wire(),
            )
        self._used[node] = index + 1
        return Outcome(value=_reply(call, answers[index]), at=virtual_at(call.key))

    def unused(self) -> dict[str, int]:
        """Return how many answers of each node nobody asked for."""
        return {node: len(items) - self._used[node] for node, items in self._answers.items() if self._used[node] < len(items)}

    def check_used(self) -> None:
        """Raise `CassetteUnused` where an answer is left over."""
        left = self.unused()
        if left:
            listed = ", ".join(f"{count} of {node!r}" for node, count in left.items())
            raise CassetteUnused(f"scripted answers nobody asked for: {listed}", hint="remove them, or ask for them", unused=left)


def _reply(call: Call, answer: Any) -> ModelReply | ToolReply:
    if call.effect.kind == "tool":
        return ToolReply(content=answer)
    if isinstance(answer, str):
        return ModelReply(message=freeze({"role": "assistant", "content": answer}), model=call.effect.name)
    message = freeze(answer)
    return ModelReply(
        message=message, finish_reason="tool_calls" if message.get("tool_calls") else "stop", model=call.effect.name
    )


class Scripted:
    """A performer whose models and tools are scripts."""

    def __init__(self, model: Mapping[str, Sequence[Any]], tool: Mapping[str, Sequence[Any]] | None = None) -> None:
        self.scripts = {"model": Script(model), "tool": Script(tool or {})}

    def perform(self, ask: Ask) -> list[Answer]:
        """Answer all new effects at once."""
        return [Answer(call.key, self.scripts[call.effect.kind](call)) for call in ask.new]
