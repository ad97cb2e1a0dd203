"""What a trace gives to a rerun: its inputs with their places, and the calls that it has no reply for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from attrs import field, frozen

from frameengine.effects import Call, EffectKey, Outcome
from frameengine.errors import NothingCompared, TraceFormat, UsageError
from frameengine.graph.registry import BoundGraph, fingerprint
from frameengine.inputs import Cancel, Input
from frameengine.jsonvalue import EMPTY, FrozenMap
from frameengine.messages import to_json
from frameengine.replay.divergence import wired
from frameengine.trace.reader import Line, TraceReader


@frozen(kw_only=True)
class Figures:
    """How a message went."""

    path: str
    """Label of the way it took."""
    total_frames: int
    """Highest frame number of phase main."""
    frames: int
    """All frames."""
    calls: int
    """Its calls."""
    status: str
    """done, open, failed, cancelled."""

    @classmethod
    def of(cls, members: Mapping[str, Any]) -> Figures:
        """Return the figures that a trace's line holds."""
        return cls(**{name: members[name] for name in ("path", "total_frames", "frames", "calls", "status")})


@frozen(kw_only=True)
class Message:
    """A recorded input, and what came in while its message was under way."""

    input: Input
    """The input."""
    late: tuple[Input, ...] = ()
    """Those that entered at frame boundaries, in order."""
    reached: frozenset[int] = frozenset()
    """Numbers of those that a node was given."""
    cancel: Input | None = None
    """The Cancel that ended it."""
    figures: Figures
    """How it went."""


@frozen(kw_only=True)
class Plan:
    """A trace as a rerun needs it."""

    path: Path
    """Its file."""
    header: FrozenMap
    """Its header."""
    head: str
    """Chain value of its seal, in hex: the run's id."""
    messages: tuple[Message, ...]
    """Its messages, in order."""
    unanswered: Mapping[EffectKey, tuple[Call, Outcome]] = field(factory=dict)
    """The calls that it has no reply for: cut off by a Cancel, or those at which the recording stops."""
    numbers: tuple[int, ...] = ()
    """The recorded number of each input that comes in, in order, and 0 for one that was not recorded; empty where all are as
    they were."""

    def recorded(self, number: int) -> int:
        """Return the number that an input of the new run was recorded with; 0 for one that was not."""
        return self.numbers[number - 1] if self.numbers else number


def read_plan(path: Path) -> Plan:
    """Read a sealed trace. Raises `TraceError`; `NothingCompared` where nothing came in or nothing happened."""
    unanswered: dict[EffectKey, tuple[Call, Outcome]] = {}
    messages: list[Message] = []
    current: list[Input] = []
    reached: set[int] = set()
    counted = 0
    with TraceReader(path) as reader:
        for line in reader.lines():
            if line.kind == "input":
                current.append(_checked(line.input(), path, counted := counted + 1))
            elif line.kind == "outcome":
                outcome = line.value["outcome"]
                # Only those without a reply are decoded here: a cassette has the others.
                if isinstance(outcome, dict) and outcome.get("status") in ("cancelled", "not_recorded"):
                    unanswered[line.key()] = (line.call(), line.outcome())
            elif line.kind == "frame":
                reached |= _reached(current[1:], line)
            elif line.kind == "trace":
                messages.append(_message(current, reached, Figures.of(line.data), path))
                current, reached = [], set()
        counts, head, header = reader.counts, reader.head, reader.header
    if not (counts.inputs and counts.frames):
        raise NothingCompared(
            f"{path}: nothing to run again: inputs {counts.inputs}, frames {counts.frames}",
            hint="record a run in which something happens",
            path=str(path),
        )
    return Plan(path=path, header=header, head=head, messages=tuple(messages), unanswered=unanswered)


def _reached(late: Iterable[Input], line: Line) -> set[int]:
    """Return the numbers of the late inputs that a node of this frame was given; only where there are any is it decoded."""
    bodies = {each.number: wired(to_json(each.body)) for each in late}
    given = [record["input"] for record in line.data["records"]] if bodies else []
    return {number for number, body in bodies.items() if body in given}


def _checked(entered: Input, path: Path, number: int) -> Input:
    if entered.number != number:
        raise _bad(path, f"input {entered.number} where input {number} was expected")
    if entered.stream != "main":
        raise UsageError(
            f"{path}: input {entered.number} belongs to stream {entered.stream!r}, and a rerun has the main one only",
            hint="record the streams apart",
            path=str(path),
        )
    return entered


def _message(inputs: list[Input], reached: Iterable[int], figures: Figures, path: Path) -> Message:
    places = [None if entered.during is None else entered.during.input for entered in inputs]
    if not inputs or places != [None, *[inputs[0].number] * (len(inputs) - 1)]:
        raise _bad(path, "an input says that it entered elsewhere than it stands")
    first, *later = inputs
    cancel = next((entered for entered in later if isinstance(entered.body, Cancel)), None)
    late = tuple([entered for entered in later if entered is not cancel])
    return Message(input=first, late=late, reached=frozenset(reached), cancel=cancel, figures=figures)


def _bad(path: Path, what: str) -> TraceFormat:
    return TraceFormat(f"{path}: {what}", hint="the file was not written by this tool", path=str(path))


def slots(bound: BoundGraph) -> dict[str, tuple[str, str]]:
    """Return slot and contract of each node of a graph."""
    nodes = fingerprint(bound).get("nodes", EMPTY)
    return {spec.name: (spec.slot, str(nodes[spec.name]["contract"])) for spec in bound.graph.nodes}
