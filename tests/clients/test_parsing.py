"""The transport's reading of real responses, against that of the official client."""

from __future__ import annotations

import json
import lzma
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from client_environments import PYTHON, Environment, made
from frameengine.effects import ModelReply
from frameengine.performers.model_http import read

HERE = Path(__file__).parent
OPENAI = [environment for environment in PYTHON if environment.agent == "openai"]
KNOWN = ["pydantic-ai/tests/models/cassettes/test_mistral/test_mistral_model_thinking_part.yaml#1"]
"""Where the two differ on purpose: a text that is a list of parts, which the client hands on as it is."""

pytestmark = [pytest.mark.nightly, pytest.mark.data]


def ours(exchange: dict[str, Any]) -> dict[str, Any]:
    """Return what the transport makes of a response, in the terms of ``agents/openai_parse.py``."""
    outcome = read(exchange["status"], exchange["headers"], [exchange["body"].encode()])
    if outcome.error is not None:
        return {"error": outcome.error.type}
    assert isinstance(outcome.value, ModelReply)
    calls = []
    for call in outcome.value.tool_calls:
        called = call["custom"] if call.get("type") == "custom" else call["function"]
        calls.append([called["name"], called.get("input", called.get("arguments")) or ""])
    finish = outcome.value.finish_reason
    return {"text": outcome.value.text, "calls": calls, "finish": None if finish == "unknown" else finish}


@pytest.mark.parametrize("environment", OPENAI, ids=lambda environment: environment.name)
def test_responses_are_read_as_the_official_client_reads_them(environment: Environment, data_dir: Path) -> None:
    """All 1,142 responses come to the same text, tool calls and finish reason, or both fail; the exceptions are known by name."""
    try:
        made(environment)
    except (OSError, subprocess.CalledProcessError) as problem:
        pytest.skip(f"{environment.name} cannot be installed here: {problem}")
    given = []
    with lzma.open(data_dir / "http-openai-chat" / "exchanges.jsonl.xz") as lines:
        for exchange in map(json.loads, lines):
            response = exchange["response"]
            headers = {name.lower(): values[0] for name, values in response["headers"].items() if values}
            sse = exchange["meta"]["sse"]
            given.append(
                {"id": exchange["id"], "status": response["status"], "headers": headers, "body": response["body"], "sse": sse}
            )
    command = [str(environment.python), str(HERE / "agents" / "openai_parse.py")]
    done = subprocess.run(command, input="\n".join(map(json.dumps, given)), capture_output=True, text=True, check=True)
    kinds: Counter[str] = Counter()
    different = []
    for one, line in zip(given, done.stdout.splitlines(), strict=True):
        theirs = json.loads(line)
        assert theirs.pop("id") == one["id"]
        mine = ours(one)
        kind = "both fail" if "error" in mine and "error" in theirs else "equal" if mine == theirs else "different"
        kinds[kind] += 1
        if kind == "different":
            different.append(one["id"])
    assert sorted(different) == sorted(KNOWN)
    assert kinds == {"equal": 1142 - 30 - len(KNOWN), "both fail": 30, "different": len(KNOWN)}
