"""Read recorded responses as the official OpenAI client does: JSON lines in, JSON lines out."""

from __future__ import annotations

import json
import sys
from importlib import import_module
from typing import Any

import openai

http: Any = import_module("httpx" if openai.__version__.startswith("2.") else "httpx2")
DROPPED = ("content-encoding", "content-length", "transfer-encoding")
"""Headers of the wire: the recorded bodies are decoded and whole."""


def client_of(response: dict[str, Any]) -> Any:
    """Return a client that gets one response, whatever it asks."""
    kept = {name: value for name, value in response["headers"].items() if name not in DROPPED}
    transport = http.MockTransport(lambda _: http.Response(response["status"], headers=kept, content=response["body"].encode()))
    return openai.OpenAI(
        base_url="http://model.test/v1", api_key="x", max_retries=0, http_client=http.Client(transport=transport)
    )


def parsed(response: dict[str, Any]) -> dict[str, Any]:
    """Return text, tool calls and finish reason of the first choice, or the name of the error."""
    create = client_of(response).chat.completions.create
    asked: Any = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
    try:
        return streamed(create(**asked, stream=True)) if response["sse"] else whole(create(**asked))
    except openai.OpenAIError as error:
        return {"error": type(error).__name__}
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        return {"error": f"not readable: {error!r}"}


def whole(reply: Any) -> dict[str, Any]:
    """Return what an answer in one body says."""
    choice = reply.choices[0]
    calls = []
    for call in choice.message.tool_calls or ():
        custom = call.type == "custom"
        calls.append([call.custom.name, call.custom.input] if custom else [call.function.name, call.function.arguments or ""])
    return {"text": choice.message.content or "", "calls": calls, "finish": choice.finish_reason or None}


def streamed(stream: Any) -> dict[str, Any]:
    """Return what a stream says, put together as the client's own examples do."""
    text, finish = "", None
    calls: dict[int, list[str]] = {}
    for part in stream:
        for choice in part.choices or ():
            if choice.index:
                continue
            finish = choice.finish_reason or finish
            # Azure sends choices that have none.
            if choice.delta is None:
                continue
            text += choice.delta.content or ""
            for call in choice.delta.tool_calls or ():
                known = calls.setdefault(call.index, ["", ""])
                known[0] = known[0] or call.function.name or ""
                known[1] += call.function.arguments or ""
    return {"text": text, "calls": list(calls.values()), "finish": finish}


for line in sys.stdin:
    given = json.loads(line)
    sys.stdout.write(json.dumps({"id": given["id"], **parsed(given)}) + "\n")
