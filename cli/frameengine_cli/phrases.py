"""Inputs, calls, changes and figures in a few words. Not yet safe for a terminal: `look` sees to that."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from frameengine import foreign
from frameengine.effects import ModelReply, Outcome, ToolReply, text_of
from frameengine.errors import ValueRefused
from frameengine.inputs import Action, Given, Input, StateEdit, SwitchGraph, UserMessage, Webhook
from frameengine.jsonvalue import FrozenMap, Json, thaw
from frameengine.trace.messages import Made

WIDE = 160
"""Code points of a phrase: more than a line of a wide terminal shows."""
REPLY_PARSED_MAX = 20_000
"""Code points of a reply that is looked into; a longer one is shown as the text it is."""


def cut(text: str, width: int = WIDE) -> str:
    """Return *text* on one line, cut at the end."""
    line = " ".join(text[: width * 4].split())
    return line if len(line) <= width and len(text) <= width * 4 else line[: width - 1] + "…"


def value(json: Json, width: int = WIDE) -> str:
    """Return a JSON value in a short form that people read: ``city: "Bern", days: 2``."""
    text = _value(json, width)
    return text[1:-1] if isinstance(json, dict) and text.startswith("{") and text.endswith("}") else text


def _value(json: Json, width: int) -> str:
    if isinstance(json, str):
        return f'"{cut(json, width)}"'
    if json is None or isinstance(json, bool):
        return {None: "null", True: "true", False: "false"}[json]
    if isinstance(json, dict):
        return _joined("{", [f"{key}: {_value(item, 40)}" for key, item in list(json.items())[:12]], len(json), "}")
    if isinstance(json, list | tuple):
        return _joined("[", [_value(item, 40) for item in json[:6]], len(json), "]")
    return repr(json)


def _joined(first: str, parts: list[str], count: int, last: str) -> str:
    more = [f"… {count - len(parts)} more"] if count > len(parts) else []
    return first + ", ".join([*parts, *more]) + last


def pretty(json: Json) -> str:
    """Return a JSON value over several lines."""
    from json import dumps

    return dumps(thaw(json), indent=2, ensure_ascii=False)


def input_line(entered: Input) -> str:
    """Return what came in."""
    body = entered.body
    if isinstance(body, UserMessage):
        return body.text or value(body.message)
    if isinstance(body, Given):
        roles = ", ".join([str(message.get("role", "?")) for message in body.messages[:8]])
        messages = [f"{count(len(body.messages), 'message')} ({roles})"] if body.messages or not body.state else []
        return f"given: {', '.join([*messages, *_settings(body.state)])}"
    if isinstance(body, Action):
        return f"action: {body.name}({value(body.data)})"
    if isinstance(body, SwitchGraph):
        return f"switch to graph {body.graph}"
    if isinstance(body, StateEdit):
        return f"edit: {', '.join(changes_line([made.to_json() for made in body.changes()]))}"
    if isinstance(body, Webhook):
        return f"webhook from {body.source}: {value(body.payload)}"
    held = getattr(body, "readings", None) or getattr(body, "controls", None)
    return entered.type.lower() + (f": {value(held)}" if held else "")


def _settings(state: FrozenMap) -> list[str]:
    """Return sections of a state in a word each: names of models as they are, sizes of what has parts."""
    return [f"{name} {text if isinstance(text, str) else value(text)}" for name, text in state.items() if text]


_BY_HAND: Final = {"answered": "by hand", "sent": "sent by hand", "skipped": "skipped by hand", "failed": "failed by hand"}
"""What a person did about an effect, as the outcome's meta has it, to how it is said."""


def asked(call: Made) -> str:
    """Return what a call asked for."""
    request = call.request
    if call.effect == "tool":
        arguments = request.get("arguments")
        return f"{request.get('name', '')}({value(arguments) if isinstance(arguments, dict) else _value(arguments, WIDE)})"
    return called(call)


def called(call: Made) -> str:
    """Return the name of the model or tool that was called."""
    if call.effect == "tool":
        return str(call.request.get("name", ""))
    reply = call.outcome.value
    answered_by = reply.model if isinstance(reply, ModelReply) else ""
    nobody = "by hand" if call.outcome.meta.get("did") in ("answered", "skipped", "failed") else "(model not recorded)"
    return str(call.request.get("model") or answered_by or nobody)


def took(outcome: Outcome) -> str:
    """Return how long an effect took, and what a person made of it in a run that was held."""
    by_hand = _BY_HAND.get(str(outcome.meta.get("did", "")), "")
    return " · ".join([part for part in (by_hand, duration(milliseconds(outcome.meta))) if part])


def answered(outcome: Outcome) -> str:
    """Return what came back."""
    reply = outcome.value
    if isinstance(reply, ModelReply):
        wanted = [_wanted(call) for call in reply.tool_calls]
        said = _said(reply.text)
        ended = f"[{reply.finish_reason}]" if reply.finish_reason not in ("stop", "tool_calls", "unknown") else ""
        return " ".join([part for part in ("wants " + ", ".join(wanted) if wanted else "", said, ended) if part]) or "nothing"
    if isinstance(reply, ToolReply):
        content = text_of(reply.message) if reply.message is not None else reply.content
        return f'"{cut(content)}"' if isinstance(content, str) else _value(content, WIDE)
    if outcome.status == "not_recorded":
        return "not recorded: the recording stops here"
    if outcome.error is not None:
        return f"{outcome.error.type}: {outcome.error.message}"
    return outcome.status


def _said(text: str) -> str:
    """Return a reply's text; one that is a JSON object as its members."""
    if text[:1] == "{" and len(text) <= REPLY_PARSED_MAX:
        parsed = _object(text)
        if parsed is not None:
            return value(parsed)
    return f'"{cut(text)}"' if text else ""


def _wanted(call: Json) -> str:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict):
        return value(call, 60)
    return f"{function.get('name', '?')}({_arguments(function.get('arguments'))})"


def _arguments(arguments: Json) -> str:
    """Return the arguments of a tool call; those that are no JSON object as the text they are."""
    if not isinstance(arguments, str):
        return value(arguments, 60)
    parsed = _object(arguments)
    return cut(arguments, 80) if parsed is None else value(parsed, 60)


def _object(text: str) -> FrozenMap | None:
    """Return the JSON object that *text* is; None where it is none."""
    try:
        parsed = foreign.parse(text)
    except ValueRefused:
        return None
    return parsed if isinstance(parsed, FrozenMap) else None


def changes_line(changes: Iterable[FrozenMap]) -> list[str]:
    """Return what changed in the state: neighbouring appends to one list joined."""
    lines: list[str] = []
    grown: dict[str, list[str]] = {}
    for change in changes:
        at, operation = str(change["at"]), change["op"]
        if operation == "append":
            grown.setdefault(at, []).append(_kind(change.get("value")))
            continue
        lines.append(f"{at} removed" if operation == "delete" else f"{at} = {_value(change.get('value'), 80)}")
    return [f"{at} +{len(kinds)} ({', '.join(kinds)})" for at, kinds in grown.items()] + lines


def _kind(item: Json) -> str:
    if isinstance(item, dict) and isinstance(item.get("role"), str):
        return str(item["role"])
    return _value(item, 40)


def count(number: int, word: str) -> str:
    """Return a number of things."""
    return f"{number:,} {word}" + ("" if number == 1 else "s")


def frames(main: int, every: int) -> str:
    """Return a message's number of frames: those up to the answer, and with a plus those of the epilogue."""
    return count(main, "frame") if main == every else f"{main:,}+{every - main:,} frames"


def usage(outcome: Outcome) -> tuple[int, int] | None:
    """Return the tokens that went in and came out, as the endpoint reported them; None where it did not."""
    reply = outcome.value
    if not isinstance(reply, ModelReply):
        return None
    figures = reply.usage
    read, wrote = (
        figures.get("prompt_tokens", figures.get("input_tokens")),
        figures.get("completion_tokens", figures.get("output_tokens")),
    )
    if not isinstance(read, int) and not isinstance(wrote, int):
        return None
    return (read if isinstance(read, int) else 0, wrote if isinstance(wrote, int) else 0)


def tokens(figures: Sequence[int] | None) -> str:
    """Return token counts: ``412→18 tok``."""
    return "" if figures is None else f"{figures[0]:,}→{figures[1]:,} tok"


def milliseconds(meta: Any) -> float | None:
    """Return the duration that a line's meta holds."""
    for name in ("ms", "latency_ms", "duration_ms"):
        found = meta.get(name)
        if isinstance(found, int | float) and not isinstance(found, bool):
            return float(found)
    return None


def duration(ms: float | None) -> str:
    """Return a duration in the unit that suits it."""
    if ms is None:
        return ""
    if ms < 1000:
        return f"{ms:.0f} ms" if ms >= 1 else f"{ms:.1f} ms"
    return f"{ms / 1000:.1f} s" if ms < 120_000 else f"{ms / 60_000:.1f} min"


def size(number: int) -> str:
    """Return a number of bytes."""
    for unit in ("bytes", "kB", "MB"):
        if number < 1000 or unit == "MB":
            return f"{number:,.0f} {unit}" if unit == "bytes" else f"{number:,.1f} {unit}"
        number = number // 100 / 10 if unit == "bytes" else number / 1000  # type: ignore[assignment]
    raise AssertionError
