"""Requests of HTTP clients as values, and answers that no server gave."""

from __future__ import annotations

from typing import Any

from frameengine.codec import dumps
from frameengine.errors import CassetteMiss
from frameengine.exchanges.exchange import Request, Response
from frameengine.exchanges.near import told
from frameengine.jsonvalue import FrozenMap, freeze

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


def missed(miss: CassetteMiss) -> Response:
    """Return the answer to a request that has no recorded one, in the shapes of OpenAI's and Anthropic's errors."""
    near = miss.fields["nearest"]
    problem = {"message": f"{told(miss)}. {miss.hint}", "type": "frameengine", "code": miss.code, "nearest": near}
    headers: FrozenMap = freeze({"content-type": "application/json", "x-should-retry": "false"})
    return Response(status=MISS_STATUS, headers=headers, body=dumps({"type": "error", "error": problem}))
