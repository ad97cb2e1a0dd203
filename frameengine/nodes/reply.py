"""Read a model's reply, which is not to be trusted, as JSON: bounded, in linear time, never raising beyond `ValueRefused`.

`Fields` gives the members one by one. Where one is missing or odd its default stands, and every such place is noted, so that a
default is never mistaken for something the model said.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final, Generic, TypeVar

from attrs import frozen

from frameengine import foreign
from frameengine.errors import LimitError, ValueRefused
from frameengine.jsonvalue import EMPTY, FrozenMap, Json

T = TypeVar("T")

REPLY_CHARS_MAX: Final = 64 << 10
"""Length of a reply that is read at all."""
TEXT_CHARS_MAX: Final = 4_000
"""Length of one text in a reply; what is longer is cut."""
ITEMS_MAX: Final = 100
"""Items of one list in a reply; what is beyond is left out."""
PROBLEMS_MAX: Final = 20
"""Problems that are named one by one."""

_FENCE: Final = "```"
_MARKS: Final = re.compile(r'["\\{}]')


@frozen
class Parsed(Generic[T]):
    """A typed value and what was wrong with the text that it was read from."""

    value: T
    problems: tuple[str, ...] = ()
    """One phrase for each place where a default stands; empty where all was as it should be."""


def prose(text: str) -> Parsed[str]:
    """Return a reply that is meant to be read as it is, at most `REPLY_CHARS_MAX` of it."""
    said = text.strip()
    if not said:
        return Parsed("", ("the reply has no text",))
    if len(said) > REPLY_CHARS_MAX:
        return Parsed(said[:REPLY_CHARS_MAX], (f"the reply has {len(said):,} characters and was cut to {REPLY_CHARS_MAX:,}",))
    return Parsed(said)


def json_object(text: str) -> FrozenMap:
    """Return the JSON object in a reply: that of its first fenced block, or the first one at all. Raises `ValueRefused`.

    Prose around it is passed over. A fence is a line, and blocks are counted from the top, so that what stands between two
    blocks is never taken for one.
    """
    if len(text) > REPLY_CHARS_MAX:
        raise ValueRefused(f"the reply has {len(text):,} characters, the bound is {REPLY_CHARS_MAX:,}", hint="ask for less")
    block = next((block for block in _blocks(text) if block.lstrip().startswith("{")), text)
    try:
        value = foreign.parse(_balanced(block))
    except LimitError as error:
        raise ValueRefused(error.message, hint=error.hint) from None
    if not isinstance(value, FrozenMap):
        raise ValueRefused("the reply is no JSON object", hint="ask for one object")
    return value


def _blocks(text: str) -> Iterator[str]:
    """Yield what stands between fences that are untagged or tagged as JSON."""
    wanted: list[str] | None = None
    inside = False
    for line in text.split("\n"):
        stripped = line.strip()
        if inside and stripped == _FENCE:
            if wanted is not None:
                yield "\n".join(wanted)
            inside, wanted = False, None
        elif inside:
            if wanted is not None:
                wanted.append(line)
        elif stripped.startswith(_FENCE):
            inside = True
            wanted = [] if stripped[len(_FENCE) :].strip().lower() in ("", "json") else None


def _balanced(text: str) -> str:
    """Return *text* from its first brace to the one that closes it."""
    start = text.find("{")
    if start < 0:
        raise ValueRefused("the reply holds no JSON object", hint="ask for one object")
    depth = 0
    in_string = False
    skip = -1
    for mark in _MARKS.finditer(text, start):
        if mark.start() == skip:
            continue
        match mark.group():
            case "\\" if in_string:
                skip = mark.start() + 1
            case '"':
                in_string = not in_string
            case "{" if not in_string:
                depth += 1
            case "}" if not in_string:
                depth -= 1
                if depth == 0:
                    return text[start : mark.end()]
    raise ValueRefused("the reply ends inside its JSON object", hint="was it cut off?")


class Fields:
    """The members of a reply, read one by one; what is null counts as not there."""

    def __init__(self, members: FrozenMap | None, problems: Sequence[str] = ()) -> None:
        self.absent = members is None
        self._members = EMPTY if members is None else members
        self._problems = list(problems)

    @classmethod
    def of(cls, text: str) -> Fields:
        """Return the members of the JSON object in *text*; absent, with the reason noted, where there is none."""
        if not text.strip():
            return cls(None, ["the reply has no text"])
        try:
            return cls(json_object(text))
        except ValueRefused as error:
            return cls(None, [error.message])

    @property
    def problems(self) -> tuple[str, ...]:
        """What was noted; the first `PROBLEMS_MAX` one by one."""
        more = len(self._problems) - PROBLEMS_MAX
        return (*self._problems[:PROBLEMS_MAX], *([f"and {more} more"] if more > 0 else []))

    def note(self, problem: str) -> None:
        """Note that something is not as it should be."""
        self._problems.append(problem)

    def require(self, *keys: str) -> None:
        """Note each of *keys* that is not there."""
        for key in keys:
            if self._members.get(key) is None:
                self.note(f"{key} is missing")

    def text(self, key: str, default: str = "") -> str:
        """Return a text, cut to `TEXT_CHARS_MAX`."""
        value = self._members.get(key)
        return default if value is None else self._text(key, value, default)

    def _text(self, place: str, value: Json, default: str) -> str:
        if not isinstance(value, str):
            self.note(f"{place} is no text")
            return default
        if len(value) > TEXT_CHARS_MAX:
            self.note(f"{place} has {len(value):,} characters and was cut")
            return value[:TEXT_CHARS_MAX]
        return value

    def choice(self, key: str, options: Sequence[str], default: str) -> str:
        """Return one of *options*, whatever the case it is written in."""
        value = self._members.get(key)
        if value is None:
            return default
        if isinstance(value, str) and value.strip().lower() in options:
            return value.strip().lower()
        self.note(f"{key} is none of {', '.join(options)}")
        return default

    def count(self, key: str) -> int:
        """Return a whole number from 0."""
        value = self._members.get(key)
        if value is None:
            return 0
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
        self.note(f"{key} is no count")
        return 0

    def items(self, key: str) -> tuple[Json, ...]:
        """Return the items of a list, at most `ITEMS_MAX`."""
        value = self._members.get(key)
        if value is None:
            return ()
        if not isinstance(value, tuple):
            self.note(f"{key} is no list")
            return ()
        if len(value) > ITEMS_MAX:
            self.note(f"{key} has {len(value):,} items, of which {ITEMS_MAX} are kept")
        return value[:ITEMS_MAX]

    def texts(self, key: str) -> tuple[str, ...]:
        """Return the texts of a list; what is none, or empty, is left out."""
        texts = [self._text(f"{key}[{index}]", item, "") for index, item in enumerate(self.items(key))]
        return tuple([text for text in texts if text])
