"""A run that somebody looks over: what is decided stands in the outcome, and the trace replays as it was recorded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frameengine.debug.pause import (
    Approve,
    Decision,
    Fail,
    Held,
    Paused,
    Say,
    Send,
    Skip,
    typed_answer,
    typed_failure,
    typed_request,
)
from frameengine.effects import Answer, Call, EffectFailure, EffectKey, ModelCall, ModelReply, Outcome, ToolCall, ToolReply
from frameengine.engine.driver import Run
from frameengine.engine.message import Engine
from frameengine.engine.stops import Ask
from frameengine.errors import EffectError, UsageError
from frameengine.graph.registry import BoundGraph
from frameengine.inputs import Cancel, UserMessage
from frameengine.jsonvalue import freeze
from frameengine.node import NodeContext
from frameengine.replay.replayer import Replayer
from frameengine.trace.header import header
from frameengine.trace.messages import Message, messages
from frameengine.trace.reader import TraceReader
from frameengine.trace.writer import TraceWriter
from toy import bound as bound_of
from toy import edge, pass_on

ASKED = ToolCall("look", {"at": "this"})


async def four_calls(_: Any, ctx: NodeContext) -> None:
    """Ask for four things one after another, and say what became of each."""
    for call in (
        ASKED,
        ToolCall("look", {"at": "that"}),
        ModelCall(model="m", messages=[{"role": "user", "content": "?"}]),
        ASKED,
    ):
        try:
            ctx.say(f"{await ctx.perform(call)}")
        except EffectError as error:
            ctx.say(f"failed: {error.message}")


class Tells:
    """Answers with what it was asked, and keeps it."""

    def __init__(self) -> None:
        self.asked: list[Call] = []

    def perform(self, ask: Ask) -> list[Answer]:
        """Answer all new effects at once."""
        self.asked += ask.new
        return [Answer(call.key, self._outcome(call)) for call in ask.new]

    def _outcome(self, call: Call) -> Outcome:
        if isinstance(call.effect, ToolCall):
            return Outcome(value=ToolReply(content=call.effect.arguments), meta=freeze({"ms": 5}))
        return Outcome(value=ModelReply(message=freeze({"role": "assistant", "content": "yes"})))


SIDE_BY_SIDE = bound_of({"start": pass_on, "left": four_calls, "right": four_calls}, [edge("start", "left", "right")])


def run(path: Path, decisions: Sequence[Decision], bound: BoundGraph | None = None) -> tuple[Message, Tells]:
    """Run one message with these decisions, in the order of asking; return it as its trace has it."""
    tells, waiting = Tells(), list(decisions)
    bound = bound or bound_of({"node": four_calls})
    with TraceWriter(path, header(bound)) as writer:
        paused = Paused(tells, lambda _: waiting.pop(0))
        Run(Engine(bound), paused, writer).send(UserMessage.of("go"))
        writer.seal()
    assert not waiting
    assert Replayer(path, bound=bound).run().verdict == "same"
    with TraceReader(path) as reader:
        [message] = messages(reader)
    return message, tells


OTHER = ToolCall("look", {"at": "something else"})


def test_each_decision_is_recorded_and_replays(tmp_path: Path) -> None:
    """The trace keeps what the node asked and what it was given; what a person did stands in meta; strict replay is the same."""
    failure = EffectFailure(type="edited", message="no")
    said = ModelReply(message=freeze({"role": "assistant", "content": "by hand"}))
    message, tells = run(tmp_path / "a.trace.jsonl", [Send(OTHER), Fail(failure), Say(said), Skip()])
    made = [call for step in message.steps for call in step.calls]
    assert [call.request["arguments"] for call in (made[0], made[1], made[3])] == [{"at": "this"}, {"at": "that"}, {"at": "this"}]
    assert made[0].outcome.value == ToolReply(content=OTHER.arguments)
    assert made[0].outcome.meta == {
        "ms": 5,
        "by": "person",
        "did": "sent",
        "sent": {"name": "look", "arguments": OTHER.arguments},
    }
    assert (made[1].outcome.error, made[1].outcome.meta["did"]) == (failure, "failed")
    assert (made[2].outcome.value, made[2].outcome.meta["did"]) == (said, "answered")
    assert (made[3].outcome.value, made[3].outcome.meta["did"]) == (ToolReply(), "skipped")
    assert [call.effect for call in tells.asked] == [OTHER]


def test_what_is_approved_is_as_if_nobody_had_looked(tmp_path: Path) -> None:
    """A run in which everything is approved has the bytes of one that nobody looked over."""
    run(tmp_path / "a.trace.jsonl", [Approve()] * 4)
    bound = bound_of({"node": four_calls})
    with TraceWriter(tmp_path / "b.trace.jsonl", header(bound)) as writer:
        Run(Engine(bound), Tells(), writer).send(UserMessage.of("go"))
        writer.seal()
    assert (tmp_path / "a.trace.jsonl").read_bytes() == (tmp_path / "b.trace.jsonl").read_bytes()


@given(st.lists(st.sampled_from([Approve(), Skip(), typed_failure("no")]), min_size=8, max_size=8))
@settings(max_examples=40)
def test_any_mixture_of_decisions_replays(tmp_path_factory: pytest.TempPathFactory, decisions: list[Decision]) -> None:
    """Whatever is decided for calls of two nodes side by side, each call has one outcome, and the trace replays."""
    path = tmp_path_factory.mktemp("runs") / "a.trace.jsonl"
    message, tells = run(path, decisions, SIDE_BY_SIDE)
    assert sum(len(step.calls) for step in message.steps) == 8
    assert len(tells.asked) == decisions.count(Approve())


def test_a_cancel_comes_before_a_decision(tmp_path: Path) -> None:
    """Where nothing is decided because of a Cancel, the message is cancelled and the trace replays."""
    path = tmp_path / "a.trace.jsonl"
    bound = bound_of({"node": four_calls})
    with TraceWriter(path, header(bound)) as writer:
        driven: Run

        def decide(_: Call) -> None:
            driven.inbox.put(Cancel())

        driven = Run(Engine(bound), Paused(Tells(), decide), writer)
        assert driven.send(UserMessage.of("go")).status == "cancelled"
        writer.seal()
    assert Replayer(path, bound=bound).run().verdict == "same"


def test_who_leaves_leaves_the_message_open(tmp_path: Path) -> None:
    """The calls that wait are not recorded, the trace can be sealed, and a replay stops at the same call."""
    path = tmp_path / "a.trace.jsonl"
    bound = bound_of({"node": four_calls})
    with TraceWriter(path, header(bound)) as writer:
        paused: Paused
        decided: list[Call] = []

        def decide(call: Call) -> Decision | None:
            decided.append(call)
            if len(decided) == 1:
                return Approve()
            paused.leave()
            return None

        paused = Paused(Tells(), decide)
        assert Run(Engine(bound), paused, writer).send(UserMessage.of("go")).status == "open"
        writer.seal()
    with TraceReader(path) as reader:
        [message] = messages(reader)
    statuses = [call.outcome.status for call in (*message.loose, *[call for step in message.steps for call in step.calls])]
    assert sorted(statuses) == ["not_recorded", "ok"]
    assert Replayer(path, bound=bound).run().verdict == "same"


def test_a_frame_is_kept_before_it_is_looked_at(tmp_path: Path) -> None:
    """What holds a run behind a frame finds the frame in the file."""
    path = tmp_path / "a.trace.jsonl"
    bound = bound_of({"node": four_calls})
    found: list[bool] = []
    with TraceWriter(path, header(bound)) as writer:
        held = Held(writer, lambda frame: found.append(f'"frame":{frame.frame}'.encode() in path.read_bytes()))
        Run(Engine(bound), Tells(), held).send(UserMessage.of("go"))
    assert found == [True]


def test_a_request_of_another_kind_is_refused(tmp_path: Path) -> None:
    """A model is not asked in the place of a tool."""
    with pytest.raises(UsageError, match="is a tool call, and so is what is sent"):
        run(tmp_path / "a.trace.jsonl", [Send(ModelCall(model="m", messages=[]))] * 4)


# ---------------------------------------------------------------------- what is typed


MODEL = ModelCall(model="m", messages=[{"role": "system", "content": "s"}, {"role": "user", "content": "u"}], params={"t": 0})


def test_a_typed_request_changes_what_is_named() -> None:
    """Arguments of a tool, a tool by its name, the last text to a model, members of its request; the rest stays."""
    assert typed_request(ASKED, '{"at": 5}') == Send(ToolCall("look", {"at": 5}))
    assert typed_request(ASKED, '{"name": "see", "arguments": {}}') == Send(ToolCall("see", {}))
    sent = typed_request(MODEL, "what else?").effect
    assert isinstance(sent, ModelCall)
    assert (sent.messages[0], sent.messages[1], sent.params) == (
        MODEL.messages[0],
        {"role": "user", "content": "what else?"},
        MODEL.params,
    )
    quoted = typed_request(MODEL, '"{}"').effect
    assert isinstance(quoted, ModelCall)
    assert quoted.messages[1]["content"] == "{}"
    other = typed_request(MODEL, '{"model": "n"}').effect
    assert isinstance(other, ModelCall)
    assert (other.model, other.messages) == ("n", MODEL.messages)


@pytest.mark.parametrize(
    ("effect", "typed"),
    [
        (ASKED, "text"),
        (ASKED, '{"a":'),
        (MODEL, '{"zork": 1}'),
        (MODEL, '{"messages": 5}'),
        (MODEL, '{"messages": ["x"]}'),
        (MODEL, '{"model": 3}'),
        (ModelCall(model="m", messages=[]), "text"),
    ],
)
def test_a_typed_request_of_the_wrong_form_is_refused(effect: Any, typed: str) -> None:
    """What is no request is told, with the way out."""
    with pytest.raises(UsageError) as caught:
        typed_request(effect, typed)
    assert caught.value.hint


def test_typed_answers_and_failures_are_those_of_edits() -> None:
    """A reply is a text or a message, a result JSON or a text, a failure a message or an object."""
    reply = typed_answer(MODEL, '{"intent": "social"}').value
    assert isinstance(reply, ModelReply)
    assert (reply.text, reply.model) == ('{"intent": "social"}', "m")
    assert typed_answer(ASKED, "[1, 2]") == Say(ToolReply(content=(1, 2)))
    assert typed_answer(ASKED, "free text") == Say(ToolReply(content="free text"))
    assert typed_failure("too slow").error == EffectFailure(type="edited", message="too slow")
    assert typed_failure('{"message": "m", "type": "t"}').error == EffectFailure(type="t", message="m")
    assert typed_failure("").error.message


def test_the_other_performer_is_reached_through_it() -> None:
    """Pieces of replies, waking and dropping go to the performer that does the work."""

    class Works:
        on_delta: Any = None
        woken = 0
        dropped: tuple[EffectKey, ...] = ()

        def perform(self, _: Ask) -> list[Answer]:
            return []

        def wake(self) -> None:
            self.woken += 1

        def drop(self, keys: Sequence[EffectKey]) -> None:
            self.dropped = tuple(keys)

    works = Works()
    paused = Paused(works, lambda _: Approve())
    assert paused.on_delta is None
    Run(Engine(bound_of({"node": four_calls})), paused)
    assert works.on_delta is not None
    call = Call.of(EffectKey(1, 1, "node", 0), ASKED)
    assert paused.perform(Ask((call,), {call.key: call})) == []
    paused.drop([call.key, EffectKey(1, 1, "node", 7)])
    paused.wake()
    assert (works.dropped, works.woken) == ((call.key,), 1)
