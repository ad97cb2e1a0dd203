"""Where the places of a run stand in its trace: a few numbers for each, taken while the trace is read."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from math import isnan, nan
from typing import Any, overload

from attrs import field, frozen

from frameengine.debug.place import START, Place
from frameengine.effects import EffectKey
from frameengine.inputs import Action, Body, SwitchGraph, UserMessage, Webhook
from frameengine.replay.frames import bad_line
from frameengine.trace.messages import CUT_OFF
from frameengine.trace.reader import Line

TEXT_MAX = 200
"""Code points of a message's text in a list."""
NUMBER_MAX = 1 << 62
"""Inputs and frames have lower numbers."""
_DURATIONS = ("ms", "latency_ms", "duration_ms")
_TOKENS = (("prompt_tokens", "input_tokens"), ("completion_tokens", "output_tokens"))


@frozen(kw_only=True)
class Summary:
    """A message in a list, told without decoding it."""

    number: int
    """Number of its input."""
    type: str
    """Kind of its input."""
    path: str
    """Label of the way it took; empty where the file ends before."""
    frames: int
    """Its frames, the epilogue included."""
    main_frames: int
    """Those up to the answer."""
    calls: int
    """Its effects."""
    status: str
    """done, open, failed, cancelled; where the file ends before, ``cut off``, or ``under way`` if more may come."""
    ms: float | None
    """How long it took, in milliseconds, where that was recorded."""
    tokens: tuple[int, int] | None
    """Tokens that went in and came out, where its replies report them."""
    cost: float | None
    """What its calls cost, where that was recorded."""
    _said: Callable[[int], str] = field(repr=False, eq=False)

    @property
    def text(self) -> str:
        """What came in, cut; decoded when it is asked for."""
        return self._said(self.number)

    def to_json(self) -> dict[str, Any]:
        """Return the summary as plain JSON."""
        names = ("number", "type", "text", "path", "frames", "main_frames", "calls", "status", "ms", "tokens", "cost")
        return {name: getattr(self, name) for name in names}


def in_short(body: Body) -> str:
    """Return what an input brought as a list of messages shows it: a user's text, or a name."""
    match body:
        case UserMessage(text=text) | Action(name=text) | SwitchGraph(graph=text) | Webhook(source=text):
            return text[:TEXT_MAX]
    return ""


class Layout(Sequence[Summary]):
    """The places and messages of a run, as a sequence of messages in short."""

    def __init__(self, said: Callable[[int], str], unended: Callable[[], str]) -> None:
        """Begin with the start of the run; *said* has the text of a message's input."""
        self._said = said
        self.unended = unended
        """Returns the status of the newest message as long as it has no figures."""
        self._words: dict[str, int] = {}
        self._texts: list[str] = []
        # For each place: its frame, its line, the newest time, and how many outcomes came before its end.
        self._frames = array("q", [0])
        self._lines = array("q", [0])
        self._times = array("q", [0])
        self._outcomes = array("q", [0])
        # For each message: input, its first place, the line of its figures, main frames, words, figures.
        self._numbers = array("q")
        self._firsts = array("q")
        self._ends = array("q")
        self._mains = array("q")
        self._types = array("q")
        self._paths = array("q")
        self._statuses = array("q")
        self._ms = array("d")
        self._costs = array("d")
        self._read = array("q")
        self._wrote = array("q")
        # For each outcome: its line, and the model call of the same node before it, from 1.
        self._outcome_lines = array("q")
        self._before = array("q")
        self._newest: dict[str, int] = {}
        self._time = self._count = 0
        self._number = 0
        """Number of the message under way; 0 between two."""
        self._frame = 0
        """Its newest frame."""
        self.newest = 0
        """Number of the newest line that is taken, set by whoever hands the lines over."""

    # ------------------------------------------------------------------ taking lines

    def input(self, line: Line, number: int) -> bool:
        """Take an input, line *number* of the file; return whether it begins a message. Raises `TraceFormat` out of place."""
        self._advance(line)
        entered = line.value["number"]
        if "during" in line.value:
            if not self._number:
                raise bad_line(line, f"input {entered} stands during a message, and there is none")
            return False
        if not (self._numbers[-1] if self._numbers else 0) < entered < NUMBER_MAX:
            raise bad_line(line, f"input {entered} is not the next one")
        self._numbers.append(entered)
        self._firsts.append(len(self._lines))
        self._ends.append(0)
        self._mains.append(0)
        self._types.append(self._word(line.value["type"]))
        self._paths.append(self._word(""))
        self._statuses.append(self._word(CUT_OFF))
        self._ms.append(nan)
        self._costs.append(nan)
        self._read.append(-1)
        self._wrote.append(-1)
        self._number, self._frame = entered, 0
        self._add(0, number)
        return True

    def outcome(self, line: Line, number: int) -> None:
        """Take an outcome."""
        value = line.value
        key = value["key"]
        if key[0] != self._number:
            raise bad_line(line, f"the outcome {EffectKey(*key)} stands outside its message")
        if line.at is not None and line.at > self._time:
            self._advance(line)
        self._count = count = self._count + 1
        self._outcome_lines.append(number)
        if value["effect"] != "model":
            self._before.append(0)
            return
        node = key[2]
        self._before.append(self._newest.get(node, 0))
        self._newest[node] = count
        reply = value["outcome"].get("value")
        usage = reply.get("usage") if type(reply) is dict else None
        if type(usage) is dict:
            self._add_tokens(usage)
        meta = value.get("meta")
        if meta is not None and type(meta.get("cost")) in {int, float}:
            known = self._costs[-1]
            self._costs[-1] = meta["cost"] + (0 if isnan(known) else known)

    def _add_tokens(self, usage: dict[str, Any]) -> None:
        for names, column in zip(_TOKENS, (self._read, self._wrote), strict=True):
            found = next((usage[name] for name in names if type(usage.get(name)) is int), None)
            if found is not None and 0 <= found < 1 << 40:
                column[-1] = max(column[-1], 0) + found

    def frame(self, line: Line, number: int) -> int:
        """Take a committed frame; return its position."""
        value = line.value
        frame = value["frame"]
        if value["input"] != self._number:
            raise bad_line(line, f"frame {frame} of input {value['input']} stands outside its message")
        if not self._frame < frame < NUMBER_MAX:
            raise bad_line(line, f"frame {frame} stands behind frame {self._frame}")
        if "phase" not in value:
            self._mains[-1] += 1
        self._frame = frame
        return self._add(frame, number)

    def trace(self, line: Line, number: int) -> None:
        """Take the figures of the message under way."""
        value = line.value
        if value["input"] != self._number:
            raise bad_line(line, f"the figures of input {value['input']} stand outside its message")
        self._number = 0
        self._ends[-1] = number
        self._paths[-1], self._statuses[-1] = self._word(value["path"]), self._word(value["status"])
        meta = value.get("meta")
        if meta is not None:
            found = next((meta[name] for name in _DURATIONS if type(meta.get(name)) in {int, float}), nan)
            self._ms[-1] = float(found)

    def _advance(self, line: Line) -> None:
        if line.at is not None and self._time < line.at < 1 << 63:
            self._time = line.at

    def _add(self, frame: int, line: int) -> int:
        """Add a place; return its position."""
        position = len(self._lines)
        self._frames.append(frame)
        self._lines.append(line)
        self._times.append(self._time)
        self._outcomes.append(self._count)
        return position

    def _word(self, text: str) -> int:
        known = self._words.get(text)
        if known is None:
            known = self._words[text] = len(self._texts)
            self._texts.append(text)
        return known

    # ------------------------------------------------------------------ messages

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, index: int) -> Summary: ...
    @overload
    def __getitem__(self, index: slice) -> list[Summary]: ...
    def __getitem__(self, index: int | slice) -> Summary | list[Summary]:
        """Return a message, or several, by position."""
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        index = range(len(self))[index]
        first, behind = self.span(index)
        ms, cost, read, wrote = self._ms[index], self._costs[index], self._read[index], self._wrote[index]
        words = self._texts
        return Summary(
            number=self._numbers[index],
            type=words[self._types[index]],
            path=words[self._paths[index]],
            frames=behind - first - 1,
            main_frames=self._mains[index],
            calls=self.outcomes(behind).stop - self._outcomes[first],
            status=self.status(index),
            ms=None if isnan(ms) else ms,
            tokens=None if read < 0 and wrote < 0 else (max(read, 0), max(wrote, 0)),
            cost=None if isnan(cost) else cost,
            said=self._said,
        )

    def status(self, index: int) -> str:
        """Return how a message ended: what its `Summary` says."""
        ended = self._ends[index] or index + 1 < len(self)
        return self._texts[self._statuses[index]] if ended else self.unended()

    def span(self, index: int) -> tuple[int, int]:
        """Return the first position of a message, and the one behind its last."""
        firsts = self._firsts
        return firsts[index], firsts[index + 1] if index + 1 < len(firsts) else len(self._lines)

    def within(self, position: int) -> int:
        """Return the position in the list of the message that a place belongs to; no message has the start of the run."""
        return bisect_right(self._firsts, position) - 1

    def find(self, number: int) -> int | None:
        """Return the position of a message in the list by the number of its input; None where there is none."""
        index = bisect_left(self._numbers, number)
        return index if index < len(self._numbers) and self._numbers[index] == number else None

    def figures_line(self, index: int) -> int:
        """Return the number of the line of a message's figures; 0 where the file ends before."""
        return self._ends[index]

    # ------------------------------------------------------------------ places

    @property
    def places(self) -> int:
        """How many frame boundaries there are."""
        return len(self._lines)

    def place(self, position: int) -> Place:
        """Return a frame boundary. Raises `IndexError` where there is none."""
        position = range(len(self._lines))[position]
        return Place(self._numbers[self.within(position)], self._frames[position]) if position else START

    def position(self, place: Place) -> int | None:
        """Return the position of a frame boundary; None where there is none."""
        index = self.find(place.message)
        if index is None:
            return 0 if place.whole == START else None
        first, behind = self.span(index)
        position = bisect_left(self._frames, place.frame, first, behind)
        return position if position < behind and self._frames[position] == place.frame else None

    def line(self, position: int) -> int:
        """Return the number of the line that ends the frame at a position, or of the input's."""
        return self._lines[position]

    def time(self, position: int) -> int:
        """Return the newest time of all that had entered, in microseconds."""
        return self._times[position]

    def outcomes(self, position: int) -> range:
        """Return which outcomes arrived in the frame at a position; those of an unfinished one, where it is behind the last."""
        stop = self._outcomes[position] if position < len(self._outcomes) else self._count
        return range(self._outcomes[position - 1], stop)

    def outcome_line(self, outcome: int) -> int:
        """Return the number of an outcome's line."""
        return self._outcome_lines[outcome]

    def before(self, outcome: int) -> int | None:
        """Return the model call of the same node before this one; None where there is none, or this is no model call."""
        return self._before[outcome] - 1 if self._before[outcome] else None
