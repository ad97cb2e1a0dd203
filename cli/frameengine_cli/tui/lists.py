"""The two lists on the left: the messages of the run, and the frames of the current one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import overload

from rich.text import Text

from frameengine.debug.layout import Summary
from frameengine.debug.place import START, Place
from frameengine.debug.timeline import Timeline
from frameengine.errors import FrameEngineError
from frameengine.inputs import Input
from frameengine.jsonvalue import FrozenMap
from frameengine.trace.messages import Made
from frameengine_cli import phrases
from frameengine_cli.look import BAD, DIFFERS, ENTERS, GOOD, MODEL, NODE, OPEN, QUIET, SAME, STRONG, TOOL, words
from frameengine_cli.screens.timeline import status_sign, status_style
from frameengine_cli.tui.rows import Row
from frameengine_cli.tui.scene import Scene, Shown

TWO_LINES = 34
"""Columns from which a message has a second line: its path and figures."""
TEXT_MAX = 120
"""Code points of what a message says in the list."""
TEXTS_MAX = 5_000
"""Messages whose text is kept."""
BREAK = "◉"
"""The sign of a breakpoint that holds."""


class MessageRows(Sequence[Row]):
    """A row or two for each message, made when they come into sight: a run may have a hundred thousand."""

    def __init__(self, timeline: Timeline, number: int, width: int, texts: dict[int, str], busy: Callable[[], bool]) -> None:
        """Show message *number* as the current one. *texts* keeps what messages say, and is all there is while *busy*."""
        self._listed, self._number, self._texts, self._busy = timeline.messages, number, texts, busy
        self._count = len(self._listed)
        self._digits = len(str(self._listed[-1].number)) if self._count else 1
        self._lines = 2 if width >= TWO_LINES else 1
        self.here = 0 if not number else 1 + timeline.message_index(number) * self._lines
        """Index of the current message's row."""

    def __len__(self) -> int:
        return 1 + self._count * self._lines

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
            text.append_text(words((f"{ENTERS} {listed.type.lower()} ", QUIET)))
        text.append_text(words((self._text(listed), STRONG if here else "")))
        facts = words((status_sign(listed.status), status_style(listed.status)))
        return Row(text=text, facts=facts, place=place, here=here)

    def _text(self, listed: Summary) -> str:
        known = self._texts.get(listed.number)
        if known is not None or self._busy():
            return OPEN if known is None else known
        if len(self._texts) >= TEXTS_MAX:
            self._texts.clear()
        try:
            text = phrases.cut(listed.text, TEXT_MAX)
        except FrameEngineError as error:
            text = f"{DIFFERS} {error.code}"
        self._texts[listed.number] = text
        return text

    def _second(self, listed: Summary) -> Text:
        facts = [listed.path, phrases.frames(listed.main_frames, listed.frames), phrases.duration(listed.ms)]
        if listed.status != "done":
            facts.insert(0, listed.status)
        about = " · ".join([fact for fact in facts if fact])
        return words((f"{'':{self._digits}} {about}", QUIET if status_style(listed.status) == GOOD else BAD))


def frame_rows(scene: Scene, marks: Collection[Place]) -> list[Row]:
    """Return the frames of the current message with their calls; those in *marks* bear the sign of a breakpoint."""
    stretch, entered = scene.stretch, scene.entered
    if stretch is None or entered is None:
        return [Row(text=words(("nothing has entered yet", QUIET)))]
    digits = len(str(stretch.frames[-1].place.frame)) if stretch.frames else 1
    place = Place(stretch.message)
    text = _marked(place, marks).append_text(
        words((f"{'':{digits}} {ENTERS} ", GOOD), (phrases.cut(phrases.input_line(entered)), ""))
    )
    rows = [Row(text=text, place=place, here=scene.place == place, subject="input")]
    if stretch.first:
        at = Place(stretch.message, stretch.frames[0].place.frame - 1)
        rows.append(Row(text=words((f"  … {phrases.count(stretch.first, 'frame')} before", QUIET)), place=at))
    for shown in stretch.frames:
        rows += _frame(shown, scene, marks, digits)
    if stretch.later:
        at = Place(stretch.message, stretch.frames[-1].place.frame + 1)
        rows.append(Row(text=words((f"  … {phrases.count(stretch.later, 'frame')} behind", QUIET)), place=at))
    return rows


def _frame(shown: Shown, scene: Scene, marks: Collection[Place], digits: int) -> Iterator[Row]:
    step, place = shown.step, shown.place
    number = f"{place.frame:>{digits}} "
    if step is None:
        said = (f"{OPEN} under way", GOOD) if scene.under_way else (f"{DIFFERS} never committed", BAD)
        text = Text("  ").append_text(words((number, f"{STRONG} {GOOD}"), said))
        yield Row(text=text, place=Place(place.message, place.frame, 0), here=scene.place == Place(place.message, place.frame, 0))
        yield from _calls(shown, scene, None, digits)
        return
    yield from _late(step.late, place, digits)
    phase = "" if step.phase == "main" else step.phase
    facts = " ".join([part for part in (phase, phrases.duration(phrases.milliseconds(step.meta))) if part])
    for index, record in enumerate(step.records):
        text = _marked(place, marks) if index == 0 else Text("  ")
        text.append_text(words((number if index == 0 else f"{'':{digits}} ", f"{STRONG} {GOOD}")))
        yield Row(
            text=text.append_text(headline(record, short=True)),
            facts=words((facts if index == 0 else "", QUIET)),
            place=place,
            here=index == 0 and scene.place in (place, Place(place.message, place.frame, 0)),
            stop=f"node {record['node']}",
        )
        yield from _calls(shown, scene, str(record["node"]), digits)
    yield from _late(shown.behind, place, digits)


def _late(inputs: Sequence[Input], place: Place, digits: int) -> Iterator[Row]:
    for late in inputs:
        text = words((f"{'':{digits + 3}}{ENTERS} ", GOOD), (phrases.cut(phrases.input_line(late)), QUIET))
        yield Row(text=text, place=place, subject=f"input {late.number}")


def _calls(shown: Shown, scene: Scene, node: str | None, digits: int) -> Iterator[Row]:
    """Yield the calls of a node; of a frame that was never committed, all."""
    place = shown.place
    inside = scene.place.whole == place
    for number, call in enumerate(shown.effects, 1):
        if node is None or call.key.node == node:
            at = Place(place.message, place.frame, number)
            subject = subject_of(call, number) if inside and number <= scene.arrived else ""
            text = Text(" " * (digits + 4)).append_text(_call(call, arrived=not inside or number <= scene.arrived))
            yield Row(text=text, facts=_took(call), place=at, here=scene.place == at, stop=stop_at(call), subject=subject)


def _marked(place: Place, marks: Collection[Place]) -> Text:
    return words((f"{BREAK} ", f"{STRONG} {BAD}")) if place in marks else Text("  ")


def stop_at(call: Made) -> str:
    """Return the breakpoint that suits a call."""
    return f"{call.effect} {phrases.called(call)}"


def _call(call: Made, *, arrived: bool) -> Text:
    sign = MODEL if call.effect == "model" else TOOL
    name = phrases.called(call).rpartition("/")[2]
    if not arrived:
        return words((f"{OPEN} ", QUIET), (name, QUIET))
    good = call.outcome.status == "ok"
    asked = phrases.asked(call).removeprefix(name) if call.effect == "tool" else ""
    status = "" if good else f" {DIFFERS} {call.outcome.status} "
    return words((f"{sign} ", GOOD if good else BAD), (name, ""), (status, BAD), (asked, QUIET))


def _took(call: Made) -> Text:
    return words((phrases.took(call.outcome), QUIET))


def subject_of(call: Made, number: int) -> str:
    """Return how an edit names what a call got; *number* is its position in the frame, from 1."""
    return f"{'reply' if call.effect == 'model' else 'result'} {number}"


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


def title(row: Summary | None) -> tuple[str, str]:
    """Return title and facts of the list of frames."""
    if row is None:
        return "frames", ""
    return f"frames of {row.number}", " · ".join([part for part in (row.path, row.status) if part])
