"""What every node does that asks a model: take a part of the history, mark what came from outside, fit it, say how full it is."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from frameengine.effects import ModelCall
from frameengine.errors import ModelCallFailed
from frameengine.graph.registry import read_prompt
from frameengine.jsonvalue import EMPTY, FrozenMap, freeze
from frameengine.node import NodeContext
from frameengine.nodes.context_fit import fit
from frameengine.nodes.reply import Parsed

T = TypeVar("T")

HISTORY: Final = "/history"
"""Where the conversation stands in the state."""


def system_prompt(name: str, text: str | None = None) -> FrozenMap:
    """Return the system message of a prompt file, or of *text*. Called when a node is made: a running one reads no file."""
    return chat("system", read_prompt(name) if text is None else text)


def chat(role: str, text: str) -> FrozenMap:
    """Return a chat message."""
    message: FrozenMap = freeze({"role": role, "content": text})
    return message


def untrusted(name: str, text: str) -> str:
    """Return *text* between tags, which the prompts declare to hold data and no orders. It cannot close the tag itself."""
    shut = re.sub(rf"<\s*/(?=\s*{name})", "< /", text, flags=re.IGNORECASE)
    return f"<{name}>\n{shut}\n</{name}>"


def history(ctx: NodeContext, last: int) -> tuple[FrozenMap, ...]:
    """Return the conversation's newest *last* messages, and the system messages that it begins with."""
    messages: tuple[FrozenMap, ...] = ctx.state.get("history", ())
    split = next((index for index, message in enumerate(messages) if message.get("role") != "system"), len(messages))
    return (*messages[:split], *messages[split:][-last:])


def model_call(ctx: NodeContext, messages: Sequence[FrozenMap], *, budget: int, show: bool = False, keep: int = 1) -> ModelCall:
    """Return the call with *messages* fitted to the node's budget (else to *budget* tokens); emits ``context``.

    The newest *keep* messages stay whatever the budget says.
    """
    spec = ctx.config
    fitted = fit(messages, spec.budget or budget, keep)
    ctx.emit("context", messages=len(fitted.messages), tokens=fitted.tokens, max_tokens=fitted.budget, fill_pct=fitted.fill_pct)
    return ModelCall(model=spec.model or "", messages=fitted.messages, params=spec.config.get("params", EMPTY), show=show)


async def read_reply(ctx: NodeContext, call: ModelCall, parse: Callable[[str], Parsed[T]]) -> T:
    """Return what *parse* makes of the reply to *call*.

    A call that fails counts as a reply without text, so its default stands, and ``model_failed`` says so: the text of an error
    is never read as if a model had said it (W26).
    """
    try:
        reply = await ctx.perform(call)
    except ModelCallFailed as error:
        ctx.emit("model_failed", detail=error.message)
        return parse("").value
    parsed = parse(reply.text)
    note_problems(ctx, parsed.problems)
    return parsed.value


def note_problems(ctx: NodeContext, problems: Sequence[str]) -> None:
    """Emit ``parse_failed`` where a reply was not what it should have been: the run goes on with defaults, and says so."""
    if problems:
        ctx.emit("parse_failed", problems=list(problems))
