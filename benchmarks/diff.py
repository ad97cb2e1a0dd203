"""Comparing two traces of 10,000 frames, 1 % of them changed and one inserted: against reading both, and against deepdiff."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from attrs import evolve

from benchmarks.measure import Figure, fresh, rounds, timed
from benchmarks.pipeline import NODES, Stub, padded, pipeline
from frameengine.diff.compare import compare
from frameengine.diff.fields import changes
from frameengine.effects import Call, Outcome
from frameengine.engine.driver import Run
from frameengine.engine.message import Engine
from frameengine.inputs import Input, UserMessage
from frameengine.jsonvalue import FrozenMap, freeze, thaw
from frameengine.records import Emission, Frame, FrameRecord, FrameTrace
from frameengine.trace.header import header
from frameengine.trace.reader import TraceReader
from frameengine.trace.writer import TraceWriter

FRAMES = 10_000
EVERY = 100
"""One frame in so many is changed."""
AFTER = 3
"""The frame of the message in the middle after which one is inserted."""


class Edited:
    """A recorder that changes what every so-manieth frame shows, and inserts one frame."""

    def __init__(self, writer: TraceWriter, inserted: int) -> None:
        self._writer = writer
        self._inserted = inserted
        self._seen = 0

    def input(self, input: Input) -> None:
        """Write an input as it is."""
        self._writer.input(input)

    def outcome(self, call: Call, outcome: Outcome) -> None:
        """Write an outcome, in the frame that it is in now."""
        key = call.key._replace(frame=self._number(call.key.input, call.key.frame))
        self._writer.outcome(evolve(call, key=key), outcome)

    def frame(self, frame: Frame, meta: FrozenMap) -> None:
        """Write a frame, some of them with another emission, and one after which there is one more."""
        self._seen += 1
        records = frame.records
        if self._seen % EVERY == 0:
            changed = Emission(event="note", data=freeze({"text": f"changed {self._seen}"}))
            records = (evolve(records[0], emissions=(*records[0].emissions, changed)),)
        number = self._number(frame.input, frame.frame)
        self._writer.frame(evolve(frame, frame=number, records=records), meta)
        if (frame.input, frame.frame) == (self._inserted, AFTER):
            record = FrameRecord(frame=AFTER + 1, node="checker", phase="main", input=freeze({"type": "Check"}))
            self._writer.frame(evolve(frame, frame=AFTER + 1, records=(record,)), meta)

    def trace(self, trace: FrameTrace, meta: FrozenMap) -> None:
        """Write the figures of what was written."""
        more = int(trace.input == self._inserted)
        self._writer.trace(evolve(trace, frames=trace.frames + more, total_frames=trace.total_frames + more), meta)

    def _number(self, input: int, frame: int) -> int:
        return frame + (input == self._inserted and frame > AFTER)


def make(path: Path, frames: int, *, edited: bool) -> None:
    """Record the pipeline, as it is or edited."""
    bound = pipeline()
    messages = frames // len(NODES)
    with TraceWriter(fresh(path), header(bound)) as writer:
        run = Run(Engine(bound), Stub(), Edited(writer, messages // 2) if edited else writer)
        for number in range(messages):
            run.send(UserMessage.of(padded(f"question {number}")))
        writer.seal()


def read_and_compare_digests(left: Path, right: Path) -> None:
    """Read both traces with the canonical form of every line, and count the lines that only one has."""
    forms = []
    for path in (left, right):
        with TraceReader(path) as reader:
            forms.append({line.canonical() for line in reader.lines()})
    len(forms[0] ^ forms[1])


def records(path: Path) -> tuple[FrozenMap, ...]:
    """Return all records of a trace."""
    with TraceReader(path) as reader:
        return tuple([record for line in reader.lines() if line.kind == "frame" for record in line.data["records"]])


def changes_found(left: Path, right: Path) -> int:
    """Compare, and return how many changes stand for themselves."""
    return sum(not change.follows for change in compare(left, right).changes)


def figures(folder: Path) -> Iterator[Figure]:
    """Yield the ratio to reading, the ratio to deepdiff where it is installed, the changes found, and the peak of memory."""
    left, right = folder / "left.trace.jsonl", folder / "right.trace.jsonl"
    make(left, FRAMES, edited=False)
    make(right, FRAMES, edited=True)
    # First, while this process is small: a child starts with the peak of its parent.
    peak = subprocess.run(
        [sys.executable, "-m", "benchmarks.diff", str(left), str(right)], check=True, capture_output=True, text=True
    )
    size = (left.stat().st_size + right.stat().st_size) / 2**20
    yield Figure(
        name="peak memory of comparing them",
        ratio=int(peak.stdout) / 1024,
        bound=200,
        unit="MiB",
        detail=f"{size:,.0f} MiB of traces",
    )
    times = rounds(
        {
            "compare": lambda: timed(lambda: compare(left, right)),
            "floor": lambda: timed(lambda: read_and_compare_digests(left, right)),
        },
        3,
    )
    seconds = times.median("compare")
    yield Figure(
        name=f"comparing 2 x {FRAMES:,} frames / reading both and their digests",
        ratio=times.ratio("compare", "floor"),
        bound=3,
        detail=f"{seconds:.2f} s / {times.median('floor'):.2f} s",
    )
    expected = FRAMES // EVERY + 1
    found = changes_found(left, right)
    yield Figure(name=f"changes found of {expected}", ratio=found, bound=expected, unit="", at_least=True)
    yield Figure(name="changes found beyond those", ratio=found - expected, bound=0, unit="")
    if find_spec("deepdiff") is not None:
        yield against_deepdiff(records(left), records(right), expected)


def against_deepdiff(left: tuple[FrozenMap, ...], right: tuple[FrozenMap, ...], expected: int) -> Figure:
    """Return how much longer deepdiff takes for two lists of records than our alignment, which finds what is expected."""
    from deepdiff import DeepDiff

    one, other = thaw(left), thaw(right)
    assert len(list(changes(one, other))) == expected
    ours = rounds({"ours": lambda: timed(lambda: list(changes(one, other)))}, 9).median("ours")
    taken = timed(lambda: DeepDiff(one, other))
    name = "deepdiff / aligning and comparing the same lists of records"
    return Figure(name=name, ratio=taken / ours, bound=100, at_least=True, detail=f"{taken:,.1f} s / {ours:.2f} s")


def main() -> None:
    """Compare two traces in this process and print its peak in KiB."""
    compare(Path(sys.argv[1]), Path(sys.argv[2]))
    sys.stdout.write(str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))


if __name__ == "__main__":
    main()
