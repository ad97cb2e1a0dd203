"""The likely cause of a divergence: told from the digests in the header, missing where it is not sure, never wrong."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from attrs import evolve

from frameengine.effects import ModelCall, ToolCall
from frameengine.graph.registry import BoundGraph, fingerprint
from frameengine.inputs import SwitchGraph
from frameengine.jsonvalue import EMPTY
from frameengine.node import NodeContext, NodeResult
from frameengine.replay.divergence import Divergence
from frameengine.replay.replayer import Replayer
from rebuild import rebuild
from toy import Note, Work, bound, edge, record, replay, text_in

NOTHING: Mapping[str, str] = MappingProxyType({})


def asking(prompt: str) -> Work:
    """Return a node that asks a model with a prompt."""

    async def work(message: Any, ctx: NodeContext) -> NodeResult:
        answer = await ctx.perform(ModelCall(model="m", messages=({"role": "system", "content": prompt},)))
        return NodeResult(Note(text=answer.text))

    return work


async def shows(message: Any, ctx: NodeContext) -> NodeResult:
    """Show what it was given."""
    await ctx.perform(ToolCall("show", {"text": text_in(message)}))
    return NodeResult()


def graph(
    first: str = "one",
    second: str = "two",
    *,
    code: Mapping[str, str] = NOTHING,
    prompts: Mapping[str, str] = NOTHING,
    **more: Any,
) -> BoundGraph:
    """Return two nodes that ask and one that shows, each of the first two with a prompt file of its own."""
    nodes = {"a": asking(first), "b": asking(second), "c": shows}
    files = {"a": 'prompts = ["pa"]', "b": 'prompts = ["pb"]'}
    return bound(nodes, more=files, code=code, prompts=prompts, **more)


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """Return a trace of one message."""
    path = tmp_path / "t.trace.jsonl"
    record(path, graph())
    return path


def diverging(path: Path, changed: BoundGraph, **more: Any) -> Divergence:
    """Replay a trace that must diverge."""
    found = replay(path, changed, **more).divergence
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("changed", "cause", "because"),
    [
        (graph("X"), "undetermined", "the nodes' own modules are as recorded"),
        (graph("X", prompts={"pa": "new"}), "prompt", "changed: prompt pa"),
        (graph("X", code={"a": "new"}), "node code", "changed: code of module toy (node a)"),
        (graph("X", name="other"), "graph", "changed: graph"),
        (
            graph("X", prompts={"pa": "new"}, code={"a": "new"}),
            "undetermined",
            "several changed: code of module toy (node a), prompt pa",
        ),
        (graph("X", prompts={"pa": "new"}, name="other"), "undetermined", "several changed: graph, prompt pa"),
        # What had not run yet, or is not used there, cannot have led to it.
        (graph("X", prompts={"pb": "new"}), "undetermined", "had no part in this: prompt pb"),
        (graph("X", code={"c": "new"}), "undetermined", "had no part in this: code of module toy (node c)"),
        (graph("X", prompts={"pa": "new", "pb": "new"}), "prompt", "changed: prompt pa"),
        (graph("X", code={"a": "new", "c": "new"}), "node code", "changed: code of module toy (node a)"),
        # Code that ran before may have, where the node uses it; a prompt that led to the same requests as recorded has not.
        (graph(second="X", code={"a": "new"}), "node code", "changed: code of module toy (node a)"),
        (graph(second="X", prompts={"pa": "new", "pb": "new"}), "prompt", "changed: prompt pb"),
        (graph(second="X", prompts={"pa": "new"}), "undetermined", "had no part in this: prompt pa"),
    ],
)
def test_the_cause_is_told_from_what_changed(trace: Path, changed: BoundGraph, cause: str, because: str) -> None:
    """Graph, prompt or code, where one alone could have led to it; undetermined where none or several could (N23)."""
    found = diverging(trace, changed)
    assert found.kind == "request"
    assert found.cause == cause
    assert because in found.because


@pytest.mark.parametrize("prompts", [{"pa": "new"}, {"pa": "new", "pb": "new"}])
def test_a_prompt_is_no_cause_where_nothing_else_is_asked(tmp_path: Path, prompts: Mapping[str, str]) -> None:
    """A node that shows something else, though it asked the same with its prompt, does so by other code."""

    def shouting(word: str) -> Work:
        async def work(message: Any, ctx: NodeContext) -> NodeResult:
            await ctx.perform(ModelCall(model="m", messages=({"role": "system", "content": "one"},)))
            await ctx.perform(ToolCall("show", {"text": word}))
            return NodeResult()

        return work

    def made(word: str, prompts: Mapping[str, str]) -> BoundGraph:
        return bound({"a": shouting(word)}, more={"a": 'prompts = ["pa", "pb"]'}, prompts=prompts)

    path = tmp_path / "t.trace.jsonl"
    record(path, made("A", {}))
    found = diverging(path, made("B", prompts))
    assert (found.kind, found.effect, found.cause) == ("request", "tool", "undetermined")
    assert "nothing that was asked differs" in found.because


def test_inherited_code_is_named_apart(trace: Path) -> None:
    """What the class of a node inherits from another module is a cause too; a record that has no digest of it says nothing."""

    def inheriting(digest: str, second: str = "two", **more: Any) -> BoundGraph:
        return evolve(graph(second=second, **more), inherited={"b": digest})

    path = trace.with_suffix(".inheriting")
    record(path, inheriting("1" * 64))
    assert replay(path, inheriting("1" * 64)).changed == ()
    assert replay(path, inheriting("2" * 64)).changed == ("code that classes of module toy inherit (node b)",)
    found = diverging(path, inheriting("2" * 64, second="X"))
    assert (found.cause, found.because) == ("node code", "changed: code that classes of module toy inherit (node b)")
    both = diverging(path, inheriting("2" * 64, second="X", code={"b": "new"}))
    assert (both.cause, both.because.count("code")) == ("node code", 2)
    assert replay(trace, inheriting("2" * 64)).changed == ()


def edited(path: Path, kind: str, change: Any) -> Path:
    """Change all lines of a kind."""

    def edit(line: dict[str, Any]) -> dict[str, Any]:
        if line["kind"] == kind:
            change(line)
        return line

    target = path.with_suffix(".edited")
    rebuild(path, target, edit)
    return target


def test_an_edited_input_is_its_own_cause(trace: Path) -> None:
    """Whatever else changed: a first node that was given something else was given it by the input."""
    path = edited(trace, "input", lambda line: line["data"]["message"].update(content="edited"))
    found = diverging(path, graph("X", code={"a": "new"}))
    assert (found.kind, found.cause) == ("input", "input")


@pytest.mark.parametrize("effect", ["model", "tool"])
def test_an_edited_outcome_names_its_side(trace: Path, effect: str) -> None:
    """Model or tool, by the kind of the effect; what follows from it has the same cause."""

    def change(line: dict[str, Any]) -> None:
        if line["effect"] == effect and line["key"][2] in ("a", "c"):
            value = line["outcome"]["value"]
            value.update({"content": "edited"} if effect == "tool" else {"message": {"role": "assistant", "content": "edited"}})

    found = diverging(edited(trace, "outcome", change), graph())
    assert (found.kind, found.node, found.effect, found.cause) == ("outcome", "a" if effect == "model" else "c", effect, effect)
    assert found.because == "the outcome line and the frame's record of it differ"
    if effect == "model":
        assert found.consequence is not None
        assert (found.consequence.kind, found.consequence.cause) == ("output", "model")


def test_what_follows_from_an_outcome_is_not_blamed_on_it_alone_when_code_changed_too(trace: Path) -> None:
    """A later difference with an edited outcome and changed code before it has no sure cause."""

    def change(line: dict[str, Any]) -> None:
        if line["key"][2] == "a":
            line["outcome"]["value"]["finish_reason"] = "length"

    found = diverging(edited(trace, "outcome", change), graph(second="X", code={"b": "new"}))
    assert (found.kind, found.cause) == ("outcome", "model")
    after = found.consequence
    assert after is not None
    assert (after.kind, after.node, after.cause) == ("request", "b", "undetermined")
    assert "code of module toy (node b)" in after.because
    found = diverging(edited(trace, "outcome", change), graph(second="X"))
    assert found.consequence is not None
    assert found.consequence.cause == "model"


def test_a_record_without_digests_gives_no_cause(trace: Path) -> None:
    """A header that says nothing of graph and code does not lead to a guess."""
    path = edited(trace, "header", lambda line: line.pop("fingerprint"))
    found = diverging(path, graph("X", code={"a": "new"}))
    assert (found.cause, found.because) == ("undetermined", "the record has no digests of graph, prompts and code")


def test_what_changed_without_a_difference_is_listed(trace: Path) -> None:
    """A replay that is the same still says which digests are not the recorded ones."""
    result = replay(trace, graph(code={"b": "new"}, prompts={"pa": "new"}, name="other"))
    assert (result.verdict, result.changed) == ("same", ("graph", "code of module toy (node b)", "prompt pa"))
    assert replay(trace, graph()).changed == ()


@pytest.mark.parametrize(("code", "cause"), [({}, "undetermined"), ({"x": "new"}, "node code")])
def test_after_a_switch_the_switched_graph_is_compared(tmp_path: Path, code: Mapping[str, str], cause: str) -> None:
    """The digests in a SwitchGraph input serve for what comes after it."""
    path = tmp_path / "t.trace.jsonl"

    def other(prompt: str, code: Mapping[str, str]) -> BoundGraph:
        return bound({"x": asking(prompt)}, name="other", code=code)

    switch = SwitchGraph(graph="other", fingerprint=fingerprint(other("one", {})))
    record(path, graph(), ["hi", switch, "there"], switch=lambda _: other("one", {}))
    assert replay(path, graph(), switch=lambda _: other("one", {})).changed == ()
    found = diverging(path, graph(), switch=lambda _: other("X", code))
    assert (found.input, found.node, found.cause) == (3, "x", cause)


def test_a_switch_without_digests_gives_no_cause(tmp_path: Path) -> None:
    """The digests of the first graph say nothing of the second."""
    path = tmp_path / "t.trace.jsonl"
    record(path, graph(), ["hi", SwitchGraph(graph="other"), "there"], switch=lambda _: bound({"x": asking("one")}))
    result = Replayer(path, bound=graph(), switch=lambda _: bound({"x": asking("X")})).run()
    assert result.divergence is not None
    assert (result.divergence.cause, result.changed) == ("undetermined", ())
    assert "no digests" in result.divergence.because
    assert result.header["fingerprint"] != EMPTY


def test_code_that_is_shared_is_told_once_with_the_nodes_that_ran(trace: Path) -> None:
    """Nodes of one module change together: the module is named, with those of its nodes that can have led to the difference."""
    code = {"a": "new", "b": "new", "c": "new"}
    assert diverging(trace, graph(second="X", code=code)).because == "changed: code of module toy (nodes a, b)"
    assert replay(trace, graph(code=code)).changed == ("code of module toy (nodes a, b, c)",)


def test_an_edge_that_is_gone_is_the_graphs_fault(trace: Path) -> None:
    """A route that differs under another graph is told as such."""
    nodes = {"a": asking("one"), "b": asking("two"), "c": shows}
    files = {"a": 'prompts = ["pa"]', "b": 'prompts = ["pb"]'}
    found = diverging(trace, bound(nodes, [edge("a", "b"), edge("b", "c", carries="Never")], more=files))
    assert (found.kind, found.node, found.cause) == ("route", "b", "graph")
