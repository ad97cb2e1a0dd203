"""Which model answers which node, and the model that asks them all accordingly."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from threading import Lock
from typing import Any, Final

import attrs
from attrs import evolve, frozen

from frameengine.effects import Call, EffectKey, ModelReply, Outcome
from frameengine.engine.driver import Clock
from frameengine.errors import UsageError
from frameengine.jsonvalue import EMPTY, FrozenMap
from frameengine.performers.model_http.endpoint import Endpoint
from frameengine.performers.model_http.transport import HttpModel

DEFAULT: Final = "default"
"""The model of every node that the configuration does not name."""


@frozen(kw_only=True)
class Named:
    """An endpoint, and where its key comes from."""

    endpoint: Endpoint
    """The endpoint, with its key where that is set."""
    key_env: str = ""
    """Variable that holds the key; empty where none is needed."""
    key_set: bool = True
    """Whether that variable is set."""
    sends: tuple[str, ...] = ()
    """Variables whose values are sent to it: that of the key, and those of headers."""

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
            "proxy": endpoint.public_proxy or None,
            "ca_file": endpoint.ca_file or None,
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
