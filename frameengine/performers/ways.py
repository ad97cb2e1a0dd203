"""Which proxy leads to a server, by the variables that other programs read too. Nothing here reads the environment itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit

from frameengine.errors import UsageError

CA_FILE = "SSL_CERT_FILE"
"""Variable that names a file of certificates to trust."""
_PROXY = re.compile(r"https?://(?:[^/?#@\s]+@)?(?:[^/?#@:\s\[\]]+|\[[0-9a-fA-F:.]+\])(?::\d{1,5})?/?", re.IGNORECASE)
_HINT = "write it as http://proxy.example:3128; of proxies, those for HTTP are known"


def is_proxy(url: str) -> bool:
    """Return whether *url* is that of a proxy for HTTP."""
    return _PROXY.fullmatch(url) is not None


def public_proxy(url: str) -> str:
    """Return the URL of a proxy without user and password."""
    scheme, mark, rest = url.partition("://")
    return f"{scheme}{mark}{rest.rpartition('@')[2]}"


def is_here(host: str) -> bool:
    """Return whether *host* is this machine, which no proxy leads to."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    with suppress(ValueError):
        address = ip_address(host)
        return address.is_loopback or address.is_unspecified
    return False


def proxy_of(url: str, environment: Mapping[str, str]) -> str:
    """Return the proxy that leads to the server of *url*; empty for none.

    ``HTTPS_PROXY`` or ``HTTP_PROXY``, by the scheme of *url*, go before ``ALL_PROXY``, and names in lower case before those in
    upper case. ``NO_PROXY`` lists hosts, domains and networks that are reached without one. Raises `UsageError` for a value that
    is no proxy for HTTP.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    excepted = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    if is_here(host) or any(_names(item, host, port) for item in excepted.replace(",", " ").split()):
        return ""
    spellings = [f"{parts.scheme}_proxy", f"{parts.scheme.upper()}_PROXY", "all_proxy", "ALL_PROXY"]
    name = next((name for name in spellings if environment.get(name)), "")
    if not name:
        return ""
    value = environment[name]
    proxy = value if "://" in value else f"http://{value}"
    if not is_proxy(proxy):
        raise UsageError(f"{name} is no proxy for HTTP", hint=f"{_HINT}; NO_PROXY={host} goes without one", variable=name)
    return proxy


def ca_file_of(url: str, environment: Mapping[str, str]) -> str:
    """Return the file of certificates that are trusted besides those of the system; empty for none, and without TLS."""
    return environment.get(CA_FILE, "") if urlsplit(url).scheme == "https" else ""


def _names(item: str, host: str, port: int) -> bool:
    """Return whether an item of ``NO_PROXY`` names a host: by itself, its domain, its network, or as one of all."""
    if item == "*":
        return True
    with suppress(ValueError):
        network = ip_network(item.strip("[]"), strict=False)
        try:
            return ip_address(host) in network
        except ValueError:
            return False
    name, colon, wanted = item.lower().partition(":")
    domain = name.removeprefix("*").removeprefix(".")
    return (not colon or wanted == str(port)) and bool(domain) and (host == domain or host.endswith(f".{domain}"))
