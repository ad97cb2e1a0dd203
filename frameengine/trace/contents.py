"""The contents a reader remembers: what lines refer back to, by number, within the writer's window."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from hashlib import sha256
from typing import Any, TypeAlias

from frameengine.codec import REFERENCE, dumps
from frameengine.jsonvalue import FrozenMap, Json, Text, freeze, frozen_map
from frameengine.limits import CONTENT_WINDOW_BYTES, KEYS_MAX
from frameengine.trace.format import CHAIN_BYTES
from frameengine.trace.numbering import CONTENT_COST, LIST_ITEMS_MAX, LISTS_KEPT

Content: TypeAlias = FrozenMap | Text | tuple[FrozenMap, ...]
_NUMBERS: frozenset[type] = frozenset({int, float, bool, type(None)})
_SCALARS: frozenset[type] = _NUMBERS | {str}
LISTS_REMEMBERED = 2 * LISTS_KEPT
"""Lists that a reader remembers: more than a writer refers to."""
ITEMS_MAX = 4 * LIST_ITEMS_MAX
"""Items of all lists that one line refers to."""
LINE_DEPTH_MAX = 254
"""Nesting of a line, which is what the encoder allows: values beyond `limits.DEPTH_MAX` are refused where they enter, but what
was put together of frozen parts and written must be readable."""


_AROUND = CHAIN_BYTES + len(b'{"kind":"content","first":,"values":[]')
"""Bytes of a content line beside its values, the commas between them, and the number of the first."""


class BadContent(ValueError):
    """A reference or content that the format does not allow; the reader adds file and line."""


class Contents:
    """Numbered contents, oldest forgotten first; memory is bounded by the writer's window. Decoded when first asked for.

    Contents refer to texts only, pieces are joined once, and lists have a bound: a short file cannot stand for a huge value.
    """

    def __init__(self) -> None:
        self._raw: dict[int, Any] = {}
        self._decoded: dict[int, FrozenMap | Text] = {}
        self._digests: dict[int, str] = {}
        self._lists: dict[int, tuple[int, ...]] = {}
        self._lines: deque[tuple[int, int, int]] = deque()
        self._size = 0
        self._next = 1
        self._joined = 0
        self._items = 0

    def add(self, line: dict[str, Any], size: int) -> None:
        """Take a content line of *size* bytes."""
        first, values = line.get("first"), line.get("values")
        if type(first) is not int or first != self._next or type(values) is not list or not values:
            raise BadContent(f"a content line that starts at {first!r}, expected {self._next}")
        number = self._next
        raw = self._raw
        for value in values:
            kind = type(value)
            if kind is not dict:
                if kind is not str:
                    raise BadContent("a content is a text, an object or a list of objects")
                raw[number] = value
            elif "$list" in value:
                self._lists[number] = self._list(value)
                if len(self._lists) > LISTS_REMEMBERED:
                    del self._lists[next(iter(self._lists))]
            elif "$join" in value:
                raw[number] = self._join(value, number)
            else:
                if "$" in "".join(value) and any(key[:1] == "$" != key[1:2] for key in value):
                    raise BadContent("a content that is an object has a member that is not of the format")
                raw[number] = value
            number += 1
        self._next = number
        weight = size - _AROUND - len(str(first)) + 1 + (CONTENT_COST - 1) * len(values)
        self._lines.append((first, number, weight))
        self._size += weight

    def _list(self, value: dict[str, Any]) -> tuple[int, ...]:
        numbers: list[int] = []
        if len(value) != 1:
            raise BadContent("a list has one member")
        for entry in value["$list"]:
            if type(entry) is int:
                if entry not in self._raw:
                    raise BadContent(f"content {entry} is not there")
                numbers.append(entry)
            else:
                number, start, count = entry
                known = self._lists.get(number, ())
                if start < 0 or count < 1 or start + count > len(known):
                    raise BadContent(f"list {number} has no items {start} to {start + count}")
                numbers += known[start : start + count]
            if len(numbers) > LIST_ITEMS_MAX:
                raise BadContent(f"a list of more than {LIST_ITEMS_MAX:,} items")
        return tuple(numbers)

    def _join(self, value: dict[str, Any], number: int) -> str:
        """Return the text made of the pieces just before *number*, and forget them: nothing else refers to them."""
        begin, last = value["$join"]
        if len(value) != 1 or type(begin) is not int or last != number - 1 or not self._joined < begin <= last:
            raise BadContent("a joined text follows its pieces")
        pieces = [self._content(piece) for piece in range(begin, number)]
        if not all(type(piece) is str for piece in pieces):
            raise BadContent("the pieces of a joined text are texts")
        for piece in range(begin, number):
            del self._raw[piece]
        self._joined = number
        return "".join(pieces)

    def forget(self) -> None:
        """Let go of what no later line may refer to. Called between lines that are not contents.

        What is kept weighs more than the window, and so reaches further back than the writer remembers.
        """
        while self._lines and self._size - self._lines[0][2] > CONTENT_WINDOW_BYTES:
            first, end, weight = self._lines.popleft()
            self._size -= weight
            for number in range(first, end):
                self._raw.pop(number, None)
                self._decoded.pop(number, None)
                self._digests.pop(number, None)

    def _text(self, number: int) -> Text:
        """Return content *number*, which must be a text."""
        raw = self._content(number)
        if type(raw) is not str:
            raise BadContent(f"content {number} is not a text")
        text = self._decoded.get(number)
        if text is None:
            text = self._decoded[number] = Text(raw)
            text.digest = self._digests.get(number)
        return text  # type: ignore[return-value]

    def get(self, number: int) -> Content:
        """Return content *number*: a text, a mapping, or a list of mappings."""
        known = self._decoded.get(number)
        if known is not None:
            return known
        items = self._lists.get(number)
        if items is not None:
            self._count(items)
            return tuple([self._mapping(item) for item in items])
        raw = self._content(number)
        if type(raw) is str:
            return self._text(number)
        value: FrozenMap = self._resolve(raw, 0, self._text, _SCALARS)
        if type(value) is not FrozenMap:
            raise BadContent("a content does not stand for another")
        value.digest = self._digests.get(number)
        self._decoded[number] = value
        return value

    def _mapping(self, number: int) -> FrozenMap:
        value = self.get(number)
        if type(value) is not FrozenMap:
            raise BadContent("a list of contents holds objects")
        return value

    def raw(self, number: int) -> Any:
        """Return a text or an object as it stands in the file; None where it is a list, or not remembered."""
        return self._raw.get(number)

    def _content(self, number: int) -> Any:
        try:
            return self._raw[number]
        except KeyError:
            raise BadContent(f"content {number} is not there") from None

    def _count(self, items: tuple[int, ...]) -> None:
        self._items += len(items)
        if self._items > ITEMS_MAX:
            raise BadContent(f"a line that refers to more than {ITEMS_MAX:,} items of lists")

    def resolve(self, value: dict[str, Any], *, entering: bool = False, header: bool = False) -> FrozenMap:
        """Return the members of a line as frozen JSON, with every reference replaced by what it refers to.

        Strings that stand in the line itself stay plain, so that a line written again is written the same way. In what is
        *entering* a run long ones are texts, as when it was recorded; so they are in a *header*, which has no references.
        """
        self._items = 0
        get = self._no_content if header else self.get
        return self._resolve(value, 0, get, _NUMBERS if entering or header else _SCALARS)  # type: ignore[no-any-return]

    def _no_content(self, _number: int) -> Content:
        raise BadContent("a header has everything in place, no references")

    def _resolve(self, value: Any, depth: int, get: Callable[[int], Content], scalars: frozenset[type]) -> Json:
        kind = type(value)
        if kind is dict:
            if "$c" in value:
                if len(value) != 1 or type(value["$c"]) is not int:
                    raise BadContent("a reference is one number")
                return get(value["$c"])
            if depth >= LINE_DEPTH_MAX or len(value) > KEYS_MAX:
                raise BadContent(f"nested deeper than {LINE_DEPTH_MAX}, or more than {KEYS_MAX:,} members")
            members = {
                key: item if type(item) in scalars else self._resolve(item, depth + 1, get, scalars)
                for key, item in value.items()
            }
            if "$" in "".join(members):
                return _unescaped(members)
            return frozen_map(members)
        if kind is list:
            if depth >= LINE_DEPTH_MAX:
                raise BadContent(f"nested deeper than {LINE_DEPTH_MAX}")
            return tuple([item if type(item) in scalars else self._resolve(item, depth + 1, get, scalars) for item in value])
        return freeze(value)

    def items(self, line: bytes) -> int:
        """Return how many items the lists have that *line* refers to."""
        lists = self._lists
        return sum([len(lists[number]) for number in map(int, REFERENCE.findall(line)) if number in lists]) if lists else 0

    def canonical(self, body: bytes) -> bytes:
        """Return the canonical form of a line's body: references replaced by digests."""
        self._items = 0
        return REFERENCE.sub(self._form, body)

    def _form(self, match: re.Match[bytes]) -> bytes:
        number = int(match[1])
        items = self._lists.get(number)
        if items is None:
            return b"#" + (self._digests.get(number) or self._digest(number)).encode()
        self._count(items)
        if not items:
            return b"[]"
        digests: list[Any] = list(map(self._digests.get, items))
        if None in digests:
            first = digests.index(None)
            digests[first:] = map(self._digest, items[first:])
        return b"[#%b]" % ",#".join(digests).encode()

    def _text_form(self, match: re.Match[bytes]) -> bytes:
        number = int(match[1])
        if type(self._content(number)) is not str:
            raise BadContent(f"content {number} is not a text")
        return b"#" + (self._digests.get(number) or self._digest(number)).encode()

    def _digest(self, number: int) -> str:
        """Return the digest of content *number*, a text or a mapping, in hex."""
        known = self._digests.get(number)
        if known is None:
            raw = self._content(number)
            form = dumps(raw)
            if type(raw) is not str and b'{"$c":' in form:
                form = REFERENCE.sub(self._text_form, form)
            known = self._digests[number] = sha256(form).hexdigest()
        return known


def _unescaped(members: dict[str, Json]) -> FrozenMap:
    for key in members:
        if key[:1] == "$" and key[1:2] != "$":
            raise BadContent(f"the member {key!r} is not of the format")
    value = frozen_map({key[1:] if key[:1] == "$" else key: item for key, item in members.items()})
    value.dollar = any(key[:1] == "$" for key in members)
    return value
