"""Read a breakpoint or watchpoint as it is typed, and refuse at once what can never hit."""

from __future__ import annotations

import re
from difflib import get_close_matches
from itertools import islice
from typing import Final, get_args

from attrs import evolve

from frameengine.debug.facts import NAMES, check_names, facts, near
from frameengine.debug.history import first_change, known_pointer
from frameengine.debug.matching import Diverges, Finder, compiled, frame_of
from frameengine.debug.naming import a_breakpoint, meant, member, such_as
from frameengine.debug.never import never
from frameengine.debug.points import ALONE, KINDS, Breakpoint, Kind, Point, Watchpoint, split_argument
from frameengine.debug.timeline import Timeline
from frameengine.errors import UsageError
from frameengine.expr import Expression, compile_expression
from frameengine.records import TraceStatus
from frameengine.trace.messages import CUT_OFF

SUCH_AS: Final[dict[Kind, str]] = {
    "node": "node thinker",
    "frame": "frame 3, or frame 2.3",
    "path": "path reflex",
    "effect": "effect tool",
    "tool": "tool query_db",
    "model": "model gpt-4o-mini",
    "emission": "emission text",
    "status": "status failed",
    "text": "text refund",
    "regex": "regex timeout|429",
    "if": "if len(calls) > 3",
}
"""What is shown where something is missing, and the run has no name that would do."""
LOOKED_INTO: Final = 20
"""Hits whose facts are looked through for a member of an unknown name."""


def parse_point(text: str, timeline: Timeline, diverges: Diverges, *, growing: bool = False) -> Point:
    """Return the breakpoint, or for a JSON pointer the watchpoint, that *text* describes; its number is 0.

    Raises `UsageError` and `ExpressionError`, also for what can never hit: ``fields['never']`` says why. Of a run that is
    *growing*, where what is not there may still come, only what is mistyped is refused.
    """
    if text.strip().startswith("/"):
        return parse_watchpoint(text, timeline, growing=growing)
    point = _read(text.strip(), timeline, diverges)
    why = None if growing else never(point, timeline, diverges)
    if why is not None:
        raise UsageError(f"{point.text}: {_nowhere(timeline)}: {why[0]}", hint=why[1], never=why[0], text=point.text)
    return point


def parse_watchpoint(pointer: str, timeline: Timeline, *, growing: bool = False) -> Watchpoint:
    """Return the watchpoint of a JSON pointer into the state. Raises `UsageError`, also where the value never changes."""
    pointer = pointer.strip()
    known_pointer(timeline, pointer, growing=growing)
    if not growing and first_change(timeline, pointer) is None:
        why = f"{pointer} has the same value from beginning to end"
        what = f"watch {pointer}: {_nowhere(timeline)}: {why}"
        raise UsageError(what, hint=f"look at it with: state {pointer}", never=why)
    return Watchpoint(pointer=pointer)


def _nowhere(timeline: Timeline) -> str:
    """Say that something does not hit; of a run that goes on where its file is damaged or ends, nobody knows the rest."""
    return "this can never hit" if timeline.problem is None else "in the good part this hits nowhere"


def _read(text: str, timeline: Timeline, diverges: Diverges) -> Breakpoint:
    word, _, rest = text.partition(" ")
    if word not in KINDS:
        near_kinds = get_close_matches(word, KINDS, 1)
        found = f"{near_kinds[0]} {rest}".rstrip() if near_kinds else meant(word, rest, timeline)
        hint = f"did you mean: {found}" if found else f"such as: {a_breakpoint(timeline)}; kinds are {', '.join(KINDS)}"
        what = f"{word!r} is no kind of breakpoint, at column 1 of {text!r}"
        raise UsageError(what, hint=hint, text=text, column=1, known=list(KINDS))
    kind: Kind = word
    argument, condition = ("", rest.strip()) if kind == "if" else split_argument(rest)
    if kind in ALONE and argument:
        raise UsageError(f"{kind} takes no argument, and there is {argument!r}", hint=f"{kind}, or {kind} if CONDITION")
    if kind not in ALONE and not argument:
        raise UsageError(f"{kind} what?", hint=f"such as: {such_as(kind, SUCH_AS[kind], timeline)}")
    if not condition and (kind == "if" or text.endswith(" if")):
        raise UsageError("if what? The condition is missing", hint=f"such as: {SUCH_AS['if']}")
    _check_argument(kind, argument)
    point = Breakpoint(on=kind, argument=argument)
    return evolve(point, condition=_condition(condition, point, timeline, diverges)) if condition else point


def _check_argument(kind: Kind, argument: str) -> None:
    if kind == "frame":
        frame_of(argument)
    elif kind == "effect" and argument not in ("model", "tool"):
        raise UsageError(f"{argument!r} is no kind of effect", hint="effect model, or effect tool", known=["model", "tool"])
    elif kind == "status" and argument not in (known := [*get_args(TraceStatus), CUT_OFF]):
        raise UsageError(f"{argument!r} is no status of a message", hint=near(argument, known), known=known)
    elif kind == "regex":
        try:
            compiled(argument)
        except (re.error, RecursionError, OverflowError) as error:
            column = getattr(error, "colno", None) or 1
            message = f"{argument!r} is no regular expression: {getattr(error, 'msg', error)}, at column {column}"
            raise UsageError(message, hint="a plain text is found with: text TEXT", text=argument, column=column) from None


def _condition(text: str, point: Breakpoint, timeline: Timeline, diverges: Diverges) -> Expression:
    expression = compile_expression(text)
    try:
        check_names(expression, NAMES)
    except UsageError as error:
        # What stands where the breakpoint holds is nearer than a name that is spelled alike.
        hits = islice(Finder(point, timeline, diverges).hits(), LOOKED_INTO) if point.on != "divergence" else ()
        found = member(error.fields["name"], [facts(timeline, hit.place, hit.node or None) for hit in hits])
        error.hint = f"did you mean {found}?" if found else error.hint
        raise
    return expression
