"""The loop around the engine: hand effects to a performer, write what happens, go on. Record, replay and simulate share it.

`Run` is the threaded caller; `Run.send_async` is the same loop for performers whose ``perform`` is a coroutine function.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Generator, Iterable, Mapping
from contextlib import closing
from typing import Any, Protocol

from attrs import frozen

from frameengine.effects import Answer, Call, EffectKey, Outcome
from frameengine.engine.message import Engine
from frameengine.engine.stops import NO_REPLY, Ask, Reply, Stop
from frameengine.errors import UsageError
from frameengine.inputs import Body, Cancel, Clear, During, Given, Input, StateEdit, SwitchGraph, UserMessage
from frameengine.jsonvalue import EMPTY, FrozenMap, freeze
from frameengine.limits import check
from frameengine.records import Frame, FrameTrace

VIRTUAL_INPUT = 1_000_000_000
"""Microseconds of virtual time between two inputs."""
VIRTUAL_FRAME = 1_000_000
"""Microseconds of virtual time between two frames."""
VIRTUAL_CALL = 1_000
"""Microseconds of virtual time between two calls of a frame."""
IDLE_ANSWERS_MAX = 10_000
"""Times in a row that a performer may answer nothing. Each `Inbox.put` explains one."""


def virtual_at(key: EffectKey) -> int:
    """Return when an effect's outcome arrives in virtual time: a function of its key alone."""
    return key.input * VIRTUAL_INPUT + key.frame * VIRTUAL_FRAME + (key.call + 1) * VIRTUAL_CALL


class Performer(Protocol):
    """Answers effects: live, from a recording, from a script, with faults."""

    def perform(self, ask: Ask) -> Iterable[Answer]:
        """Answer at least one outstanding effect, in any order; none only after `Inbox.put` woke the performer.

        Each effect of ``ask.new`` is shown once; the performer keeps its own track of what is under way. One that can end that
        has a method ``drop(keys)``, called after a Cancel. One with an attribute ``on_delta`` that is None is given
        `Previews.delta` for pieces of replies as they come, to be called within ``perform`` and on its thread only.
        """
        ...


class AsyncPerformer(Protocol):
    """A performer for callers that run inside an event loop."""

    def perform(self, ask: Ask) -> Awaitable[Iterable[Answer]]:
        """As `Performer.perform`."""
        ...


class Recorder(Protocol):
    """Keeps what happens. Not an observer: one that raises stops the run."""

    def input(self, input: Input) -> None:
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


class Redactor(Protocol):
    """Keeps secrets out of the run: nodes and recorder see placeholders, the performer sees the real text."""

    def enter(self, body: Body) -> Body:
        """Return an input without its secrets."""
        ...

    def outcome(self, key: EffectKey, outcome: Outcome) -> Outcome:
        """Return an outcome without its secrets."""
        ...

    def leave(self, call: Call) -> Call:
        """Return a call with its secrets put back."""
        ...

    def deltas(self, told: Callable[[Call, str | None], None]) -> Callable[[Call, str | None], None]:
        """Return *told* for pieces of replies as they come, which is to hear of no secret."""
        ...

    def settle(self) -> None:
        """Take note that a frame is over."""
        ...


@frozen
class Arrival:
    """An input that came in while a message was under way."""

    body: Body
    """What came in."""
    at: int | None = None
    """When, in microseconds; None for the time at which it enters."""


class Inbox:
    """Inputs that arrive while a message is under way: ticks, dashboards, a cancel. Safe to put from any thread."""

    def __init__(self) -> None:
        self._waiting: deque[Arrival] = deque()
        self._cancel: deque[Arrival] = deque()
        self.wake: Callable[[], None] | None = None
        """Called after a put, so that a performer which waits returns."""

    def put(self, body: Body) -> None:
        """Let *body* enter at the next place where it can. Raises `UsageError` for what must wait until the message is done."""
        if isinstance(body, UserMessage | Given | Clear | SwitchGraph):
            kind = type(body).__name__
            raise UsageError(f"a {kind} cannot enter during a message", hint="send it when the message is done", kind=kind)
        (self._cancel if isinstance(body, Cancel) else self._waiting).append(Arrival(body))
        if self.wake is not None:
            self.wake()

    def take(self) -> list[Arrival]:
        """Return what waits for a frame boundary, and forget it."""
        taken = []
        while self._waiting:
            taken.append(self._waiting.popleft())
        return taken

    def cancelled(self) -> Arrival | None:
        """Return the Cancel that waits, and forget it; None where none does."""
        return self._cancel.popleft() if self._cancel else None

    def begin(self) -> None:
        """Forget a Cancel that came when no message was under way: it was not meant for the next one."""
        self._cancel.clear()


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
        redactor: Redactor | None = None,
        inputs: int = 0,
    ) -> None:
        """Drive *engine*. *inputs* is how many it has had already; without *clock* time is virtual."""
        self.engine = engine
        self.performer = performer
        if getattr(performer, "on_delta", self) is None:
            told = engine.previews.delta
            performer.on_delta = told if redactor is None else redactor.deltas(told)
        self.recorder = recorder
        self.inbox = Inbox()
        self.inputs = inputs
        self._clock = clock
        self._redactor = redactor
        self._cancel: Input | None = None
        self._frame = 1
        self._idle = 0

    def send(self, body: Body, at: int | None = None) -> FrameTrace:
        """Take one input through the engine and return its figures."""
        answers: Iterable[Answer] | None = None
        with closing(self._loop(self._number(body, at, None))) as loop:
            while True:
                try:
                    ask = loop.send(answers)
                except StopIteration as end:
                    trace: FrameTrace = end.value
                    return trace
                answers = self.performer.perform(ask)

    async def send_async(self, body: Body, at: int | None = None) -> FrameTrace:
        """Take one input through the engine, awaiting an `AsyncPerformer`."""
        answers: Iterable[Answer] | None = None
        with closing(self._loop(self._number(body, at, None))) as loop:
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
        if self._redactor is not None:
            body = self._redactor.enter(body)
        return Input(number=self.inputs, body=body, at=at, during=during)

    def _loop(self, input: Input) -> Generator[Ask, Iterable[Answer] | None, FrameTrace]:
        recorder, clock = self.recorder, self._clock
        try:
            steps: Generator[Stop, Reply, FrameTrace] = self.engine.message(input)
        except Exception:
            # Nothing has entered: its number is that of the next input.
            self.inputs -= 1
            raise
        if recorder is not None:
            recorder.input(input)
        self.inbox.begin()
        self._cancel, self._frame, self._idle = None, 1, 0
        started = frame_started = clock.monotonic() if clock is not None else 0.0
        reply: Reply | None = None
        while True:
            try:
                stop = next(steps) if reply is None else steps.send(reply)
            except StopIteration as end:
                trace: FrameTrace = end.value
                break
            if isinstance(stop, Ask):
                reply = yield from self._answer(stop, input)
                continue
            frame = stop.frame
            if recorder is not None:
                recorder.frame(frame, self._meta(frame_started, stop.raised))
            if clock is not None:
                frame_started = clock.monotonic()
            if self._redactor is not None:
                self._redactor.settle()
            self._frame = frame.frame + 1
            reply = self._late(input, frame)
        if recorder is not None:
            # Until its figures are kept the message is not done, and a recorder that fails closes the run.
            self.engine.closed = True
            recorder.trace(trace, self._meta(started))
            self.engine.closed = False
        return trace

    def _late(self, input: Input, frame: Frame) -> Reply:
        """Let in what waits for the frame boundary. Behind a Cancel or an open frame it waits for the next message."""
        if self._cancel is not None or any(record.open for record in frame.records):
            return NO_REPLY
        waiting = self.inbox.take()
        if not waiting:
            return NO_REPLY
        # Refused before it is recorded: the engine would refuse it too, when it stands in the trace already.
        edits = [change for arrived in waiting if isinstance(arrived.body, StateEdit) for change in arrived.body.changes()]
        self.engine.edited(edits)
        during = During(input=input.number, frame=frame.frame)
        return Reply(late=tuple([self._enter(arrived, during) for arrived in waiting]))

    def _answer(self, ask: Ask, input: Input) -> Generator[Ask, Iterable[Answer] | None, Reply]:
        recorder = self.recorder
        arrived = self.inbox.cancelled() if self._cancel is None else None
        if arrived is not None:
            self._cancel = self._enter(arrived, During(input=input.number, frame=self._frame))
            self.engine.instruments.call("on_input", self._cancel)
        answers: dict[EffectKey, Answer] = {}
        if self._cancel is not None:
            for key, call in ask.outstanding.items():
                answers[key] = Answer(key, Outcome(status="cancelled", at=self._cancel.at))
                if recorder is not None:
                    recorder.outcome(call, answers[key].outcome)
            drop = getattr(self.performer, "drop", None)
            if drop is not None:
                drop(answers)
            return Reply(tuple(answers.values()), cancel=True)
        redactor = self._redactor
        outward = ask if redactor is None else Ask(tuple([redactor.leave(call) for call in ask.new]), ask.outstanding)
        for answer in (yield outward) or ():
            # Refused before it is recorded: the engine would refuse it too, when it stands in the trace already.
            if answer.key not in ask.outstanding or answer.key in answers:
                raise UsageError(f"an answer to {answer.key}, which nobody awaits", hint="answer each effect of an Ask once")
            if redactor is not None:
                answer = Answer(answer.key, redactor.outcome(answer.key, answer.outcome))  # noqa: PLW2901 - the other is secret
            if recorder is not None:
                recorder.outcome(ask.outstanding[answer.key], answer.outcome)
            answers[answer.key] = answer
        self._idle = 0 if answers else self._idle + 1
        if self._idle:
            check("empty answers in a row", IDLE_ANSWERS_MAX, self._idle, "let the performer wait until it has an answer")
        return Reply(tuple(answers.values()))

    def _enter(self, arrived: Arrival, during: During) -> Input:
        at = self.engine.now if arrived.at is None and self._clock is None else arrived.at
        entered = self._number(arrived.body, at, during)
        if self.recorder is not None:
            self.recorder.input(entered)
        return entered

    def _meta(self, since: float, raised: Mapping[str, str] = EMPTY) -> FrozenMap:
        clock = self._clock
        if clock is None and not raised:
            return EMPTY
        took = {} if clock is None else {"ms": round((clock.monotonic() - since) * 1000, 3)}
        meta: FrozenMap = freeze({**took, "raised": raised} if raised else took)
        return meta
