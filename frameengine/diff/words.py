"""Word-level differences inside texts: plain parts that a screen, a report or an assertion message renders in its own way."""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

from attrs import frozen

from frameengine.diff.align import align, merged

WORDS_MAX = 4_000
"""Words that are compared; what comes after is taken as one word."""
_WORD = re.compile(r"\w+|\s+|[^\w\s]")
Tag: TypeAlias = Literal["equal", "removed", "added"]


@frozen(kw_only=True)
class Part:
    """A run of words."""

    tag: Tag
    """Whether it stands on both sides, only on the left, or only on the right."""
    words: tuple[str, ...]
    """Its words, spaces and signs; joined they are the text."""

    @property
    def text(self) -> str:
        """The words joined."""
        return "".join(self.words)


def split(text: str) -> list[str]:
    """Return the words, spaces and signs of *text*, at most `WORDS_MAX` and one that holds the rest."""
    found: list[str] = _WORD.findall(text)
    return found if len(found) <= WORDS_MAX else [*found[:WORDS_MAX], "".join(found[WORDS_MAX:])]


def word_parts(left: str, right: str) -> tuple[Part, ...]:
    """Return both texts as one sequence of parts: those that are not *added* make the left text, not *removed* the right one."""
    ours, theirs = split(left), split(right)
    parts: list[tuple[Tag, list[str]]] = []
    for i, j in merged(align(ours, theirs), len(ours), len(theirs)):
        tag: Tag = "added" if i is None else "removed" if j is None else "equal"
        word = theirs[j or 0] if i is None else ours[i]
        if parts and parts[-1][0] == tag:
            parts[-1][1].append(word)
        else:
            parts.append((tag, [word]))
    return tuple([Part(tag=tag, words=tuple(words)) for tag, words in parts])
