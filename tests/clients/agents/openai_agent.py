"""The official OpenAI client: sync, async, streams, tools."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from openai import AsyncOpenAI, OpenAI

LOOKUP = {"type": "function", "function": {"name": "lookup", "parameters": {"type": "object", "properties": {}}}}


def said(text: str) -> list[dict[str, Any]]:
    """Return a conversation of one message."""
    return [{"role": "user", "content": text}]


def results(url: str) -> dict[str, Any]:
    """Do everything once."""
    client = OpenAI(base_url=url, api_key="sk-not-a-real-key-0123456789")
    found: dict[str, Any] = {
        "sync": client.chat.completions.create(model="m", messages=said("one two")).choices[0].message.content
    }
    stream = client.chat.completions.create(model="m", messages=said("three four five"), stream=True)
    found["stream"] = [part.choices[0].delta.content for part in stream if part.choices]
    found["tools"] = tools(client)
    found["async"] = asyncio.run(concurrent(url))
    return found


def tools(client: OpenAI) -> list[Any]:
    """Let the model call a tool, in one piece and streamed, and tell it what the tool gave."""
    messages = said('call lookup {"city": "Oslo"}')
    first = client.chat.completions.create(model="m", messages=messages, tools=[LOOKUP]).choices[0].message
    call = first.tool_calls[0]
    messages += [first.model_dump(exclude_none=True), {"role": "tool", "tool_call_id": call.id, "content": "rain"}]
    last = client.chat.completions.create(model="m", messages=messages, tools=[LOOKUP]).choices[0].message.content
    streamed = client.chat.completions.create(model="m", messages=messages[:1], tools=[LOOKUP], stream=True)
    deltas = [part.choices[0].delta.tool_calls for part in streamed if part.choices]
    pieces = [piece.function.arguments for delta in deltas if delta for piece in delta]
    return [call.function.name, json.loads(call.function.arguments), last, pieces]


async def concurrent(url: str) -> list[Any]:
    """Ask six things at once, two of them equal, and read a stream."""
    async with AsyncOpenAI(base_url=url, api_key="sk-not-a-real-key-0123456789") as client:

        async def ask(text: str) -> Any:
            reply = await client.chat.completions.create(model="m", messages=said(text))
            return reply.choices[0].message.content

        replies = await asyncio.gather(*[ask(f"q{number % 5}") for number in range(6)])
        stream = await client.chat.completions.create(model="m", messages=said("six seven"), stream=True)
        return [*replies, [part.choices[0].delta.content async for part in stream if part.choices]]
