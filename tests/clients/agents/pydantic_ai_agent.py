"""Pydantic AI on its OpenAI chat model: sync, async, streams, tools."""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider


def results(url: str) -> dict[str, Any]:
    """Do everything once; a connection belongs to the loop in which it was made, so each way has an agent of its own."""
    return {"sync": made(url).run_sync("one two").output, **asyncio.run(concurrent(made(url)))}


def made(url: str) -> Agent[None, str]:
    """Return an agent with one tool."""
    model = OpenAIChatModel("m", provider=OpenAIProvider(base_url=url, api_key="sk-not-a-real-key-0123456789"))
    agent = Agent(model)

    def lookup(city: str) -> str:
        """Return the weather."""
        return f"rain in {city}"

    agent.tool_plain(lookup)
    return agent


async def concurrent(agent: Agent[None, str]) -> dict[str, Any]:
    """Ask six things at once, let the model call a tool, and read a stream."""
    replies = await asyncio.gather(*[agent.run(f"q{number}") for number in range(6)])
    tools = await agent.run('call lookup {"city": "Oslo"}')
    async with agent.run_stream("six seven") as stream:
        streamed = [text async for text in stream.stream_text(delta=True, debounce_by=None)]
    return {"async": [reply.output for reply in replies], "tools": tools.output, "stream": streamed}
