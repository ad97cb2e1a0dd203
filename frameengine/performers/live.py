"""Really do it: ask the model, run the tools."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Condition
from typing import Protocol

from attrs import evolve

from frameengine.effects import Answer, Call, EffectKey, ModelReply, Outcome, ToolCall, ToolReply, failed
from frameengine.engine.driver import Clock, virtual_at
from frameengine.engine.stops import Ask
from frameengine.errors import LiveCallRefused
from frameengine.jsonvalue import freeze
from frameengine.tools.registry import Job, ToolRegistry


class Model(Protocol):
    """Whatever answers model calls: an HTTP client, a local model, a script."""

    def __call__(self, call: Call) -> ModelReply | Outcome:
        """Answer one call. An exception becomes the call's outcome."""
        ...


class Live:
    """A performer that asks a model and runs tools of a registry, several at a time where it has threads.

    Without a clock, time is virtual and nothing of the machine enters the outcomes. A model that has an attribute ``on_delta``
    is given a function for the pieces of its reply, which reach the run's instruments as previews; one with ``drop`` and
    ``close`` is told when nobody waits for a call any more.
    """

    def __init__(
        self, model: Model | None = None, tools: ToolRegistry | None = None, *, clock: Clock | None = None, threads: int = 1
    ) -> None:
        self._model = model
        self._tools = tools or ToolRegistry()
        self._clock = clock
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="frameengine-effect") if threads > 1 else None
        self._under_way: dict[EffectKey, tuple[Future[Outcome], Job | None]] = {}
        self._done: deque[Answer] = deque()
        self._changed = Condition()
        self._woken = False
        self._interrupted: BaseException | None = None
        self._deltas: deque[tuple[Call, str | None]] = deque()
        self.on_delta: Callable[[Call, str | None], None] | None = None
        """Told of each piece of a shown reply as it comes, by the thread that performs; None takes the pieces back."""
        if getattr(model, "on_delta", self) is None:
            setattr(model, "on_delta", self._delta)  # noqa: B010 - a model need not have it, so its protocol does not name it

    def perform(self, ask: Ask) -> Iterable[Answer]:
        """Answer the new effects one after another; with threads, answer what is ready, waiting until something is."""
        if self._pool is None:
            return [Answer(call.key, self.answer(call)) for call in ask.new]
        for call in ask.new:
            # Jobs begin here, in order: a tool that counts them counts alike however the threads run.
            job = self._begin(call)
            future = self._pool.submit(self.answer, call, job)
            self._under_way[call.key] = (future, job)
            future.add_done_callback(self._finish(call.key))
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._woken or self._done or self._deltas or self._interrupted is not None)
                deltas = [(call, text) for call, text in self._deltas if call.key in ask.outstanding]
                self._deltas.clear()
                ended, self._woken = bool(self._woken or self._done), False
                if self._interrupted is not None:
                    raise self._interrupted
                ready = [answer for answer in self._done if answer.key in ask.outstanding]
                self._done.clear()
            for call, text in deltas:
                if self.on_delta is not None:
                    self.on_delta(call, text)
            if ended:
                return ready

    def wake(self) -> None:
        """Let a waiting `perform` return; set as `Inbox.wake`."""
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def drop(self, keys: Collection[EffectKey]) -> None:
        """End what is under way for effects that nobody awaits any more, as far as it can be ended; called by the driver."""
        for key in keys:
            future, job = self._under_way.get(key, (None, None))
            if future is not None:
                future.cancel()
            if job is not None:
                job.cancel()
        drop = getattr(self._model, "drop", None)
        if drop is not None:
            drop(keys)

    def close(self) -> None:
        """Wait for what is under way, ending what can be ended, and let the threads go."""
        # Calls that wait for a thread go first: one that is set free by an ended call would begin the next.
        if self._under_way:
            self.drop(tuple(self._under_way))
        close = getattr(self._model, "close", None)
        if close is not None:
            close()
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def _delta(self, call: Call, text: str | None) -> None:
        if self._pool is None:
            if self.on_delta is not None:
                self.on_delta(call, text)
            return
        with self._changed:
            self._deltas.append((call, text))
            self._changed.notify_all()

    def _finish(self, key: EffectKey) -> Callable[[Future[Outcome]], None]:
        def finish(future: Future[Outcome]) -> None:
            self._under_way.pop(key, None)
            if future.cancelled():
                return
            error = future.exception()
            with self._changed:
                if error is None:
                    self._done.append(Answer(key, future.result()))
                else:
                    # Whoever waits for the answer is told: a thread that ends without a word would let it wait for ever.
                    self._interrupted = error
                self._changed.notify_all()

        return finish

    def answer(self, call: Call, job: Job | None = None) -> Outcome:
        """Perform one effect; whatever it raises becomes its outcome. *job* is its tool call, where that has begun."""
        clock = self._clock
        started = clock.monotonic() if clock is not None else 0.0
        try:
            outcome = self._perform(call, job)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - a failing model or tool is an outcome, not the end of the run
            outcome = failed(error)
        if clock is None:
            return evolve(outcome, at=virtual_at(call.key))
        took = round((clock.monotonic() - started) * 1000, 3)
        return evolve(outcome, at=clock.now(), meta=freeze({**outcome.meta, "ms": took}))

    def _begin(self, call: Call) -> Job | None:
        return self._tools.begin(call.effect.name, call.effect.arguments) if isinstance(call.effect, ToolCall) else None

    def _perform(self, call: Call, job: Job | None) -> Outcome:
        if isinstance(call.effect, ToolCall):
            return Outcome(value=ToolReply(content=(job or self._tools.begin(call.effect.name, call.effect.arguments)).run()))
        if self._model is None:
            raise LiveCallRefused(
                f"{call.key} asks model {call.effect.name!r}, and this run has no model", hint="give the run a model or a script"
            )
        reply = self._model(call)
        return reply if isinstance(reply, Outcome) else Outcome(value=reply)
