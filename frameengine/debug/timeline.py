"""A trace opened for going about in: what happened at each place, and the state there. Nothing is run."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from frameengine.debug.place import START, Place
from frameengine.errors import TraceError, UnknownRef
from frameengine.inputs import Clear, Given, Input, StateEdit, SwitchGraph
from frameengine.jsonvalue import EMPTY, FrozenMap
from frameengine.state import RunState, change_from_json
from frameengine.trace.messages import Made, Message, Step, messages
from frameengine.trace.reader import Counts, TraceReader


class Timeline:
    """All places of one trace, in order."""

    def __init__(self, path: Path, *, damaged: bool = False, progress: Callable[[int], None] | None = None) -> None:
        """Read *path* whole, telling *progress* how many bytes are done.

        With *damaged* the good prefix of a damaged or unfinished trace is used, and `problem` says what is wrong with the rest.
        Raises `TraceError`.
        """
        self.path = path
        self._messages: list[Message] = []
        self._states: dict[Place, RunState] = {}
        with TraceReader(path, damaged=damaged) as reader:
            self.header: FrozenMap = reader.header
            """The header's members."""
            for message in messages(reader):
                if progress is not None:
                    progress(reader.offset)
                self._messages.append(message)
            self.counts: Counts = reader.counts
            """Inputs, frames and calls."""
            self.problem: TraceError | None = reader.problem
            """What is wrong behind the good prefix; None where the trace is whole."""
        self._places = list(self._all())
        self._fold()

    def _all(self) -> Iterator[Place]:
        yield START
        for message in self._messages:
            yield Place(message.number, 0)
            for step in message.steps:
                yield Place(message.number, step.number)

    def _fold(self) -> None:
        initial = RunState(self.header.get("graph", EMPTY).get("state", EMPTY))
        given = self.header.get("state")
        state = initial if given is None else RunState(given)
        self._states[START] = state
        for message in self._messages:
            body = message.input.body
            if isinstance(body, Clear | SwitchGraph):
                state = initial
            elif isinstance(body, Given | StateEdit):
                state = state.apply(body.changes())
            self._states[Place(message.number, 0)] = state
            for step in message.steps:
                for late in step.late:
                    if isinstance(late.body, StateEdit):
                        # It holds at the boundary at which it came in, not only behind the next frame.
                        state = state.apply(late.body.changes())
                        self._states[Place(message.number, step.number - 1)] = state
                for record in step.records:
                    state = state.apply([change_from_json(change) for change in record.get("changes", ())])
                self._states[Place(message.number, step.number)] = state

    # ------------------------------------------------------------------ places

    @property
    def places(self) -> int:
        """How many frame boundaries there are, the start and those of messages that have just entered included."""
        return len(self._places)

    def place(self, index: int) -> Place:
        """Return a frame boundary by its position, from 0: the start."""
        return self._places[index]

    def index(self, place: Place) -> int:
        """Return the position of a place's frame (`Place.whole`). Raises `UnknownRef` where the run has no such place."""
        whole = place.whole
        position = bisect_left(self._places, whole)
        if position == len(self._places) or self._places[position] != whole:
            raise UnknownRef(f"{self.path}: there is no place {place}", hint=f"the last is {self.last}", place=str(place))
        if place.effects is not None and not 0 <= place.effects <= len(self.effects(place)):
            count = len(self.effects(place))
            raise UnknownRef(f"frame {whole} has {count} effects, not {place.effects}", hint="", place=str(place))
        return position

    @property
    def last(self) -> Place:
        """The last frame boundary."""
        return self._places[-1]

    # ------------------------------------------------------------------ what is there

    def message(self, number: int) -> Message:
        """Return a message whole: its input, its frames, its figures."""
        return self._messages[number and bisect_left(self._messages, number, key=lambda message: message.number)]

    def frame(self, place: Place) -> Step | None:
        """Return the frame that a place is in or at the end of; None where no frame of the message has begun."""
        return self.message(place.message).step(place.frame) if place.frame else None

    def effects(self, place: Place) -> tuple[Made, ...]:
        """Return the effects of the place's frame in the order in which their outcomes arrived."""
        step = self.frame(place)
        return () if step is None else step.calls

    @property
    def messages(self) -> list[Message]:
        """All messages, in order."""
        return self._messages

    def input(self, number: int) -> Input:
        """Return the input of a message."""
        return self.message(number).input

    def records(self, place: Place) -> tuple[FrozenMap, ...]:
        """Return the records of the place's frame."""
        step = self.frame(place)
        return () if step is None else step.records

    def line(self, _: Place) -> bytes:
        """Return the frame's line as it stands in the file; empty where it is not at hand."""
        return b""

    def touched(self, _: str) -> Sequence[int]:
        """Return the positions, ascending, at which a section of the state may have changed."""
        return range(1, self.places)

    def state(self, place: Place) -> RunState:
        """Return the state at a place, folded from the changes that the record has."""
        return self._states[place.boundary]
