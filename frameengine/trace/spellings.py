"""How else a secret may be written: in base64, hex, a URL or UTF-16, backwards, in another case, with escapes of JSON or HTML."""

from __future__ import annotations

import re
from base64 import b64encode, urlsafe_b64encode
from bisect import bisect_right
from collections.abc import Callable
from html import unescape
from itertools import accumulate
from urllib.parse import quote, quote_plus

_ESCAPE = re.compile(r"(?<!\\)\\++(?:u00[2-7][0-9A-Fa-f]|/)|&(?:amp|lt|gt|quot|apos|#\d{2,3}|#[xX][0-9A-Fa-f]{2});")
"""One printable letter, as JSON and HTML may write it."""


def spellings(secret: str, shortest: int) -> list[str]:
    """Return the other ways of writing *secret*, at least *shortest* code points long, each once.

    In base64 it looks different at each of three offsets, and its ends share a letter with what is beside it: those are left out.
    UTF-16 that is read as letters has a zero between each two.
    """
    data = secret.encode()
    found = [data.hex(), data.hex().upper(), secret.swapcase(), secret.lower(), secret.upper(), secret[::-1], "\0".join(secret)]
    for quoted in (quote(secret, safe=""), quote(secret), quote_plus(secret), "".join([f"%{byte:02X}" for byte in data])):
        found += [quoted, _lower(quoted)]
    for encode in (b64encode, urlsafe_b64encode):
        for offset in range(3):
            # Letters that hold bits of the secret alone.
            first, bits = -(-offset * 8 // 6), (offset + len(data)) * 8
            found.append(encode(bytes(offset) + data).decode()[first : bits // 6])
    return [form for form in dict.fromkeys(found) if form != secret and len(form) >= shortest]


def unescaped(text: str) -> tuple[str, Callable[[int], int]] | None:
    """Return *text* without escapes of printable letters, and what tells a place in it from one in that; None if it has none."""
    if "\\u00" not in text and "\\/" not in text and not ("&" in text and ";" in text):
        return None
    escapes = list(_ESCAPE.finditer(text))
    if not escapes:
        return None
    parts, end = [], 0
    for escape in escapes:
        parts += [text[end : escape.start()], _letter(escape[0])]
        end = escape.end()
    # Of each escape: where the letter behind it stands in the short text, and by how much less far than in the long one.
    gone = list(accumulate(len(escape[0]) - 1 for escape in escapes))
    behind = [escape.end() - less for escape, less in zip(escapes, gone, strict=True)]

    def place(short: int) -> int:
        index = bisect_right(behind, short)
        return short + (gone[index - 1] if index else 0)

    return "".join([*parts, text[end:]]), place


def _letter(escape: str) -> str:
    if escape.endswith("/"):
        return "/"
    return chr(int(escape[-2:], 16)) if escape.startswith("\\") else unescape(escape)[:1]


def _lower(quoted: str) -> str:
    """Return a quoted text with its escapes in lower case."""
    parts = quoted.split("%")
    return "%".join([parts[0], *[part[:2].lower() + part[2:] for part in parts[1:]]])
