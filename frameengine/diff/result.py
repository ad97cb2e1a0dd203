"""What a comparison of two traces found: plain values, free of any way to show them."""

from __future__ import annotations

from typing import Literal, TypeAlias

from attrs import frozen

from frameengine.jsonvalue import Json

Kind: TypeAlias = Literal["changed", "added", "removed", "renamed", "moved", "repeated"]
"""What became of a frame's record: other fields, only in the right trace, only in the left one, the same under another node's
name, the same in another place, once more than on the other side."""


@frozen(kw_only=True)
class Spot:
    """Where a record stands: written ``2.3 director``."""

    input: int
    """Number of the input."""
    frame: int
    """Number of the frame; 0 for the input itself and for the figures of its message."""
    node: str = ""
    """Name of the node; empty where no node is meant."""


@frozen(kw_only=True)
class FieldChange:
    """One field that differs."""

    pointer: str
    """JSON pointer within the record; a call's request and outcome stand under ``/calls/N/request`` and ``/calls/N/outcome``."""
    left: Json
    """Value on the left; `frameengine.jsonvalue.MISSING` where there is none."""
    right: Json
    """Value on the right; likewise."""


@frozen(kw_only=True)
class Change:
    """One record that is not the same on both sides."""

    kind: Kind
    """What became of it."""
    left: Spot | None
    """Where it stands on the left."""
    right: Spot | None
    """Where it stands on the right."""
    fields: tuple[FieldChange, ...] = ()
    """Its fields that differ, in reading order; a record that was only renamed or moved has none beyond that."""
    follows: bool = False
    """Whether it is a consequence: what it was given differs already."""
