"""Which model answers which node: a TOML file with endpoints and models, or the usual variables of the environment.

Keys stand in the environment only; the file names their variables. docs/live.md has the format, by an example.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from threading import Lock
from typing import Any, Final, TypeVar

import attrs
from attrs import evolve, frozen

from frameengine.effects import Call, EffectKey, ModelReply, Outcome
from frameengine.engine.driver import Clock
from frameengine.errors import FrameEngineError, UsageError
from frameengine.graph.lines import line_numbers, line_of
from frameengine.graph.validate import Place, place_name
from frameengine.jsonvalue import EMPTY, FrozenMap, freeze
from frameengine.performers.model_http.endpoint import Endpoint, Timeouts
from frameengine.performers.model_http.fault import Retry
from frameengine.performers.model_http.transport import HttpModel

F = TypeVar("F", Timeouts, Retry)
FILE: Final = "frameengine.toml"
"""Name of the file that is looked for where none is named."""
DEFAULT: Final = "default"
"""The model of every node that the file does not name."""
USUAL: Final = (("openai", "https://api.openai.com/v1"), ("openrouter", "https://openrouter.ai/api/v1"))
"""Without a file: what the endpoint is called, and its base URL. Its variables begin with that name: `OPENAI_API_KEY`."""
_ENDPOINT_KEYS = ("base_url", "key_env", "headers", "headers_env", "params", "stream", "stream_usage", "timeouts", "retry")
_MODEL_KEYS = ("endpoint", "model", "params")
_SECRETS = re.compile(
    r"sk-[A-Za-z0-9_-]{12,}|gh[pousr]_[A-Za-z0-9]{20,}|(?i:bearer)\s+\S{8,}|AIza[A-Za-z0-9_-]{30,}|hf_[A-Za-z0-9]{20,}"
)
_HOLDERS = frozenset("authorization proxy-authorization api-key api_key x-api-key x-goog-api-key cookie".split())
"""Headers and parameters that hold a key, whatever it looks like."""
_VARIABLE = re.compile(r"(?!(?=\D*\d)[A-Za-z0-9]{24,}$)[A-Za-z_]\w{0,99}", re.ASCII)
"""The name of a variable: one that is long, without a break and has digits is more likely a key that was put in its place."""


@frozen(kw_only=True)
class Named:
    """An endpoint, and where its key comes from."""

    endpoint: Endpoint
    """The endpoint, with its key where that is set."""
    key_env: str = ""
    """Variable that holds the key; empty where none is needed."""
    key_set: bool = True
    """Whether that variable is set."""

    def to_json(self) -> dict[str, Any]:
        """Return what may be told of it: never the key, never the value of a header."""
        endpoint = self.endpoint
        return {
            "base_url": endpoint.public_url,
            "key_env": self.key_env or None,
            "key_set": self.key_set if self.key_env else None,
            "headers": list(endpoint.headers),
            "params": endpoint.params,
            "stream": endpoint.stream,
            "timeouts": attrs.asdict(endpoint.timeouts),
            "retry": attrs.asdict(endpoint.retry),
        }


@frozen(kw_only=True)
class Models:
    """Which model answers which node."""

    source: str
    """The file, or the variables, that say so."""
    endpoints: Mapping[str, Named]
    """Name -> endpoint."""
    nodes: Mapping[str, tuple[str, FrozenMap]]
    """Node, or ``default`` -> name of an endpoint, and the members ``model`` and ``params`` that are set for it."""

    def names(self, node: str) -> bool:
        """Return whether there is a model for *node*."""
        return node in self.nodes or DEFAULT in self.nodes

    def endpoint(self, node: str) -> Endpoint:
        """Return the endpoint that answers *node*, for which there is one. Raises `UsageError` where its key is not set."""
        name, more = self.nodes.get(node) or self.nodes[DEFAULT]
        named = self.endpoints[name]
        if not named.key_set:
            what = f"the variable {named.key_env} is not set: it is to hold the key of endpoint {name!r} ({self.source})"
            raise UsageError(what, hint=f"export {named.key_env}=…, or name another variable as key_env", variable=named.key_env)
        base = named.endpoint
        return evolve(base, model=more.get("model", base.model), params={**base.params, **more.get("params", EMPTY)})

    def secrets(self) -> tuple[str, ...]:
        """Return every key and every value of a header that may be one, for a `Redactor`."""
        return tuple(dict.fromkeys(secret for named in self.endpoints.values() for secret in named.endpoint.secrets()))

    def to_json(self) -> dict[str, Any]:
        """Return what may be told of it."""
        return {
            "source": self.source,
            "endpoints": {name: named.to_json() for name, named in self.endpoints.items()},
            "models": {node: {"endpoint": name, **more} for node, (name, more) in self.nodes.items()},
        }


class NodeModels:
    """A model for `performers.live.Live` that asks for each node what `Models` says. Safe to call from several threads."""

    def __init__(self, models: Models, nodes: Iterable[str] = (), *, clock: Clock | None = None) -> None:
        """Raise `UsageError` where the key for one of *nodes* is missing; those that have no model may never ask one."""
        self.on_delta: Callable[[Call, str | None], None] | None = None
        """Told of each piece of a shown reply as it comes; None takes the pieces back."""
        self._models = models
        self._clock = clock
        self._lock = Lock()
        self._made: dict[str, HttpModel] = {}
        for node in nodes:
            if models.names(node):
                models.endpoint(node)

    def __call__(self, call: Call) -> ModelReply | Outcome:
        """Ask the model of the call's node. Raises `UsageError` for a node that has none."""
        node = call.key.node
        model = self._model(node)
        if not (model.endpoint.model or call.effect.name):
            where = f"neither the graph nor {self._models.source} names a model for node {node!r}"
            raise UsageError(f"{where}: set model in [models.{DEFAULT}], or OPENAI_MODEL", node=node)
        return model(call)

    def _model(self, node: str) -> HttpModel:
        with self._lock:
            if node not in self._made:
                if not self._models.names(node):
                    what = f"{self._models.source} says no endpoint for node {node!r}"
                    raise UsageError(f"{what}: add [models.{node}] or [models.{DEFAULT}]", node=node)
                self._made[node] = HttpModel(self._models.endpoint(node), on_delta=self._told, clock=self._clock)
            return self._made[node]

    def _told(self, call: Call, text: str | None) -> None:
        if self.on_delta is not None:
            self.on_delta(call, text)

    def drop(self, keys: Iterable[EffectKey]) -> None:
        """End the calls of *keys* that are under way."""
        listed = tuple(keys)
        for model in self._all():
            model.drop(listed)

    def close(self) -> None:
        """End every call that is under way."""
        for model in self._all():
            model.close()

    def _all(self) -> tuple[HttpModel, ...]:
        with self._lock:
            return tuple(self._made.values())


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
    reader = _Reader(environment)
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
                endpoint = Endpoint(base_url=base or usual, key=key)
            except UsageError as error:
                variable = variables[0 if error.fields.get("member") == ["base_url"] else 1]
                raise UsageError(f"{variable}: {error.message}", hint=error.hint, variable=variable) from None
            named = Named(endpoint=endpoint, key_env=variables[1] if key else "")
            said = [variable for variable, value in zip(variables, (base, key, model), strict=True) if value]
            more: FrozenMap = freeze({"model": model} if model else {})
            return Models(source=", ".join(said), endpoints={name: named}, nodes={DEFAULT: (name, more)})
    return None


class _Reader:
    """Reads the document part by part; what is wrong is noted with its place."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = environment
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
        params = dict(self._members(place, members, "params"))
        for owner, held in (("headers", headers), ("params", params)):
            for name in held:
                if name.lower() in _HOLDERS:
                    self.problems.append(((*place, owner, name), "holds a key: name its variable with key_env or headers_env"))
        for name, named in self._members(place, members, "headers_env"):
            variable = self._variable((*place, "headers_env", name), named)
            value = self.environment.get(variable, "")
            if value:
                headers[name] = value
            elif variable:
                self.problems.append(((*place, "headers_env", name), f"the variable {variable} is not set"))
        timeouts = self._figures((*place, "timeouts"), members.get("timeouts", {}), Timeouts)
        retry = self._figures((*place, "retry"), members.get("retry", {}), Retry)
        flags = {name: self._flag((*place, name), members.get(name, True)) for name in ("stream", "stream_usage")}
        try:
            endpoint = Endpoint(
                base_url=self._text((*place, "base_url"), members.get("base_url", "")),
                key=self.environment.get(key_env, ""),
                headers=headers,
                params=freeze(params),
                timeouts=timeouts,
                retry=retry,
                stream=flags["stream"],
                stream_usage=flags["stream_usage"],
            )
        except FrameEngineError as error:
            self.problems.append(((*place, *error.fields.get("member", ["params"])), f"{error.message}: {error.hint}"))
            return None
        return Named(endpoint=endpoint, key_env=key_env, key_set=not key_env or bool(self.environment.get(key_env)))

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
            more["params"] = dict(self._members(place, members, "params"))
        try:
            frozen_more: FrozenMap = freeze(more)
        except FrameEngineError as error:
            self.problems.append(((*place, "params"), f"{error.message}: {error.hint}"))
            frozen_more = EMPTY
        return str(name), frozen_more

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
            elif wanted in (int, float) and figure and value > 0 and (wanted is float or isinstance(value, int)):
                taken[name] = wanted(value)
            elif wanted is not None:
                self.problems.append(((*place, name), "must be true or false" if wanted is bool else "must be a number above 0"))
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
