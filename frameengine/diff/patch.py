"""RFC 6902: what makes the document of the right trace out of the left one's (`frameengine.diff.document`)."""

from __future__ import annotations

from typing import TypeAlias

from attrs import field, frozen

from frameengine.diff.result import FieldChange
from frameengine.jsonvalue import MISSING, FrozenMap, Json, freeze

Place: TypeAlias = tuple[int, ...]
"""Indices of a message, and of a frame and a record in it: in this order things stand in a document."""


@frozen(kw_only=True)
class _Piece:
    place: Place
    pointer: str
    value: Json


def pointer_of(place: Place) -> str:
    """Return the JSON pointer of a message, frame or record."""
    return "".join([f"/{name}{index}" for name, index in zip(("messages/", "frames/", ""), place, strict=False)])


@frozen
class Pieces:
    """What differs between two documents, for either direction."""

    _left: list[_Piece] = field(factory=list, init=False)
    _right: list[_Piece] = field(factory=list, init=False)
    _both: list[tuple[_Piece, _Piece]] = field(factory=list, init=False)

    def only_left(self, place: Place, value: Json, pointer: str = "") -> None:
        """Take what stands on the left only."""
        self._left.append(_Piece(place=place, pointer=pointer_of(place) + pointer, value=value))

    def only_right(self, place: Place, value: Json, pointer: str = "") -> None:
        """Take what stands on the right only."""
        self._right.append(_Piece(place=place, pointer=pointer_of(place) + pointer, value=value))

    def field(self, left: Place, right: Place, found: FieldChange) -> None:
        """Take a field of a message, or of a record, that is on both sides."""
        if found.right is MISSING:
            self.only_left(left, found.left, found.pointer)
        elif found.left is MISSING:
            self.only_right(right, found.right, found.right_pointer)
        else:
            one = _Piece(place=left, pointer=pointer_of(left) + found.pointer, value=found.left)
            other = _Piece(place=right, pointer=pointer_of(right) + found.right_pointer, value=found.right)
            self._both.append((one, other))

    def operations(self, *, flipped: bool = False) -> tuple[FrozenMap, ...]:
        """Return the operations from left to right; the other way where *flipped*.

        First everything is removed from the end, then added from the start, then replaced where it stands by then: so each
        pointer holds at its turn.
        """
        gone, new = (self._right, self._left) if flipped else (self._left, self._right)
        then = [one if flipped else other for one, other in self._both]
        removed = [{"op": "remove", "path": piece.pointer} for piece in reversed(_in_order(gone))]
        added = [{"op": "add", "path": piece.pointer, "value": piece.value} for piece in _in_order(new)]
        replaced = [{"op": "replace", "path": piece.pointer, "value": piece.value} for piece in then]
        result: tuple[FrozenMap, ...] = freeze([*removed, *added, *replaced])
        return result


def _in_order(pieces: list[_Piece]) -> list[_Piece]:
    return sorted(pieces, key=lambda piece: piece.place)
