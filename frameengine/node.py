"""What a node is, what it is given, and what it returns.

A node is a coroutine that may await one thing only: effects. Everything else it needs (the time, chance, ids, the state) it is
given, so the same inputs and outcomes lead it to the same record, always.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Generator, Iterable
from hashlib import sha256
from typing import Any, Protocol, overload

from attrs import field, frozen

from frameengine.effects import Call, Effect, EffectKey, ModelCall, ModelReply, Outcome, ToolCall, ToolReply
from frameengine.errors import NodeError
from frameengine.jsonvalue import EMPTY, FrozenMap, Json, freeze
from frameengine.limits import CALLS_PER_NODE_MAX, EMISSIONS_PER_NODE_MAX, check
from frameengine.records import Emission
from frameengine.state import Change

TEXT_EVENT = "text"
"""Name of the emission that holds the joined text of a stream."""
ANSWER = "answer"
"""The stream of text that is the answer; others are shown beside it."""


def _changes(changes: Iterable[Change]) -> tuple[Change, ...]:
    return tuple(changes)


@frozen
class NodeResult:
    """What a node returns."""

    message: Any = None
    """The message for the next nodes; None ends this branch."""
    changes: tuple[Change, ...] = field(default=(), converter=_changes)
    """What changes in the state, applied when the frame is committed."""


class Node(Protocol):
    """One role of a graph. Structural: there is nothing to inherit."""

    async def run(self, message: Any, ctx: NodeContext) -> NodeResult:
        """Work on one message."""
        ...


class Performing:
    """Effects that were asked for and are awaited: the one thing a node may await."""

    __slots__ = ("_all", "_keep_failures", "answered", "awaited", "calls")

    def __init__(self, calls: tuple[Call, ...], every: bool, keep_failures: bool) -> None:
        self.calls = calls
        self.awaited = False
        self.answered = False
        self._all = every
        self._keep_failures = keep_failures

    def __await__(self) -> Generator[Performing, tuple[Outcome, ...], Any]:
        if self.awaited:
            raise NodeError("an effect was awaited twice", hint="keep the reply in a variable")
        self.awaited = True
        outcomes: tuple[Outcome, ...] = (yield self) if self.calls else ()
        self.answered = True
        replies: list[Any] = []
        for call, outcome in zip(self.calls, outcomes, strict=True):
            error = None if outcome.status == "ok" else outcome.exception(call)
            if error is not None and not self._keep_failures:
                raise error
            replies.append(outcome.value if error is None else error)
        return replies if self._all else replies[0]


class NodeContext:
    """What a node may touch: the state (read only), effects, emissions, and the run's own time, chance and ids."""

    __slots__ = (
        "_calls",
        "_now",
        "_preview",
        "_random",
        "_seed",
        "_serial",
        "config",
        "emissions",
        "key",
        "now_read",
        "performings",
        "state",
    )

    def __init__(
        self,
        key: EffectKey,
        state: FrozenMap,
        *,
        now: int = 0,
        seed: int = 0,
        config: Any = None,
        preview: Callable[[Emission], None] | None = None,
    ) -> None:
        self.key = key
        """Key of the node's first effect: input, frame and node."""
        self._now = now
        self._seed = seed
        self._serial = 0
        self._calls = 0
        self._random: random.Random | None = None
        self._preview = preview
        self.config = config
        """The node's entry in the graph (`graph.model.NodeSpec`)."""
        self.state = state
        """The sections of the state as they stood when the frame began."""
        self.emissions: list[Emission] = []
        """What the node has shown so far."""
        self.performings: list[Performing] = []
        """The effects it has asked for so far."""
        self.now_read = False
        """Whether it has read the time."""

    @property
    def node(self) -> str:
        """The node's name in the graph."""
        return self.key.node

    @property
    def frame(self) -> int:
        """Number of the frame."""
        return self.key.frame

    @property
    def input(self) -> int:
        """Number of the input."""
        return self.key.input

    @overload
    def perform(self, effect: ModelCall) -> Awaitable[ModelReply]: ...
    @overload
    def perform(self, effect: ToolCall) -> Awaitable[ToolReply]: ...
    def perform(self, effect: Effect) -> Any:
        """Ask for one effect; await the result. Raises `EffectError` in the node where it fails."""
        return self._performing((effect,), every=False, keep_failures=False)

    def perform_all(self, effects: Iterable[Effect], *, keep_failures: bool = False) -> Awaitable[list[Any]]:
        """Ask for several effects at once; the results come in call order, whatever order they arrived in.

        A failure raises the first `EffectError` in call order after all have come back, or stands in its place among the results
        where *keep_failures* is true.
        """
        performing: Awaitable[list[Any]] = self._performing(tuple(effects), every=True, keep_failures=keep_failures)
        return performing

    def _performing(self, effects: tuple[Effect, ...], *, every: bool, keep_failures: bool) -> Any:
        start = self._calls
        self._calls += len(effects)
        check("effects of one node in one frame", CALLS_PER_NODE_MAX, self._calls, "split the work over several frames")
        key = self.key
        where, stream = key[:3], key.stream
        calls = tuple([Call.of(EffectKey(*where, start + i, stream), effect) for i, effect in enumerate(effects)])
        performing = Performing(calls, every, keep_failures)
        self.performings.append(performing)
        return performing

    def emit(self, event: str, **data: Json) -> None:
        """Show an event. Instruments see it at once as a preview; the record gets it when the frame is committed."""
        _check_text(self.node, "emit", event)
        if event == TEXT_EVENT:
            raise NodeError(f"{event!r} is the name of what say() shows", hint="write ctx.say(...)", node=self.node)
        self._show(Emission(event=freeze(event), data=freeze(data) if data else EMPTY))

    def say(self, text: str, stream: str = ANSWER) -> None:
        """Show a piece of text. Pieces of one stream are joined in the record."""
        _check_text(self.node, "say", text, stream)
        self._show(Emission(event=TEXT_EVENT, data=freeze({"stream": stream, "text": text})))

    def _show(self, emission: Emission) -> None:
        self.emissions.append(emission)
        check("emissions of one node in one frame", EMISSIONS_PER_NODE_MAX, len(self.emissions), "emit less, or in larger pieces")
        if self._preview is not None:
            self._preview(emission)

    def now(self) -> int:
        """Return the frame's time in microseconds: the newest of all that had come in when the frame began."""
        self.now_read = True
        return self._now

    @property
    def random(self) -> random.Random:
        """Chance, seeded from the run's seed, the input, the frame and the node."""
        if self._random is None:
            key = self.key
            seed = sha256(f"{self._seed}/{key.stream}/{key.input}/{key.frame}/{key.node}".encode()).digest()
            self._random = random.Random(int.from_bytes(seed, "big"))
        return self._random

    def next_id(self, prefix: str = "id") -> str:
        """Return an id that no other node, frame or input of this run gets."""
        self._serial += 1
        key = self.key
        return f"{prefix}-{key.input}.{key.frame}.{key.node}.{self._serial}"

    def joined_emissions(self) -> tuple[Emission, ...]:
        """Return the emissions as they are recorded: the text of each stream joined where its first piece stood."""
        if len(self.emissions) == 1:
            return tuple(self.emissions)
        texts: dict[str, list[str]] = {}
        for emission in self.emissions:
            if emission.event == TEXT_EVENT:
                texts.setdefault(emission.data["stream"], []).append(emission.data["text"])
        joined: list[Emission] = []
        for emission in self.emissions:
            if emission.event != TEXT_EVENT:
                joined.append(emission)
                continue
            stream = emission.data["stream"]
            pieces = texts.pop(stream, None)
            if pieces is not None:
                joined.append(Emission(event=TEXT_EVENT, data=freeze({"stream": stream, "text": "".join(pieces)})))
        return tuple(joined)


def _check_text(node: str, method: str, *texts: Any) -> None:
    """Refuse what is no text where it is shown: when the frame is committed it would be too late to blame the node."""
    for text in texts:
        if not isinstance(text, str):
            raise NodeError(f"{method}() takes text, not {type(text).__qualname__}", hint="turn it into text first", node=node)
