"""Lockstep: one recorded frame at a time beside one replayed frame."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import SequenceMatcher
from typing import Any

from attrs import define, field

from frameengine.codec import dumps
from frameengine.effects import Answer, Call, EffectKey, Outcome
from frameengine.engine.stops import Ask
from frameengine.errors import TraceFormat
from frameengine.inputs import Cancel, Input
from frameengine.jsonvalue import FrozenMap, freeze
from frameengine.records import Frame
from frameengine.replay.divergence import KINDS, NOTHING, Divergence, compare_records, compare_requests, wired
from frameengine.trace.format import outcome_canonical
from frameengine.trace.reader import Line


@define
class Segment:
    """The recorded lines up to the end of one frame, or of the message."""

    end: Line
    """The frame's or the trace's line."""
    outcomes: dict[EffectKey, tuple[Line, Outcome]] = field(factory=dict)
    """Recorded outcomes, in order of arrival."""
    late: list[Input] = field(factory=list)
    """Inputs that entered before this frame."""
    cancel: Input | None = None
    """A Cancel during this frame."""
    canonical: list[tuple[EffectKey | None, bytes]] = field(factory=list)
    """Canonical forms of the lines before the end, outcomes with their keys."""


def read_segment(lines: Iterator[Line]) -> Segment:
    """Read on to the end of a frame or message."""
    outcomes: dict[EffectKey, tuple[Line, Outcome]] = {}
    late: list[Input] = []
    cancel: Input | None = None
    forms: list[tuple[EffectKey | None, bytes]] = []
    for line in lines:
        if line.kind in ("frame", "trace"):
            return Segment(end=line, outcomes=outcomes, late=late, cancel=cancel, canonical=forms)
        if line.kind == "outcome":
            key = line.key()
            if key in outcomes:
                raise _bad(line, f"a second outcome for {key}")
            outcomes[key] = (line, line.outcome())
            forms.append((key, line.canonical()))
            continue
        entered = line.input()
        if entered.during is None:
            raise _bad(line, f"input {entered.number} begins before the message before it has ended")
        if isinstance(entered.body, Cancel):
            cancel = entered
        else:
            late.append(entered)
        forms.append((None, line.canonical()))
    raise AssertionError("a reader ends with a seal or an error")


def _bad(line: Line, what: str) -> TraceFormat:
    return TraceFormat(f"line {line.number}: {what}", hint="the file was not written by this tool", line=line.number)


class Lockstep:
    """One frame being replayed: answers from the record, and keeps what differs."""

    def __init__(self, segment: Segment, order: Mapping[str, int], input: int, frame: int) -> None:  # noqa: A002 - the glossary's word
        self._segment = segment
        self._order = order
        self._input = input
        self._frame = frame
        self._made: set[EffectKey] = set()
        self._found: list[Divergence] = []
        self._answered: dict[EffectKey, tuple[Call, Outcome]] = {}

    @property
    def calls(self) -> int:
        """How many calls were compared and answered."""
        return len(self._answered)

    def answered(self) -> list[tuple[Call, Outcome]]:
        """Return calls and outcomes in key order."""
        return [self._answered[key] for key in sorted(self._answered)]

    def answer(self, ask: Ask) -> list[Answer]:
        """Answer the new effects from the record, in call order. One that differs gets no answer: its node stands still."""
        answers = []
        for call in ask.new:
            self._made.add(call.key)
            recorded = self._segment.outcomes.get(call.key)
            if recorded is None:
                self._found.append(self._extra(call))
                continue
            line, outcome = recorded
            if outcome_canonical(call, outcome) != line.canonical():
                difference = self._differs(call, line)
                if difference is not None:
                    self._found.append(difference)
                    continue
            self._answered[call.key] = (call, outcome)
            answers.append(Answer(call.key, outcome))
        return answers

    def _differs(self, call: Call, line: Line) -> Divergence | None:
        replayed = wired(call.effect.wire())
        return compare_requests((line.value["effect"], line.data["request"]), (call.effect.kind, replayed), **_place(call.key))

    def _extra(self, call: Call) -> Divergence:
        return Divergence(
            kind="extra", recorded=NOTHING, replayed=f"{call.effect.kind} call {call.effect.name}", nearest=self._nearest(call), **_place(call.key)
        )

    def _nearest(self, call: Call) -> FrozenMap | None:
        """Return the recorded call of this frame most like *call*, unused ones first."""
        replayed = wired(call.effect.wire())
        text = dumps(replayed).decode()[:4000]
        best: tuple[tuple[bool, bool, float], EffectKey, Line] | None = None
        for key, (line, _) in self._segment.outcomes.items():
            if line.value["effect"] != call.effect.kind:
                continue
            ratio = SequenceMatcher(None, text, dumps(line.data["request"]).decode()[:4000], autojunk=False).quick_ratio()
            score = (key not in self._made, key.node == call.key.node, ratio)
            if best is None or score > best[0]:
                best = (score, key, line)
        if best is None:
            return None
        _, key, line = best
        found = compare_requests((line.value["effect"], line.data["request"]), (call.effect.kind, replayed), **_place(key))
        nearest: dict[str, Any] = {"key": key.wire(), "used": key in self._made}
        if found is not None:
            nearest.update(kind=found.kind, pointer=found.pointer, recorded=found.recorded, replayed=found.replayed)
        result: FrozenMap = freeze(nearest)
        return result

    def missing(self) -> None:
        """Keep every recorded call that the replay did not make."""
        for key, (line, _) in self._segment.outcomes.items():
            if key not in self._made:
                name = line.data["request"].get("model" if line.value["effect"] == "model" else "name")
                self._found.append(Divergence(kind="missing", recorded=f"{line.value['effect']} call {name}", replayed=NOTHING, **_place(key)))

    def compare(self, frame: Frame) -> None:
        """Compare the committed frame with the record."""
        recorded, replayed = self._segment.end.data, wired(frame.wire())
        if recorded.get("phase") != replayed.get("phase"):
            self._found.append(
                Divergence(
                    kind="length", input=self._input, frame=self._frame, pointer="/phase", recorded=recorded.get("phase", "main"), replayed=frame.phase
                )
            )
        ours = {record["node"]: record for record in replayed["records"]}
        theirs = {record["node"]: record for record in recorded["records"]}
        for node in [*theirs, *[node for node in ours if node not in theirs]]:
            place = {"input": self._input, "frame": self._frame, "node": node}
            if node not in ours:
                self._found.append(Divergence(kind="missing", recorded=f"node {node} ran", replayed=NOTHING, **place))
            elif node not in theirs:
                self._found.append(Divergence(kind="extra", recorded=NOTHING, replayed=f"node {node} ran", **place))
            else:
                self._found.extend(compare_records(theirs[node], ours[node], **place))

    def divergences(self) -> list[Divergence]:
        """Return what differs, the earliest place first, and at one place the readable kind first."""
        unknown = len(self._order)
        rank = {kind: index for index, kind in enumerate(KINDS)}

        def position(found: Divergence) -> tuple[int, int, int]:
            call = 1 << 30 if found.call is None else found.call
            return (self._order.get(found.node, unknown), call, rank[found.kind])

        return sorted(self._found, key=position)


def _place(key: EffectKey) -> dict[str, Any]:
    return {"input": key.input, "frame": key.frame, "node": key.node, "call": key.call}


