"""Searching a long run: a conditional breakpoint over 100,000 frames against replaying them, and `who`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from benchmarks.measure import Figure, fresh, rounds, timed
from benchmarks.pipeline import NODES, Stub, padded, pipeline
from frameengine.debug.breakpoints import Breakpoints
from frameengine.debug.debugger import Debugger
from frameengine.debug.history import who
from frameengine.debug.stop import Stop
from frameengine.debug.timeline import Timeline
from frameengine.engine.driver import Run
from frameengine.engine.message import Engine
from frameengine.graph.registry import BoundGraph
from frameengine.inputs import UserMessage
from frameengine.replay.replayer import Replayer
from frameengine.trace.header import header
from frameengine.trace.writer import TraceWriter

FRAMES = 100_000
ROUNDS = 1
CONDITIONS = {
    "record": "if node == 'thinker' and input.goal == 'never said'",
    "state": "if len(state.history) > 40",
    "calls": "if call.reply.text == 'never said'",
}
"""Conditions that hold nowhere, so that every frame is looked at, by what they make the search decode."""
WHO_TIMES = 100


def long_run(path: Path, frames: int) -> BoundGraph:
    """Record a run of so many frames, and return its graph."""
    bound = pipeline()
    with TraceWriter(path, header(bound)) as writer:
        run = Run(Engine(bound), Stub(), writer)
        for number in range(frames // len(NODES)):
            run.send(UserMessage.of(padded(f"question {number}")))
        writer.seal()
    return bound


def searched(timeline: Timeline, condition: str, *, back: bool) -> float:
    """Return the seconds of a move from one end to the other past a breakpoint that holds nowhere."""
    debugger = Debugger(timeline, Breakpoints(timeline, growing=True))
    debugger.breakpoints.add(condition)
    if back:
        debugger.go(timeline.last)
    stops: list[Stop] = []
    seconds = timed(lambda: stops.append(debugger.resume(back=back)))
    assert stops[0].reason == ("start" if back else "end")
    return seconds


def _replayed(path: Path, bound: BoundGraph) -> float:
    verdicts: list[str] = []
    seconds = timed(lambda: verdicts.append(Replayer(path, bound=bound).run().verdict))
    assert verdicts == ["same"]
    return seconds


def _asked(timeline: Timeline) -> float:
    # All over the run, so that no state is at hand.
    places = [timeline.last, *[timeline.place(timeline.places * part // WHO_TIMES) for part in range(1, WHO_TIMES)]]

    def work() -> None:
        for place in places:
            assert who(timeline, "/history", place) is not None

    return timed(work)


def figures(folder: Path, frames: int = FRAMES) -> Iterator[Figure]:
    """Yield each search as a ratio to replaying the run, and the time of `who`."""
    path = fresh(folder / "long.trace.jsonl")
    bound, timeline = long_run(path, frames), Timeline(path)
    variants: dict[str, Callable[[], float]] = {"replay": partial(_replayed, path, bound), "who": partial(_asked, timeline)}
    for name, condition in CONDITIONS.items():
        variants[name] = partial(searched, timeline, condition, back=False)
    variants["back"] = partial(searched, timeline, CONDITIONS["calls"], back=True)
    times = rounds(variants, ROUNDS)
    for name in (*CONDITIONS, "back"):
        what = f"{'back past' if name == 'back' else 'past'} a condition on the {'calls' if name == 'back' else name}"
        yield Figure(
            name=f"{frames:,} frames {what} / replay",
            ratio=times.ratio(name, "replay"),
            bound=2,
            detail=f"{times.median(name):.1f} / {times.median('replay'):.1f} s",
        )
    yield Figure(
        name=f"who, at the end and all over {frames:,} frames",
        ratio=times.median("who") / WHO_TIMES * 1e3,
        bound=50,
        unit="ms",
        detail="the newest change of the history",
    )
