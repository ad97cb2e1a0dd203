"""The canonical digest: what two equal runs share, whatever their times, their content numbers and their order of arrival."""

from __future__ import annotations

from hashlib import sha256

from frameengine.effects import EffectKey


class CanonicalDigest:
    """sha256 over the canonical forms of inputs, outcomes (in key order within their frame), frames and traces."""

    def __init__(self) -> None:
        self._hash = sha256()
        self._outcomes: list[tuple[EffectKey, bytes]] = []

    def outcome(self, key: EffectKey, form: bytes) -> None:
        """Take an outcome; it is digested with its frame."""
        self._outcomes.append((key, form))

    def line(self, form: bytes) -> None:
        """Take an input, a frame or a trace, after the outcomes that came before it."""
        if self._outcomes:
            self._outcomes.sort()
            form = b"\n".join([*[outcome for _, outcome in self._outcomes], form])
            self._outcomes.clear()
        self._hash.update(form + b"\n")

    def hexdigest(self) -> str:
        """Return the digest of all taken so far, in hex."""
        return self._hash.hexdigest()
