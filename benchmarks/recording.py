"""Recording, replaying and reading the five-node pipeline, against dumping, chaining and writing the same lines."""

from __future__ import annotations

import os
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import orjson

from benchmarks.measure import Figure, fresh, rounds, timed
from benchmarks.pipeline import Stub, padded, pipeline
from frameengine.engine.driver import Run
from frameengine.engine.message import Engine
from frameengine.inputs import UserMessage
from frameengine.replay.replayer import Replayer
from frameengine.trace.header import header
from frameengine.trace.reader import TraceReader
from frameengine.trace.verify import verify
from frameengine.trace.writer import TraceWriter

WARM_UP = 40
MESSAGES = 400


def record(path: Path, messages: int = MESSAGES) -> float:
    """Record messages with a full window; return the seconds of all but the first forty."""
    bound = pipeline()
    with TraceWriter(fresh(path), header(bound)) as writer:
        run = Run(Engine(bound), Stub(), writer)
        for number in range(WARM_UP):
            run.send(UserMessage.of(padded(f"warm up {number}")))

        def work() -> None:
            for number in range(messages):
                run.send(UserMessage.of(padded(f"question {number}")))

        seconds = timed(work)
        writer.seal()
    return seconds * (messages + WARM_UP) / messages


def floor_of_writing(source: Path, target: Path) -> float:
    """Dump, chain and write the lines of a trace that are ready as dicts; sync at the end."""
    lines = [orjson.loads(line) for line in source.read_bytes().splitlines()]

    def work() -> None:
        descriptor = os.open(target, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_APPEND, 0o600)
        chain = b""
        for line in lines:
            data = orjson.dumps(line)
            chain = sha256(chain + data).digest()
            os.write(descriptor, data + b"\n")
        os.fsync(descriptor)
        os.close(descriptor)

    return timed(work)


def floor_of_reading(path: Path) -> float:
    """Parse every line and hash the file once."""

    def work() -> None:
        data = path.read_bytes()
        for line in data.splitlines():
            orjson.loads(line)
        sha256(data).digest()

    return timed(work)


def read(path: Path) -> None:
    """Read a trace to its seal, proving chain, form and counts."""
    with TraceReader(path) as reader:
        for _ in reader.lines():
            pass


def replay(path: Path) -> None:
    """Replay with full comparison, the guard on."""
    assert Replayer(path, bound=pipeline()).run().verdict == "same"


def figures(folder: Path) -> Iterator[Figure]:
    """Yield the ratios of recording, replaying and reading."""
    path = folder / "pipeline.trace.jsonl"
    record(path)
    times = rounds(
        {
            "record": lambda: record(path),
            "floor": lambda: floor_of_writing(path, folder / "floor.jsonl"),
            "replay": lambda: timed(lambda: replay(path)),
            "reading floor": lambda: floor_of_reading(path),
            "read": lambda: timed(lambda: read(path)),
            "verify": lambda: timed(lambda: verify(path)),
        }
    )
    each = 1e6 / (MESSAGES + WARM_UP)
    size = path.stat().st_size / (MESSAGES + WARM_UP)
    yield Figure(
        name="recording a message / dumping, chaining, writing its lines",
        ratio=times.ratio("record", "floor"),
        bound=10,
        detail=f"{times.median('record') * each:.0f} us / {times.median('floor') * each:.0f} us, {size:,.0f} bytes a message",
    )
    yield Figure(
        name="replaying with full comparison / recording",
        ratio=times.ratio("replay", "record"),
        bound=1.5,
        detail=f"{times.median('replay') * each:.0f} us / {times.median('record') * each:.0f} us a message",
    )
    yield Figure(
        name="reading and proving chain, form, seal / parsing + one hash",
        ratio=times.ratio("read", "reading floor"),
        bound=3,
        detail=f"{times.median('read') * each:.0f} us / {times.median('reading floor') * each:.0f} us a message",
    )
    yield Figure(
        name="the same with the canonical digest (verify) / parsing + hash",
        ratio=times.ratio("verify", "reading floor"),
        bound=3,
        detail=f"{times.median('verify') * each:.0f} us a message",
    )
