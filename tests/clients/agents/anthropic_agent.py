"""The official Anthropic client: sync, async, streams, tools."""

from __future__ import annotations

import asyncio
from typing import Any

from anthropic import Anthropic, AsyncAnthropic

KEY = "sk-ant-not-a-real-key-0123456789"
LOOKUP: Any = {"name": "lookup", "input_schema": {"type": "object", "properties": {}}}


def asked(text: str, **more: Any) -> Any:
    """Return the arguments of a request."""
    return {"model": "m", "max_tokens": 100, "messages": [{"role": "user", "content": text}], **more}


def results(url: str) -> dict[str, Any]:
    """Do everything once."""
    base = url.removesuffix("/v1")
    client = Anthropic(base_url=base, api_key=KEY)
    found: dict[str, Any] = {"sync": client.messages.create(**asked("one two")).content[0].text}
    with client.messages.stream(**asked("three four five")) as stream:
        found["stream"] = list(stream.text_stream)
    call = client.messages.create(**asked('call lookup {"city": "Oslo"}', tools=[LOOKUP])).content[0]
    found["tools"] = [call.type, call.name, call.input]
    found["async"] = asyncio.run(concurrent(base))
    return found


async def concurrent(base: str) -> list[Any]:
    """Ask six things at once, and read a stream."""
    async with AsyncAnthropic(base_url=base, api_key=KEY) as client:
        replies = await asyncio.gather(*[client.messages.create(**asked(f"q{number}")) for number in range(6)])
        async with client.messages.stream(**asked("six seven")) as stream:
            return [*[reply.content[0].text for reply in replies], [text async for text in stream.text_stream]]
