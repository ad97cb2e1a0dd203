"""Real recordings as runs: imported, replayed, and given back exactly."""

from __future__ import annotations

import json
import lzma
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from frameengine.exporters.openai import export_messages
from frameengine.graph.registry import BoundGraph
from frameengine.importers.openai import Conversation, ImportReport, import_messages, read_conversations, tool_loop
from frameengine.jsonvalue import thaw
from frameengine.limits import TEXT_SHARED_MIN
from frameengine.replay.replayer import Replayer
from frameengine.trace.reader import TraceReader
from frameengine.trace.verify import verify

pytestmark = pytest.mark.data


def tau_bench(folder: Path) -> Iterator[tuple[list[dict[str, Any]], Conversation]]:
    """Yield each conversation's messages as they are in the file, and as they are read."""
    data = lzma.decompress((folder / "tau-bench" / "gpt-4o-airline.jsonl.xz").read_bytes())
    for line, conversation in zip(data.splitlines(), read_conversations(data, "tau-bench"), strict=True):
        yield json.loads(line)["traj"], conversation


def request_bodies(folder: Path) -> Iterator[bytes]:
    """Yield the body of each recorded request that is JSON."""
    with lzma.open(folder / "http-openai-chat" / "exchanges.jsonl.xz") as lines:
        for line in lines:
            body: str = json.loads(line)["request"]["body"]
            if body.startswith("{"):
                yield body.encode()


def round_trip(
    conversation: Conversation, messages: list[dict[str, Any]], path: Path, bound: BoundGraph | None = None
) -> ImportReport:
    """Import, replay and export one conversation; everything must hold but what is counted by the caller."""
    report = import_messages(conversation, path, bound=bound, replace=True)
    exported = export_messages(path)
    assert json.dumps(thaw(exported.messages)) == json.dumps(messages)
    assert (exported.open, exported.notes) == (report.open, ())
    if report.calls:
        receipt, replayed = verify(path), Replayer(path, bound=bound).run()
        assert replayed.divergence is None
        assert replayed.counts == receipt.counts
        assert (receipt.counts.inputs, receipt.counts.calls, receipt.open) == (report.inputs, report.calls, report.open)
        assert replayed.canonical == receipt.canonical
    return report


def last_lines(path: Path) -> tuple[Any, Any]:
    """Return the last outcome (its key and outcome) and the status of the last trace line."""
    outcome, status = None, None
    with TraceReader(path) as reader:
        for line in reader.lines():
            if line.kind == "outcome":
                outcome = (line.key(), line.outcome())
            elif line.kind == "trace":
                status = line.data["status"]
    return outcome, status


def test_all_of_tau_bench_replays_and_comes_back(data_dir: Path, tmp_path: Path) -> None:
    """All 100 conversations replay the same, stop where the recording stops, and are given back with their key order."""
    counts: Counter[str] = Counter()
    for number, (messages, conversation) in enumerate(tau_bench(data_dir)):
        path = tmp_path / f"{number}.trace.jsonl"
        report = round_trip(conversation, messages, path)
        (key, outcome), status = last_lines(path)
        assert (outcome.status, key.node, status, report.open) == ("not_recorded", "model", "open", True)
        counts["conversations"] += 1
        counts[f"stop on {messages[-1]['role']}"] += 1
        counts["given"] += report.given
        counts["calls"] += report.calls
        counts["not recorded"] += 1
        ids = [call["id"] for message in messages for call in message.get("tool_calls") or ()]
        counts["repeat an id"] += len(set(ids)) < len(ids)
    assert counts == {
        "conversations": 100,
        "stop on user": 70,
        "stop on tool": 30,
        "given": 100,
        "calls": 1163 + 577 + 100,
        "not recorded": 100,
        "repeat an id": 25,
    }


def test_no_text_of_a_message_stands_twice(data_dir: Path, tmp_path: Path) -> None:
    """In each tau-bench trace every text long enough to be shared stands once, as often as the conversation grows."""
    seen = 0
    path = tmp_path / "once.trace.jsonl"
    for messages, conversation in tau_bench(data_dir):
        import_messages(conversation, path, replace=True)
        data = path.read_bytes()
        for message in messages:
            if len(message["content"] or "") >= TEXT_SHARED_MIN:
                assert data.count(json.dumps(message["content"], ensure_ascii=False).encode()) == 1
                seen += 1
    assert seen > 1000


def test_every_recorded_request_replays_and_comes_back(data_dir: Path, tmp_path: Path) -> None:
    """The messages of all 1,141 request bodies replay the same and are given back; what cannot be run is given and reported."""
    counts: Counter[str] = Counter()
    path = tmp_path / "request.trace.jsonl"
    bound = tool_loop()
    for body in request_bodies(data_dir):
        [conversation] = read_conversations(body)
        messages = json.loads(body)["messages"]
        report = round_trip(conversation, messages, path, bound)
        counts["bodies"] += 1
        counts["messages"] += len(messages)
        counts["open"] += report.open
        counts["given"] += report.given
        counts["nothing to run"] += not report.calls
        opening = next((index for index, one in enumerate(messages) if one["role"] not in ("system", "developer")), len(messages))
        noted = sum(note.message is not None for note in report.notes)
        assert (report.given > opening) == (noted > 0)
    assert counts == {"bodies": 1141, "messages": 2417, "open": 1065, "given": 975, "nothing to run": 18}
