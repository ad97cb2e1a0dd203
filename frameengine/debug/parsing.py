"""Read a breakpoint as it is typed, and say at once where it can never hit: a recorded run does not change."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from typing import Final, get_args

from attrs import evolve

from frameengine.debug.facts import NAMES, Moment
from frameengine.debug.history import first_change, known_pointer
from frameengine.debug.matching import Diverges, Finder, frame_of
from frameengine.debug.place import START, Place
from frameengine.debug.points import ALONE, KINDS, Breakpoint, Kind, Point, Watchpoint, split_argument
from frameengine.debug.timeline import Timeline
from frameengine.errors import UsageError
from frameengine.expr import Expression, compile_expression
from frameengine.jsonvalue import EMPTY, FrozenMap
from frameengine.records import TraceStatus

LOOKED_THROUGH: Final = 2_000
"""Places of a run up to which texts, patterns and conditions are looked for when they are typed; names are in any run."""
CUT_OFF: Final = "cut off"
"""Status of a message inside which the file ends."""
EXAMPLE: Final = "tool query_db if state.memory.topic == 'billing'"


def parse_point(text: str, timeline: Timeline, diverges: Diverges, *, growing: bool = False) -> Point:
    """Return the breakpoint, or for a JSON pointer the watchpoint, that *text* describes; its number is 0.

    Raises `UsageError` and `ExpressionError`, also for what can never hit: ``fields['never']`` says why. Of a run that is
    *growing*, where what is not there may still come, only what is mistyped is refused.
    """
    if text.strip().startswith("/"):
        return parse_watchpoint(text.strip(), timeline, growing=growing)
    point = _read(text)
    if not growing:
        why, hint = never(point, timeline, diverges)
        if why:
            raise UsageError(f"{point.text}: this can never hit: {why}", hint=hint, never=why, text=point.text)
    return point


def _read(text: str) -> Breakpoint:
    word, _, rest = text.strip().partition(" ")
    if word not in KINDS:
        near = get_close_matches(word, KINDS, 1)
        hint = (
            f"did you mean: {near[0]} {rest}".rstrip() if near else f"write a kind first ({', '.join(KINDS)}), such as: {EXAMPLE}"
        )
        raise UsageError(f"{word!r} is no kind of breakpoint, at column 1 of {text.strip()!r}", hint=hint, known=list(KINDS))
    kind: Kind = word  # type: ignore[assignment]
    argument, condition = ("", rest.strip()) if kind == "if" else split_argument(rest)
    if kind in ALONE and argument:
        raise UsageError(f"{kind} takes no argument, and there is {argument!r}", hint=f"{kind}, or {kind} if CONDITION")
    if kind not in ALONE and not argument:
        raise UsageError(f"{kind} what?", hint=f"such as: {_SUCH_AS[kind]}")
    if not condition and (kind == "if" or text.split()[-1] == "if"):
        raise UsageError("if what? The condition is missing", hint=f"such as: {EXAMPLE}")
    _check_argument(kind, argument)
    return Breakpoint(on=kind, argument=argument, condition=_condition(condition) if condition else None)


def _check_argument(kind: Kind, argument: str) -> None:
    if kind == "frame":
        frame_of(argument)
    elif kind == "effect" and argument not in ("model", "tool"):
        raise UsageError(f"{argument!r} is no kind of effect", hint="effect model, or effect tool", known=["model", "tool"])
    elif kind == "status" and argument not in (known := [*get_args(TraceStatus), CUT_OFF]):
        raise UsageError(f"{argument!r} is no status of a message", hint=f"a message is {_listed(argument, known)}", known=known)
    elif kind == "regex":
        try:
            re.compile(argument)
        except (re.error, RecursionError, OverflowError) as error:
            column = getattr(error, "colno", None) or 1
            message = f"{argument!r} is no regular expression: {error}, at column {column}"
            raise UsageError(message, hint="a plain text is found with: text TEXT", text=argument, column=column) from None


def _condition(text: str) -> Expression:
    compiled = compile_expression(text)
    for name in compiled.names:
        if name not in NAMES:
            column = _column(text, name)
            hint = f"a condition has {_listed(name, list(NAMES))}"
            message = f"there is no {name!r}, at column {column} of {text!r}"
            raise UsageError(message, hint=hint, text=text, column=column, name=name, known=list(NAMES))
    return compiled


def _column(text: str, name: str) -> int:
    margin = len(text) - len(text.lstrip(" \t"))
    for part in ast.walk(ast.parse(text[margin:], mode="eval")):
        if isinstance(part, ast.Name) and part.id == name and part.lineno == 1:
            return margin + len(text[margin:].encode()[: part.col_offset].decode()) + 1
    return 1


# ---------------------------------------------------------------------- what can never hit


def never(point: Breakpoint, timeline: Timeline, diverges: Diverges) -> tuple[str, str]:
    """Return why a breakpoint can hit nowhere in the run, and the way out; both empty where it can, or where that is not known."""
    if point.on == "divergence":
        return ("", "") if diverges() is not None else ("strict replay is the same everywhere", "look for something else")
    plain = Finder(evolve(point, condition=None), diverges)
    named = point.on not in ("text", "regex", "if")
    if named or timeline.places <= LOOKED_THROUGH:
        if not any(plain.at(moment) for moment in moments(timeline)):
            return _NEVER.get(point.on, _never_said)(point.argument, timeline)
    if point.condition is None:
        return "", ""
    if why := _unknown_section(point.condition, timeline):
        return why
    if timeline.places > LOOKED_THROUGH:
        return "", ""
    finder = Finder(point, diverges)
    if any(finder.at(moment) for moment in moments(timeline)):
        return "", ""
    why = finder.trouble or f"its condition holds nowhere (asked {finder.asked} times)"
    return why, "try it on one frame with: print EXPRESSION"


def moments(timeline: Timeline) -> Iterator[Moment]:
    """Yield every moment of a run, from the first message on."""
    return (Moment(timeline, position) for position in range(1, timeline.places))


def _never_node(name: str, timeline: Timeline) -> tuple[str, str]:
    ran = _names(timeline, lambda record: [record["node"]])
    graph = [str(node["name"]) for node in timeline.header.get("graph", EMPTY).get("nodes", ())]
    if name in graph:
        return f"node {name!r} is in the graph and never ran", f"ran: {_listed(name, ran)}"
    return f"there is no node {name!r}", f"there are {_listed(name, [*ran, *graph])}"


def _never_called(kind: str) -> Callable[[str, Timeline], tuple[str, str]]:
    def why(name: str, timeline: Timeline) -> tuple[str, str]:
        called = _names(timeline, lambda record: [call[2] for call in record.get("calls", ()) if call[1] == kind])
        return f"no {kind} {name!r} is ever called", f"called are {_listed(name, called)}"

    return why


def _never_effect(kind: str, _: Timeline) -> tuple[str, str]:
    return f"no {kind} is ever called", "break on a node, or on an emission"


def _never_emitted(event: str, timeline: Timeline) -> tuple[str, str]:
    emitted = _names(timeline, lambda record: [event for event, _ in record.get("emissions", ())])
    return f"no node ever emits {event!r}", f"emitted are {_listed(event, emitted)}"


def _never_path(path: str, timeline: Timeline) -> tuple[str, str]:
    return f"no message takes the path {path!r}", f"taken are {_listed(path, [row.path for row in timeline.messages])}"


def _never_status(status: str, timeline: Timeline) -> tuple[str, str]:
    return f"no message is {status!r}", f"there are {_listed(status, [row.status for row in timeline.messages])}"


def _never_frame(argument: str, timeline: Timeline) -> tuple[str, str]:
    if isinstance(frame_of(argument), Place):
        return f"there is no place {argument}", f"the last one is {timeline.last}"
    most = max([timeline.place(position).frame for position in range(timeline.places)])
    return f"no message has a frame {argument}", f"the longest one has {most}"


def _never_said(text: str, _: Timeline) -> tuple[str, str]:
    return f"{text!r} stands in no request and no reply", "upper and lower case count; (?i) in a regex takes both"


_NEVER: Final[dict[str, Callable[[str, Timeline], tuple[str, str]]]] = {
    "node": _never_node,
    "frame": _never_frame,
    "path": _never_path,
    "effect": _never_effect,
    "tool": _never_called("tool"),
    "model": _never_called("model"),
    "emission": _never_emitted,
    "error": lambda _, timeline: ("no node and no effect fails", "break on something else"),
    "status": _never_status,
    "if": lambda _, timeline: ("the run has no message", "record one"),
}
_SUCH_AS: Final[dict[str, str]] = {
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
}


def _names(timeline: Timeline, of: Callable[[FrozenMap], list[str]]) -> list[str]:
    return [name for moment in moments(timeline) for record in moment.records for name in of(record)]


def _listed(name: str, known: list[str]) -> str:
    """Return the nearest of the known names, or else some of them."""
    unique = list(dict.fromkeys([str(each) for each in known if each]))
    near = get_close_matches(name, unique, 3) or unique[:12]
    return (", ".join(near) + (", …" if near == unique[:12] and len(unique) > 12 else "")) if near else "none"


def _unknown_section(condition: Expression, timeline: Timeline) -> tuple[str, str] | None:
    """Return what is wrong with a condition that reads a section which the state has nowhere."""
    for part in ast.walk(ast.parse(condition.text.strip(), mode="eval")):
        if isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name) and part.value.id in ("state", "before"):
            sections = [*timeline.state(START).sections, *timeline.state(timeline.last).sections]
            if part.attr not in sections and first_change(timeline, f"/{part.attr}") is None:
                return f"the state never has a section {part.attr!r}", f"there are {_listed(part.attr, sections)}"
    return None


def parse_watchpoint(pointer: str, timeline: Timeline, *, growing: bool = False) -> Watchpoint:
    """Return the watchpoint of a JSON pointer into the state. Raises `UsageError`, also where the value never changes."""
    known_pointer(pointer, timeline, growing=growing)
    if not growing and first_change(timeline, pointer) is None:
        why = f"{pointer} has the same value from beginning to end"
        raise UsageError(f"watch {pointer}: this can never hit: {why}", hint=f"look at it with: state {pointer}", never=why)
    return Watchpoint(pointer=pointer)
