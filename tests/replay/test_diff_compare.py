"""What a comparison of two traces takes and gives: filters, single messages, damaged files, empty ones, and its plain forms."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from documents import edited, plain
from frameengine.codec import dumps, loads
from frameengine.diff.compare import compare
from frameengine.diff.document import FLOW
from frameengine.diff.result import TraceDiff
from frameengine.errors import FrameEngineError, NothingCompared, TraceError, UsageError
from frameengine.inputs import Clear
from frameengine.node import NodeContext, NodeResult
from frameengine.trace.reader import read_header
from frameengine.trace.writer import TraceWriter
from rebuild import rebuild, rechain
from sample_traces import members, record, write_every_shape
from toy import Do, Note, bound, text_in
from toy import record as record_toy


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """Return a conversation of three messages with four frames each."""
    return record(tmp_path / "talk.trace.jsonl")


def changed(trace: Path, *edits: tuple[int, int, str, Any]) -> Path:
    """Return the trace with members of records put in: message and frame from 0, member, value."""

    def edit(whole: Any) -> None:
        for message, frame, name, value in edits:
            whole["messages"][message]["frames"][frame][0][name] = value

    return edited(trace, trace.with_suffix(".changed"), edit)


OUTPUT = {"type": "Answer", "text": "edited"}
EDITS: tuple[tuple[int, int, str, Any], ...] = (
    (0, 3, "input", OUTPUT),
    (1, 3, "emissions", []),
    (2, 3, "condition", {"a": True}),
)


def pointers(found: TraceDiff) -> list[str]:
    """Return the pointers of all fields."""
    return [field.pointer for change in found.changes for field in change.fields]


def test_ignored_fields_are_counted(trace: Path) -> None:
    """What a pointer takes out is counted under it, below it and through any step, and one that matches nothing is reported."""
    other = changed(trace, *EDITS)
    assert pointers(compare(trace, other)) == ["/input/text", "/emissions/0", "/condition"]
    found = compare(trace, other, ignore=["/emissions", "/*/text", "/route", "/emissions"])
    assert pointers(found) == ["/condition"]
    assert {each.pointer: each.count for each in found.ignored} == {"/emissions": 1, "/*/text": 1}
    assert (found.ignored_count, found.unmatched) == (2, ("/route",))
    assert [operation["path"] for operation in found.patch] == ["/messages/2/frames/3/0/condition"]
    rest = compare(trace, other, ignore=["/emissions", "/input", "/condition"])
    assert (rest.verdict, rest.ignored_count, rest.patch) == ("same", 3, ())


def test_only_leaves_out_the_rest_and_counts_it(trace: Path) -> None:
    """What is not touched by a pointer is left out, what lies above or below is not, and what no record has is reported."""
    other = changed(trace, *EDITS)
    found = compare(trace, other, only=["/emissions/*/1/text", "/nowhere"])
    assert pointers(found) == ["/emissions/0"]
    assert (found.outside, found.ignored_count, found.unmatched) == (2, 2, ("/nowhere",))
    same = compare(trace, trace, only=["/calls/*/request/messages"])
    assert (same.verdict, same.unmatched) == ("same", ())


MEMBERS = [*[f"/{name}" for name in FLOW if name != "phase"], "/figures"]


@pytest.mark.parametrize(
    "filters",
    [
        {"only": ["/nowhere"]},
        {"ignore": ["/*"]},
        {"ignore": ["/*/*"]},
        {"ignore": MEMBERS},
        {"only": ["/a/b"], "ignore": ["/a", "/x"]},
        {"only": ["/route", "/nowhere"], "ignore": ["/route"]},
        {"only": ["/calls/*/outcome"], "ignore": ["/calls/*/outcome/*"]},
    ],
)
def test_filters_that_leave_nothing_are_an_error(trace: Path, filters: dict[str, list[str]]) -> None:
    """A comparison of nothing is no success, whatever the traces hold."""
    for other in (trace, changed(trace, *EDITS)):
        with pytest.raises(NothingCompared) as caught:
            compare(trace, other, **filters)  # type: ignore[arg-type]
        assert caught.value.exit_code == 5
        assert caught.value.hint


def test_a_filter_that_leaves_something_is_none(trace: Path) -> None:
    """One kind of value that is left is enough, wherever it stands first; so is the sequence of nodes, for who asks for it."""
    for left in ("/input", "/calls", "/output", "/changes", "/route", "/figures"):
        assert compare(trace, trace, ignore=[name for name in MEMBERS if name != left]).verdict == "same"
    assert compare(trace, trace, only=["/node"]).verdict == "same"


def test_filters_look_at_the_chosen_message_alone(tmp_path: Path) -> None:
    """What only another message has is nothing to compare in this one."""
    path = tmp_path / "one.trace.jsonl"
    record_toy(path, bound({"a": Do()}), ["one", "two"])

    def show(whole: Any) -> None:
        whole["messages"][1]["frames"][0][0]["emissions"] = [["x", {"v": 1}]]

    other = edited(path, tmp_path / "two.trace.jsonl", show)
    assert compare(other, other, message=2, only=["/emissions/*/1"]).verdict == "same"
    with pytest.raises(NothingCompared, match=r"in message 1$"):
        compare(other, other, message=1, only=["/emissions/*/1"])


def test_frames_on_one_side_are_never_filtered(trace: Path) -> None:
    """A pointer within records does not hide that there is one record less."""

    def shorten(whole: Any) -> None:
        del whole["messages"][1]["frames"][2]

    other = edited(trace, trace.with_suffix(".shorter"), shorten)
    found = compare(trace, other, ignore=["/figures"], only=["/emissions"])
    assert [(change.kind, str(change.left)) for change in found.changes] == [("removed", "2.3 model")]
    assert found.changes[0].whole == compare(trace, other).changes[0].whole


def test_a_pointer_is_a_pointer(trace: Path) -> None:
    """What is no JSON pointer is refused with an example of one."""
    for filters in ({"ignore": ["output"]}, {"only": [""]}):
        with pytest.raises(UsageError) as caught:
            compare(trace, trace, **filters)  # type: ignore[arg-type]
        assert "/calls/*/outcome" in caught.value.hint


def test_one_message_is_compared_alone(trace: Path) -> None:
    """By the number of its input on the left; what differs elsewhere is not told, and a number that is not there is refused."""
    other = changed(trace, *EDITS)
    found = compare(trace, other, message=2)
    assert pointers(found) == ["/emissions/0"]
    assert [(message.left, message.right, message.changes) for message in found.messages] == [(2, 2, 1)]
    assert compare(other, trace, message=2).mirrored().changes == found.changes
    with pytest.raises(UsageError, match="no message 7") as caught:
        compare(trace, other, message=7)
    assert "1, 2, 3" in caught.value.hint


def test_one_message_tells_of_a_record_that_came_from_another(tmp_path: Path) -> None:
    """A message that lost or gained a record is not the same, from either side, though its other place is not looked at."""

    async def hands_on(message: Any, ctx: NodeContext) -> NodeResult:
        return NodeResult(Note(text=text_in(message)))

    path = tmp_path / "one.trace.jsonl"
    record_toy(path, bound({"a": hands_on, "b": hands_on, "c": hands_on}), ["one", "two"])

    def move(whole: Any) -> None:
        first, second = (message["frames"] for message in whole["messages"])
        first[0] += second.pop(1)

    other = edited(path, tmp_path / "two.trace.jsonl", move)
    places = {(path, other): ("2.2 b", "1.1 b"), (other, path): ("1.1 b", "2.2 b")}
    for (left, right), place in places.items():
        assert [each.kind for each in compare(left, right).changes].count("moved") == 1
        for number in (1, 2):
            found = compare(left, right, message=number)
            told = [(str(each.left), str(each.right), each.whole["node"]) for each in found.changes if each.kind == "moved"]
            assert (found.verdict, told) == ("differs", [(*place, "b")])
            assert found.messages[0].changes == len(found.changes)


def test_equal_frames_in_other_groups_are_not_the_same(tmp_path: Path) -> None:
    """Two records that ran side by side on one side, and one after the other on the other, are told as moved."""
    nodes = {"a": Do(), "b": Do(), "c": Do()}
    path, other = tmp_path / "one.trace.jsonl", tmp_path / "two.trace.jsonl"
    record_toy(path, bound(nodes))

    def beside(whole: Any) -> None:
        first = whole["messages"][0]["frames"][0][0]
        whole["messages"][0]["frames"] = [[first, {**first, "node": "b"}]]

    def after(whole: Any) -> None:
        first = whole["messages"][0]["frames"][0][0]
        whole["messages"][0]["frames"] = [[first], [{**first, "node": "b"}]]

    edited(path, other, beside)
    found = compare(other, edited(path, tmp_path / "three.trace.jsonl", after))
    assert [(each.kind, str(each.left), str(each.right)) for each in found.changes if each.spot.frame] == [
        ("moved", "1.1 b", "1.2 b")
    ]


def test_messages_in_another_order_are_moved(trace: Path) -> None:
    """A message that is the same in another place is told once, as moved, with its frames folded under it."""

    def turn(whole: Any) -> None:
        whole["messages"].append(whole["messages"].pop(0))

    found = compare(trace, edited(trace, trace.with_suffix(".turned"), turn))
    assert [(change.kind, str(change.left), str(change.right)) for change in found.changes if not change.follows] in (
        [("moved", "1", "3")],
        [("moved", "2", "1"), ("moved", "3", "2")],
    )


def test_what_follows_is_told_from_data(trace: Path) -> None:
    """A record whose input differs follows from the one that made it; one that differs on its own account does not."""
    said = {"type": "Answer", "text": "edited"}
    other = changed(trace, (0, 2, "output", said), (0, 3, "input", said), (2, 3, "emissions", []))
    found = compare(trace, other)
    assert [(str(change.spot), change.follows) for change in found.changes] == [
        ("1.3 model", False),
        ("1.4 output", True),
        ("3.4 output", False),
    ]
    assert found.first is found.changes[0]
    assert found.following == (found.changes[1],)


def test_figures_are_compared(trace: Path) -> None:
    """Path, status and state of a message are told, as consequences where frames differ and alone where they do not."""

    def edit(whole: Any) -> None:
        whole["messages"][0]["figures"].update(path="other", status="failed")
        del whole["messages"][1]["frames"][3]

    found = compare(trace, edited(trace, trace.with_suffix(".figures"), edit))
    assert [(change.kind, str(change.spot), change.follows) for change in found.changes] == [
        ("changed", "1", False),
        ("removed", "2.4 output", False),
        ("changed", "2", True),
    ]
    assert pointers(found) == ["/figures/path", "/figures/status", "/figures/total_frames", "/figures/frames"]
    assert found.messages[0].right_figures["path"] == "other"


def test_a_trace_without_frames_or_messages_in_common_is_an_error(trace: Path, tmp_path: Path) -> None:
    """Nothing in common is an empty comparison, from either side."""
    empty, cleared = tmp_path / "empty.trace.jsonl", tmp_path / "cleared.trace.jsonl"
    with TraceWriter(empty, members()) as writer:
        writer.seal()
    record_toy(cleared, bound({"a": Do()}), [Clear()])
    for one, other in ((trace, empty), (empty, trace), (empty, empty), (trace, cleared), (cleared, cleared)):
        with pytest.raises(NothingCompared):
            compare(one, other)


def test_a_file_that_is_not_whole_is_an_error_unless_asked_for(trace: Path, tmp_path: Path) -> None:
    """Unsealed, torn and altered files are the reader's errors; read all the same, they are never the same."""
    unsealed = record(tmp_path / "unsealed.trace.jsonl", seal=False)
    torn = tmp_path / "torn.trace.jsonl"
    torn.write_bytes(trace.read_bytes()[:-900])
    altered = tmp_path / "altered.trace.jsonl"
    altered.write_bytes(trace.read_bytes().replace(b'"frame":4', b'"frame":5', 1))
    for bad in (unsealed, torn, altered):
        for one, other in ((trace, bad), (bad, trace)):
            with pytest.raises(TraceError) as caught:
                compare(one, other)
            assert caught.value.hint
        found = compare(trace, bad, damaged=True)
        assert found.verdict != "same"
        assert found.right.problem
        assert not found.left.problem
    assert compare(unsealed, unsealed, damaged=True).verdict == "incomplete"
    found = compare(trace, torn, damaged=True)
    assert all(change.kind in ("removed", "changed") for change in found.changes)


def test_another_format_is_the_readers_error(trace: Path, tmp_path: Path) -> None:
    """A trace of a format that is not read here says what to do."""
    newer = tmp_path / "newer.trace.jsonl"
    rechain(trace, newer, 1, lambda body: body.replace(b'"format":1', b'"format":2', 1))
    with pytest.raises(TraceError, match="format 2") as caught:
        compare(trace, newer)
    assert "newer frameengine" in caught.value.hint


FORGERIES: dict[str, tuple[Callable[[dict[str, Any]], Any], str, str]] = {
    "an outcome": (lambda line: line["outcome"]["value"].update(model="forged"), "outcome", "tells of another"),
    "a request": (lambda line: line["request"].update(extra=1), "outcome", "more is said"),
    "an outcome that says more": (lambda line: line.update(extra=1), "outcome", "says more"),
    "a frame that says more": (lambda line: line.update(extra=1), "frame", "says more"),
    "an empty frame": (lambda line: line.update(records=[]), "frame", "not frame"),
    "a frame's number": (lambda line: line.update(frame=9), "frame", "not frame"),
    "a key": (lambda line: line.update(key=[1, 1, "other", 0]), "outcome", "tells of another|says more|no record"),
    "figures": (lambda line: line.update(calls=99), "trace", "calls, not 99"),
    "an input's number": (lambda line: line.update(number=9), "input", "stands where input"),
    "odd calls": (lambda line: line["records"][0].update(calls=[7]), "frame", "."),
    "an odd reply": (lambda line: line["outcome"].update(value="x"), "outcome", "."),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_lines_that_contradict_each_other_are_refused(trace: Path, name: str) -> None:
    """What no digest stands for must not go unseen: a file whose lines do not agree, or say more, is an error on either side."""
    edit, kind, said = FORGERIES[name]
    forged = trace.with_suffix(".forged")

    def change(line: dict[str, Any]) -> dict[str, Any]:
        if line["kind"] == kind:
            edit(line)
        return line

    rebuild(trace, forged, change)
    for one, other in ((trace, forged), (forged, trace), (forged, forged)):
        with pytest.raises(TraceError, match=said) as caught:
            compare(one, other)
        assert forged.name in caught.value.message


def test_a_stream_is_compared(trace: Path) -> None:
    """The stream of a call is a part of its key, and told where it differs; calls are numbered by their places."""
    other = trace.with_suffix(".stream")

    def change(line: dict[str, Any]) -> dict[str, Any]:
        if line["kind"] == "outcome" and line["key"][:3] == [2, 1, "model"]:
            line["key"].append("side")
        return line

    rebuild(trace, other, change)
    found = compare(trace, other)
    assert [(str(each.spot), field.pointer, field.right) for each in found.changes for field in each.fields] == [
        ("2.1 model", "/calls/0/stream", "side")
    ]
    path = trace.with_suffix(".shapes")
    with TraceWriter(path, members()) as writer:
        write_every_shape(writer)
        writer.seal()
    with pytest.raises(TraceError, match=r"numbered \[0, 1, 2, 3, 4, 5, 9\]"):
        plain(path)


def test_times_and_meta_are_never_compared(trace: Path, tmp_path: Path) -> None:
    """Two traces that differ in durations, costs and times are the same."""
    other = tmp_path / "later.trace.jsonl"

    lines = [loads(raw) for raw in trace.read_bytes().split(b"\n")[:-1]]
    assert any("meta" in line for line in lines)
    rebuild(trace, other, lambda line: {name: value for name, value in line.items() if name not in ("at", "meta")})
    assert compare(trace, other).verdict == "same"


def test_the_result_is_plain_json(trace: Path) -> None:
    """The whole result is JSON with a version: places, fields, and what was ignored with its count."""
    other = changed(trace, *EDITS)
    found = compare(trace, other, ignore=["/condition"])
    value = json.loads(dumps(found.to_json()))
    assert (value["schema_version"], value["verdict"], value["first"]) == (1, "differs", 0)
    assert value["changes"][0]["fields"][0]["pointer"] == "/input/text"
    assert value["changes"][0]["left"] == {"input": 1, "frame": 4, "node": "output"}
    assert "right" not in value["changes"][1]["fields"][0]
    assert value["ignored"] == [{"pointer": "/condition", "count": 1}]


def test_the_bytes_read_are_told(trace: Path) -> None:
    """Whoever waits is told how far both files were read, never less than before."""
    other = changed(trace, *EDITS)
    told: list[int] = []
    compare(trace, other, done=told.append)
    assert told == sorted(told)
    assert told[-1] > 0.9 * (trace.stat().st_size + other.stat().st_size)


def test_a_file_that_somebody_writes_is_refused(trace: Path, tmp_path: Path) -> None:
    """A trace that grows while it is read twice would be two traces."""
    path = tmp_path / "growing.trace.jsonl"
    with TraceWriter(path, read_header(trace)), pytest.raises(FrameEngineError) as caught:
        compare(trace, path)
    assert str(os.getpid()) in caught.value.message or "written" in caught.value.message
    assert plain(trace)["messages"]
