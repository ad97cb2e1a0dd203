"""Requests of HTTP clients as values, and answers that no server gave."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from frameengine.codec import dumps
from frameengine.errors import CassetteMiss
from frameengine.exchanges.exchange import Request

MISS_STATUS = 404
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
    near = miss.fields.get("nearest", [])
    told = "; ".join([f"recorded {one['request']} (input {one['input']}): {one['why']}" for one in near])
    message = f"{miss.message}{f'; nearest: {told}' if told else ''}. {miss.hint}"
    problem = {"message": message, "type": "frameengine", "code": miss.code, "nearest": near}
    headers = {"content-type": "application/json", "x-should-retry": "false"}
    return library.Response(MISS_STATUS, headers=headers, content=dumps({"type": "error", "error": problem}))
