"""The contents a reader remembers: what lines refer back to, by number, within the writer's window."""

from __future__ import annotations

import re
from collections import deque
from hashlib import sha256
from typing import Any

from frameengine.codec import REFERENCE, dumps
from frameengine.jsonvalue import FrozenMap, Json, Text, freeze, frozen_map
from frameengine.limits import CONTENT_WINDOW_BYTES, DEPTH_MAX, TEXT_SHARED_MIN
from frameengine.trace.numbering import LISTS_KEPT


_SCALARS = frozenset({int, float, bool, type(None)})
LISTS_REMEMBERED = 2 * LISTS_KEPT
"""Lists that a reader remembers: more than a writer refers to."""


class BadContent(ValueError):
    """A reference or content that the format does not allow; the reader adds file and line."""


class Contents:
    """Numbered contents, oldest forgotten first; memory is bounded by twice the writer's window. Decoded when first asked for."""

    def __init__(self) -> None:
        self._raw: dict[int, Any] = {}
        self._decoded: dict[int, FrozenMap | Text] = {}
        self._digests: dict[int, str] = {}
        self._lists: dict[int, tuple[int, ...]] = {}
        self._lines: deque[tuple[int, int, int]] = deque()
        self._size = 0
        self._next = 1

    def add(self, line: dict[str, Any], size: int) -> None:
        """Take a content line of *size* bytes."""
        first, values = line.get("first"), line.get("values")
        if first != self._next or type(values) is not list or not values:
            raise BadContent(f"a content line that starts at {first!r}, expected {self._next}")
        number = self._next
        for value in values:
            if type(value) is dict and "$list" in value:
                self._lists[number] = self._list(value["$list"])
            elif type(value) is dict and "$join" in value:
                begin, last = value["$join"]
                self._raw[number] = "".join([str(self.text(piece)) for piece in range(begin, last + 1)])
            else:
                self._raw[number] = value
            number += 1
        self._next = number
        self._lines.append((first, number, size))
        self._size += size

    def _list(self, entries: list[Any]) -> tuple[int, ...]:
        numbers: list[int] = []
        for entry in entries:
            if type(entry) is int:
                numbers.append(entry)
                continue
            number, start, count = entry
            known = self._lists.get(number, ())
            if start < 0 or count < 1 or start + count > len(known):
                raise BadContent(f"list {number} has no items {start} to {start + count}")
            numbers += known[start : start + count]
        return tuple(numbers)

    def forget(self) -> None:
        """Let go of what no later line may refer to. Called between lines that are not contents."""
        while self._lines and self._size - self._lines[0][2] > 2 * CONTENT_WINDOW_BYTES:
            first, end, size = self._lines.popleft()
            self._size -= size
            for number in range(first, end):
                self._raw.pop(number, None)
                self._decoded.pop(number, None)
                self._digests.pop(number, None)
        while len(self._lists) > LISTS_REMEMBERED:
            del self._lists[next(iter(self._lists))]

    def text(self, number: int) -> Text:
        """Return content *number*, which must be a text."""
        value = self.get(number)
        if type(value) is not Text:
            raise BadContent(f"content {number} is not a text")
        return value

    def get(self, number: int) -> FrozenMap | Text | tuple[FrozenMap, ...]:
        """Return content *number*: a text, a mapping, or a list of mappings."""
        known = self._decoded.get(number)
        if known is not None:
            return known
        items = self._lists.get(number)
        if items is not None:
            return tuple([self._mapping(item) for item in items])
        raw = self._content(number)
        if type(raw) is str:
            text = Text(raw)
            text.digest = self._digests.get(number)
            self._decoded[number] = text
            return text
        value = self.resolve(raw)
        if type(value) is not FrozenMap:
            raise BadContent("a content is a text, an object or a list of objects")
        value.digest = self._digests.get(number)
        self._decoded[number] = value
        return value

    def _mapping(self, number: int) -> FrozenMap:
        value = self.get(number)
        if type(value) is not FrozenMap:
            raise BadContent("a list of contents holds objects")
        return value

    def _content(self, number: int) -> Any:
        try:
            return self._raw[number]
        except KeyError:
            raise BadContent(f"content {number} is not there") from None

    def resolve(self, value: Any, depth: int = 0) -> Json:
        """Return decoded JSON as frozen JSON with every reference replaced by what it refers to."""
        kind = type(value)
        if kind is dict:
            if "$c" in value:
                if len(value) != 1 or type(value["$c"]) is not int:
                    raise BadContent("a reference is one number")
                return self.get(value["$c"])
            if depth >= DEPTH_MAX:
                raise BadContent(f"nested deeper than {DEPTH_MAX}")
            members = {key: item if type(item) in _SCALARS else self.resolve(item, depth + 1) for key, item in value.items()}
            if "$" in "".join(members):
                return _unescaped(members)
            return frozen_map(members)
        if kind is list:
            if depth >= DEPTH_MAX:
                raise BadContent(f"nested deeper than {DEPTH_MAX}")
            return tuple([item if type(item) in _SCALARS else self.resolve(item, depth + 1) for item in value])
        if kind is str and len(value) >= TEXT_SHARED_MIN:
            return freeze(value)
        return value

    def canonical(self, body: bytes) -> bytes:
        """Return the canonical form of an encoded body: references replaced by digests."""
        return REFERENCE.sub(self._form, body)

    def _form(self, match: re.Match[bytes]) -> bytes:
        number = int(match[1])
        items = self._lists.get(number)
        if items is None:
            return b"#" + self.digest(number).encode()
        known = self._digests
        return ("[" + ",".join(["#" + (known.get(item) or self.digest(item)) for item in items]) + "]").encode()

    def digest(self, number: int) -> str:
        """Return the digest of content *number*, a text or a mapping, in hex."""
        known = self._digests.get(number)
        if known is None:
            raw = self._content(number)
            known = self._digests[number] = sha256(dumps(raw) if type(raw) is str else self.canonical(dumps(raw))).hexdigest()
        return known


def _unescaped(members: dict[str, Json]) -> FrozenMap:
    for key in members:
        if key[:1] == "$" and key[1:2] != "$":
            raise BadContent(f"the member {key!r} is not of the format")
    value = frozen_map({key[1:] if key[:1] == "$" else key: item for key, item in members.items()})
    value.dollar = any(key[:1] == "$" for key in members)
    return value
