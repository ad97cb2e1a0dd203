"""LiteLLM: sync, async (which goes through aiohttp), streams, tools."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import litellm

TOOL = {"type": "function", "function": {"name": "lookup", "parameters": {"type": "object", "properties": {}}}}


def asked(url: str, text: str, **more: Any) -> Any:
    """Return the arguments of a request."""
    messages = [{"role": "user", "content": text}]
    return {"model": "openai/m", "api_base": url, "api_key": "sk-not-a-real-key-0123456789", "messages": messages, **more}


def results(url: str) -> dict[str, Any]:
    """Do everything once."""
    found: dict[str, Any] = {"sync": litellm.completion(**asked(url, "one two")).choices[0].message.content}
    stream = litellm.completion(**asked(url, "three four five", stream=True))
    found["stream"] = [part.choices[0].delta.content for part in stream if part.choices]
    call = litellm.completion(**asked(url, 'call lookup {"city": "Oslo"}', tools=[TOOL])).choices[0].message.tool_calls[0]
    found["tools"] = [call.function.name, json.loads(call.function.arguments)]
    found["async"] = asyncio.run(concurrent(url))
    return found


async def concurrent(url: str) -> list[Any]:
    """Ask six things at once, and read a stream."""
    replies = await asyncio.gather(*[litellm.acompletion(**asked(url, f"q{number}")) for number in range(6)])
    stream = await litellm.acompletion(**asked(url, "six seven", stream=True))
    streamed = [part.choices[0].delta.content async for part in stream if part.choices]
    return [*[reply.choices[0].message.content for reply in replies], streamed]
