"""What leaves a node and what comes back: effects, outcomes, and the key that identifies each pair.

An effect is identified by where the run asks for it (`EffectKey`), never by an id that came from outside: real recordings
repeat those.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any, ClassVar, Literal, NamedTuple, TypeAlias

from attrs import field, frozen

from frameengine.codec import Shared, SharedOne, canonical
from frameengine.errors import EffectCancelled, EffectError, InternalError, ModelCallFailed, ToolFailed
from frameengine.jsonvalue import EMPTY, FrozenMap, Json, freeze

MAIN_STREAM = "main"
"""The stream of inputs and keys where nothing else is said: the seam for concurrent executions."""

Status: TypeAlias = Literal["ok", "error", "cancelled", "not_recorded"]


class EffectKey(NamedTuple):
    """Where a run asked for an effect."""

    input: int
    """Number of the input, from 1."""
    frame: int
    """Number of the frame within the input, from 1."""
    node: str
    """Name of the node in the graph."""
    call: int
    """Index of the effect within this node and frame, from 0."""
    stream: str = MAIN_STREAM
    """Stream of the input."""

    def __str__(self) -> str:
        stream = "" if self.stream == MAIN_STREAM else f"{self.stream}:"
        return f"{stream}{self.input}.{self.frame} {self.node}[{self.call}]"

    def wire(self) -> list[Any]:
        """Return the key as JSON; the stream only where it is not the main one."""
        return list(self) if self.stream != MAIN_STREAM else list(self[:4])


_MAPPINGS = {FrozenMap}


def _freeze_all(items: Any) -> tuple[FrozenMap, ...]:
    if type(items) is tuple and set(map(type, items)) <= _MAPPINGS:
        return items
    return tuple([item if type(item) is FrozenMap else freeze(item) for item in items])


@frozen(kw_only=True)
class ModelCall:
    """Ask a chat model for one reply."""

    kind: ClassVar[str] = "model"

    model: str = field(converter=freeze)
    """Name of the model, as the endpoint knows it."""
    messages: tuple[FrozenMap, ...] = field(converter=_freeze_all)
    """Chat messages in OpenAI's shape."""
    tools: tuple[FrozenMap, ...] = field(default=(), converter=_freeze_all)
    """Tool definitions in OpenAI's shape."""
    params: FrozenMap = field(default=EMPTY, converter=freeze)
    """Other members of the request: temperature, response_format, …."""
    show: bool = False
    """Whether the reply's text is shown to the user as it arrives."""

    @property
    def name(self) -> str:
        """The model's name: what this effect is called in lists."""
        return self.model

    def wire(self) -> dict[str, Any]:
        """Return the request as JSON with its repeating parts shared."""
        wire: dict[str, Any] = {"model": self.model, "messages": Shared(self.messages)}
        if self.tools:
            wire["tools"] = Shared(self.tools)
        if self.params:
            wire["params"] = self.params
        if self.show:
            wire["show"] = True
        return wire


@frozen
class ToolCall:
    """Ask for one tool to run."""

    kind: ClassVar[str] = "tool"

    name: str = field(converter=freeze)
    """Name of the tool."""
    arguments: Json = field(default=EMPTY, converter=freeze)
    """A mapping of arguments; a string where a model's arguments were not a JSON object."""

    def wire(self) -> dict[str, Any]:
        """Return the request as JSON."""
        return {"name": self.name, "arguments": self.arguments}


Effect: TypeAlias = ModelCall | ToolCall


@frozen(kw_only=True)
class ModelReply:
    """A model's reply."""

    message: FrozenMap = field(converter=freeze)
    """The assistant's chat message, as it came."""
    finish_reason: str = field(default="stop", converter=freeze)
    """Why the model ended: stop, tool_calls, length, content_filter; ``unknown`` where a recording does not say."""
    usage: FrozenMap = field(default=EMPTY, converter=freeze)
    """Token counts as the endpoint reported them; empty where it did not."""
    model: str = field(default="", converter=freeze)
    """The model that answered, where that is reported."""

    @property
    def text(self) -> str:
        """The reply's text; the text parts joined where the content is a list; empty where there is none."""
        return text_of(self.message)

    @property
    def tool_calls(self) -> tuple[FrozenMap, ...]:
        """The tool calls of the reply, as far as they are objects; empty where there are none."""
        calls = self.message.get("tool_calls")
        return tuple([call for call in calls if isinstance(call, FrozenMap)]) if isinstance(calls, tuple) else ()

    def wire(self) -> dict[str, Any]:
        """Return the reply as JSON with its message shared."""
        wire: dict[str, Any] = {"message": SharedOne(self.message), "finish_reason": self.finish_reason}
        if self.usage:
            wire["usage"] = self.usage
        if self.model:
            wire["model"] = self.model
        return wire


@frozen(kw_only=True)
class ToolReply:
    """A tool's result."""

    content: Json = field(default=None, converter=freeze)
    """What the tool returned."""
    message: FrozenMap | None = None
    """The chat message that carried the result, where a recording has one; then `content` is None."""

    def wire(self) -> dict[str, Any]:
        """Return the result as JSON."""
        return {"content": self.content} if self.message is None else {"message": SharedOne(self.message)}


@frozen(kw_only=True)
class EffectFailure:
    """Why an effect failed."""

    type: str = field(converter=freeze)
    """Class of the failure: the error's code or the exception's qualified name."""
    message: str = field(converter=freeze)
    """What it said."""
    fields: FrozenMap = field(default=EMPTY, converter=freeze)
    """Facts: status, retry_after, phase, …."""

    def wire(self) -> dict[str, Any]:
        """Return the failure as JSON."""
        wire: dict[str, Any] = {"type": self.type, "message": self.message}
        if self.fields:
            wire["fields"] = self.fields
        return wire


@frozen(kw_only=True)
class Outcome:
    """What came back for an effect."""

    status: Status = "ok"
    """ok, error, cancelled; ``not_recorded`` where a recording stops."""
    value: ModelReply | ToolReply | None = None
    """The reply, where the status is ok."""
    error: EffectFailure | None = None
    """The failure, where the status is error."""
    at: int = 0
    """When it arrived, in microseconds; not digested."""
    meta: FrozenMap = EMPTY
    """What may differ between two equal runs: latency, cost, chunk times, host."""
    canonical: bytes = field(init=False, repr=False, eq=False)
    """The canonical form of the digested part."""
    digest: str = field(init=False, repr=False, eq=False)
    """sha256 of it, in hex."""

    @canonical.default
    def _canonical(self) -> bytes:
        return canonical(self.wire())

    @digest.default
    def _digest(self) -> str:
        return sha256(self.canonical).hexdigest()

    def wire(self) -> dict[str, Any]:
        """Return the digested part as JSON."""
        if self.status == "ok" and self.value is not None:
            return {"status": "ok", "value": self.value.wire()}
        if self.error is not None:
            return {"status": self.status, "error": self.error.wire()}
        return {"status": self.status}

    def exception(self, call: Call) -> EffectError | None:
        """Return the error that the node sees; None where the status is ok."""
        if self.status == "ok":
            return None
        if self.status == "cancelled":
            return EffectCancelled(f"{call.effect.kind} call {call.effect.name!r} was cancelled", key=call.key.wire())
        if self.error is None:
            raise InternalError(f"an outcome of status {self.status!r} without an error at {call.key}")
        kind = ModelCallFailed if call.effect.kind == "model" else ToolFailed
        error = kind(self.error.message)
        # Set, not passed: the fields come from outside and may be called as an argument is.
        error.fields = {**self.error.fields, "type": self.error.type, "key": call.key.wire()}
        return error


@frozen
class Call:
    """An effect that a node asked for, with its key."""

    key: EffectKey
    effect: Effect
    canonical: bytes
    """The canonical form of the request, its kind included."""
    digest: str
    """sha256 of it, in hex."""

    @classmethod
    def of(cls, key: EffectKey, effect: Effect) -> Call:
        """Identify *effect*."""
        form = canonical({"effect": effect.kind, "request": effect.wire()})
        return cls(key, effect, form, sha256(form).hexdigest())


@frozen
class Answer:
    """The outcome of the call that has this key."""

    key: EffectKey
    outcome: Outcome


def text_of(message: FrozenMap) -> str:
    """Return the text of a chat message; its text parts joined where the content is a list; empty where it has none."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    if isinstance(content, tuple):
        parts = [part["text"] for part in content if isinstance(part, FrozenMap) and isinstance(part.get("text"), str)]
        return "".join(parts)
    return ""


def failed(error: BaseException, **facts: Any) -> Outcome:
    """Return the outcome of an effect whose performer raised *error*."""
    kind = getattr(error, "code", None) or f"{type(error).__module__}.{type(error).__qualname__}"
    fields = getattr(error, "fields", None) or {}
    return Outcome(status="error", error=EffectFailure(type=kind, message=str(error), fields=freeze({**fields, **facts})))


def plain(effect: Effect) -> FrozenMap:
    """Return a request as plain JSON, nothing in it shared."""
    members: dict[str, Any]
    if isinstance(effect, ToolCall):
        members = {"name": effect.name, "arguments": effect.arguments}
    else:
        members = {"model": effect.model, "messages": effect.messages}
        more = {"tools": effect.tools, "params": effect.params, "show": effect.show}
        members |= {name: value for name, value in more.items() if value}
    request: FrozenMap = freeze(members)
    return request


def effect_from_json(kind: str, request: FrozenMap) -> Effect:
    """Return the effect that `wire` wrote. Raises `KeyError` or `TypeError` where a member is missing or odd."""
    if kind == "model":
        return ModelCall(
            model=request["model"],
            messages=request["messages"],
            tools=request.get("tools", ()),
            params=request.get("params", EMPTY),
            show=request.get("show", False),
        )
    if kind == "tool":
        return ToolCall(request["name"], request["arguments"])
    raise KeyError(kind)


def outcome_from_json(kind: str, line: FrozenMap, at: int = 0, meta: FrozenMap = EMPTY) -> Outcome:
    """Return the outcome that `wire` wrote. Raises `KeyError` or `TypeError` where a member is missing or odd."""
    status = line["status"]
    if status == "ok":
        value = line["value"]
        reply: ModelReply | ToolReply
        if kind == "model":
            reply = ModelReply(
                message=value["message"],
                finish_reason=value["finish_reason"],
                usage=value.get("usage", EMPTY),
                model=value.get("model", ""),
            )
        else:
            reply = ToolReply(content=value.get("content"), message=value.get("message"))
        return Outcome(value=reply, at=at, meta=meta)
    error = line.get("error")
    failure = None
    if error is not None:
        failure = EffectFailure(type=error["type"], message=error["message"], fields=error.get("fields", EMPTY))
    return Outcome(status=status, error=failure, at=at, meta=meta)
