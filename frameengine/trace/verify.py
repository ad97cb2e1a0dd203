"""Prove a trace whole without running anything."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from attrs import frozen

from frameengine.errors import NothingCompared
from frameengine.jsonvalue import FrozenMap
from frameengine.trace.agreement import Agreement
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


def verify(path: Path, *, done: Callable[[int], None] = lambda _bytes: None) -> Receipt:
    """Read *path* to its seal, proving chain, counts, form, and that records tell of their outcomes.

    *done* is told the bytes read, once for each message.

    Raises `TraceError`; `NothingCompared` where the file holds no run.
    """
    canonical = CanonicalDigest()
    agreement = Agreement(path)
    is_open = False
    with TraceReader(path) as reader:
        for line in reader.lines():
            agreement.take(line)
            if line.kind == "outcome":
                canonical.outcome(line.key(), line.canonical())
            else:
                canonical.line(line.canonical())
                if line.kind == "trace":
                    done(reader.offset)
                is_open = is_open or (line.kind == "trace" and line.data["status"] == "open")
        counts = reader.counts
        if not counts.inputs or not (counts.frames or counts.calls):
            raise NothingCompared(
                f"{path}: nothing to prove: inputs {counts.inputs}, frames {counts.frames}, calls {counts.calls}",
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
