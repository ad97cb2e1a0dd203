"""What ``test`` runs: a suite on a graph, and who answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

from frameengine.errors import UsageError
from frameengine.graph.loader import load_graph
from frameengine.graph.registry import BoundGraph, bind
from frameengine.suites.format import Suite
from frameengine.tools.sql import Database

GRAPH = "{graph}"
"""Stands in the name of a file of replies for the graph's name."""
TRACES = (".trace.jsonl", ".trace.jsonl.zst")
"""How a file that holds a trace is called; any other holds replies in TOML."""


@frozen(kw_only=True)
class Set:
    """A suite set up on one graph."""

    suite: Suite
    """The suite."""
    bound: BoundGraph
    """The graph."""
    performer: Any
    """Who answers."""
    check_used: Callable[[], None]
    """Raises `CassetteUnused` where replies are left over."""
    source: str
    """Where the replies come from, for people."""

    @property
    def name(self) -> str:
        """What the run is called."""
        return f"{self.suite.path.stem}.{self.bound.graph.name}"


def set_up(suite: Suite, graph: str | None, cassette: Path | None, databases: Mapping[str, Database]) -> Iterator[Set]:
    """Yield *suite* on *graph*, or on each that it names. Raises `UsageError` where graph or replies are missing."""
    names = (graph,) if graph else suite.needs("graph")
    if not names:
        raise UsageError(
            f"{suite.path} names no graph", hint="add - graph: NAME to its setup, or --graph NAME", path=str(suite.path)
        )
    for name in names:
        bound = bind(load_graph(name))
        source = cassette or _replies(suite, bound.graph.name)
        if source.name.endswith(TRACES):
            performer, check_used = _recorded(source, bound)
        else:
            performer, check_used = _written(source, suite, databases)
        yield Set(suite=suite, bound=bound, performer=performer, check_used=check_used, source=str(source))


def _replies(suite: Suite, graph: str) -> Path:
    needed = suite.needs("replies")
    if len(needed) != 1:
        hint = f"add - replies: FILE.toml to its setup ({GRAPH} stands for the graph), or --cassette FILE"
        raise UsageError(f"{suite.path} names no replies", hint=hint, path=str(suite.path))
    return suite.path.parent / needed[0].replace(GRAPH, graph)


def _written(source: Path, suite: Suite, databases: Mapping[str, Database]) -> tuple[Any, Callable[[], None]]:
    from attrs import evolve

    from frameengine.scenario import load_scenario

    scenario = load_scenario(source, replies=True)
    known = {**suite.databases, **scenario.databases}
    performer = evolve(scenario, databases=known).with_databases(databases).performer()
    return performer, performer.check_used


def _recorded(source: Path, bound: BoundGraph) -> tuple[Any, Callable[[], None]]:
    from frameengine.cassette.cassette import Cassette
    from frameengine.cassette.match import Matcher
    from frameengine.performers.replaying import Replaying

    slots = {spec.name: (spec.slot, getattr(bound.implementations[spec.name], "contract", "")) for spec in bound.graph.nodes}
    cassette = Cassette.of(source)
    return Replaying(Matcher(cassette, "exact", slots)), cassette.check_used
