"""How else a secret that is known may be written: in base64, hex, a URL, or with its case reversed."""

from __future__ import annotations

from base64 import b64encode, urlsafe_b64encode
from urllib.parse import quote, quote_plus


def spellings(secret: str, shortest: int) -> list[str]:
    """Return the other ways of writing *secret*, at least *shortest* code points long, each once.

    In base64 it looks different at each of three offsets, and its ends share a letter with what is beside it: those are left out.
    """
    data = secret.encode()
    found = [data.hex(), data.hex().upper(), secret.swapcase()]
    for quoted in (quote(secret, safe=""), quote(secret), quote_plus(secret), "".join([f"%{byte:02X}" for byte in data])):
        found += [quoted, _lower(quoted)]
    for encode in (b64encode, urlsafe_b64encode):
        for offset in range(3):
            # Letters that hold bits of the secret alone.
            first, bits = -(-offset * 8 // 6), (offset + len(data)) * 8
            found.append(encode(bytes(offset) + data).decode()[first : bits // 6])
    return [form for form in dict.fromkeys(found) if form != secret and len(form) >= shortest]


def _lower(quoted: str) -> str:
    """Return a quoted text with its escapes in lower case."""
    parts = quoted.split("%")
    return "%".join([parts[0], *[part[:2].lower() + part[2:] for part in parts[1:]]])
