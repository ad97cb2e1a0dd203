"""How the debugger begins a run of its own: which graph, who answers, where the trace goes; and how it lets go of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

from frameengine.debug.debugger import Debugger
from frameengine.errors import UsageError
from frameengine.graph.loader import load_graph
from frameengine.graph.registry import BoundGraph, bind
from frameengine_cli.debugging.live import PAUSES, Answering, LiveRun
from frameengine_cli.debugging.session import Session
from frameengine_cli.refs import Source, free_name, typed

if TYPE_CHECKING:
    from frameengine.performers.model_http.config import Models
    from frameengine.tools.sql import Database
    from frameengine_cli.staging import Staged


@frozen(kw_only=True)
class Begin:
    """What is said of a run that the debugger is to begin."""

    graph: str | None = None
    """The graph; None where a scenario names it."""
    scenario: Path | None = None
    """Inputs, replies and tools written down."""
    reply: tuple[str, ...] = ()
    """What the model answers, in order."""
    replies: Path | None = None
    """What models answer, by node."""
    databases: dict[str, Database]
    """What tools may read."""
    models: Models | None = None
    """Live models to ask."""
    pauses: str = "off"
    """Where it is held besides its breakpoints."""
    stops: tuple[str, ...] = ()
    """Its first breakpoints, as they are typed."""
    folder: Path
    """Where a trace without a name goes."""
    output: Path | None = None
    """The trace."""
    force: bool = False
    """Whether a file that is there is written over."""

    def session(self) -> Session:
        """Begin the run. Raises `FrameEngineError`."""
        pauses = next((each for each in PAUSES if each == self.pauses), None)
        if pauses is None:
            raise UsageError(f"--pause {self.pauses}: there is no such pause", hint=f"it is one of {', '.join(PAUSES)}")
        bound, who = self._chosen()
        target = self.output or free_name(self.folder, f"live-{bound.graph.name}")
        live = LiveRun(bound, who, target, pauses=pauses, replace=self.force)
        try:
            for stop in self.stops:
                live.breakpoints.add(stop)
        except BaseException:
            live.leave()
            raise
        source = Source(path=target, name=target, typed=typed(target))
        debugger = Debugger(live.timeline, live.breakpoints)
        return Session(source=source, timeline=live.timeline, debugger=debugger, graph=self.graph, live=live)

    def _chosen(self) -> tuple[BoundGraph, Answering]:
        """Return the graph, and who answers: as `run` has it with a scenario or --reply, else as `chat` has it."""
        from frameengine_cli.staging import from_options, from_scenario

        if self.scenario is not None:
            staged = from_scenario(self.scenario, self.databases, None)
        elif self.reply:
            staged = from_options(str(self.graph), (), self.reply, None)
        else:
            return self._as_in_chat()
        if self.models is not None:
            staged = self._live(staged, self.models)
        return staged.bound, Answering(
            performer=staged.performer, told=staged.model, provenance={**staged.provenance, "driven": "debugger"},
            clock=staged.clock, redactor=staged.redactor, close=staged.close, inputs=tuple(staged.inputs), seed=staged.seed,
        )  # fmt: skip

    def _live(self, staged: Staged, models: Models) -> Staged:
        from frameengine.performers.clock import system_clock
        from frameengine.scenario import load_scenario
        from frameengine_cli.staging import from_models

        databases = self.databases
        if self.scenario is not None:
            databases = {**load_scenario(self.scenario).with_databases(databases).databases}
        return from_models(staged, models, databases, system_clock())

    def _as_in_chat(self) -> tuple[BoundGraph, Answering]:
        from frameengine.performers.clock import system_clock
        from frameengine_cli.chatting.answering import answering

        clock, bound = system_clock(), bind(load_graph(str(self.graph)))
        who = answering(
            bound.graph, replies=self.replies, databases=self.databases, unsafe_local=False, clock=clock, models=self.models
        )
        return bound, Answering(
            performer=who.performer, told=who.told, provenance={**who.provenance, "inputs": "debugger"}, clock=clock,
            redactor=who.redactor, close=who.performer.close,
        )  # fmt: skip


def opening(session: Session) -> str:
    """Return in two lines what a run that has begun is, for people."""
    live = session.live
    if live is None:
        return ""
    first = "say enters the next input of the scenario" if live.inputs else "say TEXT says something"
    return f"answers  {live.who.told}\ntrace    {session.source.path}; {first}, pause effects holds it, quit seals"


def closed(live: LiveRun) -> tuple[str, int]:
    """Let go of a run under way; return what became of its trace, for people, and the exit code."""
    from frameengine.trace.verify import verify
    from frameengine_cli.refs import short_id
    from frameengine_cli.screens.run import counted

    path, inside, message = live.writer.path, live.under_way, live.place.message
    whole = live.leave()
    if not live.writer.inputs:
        return "nothing was said, so no trace is kept", 0
    if not whole:
        return f"{path} is kept without a seal: frameengine repair {typed(path)}", 1
    receipt = verify(path)
    said = f"recorded {path}  {short_id(receipt.head)}  {counted(receipt.counts)}; {live.who.told}"
    if inside:
        said += f"; message {message} was left where it was: it is open"
    return said, 1 if live.failed else 0
