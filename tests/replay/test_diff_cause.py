"""The likely cause of the first difference of two traces: right, or undetermined; what had no part in it is no cause."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from documents import edited
from frameengine.diff.compare import compare
from frameengine.diff.result import TraceDiff
from frameengine.effects import Answer, Call, ModelCall, Outcome, ToolCall, ToolReply
from frameengine.engine.driver import Run, virtual_at
from frameengine.engine.stops import Ask
from frameengine.graph.registry import BoundGraph
from frameengine.inputs import Tick
from frameengine.jsonvalue import EMPTY, freeze
from frameengine.node import NodeContext, NodeResult
from frameengine.state import Change, RunState
from toy import Echo, Note, Work, bound, edge, record, reply, text_in

NOTHING: Mapping[str, str] = MappingProxyType({})
PLAIN = {"a": "You are a.", "b": "You are b.", "c": "Unused."}
SCHEMA = {"type": "function", "function": {"name": "find", "description": "Find it."}}
BEGINNING = RunState(freeze({"history": [], "tools": [SCHEMA]}))


def asking(node: str, prompt: str, *, shout: bool = False) -> Work:
    """Return a node that asks a model with its prompt, the history and the tools of the state, and keeps what it says."""

    async def work(message: Any, ctx: NodeContext) -> NodeResult:
        said = ({"role": "system", "content": prompt}, *ctx.state["history"], {"role": "user", "content": text_in(message)})
        answer = await ctx.perform(ModelCall(model=ctx.config.model or "m", messages=said, tools=ctx.state.get("tools", ())))
        text = answer.text.upper() if shout else answer.text
        return NodeResult(Note(text=text, n=getattr(message, "n", 0) + 1), [Change.append("/history", answer.message)])

    return work


async def shows(message: Any, ctx: NodeContext) -> NodeResult:
    """Ask a tool, and show what it says."""
    found = await ctx.perform(ToolCall("find", {"text": "always the same"}))
    ctx.say(str(found.content["rows"]))
    return NodeResult()


def graph(
    prompts: Mapping[str, str] = NOTHING,
    *,
    code: Mapping[str, str] = NOTHING,
    models: Mapping[str, str] = NOTHING,
    shout: bool = False,
    more: str = "",
    between: str = "n > 0",
    last: str = "c",
    **settings: Any,
) -> BoundGraph:
    """Return two nodes that ask, one after the other, and a third that shows; prompts and code are digested as they are."""
    texts = {**PLAIN, **prompts}
    nodes: dict[str, Any] = {"a": asking("a", texts["a"], shout=shout), "b": asking("b", texts["b"]), last: shows}
    tables = {
        name: "\n".join([f'prompts = ["p{name}"]', *([f'model = "{models[name]}"'] if name in models else [])]) for name in "ab"
    }
    edges = [edge("a", "b", condition=between), edge("b", last)]
    return bound(
        nodes,
        edges,
        more={**tables, last: f'prompts = ["pc"]\n{more}'},
        code=code,
        prompts={f"p{name}": text for name, text in texts.items()},
        state={"history": [], "tools": []},
        **settings,
    )


class Model(Echo):
    """Answers by request alone, so that what is asked again is answered the same; *odd* changes some outcomes."""

    def __init__(self, odd: Callable[[Call], Outcome | None] = lambda _: None) -> None:
        super().__init__(lambda call: odd(call) or self._same(call))

    def _same(self, call: Call) -> Outcome:
        if isinstance(call.effect, ToolCall):
            return Outcome(value=ToolReply(content={"rows": [[1]]}), at=virtual_at(call.key))
        return reply(Call.of(call.key._replace(input=1, frame=1), call.effect))


class Ticking(Model):
    """Lets ticks in during the first frame."""

    def __init__(self, run: Run, ticks: int) -> None:
        super().__init__()
        self._run, self._ticks = run, ticks

    def perform(self, ask: Ask) -> list[Answer]:
        """Answer, and put ticks in."""
        if ask.new[0].key.frame == 1:
            for _ in range(self._ticks):
                self._run.inbox.put(Tick(readings={"n": 1}))
        return super().perform(ask)


def diff(
    tmp_path: Path, changed: BoundGraph, performer: Any = None, *, bodies: Any = ("hi", "there"), state: RunState = BEGINNING
) -> TraceDiff:
    """Record two messages with the plain graph and with another, and compare; from the other side the cause is the same."""
    one, other = tmp_path / "one.trace.jsonl", tmp_path / "other.trace.jsonl"
    one.unlink(missing_ok=True)
    other.unlink(missing_ok=True)
    record(one, graph(), ["hi", "there"], Model(), state=BEGINNING)
    record(other, changed, bodies, performer or Model(), state=state)
    found, mirror = compare(one, other), compare(other, one)
    assert (mirror.mirrored().changes, mirror.cause) == (found.changes, found.cause)
    return found


CAUSES = [
    ("a prompt's word", graph({"a": "You are A."}), "prompt", "prompt pa", "1.1 a", "/calls/0/request/messages/0/content"),
    ("a prompt later on", graph({"b": "You are B."}), "prompt", "prompt pb", "1.2 b", "/calls/0/request/messages/0/content"),
    ("a model's name", graph(models={"b": "m2"}), "graph", "model of node b", "1.2 b", "/calls/0/request/model"),
    ("an edge's condition", graph(between="n > 5"), "graph", "edges of node a", "1.1 a", "/condition"),
    ("a node's code", graph(shout=True, code={"a": "new"}), "node code", "code of module toy (node a)", "1.1 a", "/output/text"),
    (
        "prompt and model",
        graph({"a": "You are A."}, models={"b": "m2"}),
        "prompt",
        "prompt pa",
        "1.1 a",
        "/calls/0/request/messages/0/content",
    ),
    (
        "a prompt that is used and one that is not",
        graph({"a": "You are A.", "c": "Used neither."}),
        "prompt",
        "prompt pa",
        "1.1 a",
        "/calls/0/request/messages/0/content",
    ),
    (
        "a prompt, and code of a node that ran later",
        graph({"a": "You are A."}, code={"c": "tidied up"}),
        "prompt",
        "prompt pa",
        "1.1 a",
        "/calls/0/request/messages/0/content",
    ),
    (
        "code, and another prompt of the same node that made no difference",
        graph(shout=True, code={"a": "new"}, models={"b": "m2"}),
        "node code",
        "code of module toy (node a)",
        "1.1 a",
        "/output/text",
    ),
    ("nothing that is digested", graph(shout=True), "undetermined", "tell of no change", "1.1 a", "/output/text"),
    (
        "code of another node than the one that differs",
        graph(shout=True, code={"c": "tidied up"}),
        "undetermined",
        "does not tell of this place",
        "1.1 a",
        "/output/text",
    ),
]


@pytest.mark.parametrize("case", CAUSES, ids=[case[0] for case in CAUSES])
def test_a_planted_change_is_the_cause(tmp_path: Path, case: tuple[str, BoundGraph, str, str, str, str]) -> None:
    """What was changed is told as the cause where it alone can have led to the first difference, else undetermined."""
    _, changed, cause, because, spot, pointer = case
    found = diff(tmp_path, changed)
    assert found.first is not None
    assert (str(found.first.spot), found.first.fields[0].pointer) == (spot, pointer)
    assert (found.cause, because in found.because) == (cause, True), found.because
    assert all(change.follows for change in found.changes if change.spot.input > 1)


def test_two_that_could_both_explain_it_are_undetermined(tmp_path: Path) -> None:
    """Code and settings of the node that differs changed, and the values prove neither."""
    found = diff(tmp_path, graph(shout=True, code={"a": "new"}, models={"a": "m"}))
    assert (found.cause, found.because) == (
        "undetermined",
        "several changed: graph (model of node a), code of module toy (node a)",
    )


def test_a_prompt_is_proven_by_its_text(tmp_path: Path) -> None:
    """A prompt that stands in the request as it is, is the cause though the node's code changed too; a part of a text is not."""
    assert diff(tmp_path, graph({"a": "You are A."}, code={"a": "new"})).cause == "prompt"
    texts = {"a": asking("a", "You are A. Today is Monday."), "b": asking("b", PLAIN["b"]), "c": shows}
    prompts = {"pa": "You are A.", "pb": PLAIN["b"], "pc": PLAIN["c"]}
    more = {name: f'prompts = ["p{name}"]' for name in texts}
    edges = [edge("a", "b", condition="n > 0"), edge("b", "c")]
    state: dict[str, Any] = {"history": [], "tools": []}
    assert diff(tmp_path, bound(texts, edges, more=more, prompts=prompts, state=state)).cause == "prompt"
    found = diff(tmp_path, bound(texts, edges, more=more, prompts=prompts, code={"a": "new"}, state=state))
    assert (found.cause, found.because) == ("undetermined", "several changed: code of module toy (node a), prompt pa")


def test_a_tool_schema_is_the_cause_where_the_request_shows_it(tmp_path: Path) -> None:
    """Tools of the state at the start that stand in the request are told, whatever else changed."""
    tools = [{"type": "function", "function": {"name": "find", "description": "Find it, now."}}]
    state = RunState(freeze({"history": [], "tools": tools}))
    found = diff(tmp_path, graph(code={"a": "tidied up"}), state=state)
    assert found.first is not None
    assert found.first.fields[0].pointer == "/calls/0/request/tools/0/function/description"
    assert found.cause == "tool schema"
    assert "state at the start" in found.digests


def test_a_state_at_the_start_is_a_cause(tmp_path: Path) -> None:
    """Another history before the first message is told where nothing else changed."""
    state = RunState(freeze({"history": [{"role": "user", "content": "before"}], "tools": [SCHEMA]}))
    assert diff(tmp_path, graph(), state=state).cause == "state"
    assert diff(tmp_path, graph(code={"a": "new"}), state=state).cause == "undetermined"


HELPER = [
    ("a prompt", {"prompts": {"a": "You are A.", "b": "You are B."}}),
    ("a model", {"models": {"a": "m"}}),
    ("prompts of a node", {"uses": 'prompts = ["pa", "pb"]'}),
    ("a state at the start", {"state": {"unused": 2}}),
    ("a state at the start of the same value", {"state": {"unused": "B"}}),
]


@pytest.mark.parametrize("asks", [True, False])
@pytest.mark.parametrize("case", HELPER, ids=[case[0] for case in HELPER])
def test_what_changed_harmlessly_is_not_blamed_for_code_that_no_digest_tells_of(
    tmp_path: Path, case: tuple[str, dict[str, Any]], *, asks: bool
) -> None:
    """Where a node shows something else though it asked the same, neither prompt, model nor state is the cause."""

    def made(word: str, *, prompts: Mapping[str, str] = PLAIN, uses: str = 'prompts = ["pa"]', **more: Any) -> BoundGraph:
        async def leaks(message: Any, ctx: NodeContext) -> NodeResult:
            if asks:
                await ctx.perform(ModelCall(model="m", messages=({"role": "user", "content": "always the same"},)))
            ctx.emit("x", v=word)
            return NodeResult()

        model = "".join([f'\nmodel = "{name}"' for name in more.pop("models", {}).values()])
        texts = {f"p{name}": text for name, text in prompts.items()}
        state = {"unused": "A", **more.pop("state", {})}
        return bound({"a": leaks, "b": shows}, more={"a": uses + model, "b": 'prompts = ["pb"]'}, prompts=texts, state=state)

    record(tmp_path / "one.trace.jsonl", made("A"), ["hi"], Model())
    record(tmp_path / "two.trace.jsonl", made("B", **case[1]), ["hi"], Model())
    for pair in (("one", "two"), ("two", "one")):
        found = compare(*[tmp_path / f"{name}.trace.jsonl" for name in pair])
        assert found.first is not None
        assert (found.first.fields[0].pointer, found.digests != ()) == ("/emissions/0/1/v", True)
        assert (found.cause, "nothing shows that it led here" in found.because) == ("undetermined", True), found.because


@pytest.mark.parametrize(("effect", "cause"), [("model", "model reply"), ("tool", "tool result")])
def test_what_came_back_is_the_cause_where_the_request_is_the_same(tmp_path: Path, effect: str, cause: str) -> None:
    """A reply or result that differs for one request has no other cause, however much the headers tell of."""

    def odd(call: Call) -> Outcome | None:
        if call.effect.kind != effect or call.key.input != 1:
            return None
        if effect == "tool":
            return Outcome(value=ToolReply(content={"rows": [[2]]}), at=virtual_at(call.key))
        return reply(Call.of(call.key._replace(input=9), call.effect)) if call.key.node == "b" else None

    found = diff(tmp_path, graph(code={"c": "tidied up"}, more='model = "unused"'), Model(odd))
    assert found.first is not None
    assert str(found.first.spot) == ("1.3 c" if effect == "tool" else "1.2 b")
    assert (found.cause, found.first.effect) == (cause, effect)


def test_an_input_is_its_own_cause(tmp_path: Path) -> None:
    """A message that says something else, and one that is there once more, are told as input."""
    changed = graph({"a": "You are A."})
    found = diff(tmp_path, changed, bodies=["hello", "there"])
    assert (found.cause, found.first and found.first.fields[0].pointer) == ("input", "/input/data/message/content")
    longer = diff(tmp_path, graph(), bodies=["hi", "there", "again"])
    assert [(change.kind, str(change.spot)) for change in longer.changes if not change.follows] == [("added", "3")]
    assert longer.cause == "input"


def test_a_renamed_node_is_told_with_the_graph(tmp_path: Path) -> None:
    """A node under another name is one change in each message; the routes that name it follow."""
    found = diff(tmp_path, graph(last="z"))
    assert [(change.kind, str(change.left), str(change.right)) for change in found.changes if not change.follows] == [
        ("renamed", "1.3 c", "1.3 z"),
        ("renamed", "2.3 c", "2.3 z"),
    ]
    assert {field.pointer for change in found.following for field in change.fields} == {"/route/0"}
    assert found.cause == "graph"


def test_a_removed_node_is_told_with_the_graph(tmp_path: Path) -> None:
    """A node that is gone follows from the route that no longer leads to it."""
    nodes = {"a": asking("a", PLAIN["a"]), "c": shows}
    prompts = {"pa": PLAIN["a"], "pb": PLAIN["b"], "pc": PLAIN["c"]}
    tables = {"a": 'prompts = ["pa"]', "c": 'prompts = ["pc"]'}
    less = bound(nodes, more=tables, prompts=prompts, state={"history": [], "tools": []})
    found = diff(tmp_path, less)
    assert found.first is not None
    assert (str(found.first.spot), found.first.fields[0].pointer) == ("1.1 a", "/condition")
    assert [(str(change.spot), change.follows) for change in found.changes if change.kind == "removed"] == [
        ("1.2 b", True),
        ("2.2 b", True),
    ]
    assert found.cause == "graph"


@pytest.mark.parametrize(
    "harmless",
    [graph({"c": "Used neither."}), graph(code={"c": "tidied up"}), graph(more='model = "unused"'), graph(name="other")],
)
def test_a_harmless_change_is_no_cause(tmp_path: Path, harmless: BoundGraph) -> None:
    """What changed without a difference is listed, and is not the cause of what came from elsewhere."""
    found = diff(tmp_path, harmless)
    assert (found.verdict, found.because, found.first) == ("same", "", None)
    assert len(found.digests) == 1

    def odd(call: Call) -> Outcome | None:
        return reply(call) if call.key.node == "a" else None

    assert diff(tmp_path, harmless, Model(odd)).cause == "model reply"
    target = tmp_path / "edited.trace.jsonl"

    def shout(whole: Any) -> None:
        whole["messages"][0]["frames"][0][0]["output"]["text"] = "edited"

    edited(tmp_path / "other.trace.jsonl", target, shout)
    assert compare(tmp_path / "one.trace.jsonl", target).cause == "undetermined"


def test_without_digests_nothing_is_claimed(tmp_path: Path) -> None:
    """A header that tells nothing leads to no guess."""
    record(tmp_path / "one.trace.jsonl", graph(), ["hi"], Model())
    record(tmp_path / "two.trace.jsonl", graph(shout=True, code={"a": "new"}), ["hi"], Model())
    target = edited(tmp_path / "two.trace.jsonl", tmp_path / "bare.trace.jsonl", lambda _: None, fingerprint=EMPTY)
    found = compare(tmp_path / "one.trace.jsonl", target)
    assert (found.cause, found.digests) == ("undetermined", ())
    assert "no digests" in found.because


def test_an_input_that_came_in_during_a_message_is_told_where_it_did(tmp_path: Path) -> None:
    """A tick too many is a change of its own, at the frame that it came before, and its node's run follows from it."""
    sensing = {"a": asking("a", "x"), "b": shows, "s": shows}
    both = bound(sensing, [edge("a", "b")], entry={"UserMessage": "a", "Tick": "s"}, state={"history": []})

    def made(path: Path, ticks: int) -> Path:
        record(path, both, ["hi"], late=lambda run: Ticking(run, ticks))
        return path

    found = compare(made(tmp_path / "none.trace.jsonl", 0), made(tmp_path / "one.trace.jsonl", 1))
    assert found.first is not None
    assert (found.first.kind, str(found.first.right), found.first.whole["entered"]["type"]) == ("added", "1.2", "Tick")
    assert found.cause == "input"
