"""Search everything that a run holds: inputs, requests, replies, outputs, emissions, changes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from attrs import frozen

from frameengine.debug.matching import got, texts
from frameengine.debug.place import Place
from frameengine.inputs import Input
from frameengine.jsonvalue import Json
from frameengine.replay.divergence import wired
from frameengine.trace.messages import Made
from frameengine_cli import phrases
from frameengine_cli.debugging.session import Session

AROUND = 24
"""Code points before and behind what was found that are shown."""


@frozen(kw_only=True)
class Found:
    """A frame that holds a text."""

    place: Place
    """The frame, or the message whose input has it."""
    what: str
    """Where in it: input, request, reply, output, …; with the node's name."""
    part: str
    """The same as the panel of the frame names its parts: ``thinker output``, ``thinker call 0 message 3``."""
    around: str
    """The text with what stands around it."""

    def to_json(self) -> dict[str, Any]:
        """Return the place as plain JSON."""
        return {"place": self.place.to_json(), "what": self.what, "part": self.part, "around": self.around}


def search(session: Session, text: str, *, back: bool) -> Found | None:
    """Return the next place that holds *text*, upper and lower case alike; None where there is none in that direction."""
    timeline = session.timeline
    if not back:
        session.debugger.read_all()
        if session.debugger.stopped:
            return None
    here = timeline.index(session.place)
    # A recording that broke off has effects in a frame that is no boundary, and inside a frame its own end lies ahead.
    end = timeline.positions
    first = here if session.place.effects is not None else here + 1
    wanted = text.casefold()
    for index in session.debugger.while_wanted(range(here - 1, 0, -1) if back else range(first, end)):
        place = timeline.place(index)
        found = _found_at(session, place, wanted)
        if found is not None:
            return found
    return None


def _found_at(session: Session, place: Place, wanted: str) -> Found | None:
    """Return where in a frame, or in the input of a message that has just entered, a text stands."""
    for what, part, held in _held(session, place):
        for text in texts(held):
            at = text.casefold().find(wanted)
            if at >= 0:
                around = phrases.cut(text[max(0, at - AROUND) : at + len(wanted) + AROUND])
                return Found(place=place, what=what, part=part, around=around)
    return None


def _held(session: Session, place: Place) -> Iterator[tuple[str, str, Json]]:
    """Yield what there is to be looked through: what it is, the part of the frame, and the value."""
    if not place.frame:
        yield "input", "input", _brought(session.timeline.input(place.message))
        return
    step = session.timeline.frame(place)
    for entered in () if step is None else (*step.late, *session.timeline.behind(place)):
        yield f"input {entered.number}", f"input {entered.number}", _brought(entered)
    for made in session.timeline.effects(place):
        yield from _in_effect(made)
    for record in () if step is None else step.records:
        node = str(record["node"])
        if record.get("output"):
            yield f"{node}: output", f"{node} output", record["output"]
        for name, one in (("emissions", "emission"), ("changes", "change")):
            for number, each in enumerate(record.get(name, ())):
                yield f"{node}: {name}", f"{node} {one} {number}", each
        if record.get("error"):
            yield f"{node}: error", f"{node} error", record["error"]


def _in_effect(made: Made) -> Iterator[tuple[str, str, Json]]:
    """Yield request and reply; of a request only what the one before it did not have: the rest was found there."""
    asks, part = f"{made.key.node}: {made.effect} request", f"{made.key.node} call {made.key.call}"
    listed = made.request.get("messages", ()) if made.effect == "model" else ()
    for number, message in enumerate(listed[made.shared :], made.shared):
        yield asks, f"{part} message {number}", message
    yield asks, part, {name: held for name, held in made.request.items() if name != "messages" or made.effect != "model"}
    yield f"{made.key.node}: {made.effect} reply", part, got(made)


def _brought(entered: Input) -> Json:
    return wired(entered.wire())["data"]
