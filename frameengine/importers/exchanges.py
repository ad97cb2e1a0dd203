"""Import the recorded HTTP calls of somebody's agent: its conversations with a chat model, run through ``tool-loop``.

All conversations of a recording become one trace, one after another, with a `Clear` between them. So the recording stays one
thing: a place in it has one name, two recordings are compared in one go, and nothing depends on how many conversations there
were. A `Given` before a turn says which model, tools and parameters hold from there on, and holds what was there before the
first recorded call: instructions, examples, a history that the recording did not see.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from attrs import evolve, frozen

from frameengine.codec import digest
from frameengine.effects import ModelReply
from frameengine.engine.driver import Run
from frameengine.engine.message import Engine
from frameengine.exchanges.exchange import DRAW, Exchange
from frameengine.graph.registry import BoundGraph
from frameengine.importers.exchange_calls import Refused, chat_call, is_chat
from frameengine.importers.exchange_cut import ChatCall, Course, Origin, Step, cut
from frameengine.importers.openai import FromPlan, fitting, follow, tool_loop
from frameengine.importers.openai_plan import Note, Planned, Turn, plan
from frameengine.inputs import Clear, Given, UserMessage
from frameengine.jsonvalue import EMPTY, FrozenMap, Json, freeze
from frameengine.trace.header import header
from frameengine.trace.writer import TraceWriter

__all__ = ["ConversationReport", "ExchangesReport", "conversations", "import_exchanges", "same_calls"]


@frozen(kw_only=True)
class ConversationReport:
    """What became of one conversation."""

    exchanges: tuple[int, ...]
    """Numbers of its own exchanges, attempts included."""
    inputs: tuple[int, int]
    """Its first and last input in the trace."""
    calls: int
    """Its own model calls that are run."""
    given: tuple[int, ...]
    """Numbers of its own exchanges that are given, not run."""
    attempts: int
    """How many of its exchanges failed and were made again."""
    origin: Origin
    """How it comes of an earlier call."""
    of: int | None
    """Number of that exchange."""
    notes: tuple[Note, ...]
    """What is odd, or not run."""

    @property
    def run(self) -> bool:
        """Whether any of it could be run."""
        return self.calls > 0

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain JSON."""
        return {
            "exchanges": list(self.exchanges),
            "inputs": list(self.inputs),
            "calls": self.calls,
            "given": list(self.given),
            "attempts": self.attempts,
            "origin": self.origin,
            "of": self.of,
            "notes": [note.to_json() for note in self.notes],
        }


@frozen(kw_only=True)
class ExchangesReport:
    """What became of a recording of exchanges."""

    path: Path
    """The trace."""
    source: str
    """Where the recording came from."""
    exchanges: int
    """Exchanges of the recording."""
    conversations: tuple[ConversationReport, ...]
    """Its conversations, in order of their first exchanges."""
    others: FrozenMap
    """Exchanges that are no chat completions, counted by method and path. They stay in the recording."""
    refused: tuple[Note, ...]
    """Chat completions that cannot be read; `message` is the number of the exchange."""
    inputs: int
    """Inputs of the trace."""
    calls: int
    """Effects of the trace."""

    @property
    def seen_as(self) -> str:
        """Say in one line what became of what."""
        count = len(self.conversations)
        parts = [f"{_many(self.exchanges, 'exchange')} seen as {_many(count, 'conversation')}"]
        other = sum(self.others.values())
        parts += [f"{other:,} of other protocols left out"] if other else []
        parts += [f"{len(self.refused):,} not readable"] if self.refused else []
        given = sum(not conversation.run for conversation in self.conversations)
        parts += [f"{_many(given, 'conversation')} given, not run"] if given else []
        return "; ".join(parts)

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain JSON."""
        return {
            "path": str(self.path),
            "source": self.source,
            "exchanges": self.exchanges,
            "conversations": [conversation.to_json() for conversation in self.conversations],
            "others": self.others,
            "refused": [note.to_json() for note in self.refused],
            "inputs": self.inputs,
            "calls": self.calls,
        }


@frozen(kw_only=True)
class _Found:
    """A recording, sorted."""

    courses: tuple[Course, ...]
    others: FrozenMap
    refused: tuple[Note, ...]
    exchanges: int


def conversations(exchanges: Iterable[Exchange]) -> tuple[Course, ...]:
    """Return the conversations that recorded exchanges, in the order in which they were answered, belong to."""
    return _found(exchanges, lambda _done: None).courses


def same_calls(left: Iterable[Exchange], right: Iterable[Exchange], *, shown: bool = True) -> bool:
    """Return whether two recordings hold the same calls, in any order, whose conversations are the same.

    A conversation does not show all of them: not those of another protocol, nor what a call within a turn was sent with. Of its
    own calls the requests count, hosts and repetitions aside; of the others the answers too. Draws are chance, and do not.
    Without *shown* the others count alone.
    """
    one, two = _calls(left), _calls(right)
    return one[1] == two[1] and (one[0] == two[0] or not shown)


def _calls(exchanges: Iterable[Exchange]) -> tuple[set[str], Counter[tuple[str, str]]]:
    """Return the requests of chat completions by digest, and how often there is which exchange of another kind."""
    shown: set[str] = set()
    others: Counter[tuple[str, str]] = Counter()
    for number, exchange in enumerate(exchanges, start=1):
        request = exchange.request.hostless
        if request.method == DRAW:
            continue
        try:
            if not is_chat(request):
                raise Refused
            chat_call(exchange, number)
            shown.add(request.digest)
        except Refused:
            others[request.digest, digest(exchange.response.wire())] += 1
    return shown, others


def import_exchanges(
    exchanges: Iterable[Exchange],
    target: Path,
    *,
    source: str = "",
    bound: BoundGraph | None = None,
    replace: bool = False,
    progress: Callable[[int], None] = lambda _done: None,
) -> ExchangesReport:
    """Run the conversations of a recording through the tool loop, record them in *target* and seal it.

    *exchanges* come in the order in which they were answered; *source* is what the header says of their origin; *bound* is
    `tool_loop`, bound once by a caller who imports many; *progress* is told how many have been read. Time is virtual. An import
    can be repeated, so one that fails or is interrupted leaves no file; one of a recording without a conversation leaves a trace
    without inputs. Raises what `TraceWriter` raises.
    """
    found = _found(exchanges, progress)
    several = len(found.courses) > 1
    planned = [_Planned(course, number if several else 0) for number, course in enumerate(found.courses, start=1)]
    reports, first = [], 1
    for number, one in enumerate(planned):
        last = first + one.inputs - 1 + (number > 0)
        reports.append(one.report(first, last))
        first = last + 1
    bound = bound or tool_loop()
    about, _ = fitting(freeze({"conversations": [_about(report) for report in reports]} if reports else {}))
    provenance = {"inputs": "imported", "model": "imported", "tools": "imported", "source": source, **about}
    with TraceWriter(target, header(bound, provenance=provenance), replace=replace) as writer:
        try:
            performer = FromPlan()
            run = Run(Engine(bound), performer, writer)
            for number, one in enumerate(planned):
                if number:
                    run.send(Clear())
                follow(one.turns, run, performer)
            writer.seal()
        except BaseException:
            target.unlink(missing_ok=True)
            raise
        return ExchangesReport(
            path=target,
            source=source,
            exchanges=found.exchanges,
            conversations=tuple(reports),
            others=found.others,
            refused=found.refused,
            inputs=writer.inputs,
            calls=writer.calls,
        )


def _found(exchanges: Iterable[Exchange], progress: Callable[[int], None]) -> _Found:
    others: Counter[str] = Counter()
    refused: list[Note] = []
    number = 0

    def calls() -> Iterator[ChatCall]:
        nonlocal number
        for number, exchange in enumerate(exchanges, start=1):
            progress(number)
            if not is_chat(exchange.request):
                others[exchange.request.name] += 1
                continue
            try:
                yield chat_call(exchange, number)
            except Refused as error:
                refused.append(Note(message=number, what=str(error)))

    courses = tuple(cut(calls()))
    counted: FrozenMap = freeze({name: others[name] for name in sorted(others)})
    return _Found(courses=courses, others=counted, refused=tuple(refused), exchanges=number)


def _about(report: ConversationReport) -> dict[str, Json]:
    comes = {"origin": report.origin, "of": report.of} if report.origin else {}
    return {"inputs": list(report.inputs), "exchanges": list(report.exchanges), **comes}


class _Planned:
    """A conversation as turns of a tool loop.

    It begins with the turn of its first own call; what stands before is given. Calls of that turn that belong to an earlier
    conversation too are run once more, because a turn cannot begin in its middle; their outcomes say so.
    """

    def __init__(self, course: Course, number: int) -> None:
        self._course = course
        self._name = f"conversation {number}" if number else ""
        self._notes: list[Note] = []
        self._run: list[int] = []
        self._sent: dict[int, Step] = {len(step.call.messages): step for step in course.steps}
        self._own = {step.call.number for step in course.steps[course.own :]}
        self.turns = tuple(self._turns())

    @property
    def inputs(self) -> int:
        """How many inputs it takes: one for each turn, and a Cancel for each that is cut."""
        return len(self.turns) + sum(turn.cut for turn in self.turns)

    def report(self, first: int, last: int) -> ConversationReport:
        """Return what became of it; *first* and *last* are its inputs."""
        course = self._course
        own = course.steps[course.own :]
        given = tuple([step.call.number for step in own if step.call.number not in self._run])
        notes = [*self._notes]
        if given:
            notes.append(Note(what=f"{_many(len(given), 'exchange')} given, not run: {', '.join(map(str, given[:8]))}"))
        return ConversationReport(
            exchanges=tuple(sorted([call.number for step in own for call in (step.call, *step.attempts)])),
            inputs=(first, last),
            calls=len(own) - len(given),
            given=given,
            attempts=sum(len(step.attempts) for step in own),
            origin=course.origin,
            of=course.of,
            notes=tuple(notes),
        )

    def _turns(self) -> Iterator[Turn]:
        messages = self._messages()
        planned = plan(messages, given=self._begin(), asked=self._sent.keys())
        self._notes += planned.notes
        settings = EMPTY
        for turn in planned.turns:
            settled = self._settings(turn, settings)
            body = turn.body
            if isinstance(body, Given):
                # The first says what holds; a later one changes nothing that the next turn would not.
                yield Turn(body=evolve(body, state=settled if settings == EMPTY else EMPTY))
            else:
                if settled != settings:
                    yield Turn(body=Given(messages=(), state=settled))
                outcomes = tuple([self._outcome(outcome, settled) for outcome in turn.outcomes])
                failed = any(outcome.failure is not None for outcome in outcomes)
                yield evolve(turn, body=self._said(body), outcomes=outcomes, open=turn.open and not failed)
            settings = settled

    def _said(self, body: UserMessage) -> UserMessage:
        return evolve(body, session_id=self._name)

    def _settings(self, turn: Turn, settings: FrozenMap) -> FrozenMap:
        """Return what holds in a turn: what its first recorded call was sent with, or else what held before."""
        for outcome in turn.outcomes:
            step = self._sent.get(outcome.message or 0) if outcome.kind == "model" else None
            if step is not None:
                return step.call.settings
        return settings if settings != EMPTY else self._course.steps[self._course.own].call.settings

    def _outcome(self, outcome: Planned, settings: FrozenMap) -> Planned:
        """Return an outcome with what the recording knows of it beside its message."""
        step = self._sent.get(outcome.message or 0) if outcome.kind == "model" else None
        if step is None:
            return outcome
        call = step.call
        self._run.append(call.number)
        meta: dict[str, Json] = {"exchange": call.number, **call.meta}
        if step.attempts:
            meta["attempts"] = [{"exchange": attempt.number, **attempt.meta} for attempt in step.attempts]
        if call.number not in self._own:
            meta["shared"] = True
        other = {name: value for name, value in call.settings.items() if settings.get(name) != value}
        if other:
            meta["sent"] = other
        value = outcome.value
        if isinstance(value, ModelReply) and step.reply is not None:
            value = evolve(step.reply, message=value.message)
        failure = call.failure if value is None else None
        return evolve(outcome, value=value, failure=failure, meta=freeze(meta))

    def _begin(self) -> int:
        """Return the index of the message that begins the turn of the first own call; what stands before is given.

        That is the last user's message, if but tool calls and results stand behind it; else the last message, whoever said it.
        """
        messages = self._course.steps[self._course.own].call.messages
        for index in range(len(messages) - 1, -1, -1):
            if messages[index]["role"] == "user":
                return index
            if messages[index]["role"] != "tool" and not messages[index].get("tool_calls"):
                break
        return len(messages) - 1

    def _messages(self) -> tuple[FrozenMap, ...]:
        """Return the conversation whole, each message as it was first sent; the last reply as it came."""
        messages: list[FrozenMap] = []
        otherwise = 0
        for step in self._course.steps:
            sent = step.call.messages
            otherwise += sum(one is not two and one != two for one, two in zip(messages, sent, strict=False))
            messages += sent[len(messages) :]
        if otherwise:
            what = f"{_many(otherwise, 'message')} sent again in another form"
            self._notes.append(Note(what=f"{what}: the trace has the form in which each was sent first"))
        last = self._course.steps[-1]
        return (*messages, *(() if last.reply is None else (last.reply.message,)))


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
