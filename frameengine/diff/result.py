"""What a comparison of two traces found: plain values, free of any way to show them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, TypeAlias

from attrs import evolve, field, frozen

from frameengine.jsonvalue import EMPTY, MISSING, FrozenMap, Json
from frameengine.trace.reader import Counts

SCHEMA_VERSION = 1
"""Version of `TraceDiff.to_json`. A new member is no new version, a changed meaning is."""
Kind: TypeAlias = Literal["changed", "added", "removed", "renamed", "moved", "repeated"]
"""What became of a frame's record: other fields, only in the right trace, only in the left one, the same under another node's
name, the same in another place, once more than on the other side."""
Cause: TypeAlias = Literal[
    "graph", "prompt", "node code", "tool schema", "state", "model reply", "tool result", "input", "edit", "undetermined"
]
"""What the first difference comes from: *graph*, *prompt* and *node code* by the digests in the headers, *tool schema* and
*state* by what the runs began with, *model reply*, *tool result* and *input* by what came in from outside; *edit* where one run
is a fork of the other and its header says that this was changed by hand."""
Verdict: TypeAlias = Literal["same", "differs", "incomplete"]
"""incomplete: no difference was found, but one of the files is damaged, so that nothing is known of what came after."""


@frozen(kw_only=True)
class Spot:
    """Where a record stands: written ``2.3 director``."""

    input: int
    """Number of the input."""
    frame: int
    """Number of the frame; 0 for the input itself and for the figures of its message."""
    node: str = ""
    """Name of the node; empty where no node is meant: for frame 0, and for an input that came in before this frame."""

    def __str__(self) -> str:
        return f"{self.input}.{self.frame} {self.node}".rstrip() if self.frame else str(self.input)


@frozen(kw_only=True)
class FieldChange:
    """One field that differs."""

    pointer: str
    """JSON pointer within the record on the left; within the right one where the left has nothing. A call's request and outcome
    stand under ``/calls/N/request`` and ``/calls/N/outcome``; those of frame 0 are ``/input/…`` and ``/figures/…``, those of an
    input that came in during a message ``/entered/…``."""
    left: Json
    """Value on the left; `frameengine.jsonvalue.MISSING` where there is none."""
    right: Json
    """Value on the right; likewise."""
    right_pointer: str = field()
    """The same place on the right: another one where list items before it were added or removed."""

    @right_pointer.default
    def _same_place(self) -> str:
        return self.pointer

    def mirrored(self) -> FieldChange:
        """Return the change as it is seen from the other side."""
        there, here = (self.pointer, self.right_pointer)
        return FieldChange(pointer=here, left=self.right, right=self.left, right_pointer=there)

    def to_json(self) -> dict[str, Any]:
        """Return the change as plain JSON; a side that has nothing is left out."""
        sides = {name: value for name, value in (("left", self.left), ("right", self.right)) if value is not MISSING}
        moved = {} if self.right_pointer == self.pointer else {"right_pointer": self.right_pointer}
        return {"pointer": self.pointer, **moved, **sides}


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
    """Its fields that differ, in the order in which data flows through a node: input, calls, error, output, …; a record that was
    only renamed or moved has none beyond that."""
    follows: bool = False
    """Whether it is a consequence: what it was given differs already."""
    effect: str = ""
    """model or tool, where the first field that differs is one of a call; empty elsewhere."""
    whole: Json = None
    """The record itself, in its document form, where it stands on one side only or was moved; None for the others."""

    @property
    def spot(self) -> Spot:
        """Where it stands: on the left, or on the right where the left has nothing."""
        spot = self.left or self.right
        assert spot is not None  # noqa: S101 - a change stands on one side at least
        return spot

    def mirrored(self) -> Change:
        """Return the change as it is seen from the other side."""
        return Change(
            kind=_MIRRORED.get(self.kind, self.kind),
            left=self.right,
            right=self.left,
            fields=tuple([each.mirrored() for each in self.fields]),
            follows=self.follows,
            effect=self.effect,
            whole=self.whole,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the change as plain JSON."""
        value: dict[str, Any] = {"kind": self.kind, "left": _spot_json(self.left), "right": _spot_json(self.right)}
        value["follows"] = self.follows
        if self.effect:
            value["effect"] = self.effect
        if self.fields:
            value["fields"] = [each.to_json() for each in self.fields]
        if self.whole is not None:
            value["record"] = self.whole
        return value


_MIRRORED: dict[Kind, Kind] = {"added": "removed", "removed": "added"}


def _spot_json(spot: Spot | None) -> dict[str, Any] | None:
    return None if spot is None else {"input": spot.input, "frame": spot.frame, "node": spot.node}


@frozen(kw_only=True)
class Side:
    """One of the two traces."""

    path: Path
    """The file."""
    header: FrozenMap
    """Its header."""
    counts: Counts
    """Inputs, frames and calls that were read of it."""
    problem: str = ""
    """What is wrong with the file where it is damaged and was read all the same; empty for a whole one."""

    @property
    def graph(self) -> str:
        """Name and version of its graph, as far as the header says them."""
        graph = self.header.get("graph", EMPTY)
        version = f" v{graph['version']}" if "version" in graph else ""
        return f"{graph.get('name', '')}{version}"

    def to_json(self) -> dict[str, Any]:
        """Return the side as plain JSON."""
        counts = {"inputs": self.counts.inputs, "frames": self.counts.frames, "calls": self.counts.calls}
        return {"path": str(self.path), "graph": self.graph, "counts": counts, "problem": self.problem}


@frozen(kw_only=True)
class Message:
    """One message of both traces, in figures."""

    left: int | None
    """Number of its input on the left; None where it is only on the right."""
    right: int | None
    """Number of its input on the right; likewise."""
    left_figures: FrozenMap = EMPTY
    """path, total_frames, frames, calls, status and state on the left; empty where the recording broke off before them."""
    right_figures: FrozenMap = EMPTY
    """The same on the right."""
    changes: int = 0
    """How many of its records, its input and figures included, are not the same."""

    def mirrored(self) -> Message:
        """Return the message as it is seen from the other side."""
        sides = {"left_figures": self.right_figures, "right_figures": self.left_figures}
        return Message(left=self.right, right=self.left, changes=self.changes, **sides)

    def to_json(self) -> dict[str, Any]:
        """Return the message as plain JSON."""
        return {
            "left": None if self.left is None else {"input": self.left, **self.left_figures},
            "right": None if self.right is None else {"input": self.right, **self.right_figures},
            "changes": self.changes,
        }


@frozen(kw_only=True)
class Filtered:
    """What a filter took out."""

    pointer: str
    """The pointer as it was given; empty for what no pointer of ``only`` reaches."""
    count: int
    """How many differing fields."""


@frozen(kw_only=True)
class TraceDiff:
    """What a comparison of two traces found."""

    left: Side
    """The trace that was given first."""
    right: Side
    """The one that was given second."""
    changes: tuple[Change, ...] = ()
    """Everything that differs, in running order."""
    messages: tuple[Message, ...] = ()
    """Every message that was compared, in running order."""
    cause: Cause = "undetermined"
    """What the first difference comes from, as far as that is sure."""
    because: str = ""
    """What the cause was told from; empty where nothing differs."""
    digests: tuple[str, ...] = ()
    """What has another digest in the two headers, whether it made a difference or not: ``graph``, ``prompt p``, …."""
    ignored: tuple[Filtered, ...] = ()
    """What ``ignore`` took out, pointer by pointer."""
    outside: int = 0
    """How many differing fields ``only`` left out."""
    unmatched: tuple[str, ...] = ()
    """Pointers that were given and matched nothing: of ``ignore`` no difference, of ``only`` no field of either trace."""
    patch: tuple[FrozenMap, ...] = ()
    """RFC 6902 operations that make the right document out of the left one (`frameengine.diff.document`)."""

    @property
    def verdict(self) -> Verdict:
        """Return same, differs, or incomplete."""
        if self.changes:
            return "differs"
        return "incomplete" if self.left.problem or self.right.problem else "same"

    @property
    def first(self) -> Change | None:
        """The first difference in running order that is no consequence: the headline."""
        return next((change for change in self.changes if not change.follows), None)

    @property
    def following(self) -> tuple[Change, ...]:
        """The consequences, which a screen folds."""
        return tuple([change for change in self.changes if change.follows])

    @property
    def ignored_count(self) -> int:
        """How many differing fields were filtered out, by ``ignore`` or ``only``."""
        return sum([each.count for each in self.ignored]) + self.outside

    def counts(self) -> dict[Kind, int]:
        """Return how many changes there are of each kind that occurs."""
        found: dict[Kind, int] = {}
        for change in self.changes:
            found[change.kind] = found.get(change.kind, 0) + 1
        return found

    def mirrored(self) -> TraceDiff:
        """Return the comparison as it is seen from the other side; without `patch`, which has a direction."""
        return evolve(
            self,
            left=self.right,
            right=self.left,
            changes=tuple([change.mirrored() for change in self.changes]),
            messages=tuple([message.mirrored() for message in self.messages]),
            patch=(),
        )

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain JSON."""
        return {
            "schema_version": SCHEMA_VERSION,
            "verdict": self.verdict,
            "left": self.left.to_json(),
            "right": self.right.to_json(),
            "cause": self.cause,
            "because": self.because,
            "digests": list(self.digests),
            "first": None if self.first is None else self.changes.index(self.first),
            "changes": [change.to_json() for change in self.changes],
            "messages": [message.to_json() for message in self.messages],
            "ignored": [{"pointer": each.pointer, "count": each.count} for each in self.ignored],
            "outside": self.outside,
            "unmatched": list(self.unmatched),
        }
