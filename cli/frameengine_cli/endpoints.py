"""Live models for commands: where their configuration stands, and what is kept out of the trace."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from frameengine.errors import UsageError
from frameengine.trace import holders
from frameengine_cli import output

if TYPE_CHECKING:
    from frameengine.performers.model_http.models import Models
    from frameengine.performers.proxy_http import Upstream
    from frameengine.rerun.supply import Supply
    from frameengine.tools.sql import Database
    from frameengine.trace.redact import Redactor

VARIABLE = "FRAMEENGINE_MODELS"
"""Names the file with endpoints and models, where no option does."""
AZURE = "openai.azure.com"
"""Domain of all endpoints of Azure, of which everybody has an own one."""
UNKNOWN = "unknown.invalid"
"""Host that there is not."""


def secrets_of(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Return the values of variables that are called as keys are: a recording holds none of them."""
    return holders.secrets_of(environment)


def redactor_of(models: Models, environment: Mapping[str, str] = os.environ) -> Redactor:
    """Return what keeps the keys of *models* and of the environment out of a recording; a short one passes for a word."""
    from frameengine.trace.redact import Redactor

    redactor = Redactor()
    redactor.know([*models.secrets(), *secrets_of(environment)])
    return redactor


def configured(option: Path | None, environment: Mapping[str, str] = os.environ) -> Models | None:
    """Return the models that are configured: by the option, the variable, the file of this folder, or the usual variables.

    None where nothing is. A file that was found and not named may be somebody else's: where it sends a key is said on stderr.
    Raises `UsageError` for a file that cannot be used.
    """
    from frameengine.performers.model_http.config import FILE, load_models, usual_models

    named = option or (Path(environment[VARIABLE]) if environment.get(VARIABLE) else None)
    if named is not None:
        return load_models(named, environment)
    if not Path(FILE).is_file():
        return usual_models(environment)
    models = load_models(Path(FILE), environment)
    for where in strays(models, environment):
        output.remark(f"./{FILE} sends {where}; --models {FILE} says that it is meant")
    return models


def strays(models: Models, environment: Mapping[str, str]) -> Iterator[str]:
    """Yield which variables go where, of those that go to another machine than the one that they are known to be for.

    A proxy or certificates of the file's own make another machine of the right one: who has both can read along.
    """
    from frameengine.performers.ways import ca_file_of, is_here, proxy_of

    for name in dict.fromkeys([name for name, _ in models.nodes.values()]):
        endpoint, sends = models.endpoints[name].endpoint, models.endpoints[name].sends
        parts = urlsplit(endpoint.base_url)
        host = parts.hostname or ""
        own_proxy = endpoint.proxy not in ("", proxy_of(endpoint.base_url, environment))
        own_certificates = endpoint.ca_file not in ("", ca_file_of(endpoint.base_url, environment))
        safe = parts.scheme == "https" and not (own_proxy or own_certificates)
        gone = [variable for variable in sends if not (safe and f".{host}".endswith(f".{_home(variable)}"))]
        if gone and not is_here(host):
            by = f" by the proxy {endpoint.public_proxy}" if own_proxy else ""
            by += f", trusting {endpoint.ca_file}" if own_certificates else ""
            yield f"{', '.join(gone)} to {parts.scheme}://{parts.netloc}{by}"


def _home(variable: str) -> str:
    """Return the host that the key in *variable* is known to be for; one that there is not for a variable that nobody knows."""
    from frameengine.exchanges.routes import ROUTES

    hosts = {key: urlsplit(route.upstream).hostname for route in ROUTES for key in route.keys}
    return hosts.get(variable, UNKNOWN) or AZURE


def onward(url: str, environment: Mapping[str, str] = os.environ) -> Upstream:
    """Return the way on to the server of *url*, by the proxy and with the certificates that the environment names.

    Raises `UsageError` for what is no address of a server, and for a variable that holds no such thing.
    """
    from frameengine.performers.proxy_http import Upstream, server_url
    from frameengine.performers.ways import ca_file_of, proxy_of

    server_url(url)
    return Upstream(url, proxy=proxy_of(url, environment), ca_file=ca_file_of(url, environment))


def supply(script: Path | None, databases: Mapping[str, Database], models: Models | None) -> Supply | None:
    """Return who answers calls that no recorded reply is found for: *script*, *models*, *databases*; None for nobody."""
    from frameengine.rerun.supply import Supply

    if models is None:
        return Supply(script, databases) if script or databases else None
    from frameengine.performers.model_http.models import NodeModels

    return Supply(script, databases, model=NodeModels(models), redactor=redactor_of(models))


def wanted(option: Path | None) -> Models:
    """Return the models that are configured. Raises `UsageError` where none are."""
    models = configured(option)
    if models is None:
        from frameengine.performers.model_http.config import FILE

        hint = f"write {FILE} (docs/live.md), say --models FILE, or set OPENAI_API_KEY; frameengine doctor shows what is found"
        raise UsageError("no live model is configured", hint=hint)
    return models
