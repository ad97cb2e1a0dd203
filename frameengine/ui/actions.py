"""Clicks as text: for callers of a program, for suites, and for the nodes that read them (C74, C75).

Text that a user typed never comes by here: it enters as a `UserMessage`, whatever it says.
"""

from __future__ import annotations

import re
from typing import Final

from frameengine import foreign
from frameengine.codec import dumps
from frameengine.errors import FrameEngineError
from frameengine.inputs import Action
from frameengine.jsonvalue import FrozenMap, Json, freeze
from frameengine.ui.values import cut, name

PREFIX: Final = "ACTION:"
ACTION_CHARS_MAX: Final = 64 << 10
"""Length of a click that is read at all."""
DATA_CHARS_SHOWN: Final = 4_000
"""Characters of a click's data that a node reads; the rest is said to be missing."""
DATA: Final = "data:"
CLICK: Final = "click"
"""Member ``name`` of the chat messages that stand for clicks. A typed message has none."""
_QUOTED: Final = re.compile(r'"(?:[^"\\]|\\.)*+"')
_PLAIN: Final = re.compile(r"[^\s|\"](?:[^|\n\r]*[^\s|])?")
_DATA: Final = re.compile(r"\|\s*+data:", re.DOTALL)


def parse_action(text: str) -> Action | str:
    """Return the click that ``ACTION: name | data: {…}`` stands for, or what is wrong with the text; in linear time.

    The name ends at the first ``|``; one that holds a ``|`` or ``data:``, or begins with a quote, is written as a JSON
    string.
    """
    text = text.strip()
    if not text.startswith(PREFIX):
        return f"an action begins with {PREFIX}"
    if len(text) > ACTION_CHARS_MAX:
        return f"an action has at most {ACTION_CHARS_MAX:,} characters, not {len(text):,}"
    rest = text[len(PREFIX) :].lstrip()
    try:
        if rest.startswith('"'):
            found = _QUOTED.match(rest)
            if found is None:
                return "the action's name has no closing quote"
            said, rest = foreign.parse(found[0]), rest[found.end() :].lstrip()
        else:
            end = rest.find("|")
            said, rest = (rest, "") if end < 0 else (rest[:end].rstrip(), rest[end:])
            if DATA in said:
                return f"before {DATA} stands a |; a name that holds {DATA} is written in quotes"
        said = name(freeze(said), "the action's name")
        if not rest:
            return Action(name=said)
        data = _DATA.match(rest)
        if data is None:
            return "after the action's name comes nothing, or | data: and an object"
        value = foreign.parse(rest[data.end() :])
    except FrameEngineError as error:
        return f"{error.message} ({error.hint})" if error.hint else error.message
    return Action(name=said, data=value) if isinstance(value, FrozenMap) else "the action's data is no JSON object"


def action_text(action: Action) -> str:
    """Return a click as the text that `parse_action` reads back, whatever its name holds."""
    return f"{PREFIX} {_name(action.name)}{_data(action, dumps(action.data).decode())}"


def shown_text(action: Action) -> str:
    """Return `action_text` with name and data cut to what a node should read; what is missing is said."""
    document = dumps(action.data).decode()
    if len(document) > DATA_CHARS_SHOWN:
        document = f"{document[:DATA_CHARS_SHOWN]} [cut: {DATA_CHARS_SHOWN:,} of {len(document):,} characters]"
    return f"{PREFIX} {_name(cut(action.name, 100))}{_data(action, document)}"


def click_message(action: Action) -> FrozenMap:
    """Return the chat message that stands for a click in the history (C70, C76).

    Its ``name`` tells it from what a user typed, even where somebody typed the same words (W63).
    """
    data = f" {cut(dumps(action.data).decode(), DATA_CHARS_SHOWN)}" if action.data else ""
    content = f"[clicked {cut(action.name, 100)}]{data}"
    message: FrozenMap = freeze({"role": "user", "name": CLICK, "content": content})
    return message


def is_click(message: FrozenMap) -> bool:
    """Return whether a chat message stands for a click."""
    return message.get("role") == "user" and message.get("name") == CLICK


def _name(value: str) -> str:
    return value if _PLAIN.fullmatch(value) and DATA not in value else dumps(value).decode()


def _data(action: Action, document: Json) -> str:
    return f" | data: {document}" if action.data else ""
