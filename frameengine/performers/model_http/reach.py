"""Find out whether an endpoint answers, without asking a model."""

from __future__ import annotations

import httpx2

from frameengine.errors import UsageError
from frameengine.performers.clock import system_clock
from frameengine.performers.model_http.endpoint import Endpoint, Timeouts
from frameengine.performers.model_http.wire import Watch, client

LISTED = "/models"
"""Where OpenAI-compatible endpoints list their models."""
UNLISTED = frozenset({404, 405, 501})
"""Statuses of an endpoint that has no such list."""
_REFUSALS = {401: "refuses the key", 403: "refuses the key", 407: "is not reached: the proxy wants a password"}


def reach(endpoint: Endpoint, seconds: float) -> tuple[str, bool]:
    """Ask *endpoint* for its list of models; return what came of it in a few words, and whether it may answer calls.

    An endpoint that has no such list answers, and so may be fine; a page for people, or the way to another place, is no list.
    """
    path, mark, query = endpoint.base_url.partition("?")
    url = f"{path.rstrip('/')}{LISTED}{mark}{query}"
    watch = Watch(Timeouts(connect=seconds, first_token=seconds, idle=seconds, total=seconds), system_clock().monotonic)
    watch.begin(first_token=False)
    try:
        with client(watch, endpoint) as http, http.stream("GET", url, headers=endpoint.own_headers) as response:
            status = response.status_code
            start = next((piece for piece in response.iter_bytes() if piece.strip()), b"") if response.is_success else b""
    except (httpx2.HTTPError, httpx2.InvalidURL, UsageError) as error:
        return endpoint.scrub(f"cannot be reached: {error}"), False
    return _told(status, is_json=start.lstrip().startswith((b"{", b"[")))


def _told(status: int, *, is_json: bool) -> tuple[str, bool]:
    if status in _REFUSALS:
        return f"{_REFUSALS[status]} ({status})", False
    if 300 <= status < 400:
        return f"sends on to another place ({status}): keys are not sent there", False
    if status in UNLISTED:
        return f"answers ({status}): no list of models is there", True
    if status >= 400:
        return f"answers with an error ({status})", False
    return (f"answers ({status})", True) if is_json else (f"answers ({status}) with no list of models: check the base URL", False)
