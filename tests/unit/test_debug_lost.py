"""Nothing that a trace has is lost on the way to who looks at it; what was refused or changed is never taken for a part of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from frameengine.debug import never
from frameengine.debug.breakpoints import Breakpoints
from frameengine.debug.debugger import Debugger
from frameengine.debug.edit import EditInput, parse_edit
from frameengine.debug.facts import facts
from frameengine.debug.fork import compare, fork
from frameengine.debug.history import changes, who
from frameengine.debug.place import Place
from frameengine.debug.points import Watchpoint
from frameengine.debug.restore import restore
from frameengine.debug.timeline import Timeline
from frameengine.debug.watching import Watcher
from frameengine.effects import ModelCall, ToolCall
from frameengine.errors import TraceFormat, TraceIntegrity, UnknownRef
from frameengine.inputs import Clear, StateEdit, Tick
from frameengine.jsonvalue import freeze
from frameengine.node import NodeContext, NodeResult
from frameengine.state import Change
from frameengine.trace.messages import Message, messages, shared
from frameengine.trace.reader import TraceReader
from sample_traces import bodies_of, forged
from sample_traces import record as record_talk
from toy import Meanwhile, bound, record


def decoded(path: Path) -> list[Message]:
    """Return the messages of the good part of a trace."""
    with TraceReader(path, damaged=True) as reader:
        return list(messages(reader))


def starting(bodies: list[bytes], start: bytes, number: int = 0) -> int:
    """Return which of the lines that begin so has a number among them, from 0."""
    return [index for index, body in enumerate(bodies) if body.startswith(start)][number]


async def _count(message: Any, ctx: NodeContext) -> NodeResult:
    await ctx.perform(ToolCall("count", {}))
    return NodeResult(None, [Change.append("/history", {"said": "x"})])


# ---------------------------------------------------------------------- what came in behind the last frame


@pytest.fixture
def late(tmp_path: Path) -> Path:
    """Return a run in which a state edit and a Tick that nobody takes come in behind the only frame of the first message."""
    path = tmp_path / "late.trace.jsonl"
    edit, tick = StateEdit([Change.set("/topic", "by hand")]), Tick(readings={"clock": 7})
    record(path, bound({"w": _count}), ["one", "two"], late=lambda made: Meanwhile(made, edit, tick))
    return path


def test_inputs_behind_the_last_frame_belong_to_the_message(late: Path) -> None:
    """Whether a trace is read through or gone about in, each input of its seal is in a message."""
    timeline, read = Timeline(late), decoded(late)
    assert [[entered.type for entered in message.late] for message in read] == [["StateEdit", "Tick"], []]
    assert [entered.number for message in read for entered in message.entered] == [1, 2, 3, 4]
    assert [timeline.message(message.number).to_json() for message in read] == [message.to_json() for message in read]
    assert [entered["type"] for entered in read[0].to_json()["late"]] == ["StateEdit", "Tick"]
    assert [entered.number for entered in timeline.behind(Place(1, 1))] == [2, 3]
    assert timeline.behind(Place(1)) == timeline.behind(Place(4, 1)) == ()


def test_an_input_behind_the_last_frame_is_edited_and_forked(late: Path) -> None:
    """It is an input like any other: an edit of it stands in the fork, and heads the comparison."""
    timeline = Timeline(late)
    edit = parse_edit(timeline, Place(1, 1), "input 3", '{"readings": {"clock": 8}}')
    assert isinstance(edit, EditInput)
    assert (edit.number, edit.place) == (3, Place(1, 1))
    made = fork(timeline, [edit], late.with_name("fork.trace.jsonl"), bound=bound({"w": _count}))
    assert made.path is not None
    assert [each.body for each in Timeline(made.path).behind(Place(1, 1))][1:] == [Tick(readings={"clock": 8})]
    found = compare(late, made.path)
    assert found.cause == "edit"
    assert [change.follows for change in found.changes] == [False]


def test_a_place_before_an_edit_that_ends_the_file_is_restored(late: Path) -> None:
    """Where the file ends behind a state edit at the last boundary, the code still does what was recorded."""
    bodies = bodies_of(late.read_bytes())
    path = late.with_name("cut.trace.jsonl")
    path.write_bytes(forged(bodies[: starting(bodies, b'{"kind":"trace"')]))
    timeline = Timeline(path, damaged=True)
    assert timeline.state(timeline.last).sections["topic"] == "by hand"
    with restore(timeline, timeline.last, bound({"w": _count})) as run:
        assert run.reply is not None
        assert [entered.type for entered in run.reply.late] == ["StateEdit", "Tick"]
        assert list(run.rest()) == []


def test_a_late_input_outside_of_a_message_is_refused_by_name(late: Path) -> None:
    """An input that says it came in during a message, and stands in none, is not dropped in silence."""
    bodies = bodies_of(late.read_bytes())
    entered = bodies[starting(bodies, b'{"kind":"input","number":3')]
    path = late.with_name("forged.trace.jsonl")
    path.write_bytes(forged([bodies[0], entered, *bodies[1:]]))
    with TraceReader(path, damaged=True) as reader, pytest.raises(TraceFormat, match="the input stands outside a message"):
        list(messages(reader))


def test_calls_without_a_frame_are_loose_wherever_they_stand(tmp_path: Path) -> None:
    """Calls behind the last frame of a message are told, whether the file, the figures or another message follows."""
    bodies = bodies_of(record_talk(tmp_path / "t").read_bytes())
    frames = [starting(bodies, b'{"kind":"frame","input":1', number) for number in (2, 3)]
    figures = starting(bodies, b'{"kind":"trace"')
    for gone in (frames, [*frames, figures]):
        path = tmp_path / str(len(gone))
        path.write_bytes(forged([body for index, body in enumerate(bodies[:-1]) if index not in gone]))
        timeline, read = Timeline(path, damaged=True), decoded(path)
        assert [str(call.key) for call in read[0].loose] == ["1.3 model[0]"]
        assert [len(message.calls) for message in read] == [row.calls for row in timeline.messages] == [3, 3, 3]
        assert timeline.message(1).to_json() == read[0].to_json()
        assert timeline.message(1).status == read[0].status


# ---------------------------------------------------------------------- what is no part of it


@pytest.mark.parametrize("kind", ["outcome", "input"])
def test_a_line_that_is_refused_is_no_part_of_the_run(kind: str, tmp_path: Path) -> None:
    """Where the good part ends inside a frame, the line out of place that ends it is not taken for something that came in."""
    bodies = bodies_of(record_talk(tmp_path / "t").read_bytes())
    inside = starting(bodies, b'{"kind":"outcome","key":[2,2')
    odd = {
        "outcome": bodies[inside].replace(b'"key":[2,2', b'"key":[9,2'),
        "input": bodies[starting(bodies, b'{"kind":"input","number":1')],
    }
    path = tmp_path / "f"
    path.write_bytes(forged([*bodies[: inside + 1], odd[kind]]))
    timeline = Timeline(path, damaged=True)
    assert isinstance(timeline.problem, TraceFormat)
    assert [str(place) for place in (timeline.unfinished, timeline.last, timeline.end)] == ["2.2", "2.1", "2.2:1"]
    assert [str(made.key) for made in timeline.effects(timeline.end)] == ["2.2 tools[0]"]
    message = timeline.message(2)
    assert ([str(made.key) for made in message.loose], message.late) == (["2.2 tools[0]"], [])
    assert b'"key":[2,2' in list(timeline.lines(2))[-1].raw


def test_positions_go_up_to_the_end_of_an_unfinished_frame(tmp_path: Path) -> None:
    """Each position has its place and each of these its position; behind the last there is none."""
    bodies = bodies_of(record_talk(tmp_path / "t").read_bytes())
    (tmp_path / "f").write_bytes(forged(bodies[: starting(bodies, b'{"kind":"outcome","key":[2,2') + 1]))
    for path, more in ((tmp_path / "t", 0), (tmp_path / "f", 1)):
        timeline = Timeline(path, damaged=True)
        assert timeline.positions == timeline.places + more
        found = [timeline.place(position) for position in range(timeline.positions)]
        assert [timeline.index(place) for place in found] == list(range(timeline.positions))
        assert found == sorted(found)
        assert found[-1] == timeline.end
        with pytest.raises(IndexError):
            timeline.place(timeline.positions)


# ---------------------------------------------------------------------- what is not known


def changing(path: Path, *texts: str) -> list[bytes]:
    """Record a run of messages that change the state; return its lines."""
    record(path, bound({"w": _count}), texts)
    return bodies_of(path.read_bytes())


def test_a_digest_that_disagrees_is_told_of_its_own_message(tmp_path: Path) -> None:
    """Where a message without a digest rests on one whose digest is wrong, it is that one that is named."""
    bodies = changing(tmp_path / "t", "one", "two", "three")
    two, three = starting(bodies, b'{"kind":"trace"', 1), starting(bodies, b'{"kind":"trace"', 2)
    bodies[two] = re.sub(rb'"state":"[0-9a-f]{64}"', b'"state":"%b"' % (b"0" * 64), bodies[two])
    (tmp_path / "f").write_bytes(forged(bodies[:three]))
    timeline = Timeline(tmp_path / "f", damaged=True)
    for place in (Place(2, 1), Place(3), Place(3, 1)):
        assert timeline.doubt(place) == "the changes of message 2 do not lead to the state whose digest was recorded"
    assert timeline.state_known(Place(1, 1))


def test_a_second_change_that_does_not_fit_is_a_doubt_of_its_own(tmp_path: Path) -> None:
    """A change that cannot be made casts doubt on a message without a digest, even if one before it failed in the same way."""
    bodies = changing(tmp_path / "t", "one", "two", "three")
    for number in (1, 2):
        frame = starting(bodies, b'{"kind":"frame"', number)
        bodies[frame] = bodies[frame].replace(b'"at":"/history"', b'"at":"/history/0/said"')
    one, two, three = (starting(bodies, b'{"kind":"trace"', number) for number in range(3))
    digest = re.search(rb'"state":"[0-9a-f]{64}"', bodies[one])
    assert digest is not None
    # The digest of the second message agrees with what is left of it; the third has none.
    bodies[two] = re.sub(rb'"state":"[0-9a-f]{64}"', digest[0], bodies[two])
    (tmp_path / "f").write_bytes(forged(bodies[:three]))
    timeline = Timeline(tmp_path / "f", damaged=True)
    assert timeline.state_known(Place(2, 1))
    assert timeline.state_known(Place(3))
    assert "do not fit" in timeline.doubt(Place(3, 1))


def test_the_way_of_a_message_is_not_there_before_it_has_ended(tmp_path: Path) -> None:
    """A condition on the path holds nowhere in a message whose figures are not in the file: neither ``==`` nor ``!=``."""
    path = record_talk(tmp_path / "t")
    bodies = bodies_of(path.read_bytes())
    (tmp_path / "f").write_bytes(forged(bodies[: starting(bodies, b'{"kind":"trace"', 1)]))
    timeline = Timeline(tmp_path / "f", damaged=True)
    points = Breakpoints(timeline)
    for text in ("if path == 'tools' and frame == 1", "if path != 'other' and frame == 1"):
        assert [str(hit.place) for hit in points.hits(points.parse(text))] == ["1.1"]
    assert ("path" in facts(timeline, Place(1, 1)), "path" in facts(timeline, Place(2, 1))) == (True, False)


@pytest.mark.parametrize("how", ["in place", "appended"])
def test_a_whole_file_that_grows_is_another_one(how: str, tmp_path: Path) -> None:
    """Behind a seal nobody adds anything: a longer file is told by name, and no comparison or fork goes by it."""
    path, other = record_talk(tmp_path / "t"), record_talk(tmp_path / "o", 5)
    timeline = Timeline(path)
    timeline.check_unchanged()
    with path.open("r+b" if how == "in place" else "ab") as file:
        file.write(other.read_bytes())
    assert timeline.changed_on_disk().startswith("it has ")
    for use in (timeline.check_unchanged, lambda: compare(timeline, other)):
        with pytest.raises(TraceIntegrity, match="no longer the run that is open"):
            use()


def test_a_name_is_not_looked_for_in_a_file_that_was_written_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a long run a name that is not in its file can never hit; in another file that has its name now it says nothing."""
    monkeypatch.setattr(never, "LOOKED_THROUGH", 1)
    path = record_talk(tmp_path / "t")
    points = Breakpoints(Timeline(path))
    path.write_bytes(path.read_bytes().replace(b'"find"', b'"look"'))
    with pytest.raises(TraceIntegrity, match="it was written over"):
        points.parse("tool find")


def test_a_state_edit_that_comes_in_at_a_known_place_is_watched(tmp_path: Path) -> None:
    """A trace that is read on may bring a change without a new place, and a watchpoint that was asked before finds it."""
    edit = StateEdit([Change.set("/topic", "by hand")])
    record(tmp_path / "t", bound({"w": _count}), [Clear(), "one"], late=lambda made: Meanwhile(made, edit))
    with Timeline(tmp_path / "t", whole=False) as timeline:
        watcher = Watcher(Watchpoint(pointer="/topic"), timeline)
        while timeline.last < Place(2, 1):
            timeline.load(1)
        assert list(watcher.hits()) == []
        places = timeline.places
        timeline.load_all()
        assert timeline.places == places
        assert [(str(hit.place), hit.what) for hit in watcher.hits()] == [("2.1", "set by StateEdit")]


# ---------------------------------------------------------------------- what is the same


async def _ask(message: Any, ctx: NodeContext) -> NodeResult:
    said = [{"role": "user", "content": "one"}, {"role": "user", "content": "two"}]
    for messages_of in (said, [said[0], {"role": "user", "content": "other"}, said[1]], said[:1]):
        await ctx.perform(ModelCall(model="m", messages=freeze(messages_of)))
    return NodeResult()


def test_the_messages_that_a_request_shares_are_those_at_its_start(tmp_path: Path) -> None:
    """Of a request as many messages count as shared as stand in the one before it, from the first on without a gap."""
    record(tmp_path / "t", bound({"w": _ask}))
    [message] = decoded(tmp_path / "t")
    assert [call.shared for call in message.calls] == [0, 1, 1]
    one, two = (freeze({"role": "user", "content": text}) for text in ("one", "two"))
    assert [shared([one, two], listed) for listed in ([], [two, one], [one], [one, two, one], [one, one, two])] == [0, 0, 1, 2, 1]


# ---------------------------------------------------------------------- what is not read so far


def test_what_is_said_of_the_whole_run_waits_until_it_is_read(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Hit lists, histories and moves do not take what is read so far for the run: that is read on for them."""
    path = record_talk(tmp_path / "t", 6)
    whole = Timeline(path)
    hits = [str(hit.place) for hit in Debugger(whole).hits(Breakpoints(whole).parse("tool find"))]
    assert len(hits) == 6

    def begun() -> Debugger:
        timeline = Timeline(path, whole=False)
        request.addfinalizer(timeline.close)
        timeline.load(12)
        assert timeline.last < Place(2, 4)
        return Debugger(timeline)

    debugger = begun()
    assert [str(hit.place) for hit in debugger.hits(debugger.breakpoints.parse("tool find"))] == hits
    debugger = begun()
    debugger.breakpoints.add("tool find")
    assert [str(debugger.resume().where) for _ in hits] == hits
    assert (begun().resume().reason, str(begun().resume().where)) == ("end", "6.4")
    debugger = begun()
    debugger.go(Place(1, 4))
    assert [str(debugger.next().where) for _ in range(2)] == ["2.4", "3.4"]
    debugger, steps = begun(), 0
    while debugger.step().reason == "place":
        steps += 1
    assert steps == whole.places - 1
    debugger = begun()
    debugger.go(debugger.timeline.last)
    following = whole.place(whole.index(debugger.place) + 1)
    assert debugger.into().where == Place(following.message, following.frame, 0)
    assert list(changes(begun().timeline, "/history")) == list(changes(whole, "/history"))
    assert who(begun().timeline, "/history/20", Place(1, 1)) is None
    assert [str(move(Place(6, 2, 0)).where) for move in (begun().go, begun().run_to)] == ["6.2:0", "6.2:0"]
    with pytest.raises(UnknownRef, match=r"there is no place 9\.9$"):
        begun().go(Place(9, 9))
    with pytest.raises(UnknownRef, match=r"no place 6\.1 in what is read so far"):
        begun().timeline.index(Place(6, 1))


def test_who_stops_the_reading_gets_no_answer_of_the_whole(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """A move that is stopped before the run is read ends where it was, and says that it was interrupted."""
    path = record_talk(tmp_path / "t", 6)
    for add in (True, False):
        debugger = Debugger(Timeline(path, whole=False))
        if add:
            debugger.breakpoints.add("tool find if message == 6")
        load = debugger.timeline.load

        def stopping(lines: int = 5, debugger: Debugger = debugger, load: Any = load) -> bool:
            debugger.stop()
            return bool(load(lines))

        debugger.timeline.load = stopping  # type: ignore[method-assign]
        assert debugger.resume().reason == "interrupted"
        assert debugger.stopped
        assert not debugger.timeline.loaded
        request.addfinalizer(debugger.timeline.close)
