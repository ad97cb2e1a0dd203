"""Tell apart the conversations of an agent, by the messages it sends again with each call.

A chat model remembers nothing, so whoever talks to it sends the whole conversation every time. Call B goes on where call A ended
if B's messages begin with A's messages and A's reply. Two messages are alike if they say the same, however a client writes it:

- the role, the name of a user or system message, the content, the tool calls and the id of the call that a result answers count;
- content that is missing, null, empty or a list of texts counts as its text, and white space around a reply's text does not;
- arguments of a tool call count as the JSON they are, not as they are spelled; what else a reply had (refusal, reasoning,
  annotations, logprobs) does not count, because clients leave it out when they send the reply again;
- marks for a cache, which wander from message to message, do not count.

Nothing else is looked at: not time, not connection, unless two conversations have said the same so far. Then the lane decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Literal, TypeAlias

from attrs import define, field, frozen

from frameengine import foreign
from frameengine.codec import digest
from frameengine.effects import EffectFailure, ModelReply, text_of
from frameengine.errors import LimitError, ValueRefused
from frameengine.jsonvalue import EMPTY, FrozenMap, Json, freeze

Origin: TypeAlias = Literal["", "again", "branch", "rewritten"]
"""How a conversation comes of an earlier call: not at all; it makes the same call again; it goes on from there in another way; or
it holds a reply of it, in a history that is no longer the one of then."""


@frozen(kw_only=True)
class ChatCall:
    """One call of a chat model."""

    number: int
    """Its place in the recording, from 1."""
    messages: tuple[FrozenMap, ...]
    """What was sent."""
    settings: FrozenMap = EMPTY
    """Model, tools and parameters, as sections of a tool loop's state."""
    replies: tuple[ModelReply, ...] = ()
    """What came back: one reply for each choice; none where the call failed."""
    failure: EffectFailure | None = None
    """Why there is no reply."""
    partial: ModelReply | None = None
    """What came of a reply that broke off."""
    lane: str = ""
    """The task, thread or connection that asked."""
    meta: FrozenMap = EMPTY
    """What may differ between two equal calls."""


@frozen(kw_only=True)
class Step:
    """A call in the course of a conversation."""

    call: ChatCall
    """The call."""
    reply: ModelReply | None
    """The reply that the conversation went on with, or could have; None where there is none."""
    attempts: tuple[ChatCall, ...] = ()
    """Calls with the same messages that failed before it."""


@frozen(kw_only=True)
class Course:
    """The calls of one conversation, from its beginning."""

    steps: tuple[Step, ...]
    """In order, each beginning with all that was said up to the one before."""
    own: int = 0
    """Index of the first that belongs to no conversation before this one."""
    origin: Origin = ""
    """How it comes of an earlier call."""
    of: int | None = None
    """Number of that call."""


@define
class _Node:
    """A call, its place in the tree of calls."""

    call: ChatCall
    parent: _Node | None
    taken: ModelReply | None = None
    """The parent's reply that it goes on from."""
    attempts: tuple[ChatCall, ...] = ()
    children: list[_Node] = field(factory=list)
    length: int = 1
    """Calls from here to the end of the longest conversation through it."""

    def replies(self) -> tuple[ModelReply, ...]:
        """Return what a conversation can go on from."""
        call = self.call
        return call.replies or (() if call.partial is None else (call.partial,))


def cut(calls: Iterable[ChatCall]) -> list[Course]:
    """Return the conversations that these calls, in the order in which they were answered, belong to.

    Each call is an own one, or an attempt, of exactly one. Where two calls go on from one, the conversation goes on with the one
    that has a reply, then the one that leads further, then the earlier; the other is a branch. A call that failed, and was made
    again, is an attempt. Takes time in proportion to all messages of all calls.
    """
    tree = _Tree()
    for call in calls:
        tree.add(call)
    return tree.courses()


class _Tree:
    def __init__(self) -> None:
        self._nodes: list[_Node] = []
        self._ends: dict[bytes, list[tuple[_Node, ModelReply]]] = {}
        self._failed: dict[bytes, _Node] = {}
        self._first: dict[bytes, _Node] = {}
        self._said: dict[str, _Node] = {}
        self._alike: dict[str, str] = {}
        self._again: dict[int, int] = {}
        self._kept: dict[int, int] = {}

    def add(self, call: ChatCall) -> None:
        """Find the place of a call."""
        hashes = self._hashes(call.messages)
        whole = hashes[-1]
        failed = self._failed.pop(whole, None)
        if failed is not None:
            # The same messages once more: the failure is something that happened on the way to this call.
            attempts = (*failed.attempts, failed.call)
            failed.call, failed.attempts = call, attempts
            node = failed
        else:
            node = self._placed(call, hashes)
        if not call.replies:
            self._failed[whole] = node
        for reply in node.replies():
            key = self._key(reply.message)
            self._ends.setdefault(_after(whole, key), []).append((node, reply))
            self._said[key] = node

    def _placed(self, call: ChatCall, hashes: Sequence[bytes]) -> _Node:
        # The last message is new: a call that ends with somebody's reply asks for nothing after it.
        for before in reversed(hashes[1:-1]):
            ends = self._ends.get(before)
            if ends:
                parent, taken = min(ends, key=lambda end: (len(end[0].children) > 0, end[0].call.lane != call.lane))
                node = _Node(call, parent, taken)
                parent.children.append(node)
                break
        else:
            node = _Node(call, None)
            self._origin(call, hashes[-1], node)
        self._nodes.append(node)
        return node

    def _origin(self, call: ChatCall, whole: bytes, node: _Node) -> None:
        """Remember what a call that goes on from nothing may come of."""
        first = self._first.setdefault(whole, node)
        if first is not node:
            self._again[call.number] = first.call.number
            return
        for message in reversed(call.messages):
            if message.get("role") == "assistant":
                found = self._said.get(self._key(message))
                if found is not None:
                    self._kept[call.number] = found.call.number
                    return

    def _hashes(self, messages: Sequence[FrozenMap]) -> list[bytes]:
        """Return a digest of each beginning of a conversation, the empty one first."""
        hashes = [b""]
        for message in messages:
            hashes.append(_after(hashes[-1], self._key(message)))
        return hashes

    def _key(self, message: FrozenMap) -> str:
        exact = digest(message)
        known = self._alike.get(exact)
        if known is None:
            known = self._alike[exact] = alike(message)
        return known

    def courses(self) -> list[Course]:
        """Return the conversations, in the order of their first own calls."""
        for node in reversed(self._nodes):
            node.length = 1 + max([child.length for child in node.children], default=0)
        found: list[Course] = []
        begins: list[tuple[_Node, Origin]] = [(node, "") for node in self._nodes if node.parent is None]
        while begins:
            begin, origin = begins.pop()
            steps, own = _before(begin)
            at: _Node | None = begin
            while at is not None:
                following = max(at.children, key=_goes_on, default=None)
                begins += [(child, "branch") for child in at.children if child is not following]
                steps.append(_step(at, None if following is None else following.taken))
                at = following
            found.append(self._course(begin, tuple(steps), own, origin))
        return sorted(found, key=lambda course: course.steps[course.own].call.number)

    def _course(self, begin: _Node, steps: tuple[Step, ...], own: int, origin: Origin) -> Course:
        number = begin.call.number
        if begin.parent is not None:
            return Course(steps=steps, own=own, origin=origin, of=begin.parent.call.number)
        first = begin.attempts[0].number if begin.attempts else number
        if first in self._again:
            return Course(steps=steps, origin="again", of=self._again[first])
        if first in self._kept:
            return Course(steps=steps, origin="rewritten", of=self._kept[first])
        return Course(steps=steps)


def _before(node: _Node) -> tuple[list[Step], int]:
    """Return the steps that lead to a call, and how many they are."""
    steps: list[Step] = []
    while node.parent is not None:
        steps.append(_step(node.parent, node.taken))
        node = node.parent
    return steps[::-1], len(steps)


def _step(node: _Node, taken: ModelReply | None) -> Step:
    reply = taken or next(iter(node.call.replies), None)
    return Step(call=node.call, reply=reply, attempts=node.attempts)


def _goes_on(node: _Node) -> tuple[bool, int, int]:
    return bool(node.call.replies), node.length, -node.call.number


def _after(before: bytes, key: str) -> bytes:
    return sha256(before + key.encode()).digest()


def alike(message: FrozenMap) -> str:
    """Return a digest of what a message says; the module says what counts."""
    role = message.get("role", "assistant")
    spoken = role == "assistant"
    said: dict[str, Json] = {"role": role, "content": _content(message, spoken=spoken)}
    calls = message.get("tool_calls")
    if isinstance(calls, tuple) and calls:
        said["calls"] = [_call(call) for call in calls]
    if message.get("function_call") is not None:
        said["function"] = message["function_call"]
    if message.get("tool_call_id") is not None:
        said["answers"] = message["tool_call_id"]
    if not spoken and role != "tool" and message.get("name") is not None:
        said["name"] = message["name"]
    return digest(freeze(said))


def _content(message: FrozenMap, *, spoken: bool) -> Json:
    content = message.get("content")
    if isinstance(content, tuple):
        parts = [_part(part) for part in content]
        if not all(isinstance(part, dict) and tuple(part) == ("type", "text") and part["type"] == "text" for part in parts):
            return parts
    elif content is not None and not isinstance(content, str):
        return content
    text = text_of(message)
    return text.strip() if spoken else text


def _part(part: Json) -> Json:
    return {name: value for name, value in part.items() if name != "cache_control"} if isinstance(part, FrozenMap) else part


def _call(call: Json) -> Json:
    function = call.get("function") if isinstance(call, FrozenMap) else None
    if not isinstance(function, FrozenMap):
        return call
    return [call.get("id"), function.get("name"), _arguments(function.get("arguments"))]


def _arguments(arguments: Json) -> Json:
    if not isinstance(arguments, str):
        return arguments
    try:
        parsed: Json = foreign.parse(arguments)
    except (LimitError, ValueRefused):
        return arguments
    return _ordered(parsed)


def _ordered(value: Json) -> Json:
    """Return JSON with the members of its objects in the order of their names."""
    if isinstance(value, dict):
        return {name: _ordered(value[name]) for name in sorted(value)}
    return [_ordered(item) for item in value] if isinstance(value, tuple) else value
