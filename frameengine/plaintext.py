r"""Text from outside, made safe for a terminal: the one way by which the words of models, users and files reach a screen.

What may move the cursor, recolour, reorder or hide text is shown as its number instead: ``\x1b``, ``\u202e``, ``\U000e0041``.
"""

from __future__ import annotations

import re
from functools import lru_cache
from unicodedata import category

_SUSPECT = re.compile(r"[^\x20-\x7e\n\t]")
_SUSPECT_IN_JSON = re.compile(r"[^\x20-\x7e]")
_UNSEEN_CATEGORIES = frozenset(["Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"])
_UNSEEN_RANGES = (
    (0x034F, 0x034F),  # combining grapheme joiner
    (0x115F, 0x1160),  # Hangul fillers
    (0x17B4, 0x17B5),  # Khmer inherent vowels
    (0x180B, 0x180F),  # Mongolian variation selectors
    (0x2800, 0x2800),  # Braille blank
    (0x3164, 0x3164),  # Hangul filler
    (0xFE00, 0xFE0D),  # variation selectors; the two that choose between text and emoji stay
    (0xFFA0, 0xFFA0),  # halfwidth Hangul filler
    (0xE0000, 0xE0FFF),  # tags and further variation selectors
)
"""Letters and marks that show nothing: text can be hidden in them."""


def visible(text: str) -> str:
    """Return *text* with everything but printable characters, line feeds and tabs shown as its number."""
    return _SUSPECT.sub(_shown, text)


def visible_line(text: str) -> str:
    """Return *text* as one line: safe as `visible` makes it, each run of white space a single space."""
    return visible(" ".join(text.split()))


def visible_json(document: str) -> str:
    r"""Return an encoded JSON document that means the same and is safe to look at: what is not visible is written ``\uXXXX``."""
    return _SUSPECT_IN_JSON.sub(_escaped, document)


@lru_cache(maxsize=4096)
def is_visible(char: str) -> bool:
    """Return whether a character may reach a terminal as it is; line feed and tab may."""
    if char in "\n\t":
        return True
    number = ord(char)
    if category(char) in _UNSEEN_CATEGORIES:
        return False
    return not any(first <= number <= last for first, last in _UNSEEN_RANGES)


def _shown(match: re.Match[str]) -> str:
    char = match[0]
    if is_visible(char):
        return char
    number = ord(char)
    if number <= 0xFF:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"


def _escaped(match: re.Match[str]) -> str:
    char = match[0]
    if is_visible(char):
        return char
    units = char.encode("utf-16-be", "surrogatepass")
    return "".join([f"\\u{units[index]:02x}{units[index + 1]:02x}" for index in range(0, len(units), 2)])
