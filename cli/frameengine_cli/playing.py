"""What a replay shows while it goes on: a line for each message, and the conversation itself at the pace at which it came."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from time import monotonic, sleep
from typing import Any, TypeAlias

from frameengine.effects import Call, EffectKey, ModelReply, Outcome
from frameengine.engine.instruments import Previews
from frameengine.errors import UsageError
from frameengine.inputs import Input
from frameengine.jsonvalue import EMPTY, FrozenMap, Json
from frameengine.records import FrameTrace
from frameengine_cli import output, phrases
from frameengine_cli.chatting.people import People
from frameengine_cli.look import BAD, GOOD, QUIET, STRONG, words
from frameengine_cli.spending import figure

SAID = "\u203a "
"""Stands before what the user said."""
Piece: TypeAlias = tuple[int, int | None, str]
"""When it came, in milliseconds after the call; the tool call that it belongs to, None for the text; what it says."""


class Watcher:
    """An instrument that tells each message once the next begins: only then has it been compared."""

    def __init__(self, *, quiet: bool) -> None:
        self.quiet = quiet
        self.done: Callable[[int], None] = lambda _done: None
        self.differs: Callable[[], bool] = lambda: False
        self.place = "the header"
        self._input: Input | None = None
        self._trace: FrameTrace | None = None

    def on_input(self, entered: Input) -> None:
        """Tell the message before; remember this one."""
        if entered.during is not None:
            return
        self.done(entered.number - 1)
        self._tell("✗" if self.differs() else "✓")
        self._input, self._trace = entered, None
        self.place = f"input {entered.number}"

    def on_frame(self, frame: Any) -> None:
        """Remember how far it is."""
        self.place = f"input {frame.input}, frame {frame.frame}"

    def on_trace(self, trace: FrameTrace) -> None:
        """Remember the figures."""
        self._trace = trace

    def end(self, *, same: bool) -> None:
        """Tell the last message."""
        self._tell("✓" if same else "✗")

    def _tell(self, sign: str) -> None:
        if self.quiet or self._input is None:
            return
        facts: list[tuple[str, str]] = []
        if self._trace is not None:
            trace = self._trace
            frames, calls = phrases.frames(trace.total_frames, trace.frames), phrases.count(trace.calls, "call")
            # As wide where there is nothing to say, so that the columns of all lines stand below each other.
            ended = "" if trace.status == "done" else trace.status
            facts = [(f"{trace.path:<22}", QUIET), (f"{frames:>11}", QUIET), (f"{calls:>10}", QUIET), (f" {ended:<9}", QUIET)]
        style = GOOD if sign == "✓" else BAD
        number = f"{self._input.number:>4}"
        room = max(output.width() - sum(len(fact) for fact, _ in facts) - 10, 20)
        text = phrases.cut(phrases.input_line(self._input), room)
        output.show(words((f"{sign} ", style), (number, QUIET), ("  ", ""), (f"{text:<{room}}  ", ""), *facts))
        sys.stdout.flush()


def check_speed(speed: float | None, *, alone: bool) -> None:
    """Raise `UsageError` for a speed that is none; *alone*: whether one trace is replayed, for people."""
    if speed is None:
        return
    if not 0 < speed < float("inf"):
        raise UsageError(f"--speed {speed} is no speed", hint="1 is as fast as it was; leave it out for at once")
    if not alone:
        raise UsageError("--speed plays one conversation to somebody who reads", hint="name one trace, and leave out the rest")


class Player:
    """An instrument that lets each outcome take the time that it took, divided by *speed*, and shows its pieces on the way.

    Calls that were under way side by side are waited for side by side. A piece of text comes when it came; a reply without such
    times, and a tool's result, when it was whole; what has no times at all comes at once.
    """

    def __init__(
        self,
        speed: float,
        previews: Previews,
        view: People,
        *,
        now: Callable[[], float] = monotonic,
        wait: Callable[[float], None] = sleep,
    ) -> None:
        self._speed = speed
        self._previews = previews
        self._view = view
        self._now = now
        self._wait = wait
        self._asked: dict[EffectKey, float] = {}

    def on_input(self, entered: Input) -> None:
        """Show what came in by itself."""
        if entered.during is None:
            self._view.rest()
            output.show(words((SAID, f"{STRONG} {GOOD}"), (phrases.input_line(entered), STRONG)))
            sys.stdout.flush()

    def on_ask(self, call: Call) -> None:
        """Remember when a call began."""
        self._asked[call.key] = self._now()

    def on_outcome(self, call: Call, outcome: Outcome) -> None:
        """Show an outcome piece by piece, and wait until it was whole."""
        began = self._asked.pop(call.key)
        shown, before = getattr(call.effect, "show", False), _before(outcome)
        for ms, place, text in pieces(outcome) if shown else ():
            self._until(began, before + ms)
            if place is None:
                self._previews.delta(call, text)
            else:
                self._view.arguments(call.key, place, _tool(outcome, place), text)
        self._until(began, phrases.milliseconds(outcome.meta) or 0)
        if shown and outcome.status != "ok":
            self._previews.delta(call, None)

    def on_trace(self, trace: FrameTrace) -> None:
        """End the texts of a message."""
        self._view.rest(cancelled=trace.status == "cancelled")

    def _until(self, began: float, ms: float) -> None:
        left = began + ms / 1000 / self._speed - self._now()
        if left > 0:
            self._wait(left)


def pieces(outcome: Outcome) -> Iterator[Piece]:
    """Yield the pieces of a reply, or of a failed one as far as it came, in order of their times; none where it has no times.

    Their sizes count code points of the recorded text, which they cut.
    """
    chunks = outcome.meta.get("chunks")
    if not isinstance(chunks, FrozenMap):
        return
    texts: dict[int | None, str] = {None: _text(outcome)}
    at: dict[int | None, int] = {}
    listed: list[tuple[int, int | None, int]] = [(row[0], None, row[1]) for row in _rows(chunks.get("text"), 2)]
    listed += [(row[0], row[1], row[2]) for row in _rows(chunks.get("tools"), 3)]
    for ms, place, size in sorted(listed, key=lambda row: row[0]):
        text, start = texts.setdefault(place, "" if place is None else _arguments(outcome, place)), at.get(place, 0)
        at[place] = start + size
        if start < len(text) or place is not None:
            yield ms, place, text[start : start + size]


def _before(outcome: Outcome) -> float:
    """Return the milliseconds that went by in tries that failed, and between them: pieces have their times since the last one."""
    retries = outcome.meta.get("retries")
    tries = [one for one in retries if isinstance(one, FrozenMap)] if isinstance(retries, tuple) else []
    return sum((figure(one.get("ms")) or 0) + 1000 * (figure(one.get("waited")) or 0) for one in tries)


def _rows(value: Json, width: int) -> list[tuple[int, ...]]:
    rows = value if isinstance(value, tuple) else ()
    return [row for row in rows if isinstance(row, tuple) and len(row) == width and all(type(n) is int and n >= 0 for n in row)]


def _text(outcome: Outcome) -> str:
    if isinstance(outcome.value, ModelReply):
        return outcome.value.text
    text = outcome.error.fields.get("text") if outcome.error is not None else None
    return text if isinstance(text, str) else ""


def _function(outcome: Outcome, place: int) -> FrozenMap:
    calls = outcome.value.tool_calls if isinstance(outcome.value, ModelReply) else ()
    function = calls[place].get("function") if place < len(calls) else None
    return function if isinstance(function, FrozenMap) else EMPTY


def _tool(outcome: Outcome, place: int) -> str:
    return str(_function(outcome, place).get("name", "?"))


def _arguments(outcome: Outcome, place: int) -> str:
    arguments = _function(outcome, place).get("arguments")
    return arguments if isinstance(arguments, str) else ""
