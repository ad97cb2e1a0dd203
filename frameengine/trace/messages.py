"""Traces as screens need them: one message at a time, each call beside its outcome. Nothing is run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import takewhile
from operator import eq
from typing import Any, Self

from attrs import define, field, frozen

from frameengine.effects import EffectKey, Outcome
from frameengine.errors import TraceFormat
from frameengine.inputs import Input
from frameengine.jsonvalue import EMPTY, FrozenMap
from frameengine.trace.reader import Line, TraceReader

CUT_OFF = "cut off"
"""Status of a message whose figures are not in the file."""
UNDER_WAY = "under way"
"""That of one whose figures may still come."""


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
    late: list[Input] = field(factory=list)
    """Inputs that came in during it, behind its last frame."""
    trace: FrozenMap | None = None
    """Its figures; None where the file ends before."""
    meta: FrozenMap = EMPTY
    """Undigested members of the figures' line."""
    unended: str = CUT_OFF
    """Its status where it has no figures."""

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
        """done, open, failed, cancelled; where the file ends before, ``cut off``, or ``under way`` if more may come."""
        return self.unended if self.trace is None else str(self.trace["status"])

    @property
    def path(self) -> str:
        """Label of the way it took."""
        return "" if self.trace is None else str(self.trace["path"])

    @property
    def entered(self) -> list[Input]:
        """Its input, and all that came in during it, in order."""
        return [self.input, *[late for step in self.steps for late in step.late], *self.late]

    def closed(self, arrived: Iterable[Made | Input]) -> Self:
        """Take what came in behind its last frame, and return it."""
        self.loose, self.late = _parted(arrived)
        return self

    def step(self, number: int) -> Step | None:
        """Return a frame by its number."""
        return next((step for step in self.steps if step.number == number), None)

    def to_json(self) -> dict[str, Any]:
        """Return the message whole."""
        return {
            "input": self.input.wire(),
            "frames": [step.to_json() for step in self.steps],
            "loose_calls": [call.to_json() for call in self.loose],
            "late": [entered.wire() for entered in self.late],
            "trace": self.trace,
            "status": self.status,
        }


def messages(reader: TraceReader, *, last: int | None = None) -> Iterator[Message]:
    """Yield every message of a trace, or those up to input *last*; all of it is read. A damaged one's last may be cut off."""
    before: dict[str, tuple[EffectKey, tuple[Any, ...]]] = {}
    current: Message | None = None
    arrived: list[Made | Input] = []
    beyond = False
    for line in reader.lines():
        if beyond:
            # It is still proven to be whole; what nobody will see is not decoded.
            continue
        if line.kind == "input" and "during" not in line.value:
            if current is not None:
                yield current.closed(arrived)
            entered = line.input()
            beyond = last is not None and entered.number > last
            current, arrived = None if beyond else Message(input=entered), []
        elif current is None:
            raise TraceFormat(
                f"line {line.number}: the {line.kind} stands outside a message",
                hint="the file was not written by this tool",
                line=line.number,
            )
        elif line.kind == "input":
            arrived.append(line.input())
        elif line.kind == "outcome":
            arrived.append(made(line, before))
        elif line.kind == "frame":
            current.steps.append(step_of(line, arrived))
            arrived = []
        else:
            current.trace, current.meta = line.data, line.meta
            yield current.closed(arrived)
            current, arrived = None, []
    if current is not None:
        yield current.closed(arrived)


def made(line: Line, before: dict[str, tuple[EffectKey, tuple[Any, ...]]]) -> Made:
    """Return the call of an outcome's line. *before* has the newest model call of each node and its messages, and is kept up."""
    key, effect, request = line.key(), line.data["effect"], line.data["request"]
    previous: EffectKey | None = None
    same = 0
    if effect == "model":
        listed = request.get("messages", ())
        if key.node in before:
            previous, earlier = before[key.node]
            same = shared(earlier, listed)
        before[key.node] = (key, listed)
    return Made(key=key, effect=effect, request=request, outcome=line.outcome(), before=previous, shared=same)


def shared(earlier: Sequence[FrozenMap], listed: Sequence[FrozenMap]) -> int:
    """Return how many messages at the start of a request stood in the one before it too."""
    return sum(takewhile(bool, map(eq, earlier, listed)))


def step_of(line: Line, arrived: Iterable[Made | Input]) -> Step:
    """Return the frame of a line, with what came in within it."""
    data = line.data
    calls, late = _parted(arrived)
    return Step(
        number=data["frame"],
        phase=data.get("phase", "main"),
        records=data["records"],
        calls=tuple(calls),
        late=tuple(late),
        meta=line.meta,
    )


def _parted(arrived: Iterable[Made | Input]) -> tuple[list[Made], list[Input]]:
    """Return the calls among what came in, in key order, and the inputs, in order of arrival."""
    calls: list[Made] = []
    inputs: list[Input] = []
    for each in arrived:
        if isinstance(each, Made):
            calls.append(each)
        else:
            inputs.append(each)
    return sorted(calls, key=lambda call: call.key), inputs
