"""Small models for agents under test that need no server: transports of httpx and httpx2 that answer by a function."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx2


def content(request: Any) -> str:
    """Return what the last message of a chat request says."""
    said: str = json.loads(request.content)["messages"][-1]["content"]
    return said


def echoing(request: httpx2.Request) -> httpx2.Response:
    """Answer with what was asked."""
    return httpx2.Response(200, json={"said": content(request)})


class Pieces(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    """A body in pieces; *told* hears of each when it is made, and of the close."""

    def __init__(self, pieces: list[bytes], told: Callable[[str], None] = lambda _: None, fails: Exception | None = None) -> None:
        self.pieces, self.told, self.fails = pieces, told, fails

    def __iter__(self) -> Iterator[bytes]:
        for number, piece in enumerate(self.pieces, start=1):
            self.told(f"made {number}")
            yield piece
        if self.fails is not None:
            raise self.fails

    async def __aiter__(self) -> Any:
        for piece in self:
            yield piece

    def close(self) -> None:
        """Tell of it."""
        self.told("closed")

    async def aclose(self) -> None:
        """Tell of it."""
        self.told("closed")


def streaming(
    *pieces: bytes, told: Callable[[str], None] = lambda _: None, fails: Exception | None = None
) -> httpx2.MockTransport:
    """Return a transport that answers everything with a stream of events."""
    headers = {"content-type": "text/event-stream"}
    return httpx2.MockTransport(lambda _: httpx2.Response(200, headers=headers, stream=Pieces(list(pieces), told, fails)))


def chat(text: str) -> dict[str, Any]:
    """Return a chat request."""
    return {"model": "m", "messages": [{"role": "user", "content": text}]}
