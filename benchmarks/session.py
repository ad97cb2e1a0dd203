"""A long conversation on v4-eras stays as fast and as small as it began; a frame of v3-framed against one of the tool loop."""

from __future__ import annotations

import gc
import statistics
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from attrs import frozen

from benchmarks.cast import Cast
from benchmarks.measure import Figure, fresh, rounds, timed
from benchmarks.pipeline import padded
from frameengine.engine.driver import Run
from frameengine.engine.message import Engine
from frameengine.graph.loader import load_graph
from frameengine.graph.registry import bind
from frameengine.inputs import Given, UserMessage
from frameengine.jsonvalue import freeze
from frameengine.state import HISTORY_KEEP
from frameengine.trace.header import header
from frameengine.trace.writer import TraceWriter

MESSAGES = 1_000
EARLY = 100
"""Messages after which the window is full and every cache warm."""
SHORT = 10
"""Messages of one run of the tool loop, whose history has no window."""
RUNS = 20
ROUNDS = 3


def tenths(folder: Path, messages: int = MESSAGES) -> tuple[float, float]:
    """Return the median seconds of a message in the first and in the last tenth of a conversation on v4-eras, trace written.

    The last tenth of one conversation takes turns with the first of another, so that both meet the same machine.
    """
    tenth = messages // 10
    with _conversation(folder / "old.trace.jsonl") as old, _conversation(folder / "new.trace.jsonl") as new:
        for number in range(messages - tenth):
            _send(old.run, number)
        pairs = [(_send(new.run, number), _send(old.run, messages - tenth + number)) for number in range(tenth)]
        old.writer.seal()
        new.writer.seal()
    return statistics.median([first for first, _ in pairs]), statistics.median([last for _, last in pairs])


@frozen
class _Conversation:
    run: Run
    writer: TraceWriter


@contextmanager
def _conversation(path: Path) -> Iterator[_Conversation]:
    bound = bind(load_graph("v4-eras"))
    with TraceWriter(fresh(path), header(bound)) as writer:
        yield _Conversation(Run(Engine(bound), Cast(), writer), writer)


def _send(run: Run, number: int) -> float:
    """Send one message; return the seconds it took."""
    started = time.perf_counter()
    trace = run.send(UserMessage.of(padded(f"question {number}")))
    seconds = time.perf_counter() - started
    assert (trace.path, trace.total_frames, trace.status) == ("pa+expert+interpreter", 5, "done")
    return seconds


def bytes_held(early: int = EARLY, messages: int = MESSAGES, graph: str = "v4-eras") -> tuple[int, int]:
    """Return what a conversation holds in memory, in bytes, early and at its end; the trace is not written."""
    run = Run(Engine(bind(load_graph(graph))), Cast())
    held = []
    tracemalloc.start()
    try:
        for number in range(messages):
            run.send(UserMessage.of(padded(f"question {number}")))
            if number + 1 in (early, messages):
                gc.collect()
                held.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    return held[0], held[1]


def framed(runs: int = RUNS) -> float:
    """Return the seconds of a frame of v3-framed, surface and memory included, with a full window."""
    run = Run(Engine(bind(load_graph("v3-framed"))), Cast())
    for number in range(HISTORY_KEEP // 2):
        run.send(UserMessage.of(padded(f"warm up {number}")))
    frames = 0

    def work() -> None:
        nonlocal frames
        for number in range(runs * SHORT):
            trace = run.send(UserMessage.of(padded(f"question {number}")))
            assert (trace.path, trace.total_frames) == ("director+interpreter", 5)
            # The memorizer's frame comes after the five.
            frames += trace.total_frames + 1

    return timed(work) / frames


def looped(runs: int = RUNS) -> float:
    """Return the seconds of a frame of the tool loop, with as many messages in the history on average."""
    bound = bind(load_graph("tool-loop"))
    said = [freeze({"role": ("user", "assistant")[number % 2], "content": padded(f"said {number}")}) for number in range(20)]
    seconds, frames = 0.0, 0
    for _ in range(runs):
        run = Run(Engine(bound), Cast())
        run.send(Given(messages=tuple(said)))

        def work(run: Run = run) -> None:
            nonlocal frames
            for number in range(SHORT):
                trace = run.send(UserMessage.of(padded(f"question {number}")))
                assert (trace.path, trace.total_frames) == ("tools", 4)
                frames += trace.total_frames

        seconds += timed(work)
    return seconds / frames


def figures(folder: Path) -> Iterator[Figure]:
    """Yield how time and memory of a message change over a conversation, and the cost of a frame."""
    first, last = sorted([tenths(folder) for _ in range(ROUNDS)], key=lambda pair: pair[1] / pair[0])[ROUNDS // 2]
    yield Figure(
        name=f"v4-eras, {MESSAGES:,} messages: time of the last tenth / the first",
        ratio=last / first,
        bound=1.2,
        detail=f"{last * 1e3:.2f} / {first * 1e3:.2f} ms a message",
    )
    early, late = bytes_held()
    yield Figure(
        name=f"v4-eras: memory grown from message {EARLY} to {MESSAGES:,}",
        ratio=(late - early) / 2**10,
        bound=100,
        unit="KiB",
        detail=f"{late / 2**10:,.0f} - {early / 2**10:,.0f} KiB; a history without a window would grow by more than 1,000",
    )
    measured = rounds({"framed": framed, "looped": looped})
    yield Figure(
        name="a frame of v3-framed, surface and memory included / tool loop",
        ratio=measured.ratio("framed", "looped"),
        bound=4,
        detail=f"{measured.median('framed') * 1e6:,.0f} / {measured.median('looped') * 1e6:,.0f} us",
    )
