"""Import OpenAI ``messages``: a recorded conversation becomes inputs, replies and results, run through ``tool-loop``.

The trace that comes of it is one like any other: it replays, and `frameengine.exporters.openai` gives the messages back exactly.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import frozen

from frameengine.codec import dumps
from frameengine.effects import Answer, Outcome, Status
from frameengine.engine.driver import Inbox, Run, virtual_at
from frameengine.engine.message import Engine
from frameengine.engine.stops import Ask
from frameengine.errors import InternalError, UsageError
from frameengine.graph.loader import load_graph
from frameengine.graph.registry import BoundGraph, bind
from frameengine.importers.openai_plan import Note, Plan, Planned, Turn, plan
from frameengine.importers.openai_read import Conversation, Shape, read_conversations
from frameengine.inputs import Cancel
from frameengine.jsonvalue import FrozenMap, Json, freeze
from frameengine.state import RunState
from frameengine.trace.header import header
from frameengine.trace.writer import TraceWriter

__all__ = ["Conversation", "ImportReport", "Note", "Plan", "Shape", "import_messages", "plan", "read_conversations", "tool_loop"]

GRAPH = "tool-loop"
"""The graph that imported conversations run through."""
ABOUT_BYTES_MAX = 256 << 10
"""Encoded size of what the header keeps about a conversation; its line has to hold the tools as well."""


@frozen(kw_only=True)
class ImportReport:
    """What became of one conversation."""

    path: Path
    """The trace."""
    source: str
    """Where the conversation came from."""
    messages: int
    """Messages of the conversation: all of them stand in the trace."""
    inputs: int
    """Inputs of the run."""
    calls: int
    """Effects of the run, those without a recorded outcome included; 0 where nothing could be run, and so nothing replayed."""
    given: int
    """Messages that are present but not run."""
    open: bool
    """Whether the recording stops in the middle of a message."""
    notes: tuple[Note, ...]
    """What is odd, lost or not run."""

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain JSON."""
        return {
            "path": str(self.path),
            "source": self.source,
            "messages": self.messages,
            "inputs": self.inputs,
            "calls": self.calls,
            "given": self.given,
            "open": self.open,
            "notes": [note.to_json() for note in self.notes],
        }


def tool_loop() -> BoundGraph:
    """Return the graph that imported conversations run through, bound to its nodes."""
    return bind(load_graph(GRAPH))


def import_messages(
    conversation: Conversation,
    target: Path,
    *,
    source: str = "",
    model: str = "",
    tools: Sequence[Mapping[str, Json]] = (),
    params: Mapping[str, Json] | None = None,
    bound: BoundGraph | None = None,
    replace: bool = False,
) -> ImportReport:
    """Run one conversation through the tool loop, record it in *target* and seal it.

    *source* is what the header says of its origin; *model*, *tools* and *params*, where they are given, stand in for what the
    document says of them; *bound* is `tool_loop`, bound once by a caller who imports many. Time is virtual. An import can be
    repeated, so one that fails or is interrupted leaves no file. Raises what `TraceWriter` raises, and `UsageError` for what is
    no conversation.
    """
    if not conversation.messages:
        raise UsageError("a conversation without a message", hint="leave it out")
    planned = plan(conversation.messages)
    source = source or conversation.source
    about, lost = fitting(conversation.about)
    bound = bound or tool_loop()
    state = RunState(
        freeze(
            {
                "history": (),
                "model": model or conversation.model,
                "tools": tuple(tools) or conversation.tools,
                "params": conversation.params if params is None else params,
            }
        )
    )
    provenance = {"inputs": "imported", "model": "imported", "tools": "imported", "source": source, **about}
    with TraceWriter(target, header(bound, state=state, provenance=provenance), replace=replace) as writer:
        try:
            performer = FromPlan()
            follow(planned.turns, Run(Engine(bound, state=state), performer, writer), performer)
            writer.seal()
        except BaseException:
            target.unlink(missing_ok=True)
            raise
        notes = (*conversation.notes, *lost, *planned.notes)
        if not writer.calls:
            notes = (*notes, Note(what="nothing in this conversation can be run"))
        return ImportReport(
            path=target,
            source=source,
            messages=len(conversation.messages),
            inputs=writer.inputs,
            calls=writer.calls,
            given=planned.given,
            open=planned.open,
            notes=notes,
        )


def follow(turns: Iterable[Turn], run: Run, performer: FromPlan) -> None:
    """Send each turn's input through a run whose performer is *performer*. Raises `InternalError` where it goes otherwise."""
    for turn in turns:
        performer.begin(turn, run.inbox)
        performer.end(run.send(turn.body).status)


def fitting(about: FrozenMap) -> tuple[dict[str, Json], list[Note]]:
    """Return what the header keeps about a conversation, and a note for each member that is too large for it."""
    kept: dict[str, Json] = {}
    lost: list[Note] = []
    room = ABOUT_BYTES_MAX
    for name, value in about.items():
        size = len(dumps(value))
        if size <= room:
            kept[name] = value
            room -= size
        else:
            lost.append(Note(what=f"left out: {name!r} of {size:,} bytes is more than a header takes"))
    return ({"about": kept} if kept else {}), lost


class FromPlan:
    """A performer that serves a turn's outcomes in the order in which they were planned, and nothing else."""

    def __init__(self) -> None:
        self._turn: Turn | None = None
        self._left: deque[Planned] = deque()
        self._inbox: Inbox | None = None

    def begin(self, turn: Turn, inbox: Inbox) -> None:
        """Serve *turn* from now on; *inbox* is that of the run."""
        self._turn, self._inbox = turn, inbox
        self._left = deque(turn.outcomes)

    def perform(self, ask: Ask) -> list[Answer]:
        """Answer all new effects at once."""
        answers = []
        for call in ask.new:
            planned = self._left.popleft() if self._left else None
            if planned is None or planned.kind != call.effect.kind:
                what = f"the import's plan has no {call.effect.kind} outcome for {call.key}"
                raise InternalError(what, hint="please report it", key=call.key.wire())
            answers.append(Answer(call.key, _outcome(planned, virtual_at(call.key))))
        if self._inbox is not None and self._turn is not None and self._turn.cut and not self._left:
            self._inbox.put(Cancel())
        return answers

    def end(self, status: str) -> None:
        """Prove that the turn went as planned."""
        turn = self._turn
        failed = turn is not None and any(planned.failure is not None for planned in turn.outcomes)
        cut = turn is not None and turn.cut
        expected = "cancelled" if cut else "failed" if failed else "open" if turn is not None and turn.open else "done"
        if self._left or status != expected:
            raise InternalError(
                f"the import's plan was not followed: status {status}, expected {expected}; {len(self._left)} outcomes left",
                hint="please report it",
            )


def _outcome(planned: Planned, at: int) -> Outcome:
    status: Status = "ok" if planned.value is not None else "error" if planned.failure is not None else "not_recorded"
    return Outcome(status=status, value=planned.value, error=planned.failure, at=at, meta=planned.meta)
