"""The differences of two JSON values, each with its pointer: the smallest places that differ, list items aligned first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from frameengine.codec import written
from frameengine.diff.align import align, gaps, merged, pair
from frameengine.diff.document import in_flow
from frameengine.diff.result import FieldChange
from frameengine.jsonvalue import MISSING, FrozenMap, Json, pointer_step

_CONTAINERS = (dict, tuple, list)
_LITTLE = 0.1


def record_changes(left: FrozenMap, right: FrozenMap) -> Iterator[FieldChange]:
    """Yield the differences of two records, the name of the node apart, in the order in which data flows through a node."""
    for name in in_flow({**left, **right}):
        if name != "node":
            yield from changes(left.get(name, MISSING), right.get(name, MISSING), f"/{name}")


def changes(left: Json, right: Json, pointer: str = "", right_pointer: str | None = None) -> Iterator[FieldChange]:
    """Yield the differences of two frozen values that stand at these pointers.

    1 and 1.0 differ, as do true and 1. Members of a mapping may be added anywhere, but those on both sides must stand in the same
    order, or the mapping differs as a whole; so do two mappings that have nothing in common.
    """
    there = pointer if right_pointer is None else right_pointer
    if isinstance(left, tuple | list) and isinstance(right, tuple | list):
        yield from _items(left, right, pointer, there)
    elif same(left, right):
        return
    elif _have_members_in_order(left, right):
        for name in [*left, *[name for name in right if name not in left]]:
            step = pointer_step(name)
            yield from changes(left.get(name, MISSING), right.get(name, MISSING), f"{pointer}/{step}", f"{there}/{step}")
    else:
        yield FieldChange(pointer=pointer, left=left, right=right, right_pointer=there)


def _have_members_in_order(left: Json, right: Json) -> bool:
    """Return whether both are mappings that have something in common, and that in the same order."""
    return (
        isinstance(left, dict)
        and isinstance(right, dict)
        and likeness(left, right) > 0
        and _common(left, right) == _common(right, left)
    )


def same(left: Json, right: Json) -> bool:
    """Return whether two values are written the same, whichever of their texts are shared."""
    return left is right or (MISSING not in (left, right) and written(left) == written(right))


def _common(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    return [name for name in one if name in other]


def _items(left: Sequence[Json], right: Sequence[Json], pointer: str, there: str) -> Iterator[FieldChange]:
    pairs = align([written(item) for item in left], [written(item) for item in right])
    for ours, theirs in gaps(pairs, len(left), len(right)):
        alone = len(ours) == len(theirs) == 1
        alike = [(0, 0)] if alone else pair([left[i] for i in ours], [right[j] for j in theirs], likeness, type)
        for i, j in merged(alike, len(ours), len(theirs)):
            here = f"{pointer}/{ours[i]}" if i is not None else ""
            place = f"{there}/{theirs[j]}" if j is not None else ""
            if i is None:
                yield FieldChange(pointer=place, left=MISSING, right=right[theirs[j or 0]])
            elif j is None:
                yield FieldChange(pointer=here, left=left[ours[i]], right=MISSING)
            else:
                yield from changes(left[ours[i]], right[theirs[j]], here, place)


def likeness(left: Json, right: Json) -> float:
    """Return how much two values have in common, from 0, another thing altogether, to 1.

    Mappings are alike by their equal members; without one, a little, where they have the same members or one of them has none.
    """
    if isinstance(left, dict) and isinstance(right, dict):
        names = {*left, *right}
        common = _common(left, right)
        shared = sum([same(left[name], right[name]) for name in common])
        if shared or len(common) == len(names) or not left or not right:
            return (shared + _LITTLE) / (len(names) + _LITTLE)
        return 0
    nested = isinstance(left, _CONTAINERS) or isinstance(right, _CONTAINERS)
    return _LITTLE if not nested or type(left) is type(right) else 0
