"""Find out whether an endpoint answers, without asking a model."""

from __future__ import annotations

import httpx2

from frameengine.performers.clock import system_clock
from frameengine.performers.model_http.endpoint import Endpoint, Timeouts
from frameengine.performers.model_http.wire import Watch, client

LISTED = "/models"
"""Where OpenAI-compatible endpoints list their models."""


def reach(endpoint: Endpoint, seconds: float) -> tuple[str, bool]:
    """Ask *endpoint* for its list of models; return what came of it in a few words, and whether it would answer calls.

    An endpoint that has no such list (404) answers, and so may be fine.
    """
    path, mark, query = endpoint.base_url.partition("?")
    url = f"{path.rstrip('/')}{LISTED}{mark}{query}"
    headers = {**endpoint.headers, **({"authorization": f"Bearer {endpoint.key}"} if endpoint.key else {})}
    clock = system_clock()
    watch = Watch(Timeouts(connect=seconds, first_token=seconds, idle=seconds, total=seconds), clock.monotonic)
    watch.begin(first_token=False)
    try:
        tls = httpx2.create_ssl_context(trust_env=False) if url.lower().startswith("https") else None
        with client(watch, tls) as http, http.stream("GET", url, headers=headers) as response:
            status = response.status_code
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        return endpoint.scrub(f"cannot be reached: {error}"), False
    if status in (401, 403):
        return f"refuses the key ({status})", False
    return f"answers ({status})", status < 500
