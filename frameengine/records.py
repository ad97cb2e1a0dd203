"""What a run leaves behind: one record for each node in each frame, one trace for each input. Nothing is cut; cuts are views."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from attrs import field, frozen

from frameengine.codec import SharedOne
from frameengine.effects import Status
from frameengine.jsonvalue import EMPTY, FrozenMap, freeze
from frameengine.state import Change

Phase: TypeAlias = Literal["main", "epilogue"]
TraceStatus: TypeAlias = Literal["done", "open", "failed", "cancelled"]


@frozen(kw_only=True)
class CallRecord:
    """One effect of a record: what was asked and what came back, by digest. The outcome line holds both whole."""

    call: int
    """Index within the node and frame, from 0."""
    kind: str
    """model or tool."""
    name: str
    """Name of the model or tool."""
    request: str
    """sha256 of the request, in hex."""
    outcome: str
    """sha256 of the outcome, in hex."""
    status: Status
    """Status of the outcome."""

    def wire(self) -> list[Any]:
        """Return the call as a JSON list."""
        return [self.call, self.kind, self.name, self.status, self.request, self.outcome]


@frozen(kw_only=True)
class Emission:
    """Something a node showed."""

    event: str
    """Name of the event; ``text`` for the joined text of a stream."""
    data: FrozenMap = field(default=EMPTY, converter=freeze)
    """Its members."""

    def wire(self) -> list[Any]:
        """Return the emission as a JSON list."""
        return [self.event, self.data]


@frozen(kw_only=True)
class FrameRecord:
    """One node in one frame."""

    frame: int
    """Number of the frame, from 1."""
    node: str
    """Name of the node."""
    phase: Phase
    """main, or epilogue for what runs after the answer."""
    input: FrozenMap
    """The message the node was given."""
    output: FrozenMap | None = None
    """The message it returned; None where it failed, stopped, or returned none."""
    calls: tuple[CallRecord, ...] = ()
    """Its effects, in call order."""
    emissions: tuple[Emission, ...] = ()
    """What it showed, in order; text deltas joined for each stream."""
    changes: tuple[Change, ...] = ()
    """What it changed in the state, in order."""
    route: tuple[str, ...] = ()
    """The nodes that its output went to."""
    condition: FrozenMap = EMPTY
    """Each edge condition that was evaluated, to its value."""
    error: FrozenMap | None = None
    """Type, message and place of the exception that ended it."""
    now: int | None = None
    """The frame's time in microseconds, where the node read it."""
    open: bool = False
    """Whether it stopped at an effect whose outcome was not recorded."""

    def wire(self) -> dict[str, Any]:
        """Return the record as JSON; what is empty is left out."""
        wire: dict[str, Any] = {"node": self.node, "input": SharedOne(self.input)}
        if self.output is not None:
            wire["output"] = SharedOne(self.output)
        if self.calls:
            wire["calls"] = [call.wire() for call in self.calls]
        if self.emissions:
            wire["emissions"] = [emission.wire() for emission in self.emissions]
        if self.changes:
            wire["changes"] = [change.wire() for change in self.changes]
        if self.route:
            wire["route"] = self.route
        if self.condition:
            wire["condition"] = self.condition
        if self.error is not None:
            wire["error"] = self.error
        if self.now is not None:
            wire["now"] = self.now
        if self.open:
            wire["open"] = True
        return wire


@frozen(kw_only=True)
class Frame:
    """A committed frame: the records of all nodes that ran in it, in graph order."""

    input: int
    """Number of the input."""
    frame: int
    """Number of the frame, from 1."""
    phase: Phase
    """main or epilogue."""
    records: tuple[FrameRecord, ...]
    """One for each node that ran."""

    def wire(self) -> dict[str, Any]:
        """Return the digested part of the frame's line."""
        wire: dict[str, Any] = {"kind": "frame", "input": self.input, "frame": self.frame}
        if self.phase != "main":
            wire["phase"] = self.phase
        wire["records"] = [record.wire() for record in self.records]
        return wire


@frozen(kw_only=True)
class FrameTrace:
    """All frames of one input, in figures."""

    input: int
    """Number of the input."""
    path: str
    """Label of the way it took: reflex, director, …."""
    total_frames: int
    """Highest frame number of phase main; 0 where no node ran."""
    frames: int
    """Frames committed, epilogue included."""
    calls: int
    """Effects of all frames."""
    status: TraceStatus
    """done, open (the recording stops inside), failed (a node raised), cancelled."""
    state: str
    """Digest of the state afterwards, in hex."""

    def wire(self) -> dict[str, Any]:
        """Return the digested part of the trace's line."""
        return {
            "kind": "trace",
            "input": self.input,
            "path": self.path,
            "total_frames": self.total_frames,
            "frames": self.frames,
            "calls": self.calls,
            "status": self.status,
            "state": self.state,
        }
