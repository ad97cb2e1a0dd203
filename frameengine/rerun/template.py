"""A script to fill in: the calls of a rerun that no recorded reply answers, each with the reply that stood in for it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from frameengine.cassette.match import difference
from frameengine.codec import dumps
from frameengine.effects import ModelReply, Outcome, ToolReply, text_of
from frameengine.jsonvalue import Json, thaw
from frameengine.plaintext import visible_line
from frameengine.rerun.stage import Miss
from frameengine.rerun.supply import PLACEHOLDER

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_ODD = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_TABLES = {"model": "[model]", "tool": "[tools.scripted]"}


def template(misses: Sequence[Miss], trace: str) -> str:
    """Return a TOML script that answers *misses* of a rerun of *trace*: with the replies that stood in, or that a script gave.

    Every node's replies stand in the order in which it asks for them.
    """
    lines = [
        f"# Replies for the calls that {visible_line(trace)} has none for, in the order in which each node asks.",
        "# Each is what stood in that place when it was recorded: keep it, or write what the changed graph should get.",
    ]
    for kind, table in _TABLES.items():
        nodes: dict[str, list[Miss]] = {}
        for miss in misses:
            if miss.call.effect.kind == kind and miss.how != "live":
                nodes.setdefault(miss.call.key.node, []).append(miss)
        if nodes:
            lines += ["", table]
        for node, asked in nodes.items():
            lines.append(f"{_key(node)} = [")
            for miss in asked:
                lines += [f"    # {visible_line(why(miss))}", f"    {toml(_reply(miss.outcome))},"]
            lines.append("]")
    return "\n".join(lines) + "\n"


def why(miss: Miss) -> str:
    """Return where a call was asked, and how it differs from the one whose reply stood in."""
    key = miss.call.key
    place = f"{key.input}.{key.frame} {key.node}[{key.call}], {miss.call.effect.kind} {miss.call.effect.name}"
    if miss.how != "needed":
        return f"{place}: answered by the {miss.how}"
    if miss.stand_in is None:
        return f"{place}: nothing recorded is like it"
    found = difference(miss.stand_in.call, miss.call)
    return f"{place}: differs from {miss.stand_in.key}" + ("" if found is None else f" at {found[0]}")


def _reply(outcome: Outcome) -> Any:
    reply = outcome.value
    if isinstance(reply, ModelReply):
        return reply.message if reply.tool_calls else reply.text
    if isinstance(reply, ToolReply):
        return text_of(reply.message) if reply.message is not None else reply.content
    return PLACEHOLDER


def toml(value: Json) -> str:
    """Return a JSON value in TOML, as readable as it gets. What is null is left out of a table, and empty text in a list."""
    if isinstance(value, dict):
        return "{ " + ", ".join([f"{_key(name)} = {toml(item)}" for name, item in value.items() if item is not None]) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join([toml(item) for item in value]) + "]"
    if isinstance(value, str):
        return _text(value)
    return '""' if value is None else dumps(thaw(value)).decode()


def _text(text: str) -> str:
    if not _ODD.search(text) and "'''" not in text and not text.endswith("'"):
        if "\n" in text:
            return f"'''\n{text}'''"
        return f"'''{text}'''" if "'" in text else f"'{text}'"
    return _quoted(text)


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _quoted(name)


def _quoted(text: str) -> str:
    return dumps(text).decode().replace("\x7f", "\\u007f")
