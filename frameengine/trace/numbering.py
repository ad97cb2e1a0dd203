"""The writer's side of content: what stands in the file already, by number, so that it is written once.

Three things are contents: long texts, mappings that repeat (chat messages, the input and output of records), and lists of such
mappings. A list says how it follows from an earlier one: forty messages cost a few bytes, not forty references.
"""

from __future__ import annotations

from collections import deque
from operator import attrgetter
from typing import Any

from frameengine.codec import Shared, SharedOne, digest, dumps, escaped
from frameengine.errors import LimitError
from frameengine.jsonvalue import FrozenMap, Text
from frameengine.limits import CONTENT_WINDOW_BYTES, DEPTH_MAX, TEXT_CHUNK, check

LISTS_KEPT = 16
"""How many of the newest lists a line may refer to."""

LIST_ITEMS_MAX = 1 << 17
"""Items of one list. Lists follow from lists, so a short line could otherwise claim any number of them."""

CONTENT_COST = 256
"""What a content weighs in the window beside its bytes: small ones take more room in memory than in the file."""

PLACES_KEPT = 4_096
"""How many contents are remembered with the newest list they stand in."""


_KNOWN = attrgetter("digest")


class Numbering:
    """Numbers contents as they are first referred to, and forgets the oldest beyond the window."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._order: deque[tuple[str, int]] = deque()
        self._size = 0
        self._lists: dict[int, tuple[int, ...]] = {}
        self._same: dict[tuple[int, ...], int] = {}
        self._newest: dict[int, int] = {}
        self._next = 1
        self.fresh: list[bytes] = []
        """The contents that no line has yet, encoded."""
        self.items = 0
        """Items of the lists that the line encoded last refers to."""

    def encode(self, wire: dict[str, Any]) -> bytes:
        """Return the bytes of *wire* with shared parts as references; what it is the first to refer to is then `fresh`."""
        while self._size > CONTENT_WINDOW_BYTES:
            key, size = self._order.popleft()
            self._size -= size
            self._numbers.pop(key, None)
        self.items = 0
        try:
            return dumps(wire, self._reference)
        except TypeError as error:
            raise LimitError(
                f"a line that cannot be encoded: {error}", hint="flatten the value", name="depth", bound=DEPTH_MAX
            ) from None

    def take_fresh(self) -> tuple[int, list[bytes]]:
        """Return what is `fresh`, with the number of the first; and forget that it is new."""
        fresh, self.fresh = self.fresh, []
        return self._next - len(fresh), fresh

    def _reference(self, value: Any) -> Any:
        kind = type(value)
        if kind is FrozenMap:
            return escaped(value)
        if kind is Text:
            return {"$c": self._numbers.get(value.digest) or self._number(value)}
        if kind is SharedOne:
            return {"$c": self._numbers.get(value.item.digest) or self._number(value.item)}
        if kind is Shared:
            self.items += len(value.items)
            return {"$c": self._list(value.items)}
        raise TypeError(f"{kind.__qualname__} is not JSON")

    def _number(self, value: FrozenMap | Text) -> int:
        key = value.digest or digest(value)
        known = self._numbers.get(key)
        if known is not None:
            return known
        if type(value) is Text:
            encoded = dumps(str(value)) if len(value) <= TEXT_CHUNK else self._pieces(value)
        else:
            encoded = dumps(escaped(value), self._reference)  # type: ignore[arg-type]
        number = self._numbers[key] = self._add(encoded, key)
        return number

    def _pieces(self, text: Text) -> bytes:
        first = self._next
        for start in range(0, len(text), TEXT_CHUNK):
            self._add(dumps(str(text[start : start + TEXT_CHUNK])))
        return b'{"$join":[%d,%d]}' % (first, self._next - 1)

    def _add(self, encoded: bytes, key: str = "") -> int:
        """Give a content its number. Each counts in the window, or the reader would forget at another time than the writer."""
        weight = len(encoded) + CONTENT_COST
        self.fresh.append(encoded)
        self._order.append((key, weight))
        self._size += weight
        self._next += 1
        return self._next - 1

    def _list(self, items: tuple[FrozenMap, ...]) -> int:
        known = self._numbers
        try:
            numbers = tuple(map(known.__getitem__, map(_KNOWN, items)))
        except KeyError:  # some are new, were forgotten, or never digested: in a conversation that grows, the last
            found: list[Any] = list(map(known.get, map(_KNOWN, items)))
            first = found.index(None)
            found[first:] = map(self._number, items[first:])
            numbers = tuple(found)
        number = self._same.get(numbers)
        if number is not None:
            # It does not count as new: the reader, which need not look at what refers to it, forgets by age.
            return number
        check("a list of messages or tools, in items,", LIST_ITEMS_MAX, len(numbers), "send the newest of them")
        number = self._same[numbers] = self._add(b'{"$list":' + dumps(self._runs(numbers)) + b"}")
        self._lists[number] = numbers
        if len(self._lists) > LISTS_KEPT:
            del self._same[self._lists.pop(next(iter(self._lists)))]
        if len(self._newest) > PLACES_KEPT:
            self._newest.clear()
        self._newest.update(dict.fromkeys(numbers, number))
        return number

    def _runs(self, numbers: tuple[int, ...]) -> list[int | list[int]]:
        """Return *numbers* with every run that stands in a kept list as [list, start, count]."""
        runs: list[int | list[int]] = []
        at, end = 0, len(numbers)
        while at < end:
            number = self._newest.get(numbers[at], 0)
            known = self._lists.get(number)
            length = 0
            if known is not None:
                start = known.index(numbers[at])
                length = min(len(known) - start, end - at)
                if known[start : start + length] != numbers[at : at + length]:
                    length = next(i for i in range(length) if known[start + i] != numbers[at + i])
            if length > 1:
                runs.append([number, start, length])
                at += length
            else:
                runs.append(numbers[at])
                at += 1
        return runs
