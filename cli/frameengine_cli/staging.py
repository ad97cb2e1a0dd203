"""What ``run`` runs: a graph, what is said, and who answers."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen

from frameengine.effects import Answer, Call, ModelCall, ModelReply, Outcome, text_of
from frameengine.engine.driver import Clock, virtual_at
from frameengine.engine.stops import Ask
from frameengine.errors import CassetteMiss, CassetteUnused
from frameengine.graph.loader import load_graph
from frameengine.graph.model import Graph
from frameengine.graph.registry import BoundGraph, bind
from frameengine.inputs import Body, UserMessage
from frameengine.jsonvalue import Json, freeze
from frameengine.performers.live import Live, Model
from frameengine.scenario import check_database
from frameengine.tools.registry import ToolRegistry
from frameengine.tools.sql import Database, register_sql

if TYPE_CHECKING:
    from frameengine.performers.model_http.models import Models
    from frameengine.trace.redact import Redactor

THREADS = 4
"""Effects of a live run that may be under way at once."""


@frozen(kw_only=True)
class Staged:
    """Everything a run needs."""

    name: str
    """What the trace is called."""
    bound: BoundGraph
    """The graph."""
    inputs: Sequence[Body]
    """What comes in."""
    performer: Any
    """Who answers."""
    model: str
    """What the model is, for people: scripted, or an echo."""
    provenance: Mapping[str, Json]
    """What the header says of where things come from."""
    seed: int = 0
    """Seed of the nodes' chance."""
    check_used: Callable[[], None] = lambda: None
    """Raises `CassetteUnused` where replies are left over."""
    clock: Clock | None = None
    """Where times come from; None for virtual time."""
    redactor: Redactor | None = None
    """Keeps secrets out of the trace; None where none can come in."""
    close: Callable[[], None] = lambda: None
    """Lets go of what the performer holds."""


def from_options(graph: str, said: Sequence[str], replies: Sequence[str], seed: int | None) -> Staged:
    """Stage messages from the command line, answered by *replies* in order, or by an echo where there are none."""
    bound = bind(load_graph(graph))
    performer: InOrder | Echo = InOrder(replies) if replies else Echo()
    kind = "scripted" if replies else "echo"
    return Staged(
        name=bound.graph.name,
        bound=bound,
        inputs=[UserMessage.of(text) for text in said],
        performer=performer,
        model="scripted by --reply" if replies else "an echo",
        provenance={"inputs": "command line", "model": kind, "tools": "none"},
        seed=seed or 0,
        check_used=performer.check_used,
    )


def from_scenario(path: Path, databases: Mapping[str, Database], seed: int | None) -> Staged:
    """Stage a scenario file; *databases* says where its databases are, if not where it says itself."""
    from frameengine.scenario import load_scenario

    scenario = load_scenario(path).with_databases(databases)
    scenario = scenario.with_databases(with_passwords(scenario.databases))
    performer = scenario.performer()
    tools = live_tools(scenario.databases) or ("scripted" if scenario.tools is not None else "none")
    guarded = {"query_db": performer.query_layers} if performer.query_layers else {}
    return Staged(
        name=path.stem,
        bound=bind(load_graph(scenario.graph)),
        inputs=scenario.inputs,
        performer=performer,
        model=f"scripted; tools: {tools}",
        provenance={
            **scenario.provenance,
            "inputs": "scripted",
            "model": "scripted",
            "tools": tools,
            **guarded,
            "scenario": path.name,
        },
        seed=scenario.seed if seed is None else seed,
        check_used=performer.check_used,
    )


def from_models(staged: Staged, models: Models, databases: Mapping[str, Database], clock: Clock) -> Staged:
    """Let live models answer what is staged, and live tools query its databases. Raises `UsageError`."""
    from frameengine_cli.endpoints import redactor_of

    places = with_passwords(databases) | {name: place for name, place in databases.items() if isinstance(place, Path)}
    for name, place in places.items():
        check_database(name, place, f"database {name}")
    registry = ToolRegistry()
    if places:
        register_sql(registry, places)
    model, told, facts = asked(models, staged.bound.graph, clock)
    tools = live_tools(places) or "none"
    live = Live(model, registry, clock=clock, threads=THREADS)
    return evolve(
        staged,
        performer=live,
        close=live.close,
        model=told,
        provenance={**staged.provenance, **facts, "tools": tools},
        check_used=lambda: None,
        clock=clock,
        redactor=redactor_of(models),
    )


def by_models(staged: Staged, models: Models, scenario: Path | None, databases: Mapping[str, Database]) -> Staged:
    """Let live models answer what is staged; of a scenario, its replies and results of tools are left aside."""
    from frameengine.performers.clock import system_clock
    from frameengine.scenario import load_scenario

    if scenario is not None:
        databases = load_scenario(scenario).with_databases(databases).databases
    return from_models(staged, models, databases, system_clock())


def asked(models: Models, graph: Graph, clock: Clock) -> tuple[Model, str, dict[str, str]]:
    """Return who asks the models, what they are called for people, and what the trace's header says of them."""
    from frameengine.performers.model_http.models import NodeModels

    model = NodeModels(models, [node.name for node in graph.nodes], clock=clock)
    return model, f"live, by {models.source}", {"model": "live", "endpoints": ", ".join(models.endpoints)}


def with_passwords(databases: Mapping[str, Database]) -> dict[str, Database]:
    """Return the databases of servers with their passwords, which stand in the environment and nowhere else."""
    from frameengine.tools.sql import MariaDb

    return {
        name: evolve(database, password=os.environ.get(f"FRAMEENGINE_PASSWORD_{name.upper()}", ""))
        for name, database in databases.items()
        if isinstance(database, MariaDb)
    }


def live_tools(databases: Mapping[str, Database]) -> str:
    """Return which databases live tools query, by kind and name; never where they are."""
    kinds: dict[str, list[str]] = {}
    for name, database in databases.items():
        kinds.setdefault("SQLite" if isinstance(database, Path) else "MariaDB", []).append(name)
    return f"live ({'; '.join([f'{kind}: ' + ', '.join(names) for kind, names in kinds.items()])})" if kinds else ""


class InOrder:
    """A performer that gives its replies in the order in which models are asked, whichever node asks. Tools have none."""

    def __init__(self, replies: Sequence[str]) -> None:
        self._replies = tuple(replies)
        self._used = 0

    def perform(self, ask: Ask) -> list[Answer]:
        """Answer all new effects at once. Raises `CassetteMiss` where the replies are used up."""
        return [Answer(call.key, self._next(call)) for call in ask.new]

    def _next(self, call: Call) -> Outcome:
        if not isinstance(call.effect, ModelCall):
            raise _no_tools(call)
        if self._used >= len(self._replies):
            raise CassetteMiss(
                f"{call.key} asks for reply {self._used + 1}, and {len(self._replies)} were given",
                hint="add --reply TEXT",
                key=call.key.wire(),
            )
        self._used += 1
        return _said(call, self._replies[self._used - 1])

    def check_used(self) -> None:
        """Raise `CassetteUnused` where a reply is left over."""
        left = len(self._replies) - self._used
        if left:
            raise CassetteUnused(f"{left} of {len(self._replies)} replies were not asked for", hint="leave them out", unused=left)


class Echo:
    """A performer whose model says what it was told: enough to see a graph move."""

    def perform(self, ask: Ask) -> list[Answer]:
        """Answer all new effects at once."""
        return [Answer(call.key, self._echo(call)) for call in ask.new]

    def _echo(self, call: Call) -> Outcome:
        if not isinstance(call.effect, ModelCall):
            raise _no_tools(call)
        said = [text_of(message) for message in call.effect.messages if message.get("role") == "user"]
        return _said(call, f"You said: {said[-1]}" if said else "You said nothing.")

    def check_used(self) -> None:
        """Do nothing: an echo has nothing left over."""


def _said(call: Call, text: str) -> Outcome:
    return Outcome(
        value=ModelReply(message=freeze({"role": "assistant", "content": text}), model=call.effect.name), at=virtual_at(call.key)
    )


def _no_tools(call: Call) -> CassetteMiss:
    return CassetteMiss(
        f"{call.key} runs the tool {call.effect.name!r}, and there are no results for tools here",
        hint="write a scenario",
        key=call.key.wire(),
    )
