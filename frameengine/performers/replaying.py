"""Answer from a cassette."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

from attrs import evolve

from frameengine.cassette.match import Hit, Matcher
from frameengine.effects import Answer, Call, EffectKey, Outcome
from frameengine.engine.driver import virtual_at
from frameengine.engine.stops import Ask
from frameengine.errors import CassetteMiss

Verdict: TypeAlias = Literal["exact", "approximate"]


class Replaying:
    """A performer that answers from recorded calls; a miss stops the run unless *on_miss* answers it."""

    def __init__(self, matcher: Matcher, on_miss: Callable[[Call], Outcome] | None = None) -> None:
        self._matcher = matcher
        self._on_miss = on_miss
        self.hits: dict[EffectKey, Hit] = {}
        """How each call was answered from the cassette."""
        self.missed: list[EffectKey] = []
        """The calls that *on_miss* answered."""

    def perform(self, ask: Ask) -> list[Answer]:
        """Answer the new effects in call order. Raises `CassetteMiss`."""
        return [Answer(call.key, self._answer(call)) for call in ask.new]

    def _answer(self, call: Call) -> Outcome:
        try:
            hit = self._matcher.find(call)
        except CassetteMiss:
            if self._on_miss is None:
                raise
            self.missed.append(call.key)
            return self._on_miss(call)
        self.hits[call.key] = hit
        return evolve(hit.recorded.outcome, at=virtual_at(call.key))

    @property
    def verdict(self) -> Verdict:
        """The verdict: exact where every call was answered by an equal recorded one."""
        return "exact" if not self.missed and all(hit.how == "exact" for hit in self.hits.values()) else "approximate"
