"""All contents of a trace that was read once, in any order: each is read again when it is asked for, the newest few are kept."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import count
from typing import Any

from frameengine.codec import dumps
from frameengine.jsonvalue import FrozenMap, Json, freeze
from frameengine.limits import CONTENT_WINDOW_BYTES
from frameengine.trace.contents import LISTS_REMEMBERED, BadContent, Content, Contents
from frameengine.trace.numbering import CONTENT_COST, LIST_ITEMS_MAX


class Stored(Contents):
    """Contents that are fetched; what was proven once is not checked again.

    As much is kept as a reader remembers, whichever was asked for last.
    """

    def __init__(self, fetch: Callable[[int], tuple[int, list[Any], int]]) -> None:
        """Prepare to *fetch* the first number, the values and the size of the content line that holds a content."""
        super().__init__()
        self._fetch = fetch
        self.recent: Contents | None = None
        """What a reader that is under way remembers: it need not be fetched."""

    def get(self, number: int) -> Content:
        """Return content *number*: a text, a mapping, or a list of mappings."""
        if number not in self._decoded:
            self._know(number)
        return super().get(number)

    def opened(self, number: int) -> Json:
        """Return content *number* one step deep, as it stands in the file: what it refers to stays a reference.

        An object has its members, keys of a user escaped; a list has a reference for each item.
        """
        raw = self._content(number)
        if type(raw) is str:
            return self._text(number)
        if "$list" in raw:
            return freeze([{"$c": item} for item in self._items_of(number)])
        return freeze(raw)

    def _form(self, match: re.Match[bytes]) -> bytes:
        self._know(int(match[1]))
        return super()._form(match)

    def _know(self, number: int) -> None:
        """Have the numbers of a list at hand, where *number* is one."""
        if number in self._lists:
            return
        raw = self._content(number)
        if type(raw) is dict and "$list" in raw:
            if len(self._lists) >= LISTS_REMEMBERED:
                del self._lists[next(iter(self._lists))]
            self._lists[number] = self._items_of(number)

    def _items_of(self, number: int) -> tuple[int, ...]:
        """Return the numbers that a list stands for, going back no further in the lists it follows from than they reach."""
        found: list[int] = []
        waiting: list[int | tuple[int, int, int]] = [(number, 0, LIST_ITEMS_MAX)]
        while waiting:
            entry = waiting.pop()
            if type(entry) is int:
                found.append(entry)
                continue
            number, start, stop = entry  # type: ignore[misc]
            known = self._lists.get(number)
            if known is not None:
                found += known[start:stop]
                continue
            parts: list[int | tuple[int, int, int]] = []
            at = 0
            for part in self._content(number)["$list"]:
                length = 1 if type(part) is int else part[2]
                low, high = max(start - at, 0), min(stop - at, length)
                if low < high:
                    parts.append(part if type(part) is int else (part[0], part[1] + low, part[1] + high))
                at += length
            waiting += reversed(parts)
        return tuple(found)

    def _content(self, number: int) -> Any:
        raw = self._raw.get(number)
        if raw is None:
            raw = self._load(number)
        if type(raw) is dict and "$join" in raw:
            first, last = raw["$join"]
            raw = "".join([self._content(piece) for piece in range(first, last + 1)])
            self._keep(number, [raw], len(raw))
        return raw

    def _load(self, number: int) -> Any:
        if type(number) is not int:
            raise BadContent("a reference is one number")
        raw = None if self.recent is None else self.recent.raw(number)
        if raw is not None:
            self._keep(number, [raw], len(raw) if type(raw) is str else len(dumps(raw)))
            return raw
        first, values, size = self._fetch(number)
        if not first <= number < first + len(values):
            raise BadContent(f"content {number} is not there")
        self._keep(first, values, size)
        return values[number - first]

    def _keep(self, first: int, values: list[Any], size: int) -> None:
        self._raw.update(zip(count(first), values, strict=False))
        weight = size + CONTENT_COST * len(values)
        self._lines.append((first, first + len(values), weight))
        self._size += weight
        while self._size > CONTENT_WINDOW_BYTES and len(self._lines) > 1:
            begin, end, weight = self._lines.popleft()
            self._size -= weight
            for number in range(begin, end):
                self._raw.pop(number, None)
                self._decoded.pop(number, None)
                self._digests.pop(number, None)


def resolved(value: Json, contents: Contents) -> Json:
    """Return a value, held as it stands in a file and frozen, whole: references replaced, keys of a user as they are."""
    kind = type(value)
    if kind is FrozenMap:
        if "$c" in value:
            return contents.get(value["$c"])
        members = {
            (key[1:] if key[:1] == "$" else key): resolved(item, contents) if type(item) in _PARTS else item
            for key, item in value.items()
        }
        return freeze(members)
    if kind is tuple:
        return tuple([resolved(item, contents) if type(item) in _PARTS else item for item in value])
    return value


def unresolved(value: Json) -> Json:
    """Return a frozen value as it would stand in a file that refers to nothing: keys of a user escaped."""
    if isinstance(value, FrozenMap):
        return freeze({("$" + key if key[:1] == "$" else key): unresolved(item) for key, item in value.items()})
    return tuple([unresolved(item) for item in value]) if isinstance(value, tuple) else value


_PARTS = frozenset({FrozenMap, tuple})
