"""What a debugger should find in a trace, found the slow way: every place decoded and folded, one after another."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

from frameengine.debug.place import Place
from frameengine.effects import ModelReply, ToolReply
from frameengine.inputs import Clear, Given, UserMessage
from frameengine.jsonvalue import thaw
from frameengine.trace.messages import Made, Message, messages
from frameengine.trace.reader import TraceReader

NOWHERE = "nowhere"
"""Stands for a value that is not there."""


@frozen(kw_only=True)
class Spot:
    """One place of a run, with everything that a breakpoint may ask of it."""

    place: Place
    """Where."""
    message: Message
    """The message that it is in."""
    records: list[dict[str, Any]]
    """Of its frame, plain."""
    calls: tuple[Made, ...]
    """Of its frame, in key order."""
    ends: bool
    """Whether no frame of the message follows."""
    before: Any
    """The state before it, plain."""
    after: Any
    """The state at it, plain."""

    def made(self, record: Mapping[str, Any]) -> list[Made]:
        """Return the calls of one record."""
        return [made for made in self.calls if made.key.node == record["node"]]


def spots(path: Path) -> list[Spot]:
    """Return all places of a run but its start, in order."""
    found = []
    with TraceReader(path) as reader:
        initial = thaw(reader.header["graph"]["state"])
        state = _copy(thaw(reader.header.get("state", reader.header["graph"]["state"])))
        for message in messages(reader):
            before, body = _copy(state), message.input.body
            if isinstance(body, Clear):
                state = _copy(initial)
            elif isinstance(body, Given):
                state["history"] += thaw(body.messages)
            count = len(message.steps)
            place = Place(message.number, 0)
            found.append(
                Spot(place=place, message=message, records=[], calls=(), ends=not count, before=before, after=_copy(state))
            )
            for step in message.steps:
                before, records = _copy(state), thaw(step.records)
                for record in records:
                    for change in record.get("changes", ()):
                        change_plain(state, change)
                found.append(
                    Spot(
                        place=Place(message.number, step.number),
                        message=message,
                        records=records,
                        calls=step.calls,
                        ends=step.number == count,
                        before=before,
                        after=_copy(state),
                    )
                )
    return found


def change_plain(state: Any, change: Mapping[str, Any]) -> None:
    """Change a plain state in place, as the record says."""
    *steps, last = [step.replace("~1", "/").replace("~0", "~") for step in change["at"].split("/")[1:]]
    for step in steps:
        state = state[int(step)] if isinstance(state, list) else state.setdefault(step, {})
    key = int(last) if isinstance(state, list) else last
    if change["op"] == "set":
        state[key] = _copy(change["value"])
    elif change["op"] == "delete":
        del state[key]
    else:
        held = state.setdefault(key, []) if isinstance(state, dict) else state[key]
        held.append(_copy(change["value"]))
        if change.get("keep"):
            del held[: -change["keep"]]


def value(state: Any, pointer: str) -> Any:
    """Return what stands at a pointer of a plain state, or `NOWHERE`."""
    for step in pointer.split("/")[1:]:
        if isinstance(state, dict) and step in state:
            state = state[step]
        elif isinstance(state, list) and step.isdecimal() and int(step) < len(state):
            state = state[int(step)]
        else:
            return NOWHERE
    return state


def same(one: Any, other: Any) -> bool:
    """Return whether two plain values are written alike."""
    return json.dumps(one) == json.dumps(other)


def _copy(plain: Any) -> Any:
    return json.loads(json.dumps(plain))


Hit = tuple[str, str, int]
"""Place, node ('' for the whole frame), call (-1 for none)."""


def by_record(found: list[Spot], holds: Callable[[Spot, Any], Any]) -> list[Hit]:
    """Return the records for which something holds."""
    return [(str(spot.place), record["node"], -1) for spot in found for record in spot.records if holds(spot, record)]


def by_call(found: list[Spot], holds: Callable[[Spot, Made], Any]) -> list[Hit]:
    """Return the calls for which something holds, in order of the records."""
    return [
        (str(spot.place), made.key.node, made.key.call)
        for spot in found
        for record in spot.records
        for made in spot.made(record)
        if holds(spot, made)
    ]


def by_place(found: list[Spot], holds: Callable[[Spot], Any]) -> list[Hit]:
    """Return the places for which something holds."""
    return [(str(spot.place), "", -1) for spot in found if holds(spot)]


def name(made: Made) -> str:
    """Return the name of what was called."""
    return str(made.request["model"] if made.effect == "model" else made.request["name"])


def said(made: Made) -> Iterator[str]:
    """Yield the texts of what a call newly asked and of what came back, one below the other."""
    request = thaw(made.request)
    if made.effect == "model":
        request["messages"] = request["messages"][made.shared :]
    reply: Any = None
    if isinstance(made.outcome.value, ModelReply):
        reply = made.outcome.value.message
    elif isinstance(made.outcome.value, ToolReply):
        reply = made.outcome.value.content if made.outcome.value.message is None else made.outcome.value.message
    elif made.outcome.error is not None:
        reply = made.outcome.error.wire()
    yield from _leaves(request)
    yield from _leaves(thaw(reply))


def _leaves(plain: Any) -> Iterator[str]:
    if isinstance(plain, dict):
        for key, item in plain.items():
            yield key
            yield from _leaves(item)
    elif isinstance(plain, list):
        for item in plain:
            yield from _leaves(item)
    elif isinstance(plain, str):
        yield plain
    elif isinstance(plain, int | float) and not isinstance(plain, bool):
        yield json.dumps(plain)


def user_text(spot: Spot) -> str:
    """Return what the user said."""
    body = spot.message.input.body
    return body.text if isinstance(body, UserMessage) else ""


def changed(found: list[Spot], pointer: str) -> list[tuple[str, Any, Any]]:
    """Return every place at which a value is another one than before, with both values."""
    pairs = [(str(spot.place), value(spot.before, pointer), value(spot.after, pointer)) for spot in found]
    return [pair for pair in pairs if not same(pair[1], pair[2])]


def changers(found: list[Spot], pointer: str) -> list[tuple[str, str, Any, Any]]:
    """Return every single change of a value: place, node or kind of input, value before and after."""
    result = []
    for spot in found:
        state = _copy(spot.before)
        for record in spot.records:
            for change in record.get("changes", ()):
                before = _copy(value(state, pointer))
                change_plain(state, change)
                if not same(before, value(state, pointer)):
                    result.append((str(spot.place), record["node"], before, _copy(value(state, pointer))))
        if not spot.records:
            body = spot.message.input.body
            if isinstance(body, Given):
                for said_before in thaw(body.messages):
                    before = _copy(value(state, pointer))
                    state["history"].append(said_before)
                    if not same(before, value(state, pointer)):
                        result.append((str(spot.place), "Given", before, _copy(value(state, pointer))))
            elif not same(value(spot.before, pointer), value(spot.after, pointer)):
                kind = spot.message.input.type
                result.append((str(spot.place), kind, value(spot.before, pointer), value(spot.after, pointer)))
    return result


def emissions(record: Any) -> list[Any]:
    """Return what a record showed."""
    shown: list[Any] = record.get("emissions", [])
    return shown


def step(spot: Spot) -> Any:
    """Return the frame of a place."""
    return spot.message.step(spot.place.frame)


Expected = Callable[[list[Spot]], list[Hit]]
POINTS: dict[str, Expected] = {
    "node root": lambda found: by_record(found, lambda _, record: record["node"] == "root"),
    "node b1": lambda found: by_record(found, lambda _, record: record["node"] == "b1"),
    "frame 2": lambda found: by_place(found, lambda spot: spot.place.frame == 2),
    "frame 1.1": lambda found: by_place(found, lambda spot: str(spot.place) == "1.1"),
    "path custom": lambda found: by_place(found, lambda spot: spot.ends and spot.message.path == "custom"),
    "path clear": lambda found: by_place(found, lambda spot: spot.ends and spot.message.path == "clear"),
    "status failed": lambda found: by_place(found, lambda spot: spot.ends and spot.message.status == "failed"),
    "status cancelled": lambda found: by_place(found, lambda spot: spot.ends and spot.message.status == "cancelled"),
    "effect model": lambda found: by_call(found, lambda _, made: made.effect == "model"),
    "effect tool": lambda found: by_call(found, lambda _, made: made.effect == "tool"),
    "tool tool1": lambda found: by_call(found, lambda _, made: (made.effect, name(made)) == ("tool", "tool1")),
    "model m": lambda found: by_call(found, lambda _, made: (made.effect, name(made)) == ("model", "m")),
    "emission tools": lambda found: by_record(found, lambda _, record: "tools" in [event for event, _ in emissions(record)]),
    "text Zürich": lambda found: by_call(found, lambda _, made: any("Zürich" in text for text in said(made))),
    "regex says [0-9a-f]{11}[0-4] at": lambda found: by_call(
        found, lambda _, made: any(re.search("says [0-9a-f]{11}[0-4] at", text) for text in said(made))
    ),
    "tool tool0 if call.status == 'error'": lambda found: by_call(
        found, lambda _, made: (name(made), made.outcome.status) == ("tool0", "error")
    ),
    "if call.kind == 'tool' and call.request.arguments.index > 0": lambda found: by_call(
        found, lambda _, made: made.effect == "tool" and made.request["arguments"].get("index", 0) > 0
    ),
    "if len(calls) > 2 and phase == 'main'": lambda found: by_record(
        found, lambda spot, record: len(spot.made(record)) > 2 and step(spot).phase == "main"
    ),
    "if phase == 'epilogue'": lambda found: by_record(found, lambda spot, _: step(spot).phase == "epilogue"),
    "if len(state.rows) > len(before.rows)": lambda found: by_record(
        found, lambda spot, _: len(spot.after["rows"]) > len(spot.before["rows"])
    ),
    "if 'tool2' in tools": lambda found: by_record(
        found, lambda spot, record: "tool2" in [name(made) for made in spot.made(record) if made.effect == "tool"]
    ),
    "if type == 'UserMessage' and 'how' in text and frame == 1": lambda found: by_record(
        found,
        lambda spot, _: spot.message.input.type == "UserMessage" and "how" in user_text(spot) and spot.place.frame == 1,
    ),
    "if error is not None": lambda found: by_record(found, lambda _, record: record.get("error") is not None),
    "if output.n == 2 and route != []": lambda found: by_record(
        found, lambda _, record: (record.get("output") or {}).get("n") == 2 and record.get("route", [])
    ),
    "if input.type == 'Note' and len(changes) > 2": lambda found: by_record(
        found, lambda _, record: record["input"].get("type") == "Note" and len(record.get("changes", ())) > 2
    ),
    "if len(emissions) > 0 and emissions[0].event == 'text'": lambda found: by_record(
        found, lambda _, record: emissions(record) and emissions(record)[0][0] == "text"
    ),
    "if message > 3 and node == 'loop' and path == 'custom'": lambda found: by_record(
        found, lambda spot, record: spot.message.number > 3 and record["node"] == "loop" and spot.message.path == "custom"
    ),
    "frame 2 if node == 'loop'": lambda found: by_record(
        found, lambda spot, record: spot.place.frame == 2 and record["node"] == "loop"
    ),
}
"""Breakpoints as they are typed, and what a brute-force search says of them."""
POINTERS = ("/rows", "/history", "/history/0", "/history/0/content", "/log", "/dice/1", "/rows/0/1")
