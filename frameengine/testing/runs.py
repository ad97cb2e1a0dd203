"""Record a run inside a test: written replies in, a sealed trace out."""

from __future__ import annotations

from collections.abc import Iterable
from os import fspath
from pathlib import Path
from typing import Any

from attrs import frozen

from frameengine.engine.driver import Run
from frameengine.engine.message import Engine
from frameengine.errors import UsageError
from frameengine.graph.loader import load_graph
from frameengine.graph.registry import BoundGraph, bind
from frameengine.inputs import Body, UserMessage
from frameengine.records import FrameTrace
from frameengine.scenario import Scenario
from frameengine.state import RunState
from frameengine.trace.header import header
from frameengine.trace.writer import TraceWriter


@frozen(kw_only=True)
class RecordedRun:
    """A run that a test recorded; it can be used wherever a path can."""

    path: Path
    """Its sealed trace."""
    traces: tuple[FrameTrace, ...]
    """The figures of each message."""

    def __fspath__(self) -> str:
        return fspath(self.path)


def record(
    path: Path,
    graph: str | Path | BoundGraph | Scenario,
    inputs: Iterable[str | Body] = (),
    performer: Any = None,
    *,
    seed: int = 0,
    state: RunState | None = None,
) -> RecordedRun:
    """Run *graph* on *inputs* and seal the trace at *path*; a `Scenario` brings its graph, seed, inputs and replies along.

    A text is what the user says. Raises `UsageError` where nothing is said or nobody answers, `CassetteMiss` where a reply is
    missing, and `CassetteUnused` where one was left over.
    """
    if isinstance(graph, Scenario):
        performer = performer or graph.performer()
        inputs, seed, graph = (*graph.inputs, *inputs), graph.seed, graph.graph
    bodies = [UserMessage.of(body) if isinstance(body, str) else body for body in inputs]
    if not bodies or performer is None:
        raise UsageError("a run needs inputs, and a performer that answers", hint="name both, or give a scenario")
    bound = graph if isinstance(graph, BoundGraph) else bind(load_graph(graph))
    with TraceWriter(path, header(bound, seed=seed, state=state, provenance={"inputs": "test", "model": "test"})) as writer:
        run = Run(Engine(bound, seed=seed, state=state, switch=lambda name: bind(load_graph(name))), performer, writer)
        traces = tuple([run.send(body) for body in bodies])
        check_used = getattr(performer, "check_used", None)
        if check_used is not None:
            check_used()
        writer.seal()
    return RecordedRun(path=path, traces=traces)
