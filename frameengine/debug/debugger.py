"""Move about in a timeline: step, into, next, continue, run to, and each of them backwards."""

from __future__ import annotations

from frameengine.debug.place import START, Place
from frameengine.debug.stop import Stop
from frameengine.debug.timeline import Timeline


class Debugger:
    """A place in a timeline, and the moves from it."""

    def __init__(self, timeline: Timeline) -> None:
        self.timeline = timeline
        self.place: Place = START
        """Where it stands."""

    def step(self, *, back: bool = False) -> Stop:
        """Go to the next frame boundary, or to the one before."""
        index = self.timeline.index(self.place)
        # From inside a frame the boundary behind is where the frame began, and the one ahead its own end.
        step = -1 if back else 0 if self.place.effects is not None else 1
        return self._arrive(index + step)

    def into(self, *, back: bool = False) -> Stop:
        """Go to the next effect, or to the one before: outcome by outcome inside a frame, in order of arrival."""
        place, timeline = self.place, self.timeline
        if back:
            inside = place.effects if place.effects is not None else len(timeline.effects(place)) + 1 if place.frame else 0
            if inside:
                return self._at(Place(place.message, place.frame, inside - 1))
            return self.step(back=True)
        if place.effects is None:
            index = timeline.index(place) + 1
            if index >= timeline.places:
                return Stop(reason="end", where=place)
            following = timeline.place(index)
            return self._at(Place(following.message, following.frame, 0) if following.frame else following)
        arrived = place.effects + 1
        return self._at(Place(place.message, place.frame, arrived) if arrived <= len(timeline.effects(place)) else place.whole)

    def go(self, place: Place) -> Stop:
        """Go to a place. Raises `UnknownRef` where the run has no such place."""
        self.timeline.index(place)
        return self._at(place)

    def _arrive(self, index: int) -> Stop:
        if index < 0:
            return self._at(START, "start")
        if index >= self.timeline.places:
            return self._at(self.timeline.last, "end")
        return self._at(self.timeline.place(index))

    def _at(self, place: Place, reason: str = "place") -> Stop:
        self.place = place
        return Stop(reason=reason, where=place)  # type: ignore[arg-type]
