"""What enters a run from outside, each kind a small value class, each input numbered and recorded."""

from __future__ import annotations

from typing import Any, ClassVar, TypeAlias

import attrs
from attrs import field, frozen

from frameengine.codec import Shared, SharedOne
from frameengine.effects import MAIN_STREAM, text_of
from frameengine.errors import ValueRefused
from frameengine.jsonvalue import EMPTY, FrozenMap, Json, freeze, pointer_step
from frameengine.state import Change, change_from_json


def _messages(items: Any) -> tuple[FrozenMap, ...]:
    return tuple([item if type(item) is FrozenMap else freeze(item) for item in items])


def _changes(items: Any) -> tuple[Change, ...]:
    made = [item if isinstance(item, Change) else change_from_json(item) for item in items]
    # Pointers stand in place, however long: one that was read again is a text, which would be written as a reference.
    return tuple([attrs.evolve(change, at=str(change.at)) for change in made])


def _object(value: Any) -> FrozenMap:
    """Return a frozen mapping. Raises `ValueRefused` for any other value."""
    frozen_value = freeze(value)
    if type(frozen_value) is not FrozenMap:
        raise ValueRefused(f"a {type(value).__name__} where an object must stand", hint="give a mapping", pointer="")
    return frozen_value


@frozen(kw_only=True)
class UserMessage:
    """Something a user said."""

    message: FrozenMap = field(converter=_object)
    """The chat message as it came: role ``user``, content a string or a list of parts."""
    user_id: str = "anon"
    """Who said it."""
    session_id: str = ""
    """The conversation it belongs to, as the caller names it."""
    channel: str = ""
    """Where it came from, as the caller names it."""

    @classmethod
    def of(cls, text: str, **more: Any) -> UserMessage:
        """Return the message of a plain text."""
        return cls(message=freeze({"role": "user", "content": text}), **more)

    @property
    def text(self) -> str:
        """The message's text."""
        return text_of(self.message)


@frozen(kw_only=True)
class Action:
    """A button that was clicked."""

    name: str
    """The action's name."""
    data: FrozenMap = field(default=EMPTY, converter=_object)
    """What the button carries."""


@frozen(kw_only=True)
class Tick:
    """A sensor's clock went on."""

    readings: FrozenMap = field(default=EMPTY, converter=_object)
    """Name of each sensor to its reading."""


@frozen(kw_only=True)
class Dashboard:
    """What the user's screen shows, as the client reports it."""

    controls: tuple[Json, ...] = field(default=(), converter=freeze)
    """The controls."""


@frozen
class Cancel:
    """Stop the message under way."""


@frozen
class Clear:
    """Forget the conversation: every section of the state goes back to the graph's initial one."""


@frozen(kw_only=True)
class SwitchGraph:
    """Go on with another graph, from its initial state."""

    graph: str
    """Name of the graph."""
    fingerprint: FrozenMap = field(default=EMPTY, converter=freeze)
    """Digests of the graph, its prompts and its code."""


@frozen(kw_only=True)
class Webhook:
    """A request that another system sent."""

    source: str
    """Which route it came by."""
    payload: Json = field(default=None, converter=freeze)
    """Its body."""


@frozen(kw_only=True)
class Given:
    """Messages that are present but not run: system prompts, examples, turns that a graph could not have asked for."""

    messages: tuple[FrozenMap, ...] = field(converter=_messages)
    """Chat messages, appended to the history as they are."""
    state: FrozenMap = field(default=EMPTY, converter=_object)
    """Sections of the state that are given as well, whole: the model, tools and parameters that hold from here on."""

    def changes(self) -> list[Change]:
        """Return what becomes of the state."""
        sections = [Change.set(f"/{pointer_step(name)}", value) for name, value in self.state.items()]
        return [*sections, *[Change.append("/history", message) for message in self.messages]]


@frozen
class StateEdit:
    """Somebody changed the state by hand: in a debugger, to see what the run would have made of it. No node runs."""

    _changes: tuple[Change, ...] = field(converter=_changes)
    """What was changed, in order, as a node's record says it."""

    def changes(self) -> tuple[Change, ...]:
        """Return what becomes of the state."""
        return self._changes


Body: TypeAlias = UserMessage | Action | Tick | Dashboard | Cancel | Clear | SwitchGraph | Webhook | Given | StateEdit
BODIES: dict[str, type[Any]] = {
    kind.__name__: kind for kind in (UserMessage, Action, Tick, Dashboard, Cancel, Clear, SwitchGraph, Webhook, Given, StateEdit)
}


@frozen(kw_only=True)
class During:
    """The place inside another message where an input came in."""

    input: int
    """Number of the input whose message was under way."""
    frame: int
    """The frame after which it was applied; for a Cancel, the frame under way."""


@frozen(kw_only=True)
class Input:
    """One numbered input."""

    kind: ClassVar[str] = "input"

    number: int
    """From 1, without gaps, in order of arrival."""
    body: Body
    """What came in."""
    at: int = 0
    """When it came in, in microseconds; not digested."""
    stream: str = MAIN_STREAM
    """The execution it belongs to."""
    during: During | None = None
    """Where in a message under way it came in; None for one of its own."""

    @property
    def type(self) -> str:
        """Name of the body's class: the key of a graph's entry table."""
        return type(self.body).__name__

    def wire(self) -> dict[str, Any]:
        """Return the digested part of the input's line."""
        wire: dict[str, Any] = {"kind": "input", "number": self.number, "type": self.type, "data": _data(self.body)}
        if self.stream != MAIN_STREAM:
            wire["stream"] = self.stream
        if self.during is not None:
            wire["during"] = [self.during.input, self.during.frame]
        return wire


_USUAL = tuple([(attribute.name, attribute.default) for attribute in attrs.fields(UserMessage) if attribute.name != "message"])
"""Other fields of a user's message, and what is not written of them."""


def _data(body: Body) -> dict[str, Any]:
    if isinstance(body, UserMessage):
        data: dict[str, Any] = {"message": SharedOne(body.message)}
        for name, usual in _USUAL:
            value = getattr(body, name)
            if value != usual:
                data[name] = freeze(value)
        return data
    if isinstance(body, Given):
        given: dict[str, Any] = {"messages": Shared(body.messages)}
        return {**given, "state": body.state} if body.state else given
    if isinstance(body, StateEdit):
        return {"changes": [change.wire() for change in body.changes()]}
    return {attribute.name: freeze(getattr(body, attribute.name)) for attribute in attrs.fields(type(body))}


def input_from_json(line: FrozenMap, at: int = 0) -> Input:
    """Return the input that `Input.wire` wrote. Raises `KeyError` or `TypeError` where a member is missing or odd."""
    during = line.get("during")
    return Input(
        number=line["number"],
        body=BODIES[line["type"]](**line["data"]),
        at=at,
        stream=line.get("stream", MAIN_STREAM),
        during=None if during is None else During(input=during[0], frame=during[1]),
    )
