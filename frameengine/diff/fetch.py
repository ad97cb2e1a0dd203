"""The records of a trace that a comparison wants to look at, decoded while the file is read once more."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from attrs import field, frozen

from frameengine.diff.document import Calls, add_call, input_document, record_documents, walk
from frameengine.inputs import Input
from frameengine.jsonvalue import FrozenMap, frozen_map
from frameengine.replay.frames import read_input
from frameengine.trace.reader import TraceReader

EVERY = None
"""Stands for all frames of a message."""


@frozen
class Fetched:
    """One message, as far as it was wanted."""

    index: int
    """Index of the message."""
    entered: FrozenMap
    """Document of its input."""
    frames: dict[int, list[FrozenMap]] = field(factory=dict)
    """Number of each wanted frame to the documents that stand in it."""


def fetch(
    path: Path,
    wanted: Mapping[int, frozenset[int] | None],
    *,
    damaged: bool = False,
    done: Callable[[int], None] = lambda _bytes: None,
) -> Iterator[Fetched]:
    """Yield the messages that are wanted, each with those of its frames that are; *done* is told the bytes read after each.

    Reads no further than to the last of them. Raises `TraceError`.
    """
    if not wanted:
        return
    last = max(wanted)
    current: Fetched | None = None
    calls: Calls = {}
    late: list[FrozenMap] = []
    with TraceReader(path, damaged=damaged) as reader:
        for step in walk(reader):
            line = step.line
            if step.slot == 0:
                if current is not None:
                    yield current
                    done(reader.offset)
                current = None
                if step.message > last:
                    return
                if step.message in wanted:
                    current = Fetched(step.message, input_document(read_input(line)))
                calls, late = {}, []
                continue
            if current is None:
                continue
            slots = wanted[step.message]
            if slots is not EVERY and step.slot not in slots:
                continue
            if line.kind == "outcome":
                add_call(calls, line)
            elif line.kind == "input":
                late.append(late_document(read_input(line)))
            else:
                records = record_documents(line, calls) if line.kind == "frame" else []
                if late or records:
                    current.frames[step.slot] = [*late, *records]
                calls, late = {}, []
        if current is not None:
            yield current
            done(reader.offset)


def late_document(entered: Input) -> FrozenMap:
    """Return an input that came in during a message."""
    return frozen_map({"entered": input_document(entered)})
