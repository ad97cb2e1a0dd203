"""What somebody changed in a recorded run, as a rerun takes it: outcomes of calls, bodies of inputs, edits of the state."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from attrs import evolve, field, frozen

from frameengine.effects import EffectKey, Outcome
from frameengine.inputs import Body, During, Input, StateEdit
from frameengine.jsonvalue import EMPTY, FrozenMap
from frameengine.rerun.plan import Figures, Message, Plan


@frozen(kw_only=True)
class EditedCall:
    """What a call gets instead of what it got."""

    effect: str
    """model or tool: a call of another kind in its place is another call."""
    name: str
    """Name of the model or tool; likewise."""
    outcome: Outcome
    """What it gets."""


NO_CALLS: Mapping[EffectKey, EditedCall] = MappingProxyType({})
_NONE_RAN = Figures(path="edit", total_frames=0, frames=0, calls=0, status="done")


@frozen(kw_only=True)
class PutIn:
    """An edit of the state at a frame boundary."""

    input: int
    """Number of the input whose message is under way; 0 before the first."""
    frame: int
    """The frame that is over; 0 where none has begun."""
    body: StateEdit
    """The edit."""


@frozen(kw_only=True)
class Edited:
    """All that was changed; numbers and keys are the recorded ones."""

    calls: Mapping[EffectKey, EditedCall] = field(default=NO_CALLS)
    """Calls that get something else."""
    bodies: Mapping[int, Body] = field(factory=dict)
    """Numbers of inputs that bring something else."""
    states: tuple[PutIn, ...] = ()
    """Edits of the state, in the order in which they are made."""
    told: FrozenMap = EMPTY
    """What the new trace's header says of all this, beside its parent."""

    def plan(self, plan: Plan) -> Plan:
        """Return what comes in when: the recorded inputs, changed where they were, and the edits of the state at their places."""
        messages = [self._alone(put) for put in self.states if not put.input]
        for message in plan.messages:
            messages += self._around(message)
        return evolve(plan, messages=tuple(messages), numbers=tuple(_numbers(messages)))

    def _around(self, message: Message) -> Iterator[Message]:
        """Yield a message with the edits before, inside and behind it."""
        edits = [put for put in self.states if put.input == message.input.number]
        yield from [self._alone(put) for put in edits if is_before(put.frame, message.figures.frames)]
        late = [self._changed(entered) for entered in message.late]
        for put in edits:
            if 0 < put.frame < message.figures.frames:
                place = During(input=put.input, frame=put.frame)
                late.append(Input(number=0, body=put.body, during=place))
        # Stable: an edit stands behind what came in at the same boundary.
        late.sort(key=lambda entered: entered.during.frame if entered.during is not None else 0)
        yield evolve(message, input=self._changed(message.input), late=tuple(late))
        yield from [self._alone(put) for put in edits if put.frame >= message.figures.frames]

    def _changed(self, entered: Input) -> Input:
        body = self.bodies.get(entered.number)
        return entered if body is None else evolve(entered, body=body)

    def _alone(self, put: PutIn) -> Message:
        return Message(input=Input(number=0, body=put.body), figures=_NONE_RAN)


def is_before(frame: int, frames: int) -> bool:
    """Return whether an edit at the boundary behind *frame*, of *frames* of its message, is made before the message.

    A message that has just entered, and none of its frames run, is as good as one that has not: nobody has seen it. Of one that
    runs no frames, what it does to the state is done.
    """
    return frame == 0 < frames


def _numbers(messages: list[Message]) -> Iterator[int]:
    for message in messages:
        yield message.input.number
        yield from [entered.number for entered in message.late]
        if message.cancel is not None:
            yield message.cancel.number
