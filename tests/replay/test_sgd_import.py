"""Dialogues of another kind, scripted as agents: a thousand of them replay the same."""

from __future__ import annotations

import json
import lzma
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from frameengine.exporters.openai import export_messages
from frameengine.importers.openai import Conversation, import_messages, tool_loop
from frameengine.jsonvalue import freeze, thaw
from frameengine.replay.replayer import Replayer
from frameengine.trace.verify import verify

pytestmark = [pytest.mark.data, pytest.mark.nightly]

DIALOGUES = 1_000


def dialogues(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the dialogues of the three parts, in order of the files' names."""
    for path in sorted((folder / "sgd").glob("*.jsonl.xz")):
        with lzma.open(path) as lines:
            for line in lines:
                yield json.loads(line)


def messages_of(dialogue: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a dialogue as an agent's conversation: each service call is a tool call with its results."""
    for number, turn in enumerate(dialogue["turns"]):
        if turn["speaker"] == "USER":
            yield {"role": "user", "content": turn["utterance"]}
            continue
        calls = [frame for frame in turn["frames"] if "service_call" in frame]
        if calls:
            yield {"role": "assistant", "content": None, "tool_calls": [called(frame, number) for frame in calls]}
        for frame in calls:
            content = json.dumps(frame["service_results"], ensure_ascii=False)
            yield {"role": "tool", "tool_call_id": f"{number}.{frame['service']}", "content": content}
        yield {"role": "assistant", "content": turn["utterance"]}


def called(frame: dict[str, Any], number: int) -> dict[str, Any]:
    """Return the tool call of a service call."""
    call = frame["service_call"]
    name = f"{frame['service']}.{call['method']}"
    arguments = json.dumps(call["parameters"], ensure_ascii=False)
    return {"id": f"{number}.{frame['service']}", "type": "function", "function": {"name": name, "arguments": arguments}}


def test_a_thousand_dialogues_replay_the_same(data_dir: Path, tmp_path: Path) -> None:
    """All are run whole, end done, replay without a divergence, and come back exactly."""
    path = tmp_path / "dialogue.trace.jsonl"
    bound = tool_loop()
    count = calls = expected = 0
    for dialogue in islice(dialogues(data_dir), DIALOGUES):
        messages = list(messages_of(dialogue))
        expected += sum(message["role"] != "user" for message in messages)
        report = import_messages(Conversation(messages=freeze(messages)), path, bound=bound, replace=True)
        assert (report.given, report.open, report.notes) == (0, False, ())
        replayed = Replayer(path, bound=bound).run()
        assert replayed.divergence is None
        assert replayed.counts == verify(path).counts
        assert json.dumps(thaw(export_messages(path).messages)) == json.dumps(messages)
        count += 1
        calls += replayed.counts.calls
    assert (count, calls) == (DIALOGUES, expected)
