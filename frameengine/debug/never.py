"""Why a breakpoint can never hit: a recorded run does not change, so it can be said at once."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from attrs import evolve

from frameengine.debug.facts import near
from frameengine.debug.history import first_change
from frameengine.debug.matching import Diverges, Finder, frame_of, needle
from frameengine.debug.place import START, Place
from frameengine.debug.points import Breakpoint
from frameengine.debug.timeline import Timeline
from frameengine.expr import Expression
from frameengine.jsonvalue import EMPTY, FrozenMap

LOOKED_THROUGH: Final = 2_000
"""Places up to which a run is looked through at once; a longer one for names that stand nowhere in its file."""
STRETCHES: Final = 20
"""Parts all over a long run from which names are listed."""

Why: TypeAlias = tuple[str, str]
"""Why something can never hit, and the way out."""


def never(point: Breakpoint, timeline: Timeline, diverges: Diverges) -> Why | None:
    """Return why a breakpoint can hit nowhere in the run; None where it can, or where finding out would take long."""
    if point.on == "divergence" and diverges() is None:
        return "the code of now does everywhere what was recorded", "break on what looks wrong instead, such as: error"
    small = timeline.places <= LOOKED_THROUGH
    if _nowhere(evolve(point, condition=None), timeline, diverges, small=small):
        return _WHY[point.on](point.argument, timeline)
    if point.condition is None:
        return None
    why = _unknown_section(point.condition, timeline)
    finder = Finder(point, timeline, diverges)
    if why is not None or not small or any(finder.hits()):
        return why
    asked = "once" if finder.asked == 1 else f"{finder.asked} times"
    return finder.trouble or f"its condition does not hold anywhere (asked {asked})", "try it at one place with: print EXPRESSION"


def _nowhere(point: Breakpoint, timeline: Timeline, diverges: Diverges, *, small: bool) -> bool:
    """Return whether a breakpoint without a condition holds nowhere; of a long run, whether that can be told by its bytes."""
    if small or point.on in ("path", "status", "frame", "divergence", "if"):
        return not any(Finder(point, timeline, diverges).hits())
    sought = needle(point)
    return sought is not None and not timeline.mentions(sought)


def _node(name: str, timeline: Timeline) -> Why:
    ran = _names(timeline, lambda record: [record["node"]])
    graph = [str(node["name"]) for node in timeline.header.get("graph", EMPTY).get("nodes", ())]
    if name in graph:
        return f"node {name!r} is in the graph and never ran", near(name, ran)
    return f"there is no node {name!r}", near(name, [*ran, *graph])


def _called(kind: str) -> Callable[[str, Timeline], Why]:
    def why(name: str, timeline: Timeline) -> Why:
        called = _names(timeline, lambda record: [call[2] for call in record.get("calls", ()) if call[1] == kind])
        return f"no {kind} {name!r} is ever called", near(name, called)

    return why


def _effect(kind: str, _: Timeline) -> Why:
    return f"no {kind} is ever called", "break on a node or an emission, such as: emission text"


def _emission(event: str, timeline: Timeline) -> Why:
    emitted = _names(timeline, lambda record: [event for event, _ in record.get("emissions", ())])
    return f"no node ever emits {event!r}", near(event, emitted)


def _path(path: str, timeline: Timeline) -> Why:
    return f"no message takes the path {path!r}", near(path, [row.path for row in timeline.messages])


def _status(status: str, timeline: Timeline) -> Why:
    return f"no message is {status!r}", near(status, [row.status for row in timeline.messages])


def _frame(argument: str, timeline: Timeline) -> Why:
    if isinstance(frame_of(argument), Place):
        return f"there is no place {argument}", f"the last one is {timeline.last}"
    most = max([timeline.place(position).frame for position in range(timeline.places)])
    return f"no message has a frame {argument}", f"the longest one has {most}"


def _said(text: str, _: Timeline) -> Why:
    return f"{text!r} is in no request and in no reply", "upper and lower case count: regex (?i)PATTERN takes both"


_WHY: Final[Mapping[str, Callable[[str, Timeline], Why]]] = {
    "node": _node,
    "frame": _frame,
    "path": _path,
    "effect": _effect,
    "tool": _called("tool"),
    "model": _called("model"),
    "emission": _emission,
    "error": lambda *_: ("no node and no effect fails", "break on what looks wrong instead, such as: node NAME"),
    "status": _status,
    "text": _said,
    "regex": _said,
    "divergence": lambda *_: ("the place where it diverges is not there", "read the trace anew: it was changed"),
    "if": lambda *_: ("no message enters", "record a run that has one"),
}


def _names(timeline: Timeline, of: Callable[[FrozenMap], list[str]]) -> list[str]:
    """Return the names in the records of a run; of a long one those of some stretches of it."""
    apart = max(timeline.places // STRETCHES, 1)
    long = min(apart, LOOKED_THROUGH // STRETCHES)
    positions = [at for start in range(1, timeline.places, apart) for at in range(start, min(start + long, timeline.places))]
    return [name for at in positions for record in timeline.records(timeline.place(at)) for name in of(record)]


def _unknown_section(condition: Expression, timeline: Timeline) -> Why | None:
    """Return what is wrong with a condition that reads a section which the state has nowhere."""
    for part in ast.walk(ast.parse(condition.text, mode="eval")):
        if isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name) and part.value.id in ("state", "before"):
            sections = [*timeline.state(START).sections, *timeline.state(timeline.last).sections]
            if part.attr not in sections and first_change(timeline, f"/{part.attr}") is None:
                return f"the state never has a section {part.attr!r}", near(part.attr, sections)
    return None
