"""Traces for tests: a scripted conversation of the tool loop, and single lines of every kind that a writer writes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

from attrs import evolve

from frameengine.codec import dumps, loads
from frameengine.effects import Answer, Call, EffectFailure, EffectKey, ModelCall, ModelReply, Outcome, ToolCall, ToolReply
from frameengine.engine.driver import Run, virtual_at
from frameengine.engine.message import Engine
from frameengine.engine.stops import Ask
from frameengine.graph.loader import load_graph
from frameengine.graph.registry import BoundGraph, bind
from frameengine.inputs import (
    Action,
    Body,
    Cancel,
    Clear,
    Dashboard,
    During,
    Given,
    Input,
    StateEdit,
    SwitchGraph,
    Tick,
    UserMessage,
    Webhook,
)
from frameengine.jsonvalue import EMPTY, FrozenMap, freeze
from frameengine.records import CallRecord, Emission, Frame, FrameRecord, FrameTrace
from frameengine.state import Change
from frameengine.trace.format import CHAIN_BYTES, GENESIS, linked
from frameengine.trace.header import header
from frameengine.trace.writer import TraceWriter

LONG = "The quick brown fox jumps over the lazy dog and is recorded. "
"""A text that is stored once and referred to."""
DIGEST = hashlib.sha256(b"state").hexdigest()


class Talk:
    """Plays model and tools: one tool call for each user message, then an answer made of what stands in the request."""

    def perform(self, ask: Ask) -> list[Answer]:
        """Answer every new effect."""
        return [Answer(call.key, self._outcome(call)) for call in ask.new]

    def _outcome(self, call: Call) -> Outcome:
        effect = call.effect
        if isinstance(effect, ToolCall):
            return Outcome(value=ToolReply(content={"rows": [[1, "Bern"], [2, "Zürich"]], "$c": 7}), at=virtual_at(call.key))
        asked = sum(message["role"] == "user" for message in effect.messages)
        if effect.messages[-1]["role"] == "user":
            function = {"name": "find", "arguments": f'{{"n":{asked}}}'}
            message: Any = {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": f"c{asked}", "type": "function", "function": function}],
            }
        else:
            message = {"role": "assistant", "content": f"{LONG * 2}That was question {asked}."}
        return Outcome(
            value=ModelReply(message=freeze(message), usage=freeze({"total_tokens": asked})),
            at=virtual_at(call.key),
            meta=freeze({"ms": 1.5}),
        )


@cache
def tool_loop() -> BoundGraph:
    """Return the shipped tool loop, bound."""
    return bind(load_graph("tool-loop"))


def members() -> FrozenMap:
    """Return the members of a real header."""
    return header(tool_loop(), provenance={"model": "scripted"}, meta={"owner": "test"})


Durability = Literal["durable", "fast"]


def converse(writer: TraceWriter | Recording, messages: int = 3) -> Iterator[FrameTrace]:
    """Run a conversation into *writer*, message by message."""
    run = Run(Engine(tool_loop()), Talk(), writer)
    for number in range(1, messages + 1):
        yield run.send(UserMessage.of(f"Question {number}: how many customers live in a town whose name has an ü?"))


def record(path: Path, messages: int = 3, *, durability: Durability = "fast", seal: bool = True) -> Path:
    """Write a conversation of *messages* messages to *path*."""
    with TraceWriter(path, members(), durability=durability) as writer:
        for _ in converse(writer, messages):
            pass
        if seal:
            writer.seal()
    return path


class Recording:
    """A recorder that acknowledges each line to a function before it is the next one's turn."""

    def __init__(self, writer: TraceWriter, acknowledge: Callable[[int], None]) -> None:
        self._writer = writer
        self._acknowledge = acknowledge

    def __getattr__(self, name: str) -> Callable[..., None]:
        write = getattr(self._writer, name)

        def acknowledged(*values: Any) -> None:
            write(*values)
            self._acknowledge(self._writer.lines)

        return acknowledged


BODIES: tuple[Body, ...] = (
    UserMessage(
        message=freeze({"role": "user", "content": LONG, "$x": {"$c": 1}}), user_id="u" * 50, session_id="s", channel="c"
    ),
    Action(name="click", data=freeze({"$list": [1, 2], "text": LONG})),
    Tick(readings=freeze({"clock": 1.5, "cpu": None})),
    Dashboard(controls=freeze([{"type": "button"}, LONG, 3])),
    Clear(),
    SwitchGraph(graph="tool-loop", fingerprint=freeze({"graph": DIGEST})),
    Webhook(source="crm", payload=freeze([1, [2, [3]], {"a": {"b": LONG}}])),
    Given(messages=({"role": "system", "content": LONG}, {"role": "system", "content": "short"})),
    StateEdit(
        [Change.append("/history", {"role": "user", "content": LONG}, keep=40), Change.set("/$c", [LONG]), Change.delete("/x")]
    ),
)
"""One input body of each kind that stands for itself."""

MODEL_CALL = ModelCall(
    model="m",
    messages=({"role": "system", "content": LONG}, {"role": "user", "content": "hi", "$join": [1]}),
    tools=({"type": "function", "function": {"name": "find"}},),
    params=freeze({"temperature": 0, "stop": [LONG]}),
    show=True,
)
TOOL_CALL = ToolCall("find", freeze({"$c": 1, "q": LONG}))
OUTCOMES: tuple[tuple[Any, Outcome], ...] = (
    (MODEL_CALL, Outcome(value=ModelReply(message={"role": "assistant", "content": LONG}, usage={"n": 1}, model="m-1"), at=5)),
    (MODEL_CALL, Outcome(status="error", error=EffectFailure(type="E" * 60, message=LONG, fields=freeze({"status": 429})))),
    (MODEL_CALL, Outcome(status="cancelled", at=7)),
    (TOOL_CALL, Outcome(value=ToolReply(content=[1, {"a": LONG}]), meta=freeze({"ms": 2, "$c": [LONG]}))),
    (TOOL_CALL, Outcome(value=ToolReply(message=freeze({"role": "tool", "content": "x"})))),
    (ToolCall("find", "not an object"), Outcome(status="not_recorded")),
)
"""Effects and outcomes of every shape."""


def full_record() -> FrameRecord:
    """Return a record in which every member stands."""
    return FrameRecord(
        frame=1,
        node="thinker",
        phase="main",
        input=freeze({"type": "Command", "text": LONG}),
        output=freeze({"type": "Answer", "text": "x"}),
        calls=(CallRecord(call=0, kind="model", name="m", request=DIGEST, outcome=DIGEST, status="ok"),),
        emissions=(Emission(event="text", data=freeze({"stream": "answer", "text": LONG})), Emission(event="hud")),
        changes=(
            Change.append("/history", {"role": "user", "content": LONG}, keep=40),
            Change.set("/memory/topic", 5),
            Change.delete("/memory/topic"),
        ),
        route=("output", "ui"),
        condition=freeze({"analysis.intent == 'social'": True}),
        error=freeze({"type": "ValueError", "message": LONG, "where": "x.py:1"}),
        now=1_000_000,
        open=True,
    )


def write_every_shape(writer: TraceWriter) -> None:
    """Write at least one line of every kind and shape."""
    number = 0
    for body in BODIES:
        number += 1
        owner = number
        writer.input(Input(number=number, body=body, at=number))
        if number == 1:
            asked = [(EffectKey(1, 1, "thinker", index), *pair) for index, pair in enumerate(OUTCOMES)]
            asked.append((EffectKey(1, 1, "thinker", 9, "side"), TOOL_CALL, OUTCOMES[3][1]))
            calls = []
            for key, effect, outcome in asked:
                call = Call.of(key, effect)
                writer.outcome(call, outcome)
                calls.append(
                    CallRecord(
                        call=key.call,
                        kind=effect.kind,
                        name=effect.name,
                        request=call.digest,
                        outcome=outcome.digest,
                        status=outcome.status,
                    )
                )
            number += 1
            writer.input(Input(number=number, body=Cancel(), at=9, stream="side", during=During(input=1, frame=1)))
            bare = FrameRecord(frame=1, node="ui", phase="main", input=freeze({"type": "Command"}))
            writer.frame(Frame(input=1, frame=1, phase="main", records=(evolve(full_record(), calls=tuple(calls)), bare)), EMPTY)
            writer.frame(Frame(input=1, frame=2, phase="epilogue", records=(bare,)), freeze({"ms": 0.25}))
        writer.trace(
            FrameTrace(
                input=owner,
                path="direct",
                total_frames=int(owner == 1),
                frames=2 * (owner == 1),
                calls=7 * (owner == 1),
                status="done",
                state=DIGEST,
            ),
            freeze({"ms": 3}) if number == 1 else EMPTY,
        )


def forged(bodies: list[bytes]) -> bytes:
    """Return a file of these lines with a chain that holds: what somebody who knows the format could write."""
    data, chain = b"", GENESIS
    for body in bodies:
        line, chain = linked(chain, body)
        data += line
    return data


def bodies_of(data: bytes) -> list[bytes]:
    """Return the lines of a file without their chain members."""
    return [line[: -CHAIN_BYTES + 1] for line in data.split(b"\n")[:-1]]


def body_of(value: Mapping[str, Any]) -> bytes:
    """Return the bytes of a line with these members, before its chain member."""
    return dumps({name: item for name, item in value.items() if name != "chain"})[:-1]


def lines_of(path: Path) -> list[dict[str, Any]]:
    """Return the decoded lines of a file."""
    return [loads(line) for line in path.read_bytes().split(b"\n")[:-1]]
