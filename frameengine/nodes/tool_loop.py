"""Model, tools, model, …, answer: the shape of most tool-calling agents, and of any imported OpenAI conversation.

The history in the state is the conversation in OpenAI's message format, exactly as it was said.
"""

from __future__ import annotations

from typing import ClassVar

from frameengine import foreign
from frameengine.codec import dumps
from frameengine.effects import ModelCall, ToolCall, ToolReply
from frameengine.errors import EffectError, LimitError, ValueRefused
from frameengine.jsonvalue import EMPTY, FrozenMap, Json, freeze
from frameengine.messages import Answer, Envelope, ToolRequest, ToolResults
from frameengine.node import NodeContext, NodeResult
from frameengine.state import Change

HISTORY = "/history"


class ChatModel:
    """Ask the model with the whole conversation; hand on its tool calls or its answer."""

    slot: ClassVar[str] = "model"
    contract: ClassVar[str] = "chat"

    async def run(self, message: Envelope | ToolResults, ctx: NodeContext) -> NodeResult:
        """Make one model call."""
        state = ctx.state
        said = (message.chat,) if isinstance(message, Envelope) else ()
        reply = await ctx.perform(
            ModelCall(
                model=state.get("model") or ctx.config.model or "",
                messages=(*state["history"], *said),
                tools=state.get("tools", ()),
                params=state.get("params", EMPTY),
                show=True,
            )
        )
        changes = [Change.append(HISTORY, new) for new in (*said, _spoken(reply.message))]
        if reply.tool_calls:
            return NodeResult(ToolRequest(calls=reply.tool_calls), changes)
        return NodeResult(Answer(text=reply.text), changes)


def _spoken(message: FrozenMap) -> FrozenMap:
    """Return a reply's message as the assistant's, whoever it says it is from; as it came where it says so itself."""
    if message.get("role") == "assistant":
        return message
    spoken: FrozenMap = freeze({**message, "role": "assistant"})
    return spoken


class ChatTools:
    """Run the tools that the model asked for, all at once, and add their results in call order."""

    slot: ClassVar[str] = "tools"
    contract: ClassVar[str] = "tool"

    async def run(self, message: ToolRequest, ctx: NodeContext) -> NodeResult:
        """Run every tool call of one reply."""
        effects = [tool_call(call) for call in message.calls]
        replies = await ctx.perform_all(effects, keep_failures=True)
        results = [tool_message(call, reply) for call, reply in zip(message.calls, replies, strict=True)]
        return NodeResult(ToolResults(count=len(results)), [Change.append(HISTORY, result) for result in results])


class ChatOutput:
    """Show the answer."""

    slot: ClassVar[str] = "output"

    async def run(self, message: Answer, ctx: NodeContext) -> NodeResult:
        """Show one answer; it ends the message."""
        if message.text:
            ctx.say(message.text)
        return NodeResult()


def tool_call(call: FrozenMap) -> ToolCall:
    """Return the effect of a chat tool call. Arguments that are no JSON object stay the text they are."""
    function = call.get("function")
    if not isinstance(function, FrozenMap):
        return ToolCall(str(call.get("name", "")), freeze(call))
    return ToolCall(str(function.get("name", "")), _arguments(function.get("arguments")))


def _arguments(arguments: Json) -> Json:
    if not isinstance(arguments, str):
        return EMPTY if arguments is None else arguments
    try:
        parsed = foreign.parse(arguments)
    except (LimitError, ValueRefused):
        return arguments
    return parsed if isinstance(parsed, FrozenMap) else arguments


def tool_message(call: FrozenMap, reply: ToolReply | EffectError) -> FrozenMap:
    """Return the chat message of a tool's result or failure: the one that carried it, or else one for *call*."""
    if isinstance(reply, EffectError):
        return _message_for(call, f"Error: {reply.message}")
    if reply.message is not None:
        return reply.message
    content = reply.content
    if not isinstance(content, str):
        content = dumps(content).decode()
    return _message_for(call, content)


def _message_for(call: FrozenMap, content: str) -> FrozenMap:
    message: FrozenMap = freeze({"role": "tool", "tool_call_id": call.get("id", ""), "content": content})
    return message
