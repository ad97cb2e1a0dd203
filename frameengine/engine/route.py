"""Where a node's message goes: the data edges of the graph, their conditions evaluated over the message and the state."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from frameengine.expr import Expression
from frameengine.graph.model import Graph
from frameengine.jsonvalue import EMPTY, FrozenMap, freeze
from frameengine.records import Phase


@frozen(kw_only=True)
class Routing:
    """The targets of one message, and the conditions that decided."""

    targets: tuple[str, ...] = ()
    """Names of the nodes it goes to, in edge order."""
    conditions: FrozenMap = EMPTY
    """Text of each condition that was evaluated, to its value."""


@frozen
class _Route:
    carries: str
    condition: str
    expression: Expression | None
    targets: tuple[str, ...]


NOWHERE = Routing()


@frozen
class Router:
    """The data edges of a graph, ready to be asked."""

    phases: Mapping[str, Phase]
    """Phase of each node."""
    _routes: Mapping[str, tuple[_Route, ...]] = field(alias="routes")

    @classmethod
    def of(cls, graph: Graph) -> Router:
        """Compile the edges of *graph*."""
        routes = {
            spec.name: tuple(
                [
                    _Route(edge.carries, edge.condition, graph.expression_of(edge), edge.targets)
                    for edge in graph.out_edges(spec.name)
                ]
            )
            for spec in graph.nodes
        }
        return cls({spec.name: spec.phase for spec in graph.nodes}, routes)

    def route(self, node: str, output: FrozenMap, state: FrozenMap) -> Routing:
        """Return where *output* of *node* goes. Raises `ExpressionError` where a condition fails."""
        carries = output.get("type", "")
        targets: list[str] = []
        conditions: dict[str, bool] = {}
        names: dict[str, Any] | None = None
        for route in self._routes[node]:
            if route.carries not in ("", carries):
                continue
            if route.expression is not None:
                holds = conditions.get(route.condition)
                if holds is None:
                    if names is None:
                        names = {**output, "message": output, "state": state}
                    holds = conditions[route.condition] = bool(route.expression.evaluate(names))
                if not holds:
                    continue
            # Two edges to one node may both hold: it gets the message once.
            targets.extend([name for name in route.targets if name not in targets])
        if not targets and not conditions:
            return NOWHERE
        return Routing(targets=tuple(targets), conditions=freeze(conditions) if conditions else EMPTY)


class Pending:
    """Messages on their way, by node; main ones go before those of the epilogue, and what an epilogue starts belongs to it.

    A node gets one message in a frame. A second one waits for the next frame, behind those that wait already.
    """

    def __init__(self, phases: Mapping[str, Phase]) -> None:
        self._phases = phases
        self._ending = False
        self._waiting: dict[Phase, dict[str, deque[tuple[Any, FrozenMap]]]] = {"main": {}, "epilogue": {}}

    def __bool__(self) -> bool:
        return bool(self._waiting["main"] or self._waiting["epilogue"])

    def put(self, targets: tuple[str, ...], message: Any, form: FrozenMap) -> None:
        """Hand *message*, of which *form* is the JSON, to each of *targets*."""
        for name in targets:
            phase: Phase = "epilogue" if self._ending else self._phases[name]
            self._waiting[phase].setdefault(name, deque()).append((message, form))

    def take(self) -> tuple[Phase, dict[str, tuple[Any, FrozenMap]]]:
        """Return the next frame's phase and messages, one for each node, and forget them."""
        phase: Phase = "main" if self._waiting["main"] else "epilogue"
        self._ending = phase == "epilogue"
        ready = {name: messages.popleft() for name, messages in self._waiting[phase].items()}
        self._waiting[phase] = {name: messages for name, messages in self._waiting[phase].items() if messages}
        return phase, ready
