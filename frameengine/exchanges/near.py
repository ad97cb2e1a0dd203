"""What comes near a request that no recorded one equals: the same place of a conversation, or the most alike and why not."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher
from hashlib import sha256
from typing import Any

from frameengine import foreign
from frameengine.codec import written
from frameengine.errors import LimitError, ValueRefused
from frameengine.exchanges.exchange import Exchange, Request
from frameengine.jsonvalue import MISSING, FrozenMap, Json, first_difference
from frameengine.trace.redact import neutral

NEAREST = 3
"""How many are told of."""
TRIED = 200
"""How many are looked at closely: those of the same name first, the newest of them first."""
CHARS = 8_000
"""Characters of a request that likeness looks at, from its end: where conversations differ."""
_SAID_MAX = 200
_TURNS = ("messages", "input", "contents")
"""Members that hold the conversation: chat completions and Anthropic, responses, Gemini."""
_RULES = ("system", "instructions", "systemInstruction")
_PASSING = frozenset({"id", "tool_call_id", "tool_use_id", "call_id", "cache_control", "type", "status", "annotations"})
"""Members of a message that say nothing: what an endpoint numbers, and what it adds."""


def chain_key(request: Request) -> str | None:
    """Return what a request has in common with others in the same place of a conversation; None where it holds none.

    That is the messages by role, text, tools' names and arguments, and whether the answer is to be a stream.
    """
    body = request.body.get("json")
    if not isinstance(body, FrozenMap):
        return None
    turns = next((body[name] for name in _TURNS if name in body), None)
    if turns is None:
        return None
    rules = next((body[name] for name in _RULES if name in body), None)
    said = [request.name, bool(body.get("stream")), _essence(rules), _essence(turns)]
    return sha256(neutral(written(said).decode()).encode()).hexdigest()


def nearest(asked: Request, recorded: Sequence[tuple[Exchange, bool]]) -> list[dict[str, Any]]:
    """Return what is most like *asked*: name, likeness, why it does not answer. *recorded* says of each if it is left."""
    pool = sorted(enumerate(recorded), key=lambda item: (item[1][0].request.name != asked.name, not item[1][1], -item[0]))
    text = _tail(asked)
    ranked = []
    for number, (exchange, left) in pool[:TRIED]:
        ratio = SequenceMatcher(None, text, _tail(exchange.request), autojunk=False).quick_ratio()
        ranked.append((-round(ratio, 3), number, exchange.request, left))
    ranked.sort(key=lambda item: item[:2])
    different: dict[str, dict[str, Any]] = {}
    for ratio, number, request, left in ranked:
        if len(different) < NEAREST and request.digest not in different:
            different[request.digest] = _rejected(asked, request, -ratio, number + 1, left=left)
    return list(different.values())


def _rejected(asked: Request, request: Request, ratio: float, number: int, *, left: bool) -> dict[str, Any]:
    told: dict[str, Any] = {"input": number, "request": request.name, "similarity": ratio}
    if request.name != asked.name:
        return {**told, "why": f"it is another request: {request.name}"}
    found = None if request.digest == asked.digest else first_difference(request.wire(), asked.wire())
    if found is None:
        why = "it holds another secret, or a text that looks like the placeholder of one" if left else "it has been used"
        return {**told, "why": why}
    pointer, one, other = found
    used = "" if left else ", and it has been used"
    return {**told, "why": f"it differs at {pointer}{used}", "pointer": pointer, "recorded": _short(one), "asked": _short(other)}


def _short(value: Json) -> Json:
    if value is MISSING:
        return None
    text = value if isinstance(value, str) else written(value).decode()
    return text if len(text) <= _SAID_MAX else f"{text[:_SAID_MAX]}… ({len(text):,} characters)"


def _tail(request: Request) -> str:
    return written(request.wire()).decode()[-CHARS:]


def _essence(value: Json) -> Json:
    """Return a part of a conversation without what differs from run to run, its texts joined and its arguments parsed."""
    if isinstance(value, FrozenMap):
        members = {name: _essence(item) for name, item in value.items() if name not in _PASSING}
        if isinstance(value.get("arguments"), str):
            members["arguments"] = _parsed(value["arguments"])
        return {name: members[name] for name in sorted(members) if members[name] not in (None, [], "")}
    if isinstance(value, tuple):
        if value and all(isinstance(part, FrozenMap) and isinstance(part.get("text"), str) for part in value):
            return "".join([part["text"] for part in value])
        return [_essence(part) for part in value]
    return value


def _parsed(arguments: str) -> Json:
    try:
        return foreign.parse(arguments)
    except (LimitError, ValueRefused):
        return arguments
