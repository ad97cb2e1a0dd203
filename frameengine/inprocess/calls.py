"""Requests of HTTP clients as values, and answers that no server gave."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from frameengine.codec import dumps
from frameengine.errors import CassetteMiss
from frameengine.exchanges.exchange import Request

MISS_STATUS = 400
"""What a request that nothing answers gets: a status that clients tell their caller and do not try again."""


def asked(request: Any) -> Request:
    """Return a library's request as a value; its body must have been read.

    The path has scheme and host before it: one process talks to several hosts, and equal paths of two of them are not equal.
    """
    url = request.url
    path, _, query = url.raw_path.decode("ascii").partition("?")
    origin = f"{url.scheme}://{url.netloc.decode('ascii')}"
    return Request.of(request.method, origin + path, query, request.headers.multi_items(), request.content)


def missed(library: ModuleType, miss: CassetteMiss) -> Any:
    """Return the answer to a request that has no recorded one, in the shapes of OpenAI's and Anthropic's errors."""
    problem = {
        "message": f"{miss.message}. {described(miss)}{miss.hint}",
        "type": "frameengine",
        "code": miss.code,
        "nearest": miss.fields.get("nearest", []),
    }
    headers = {"content-type": "application/json", "x-should-retry": "false"}
    return library.Response(MISS_STATUS, headers=headers, content=dumps({"type": "error", "error": problem}))


def described(miss: CassetteMiss) -> str:
    """Return the nearest recorded call and why it was rejected, as one sentence; empty where nothing is near."""
    nearest = miss.fields.get("nearest") or ()
    return f"Nearest: {nearest[0]}. " if nearest else ""
