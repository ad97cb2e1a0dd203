"""What somebody typed, as the value that belongs in its place: a reply, a result, a failure, an input, a value of the state."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

import attrs

from frameengine import foreign
from frameengine.effects import EffectFailure, ModelReply, Outcome, ToolReply
from frameengine.errors import FrameEngineError, LimitError, NodeError, UsageError, ValueRefused
from frameengine.inputs import Body, Cancel, Clear, Dashboard, Given, Input, SwitchGraph, UserMessage
from frameengine.jsonvalue import FrozenMap, Json, first_difference, freeze, point, pointer_step
from frameengine.replay.divergence import wired
from frameengine.state import Change, RunState
from frameengine.trace.contents import BadContent
from frameengine.trace.shape import check_data, check_outcome

EDITED = "edited"
"""Type of a failure that somebody made up, unless they say another."""
_LIKE_JSON = re.compile(
    r"""(?ix) \s* (?: [{\["] | (?: [-+]?(?: [0-9]+\.?[0-9]* | \.[0-9]+ )(?:e[-+]?[0-9]+)? | [-+]?(?:nan|inf|infinity)
    | true | false | null | none ) \s*\Z )"""
)
_POINTER_SIGN = re.compile("~(?![01])")


def json_or_text(value: str) -> Json:
    """Return JSON where it is JSON, else the text. Raises `UsageError` for what reads like JSON and cannot be."""
    try:
        return foreign.parse(value)
    except (ValueRefused, LimitError) as error:
        if like_json(value):
            raise _no_json(error) from None
        return freeze(value)


def like_json(text: str) -> bool:
    """Return whether a text may have been meant as JSON: it begins as an object, a list or a string, or is a number or a word."""
    return _LIKE_JSON.match(text) is not None


def is_json(text: str) -> bool:
    """Return whether a text is JSON that a trace can hold."""
    try:
        foreign.parse(text)
    except (ValueRefused, LimitError):
        return False
    return True


def _no_json(error: FrameEngineError) -> UsageError:
    return UsageError(f"this is not JSON: {error.message}", hint="correct it, or write a text in double quotes")


def _as_text(value: str) -> str:
    """Return the text that was typed: as it stands, or without the quotes where it is a string of JSON."""
    parsed = _parsed(value)
    return parsed if isinstance(parsed, str) else value


def _parsed(value: str) -> Json:
    try:
        return foreign.parse(value)
    except (ValueRefused, LimitError):
        return None


# ---------------------------------------------------------------------- outcomes


def model_reply(recorded: Outcome, value: str) -> ModelReply:
    """Return the reply that was typed: a text, or a chat message as a JSON object with ``role`` or ``tool_calls``.

    Any other object, list or number is a text as well: models reply in JSON. Token counts are left out: nobody counted. Raises
    `UsageError`, also for a chat message that a trace could not hold.
    """
    before = recorded.value if isinstance(recorded.value, ModelReply) else ModelReply(message=freeze({"role": "assistant"}))
    typed = _parsed(value)
    if typed is None:
        _check_message(value)
    if isinstance(typed, FrozenMap) and ("role" in typed or "tool_calls" in typed):
        message = _assistant(typed)
    else:
        kept = {name: item for name, item in before.message.items() if name not in ("tool_calls", "function_call")}
        message = freeze({**kept, "content": _as_text(value)})
    ends = "tool_calls" if message.get("tool_calls") else "stop"
    return ModelReply(message=message, finish_reason=ends, model=before.model)


def _check_message(value: str) -> None:
    """Raise `UsageError` for a chat message that other parsers read and a trace cannot hold: it would pass for a text."""
    try:
        read = json.loads(value)
    except (ValueError, RecursionError):
        return
    if isinstance(read, dict) and not {"role", "tool_calls"}.isdisjoint(read):
        try:
            foreign.parse(value)
        except (ValueRefused, LimitError) as error:
            raise _no_json(error) from None


def _assistant(message: FrozenMap) -> FrozenMap:
    """Return a chat message that a model may have sent. Raises `UsageError`."""
    if message.get("role", "assistant") != "assistant":
        raise UsageError(f"a reply is the assistant's, not of role {message['role']!r}", hint='write "role": "assistant"')
    calls = message.get("tool_calls", ())
    if not isinstance(calls, tuple) or not all(map(_is_tool_call, calls)):
        hint = '"tool_calls": [{"id": "…", "type": "function", "function": {"name": "…", "arguments": "{…}"}}]'
        raise UsageError("the tool_calls of a reply are a list of calls, each with a function and its name", hint=hint)
    if not calls and not isinstance(message.get("content"), str | tuple):
        raise UsageError("this reply says nothing and calls nothing", hint='give it a "content", or "tool_calls"')
    return message if "role" in message else freeze({"role": "assistant", **message})


def _is_tool_call(call: Json) -> bool:
    function = call.get("function") if isinstance(call, FrozenMap) else None
    return (
        isinstance(function, FrozenMap)
        and isinstance(function.get("name"), str)
        and isinstance(function.get("arguments", ""), str | FrozenMap)
    )


def tool_result(recorded: Outcome, value: str) -> ToolReply:
    """Return the result that was typed: JSON, or a text; in the chat message that carried the recorded one, where there is one.

    What was a text stays a text: digits do not become a number. Raises `UsageError`.
    """
    before = recorded.value if isinstance(recorded.value, ToolReply) else ToolReply()
    if before.message is not None:
        typed = _parsed(value)
        if isinstance(typed, FrozenMap) and typed.get("role") == "tool":
            return ToolReply(message=typed)
        return ToolReply(message=freeze({**before.message, "content": _as_text(value)}))
    return ToolReply(content=_as_text(value) if isinstance(before.content, str) else json_or_text(value))


def failure(value: str) -> EffectFailure:
    """Return the failure that was typed: its message, or an object with ``message``, ``type`` and ``fields``."""
    typed = _parsed(value)
    if not isinstance(typed, FrozenMap):
        return EffectFailure(type=EDITED, message=_as_text(value))
    members: FrozenMap = freeze({"type": EDITED, **typed})
    try:
        check_outcome("tool", freeze({"status": "error", "error": members}))
        return EffectFailure(**members)
    except (BadContent, TypeError) as error:
        hint = '{"message": "…"}, and if need be "type": "…" and "fields": {…}'
        raise UsageError(f"this is no failure of an effect: {error}", hint=hint) from None


# ---------------------------------------------------------------------- inputs


_ALONE = {Dashboard: ("controls", tuple), Given: ("messages", tuple), SwitchGraph: ("graph", str)}
"""Kinds of inputs with a field that may be written by itself, and its type."""


def input_body(entered: Input, value: str) -> Body:
    """Return the body that was typed for an input: its fields as a JSON object, those left out stay; or a user's text alone.

    Raises `UsageError` for another type, and for an input that holds nothing.
    """
    kind: Any = type(entered.body)
    names = [attribute.alias or attribute.name for attribute in attrs.fields(kind)]
    if kind in (Cancel, Clear):
        raise UsageError(f"input {entered.number}, a {entered.type}, holds nothing that could be changed", hint="edit another")
    fields = dict(zip(names, [getattr(entered.body, attribute.name) for attribute in attrs.fields(kind)], strict=True))
    fields.update(_fields(entered.body, value, names))
    try:
        body: Body = kind(**fields)
        check_data("input", wired(Input(number=1, body=body).wire()))
    except (BadContent, ValueRefused, LookupError, TypeError, AttributeError) as error:
        hint = f"its fields are {', '.join(names)}; those you leave out stay"
        raise UsageError(f"this is no {entered.type}: {error}", hint=hint, type=entered.type) from None
    return body


def _fields(body: Body, value: str, names: list[str]) -> dict[str, Any]:
    typed = _parsed(value)
    if isinstance(body, UserMessage):
        if typed is None:
            _check_message(value)
        if isinstance(typed, FrozenMap) and "role" in typed:
            if typed["role"] != "user":
                raise UsageError(f"what a user says is of role 'user', not {typed['role']!r}", hint='write "role": "user"')
            return {"message": typed}
        if not isinstance(typed, FrozenMap) or not typed or not set(typed) <= set(names):
            return {"message": {**body.message, "content": _as_text(value)}}
    kind = type(body).__name__
    alone, form = _ALONE.get(type(body), ("", dict))
    if alone and (form is str or isinstance(typed, form)):
        return {alone: _as_text(value) if form is str else typed}
    if not isinstance(typed, FrozenMap):
        raise UsageError(f"a {kind} is written as a JSON object", hint=f"its fields are {', '.join(names)}", type=kind)
    unknown = [name for name in typed if name not in names]
    if unknown:
        raise UsageError(f"a {kind} has no {unknown[0]!r}", hint=f"its fields are {', '.join(names)}", type=kind)
    return dict(typed)


# ---------------------------------------------------------------------- state


def state_change(state: RunState, how: str, pointer: str, value: str) -> Change:
    """Return the change of a state that was typed; *how* is ``set`` (what is there), ``put`` (whatever is there) or ``delete``.

    Raises `UsageError` where the state has no such place, for a value of another type than the one there, and for no change.
    """
    if not pointer.startswith("/") or pointer == "/":
        raise UsageError(f"{pointer!r} is no pointer into the state", hint=f"its sections are {_listed(state.sections)}")
    if _POINTER_SIGN.search(pointer):
        raise UsageError(f"{pointer!r} is no pointer: a ~ stands before 0 or 1", hint="write ~0 for ~ in a name, and ~1 for /")
    there = True
    held: Json = None
    try:
        held = point(state.sections, pointer)
    except KeyError:
        there = False
    if how == "put":
        change = _put(state, pointer, value, there=there)
    elif not there:
        raise _nothing_at(state, pointer)
    else:
        change = Change.delete(pointer) if how == "delete" else Change.set(pointer, _like(held, pointer, value))
    try:
        after = state.apply([change])
    except NodeError as error:
        raise UsageError(error.message, hint=error.hint, at=pointer) from None
    if first_difference(state.sections, after.sections) is None:
        raise UsageError(f"{pointer} holds that already: nothing would change", hint="write another value", at=pointer)
    return change


def _put(state: RunState, pointer: str, value: str, *, there: bool) -> Change:
    parent, _, last = pointer.rpartition("/")
    try:
        around = point(state.sections, parent)
    except KeyError:
        raise _nothing_at(state, pointer) from None
    if last == "-" and isinstance(around, tuple):
        return Change.append(parent, json_or_text(value))
    if not there and not isinstance(around, FrozenMap):
        raise _nothing_at(state, pointer)
    return Change.set(pointer, json_or_text(value))


def _nothing_at(state: RunState, pointer: str) -> UsageError:
    """Return the error for a pointer to nothing: what is there as far as it goes, and what it may have meant."""
    held: Json = state.sections
    steps = pointer.split("/")[1:]
    for index, step in enumerate(steps):
        try:
            held = point(held, f"/{step}")
        except KeyError:
            steps = steps[:index]
            break
    parent = "".join([f"/{step}" for step in steps])
    where = f"{parent} holds" if parent else "its sections are"
    hint = f"{where} {_listed(held)}"
    if isinstance(held, FrozenMap) and pointer.count("/") == len(steps) + 1:
        hint += f"; put {pointer} VALUE makes it"
    return UsageError(f"the state has nothing at {pointer!r} here", hint=hint, at=pointer, near=_near(held, pointer, parent))


def _near(held: Json, pointer: str, parent: str) -> list[str]:
    if not isinstance(held, FrozenMap):
        return []
    wanted = pointer[len(parent) + 1 :].partition("/")[0]
    return [f"{parent}/{pointer_step(name)}" for name in get_close_matches(wanted, [str(name) for name in held], 3)]


def _listed(held: Json) -> str:
    if isinstance(held, FrozenMap):
        names: Iterable[str] = [pointer_step(name) for name in held][:12]
        return ", ".join(names) or "nothing"
    return f"{len(held)} items, from 0" if isinstance(held, tuple) else _form(held)


def _like(held: Json, pointer: str, value: str) -> Json:
    """Return a typed value of the type that is there: a text stays a text, and null may stand anywhere."""
    if isinstance(held, str):
        return _as_text(value)
    typed = json_or_text(value)
    if held is not None and typed is not None and _form(held) != _form(typed):
        what = f"{pointer} holds {_form(held)}, and what you write is {_form(typed)}"
        hint = f"write {_form(held)}; put {pointer} VALUE takes any value"
        raise UsageError(what, hint=hint, at=pointer)
    return typed


def _form(value: Json) -> str:
    """Return what kind of JSON a value is, in words."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, str):
        return "a text"
    if isinstance(value, dict):
        return "an object"
    return "a list" if isinstance(value, tuple | list) else "a number"
