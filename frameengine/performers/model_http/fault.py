"""What can go wrong with a model call, and which of it is worth another try."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from hashlib import sha256
from random import Random
from typing import Any, Literal, TypeAlias, get_args

from attrs import frozen

from frameengine.effects import EffectFailure, EffectKey
from frameengine.jsonvalue import freeze

Kind: TypeAlias = Literal[
    "connect_error", "timeout", "rate_limited", "provider_error", "bad_response", "bad_chunk", "truncated", "too_large"
]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""Kinds of failures; an outcome's failure has the type ``model.`` and one of them."""

Phase: TypeAlias = Literal["connect", "headers", "first_token", "body", "stream"]
"""What a try waits for: a connection, the head of the answer, its first piece, or the rest of it."""

RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529})
"""Status codes after which another try may succeed."""
FINAL = frozenset({"insufficient_quota"})
"""Codes of providers that no waiting helps against, whatever the status."""
_SECONDS = re.compile(r"\s*(\d{1,12}(?:\.\d{1,9})?)\s*")


class Fault(Exception):
    """A model call that did not come to a complete answer."""

    def __init__(self, kind: Kind, message: str, **facts: Any) -> None:
        super().__init__(message)
        self.kind: Kind = kind
        self.message = message
        self.facts = {name: value for name, value in facts.items() if value is not None}

    @property
    def worth_another_try(self) -> bool:
        """Whether the same request may succeed a moment later."""
        if self.kind == "provider_error" or ("status" in self.facts and self.kind == "connect_error"):
            # The status of a connection that failed is a proxy's: a password that it refuses must not be tried again and again.
            code = self.facts.get("code")
            return (code if isinstance(code, int) else self.facts.get("status")) in RETRIED
        return self.kind in ("connect_error", "timeout", "truncated") or (
            self.kind == "rate_limited" and self.facts.get("code") not in FINAL
        )

    def failure(self) -> EffectFailure:
        """Return the failure as an outcome holds it."""
        return EffectFailure(type=f"model.{self.kind}", message=self.message, fields=freeze(self.facts))


@frozen(kw_only=True)
class Retry:
    """When a failed call is tried again. An answer that has begun is not asked for again, unless `after_text` says so."""

    attempts: int = 3
    """Tries of one call, the first included."""
    wait: float = 0.5
    """Seconds before the second try; twice as many before each one after it."""
    wait_max: float = 8.0
    """Seconds that are waited at most where the endpoint does not say how long."""
    retry_after_max: float = 60.0
    """Seconds that an endpoint may ask for; a call that would have to wait longer fails at once."""
    after_text: bool = False
    """Whether a call is tried again although a part of its answer has come, and may have been shown."""

    def pause(self, fault: Fault, key: EffectKey, attempt: int) -> float | None:
        """Return how many seconds to wait before the try after number *attempt*; None for no other try.

        The jitter comes from the call's key: it spreads calls apart, and is the same when a run is made again.
        """
        if attempt >= self.attempts or not fault.worth_another_try:
            return None
        if (fault.facts.get("text") or fault.facts.get("tool_calls")) and not self.after_text:
            return None
        told = fault.facts.get("retry_after")
        if told is not None:
            return told if told <= self.retry_after_max else None
        chance = Random(int.from_bytes(sha256(f"retry/{key}/{attempt}".encode()).digest()[:8], "big"))
        return float(min(self.wait_max, self.wait * 2 ** (attempt - 1)) * chance.uniform(0.5, 1.0))


def retry_after(headers: Mapping[str, str], now: int) -> float | None:
    """Return how many seconds an endpoint asks to wait; None where it does not say, or says nothing that makes sense.

    *now* is the wall clock in microseconds, for an endpoint that names a date.
    """
    millis = _SECONDS.fullmatch(headers.get("retry-after-ms", ""))
    if millis is not None:
        return float(millis[1]) / 1000
    told = headers.get("retry-after", "")
    seconds = _SECONDS.fullmatch(told)
    if seconds is not None:
        return float(seconds[1])
    try:
        until = parsedate_to_datetime(told).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
    return max(0.0, round(until - now / 1e6, 3)) if math.isfinite(until) else None
