"""``frameengine run``."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from frameengine_cli.commands import options

if TYPE_CHECKING:
    from frameengine.performers.model_http.config import Models
    from frameengine.tools.sql import Database
    from frameengine_cli.staging import Staged


def run(
    scenario: Annotated[
        Path | None,
        typer.Argument(metavar="SCENARIO.toml", help="A scenario: graph, inputs and the replies to give.", show_default=False),
    ] = None,
    *,
    graph: Annotated[
        str | None,
        typer.Option("--graph", metavar="NAME|PATH", help="Instead of a scenario: the graph to run.", show_default=False),
    ] = None,
    message: Annotated[
        list[str] | None,
        typer.Option(
            "-m", "--message", metavar="TEXT", help="What the user says; again for the next message.", show_default=False
        ),
    ] = None,
    reply: Annotated[
        list[str] | None,
        typer.Option(
            "--reply", metavar="TEXT", help="What the model answers, in the order in which it is asked.", show_default=False
        ),
    ] = None,
    database: Annotated[
        list[str] | None,
        typer.Option("--database", metavar="NAME=FILE|URL", help="Where a database of the scenario is.", show_default=False),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FILE", help="The trace; a free name in the traces folder without it.", show_default=False
        ),
    ] = None,
    live: options.Live = False,
    models: options.ModelsFile = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Seed of the nodes' chance.", show_default=False)] = None,
    force: options.Force = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no timeline.")] = False,
    as_json: options.Json = False,
    traces: options.Traces = None,
) -> None:
    """Run a graph and record a trace, with written replies, or with --live by asking the models that are configured.

    Examples: frameengine run fixtures/scenarios/reflex.toml -o reflex.trace.jsonl;
    frameengine run --graph tool-loop -m 'hello' --reply 'hi'; frameengine run --graph v4-eras -m 'hello' --live
    """
    from frameengine.errors import UsageError
    from frameengine_cli.refs import free_name, traces_folder
    from frameengine_cli.staging import from_options, from_scenario

    asked = options.live_models(live=live, models=models, scripted="--reply" if reply else "")
    if (scenario is None) == (graph is None):
        raise UsageError(
            "a scenario or a graph is needed, and not both", hint="frameengine run SCENARIO.toml, or run --graph NAME -m TEXT"
        )
    if scenario is not None:
        if message or reply:
            raise UsageError("a scenario has its own messages and replies", hint="leave out -m and --reply, or use --graph")
        staged = from_scenario(scenario, options.databases(database or []), seed)
    else:
        if not message:
            raise UsageError("a run needs something to be said", hint="add -m TEXT")
        staged = from_options(str(graph), message, reply or [], seed)
    if asked is not None:
        staged = _live(staged, asked, scenario, options.databases(database or []))
    target = output or free_name(traces_folder(traces), staged.name)
    again = "run again" if output is None else "run again with --force"
    statuses = _record(staged, target, again, force=force)
    _tell(staged, target, statuses, as_json=as_json, quiet=quiet)
    if any(status in ("failed", "open") for status in statuses):
        raise typer.Exit(1)


def _live(staged: Staged, models: Models, scenario: Path | None, databases: dict[str, Database]) -> Staged:
    """Let live models answer what is staged; of a scenario, its replies and results of tools are left aside."""
    from frameengine.performers.clock import system_clock
    from frameengine_cli.staging import from_models

    if scenario is not None:
        from frameengine.scenario import load_scenario

        databases = {**load_scenario(scenario).with_databases(databases).databases}
    return from_models(staged, models, databases, system_clock())


def _record(staged: Staged, target: Path, again: str, *, force: bool) -> list[str]:
    """Run all inputs and seal the trace; return how each message ended. A run that fails keeps its file, and says *again*."""
    from frameengine.engine.driver import Run
    from frameengine.engine.message import Engine
    from frameengine.errors import FrameEngineError
    from frameengine.graph.loader import load_graph
    from frameengine.graph.registry import bind
    from frameengine.trace.header import header
    from frameengine.trace.writer import TraceWriter
    from frameengine_cli import output
    from frameengine_cli.chatting.people import People
    from frameengine_cli.failures import Interrupted
    from frameengine_cli.phrases import count
    from frameengine_cli.progress import patience
    from frameengine_cli.refs import typed

    statuses: list[str] = []
    clock = "virtual" if staged.clock is None else "recorded"
    members = header(staged.bound, seed=staged.seed, clock=clock, provenance=staged.provenance)
    with (
        TraceWriter(target, members, replace=force) as writer,
        patience("running", len(staged.inputs)) as done,
        ExitStack() as stack,
    ):
        stack.callback(staged.close)
        # Somebody who waits for a real model reads along.
        watchers = [People()] if staged.clock is not None and output.is_terminal() else []
        engine = Engine(staged.bound, seed=staged.seed, instruments=watchers, switch=lambda name: bind(load_graph(name)))
        driver = Run(engine, staged.performer, writer, clock=staged.clock, redactor=staged.redactor)
        try:
            for body in staged.inputs:
                statuses.append(driver.send(body).status)
                done(len(statuses))
            staged.check_used()
            writer.seal()
        except KeyboardInterrupt:
            raise Interrupted(
                f"interrupted in input {driver.inputs}: {target} has {count(writer.frames, 'frame')}, and no seal",
                hint=f"frameengine show {typed(target)} --damaged, or {again}",
                path=str(target),
            ) from None
        except FrameEngineError as error:
            error.hint = f"{error.hint}; {target} is kept without a seal: {again}"
            raise
    return statuses


def _tell(staged: Staged, target: Path, statuses: list[str], *, as_json: bool, quiet: bool) -> None:
    from frameengine.codec import tagged
    from frameengine.trace.verify import verify
    from frameengine_cli import output
    from frameengine_cli.refs import short_id
    from frameengine_cli.screens.run import counted, counts_json

    receipt = verify(target)
    if as_json:
        members: dict[str, Any] = {
            "path": str(target),
            "id": short_id(receipt.head),
            "model": staged.model,
            "counts": counts_json(receipt.counts),
            "canonical": tagged(receipt.canonical),
            "statuses": statuses,
        }
        output.document(members, ok=all(status not in ("failed", "open") for status in statuses))
        return
    if not quiet:
        _timelines(target)
    called = "; no model was called" if staged.clock is None else ""
    output.remark(f"recorded {target}  {short_id(receipt.head)}  {counted(receipt.counts)}; model: {staged.model}{called}")


def _timelines(target: Path) -> None:
    from frameengine.trace.messages import messages
    from frameengine.trace.reader import TraceReader
    from frameengine_cli import output
    from frameengine_cli.screens.timeline import timeline

    with TraceReader(target) as reader:
        for message in messages(reader):
            output.show(timeline(message, output.look()))
