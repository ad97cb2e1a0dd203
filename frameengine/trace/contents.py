"""The contents a reader remembers: what lines refer back to, by number, within the writer's window."""

from __future__ import annotations

from collections import deque
from typing import Any

from frameengine.codec import REFERENCE, digest
from frameengine.jsonvalue import FrozenMap, Json, Text, freeze
from frameengine.limits import CONTENT_WINDOW_BYTES, DEPTH_MAX, TEXT_SHARED_MIN


class BadContent(ValueError):
    """A reference or content that the format does not allow; the reader adds file and line."""


class Contents:
    """Numbered contents, oldest forgotten first; memory is bounded by twice the writer's window."""

    def __init__(self) -> None:
        self._values: dict[int, FrozenMap | Text] = {}
        self._lines: deque[tuple[int, int, int]] = deque()
        self._size = 0
        self._next = 1

    def add(self, line: dict[str, Any], size: int) -> None:
        """Take a content line of *size* bytes."""
        first, values = line.get("first"), line.get("values")
        if first != self._next or type(values) is not list or not values:
            raise BadContent(f"a content line that starts at {first!r}, expected {self._next}")
        for value in values:
            self._values[self._next] = self._decode(value)
            self._next += 1
        self._lines.append((first, self._next, size))
        self._size += size

    def forget(self) -> None:
        """Let go of what no later line may refer to. Called between lines that are not contents."""
        while self._lines and self._size - self._lines[0][2] > 2 * CONTENT_WINDOW_BYTES:
            first, end, size = self._lines.popleft()
            self._size -= size
            for number in range(first, end):
                del self._values[number]

    def _decode(self, value: Any) -> FrozenMap | Text:
        if type(value) is str:
            text = freeze(value)
            if type(text) is str:
                text = Text(value)
                text.digest = None
            return text  # type: ignore[no-any-return]
        if type(value) is dict:
            if "$join" in value:
                first, last = value["$join"]
                return self._decode("".join([str(self._text(number)) for number in range(first, last + 1)]))
            decoded = self.resolve(value)
            if type(decoded) is FrozenMap:
                return decoded
        raise BadContent("a content is a text or an object")

    def _text(self, number: int) -> Text:
        value = self.get(number)
        if type(value) is not Text:
            raise BadContent(f"content {number} is not a text")
        return value

    def get(self, number: int) -> FrozenMap | Text:
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
            return tuple(self._items(value, depth + 1))
        if kind is str and len(value) >= TEXT_SHARED_MIN:
            return freeze(value)
        return value

    def _items(self, values: list[Any], depth: int) -> list[Json]:
        items: list[Json] = []
        for value in values:
            if type(value) is dict and type(value.get("$c")) is list:
                first, last = self._range(value)
                items.extend([self.get(number) for number in range(first, last + 1)])
            else:
                items.append(self.resolve(value, depth))
        return items

    def _range(self, value: dict[str, Any]) -> tuple[int, int]:
        bounds = value["$c"]
        if len(value) != 1 or len(bounds) != 2 or not all(type(bound) is int for bound in bounds) or bounds[0] > bounds[1]:
            raise BadContent("a range of references is two numbers")
        if bounds[1] >= self._next:
            raise BadContent(f"content {bounds[1]} is not there")
        return bounds[0], bounds[1]

    def canonical(self, body: bytes) -> bytes:
        """Return the canonical form of an encoded body: references replaced by digests."""
        return REFERENCE.sub(self._digests, body)

    def _digests(self, match: Any) -> bytes:
        single, first, last = match.groups()
        if single is not None:
            return b"#" + digest(self.get(int(single))).encode()
        numbers = range(int(first), int(last) + 1)
        if int(last) >= self._next:
            raise BadContent(f"content {int(last)} is not there")
        return b",".join([b"#" + digest(self.get(number)).encode() for number in numbers])


