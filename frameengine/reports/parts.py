"""A comparison in parts that a screen, a page or a comment shows in its own way: places, differences, words that differ."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from json import dumps
from typing import Literal, TypeAlias

from attrs import frozen

from frameengine.codec import digest
from frameengine.diff.result import Change, FieldChange, TraceDiff
from frameengine.diff.words import Part, word_parts
from frameengine.jsonvalue import MISSING, FrozenMap, Json, freeze, thaw

CONTEXT_WORDS = 24
"""Words and spaces that are shown before and after a difference."""
LONG = 400
"""Code points of words that differ in one go; of longer ones the start is shown, and how many more there are."""
FIGURES = ("path", "total_frames", "calls", "status")
"""Figures of a message that a table shows."""
Tag: TypeAlias = Literal["same", "differs"]


@frozen
class Piece:
    """Words that stand on both sides, or on this one only."""

    tag: Tag
    """same: on both sides."""
    text: str
    """The words, as they came: whoever shows them makes them safe."""


Side: TypeAlias = tuple[Piece, ...]
"""One side of a difference; empty for the empty text."""


def sides(left: Json, right: Json, *, context: int = CONTEXT_WORDS, long: int = LONG) -> tuple[Side | None, Side | None]:
    """Return both values in pieces, cut to what is around the differences; None for a side that has nothing (`MISSING`)."""
    if left is MISSING or right is MISSING:
        return _alone(left, long), _alone(right, long)
    ours: list[Piece] = []
    theirs: list[Piece] = []
    parts = word_parts(text_of(left), text_of(right))
    for index, part in enumerate(parts):
        if part.tag == "equal":
            piece = Piece("same", _around(part, context, first=index == 0, last=index == len(parts) - 1))
            ours.append(piece)
            theirs.append(piece)
        else:
            (ours if part.tag == "removed" else theirs).append(Piece("differs", shortened(part.text, long)))
    return tuple(ours), tuple(theirs)


def _alone(value: Json, long: int) -> Side | None:
    if value is MISSING:
        return None
    text = shortened(text_of(value), long)
    return (Piece("differs", text),) if text else ()


def text_of(value: Json) -> str:
    """Return a text as it is, and any other JSON over several lines."""
    return value if isinstance(value, str) else dumps(thaw(value), indent=2, ensure_ascii=False)


def shortened(text: str, long: int) -> str:
    """Return *text*, of more than *long* code points only the start."""
    kept = long * 3 // 4
    return text if len(text) <= long else f"{text[:kept]} … {len(text) - kept:,} more characters"


def _around(part: Part, context: int, *, first: bool, last: bool) -> str:
    """Return equal words between differences, cut in the middle; at the ends only what is next to one."""
    before = () if first else part.words[:context]
    after = () if last else part.words[-context:]
    if len(part.words) <= len(before) + len(after):
        return part.text
    if first and last:
        whole = part.words[: context * 2]
        return "".join(whole) + ("…" if len(part.words) > len(whole) else "")
    return "".join(before) + " … " + "".join(after)


def alike(fields: Iterable[FieldChange]) -> list[tuple[FieldChange, ...]]:
    """Return fields that differ in the same way together: what a model said goes through many places."""
    groups: dict[str, list[FieldChange]] = {}
    for field in fields:
        values = {name: value for name, value in field.to_json().items() if name in ("left", "right")}
        groups.setdefault(digest(freeze(values)), []).append(field)
    return [tuple(group) for group in groups.values()]


def pointer(field: FieldChange) -> str:
    """Return where a field stands: on both sides, where that is not the same place."""
    here = field.pointer or "/"
    return here if field.right_pointer == field.pointer else f"{here} → {field.right_pointer or '/'}"


def place(change: Change) -> str:
    """Return where a record stands: on both sides, where that is not the same place."""
    if change.left is None or change.right is None or str(change.left) == str(change.right):
        return str(change.spot)
    return f"{change.left} → {change.right}"


def headline(found: TraceDiff) -> str:
    """Return the verdict, and the place of the first difference."""
    if found.first is not None:
        return f"differs at {place(found.first)}"
    return "same" if found.verdict == "same" else "no difference as far as the files go"


def tally(found: TraceDiff) -> str:
    """Return how many records are not the same, by kind, and how many of them follow from others."""
    kinds = ", ".join([f"{count:,} {kind}" for kind, count in found.counts().items()])
    follow = len(found.following)
    return kinds + (f"; {follow:,} of {len(found.changes):,} follow" if follow else "")


def independent(found: TraceDiff) -> list[Change]:
    """Return the changes after the first that follow from nothing."""
    return [change for change in found.changes if not change.follows and change is not found.first]


def by_message(changes: Iterable[Change]) -> dict[int, list[Change]]:
    """Return changes by the number of their message's input: on the left, or on the right where the left has none."""
    groups: dict[int, list[Change]] = {}
    for change in changes:
        groups.setdefault(change.spot.input, []).append(change)
    return groups


def figures(left: FrozenMap, right: FrozenMap) -> list[str]:
    """Return the figures of a message, both where they are not the same; `FIGURES` has their names."""
    pairs = [(_figure(left, name), _figure(right, name)) for name in FIGURES]
    return [one if one == other else f"{one} → {other}" for one, other in pairs]


def _figure(members: FrozenMap, name: str) -> str:
    value = members.get(name)
    return "–" if value is None else str(value)


def left_out(found: TraceDiff) -> list[str]:
    """Return what filters took out, and which of them matched nothing."""
    lines = []
    if found.ignored_count:
        parts = [f"{each.count:,} at {each.pointer}" for each in found.ignored]
        parts += [f"{found.outside:,} outside of what was asked for"] if found.outside else []
        lines.append(f"{_count(found.ignored_count, 'difference')} left out: {', '.join(parts)}")
    if found.unmatched:
        lines.append(f"matched nothing: {', '.join(found.unmatched)}")
    return lines


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}" + ("" if number == 1 else "s")


def cut(text: str, lines: int) -> str:
    """Return the first *lines* lines of a text, and how many more there are."""
    parts: Sequence[str] = text.split("\n")
    return text if len(parts) <= lines else "\n".join([*parts[:lines], f"… {len(parts) - lines:,} more lines"])
