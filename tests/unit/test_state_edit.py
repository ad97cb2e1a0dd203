"""A state that somebody changed by hand is an input: applied, recorded, replayed, compared and shown like any other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frameengine.codec import canonical
from frameengine.cutting import cut
from frameengine.diff.compare import compare
from frameengine.effects import ToolCall
from frameengine.errors import TraceFormat, UsageError
from frameengine.exporters.openai import export_messages
from frameengine.graph.registry import BoundGraph
from frameengine.inputs import Body, During, Input, StateEdit, UserMessage, input_from_json
from frameengine.jsonvalue import freeze
from frameengine.node import NodeContext, NodeResult
from frameengine.replay.divergence import wired
from frameengine.state import Change
from frameengine.trace.reader import TraceReader
from frameengine.trace.redact import Redactor
from frameengine.trace.verify import verify
from rebuild import rebuild
from toy import Meanwhile, Note, bound, record, replay, run, text_in

TOPIC = Change.set("/topic", "refunds")


def desk() -> BoundGraph:
    """Return a graph of two nodes that show the topic that the state has."""

    async def hear(message: Any, ctx: NodeContext) -> NodeResult:
        ctx.say(f"hear {ctx.state['topic']}")
        return NodeResult(Note(text=text_in(message)), [Change.append("/history", freeze({"heard": text_in(message)}))])

    async def tell(message: Any, ctx: NodeContext) -> NodeResult:
        ctx.say(f"tell {ctx.state['topic']}")
        return NodeResult()

    async def ask(message: Any, ctx: NodeContext) -> NodeResult:
        await ctx.perform(ToolCall("look", {"topic": ctx.state["topic"]}))
        return await hear(message, ctx)

    return bound({"hear": ask, "tell": tell}, state={"history": [], "topic": "orders"})


def said(kept: Any) -> list[str]:
    """Return what the nodes showed."""
    return [str(emission.data["text"]) for frame in kept.frames for one in frame.records for emission in one.emissions]


def test_an_edit_of_its_own_holds_before_the_next_message() -> None:
    """An edit between messages runs no node, has the path ``edit``, and the next message sees what it changed."""
    made, kept = run(desk())
    traces = [made.send(body) for body in (UserMessage.of("a"), StateEdit([TOPIC]), UserMessage.of("b"))]
    assert [(trace.path, trace.frames, trace.status) for trace in traces][1] == ("edit", 0, "done")
    assert said(kept) == ["hear orders", "tell orders", "hear refunds", "tell refunds"]
    assert traces[1].state != traces[0].state


def test_an_edit_during_a_message_holds_from_the_next_frame_on() -> None:
    """An edit that comes in during a message changes the state at the frame boundary; no node is run for it."""
    made, kept = run(desk())
    made.performer = Meanwhile(made, StateEdit([TOPIC]))
    trace = made.send(UserMessage.of("a"))
    assert said(kept) == ["hear orders", "tell refunds"]
    assert (trace.frames, kept.inputs[1].during, kept.inputs[1].body) == (2, During(input=1, frame=1), StateEdit([TOPIC]))
    assert made.engine.state.sections["topic"] == "refunds"


@pytest.mark.parametrize("change", [Change.delete("/nothing"), Change.append("/topic", 1), Change.set("topic", 1)])
def test_an_edit_that_does_not_fit_is_refused_before_it_is_recorded(change: Change) -> None:
    """What the state has no place for is refused; the run goes on with the next message, and no number is lost."""
    made, kept = run(desk())
    with pytest.raises(UsageError, match="the edit does not fit the state"):
        made.send(StateEdit([TOPIC, change]))
    assert (kept.lines, made.engine.state.sections["topic"]) == ([], "orders")
    assert made.send(UserMessage.of("a")).input == 1


def test_late_edits_that_only_fit_together_are_applied_together() -> None:
    """Of edits that wait for one boundary each sees those before it; one that does not fit is not recorded."""
    made, kept = run(desk())
    made.performer = Meanwhile(made, StateEdit([Change.set("/list", ()), Change.append("/list", 1)]))
    made.send(UserMessage.of("a"))
    assert made.engine.state.sections["list"] == (1,)
    made, kept = run(desk())
    made.performer = Meanwhile(made, StateEdit([Change.append("/topic", 1)]))
    with pytest.raises(UsageError, match="does not fit"):
        made.send(UserMessage.of("a"))
    assert [entered.type for entered in kept.inputs] == ["UserMessage"]


# ---------------------------------------------------------------------- traces


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """Return a trace with an edit of its own and one during a message."""
    path = tmp_path / "edited.trace.jsonl"
    bodies: list[Body | str] = ["a", StateEdit([Change.set("/topic", "between"), Change.set("/more", {"a": [1]})]), "b"]
    record(path, desk(), bodies, late=lambda made: Meanwhile(made, StateEdit([TOPIC])))
    return path


def test_a_trace_with_edits_verifies_and_replays(trace: Path) -> None:
    """Edits are digested and replayed: the same nodes on the same record are the same."""
    result, receipt = replay(trace, desk()), verify(trace)
    assert (result.verdict, result.counts, result.canonical) == ("same", receipt.counts, receipt.canonical)
    assert receipt.counts.inputs == 4


def forged(number: int, **members: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return what changes members of the line of one input."""
    return lambda line: {**line, **members} if (line["kind"], line.get("number")) == ("input", number) else line


@pytest.mark.parametrize("number", [2, 3])
def test_a_replay_feels_each_edit(trace: Path, tmp_path: Path, number: int) -> None:
    """An edit that was changed in the file afterwards leads to a divergence: it is really made, where it was recorded."""
    target = tmp_path / "forged.trace.jsonl"

    rebuild(trace, target, forged(number, data={"changes": [{"op": "set", "at": "/topic", "value": "forged"}]}))
    found = replay(target, desk()).divergence
    assert found is not None
    assert (found.input, found.kind) == ((1, "emission") if number == 2 else (3, "state"))


def test_an_edit_inside_a_frame_is_refused(trace: Path, tmp_path: Path) -> None:
    """An edit that says another place than the one in which it stands is no part of a replay."""
    target = tmp_path / "forged.trace.jsonl"

    rebuild(trace, target, forged(2, during=[1, 2]))
    with pytest.raises(TraceFormat, match="says otherwise"):
        replay(target, desk())


LONG = "x" * 50
NAMES = st.sampled_from(["a", "$c", "$$c", "ü" * 41, ""])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1) | st.text(max_size=60) | st.sampled_from(["$c", LONG]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
CHANGES = st.lists(
    st.builds(Change.set, st.just("/x"), VALUES)
    | st.builds(Change.append, st.just("/history"), VALUES, st.integers(0, 3))
    | st.builds(Change.set, st.sampled_from(["/x~1y", "/$c", "/deep/er"]), VALUES),
    max_size=5,
)


@given(changes=CHANGES)
@settings(max_examples=60)
def test_every_edit_comes_back_from_a_trace(changes: list[Change], tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whatever was changed, the trace gives it back, its canonical form is that of the input, and it replays."""
    path = tmp_path_factory.mktemp("edits") / "t"
    record(path, desk(), ["a", StateEdit(changes), "b"])
    with TraceReader(path) as reader:
        [line] = [line for line in reader.lines() if line.kind == "input" and line.value["type"] == "StateEdit"]
        entered = line.input()
        assert entered.body == StateEdit(changes)
        assert line.canonical() == canonical(Input(number=2, body=StateEdit(changes)).wire())
    assert input_from_json(wired(entered.wire())).body == entered.body
    assert replay(path, desk()).verdict == "same"


@pytest.mark.parametrize(
    "data",
    [
        {"changes": [{"op": "move", "at": "/x", "value": 1}]},
        {"changes": [{"op": "set"}]},
        {"changes": ["x"]},
        {"changes": 5},
        {"changes": [], "more": 1},
        {},
    ],
)
def test_what_is_no_edit_is_refused_as_a_bad_line(trace: Path, tmp_path: Path, data: dict[str, Any]) -> None:
    """A line that says it is an edit, and is none, is refused by name of the line, not with a traceback."""
    target = tmp_path / "forged.trace.jsonl"

    rebuild(trace, target, forged(3, data=data))
    with pytest.raises(TraceFormat, match="line"):
        verify(target)


def test_a_comparison_names_an_edit(trace: Path, tmp_path: Path) -> None:
    """Without the edits the run is another one: the first difference is the edit that came in, what follows from it is folded."""
    plain = tmp_path / "plain.trace.jsonl"
    record(plain, desk(), ["a", "b"])
    for found in (compare(plain, trace), compare(trace, plain).mirrored()):
        assert found.first is not None
        assert (found.first.kind, str(found.first.spot), found.cause) == ("added", "1.2", "input")
        assert [str(change.spot) for change in found.changes if not change.follows] == ["1.2", "3"]


def test_a_frame_is_cut_out_with_the_edits_before_it(trace: Path) -> None:
    """The state of a frame that is made a test of has the edits, those during its message as well."""
    assert cut(trace, 1, 2, switch=lambda _: desk().graph).case.state["topic"] == "refunds"
    assert cut(trace, 4, 1, switch=lambda _: desk().graph).case.state["topic"] == "between"


def test_an_export_says_that_the_state_was_edited(trace: Path) -> None:
    """A conversation is exported as it was said, with a note that the state was edited meanwhile."""
    notes = export_messages(trace).notes
    assert [note for note in notes if "edits the state" in note][:1] == [
        "input 2 edits the state; what was said is exported as it was said"
    ]


def test_secrets_are_kept_out_of_edits() -> None:
    """A value that is put into the state by hand is redacted as one that a user says."""
    edit = Redactor(["hunter2hunter2"]).enter(StateEdit([Change.set("/key", "it is hunter2hunter2"), TOPIC]))
    assert isinstance(edit, StateEdit)
    assert "hunter2" not in str(edit)
    assert edit.changes()[1] == TOPIC
