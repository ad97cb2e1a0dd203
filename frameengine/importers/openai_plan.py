"""Which of a conversation's messages a tool loop could have said itself, and which are merely given."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Literal

from attrs import frozen

from frameengine.effects import EffectFailure, ModelReply, ToolReply
from frameengine.errors import UsageError
from frameengine.inputs import Given, UserMessage
from frameengine.jsonvalue import EMPTY, FrozenMap
from frameengine.limits import FRAMES_PER_MESSAGE_MAX

ROUNDS_MAX = (FRAMES_PER_MESSAGE_MAX - 2) // 2
"""Rounds of model and tools that fit into the frames of one message, before the last reply and the output."""


@frozen(kw_only=True)
class Note:
    """Something odd, lost or not run, said to whoever imports."""

    what: str
    """What it is, in one phrase."""
    message: int | None = None
    """Index of the message it is about, from 0; None for the whole conversation."""

    def to_json(self) -> dict[str, int | str | None]:
        """Return the note as plain JSON."""
        return {"message": self.message, "what": self.what}


@frozen(kw_only=True)
class Planned:
    """An outcome that the conversation has for an effect which its turn will ask for."""

    kind: Literal["model", "tool"]
    """Kind of the effect."""
    value: ModelReply | ToolReply | None
    """What came back; None where the recording stops, or the call failed."""
    message: int | None = None
    """Index of the message that came back; where none did, of the place where it would stand."""
    failure: EffectFailure | None = None
    """Why the call failed, where it did."""
    meta: FrozenMap = EMPTY
    """What may differ between two equal runs."""


@frozen(kw_only=True)
class Turn:
    """One input, with the outcomes that it will ask for."""

    body: UserMessage | Given
    """The input."""
    outcomes: tuple[Planned, ...] = ()
    """In the order in which a tool loop asks."""
    open: bool = False
    """Whether the recording stops inside."""
    cut: bool = False
    """Whether something else was said before the model answered the last results: the turn is cancelled there."""


@frozen(kw_only=True)
class Plan:
    """A conversation as the inputs of a tool loop."""

    turns: tuple[Turn, ...]
    """One for each input, in order; together they hold every message once."""
    given: int = 0
    """How many messages are given, not run."""
    notes: tuple[Note, ...] = ()
    """What is odd, or is not run though it stands after the opening instructions."""

    @property
    def open(self) -> bool:
        """Whether the recording stops inside the last message."""
        return any(turn.open for turn in self.turns)


def plan(messages: Sequence[FrozenMap], given: int = 0, asked: AbstractSet[int] | None = None) -> Plan:
    """Cut a conversation into turns that a tool loop can run, and messages that are given to it: the first *given*, at least.

    A turn is a user's message, replies that call tools with their results in call order, and a reply that calls none; the last
    turn may stop anywhere, and then ends in outcomes without a value. *asked* has the indices at which recorded calls have their
    replies, or would: then what stands before one begins a turn, whoever said it, and results that no reply follows end one.
    Raises `UsageError` for a message that has no role.
    """
    for index, message in enumerate(messages):
        check_message(message, index)
    planner = _Planner(tuple(messages), asked)
    planner.run(given)
    return Plan(turns=tuple(planner.turns), given=planner.given, notes=tuple(planner.notes))


def check_message(message: object, index: int) -> None:
    """Refuse what is no chat message. Raises `UsageError` naming its index."""
    if not isinstance(message, FrozenMap):
        raise UsageError(f"message {index} is no object", hint='write {"role": "user", "content": "…"}', index=index)
    if not isinstance(message.get("role"), str):
        raise UsageError(f"message {index} has no role", hint="give it one: system, user, assistant, tool", index=index)


class _Planner:
    """The cutting of one conversation."""

    def __init__(self, messages: tuple[FrozenMap, ...], asked: AbstractSet[int] | None) -> None:
        self.messages = messages
        self._asked = asked
        self.turns: list[Turn] = []
        self.notes: list[Note] = []
        self.given = 0
        self._waiting: list[FrozenMap] = []

    def run(self, given: int) -> None:
        messages = self.messages
        at = given
        while at < len(messages) and messages[at]["role"] in ("system", "developer") and not self._opens(at):
            at += 1
        self._waiting.extend(messages[:at])
        while at < len(messages):
            if self._opens(at):
                at = self._user(at)
            else:
                self._note(at, _stray(messages[at]["role"]))
                self._waiting.append(messages[at])
                at += 1
        self._give()

    def _opens(self, at: int) -> bool:
        """Return whether a message begins a turn."""
        return self.messages[at]["role"] == "user" or (self._asked is not None and at + 1 in self._asked)

    def _user(self, start: int) -> int:
        """Take the turn that a message begins; return the index after it."""
        attempt = _Attempt(self.messages, start, may_be_cut=self._asked is not None)
        problem = attempt.run()
        if problem:
            end = start + 1
            while end < len(self.messages) and not self._opens(end):
                end += 1
            which = "this message is" if end == start + 1 else f"messages {start} to {end - 1} are"
            self._note(start, f"{which} given, not run: {problem}")
            self._waiting.extend(self.messages[start:end])
            return end
        self._give()
        self.notes.extend(attempt.notes)
        body = UserMessage(message=self.messages[start])
        self.turns.append(Turn(body=body, outcomes=tuple(attempt.outcomes), open=attempt.open, cut=attempt.cut))
        return attempt.at

    def _give(self) -> None:
        if self._waiting:
            self.given += len(self._waiting)
            self.turns.append(Turn(body=Given(messages=tuple(self._waiting))))
            self._waiting = []

    def _note(self, index: int, what: str) -> None:
        self.notes.append(Note(message=index, what=what))


class _Attempt:
    """One user's message and what follows it, tried as a turn of a tool loop."""

    def __init__(self, messages: tuple[FrozenMap, ...], start: int, *, may_be_cut: bool) -> None:
        self.messages = messages
        self._may_be_cut = may_be_cut
        self.at = start + 1
        self.cut = False
        self.outcomes: list[Planned] = []
        self.notes: list[Note] = []
        self.open = False

    def run(self) -> str:
        """Take messages until the turn or the conversation ends; return why that cannot be, or an empty text."""
        for _ in range(ROUNDS_MAX + 1):
            if self.at == len(self.messages):
                self._stops("model")
                return ""
            message = self.messages[self.at]
            problem = _no_reply(message, self.at)
            if problem and self._may_be_cut and self.outcomes:
                self.cut = True
                return ""
            if problem:
                return problem
            self._odd_calls(message)
            reply = ModelReply(message=message, finish_reason="unknown")
            self.outcomes.append(Planned(kind="model", value=reply, message=self.at))
            self.at += 1
            if not reply.tool_calls:
                return ""
            problem = self._results(reply.tool_calls)
            if problem or self.open:
                return problem
        return f"it calls tools more than {ROUNDS_MAX} times in a row, the bound of one message"

    def _results(self, calls: tuple[FrozenMap, ...]) -> str:
        """Take the results of one reply's calls."""
        end = self.at
        while end < len(self.messages) and self.messages[end]["role"] == "tool":
            end += 1
        found = range(self.at, end)
        if len(found) > len(calls):
            return f"{len(found)} tool results follow {len(calls)} tool calls"
        if len(found) < len(calls) and end < len(self.messages):
            return f"{len(calls)} tool calls have {len(found)} results before message {end}"
        waiting = list(found)
        for call in calls:
            if waiting and _fits(call, self.messages[waiting[0]]):
                index = waiting.pop(0)
                self._odd_result(call, self.messages[index], index)
                self.outcomes.append(Planned(kind="tool", value=ToolReply(message=self.messages[index]), message=index))
            elif len(found) == len(calls):
                return f"the tool result in message {waiting[0]} answers another call than the one in its place"
            else:
                self._stops("tool")
        if waiting:
            return f"the tool result in message {waiting[0]} answers none of the calls before it"
        self.at = end
        return ""

    def _stops(self, kind: Literal["model", "tool"]) -> None:
        self.open = True
        self.outcomes.append(Planned(kind=kind, value=None, message=len(self.messages)))

    def _odd_calls(self, message: FrozenMap) -> None:
        calls = message.get("tool_calls")
        if calls is not None and not isinstance(calls, tuple):
            self._note(self.at, "tool_calls is no list; the message is taken as one without tool calls")
        elif any(not isinstance(call.get("function"), FrozenMap) for call in calls or ()):
            self._note(self.at, "a tool call without a function: it is recorded whole, as the arguments of the tool it names")

    def _odd_result(self, call: FrozenMap, message: FrozenMap, index: int) -> None:
        if not _comparable(call, message):
            self._note(index, "the tool result or its call has no id; it is taken by its place")
        function = call.get("function")
        asked = function.get("name") if isinstance(function, FrozenMap) else None
        named = message.get("name")
        if asked is not None and named is not None and named != asked:
            self._note(index, f"the tool result is named {named!r}, its call {asked!r}")

    def _note(self, index: int, what: str) -> None:
        self.notes.append(Note(message=index, what=what))


def _stray(role: str) -> str:
    """Say why a message that stands outside every turn is not run."""
    if role in ("system", "developer"):
        return f"a late {role} message is given, not run"
    if role == "assistant":
        return "an assistant message that no user's message asked for is given, not run"
    if role == "tool":
        return "a tool result that no tool call asked for is given, not run"
    return f"a message of the role {role!r} is given, not run"


def _no_reply(message: FrozenMap, index: int) -> str:
    """Say why a message cannot be the reply that a tool loop waits for; an empty text where it can."""
    if message["role"] != "assistant":
        return f"message {index} ({message['role']}) stands where the model's reply is expected"
    if message.get("function_call") is not None:
        return f"message {index} calls a function in the old way (function_call)"
    calls = message.get("tool_calls")
    if isinstance(calls, tuple) and not all(isinstance(call, FrozenMap) for call in calls):
        return f"message {index} has a tool call that is no object"
    return ""


def _comparable(call: FrozenMap, message: FrozenMap) -> bool:
    return bool(call.get("id")) and bool(message.get("tool_call_id"))


def _fits(call: FrozenMap, message: FrozenMap) -> bool:
    """Return whether a result may be the one of *call*. Ids are compared within one reply only: elsewhere they repeat."""
    return not _comparable(call, message) or call["id"] == message["tool_call_id"]
