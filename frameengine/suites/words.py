"""The small language of directives: words, numbers, texts in double quotes, and alternatives joined by ``or``."""

from __future__ import annotations

import re
from typing import Final

from frameengine import foreign
from frameengine.errors import FrameEngineError
from frameengine.jsonvalue import Json

COMPARISONS: Final = (">=", "<=", "==", "!=", ">", "<")
"""What two numbers are compared with."""
_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|>=|<=|==|!=|[^\s"<>=!]+|\S')


class Problem(ValueError):
    """What is wrong with a directive's text; `str` of it says so."""


class Words:
    """The tokens of a directive, taken one by one. Every method raises `Problem` where something else stands there."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._tokens: list[tuple[str, int]] = [(match.group(), match.start()) for match in _TOKEN.finditer(text)]
        self._next = 0

    def peek(self) -> str:
        """Return the next token; empty at the end."""
        return self._tokens[self._next][0] if self._next < len(self._tokens) else ""

    def take(self, *wanted: str) -> bool:
        """Take the tokens *wanted* where they come next, one after another; return whether they did."""
        found = [token for token, _ in self._tokens[self._next : self._next + len(wanted)]]
        if found != list(wanted):
            return False
        self._next += len(wanted)
        return True

    def word(self, what: str) -> str:
        """Take a word that is no quoted text."""
        token = self.peek()
        if not token or token.startswith('"') or token in COMPARISONS:
            raise Problem(f"{what} is missing" if not token else f"{token} stands where {what} should")
        self._next += 1
        return token

    def number(self, what: str) -> int:
        """Take a whole number from 0."""
        token = self.word(what)
        if not token.isdecimal() or len(token) > 9:
            raise Problem(f"{token} stands where {what}, a whole number, should")
        return int(token)

    def comparison(self) -> str:
        """Take a comparison."""
        token = self.peek()
        if token not in COMPARISONS:
            raise Problem(f"a comparison ({', '.join(COMPARISONS)}) is missing")
        self._next += 1
        return token

    def texts(self) -> tuple[str, ...]:
        """Take quoted texts joined by ``or``. An empty one is refused: everything contains it."""
        found = [self._text()]
        while self.take("or"):
            found.append(self._text())
        return tuple(found)

    def rest(self) -> str:
        """Take everything that is left, as it is written."""
        start = self._tokens[self._next][1] if self._next < len(self._tokens) else len(self.text)
        self._next = len(self._tokens)
        return self.text[start:].strip()

    def end(self) -> None:
        """Refuse what is left."""
        if self.peek():
            raise Problem(f"{self.rest()!r} is too much")

    def _text(self) -> str:
        token = self.peek()
        if not token.startswith('"') or len(token) < 2 or not token.endswith('"'):
            raise Problem(f"a text in double quotes is missing{f', before {token}' if token else ''}")
        self._next += 1
        value = json_value(token)
        if not isinstance(value, str) or not value.strip():
            raise Problem("an empty text stands in everything: it could not fail")
        return value


def json_value(text: str) -> Json:
    """Return the JSON in *text*. Raises `Problem`."""
    try:
        return foreign.parse(text)
    except FrameEngineError as error:
        raise Problem(f"{error.message}") from None
