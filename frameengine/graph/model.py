"""A graph as a value: nodes, edges, named conditions and path labels.

A graph has two written forms with the same members: TOML, which may leave out what has a default (`graph.loader`), and JSON,
which states everything and is what the digest is of. Neither form holds anything that can run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Literal, TypeAlias

from attrs import Factory, field, frozen

from frameengine import codec
from frameengine.errors import GraphError
from frameengine.expr import Expression, compile_expression
from frameengine.jsonvalue import EMPTY, FrozenMap, Json, freeze
from frameengine.records import Phase

EdgeKind: TypeAlias = Literal["data", "context", "state"]

CUSTOM_PATH = "custom"
"""Label of a path that none of the graph's own labels fits."""


@frozen(kw_only=True)
class NodeSpec:
    """One node of a graph: which implementation plays which role, with which settings."""

    name: str
    """Name in the graph."""
    implementation: str
    """Registered name, or ``module:Class``."""
    role: str = field(default=Factory(lambda node: node.name, takes_self=True))
    """What it does in the conversation; the name, unless stated."""
    slot: str = field(default=Factory(lambda node: node.role, takes_self=True))
    """Which recorded replies it may be given when the graph has changed; the role, unless stated."""
    model: str | None = None
    """Model that its calls ask for; None leaves it to the implementation."""
    budget: int | None = None
    """Tokens that its context may take; None leaves it to the implementation."""
    phase: Phase = "main"
    """Whether it runs before the answer or after it."""
    config: FrozenMap = field(default=EMPTY, converter=freeze)
    """Settings of the implementation."""
    prompts: tuple[str, ...] = ()
    """Names of the prompt files it uses."""

    def to_json(self) -> dict[str, Json]:
        """Return the node with every member stated."""
        return {
            "name": self.name,
            "implementation": self.implementation,
            "role": self.role,
            "slot": self.slot,
            "model": self.model,
            "budget": self.budget,
            "phase": self.phase,
            "config": self.config,
            "prompts": self.prompts,
        }


@frozen(kw_only=True)
class EdgeSpec:
    """A connection from one node to others."""

    source: str
    """Name of the node it leaves."""
    targets: tuple[str, ...]
    """Names of the nodes it reaches, all of them at once."""
    kind: EdgeKind = "data"
    """data starts its targets; context and state only say what is read."""
    carries: str = ""
    """Type of the message."""
    condition: str = ""
    """Expression over the message and the state that must hold; empty for always."""
    method: str = ""
    """How the targets receive it, for people."""

    def to_json(self) -> dict[str, Json]:
        """Return the edge with every member stated."""
        return {
            "from": self.source,
            "to": self.targets,
            "kind": self.kind,
            "carries": self.carries,
            "condition": self.condition,
            "method": self.method,
        }


@frozen
class PathLabel:
    """A name for the way a message took."""

    label: str
    """The name."""
    when: str
    """Expression over ``nodes`` (main-phase nodes that ran, in order) and ``frames`` (their number of frames)."""


@frozen(kw_only=True)
class Graph:
    """Nodes and edges, and everything else that decides where a message goes."""

    name: str
    """Name."""
    version: int
    """Counted by its author."""
    description: str = ""
    """One sentence for people."""
    entry: FrozenMap = field(converter=freeze)
    """Kind of input -> name of the node that receives it."""
    nodes: tuple[NodeSpec, ...]
    """In the order in which they start and commit."""
    edges: tuple[EdgeSpec, ...] = ()
    """In the order in which they are followed."""
    conditions: FrozenMap = field(default=EMPTY, converter=freeze)
    """Name -> expression that the name stands for in the edges' conditions."""
    paths: tuple[PathLabel, ...] = ()
    """The first that holds names the path."""
    state: FrozenMap = field(default=EMPTY, converter=freeze)
    """Sections of the state and what they hold before the first input."""

    @classmethod
    def from_json(cls, value: Mapping[str, Json]) -> Graph:
        """Return the graph that `to_json` wrote. Raises `GraphError`; whether it holds together is for `validate` to say."""
        try:
            return cls(
                name=value["name"],
                version=value["version"],
                description=value["description"],
                entry=value["entry"],
                nodes=tuple([NodeSpec(**node) for node in value["nodes"]]),
                edges=tuple([_edge(**edge) for edge in value["edges"]]),
                conditions=value["conditions"],
                paths=tuple([PathLabel(**path) for path in value["paths"]]),
                state=value["state"],
            )
        except (KeyError, TypeError) as error:
            raise GraphError(f"this is no graph in JSON form: {error}", hint="write it with Graph.to_json()") from error

    def to_json(self) -> FrozenMap:
        """Return the graph with every member stated."""
        return self._json

    def node(self, name: str) -> NodeSpec:
        """Return the node called *name*. Raises `GraphError`."""
        try:
            return self._by_name[name]
        except KeyError:
            known = ", ".join(self._by_name)
            raise GraphError(f"graph {self.name} has no node {name!r}", hint=f"its nodes are {known}", node=name) from None

    def out_edges(self, name: str) -> tuple[EdgeSpec, ...]:
        """Return the data edges that leave *name*, in file order."""
        return self._data_edges.get(name, ())

    def expression_of(self, edge: EdgeSpec) -> Expression | None:
        """Return an edge's condition with named conditions inlined, or None where it has none. Raises `ExpressionError`."""
        if not edge.condition:
            return None
        known = self._expressions.get(edge.condition)
        return known if known is not None else compile_expression(edge.condition, self.conditions)

    def path_of(self, nodes: Iterable[str], frames: int) -> str:
        """Return the label of a path: main-phase *nodes* that ran, in order, and their number of *frames*."""
        names = {"nodes": tuple(nodes), "frames": frames}
        for label, expression in self._labels:
            if expression.evaluate(names):
                return label
        return CUSTOM_PATH

    @property
    def digest(self) -> str:
        """Digest of the JSON form, in hex."""
        return codec.digest(self._json)

    @cached_property
    def _json(self) -> FrozenMap:
        value: FrozenMap = freeze(
            {
                "name": self.name,
                "version": self.version,
                "description": self.description,
                "entry": self.entry,
                "nodes": [node.to_json() for node in self.nodes],
                "edges": [edge.to_json() for edge in self.edges],
                "conditions": self.conditions,
                "paths": [{"label": path.label, "when": path.when} for path in self.paths],
                "state": self.state,
            }
        )
        return value

    @cached_property
    def _by_name(self) -> Mapping[str, NodeSpec]:
        return {node.name: node for node in self.nodes}

    @cached_property
    def _data_edges(self) -> Mapping[str, tuple[EdgeSpec, ...]]:
        leaving: dict[str, list[EdgeSpec]] = {}
        for edge in self.edges:
            if edge.kind == "data":
                leaving.setdefault(edge.source, []).append(edge)
        return {name: tuple(edges) for name, edges in leaving.items()}

    @cached_property
    def _expressions(self) -> Mapping[str, Expression]:
        texts = [edge.condition for edge in self.edges if edge.condition]
        return {text: compile_expression(text, self.conditions) for text in texts}

    @cached_property
    def _labels(self) -> tuple[tuple[str, Expression], ...]:
        return tuple([(path.label, compile_expression(path.when)) for path in self.paths])


def _edge(*, to: Iterable[str], **members: Json) -> EdgeSpec:
    # `from` cannot be the name of a parameter.
    return EdgeSpec(source=members.pop("from"), targets=tuple(to), **members)
