"""Find the recorded reply for a request: exactly, by slot, or by likeness, and say which it was."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from difflib import SequenceMatcher
from typing import Any, Literal, TypeAlias

from attrs import define, field, frozen

from frameengine.cassette.cassette import Cassette, Recorded
from frameengine.codec import dumps
from frameengine.effects import Call, ModelCall
from frameengine.errors import CassetteMiss
from frameengine.jsonvalue import MISSING, Json, first_difference, freeze

Policy: TypeAlias = Literal["exact", "slot", "nearest"]
NEAREST_MIN = 0.6
"""Likeness from which the nearest request counts as found."""
NEAREST_TRIED = 200
"""Recorded calls that are looked at for likeness, those of the same slot first."""
NEAREST_CHARS = 8_000
"""Characters of a request that likeness looks at, from its end: where conversations differ."""


@frozen(kw_only=True)
class Hit:
    """A recorded reply that was found for a request."""

    recorded: Recorded
    """The recorded call."""
    how: Policy
    """How it was found."""
    similarity: float = 1.0
    """Likeness of the requests, 0 to 1; 1 for exact."""
    ambiguous: bool = False
    """Whether it was recorded in another place, and an equal request got another outcome: that one could have been meant."""


@define
class Matcher:
    """Finds replies in one cassette for one run."""

    cassette: Cassette
    """The recorded calls."""
    policy: Policy
    """The loosest way of finding that is allowed."""
    nodes: Mapping[str, tuple[str, str]]
    """Slot and contract of each node of the run's graph."""
    _counts: Counter[tuple[int, str, str]] = field(factory=Counter)

    def look(self, call: Call) -> Hit | None:
        """Return the reply for *call*, and take it out; None where there is none."""
        slot, contract = self._node(call)
        nth = self.skip(call)
        hit = self._exact(call)
        if hit is None and self.policy != "exact":
            hit = self._slot(call, slot, contract, nth)
        if hit is None and self.policy == "nearest":
            hit = self._nearest(call, slot, contract)
        if hit is not None:
            self.cassette.use(hit.recorded)
        return hit

    def skip(self, call: Call) -> int:
        """Count a call as one of its slot and return its number there, from 0; the recorded reply is left for another one."""
        place = (call.key.input, self._node(call)[0], call.effect.kind)
        self._counts[place] += 1
        return self._counts[place] - 1

    def stand_in(self, call: Call) -> Hit | None:
        """Return the reply that would do for *call*, which `look` has just found none for, and take it out.

        That is what the policy does not allow, in its order: by slot, then the nearest.
        """
        slot, contract = self._node(call)
        nth = self._counts[call.key.input, slot, call.effect.kind] - 1
        hit = self._slot(call, slot, contract, nth) or self._nearest(call, slot, contract)
        if hit is not None:
            self.cassette.use(hit.recorded)
        return hit

    def _node(self, call: Call) -> tuple[str, str]:
        return self.nodes.get(call.key.node, (call.key.node, ""))

    def _exact(self, call: Call) -> Hit | None:
        """Among equal requests: the one of the same place, else the first of the same node, of the same input if there is one."""
        equal = self.cassette.equal(call.digest)
        if not equal:
            return None
        for entry in equal:
            if entry.key == call.key:
                return Hit(recorded=entry, how="exact")
        asked = call.key
        # The first of the least: they stand in order.
        chosen = min(equal, key=lambda entry: (entry.key.node != asked.node, entry.key.input != asked.input))
        return Hit(recorded=chosen, how="exact", ambiguous=self.cassette.varied(call.digest))

    def _slot(self, call: Call, slot: str, contract: str, nth: int) -> Hit | None:
        entry = self.cassette.in_slot(call.key.input, slot, contract, call.effect.kind, nth)
        if entry is None:
            return None
        return Hit(recorded=entry, how="slot", similarity=likeness(call, entry))

    def _nearest(self, call: Call, slot: str, contract: str) -> Hit | None:
        near = [(ratio, entry) for ratio, entry in self._ranked(call, slot) if entry.contract == contract]
        if not near or near[0][0] < NEAREST_MIN:
            return None
        return Hit(recorded=near[0][1], how="nearest", similarity=round(near[0][0], 3))

    def _ranked(self, call: Call, slot: str) -> list[tuple[float, Recorded]]:
        """Return unused calls of the same kind with their likeness, most alike first."""
        left = [entry for entry in self.cassette.unused() if entry.effect.kind == call.effect.kind]
        left.sort(key=lambda entry: (entry.slot != slot, entry.number))
        ranked = [(likeness(call, entry), entry) for entry in left[:NEAREST_TRIED]]
        ranked.sort(key=lambda item: (-item[0], item[1].number))
        return ranked

    def miss(self, call: Call) -> CassetteMiss:
        """Return the error for *call*, which has no reply: the nearest recorded calls, and why each was rejected."""
        slot, contract = self._node(call)
        used = self.cassette.was_used(call.digest)
        nearest = [_rejected(call, ratio, entry, contract) for ratio, entry in self._ranked(call, slot)[:3]]
        what = "every equal recorded call has been used already" if used else "no recorded call has this request"
        hint = "say --policy slot or nearest, or answer it with --on-miss script or live"
        return CassetteMiss(
            f"{call.key}: {call.effect.kind} call {call.effect.name!r} has no reply: {what}",
            hint=hint,
            key=call.key.wire(),
            used=used,
            nearest=nearest,
        )


def likeness(call: Call, entry: Recorded) -> float:
    """Return how alike two requests are, 0 to 1."""
    if call.digest == entry.call.digest:
        return 1.0
    if call.effect.kind != entry.effect.kind:
        return 0.0
    one, other = _text(call), _text(entry.call)
    return SequenceMatcher(None, one, other, autojunk=False).quick_ratio()


def _text(call: Call) -> str:
    return dumps(_request(call)).decode()[-NEAREST_CHARS:]


def _request(call: Call) -> dict[str, Any]:
    effect = call.effect
    if isinstance(effect, ModelCall):
        return {"model": effect.model, "messages": effect.messages, "tools": effect.tools, "params": effect.params}
    return {"name": effect.name, "arguments": effect.arguments}


def _rejected(call: Call, ratio: float, entry: Recorded, contract: str) -> dict[str, Any]:
    found = difference(entry.call, call)
    if entry.contract != contract:
        why = f"its replies follow the contract {entry.contract!r}, not {contract!r}"
    elif found is None:
        why = "it has been used"
    else:
        why = f"it differs at {found[0]}"
    where = {} if found is None else dict(zip(("pointer", "recorded", "asked"), found, strict=True))
    return {"key": entry.key.wire(), "similarity": round(ratio, 3), "why": why, "source": str(entry.source), **where}


def difference(recorded: Call, asked: Call) -> tuple[str, Json, Json] | None:
    """Return pointer and both values of the first difference between two requests; None where they are equal."""
    found = first_difference(freeze(_request(recorded)), freeze(_request(asked)))
    if found is None:
        return None
    pointer, one, other = found
    return pointer, None if one is MISSING else one, None if other is MISSING else other
