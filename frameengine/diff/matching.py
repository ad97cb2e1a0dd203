"""Which messages and which records of two traces belong together, told from their digests alone."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Container, Mapping, Sequence

from attrs import evolve, field, frozen

from frameengine.diff.align import Pairs, align, gaps, merged, pair
from frameengine.diff.result import Kind
from frameengine.diff.sketch import Item, MessageSketch, Sketch


@frozen(kw_only=True)
class Row:
    """A record of one side or of both; indices are those in `MessageSketch.items`."""

    left: int | None = None
    """Index on the left."""
    right: int | None = None
    """Index on the right."""
    kind: Kind | None = None
    """What became of it; None where it is the same."""
    moved_to: tuple[int, int] | None = None
    """For one that was moved, and stands in this row on the left only: index of the message and of the item on the right."""
    moved_from: tuple[int, int] | None = None
    """For one that was moved, and stands in this row on the right only: index of the message and of the item on the left. The row
    there tells of it, unless only this message is looked at."""


@frozen(kw_only=True)
class Match:
    """Two messages that belong together, or one that is alone."""

    left: int | None = None
    """Index of the message on the left."""
    right: int | None = None
    """Index of the message on the right."""
    same: bool = False
    """Whether everything in them is equal."""
    rows: tuple[Row, ...] = ()
    """Their records in running order; empty where the messages are the same, and where one is alone."""
    frames: dict[int, int] = field(factory=dict)
    """Which frame on the left is which on the right."""
    moved: bool = False
    """Whether the whole message stands in another place."""


def match(left: Sketch, right: Sketch) -> list[Match]:
    """Return the messages of both traces in running order, those that belong together paired.

    Equal messages go first, then those with equal inputs, then by likeness. A record is paired with an equal one, else, between
    two of these, with the one most like it of the same node; or of another node, where one name took the place of the other.
    """
    keys = [message.key for message in left.messages], [message.key for message in right.messages]
    matches = []
    renames = _Renames(left, right)
    pairs = _messages(left, right, keys)
    for i, j in merged(pairs, len(left.messages), len(right.messages)):
        if i is None or j is None:
            matches.append(Match(left=i, right=j))
        elif keys[0][i] == keys[1][j]:
            matches.append(Match(left=i, right=j, same=True))
        else:
            rows, frames = _rows(left.messages[i].items, right.messages[j].items, renames)
            matches.append(Match(left=i, right=j, rows=rows, frames=frames))
    return _moved_messages(_moved(matches, left, right), keys)


def _messages(left: Sketch, right: Sketch, keys: tuple[list[bytes], list[bytes]]) -> Pairs:
    pairs = align(*keys)
    more: Pairs = []
    for ours, theirs in gaps(pairs, len(left.messages), len(right.messages)):
        one, other = [left.messages[i] for i in ours], [right.messages[j] for j in theirs]
        entered = align([message.entered for message in one], [message.entered for message in other])
        more += [(ours[i], theirs[j]) for i, j in entered]
        for here, there in gaps(entered, len(one), len(other)):
            alike = pair([one[i] for i in here], [other[j] for j in there], _message_likeness, lambda message: message.type)
            more += [(ours[here[i]], theirs[there[j]]) for i, j in alike]
    return [*pairs, *more]


def _message_likeness(left: MessageSketch, right: MessageSketch) -> float:
    if left.type != right.type:
        return 0
    ours, theirs = Counter([item.key for item in left.items]), Counter([item.key for item in right.items])
    return 0.1 + (ours & theirs).total() / max(ours.total(), theirs.total(), 1)


class _Renames:
    """Which node's name may have taken the place of which: neither occurs on the other side."""

    def __init__(self, left: Sketch, right: Sketch) -> None:
        self._left, self._right = _nodes(left), _nodes(right)

    def may(self, left: str, right: str) -> bool:
        """Return whether one name may have become the other."""
        return left not in self._right and right not in self._left

    def likeness(self, left: Item, right: Item) -> float:
        """Return how much two records have in common; 0 where they do not belong together."""
        if left.body == right.body and left.node and right.node:
            return 3
        shared = (Counter(left.parts) & Counter(right.parts)).total() / max(len(left.parts), len(right.parts), 1)
        if left.node == right.node:
            return shared + 1 if left.node else shared
        return shared if left.node and right.node and self.may(left.node, right.node) else 0


def _nodes(sketch: Sketch) -> Container[str]:
    ran = [item.node for message in sketch.messages for item in message.items]
    return frozenset([*ran, *[node["name"] for node in sketch.header.get("graph", {}).get("nodes", ())]])


def _rows(left: Sequence[Item], right: Sequence[Item], renames: _Renames) -> tuple[tuple[Row, ...], dict[int, int]]:
    pairs = align([item.key for item in left], [item.key for item in right])
    for ours, theirs in gaps(pairs, len(left), len(right)):
        alike = pair([left[i] for i in ours], [right[j] for j in theirs], renames.likeness, lambda item: item.node)
        pairs += [(ours[i], theirs[j]) for i, j in alike]
    frames: dict[int, int] = {}
    taken: dict[int, None] = {}
    rows = []
    for i, j in merged(pairs, len(left), len(right)):
        if i is None or j is None:
            rows.append(Row(left=i, right=j, kind="added" if i is None else "removed"))
            continue
        here, there = left[i].slot, right[j].slot
        if here not in frames and there not in taken:
            frames[here], taken[there] = there, None
        kind: Kind | None = None if left[i].key == right[j].key else "changed"
        if frames.get(here) != there:
            kind = "moved"
        elif left[i].node != right[j].node:
            kind = "renamed"
        rows.append(Row(left=i, right=j, kind=kind))
    return tuple(rows), frames


def _moved(matches: list[Match], left: Sketch, right: Sketch) -> list[Match]:
    """Tell records that are on both sides after all, in another place, and those that stand once more on one side."""
    waiting: dict[tuple[object, ...], deque[tuple[int, int]]] = {}
    for number, found in enumerate(matches):
        if found.left is None or found.right is None:
            continue
        for index, row in enumerate(found.rows):
            if row.kind == "added" and row.right is not None:
                key = right.messages[found.right].items[row.right].key
                waiting.setdefault((number, *key), deque()).append((number, index))
                waiting.setdefault(key, deque()).append((number, index))
    went: dict[tuple[int, int], tuple[int, int]] = {}
    came: dict[tuple[int, int], tuple[int, int]] = {}
    lost = [
        (number, index, left.messages[found.left].items[row.left].key)
        for number, found in enumerate(matches)
        if found.left is not None and found.right is not None
        for index, row in enumerate(found.rows)
        if row.kind == "removed" and row.left is not None
    ]
    for within in (True, False):
        for number, index, key in lost:
            queue = waiting.get((number, *key) if within else key, deque())
            while queue and queue[0] in came:
                queue.popleft()
            if queue and (number, index) not in went:
                came[queue[0]] = number, index
                went[number, index] = queue.popleft()
    return [_told(matches, number, went, came, (left, right)) for number in range(len(matches))]


def _told(
    matches: list[Match],
    number: int,
    went: dict[tuple[int, int], tuple[int, int]],
    came: Mapping[tuple[int, int], tuple[int, int]],
    sides: tuple[Sketch, Sketch],
) -> Match:
    found = matches[number]
    if found.left is None or found.right is None:
        return found
    ours, theirs = sides[0].messages[found.left].items, sides[1].messages[found.right].items
    here, there = frozenset([item.key for item in ours]), frozenset([item.key for item in theirs])
    rows = []
    for index, row in enumerate(found.rows):
        told = row
        if (number, index) in went:
            place = went[number, index]
            target = matches[place[0]]
            told = evolve(row, kind="moved", moved_to=(target.right or 0, target.rows[place[1]].right or 0))
        elif (number, index) in came:
            source = matches[came[number, index][0]]
            told = evolve(row, kind="moved", moved_from=(source.left or 0, source.rows[came[number, index][1]].left or 0))
        elif (row.kind == "removed" and row.left is not None and ours[row.left].key in there) or (
            row.kind == "added" and row.right is not None and theirs[row.right].key in here
        ):
            told = evolve(row, kind="repeated")
        rows.append(told)
    return evolve(found, rows=tuple(rows))


def _moved_messages(matches: list[Match], keys: tuple[list[bytes], list[bytes]]) -> list[Match]:
    """Pair messages that stand on both sides in another order: the place on the left tells of both."""
    alone: dict[bytes, deque[int]] = {}
    for found in matches:
        if found.left is None and found.right is not None:
            alone.setdefault(keys[1][found.right], deque()).append(found.right)
    moved: list[Match] = []
    gone: dict[int, None] = {}
    for found in matches:
        queue = alone.get(keys[0][found.left]) if found.right is None and found.left is not None else None
        if queue:
            target = queue.popleft()
            gone[target] = None
            moved.append(evolve(found, right=target, moved=True))
        else:
            moved.append(found)
    return [found for found in moved if found.moved or not (found.left is None and found.right in gone)]
