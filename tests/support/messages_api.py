"""What the model server answers where a client speaks Anthropic's protocol."""

from __future__ import annotations

import json
import re
from typing import Any

from model_scripts import Request, Script, answer, echo, sse


def respond(request: Request) -> Script:
    """Answer messages as `echo` answers chat completions, and chat completions too."""
    if request.path.partition("?")[0] != "/v1/messages":
        return echo(request)
    asked = request.json()
    said = asked["messages"][-1]["content"]
    said = said if isinstance(said, str) else said[0]["text"]
    wanted = re.fullmatch(r"call (\w+) (\{.*\})", said)
    block: dict[str, Any] = {"type": "text", "text": f"You said: {said}"}
    if wanted is not None and asked.get("tools"):
        block = {"type": "tool_use", "id": "toolu_1", "name": wanted[1], "input": json.loads(wanted[2])}
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "stop_reason": "end_turn",
        "stop_sequence": None,
    }
    usage = {"input_tokens": 3, "output_tokens": 5}
    if not asked.get("stream"):
        return answer(json.dumps({**message, "content": [block], "usage": usage}))
    words = re.findall(r"\s*\S+", block["text"])
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": {**message, "content": [], "usage": usage, "stop_reason": None}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        *({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}} for word in words),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": {"output_tokens": 5}},
        {"type": "message_stop"},
    ]
    return sse(*[f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events])
