"""Where an agent's model calls go: which variables lead its clients to us, and to which server each route leads on.

A client of each kind gets an address of its own, ``http://127.0.0.1:PORT/openai/v1``. The first step of its path names the route
and is taken off again; what is recorded is the path that the server itself would have seen. So one recording holds calls of
several kinds, and `frameengine proxy replay` answers from it as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from attrs import frozen

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
    """Return where the calls of each route go on to; routes without a place are left out. *openai* goes before the environment."""
    found = {}
    for route in ROUTES:
        said = openai if route is OPENAI else None
        place = said or next((environment[name] for name in route.variables if environment.get(name)), route.upstream)
        if place:
            found[route.name] = place
    return found


def paths(upstreams: Mapping[str, str]) -> dict[str, str]:
    """Return the path of each route's server, without a slash at its end."""
    return {name: urlsplit(place).path.rstrip("/") for name, place in upstreams.items()}


def recorded_paths(header: FrozenMap, asked: Iterable[str]) -> dict[str, str]:
    """Return the path of each route's server in a recording; *asked* are the paths of its requests.

    A recording of an agent says them. Of another recording they are the usual ones, and OpenAI's is what stands before the first path's
    tail that is known.
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
    """An app that hands each request to the app of its route, with the route's name taken off its path."""

    def __init__(self, apps: Mapping[str, Any]) -> None:
        """*apps* has the app of each route, and under an empty name that of requests which name none."""
        self._apps = apps

    @property
    def stop(self) -> Any:
        """What ends the server; set by whoever serves."""
        return next(iter(self._apps.values())).stop

    @stop.setter
    def stop(self, stop: Any) -> None:
        for app in self._apps.values():
            app.stop = stop

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request."""
        raw = scope.get("raw_path") or scope.get("path", "").encode()
        name, slash, rest = raw[1:].partition(b"/")
        app = self._apps.get(name.decode("latin-1")) if name else None
        if app is None:
            await self._apps[""](scope, receive, send)
            return
        path = scope["path"].removeprefix("/" + name.decode("latin-1")) or "/"
        await app({**scope, "path": path, "raw_path": slash + rest or b"/"}, receive, send)
