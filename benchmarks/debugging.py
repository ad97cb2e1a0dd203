"""Opening a trace of 100,000 frames for debugging, and going about in it: against reading it, and against one step forward."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random

from benchmarks.measure import Figure, rounds, timed
from benchmarks.memory import FRAMES
from benchmarks.recording import read, record
from frameengine.debug.debugger import Debugger
from frameengine.debug.timeline import Timeline
from frameengine_cli.debugging.session import Session
from frameengine_cli.refs import Source

STEPS = 300
"""Places that are visited in one measurement."""
PARTS = 10
"""Parts of the run that are compared with each other."""


def visit(timeline: Timeline, index: int) -> None:
    """Ask for all that is shown at a place: its frame with the effects, and the state."""
    place = timeline.place(index)
    timeline.frame(place)
    timeline.state(place)


def each(timeline: Timeline, positions: Iterable[int]) -> float:
    """Visit places one after another; return the seconds of one."""
    listed = list(positions)

    def work() -> None:
        for index in listed:
            visit(timeline, index)

    return timed(work) / len(listed)


def forward(timeline: Timeline, start: int, count: int) -> float:
    """Step forward from *start*; return the seconds of one step."""
    visit(timeline, start)
    return each(timeline, range(start + 1, start + 1 + count))


def back(timeline: Timeline, start: int, count: int) -> float:
    """Step back from *start*; return the seconds of one step."""
    visit(timeline, start)
    return each(timeline, range(start - 1, start - 1 - count, -1))


def seek(timeline: Timeline, first: int, last: int, chance: Random, count: int) -> float:
    """Seek places between two, drawn anew each time; return the seconds of one seek."""
    return each(timeline, [chance.randrange(first, last) for _ in range(count)])


def figures(folder: Path) -> Iterator[Figure]:
    """Yield the peak of memory, the ratio of loading to reading, and those of moves to one step forward."""
    path = folder / "long.trace.jsonl"
    record(path, FRAMES // 5 - 40)
    # First, while this process is small: a child starts with the peak of its parent.
    peak = subprocess.run([sys.executable, "-m", "benchmarks.debugging", str(path)], check=True, capture_output=True, text=True)
    size = path.stat().st_size / 2**20
    yield Figure(
        name=f"peak memory of going about in {FRAMES:,} frames",
        ratio=int(peak.stdout) / 1024,
        bound=300,
        unit="MiB",
        detail=f"{size:,.0f} MiB of trace",
    )
    times = rounds({"load": lambda: timed(lambda: Timeline(path)), "read": lambda: timed(lambda: read(path))})
    yield Figure(
        name=f"opening {FRAMES:,} frames for debugging / reading them",
        ratio=times.ratio("load", "read"),
        bound=1.5,
        detail=f"{times.median('load'):.2f} s / {times.median('read'):.2f} s",
    )
    times = rounds({"screen": lambda: behind(path), "load": lambda: timed(lambda: Timeline(path))})
    yield Figure(
        name=f"reading {FRAMES:,} frames behind the screen / opening them",
        ratio=times.ratio("screen", "load"),
        bound=1.5,
        detail=f"{times.median('screen'):.2f} s / {times.median('load'):.2f} s",
    )
    yield from moves(Timeline(path))


def behind(path: Path) -> float:
    """Read a trace behind the debugger's screen; return the seconds from its first picture to the end."""
    from frameengine_cli.tui.app import Debug
    from frameengine_cli.tui.working import Opening

    told: list[float] = []

    class Watched(Debug):
        """Notes when the session is open and when all is read, and leaves."""

        def opened(self) -> None:
            super().opened()
            told.append(time.perf_counter())

        def read_on(self) -> None:
            super().read_on()
            if self.opened_session.timeline.loaded:
                told.append(time.perf_counter())
                self.leave(0)

    def session() -> Session:
        timeline = Timeline(path, whole=False)
        return Session(source=Source(path=path, name=path), timeline=timeline, debugger=Debugger(timeline))

    Watched(Opening(name=path.name, open=session, total=path.stat().st_size)).run(headless=True, size=(120, 40))
    opened, read_whole = told
    return read_whole - opened


def moves(timeline: Timeline) -> Iterator[Figure]:
    """Yield the ratios of a step back and of a seek to one step forward, and of the slowest part of the run to the fastest."""
    chance, places = Random(1), timeline.places
    part = (places - 1) // PARTS
    middle = places // 2
    variants = {
        "forward": lambda: forward(timeline, middle, STEPS),
        "back": lambda: back(timeline, middle, STEPS),
        "seek": lambda: seek(timeline, 1, places, chance, STEPS),
    }
    for number in range(PARTS):
        first = 1 + number * part
        variants[f"part {number}"] = lambda first=first: seek(timeline, first, first + part, chance, STEPS)  # type: ignore[misc]
    times = rounds(variants)
    step = times.median("forward") * 1e6
    for name, what in (("back", "a step back"), ("seek", "a seek anywhere")):
        yield Figure(
            name=f"{what} in {places:,} places / a step forward",
            ratio=times.ratio(name, "forward"),
            bound=50,
            detail=f"{times.median(name) * 1e6:.0f} us / {step:.0f} us",
        )
    slowest = max(range(PARTS), key=lambda number: times.median(f"part {number}"))
    fastest = min(range(PARTS), key=lambda number: times.median(f"part {number}"))
    yield Figure(
        name="seeks in the slowest tenth of the run / in the fastest",
        ratio=times.ratio(f"part {slowest}", f"part {fastest}"),
        bound=2,
        detail=f"{times.median(f'part {slowest}') * 1e6:.0f} us / {times.median(f'part {fastest}') * 1e6:.0f} us",
    )


def main() -> None:
    """Open the trace that is named, go about in it, and print the peak of memory in KiB."""
    timeline = Timeline(Path(sys.argv[1]))
    seek(timeline, 1, timeline.places, Random(1), 3_000)
    back(timeline, timeline.places - 1, STEPS)
    sys.stdout.write(str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))


if __name__ == "__main__":
    main()
