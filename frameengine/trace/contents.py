"""The contents a reader remembers: what lines refer back to, by number, within the writer's window."""

from __future__ import annotations

from collections import deque
from typing import Any, TypeAlias

from frameengine.codec import REFERENCE, digest
from frameengine.jsonvalue import FrozenMap, Json, Text, freeze
from frameengine.limits import CONTENT_WINDOW_BYTES, DEPTH_MAX, TEXT_SHARED_MIN
from frameengine.trace.numbering import LISTS_KEPT


Content: TypeAlias = FrozenMap | Text | tuple[FrozenMap, ...]
LISTS_REMEMBERED = 2 * LISTS_KEPT
"""Lists that a reader remembers: more than a writer refers to."""


class BadContent(ValueError):
    """A reference or content that the format does not allow; the reader adds file and line."""


class Contents:
    """Numbered contents, oldest forgotten first; memory is bounded by twice the writer's window."""

    def __init__(self) -> None:
        self._values: dict[int, Content] = {}
        self._lines: deque[tuple[int, int, int]] = deque()
        self._lists: deque[int] = deque()
        self._size = 0
        self._next = 1

    def add(self, line: dict[str, Any], size: int) -> None:
        """Take a content line of *size* bytes."""
        first, values = line.get("first"), line.get("values")
        if first != self._next or type(values) is not list or not values:
            raise BadContent(f"a content line that starts at {first!r}, expected {self._next}")
        for value in values:
            content = self._values[self._next] = self._decode(value)
            if type(content) is tuple:
                self._lists.append(self._next)
            self._next += 1
        self._lines.append((first, self._next, size))
        self._size += size

    def forget(self) -> None:
        """Let go of what no later line may refer to. Called between lines that are not contents."""
        while self._lines and self._size - self._lines[0][2] > 2 * CONTENT_WINDOW_BYTES:
            first, end, size = self._lines.popleft()
            self._size -= size
            for number in range(first, end):
                self._values.pop(number, None)
        while len(self._lists) > LISTS_REMEMBERED:
            self._values.pop(self._lists.popleft(), None)

    def _decode(self, value: Any) -> Content:
        if type(value) is str:
            text = Text(value)
            text.digest = None
            return text
        if type(value) is dict:
            if "$list" in value:
                return self._list(value["$list"])
            if "$join" in value:
                first, last = value["$join"]
                return self._decode("".join([str(self._text(number)) for number in range(first, last + 1)]))
            decoded = self.resolve(value)
            if type(decoded) is FrozenMap:
                return decoded
        raise BadContent("a content is a text, an object or a list of objects")

    def _list(self, entries: list[Any]) -> tuple[FrozenMap, ...]:
        items: list[Any] = []
        for entry in entries:
            if type(entry) is int:
                items.append(self.get(entry))
                continue
            number, start, count = entry
            known = self.get(number)
            if type(known) is not tuple or start < 0 or count < 1 or start + count > len(known):
                raise BadContent(f"list {number} has no items {start} to {start + count}")
            items += known[start : start + count]
        if not all(type(item) is FrozenMap for item in items):
            raise BadContent("a list of contents holds objects")
        return tuple(items)

    def _text(self, number: int) -> Text:
        value = self.get(number)
        if type(value) is not Text:
            raise BadContent(f"content {number} is not a text")
        return value

    def get(self, number: int) -> Content:
        """Return content *number*."""
        try:
            return self._values[number]
        except KeyError:
            raise BadContent(f"content {number} is not there") from None

    def resolve(self, value: Any, depth: int = 0) -> Json:
        """Return decoded JSON as frozen JSON with every reference replaced by what it refers to."""
        kind = type(value)
        if kind is dict:
            if "$c" in value:
                if len(value) != 1 or type(value["$c"]) is not int:
                    raise BadContent("a reference is a number here")
                return self.get(value["$c"])
            if depth >= DEPTH_MAX:
                raise BadContent(f"nested deeper than {DEPTH_MAX}")
            frozen = FrozenMap()
            put = dict.__setitem__
            dollar = False
            for key, item in value.items():
                name = key
                if key[:1] == "$":
                    if key[1:2] != "$":
                        raise BadContent(f"the member {key!r} is not of the format")
                    name, dollar = key[1:], True
                put(frozen, name, self.resolve(item, depth + 1))
            frozen.digest = None
            frozen.dollar = dollar
            return frozen
        if kind is list:
            if depth >= DEPTH_MAX:
                raise BadContent(f"nested deeper than {DEPTH_MAX}")
            return tuple([self.resolve(item, depth + 1) for item in value])
        if kind is str and len(value) >= TEXT_SHARED_MIN:
            return freeze(value)
        return value

    def canonical(self, body: bytes) -> bytes:
        """Return the canonical form of an encoded body: references replaced by digests."""
        return REFERENCE.sub(self._digests, body)

    def _digests(self, match: Any) -> bytes:
        content = self.get(int(match.group(1)))
        if type(content) is tuple:
            return ("[" + ",".join(["#" + (item.digest or digest(item)) for item in content]) + "]").encode()
        return b"#" + digest(content).encode()
