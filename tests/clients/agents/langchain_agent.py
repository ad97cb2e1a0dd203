"""LangChain's OpenAI chat model: sync, async, streams, tools."""

from __future__ import annotations

import asyncio
from typing import Any

from langchain_openai import ChatOpenAI

TOOL = {"type": "function", "function": {"name": "lookup", "parameters": {"type": "object", "properties": {}}}}


def results(url: str) -> dict[str, Any]:
    """Do everything once."""
    model = ChatOpenAI(model="m", base_url=url, api_key="sk-not-a-real-key-0123456789")
    found: dict[str, Any] = {"sync": model.invoke("one two").content}
    found["stream"] = [part.content for part in model.stream("three four five")]
    found["tools"] = [
        [call["name"], call["args"]] for call in model.bind_tools([TOOL]).invoke('call lookup {"city": "Oslo"}').tool_calls
    ]
    found["batch"] = [reply.content for reply in model.batch([f"b{number}" for number in range(6)])]
    found["async"] = asyncio.run(concurrent(model))
    return found


async def concurrent(model: ChatOpenAI) -> list[Any]:
    """Ask six things at once, and read a stream."""
    replies = await asyncio.gather(*[model.ainvoke(f"q{number}") for number in range(6)])
    return [*[reply.content for reply in replies], [part.content async for part in model.astream("six seven")]]
