"""A chat message as people read it: role, text, tool calls, and a line for each part that is no text."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.padding import Padding

from frameengine.codec import dumps
from frameengine.effects import text_of
from frameengine.jsonvalue import FrozenMap, Json
from frameengine_cli import phrases
from frameengine_cli.look import GOOD, QUIET, STRONG, TOOL, block, words


def chat(message: FrozenMap, mark: str = " ", style: str = "", *, lines: int = 0) -> RenderableType:
    """Return a message of a conversation; long texts cut after *lines* lines, where that is not 0."""
    answers = f"  answers {message['tool_call_id']}" if "tool_call_id" in message else ""
    sign = (f"{mark} ", GOOD if mark == "+" else QUIET)
    shown: list[RenderableType] = [words(sign, (str(message.get("role", "?")), STRONG), (answers, QUIET))]
    text, others = text_of(message), parts(message)
    if text:
        shown.append(_inside(block(text, style, lines=lines)))
    shown += [_inside(words((part, QUIET))) for part in others]
    known = {"role", "tool_call_id", *(["content"] if text or others or message.get("content") is None else [])}
    if isinstance(message.get("tool_calls"), tuple):
        known.add("tool_calls")
        shown += [_inside(_wanted(call, style, lines)) for call in message["tool_calls"]]
    rest = {name: item for name, item in message.items() if name not in known}
    if rest:
        shown.append(_inside(block(phrases.pretty(rest), style or QUIET, lines=lines)))
    return Group(*shown)


def parts(message: FrozenMap) -> list[str]:
    """Return a phrase for each part of a message's content that is no text: ``[image_url, 26 characters]``."""
    content = message.get("content")
    if not isinstance(content, tuple):
        return []
    return [_part(part) for part in content if not (isinstance(part, FrozenMap) and isinstance(part.get("text"), str))]


def _part(part: Json) -> str:
    if not isinstance(part, FrozenMap):
        return f"[{phrases.value(part)}]"
    kind = str(part.get("type", "part"))
    held: Json = {name: item for name, item in part.items() if name != "type"}
    # Down through what only wraps: {"image_url": {"url": "data:…"}} is as long as its address.
    while isinstance(held, dict) and len(held) == 1:
        held = next(iter(held.values()))
    length = len(held) if isinstance(held, str) else len(dumps(held).decode())
    return f"[{kind}, {phrases.count(length, 'character')}]"


def _inside(body: RenderableType) -> RenderableType:
    return Padding(body, (0, 0, 0, 4))


def _wanted(call: Json, style: str, lines: int) -> RenderableType:
    """Return one tool call of a reply: its arguments as the text they are."""
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or set(call) - {"id", "type", "function"} or set(function) - {"name", "arguments"}:
        return block(phrases.pretty(call), style, lines=lines)
    arguments = function.get("arguments")
    text = arguments if isinstance(arguments, str) else phrases.pretty(arguments)
    return Group(
        words((f"{TOOL} ", GOOD), (str(function.get("name", "?")), STRONG), (f"  id {call.get('id', '')}", QUIET)),
        _inside(block(text, style, lines=lines)),
    )
