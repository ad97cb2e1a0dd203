"""Answer from a cassette."""

from __future__ import annotations

from collections.abc import Callable

from attrs import evolve

from frameengine.cassette.match import Hit, Matcher
from frameengine.effects import Answer, Call, EffectKey, Outcome
from frameengine.engine.driver import virtual_at
from frameengine.engine.stops import Ask
from frameengine.jsonvalue import freeze


class Replaying:
    """A performer that answers from recorded calls; a miss stops the run unless *on_miss* answers it."""

    def __init__(
        self,
        matcher: Matcher,
        on_miss: Callable[[Call], Outcome] | None = None,
        *,
        arrived: Callable[[Call], int] = lambda call: virtual_at(call.key),
    ) -> None:
        """Answer by *matcher*. *arrived* says when the reply to a call arrives that was recorded in another place."""
        self._matcher = matcher
        self._on_miss = on_miss
        self._arrived = arrived
        self.hits: dict[EffectKey, Hit] = {}
        """How each call was answered from the cassette; the others *on_miss* answered."""

    def perform(self, ask: Ask) -> list[Answer]:
        """Answer the new effects in call order. Raises `CassetteMiss`."""
        return [Answer(call.key, self._answer(call)) for call in ask.new]

    def _answer(self, call: Call) -> Outcome:
        hit = self._matcher.look(call)
        if hit is None:
            if self._on_miss is None:
                raise self._matcher.miss(call)
            return self._on_miss(call)
        self.hits[call.key] = hit
        return self.outcome(call, hit)

    def outcome(self, call: Call, hit: Hit) -> Outcome:
        """Return what *call* gets of a recorded reply: as it is where it was recorded there, else with its origin in the meta."""
        recorded = hit.recorded
        if recorded.key == call.key and hit.how == "exact":
            return recorded.outcome
        origin = {"how": hit.how, "from": recorded.key.wire(), "similarity": round(hit.similarity, 3)}
        at = recorded.outcome.at if recorded.key == call.key else self._arrived(call)
        return evolve(recorded.outcome, at=at, meta=freeze({**recorded.outcome.meta, "reply": origin}))
