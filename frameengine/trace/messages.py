"""Traces as screens need them: one message at a time, each call beside its outcome. Nothing is run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from attrs import define, field, frozen

from frameengine.effects import EffectKey, Outcome
from frameengine.errors import TraceFormat
from frameengine.inputs import Input
from frameengine.jsonvalue import EMPTY, FrozenMap
from frameengine.trace.reader import Line, TraceReader


@frozen(kw_only=True)
class Made:
    """A call that was made, and what came back."""

    key: EffectKey
    """Who asked."""
    effect: str
    """model or tool."""
    request: FrozenMap
    """What for."""
    outcome: Outcome
    """What came back, with its meta."""
    before: EffectKey | None = None
    """The model call of the same node before this one."""
    shared: int = 0
    """How many messages at the start of the request stood in that one too."""

    def to_json(self) -> dict[str, Any]:
        """Return the call whole."""
        return {
            "key": self.key.wire(),
            "effect": self.effect,
            "request": self.request,
            "outcome": self.outcome.wire(),
            "meta": self.outcome.meta,
        }


@frozen(kw_only=True)
class Step:
    """A committed frame."""

    number: int
    """From 1."""
    phase: str
    """main or epilogue."""
    records: tuple[FrozenMap, ...]
    """The records of the nodes that ran, as the trace has them."""
    calls: tuple[Made, ...] = ()
    """The calls of all nodes, in key order."""
    late: tuple[Input, ...] = ()
    """Inputs that came in before it, during the message."""
    meta: FrozenMap = EMPTY
    """What may differ between two equal runs."""

    def calls_of(self, node: str) -> list[Made]:
        """Return the calls of one node."""
        return [call for call in self.calls if call.key.node == node]

    def to_json(self) -> dict[str, Any]:
        """Return the frame whole."""
        return {
            "frame": self.number,
            "phase": self.phase,
            "late": [entered.wire() for entered in self.late],
            "records": self.records,
            "calls": [call.to_json() for call in self.calls],
            "meta": self.meta,
        }


@define(kw_only=True)
class Message:
    """An input and everything that followed from it."""

    input: Input
    """The input."""
    steps: list[Step] = field(factory=list)
    """Its frames."""
    loose: list[Made] = field(factory=list)
    """Calls whose frame was never committed: the file ends before."""
    trace: FrozenMap | None = None
    """Its figures; None where the file ends before."""
    meta: FrozenMap = EMPTY
    """Undigested members of the figures' line."""

    @property
    def number(self) -> int:
        """The input's number."""
        return self.input.number

    @property
    def calls(self) -> list[Made]:
        """Its calls, in order."""
        return [call for step in self.steps for call in step.calls] + self.loose

    @property
    def main_frames(self) -> int:
        """Number of its frames up to the answer."""
        return sum(step.phase == "main" for step in self.steps)

    @property
    def status(self) -> str:
        """done, open, failed, cancelled; ``cut off`` where the file ends before."""
        return "cut off" if self.trace is None else str(self.trace["status"])

    @property
    def path(self) -> str:
        """Label of the way it took."""
        return "" if self.trace is None else str(self.trace["path"])

    def step(self, number: int) -> Step | None:
        """Return a frame by its number."""
        return next((step for step in self.steps if step.number == number), None)

    def to_json(self) -> dict[str, Any]:
        """Return the message whole."""
        return {
            "input": self.input.wire(),
            "frames": [step.to_json() for step in self.steps],
            "loose_calls": [call.to_json() for call in self.loose],
            "trace": self.trace,
            "status": self.status,
        }


@define
class Waiting:
    """What was read since the last frame."""

    calls: dict[EffectKey, Made] = field(factory=dict)
    """Calls with their outcomes, in order of arrival."""
    late: list[Input] = field(factory=list)
    """Inputs that came in."""


def messages(reader: TraceReader, *, last: int | None = None) -> Iterator[Message]:
    """Yield every message of a trace, or those up to input *last*; all of it is read. A damaged one's last may be cut off."""
    before: dict[str, tuple[EffectKey, tuple[Any, ...]]] = {}
    current: Message | None = None
    waiting = Waiting()
    beyond = False
    for line in reader.lines():
        if beyond:
            # It is still proven to be whole; what nobody will see is not decoded.
            continue
        if line.kind == "input":
            entered = line.input()
            if entered.during is not None:
                waiting.late.append(entered)
                continue
            if current is not None:
                yield current
            beyond = last is not None and entered.number > last
            current, waiting = None if beyond else Message(input=entered), Waiting()
        elif current is None:
            raise TraceFormat(
                f"line {line.number}: a {line.kind} outside a message",
                hint="the file was not written by this tool",
                line=line.number,
            )
        elif line.kind == "outcome":
            call = made(line, before)
            waiting.calls[call.key] = call
        elif line.kind == "frame":
            current.steps.append(step_of(line, waiting))
            waiting = Waiting()
        else:
            current.trace, current.meta = line.data, line.meta
            yield current
            current = None
    if current is not None:
        current.loose = [waiting.calls[key] for key in sorted(waiting.calls)]
        yield current


def made(line: Line, before: dict[str, tuple[EffectKey, tuple[Any, ...]]]) -> Made:
    """Return the call of an outcome's line. *before* has the newest model call of each node and its messages, and is kept up."""
    key, effect, request = line.key(), line.data["effect"], line.data["request"]
    previous: EffectKey | None = None
    shared = 0
    if effect == "model":
        listed = request.get("messages", ())
        if key.node in before:
            previous, earlier = before[key.node]
            while shared < min(len(earlier), len(listed)) and earlier[shared] == listed[shared]:
                shared += 1
        before[key.node] = (key, listed)
    return Made(key=key, effect=effect, request=request, outcome=line.outcome(), before=previous, shared=shared)


def step_of(line: Line, waiting: Waiting) -> Step:
    """Return the frame of a line, with what was read before it."""
    data = line.data
    return Step(
        number=data["frame"],
        phase=data.get("phase", "main"),
        records=data["records"],
        calls=tuple([waiting.calls[key] for key in sorted(waiting.calls)]),
        late=tuple(waiting.late),
        meta=line.meta,
    )
