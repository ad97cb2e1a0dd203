"""Where an agent's model calls go: which variables lead its clients to us, and to which server each route leads on.

A client of each kind gets an address of its own, ``http://127.0.0.1:PORT/openai/v1``. The first step of its path names the route
and is taken off again; what is recorded is the path that the server itself would have seen. So one recording holds calls of
several kinds, and `frameengine proxy replay` answers from it as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from attrs import frozen

from frameengine.errors import UsageError
from frameengine.jsonvalue import EMPTY, FrozenMap

NO_KEY = "frameengine-replay"
"""Stands where a client wants a key, and nobody will look at it."""
_PROXIES = ("no_proxy", "NO_PROXY")
_LOCAL = "127.0.0.1,localhost"
_TAILS = ("/chat/completions", "/responses", "/embeddings", "/completions", "/models")
"""What OpenAI's clients put behind their base URL."""


@frozen(kw_only=True)
class Route:
    """A kind of client."""

    name: str
    """First step of the path."""
    variables: tuple[str, ...]
    """What its clients read their base URL from; the first of them that is set says where calls go on to."""
    keys: tuple[str, ...]
    """What they read a key from."""
    upstream: str
    """Where calls go on to where nobody says; empty where that must be said."""


ROUTES = (
    Route(
        name="openai",
        variables=("OPENAI_BASE_URL", "OPENAI_API_BASE"),
        keys=("OPENAI_API_KEY",),
        upstream="https://api.openai.com/v1",
    ),
    Route(
        name="openrouter",
        variables=("OPENROUTER_BASE_URL", "OPENROUTER_API_BASE"),
        keys=("OPENROUTER_API_KEY",),
        upstream="https://openrouter.ai/api/v1",
    ),
    Route(
        name="anthropic",
        variables=("ANTHROPIC_BASE_URL", "ANTHROPIC_API_BASE"),
        keys=("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"),
        upstream="https://api.anthropic.com",
    ),
    Route(
        name="gemini",
        variables=("GOOGLE_GEMINI_BASE_URL", "GEMINI_API_BASE"),
        keys=("GEMINI_API_KEY", "GOOGLE_API_KEY"),
        upstream="https://generativelanguage.googleapis.com",
    ),
    Route(name="groq", variables=("GROQ_BASE_URL", "GROQ_API_BASE"), keys=("GROQ_API_KEY",), upstream="https://api.groq.com"),
    Route(
        name="azure",
        variables=("AZURE_OPENAI_ENDPOINT", "AZURE_API_BASE"),
        keys=("AZURE_OPENAI_API_KEY", "AZURE_API_KEY"),
        upstream="",
    ),
)
OPENAI = ROUTES[0]


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


def recorded_paths(header: FrozenMap, asked: Iterable[str]) -> dict[str, str]:
    """Return the path of each route's server in a recording; *asked* are the paths of its requests.

    A recording of an agent says them. Of another recording they are the usual ones, and OpenAI's is what stands before the tail
    of the first path that has a known one.
    """
    said = header.get("provenance", EMPTY).get("routes")
    if isinstance(said, FrozenMap):
        return {str(name): str(path) for name, path in said.items()}
    found = paths(upstreams({}, None))
    for path in asked:
        tail = next((tail for tail in _TAILS if path.endswith(tail)), None)
        if tail is not None:
            return {**found, OPENAI.name: path.removesuffix(tail)}
    return found


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


def keys_set(environment: Mapping[str, str]) -> list[str]:
    """Return the names of the key variables that are set."""
    return [name for route in ROUTES for name in route.keys if environment.get(name)]


def missing_keys(header: FrozenMap, environment: Mapping[str, str]) -> dict[str, str]:
    """Return a stand-in for each key that was there at the recording and is not there now, so that clients start."""
    said = header.get("provenance", EMPTY).get("keys")
    wanted = said if isinstance(said, tuple) else OPENAI.keys
    return {str(name): NO_KEY for name in wanted if not environment.get(str(name))}


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
