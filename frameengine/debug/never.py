"""Why a breakpoint can never hit: a recorded run does not change, so it can be said at once."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from attrs import evolve

from frameengine.debug.facts import near
from frameengine.debug.history import first_change
from frameengine.debug.matching import Diverges, Finder, frame_of, needle
from frameengine.debug.naming import known
from frameengine.debug.place import START, Place
from frameengine.debug.points import Breakpoint
from frameengine.debug.stop import Hit
from frameengine.debug.timeline import Timeline
from frameengine.expr import Expression

LOOKED_THROUGH: Final = 2_000
"""Places up to which a run is looked through at once; a longer one for names that stand nowhere in its file."""

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
    why_not = finder.trouble or f"its condition does not hold anywhere (asked {asked})"
    return why_not, _try(point.condition, finder.first, timeline)


def _try(condition: Expression, hit: Hit | None, timeline: Timeline) -> str:
    """Return the two commands that work a condition out where it was asked first, in the words of an expression at a place."""
    if hit is None:
        return "it names call, and there is no effect where it was to be asked: look with print EXPRESSION"
    place, text = hit.place, condition.text
    # What an expression at the end of a frame is about.
    newest = [record["node"] for record in timeline.records(place)][-1:]
    if hit.key is None and hit.node and newest != [hit.node]:
        return f"goto {place}, then frame: it shows {hit.node}"
    if hit.key is not None:
        keys = [made.key for made in timeline.effects(place)]
        here = [key for key in sorted(keys) if key.node == hit.node]
        tree = ast.parse(text.strip(), mode="eval")
        for part in ast.walk(tree):
            if isinstance(part, ast.Name) and part.id == "call":
                part.id = f"calls[{here.index(hit.key)}]"
        text = ast.unparse(tree)
        if newest != [hit.node]:
            # Where this one's last effect has arrived, it is about this one.
            place = evolve(place, effects=1 + max(index for index, key in enumerate(keys) if key.node == hit.node))
    return f"goto {place}, then print {text}"


def _nowhere(point: Breakpoint, timeline: Timeline, diverges: Diverges, *, small: bool) -> bool:
    """Return whether a breakpoint without a condition holds nowhere; of a long run, whether that can be told by its bytes."""
    if small or point.on in ("path", "status", "frame", "divergence", "if"):
        return not any(Finder(point, timeline, diverges).hits())
    sought = needle(point)
    return sought is not None and not timeline.mentions(sought)


def _node(name: str, timeline: Timeline) -> Why:
    names = known("node", timeline)
    if name in names:
        return f"node {name!r} is in the graph and never ran", near(name, [each for each in names if each != name])
    return f"there is no node {name!r}", near(name, names)


def _called(kind: str) -> Callable[[str, Timeline], Why]:
    def why(name: str, timeline: Timeline) -> Why:
        return f"no {kind} {name!r} is ever called", near(name, known(kind, timeline))

    return why


def _effect(kind: str, _: Timeline) -> Why:
    return f"no {kind} is ever called", "break on a node or an emission, such as: emission text"


def _emission(event: str, timeline: Timeline) -> Why:
    return f"no node ever emits {event!r}", near(event, known("emission", timeline))


def _path(path: str, timeline: Timeline) -> Why:
    return f"no message takes the path {path!r}", near(path, known("path", timeline))


def _status(status: str, timeline: Timeline) -> Why:
    return f"no message is {status!r}", near(status, known("status", timeline))


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


def _unknown_section(condition: Expression, timeline: Timeline) -> Why | None:
    """Return what is wrong with a condition that reads a section which the state has nowhere."""
    for part in ast.walk(ast.parse(condition.text, mode="eval")):
        if isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name) and part.value.id in ("state", "before"):
            sections = [*timeline.state(START).sections, *timeline.state(timeline.last).sections]
            if part.attr not in sections and first_change(timeline, f"/{part.attr}") is None:
                return f"the state never has a section {part.attr!r}", near(part.attr, sections)
    return None
