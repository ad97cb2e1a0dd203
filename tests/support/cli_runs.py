"""Traces that tests of the command line make on the spot, and what a command leaves behind."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from attrs import frozen

from frameengine.effects import Answer, Call, EffectFailure, ModelReply, Outcome, ToolReply
from frameengine.engine.driver import Run, virtual_at
from frameengine.engine.message import Engine
from frameengine.engine.stops import Ask
from frameengine.graph.loader import load_graph
from frameengine.graph.registry import bind
from frameengine.inputs import Body, UserMessage
from frameengine.jsonvalue import freeze
from frameengine.state import RunState
from frameengine.trace.header import header
from frameengine.trace.writer import TraceWriter

MODEL = "gpt-test"
CALLS = {
    "role": "assistant",
    "content": None,
    "tool_calls": [
        {"id": "1", "type": "function", "function": {"name": "forecast", "arguments": '{"city":"Bern","days":2}'}},
        {"id": "2", "type": "function", "function": {"name": "alerts", "arguments": '{"region":"BE"}'}},
    ],
}
FAILURE = Outcome(status="error", error=EffectFailure(type="tool.timeout", message="no answer after 30 s"))
ANSWER = "Saturday stays sunny with 12 °C; on Sunday fog comes up. There are no alerts."
WEATHER = ("What will the weather be like in Bern?", [CALLS, {"sky": "sunny"}, FAILURE, ANSWER])
JACKET = ("Do I need a jacket?", ["Yes, for the evening."])


@frozen
class Done:
    """What became of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one document on stdout."""
        return json.loads(self.out)


class Frameengine(Protocol):
    """Types a command."""

    def __call__(self, *arguments: str | Path, stdin: bytes | None = None) -> Done:
        """Run one command line; *stdin* is what it may read."""
        ...


Record = Callable[..., Path]


class Scripted:
    """Answers in the order of asking, with figures that look like an endpoint's."""

    def __init__(self, answers: Sequence[Any]) -> None:
        self._answers = list(answers)

    def perform(self, ask: Ask) -> list[Answer]:
        """Answer all new effects at once."""
        return [Answer(call.key, self._outcome(call, self._answers.pop(0))) for call in ask.new]

    def _outcome(self, call: Call, answer: Any) -> Outcome:
        if isinstance(answer, Outcome):
            return answer
        if call.effect.kind == "tool":
            return Outcome(value=ToolReply(content=answer), at=virtual_at(call.key), meta=freeze({"ms": 34}))
        message = {"role": "assistant", "content": answer} if isinstance(answer, str) else answer
        reply = ModelReply(
            message=message,
            finish_reason="tool_calls" if "tool_calls" in message else "stop",
            usage=freeze({"prompt_tokens": 412, "completion_tokens": 18}),
        )
        return Outcome(value=reply, at=virtual_at(call.key), meta=freeze({"ms": 1234.5}))


def record_run(path: Path, turns: Sequence[tuple[Body | str, Sequence[Any]]], *, seal: bool = True) -> Path:
    """Record a run of the tool loop: each turn is what comes in and the answers that are given."""
    bound = bind(load_graph("tool-loop"))
    state = RunState(freeze({"history": (), "model": MODEL}))
    performer = Scripted([answer for _, answers in turns for answer in answers])
    path.parent.mkdir(parents=True, exist_ok=True)
    with TraceWriter(path, header(bound, state=state, provenance={"model": "scripted"})) as writer:
        run = Run(Engine(bound, state=state), performer, writer)
        for body, _ in turns:
            run.send(UserMessage.of(body) if isinstance(body, str) else body)
        if seal:
            writer.seal()
    return path
