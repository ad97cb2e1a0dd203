"""Run a part of a recording again up to a place, so that the nodes stand there as they stood, ready to go on.

Everything else of the debugger folds the record; here node code runs, under the guard, on recorded outcomes and nothing else.
What it asks and leaves is compared with the record on the way, so a place is restored exactly or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Self, TypeAlias

from frameengine.codec import canonical
from frameengine.debug.place import START, Place
from frameengine.debug.timeline import Timeline
from frameengine.effects import Answer, EffectKey
from frameengine.engine.guard import Guard
from frameengine.engine.message import Engine
from frameengine.engine.stops import NO_REPLY, Ask, Committed, Reply, Stop
from frameengine.errors import Diverged, GraphError, UsageError
from frameengine.graph.registry import BoundGraph, bind
from frameengine.inputs import Cancel, Input, StateEdit
from frameengine.records import Frame, FrameTrace
from frameengine.replay.divergence import NOTHING, Divergence, Kind
from frameengine.replay.frames import Lockstep, Recorded, Segment, bad_line, read_input, read_segment
from frameengine.replay.replayer import Steps, embedded_graph
from frameengine.trace.messages import CUT_OFF, UNDER_WAY
from frameengine.trace.reader import Line

Switch: TypeAlias = Callable[[str], BoundGraph]
"""Finds the graph that an input switches to."""


class Restored:
    """A run that stands at a place. Close it when it is not wanted any more.

    To go on in another way than was recorded, send replies to `steps` yourself; `rest` goes on as recorded.
    """

    def __init__(self, timeline: Timeline, engine: Engine, place: Place) -> None:
        """Take a run at a boundary between two messages; `restore` takes it to its place."""
        self.engine = engine
        """The run."""
        self.place = place
        """The place."""
        self.steps: Steps | None = None
        """The message under way; None at the start of the run, and after its last message."""
        self.stop: Stop | FrameTrace | None = None
        """Where it stands: an Ask inside a frame, Committed at the end of one; None where nothing of the message has run yet."""
        self.reply: Reply | None = None
        """What is sent to `steps` to go on as it was recorded; None to begin."""
        self._timeline = timeline
        self._frame = 0
        self._lines: Iterator[Line] = iter(())
        self._segment: Segment | None = None
        self._lockstep: Lockstep | None = None
        self._waiting: dict[EffectKey, Answer] = {}
        self._arrived = 0
        self._cancelled = False

    def close(self) -> None:
        """End the message under way."""
        if self.steps is not None:
            self.steps.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def rest(self) -> Iterator[Frame | FrameTrace]:
        """Go on to the end of the recording as it was recorded, comparing everything; yield frames and figures as they come.

        Raises `Diverged` and `TraceError`.
        """
        if self.steps is not None:
            yield from self._rest()
        behind = self._timeline.message_index(self.place.message) + 1 if self.place.message else 0
        for index in range(behind, len(self._timeline.messages)):
            self._begin(self._timeline.messages[index].number)
            yield from self._rest()

    def _rest(self) -> Iterator[Frame | FrameTrace]:
        while self._more():
            if self._segment is not None and self._segment.end.kind == "trace":
                yield self._figures(self._segment)
                return
            self._inside(None)
            yield self._committed()

    def _begin(self, number: int) -> None:
        """Take the input of a message to its engine; nothing of it runs yet."""
        self._lines = self._timeline.lines(number)
        self.steps = self.engine.message(read_input(next(self._lines)))
        self.place, self._frame = Place(number), 0
        self.stop = self.reply = None
        self._look()

    def _look(self) -> None:
        """Read what was recorded up to the end of the next frame, or of the message."""
        number, frame = self.place.message, self._frame + 1
        if self._timeline.unfinished == Place(number, frame):
            self._segment = _unfinished(self._lines, number, frame)
        elif self._timeline.last == Place(number, self._frame) and self._timeline.messages[-1].status in (CUT_OFF, UNDER_WAY):
            self._segment = None
        else:
            self._segment = read_segment(self._lines, number, frame)
        if self.stop is not None:
            behind = self._timeline.behind(self.place) if self._segment is None else self._segment.late
            late = tuple([entered for entered in behind if not isinstance(entered.body, Cancel)])
            self.reply = Reply(late=late) if late else NO_REPLY
        self._lockstep, self._waiting, self._arrived = None, {}, 0
        self._cancelled = False

    def _more(self) -> bool:
        return self._segment is not None and self._segment.end.kind in ("frame", "trace")

    def to(self, place: Place) -> None:
        """Run up to a place of the message that has begun."""
        while self._frame < place.frame - (place.effects is not None):
            self._inside(None)
            self._committed()
        if place.effects is not None and self._segment is not None and self._segment.outcomes:
            self._inside(place.effects)
        self.place = place

    def _send(self) -> None:
        """Go on to the next stop."""
        if self.steps is None:
            raise UsageError("no message is under way", hint="restore a place inside one")
        try:
            self.stop = next(self.steps) if self.reply is None else self.steps.send(self.reply)
        except StopIteration as end:
            self.stop = end.value

    def _inside(self, effects: int | None) -> None:
        """Run the next frame until so many outcomes have arrived; without a number to its end.

        The last outcome is not given to the nodes before the frame is to end, so that there is a place to stand at; and what a
        Cancel cuts off comes all at once.
        """
        segment = self._segment
        if segment is None:
            return
        if self._lockstep is None:
            self._send()
            self._lockstep = Lockstep(segment, self.engine.order, self.place.message, self._frame + 1)
            self._take()
        order = list(segment.outcomes)
        most = min(len(order) - 1, len(segment.early) if segment.cancel is not None else len(order))
        while isinstance(self.stop, Ask) and (effects is None or self._arrived < min(effects, most)):
            if self.reply is not None and self.reply.cancel and not self._cancelled:
                self._cancelled = True
                self.engine.instruments.call("on_input", segment.cancel)
            self._send()
            self._arrived = len(order) if self._cancelled else self._arrived + 1
            self._take()

    def _take(self) -> None:
        """Take the answers to what is asked now; `reply` is the one that arrived next."""
        segment, lockstep, stop = self._segment, self._lockstep, self.stop
        if segment is None or lockstep is None or not isinstance(stop, Ask):
            return
        self._waiting.update({answer.key: answer for answer in lockstep.answer(stop)})
        self._judge(lockstep)
        order = list(segment.outcomes)
        if segment.cancel is not None and self._arrived >= len(segment.early):
            self.reply = Reply(tuple([self._waiting[key] for key in stop.outstanding]), cancel=True)
            return
        key = order[self._arrived] if self._arrived < len(order) else None
        if key is None or key not in stop.outstanding:
            lockstep.missing()
            self._judge(lockstep)
            raise self._diverged("missing", str(key), NOTHING)
        self.reply = Reply((self._waiting[key],))

    def _committed(self) -> Frame:
        """Compare the frame that has ended with its record, and look at what comes next."""
        segment, lockstep, stop = self._segment, self._lockstep, self.stop
        if segment is None or lockstep is None or not isinstance(stop, Committed):
            raise self._diverged("missing", f"frame {self._frame + 1}", NOTHING)
        lockstep.missing()
        if canonical(stop.frame.wire()) != segment.end.canonical():
            lockstep.compare(stop.frame, stop.raised)
        self._judge(lockstep)
        self._frame += 1
        self.place = Place(self.place.message, self._frame)
        self._look()
        late = () if self.reply is None else self.reply.late
        edits = [change for entered in late if isinstance(entered.body, StateEdit) for change in entered.body.changes()]
        state = self.engine.edited(edits) if edits else self.engine.state
        if self._timeline.state_known(self.place) and state.digest != self._timeline.state(self.place).digest:
            raise self._diverged("state", self._timeline.state(self.place).digest, state.digest)
        return stop.frame

    def _figures(self, segment: Segment) -> FrameTrace:
        """Compare the figures of the message with the recorded ones."""
        self._send()
        if not isinstance(self.stop, FrameTrace):
            raise self._diverged("extra", NOTHING, f"frame {self._frame + 1}")
        if canonical(self.stop.wire()) != segment.end.canonical():
            raise self._diverged("length", segment.end.canonical().decode(), canonical(self.stop.wire()).decode())
        self.steps = None
        return self.stop

    def _judge(self, lockstep: Lockstep) -> None:
        for found in lockstep.divergences():
            raise self._error(found)

    def _diverged(self, kind: Kind, recorded: str, replayed: str) -> Diverged:
        frame = self._frame + (kind != "state")
        return self._error(Divergence(kind=kind, input=self.place.message, frame=frame, recorded=recorded, replayed=replayed))

    def _error(self, found: Divergence) -> Diverged:
        what = f"{self._timeline.path}: the code of now does not do what was recorded, at {found.place}: {found.kind}"
        hint = "'frameengine replay' shows the difference and its cause; look at the recording without running its code"
        return Diverged(f"{what} {found.pointer}".rstrip(), hint=hint, divergence=found.to_json())


def restore(
    timeline: Timeline,
    place: Place,
    bound: BoundGraph | None = None,
    *,
    switch: Switch | None = None,
    trust: bool = False,
    instruments: tuple[Any, ...] = (),
) -> Restored:
    """Return the run as it stood at *place*: the state before its message is folded, the message is run again.

    *bound* is the graph in use there. Without it that is the one whose definition stands in the header, which needs *trust* where
    it names code that is not registered; or the one that *switch* finds, where the run had switched. A place inside a frame
    without effects is the boundary before it. Raises `UnknownRef`, `GraphError`, `UsageError` where the state is not known,
    `Diverged` where the code does something else than was recorded, and `TraceError`.
    """
    timeline.index(place)
    before = timeline.place(timeline.index(Place(place.message)) - 1) if place.message else START
    restored = Restored(timeline, _engine(timeline, before, bound, switch, trust=trust, instruments=instruments), place)
    if place.message:
        try:
            restored._begin(place.message)  # noqa: SLF001 - one thing in two parts
            restored.to(place)
        except BaseException:
            restored.close()
            raise
    return restored


def _engine(
    timeline: Timeline,
    place: Place,
    bound: BoundGraph | None,
    switch: Switch | None,
    *,
    trust: bool,
    instruments: tuple[Any, ...],
) -> Engine:
    """Return a run that stands at a boundary between two messages."""
    doubt = timeline.doubt(place)
    if doubt:
        what = f"{timeline.path}: the state at {place} is not known: {doubt}"
        raise UsageError(what, hint="go to a place before that, or replay the whole run", place=str(place))
    switched = timeline.switched(place)
    if bound is None and switched is not None:
        if switch is None:
            what = f"{timeline.path}: the run had switched to graph {switched.graph!r} before this place"
            raise GraphError(what, hint=f"name the graph in use there: --graph {switched.graph}", name=switched.graph)
        bound = switch(switched.graph)
    header = timeline.header
    engine = Engine(
        bound or _embedded(timeline, trust=trust),
        seed=header.get("seed", 0),
        state=timeline.state(place),
        guard=Guard(),
        instruments=instruments,
        switch=switch,
    )
    engine.advance(timeline.now(place))
    return engine


def _embedded(timeline: Timeline, *, trust: bool) -> BoundGraph:
    try:
        return bind(embedded_graph(timeline.header, timeline.path), trusted=trust)
    except GraphError as error:
        hint = error.hint if "--graph" in error.hint else "install the code that it needs, or name a graph with --graph"
        raise type(error)(f"{timeline.path}: {error.message}", hint=hint, **error.fields) from error


def _unfinished(lines: Iterator[Line], number: int, frame: int) -> Segment:
    """Return what the file has of a frame that was never committed."""
    late: list[Input] = []
    outcomes: dict[EffectKey, Recorded] = {}
    cancel, early, last = None, {}, None
    for last in lines:
        if last.kind == "outcome":
            outcomes[last.key()] = Recorded(last, last.outcome(), last.canonical())
            continue
        entered = read_input(last)
        if isinstance(entered.body, Cancel):
            cancel, early = entered, dict.fromkeys(outcomes)
        else:
            late.append(entered)
    if last is None or not outcomes:
        raise bad_line(last, f"frame {frame} of input {number} has no outcome")
    return Segment(end=last, outcomes=outcomes, late=tuple(late), cancel=cancel, early=early, canonical=())
