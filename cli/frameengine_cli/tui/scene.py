"""What there is to see at one place of a run."""

from __future__ import annotations

from attrs import frozen

from frameengine.debug.place import Place
from frameengine.debug.timeline import Timeline
from frameengine.jsonvalue import EMPTY, FrozenMap
from frameengine.trace.messages import Made, Message, Step


@frozen(kw_only=True)
class Scene:
    """A place, and what the record has there."""

    place: Place
    """Where."""
    message: Message | None = None
    """The message; None at the start of the run."""
    step: Step | None = None
    """The frame; None where none has begun."""
    effects: tuple[Made, ...] = ()
    """The frame's effects in order of arrival, those that have not arrived yet included."""
    state: FrozenMap = EMPTY
    """The state here."""
    before: FrozenMap = EMPTY
    """The state one frame boundary earlier."""

    @classmethod
    def of(cls, timeline: Timeline, place: Place) -> Scene:
        """Return what there is at a place of *timeline*."""
        state = timeline.state(place).sections
        if not place.message:
            return cls(place=place, state=state, before=state)
        earlier = timeline.place(timeline.index(place.boundary) - 1) if place.effects is None else place.boundary
        return cls(
            place=place,
            message=timeline.message(place.message),
            step=timeline.frame(place),
            effects=timeline.effects(place),
            state=state,
            before=timeline.state(earlier).sections,
        )

    @property
    def arrived(self) -> int:
        """How many of the effects have their outcome here."""
        return len(self.effects) if self.place.effects is None else self.place.effects

    @property
    def committed(self) -> bool:
        """Whether the frame is at its end."""
        return self.place.effects is None
