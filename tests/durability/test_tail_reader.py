"""A trace can be read while it is being written: whole lines, in order, and the word that it is incomplete."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from crash_children import call
from frameengine.errors import TraceFormat, TraceIncomplete, TraceNotFound
from frameengine.trace.reader import TraceReader
from frameengine.trace.verify import verify
from sample_traces import record


def tail(path: Path) -> tuple[list[bytes], bool]:
    """Read what there is; return the lines and whether the trace is sealed. Anything but `TraceIncomplete` is a failure."""
    lines: list[bytes] = []
    try:
        with TraceReader(path) as reader:
            for line in reader.lines():
                line.canonical()
                assert line.data["kind"] == line.kind
                lines.append(line.raw)
    except TraceIncomplete:
        return lines, False
    return lines, True


def test_a_reader_between_any_two_pieces_of_a_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system takes a line in pieces and somebody reads after each, no part of a line is ever given out."""
    whole = record(tmp_path / "whole", messages=2).read_bytes()
    expected, _ = tail(tmp_path / "whole")
    write = os.write
    reads = 0

    def pieces(descriptor: int, data: bytes) -> int:
        nonlocal reads
        written = write(descriptor, data[:11])
        reads += 1
        lines, sealed = tail(tmp_path / "a")
        assert lines == expected[: len(lines)]
        assert sealed == ((tmp_path / "a").stat().st_size == len(whole))
        return written

    monkeypatch.setattr(os, "write", pieces)
    record(tmp_path / "a", messages=2)
    assert reads >= len(whole) // 11


@pytest.mark.parametrize("messages", [pytest.param(150, id="short"), pytest.param(2_000, id="long", marks=pytest.mark.nightly)])
def test_a_reader_beside_a_writer(tmp_path: Path, messages: int) -> None:
    """Another process reads over and over while one writes: each time at least as much, always whole lines, at last the seal."""
    path = tmp_path / "a"
    writing = threading.Thread(target=call, args=("write_for_long",), kwargs={"path": str(path), "messages": messages})
    writing.start()
    seen: list[bytes] = []
    sealed = False
    while not sealed:
        alive = writing.is_alive()
        try:
            lines, sealed = tail(path)
        except TraceNotFound:
            assert alive
            continue
        except TraceFormat:
            # The file is there, and has no byte yet.
            assert not seen
            assert alive
            continue
        assert lines[: len(seen)] == seen
        seen = lines
        assert sealed or alive
    writing.join()
    assert verify(path).counts.inputs == messages
