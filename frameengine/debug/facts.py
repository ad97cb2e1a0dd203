"""What a condition sees: the facts of one record in one frame, each decoded when it is asked for."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import cached_property
from typing import Final

from frameengine.codec import loads
from frameengine.debug.layout import Summary
from frameengine.debug.place import Place
from frameengine.debug.timeline import Timeline
from frameengine.effects import Call, ModelReply, Outcome, ToolReply, plain
from frameengine.errors import UsageError
from frameengine.expr import Expression
from frameengine.inputs import UserMessage
from frameengine.jsonvalue import EMPTY, FrozenMap, Json, freeze, frozen_map
from frameengine.trace.messages import Made


class Moment:
    """One frame boundary, with what happened in the frame before it; nothing is decoded that nobody asks for.

    The position behind the last one stands for the unfinished frame that a broken off recording may end with.
    """

    def __init__(self, timeline: Timeline, position: int, place: Place | None = None) -> None:
        self.timeline = timeline
        self.position = position
        """Position in the timeline, from 0: the start of the run."""
        self.committed = position < timeline.places
        """Whether it is the end of a frame, and not of the recording inside one."""
        self.place = place or timeline.place(position)

    @cached_property
    def line(self) -> bytes:
        """The frame's line as it stands in the file; empty where no frame is."""
        return self.timeline.line(self.place) if self.committed else b""

    @cached_property
    def records(self) -> tuple[FrozenMap, ...]:
        """The records of the frame; of an unfinished one what its effects tell: the nodes that asked for them."""
        if self.committed:
            return self.timeline.records(self.place)
        calls: dict[str, list[Json]] = {}
        for made in self.effects:
            calls.setdefault(made.key.node, []).append((made.key.call, made.effect, name_of(made), made.outcome.status))
        return tuple([frozen_map({"node": node, "calls": tuple(made)}) for node, made in calls.items()])

    @cached_property
    def effects(self) -> tuple[Made, ...]:
        """The effects of the frame, in order of their keys."""
        return tuple(sorted(self.timeline.effects(self.place), key=lambda made: made.key))

    @property
    def row(self) -> Summary:
        """The message in short."""
        return self.timeline.messages[self.timeline.message_index(self.place.message)]

    @cached_property
    def _members(self) -> Mapping[str, Json]:
        return loads(self.line) if self.line else EMPTY

    @property
    def phase(self) -> str:
        """Phase of the frame."""
        return str(self._members.get("phase", "main"))

    @property
    def ms(self) -> Json:
        """How long the frame took, in milliseconds; None where that is not recorded."""
        return self._members.get("meta", EMPTY).get("ms")

    @property
    def state(self) -> FrozenMap:
        """The state after the frame."""
        return self.timeline.state(self.place).sections

    @property
    def before(self) -> FrozenMap:
        """The state before the frame."""
        return self.timeline.state(self.timeline.place(max(self.position - 1, 0))).sections

    @property
    def ends_message(self) -> bool:
        """Whether no frame of the message follows."""
        after = self.position + 1
        return after >= self.timeline.positions or self.timeline.place(after).message != self.place.message

    def calls(self, record: FrozenMap) -> list[Made]:
        """Return the effects of one record, in call order."""
        return [made for made in self.effects if made.key.node == record["node"]] if record.get("calls") else []


class Asking(Moment):
    """A call of a run under way, before it is done: what a breakpoint can know of it then."""

    def __init__(self, timeline: Timeline, call: Call, shared: int = 0) -> None:
        """Of a model's messages the first *shared* stood in the call of the same node before this one."""
        key, effect = call.key, call.effect
        super().__init__(timeline, timeline.places, Place(key.input, key.frame))
        made = Made(
            key=key, effect=effect.kind, request=plain(effect), outcome=Outcome(status="not_recorded"), shared=shared
        )  # fmt: skip
        self.effects = (made,)
        self.line = b""
        self.records = (frozen_map({"node": key.node, "calls": ((key.call, effect.kind, effect.name, "not_recorded"),)}),)

    @property
    def state(self) -> FrozenMap:
        """The state that the frame's nodes see."""
        return self.timeline.state(self.timeline.last).sections

    @property
    def before(self) -> FrozenMap:
        """The same: the frame has changed nothing so far."""
        return self.state


def name_of(made: Made) -> str:
    """Return the name of an effect's model or tool."""
    return str(made.request["model" if made.effect == "model" else "name"])


class Facts(Mapping[str, Json]):
    """The names that a condition may use, for one record; *made* is the effect that it is about.

    Without a *record* they are those of a message that ran no frame.
    """

    __slots__ = ("_known", "_made", "_moment", "_record")

    def __init__(self, moment: Moment, record: FrozenMap | None, made: Made | None = None) -> None:
        self._moment, self._record, self._made = moment, record, made
        self._known: dict[str, Json] = {}

    def __getitem__(self, name: str) -> Json:
        """Return a fact. Raises `KeyError` where the record has none of that name."""
        if name not in self._known:
            if not self._has(name):
                raise KeyError(name)
            if name in _OF_MOMENT:
                self._known[name] = _OF_MOMENT[name](self._moment)
            elif self._made is not None and name == "call":
                self._known[name] = call_fact(self._made)
            elif self._record is not None:
                self._known[name] = _OF_RECORD[name](self._moment, self._record)
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        return (name for name in NAMES if self._has(name))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._has(name)

    def _has(self, name: str) -> bool:
        if name == "call":
            return self._made is not None
        if name == "ms":
            return self._moment.ms is not None
        if name == "path":
            # Nobody knows it before the message has ended.
            return bool(self._moment.place.message) and self._moment.row.path != ""
        if not self._moment.place.message and name in ("type", "text"):
            return False
        if name in _OF_MOMENT:
            return True
        return self._record is not None and name in (_OF_RECORD if self._moment.committed else _UNFINISHED)


def facts(timeline: Timeline, place: Place, node: str | None = None) -> Mapping[str, Json]:
    """Return the facts of a node's record at a place; of the last node that ran in the frame, where none is named.

    Inside a frame that is not committed they are what the node was given, the effects whose outcomes have arrived, and the
    state before the frame. Raises `UsageError` where the node did not run in the frame.
    """
    moment = Moment(timeline, timeline.index(place))
    if place.effects is None:
        return Facts(moment, _record_of(moment, node))
    arrived = timeline.effects(place)[: place.effects]
    if node is None and arrived:
        node = arrived[-1].key.node
    whole = Facts(moment, _record_of(moment, node))
    calls = tuple([call_fact(made) for made in sorted(arrived, key=lambda made: made.key) if made.key.node == whole.get("node")])
    state = timeline.state(place).sections
    tools = tuple([call["name"] for call in calls if call["kind"] == "tool"])
    given = {name: whole[name] for name in GIVEN if name in whole}
    return {**given, "calls": calls, "tools": tools, "state": state, "before": state}


def _record_of(moment: Moment, node: str | None) -> FrozenMap | None:
    records = moment.records
    if node is None:
        return records[-1] if records else None
    for record in records:
        if record["node"] == node:
            return record
    ran = ", ".join([str(record["node"]) for record in records]) or "no node"
    raise UsageError(f"node {node!r} did not run at {moment.place}", hint=f"here ran {ran}", node=node)


def call_fact(made: Made) -> FrozenMap:
    """Return an effect as conditions see it: kind, name, status, request, reply, error.

    The reply of a model has text, message, finish_reason, usage and model; that of a tool is what it returned.
    """
    outcome, request, value = made.outcome, made.request, made.outcome.value
    reply: Json = None
    if isinstance(value, ModelReply):
        members = {"text": value.text, "message": value.message, "finish_reason": value.finish_reason}
        reply = frozen_map({**members, "usage": value.usage, "model": value.model})
    elif isinstance(value, ToolReply):
        reply = value.content if value.message is None else value.message.get("content")
    return frozen_map(
        {
            "kind": made.effect,
            "name": name_of(made),
            "status": outcome.status,
            "request": request,
            "reply": reply,
            "error": None if outcome.error is None else freeze(outcome.error.wire()),
        }
    )


def _text(moment: Moment) -> str:
    body = moment.timeline.input(moment.place.message).body
    return body.text if isinstance(body, UserMessage) else ""


def _tools(_: Moment, record: FrozenMap) -> Json:
    return tuple([call[2] for call in record.get("calls", ()) if call[1] == "tool"])


def _emissions(_: Moment, record: FrozenMap) -> Json:
    return tuple([frozen_map({"event": event, "data": data}) for event, data in record.get("emissions", ())])


def _member(name: str, missing: Json = None) -> Callable[[Moment, FrozenMap], Json]:
    return lambda _moment, record: record.get(name, missing)


_OF_MOMENT: Final[Mapping[str, Callable[[Moment], Json]]] = {
    "message": lambda moment: moment.place.message,
    "frame": lambda moment: moment.place.frame,
    "path": lambda moment: moment.row.path,
    "type": lambda moment: moment.timeline.input(moment.place.message).type,
    "text": _text,
    "state": lambda moment: moment.state,
    "before": lambda moment: moment.before,
    "ms": lambda moment: moment.ms,
}
_OF_RECORD: Final[Mapping[str, Callable[[Moment, FrozenMap], Json]]] = {
    "node": _member("node"),
    "phase": lambda moment, _: moment.phase,
    "input": _member("input", EMPTY),
    "output": _member("output"),
    "error": _member("error"),
    "calls": lambda moment, record: tuple([call_fact(made) for made in moment.calls(record)]),
    "tools": _tools,
    "emissions": _emissions,
    "route": _member("route", ()),
    "changes": _member("changes", ()),
}
NAMES: Final = (
    "message", "frame", "node", "phase", "path", "type", "text", "input", "output", "error", "calls", "call", "tools",
    "emissions", "route", "state", "before", "changes", "ms",
)  # fmt: skip
"""Every name that a condition may use."""
_UNFINISHED: Final = ("node", "calls", "tools")
"""Names of a record that its effects alone tell."""
GIVEN: Final = ("message", "frame", "node", "phase", "path", "type", "text", "input")
"""Those that hold from the beginning of a frame on."""
AT_A_PLACE: Final = tuple(name for name in NAMES if name != "call")
"""Those that an expression about a place may use: no one effect is meant there."""
NAMED: Final = 20
"""Names that are listed where none is near."""


def check_names(expression: Expression, known: Sequence[str] = AT_A_PLACE) -> None:
    """Raise `UsageError` for an expression with a name that is not among the *known*: it could never have a value."""
    for name in expression.names:
        if name not in known:
            text = expression.text
            column = _column(text, name)
            message = f"there is no {name!r}, at column {column} of {text!r}"
            hint = "a condition names call; here it is calls[0]" if name == "call" else near(name, known)
            raise UsageError(message, hint=hint, text=text, column=column, name=name, known=list(known))


def near(name: str, known: Iterable[str]) -> str:
    """Return a hint with the nearest of the known names, or else some of them."""
    unique = list(dict.fromkeys([str(each) for each in known if each]))
    close = get_close_matches(name, unique, 3)
    if close:
        return f"did you mean {' or '.join(close)}?"
    return f"there are {', '.join(unique[:NAMED])}{', …' if len(unique) > NAMED else ''}" if unique else "there are none"


def _column(text: str, name: str) -> int:
    """Return where a name stands first in an expression without leading spaces, in code points from 1."""
    lines = text.split("\n")
    parts = [part for part in ast.walk(ast.parse(text, mode="eval")) if isinstance(part, ast.Name) and part.id == name]
    line, offset = min([(part.lineno, part.col_offset) for part in parts])
    return sum(len(before) + 1 for before in lines[: line - 1]) + len(lines[line - 1].encode()[:offset].decode()) + 1
