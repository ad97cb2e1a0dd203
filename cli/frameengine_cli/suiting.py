"""What ``test`` runs: a suite on a graph, and who answers; and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import frozen

from frameengine.errors import FrameEngineError, UsageError
from frameengine.graph.loader import load_graph
from frameengine.graph.registry import BoundGraph, bind
from frameengine.suites.evidence import Check
from frameengine.suites.format import Line, Step, Suite
from frameengine.suites.runner import Result, check_graph
from frameengine.tools.sql import Database

TRACES = (".trace.jsonl", ".trace.jsonl.zst")
"""How a file that holds a trace is called; any other holds replies in TOML."""


@frozen(kw_only=True)
class Staged:
    """A suite set up on one graph."""

    suite: Suite
    """The suite."""
    bound: BoundGraph
    """The graph."""
    performer: Any
    """Who answers."""
    check_used: Callable[[], None]
    """Raises `CassetteUnused` where replies are left over."""
    source: Path
    """Where the replies come from."""
    databases: Collection[str] = ()
    """Names of the databases that its queries run on."""

    @property
    def name(self) -> str:
        """What the run is called."""
        return f"{self.suite.path.stem}.{self.bound.graph.name}"


@frozen(kw_only=True)
class Ran:
    """What came of a suite on one graph."""

    staged: Staged
    """The suite and the graph."""
    results: Sequence[Result]
    """What was looked at, in order."""
    seconds: Sequence[float]
    """How long each of them took."""
    error: FrameEngineError | None = None
    """What stopped the run, or was left over at its end."""

    @property
    def failed(self) -> int:
        """Number of results that do not hold."""
        return sum(not result.passed for result in self.results)

    @property
    def passed(self) -> int:
        """Number of results that hold."""
        return len(self.results) - self.failed

    @property
    def missed(self) -> Sequence[tuple[Step, Line]]:
        """The expectations that nobody came to look at, each with its step."""
        seen = [result.line for result in self.results]
        return [
            (step, line)
            for step in self.staged.suite.steps
            for line, item in step.todo
            if isinstance(item, Check) and line.number not in seen
        ]

    @property
    def total(self) -> int:
        """Number of results and of expectations that were not looked at."""
        return len(self.results) + len(self.missed)

    @property
    def exit_code(self) -> int:
        """0 where all is well, 1 where something does not hold, or the error's own."""
        return max(int(self.failed > 0), 0 if self.error is None else self.error.exit_code)


def set_up(suite: Suite, graph: str | None, cassette: Path | None, databases: Mapping[str, Database]) -> Iterator[Staged]:
    """Yield *suite* on *graph*, or on each that it names. Raises `UsageError` where graph or replies are missing."""
    names = (graph,) if graph else suite.needs("graph")
    if not names:
        hint = "add - graph: NAME to its setup, or --graph NAME"
        raise UsageError(f"{suite.path} names no graph", hint=hint, path=str(suite.path))
    for name in names:
        bound = bind(load_graph(name))
        check_graph(suite, bound.graph)
        source = cassette or suite.replies(bound.graph.name)
        if source is None:
            hint = "add - replies: FILE.toml to its setup, or --cassette FILE"
            raise UsageError(f"{suite.path} names no replies for {bound.graph.name}", hint=hint, path=str(suite.path))
        if source.name.endswith(TRACES):
            performer, check_used = _recorded(source, bound)
            yield Staged(suite=suite, bound=bound, performer=performer, check_used=check_used, source=source)
        else:
            yield _written(source, suite, bound, databases)


def check_databases(names: Iterable[str], staged: Sequence[Staged]) -> None:
    """Raise `UsageError` where a database is named that none of the runs uses."""
    for name in names:
        if not any(name in one.databases for one in staged):
            known = ", ".join(dict.fromkeys([used for one in staged for used in one.databases])) or "none"
            raise UsageError(f"no suite here uses a database {name!r}", hint=f"they use {known}", database=name)


def _written(source: Path, suite: Suite, bound: BoundGraph, databases: Mapping[str, Database]) -> Staged:
    from attrs import evolve

    from frameengine.scenario import load_scenario

    scenario = load_scenario(source, replies=True)
    known = {name: databases.get(name, place) for name, place in {**suite.databases, **scenario.databases}.items()}
    performer = evolve(scenario, databases=known).performer()
    return Staged(
        suite=suite, bound=bound, performer=performer, check_used=performer.check_used, source=source, databases=tuple(known)
    )


def _recorded(source: Path, bound: BoundGraph) -> tuple[Any, Callable[[], None]]:
    from frameengine.cassette.cassette import Cassette
    from frameengine.cassette.match import Matcher
    from frameengine.performers.replaying import Replaying

    slots = {spec.name: (spec.slot, getattr(bound.implementations[spec.name], "contract", "")) for spec in bound.graph.nodes}
    cassette = Cassette.of(source)
    return Replaying(Matcher(cassette, "exact", slots)), cassette.check_used
