"""Texts that are looked for in others: to look for thousands of them takes no longer than to look for a few."""

from __future__ import annotations

SHORTEST = 12
"""Code points that a text has at least that is looked for."""
FEW = 170
"""Texts up to which it is quicker to look for each of them in turn, in a long text; in a short one it is but a dozen."""
_GRAM = 6
_STRIDE = SHORTEST - _GRAM + 1
"""Wherever a text stands in another, `_GRAM` of its first `SHORTEST` letters stand from a multiple of this on."""


class Sought:
    """Texts of at least `SHORTEST` code points, and which of them may stand in another."""

    def __init__(self) -> None:
        self._texts: dict[str, None] = {}
        self._with: dict[str, dict[str, None]] = {}

    def __bool__(self) -> bool:
        """Whether any is looked for."""
        return bool(self._texts)

    def add(self, text: str) -> None:
        """Look for *text* from now on."""
        self._texts[text] = None
        for start in range(_STRIDE):
            self._with.setdefault(text[start : start + _GRAM], {})[text] = None

    def remove(self, text: str) -> None:
        """Look for *text* no longer; it must have been added."""
        del self._texts[text]
        for gram in {text[start : start + _GRAM]: None for start in range(_STRIDE)}:
            texts = self._with[gram]
            del texts[text]
            if not texts:
                del self._with[gram]

    def within(self, text: str) -> list[str]:
        """Return those that may stand in *text*: all that do, and others."""
        if len(self._texts) <= min(FEW, 12 + len(text) // 10):
            return list(self._texts)
        grams = {text[start : start + _GRAM] for start in range(0, len(text), _STRIDE)}
        if self._with.keys().isdisjoint(grams):
            return []
        return list(dict.fromkeys([one for gram in sorted(self._with.keys() & grams) for one in self._with[gram]]))
