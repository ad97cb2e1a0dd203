"""Breakpoints, watchpoints, expressions that are shown at each stop, and edits that wait for a fork."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import frozen

from frameengine.debug.points import Point, Watchpoint
from frameengine.jsonvalue import MISSING, FrozenMap, Json, point
from frameengine_cli import phrases
from frameengine_cli.debugging.looking import displayed
from frameengine_cli.debugging.session import Session
from frameengine_cli.look import BAD, DIFFERS, GOOD, QUIET, STRONG, words
from frameengine_cli.tui.lists import BREAK
from frameengine_cli.tui.rows import Folds, Outline, Row
from frameengine_cli.tui.working import Marks

OFF, WATCHED, EDITED = "○", "◎", "✎"


@frozen(kw_only=True)
class Stops:
    """What a person has set up, and what it comes to at a place."""

    points: Sequence[tuple[Point, int]]
    """Breakpoints and watchpoints, each with how often it stopped a move."""
    shown: Sequence[tuple[str, Json, str]]
    """Expressions with their values, or with what is wrong with them."""
    edits: Sequence[str]
    """Edits that wait for a fork."""

    @classmethod
    def of(cls, session: Session) -> Stops:
        """Read them."""
        held = session.debugger.breakpoints
        points = [(point, held.count(point.number)) for point in held.all()]
        return cls(points=points, shown=displayed(session), edits=[edit.text for edit in session.edits])


def stop_rows(stops: Stops, state: FrozenMap, marks: Mapping[int, Marks], folds: Folds, width: int) -> Sequence[Row]:
    """Return what a person has set up; *marks* has where each point holds in the whole run, as far as that is known."""
    outline = Outline(folds, width)
    for each, stopped in stops.points:
        pointer = each.pointer if isinstance(each, Watchpoint) else ""
        sign = (WATCHED if pointer else BREAK) if each.enabled else OFF
        text = words((f"{sign} ", f"{STRONG} {BAD if each.enabled else QUIET}"), (f"{each.number} ", QUIET))
        text.append_text(words((each.text, STRONG if each.enabled else QUIET)))
        if pointer:
            text.append_text(words(("  ", ""), (_shown(state, pointer), GOOD)))
        found = marks.get(each.number)
        facts = f"{stopped:,} of {found.total}" if found is not None and found.total else phrases.count(stopped, "stop")
        outline.line(text, number=each.number, subject=pointer, facts=words((facts, QUIET)))
        if found is not None and found.fault:
            outline.line(words((f"{DIFFERS} {found.fault}", BAD)), 1, number=each.number)
    if not outline.rows:
        outline.line(
            words(("no breakpoints: ", QUIET), ("b", STRONG), (" sets one, ", QUIET), ("w", STRONG), (" watches", QUIET))
        )
    if stops.shown:
        outline.gap()
        outline.line(words(("shown at each stop", QUIET)))
        for expression, value, fault in stops.shown:
            said = (fault or phrases.value(value), BAD if fault else STRONG)
            outline.line(words((f"{expression} ", ""), ("= ", QUIET), said), 1)
    if stops.edits:
        outline.gap()
        outline.line(words(("edits that wait for a fork", QUIET)))
        for number, edit in enumerate(stops.edits, 1):
            outline.line(words((f"{EDITED} {number} ", f"{STRONG} {BAD}"), (edit, "")), 1)
    return outline.rows


def _shown(state: Json, pointer: str) -> str:
    try:
        value = point(state, pointer)
    except (KeyError, IndexError, TypeError):
        value = MISSING
    return "not there" if value is MISSING else phrases.value(value, 40)
