"""Cut text that is too long for a request, and say so: a reader who does not know it would count wrongly."""

from __future__ import annotations

from collections.abc import Sequence


def cut(text: str, chars: int) -> str:
    """Return *text* up to *chars* characters; a note tells how much there is."""
    if len(text) <= chars:
        return text
    return f"{text[:chars]}\n[cut: {chars:,} of {len(text):,} characters; the whole has {text.count(chr(10)) + 1:,} lines]"


def cut_fairly(texts: Sequence[str], chars: int) -> tuple[str, ...]:
    """Return *texts* cut to *chars* characters together, notes not counted.

    Each has a claim to an equal share, and what short ones leave goes to the long ones: no text is lost for another's length.
    """
    kept = dict.fromkeys(range(len(texts)), "")
    left = chars
    for position, index in enumerate(sorted(kept, key=lambda index: len(texts[index]))):
        share = left // (len(texts) - position)
        kept[index] = cut(texts[index], share)
        left -= min(share, len(texts[index]))
    return tuple(kept.values())
