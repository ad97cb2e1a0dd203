"""Read a recorded exchange with an OpenAI-compatible chat endpoint as a call of a chat model."""

from __future__ import annotations

from typing import Any

from attrs import evolve, frozen

from frameengine import foreign
from frameengine.effects import EffectFailure, ModelReply
from frameengine.errors import LimitError, UsageError, ValueRefused
from frameengine.exchanges.exchange import CLIENT_LEFT, Exchange, Request, Response
from frameengine.exchanges.gather import unkept
from frameengine.importers.exchange_cut import ChatCall
from frameengine.importers.openai_plan import check_message
from frameengine.jsonvalue import FrozenMap, Json, freeze

CHAT_PATH = "/chat/completions"
BESIDE = ("messages", "model", "tools", "stream", "stream_options")
"""Members of a request that are no parameters: what it is made of, and how its answer is carried."""


class Refused(Exception):
    """A chat completion that cannot be read; the message says why."""


def is_chat(request: Request) -> bool:
    """Return whether a request asks for a chat completion."""
    return request.method == "POST" and request.path.endswith(CHAT_PATH)


def chat_call(exchange: Exchange, number: int) -> ChatCall:
    """Return the call that an exchange of `is_chat` is; *number* is its place in the recording. Raises `Refused`."""
    if unkept(exchange.response):
        # The agent had it, and may have gone on with it: a failed call it was not.
        raise Refused(f"its answer is not in the recording: it was {exchange.response.error}")
    body = _body(exchange.request)
    messages = body.get("messages")
    if not isinstance(messages, tuple) or not messages:
        raise Refused("its request has no messages")
    for index, message in enumerate(messages):
        try:
            check_message(message, index)
        except UsageError as error:
            raise Refused(error.message) from None
    model, tools = body.get("model", ""), body.get("tools") or ()
    if not isinstance(model, str):
        raise Refused("its model is no text")
    if not isinstance(tools, tuple) or not all(isinstance(tool, FrozenMap) for tool in tools):
        raise Refused("its tools are no list of objects")
    params = {name: value for name, value in body.items() if name not in BESIDE}
    answer = _read(exchange.response, model)
    return ChatCall(
        number=number,
        messages=messages,
        settings=freeze({"model": model, "tools": tools, "params": params}),
        replies=answer.replies,
        failure=answer.failure,
        partial=answer.partial,
        lane=exchange.lane,
        meta=answer.meta,
    )


def _body(request: Request) -> FrozenMap:
    body: Json = request.body.get("json")
    if body is None and "text" in request.body:
        try:
            body = foreign.parse(request.body["text"])
        except (LimitError, ValueRefused) as error:
            raise Refused(f"its request is no JSON that can be read: {error.message}") from None
    if not isinstance(body, FrozenMap):
        raise Refused("its request is too large to be kept" if "sha256" in request.body else "its request is no JSON object")
    return body


@frozen(kw_only=True)
class _Answer:
    """What came of a call."""

    replies: tuple[ModelReply, ...] = ()
    failure: EffectFailure | None = None
    partial: ModelReply | None = None
    meta: FrozenMap


def _read(response: Response, asked: str) -> _Answer:
    """Read an answer as the transport does, each piece at its time; *asked* is the model that was asked."""
    from frameengine.performers.model_http.fault import Fault
    from frameengine.performers.model_http.reading import Reading

    if not response.status:
        # Who did not wait for an answer has not found that there is no server.
        kind = "truncated" if response.error == CLIENT_LEFT else "connect_error"
        failure = EffectFailure(type=f"model.{kind}", message=response.error or "no answer came")
        return _Answer(failure=failure, meta=_meta(response, {}))
    now = 0.0
    reading = Reading(response.status, response.headers, asked=asked, clock=lambda: round(now))
    try:
        for now, piece in response.pieces():  # noqa: B007 - the reading's clock
            for _ in reading.feed(piece):
                pass
        if not response.complete:
            raise reading.cut(response.error or "the answer broke off")
        first = reading.end()
    except Fault as fault:
        said, partial = reading.answer.partial(), None
        if said["text"] and not said["tool_calls"]:
            partial = ModelReply(message=freeze({"role": "assistant", "content": said["text"]}), finish_reason="incomplete")
        return _Answer(failure=fault.failure(), partial=partial, meta=_meta(response, reading.answer.meta()))
    others = () if reading.streamed else _other_choices(response.body, first)
    return _Answer(replies=(first, *others), meta=_meta(response, reading.answer.meta()))


def _other_choices(body: bytes, first: ModelReply) -> list[ModelReply]:
    """Return the replies beside the first, where several were asked for."""
    document = foreign.parse(body.removeprefix(b"\xef\xbb\xbf").decode(errors="replace"))
    found = []
    for choice in document.get("choices", ()):
        message = choice.get("message") if isinstance(choice, FrozenMap) else None
        if isinstance(message, FrozenMap) and choice.get("index", 0) not in (0, None):
            reason = choice.get("finish_reason")
            finish = reason if isinstance(reason, str) else "unknown"
            found.append(evolve(first, message=freeze({"role": "assistant", **message}), finish_reason=finish))
    return found


def _meta(response: Response, read: dict[str, Any]) -> FrozenMap:
    meta: FrozenMap = freeze({**read, **({"ms": response.ms} if response.ms else {}), "status": response.status})
    return meta
