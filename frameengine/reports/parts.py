"""A comparison in parts that a screen, a page or a comment shows in its own way: places, differences, words that differ."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from json import dumps
from typing import Literal, TypeAlias

from attrs import frozen

from frameengine.codec import digest
from frameengine.diff.result import Change, FieldChange, Message, TraceDiff
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
    return _joined(ours), _joined(theirs)


def _joined(side: list[Piece]) -> Side:
    """Return one side with white space taken to the differing words on both ends of it: a changed phrase is one run."""
    joined: list[Piece] = []
    for index, piece in enumerate(side):
        ends = [each.tag == "differs" for each in side[max(index - 1, 0) : index + 2 : 2]]
        between = piece.tag == "same" and piece.text.isspace() and ends == [True, True]
        tag: Tag = "differs" if between else piece.tag
        if joined and joined[-1].tag == tag:
            joined[-1] = Piece(tag, joined[-1].text + piece.text)
        else:
            joined.append(Piece(tag, piece.text))
    return tuple(joined)


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
    message = "" if change.spot.frame else "message "
    if change.left is None or change.right is None or str(change.left) == str(change.right):
        return f"{message}{change.spot}"
    return f"{message}{change.left} → {change.right}"


def places(changes: Sequence[Change], most: int) -> str:
    """Return where records stand, *most* of them by name."""
    more = [f"{len(changes) - most:,} more"] if len(changes) > most else []
    return ", ".join([*[place(change) for change in changes[:most]], *more])


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


def causes(found: TraceDiff) -> list[tuple[Change, ...]]:
    """Return the changes that follow from nothing, the first one first; those with the same differences stand together."""
    groups: dict[str, list[Change]] = {}
    for index, change in enumerate([change for change in found.changes if not change.follows]):
        told = {**change.to_json(), "left": change.left and change.left.node, "right": change.right and change.right.node}
        # What is on one side only is shown whole, each by itself.
        groups.setdefault(digest(freeze(told)) if change.whole is None else str(index), []).append(change)
    return [tuple(group) for group in groups.values()]


def consequences(found: TraceDiff) -> list[tuple[Message, list[Change]]]:
    """Return what follows from other changes, message by message."""
    left = {message.left: message for message in found.messages if message.left is not None}
    right = {message.right: message for message in found.messages if message.right is not None}
    groups: dict[tuple[int | None, int | None], tuple[Message, list[Change]]] = {}
    for change in found.following:
        message = right[change.spot.input] if change.left is None else left[change.spot.input]
        groups.setdefault((message.left, message.right), (message, []))[1].append(change)
    return list(groups.values())


def number(message: Message) -> str:
    """Return the number of a message: on both sides, where that is not the same."""
    return " → ".join([str(each) for each in dict.fromkeys([message.left, message.right]) if each is not None])


def alone(message: Message) -> str:
    """Return added or removed for a message that is on one side only."""
    return "added" if message.left is None else "removed" if message.right is None else ""


def within(changes: Sequence[Change], most: int) -> str:
    """Return where records stand within their message, by what became of them; *most* of each kind by name."""
    kinds: dict[str, list[str]] = {}
    for change in changes:
        spot = change.spot
        kinds.setdefault(change.kind, []).append(f"{spot.frame} {spot.node}".rstrip() if spot.frame else "figures")
    told = []
    for kind, named in kinds.items():
        more = [f"{len(named) - most:,} more"] if len(named) > most else []
        told.append(("" if kind == "changed" else f"{kind} ") + ", ".join([*named[:most], *more]))
    return "; ".join(told)


def figures(message: Message) -> list[str]:
    """Return the figures of a message, both where they are not the same; `FIGURES` has their names."""
    sides = [side for side in (message.left_figures, message.right_figures) if side] or [message.left_figures]
    return [" → ".join(dict.fromkeys([_figure(side, name) for side in sides])) for name in FIGURES]


def _figure(members: FrozenMap, name: str) -> str:
    value = members.get(name)
    return "none" if value is None else str(value)


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
