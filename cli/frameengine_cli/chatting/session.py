"""A conversation: a run, its trace, and what its screen shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from attrs import frozen

from frameengine.engine.driver import Clock, Run
from frameengine.engine.message import Engine
from frameengine.errors import InternalError
from frameengine.graph.loader import load_graph
from frameengine.graph.registry import BoundGraph, bind, fingerprint
from frameengine.hud.feed import Feed, Sink
from frameengine.hud.view import Told
from frameengine.inputs import Body, Cancel, SwitchGraph
from frameengine.jsonvalue import EMPTY, FrozenMap, Json
from frameengine.records import FrameRecord
from frameengine.trace.header import header
from frameengine.trace.writer import TraceWriter
from frameengine.ui.surface import current
from frameengine_cli import phrases
from frameengine_cli.chatting.answering import Answering
from frameengine_cli.failures import REPORT

PROBLEMS = ("model_failed", "parse_failed", "error")
"""Events that tell of something that went wrong on the way, beside those that end with `REFUSED`."""
REFUSED = "_refused"


@frozen(kw_only=True)
class Turn:
    """What became of one input."""

    told: Told
    """The input, its frames and its figures."""
    controls: tuple[FrozenMap, ...]
    """What the screen shows now."""
    before: tuple[FrozenMap, ...]
    """What it showed before."""
    problems: tuple[str, ...]
    """What went wrong on the way, each in a line."""
    failed: bool
    """Whether the message failed, or a model call of it."""


class View(Protocol):
    """Shows a conversation. It is an instrument of the engine as well."""

    def hud(self, event: FrozenMap) -> None:
        """Take an event of a committed frame."""
        ...

    def turn(self, turn: Turn) -> None:
        """Show what became of an input."""
        ...

    def result(self, kind: str, members: dict[str, Any], screen: Callable[[], Any]) -> None:
        """Show what a command gave: *members* to programs, *screen* to people."""
        ...


class Session:
    """Sends inputs and keeps the trace. Every line of it is in the file before anything follows from it."""

    def __init__(
        self,
        bound: BoundGraph,
        who: Answering,
        path: Path,
        view: View,
        *,
        clock: Clock,
        replace: bool = False,
        sinks: Sequence[Sink] = (),
        watchers: Sequence[Any] = (),
    ) -> None:
        """*sinks* take every event of the feed besides *view*; *watchers* are instruments of the engine, too."""
        self.who = who
        self.view = view
        self.failed = False
        """Whether anything has failed so far."""
        self.feed = Feed(bound.graph, view.hud, *sinks, monotonic=clock.monotonic)
        self.engine = Engine(bound, instruments=[self.feed, view, *watchers], switch=lambda _: self._next)
        self._next = bound
        facts = header(bound, clock="recorded", provenance=who.provenance)
        self.writer = TraceWriter(path, facts, durability="durable", replace=replace)
        self.run = Run(self.engine, who.performer, self.writer, clock=clock, redactor=who.redactor)
        self.run.inbox.wake = who.performer.wake

    @property
    def state(self) -> FrozenMap:
        """The state of the run, by section."""
        return self.engine.state.sections

    @property
    def controls(self) -> tuple[FrozenMap, ...]:
        """What the screen should show."""
        return current(self.state.get("ui", EMPTY))

    @property
    def buttons(self) -> tuple[FrozenMap, ...]:
        """The buttons among the controls; the first is number 1."""
        return buttons(self.controls)

    def send(self, body: Body) -> None:
        """Take one input to its end and show what became of it. What the view raises is raised here."""
        before = self.controls
        self.run.send(body)
        for _, error in self.engine.instruments.dropped:
            raise error
        told = self.feed.last
        if told is None:
            raise InternalError("a message has ended, and the feed was not told", hint=REPORT)
        failed = told.trace.status in ("failed", "open") or any(_model_failed(record) for record in _records(told))
        self.failed = self.failed or failed
        turn = Turn(
            told=told,
            controls=self.controls,
            before=before,
            problems=tuple([line for record in _records(told) for line in _problems(record)]),
            failed=failed,
        )
        self.view.turn(turn)

    def cancel(self) -> None:
        """Cancel the message under way. Safe to call from any thread."""
        self.run.inbox.put(Cancel())

    def switch(self, name: str) -> FrozenMap:
        """Go on with another graph and return the state that is left behind. Nothing changes where there is none such (W61)."""
        bound = bind(load_graph(name))
        left, self._next = self.state, bound
        self.feed.use(bound.graph)
        self.send(SwitchGraph(graph=name, fingerprint=fingerprint(bound)))
        return left

    def close(self) -> bool:
        """Seal the trace and let go of everything; one in which no node ran is removed. Return whether there is one."""
        try:
            if self.writer.frames:
                self.writer.seal()
            else:
                self.writer.close()
                self.writer.path.unlink()
        finally:
            self.abandon()
        return bool(self.writer.frames)

    def abandon(self) -> None:
        """Let go of everything; a trace that is not sealed stays as it is."""
        self.writer.close()
        self.who.performer.close()


def buttons(controls: tuple[FrozenMap, ...]) -> tuple[FrozenMap, ...]:
    """Return the buttons among *controls*, in order."""
    return tuple([control for control in controls if control["type"] == "button"])


def _records(told: Told) -> Iterator[FrameRecord]:
    for frame in told.frames:
        yield from frame.records


def _model_failed(record: FrameRecord) -> bool:
    return any(call.kind == "model" and call.status == "error" for call in record.calls)


def _problems(record: FrameRecord) -> Iterator[str]:
    for emission in record.emissions:
        if emission.event in PROBLEMS or emission.event.endswith(REFUSED):
            yield f"{record.node} {emission.event.replace('_', ' ')}: {in_words(emission.data)}"
    if record.error is not None:
        yield f"{record.node} failed: {record.error.get('message', '')}"


def in_words(data: FrozenMap) -> str:
    """Return what an event or a flag holds; a single text, or texts, as they read."""
    value: Json = next(iter(data.values())) if len(data) == 1 else data
    if isinstance(value, tuple):
        return "; ".join([item if isinstance(item, str) else phrases.value(item) for item in value])
    return value if isinstance(value, str) else phrases.value(value)
