"""The two lists on the left: the messages of the run, and the frames of the current one."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterator, Sequence
from typing import Any, overload

from rich.text import Text

from frameengine.debug.place import START, Place
from frameengine.debug.timeline import Timeline
from frameengine.jsonvalue import FrozenMap
from frameengine.trace.messages import Made, Message, Step
from frameengine_cli import phrases
from frameengine_cli.look import BAD, DIFFERS, ENTERS, GOOD, MODEL, NODE, OPEN, QUIET, SAME, STRONG, TOOL, words
from frameengine_cli.screens.timeline import status_sign, status_style
from frameengine_cli.tui.rows import Row
from frameengine_cli.tui.scene import Scene

TWO_LINES = 34
"""Columns from which a message has a second line: its path and figures."""
BREAK = "◉"
"""The sign of a breakpoint that holds."""


class MessageRows(Sequence[Row]):
    """A row or two for each message, made when they come into sight: a run may have a hundred thousand."""

    def __init__(self, timeline: Timeline, number: int, width: int) -> None:
        self._listed = timeline.messages
        self._number = number
        self._digits = len(str(self._listed[-1].number)) if self._listed else 1
        self._lines = 2 if width >= TWO_LINES else 1
        self.here = 0 if not number else 1 + bisect_left(self._listed, number, key=lambda row: row.number) * self._lines
        """Index of the current message's row."""

    def __len__(self) -> int:
        return 1 + len(self._listed) * self._lines

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | Sequence[Row]:
        """Return a row."""
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        if index == 0:
            return Row(text=words((f"{'':{self._digits}} start of the run", QUIET)), place=START, here=not self._number)
        position, line = divmod(index - 1, self._lines)
        listed = self._listed[position]
        place, here = Place(listed.number), listed.number == self._number
        if line:
            return Row(text=self._second(listed), place=place, here=here)
        text = words((f"{listed.number:>{self._digits}} ", f"{STRONG} {GOOD}"))
        if listed.type != "UserMessage":
            text.append_text(words((f"{ENTERS} ", QUIET)))
        text.append_text(words((phrases.cut(listed.text, 120), STRONG if here else "")))
        sign = words((status_sign(listed.status), status_style(listed.status)))
        took = phrases.duration(listed.ms)
        return Row(text=text, facts=words((f"{took} " if took and self._lines == 1 else "", QUIET)).append_text(sign), place=place, here=here)

    def _second(self, listed: Any) -> Text:
        facts = [listed.path, phrases.frames(listed.main_frames, listed.frames), phrases.duration(listed.ms)]
        if listed.status != "done":
            facts.insert(0, listed.status)
        about = " · ".join([fact for fact in facts if fact])
        return words((f"{'':{self._digits}} {about}", QUIET if listed.status == "done" else BAD))


def frame_rows(scene: Scene, timeline: Timeline, marks: Collection[Place]) -> list[Row]:
    """Return the frames of the current message with their calls; those in *marks* bear the sign of a breakpoint."""
    message = scene.message
    if message is None:
        return [Row(text=words(("nothing has entered yet: step", QUIET)))]
    entered = Place(message.number)
    text = _marked(entered, marks).append_text(words((f"  {ENTERS} ", GOOD), (phrases.cut(phrases.input_line(message.input)), "")))
    rows = [Row(text=text, place=entered, here=scene.place == entered)]
    digits = len(str(message.steps[-1].number)) if message.steps else 1
    for step in message.steps:
        rows += _frame(step, timeline, scene, marks, digits)
    for call in message.loose:
        rows.append(Row(text=words((f"   {DIFFERS} ", BAD)).append_text(_call(call, arrived=True)), facts=_took(call)))
    return rows


def _frame(step: Step, timeline: Timeline, scene: Scene, marks: Collection[Place], digits: int) -> Iterator[Row]:
    place = Place(scene.place.message, step.number)
    for late in step.late:
        yield Row(text=words((f"{'':{digits + 2}}{ENTERS} ", GOOD), (phrases.cut(phrases.input_line(late)), QUIET)), place=place)
    phase = "" if step.phase == "main" else step.phase
    facts = " ".join([part for part in (phase, phrases.duration(phrases.milliseconds(step.meta))) if part])
    for index, record in enumerate(step.records):
        text = _marked(place, marks) if index == 0 else Text(" ")
        number = f"{step.number:>{digits}} " if index == 0 else f"{'':{digits}} "
        text.append_text(words((number, f"{STRONG} {GOOD}"))).append_text(headline(record, short=True))
        yield Row(
            text=text, facts=words((facts if index == 0 else "", QUIET)), place=place, here=scene.place == place,
            stop=f"node {record['node']}",
        )  # fmt: skip
    inside = scene.place.whole == place
    effects = scene.effects if inside else timeline.effects(place)
    for index, call in enumerate(effects, 1):
        at = Place(place.message, place.frame, index)
        arrived = not inside or index <= scene.arrived
        text = Text(" " * (digits + 3)).append_text(_call(call, arrived=arrived))
        yield Row(text=text, facts=_took(call), place=at, here=scene.place == at, stop=_stop(call))


def _marked(place: Place, marks: Collection[Place]) -> Text:
    return words((BREAK, f"{STRONG} {BAD}")) if place in marks else Text(" ")


def _stop(call: Made) -> str:
    return f"{call.effect} {phrases.called(call)}"


def _call(call: Made, *, arrived: bool) -> Text:
    sign = MODEL if call.effect == "model" else TOOL
    name = phrases.called(call).rpartition("/")[2]
    if not arrived:
        return words((f"{OPEN} ", QUIET), (name, QUIET))
    good = call.outcome.status == "ok"
    return words((f"{sign} ", GOOD if good else BAD), (name, ""), ("" if good else f" {DIFFERS} {call.outcome.status}", BAD))


def _took(call: Made) -> Text:
    return words((phrases.duration(phrases.milliseconds(call.outcome.meta)), QUIET))


def headline(record: FrozenMap, *, short: bool = False) -> Text:
    """Return a node, where its output went, and why; in *short* without the conditions."""
    failed = record.get("error") is not None or bool(record.get("open"))
    route = record.get("route", ())
    parts = [(f"{DIFFERS if failed else NODE} ", BAD if failed else GOOD), (str(record["node"]), STRONG)]
    if route:
        parts += [(" → ", QUIET), (", ".join([str(name) for name in route]), "")]
    for condition, holds in {} if short else record.get("condition", {}).items():
        parts += [("  if ", QUIET), (str(condition), QUIET), (f" {SAME if holds else DIFFERS}", GOOD if holds else QUIET)]
    return words(*parts)


def title(message: Message | None) -> tuple[str, str]:
    """Return title and facts of the list of frames."""
    if message is None:
        return "frames", ""
    return f"frames of {message.number}", " · ".join([part for part in (message.path, message.status) if part])
