"""What reached the engine, as a digest of its own: a replay that passed over a line of the record would not have the same one."""

from __future__ import annotations

from collections.abc import Iterable

from frameengine.effects import EffectKey
from frameengine.inputs import Input
from frameengine.replay.frames import Segment
from frameengine.trace.canonical import CanonicalDigest


class Delivered:
    """An instrument that knows which inputs the engine took, and digests them with the outcomes that it was answered with.

    Its digest is the canonical digest of the record where all of that was delivered, and in the recorded places.
    """

    def __init__(self) -> None:
        self._digest = CanonicalDigest()
        self._inputs: set[int] = set()

    def on_input(self, entered: Input) -> None:
        """Take note that the engine took *entered*."""
        self._inputs.add(entered.number)

    def message(self, number: int, form: bytes) -> None:
        """Digest input *number*, which begins a message, where the engine took it."""
        if self._taken(number):
            self._digest.line(form)

    def segment(self, segment: Segment, answered: Iterable[EffectKey]) -> None:
        """Digest what of *segment* the engine took: late inputs, outcomes of the calls that were answered, and its end."""
        keys = frozenset(answered)
        numbers = iter([entered.number for entered in (*segment.late, *([segment.cancel] if segment.cancel else ()))])
        for key, form in segment.canonical:
            if key is None:
                if self._taken(next(numbers)):
                    self._digest.line(form)
            elif key in keys:
                self._digest.outcome(key, form)
        self._digest.line(segment.end.canonical())

    def hexdigest(self) -> str:
        """Return the digest of all that was delivered so far, in hex."""
        return self._digest.hexdigest()

    def _taken(self, number: int) -> bool:
        if number in self._inputs:
            self._inputs.remove(number)
            return True
        return False
