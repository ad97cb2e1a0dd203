"""A debugging session: a run, a place in it, what stops there, and what is to be changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from attrs import define, field, frozen
from rich.console import RenderableType

from frameengine.debug.debugger import Debugger
from frameengine.debug.edit import Edit, EditState
from frameengine.debug.place import Place
from frameengine.debug.stop import Stop
from frameengine.debug.timeline import Timeline
from frameengine.errors import TraceIntegrity, UsageError
from frameengine.graph.registry import BoundGraph
from frameengine.jsonvalue import pointer_step
from frameengine.trace.messages import Made, Message, Step
from frameengine_cli.failures import Interrupted
from frameengine_cli.look import Look
from frameengine_cli.refs import Source, last_seal

if TYPE_CHECKING:
    from frameengine_cli.debugging.live import LiveRun


@frozen(kw_only=True)
class Answer:
    """What a command gave."""

    data: dict[str, Any] = field(factory=dict)
    """For programs."""
    screen: Callable[[Look], RenderableType] | None = None
    """For people; None where there is nothing to see."""
    stop: Stop | None = None
    """Where the session came to; None where the command did not move."""
    leave: bool = False
    """Whether the session is to end."""
    code: int = 0
    """Exit code of what it came to, where that is not good."""


@frozen(kw_only=True)
class Forked:
    """A fork that was made in this session."""

    source: Source
    """The new trace."""
    edits: tuple[Edit, ...]
    """What was changed in it."""
    head: str
    """Chain value of its seal, in hex."""

    def check_unchanged(self) -> None:
        """Raise `TraceIntegrity` where the file that has its name now ends with another seal, or with none."""
        seal = last_seal(self.source.path)
        if seal is None or seal["chain"] != self.head:
            what = f"{self.source.name} is no longer the fork that was made"
            raise TraceIntegrity(what, hint="fork again, to another name", path=str(self.source.path))

    def number(self, message: int) -> int:
        """Return the number that a message has in the fork: edits of the state before it are inputs of their own there."""
        before = [edit for edit in self.edits if isinstance(edit, EditState) and edit.place.boundary <= Place(message)]
        return message + len(before)


@define(kw_only=True)
class Session:
    """What the commands work on."""

    source: Source
    """The trace."""
    timeline: Timeline
    """The same, opened."""
    debugger: Debugger
    """Place, moves, breakpoints."""
    graph: str | None = None
    """The graph that forks run, as it is named; None for the shipped one of the recorded name, or the definition in the trace."""
    trust: bool = False
    """Whether code that only the trace names may be imported."""
    edits: list[Edit] = field(factory=list)
    """Changes of the past that wait for a fork."""
    forked: Forked | None = None
    """The newest fork."""
    shown: list[str] = field(factory=list)
    """Expressions whose values are shown at every stop."""
    found: str = ""
    """The text that was searched for last."""
    live: LiveRun | None = None
    """The run under way; None where a recorded one is looked at."""

    def interrupt(self) -> None:
        """End the move, or cancel the message, that is under way; safe in a signal's handler."""
        if self.live is not None and self.live.under_way:
            self.live.cancel()
        else:
            self.debugger.stop()

    @property
    def place(self) -> Place:
        """Where the session stands."""
        return self.debugger.place

    def message(self) -> Message:
        """Return the message that the session stands in. Raises `UsageError` at the start of the run."""
        self._check_entered()
        return self.timeline.message(self.place.message)

    def effects(self) -> tuple[Made, ...]:
        """Return the effects of the frame that the session stands in, in order of arrival.

        Raises `UsageError` where no frame has begun.
        """
        self._check_entered()
        if not self.place.frame:
            raise UsageError(f"message {self.place.message} has just entered: no frame of it has begun", hint="step")
        return self.timeline.effects(self.place)

    def frame(self) -> Step:
        """Return the frame that the session stands in. Raises `UsageError` where none has begun, or it is not committed."""
        self.effects()
        step = self.timeline.frame(self.place)
        if step is None:
            raise UsageError(f"frame {self.place.whole} {self.uncommitted}: only its effects are there", hint="effects")
        return step

    @property
    def uncommitted(self) -> str:
        """What is to be said of a frame that has effects and no record."""
        return "is under way" if self.timeline.growing else "was never committed"

    def _check_entered(self) -> None:
        if not self.place.message:
            raise UsageError("this is the start of the run: no message has entered", hint="step")

    def section(self) -> str:
        """Return the pointer of a section of the state, here or at the end: an example of one."""
        for place in (self.place, self.timeline.last):
            for name in self.timeline.state(place).sections:
                return f"/{pointer_step(name)}"
        return "/POINTER"

    def editable(self) -> str:
        """Return what can be edited here, as it is typed: the newest effect, else what has come in."""
        come = self.timeline.effects(self.place)[: self.place.effects]
        if come:
            return f"edit {'reply' if come[-1].effect == 'model' else 'result'} #{len(come)} VALUE"
        return "edit input VALUE" if self.place.message else "step, then edit input VALUE"

    def bound(self) -> BoundGraph | None:
        """Return the graph that forks run, chosen as a replay does; None for the definition in the trace."""
        from frameengine_cli.graphs import choose_graph

        return choose_graph(self.timeline.header, self.graph)[0]


def stopped_by_hand(command: str) -> Interrupted:
    """Return the error for a command that somebody has ended."""
    return Interrupted(f"{command} was stopped on the way: nothing has moved", hint=f"{command} again, and let it end")
