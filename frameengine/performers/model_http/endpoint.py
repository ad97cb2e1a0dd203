"""Where a model is, and how it is to be asked. Nothing here reads the environment or a file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from urllib.parse import parse_qsl, unquote, urlsplit

from attrs import Factory, field, frozen

from frameengine.errors import UsageError
from frameengine.jsonvalue import EMPTY, FrozenMap, freeze
from frameengine.performers.model_http.fault import Retry
from frameengine.performers.ways import is_here, is_proxy, public_proxy

_URL = re.compile(r"https?://[^/?#@\s]+(?:/[^?#\s]*)?(?:\?[^#\s]*)?", re.IGNORECASE)
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?")
_OPEN = frozenset(
    "http-referer referer x-title user-agent accept accept-language openai-organization api-version version".split()
)
"""Headers, and members of a query, whose values are no secrets; the value of every other one is kept out of texts."""
_SECRET_MIN = 6
"""Length from which a value is taken for a secret: shorter ones would blot out ordinary words."""


@frozen(kw_only=True)
class Timeouts:
    """Seconds that a call may take, stage by stage."""

    connect: float = 10.0
    """To reach the endpoint, TLS included."""
    first_token: float = 120.0
    """From the request to the first piece of a streamed answer; comments that keep a connection alive do not count."""
    idle: float = 60.0
    """Between two reads once an answer has begun."""
    total: float = 600.0
    """For the whole call: all tries, and the waiting between them."""


@frozen(kw_only=True)
class Endpoint:
    """An OpenAI-compatible endpoint."""

    base_url: str
    """Up to, not including, ``/chat/completions``; a query is kept."""
    key: str = field(default="", repr=False)
    """Sent as a bearer token; empty for none."""
    headers: Mapping[str, str] = field(default=EMPTY, converter=freeze, repr=False)
    """Further headers, such as ``HTTP-Referer`` and ``X-Title`` for OpenRouter, or ``api-key`` for Azure."""
    model: str = ""
    """The model that is asked whatever the graph says; empty for the graph's."""
    params: FrozenMap = field(default=EMPTY, converter=freeze)
    """Members of every request; those of a call come first."""
    stream: bool = True
    """Whether answers are streamed."""
    stream_usage: bool = True
    """Whether a streamed request asks for token counts; some endpoints refuse the member."""
    timeouts: Timeouts = Factory(Timeouts)
    """How long a call may take."""
    retry: Retry = Factory(Retry)
    """When a failed call is tried again."""
    proxy: str = field(default="", repr=False)
    """The proxy for HTTP that leads there, with user and password where it wants any; empty for none."""
    ca_file: str = ""
    """A file of certificates that are trusted besides those of the system; empty for none."""

    def __attrs_post_init__(self) -> None:
        if not (_URL.fullmatch(self.base_url) and _has_port(self.base_url)):
            hint = "write it as https://host/v1, without a user name; the key has a place of its own"
            raise UsageError(f"the base URL {self._fault()}", hint=hint, member=["base_url"])
        for name, value in {**self.headers, "authorization": f"Bearer {self.key}" if self.key else "-"}.items():
            if not (_NAME.fullmatch(name) and _VALUE.fullmatch(value)):
                key = name == "authorization" and bool(self.key)
                what, member = ("the key", ["key_env"]) if key else (f"the header {name!r}", ["headers", name])
                hint = "printable ASCII on one line; was a line end or a quote copied along?"
                raise UsageError(f"{what} cannot be sent", hint=hint, member=member)
        if self.proxy and not is_proxy(self.proxy):
            raise UsageError("the proxy is none for HTTP", hint="write it as http://proxy.example:3128", member=["proxy"])
        if self.proxy and is_here(urlsplit(self.base_url).hostname or ""):
            raise UsageError("no proxy leads to this machine itself", hint="leave the proxy out", member=["proxy"])

    @property
    def url(self) -> str:
        """The address that calls go to."""
        path, mark, query = self.base_url.partition("?")
        return f"{path.rstrip('/')}/chat/completions{mark}{query}"

    @property
    def own_headers(self) -> dict[str, str]:
        """What every request carries for the endpoint: the key as a bearer token, and `headers`, which go before it."""
        bearer = {"authorization": f"Bearer {self.key}"} if self.key else {}
        return {**bearer, **{name.lower(): value for name, value in self.headers.items()}}

    @property
    def public_proxy(self) -> str:
        """The proxy for screens: without user and password."""
        return public_proxy(self.proxy)

    @property
    def public_url(self) -> str:
        """The base URL for screens: without the values of its query, one of which may be a key."""
        path, mark, query = self.base_url.partition("?")
        return path + mark + "&".join([f"{name}=…" for name, _ in parse_qsl(query)])

    def _fault(self) -> str:
        """Say what is wrong with the base URL, and of it no more than the host: a key may stand anywhere else."""
        scheme, mark, rest = self.base_url.partition("://")
        if not self.base_url:
            return "is empty"
        if not mark or scheme.lower() not in ("http", "https"):
            return "begins with neither http:// nor https://"
        _, at, host = re.split(r"[/?#]", rest)[0].rpartition("@")
        return f"of {host!r} {'has a user name before the host' if at else 'is not of the form'}"

    def secrets(self) -> Iterator[str]:
        """Yield what must stand in no text: the key, and what may be one in headers, query and proxy; the longest first."""
        hidden = [value.removeprefix("Bearer ") for name, value in self.headers.items() if name.lower() not in _OPEN]
        for member in self.base_url.partition("?")[2].split("&"):
            # As it is sent, and as it was meant: an endpoint may repeat either.
            closed = [value for name, value in parse_qsl(member) if name.lower() not in _OPEN]
            hidden += [*closed, member.partition("=")[2]] if closed else []
        user = self.proxy.partition("://")[2].rpartition("@")[0]
        hidden += [spelled for part in user.split(":", 1) for spelled in (part, unquote(part))]
        yield from sorted(
            (secret for secret in {self.key, *hidden} if len(secret) >= _SECRET_MIN), key=lambda one: (-len(one), one)
        )

    def scrub(self, text: str) -> str:
        """Return *text* without the key."""
        for secret in self.secrets():
            text = text.replace(secret, "[key]")
        return text


def _has_port(url: str) -> bool:
    """Return whether the port of *url*, the usual one where it names none, is one that there can be."""
    try:
        return urlsplit(url).port != 0
    except ValueError:
        return False
