"""Search everything that a run holds: inputs, requests, replies, outputs, emissions, changes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs
from attrs import frozen

from frameengine.codec import dumps
from frameengine.debug.place import Place
from frameengine.effects import ModelReply, Outcome, ToolReply
from frameengine.inputs import Input
from frameengine.jsonvalue import Json
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
    around: str
    """The text with what stands around it."""

    def to_json(self) -> dict[str, Any]:
        """Return the place as plain JSON."""
        return {"place": self.place.to_json(), "what": self.what, "around": self.around}


def search(session: Session, text: str, *, back: bool) -> Found | None:
    """Return the next place that holds *text*, upper and lower case alike; None where there is none in that direction."""
    timeline = session.timeline
    here = timeline.index(session.place)
    # A recording that broke off has effects in a frame that is no boundary, and inside a frame its own end lies ahead.
    end = timeline.places + (timeline.unfinished is not None)
    first = here if session.place.effects is not None else here + 1
    wanted = text.casefold()
    for index in session.debugger.while_wanted(range(here - 1, 0, -1) if back else range(first, end)):
        place = timeline.place(index) if index < timeline.places else _tail(session)
        found = found_at(session, place, wanted)
        if found is not None:
            return found
    return None


def found_at(session: Session, place: Place, wanted: str) -> Found | None:
    """Return where in a frame, or in the input of a message that has just entered, a text stands."""
    for what, held in _held(session, place):
        for text in _texts(held):
            at = text.casefold().find(wanted)
            if at >= 0:
                around = phrases.cut(text[max(0, at - AROUND) : at + len(wanted) + AROUND])
                return Found(place=place, what=what, around=around)
    return None


def _held(session: Session, place: Place) -> Iterator[tuple[str, Json]]:
    if not place.frame:
        yield "input", _brought(session.timeline.message(place.message).input)
        return
    step = session.timeline.frame(place)
    for entered in () if step is None else step.late:
        yield f"input {entered.number}", _brought(entered)
    for made in session.timeline.effects(place):
        # Of a request only what the one before it did not have: the rest was found there.
        request = made.request
        new = {**request, "messages": request.get("messages", ())[made.shared :]} if made.effect == "model" else request
        yield f"{made.key.node}: {made.effect} request", new
        yield f"{made.key.node}: {made.effect} reply", _answer(made.outcome)
    for record in () if step is None else step.records:
        for name in ("output", "emissions", "changes", "error"):
            if record.get(name):
                yield f"{record['node']}: {name}", record[name]


def _tail(session: Session) -> Place:
    """Return the last place inside the frame in which the recording breaks off."""
    begun = session.timeline.unfinished or session.timeline.last
    inside = Place(begun.message, begun.frame, 0)
    return Place(begun.message, begun.frame, len(session.timeline.effects(inside)))


def _brought(entered: Input) -> Json:
    body = entered.body
    return {attribute.name: getattr(body, attribute.name) for attribute in attrs.fields(type(body))}


def _answer(outcome: Outcome) -> Json:
    reply = outcome.value
    if isinstance(reply, ModelReply):
        return reply.message
    if isinstance(reply, ToolReply):
        return reply.content if reply.message is None else reply.message
    return None if outcome.error is None else {"type": outcome.error.type, "message": outcome.error.message}


def _texts(held: Json) -> Iterator[str]:
    """Yield the texts of a value, names of members included, and numbers as they are written."""
    if isinstance(held, str):
        yield held
    elif isinstance(held, dict):
        for name, item in held.items():
            yield name
            yield from _texts(item)
    elif isinstance(held, list | tuple):
        for item in held:
            yield from _texts(item)
    elif isinstance(held, int | float) and not isinstance(held, bool):
        yield dumps(held).decode()
