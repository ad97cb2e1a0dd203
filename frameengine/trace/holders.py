"""Where a key is likely to stand: behind which names, in headers, queries, members of JSON and variables, and by what look."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Literal
from urllib.parse import parse_qsl, unquote, urlsplit

_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[_. ]+")
_HOLDS = re.compile(
    r"(?:^|-)(?:(?:api|app|auth|access|secret|session|csrf|xsrf|id|refresh|client|private|subscription|bearer)?"
    r"(?:key|token|secret)"
    r"|access-?key-?id|signature|credentials?|passw(?:or)?d|passphrase|sig|jwt|bearer|session|auth|authorization|cookie)$"
)
_HARMLESS = re.compile(
    r"(?:^|-)(?:page|next|prev|previous|continuation|sync|cache|idempotency|sort|partition|primary|foreign|public|object|row"
    r"|ratelimit|rate-limit|stop|first|last|per|max|min|eos|bos|pad|special)-?(?:key|token)$"
)
_OPEN_HEADERS = re.compile(
    r"accept(?:-.*)?|host|connection|content-.*|date|age|via|te|trailer|upgrade.*|range|expect|if-.*|cache-control|pragma|origin"
    r"|dnt|http-referer|etag|expires|last-modified|server|server-timing|vary|alt-svc|allow|link|transfer-encoding|cf-ray"
    r"|strict-transport-security|user-agent|referer|priority|keep-alive|x-title|anthropic-(?:version|beta|dangerous-.*)"
    r"|openai-beta|openai-organization|openai-project|openai-version|openai-model|openai-processing-ms|x-stainless-.*"
    r"|x-forwarded-.*|sec-.*|x-requested-with|traceparent|tracestate|baggage"
    r"|.*(?:date|version|nonce|region|model|model-override)|x-amz-content-sha256|idempotency-key"
    r"|.*(?:request|trace|span|correlation|event|run|thread|message|invocation)-?id"
)
"""Headers whose value is never a key, though some of them look like one: ids that are new in each request would pile up."""
_WORDS = re.compile(r"[A-Za-z]{0,20}\d{0,3}|\d{1,8}[A-Za-z]{0,2}")
"""A part of a name, of a version or of a text; a part of a key is longer, or mixes letters and digits."""
_KEYLIKE = re.compile(r"(?=[^A-Za-z]*[A-Za-z])(?:(?=\D*\d)[A-Za-z0-9._~+/=-]{16,}|[A-Za-z0-9._~+/=-]{32,})")
_STRONG = frozenset(
    "authorization proxy-authorization api-key apikey x-api-key x-goog-api-key cookie set-cookie password passwd secret "
    "access-token refresh-token client-secret".split()
)
_AMBIGUOUS = re.compile(r"key|(?:.*-)?(?:signature|sig)")
"""Members of JSON that hold other things as well: keys of tables, and signatures of what a model thought."""
_VARIABLE = re.compile(r"(?:KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS)$|^FRAMEENGINE_PASSWORD_", re.IGNORECASE)


_NAME_MAX = 64
"""Letters at the end of a name that count."""


def _plain(name: str) -> str:
    """Return a name in lower case, its words joined by dashes: ``accessToken`` and ``ACCESS_TOKEN`` are the same."""
    return _HUMP.sub("-", name).lower()


def holds_key(name: str) -> bool:
    """Return whether a header or a member of a query is called as those are that hold a key."""
    plain = _plain(name[-_NAME_MAX:])
    return _HOLDS.search(plain) is not None and _HARMLESS.search(plain) is None


def member_holds(name: str, value: str) -> bool:
    """Return whether a member of JSON holds a key. What only may be called so must look like one as well.

    A ``token`` is a piece of a word in log probabilities.
    """
    kind = _kind(name[-_NAME_MAX:])
    return kind == "key" or (kind == "perhaps" and _KEYLIKE.fullmatch(value) is not None)


@lru_cache(maxsize=4096)
def _header_kind(name: str) -> Literal["key", "open", "other"]:
    """Return what a header holds that is called so, in small letters: a client sends the same ones with each request."""
    if holds_key(name):
        return "key"
    return "open" if _OPEN_HEADERS.fullmatch(name) else "other"


@lru_cache(maxsize=4096)
def _kind(name: str) -> Literal["key", "perhaps", "other"]:
    """Return what a member of JSON holds that is called so."""
    plain = _plain(name)
    if plain in _STRONG:
        return "key"
    return "perhaps" if holds_key(name) and _AMBIGUOUS.fullmatch(plain) is None else "other"


def secrets_of(environment: Mapping[str, str]) -> list[str]:
    """Return the values of variables that are called as keys are: a recording holds none of them."""
    return [value for name, value in environment.items() if _VARIABLE.search(name)]


def header_secrets(headers: Iterable[tuple[str, str]], *, answer: bool = False) -> list[str]:
    """Return what is secret in headers: in those of a request all that is not known to be harmless, nor looks it.

    Of an *answer* only cookies, keys in addresses, and what stands behind the name of a key and looks like one: there is a
    ``x-ratelimit-key`` that holds the name of the model.
    """
    found: list[str] = []
    for raw, value in headers:
        name = raw.lower()
        if name in ("cookie", "set-cookie"):
            parts = value.split(";")[: 1 if name == "set-cookie" else None]
            found += [part.partition("=")[2].strip() for part in parts]
        elif name in ("location", "content-location"):
            found += public_url(value)[1]
        elif (kind := _header_kind(name)) == "key" or (kind == "other" and not answer):
            found += _credentials(value, sure=kind == "key" and not answer)
    return [secret for secret in found if secret]


def _credentials(value: str, *, sure: bool) -> Iterator[str]:
    """Yield what is secret in the value of a header: a scheme may stand before it, and it may stand elsewhere without that."""
    scheme, _, rest = value.strip().partition(" ")
    secret = rest.strip() or scheme
    if sure or _unlike_words(secret):
        yield secret
    if scheme.lower() == "basic":
        with suppress(ValueError):
            yield from b64decode(rest, validate=True).decode().split(":", 1)


def _unlike_words(value: str) -> bool:
    return " " not in value and any(not _WORDS.fullmatch(part) for part in re.split(r"[^A-Za-z0-9]+", value))


def public_query(query: str) -> tuple[str, list[str]]:
    """Return a query without the members that hold keys, and what these were."""
    kept: list[str] = []
    secrets: list[str] = []
    for member in query.split("&") if query else ():
        name, value = (parse_qsl(member, keep_blank_values=True) or [("", "")])[0]
        if holds_key(name):
            secrets += dict.fromkeys([value, member.partition("=")[2]])
        else:
            kept.append(member)
    return "&".join(kept), secrets


def public_url(url: str) -> tuple[str, list[str]]:
    """Return a URL without user, password and the members of its query that hold keys, and what these were."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "", [url]
    user, at, host = parts.netloc.rpartition("@")
    query, secrets = public_query(parts.query)
    fragment, more = public_query(parts.fragment)
    if at:
        secrets += [unquote(part) for part in user.split(":", 1)]
    if not (at or secrets or more):
        return url, []
    return parts._replace(netloc=host, query=query, fragment=fragment).geturl(), [one for one in [*secrets, *more] if one]
