"""Secrets that tests plant, in seven spellings each, and the search for them."""

from __future__ import annotations

import json
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable
from urllib.parse import quote

PLACES = (
    "header",
    "query",
    "body",
    "userinfo",
    "env",
    "cookie",
    "response",
    "stream",
    "gzip",
    "error",
    "traceback",
    "stdout",
    "row",
    "webhook",
)
SPELLINGS: dict[str, Callable[[str], str]] = {
    "raw": str,
    "base64": lambda text: b64encode(text.encode()).decode(),
    "base64url": lambda text: urlsafe_b64encode(text.encode()).decode(),
    "hex": lambda text: text.encode().hex(),
    "url": lambda text: quote(text, safe=""),
    "json": lambda text: json.dumps(text)[1:-1],
    "case": str.swapcase,
}


def canary(place: str) -> str:
    """Return the secret of a place: of no known shape, with letters that every spelling writes otherwise."""
    return f'Kq7"{place}?>/+~Zx93Wb'


def spelled(place: str, spelling: str) -> str:
    """Return the secret of a place, spelled, between words, so that base64 has it at some offset."""
    return SPELLINGS[spelling](f"{'ab'[: len(spelling) % 3]}{canary(place)}" if spelling.startswith("base64") else canary(place))


def found(where: bytes, place: str) -> list[str]:
    """Return the spellings of the secret of a place that stand in *where*."""
    inner = [spelled(place, name) for name in SPELLINGS]
    # The ends of base64 share letters with what is beside them, and of a JSON text in JSON each escape is escaped again.
    inner += [spelled(place, "base64")[4:-4], spelled(place, "base64url")[4:-4], json.dumps(spelled(place, "json"))[1:-1]]
    return [one for one in inner if one.encode() in where]
