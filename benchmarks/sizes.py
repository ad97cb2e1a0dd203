"""How traces grow, and what they cost beyond the content that is in them only once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import Figure, fresh
from benchmarks.pipeline import Stub, padded, pipeline
from frameengine.codec import loads
from frameengine.engine.driver import Run
from frameengine.engine.message import Engine
from frameengine.inputs import UserMessage
from frameengine.trace.compressed import compress
from frameengine.trace.header import header
from frameengine.trace.writer import TraceWriter

MESSAGES = 440


def figures(folder: Path) -> Iterator[Figure]:
    """Yield growth, overhead for each frame, and the size of the compressed form."""
    path = fresh(folder / "sizes.trace.jsonl")
    bound = pipeline()
    sizes = []
    with TraceWriter(path, header(bound)) as writer:
        run = Run(Engine(bound), Stub(), writer)
        for number in range(MESSAGES):
            run.send(UserMessage.of(padded(f"question {number}")))
            sizes.append(path.stat().st_size)
        writer.seal()
    early, late = sizes[49] - sizes[39], sizes[409] - sizes[399]
    yield Figure(
        name="bytes a message at message 400 / at message 40",
        ratio=late / early,
        bound=1.15,
        detail=f"{late / 10:,.0f} / {early / 10:,.0f} bytes",
    )
    texts = _texts(path)
    unique = sum(len(text.encode()) for text in texts)
    overhead = (path.stat().st_size - unique) / (MESSAGES * 5)
    yield Figure(
        name="bytes a frame beyond the unique content",
        ratio=overhead,
        bound=1024,
        unit="B",
        detail=f"{unique:,} bytes of unique texts",
    )
    yield _compressed(folder, path, texts)


def _texts(path: Path) -> dict[str, None]:
    texts: dict[str, None] = {}
    for line in path.read_bytes().split(b"\n"):
        if line.startswith(b'{"kind":"content"'):
            texts.update(dict.fromkeys(value for value in loads(line)["values"] if isinstance(value, str)))
    return texts


def _compressed(folder: Path, path: Path, texts: dict[str, None]) -> Figure:
    from backports import zstd

    target = fresh(folder / "sizes.trace.jsonl.zst")
    compress(path, target)
    lines = path.read_bytes().count(b"\n")
    content = len(zstd.compress("\n".join(texts).encode(), 19))
    return Figure(
        name="the .zst form / 1.3 x zstd of the unique content + 250 B a line",
        ratio=target.stat().st_size / (1.3 * content + 250 * lines),
        bound=1,
        detail=f"{target.stat().st_size:,} bytes, content {content:,}, {lines:,} lines",
    )
