"""Where a breakpoint holds: a finder asks one moment after another, and looks closer only where a cheap look found something."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, TypeAlias

from attrs import frozen

from frameengine.codec import dumps
from frameengine.debug.facts import Facts, Moment, name_of
from frameengine.debug.patterns import OutOfTime, Pattern
from frameengine.debug.place import Place, parse_place
from frameengine.debug.points import Breakpoint
from frameengine.debug.stop import Hit
from frameengine.debug.timeline import Timeline
from frameengine.effects import ToolReply
from frameengine.errors import ExpressionError
from frameengine.jsonvalue import FrozenMap, Json
from frameengine.limits import TEXT_SHARED_MIN
from frameengine.trace.messages import Made

REGEX_CHARS_MAX: Final = 1 << 20
"""Code points of one text that a pattern runs over. A longer text counts as a hit that says so: nothing is passed over unseen."""

Stopping: TypeAlias = Callable[[], bool]
"""Says whether what is under way is to end."""


def never_stops() -> bool:
    """Let a search go to its end."""
    return False


Diverges: TypeAlias = Callable[[], Hit | None]
"""Says where strict replay diverges; None where it does not."""


@frozen(kw_only=True)
class Candidate:
    """Something that the breakpoint is about, before its condition is asked."""

    record: FrozenMap | None = None
    """The node's record; None for the whole frame or message."""
    made: Made | None = None
    """The effect."""
    what: str = ""
    """What was found, in a few words."""


class Finder:
    """Finds where one breakpoint holds, and counts what its condition came to."""

    def __init__(self, point: Breakpoint, timeline: Timeline, diverges: Diverges) -> None:
        self.point = point
        self._timeline = timeline
        self.asked = 0
        """How often the condition was evaluated."""
        self.lacked = 0
        """How often it could not be: something that it names was not there, or did not suit."""
        self.error: ExpressionError | None = None
        """Why, the last time."""
        self.first: Hit | None = None
        """What it was asked about first, hit or not."""
        self._about: Callable[[Moment], Iterator[Candidate]] = _ABOUT[point.on](point, diverges)
        self._needle = needle(point)
        self._each_call = point.condition is not None and "call" in point.condition.names

    @property
    def trouble(self) -> str:
        """What is to be said of a condition that could not be evaluated anywhere; empty where it could."""
        if self.error is None or self.lacked < self.asked:
            return ""
        times = "once" if self.asked == 1 else f"{self.asked} times"
        return f"the condition was asked {times} and could never be evaluated: {self.error.message}"

    def at(self, moment: Moment) -> list[Hit]:
        """Return the hits in a moment: one for each record or effect that it holds for, or one for the whole of it."""
        if not self.possible(moment):
            return []
        found: list[Hit] = []
        for each in self._about(moment):
            found += [self._hit(moment, one) for one in self._closer(moment, each) if self._holds(moment, one)]
        return found

    def hits(self, stopping: Stopping = never_stops, first: int = 1, behind: int | None = None) -> Iterator[Hit]:
        """Yield every hit from position *first* up to the one before *behind*, until *stopping* says so.

        Without *behind* to the end of the run, an unfinished frame there included.
        """
        timeline = self._timeline
        end = timeline.positions
        for position in range(first, end if behind is None else min(behind, end)):
            if stopping():
                return
            yield from self.at(Moment(timeline, position))

    def possible(self, moment: Moment) -> bool:
        """Return whether a cheap look at the frame's line leaves it open that something holds there."""
        return self._needle is None or not moment.line or self._needle in moment.line

    def _closer(self, moment: Moment, each: Candidate) -> Iterator[Candidate]:
        """Yield a candidate as often as its condition is to be asked: for each record, or for each effect that it may name."""
        if self.point.condition is None or each.made is not None:
            yield each
            return
        records = [each.record] if each.record is not None else list(moment.records)
        if not records:
            yield each
        for record in records:
            if not self._each_call:
                yield Candidate(record=record, what=each.what)
                continue
            for made in moment.calls(record):
                yield Candidate(record=record, made=made, what=each.what)

    def _holds(self, moment: Moment, one: Candidate) -> bool:
        if self.point.condition is None:
            return True
        self.asked += 1
        self.first = self.first or self._hit(moment, one)
        try:
            return bool(self.point.condition.evaluate(Facts(moment, one.record, one.made)))
        except ExpressionError as error:
            self.lacked += 1
            self.error = error
            return False

    def _hit(self, moment: Moment, one: Candidate) -> Hit:
        node = one.made.key.node if one.made is not None else "" if one.record is None else str(one.record["node"])
        key = None if one.made is None else one.made.key
        return Hit(number=self.point.number, place=moment.place, node=node, key=key, what=one.what)


# ---------------------------------------------------------------------- what each kind is about


def _node(point: Breakpoint, _: Diverges) -> Callable[[Moment], Iterator[Candidate]]:
    return lambda moment: (Candidate(record=record) for record in moment.records if record["node"] == point.argument)


def _records(_point: Breakpoint, _: Diverges) -> Callable[[Moment], Iterator[Candidate]]:
    def about(moment: Moment) -> Iterator[Candidate]:
        for record in moment.records:
            yield Candidate(record=record)
        if not moment.place.frame and moment.ends_message:
            # A message that ran no frame has no record, and still can be asked for its type, text, path and state.
            yield Candidate()

    return about


def frame_of(argument: str) -> int | Place:
    """Return what a breakpoint on a frame means: a number in every message, or one frame. Raises `UsageError`."""
    return int(argument) if argument.isdecimal() and len(argument) < 10 else parse_place(argument).whole


def _frame(point: Breakpoint, _: Diverges) -> Callable[[Moment], Iterator[Candidate]]:
    wanted = frame_of(point.argument)

    def about(moment: Moment) -> Iterator[Candidate]:
        if wanted == (moment.place if isinstance(wanted, Place) else moment.place.frame):
            yield Candidate()

    return about


def _message(point: Breakpoint, _: Diverges) -> Callable[[Moment], Iterator[Candidate]]:
    def about(moment: Moment) -> Iterator[Candidate]:
        if moment.place.message and moment.ends_message and getattr(moment.row, point.on) == point.argument:
            yield Candidate(what=f"{point.on} {point.argument}")

    return about


def _calls(point: Breakpoint, _: Diverges) -> Callable[[Moment], Iterator[Candidate]]:
    def named(call: tuple[Json, ...]) -> bool:
        return bool(call[1] == point.argument if point.on == "effect" else (call[1], call[2]) == (point.on, point.argument))

    def about(moment: Moment) -> Iterator[Candidate]:
        for record in moment.records:
            wanted = [call[0] for call in record.get("calls", ()) if named(call)]
            if wanted:
                for made in moment.calls(record):
                    if made.key.call in wanted:
                        yield Candidate(record=record, made=made, what=_called(made))

    return about


def _called(made: Made) -> str:
    return f"{made.effect} {name_of(made)}" + ("" if made.outcome.status == "ok" else f": {made.outcome.status}")


def _emission(point: Breakpoint, _: Diverges) -> Callable[[Moment], Iterator[Candidate]]:
    def about(moment: Moment) -> Iterator[Candidate]:
        for record in moment.records:
            if any(event == point.argument for event, _ in record.get("emissions", ())):
                yield Candidate(record=record, what=f"emission {point.argument}")

    return about


def _error(_point: Breakpoint, _: Diverges) -> Callable[[Moment], Iterator[Candidate]]:
    def about(moment: Moment) -> Iterator[Candidate]:
        for record in moment.records:
            if any(call[3] == "error" for call in record.get("calls", ())):
                for made in moment.calls(record):
                    if made.outcome.error is not None:
                        yield Candidate(record=record, made=made, what=f"{_called(made)}: {made.outcome.error.message}")
            if (error := record.get("error")) is not None:
                yield Candidate(record=record, what=f"{error.get('type', '')}: {error.get('message', '')}")

    return about


Said: TypeAlias = tuple[str, str]
"""Part of an effect, request or reply, and a text in it."""


def _text(point: Breakpoint, _: Diverges) -> Callable[[Moment], Iterator[Candidate]]:
    def found(said: Sequence[Said]) -> str | None:
        return next((f"in the {part}" for part, text in said if point.argument in text), None)

    return _in_calls(found)


def _regex(point: Breakpoint, _: Diverges) -> Callable[[Moment], Iterator[Candidate]]:
    pattern = Pattern(point.argument)

    def found(said: Sequence[Said]) -> str | None:
        # Names of members stand in every message: each text is looked at once.
        parts: dict[str, str] = {}
        for part, text in said:
            parts.setdefault(text, part)
        fitting = [text for text in parts if len(text) <= REGEX_CHARS_MAX]
        try:
            first = pattern.first(fitting)
        except OutOfTime:
            return "the pattern takes too long: look at request and reply"
        if first is not None:
            return f"in the {parts[fitting[first]]}"
        long = next((text for text in parts if len(text) > REGEX_CHARS_MAX), None)
        if long is None:
            return None
        return f"a text of {len(long):,} characters, which is too long for a pattern: look at it, in the {parts[long]}"

    return _in_calls(found)


def compiled(pattern: str) -> re.Pattern[str]:
    """Return a pattern ready for use. Raises `re.error`."""
    with warnings.catch_warnings():
        # What a later Python may read in another way is no news to somebody who looks for something now.
        warnings.simplefilter("ignore")
        return re.compile(pattern)


def _in_calls(found: Callable[[Sequence[Said]], str | None]) -> Callable[[Moment], Iterator[Candidate]]:
    """Return where something is found in the texts of what came back for an effect, or of what it asked.

    Of a model's request only what the call of the same node before it had not: the rest was found there.
    """

    def about(moment: Moment) -> Iterator[Candidate]:
        for record in moment.records:
            for made in moment.calls(record):
                parts = (("reply", got(made)), ("request", _request(made)))
                what = found([(part, text) for part, value in parts for text in texts(value)])
                if what is not None:
                    yield Candidate(record=record, made=made, what=f"{what} of {_called(made)}".rstrip())

    return about


def _request(made: Made) -> Mapping[str, Json]:
    return {**made.request, "messages": made.request["messages"][made.shared :]} if made.shared else made.request


def got(made: Made) -> Json:
    """Return what a node got for an effect: the message of a reply, a result, or an error; None where there was nothing."""
    value, error = made.outcome.value, made.outcome.error
    if isinstance(value, ToolReply) and value.message is None:
        return value.content
    return value.message if value is not None else None if error is None else error.wire()


def texts(value: Json) -> Iterator[str]:
    """Yield the texts of a value, names of members included, and numbers as they are written."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield name
            yield from texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from texts(item)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield dumps(value).decode()


def _divergence(_: Breakpoint, diverges: Diverges) -> Callable[[Moment], Iterator[Candidate]]:
    def about(moment: Moment) -> Iterator[Candidate]:
        where = diverges()
        if where is not None and where.place == moment.place:
            record = next((record for record in moment.records if record["node"] == where.node), None)
            made = next((made for made in moment.effects if made.key == where.key), None)
            yield Candidate(record=record, made=made, what=where.what)

    return about


_ABOUT: Final[Mapping[str, Callable[[Breakpoint, Diverges], Callable[[Moment], Iterator[Candidate]]]]] = {
    "node": _node,
    "frame": _frame,
    "path": _message,
    "effect": _calls,
    "tool": _calls,
    "model": _calls,
    "emission": _emission,
    "error": _error,
    "status": _message,
    "text": _text,
    "regex": _regex,
    "divergence": _divergence,
    "if": _records,
}


def needle(point: Breakpoint) -> bytes | None:
    """Return bytes that stand in the line of every frame in which the breakpoint can hold; None where there are none such."""
    if point.on == "error":
        return b'"error"'
    if point.on in ("text", "regex"):
        return b'"calls":'
    if point.on not in ("node", "effect", "tool", "model", "emission") or len(point.argument) >= TEXT_SHARED_MIN:
        # A long name may stand elsewhere in the file, with a number here.
        return None
    return dumps(point.argument)
