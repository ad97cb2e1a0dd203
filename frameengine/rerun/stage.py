"""The recorded surroundings of a rerun: inputs that come in at their places, and answers from recorded calls."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Literal, TypeAlias

from attrs import evolve, frozen

from frameengine.cassette.cassette import Recorded, switched
from frameengine.cassette.match import Hit, Matcher
from frameengine.effects import Answer, Call, EffectKey, Outcome
from frameengine.engine.driver import Arrival, Inbox, virtual_at
from frameengine.engine.message import Engine
from frameengine.engine.stops import Ask
from frameengine.errors import CassetteMiss
from frameengine.graph.registry import fingerprint
from frameengine.inputs import Body, Cancel, Input
from frameengine.jsonvalue import freeze
from frameengine.performers.replaying import Replaying
from frameengine.rerun.edited import NO_CALLS, EditedCall
from frameengine.rerun.plan import Message, Plan
from frameengine.rerun.supply import Supply

How: TypeAlias = Literal["exact", "slot", "nearest", "edited", "script", "live", "needed", "cancelled", "not recorded"]
"""Who or what answered a call; of one that is *needed* nobody could, and a recorded reply stood in to see what follows."""

APPROXIMATE: tuple[How, ...] = ("slot", "nearest")


@frozen(kw_only=True)
class Answered:
    """A call of a rerun, and where its outcome came from."""

    key: EffectKey
    """Where it was asked."""
    effect: str
    """model or tool."""
    name: str
    """Name of the model or tool."""
    how: How
    """How its outcome was found."""
    recorded: Recorded | None = None
    """The recorded call whose reply it got, or that stood in."""
    similarity: float = 1.0
    """Likeness to that call's request, 0 to 1."""
    ambiguous: bool = False
    """Whether the reply to another equal request could have been meant."""
    equal: bool = True
    """Of one that got no reply: whether the recorded one that got none had this request."""

    @property
    def loose(self) -> bool:
        """Whether what it got was recorded for another request."""
        return self.how in APPROXIMATE or not self.equal


@frozen(kw_only=True)
class Miss:
    """A call that no recorded reply was found for."""

    call: Call
    """The call."""
    how: How
    """Who answered it: script or live; ``needed`` where nobody did."""
    outcome: Outcome
    """What it got; of a needed one what stood in for it, or ``not_recorded`` where nothing would do and its message stopped."""
    stand_in: Recorded | None = None
    """The recorded call whose reply stood in."""
    certain: bool = True
    """Whether nothing stood in before it: what is written there may change what comes after."""


@frozen(kw_only=True)
class Moved:
    """An input that could not come in where it was recorded."""

    input: int
    """Its number."""
    recorded: tuple[int, int]
    """Input and frame that were under way."""
    now: tuple[int, int] | None
    """Those of the rerun; None where it came in by itself, after the message."""


class Stage(Inbox):
    """The inbox and the performer of a rerun."""

    def __init__(
        self,
        plan: Plan,
        engine: Engine,
        matcher: Matcher,
        supply: Supply | None,
        *,
        explore: bool,
        edited: Mapping[EffectKey, EditedCall] = NO_CALLS,
    ) -> None:
        """Answer *engine* by what was *edited*, then by *matcher*, then by *supply*.

        With *explore* a miss is kept as needed and does not end the run. Keys are the recorded ones here, also where inputs were
        put in before them.
        """
        super().__init__()
        self.engine = engine
        self.matcher = matcher
        self.answered: dict[EffectKey, Answered] = {}
        """Every call that was asked, in order."""
        self.misses: list[Miss] = []
        """Those that no recorded reply was found for."""
        self.moved: list[Moved] = []
        """Inputs that came in elsewhere."""
        self.lost: list[int] = []
        """Late inputs that a node was given when they were recorded, and for which the graph of now has none."""
        self._plan = plan
        self._supply = supply
        self._edited = edited
        self._explore = explore
        self._bound = engine.bound
        self._performer = Replaying(matcher, self._missed, arrived=self._arrived)
        self._recorded_clock = plan.header.get("clock") == "recorded"
        self._message: Message | None = None
        self._ends: list[tuple[Call, Outcome]] = []
        self._frame = 0
        self._late: deque[Input] = deque()
        self._coming: Input | None = None
        self._stuck = False

    # ------------------------------------------------------------------ inputs

    def prepare(self, message: Message) -> None:
        """Let the late inputs of *message* wait for their places."""
        self._message, self._frame, self._stuck = message, 0, False
        self._late, self._coming = deque(message.late), message.cancel
        self._ends = [end for key, end in self._plan.unanswered.items() if key.input == message.input.number]

    def left(self) -> list[tuple[Body, int]]:
        """Return the inputs whose place the message did not come to, with their times; each is noted as moved."""
        waiting = [*self._late, *([] if self._coming is None else [self._coming])]
        for entered in waiting:
            self._note(entered, None)
        self._late, self._coming = deque(), None
        return [(entered.body, self.came(entered)) for entered in waiting]

    def begin(self) -> None:
        """Do nothing: what comes in is known beforehand."""

    def take(self) -> list[Arrival]:
        """Return what came in at the frame boundary that is reached now."""
        self._frame += 1
        taken = []
        while self._late and _frame_of(self._late[0]) <= self._frame:
            entered = self._late.popleft()
            if self._message is not None and entered.number in self._message.reached and self.engine.entry(entered) is None:
                self.lost.append(entered.number)
            taken.append(Arrival(entered.body, self.came(entered)))
        return taken

    def cancelled(self) -> Arrival | None:
        """Return the recorded Cancel once nothing is left to answer before it, or its frame is over."""
        coming, under_way = self._coming, self._frame + 1
        if coming is None or self._late or not (self._stuck or under_way > _frame_of(coming)):
            return None
        if under_way != _frame_of(coming):
            self._note(coming, under_way)
        self._coming = None
        return Arrival(Cancel(), coming.at)

    def _note(self, entered: Input, frame: int | None) -> None:
        number = 0 if self._message is None else self._message.input.number
        now = None if frame is None else (number, frame)
        self.moved.append(Moved(input=entered.number, recorded=(number, _frame_of(entered)), now=now))

    def came(self, entered: Input) -> int:
        """Return when an input of its own comes in; one that was not recorded takes no time."""
        return entered.at if entered.number else self.engine.now

    # ------------------------------------------------------------------ calls

    def perform(self, ask: Ask) -> list[Answer]:
        """Answer the new effects in call order, but for those that the recorded Cancel cuts off. Raises `CassetteMiss`."""
        if self.engine.bound is not self._bound:
            self._bound = self.engine.bound
            self.matcher.nodes = switched(fingerprint(self._bound))
        answers: list[Answer] = []
        for asked in ask.new:
            call = self._as_recorded(asked)
            outcome = self._by_hand(call) or self._recorded_end(call)
            if outcome is None:
                [answer] = self._performer.perform(Ask((call,), {call.key: call}))
                self._keep(call)
                outcome = answer.outcome
            if outcome.status != "cancelled":
                answers.append(Answer(asked.key, outcome))
        self._stuck = not answers
        return answers

    def _as_recorded(self, call: Call) -> Call:
        """Return a call under the key that it has where the input of its message was recorded."""
        number = self._plan.recorded(call.key.input)
        return call if number == call.key.input else evolve(call, key=call.key._replace(input=number))

    def _by_hand(self, call: Call) -> Outcome | None:
        """Return the outcome that somebody wrote for the call of this place; None where nobody did, or it calls another thing."""
        edited = self._edited.get(call.key)
        if edited is None or (edited.effect, edited.name) != (call.effect.kind, call.effect.name):
            return None
        self.matcher.skip(call)
        self.answered[call.key] = _answered(call, "edited")
        origin = {"how": "edited", "from": call.key.wire()}
        return evolve(edited.outcome, meta=freeze({"reply": origin}))

    def _recorded_end(self, call: Call) -> Outcome | None:
        """Return how a call ends that was recorded without a reply; None for one that a reply is to be looked for."""
        ended = self._unanswered(call)
        if ended is None:
            return None
        equal, outcome = ended
        how: How = "not recorded" if outcome.status == "not_recorded" else "cancelled"
        self.answered[call.key] = evolve(_answered(call, how), equal=equal)
        return outcome

    def _unanswered(self, call: Call) -> tuple[bool, Outcome] | None:
        """Return the outcome of the recorded call in the place of *call*, or with its request, where that got no reply.

        Before it: whether that call's request was equal.
        """
        if self._ends and any(entry.key == call.key for entry in self.matcher.cassette.equal(call.digest)):
            # Another equal request was answered before the Cancel, and it is this one.
            return None
        for other, outcome in self._ends:
            key = other.key
            equal = other.digest == call.digest
            place = (key.frame, self._slot(key.node), key.call) == (call.key.frame, self._slot(call.key.node), call.key.call)
            if outcome.status == "cancelled":
                # What is cut off is a matter of the moment, whatever was asked.
                if self._coming is not None and self._frame + 1 >= key.frame and (place or equal):
                    return equal, outcome
            elif equal or (place and self.matcher.policy != "exact"):
                return equal, evolve(outcome, at=outcome.at if key == call.key else self._arrived(call))
        return None

    def _slot(self, node: str) -> str:
        return self.matcher.nodes.get(node, (node, ""))[0]

    def _arrived(self, call: Call) -> int:
        """Return when a reply arrives that was recorded elsewhere, or nowhere: recorded times do not go back."""
        return self.engine.now if self._recorded_clock else virtual_at(call.key)

    def _missed(self, call: Call) -> Outcome:
        supplied = None if self._supply is None else self._supply.answer(call)
        certain = not any(miss.how == "needed" for miss in self.misses)
        if supplied is not None:
            how, outcome = supplied[0], evolve(supplied[1], at=self._arrived(call))
            self.answered[call.key] = _answered(call, how)
            self.misses.append(Miss(call=call, how=how, outcome=outcome, certain=certain))
            return outcome
        if not self._explore:
            error = self.matcher.miss(call)
            if self._supply is None:
                raise error
            raise CassetteMiss(f"{error.message}; neither the script nor anything live has one", hint=error.hint, **error.fields)
        hit = self.matcher.stand_in(call)
        outcome = Outcome(status="not_recorded", at=self._arrived(call)) if hit is None else self._performer.outcome(call, hit)
        self.answered[call.key] = _answered(call, "needed", hit)
        recorded = None if hit is None else hit.recorded
        self.misses.append(Miss(call=call, how="needed", outcome=outcome, stand_in=recorded, certain=certain))
        return outcome

    def _keep(self, call: Call) -> None:
        hit = self._performer.hits.get(call.key)
        if hit is not None:
            self.answered[call.key] = _answered(call, hit.how, hit)


def _answered(call: Call, how: How, hit: Hit | None = None) -> Answered:
    key, effect = call.key, call.effect
    if hit is None:
        return Answered(key=key, effect=effect.kind, name=str(effect.name), how=how)
    return Answered(
        key=key,
        effect=effect.kind,
        name=str(effect.name),
        how=how,
        recorded=hit.recorded,
        similarity=round(hit.similarity, 3),
        ambiguous=hit.ambiguous,
    )


def _frame_of(entered: Input) -> int:
    return 0 if entered.during is None else entered.during.frame
