"""Memorizer: keep what is worth knowing in the next turn (C28, C63 to C65)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Final

from frameengine.codec import dumps
from frameengine.errors import ModelCallFailed
from frameengine.jsonvalue import EMPTY, FrozenMap, Json
from frameengine.messages import Answer, Clicked, Remembered
from frameengine.node import NodeContext, NodeResult
from frameengine.nodes.context import chat, history, model_call, note_problems, system_prompt, untrusted
from frameengine.nodes.parsing import parse_memory
from frameengine.state import Change, RunState

PROMPT: Final = "memorizer_v1"
LAST: Final = 10
"""Messages of the history that are read (C15)."""
BUDGET: Final = 3_000
"""Tokens."""
FACTS_MAX: Final = 20
"""Facts that are kept; the oldest go first (W01)."""
TOPICS_MAX: Final = 5
"""Earlier topics that are kept."""
CLICKS_MAX: Final = 10
"""Clicks that are kept."""
CLICK_CHARS_MAX: Final = 200
"""Length of one click in the memory."""
MESSAGES_MIN: Final = 2
"""Messages of a conversation of which there is something to remember."""


class Memorizer:
    """Read the end of the conversation after an answer, and merge what is new into the memory, field by field.

    A click that the surface answered by itself is noted without asking a model, and followed by nothing.
    """

    slot: ClassVar[str] = "memorizer"
    contract: ClassVar[str] = "Memory"

    def __init__(self, prompt: str | None = None) -> None:
        """Read the prompt, or take *prompt* instead."""
        self._system = system_prompt(PROMPT, prompt)

    async def run(self, message: Answer | Clicked, ctx: NodeContext) -> NodeResult:
        """Make at most one model call; where it fails or says nothing of use the memory stays as it is."""
        if isinstance(message, Clicked):
            click = f"{message.action}: {message.text}"[:CLICK_CHARS_MAX]
            return _updated(ctx, None, (Change.append("/memory/clicks", click, keep=CLICKS_MAX),))
        seen: FrozenMap = EMPTY
        if len(ctx.state.get("history", ())) >= MESSAGES_MIN:
            ctx.emit("thinking", detail="updating the memory")
            seen = await self._ask(ctx)
        changes = tuple(_merged(ctx.state["memory"], seen))
        return _updated(ctx, Remembered(changed=tuple([change.at.split("/")[-1] for change in changes])), changes)

    async def _ask(self, ctx: NodeContext) -> FrozenMap:
        """Return the fields that the model sees anew; none, and an ``error``, where there is no reading its reply."""
        known = chat("user", f"{untrusted('memory', dumps(ctx.state['memory']).decode())}\n\nReply with the JSON object now.")
        try:
            reply = await ctx.perform(model_call(ctx, (self._system, *history(ctx, LAST), known), budget=BUDGET))
        except ModelCallFailed as error:
            ctx.emit("error", detail=error.message)
            return EMPTY
        parsed = parse_memory(reply.text)
        if parsed.value:
            note_problems(ctx, parsed.problems)
        else:
            ctx.emit("error", detail="; ".join(parsed.problems))
        return parsed.value


def _merged(memory: FrozenMap, seen: FrozenMap) -> Iterator[Change]:
    """Yield the changes that bring what was *seen* into *memory*; facts keep the order in which they came."""
    values: dict[str, Json] = {key: value for key, value in seen.items() if key != "facts"}
    if new := seen.get("facts"):
        values["facts"] = tuple(dict.fromkeys((*memory.get("facts", ()), *new)))[-FACTS_MAX:]
    before = memory.get("topic")
    if before and values.get("topic", before) != before:
        earlier = memory.get("topic_history", ())
        values["topic_history"] = (earlier if before in earlier else (*earlier, before))[-TOPICS_MAX:]
    for key, value in values.items():
        if value != memory.get(key):
            yield Change.set(f"/memory/{key}", value)


def _updated(ctx: NodeContext, message: Remembered | None, changes: tuple[Change, ...]) -> NodeResult:
    ctx.emit("updated", state=RunState(ctx.state).apply(changes).sections["memory"])
    return NodeResult(message, changes)
