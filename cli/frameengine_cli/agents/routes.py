"""Where an agent's model calls go: which variables lead its clients to us, and to which server each route leads on.

A client of each kind gets an address of its own, ``http://127.0.0.1:PORT/openai/v1``. The first step of its path names the route
and is taken off again; what is recorded is the path that the server itself would have seen. So one recording holds calls of
several kinds, and `frameengine proxy replay` answers from it as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from frameengine.errors import UsageError
from frameengine.exchanges.exchange import Request, public_host
from frameengine.exchanges.routes import OPENAI, ROUTES
from frameengine.jsonvalue import EMPTY, FrozenMap

_PROXIES = ("no_proxy", "NO_PROXY")
_LOCAL = "127.0.0.1,localhost"
_TAILS = {
    "openai": ("/chat/completions", "/responses", "/embeddings", "/completions", "/models"),
    "anthropic": ("/v1/messages",),
}
"""What clients put behind their base URL."""
_AZURE_TAIL = "/openai/deployments/"


def upstreams(environment: Mapping[str, str], openai: str | None) -> dict[str, str]:
    """Return where the calls of each route go on to; routes without a place are left out. *openai* goes before the environment.

    Raises `UsageError` for what is no address of a server.
    """
    found = {}
    for route in ROUTES:
        said = [("--upstream", openai)] if route is OPENAI and openai else []
        said += [(name, environment[name]) for name in route.variables if environment.get(name)]
        name, place = next(iter(said), ("", route.upstream))
        if place:
            _check(name, place)
            found[route.name] = place
    return found


def _check(name: str, place: str) -> None:
    from frameengine.performers.proxy_http import server_url

    try:
        server_url(place)
    except UsageError as error:
        raise UsageError(f"{name}: {error.message}", hint=error.hint, name=name) from None


def paths(upstreams: Mapping[str, str]) -> dict[str, str]:
    """Return the path of each route's server, without a slash at its end."""
    return {name: urlsplit(place).path.rstrip("/") for name, place in upstreams.items()}


def recorded_paths(header: FrozenMap, asked: Iterable[Request]) -> dict[str, str]:
    """Return the path of each route's server in a recording; *asked* are its requests.

    A recording of an agent says them. Of another recording they are the usual ones, or what stands before the tail of the
    first path that has a known one; a host that is known for another route says nothing of OpenAI's.
    """
    said = header.get("provenance", EMPTY).get("routes")
    if isinstance(said, FrozenMap):
        return {str(name): str(path) for name, path in said.items()}
    hosts = {public_host(route.upstream): route.name for route in ROUTES if route.upstream}
    seen: dict[str, str] = {}
    for request in asked:
        path = request.hostless.path
        known = hosts.get(request.path.removesuffix(path))
        if _AZURE_TAIL in path:
            seen.setdefault("azure", path.partition(_AZURE_TAIL)[0])
            continue
        for name, tails in _TAILS.items():
            tail = next((tail for tail in tails if path.endswith(tail)), None)
            if tail is not None and known in (None, name):
                seen.setdefault(name, path.removesuffix(tail))
    return {**paths(upstreams({}, None)), **seen}


def recorded_base(header: FrozenMap, asked: Iterable[Request]) -> str:
    """Return the path that a client of OpenAI has behind the address of a proxy which answers from a recording."""
    said = header.get("provenance", EMPTY).get("base")
    return said if isinstance(said, str) else recorded_paths(header, asked).get(OPENAI.name, "")


def leading_here(url: str, paths: Mapping[str, str], also: Iterable[str], environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that lead an agent's clients to *url*. *also* names further ones that hold OpenAI's base URL."""
    found = {}
    for route in ROUTES:
        if route.name in paths:
            here = f"{url}/{route.name}{paths[route.name]}"
            found.update(dict.fromkeys(route.variables, here))
            if route is OPENAI:
                found.update(dict.fromkeys(also, here))
    for name in _PROXIES:
        found[name] = ",".join(filter(None, (environment.get(name), _LOCAL)))
    return found


class Routed:
    """An app that hands each request to the app of its route, with the route's name taken off its path.

    A request that names no route is OpenAI's: its path is the server's already.
    """

    def __init__(self, names: Iterable[str], make: Callable[[str], Any]) -> None:
        """Serve the routes of these *names*; *make* makes the app of one when it is first needed."""
        self._names = frozenset(names)
        self._make = make
        self.apps: dict[str, Any] = {}
        """The apps there are so far."""
        self.stop: Callable[[], None] = lambda: None
        """Ends the server; set by whoever serves."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request."""
        raw: bytes = scope["raw_path"]
        first, _, rest = raw[1:].partition(b"/")
        name = first.decode("latin-1")
        if name in self._names:
            path = scope["path"].removeprefix(f"/{name}") or "/"
            scope = {**scope, "path": path, "raw_path": b"/" + rest, "root_path": f"/{name}"}
        await self._app(name if name in self._names else OPENAI.name)(scope, receive, send)

    async def close(self) -> None:
        """Close what the apps hold open."""
        for app in self.apps.values():
            await app.close()

    def _stop(self) -> None:
        # Set after an app may have been made.
        self.stop()

    def _app(self, name: str) -> Any:
        if name not in self.apps:
            self.apps[name] = self._make(name)
            self.apps[name].stop = self._stop
        return self.apps[name]
