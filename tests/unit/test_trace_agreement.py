"""Files whose chain holds, and which no other command could use: verify refuses them, in words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from frameengine.codec import loads
from frameengine.errors import LimitError, TraceError, TraceFormat
from frameengine.trace.format import GENESIS, linked, seal_wire
from frameengine.trace.reader import TraceReader
from frameengine.trace.verify import verify
from frameengine.trace.writer import TraceWriter
from sample_traces import bodies_of, body_of, converse, forged, members, record


def changed(path: Path, change: Callable[[list[dict[str, Any]]], object]) -> Path:
    """Write the lines of a good trace anew after *change*, with a chain and a seal that hold."""
    lines = [loads(body + b"}") for body in bodies_of(record(path, messages=1).read_bytes())]
    change(lines)
    chain = GENESIS
    for line in lines[:-1]:
        _, chain = linked(chain, body_of(line))
    counts = {name: lines[-1][name] for name in ("inputs", "frames", "calls")}
    lines[-1] = seal_wire(**counts, lines=len(lines), head=chain)
    path.write_bytes(forged([body_of(line) for line in lines]))
    return path


def first(lines: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    """Return the first line of a kind."""
    return next(line for line in lines if line["kind"] == kind)


FORGERIES: dict[str, Callable[[list[dict[str, Any]]], None]] = {
    "graph": lambda lines: lines[0].update(graph=1.5),
    "provenance": lambda lines: lines[0].update(provenance=[1]),
    "fingerprint": lambda lines: lines[0].update(fingerprint=5),
    "repaired": lambda lines: lines[0].update(repaired=5),
    "message": lambda lines: first(lines, "input")["data"].update(message=[]),
    "emissions": lambda lines: first(lines, "frame")["records"][0].update(emissions=1.5),
    "calls": lambda lines: first(lines, "frame")["records"][0].update(calls=[[]]),
    "condition": lambda lines: first(lines, "frame")["records"][0].update(condition=[]),
    "reference": lambda lines: first(lines, "outcome")["request"].update(messages={"$c": 4, "x": 1}),
    "status": lambda lines: first(lines, "outcome")["outcome"].update(status="banana"),
    "effect": lambda lines: first(lines, "outcome").update(effect="nuke"),
    "figures": lambda lines: first(lines, "trace").update(calls=-5),
    "more calls": lambda lines: first(lines, "trace").update(calls=99),
    "digest": lambda lines: next(r for r in first(lines, "frame")["records"] if "calls" in r)["calls"][0].__setitem__(
        5, "0" * 64
    ),
    "no calls": lambda lines: next(r for r in first(lines, "frame")["records"] if "calls" in r).pop("calls"),
    "content": lambda lines: first(lines, "content")["values"].__setitem__(0, {"$c": 999999, "x": 1}),
    "list": lambda lines: first(lines, "content")["values"].__setitem__(0, {"$list": [777777]}),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_what_nobody_could_use_is_refused(tmp_path: Path, name: str) -> None:
    """A member of another form, and lines that contradict each other, are errors of the trace."""
    verify(changed(tmp_path / "a.trace.jsonl", list))
    with pytest.raises(TraceError):
        verify(changed(tmp_path / "b.trace.jsonl", FORGERIES[name]))


def test_one_frame_cannot_fill_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reader and writer weigh a frame's lines alike, and refuse what is over the bound; frames before it count no more."""
    path = record(tmp_path / "a.trace.jsonl", messages=4)
    with TraceReader(path) as reader:
        heaviest = 0
        for _ in reader.lines():
            heaviest = max(heaviest, reader._weight)
    monkeypatch.setattr("frameengine.trace.reader.FRAME_WEIGHT_MAX", 4 * heaviest)
    verify(path)
    monkeypatch.setattr("frameengine.trace.reader.FRAME_WEIGHT_MAX", heaviest // 2)
    with pytest.raises(TraceFormat, match="weigh more"):
        verify(path)
    monkeypatch.setattr("frameengine.trace.writer.FRAME_WEIGHT_MAX", heaviest // 2)
    with pytest.raises(LimitError), TraceWriter(tmp_path / "b.trace.jsonl", members()) as writer:
        list(converse(writer, 4))
