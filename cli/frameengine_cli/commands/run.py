"""``frameengine run``."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from attrs import frozen

from frameengine_cli.commands import options

if TYPE_CHECKING:
    from frameengine.engine.driver import Run
    from frameengine_cli.chatting.people import People
    from frameengine_cli.spending import Spending
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
    output: options.NewTrace = None,
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
    from frameengine_cli.staging import by_models, from_options, from_scenario

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
        staged = by_models(staged, asked, scenario, options.databases(database or []))
    target = output or free_name(traces_folder(traces), staged.name)
    again = "run again" if output is None else "run again with --force"
    done = _record(staged, target, again, force=force, people=not (as_json or quiet))
    _tell(staged, target, done, as_json=as_json, quiet=quiet)
    if done.code:
        raise typer.Exit(done.code)


@frozen(kw_only=True)
class Done:
    """What became of a run."""

    statuses: list[str]
    """How each message ended; those that Ctrl-C left out are missing."""
    spent: Spending
    """What models were asked for."""
    interrupted: bool
    """Whether Ctrl-C ended it."""

    @property
    def code(self) -> int:
        """The exit code. A model call that failed counts, also where a node made something of it."""
        from frameengine_cli.failures import EXIT_INTERRUPTED

        if self.interrupted:
            return EXIT_INTERRUPTED
        return int(bool(self.spent.failures) or any(status in ("failed", "open") for status in self.statuses))


def _record(staged: Staged, target: Path, again: str, *, force: bool, people: bool) -> Done:
    """Run all inputs and seal the trace. A run that breaks off keeps its file, and says *again*.

    Of a live run, texts are shown to *people* at a terminal as they come, and Ctrl-C cancels the message.
    """
    from frameengine.engine.driver import Run
    from frameengine.engine.message import Engine
    from frameengine.errors import FrameEngineError
    from frameengine.graph.loader import load_graph
    from frameengine.graph.registry import bind
    from frameengine.trace.header import header
    from frameengine.trace.writer import TraceWriter
    from frameengine_cli import output
    from frameengine_cli.failures import Interrupted
    from frameengine_cli.phrases import count
    from frameengine_cli.progress import patience
    from frameengine_cli.refs import typed
    from frameengine_cli.spending import Spending

    statuses: list[str] = []
    live, spent, presses = staged.clock is not None, Spending(), 0
    reader = _reader() if live and people and output.is_terminal() else None
    clock = "virtual" if staged.clock is None else "recorded"
    members = header(staged.bound, seed=staged.seed, clock=clock, provenance=staged.provenance)
    with (
        TraceWriter(target, members, replace=force) as writer,
        patience("running", len(staged.inputs)) if reader is None else nullcontext(lambda _done: None) as done,
        ExitStack() as stack,
    ):
        stack.callback(staged.close)
        watchers = [*([spent] if live else []), *([] if reader is None else [reader])]
        engine = Engine(staged.bound, seed=staged.seed, instruments=watchers, switch=lambda name: bind(load_graph(name)))
        driver = Run(engine, staged.performer, writer, clock=staged.clock, redactor=staged.redactor)
        try:
            for body in staged.inputs:
                with _cancelling(driver, staged.performer) if live else nullcontext(lambda: 0) as pressed:
                    statuses.append(driver.send(body).status)
                    presses = pressed()
                if reader is not None:
                    reader.rest(cancelled=statuses[-1] == "cancelled")
                done(len(statuses))
                if presses:
                    break
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
    return Done(statuses=statuses, spent=spent, interrupted=bool(presses))


def _reader() -> People:
    """Return what shows texts as they come to somebody who waits for a real model."""
    from frameengine_cli.chatting.people import People

    return People()


def _cancelling(driver: Run, performer: Any) -> AbstractContextManager[Callable[[], int]]:
    """Let Ctrl-C cancel the message under way: a second one does no more, and a third one breaks the run off."""
    from frameengine.inputs import Cancel
    from frameengine_cli.chatting.reading import cancelling

    driver.inbox.wake = performer.wake
    return cancelling(lambda: driver.inbox.put(Cancel()))


def _tell(staged: Staged, target: Path, done: Done, *, as_json: bool, quiet: bool) -> None:
    from frameengine.codec import tagged
    from frameengine.trace.verify import verify
    from frameengine_cli import output
    from frameengine_cli.failures import error_members, report
    from frameengine_cli.refs import short_id, typed
    from frameengine_cli.screens.run import counted, counts_json

    receipt = verify(target)
    live = staged.clock is not None
    problem = done.spent.problem(f"frameengine show {typed(target)} shows the run") if live else None
    if as_json:
        members: dict[str, Any] = {
            "path": str(target),
            "id": short_id(receipt.head),
            "model": staged.model,
            "counts": counts_json(receipt.counts),
            "canonical": tagged(receipt.canonical),
            "statuses": done.statuses,
            **({"spent": done.spent.to_json()} if live else {}),
            **({} if problem is None else {"error": error_members(problem)}),
        }
        output.document(members, ok=not done.code)
        return
    if not quiet:
        _timelines(target)
    called = f"; {done.spent.told()}" if live else "; no model was called"
    output.remark(f"recorded {target}  {short_id(receipt.head)}  {counted(receipt.counts)}; model: {staged.model}{called}")
    if problem is not None:
        report(problem, as_json=False)


def _timelines(target: Path) -> None:
    from frameengine.trace.messages import messages
    from frameengine.trace.reader import TraceReader
    from frameengine_cli import output
    from frameengine_cli.screens.timeline import timeline

    with TraceReader(target) as reader:
        for message in messages(reader):
            output.show(timeline(message, output.look()))
