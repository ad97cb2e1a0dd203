"""The loop around the engine: hand effects to a performer, write what happens, go on. Record, replay and simulate share it.

`Run` is the threaded caller; `Run.send_async` is the same loop for performers whose ``perform`` is a coroutine function.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Generator, Iterable
from typing import Any, Protocol

from attrs import frozen

from frameengine.effects import Answer, Call, EffectKey, Outcome
from frameengine.engine.message import Engine
from frameengine.engine.stops import Ask, Reply, Stop
from frameengine.inputs import Body, Cancel, During, Input
from frameengine.jsonvalue import EMPTY, FrozenMap, freeze
from frameengine.records import Frame, FrameTrace

VIRTUAL_INPUT = 1_000_000_000
"""Microseconds of virtual time between two inputs."""
VIRTUAL_FRAME = 1_000_000
"""Microseconds of virtual time between two frames."""
VIRTUAL_CALL = 1_000
"""Microseconds of virtual time between two calls of a frame."""


def virtual_at(key: EffectKey) -> int:
    """Return when an effect's outcome arrives in virtual time: a function of its key alone."""
    return key.input * VIRTUAL_INPUT + key.frame * VIRTUAL_FRAME + (key.call + 1) * VIRTUAL_CALL


class Performer(Protocol):
    """Answers effects: live, from a recording, from a script, with faults."""

    def perform(self, ask: Ask) -> Iterable[Answer]:
        """Answer at least one outstanding effect, in any order; none only after `Inbox.put` woke the performer.

        Each effect of ``ask.new`` is shown once; the performer keeps its own track of what is under way.
        """
        ...


class AsyncPerformer(Protocol):
    """A performer for callers that run inside an event loop."""

    def perform(self, ask: Ask) -> Awaitable[Iterable[Answer]]:
        """As `Performer.perform`."""
        ...


class Recorder(Protocol):
    """Keeps what happens. Not an observer: one that raises stops the run."""

    def input(self, input: Input) -> None:  # noqa: A002 - the glossary's word
        """Keep an input, before anything runs for it."""
        ...

    def outcome(self, call: Call, outcome: Outcome) -> None:
        """Keep an outcome, before any node sees it."""
        ...

    def frame(self, frame: Frame, meta: FrozenMap) -> None:
        """Keep a committed frame, before the next begins."""
        ...

    def trace(self, trace: FrameTrace, meta: FrozenMap) -> None:
        """Keep the figures of an input that is done with."""
        ...


class Inbox:
    """Inputs that arrive while a message is under way: ticks, dashboards, a cancel. Safe to put from any thread."""

    def __init__(self) -> None:
        self._waiting: deque[Body] = deque()
        self._cancel: deque[Body] = deque()
        self.wake: Callable[[], None] | None = None
        """Called after a put, so that a performer which waits returns."""

    def put(self, body: Body) -> None:
        """Let *body* enter at the next place where it can."""
        (self._cancel if isinstance(body, Cancel) else self._waiting).append(body)
        if self.wake is not None:
            self.wake()

    def take(self) -> list[Body]:
        """Return what waits for a frame boundary, and forget it."""
        taken = []
        while self._waiting:
            taken.append(self._waiting.popleft())
        return taken

    def cancelled(self) -> bool:
        """Return whether a Cancel waits, and forget it."""
        return bool(self._cancel and self._cancel.popleft())


@frozen
class Clock:
    """Where a run's times come from; None of them in virtual time."""

    now: Callable[[], int]
    """Wall clock in microseconds."""
    monotonic: Callable[[], float]
    """Seconds, for durations."""


class Run:
    """A run being driven: numbers its inputs, asks the performer, feeds the recorder."""

    def __init__(
        self,
        engine: Engine,
        performer: Any,
        recorder: Recorder | None = None,
        *,
        clock: Clock | None = None,
        inputs: int = 0,
    ) -> None:
        """Drive *engine*. *inputs* is how many it has had already; without *clock* time is virtual."""
        self.engine = engine
        self.performer = performer
        self.recorder = recorder
        self.inbox = Inbox()
        self.inputs = inputs
        self._clock = clock
        self._cancelled = False
        self._frame = 1

    def send(self, body: Body, at: int | None = None) -> FrameTrace:
        """Take one input through the engine and return its figures."""
        loop = self._loop(self._number(body, at, None))
        answers: Iterable[Answer] | None = None
        while True:
            try:
                ask = loop.send(answers)
            except StopIteration as end:
                trace: FrameTrace = end.value
                return trace
            answers = self.performer.perform(ask)

    async def send_async(self, body: Body, at: int | None = None) -> FrameTrace:
        """Take one input through the engine, awaiting an `AsyncPerformer`."""
        loop = self._loop(self._number(body, at, None))
        answers: Iterable[Answer] | None = None
        while True:
            try:
                ask = loop.send(answers)
            except StopIteration as end:
                trace: FrameTrace = end.value
                return trace
            answers = await self.performer.perform(ask)

    def _number(self, body: Body, at: int | None, during: During | None) -> Input:
        self.inputs += 1
        if at is None:
            at = self._clock.now() if self._clock is not None else self.inputs * VIRTUAL_INPUT
        return Input(number=self.inputs, body=body, at=at, during=during)

    def _loop(self, input: Input) -> Generator[Ask, Iterable[Answer], FrameTrace]:  # noqa: A002 - the glossary's word
        recorder, clock = self.recorder, self._clock
        if recorder is not None:
            recorder.input(input)
        self._cancelled, self._frame = False, 1
        started = frame_started = clock.monotonic() if clock is not None else 0.0
        steps: Generator[Stop, Reply, FrameTrace] = self.engine.message(input)
        reply: Reply | None = None
        while True:
            try:
                stop = next(steps) if reply is None else steps.send(reply)
            except StopIteration as end:
                trace: FrameTrace = end.value
                if recorder is not None:
                    recorder.trace(trace, self._meta(started))
                return trace
            if isinstance(stop, Ask):
                reply = yield from self._answer(stop, input)
                continue
            if recorder is not None:
                recorder.frame(stop.frame, self._meta(frame_started))
            if clock is not None:
                frame_started = clock.monotonic()
            self._frame = stop.frame.frame + 1
            during = During(input=input.number, frame=stop.frame.frame)
            reply = Reply(late=tuple([self._enter(body, during) for body in self.inbox.take()]))

    def _answer(self, ask: Ask, input: Input) -> Generator[Ask, Iterable[Answer], Reply]:  # noqa: A002 - the glossary's word
        recorder = self.recorder
        if self.inbox.cancelled() and not self._cancelled:
            self._cancelled = True
            self._enter(Cancel(), During(input=input.number, frame=self._frame))
        answers: list[Answer] = []
        if self._cancelled:
            for key, call in ask.outstanding.items():
                outcome = Outcome(status="cancelled", at=self.engine.now)
                if recorder is not None:
                    recorder.outcome(call, outcome)
                answers.append(Answer(key, outcome))
            return Reply(tuple(answers), cancel=True)
        for answer in (yield ask):
            if recorder is not None:
                recorder.outcome(ask.outstanding[answer.key], answer.outcome)
            answers.append(answer)
        return Reply(tuple(answers))

    def _enter(self, body: Body, during: During) -> Input:
        entered = self._number(body, None if self._clock is not None else self.engine.now, during)
        if self.recorder is not None:
            self.recorder.input(entered)
        return entered

    def _meta(self, since: float) -> FrozenMap:
        if self._clock is None:
            return EMPTY
        meta: FrozenMap = freeze({"ms": round((self._clock.monotonic() - since) * 1000, 3)})
        return meta
