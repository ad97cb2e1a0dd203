"""Versions side by side: the same inputs, message by message, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from frameengine.effects import Call, ModelCall, ModelReply, Outcome
from frameengine.engine.driver import virtual_at
from frameengine.errors import NothingCompared, UsageError
from frameengine.jsonvalue import freeze
from frameengine.node import NodeContext, NodeResult
from frameengine.rerun.versions import matrix
from toy import Echo, Note, bound, pass_on, record, text_in


def saying(words: str, only: str = "") -> Any:
    """Return a node that says something of each message, or of those of one text."""

    async def work(message: Any, ctx: NodeContext) -> NodeResult:
        text = text_in(message)
        ctx.say(f"{words if only in ('', text) else 'well'}: {text}")
        return NodeResult(Note(text=text))

    return work


@pytest.fixture
def goldens(tmp_path: Path) -> list[Path]:
    """Return goldens of three versions: the second answers one message otherwise, the third takes a frame more."""
    graphs = [
        bound({"one": saying("well")}),
        bound({"one": saying("hm", only="bye")}),
        bound({"one": pass_on, "other": saying("well")}),
    ]
    paths = [tmp_path / f"v{number}.trace.jsonl" for number in (1, 2, 3)]
    for path, graph in zip(paths, graphs, strict=True):
        record(path, graph, ["hello", "bye", "again"])
    return paths


def test_a_matrix_tells_what_changed_in_which_version(goldens: list[Path]) -> None:
    """Path, frames, calls, status and answer of each message are compared with the first version's."""
    versions = matrix(goldens)
    changes = [[versions.changes(column, row.number) for row in versions.rows] for column in versions.columns]
    assert changes == [[(), (), ()], [(), ("answer",), ()], [("frames",)] * 3]
    assert [cell.answer for cell in versions.columns[1].cells.values()] == ["well: hello", "hm: bye", "well: again"]
    assert [column.graph for column in versions.columns] == ["toy v1"] * 3


def test_the_same_figures_and_answer_are_not_the_same_record(tmp_path: Path) -> None:
    """Another request, another state or another epilogue is a change, though nothing that is shown differs."""

    async def asks(message: Any, ctx: NodeContext, prompt: str = "be brief") -> NodeResult:
        await ctx.perform(ModelCall(model="m", messages=freeze([{"role": "user", "content": f"{prompt}: {text_in(message)}"}])))
        ctx.say("well")
        return NodeResult(Note(text=text_in(message)))

    async def asks_kindly(message: Any, ctx: NodeContext) -> NodeResult:
        return await asks(message, ctx, "be kind" if text_in(message) == "bye" else "be brief")

    after = {"after": 'phase = "epilogue"'}
    graphs = [
        bound({"one": asks, "after": saying("done")}, more=after),
        bound({"one": asks_kindly, "after": saying("done")}, more=after),
        bound({"one": asks, "after": saying("all done", only="bye")}, more=after),
        bound({"one": asks, "after": saying("done")}, more=after),
        bound({"eins": asks, "after": saying("done")}, more=after),
    ]
    paths = [tmp_path / f"v{number}.trace.jsonl" for number in range(len(graphs))]
    for path, graph in zip(paths, graphs, strict=True):
        record(path, graph, ["hello", "bye"], Echo(reply_to))
    versions = matrix(paths)
    changes = [[versions.changes(column, row.number) for row in versions.rows] for column in versions.columns]
    assert changes == [[(), ()], [(), ("record",)], [("record",), ("record",)], [(), ()], [(), ()]]
    assert [versions.whole(column) for column in versions.columns] == [True, True, True, True, False]
    assert versions.differ
    assert not matrix([paths[0], paths[3]]).differ


def reply_to(call: Call) -> Outcome:
    """Answer every call alike."""
    return Outcome(value=ModelReply(message=freeze({"role": "assistant", "content": "yes"})), at=virtual_at(call.key))


def test_what_comes_after_the_answer_is_no_part_of_it(tmp_path: Path) -> None:
    """What a node of the epilogue shows does not make another answer."""
    paths = [tmp_path / "one.trace.jsonl", tmp_path / "two.trace.jsonl"]
    after = {"after": 'phase = "epilogue"'}
    for path, words in zip(paths, ("done", "all done"), strict=True):
        record(path, bound({"one": saying("well"), "after": saying(words)}, more=after))
    versions = matrix(paths)
    assert [cell.answer for column in versions.columns for cell in column.cells.values()] == ["well: hello"] * 2


def test_runs_of_other_inputs_are_no_versions(goldens: list[Path], tmp_path: Path) -> None:
    """Another text, or another number of inputs, is refused with its place: a matrix of different things proves nothing."""
    other = tmp_path / "other.trace.jsonl"
    record(other, bound({"one": saying("well")}), ["hello", "good bye", "again"])
    with pytest.raises(UsageError, match="input 2 differs at /data/message/content"):
        matrix([goldens[0], other])
    fewer = tmp_path / "fewer.trace.jsonl"
    record(fewer, bound({"one": saying("well")}), ["hello"])
    with pytest.raises(UsageError, match="3 inputs in one, 1 in the other"):
        matrix([goldens[0], fewer])


def test_an_empty_matrix_is_an_error(tmp_path: Path) -> None:
    """No traces, or traces in which nothing happens, are no comparison."""
    empty = tmp_path / "empty.trace.jsonl"
    record(empty, bound({"one": pass_on}), [])
    for paths in ([], [empty, empty]):
        with pytest.raises(NothingCompared):
            matrix(paths)
