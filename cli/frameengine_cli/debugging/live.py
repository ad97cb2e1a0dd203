"""A run under way, held where a person wants to look: the engine works in a thread of its own, and in step with whoever asks.

The thread stops at every effect and behind every frame until it is told to go on. So the trace is read while nobody writes it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, Final, Literal, TypeAlias, get_args

from attrs import evolve, frozen

from frameengine.debug.breakpoints import Breakpoint, Breakpoints
from frameengine.debug.pause import Approve, Decision, Held, Paused
from frameengine.debug.place import Place
from frameengine.debug.points import Point, Watchpoint
from frameengine.debug.stop import Hit, Reason, Stop
from frameengine.debug.timeline import Timeline
from frameengine.effects import Call, ModelCall
from frameengine.engine.driver import Clock, Run
from frameengine.engine.message import Engine
from frameengine.errors import FrameEngineError, UsageError
from frameengine.graph.loader import load_graph
from frameengine.graph.registry import BoundGraph, bind
from frameengine.inputs import Body, Cancel
from frameengine.jsonvalue import Json
from frameengine.records import Frame, FrameTrace
from frameengine.trace.header import header
from frameengine.trace.redact import Redactor
from frameengine.trace.writer import TraceWriter
from frameengine_cli.failures import defect
from frameengine_cli.refs import typed
from frameengine_cli.spending import Spending

Pauses: TypeAlias = Literal["effects", "frames", "off"]
"""Where a run under way is held besides its breakpoints: before every effect, behind every frame, nowhere."""
PAUSES: Final[tuple[Pauses, ...]] = get_args(Pauses)
LOOK_SECONDS: Final = 0.1
"""Between two looks whether somebody wants the run to stop."""
LEAVE_SECONDS: Final = 5.0
"""How long a message may take to come to its end when somebody leaves."""

News: TypeAlias = Call | Frame | FrameTrace | BaseException
"""What the thread has come to: a call to be decided on, a frame that is kept, the end of the message, the end of everything."""


@frozen(kw_only=True)
class Answering:
    """Who answers a run under way, and what is said of them."""

    performer: Any
    """Does the effects."""
    told: str
    """What the model is, for people."""
    provenance: Mapping[str, Json]
    """What the trace's header says of it."""
    clock: Clock | None = None
    """Where times come from; None for virtual time."""
    redactor: Redactor | None = None
    """Keeps secrets out of the trace."""
    close: Callable[[], None] = lambda: None
    """Lets go of what the performer holds."""
    models: bool = False
    """Whether models that are configured are asked."""
    inputs: tuple[Body, ...] = ()
    """What enters where nothing else is said: the inputs of a scenario."""
    seed: int = 0
    """Seed of the nodes' chance."""


def pauses_of(text: str) -> Pauses:
    """Return where a run is to be held, as it is typed. Raises `UsageError`."""
    pauses = next((each for each in PAUSES if each == text), None)
    if pauses is None:
        raise UsageError(f"pause {text}: there is no such pause", hint=f"it is one of {', '.join(PAUSES)}")
    return pauses


class LiveRun:
    """A run, its trace, and where it is held."""

    def __init__(self, bound: BoundGraph, who: Answering, path: Path, *, pauses: Pauses = "off", replace: bool = False) -> None:
        """Begin the trace. Raises `FrameEngineError`."""
        self.who = who
        self.pauses = pauses
        self.waits = True
        """Whether commands wait for the run to be held; a screen looks by itself."""
        self.asking: Call | None = None
        """The call that is to be decided on."""
        self.between = False
        """Whether the run is held behind a frame."""
        self.under_way = False
        """Whether a message is."""
        self.broken: FrameEngineError | None = None
        """What ended the run."""
        self.inputs = list(who.inputs)
        """What is still to be said where nothing else is."""
        self.failed = False
        """Whether a message has failed."""
        self.spent = Spending()
        """What models were asked for."""
        self.left_open = 0
        """Number of the message inside which somebody has left; 0 where none was under way."""
        facts = header(
            bound, seed=who.seed, clock="virtual" if who.clock is None else "recorded", provenance=dict(who.provenance)
        )
        self.writer = TraceWriter(path, facts, durability="durable", replace=replace)
        self.writer.begin()
        self._performer = Paused(who.performer, self._decide, clock=who.clock)
        engine = Engine(bound, seed=who.seed, instruments=[self.spent], switch=lambda name: bind(load_graph(name)))
        recorder = Held(self.writer, self._committed)
        # How long the run is held is no part of what its frames take.
        clock = who.clock and evolve(who.clock, monotonic=lambda: self._monotonic() - self._waited)
        self._run = Run(engine, self._performer, recorder, clock=clock, redactor=who.redactor)
        self._run.inbox.wake = self._performer.wake
        self.timeline = Timeline(path, damaged=True, growing=True)
        self.breakpoints = Breakpoints(self.timeline, growing=True)
        self._news: SimpleQueue[News] = SimpleQueue()
        self._orders: SimpleQueue[Decision | None] = SimpleQueue()
        self._thread: Thread | None = None
        self._stopped: set[int] = set()
        self._asked: dict[str, ModelCall] = {}
        self._cancelled = False
        self._waited = 0.0

    # ------------------------------------------------------------------ in the thread of the engine

    def _send(self, body: Body) -> None:
        try:
            self._news.put(self._run.send(body))
        except BaseException as error:  # noqa: BLE001 - whoever waits for news is told: a thread may not end without a word
            self._news.put(error)

    def _meet(self, news: Call | Frame) -> Decision | None:
        since = self._monotonic()
        self._news.put(news)
        order = self._orders.get()
        self._waited += self._monotonic() - since
        return order

    def _monotonic(self) -> float:
        return 0.0 if self.who.clock is None else self.who.clock.monotonic()

    def _decide(self, call: Call) -> Decision | None:
        return self._meet(call)

    def _committed(self, frame: Frame) -> None:
        self._meet(frame)

    # ------------------------------------------------------------------ in the thread of the person

    @property
    def held(self) -> bool:
        """Whether the run waits for a person."""
        return self.asking is not None or self.between

    @property
    def runs(self) -> bool:
        """Whether it goes on by itself: news will come."""
        return self.under_way and not self.held

    @property
    def place(self) -> Place:
        """The newest place: inside the frame under way, where effects of it have their outcomes."""
        return self.timeline.end

    def begin(self, body: Body) -> None:
        """Let *body* enter. Raises `UsageError` where it cannot."""
        if self.broken is not None:
            raise UsageError(f"the run has ended: {self.broken.message}", hint="quit, and begin another")
        if self.under_way:
            raise UsageError("a message is under way", hint="approve, or cancel, and say it then")
        self.under_way, self._cancelled = True, False
        self._thread = Thread(target=self._send, args=(body,), daemon=True)
        self._thread.start()

    def asked(self) -> Call:
        """Return the call that waits. Raises `UsageError` where none does."""
        if self.asking is None:
            raise UsageError("no effect waits for a decision", hint="pause effects, then say TEXT")
        return self.asking

    def decide(self, decision: Decision) -> None:
        """Say what becomes of the call that waits. Raises `UsageError` where none does."""
        self.asked()
        self.asking = None
        self._orders.put(decision)

    def go_on(self) -> None:
        """Do what waits as it is asked, or begin the next frame. Raises `UsageError` where nothing waits."""
        if self.between:
            self.between = False
            self._orders.put(None)
        else:
            self.decide(Approve())

    def cancel(self) -> None:
        """Cancel the message under way; safe in a signal's handler. Raises `UsageError` where none is."""
        if not self.under_way:
            raise UsageError("no message is under way", hint="say TEXT")
        self._cancelled = True
        self._run.inbox.put(Cancel())
        if self.held:
            self.asking, self.between = None, False
            self._orders.put(None)

    def look(self, seconds: float) -> Stop | None:
        """Take what the run has come to, waiting so long for it; return a stop where it moved or is held.

        Raises the `FrameEngineError` that ended the run, or the one for which a breakpoint cannot be looked for: that holds it.
        """
        try:
            news = self._news.get(timeout=seconds)
        except Empty:
            return None
        self.timeline.extend()
        if isinstance(news, BaseException):
            raise self._ended(news)
        if isinstance(news, Call) and self._cancelled:
            self._orders.put(None)
            return None
        if isinstance(news, FrameTrace):
            self._over(news)
        try:
            met = self._met_by(news) if isinstance(news, Call) else self._met_behind(ended=isinstance(news, FrameTrace))
        except FrameEngineError:
            self._hold(news)
            raise
        if isinstance(news, FrameTrace) or met or self.pauses == ("effects" if isinstance(news, Call) else "frames"):
            self._hold(news)
        else:
            self._orders.put(Approve() if isinstance(news, Call) else None)
        return self._stop(met)

    def _hold(self, news: Call | Frame | FrameTrace) -> None:
        self.asking, self.between = news if isinstance(news, Call) else None, isinstance(news, Frame)

    def until_held(self) -> Stop:
        """Wait until the run is held, or the message has ended. Raises the `FrameEngineError` that ended the run."""
        while True:
            stop = self.look(LOOK_SECONDS)
            if stop is not None and (self.held or not self.under_way):
                return stop

    def leave(self) -> bool:
        """Let go of everything, and return whether the trace is sealed.

        A message that is under way ends where it is: it is *open*. Where it does not come to that soon the trace has no seal. One
        in which nothing was said is removed; it counts as sealed.
        """
        if self.under_way:
            self._performer.leave()
            self._orders.put(None)
            self._pump(LEAVE_SECONDS)
        self.who.close()
        whole = not self.under_way and self.broken is None
        if whole and self.writer.inputs:
            self.writer.seal()
        self.writer.discard()
        self.writer.close()
        self.timeline.close()
        return whole

    def _pump(self, seconds: float) -> None:
        while self.under_way:
            try:
                news = self._news.get(timeout=seconds)
            except Empty:
                return
            if isinstance(news, FrameTrace):
                self._over(news)
            elif isinstance(news, BaseException):
                self._ended(news)
            else:
                self._orders.put(None)

    def _over(self, trace: FrameTrace) -> None:
        self.under_way = False
        self.failed = self.failed or trace.status in ("failed", "open")
        self.left_open = trace.input if trace.status == "open" else 0

    def _ended(self, error: BaseException) -> FrameEngineError:
        self.under_way = self.timeline.growing = False
        found = error if isinstance(error, FrameEngineError) else defect(error)
        way = f"quit keeps the trace without a seal; then frameengine repair {typed(self.writer.path)} -o FILE"
        found.hint = "; ".join([part for part in (found.hint, way) if part])
        self.broken = found
        return found

    # ------------------------------------------------------------------ what holds it

    def _met_by(self, call: Call) -> list[tuple[Point, list[Hit]]]:
        shared = 0
        if isinstance(call.effect, ModelCall):
            before = self._asked.get(call.key.node)
            for old, new in zip(() if before is None else before.messages, call.effect.messages, strict=False):
                if old != new:
                    break
                shared += 1
            self._asked[call.key.node] = call.effect
        met = self.breakpoints.met_by(call, shared)
        self._stopped.update(self.breakpoints.held)
        return met

    def _met_behind(self, *, ended: bool) -> list[tuple[Point, list[Hit]]]:
        """Return what holds behind a frame; what is about the whole message only when that has *ended*.

        What has stopped before an effect of the frame, or was passed over there, does not stop again.
        """
        before, self._stopped = self._stopped, set()

        def wanted(point: Point) -> bool:
            whole = isinstance(point, Breakpoint) and point.on in ("path", "status")
            return whole is ended and point.number not in before

        return self.breakpoints.met(self.timeline.places - 1, wanted)

    def _stop(self, met: list[tuple[Point, list[Hit]]]) -> Stop:
        hits = [evolve(hit, what=hit.what.removesuffix(": not_recorded")) for _, found in met for hit in found]
        reason: Reason = "breakpoint" if hits else "place"
        if hits and all(isinstance(point, Watchpoint) for point, _ in met):
            reason = "watchpoint"
        return Stop(reason=reason, where=self.place, hits=tuple(hits))
