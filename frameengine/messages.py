"""The messages that nodes hand on: plain values with a type, stored as JSON with a ``type`` member.

A graph's edges carry messages by type name. The cog roles' messages keep the field names and defaults of C01 to C08; the last
three belong to the tool loop. Any attrs class serves as a message of a graph of your own.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from functools import cache
from operator import attrgetter
from typing import Any, Literal, TypeAlias

import attrs
from attrs import field, frozen

from frameengine.errors import ValueRefused
from frameengine.jsonvalue import EMPTY, FrozenMap, Json, Text, freeze, frozen_map

PresentAs: TypeAlias = Literal["table", "summary", "machine"]


def plain_message(text: str) -> FrozenMap:
    """Return the chat message of a user who said just *text*."""
    message: FrozenMap = freeze({"role": "user", "content": text})
    return message


@frozen(kw_only=True)
class Envelope:
    """A user's message on its way in (C01)."""

    text: str
    """What the user said."""
    user_id: str = "anon"
    """Who said it."""
    session_id: str = ""
    """The conversation it belongs to."""
    timestamp: str = ""
    """When, as the caller writes it."""
    channel: str = ""
    """Where it came from, as the caller names it."""
    message: FrozenMap = EMPTY
    """The chat message as it came; empty where it is just the text."""

    @property
    def chat(self) -> FrozenMap:
        """The chat message."""
        return self.message or plain_message(self.text)


@frozen(kw_only=True)
class InputAnalysis:
    """What the Input node makes of a message (C03)."""

    who: str = "unknown"
    """Who speaks."""
    language: str = "en"
    """The message's language."""
    intent: str = "request"
    """question, request, social, action or feedback."""
    topic: str = ""
    """What it is about."""
    tone: str = "casual"
    """casual, frustrated, playful or urgent."""
    complexity: str = "simple"
    """trivial, simple or complex."""
    context: str = ""
    """One sentence that places it in the conversation."""


@frozen(kw_only=True)
class Command:
    """A message understood (C03)."""

    analysis: InputAnalysis
    """What was understood."""
    source_text: str
    """What the user said."""
    metadata: FrozenMap = field(default=EMPTY, converter=freeze)
    """Anything else."""

    @property
    def instruction(self) -> str:
        """What was perceived, in the words of the Input of v1; else one line of who wants what, in which tone."""
        perceived = self.metadata.get("perception")
        if isinstance(perceived, str):
            return perceived
        about = f" about {self.analysis.topic}" if self.analysis.topic else ""
        return f"{self.analysis.who}: {self.analysis.intent}{about} ({self.analysis.tone}, {self.analysis.complexity})"


@frozen(kw_only=True)
class PlannedTool:
    """One step of a plan."""

    tool: str
    """Name of the tool."""
    args: FrozenMap = field(default=EMPTY, converter=freeze)
    """Its arguments."""


@frozen(kw_only=True)
class DirectorPlan:
    """What the Director wants done (C06)."""

    goal: str = ""
    """What is to be reached."""
    steps: tuple[str, ...] = ()
    """How, in words."""
    present_as: PresentAs = "summary"
    """table, summary or machine."""
    tool_sequence: tuple[PlannedTool, ...] = ()
    """The tools to run, in order."""
    reasoning: str = ""
    """Why."""
    response_hint: str = ""
    """What to answer, roughly."""
    command: Command | None = None
    """What it is a plan for."""

    @property
    def has_tools(self) -> bool:
        """Whether there are tools to run."""
        return bool(self.tool_sequence)

    @property
    def is_direct_response(self) -> bool:
        """Whether the hint alone is the answer."""
        return not self.tool_sequence and bool(self.response_hint)


@frozen(kw_only=True)
class ThoughtResult:
    """What the Thinker found (C05)."""

    response: str
    """What to tell the user."""
    tool_used: str = ""
    """Name of the last tool that ran."""
    tool_output: str = ""
    """What the tools gave, all of it."""
    actions: tuple[FrozenMap, ...] = ()
    """Buttons to offer."""
    state_updates: FrozenMap = field(default=EMPTY, converter=freeze)
    """Values for the UI's state."""
    display_items: tuple[FrozenMap, ...] = ()
    """Things to show."""
    machine_ops: tuple[FrozenMap, ...] = ()
    """Operations on UI machines."""
    question: str = ""
    """The user's words, for the nodes that follow."""


@frozen(kw_only=True)
class InterpretedResult:
    """Tool output as checked facts (C07)."""

    summary: str
    """What it says, in words."""
    row_count: int = 0
    """How many rows there were."""
    key_facts: tuple[str, ...] = ()
    """The facts."""
    confidence: str = "high"
    """high, medium or low."""


@frozen(kw_only=True)
class PARouting:
    """Where the personal assistant sends a message (C08)."""

    expert: str = "none"
    """none, eras, plankiste."""
    job: str = ""
    """The task, complete in itself."""
    thinking_message: str = ""
    """What the user reads meanwhile."""
    response_hint: str = ""
    """What to answer, where no expert is needed."""
    language: str = "de"
    """de, en or mixed."""
    attempt: int = 1
    """Which try at the message this is."""


@frozen(kw_only=True)
class ExpertFailed:
    """A job that an expert could not do, back to whoever gave it (C93)."""

    job: str
    """The job."""
    problem: str
    """What each of its tools said."""


@frozen(kw_only=True)
class Clicked:
    """A click that the surface answered by itself, for the memory: no model was asked."""

    action: str
    """The action's name."""
    text: str
    """What the user was told."""


@frozen(kw_only=True)
class Remembered:
    """The memory is up to date, for whoever watches the conversation as a whole."""

    changed: tuple[str, ...] = ()
    """Names of the memory's fields that have new values."""


@frozen(kw_only=True)
class ToolRequest:
    """Tool calls that a model asked for, in its order."""

    calls: tuple[FrozenMap, ...] = field(converter=freeze)
    """Tool calls in OpenAI's shape."""


@frozen(kw_only=True)
class ToolResults:
    """The tools of a request have run; their messages stand in the history."""

    count: int
    """How many ran."""


@frozen(kw_only=True)
class Answer:
    """The text that a conversation's turn ends with."""

    text: str
    """The text."""


def to_json(message: Any) -> FrozenMap:
    """Return a message as frozen JSON with its type. Raises `ValueRefused` where it holds what JSON cannot."""
    if type(message) is FrozenMap:
        return message
    kind: Any = type(message)
    fields = _fields(kind)
    if fields is not None:
        members = _members(message, fields)
        return frozen_map({"type": kind.__name__, **members})
    if isinstance(message, Mapping):
        result: FrozenMap = freeze(message)
        return result
    raise ValueRefused(
        f"a message of type {type(message).__module__}.{type(message).__qualname__}",
        hint="hand on an attrs class or a mapping",
        pointer="",
    )


@cache
def _fields(kind: Hashable) -> tuple[tuple[str, ...], Callable[[Any], tuple[Any, ...]]] | None:
    """Return the names of an attrs class's fields and what reads them all; None for any other class."""
    if not (isinstance(kind, type) and attrs.has(kind)):
        return None
    names = tuple([attribute.name for attribute in attrs.fields(kind)])
    if len(names) > 1:
        return names, attrgetter(*names)
    return names, lambda value: tuple([getattr(value, name) for name in names])


def _members(value: Any, fields: tuple[tuple[str, ...], Callable[[Any], tuple[Any, ...]]]) -> dict[str, Json]:
    names, read = fields
    return {
        name: item if type(item) in _AS_IT_IS else freeze(item) if type(item) is str else _plain(item)
        for name, item in zip(names, read(value), strict=True)
    }


def _plain(value: Any) -> Json:
    kind: Any = type(value)
    if kind is tuple:
        return tuple([_plain(item) for item in value]) if value else value
    fields = _fields(kind)
    return freeze(value) if fields is None else frozen_map(_members(value, fields))


_AS_IT_IS = frozenset({FrozenMap, Text, bool, type(None)})
"""Types of values that are frozen JSON as they are."""
