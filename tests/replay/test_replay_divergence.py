"""Every kind of divergence, planted: named with input, frame, node, call and pointer, and told before everything that follows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from frameengine.effects import Answer, ModelCall, ToolCall
from frameengine.engine.driver import Run
from frameengine.engine.stops import Ask
from frameengine.errors import Diverged, EffectError, TraceFormat
from frameengine.graph.registry import BoundGraph
from frameengine.inputs import Tick
from frameengine.node import NodeContext, NodeResult
from frameengine.replay.divergence import KINDS, NOTHING, Divergence, shortened
from frameengine.state import Change
from rebuild import rebuild
from toy import Echo, Note, Work, bound, broken, edge, pass_on, record, replay, text_in

MESSAGES = ["first", "second"]
TEMPERATURE = {"temperature": 0.5}


def lookups(*queries: Any, name: str = "lookup") -> list[ToolCall]:
    """Return tool calls."""
    return [ToolCall(name, {"q": query}) for query in queries]


async def thinker(message: Any, ctx: NodeContext) -> NodeResult:
    """Ask a model, then two tools at once, say something, and note it down."""
    asked = {"role": "user", "content": text_in(message)}
    answer = await ctx.perform(
        ModelCall(model="m", messages=({"role": "system", "content": "prompt"}, asked), params=TEMPERATURE)
    )
    await ctx.perform_all(lookups("x", "y"))
    ctx.say("done")
    return NodeResult(Note(text=answer.text, n=3), (Change.set("/topic", "t"), Change.append("/history", asked)))


async def output(message: Any, ctx: NodeContext) -> NodeResult:
    """Show the answer."""
    await ctx.perform(ToolCall("show", {"text": message.text}))
    return NodeResult()


async def side(message: Any, ctx: NodeContext) -> NodeResult:
    """Work beside the thinker."""
    ctx.emit("side", n=1)
    await ctx.perform(ToolCall("side"))
    return NodeResult()


EDGES = [
    edge("input", "thinker", "side"),
    edge("thinker", "output", condition="n > 2"),
    edge("thinker", "extra", condition="n > 9"),
]


def graph(**changed: Work) -> BoundGraph:
    """Return the graph, with some nodes changed."""
    nodes = {"input": pass_on, "thinker": thinker, "side": side, "output": output, "extra": output, **changed}
    return bound(nodes, EDGES, entry={"UserMessage": "input", "Tick": "side"})


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """Return a trace of two messages."""
    path = tmp_path / "t.trace.jsonl"
    record(path, graph(), MESSAGES)
    return path


def diverging(path: Path, changed: BoundGraph) -> Divergence:
    """Replay a trace that must diverge."""
    found = replay(path, changed).divergence
    assert found is not None
    return found


def second(work: Work, otherwise: Work = thinker) -> Work:
    """Return a node that is changed from the second message on."""

    async def node(message: Any, ctx: NodeContext) -> Any:
        return await (work if ctx.input == 2 else otherwise)(message, ctx)

    return node


# ---------------------------------------------------------------------- changed nodes


def thinking(
    *,
    model: str = "m",
    prompt: str = "prompt",
    params: Any = TEMPERATURE,
    tools: Any = (),
    calls: Callable[[], Any] = lambda: lookups("x", "y"),
    say: str = "done",
    n: int = 3,
    topic: str = "t",
    fail: bool = False,
    time: bool = False,
    as_tool: bool = False,
) -> Work:
    """Return the thinker with one thing changed."""

    async def work(message: Any, ctx: NodeContext) -> NodeResult:
        asked = {"role": "user", "content": text_in(message)}
        system = {"role": "system", "content": prompt}
        if as_tool:
            await ctx.perform(ToolCall("m"))
        answer = await ctx.perform(ModelCall(model=model, messages=(system, asked), params=params, tools=tools))
        await ctx.perform_all(calls())
        ctx.say(say)
        if time:
            ctx.now()
        if fail:
            raise ValueError("planted")
        return NodeResult(Note(text=answer.text, n=n), (Change.set("/topic", topic), Change.append("/history", asked)))

    return work


async def retries(message: Any, ctx: NodeContext) -> NodeResult:
    """Ask the tools once more than was recorded."""
    result = await thinker(message, ctx)
    await ctx.perform(lookups("y")[0])
    return result


THINKER = (2, 2, "thinker")
CASES: dict[str, tuple[Work, tuple[Any, ...]]] = {
    # name: (changed thinker, (kind, call, pointer, recorded, replayed))
    "no call": (pass_on, ("missing", 0, "", "model call m", NOTHING)),
    "one call less": (thinking(calls=lambda: lookups("x")), ("missing", 2, "", "tool call lookup", NOTHING)),
    "one call more": (thinking(calls=lambda: lookups("x", "y", "z")), ("extra", 3, "", NOTHING, "tool call lookup")),
    "a retry more": (retries, ("extra", 3, "", NOTHING, "tool call lookup")),
    "a tool for a model": (thinking(as_tool=True), ("effect kind", 0, "", "model", "tool")),
    "another model": (thinking(model="other"), ("effect name", 0, "/model", "m", "other")),
    "another tool": (
        thinking(calls=lambda: [*lookups("x", name="find"), *lookups("y")]),
        ("effect name", 1, "/name", "lookup", "find"),
    ),
    "a prompt's letter": (thinking(prompt="prompT"), ("request", 0, "/messages/0/content", "prompt", "prompT")),
    "another temperature": (thinking(params={"temperature": 0.7}), ("request", 0, "/params/temperature", 0.5, 0.7)),
    "temperature as integer": (thinking(params={"temperature": 1}), ("request", 0, "/params/temperature", 0.5, 1)),
    "no temperature": (thinking(params={}), ("request", 0, "/params", {"temperature": 0.5}, NOTHING)),
    "a tool schema": (thinking(tools=({"type": "function"},)), ("request", 0, "/tools", NOTHING, ({"type": "function"},))),
    "swapped calls": (thinking(calls=lambda: lookups("y", "x")), ("request", 1, "/arguments/q", "x", "y")),
    "another argument": (thinking(calls=lambda: lookups("x", "z")), ("request", 2, "/arguments/q", "y", "z")),
    "another emission": (thinking(say="Done"), ("emission", None, "/emissions/0/1/text", "done", "Done")),
    "another output": (thinking(n=4), ("output", None, "/output/n", 3, 4)),
    "another change": (thinking(topic="u"), ("state", None, "/changes/0/value", "t", "u")),
    "a failure": (thinking(fail=True), ("error", None, "/error", NOTHING, {"type": "builtins.ValueError", "message": "planted"})),
    "the time read": (thinking(time=True), ("length", None, "/now", NOTHING, 2_000_000_000)),
}


@pytest.mark.parametrize("name", CASES)
def test_a_changed_node_is_named_at_the_first_place_that_differs(name: str, trace: Path) -> None:
    """N10: kind, input, frame, node, call, pointer and both values are those of the change, in the second message only."""
    work, (kind, call, pointer, recorded, replayed) = CASES[name]
    found = diverging(trace, graph(thinker=second(work)))
    assert (found.kind, found.input, found.frame, found.node, found.call) == (kind, *THINKER, call)
    assert (found.pointer, found.recorded, found.replayed) == (pointer, recorded, replayed)


def test_a_route_that_differs_is_named(trace: Path) -> None:
    """The same message sent elsewhere: the condition is told where it has another value, else the route."""
    conditions = [
        edge("input", "thinker", "side"),
        edge("thinker", "output", condition="n > 1"),
        edge("thinker", "extra", condition="n > 9"),
    ]
    nodes = {"input": pass_on, "thinker": thinker, "side": side, "output": output, "extra": output}
    found = diverging(trace, bound(nodes, conditions))
    assert (found.kind, found.node, found.pointer) == ("condition", "thinker", "/condition/n > 2")
    swapped = [edge("input", "side", "thinker"), *EDGES[1:]]
    found = diverging(trace, bound(nodes, swapped))
    assert (found.kind, found.frame, found.node, found.pointer) == ("route", 1, "input", "/route/0")
    assert (found.recorded, found.replayed) == ("thinker", "side")


def test_another_entry_is_named(trace: Path) -> None:
    """A message that enters at another node: the node that runs too much is named before the one that is missing."""
    nodes = {"input": pass_on, "thinker": thinker, "side": side, "output": output, "extra": output}
    found = diverging(trace, bound(nodes, EDGES, entry={"UserMessage": "thinker", "Tick": "input"}))
    assert (found.kind, found.input, found.frame, found.node, found.recorded) == ("missing", 1, 1, "input", "node input ran")


def test_a_frame_too_much_and_a_frame_too_few_are_named(tmp_path: Path) -> None:
    """A tick that only one of record and replay has a node for: the replay goes on, or stops, where the record does not."""

    async def calls(message: Any, ctx: NodeContext) -> NodeResult:
        await ctx.perform(ToolCall("t"))
        return NodeResult()

    nodes = {"a": calls, "sensor": pass_on}
    entries = [{"UserMessage": "a", "Tick": "sensor"}, {"UserMessage": "a", "Action": "sensor"}]
    with_tick, without = [bound(nodes, [], entry=entry) for entry in entries]
    for name, recorded, replayed in (("missing", with_tick, without), ("extra", without, with_tick)):
        record(tmp_path / name, recorded, late=Ticks)
        found = diverging(tmp_path / name, replayed)
        assert (found.kind, found.input, found.frame, found.node, found.call) == (name, 1, 2, "", None)
        assert sorted([found.recorded, found.replayed]) == [NOTHING, "frame 2"]


class Ticks(Echo):
    """Brings a Tick along with its first answer."""

    def __init__(self, made: Run) -> None:
        super().__init__()
        self.made = made

    def perform(self, ask: Ask) -> list[Answer]:
        """Answer."""
        if not self.calls:
            self.made.inbox.put(Tick())
        return super().perform(ask)


def test_a_node_that_runs_too_much_is_named(tmp_path: Path) -> None:
    """A record without one of the frame's nodes: the replay's node is extra, before any call of it."""
    path = tmp_path / "t.trace.jsonl"
    record(path, graph(), MESSAGES)

    def without_side(line: dict[str, Any]) -> dict[str, Any] | None:
        if line["kind"] == "frame":
            line["records"] = [each for each in line["records"] if each["node"] != "side"]
        return None if line["kind"] == "outcome" and line["key"][2] == "side" else line

    rebuild(path, tmp_path / "edited", without_side)
    found = diverging(tmp_path / "edited", graph())
    assert (found.kind, found.input, found.frame, found.node, found.call) == ("extra", 1, 2, "side", None)


# ---------------------------------------------------------------------- edited records


def edited(path: Path, kind: str, number: int, change: Callable[[dict[str, Any]], None]) -> Path:
    """Change the line *number* of a kind and write the file anew, with chain and seal."""
    seen = 0

    def edit(line: dict[str, Any]) -> dict[str, Any]:
        nonlocal seen
        if line["kind"] == kind:
            seen += 1
            if seen == number:
                change(line)
        return line

    target = path.with_suffix(".edited")
    target.unlink(missing_ok=True)
    rebuild(path, target, edit)
    assert seen >= number
    return target


def test_an_edited_input_is_named(trace: Path) -> None:
    """A message whose words were changed differs from what its first node was given, before anything that it asked."""
    found = diverging(edited(trace, "input", 2, lambda line: line["data"]["message"].update(content="secone")), graph())
    assert (found.kind, found.input, found.frame, found.node, found.pointer) == ("input", 2, 1, "input", "/input/text")
    assert (found.recorded, found.replayed, found.cause) == ("second", "secone", "input")


@pytest.mark.parametrize(
    ("part", "value", "kind", "pointer"),
    [
        ("phase", "epilogue", "length", "/phase"),
        ("stamp", 1, "length", "/stamp"),
    ],
)
def test_an_edited_frame_is_named(trace: Path, part: str, value: Any, kind: str, pointer: str) -> None:
    """What concerns a frame as a whole, members that nobody knows included."""
    found = diverging(edited(trace, "frame", 2, lambda line: line.update({part: value})), graph())
    assert (found.kind, found.input, found.frame, found.node, found.pointer) == (kind, 1, 2, "", pointer)


def test_an_unknown_member_of_a_record_is_named(trace: Path) -> None:
    """A record that says more than the replay does is no equal record."""
    found = diverging(edited(trace, "frame", 2, lambda line: line["records"][0].update(mood="good")), graph())
    assert (found.kind, found.node, found.pointer, found.recorded) == ("length", "thinker", "/mood", "good")


@pytest.mark.parametrize(
    ("index", "kind"), [(0, "length"), (1, "effect kind"), (2, "effect name"), (3, "outcome"), (4, "request"), (5, "outcome")]
)
def test_every_part_of_a_recorded_call_counts(trace: Path, index: int, kind: str) -> None:
    """Index, kind, name, status and digests in a frame's record are compared, each by its own kind."""

    def change(line: dict[str, Any]) -> None:
        line["records"][0]["calls"][1][index] = {0: 7, 3: "error"}.get(index, "changed")

    found = diverging(edited(trace, "frame", 2, change), graph())
    assert (found.kind, found.input, found.frame, found.node, found.call, found.effect) == (kind, 1, 2, "thinker", 1, "tool")


@pytest.mark.parametrize(
    ("part", "value", "kind"),
    [
        ("path", "elsewhere", "route"),
        ("state", "0" * 64, "state"),
        ("frames", 9, "length"),
        ("calls", 9, "length"),
        ("status", "open", "length"),
    ],
)
def test_the_figures_of_a_message_count(trace: Path, part: str, value: Any, kind: str) -> None:
    """Path, state digest and totals of a message are compared when all its frames have been."""
    found = diverging(edited(trace, "trace", 2, lambda line: line.update({part: value})), graph())
    assert (found.kind, found.input, found.frame, found.pointer, found.recorded) == (kind, 2, 0, f"/{part}", value)


@pytest.mark.parametrize(("number", "effect", "cause"), [(1, "model", "model"), (3, "tool", "tool")])
def test_an_edited_outcome_is_named_with_what_follows(trace: Path, number: int, effect: str, cause: str) -> None:
    """The outcome that is not the recorded one is the divergence; the first thing that differs because of it hangs below."""

    def change(line: dict[str, Any]) -> None:
        value = line["outcome"]["value"]
        if effect == "model":
            value["message"]["content"] = "edited"
        else:
            value["content"]["rows"] = []

    found = diverging(edited(trace, "outcome", number, change), graph())
    assert (found.kind, found.input, found.frame, found.node, found.call) == ("outcome", 1, 2, "thinker", number // 2)
    assert (found.effect, found.cause) == (effect, cause)
    after = found.consequence
    if effect == "tool":
        # Nothing of this graph depends on what its tools say.
        assert after is None
        return
    assert after is not None
    assert (after.kind, after.pointer, after.replayed, after.cause) == ("output", "/output/text", "edited", "model")
    assert str(found.key) in after.because


def test_the_kind_of_an_edited_outcome_does_not_depend_on_where_it_hides(trace: Path) -> None:
    """An outcome whose status alone was changed, to an error of the same call, is an outcome all the same."""

    def change(line: dict[str, Any]) -> None:
        line["outcome"] = {"status": "error", "error": {"type": "x", "message": "y"}}

    found = diverging(edited(trace, "outcome", 1, change), graph())
    assert (found.kind, found.call, found.cause) == ("outcome", 0, "model")
    assert found.consequence is not None
    assert found.consequence.kind == "missing"


# ---------------------------------------------------------------------- position


def test_the_earliest_position_wins(trace: Path) -> None:
    """Of several differences the one of the earliest input, frame, node and call is told, whatever its kind."""
    late, early = thinking(prompt="later"), thinking(say="earlier")

    async def both(message: Any, ctx: NodeContext) -> Any:
        return await (early if ctx.input == 1 else late)(message, ctx)

    found = diverging(trace, graph(thinker=both))
    assert (found.kind, found.input) == ("emission", 1)


def test_a_node_before_it_in_the_same_frame_wins(trace: Path) -> None:
    """Of two nodes of a frame the first in the graph is told, even when the second one is stopped at a call."""

    async def changed_side(message: Any, ctx: NodeContext) -> NodeResult:
        await ctx.perform(ToolCall("elsewhere"))
        return NodeResult()

    assert diverging(trace, graph(side=changed_side)).node == "side"
    for work, kind in ((thinking(say="x"), "emission"), (thinking(n=5), "output"), (thinking(prompt="x"), "request")):
        found = diverging(trace, graph(side=changed_side, thinker=work))
        assert (found.node, found.kind) == ("thinker", kind)


def test_the_earliest_call_of_a_node_wins(trace: Path) -> None:
    """A request that differs comes before an emission, and an earlier call before a later one."""
    found = diverging(trace, graph(thinker=thinking(say="x", prompt="x", calls=lambda: lookups("z", "z"))))
    assert (found.kind, found.call) == ("request", 0)


def test_readable_kinds_come_first_at_one_place(trace: Path) -> None:
    """Condition before emission before output before state."""
    found = diverging(trace, graph(thinker=thinking(say="x", n=2, topic="x")))
    assert found.kind == "condition"
    found = diverging(trace, graph(thinker=thinking(say="x", topic="x")))
    assert found.kind == "emission"
    found = diverging(trace, graph(thinker=thinking(n=4, topic="x")))
    assert found.kind == "output"


def test_every_kind_was_planted() -> None:
    """The cases of this file cover all kinds there are."""
    told = {parts[0] for _, parts in CASES.values()} | {"condition", "route", "input", "outcome"}
    assert told == set(KINDS)


# ---------------------------------------------------------------------- nearest


def test_an_extra_call_names_the_nearest_recorded_one(trace: Path) -> None:
    """It is the most alike of kind and node in that frame; whether it was made as well, and the difference, stand there."""
    found = diverging(trace, graph(thinker=thinking(calls=lambda: lookups("x", "yy", "y"))))
    assert (found.kind, found.call) == ("request", 2)
    found = diverging(trace, graph(thinker=thinking(calls=lambda: lookups("x", "y", "yy"))))
    assert found.nearest == {
        "key": (1, 2, "thinker", 2),
        "used": True,
        "kind": "request",
        "pointer": "/arguments/q",
        "recorded": "y",
        "replayed": "yy",
    }


def test_the_nearest_call_may_be_of_another_node(tmp_path: Path) -> None:
    """A call that moved from one node to another is found there, and was not used."""
    path = tmp_path / "t.trace.jsonl"

    async def asks(message: Any, ctx: NodeContext) -> NodeResult:
        await ctx.perform(ToolCall("t", {"q": "moved"}))
        return NodeResult()

    async def silent(message: Any, ctx: NodeContext) -> NodeResult:
        return NodeResult()

    edges = [edge("root", "a", "b")]
    record(path, bound({"root": pass_on, "a": silent, "b": asks}, edges))
    found = diverging(path, bound({"root": pass_on, "a": asks, "b": silent}, edges))
    assert (found.kind, found.node, found.call) == ("extra", "a", 0)
    assert found.nearest is not None
    assert (found.nearest["key"], found.nearest["used"]) == ((1, 2, "b", 0), False)
    assert "pointer" not in found.nearest


def test_an_extra_call_with_nothing_alike_has_no_nearest(tmp_path: Path) -> None:
    """A model call in a frame of tools only has nobody to be compared with."""
    path = tmp_path / "t.trace.jsonl"

    async def asks(message: Any, ctx: NodeContext) -> NodeResult:
        await ctx.perform(ToolCall("t"))
        return NodeResult()

    async def asks_more(message: Any, ctx: NodeContext) -> NodeResult:
        await asks(message, ctx)
        await ctx.perform(ModelCall(model="m", messages=()))
        return NodeResult()

    record(path, bound({"a": asks}))
    found = diverging(path, bound({"a": asks_more}))
    assert (found.kind, found.call, found.nearest) == ("extra", 1, None)


# ---------------------------------------------------------------------- saying it


def test_a_divergence_says_its_place_and_its_json(trace: Path) -> None:
    """Place, key and JSON name the same; the result raises it with everything in the error's fields."""
    result = replay(trace, graph(thinker=second(thinking(model="other"))))
    found = result.divergence
    assert found is not None
    assert found.place == "input 2, frame 2, node thinker, call 0"
    assert str(found.key) == "2.2 thinker[0]"
    told = found.to_json()
    assert (told["key"], told["kind"], told["effect"]) == ([2, 2, "thinker", 0], "effect name", "model")
    with pytest.raises(Diverged, match="input 2, frame 2, node thinker, call 0: effect name /model") as caught:
        result.raise_if_diverged()
    assert caught.value.fields["divergence"] == told
    assert replay(trace, graph()).raise_if_diverged().verdict == "same"


def test_long_values_are_cut_in_the_middle() -> None:
    """What people read fits on a line, with both ends."""
    cut = shortened("a" * 300 + "z" * 300, 100)
    assert len(cut) <= 100
    assert (cut[0], cut[-1], "…" in cut) == ("a", "z", True)
    assert shortened({"a": 1}) == '{"a":1}'


def test_a_caught_failure_is_replayed_as_it_was(tmp_path: Path) -> None:
    """Failed effects and failed nodes are part of the record: they replay as same, and differ where they are swallowed (N12)."""
    path = tmp_path / "t.trace.jsonl"

    async def tries(message: Any, ctx: NodeContext) -> NodeResult:
        await ctx.perform(ToolCall("t"))
        return NodeResult()

    async def swallows(message: Any, ctx: NodeContext) -> NodeResult:
        try:
            await ctx.perform(ToolCall("t"))
        except EffectError:
            return NodeResult()
        return NodeResult()

    record(path, bound({"a": tries}), performer=Echo(broken))
    assert replay(path, bound({"a": tries})).verdict == "same"
    found = diverging(path, bound({"a": swallows}))
    assert (found.kind, found.pointer, found.replayed) == ("error", "/error", NOTHING)


def test_a_moved_tick_is_refused_or_named(tmp_path: Path) -> None:
    """A late input that was moved to another frame is no trace any more."""
    path = tmp_path / "t.trace.jsonl"

    async def calls(message: Any, ctx: NodeContext) -> NodeResult:
        await ctx.perform(ToolCall("t"))
        return NodeResult(Note())

    toy = bound({"a": calls, "b": calls, "sensor": pass_on}, [edge("a", "b")], entry={"UserMessage": "a", "Tick": "sensor"})
    record(path, toy, late=Ticks)
    assert replay(path, toy).verdict == "same"
    moved = edited(path, "input", 2, lambda line: line.update(during=[1, 2]))
    with pytest.raises(TraceFormat, match="says otherwise"):
        replay(moved, toy)
