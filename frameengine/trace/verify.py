"""Prove a trace whole without running anything."""

from __future__ import annotations

from pathlib import Path

from attrs import frozen

from frameengine.errors import NothingCompared
from frameengine.jsonvalue import FrozenMap
from frameengine.trace.canonical import CanonicalDigest
from frameengine.trace.reader import Counts, TraceReader


@frozen(kw_only=True)
class Receipt:
    """What was proven of a file."""

    path: Path
    """The file."""
    header: FrozenMap
    """Its header."""
    counts: Counts
    """Inputs, frames and calls, equal to the seal's."""
    lines: int
    """Lines, content lines and seal included."""
    size: int
    """Bytes, of the uncompressed form."""
    head: str
    """Chain value of the seal, in hex."""
    canonical: str
    """Canonical digest, in hex."""
    open: bool
    """Whether the recording stops inside a message."""


def verify(path: Path) -> Receipt:
    """Read *path* to its seal, proving chain, counts and form. Raises `TraceError`; `NothingCompared` where it holds no run."""
    canonical = CanonicalDigest()
    is_open = False
    with TraceReader(path) as reader:
        for line in reader.lines():
            if line.kind == "outcome":
                canonical.outcome(line.key(), line.canonical())
            else:
                canonical.line(line.canonical())
                is_open = is_open or (line.kind == "trace" and line.data["status"] == "open")
        counts = reader.counts
        if not counts.inputs or not (counts.frames or counts.calls):
            raise NothingCompared(
                f"{path}: {counts.inputs} inputs, {counts.frames} frames, {counts.calls} calls: there is nothing to prove",
                hint="record a run that does something",
                path=str(path),
            )
        return Receipt(
            path=path,
            header=reader.header,
            counts=counts,
            lines=reader.line_count,
            size=reader.offset,
            head=reader.head,
            canonical=canonical.hexdigest(),
            open=is_open,
        )
