"""Kinds of clients of models: the variables they read addresses and keys from, and what stands in for a key at a replay."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from frameengine.jsonvalue import Json

NO_KEY = "frameengine-replay"
"""Stands where a client wants a key, and nobody will look at it."""


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


def keys_set(environment: Mapping[str, str]) -> list[str]:
    """Return the names of the key variables that are set: a recording says them, and no value."""
    return [name for route in ROUTES for name in route.keys if environment.get(name)]


def missing_keys(provenance: Mapping[str, Json], environment: Mapping[str, str]) -> dict[str, str]:
    """Return a stand-in for each key that was there at the recording and is not there now, so that clients start.

    A recording that says nothing of keys is taken for one with OpenAI's.
    """
    said = provenance.get("keys")
    wanted = said if isinstance(said, tuple) else OPENAI.keys
    return {str(name): NO_KEY for name in wanted if not environment.get(str(name))}
