"""Who answers in a conversation: the one place where its model and its tools are chosen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, NoReturn

from attrs import frozen

from frameengine.effects import Call, Outcome
from frameengine.engine.driver import Clock
from frameengine.errors import ToolFailed, UsageError
from frameengine.graph.model import Graph
from frameengine.jsonvalue import Json
from frameengine.performers.live import Live, Model
from frameengine.performers.scripted import Script
from frameengine.performers.standin import StandIn
from frameengine.performers.wishes import NAME, TRY
from frameengine.scenario import check_database, load_scenario
from frameengine.tools.process import NAME as PYTHON
from frameengine.tools.process import Processes, register_python
from frameengine.tools.registry import ToolRegistry
from frameengine.tools.sql import NAME as QUERY
from frameengine.tools.sql import SCHEMA, Database, register_sql
from frameengine.trace.redact import Redactor
from frameengine_cli.endpoints import redactor_of
from frameengine_cli.staging import THREADS, asked, live_tools, with_passwords

if TYPE_CHECKING:
    from frameengine.performers.model_http.models import Models

BUILD = "python fixtures/billing.py billing.sqlite"
NO_DATABASE = f"no database was given to this chat; build one ({BUILD}) and start with --database billing=billing.sqlite"


@frozen(kw_only=True)
class Answering:
    """Who answers."""

    performer: Live
    """Asks the model and runs tools."""
    told: str
    """What the model is, for people."""
    data: str
    """What tools may look at, for people; empty where that is nothing."""
    tries: tuple[str, ...]
    """What can be said to it, for somebody new."""
    provenance: Mapping[str, Json]
    """What the trace's header says of it."""
    left: Callable[[], int]
    """How many written replies nobody has asked for."""
    redactor: Redactor | None = None
    """Keeps the keys of live models, and what looks like one, out of the trace; None where no model is asked."""


def answering(
    graph: Graph,
    *,
    replies: Path | None,
    databases: Mapping[str, Database],
    unsafe_local: bool,
    clock: Clock,
    models: Models | None = None,
) -> Answering:
    """Choose model and tools: *models* to ask, written *replies*, or a stand-in that goes by rules. Tools are live.

    Raises `UsageError`.
    """
    model: Model = StandIn()
    told, facts, script = f"{NAME}: no model is asked", {"model": NAME}, Script({})
    if models is not None:
        model, told, facts = asked(models, graph, clock)
    elif replies is not None:
        scenario = load_scenario(replies, replies=True)
        if scenario.tools is not None:
            hint = "leave out [tools.scripted], or play it with frameengine run"
            raise UsageError(f"{replies} has results of tools, and the tools of a chat are live", hint=hint, path=str(replies))
        script = Script(scenario.model)
        model = _InTurn(script)
        told, facts = f"replies of {replies.name}: no model is asked", {"model": "scripted", "replies": replies.name}
        databases = {**scenario.databases, **databases}
    databases = {**databases, **with_passwords(databases)}
    for name, database in databases.items():
        check_database(name, database, f"--database {name}")
    registry, processes = ToolRegistry(), Processes(unsafe_local=unsafe_local, monotonic=clock.monotonic)
    guarded: dict[str, str] = {}
    if databases:
        guarded = {QUERY: register_sql(registry, databases).layers}
    else:
        registry.register(QUERY, _no_database, SCHEMA)
    register_python(registry, processes)
    # To find out what shuts programs in takes a while, and matters to graphs that run some.
    stamp = processes.stamp() if unsafe_local or _runs_python(graph) else {}
    data = live_tools(databases)
    return Answering(
        performer=Live(model, registry, clock=clock, threads=THREADS),
        told=told,
        data=", ".join(databases),
        tries=TRY if replies is None and models is None else (),
        provenance={"inputs": "chat", **facts, "tools": data or "live (no database)", **guarded, **stamp},
        left=lambda: sum(script.unused().values()),
        redactor=None if models is None else redactor_of(models),
    )


class _InTurn:
    """A script that several threads may ask."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._lock = Lock()

    def __call__(self, call: Call) -> Outcome:
        with self._lock:
            return self._script(call)


def _no_database(query: str, database: str) -> NoReturn:
    raise ToolFailed(NO_DATABASE, hint=BUILD, database=database, query=query)


def _runs_python(graph: Graph) -> bool:
    return any(PYTHON in node.config.get("tools", ()) for node in graph.nodes)
