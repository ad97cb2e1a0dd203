"""Fit chat messages into a budget of tokens (C12 to C15).

Instructions outlast the conversation: a system message goes only when no chat is left that could go instead. A message in the
middle that is too large is passed over, and the older ones behind it still get their chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from attrs import frozen

from frameengine.effects import text_of
from frameengine.jsonvalue import FrozenMap

CHARS_PER_TOKEN: Final = 4
"""Characters that count as one token: an estimate that needs no tokenizer and is the same everywhere."""
PROTECTED: Final = 4
"""Newest chat messages, which stay as long as the budget allows it at all."""


@frozen(kw_only=True)
class Fitted:
    """Messages that were fitted."""

    messages: tuple[FrozenMap, ...]
    """Those that stay, in their order."""
    tokens: int
    """What they take."""
    budget: int
    """What they may take."""

    @property
    def fill_pct(self) -> int:
        """How full the budget is, in per cent; more than 100 where even the last two messages are too large."""
        return 100 * self.tokens // self.budget


def estimate(text: str) -> int:
    """Return the tokens of a text."""
    return len(text) // CHARS_PER_TOKEN


def fit(messages: Sequence[FrozenMap], budget: int, keep: int = 1) -> Fitted:
    """Return the messages that fit into *budget* tokens.

    Leading system messages and the newest `PROTECTED` others are kept; the rest is added from the newest back. Where those
    alone are too many, the oldest chat goes first, the newest *keep* never: they belong together, such as a call and its
    results. System messages go only then, the first never, and none where even that would not be enough.
    """
    split = next((index for index, message in enumerate(messages) if message.get("role") != "system"), len(messages))
    sizes = [estimate(text_of(message)) for message in messages]
    protected = max(split, len(messages) - max(PROTECTED, keep))
    kept = [*range(split), *range(protected, len(messages))]
    used = sum([sizes[index] for index in kept])
    if used > budget:
        last = max(split, len(messages) - keep)
        least = sum(sizes[:1]) + sum(sizes[max(last, 1) :])
        spare = [*range(protected, last), *(reversed(range(1, split)) if least <= budget else ())]
        for index in spare:
            if used <= budget:
                break
            kept.remove(index)
            used -= sizes[index]
    else:
        for index in reversed(range(split, protected)):
            if used + sizes[index] <= budget:
                kept.append(index)
                used += sizes[index]
    return Fitted(messages=tuple([messages[index] for index in sorted(kept)]), tokens=used, budget=budget)
