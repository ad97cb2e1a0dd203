r"""Members of JSON in a text: where the values stand of those that are called as keys are, whether or not the JSON is whole.

JSON in a text of JSON counts as well, with its escapes: ``{"arguments": "{\"password\": \"…\"}"}``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from attrs import frozen

_COLON = re.compile(r'"\s*+:\s*+')
"""The end of any name, up to what it names. A pattern of all the ends below takes thirty times as long to find nothing."""
_ENDS = (
    *("key", "token", "secret", "credential", "credentials", "password", "passwd", "passphrase"),
    *("jwt", "bearer", "session", "auth", "authorization", "cookie"),
)
"""How names end that may be listed."""
_END_MAX = max(map(len, _ENDS))
_NAME_MAX = 80
_LIST = re.compile(r"\[\s*+")
_OPENS = re.compile(r'(\\*+)"')
_QUOTE = re.compile(r'(?<!\\)(\\*+)"')
_PLAIN = re.compile(r'(?:[^"\\]|\\.)*+(?=")', re.DOTALL)
_NEXT = re.compile(r"\s*+,\s*+")


@frozen
class Value:
    """A text behind a name."""

    name: str
    start: int
    """Where it begins, behind its quote."""
    end: int
    """Where it ends; -1 where the text ends first."""
    listed: bool
    """Whether it stands in a list, which may go on."""


def values(text: str) -> Iterator[Value]:
    """Yield the texts behind names that end as those of keys do."""
    for found in _COLON.finditer(text):
        last = found.start()
        while last and text[last - 1] == "\\":
            last -= 1
        if not text[max(0, last - _END_MAX) : last].lower().endswith(_ENDS):
            continue
        slashes = text[last : found.start()]
        quote = text.rfind('"', max(0, last - _NAME_MAX), last)
        # The quote before the name must be escaped as the one behind it is.
        if (
            quote < 0
            or text[max(0, quote - len(slashes)) : quote] != slashes
            or text[quote - len(slashes) - 1 : quote] == "\\" * (len(slashes) + 1)
        ):
            continue
        name = text[quote + 1 : last]
        listed = _LIST.match(text, found.end())
        at = found.end() if listed is None else listed.end()
        while True:
            opens = _OPENS.match(text, at)
            if opens is None or opens[1] != slashes:
                break
            end = _closed(text, opens.end(), len(slashes))
            yield Value(name, opens.end(), end, listed is not None)
            following = None if end < 0 or listed is None else _NEXT.match(text, end + len(slashes) + 1)
            if following is None:
                break
            at = following.end()


def _closed(text: str, start: int, slashes: int) -> int:
    """Return where a string ends whose quotes stand behind that many backslashes; -1 where it does not."""
    if not slashes:
        found = _PLAIN.match(text, start)
        return -1 if found is None else found.end()
    for quote in _QUOTE.finditer(text, start):
        if len(quote[1]) <= slashes:
            return quote.start()
    return -1
