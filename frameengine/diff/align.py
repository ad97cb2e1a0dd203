"""Align two sequences: what stands on both sides in the same order, and what of the rest belongs together."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import TypeAlias, TypeVar

_T = TypeVar("_T")
Pairs: TypeAlias = list[tuple[int, int]]
"""Index on the left and on the right, both ascending."""
WINDOW = 1 << 12
"""Cells of a table that is filled at once. A gap beyond it is cut by what is rare in it, or aligned by order of occurrence."""


def align(left: Sequence[Hashable], right: Sequence[Hashable]) -> Pairs:
    """Return which equal items of both sides belong together.

    What occurs once on each side goes first, as far as its order agrees; the gaps between are aligned in the same way. Where
    nothing is unique in a gap, the longest common subsequence is taken, of a gap of more than `WINDOW` cells the equal
    occurrences whose order agrees. Takes O(n log n) for each level of gaps, at most log n levels and one that is bounded; the
    tables take O(`WINDOW`) for each gap, and gaps share no item.
    """
    pairs: Pairs = []
    depth_max = max(len(left), len(right), 1).bit_length() + 1
    waiting = [(0, len(left), 0, len(right), 0)]
    while waiting:
        i1, i2, j1, j2, depth = waiting.pop()
        while i1 < i2 and j1 < j2 and left[i1] == right[j1]:
            pairs.append((i1, j1))
            i1, j1 = i1 + 1, j1 + 1
        while i1 < i2 and j1 < j2 and left[i2 - 1] == right[j2 - 1]:
            i2, j2 = i2 - 1, j2 - 1
            pairs.append((i2, j2))
        if i1 == i2 or j1 == j2:
            continue
        anchors = _unique(left, right, (i1, i2, j1, j2)) if depth < depth_max else []
        if anchors:
            pairs += anchors
            waiting += [
                (ours.start, ours.stop, theirs.start, theirs.stop, depth + 1)
                for ours, theirs in gaps(anchors, i2, j2, start=(i1, j1))
                if ours and theirs
            ]
        elif (i2 - i1) * (j2 - j1) <= WINDOW:
            pairs += [(i1 + i, j1 + j) for i, j in _best(left[i1:i2], right[j1:j2], lambda one, other: one == other)]
        else:
            pairs += _occurrences(left, right, (i1, i2, j1, j2))
    pairs.sort()
    return pairs


def pair(left: Sequence[_T], right: Sequence[_T], likeness: Callable[[_T, _T], float], kind: Callable[[_T], Hashable]) -> Pairs:
    """Return which items of a gap belong together although they are not equal: those most alike, their order kept.

    *likeness* is 0 for items that do not belong together. A gap of more than `WINDOW` cells is aligned by *kind* alone, such as
    the name of a node.
    """
    if len(left) * len(right) <= WINDOW:
        return _best(left, right, likeness)
    found = align([kind(item) for item in left], [kind(item) for item in right])
    return [(i, j) for i, j in found if likeness(left[i], right[j]) > 0]


def gaps(pairs: Pairs, lefts: int, rights: int, *, start: tuple[int, int] = (0, 0)) -> Iterator[tuple[range, range]]:
    """Yield the indices between each two pairs, from *start* and to the ends, where there are any."""
    i, j = start
    for a, b in [*pairs, (lefts, rights)]:
        if a > i or b > j:
            yield range(i, a), range(j, b)
        i, j = a + 1, b + 1


def merged(pairs: Pairs, lefts: int, rights: int) -> Iterator[tuple[int | None, int | None]]:
    """Yield all indices of both sides in order: pairs, and between them what is alone, the left side's first."""
    i, j = 0, 0
    for a, b in [*sorted(pairs), (lefts, rights)]:
        yield from [(index, None) for index in range(i, a)]
        yield from [(None, index) for index in range(j, b)]
        if a < lefts:
            yield a, b
        i, j = a + 1, b + 1


def _unique(left: Sequence[Hashable], right: Sequence[Hashable], gap: tuple[int, int, int, int]) -> Pairs:
    i1, i2, j1, j2 = gap
    ours, theirs = Counter(left[i1:i2]), Counter(right[j1:j2])
    places = {right[j]: j for j in range(j1, j2) if theirs[right[j]] == 1}
    return _rising([(i, places[left[i]]) for i in range(i1, i2) if ours[left[i]] == 1 and left[i] in places])


def _occurrences(left: Sequence[Hashable], right: Sequence[Hashable], gap: tuple[int, int, int, int]) -> Pairs:
    i1, i2, j1, j2 = gap
    places = {key: j for j, key in _numbered(right, j1, j2)}
    return _rising([(i, places[key]) for i, key in _numbered(left, i1, i2) if key in places])


def _numbered(items: Sequence[Hashable], start: int, end: int) -> Iterator[tuple[int, tuple[Hashable, int]]]:
    seen: Counter[Hashable] = Counter()
    for index in range(start, end):
        yield index, (items[index], seen[items[index]])
        seen[items[index]] += 1


def _rising(pairs: Pairs) -> Pairs:
    """Return the most of *pairs*, whose left indices ascend, so that the right ones ascend too."""
    ends: list[int] = []
    last: list[int] = []
    before: list[int] = []
    for index, (_, place) in enumerate(pairs):
        length = bisect_left(ends, place)
        before.append(last[length - 1] if length else -1)
        if length == len(ends):
            ends.append(place)
            last.append(index)
        else:
            ends[length], last[length] = place, index
    found: Pairs = []
    index = last[-1] if last else -1
    while index >= 0:
        found.append(pairs[index])
        index = before[index]
    return found[::-1]


def _best(left: Sequence[_T], right: Sequence[_T], likeness: Callable[[_T, _T], float]) -> Pairs:
    """Return the pairs whose likeness adds up to the most."""
    table = [[0.0] * (len(right) + 1) for _ in range(len(left) + 1)]
    scores = [[likeness(one, other) for other in right] for one in left]
    for i in range(len(left) - 1, -1, -1):
        row, below, score = table[i], table[i + 1], scores[i]
        for j in range(len(right) - 1, -1, -1):
            taken = below[j + 1] + score[j] if score[j] > 0 else 0.0
            row[j] = max(taken, below[j], row[j + 1])
    found: Pairs = []
    i = j = 0
    while i < len(left) and j < len(right):
        if scores[i][j] > 0 and table[i][j] == table[i + 1][j + 1] + scores[i][j]:
            found.append((i, j))
            i, j = i + 1, j + 1
        elif table[i][j] == table[i + 1][j]:
            i += 1
        else:
            j += 1
    return found
