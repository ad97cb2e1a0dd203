"""Names, texts and values of the surface, bounded: models and clients write them, and the state holds them."""

from __future__ import annotations

from typing import Final

from frameengine.codec import dumps
from frameengine.errors import ValueRefused
from frameengine.jsonvalue import FrozenMap, Json, freeze

NAME_CHARS_MAX: Final = 100
"""Length of the name of an action, a machine, one of its states, or a value."""
TEXT_CHARS_MAX: Final = 2_000
"""Length of a text that is shown; what is longer is cut."""
VALUE_BYTES_MAX: Final = 4 << 10
"""Encoded size of a value that a button carries or the surface remembers."""
VALUE_DEPTH_MAX: Final = 16
"""Nesting of such a value."""


def refused(what: str) -> ValueRefused:
    """Return the error that says *what* is wrong with something that was asked of the surface."""
    return ValueRefused(what, hint="correct it and ask again", pointer="")


def name(value: Json, what: str) -> str:
    """Return a name as a plain string, which may be a key. Raises `ValueRefused` for what is none."""
    if not isinstance(value, str) or not value.strip():
        raise refused(f"{what} is no name")
    if len(value) > NAME_CHARS_MAX:
        raise refused(f"{what} has {len(value):,} characters, the bound is {NAME_CHARS_MAX}")
    return str(value)


def text(value: Json, what: str) -> str:
    """Return a text, cut to `TEXT_CHARS_MAX`. Raises `ValueRefused` for what is none."""
    if not isinstance(value, str):
        raise refused(f"{what} is no text")
    return cut(value, TEXT_CHARS_MAX)


def small(value: Json, what: str) -> Json:
    """Return a value that is small enough to be kept. Raises `ValueRefused` for any other."""
    if _deeper(value, VALUE_DEPTH_MAX):
        raise refused(f"{what} is nested deeper than {VALUE_DEPTH_MAX}")
    size = len(dumps(value))
    if size > VALUE_BYTES_MAX:
        raise refused(f"{what} takes {size:,} bytes, the bound is {VALUE_BYTES_MAX:,}")
    return freeze(value)


def cut(value: str, chars: int) -> str:
    """Return *value*, or its beginning and an ellipsis."""
    return value if len(value) <= chars else f"{value[: chars - 1]}…"


def quoted(value: Json, chars: int = 60) -> str:
    """Return a value as one line of JSON, cut to *chars*: names that people and models read can break no line."""
    return cut(dumps(value).decode(), chars)


def items(value: Json) -> tuple[Json, ...]:
    """Return a list as it is, and any other value as none."""
    return value if isinstance(value, tuple) else ()


def _deeper(value: Json, room: int) -> bool:
    if isinstance(value, FrozenMap):
        return room == 0 or any(_deeper(item, room - 1) for item in value.values())
    return isinstance(value, tuple) and (room == 0 or any(_deeper(item, room - 1) for item in value))
