"""Compare two traces: align their frames by digests, decode what differs, and say what came first and why."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

from attrs import evolve

from frameengine.diff.cause import explain
from frameengine.diff.consequence import Consequences
from frameengine.diff.fetch import EVERY, Fetched, fetch
from frameengine.diff.fields import changes as field_changes
from frameengine.diff.fields import record_changes
from frameengine.diff.filters import Filters, steps_of
from frameengine.diff.matching import Match, Row, match
from frameengine.diff.patch import Pieces, Place
from frameengine.diff.result import Change, FieldChange, Message, Side, Spot, TraceDiff
from frameengine.diff.sketch import Item, MessageSketch, Sketch, sketch
from frameengine.errors import NothingCompared, UsageError
from frameengine.jsonvalue import EMPTY, MISSING, FrozenMap, Json, frozen_map
from frameengine.trace.files import steady


def compare(
    left: Path,
    right: Path,
    *,
    ignore: Iterable[str] = (),
    only: Iterable[str] = (),
    message: int | None = None,
    damaged: bool = False,
    done: Callable[[int], None] = lambda _bytes: None,
) -> TraceDiff:
    """Return what differs between two traces: everything that their canonical digests are made of.

    *ignore* and *only* are JSON pointers within a record, in which ``*`` stands for any one step: what the first reach is left
    out, and of the rest all that the others do not touch. Records that are only on one side are never left out. *message*
    compares one message alone, by the number of its input on the left. With *damaged*, files that are not whole are compared as
    far as they go, and are never the same. *done* is told the bytes read so far; each file is read twice at most.

    Both files are read in one go each and kept as digests (`sketch`), then once more up to the last thing that differs; only
    what differs is decoded. Time and memory grow with the files' size and with how much differs, see `align` for the bound.

    Raises `TraceError`, `UsageError`, and `NothingCompared` where no message of both has a frame, or filters leave no field.
    """
    filters = Filters(ignore, only)
    with ExitStack() as stack:
        for path in (left, right):
            stack.enter_context(steady(path))
        told = _Told(done)
        ours, theirs = (sketch(path, damaged=damaged, done=told.part()) for path in (left, right))
        # From either side the same is found: of two ways to align, both directions must take the same one.
        flipped = _order(ours) > _order(theirs)
        if flipped:
            ours, theirs = theirs, ours
        matches = _chosen(match(ours, theirs), (ours, theirs), message, flipped=flipped)
        found = _Comparison(ours, theirs, filters, matches)
        found.run(damaged=damaged, told=told)
        if filters.looking:
            found.search(damaged=damaged)
        filters.check(message)
        return found.result(flipped=flipped)


class _Told:
    """The bytes read of several files, one after another or in turn."""

    def __init__(self, done: Callable[[int], None]) -> None:
        self._done = done
        self._parts: list[int] = []

    def part(self) -> Callable[[int], None]:
        """Return what is told the bytes read of one more file."""
        index = len(self._parts)
        self._parts.append(0)

        def read(size: int) -> None:
            self._parts[index] = size
            self._done(sum(self._parts))

        return read


def _order(side: Sketch) -> list[bytes]:
    return [message.key for message in side.messages]


def _chosen(matches: list[Match], sides: tuple[Sketch, Sketch], message: int | None, *, flipped: bool) -> list[Match]:
    """Return the matches to look at. Raises `UsageError` for a message that is not there, `NothingCompared` for no frames."""
    ours, theirs = sides
    if message is not None:
        side, member = (theirs, "right") if flipped else (ours, "left")
        numbers = {each.number: index for index, each in enumerate(side.messages)}
        if message not in numbers:
            listed = ", ".join([str(number) for number in list(numbers)[:20]]) or "none"
            raise UsageError(f"{side.path} has no message {message}", hint=f"its messages are {listed}", input=message)
        matches = [each for each in matches if getattr(each, member) == numbers[message]]
    both = [each for each in matches if each.left is not None and each.right is not None]
    if not any(ours.messages[each.left or 0].items or theirs.messages[each.right or 0].items for each in both):
        first, second = (theirs, ours) if flipped else (ours, theirs)
        what = f"nothing to compare: no message with a frame is in both {first.path} and {second.path}"
        raise NothingCompared(
            what, hint="compare recordings of the same conversation", left=str(first.path), right=str(second.path)
        )
    return matches


class _Comparison:
    """Two traces being compared, message by message."""

    def __init__(self, left: Sketch, right: Sketch, filters: Filters, matches: list[Match]) -> None:
        self._left, self._right = left, right
        self._filters = filters
        self._matches = matches
        self._shown = (
            frozenset([found.left for found in matches if found.left is not None]),
            frozenset([found.right for found in matches if found.right is not None]),
        )
        self._changes: list[Change] = []
        self._messages: list[Message] = []
        self._pieces = Pieces()
        self._consequences = Consequences(left, right)

    def run(self, *, damaged: bool, told: _Told) -> None:
        """Compare all that is not the same."""
        wanted = _wanted(self._matches, self._left, self._right)
        ours, theirs = (
            _Reading(fetch(side.path, what, damaged=damaged, done=told.part()))
            for side, what in zip((self._left, self._right), wanted, strict=True)
        )
        for found in self._matches:
            before = len(self._changes)
            left = ours.take(found.left) if found.left is not None and found.left in wanted[0] else None
            right = theirs.take(found.right) if found.right is not None and found.right in wanted[1] else None
            if not found.same:
                self._changes += self._consequences.told(found, list(self._message(found, left, right)))
            self._messages.append(self._figures(found, len(self._changes) - before))

    def search(self, *, damaged: bool) -> None:
        """Look for what ``only`` names, and for what the filters leave, in all that was not decoded."""
        for side, shown in zip((self._left, self._right), self._shown, strict=True):
            every: dict[int, frozenset[int] | None] = dict.fromkeys(sorted(shown), EVERY)
            for fetched in fetch(side.path, every, damaged=damaged):
                self._look_at(fetched, side.messages[fetched.index])
                if not self._filters.looking:
                    return

    def result(self, *, flipped: bool) -> TraceDiff:
        """Return what was found, as seen from the side that was given first."""
        found = TraceDiff(
            left=_side(self._left),
            right=_side(self._right),
            changes=tuple(self._changes),
            messages=tuple(self._messages),
            ignored=self._filters.ignored,
            outside=self._filters.outside,
            unmatched=self._filters.unmatched,
        )
        ours, theirs = (self._right, self._left) if flipped else (self._left, self._right)
        found = found.mirrored() if flipped else found
        return explain(evolve(found, patch=self._pieces.operations(flipped=flipped)), ours, theirs)

    def _message(self, found: Match, left: Fetched | None, right: Fetched | None) -> Iterator[Change]:
        for side, fetched in ((self._left, left), (self._right, right)):
            if fetched is not None:
                self._look_at(fetched, side.messages[fetched.index])
        if found.moved or found.left is None or found.right is None:
            yield from self._alone(found, left or right)
            return
        assert left is not None  # noqa: S101 - both were wanted, as they are not the same
        assert right is not None  # noqa: S101
        ours, theirs = self._left.messages[found.left], self._right.messages[found.right]
        one, other = _spot(ours, None), _spot(theirs, None)
        entered = self._kept((found.left,), (found.right,), field_changes(left.entered, right.entered, "/input"))
        if entered:
            yield Change(kind="changed", left=one, right=other, fields=entered)
        for row in found.rows:
            yield from self._row(found, row, left, right)
        self._frames(found, left, right)
        figures = self._kept((found.left,), (found.right,), field_changes(ours.figures, theirs.figures, "/figures"))
        if figures:
            yield Change(kind="changed", left=one, right=other, fields=figures)

    def _alone(self, found: Match, fetched: Fetched | None) -> Iterator[Change]:
        """Yield a message that is on one side only, or was moved as a whole."""
        assert fetched is not None  # noqa: S101 - it was wanted
        here = self._left.messages[found.left] if found.left is not None else self._right.messages[fetched.index]
        whole = _whole(fetched, here)
        if found.left is not None:
            self._pieces.only_left((found.left,), whole)
        if found.right is not None:
            self._pieces.only_right((found.right,), whole)
        there = self._right.messages[found.right] if found.right is not None else None
        kind = "moved" if found.moved else "removed" if found.right is None else "added"
        rest = frozen_map({"input": fetched.entered, "figures": here.figures})
        for number, item in enumerate([None, *here.items]):
            left = None if found.left is None else _spot(here, item)
            right = None if there is None else _spot(there, there.items[number - 1] if item else None)
            value = rest if item is None else fetched.frames[item.slot][item.place]
            yield Change(kind=kind, left=left, right=right, whole=value, follows=item is not None)  # type: ignore[arg-type]

    def _row(self, found: Match, row: Row, left: Fetched, right: Fetched) -> Iterator[Change]:
        if row.kind is None or (row.moved_from is not None and row.moved_from[0] in self._shown[0]):
            return
        ours, theirs = self._left.messages[left.index], self._right.messages[right.index]
        one = None if row.left is None else ours.items[row.left]
        other = None if row.right is None else theirs.items[row.right]
        if one is not None and other is not None:
            places = (_place(left.index, one), _place(right.index, other))
            pair = left.frames[one.slot][one.place], right.frames[other.slot][other.place]
            fields = self._kept(*places, record_changes(*pair), patched=row.kind != "moved")
            if row.kind == "renamed":
                self._pieces.field(*places, FieldChange(pointer="/node", left=one.node, right=other.node))
            if fields or row.kind != "changed":
                here, there = _spot(ours, one), _spot(theirs, other)
                whole = pair[0] if row.kind == "moved" else None
                effect = _effect(fields, *pair)
                yield Change(kind=row.kind, left=here, right=there, fields=fields, effect=effect, whole=whole)
            return
        source = _elsewhere(self._left, row.moved_from) if one is None else _spot(ours, one)
        target = _elsewhere(self._right, row.moved_to) if other is None else _spot(theirs, other)
        whole = left.frames[one.slot][one.place] if one else right.frames[other.slot][other.place]  # type: ignore[union-attr]
        yield Change(kind=row.kind, left=source, right=target, whole=whole)

    def _frames(self, found: Match, left: Fetched, right: Fetched) -> None:
        """Take frames and records that stand on one side only, or elsewhere, for the patch."""
        ours, theirs = self._left.messages[left.index].items, self._right.messages[right.index].items
        back = {there: here for here, there in found.frames.items()}
        for items, frames, fetched, take, stays in (
            (ours, found.frames, left, self._pieces.only_left, frozenset([row.left for row in found.rows if _stays(row)])),
            (theirs, back, right, self._pieces.only_right, frozenset([row.right for row in found.rows if _stays(row)])),
        ):
            for index, item in enumerate(items):
                if item.slot in frames:
                    if index not in stays:
                        take(_place(fetched.index, item), fetched.frames[item.slot][item.place])
                elif item.place == 0:
                    take((fetched.index, item.slot - 1), tuple(fetched.frames[item.slot]))

    def _kept(self, left: Place, right: Place, found: Iterable[FieldChange], *, patched: bool = True) -> tuple[FieldChange, ...]:
        fields = self._filters.kept(found)
        for each in fields if patched else ():
            self._pieces.field(left, right, each)
        return fields

    def _look_at(self, fetched: Fetched, message: MessageSketch) -> None:
        if self._filters.looking:
            self._filters.look_at(frozen_map({"input": fetched.entered, "figures": message.figures}))
            for documents in fetched.frames.values():
                for each in documents:
                    self._filters.look_at(each)

    def _figures(self, found: Match, changes: int) -> Message:
        ours = None if found.left is None else self._left.messages[found.left]
        theirs = None if found.right is None else self._right.messages[found.right]
        return Message(
            left=None if ours is None else ours.number,
            right=None if theirs is None else theirs.number,
            left_figures=EMPTY if ours is None else ours.figures,
            right_figures=EMPTY if theirs is None else theirs.figures,
            changes=changes,
        )


def _stays(row: Row) -> bool:
    """Whether a record stands in frames that belong together."""
    return row.left is not None and row.right is not None and row.kind != "moved"


class _Reading:
    """Messages that are fetched in the order in which they are asked for, but for those that were moved."""

    def __init__(self, fetched: Iterator[Fetched]) -> None:
        self._fetched = fetched
        self._early: dict[int, Fetched] = {}

    def take(self, index: int) -> Fetched:
        """Return the message with this index."""
        while index not in self._early:
            found = next(self._fetched)
            self._early[found.index] = found
        return self._early.pop(index)


_Wanted = dict[int, frozenset[int] | None]


def _wanted(matches: list[Match], left: Sketch, right: Sketch) -> tuple[_Wanted, _Wanted]:
    """Return the messages of both sides that must be decoded, each with its frames that must."""
    ours: _Wanted = {}
    theirs: _Wanted = {}
    for found in matches:
        if found.same:
            continue
        if found.moved or found.right is None:
            ours[found.left or 0] = EVERY
        elif found.left is None:
            theirs[found.right] = EVERY
        else:
            here, there = left.messages[found.left].items, right.messages[found.right].items
            odd = [row for row in found.rows if row.kind is not None]
            ours[found.left] = frozenset([here[row.left].slot for row in odd if row.left is not None])
            theirs[found.right] = frozenset([there[row.right].slot for row in odd if row.right is not None])
    return ours, theirs


def _effect(fields: tuple[FieldChange, ...], left: FrozenMap, right: FrozenMap) -> str:
    """Return the kind of effect that the first field is one of."""
    part, *steps = steps_of(fields[0].pointer) if fields else ("",)
    if part != "calls" or not steps:
        return ""
    calls: tuple[FrozenMap, ...] = (right if fields[0].left is MISSING else left).get("calls", ())
    return str(calls[int(steps[0])]["effect"]) if int(steps[0]) < len(calls) else ""


def _side(found: Sketch) -> Side:
    return Side(path=found.path, header=found.header, counts=found.counts, problem=found.problem)


def _spot(message: MessageSketch, item: Item | None) -> Spot:
    return Spot(input=message.number, frame=item.slot if item else 0, node=item.node if item else "")


def _elsewhere(side: Sketch, place: tuple[int, int] | None) -> Spot | None:
    """Return the spot of an item by the indices of its message and of itself; None for no place."""
    return None if place is None else _spot(side.messages[place[0]], side.messages[place[0]].items[place[1]])


def _place(message: int, item: Item) -> Place:
    return (message, item.slot - 1, item.place)


def _whole(fetched: Fetched, message: MessageSketch) -> FrozenMap:
    """Return the document of a message of which every frame was fetched."""
    members: dict[str, Json] = {"input": fetched.entered, "frames": tuple([tuple(each) for each in fetched.frames.values()])}
    return frozen_map({**members, "figures": message.figures})
