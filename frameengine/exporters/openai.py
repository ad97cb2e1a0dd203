"""Export a run as OpenAI ``messages``, computed from its inputs and outcomes alone: a fork shows its edits.

A run of the tool loop gives its conversation exactly. Other graphs have no such conversation; of those the user's messages and
the texts they were answered with are exported, and the result says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from attrs import frozen

from frameengine.effects import Call, EffectKey, ModelReply, Outcome, ToolReply, effect_from_json
from frameengine.errors import EffectError
from frameengine.inputs import Clear, Given, Input, StateEdit, SwitchGraph, UserMessage
from frameengine.jsonvalue import EMPTY, FrozenMap, freeze
from frameengine.node import ANSWER, TEXT_EVENT
from frameengine.nodes.tool_loop import tool_message
from frameengine.trace.reader import Line, TraceReader

GRAPH = "tool-loop"
"""The graph whose runs are conversations of this shape."""
BESIDE = ("model", "tools", "params")
"""Members of a request that stand in the state beside the messages."""


@frozen(kw_only=True)
class Export:
    """A run as chat messages."""

    messages: tuple[FrozenMap, ...]
    """In OpenAI's shape, in the order in which they were said."""
    notes: tuple[str, ...]
    """What of the run is no message, or is missing; empty where nothing is lost."""
    open: bool
    """Whether the recording stops in the middle of a message."""
    beside: tuple[str, ...] = ()
    """What the run began with that is no message: model, tools, params. Whoever wants a request body adds them."""


def export_messages(path: Path, *, damaged: bool = False) -> Export:
    """Return the conversation of a trace. Raises `TraceError`; with *damaged* the good part is exported, and noted as such."""
    with TraceReader(path, damaged=damaged) as reader:
        fold = _Fold(reader.header)
        for line in reader.lines():
            fold.take(line)
        fold.flush()
        if reader.problem is not None:
            fold.note(f"only the good part of the file: {reader.problem.message}")
        return fold.result()


class _Fold:
    """The conversation as it grows, line by line."""

    def __init__(self, header: FrozenMap) -> None:
        self._messages: list[FrozenMap] = []
        self._notes: list[str] = []
        self._left_out: dict[str, int] = {}
        self._open = False
        self._waiting: list[tuple[EffectKey, str, Outcome, FrozenMap]] = []
        self._calls: tuple[FrozenMap, ...] = ()
        self._answer: list[str] = []
        state = header.get("state") or EMPTY
        self._beside = tuple([name for name in BESIDE if state.get(name)])
        for entry in header.get("repaired", ()):
            self.note(f"the trace was repaired, what came after line {entry.get('kept_lines')} is lost: {entry.get('reason')}")
        self._use(header.get("graph", EMPTY).get("name", ""))

    def _use(self, graph: str) -> None:
        self._loop = graph == GRAPH
        if not self._loop:
            self.note(f"the graph {graph!r} is no tool loop: its answers are exported as it showed them, its tool calls are not")

    def note(self, what: str) -> None:
        """Keep a note, once."""
        if what not in self._notes:
            self._notes.append(what)

    def take(self, line: Line) -> None:
        """Take in one line."""
        if line.kind == "input":
            self._input(line.input())
        elif line.kind == "outcome":
            outcome = line.outcome()
            self._open = self._open or outcome.status == "not_recorded"
            if self._loop:
                self._waiting.append((line.key(), line.value["effect"], outcome, line.data["request"]))
        else:
            self.flush()
            if not self._loop:
                self._shown(line)

    def _input(self, entered: Input) -> None:
        body = entered.body
        if isinstance(body, UserMessage):
            self._messages.append(body.message)
        elif isinstance(body, Given):
            self._messages.extend(body.messages)
        else:
            self._left_out[entered.type] = self._left_out.get(entered.type, 0) + 1
            if isinstance(body, Clear):
                self.note(f"input {entered.number} clears the conversation; what was said before it is exported all the same")
            elif isinstance(body, StateEdit):
                self.note(f"input {entered.number} edits the state; what was said is exported as it was said")
            elif isinstance(body, SwitchGraph):
                self._use(body.graph)

    def flush(self) -> None:
        """Put the messages of a frame's outcomes in key order."""
        for key, kind, outcome, request in sorted(self._waiting, key=lambda waiting: waiting[0]):
            if kind == "model":
                self._reply(key, outcome)
            elif outcome.status != "not_recorded":
                self._messages.append(self._result(key, outcome, request))
        self._waiting.clear()

    def _reply(self, key: EffectKey, outcome: Outcome) -> None:
        if isinstance(outcome.value, ModelReply):
            self._messages.append(outcome.value.message)
            self._calls = outcome.value.tool_calls
            return
        self._calls = ()
        if outcome.status != "not_recorded":
            self.note(f"the model call {key} has no reply: it is of status {outcome.status!r}")

    def _result(self, key: EffectKey, outcome: Outcome, request: FrozenMap) -> FrozenMap:
        if key.call < len(self._calls):
            call = self._calls[key.call]
        else:
            call = EMPTY
            self.note(f"the result {key} belongs to no tool call of the reply before it; it has no id")
        return tool_message(call, _seen(key, outcome, request))

    def _shown(self, line: Line) -> None:
        """Collect what another graph shows as its answer; a failed node has retracted what it showed."""
        if line.kind == "trace":
            text = "".join(self._answer)
            self._answer.clear()
            if text:
                self._messages.append(freeze({"role": "assistant", "content": text}))
            return
        for record in line.data["records"]:
            if record.get("error") is None:
                self._answer.extend(_texts(record))

    def result(self) -> Export:
        """Return the conversation so far."""
        counted = [f"left out, being no message: {count} {kind}" for kind, count in self._left_out.items()]
        return Export(messages=tuple(self._messages), notes=(*self._notes, *counted), open=self._open, beside=self._beside)


def _seen(key: EffectKey, outcome: Outcome, request: FrozenMap) -> ToolReply | EffectError:
    """Return what the node saw of a tool's outcome."""
    if isinstance(outcome.value, ToolReply):
        return outcome.value
    error = outcome.exception(Call.of(key, effect_from_json("tool", request)))
    return error if error is not None else ToolReply()


def _texts(record: FrozenMap) -> Iterator[Any]:
    for event, data in record.get("emissions", ()):
        if event == TEXT_EVENT and data.get("stream") == ANSWER:
            yield data["text"]
