"""What there is to see at one place of a run, read from the trace once: panels draw from it while commands read on."""

from __future__ import annotations

from attrs import frozen

from frameengine.debug.layout import Summary
from frameengine.debug.place import Place
from frameengine.debug.timeline import Timeline
from frameengine.inputs import Input
from frameengine.jsonvalue import EMPTY, FrozenMap
from frameengine.trace.messages import UNDER_WAY, Made, Message, Step

BLOCK = 128
"""Frames that a list moves on by; it shows three blocks, so that the current frame has some before it and behind it."""


@frozen(kw_only=True)
class Shown:
    """A frame in the list of frames."""

    place: Place
    """Its end."""
    step: Step | None
    """The frame; None for one that was never committed."""
    effects: tuple[Made, ...]
    """Its effects in order of arrival."""
    behind: tuple[Input, ...]
    """Inputs that came in behind it, where it is the last of the message."""

    @classmethod
    def of(cls, timeline: Timeline, place: Place) -> Shown:
        """Return the frame that ends at a place."""
        return cls(place=place, step=timeline.frame(place), effects=timeline.effects(place), behind=timeline.behind(place))


@frozen(kw_only=True)
class Stretch:
    """The frames of a message around the current one: all of them, unless it has hundreds."""

    message: int
    """The message."""
    first: int
    """How many frames of the message come before them."""
    frames: tuple[Shown, ...]
    """They."""
    later: int
    """How many come after them."""
    last: Place
    """The end of the run when this was read: it may grow."""

    @classmethod
    def around(cls, timeline: Timeline, place: Place, known: Stretch | None = None) -> Stretch:
        """Return the frames around a place; those that are *known* already, where they are these."""
        row = timeline.messages[timeline.message_index(place.message)]
        entered = timeline.index(Place(place.message))
        at = min(timeline.index(place) - entered, row.frames)
        first = max(at // BLOCK - 1, 0) * BLOCK
        if known is not None and (known.message, known.first, known.last) == (place.message, first, timeline.last):
            return known
        behind = min(first + 3 * BLOCK, row.frames)
        places = [timeline.place(entered + 1 + index) for index in range(first, behind)]
        unfinished = timeline.unfinished
        if unfinished is not None and unfinished.message == place.message and behind == row.frames:
            places.append(unfinished)
        frames = tuple([Shown.of(timeline, each) for each in places])
        return cls(message=place.message, first=first, frames=frames, later=row.frames - behind, last=timeline.last)


@frozen(kw_only=True)
class Scene:
    """A place, and what the record has there."""

    place: Place
    """Where."""
    entered: Input | None = None
    """What began the message; None at the start of the run."""
    row: Summary | None = None
    """The message in short."""
    message: Message | None = None
    """The message whole: where it has just entered, and is not too long for that."""
    stretch: Stretch | None = None
    """Its frames around here."""
    step: Step | None = None
    """The frame; None where none has begun, or it was never committed."""
    effects: tuple[Made, ...] = ()
    """The frame's effects in order of arrival, those that have not arrived yet included."""
    state: FrozenMap = EMPTY
    """The state here."""
    before: FrozenMap = EMPTY
    """The state one frame boundary earlier."""
    doubt: str = ""
    """Why the state may be another one than the run had; empty where it is known."""

    @classmethod
    def of(cls, timeline: Timeline, place: Place, known: Stretch | None = None) -> Scene:
        """Return what there is at a place of *timeline*."""
        state, doubt = timeline.state(place).sections, timeline.doubt(place)
        if not place.message:
            return cls(place=place, state=state, before=state, doubt=doubt)
        earlier = timeline.place(timeline.index(place) - 1) if place.effects is None else place.boundary
        row = timeline.messages[timeline.message_index(place.message)]
        return cls(
            place=place,
            entered=timeline.input(place.message),
            row=row,
            message=timeline.message(place.message) if not place.frame and row.frames <= BLOCK else None,
            stretch=Stretch.around(timeline, place, known),
            step=timeline.frame(place),
            effects=timeline.effects(place) if place.frame else (),
            state=state,
            before=timeline.state(earlier).sections,
            doubt=doubt,
        )

    @property
    def under_way(self) -> bool:
        """Whether the message goes on: what it has not come to is not missing."""
        return self.row is not None and self.row.status == UNDER_WAY

    @property
    def arrived(self) -> int:
        """How many of the effects have their outcome here."""
        return len(self.effects) if self.place.effects is None else self.place.effects

    @property
    def committed(self) -> bool:
        """Whether the frame is at its end."""
        return self.place.effects is None
