"""Faults on purpose, drawn from a seed: the same seed gives the same faults at the same effects, in whatever order they come."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any, Literal, TypeAlias

from attrs import evolve

from frameengine.effects import Answer, Call, EffectFailure, EffectKey, ModelReply, Outcome
from frameengine.engine.driver import virtual_at
from frameengine.engine.stops import Ask
from frameengine.errors import UsageError
from frameengine.jsonvalue import freeze

Fault: TypeAlias = Literal["timeout", "rate_limit", "server_error", "empty", "truncated"]
FAULTS: tuple[Fault, ...] = ("timeout", "rate_limit", "server_error", "empty", "truncated")
_FAILURES: Mapping[Fault, EffectFailure] = {
    "timeout": EffectFailure(type="fault.timeout", message="no answer in time", fields=freeze({"phase": "total"})),
    "rate_limit": EffectFailure(
        type="fault.rate_limit", message="too many requests", fields=freeze({"status": 429, "retry_after": 1})
    ),
    "server_error": EffectFailure(type="fault.server_error", message="the server failed", fields=freeze({"status": 500})),
}


class Faulty:
    """A performer that lets another one answer, and now and then puts a fault in the place of the answer."""

    def __init__(self, performer: Any, *, seed: int, rates: Mapping[Fault, float]) -> None:
        """*rates*: each fault's share of all effects, from 0 to 1, together at most 1."""
        unknown = sorted(set(rates) - set(FAULTS))
        if unknown or any(not 0 <= rate <= 1 for rate in rates.values()) or sum(rates.values()) > 1:
            raise UsageError(
                f"fault rates {dict(rates)} are not of the form",
                hint=f"give each of {', '.join(FAULTS)} a share; together at most 1",
            )
        self._performer = performer
        self._seed = seed
        self._rates = {fault: rates[fault] for fault in FAULTS if fault in rates}
        self.injected: dict[EffectKey, Fault] = {}
        """The faults so far, by effect."""

    def perform(self, ask: Ask) -> Iterable[Answer]:
        """Answer faulted effects at once; the others as the performer behind does."""
        answers: list[Answer] = []
        sound: list[Call] = []
        for call in ask.new:
            fault = self.fault(call.key)
            failure = None if fault is None else _FAILURES.get(fault)
            if fault is None or failure is None:
                sound.append(call)
                continue
            self.injected[call.key] = fault
            answers.append(Answer(call.key, Outcome(status="error", error=failure, at=virtual_at(call.key))))
        if sound or not answers:
            behind = {key: call for key, call in ask.outstanding.items() if self.injected.get(key) not in _FAILURES}
            answers += [self._spoiled(answer) for answer in self._performer.perform(Ask(tuple(sound), behind))]
        return answers

    def drop(self, keys: Iterable[EffectKey]) -> None:
        """Tell the performer behind, where it can end what nobody awaits."""
        drop = getattr(self._performer, "drop", None)
        if drop is not None:
            drop(keys)

    def fault(self, key: EffectKey) -> Fault | None:
        """Return the fault that the seed puts at *key*; None for most."""
        seed = sha256(f"fault/{self._seed}/{key}".encode()).digest()
        drawn = random.Random(int.from_bytes(seed[:8], "big")).random()
        for fault, rate in self._rates.items():
            drawn -= rate
            if drawn < 0:
                return fault
        return None

    def _spoiled(self, answer: Answer) -> Answer:
        fault = self.fault(answer.key)
        value = answer.outcome.value
        if fault not in ("empty", "truncated") or not isinstance(value, ModelReply):
            return answer
        self.injected[answer.key] = fault
        text = "" if fault == "empty" else value.text[: len(value.text) // 2]
        message = freeze({**value.message, "content": text})
        reason = "stop" if fault == "empty" else "length"
        return Answer(answer.key, evolve(answer.outcome, value=evolve(value, message=message, finish_reason=reason)))
