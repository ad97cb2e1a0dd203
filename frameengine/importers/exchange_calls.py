"""Read a recorded exchange with an OpenAI-compatible chat endpoint as a call of a chat model."""

from __future__ import annotations

from typing import Any

from frameengine import foreign
from frameengine.errors import LimitError, UsageError, ValueRefused
from frameengine.exchanges.exchange import Exchange, Request
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
    from frameengine.performers.model_http.chat import read_answer

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
    answer = read_answer(exchange.response)
    return ChatCall(
        number=number,
        messages=messages,
        settings=freeze({"model": model, "tools": tools, "params": params}),
        replies=answer.replies,
        failure=answer.failure,
        partial=answer.partial,
        lane=exchange.lane,
        meta=freeze(_meta(exchange)),
    )


def _body(request: Request) -> FrozenMap:
    body: Json = request.body.get("json")
    if body is None and "text" in request.body:
        try:
            body = foreign.parse(request.body["text"])
        except (LimitError, ValueRefused) as error:
            raise Refused(f"its request is no JSON that can be read: {error.message}") from None
    if not isinstance(body, FrozenMap):
        raise Refused("its request is no JSON object")
    return body


def _meta(exchange: Exchange) -> dict[str, Any]:
    response = exchange.response
    meta: dict[str, Any] = {"status": response.status}
    return {**meta, "ms": response.ms} if response.ms else meta
