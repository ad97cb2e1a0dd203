"""What model calls of a live run came to: tokens, cost, tries, and those that failed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from frameengine.debug.pause import PERSON
from frameengine.effects import Call, EffectFailure, EffectKey, Outcome
from frameengine.errors import ModelCallFailed
from frameengine_cli import phrases

if TYPE_CHECKING:
    from frameengine.rerun.rerun import RerunResult

REFUSED = (401, 403)
"""Statuses by which an endpoint refuses a key."""


class Spending:
    """An instrument that adds model calls up. What an endpoint does not say is not guessed, and a sum says what it leaves out."""

    def __init__(self) -> None:
        self.calls = self.tries = 0
        self.failures: list[tuple[EffectKey, EffectFailure]] = []
        """Calls that failed in the end."""
        self._tokens: list[tuple[int, int]] = []
        self._costs: list[float] = []

    def on_outcome(self, call: Call, outcome: Outcome) -> None:
        """Count one."""
        by_hand = outcome.meta.get("by") == PERSON and outcome.meta.get("did") != "sent"
        if call.effect.kind != "model" or by_hand:
            return
        self.calls += 1
        self.tries += figure(outcome.meta.get("attempts")) or 1
        found, cost = phrases.usage(outcome), figure(outcome.meta.get("cost"))
        if found is not None:
            self._tokens.append(found)
        if cost is not None:
            self._costs.append(cost)
        if outcome.status == "error" and outcome.error is not None:
            self.failures.append((call.key, outcome.error))

    def told(self) -> str:
        """Return the figures in words; the cost is in the endpoint's own unit."""
        facts = [phrases.count(self.calls, "model call")]
        if self._tokens:
            facts.append(phrases.tokens(self._all_tokens()) + self._of(self._tokens))
        if self._costs:
            facts.append(f"cost {sum(self._costs):.6f}".rstrip("0").rstrip(".") + self._of(self._costs))
        if self.tries != self.calls:
            facts.append(f"{self.tries:,} tries")
        if self.failures:
            facts.append(f"{len(self.failures):,} failed")
        return " · ".join(facts)

    def to_json(self) -> dict[str, Any]:
        """Return the figures for programs; null is what no endpoint said, `told` of how many calls one did."""
        tokens = dict(zip(("in", "out"), self._all_tokens(), strict=True)) if self._tokens else None
        cost = round(sum(self._costs), 9) if self._costs else None
        told = {"tokens": len(self._tokens), "cost": len(self._costs)}
        figures = {"calls": self.calls, "tries": self.tries, "failed": len(self.failures)}
        return {**figures, "tokens": tokens, "cost": cost, "told": told}

    def _all_tokens(self) -> tuple[int, int]:
        return sum(read for read, _ in self._tokens), sum(wrote for _, wrote in self._tokens)

    def _of(self, told: Sequence[Any]) -> str:
        """Return of how many calls a sum is, where that is not all of them."""
        return "" if len(told) == self.calls else f" (of {len(told):,} of them)"

    def problem(self, look: str) -> ModelCallFailed | None:
        """Return what to say of the calls that failed; None where none did. *look* shows the run."""
        return calls_failed(self.failures, look)


def calls_failed(failures: Sequence[tuple[EffectKey, EffectFailure]], look: str = "") -> ModelCallFailed | None:
    """Return what to say of model calls that failed; None where none did. *look* shows the run."""
    if not failures:
        return None
    key, failure = failures[0]
    more = len(failures) - 1
    places = [key.wire() for key, _ in failures]
    what = f"{key}: {failure.message}" + (f"; and {phrases.count(more, 'call')} more failed" if more else "")
    hint = "; ".join([part for part in (_way_out(failure), look) if part])
    return ModelCallFailed(what, hint=hint, type=failure.type, failed=places)


def broken(result: RerunResult) -> list[tuple[EffectKey, EffectFailure]]:
    """Return the calls of live models that failed in a rerun or a fork."""
    return [(miss.call.key, miss.outcome.error) for miss in result.broken if miss.outcome.error is not None]


def _way_out(failure: EffectFailure) -> str:
    if failure.fields.get("status") in REFUSED:
        return "check the key: frameengine doctor --reach tries it"
    if failure.type == "model.connect_error":
        return "check the base URL and the proxy: frameengine doctor --reach tries them"
    return "frameengine doctor says what is configured"


def figure(value: Any) -> Any:
    """Return *value* where it is a number that can be a figure; None for anything else."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0 else None
