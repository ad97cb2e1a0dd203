"""A trace opened for going about in: what happened at each place, and the state there. Nothing is run.

Opening goes over the file once, proves it, and keeps a few numbers for each line (`TraceIndex`, `Layout`) and a checkpoint of the
state now and then (`States`). Everything else is read again from the file when it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Self

from attrs import evolve

from frameengine.debug.checkpoint import Recent
from frameengine.debug.frames import Arrived, Frames
from frameengine.debug.layout import Layout, in_short
from frameengine.debug.place import Place
from frameengine.debug.states import States
from frameengine.errors import TraceError, TraceIncomplete, TraceIntegrity, UnknownRef
from frameengine.inputs import Input, SwitchGraph
from frameengine.jsonvalue import FrozenMap
from frameengine.state import RunState
from frameengine.trace.index import TraceIndex
from frameengine.trace.messages import CUT_OFF, UNDER_WAY, Made, Message, Step
from frameengine.trace.reader import Counts, Line, TraceReader

LINES_AT_ONCE = 2_000
"""Lines between two reports of progress."""
INPUTS_KEPT = 512
"""Inputs that are kept decoded: the lines of a list that is in sight."""


class Timeline:
    """All places of one trace, in order."""

    def __init__(
        self, path: Path, *, damaged: bool = False, whole: bool = True, growing: bool = False,
        progress: Callable[[int], None] | None = None,
    ) -> None:  # fmt: skip
        """Read *path*, telling *progress* how many bytes are done; without *whole* its header only, and `load` reads on.

        With *damaged* the good prefix of a damaged or unfinished trace is used, and `problem` says what is wrong with the rest.
        A *growing* one is being written: its newest message is not cut off. Raises `TraceError`.
        """
        self.path = path
        self._damaged = damaged
        self._index = TraceIndex(path)
        self._reader = TraceReader(path, damaged=damaged, note=self._index.note)
        self._index.contents.recent = self._reader.contents
        self.header: FrozenMap = self._reader.header
        """The header's members."""
        self.problem: TraceError | None = None
        """What is wrong behind the good prefix; None where the trace is whole, or not read to its end."""
        self.loaded = False
        """Whether all there is was read."""
        self.growing = growing
        """Whether a writer is at work on it."""
        self._layout = Layout(
            lambda number: in_short(self.input(number).body),
            lambda: UNDER_WAY if self.growing or not self.loaded else CUT_OFF,
        )
        self._states = States(self._reader.header_line.value, self._index, self._layout)
        self._frames = Frames(self._index, self._layout)
        self._inputs: Recent[Input] = Recent(INPUTS_KEPT)
        self._lines = self._reader.lines()
        tell = progress or (lambda _done: None)
        while whole and not self.load(LINES_AT_ONCE):
            tell(self.read)
        tell(self.read)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Load no more. What is loaded stays in use."""
        self._reader.close()
        self._lines, self.loaded = iter(()), True

    # ------------------------------------------------------------------ loading

    def load(self, lines: int = LINES_AT_ONCE) -> bool:
        """Read on, at most so many lines; return whether all there is was read. Raises `TraceError` unless *damaged*.

        The places read so far can be used in between.
        """
        if self.loaded:
            return True
        try:
            take = self._take
            for line in islice(self._lines, lines):
                take(line)
            if not self._reader.sealed and self._reader.problem is None:
                return False
            self.problem = self._reader.problem
        except TraceError as error:
            self._reader.close()
            if not self._damaged:
                raise
            self.problem = error
        self.loaded = True
        self._index.settle()
        if not self._growing:
            self._index.contents.recent = None
        return True

    def load_all(self, stopping: Callable[[], bool] = lambda: False) -> bool:
        """Read on to the end, or until *stopping* says so; return whether all there is was read. Raises as `load`."""
        while not self.load() and not stopping():
            pass
        return self.loaded

    @property
    def _growing(self) -> bool:
        """Whether a writer may yet add to what was read: nothing is wrong with it but that it ends."""
        return isinstance(self.problem, TraceIncomplete) and self.problem is self._reader.problem and not self._index.compressed

    def extend(self) -> int:
        """Take in what a writer has added to a trace that had no seal; return how many places are new. Raises `TraceError`.

        For a timeline that was opened as *damaged*: a recording under way has no seal yet.
        """
        before = self.places
        if self.loaded and self._growing:
            self._reader.again()
            self._lines, self.loaded = self._reader.lines(), False
            self.load_all()
        return self.places - before

    def _take(self, line: Line) -> None:
        layout, number, kind = self._layout, line.number - 1, line.kind
        if kind == "frame":
            self._states.frame(layout.frame(line, number), line.value)
        elif kind == "outcome":
            layout.outcome(line, number)
        elif kind == "input":
            if layout.input(line, number):
                self._states.enter(layout.places - 1, line.value)
            else:
                self._states.late(layout.places - 1, number, line.value)
        else:
            layout.trace(line, number)
        layout.newest = number

    @property
    def read(self) -> int:
        """Bytes read and proven, unpacked."""
        return self._index.end

    @property
    def counts(self) -> Counts:
        """Inputs, frames and calls read so far."""
        return self._reader.counts

    def changed_on_disk(self) -> str:
        """Return what was done to the file since it was read, in a few words; empty where nothing shows.

        Looks at the file's name, size and time. Lines that are read again are proven besides: `TraceIntegrity`.
        """
        return self._index.changed(growing=self._growing or not self.loaded)

    def check_unchanged(self) -> None:
        """Raise `TraceIntegrity` where `changed_on_disk` says something: what goes by the file's name would take another run."""
        if changed := self.changed_on_disk():
            what = f"{self.path} is no longer the run that is open: {changed}"
            raise TraceIntegrity(what, hint="open it again, and look at it anew", path=str(self.path))

    @property
    def head(self) -> str:
        """Chain value of the last line read, in hex: what proves that another reading read the same."""
        return self._reader.head

    # ------------------------------------------------------------------ places

    @property
    def places(self) -> int:
        """How many frame boundaries there are, the start and those of messages that have just entered included."""
        return self._layout.places

    @property
    def positions(self) -> int:
        """How many positions there are: one for each frame boundary, and behind them one for the `unfinished` frame."""
        return self.places + (self.unfinished is not None)

    def place(self, position: int) -> Place:
        """Return the frame boundary at a position, from 0, the start; of the `unfinished` frame the last place inside it."""
        unfinished = self.unfinished if position == self.places else None
        return self._layout.place(position) if unfinished is None else evolve(unfinished, effects=self._count(position))

    def index(self, place: Place) -> int:
        """Return the position of a place's frame (`Place.whole`); `places` for one inside the `unfinished` frame.

        Raises `UnknownRef` where the run has no such place.
        """
        unfinished = self.unfinished
        if unfinished is not None and place.effects is not None and place.whole == unfinished:
            position: int | None = self.places
        else:
            position = self._layout.position(place)
        if position is None:
            written = place if place.frame else place.message
            what = f"{self.path}: there is no place {written}{'' if self.loaded else ' in what is read so far'}"
            raise UnknownRef(what, hint=f"the last is {self.last}", place=str(place))
        count = self._count(position) if place.frame else 0
        if place.effects is not None and not (place.frame and 0 <= place.effects <= count):
            what = f"{self.path}: frame {place.whole} has {count} effects, there is no place {place}"
            raise UnknownRef(what, hint=f"write {place.whole}:0 to {place.whole}:{count}", place=str(place))
        return position

    @property
    def last(self) -> Place:
        """The last frame boundary."""
        return self._layout.place(self.places - 1)

    @property
    def end(self) -> Place:
        """The last place: inside the `unfinished` frame, where there is one."""
        return self.place(self.positions - 1)

    @property
    def unfinished(self) -> Place | None:
        """The frame behind the last boundary that has effects and was never committed: the file ends before.

        None where there is none. Places inside it have a number of effects; its end is no place.
        """
        if not self.loaded or not self._count(self.places):
            return None
        return Place(self.last.message, self.last.frame + 1)

    def _count(self, position: int) -> int:
        """Return how many outcomes arrived in the frame at a position; in the `unfinished` one, behind the last."""
        return len(self._layout.outcomes(position)) if position else 0

    # ------------------------------------------------------------------ messages

    @property
    def messages(self) -> Layout:
        """All messages in short, in order; none of them is decoded."""
        return self._layout

    def message_index(self, number: int) -> int:
        """Return the position of a message in `messages`. Raises `UnknownRef` where the run has no such message."""
        found = self._layout.find(number)
        if found is None:
            what = f"{self.path}: there is no message {number}"
            raise UnknownRef(what, hint=f"the last is {self.last.message}", number=number)
        return found

    def message(self, number: int) -> Message:
        """Return a message whole: its input, its frames, its figures. Raises `UnknownRef`."""
        index = self.message_index(number)
        first, behind = self._layout.span(index)
        steps = [self._frames.at(position)[0] for position in range(first + 1, behind)]
        message = Message(input=self.input(number), steps=steps, unended=self._layout[index].status)
        figures = self._layout.figures_line(index)
        if figures:
            line = self._index.line(figures)
            message.trace, message.meta = line.data, line.meta
        return message.closed(self._frames.arrived(behind))

    def input(self, number: int) -> Input:
        """Return the input of a message. Raises `UnknownRef`."""
        known = self._inputs.get(number)
        if known is None:
            first, _ = self._layout.span(self.message_index(number))
            known = self._inputs.put(number, self._index.line(self._layout.line(first)).input())
        return known

    def lines(self, number: int) -> Iterator[Line]:
        """Yield the lines of a message, its input's and its figures' included, contents left out. Raises `TraceError`."""
        index = self.message_index(number)
        first, behind = self._layout.span(index)
        last = self._layout.figures_line(index)
        if not last:
            last = self._layout.line(behind) - 1 if behind < self.places else self._layout.newest
        start = self._layout.line(first)
        for position in range(first + 1, behind):
            yield from self._index.lines(start, self._layout.line(position))
            start = self._layout.line(position) + 1
        if start <= last:
            yield from self._index.lines(start, last)

    # ------------------------------------------------------------------ what is there

    def frame(self, place: Place) -> Step | None:
        """Return the frame that a place is in or at the end of; None where none has begun, or where it was never committed."""
        position = self._committed(place)
        return self._frames.at(position)[0] if position else None

    def records(self, place: Place) -> tuple[FrozenMap, ...]:
        """Return the records of the place's frame, in graph order."""
        position = self._committed(place)
        records: tuple[FrozenMap, ...] = self._index.line(self._layout.line(position)).data["records"] if position else ()
        return records

    def line(self, place: Place) -> bytes:
        """Return the line of the place's frame as it stands in the file; empty where there is none."""
        position = self._committed(place)
        return self._index.raw(self._layout.line(position)) if position else b""

    def _committed(self, place: Place) -> int:
        """Return the position of the end of a place's frame; 0 where no frame has begun, or it was never committed."""
        return (self._layout.position(place) or 0) if place.frame else 0

    def mentions(self, sought: bytes) -> bool:
        """Return whether bytes stand anywhere in what was read so far, whoever may have said them.

        They are read again and not proven: raises `TraceIntegrity` where `changed_on_disk` says something, and `StorageError`.
        """
        self.check_unchanged()
        return self._index.contains(sought)

    def effects(self, place: Place) -> tuple[Made, ...]:
        """Return the effects of the place's frame in the order in which their outcomes arrived."""
        return tuple([each for each in self.arrivals(place) if isinstance(each, Made)])

    def arrivals(self, place: Place) -> Arrived:
        """Return what came in within the place's frame, in order: late inputs, outcomes, and a Cancel between them."""
        position = self._committed(place)
        if position:
            return self._frames.at(position)[1]
        return self._frames.arrived(self.places) if self.unfinished == place.whole else ()

    def behind(self, place: Place) -> tuple[Input, ...]:
        """Return the inputs that came in behind the place's frame, where no other frame of the message follows."""
        position = self._committed(place)
        if not position or self._layout.span(self._layout.within(position))[1] != position + 1:
            return ()
        return tuple([each for each in self._frames.arrived(position + 1) if isinstance(each, Input)])

    # ------------------------------------------------------------------ states

    def state(self, place: Place) -> RunState:
        """Return the state at a place, folded from the changes that the record has. Raises `UnknownRef`."""
        self.index(place)
        return self._states.at(self._boundary(place))

    def _boundary(self, place: Place) -> int:
        """Return the position of the boundary whose state holds at a place."""
        return self.index(place) - (place.effects is not None)

    def state_known(self, place: Place) -> bool:
        """Whether the state at a place is proven to be the run's: the digest that was recorded agrees with what is folded."""
        return not self.doubt(place)

    def doubt(self, place: Place) -> str:
        """Return why the state at a place may be another one than the run had; empty where it is known.

        Raises `UnknownRef`, `TraceError`.
        """
        return self._states.doubt(self._boundary(place))

    def touched(self, section: str) -> Sequence[int]:
        """Return the positions, ascending, at which a section of the state may have changed."""
        return self._states.touched(section)

    def now(self, place: Place) -> int:
        """Return the run's time at the boundary of a place, in microseconds: the newest of all that had come in."""
        return self._layout.time(self._boundary(place))

    def switched(self, place: Place) -> SwitchGraph | None:
        """Return the input by which the run went over to the graph in use at a place; None where it is the header's."""
        number = self._states.switched(self._boundary(place))
        body = None if number is None else self.input(number).body
        return body if isinstance(body, SwitchGraph) else None
