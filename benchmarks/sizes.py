"""How traces grow, and what they cost beyond the content that is in them only once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import Figure, fresh
from benchmarks.pipeline import Stub, padded, pipeline
from frameengine.codec import dumps, loads
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
    texts, objects = _contents(path)
    unique = sum(len(text.encode()) for text in texts)
    whole = path.stat().st_size
    overhead = (whole - unique - sum(map(len, objects))) / (MESSAGES * 5)
    yield Figure(
        name="bytes a frame beyond the contents (texts and messages, once)",
        ratio=overhead,
        bound=1024,
        unit="B",
        detail=f"{(whole - unique) / (MESSAGES * 5):,.0f} beyond the texts alone",
    )
    yield _compressed(folder, path, texts)


def _contents(path: Path) -> tuple[dict[str, None], dict[bytes, None]]:
    """Return the texts and the encoded messages of a trace, each once."""
    texts: dict[str, None] = {}
    objects: dict[bytes, None] = {}
    for line in path.read_bytes().split(b"\n"):
        if line.startswith(b'{"kind":"content"'):
            for value in loads(line)["values"]:
                if isinstance(value, str):
                    texts[value] = None
                elif "$list" not in value:
                    objects[dumps(value)] = None
    return texts, objects


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
