"""An instrument that feeds events to sinks, and remembers the last frame traces in short (C49)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

from frameengine.effects import MAIN_STREAM
from frameengine.graph.model import Graph
from frameengine.hud.view import Told, event, events
from frameengine.inputs import Input
from frameengine.jsonvalue import FrozenMap
from frameengine.records import Frame, FrameTrace

KEPT: Final = 20
"""Frame traces that are remembered, in short."""

Sink = Callable[[FrozenMap], None]
"""Takes one event. One that raises is dropped with the feed, and the run goes on (W28)."""


class Feed:
    """Observe a run and tell *sinks* of each event when its frame is committed: failed frames leave nothing behind.

    One feed belongs to one run: nothing here is shared between runs (W34).
    """

    def __init__(self, graph: Graph, *sinks: Sink, monotonic: Callable[[], float] | None = None) -> None:
        """*monotonic* gives seconds for the durations; without it they are 0."""
        self.last: Told | None = None
        """The newest message that is done."""
        self.history: deque[FrozenMap] = deque(maxlen=KEPT)
        """The newest frame traces in short, newest last."""
        self._sinks = sinks
        self._monotonic = monotonic
        self._since = 0.0
        self._input: Input | None = None
        self._frames: list[Frame] = []
        self._ms: dict[int, float] = {}
        self.use(graph)

    def use(self, graph: Graph) -> None:
        """Go on with another graph: its name and roles are those of the events from now on."""
        self._graph = graph.name
        self._roles: Mapping[str, str] = {spec.name: spec.role for spec in graph.nodes}

    def on_input(self, input: Input) -> None:
        """Begin a message; an input that comes in during one belongs to it."""
        if input.during is None and input.stream == MAIN_STREAM:
            self._input, self._frames, self._ms = input, [], {}
            self._since = self._time()

    def on_frame(self, frame: Frame) -> None:
        """Tell what a frame showed."""
        now = self._time()
        self._ms[frame.frame], self._since = (now - self._since) * 1000, now
        self._frames.append(frame)
        for told in events(frame, self._roles):
            self._tell(told)

    def on_trace(self, trace: FrameTrace) -> None:
        """Tell of the message as a whole."""
        if self._input is None:
            return
        self.last = Told(input=self._input, graph=self._graph, frames=tuple(self._frames), trace=trace, ms=self._ms)
        short = self.last.short()
        self.history.append(short)
        self._tell(event("frame_engine", "frame_trace", short))

    def _time(self) -> float:
        return 0.0 if self._monotonic is None else self._monotonic()

    def _tell(self, told: FrozenMap) -> None:
        for sink in self._sinks:
            sink(told)
