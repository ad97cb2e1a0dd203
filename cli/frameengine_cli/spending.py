"""What model calls of a live run came to: tokens, cost, tries, and those that failed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from frameengine.effects import Call, EffectFailure, EffectKey, Outcome
from frameengine.errors import ModelCallFailed
from frameengine_cli import phrases

REFUSED = (401, 403)
"""Statuses by which an endpoint refuses a key."""


class Spending:
    """An instrument that adds model calls up. What an endpoint does not say is not guessed."""

    def __init__(self) -> None:
        self.calls = self.tries = 0
        self.failures: list[tuple[EffectKey, EffectFailure]] = []
        """Calls that failed in the end."""
        self._tokens: tuple[int, int] | None = None
        self._cost: float | None = None

    def on_outcome(self, call: Call, outcome: Outcome) -> None:
        """Count one."""
        if call.effect.kind != "model":
            return
        self.calls += 1
        self.tries += _figure(outcome.meta.get("attempts")) or 1
        found, cost = phrases.usage(outcome), _figure(outcome.meta.get("cost"))
        if found is not None:
            before = self._tokens or (0, 0)
            self._tokens = (before[0] + found[0], before[1] + found[1])
        if cost is not None:
            self._cost = (self._cost or 0) + cost
        if outcome.status == "error" and outcome.error is not None:
            self.failures.append((call.key, outcome.error))

    def told(self) -> str:
        """Return the figures in words; the cost is in the endpoint's own unit."""
        facts = [phrases.count(self.calls, "model call")]
        if self._tokens is not None:
            facts.append(phrases.tokens(self._tokens))
        if self._cost is not None:
            facts.append(f"cost {self._cost:.6f}".rstrip("0").rstrip("."))
        if self.tries != self.calls:
            facts.append(f"{self.tries:,} tries")
        if self.failures:
            facts.append(f"{len(self.failures):,} failed")
        return " · ".join(facts)

    def to_json(self) -> dict[str, Any]:
        """Return the figures for programs; null is what no endpoint said."""
        tokens = None if self._tokens is None else {"in": self._tokens[0], "out": self._tokens[1]}
        cost = None if self._cost is None else round(self._cost, 9)
        return {"calls": self.calls, "tries": self.tries, "failed": len(self.failures), "tokens": tokens, "cost": cost}

    def problem(self, look: str) -> ModelCallFailed | None:
        """Return what to say of the calls that failed; None where none did. *look* shows the run."""
        if not self.failures:
            return None
        key, failure = self.failures[0]
        more = len(self.failures) - 1
        what = f"{key}: {failure.message}" + (f"; and {phrases.count(more, 'call')} more failed" if more else "")
        return ModelCallFailed(what, hint=f"{_way_out(failure)}; {look}", type=failure.type, failed=_places(self.failures))


def _places(failures: Sequence[tuple[EffectKey, EffectFailure]]) -> list[list[Any]]:
    return [key.wire() for key, _ in failures]


def _way_out(failure: EffectFailure) -> str:
    if failure.fields.get("status") in REFUSED:
        return "check the key: frameengine doctor --reach tries it"
    if failure.type == "model.connect_error":
        return "check the base URL: frameengine doctor --reach tries it"
    return "frameengine doctor says what is configured"


def _figure(value: Any) -> Any:
    return value if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0 else None
