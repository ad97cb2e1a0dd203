"""Read which model answers which node: from a TOML file with endpoints and models, or the usual variables of the environment.

Keys stand in the environment only; the file names their variables. docs/live.md has the format, by an example.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import attrs
from attrs import evolve

from frameengine.errors import FrameEngineError, UsageError
from frameengine.graph.lines import line_numbers, line_of
from frameengine.graph.validate import Place, place_name
from frameengine.jsonvalue import EMPTY, FrozenMap, freeze, frozen_map
from frameengine.performers.model_http.endpoint import Endpoint, Timeouts
from frameengine.performers.model_http.fault import Retry
from frameengine.performers.model_http.models import DEFAULT, Models, Named
from frameengine.performers.model_http.wire import tls_context
from frameengine.performers.ways import CA_FILE, ca_file_of, proxy_of

F = TypeVar("F", Timeouts, Retry)
FILE: Final = "frameengine.toml"
"""Name of the file that is looked for where none is named."""
USUAL: Final = (("openai", "https://api.openai.com/v1"), ("openrouter", "https://openrouter.ai/api/v1"))
"""Without a file: what the endpoint is called, and its base URL. Its variables begin with that name: `OPENAI_API_KEY`."""
_ENDPOINT_KEYS = tuple("base_url key_env headers headers_env params stream stream_usage timeouts retry proxy ca_file".split())
_MODEL_KEYS = ("endpoint", "model", "params")
_SECRETS = re.compile(
    r"sk-[A-Za-z0-9_-]{12,}|gh[pousr]_[A-Za-z0-9]{20,}|(?i:bearer)\s+\S{8,}|AIza[A-Za-z0-9_-]{30,}|hf_[A-Za-z0-9]{20,}"
)
_HOLDERS = frozenset("authorization proxy-authorization api-key api_key x-api-key x-goog-api-key cookie".split())
"""Headers and parameters that hold a key, whatever it looks like."""
_RESERVED = frozenset({"messages", "model", "stream"})
"""Parameters that a request has from elsewhere, so that saying them here would say nothing."""
_FIGURE_MAX = 1_000_000
"""Greatest figure of a time limit, in seconds; a socket takes no endless one."""
_VARIABLE = re.compile(r"(?!(?=\D*\d)[A-Za-z0-9]{24,}$)[A-Za-z_]\w{0,99}", re.ASCII)
"""The name of a variable: one that is long, without a break and has digits is more likely a key that was put in its place."""


def load_models(path: Path, environment: Mapping[str, str]) -> Models:
    """Return what a TOML file says, with keys from *environment*. Raises `UsageError` with every problem and its line."""
    try:
        text = path.read_bytes().decode().replace("\r\n", "\n")
        document = tomllib.loads(text)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", hint="check the path", path=str(path)) from error
    except (ValueError, RecursionError) as error:
        what = "nested too deep" if isinstance(error, RecursionError) else error
        raise UsageError(f"{path}: not TOML: {what}", hint="correct the file there", path=str(path)) from None
    reader = _Reader(environment, path.parent)
    models = reader.models(document, str(path))
    if reader.problems:
        numbers = line_numbers(text)
        listed = [
            {"place": place_name(place), "line": line_of(place, numbers), "problem": what} for place, what in reader.problems
        ]
        lines = [
            f"  {one['place']}" + (f" (line {one['line']})" if one["line"] else "") + f": {one['problem']}" for one in listed
        ]
        count = f"{len(lines)} problem{'s' if len(lines) > 1 else ''}"
        hint = "correct the file; all its problems are listed"
        raise UsageError("\n".join([f"{path}: {count}", *lines]), hint=hint, path=str(path), problems=listed)
    return models


def usual_models(environment: Mapping[str, str]) -> Models | None:
    """Return the endpoint that the usual variables describe; None where none of them is set."""
    for name, usual in USUAL:
        variables = [f"{name.upper()}_{what}" for what in ("BASE_URL", "API_KEY", "MODEL")]
        base, key, model = [environment.get(variable, "") for variable in variables]
        if key or base:
            try:
                endpoint = _on_its_way(Endpoint(base_url=base or usual, key=key), environment)
            except UsageError as error:
                if "member" not in error.fields:
                    raise
                variable = variables[0 if error.fields["member"] == ["base_url"] else 1]
                raise UsageError(f"{variable}: {error.message}", hint=error.hint, variable=variable) from None
            named = Named(endpoint=endpoint, key_env=variables[1] if key else "", sends=(variables[1],) if key else ())
            said = [variable for variable, value in zip(variables, (base, key, model), strict=True) if value]
            more: FrozenMap = freeze({"model": model} if model else {})
            return Models(source=", ".join(said), endpoints={name: named}, nodes={DEFAULT: (name, more)})
    return None


def _on_its_way(endpoint: Endpoint, environment: Mapping[str, str], said: Mapping[str, str] = EMPTY) -> Endpoint:
    """Return *endpoint* with the proxy and the certificates that are *said*, or else those that the environment names.

    Raises `UsageError`, which names the variable where one is at fault.
    """
    ca_file = said["ca_file"] if "ca_file" in said else ca_file_of(endpoint.base_url, environment)
    try:
        if ca_file:
            tls_context(ca_file)
    except UsageError as error:
        if "ca_file" in said:
            raise
        raise UsageError(f"{CA_FILE}: {error.message}", hint=error.hint, variable=CA_FILE) from None
    proxy = said["proxy"] if "proxy" in said else proxy_of(endpoint.base_url, environment)
    return evolve(endpoint, proxy=proxy, ca_file=ca_file)


class _Reader:
    """Reads the document part by part; what is wrong is noted with its place. Files that it names are looked for in *folder*."""

    def __init__(self, environment: Mapping[str, str], folder: Path) -> None:
        self.environment = environment
        self.folder = folder
        self.problems: list[tuple[Place, str]] = []

    def models(self, document: Mapping[str, Any], source: str) -> Models:
        self._unknown((), document, ("endpoints", "models"))
        for at, text in _texts((), document):
            if _SECRETS.search(text):
                self.problems.append((at, "looks like a key: keep it in a variable, and name that with key_env or headers_env"))
        written = self._table(("endpoints",), document.get("endpoints", {}))
        endpoints = {name: named for name, item in written.items() if (named := self._endpoint(("endpoints", name), item))}
        if not written:
            self.problems.append((("endpoints",), "there must be one at least, as [endpoints.NAME]"))
        nodes = self._table(("models",), document.get("models", {}))
        if not nodes and len(written) == 1:
            nodes = {DEFAULT: {"endpoint": next(iter(written))}}
        elif not nodes:
            self.problems.append((("models",), f"must say which endpoint answers, as [models.{DEFAULT}]"))
        read = {node: self._node(("models", node), item, list(written)) for node, item in nodes.items()}
        return Models(source=source, endpoints=endpoints, nodes=read)

    def _endpoint(self, place: Place, item: Any) -> Named | None:
        members = self._table(place, item)
        self._unknown(place, members, _ENDPOINT_KEYS)
        key_env = self._variable((*place, "key_env"), members.get("key_env", ""))
        headers = {name: self._text((*place, "headers", name), value) for name, value in self._members(place, members, "headers")}
        self._no_keys((*place, "headers"), headers)
        sends = [key_env] if self.environment.get(key_env) else []
        for name, named in self._members(place, members, "headers_env"):
            variable = self._variable((*place, "headers_env", name), named)
            value = self.environment.get(variable, "")
            if value:
                headers[name] = value
                sends.append(variable)
            elif variable:
                self.problems.append(((*place, "headers_env", name), f"the variable {variable} is not set"))
        parts: dict[str, Any] = {
            "timeouts": self._figures((*place, "timeouts"), members.get("timeouts", {}), Timeouts),
            "retry": self._figures((*place, "retry"), members.get("retry", {}), Retry),
            **{name: self._flag((*place, name), members.get(name, True)) for name in ("stream", "stream_usage")},
        }
        try:
            endpoint = Endpoint(
                base_url=self._text((*place, "base_url"), members.get("base_url", "")),
                key=self.environment.get(key_env, ""),
                headers=headers,
                params=self._params(place, members),
                **parts,
            )
            endpoint = _on_its_way(endpoint, self.environment, self._way(place, members))
        except UsageError as error:
            self.problems.append(((*place, *error.fields.get("member", ())), f"{error.message}: {error.hint}"))
            return None
        return Named(endpoint=endpoint, key_env=key_env, key_set=not key_env or bool(endpoint.key), sends=tuple(sends))

    def _way(self, place: Place, members: Mapping[str, Any]) -> dict[str, str]:
        """Return what is said of the way there."""
        said = {name: self._text((*place, name), members[name]) for name in ("proxy", "ca_file") if name in members}
        if "@" in said.get("proxy", ""):
            self.problems.append(((*place, "proxy"), "holds a password: such a proxy is named by HTTPS_PROXY, and not here"))
            del said["proxy"]
        if said.get("ca_file"):
            said["ca_file"] = str(self.folder / Path(said["ca_file"]).expanduser())
        return said

    def _node(self, place: Place, item: Any, endpoints: list[str]) -> tuple[str, FrozenMap]:
        members = self._table(place, item)
        self._unknown(place, members, _MODEL_KEYS)
        name = members.get("endpoint", endpoints[0] if len(endpoints) == 1 else "")
        if name not in endpoints:
            self.problems.append(((*place, "endpoint"), f"must be one of {', '.join(endpoints) or 'the endpoints'}"))
        more: dict[str, Any] = {}
        if "model" in members:
            more["model"] = self._text((*place, "model"), members["model"])
        if "params" in members:
            more["params"] = self._params(place, members)
        return str(name), frozen_map(more)

    def _params(self, place: Place, owner: Mapping[str, Any]) -> FrozenMap:
        """Return further members of a request."""
        params = dict(self._members(place, owner, "params"))
        place = (*place, "params")
        self._no_keys(place, params)
        for name in params:
            if name in _RESERVED:
                self.problems.append(((*place, name), f"changes nothing here: {name} is said in another place"))
        try:
            taken: FrozenMap = freeze(params)
        except FrameEngineError as error:
            self.problems.append((place, f"{error.message}: {error.hint}"))
            return EMPTY
        return taken

    def _no_keys(self, place: Place, held: Mapping[str, Any]) -> None:
        for name in held:
            if name.lower() in _HOLDERS:
                self.problems.append(((*place, name), "holds a key: name its variable with key_env or headers_env"))

    def _figures(self, place: Place, item: Any, kind: type[F]) -> F:
        """Return a value class whose fields are figures or flags."""
        members = self._table(place, item)
        known = {attribute.name: type(attribute.default) for attribute in attrs.fields(kind)}
        self._unknown(place, members, tuple(known))
        taken: dict[str, Any] = {}
        for name, value in members.items():
            wanted = known.get(name)
            figure = isinstance(value, int | float) and not isinstance(value, bool)
            if wanted is bool and isinstance(value, bool):
                taken[name] = value
            elif wanted in (int, float) and figure and 0 < value <= _FIGURE_MAX and (wanted is float or isinstance(value, int)):
                taken[name] = wanted(value)
            elif wanted is not None:
                what = "true or false" if wanted is bool else f"a number above 0, and at most {_FIGURE_MAX:,}"
                self.problems.append(((*place, name), f"must be {what}"))
        return kind(**taken)

    def _members(self, place: Place, owner: Mapping[str, Any], name: str) -> Iterator[tuple[str, Any]]:
        yield from self._table((*place, name), owner.get(name, {})).items()

    def _table(self, place: Place, item: Any) -> Mapping[str, Any]:
        if isinstance(item, dict):
            return item
        self.problems.append((place, "must be a table"))
        return {}

    def _text(self, place: Place, item: Any) -> str:
        if isinstance(item, str):
            return item
        self.problems.append((place, "must be a text"))
        return ""

    def _variable(self, place: Place, item: Any) -> str:
        """Return the name of a variable; what is none is not repeated, since it may be the key itself."""
        name = self._text(place, item)
        if not name or _VARIABLE.fullmatch(name):
            return name
        self.problems.append((place, "must be the name of a variable, such as OPENAI_API_KEY"))
        return ""

    def _flag(self, place: Place, item: Any) -> bool:
        if not isinstance(item, bool):
            self.problems.append((place, "must be true or false"))
        return bool(item)

    def _unknown(self, place: Place, owner: Mapping[str, Any], known: tuple[str, ...]) -> None:
        for name in owner:
            if name not in known:
                self.problems.append(((*place, name), f"is not known; known are {', '.join(known)}"))


def _texts(place: Place, value: Any) -> Iterator[tuple[Place, str]]:
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _texts((*place, name), item)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _texts((*place, index), item)
