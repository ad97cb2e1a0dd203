"""What comes near a request that no recorded one equals: the same place of a conversation, or the most alike and why not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from hashlib import sha256
from itertools import takewhile
from typing import Any

from frameengine import foreign
from frameengine.codec import written
from frameengine.errors import CassetteMiss, LimitError, ValueRefused
from frameengine.exchanges.exchange import Request
from frameengine.jsonvalue import MISSING, FrozenMap, Json, first_difference
from frameengine.plaintext import visible
from frameengine.trace.redact import neutral

NEAREST = 3
"""How many are told of."""
TRIED = 200
"""How many are looked at closely: those of the same name first, the newest of them first."""
CHARS = 8_000
"""Characters of a request that likeness looks at, from its end: where conversations differ."""
_SAID_MAX = 200
_BEFORE = 60
"""Characters that are shown before the place where two long values part."""
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


def nearest(asked: Request, recorded: Sequence[tuple[int, Request, bool]]) -> list[dict[str, Any]]:
    """Return what is most like *asked*: name, likeness, why it does not answer.

    *recorded* has of each request the number of its input, and whether it is left.
    """
    pool = sorted(recorded, key=lambda item: (item[1].name != asked.name, not item[2], -item[0]))
    letters = Counter(asked.text[-CHARS:])
    ranked = []
    for number, request, left in pool[:TRIED]:
        others = Counter(request.text[-CHARS:])
        ratio = 2 * (letters & others).total() / (letters.total() + others.total())
        ranked.append((-round(ratio, 3), number, request, left))
    ranked.sort(key=lambda item: item[:2])
    different: dict[str, dict[str, Any]] = {}
    for ratio, number, request, left in ranked:
        if len(different) < NEAREST and request.digest not in different:
            different[request.digest] = _rejected(asked, request, -ratio, number, left=left)
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
    sides = zip(("recorded", "asked"), _sides(one, other), strict=True)
    values = {name: value for name, value in sides if value is not MISSING}
    return {**told, "why": f"it differs at {pointer}{used}", "pointer": pointer, **values}


def told(miss: CassetteMiss, most: int = NEAREST) -> str:
    """Return a miss as one line: what was asked, and why each of the *most* nearest recorded requests does not answer it."""
    near = "; ".join([spelled(one) for one in miss.fields.get("nearest", ())[:most]])
    return f"{miss.message}; nearest: {near}" if near else miss.message


def spelled(near: Mapping[str, Any]) -> str:
    """Return one of `nearest` as one line: which it is, why it does not answer, and what stood and stands where it differs."""
    said = f"recorded {near['request']} (input {near['input']}): {near['why']}"
    values = ", ".join([f"{name} {value}" for name, value in sides(near)])
    return visible(f"{said}: {values}" if values else said)


def sides(near: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what was recorded and what is asked, written as JSON, where one of `nearest` differs; nothing where it does not."""
    if "pointer" not in near:
        return []
    return [(name, written(near[name]).decode() if name in near else "nothing") for name in ("recorded", "asked")]


def _sides(one: Json, other: Json) -> tuple[Json, Json]:
    """Return two different values, of long ones the part where they part; `MISSING` stays."""
    left, right = [
        "" if value is MISSING else value if isinstance(value, str) else written(value).decode() for value in (one, other)
    ]
    equal = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(left, right, strict=False)))
    start = max(0, equal - _BEFORE)
    return _around(one, left, start), _around(other, right, start)


def _around(value: Json, text: str, start: int) -> Json:
    if len(text) <= _SAID_MAX:
        return value
    end = start + _SAID_MAX
    return f"{'…' if start else ''}{text[start:end]}{'…' if end < len(text) else ''} ({len(text):,} characters)"


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
