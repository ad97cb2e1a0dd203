"""One message, straight through: frames until nothing is pending.

`Engine.message` is a generator with two stopping places: `Ask` (nodes wait for effects) and `Committed` (a frame is done). It has
no event loop, no clock, no network and no file, and does not know whether a live system, a recording or a person answers it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from functools import partial
from typing import Any

from attrs import evolve

from frameengine.effects import EffectKey
from frameengine.engine.frame import NodeTask, RanFrame, error_value, run_frame
from frameengine.engine.guard import Guard
from frameengine.engine.instruments import Instruments, Previews
from frameengine.engine.route import NOWHERE, Pending, Router
from frameengine.engine.stops import NO_REPLY, Ask, Committed, Reply, Stop
from frameengine.errors import EngineClosed, FrameEngineError, NodeError, UsageError
from frameengine.graph.registry import BoundGraph
from frameengine.inputs import Clear, Given, Input, StateEdit, SwitchGraph, UserMessage
from frameengine.jsonvalue import EMPTY, FrozenMap, freeze
from frameengine.limits import FRAMES_PER_MESSAGE_MAX, check
from frameengine.messages import Envelope, to_json
from frameengine.node import NodeContext
from frameengine.records import CallRecord, Frame, FrameRecord, FrameTrace, Phase, TraceStatus
from frameengine.state import Change, RunState


class Engine:
    """A run: a graph, a state, and the messages that go through it one after another."""

    def __init__(
        self,
        bound: BoundGraph,
        *,
        seed: int = 0,
        state: RunState | None = None,
        guard: Guard | None = None,
        instruments: Iterable[Any] = (),
        switch: Callable[[str], BoundGraph] | None = None,
    ) -> None:
        """Prepare a run of *bound*. *switch* finds the graph that a SwitchGraph input names."""
        self.seed = seed
        self.guard = guard or Guard()
        self.instruments = Instruments(instruments)
        self.previews = Previews(self.instruments)
        self.closed = False
        self._switch = switch
        self._next: BoundGraph | None = None
        self._now = 0
        self._use(bound, state)

    def _use(self, bound: BoundGraph, state: RunState | None = None) -> None:
        self.bound = bound
        self.state = state or RunState(bound.graph.state)
        self.order = {spec.name: index for index, spec in enumerate(bound.graph.nodes)}
        self.router = Router.of(bound.graph)
        for name in self.order:
            self.guard.watch(type(bound.implementations[name]))

    def message(self, input: Input) -> Generator[Stop, Reply, FrameTrace]:
        """Take one input through its frames.

        Raises at once, before anything can be recorded: `EngineClosed` while another message is under way or after one that
        failed in the engine itself, what *switch* raises for a graph that there is not, and `UsageError` for an edit that does
        not fit the state; after these two the run can go on (W61).
        """
        self._close()
        try:
            self._next = self._switched(input)
            if isinstance(input.body, StateEdit):
                self.edited(input.body.changes())
        except BaseException:
            self.closed = False
            raise
        return _Message(self, input).run()

    def frame(
        self, input: Input, number: int, phase: Phase, messages: Mapping[str, tuple[Any, FrozenMap]]
    ) -> Generator[Stop, Reply, None]:
        """Take one frame by itself, from the state of now; *messages* are what its nodes are given, each with its JSON.

        The run ends with the frame: ask no more after its `Committed`. Raises `EngineClosed` as `message` does.
        """
        self._close()
        return _Message(self, input).frame(number, phase, messages)

    def _close(self) -> None:
        if self.closed:
            hint = "send one message after another; after a failure start a new Engine, from a checkpoint if there is one"
            raise EngineClosed("this run has ended, or a message is under way in it", hint=hint)
        self.closed = True

    def advance(self, at: int) -> None:
        """Let the run's time be at least *at*."""
        if at > self._now:
            self._now = at

    @property
    def now(self) -> int:
        """The run's time in microseconds: the newest of all that has come in."""
        return self._now

    def entry(self, input: Input) -> str | None:
        """Return the node that inputs of this kind enter at; None where the graph has none."""
        name: str | None = self.bound.graph.entry.get(input.type)
        # Plain, as the graph's nodes are called: a long name in a frozen mapping is a text that is stored once.
        return None if name is None else str(name)

    def absorb(self, input: Input) -> str | None:
        """Apply an input that runs no node, and return its path label; None for inputs that run nodes."""
        body = input.body
        if isinstance(body, Given):
            self.state = self.state.apply(body.changes())
            return "given"
        if isinstance(body, StateEdit):
            self.state = self.edited(body.changes())
            return "edit"
        if isinstance(body, Clear):
            self.state = RunState(self.bound.graph.state)
            return "clear"
        if isinstance(body, SwitchGraph):
            if self._next is not None:
                self._use(self._next)
            return "switch"
        return None

    def edited(self, changes: Iterable[Change]) -> RunState:
        """Return the state after changes made by hand, which are not made here. Raises `UsageError` where one does not fit."""
        try:
            return self.state.apply(changes)
        except NodeError as error:
            raise UsageError(f"the edit does not fit the state: {error.message}", hint=error.hint) from None

    def _switched(self, input: Input) -> BoundGraph | None:
        """Return the graph that an input switches to; None for any other input."""
        if not isinstance(input.body, SwitchGraph):
            return None
        if self._switch is None:
            hint = "give the Engine a 'switch' that finds graphs"
            raise UsageError(f"this run cannot switch to graph {input.body.graph!r}", hint=hint)
        return self._switch(input.body.graph)

    def task(self, name: str, message: Any, given: FrozenMap, key: EffectKey) -> NodeTask:
        """Prepare one node for the frame of *key*; *given* is the JSON of its message."""
        context = NodeContext(
            key,
            self.state.sections,
            now=self._now,
            seed=self.seed,
            config=self.bound.graph.node(name),
            preview=partial(self.previews.show, key) if self.instruments.watching("on_preview") else None,
        )
        return NodeTask(self.bound.implementations[name], message, given, context, self.guard)


class _Message:
    """The way of one input through its frames."""

    def __init__(self, engine: Engine, input: Input) -> None:
        self.engine = engine
        self.input = input
        self.number = 0
        self.main_frames = 0
        self.calls = 0
        self.visited: list[str] = []
        self.pending = Pending(engine.router.phases)
        self.failed = self.stopped = self.cancelled = False

    def run(self) -> Generator[Stop, Reply, FrameTrace]:
        engine = self.engine
        engine.advance(self.input.at)
        engine.instruments.call("on_input", self.input)
        path = engine.absorb(self.input)
        if path is None:
            name = engine.entry(self.input)
            if name is None:
                path = "ignored"
            else:
                message = entry_message(self.input)
                self.pending.put((name,), message, to_json(message))
                yield from self._frames()
                path = engine.bound.graph.path_of(self.visited, self.main_frames)
        trace = FrameTrace(
            input=self.input.number,
            path=path,
            total_frames=self.main_frames,
            frames=self.number,
            calls=self.calls,
            status=self._status(),
            state=engine.state.digest,
        )
        engine.previews.settle()
        engine.instruments.call("on_trace", trace)
        engine.closed = False
        return trace

    def frame(self, number: int, phase: Phase, messages: Mapping[str, tuple[Any, FrozenMap]]) -> Generator[Stop, Reply, None]:
        self.number = number - 1
        # What an epilogue starts belongs to it, whatever the graph says of the node.
        self.pending = Pending({**self.engine.router.phases, **dict.fromkeys(messages, phase)})
        for name, (message, given) in messages.items():
            self.pending.put((name,), message, given)
        return self._frames()

    def _status(self) -> TraceStatus:
        if self.cancelled:
            return "cancelled"
        if self.stopped:
            return "open"
        return "failed" if self.failed else "done"

    def _frames(self) -> Generator[Stop, Reply, None]:
        engine = self.engine
        number, stream, watching = self.input.number, self.input.stream, engine.instruments.watching
        while self.pending:
            phase, ready = self.pending.take()
            self.number += 1
            check("frames of one message", FRAMES_PER_MESSAGE_MAX, self.number, "does the graph go round for ever?")
            names = sorted(ready, key=engine.order.__getitem__) if len(ready) > 1 else list(ready)
            if phase == "main":
                self.main_frames = self.number
                self.visited += names
            tasks = [engine.task(name, *ready[name], EffectKey(number, self.number, name, 0, stream)) for name in names]
            try:
                steps = run_frame(tasks)
                ran = yield from self._observed(steps) if watching("on_ask") or watching("on_outcome") else steps
            except BaseException:
                for task in tasks:
                    engine.previews.retract(task.context.key)
                raise
            raised = {task.name: task.raised for task in ran.tasks if task.raised}
            reply = yield Committed(self._commit(ran, phase), raised)
            if self.stopped or self.cancelled:
                return
            for late in (reply or NO_REPLY).late:
                self._admit(late)

    def _observed(self, frame: Generator[Ask, Reply, RanFrame]) -> Generator[Stop, Reply, RanFrame]:
        """Hand the frame's Asks on, telling instruments of what passes."""
        instruments = self.engine.instruments
        reply: Reply | None = None
        while True:
            try:
                ask = next(frame) if reply is None else frame.send(reply)
            except StopIteration as end:
                ran: RanFrame = end.value
                return ran
            asked = dict(ask.outstanding)
            for call in ask.new:
                instruments.call("on_ask", call)
            reply = (yield ask) or NO_REPLY
            for answer in reply.answers:
                if answer.key in asked:
                    instruments.call("on_outcome", asked[answer.key], answer.outcome)

    def _admit(self, late: Input) -> None:
        """Hand a late input to its node, in the next frame or, where the node has a message already, in the one after it.

        An edit of the state is applied here and now, and is handed to nobody.
        """
        self.engine.advance(late.at)
        self.engine.instruments.call("on_input", late)
        if late.during is None:
            raise UsageError(f"input {late.number} is given during a message, and does not say so", hint="set Input.during")
        if isinstance(late.body, StateEdit):
            self.engine.absorb(late)
            return
        name = self.engine.entry(late)
        if name is not None:
            message = entry_message(late)
            self.pending.put((name,), message, to_json(message))

    def _commit(self, ran: RanFrame, phase: Phase) -> Frame:
        """Commit in graph order: records, state changes, and the messages that edges carry on."""
        engine = self.engine
        self.cancelled = self.cancelled or ran.cancelled
        before = state = engine.state
        records: list[FrameRecord] = []
        for task in ran.tasks:
            for outcome in task.outcomes.values():
                engine.advance(outcome.at)
            record = self._record(task, phase, before)
            if record.error is None and not record.open:
                try:
                    changed = state.apply(record.changes)
                    if record.route and not self.cancelled and task.result is not None and record.output is not None:
                        message = task.result.message
                        # A plain mapping can be changed, and several nodes may get it.
                        given = record.output if isinstance(message, Mapping) else message
                        self.pending.put(record.route, given, record.output)
                    state = changed
                except FrameEngineError as error:
                    record = _failed(record, error)
            if record.error is not None:
                self.failed = True
                engine.previews.retract(task.context.key)
            self.stopped = self.stopped or record.open
            self.calls += len(record.calls)
            records.append(record)
        engine.state = state
        frame = Frame(input=self.input.number, frame=self.number, phase=phase, records=tuple(records))
        engine.instruments.call("on_frame", frame)
        return frame

    def _record(self, task: NodeTask, phase: Phase, state: RunState) -> FrameRecord:
        context, result, error = task.context, task.result, task.error
        output, routing = None, NOWHERE
        if result is not None and result.message is not None and error is None:
            try:
                output = to_json(result.message)
                routing = self.engine.router.route(task.name, output, state.sections)
            except FrameEngineError as raised:
                output, error = None, raised
        return FrameRecord(
            frame=self.number,
            node=task.name,
            phase=phase,
            input=task.given,
            output=output,
            calls=_call_records(task),
            emissions=context.joined_emissions() if context.emissions else (),
            changes=result.changes if result is not None and error is None else (),
            route=routing.targets,
            condition=routing.conditions,
            error=None if error is None else freeze(error_value(error)),
            now=context.now() if context.now_read else None,
            open=task.open,
        )


def _call_records(task: NodeTask) -> tuple[CallRecord, ...]:
    records = []
    for performing in task.context.performings:
        for call in performing.calls:
            outcome = task.outcomes.get(call.key)
            if outcome is not None:
                records.append(
                    CallRecord(
                        call=call.key.call,
                        kind=call.effect.kind,
                        name=call.effect.name,
                        request=call.digest,
                        outcome=outcome.digest,
                        status=outcome.status,
                    )
                )
    return tuple(records)


def _failed(record: FrameRecord, error: Exception) -> FrameRecord:
    return evolve(record, output=None, changes=(), route=(), condition=EMPTY, error=freeze(error_value(error)))


def entry_message(input: Input) -> Any:
    """Return the message that an input becomes for the node it enters at."""
    body = input.body
    if isinstance(body, UserMessage):
        chat, text = body.message, body.text
        plain = tuple(chat.items()) == (("role", "user"), ("content", text))
        return Envelope(
            text=text,
            user_id=body.user_id,
            session_id=body.session_id,
            channel=body.channel,
            message=EMPTY if plain else chat,
        )
    return body
