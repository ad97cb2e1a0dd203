"""A run that somebody looks over: every effect waits for a decision, every frame may be held before the next begins.

Nothing here waits by itself, and there are no threads: whoever makes a `Paused` or a `Held` gives the function that does. A trace
keeps what the node asked; what a person did about it stands in the outcome's meta. So a replay, which asks the same, gets the
same outcome.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Final, TypeAlias

from attrs import evolve, frozen

from frameengine.debug.typed import failure, json_or_text, model_reply, tool_result
from frameengine.effects import (
    Answer,
    Call,
    Effect,
    EffectFailure,
    EffectKey,
    ModelCall,
    ModelReply,
    Outcome,
    ToolCall,
    ToolReply,
    effect_from_json,
    plain,
)
from frameengine.engine.driver import Clock, Recorder, virtual_at
from frameengine.engine.stops import Ask
from frameengine.errors import UsageError
from frameengine.inputs import Input
from frameengine.jsonvalue import FrozenMap, freeze
from frameengine.records import Frame, FrameTrace
from frameengine.trace.contents import BadContent
from frameengine.trace.shape import check_data

PERSON: Final = "person"
"""What meta says of an outcome that somebody had a hand in: ``by``."""


@frozen
class Approve:
    """Let it be done as it was asked."""


@frozen
class Send:
    """Let another request be done in its place."""

    effect: Effect
    """That request, of the same kind."""


@frozen
class Say:
    """Give the node this; nothing is done."""

    value: ModelReply | ToolReply
    """The reply, or the result."""


@frozen
class Skip:
    """Do nothing, and give the node nothing: an empty text of a model, null of a tool."""


@frozen
class Fail:
    """Do nothing, and let the node see it fail."""

    error: EffectFailure
    """Why, as the node is told."""


Decision: TypeAlias = Approve | Send | Say | Skip | Fail
Decide: TypeAlias = Callable[[Call], Decision | None]
"""Returns what is to become of a call; None where something else comes first: a Cancel, or the end of it all."""

_DID: Final = {Send: "sent", Say: "answered", Skip: "skipped", Fail: "failed"}


class Paused:
    """A performer that has each effect decided on, and lets another performer do those that are to be done."""

    def __init__(self, performer: Any, decide: Decide, *, clock: Clock | None = None) -> None:
        """Call *decide* within `perform`, for one call at a time. Without *clock* a person's outcomes have virtual times."""
        self._performer = performer
        self._decide = decide
        self._clock = clock
        self._undecided: dict[EffectKey, Call] = {}
        self._under_way: dict[EffectKey, Call] = {}
        self._sent: dict[EffectKey, FrozenMap] = {}
        self._leaving = False

    @property
    def on_delta(self) -> Any:
        """Where the other performer tells pieces of replies; the driver sets it."""
        return getattr(self._performer, "on_delta", self)

    @on_delta.setter
    def on_delta(self, tell: Any) -> None:
        self._performer.on_delta = tell

    def perform(self, ask: Ask) -> list[Answer]:
        """Answer what is decided. Empty only where *decide* gave None, or the other performer answered nothing."""
        self._undecided |= {call.key: call for call in ask.new}
        answers: list[Answer] = []
        begun: list[Call] = []
        while self._undecided and not self._leaving:
            call = next(iter(self._undecided.values()))
            decision = self._decide(call)
            if decision is None:
                break
            del self._undecided[call.key]
            if isinstance(decision, Approve | Send):
                begun.append(self._begin(call, decision))
            else:
                answers.append(Answer(call.key, self._by_hand(call, decision)))
        if not self._leaving and (begun or (self._under_way and not answers)):
            answers += [self._done(answer) for answer in self._performer.perform(Ask(tuple(begun), dict(self._under_way)))]
        if self._leaving:
            given = {answer.key for answer in answers}
            left = [call for key, call in ask.outstanding.items() if key not in given]
            self.drop([call.key for call in left])
            answers += [Answer(call.key, Outcome(status="not_recorded", at=self._now(call.key))) for call in left]
        return answers

    def leave(self) -> None:
        """Let the recording stop here: whatever is outstanding, or still asked, is not recorded. Safe from any thread."""
        self._leaving = True
        self.wake()

    def wake(self) -> None:
        """Let the other performer stop waiting; set as `Inbox.wake`. Whoever decides is to be woken by their own means."""
        wake = getattr(self._performer, "wake", None)
        if wake is not None:
            wake()

    def drop(self, keys: Collection[EffectKey]) -> None:
        """Forget effects that nobody awaits any more; called by the driver."""
        begun = [key for key in keys if key in self._under_way]
        for key in keys:
            for held in (self._undecided, self._under_way, self._sent):
                held.pop(key, None)
        drop = getattr(self._performer, "drop", None)
        if drop is not None and begun:
            drop(begun)

    def _begin(self, call: Call, decision: Approve | Send) -> Call:
        if isinstance(decision, Send):
            if decision.effect.kind != call.effect.kind:
                raise UsageError(f"{call.key} is a {call.effect.kind} call, and so is what is sent", hint="change its request")
            call = Call.of(call.key, decision.effect)
            self._sent[call.key] = freeze({"by": PERSON, "did": _DID[Send], "sent": plain(decision.effect)})
        self._under_way[call.key] = call
        return call

    def _done(self, answer: Answer) -> Answer:
        self._under_way.pop(answer.key, None)
        sent = self._sent.pop(answer.key, None)
        if sent is None:
            return answer
        return Answer(answer.key, evolve(answer.outcome, meta=freeze({**answer.outcome.meta, **sent})))

    def _by_hand(self, call: Call, decision: Say | Skip | Fail) -> Outcome:
        meta = freeze({"by": PERSON, "did": _DID[type(decision)]})
        at = self._now(call.key)
        if isinstance(decision, Fail):
            return Outcome(status="error", error=decision.error, at=at, meta=meta)
        return Outcome(value=decision.value if isinstance(decision, Say) else _nothing(call.effect), at=at, meta=meta)

    def _now(self, key: EffectKey) -> int:
        return virtual_at(key) if self._clock is None else self._clock.now()


class Held:
    """A recorder that hands everything on to another, and has each frame looked at before the next begins."""

    def __init__(self, recorder: Recorder, committed: Callable[[Frame], None]) -> None:
        """Call *committed* when a frame is kept."""
        self._recorder = recorder
        self._committed = committed

    def input(self, input: Input) -> None:
        """Keep an input."""
        self._recorder.input(input)

    def outcome(self, call: Call, outcome: Outcome) -> None:
        """Keep an outcome."""
        self._recorder.outcome(call, outcome)

    def frame(self, frame: Frame, meta: FrozenMap) -> None:
        """Keep a frame, and hold the run there."""
        self._recorder.frame(frame, meta)
        self._committed(frame)

    def trace(self, trace: FrameTrace, meta: FrozenMap) -> None:
        """Keep the figures of an input."""
        self._recorder.trace(trace, meta)


# ---------------------------------------------------------------------- decisions that are typed


def typed_request(effect: Effect, value: str) -> Send:
    """Return the request that somebody typed in place of *effect*. Raises `UsageError`.

    Of a tool: its arguments as a JSON object, or ``{"name": …, "arguments": …}``. Of a model: a text, which takes the place of
    the last message's, or members of the request as a JSON object; those left out stay.
    """
    typed = json_or_text(value)
    before = plain(effect)
    if isinstance(effect, ToolCall):
        if not isinstance(typed, FrozenMap):
            raise UsageError("what a tool is asked is a JSON object of its arguments", hint='{"query": "SELECT 1"}')
        whole = typed.keys() == {"name", "arguments"}
        return Send(_effect("tool", {**before, **typed} if whole else {**before, "arguments": typed}))
    if isinstance(typed, FrozenMap):
        unknown = [name for name in typed if name not in ("model", "messages", "tools", "params", "show")]
        if unknown:
            raise UsageError(f"a request has no member {unknown[0]!r}", hint="model, messages, tools, params, show, or a text")
        return Send(_effect("model", {**before, **typed}))
    if not effect.messages:
        raise UsageError("the request has no message whose text could be another", hint='{"messages": […]}')
    last = freeze({**effect.messages[-1], "content": typed if isinstance(typed, str) else value})
    return Send(evolve(effect, messages=(*effect.messages[:-1], last)))


def typed_answer(effect: Effect, value: str) -> Say:
    """Return the reply, or the result, that somebody typed; as an edit of the past takes it. Raises `UsageError`."""
    nothing = Outcome(value=_nothing(effect))
    return Say(model_reply(nothing, value) if isinstance(effect, ModelCall) else tool_result(Outcome(value=ToolReply()), value))


def typed_failure(value: str) -> Fail:
    """Return the failure that somebody typed: its message, or an object with message, type and fields. Raises `UsageError`."""
    return Fail(failure(value or "a person let it fail"))


def _effect(kind: str, members: dict[str, Any]) -> Effect:
    request = freeze(members)
    try:
        check_data("outcome", freeze({"effect": kind, "request": request, "outcome": {"status": "cancelled"}}))
    except BadContent as error:
        raise UsageError(f"this is no request of a {kind}: {error}", hint="its members are those of the one that waits") from None
    return effect_from_json(kind, request)


def _nothing(effect: Effect) -> ModelReply | ToolReply:
    if isinstance(effect, ModelCall):
        return ModelReply(message=freeze({"role": "assistant", "content": ""}), model=effect.model)
    return ToolReply()
