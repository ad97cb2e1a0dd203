"""Real recordings of HTTP calls as conversations: nothing is lost, everything replays, and conversations come apart again."""

from __future__ import annotations

import json
import lzma
import re
from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit

import pytest

from frameengine.exchanges.exchange import Exchange, Request, Response
from frameengine.exchanges.gather import Gathering
from frameengine.importers.exchanges import import_exchanges
from frameengine.importers.openai import read_conversations, tool_loop
from frameengine.jsonvalue import thaw
from imported_traces import proved, told

pytestmark = pytest.mark.data

NAMED = re.compile(r"\d+ exchanges? given, not run: \d")


def recorded(line: dict[str, Any]) -> Exchange:
    """Return a recorded exchange; its body is decoded already, whatever its headers say."""
    request, response = line["request"], line["response"]
    url = urlsplit(request["url"])
    sent = [(name, value) for name, values in request["headers"].items() for value in values]
    came = [(name, value) for name, values in response["headers"].items() for value in values]
    gathering = Gathering(response["status"], [header for header in came if header[0].lower() != "content-encoding"])
    gathering.add(1.0, response["body"].encode())
    return Exchange(
        request=Request.of(request["method"], url.path, url.query, sent, request["body"].encode()),
        response=gathering.response(2.0),
    )


def cassettes(folder: Path, name: str) -> Iterator[tuple[str, list[Exchange]]]:
    """Yield the exchanges of each recorded file, in their order."""
    with lzma.open(folder / name / "exchanges.jsonl.xz") as lines:
        found = [json.loads(line) for line in lines]
    found.sort(key=lambda line: (line["set"], line["path"], line["index"]))
    for (of, path), group in groupby(found, key=lambda line: (line["set"], line["path"])):
        yield f"{of}/{path}", [recorded(line) for line in group]


def test_every_recorded_chat_exchange_has_its_place(data_dir: Path, tmp_path: Path) -> None:
    """All 1,142 exchanges are in one conversation or refused with a reason; those that are not run are named; traces replay."""
    counts: Counter[str] = Counter()
    bound = tool_loop()
    for source, exchanges in cassettes(data_dir, "http-openai-chat"):
        path = tmp_path / "cassette.trace.jsonl"
        report = import_exchanges(exchanges, path, source=source, bound=bound, replace=True)
        owned = [number for one in report.conversations for number in one.exchanges]
        assert sorted([*owned, *[note.message or 0 for note in report.refused]]) == list(range(1, len(exchanges) + 1))
        for one in report.conversations:
            assert len(one.exchanges) == one.calls + len(one.given) + one.attempts
            assert bool(one.given) == any(NAMED.match(note.what) for note in one.notes)
            counts["run"] += one.calls
            counts["given"] += len(one.given)
            counts["attempts"] += one.attempts
        if report.calls:
            proved(path, report, bound)
        counts["files"] += 1
        counts["exchanges"] += report.exchanges
        counts["refused"] += len(report.refused)
        counts["conversations"] += len(report.conversations)
    assert counts == {
        "files": 643,
        "exchanges": 1142,
        "refused": 1,
        "conversations": 1020,
        "run": 1123,
        "given": 13,
        "attempts": 5,
    }


def test_other_protocols_are_counted_and_left_out(data_dir: Path, tmp_path: Path) -> None:
    """None of the 613 exchanges of other protocols is taken for a chat completion, and none is lost from the count."""
    others, bound = 0, tool_loop()
    for _, exchanges in cassettes(data_dir, "http-other-protocols"):
        report = import_exchanges(exchanges, tmp_path / "other.trace.jsonl", bound=bound, replace=True)
        assert not report.conversations
        others += sum(report.others.values())
    assert others == 613


def calls_of(messages: list[dict[str, Any]]) -> list[Exchange]:
    """Return the exchanges that would have made a conversation, each reply with members that are not sent again."""
    found = []
    for index, message in enumerate(messages):
        if message["role"] == "assistant":
            sent = json.dumps({"model": "gpt-4o", "messages": messages[:index]}).encode()
            choice = {"index": 0, "message": {**message, "refusal": None}, "finish_reason": "stop"}
            body = json.dumps({"model": "gpt-4o", "choices": [choice]}).encode()
            request = Request.of("POST", "/v1/chat/completions", "", (), sent)
            found.append(Exchange(request=request, response=Response(status=200, body=body)))
    return found


def test_conversations_turned_into_exchanges_come_back_the_same(data_dir: Path, tmp_path: Path) -> None:
    """All of tau-bench, 1,163 calls recorded in one random interleaving, comes apart into the same 100 conversations."""
    data = lzma.decompress((data_dir / "tau-bench" / "gpt-4o-airline.jsonl.xz").read_bytes())
    whole = [thaw(conversation.messages) for conversation in read_conversations(data, "tau-bench")]
    expected = []
    for messages in whole:
        last = max(index for index, message in enumerate(messages) if message["role"] == "assistant")
        expected.append([*messages[:last], {**messages[last], "refusal": None}])
    waiting, mixed, chance = [calls_of(messages) for messages in whole], [], Random(7)
    while any(waiting):
        mixed.append(chance.choice([calls for calls in waiting if calls]).pop(0))
    path = tmp_path / "mixed.trace.jsonl"
    report = import_exchanges(mixed, path)
    assert (report.exchanges, len(report.conversations)) == (1163, 100)
    assert sorted(map(json.dumps, told(path))) == sorted(map(json.dumps, expected))
    proved(path, report)
