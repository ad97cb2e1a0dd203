"""How the debugger begins a run of its own: which graph, who answers, where the trace goes; and how it lets go of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

from frameengine.debug.debugger import Debugger
from frameengine.errors import UsageError
from frameengine.graph.loader import load_graph
from frameengine.graph.registry import BoundGraph, bind
from frameengine_cli.debugging.live import Answering, LiveRun, pauses_of
from frameengine_cli.debugging.session import Session
from frameengine_cli.refs import Source, free_name, typed

if TYPE_CHECKING:
    from frameengine.performers.model_http.models import Models
    from frameengine.tools.sql import Database


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
        if (self.graph is None) == (self.scenario is None):
            what = "a recorded run is needed, or else a graph or a scenario"
            raise UsageError(what, hint="frameengine debug REF, or --graph NAME")
        said = [f"--{name}" for name in ("scenario", "reply", "replies") if getattr(self, name)]
        if len(said) > 1:
            raise UsageError(f"{said[0]} and {said[1]} both say what is answered", hint="leave out one of them")
        pauses = pauses_of(self.pauses)
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
        from frameengine_cli.staging import by_models, from_options, from_scenario

        if self.scenario is not None:
            staged = from_scenario(self.scenario, self.databases, None)
        elif self.reply:
            staged = from_options(str(self.graph), (), self.reply, None)
        else:
            return self._as_in_chat()
        if self.models is not None:
            staged = by_models(staged, self.models, self.scenario, self.databases)
        return staged.bound, Answering(
            performer=staged.performer, told=staged.model, provenance={**staged.provenance, "driven": "debugger"},
            models=self.models is not None,
            clock=staged.clock, redactor=staged.redactor, close=staged.close, inputs=tuple(staged.inputs), seed=staged.seed,
        )  # fmt: skip

    def _as_in_chat(self) -> tuple[BoundGraph, Answering]:
        from frameengine.performers.clock import system_clock
        from frameengine_cli.chatting.answering import answering

        clock, bound = system_clock(), bind(load_graph(str(self.graph)))
        who = answering(
            bound.graph, replies=self.replies, databases=self.databases, unsafe_local=False, clock=clock, models=self.models
        )
        return bound, Answering(
            performer=who.performer, told=who.told, provenance={**who.provenance, "inputs": "debugger"}, clock=clock,
            redactor=who.redactor, close=who.performer.close, models=self.models is not None,
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

    path, whole = live.writer.path, live.leave()
    if not live.writer.inputs:
        return "nothing was said, so no trace is kept", 0
    if not whole:
        return f"{path} is kept without a seal: frameengine repair {typed(path)} -o FILE", 1
    receipt = verify(path)
    said = f"recorded {path}  {short_id(receipt.head)}  {counted(receipt.counts)}; {live.who.told}"
    if live.left_open:
        said += f"; message {live.left_open} was left where it was: it is open"
    if live.who.models:
        said += f"; {live.spent.told()}"
        problem = live.spent.problem(f"frameengine show {typed(path)} shows the run")
        said += "" if problem is None else f"\n{problem.message}\n  try: {problem.hint}"
    return said, 1 if live.failed or (live.who.models and live.spent.failures) else 0
