"""Lockstep: one recorded frame at a time beside one replayed frame."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import SequenceMatcher
from typing import Any

from attrs import evolve, frozen

from frameengine.codec import canonical, dumps
from frameengine.effects import Answer, Call, EffectKey, Outcome
from frameengine.engine.stops import Ask
from frameengine.errors import TraceFormat
from frameengine.inputs import Cancel, Clear, Given, Input, SwitchGraph, UserMessage
from frameengine.jsonvalue import FrozenMap, first_difference, freeze
from frameengine.limits import CALLS_PER_NODE_MAX
from frameengine.records import Frame
from frameengine.replay.divergence import KINDS, NOTHING, Divergence, Kind, compare, compare_records, compare_requests, wired
from frameengine.trace.format import outcome_canonical, outcome_wire
from frameengine.trace.reader import Line


@frozen
class Recorded:
    """A recorded outcome, decoded while the reader stood on it."""

    line: Line
    """Its line."""
    outcome: Outcome
    """What came back."""
    form: bytes
    """Canonical form of the line."""


@frozen(kw_only=True)
class Segment:
    """The recorded lines up to the end of one frame, or of the message."""

    end: Line
    """The frame's or the trace's line."""
    outcomes: Mapping[EffectKey, Recorded]
    """Recorded outcomes, in order of arrival."""
    late: tuple[Input, ...]
    """Inputs that entered before this frame."""
    cancel: Input | None
    """A Cancel during this frame."""
    early: Mapping[EffectKey, None]
    """Keys of the outcomes that arrived before the Cancel."""
    canonical: tuple[tuple[EffectKey | None, bytes], ...]
    """Canonical forms of the lines before the end, outcomes with their keys."""

    def cancelled(self, answers: list[Answer]) -> bool:
        """Return whether *answers* bring the news of this frame's Cancel."""
        return self.cancel is not None and any(
            answer.outcome.status == "cancelled" and answer.key not in self.early for answer in answers
        )

    @property
    def last(self) -> bool:
        """Whether no frame of the message follows: it was cancelled in this one, or the recording stops in it."""
        return self.cancel is not None or (
            # The bytes are looked at first: frames need no decoding where they are equal to the replayed ones.
            self.end.kind == "frame"
            and b'"open":true' in self.end.raw
            and any(record.get("open") for record in self.end.data["records"])
        )


def read_segment(lines: Iterator[Line], number: int, frame: int) -> Segment:
    """Read on to the end of a frame of input *number*, or of its message. Raises `TraceFormat` where lines are out of place."""
    outcomes: dict[EffectKey, Recorded] = {}
    late: list[Input] = []
    forms: list[tuple[EffectKey | None, bytes]] = []
    cancel: Input | None = None
    early: dict[EffectKey, None] = {}
    last: Line | None = None
    for line in lines:
        last = line
        if line.kind == "frame" or (line.kind == "trace" and not outcomes and cancel is None):
            if cancel is not None:
                _check_cancel(line, cancel, outcomes, early)
            return Segment(end=line, outcomes=outcomes, late=tuple(late), cancel=cancel, early=early, canonical=tuple(forms))
        if line.kind == "outcome":
            key = _key(line, number, frame)
            if key in outcomes:
                raise bad_line(line, f"a second outcome for {key}")
            outcomes[key] = Recorded(line, line.outcome(), line.canonical())
            forms.append((key, outcomes[key].form))
        elif line.kind == "input":
            entered = read_input(line)
            if cancel is not None:
                raise bad_line(line, f"input {entered.number} stands behind the Cancel of frame {frame} of input {number}")
            if isinstance(entered.body, Cancel):
                cancel, early = entered, dict.fromkeys(outcomes)
                place = (number, frame)
            elif isinstance(entered.body, UserMessage | Given | Clear | SwitchGraph):
                raise bad_line(line, f"input {entered.number}, a {entered.type}, cannot enter during a message")
            elif frame == 1 or outcomes:
                raise bad_line(line, f"input {entered.number} stands inside frame {frame} of input {number}, not between frames")
            else:
                late.append(entered)
                place = (number, frame - 1)
            if entered.during is None or (entered.during.input, entered.during.frame) != place:
                raise bad_line(line, f"input {entered.number} stands in frame {frame} of input {number}, and says otherwise")
            forms.append((None, line.canonical()))
        else:
            raise bad_line(line, f"a {line.kind} before the end of frame {frame} of input {number}")
    raise bad_line(last, f"the file ends inside frame {frame} of input {number}")


def _check_cancel(line: Line, cancel: Input, outcomes: Mapping[EffectKey, Recorded], early: Mapping[EffectKey, None]) -> None:
    """Raise `TraceFormat` where a Cancel cut nothing off, or not all that came after it: a node would never hear of it."""
    after = [recorded.outcome.status for key, recorded in outcomes.items() if key not in early]
    if (
        not after
        or any(status != "cancelled" for status in after)
        or any(outcomes[key].outcome.status == "cancelled" for key in early)
    ):
        what = f"input {cancel.number} is a Cancel, and not just the outcomes behind it, at least one, are cancelled"
        raise bad_line(line, what)


def read_input(line: Line) -> Input:
    """Return an input; whatever else its line says would be lost on the nodes, so it is refused with `TraceFormat`."""
    entered = line.input()
    wire = entered.wire()
    if canonical(wire) != line.canonical() and first_difference(line.data, wired(wire)) is not None:
        raise bad_line(line, f"more is said of input {entered.number} than is known here")
    return entered


def _key(line: Line, number: int, frame: int) -> EffectKey:
    key = line.key()
    if (key.input, key.frame) != (number, frame):
        raise bad_line(line, f"the outcome {key} stands in frame {frame} of input {number}")
    return key


def bad_line(line: Line | None, what: str) -> TraceFormat:
    """Return the error for lines that are whole and out of place."""
    place = "" if line is None else f"line {line.number}: "
    return TraceFormat(f"{place}{what}", hint="the file was not written by this tool", line=line and line.number)


NEAREST_TRIED = 200
"""Recorded calls that an extra one is compared with, to find the one most like it."""
STOPPED = Outcome(status="not_recorded")
"""Answers a call that differs: its node stands still there, and the nodes beside it go on to their ends."""


class Lockstep:
    """One frame being replayed: answers from the record, and keeps what differs."""

    def __init__(self, segment: Segment, order: Mapping[str, int], input: int, frame: int) -> None:
        self._segment = segment
        self._order = order
        self._input = input
        self._frame = frame
        self._made: dict[EffectKey, None] = {}
        self._found: list[Divergence] = []
        self.stopped: dict[str, None] = {}
        """Nodes with a call that differs."""
        self._answered: dict[EffectKey, tuple[Call, Outcome]] = {}
        self._extras: dict[EffectKey, Call] = {}

    @property
    def calls(self) -> int:
        """How many calls were compared and answered."""
        return len(self._answered)

    def answered(self) -> list[tuple[Call, Outcome]]:
        """Return calls and outcomes in key order."""
        return [self._answered[key] for key in sorted(self._answered)]

    def answer(self, ask: Ask) -> list[Answer]:
        """Answer the new effects from the record, in call order, and those that differ with `STOPPED`."""
        answers = []
        for call in ask.new:
            self._made[call.key] = None
            recorded = self._segment.outcomes.get(call.key)
            difference = self._extra(call) if recorded is None else self._differs(call, recorded)
            outcome = STOPPED if recorded is None or difference is not None else recorded.outcome
            if difference is None:
                self._answered[call.key] = (call, outcome)
            else:
                self._found.append(difference)
                self.stopped[call.key.node] = None
            answers.append(Answer(call.key, outcome))
        return answers

    def _differs(self, call: Call, recorded: Recorded) -> Divergence | None:
        line, outcome = recorded.line, recorded.outcome
        if outcome_canonical(call, outcome) == recorded.form:
            return None
        replayed = wired(call.effect.wire())
        place = _place(call.key)
        difference = compare_requests((line.value["effect"], line.data["request"]), (call.effect.kind, replayed), **place)
        return difference or compare(
            line.data, wired(outcome_wire(call, outcome)), kind="outcome", effect=call.effect.kind, **place
        )

    def _extra(self, call: Call) -> Divergence:
        kind = call.effect.kind
        replayed = f"{kind} call {call.effect.name}"
        self._extras[call.key] = call
        return Divergence(kind="extra", effect=kind, recorded=NOTHING, replayed=replayed, **_place(call.key))

    def _nearest(self, call: Call) -> FrozenMap | None:
        """Return the recorded call of this frame most like *call*, unused ones first, then those of its node."""
        replayed = wired(call.effect.wire())
        text = dumps(replayed).decode()[:4000]
        best: tuple[tuple[bool, bool, float], EffectKey, Line] | None = None

        def unlike(key: EffectKey) -> tuple[bool, bool, int]:
            return (key in self._made, key.node != call.key.node, abs(key.call - call.key.call))

        outcomes = self._segment.outcomes
        same_kind = [key for key, recorded in outcomes.items() if recorded.line.value["effect"] == call.effect.kind]
        for key in sorted(same_kind, key=unlike)[:NEAREST_TRIED]:
            line = outcomes[key].line
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
        for key, recorded in self._segment.outcomes.items():
            if key not in self._made:
                line = recorded.line
                kind = line.value["effect"]
                what = f"{kind} call {line.data['request'].get('model' if kind == 'model' else 'name')}"
                self._found.append(Divergence(kind="missing", effect=kind, recorded=what, replayed=NOTHING, **_place(key)))

    def compare(self, frame: Frame, raised: Mapping[str, str]) -> None:
        """Compare the committed frame with the record, but for nodes that were stopped; *raised*: where nodes raised."""
        recorded, replayed = self._segment.end.data, wired(frame.wire())
        whole = {"input": self._input, "frame": self._frame}
        known = len(self._found)
        ours = {record["node"]: record for record in replayed["records"]}
        theirs = {record["node"]: record for record in recorded["records"]}
        for node in [*theirs, *[node for node in ours if node not in theirs]]:
            place = {**whole, "node": node}
            if node not in ours:
                self._found.append(Divergence(kind="missing", recorded=f"node {node} ran", replayed=NOTHING, **place))
            elif node not in theirs:
                self._found.append(Divergence(kind="extra", recorded=NOTHING, replayed=f"node {node} ran", **place))
            elif node not in self.stopped:
                differences = compare_records(theirs[node], ours[node], **place)
                where = raised.get(node, "")
                self._found.extend([evolve(each, where=where) if each.kind == "error" else each for each in differences])
            else:
                given = compare(theirs[node]["input"], ours[node]["input"], kind="input", **place)
                self._found.extend([] if given is None else [evolve(given, pointer=f"/input{given.pointer}")])
        if len(self._found) == known and not self.stopped:
            # A member that has no kind of its own; or none, where the line stores the same in another form.
            other = compare(recorded, replayed, kind="length", **whole)
            self._found.extend([] if other is None else [other])

    def divergences(self) -> list[Divergence]:
        """Return what differs, the earliest place first, and at one place the readable kind first.

        The first one that is more than another outcome is the one that is told; only for that is the nearest call looked for,
        which takes a while.
        """
        found = sorted(self._found, key=self._position)
        told = next((index for index, each in enumerate(found) if each.kind != "outcome"), None)
        key = None if told is None else found[told].key
        if told is not None and key is not None and key in self._extras:
            found[told] = evolve(found[told], nearest=self._nearest(self._extras[key]))
        return found

    def _position(self, found: Divergence) -> tuple[int, int, int]:
        step = _AFTER_CALLS if found.call is None else found.call
        if found.call is None and found.kind in _BEFORE_CALLS:
            step = -1
        return (self._order.get(found.node, len(self._order)), step, KINDS.index(found.kind))


_BEFORE_CALLS: tuple[Kind, ...] = ("missing", "extra", "input")
"""Differences of a whole node that come before anything it asks: it did not run, or was given something else."""
_AFTER_CALLS = CALLS_PER_NODE_MAX + 1


def _place(key: EffectKey) -> dict[str, Any]:
    return {"input": key.input, "frame": key.frame, "node": key.node, "call": key.call}
