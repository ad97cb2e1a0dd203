"""SQL's LIKE in time that is known beforehand: at most length of the pattern times length of the text."""

from __future__ import annotations

from typing import Final

from frameengine.errors import ToolFailed

_ANY: Final = 0
_MANY: Final = 1
_LOWER: Final = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}
"""SQLite ignores case in ASCII only."""


def like(pattern: str, text: str, escape: str | None = None) -> bool:
    """Tell whether *text* matches: ``%`` stands for any characters, ``_`` for one, *escape* takes both literally."""
    if escape is not None and len(escape) != 1:
        raise ToolFailed("ESCAPE expression must be a single character", hint="write ESCAPE '\\'")
    tokens = _tokens(pattern, escape)
    text = text.translate(_LOWER)
    at = place = 0
    retry = -1
    retry_at = 0
    while at < len(text):
        token = tokens[place] if place < len(tokens) else None
        if token == _MANY:
            retry, retry_at = place, at
            place += 1
        elif token is not None and token in (_ANY, text[at]):
            place += 1
            at += 1
        elif retry >= 0:
            retry_at += 1
            place, at = retry + 1, retry_at
        else:
            return False
    return all(token == _MANY for token in tokens[place:])


def _tokens(pattern: str, escape: str | None) -> list[str | int]:
    tokens: list[str | int] = []
    literal = False
    for character in pattern:
        if literal:
            tokens.append(character.translate(_LOWER))
            literal = False
        elif character == escape:
            literal = True
        elif character == "%":
            if not tokens or tokens[-1] != _MANY:
                tokens.append(_MANY)
        else:
            tokens.append(_ANY if character == "_" else character.translate(_LOWER))
    # An escape at the end stands for nothing that a text could hold.
    return [*tokens, ""] if literal else tokens
