"""Forks: everything before the first edit as it was, what follows from the edit behind it, and nothing that nobody made."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from frameengine.cassette.match import Policy
from frameengine.debug.breakpoints import Breakpoints
from frameengine.debug.edit import Edit, EditReply, EditState, parse_edit
from frameengine.debug.fork import ForkResult, compare, fork
from frameengine.debug.place import START, Place
from frameengine.debug.timeline import Timeline
from frameengine.effects import EffectKey, ModelCall, Outcome, ToolCall, ToolReply
from frameengine.engine.message import Engine
from frameengine.errors import (
    CassetteUnused,
    Diverged,
    EffectError,
    GraphError,
    InternalError,
    TraceError,
    TraceIncomplete,
    TraceIntegrity,
    UsageError,
)
from frameengine.graph.loader import load_graph
from frameengine.graph.registry import BoundGraph, bind, fingerprint
from frameengine.inputs import Body, Cancel, Clear, Given, StateEdit, SwitchGraph, Tick
from frameengine.jsonvalue import freeze
from frameengine.node import NodeContext, NodeResult
from frameengine.replay.replayer import Replayer
from frameengine.rerun.edited import Edited
from frameengine.rerun.stage import Stage
from frameengine.rerun.supply import Supply
from frameengine.state import Change, RunState, change_from_json
from frameengine.trace.reader import TraceReader, read_header
from frameengine.trace.verify import verify
from toy import Meanwhile, Note, bound, random_run, record, replay, text_in

TRACES = Path(__file__).parents[2] / "traces"


def desk(tone: str = "kind") -> BoundGraph:
    """Return a graph of three nodes: ask a model, look something up with what it said, tell in the tone of the state."""

    async def ask(message: Any, ctx: NodeContext) -> NodeResult:
        reply = await ctx.perform(ModelCall(model="m", messages=freeze([{"role": "user", "content": text_in(message)}])))
        return NodeResult(Note(text=reply.text[:20]), [Change.set("/last", text_in(message))])

    async def look(message: Any, ctx: NodeContext) -> NodeResult:
        try:
            found = await ctx.perform(ToolCall("look", {"of": message.text}))
        except EffectError:
            found = await ctx.perform(ToolCall("look", {"of": message.text}))
        return NodeResult(Note(text=str(found.content)), [Change.append("/history", freeze({"found": found.content}))])

    async def tell(message: Any, ctx: NodeContext) -> NodeResult:
        ctx.say(f"{tone} {ctx.state['mood']}: {message.text}")
        return NodeResult()

    async def note(message: Any, ctx: NodeContext) -> NodeResult:
        return NodeResult(None, [Change.set("/clock", message.readings["clock"])])

    work = {"ask": ask, "look": look, "tell": tell, "note": note}
    edges = bound({name: work[name] for name in ("ask", "look", "tell")}).graph.edges
    written = [f'[[edges]]\nfrom = "{edge.source}"\nto = ["{edge.targets[0]}"]\ncarries = "Note"' for edge in edges]
    entry = {"UserMessage": "ask", "Tick": "note"}
    return bound(work, written, entry=entry, state={"history": [], "mood": "calm", "last": "", "clock": 0}, code={"tell": tone})


@pytest.fixture
def parent(tmp_path: Path) -> Path:
    """Return a run of three messages; a Tick comes in during the first."""
    path = tmp_path / "parent.trace.jsonl"
    record(path, desk(), ["one", "two", "three"], late=lambda made: Meanwhile(made, Tick(readings={"clock": 7})))
    return path


def made(path: Path, *edits: Edit | tuple[Place, str, str], graph: BoundGraph | None = None, **more: Any) -> ForkResult:
    """Fork a run to a file beside it, with edits as they are or as they are typed."""
    timeline = Timeline(path)
    parsed = [parse_edit(timeline, *edit) if isinstance(edit, tuple) else edit for edit in edits]
    target = next(target for number in count(1) if not (target := path.with_name(f"fork-{number}.trace.jsonl")).exists())
    return fork(timeline, parsed, target, bound=graph or desk(), **more)


def checked(path: Path, result: ForkResult, graph: BoundGraph | None = None) -> list[str]:
    """Prove that a fork replays, is whole, and that the edit heads its comparison; return what differs of itself."""
    assert result.path is not None
    assert replay(result.path, graph or desk()).verdict == "same"
    assert verify(result.path).counts == result.counts
    found = compare(path, result.path)
    assert found.cause == "edit"
    mirrored = compare(result.path, path)
    assert (mirrored.cause, mirrored.because) == ("edit", found.because)
    return [str(change.spot) for change in found.changes if not change.follows]


# ---------------------------------------------------------------------- each kind of edit


def test_another_result_changes_what_follows_from_it(parent: Path) -> None:
    """A tool result is another one: the node that got it and those after it follow, all other calls have their own replies."""
    result = made(parent, (Place(1, 2), "result", '"nothing"'))
    assert (result.verdict, result.hows, result.first) == ("exact", {"exact": 5, "edited": 1}, Place(1, 2))
    assert checked(parent, result) == ["1.2 look"]
    assert (result.needed, result.dropped, result.unreached, result.divergence) == ((), (), (), None)


def test_another_reply_leads_to_other_requests(parent: Path) -> None:
    """Where a request no longer matches the call is needed, and nothing is written; a looser policy finds a reply and says so."""
    edit = (Place(3, 1), "reply", "something else")
    result = made(parent, edit)
    assert (result.path, result.verdict, list(map(str, [miss.call.key for miss in result.needed]))) == (
        None,
        "unfinished",
        ["3.2 look[0]"],
    )
    assert [file.name for file in parent.parent.iterdir()] == [parent.name]
    loose = made(parent, edit, policy="slot")
    assert (loose.verdict, loose.hows) == ("approximate", {"exact": 4, "slot": 1, "edited": 1})
    assert checked(parent, loose) == ["3.1 ask"]


def test_a_failure_is_told_to_the_node_and_a_second_try_gets_the_recorded_result(parent: Path) -> None:
    """A call that fails by hand leaves its recorded reply for an equal request: the node that tries again gets it."""
    result = made(parent, (Place(1, 2), "error", "down"))
    assert (result.verdict, result.hows, result.counts.calls) == ("exact", {"exact": 6, "edited": 1}, 7)
    assert checked(parent, result) == ["1.2 look"]


def test_another_input(parent: Path) -> None:
    """A user says something else: the run before it is as it was, the message is another one."""
    result = made(parent, (Place(3), "input", "four"), policy="slot")
    assert result.first == Place(3)
    assert checked(parent, result) == ["3"]
    result = made(parent, (Place(1, 1), "input 2", '{"readings": {"clock": 8}}'))
    assert (result.verdict, checked(parent, result)) == ("exact", ["1.2"])


@pytest.mark.parametrize(
    ("place", "own"),
    [
        (START, ["1"]),
        (Place(1), ["1"]),
        (Place(1, 1), ["1.2"]),
        (Place(1, 2), ["1.3"]),
        (Place(1, 3), ["3"]),
        (Place(4, 2, 0), ["4.2"]),
    ],
)
def test_another_state(parent: Path, place: Place, own: list[str]) -> None:
    """A state that is edited is an input of the fork, at the boundary where it was edited; nodes behind it see it."""
    result = made(parent, (place, "/mood", "cross"))
    assert (result.verdict, result.hows, result.first) == ("exact", {"exact": 6}, place.boundary)
    assert checked(parent, result) == own
    assert result.path is not None
    kinds = [line.split('"type":"')[1].split('"')[0] for line in result.path.read_text().split("\n") if '{"kind":"input"' in line]
    assert kinds.count("StateEdit") == 1
    text = result.path.read_text()
    assert text.count("kind calm") + text.count("kind cross") == 3


def test_a_place_of_the_fork_has_the_edited_state(parent: Path) -> None:
    """Whoever opens the fork at the place of an edit finds the state as it was edited, and the one before it as it was."""
    for place in (Place(1, 1), Place(1, 2)):
        result = made(parent, (place, "/mood", "cross"))
        assert result.path is not None
        timeline = Timeline(result.path)
        assert timeline.state(place).sections["mood"] == "cross"
        assert timeline.state(Place(place.message, place.frame - 1)).sections["mood"] == "calm"
        assert timeline.state(Place(1, 3)).sections["mood"] == "cross"


def folded(path: Path) -> dict[Place, RunState]:
    """Return the state at every place, folded line by line, with nothing kept in between."""
    states: dict[Place, RunState] = {}
    with TraceReader(path) as reader:
        state, place = RunState(reader.header["graph"]["state"]), START
        states[place] = state
        for line in reader.lines():
            if line.kind == "input":
                entered = line.input()
                place = place if entered.during is not None else Place(entered.number)
                state = state.apply(entered.body.changes()) if isinstance(entered.body, StateEdit) else state
            elif line.kind == "frame":
                place = Place(place.message, line.data["frame"])
                for one in line.data["records"]:
                    state = state.apply([change_from_json(change) for change in one.get("changes", ())])
            states[place] = state
            assert line.kind != "trace" or line.data["state"] == state.digest
    return states


def test_every_place_of_a_long_fork_has_its_state(tmp_path: Path) -> None:
    """With an edit of the state at every boundary of a long run, each place of the fork has the state that its lines make."""
    path = tmp_path / "long.trace.jsonl"
    record(path, desk(), [f"message {number}" for number in range(15)])
    timeline = Timeline(path)
    places = [timeline.place(index) for index in range(timeline.places)]
    result = made(path, *[parse_edit(timeline, place, "put /at", f'"{place}"') for place in places])
    assert result.path is not None
    assert checked(path, result)[0] == "1"
    expected, opened = folded(result.path), Timeline(result.path)
    assert [opened.place(index) for index in range(opened.places)] == list(expected)
    for place in (*expected, *reversed(list(expected))):
        assert opened.state(place).digest == expected[place].digest, place


def test_several_edits_at_once(parent: Path) -> None:
    """Edits of each kind are made together; what comes before the first of them is as it was."""
    edits = [
        (Place(4, 2), "result", "7"),
        (Place(1, 3), "/mood", "cross"),
        (Place(3), "put /extra", "[1]"),
        (Place(3), "put /more", "1"),
    ]
    result = made(parent, *edits)
    assert (result.first, result.hows, result.counts.inputs) == (Place(1, 3), {"exact": 5, "edited": 1}, 7)
    assert checked(parent, result)[0] == "3"
    assert result.path is not None
    told = read_header(result.path)["provenance"]["parent"]
    assert (told["name"], told["place"], len(told["edits"])) == (parent.name, "1.3", 4)
    assert told["edits"][0] == {"kind": "result", "key": (4, 2, "look", 0)}
    assert told["head"] == f"sha256:{result.rerun.parent}"


def test_an_edit_that_the_fork_never_comes_to_is_told(parent: Path) -> None:
    """An earlier edit may lead elsewhere: an edit of a call that is then not made is told, not dropped in silence."""
    result = made(parent, (Place(1, 1), "error", "down"), (Place(1, 2), "result", "7"))
    assert [edit.key for edit in result.unreached] == [EffectKey(1, 2, "look", 0)]
    assert result.hows == {"exact": 4, "edited": 1}
    assert result.dropped == ()
    assert [str(key) for key in made(parent, (Place(1, 1), "error", "down")).dropped] == ["1.2 look[0]"]
    assert result.to_json()["unreached"][0]["key"] == [1, 2, "look", 0]


def test_a_fork_of_a_fork(parent: Path) -> None:
    """A fork is a trace like any other: it can be forked, edits of the state in it can be edited, and its parent is the fork."""
    first = made(parent, (Place(1, 1), "/mood", "cross"))
    assert first.path is not None
    second = made(first.path, (Place(1, 1), "input 3", '{"changes": [{"op": "set", "at": "/mood", "value": "glad"}]}'))
    assert checked(first.path, second) == ["1.2"]
    assert second.path is not None
    assert "kind glad" in second.path.read_text()
    third = made(second.path, (Place(5, 2), "result", "7"))
    assert checked(second.path, third) == ["5.2 look"]
    long = made(first.path, (Place(1, 2), f"put /{'x' * 50}", "1"))
    assert checked(long.path or parent, made(long.path or parent, (Place(6), "/mood", "glad"))) == ["6"]
    assert read_header(third.path or parent)["provenance"]["parent"]["name"] == second.path.name


# ---------------------------------------------------------------------- who answers


def test_a_script_answers_what_is_needed(parent: Path, tmp_path: Path) -> None:
    """A script gives the replies that no record has; one that it has left over is an error, and nothing is written."""
    script = tmp_path / "replies.toml"
    script.write_text('[tools.scripted]\nlook = ["from the script"]\n')
    edit = (Place(3, 1), "reply", "something else")
    result = made(parent, edit, supply=Supply(script))
    assert (result.verdict, result.hows) == ("completed", {"exact": 4, "edited": 1, "script": 1})
    assert checked(parent, result) == ["3.1 ask"]
    with pytest.raises(CassetteUnused):
        made(parent, (Place(3, 1), "error", "down"), supply=Supply(script))


def test_the_call_at_which_a_recording_stops_can_be_answered_by_hand(tmp_path: Path) -> None:
    """An open message goes on with the reply that somebody writes, as far as there are replies."""
    path = tmp_path / "open.trace.jsonl"

    def stops(call: Any) -> Outcome:
        return Outcome(status="not_recorded") if call.key.input == 2 and call.key.node == "ask" else made_up(call)

    record(path, desk(), ["one", "two"], late=lambda run: Meanwhile(run, answer=stops))
    result = made(path, (Place(2, 1), "reply", "by hand"), policy="nearest")
    assert [str(miss.call.key) for miss in result.needed] == ["2.2 look[0]"]
    result = made(path, (Place(2, 1), "error", "by hand"))
    assert (result.verdict, result.counts.calls, checked(path, result)) == ("exact", 3, ["2.1 ask"])
    left = made(path, (Place(1, 2), "result", "7"))
    assert (left.hows, checked(path, left)) == ({"exact": 1, "edited": 1, "not recorded": 1}, ["1.2 look"])


def made_up(call: Any) -> Outcome:
    """Answer a call by its request alone."""
    from toy import reply

    return reply(call)


# ---------------------------------------------------------------------- what is refused


@pytest.mark.parametrize("kind", ["own", "other", "link"])
def test_a_fork_is_a_new_file(parent: Path, kind: str) -> None:
    """Neither the parent nor anything else that is there is written over, whatever it is called."""
    before = parent.read_bytes()
    target = parent if kind == "own" else parent.with_name("other")
    if kind == "other":
        target.write_text("mine")
    elif kind == "link":
        target.symlink_to(parent)
    timeline = Timeline(parent)
    edit = parse_edit(timeline, START, "/mood", "cross")
    with pytest.raises(UsageError, match="a fork is a new file") as caught:
        fork(timeline, [edit], target, bound=desk())
    assert ("the trace that is forked" in caught.value.message) == (kind != "other")
    assert parent.read_bytes() == before


def test_edits_of_what_is_not_there_are_refused(parent: Path) -> None:
    """No edit, two of one call or input, and an edit of a call that was not made, are refused before anything runs."""
    timeline = Timeline(parent)
    reply = parse_edit(timeline, Place(1, 1), "reply", "x")
    entered = parse_edit(timeline, Place(1), "input", "x")
    assert isinstance(reply, EditReply)
    lost = evolve(reply, key=EffectKey(1, 1, "look", 0))
    cases: list[tuple[Sequence[Edit], str]] = [
        ([], "nothing to fork"),
        ([reply, reply], "two edits of one thing"),
        ([entered, entered], "two edits of one thing"),
        ([lost], "no such call"),
        ([evolve(reply, key=EffectKey(9, 1, "look", 0))], "there is no place"),
        ([EditState(place=Place(1, 9), changes=())], "there is no place"),
    ]
    for edits, match in cases:
        with pytest.raises(UsageError, match=match):
            made(parent, *edits)
    assert [file.name for file in parent.parent.iterdir()] == [parent.name]


def test_an_edit_of_the_state_that_no_longer_fits_ends_the_fork(parent: Path) -> None:
    """An earlier edit may take away what a later one changes: the fork is refused, and leaves nothing behind."""
    gone = EditState(place=Place(1, 1), changes=(Change.delete("/mood"),))
    late = EditState(place=Place(1, 3), changes=(Change.delete("/mood"),))
    with pytest.raises(UsageError, match="does not fit the state"):
        made(parent, gone, late)
    assert [file.name for file in parent.parent.iterdir()] == [parent.name]


@pytest.mark.parametrize("cut", ["seal", "torn", "damaged"])
def test_a_damaged_parent_is_not_forked(parent: Path, cut: str) -> None:
    """Of a run that is not whole nobody can say where its replies end: it is refused with the way to its good part."""
    lines = parent.read_bytes().split(b"\n")
    cuts = {"seal": b"\n".join(lines[:-2]) + b"\n", "torn": parent.read_bytes()[:-300]}
    damaged = parent.read_bytes().replace(b"three", b"Three", 1)
    parent.write_bytes(cuts.get(cut, damaged))
    timeline = Timeline(parent, damaged=True)
    edit = parse_edit(timeline, START, "/mood", "cross")
    with pytest.raises(TraceError) as caught:
        fork(timeline, [edit], parent.with_name("new"), bound=desk())
    assert "frameengine repair" in caught.value.hint
    assert isinstance(caught.value, TraceIncomplete) == (cut != "damaged")
    assert [file.name for file in parent.parent.iterdir()] == [parent.name]


def test_a_parent_that_was_changed_meanwhile_is_not_forked(parent: Path) -> None:
    """Edits are written in one run: where another one stands in its place by now, they are not made in that."""
    timeline = Timeline(parent)
    edit = parse_edit(timeline, START, "/mood", "cross")
    parent.unlink()
    record(parent, desk(), ["something", "else"])
    with pytest.raises(TraceIntegrity, match="no longer the run that is open: another file stands in its place"):
        fork(timeline, [edit], parent.with_name("new"), bound=desk())
    assert [file.name for file in parent.parent.iterdir()] == [parent.name]
    with pytest.raises(TraceIntegrity, match="no longer the run that is open"):
        compare(timeline, parent)
    with pytest.raises(TraceIntegrity, match="no longer the run that is open"):
        Breakpoints(timeline, replay=lambda: Replayer(parent, bound=desk()).run()).parse("divergence")


def test_a_parent_that_passes_for_the_same_file_is_told_by_its_end(parent: Path) -> None:
    """Another run of the same size, written into the same file with its time put back, is not forked either."""
    timeline = Timeline(parent)
    edit = parse_edit(timeline, START, "/mood", "cross")
    other = parent.with_name("other.trace.jsonl")
    record(other, desk(), ["One", "Two", "Three"], late=lambda made: Meanwhile(made, Tick(readings={"clock": 7})))
    times = parent.stat()
    assert other.stat().st_size == times.st_size
    parent.write_bytes(other.read_bytes())
    other.unlink()
    os.utime(parent, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert timeline.changed_on_disk() == ""
    with pytest.raises(TraceIntegrity, match="it ends with another chain value"):
        fork(timeline, [edit], parent.with_name("new"), bound=desk())
    assert [file.name for file in parent.parent.iterdir()] == [parent.name]


def test_a_parent_that_changes_while_it_is_forked_leaves_no_fork(parent: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that gets another file's place while the fork runs is noticed before the fork gets its name."""
    timeline = Timeline(parent)
    edit = parse_edit(timeline, timeline.last, "/mood", "cross")

    def replaced(*_: Any) -> None:
        data = parent.read_bytes()
        parent.unlink()
        parent.write_bytes(data)

    monkeypatch.setattr(Stage, "perform", _before(Stage.perform, replaced))
    with pytest.raises(TraceIntegrity, match="another file stands in its place"):
        fork(timeline, [edit], parent.with_name("new"), bound=desk())
    assert [file.name for file in parent.parent.iterdir()] == [parent.name]


def _before(method: Any, act: Callable[..., None]) -> Any:
    """Return a method that does something first, the first time."""
    acts = [act]

    def both(*given_: Any, **named: Any) -> Any:
        while acts:
            acts.pop()()
        return method(*given_, **named)

    return both


def test_a_parent_whose_code_is_gone_is_not_forked(parent: Path) -> None:
    """The nodes that the header names cannot be found, or are not trusted: refused with the way out, and nothing is imported."""
    timeline = Timeline(parent)
    edit = parse_edit(timeline, START, "/mood", "cross")
    with pytest.raises(GraphError) as caught:
        fork(timeline, [edit], parent.with_name("new"))
    assert "--graph FILE" in caught.value.hint


def test_code_that_changed_before_the_edit_is_a_divergence(parent: Path) -> None:
    """Where the code of now differs from the record before the edit there is no fork; behind it it is told beside the edit."""
    with pytest.raises(Diverged, match=r"at input 1, frame 3, node tell.*before the first edit") as caught:
        made(parent, (Place(3), "/mood", "cross"), graph=desk("harsh"))
    assert caught.value.exit_code == 4
    assert caught.value.fields["divergence"]["kind"] == "emission"
    assert [file.name for file in parent.parent.iterdir()] == [parent.name]
    result = made(parent, (Place(1, 2), "result", "7"), graph=desk("harsh"))
    assert result.divergence is not None
    assert (result.divergence.frame, result.divergence.node) == (3, "tell")
    assert result.path is not None


def test_in_the_frame_of_an_edit_only_what_comes_behind_the_call_may_differ(tmp_path: Path) -> None:
    """What a node does with an edited reply may have changed; what it asked for may not."""

    def agent(prompt: str, said: str) -> BoundGraph:
        async def work(message: Any, ctx: NodeContext) -> NodeResult:
            reply = await ctx.perform(ModelCall(model="m", messages=freeze([{"role": "system", "content": prompt}])))
            ctx.say(said + reply.text)
            return NodeResult()

        return bound({"work": work})

    path = tmp_path / "t.trace.jsonl"
    record(path, agent("be brief", "a"))
    edit = (Place(1, 1), "reply", "x")
    assert made(path, edit, graph=agent("be brief", "b")).path is not None
    with pytest.raises(Diverged):
        made(path, edit, graph=agent("be long", "a"))


def test_of_two_edits_in_one_frame_the_earlier_call_is_the_first(tmp_path: Path) -> None:
    """Whichever is typed first, what differs behind the earlier of two edited calls is no difference before the edits."""

    def asking(word: str) -> BoundGraph:
        async def look(message: Any, ctx: NodeContext) -> NodeResult:
            for of in ("a", word):
                await ctx.perform(ToolCall("look", {"of": of}))
            return NodeResult()

        return bound({"look": look}, code={"look": word})

    path = tmp_path / "p.trace.jsonl"
    record(path, asking("b"))
    edits = [(Place(1, 1), f"result {number}", f'"{number}"') for number in (1, 2)]
    for order in (edits, edits[::-1]):
        result = made(path, *order, graph=asking("c"), policy="slot")
        assert result.divergence is not None
        assert (result.divergence.kind, result.divergence.call) == ("request", 1)
    with pytest.raises(Diverged, match="before the first edit"):
        made(path, edits[1], graph=asking("c"), policy="slot")


def test_a_fork_that_is_another_run_before_its_edit_is_never_kept(parent: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: a performer that answers a call before the edit with another reply is found out, and nothing is written."""
    perform = Stage.perform

    def wrong(self: Stage, ask: Any) -> Any:
        answers = perform(self, ask)
        return [evolve(one, outcome=Outcome(value=ToolReply(content="?"))) if one.key.node == "look" else one for one in answers]

    monkeypatch.setattr(Stage, "perform", wrong)
    with pytest.raises(InternalError, match="before the first edit"):
        made(parent, (Place(3), "/mood", "cross"))
    assert [file.name for file in parent.parent.iterdir()] == [parent.name]


@pytest.mark.parametrize("defect", ["lost", "late"])
def test_an_edit_that_is_not_made_is_seen(parent: Path, monkeypatch: pytest.MonkeyPatch, defect: str) -> None:
    """Planted: a fork whose edit of the state is lost, or is recorded and not made, does not pass the checks of these tests."""
    if defect == "lost":
        monkeypatch.setattr(Edited, "plan", lambda _, plan: plan)
    else:
        monkeypatch.setattr(Engine, "edited", lambda self, _: self.state)
    result = made(parent, (Place(1, 1), "/mood", "cross"))
    assert result.path is not None
    assert "kind cross" not in result.path.read_text()
    if defect == "lost":
        with pytest.raises(AssertionError):
            checked(parent, result)
    else:
        monkeypatch.undo()
        assert replay(result.path, desk()).verdict == "diverged"


# ---------------------------------------------------------------------- shapes of runs


def test_a_cancelled_message_is_forked(tmp_path: Path) -> None:
    """A recorded Cancel comes in where it did, an edit at the end of its message behind it; what it cut off has no outcome."""
    path = tmp_path / "c.trace.jsonl"

    class Cancelling(Meanwhile):
        def perform(self, ask: Any) -> Any:
            if ask.new and ask.new[0].key.node == "look" and ask.new[0].key.input == 1:
                self.made.inbox.put(Cancel())
                return []
            return super().perform(ask)

    record(path, desk(), ["one", "two"], late=Cancelling)
    assert Timeline(path).message(1).status == "cancelled"
    for place, own in ((Place(1, 1), "1.2"), (Place(1, 2), "3")):
        result = made(path, (place, "/mood", "cross"))
        assert (result.verdict, checked(path, result)[0]) == ("exact", own)
    with pytest.raises(UsageError, match="cut off by a Cancel"):
        made(path, (Place(1, 2), "result 1", "7"))
    answer = EditReply(key=EffectKey(1, 2, "look", 0), outcome=Outcome(value=ToolReply(content=7)), effect="tool", name="look")
    with pytest.raises(UsageError, match="cut off by a Cancel"):
        made(path, answer)


def test_inputs_that_run_nothing_are_passed(tmp_path: Path) -> None:
    """Given messages and a Clear stay where they are; an edit right behind a Clear is not cleared with the rest."""
    path = tmp_path / "g.trace.jsonl"
    record(path, desk(), ["one", Given(messages=[{"role": "system", "content": "x"}]), Clear(), "two"])
    result = made(path, (Place(3), "/mood", "cross"))
    assert checked(path, result) == ["4"]
    assert result.path is not None
    assert "kind cross" in result.path.read_text()
    changed = made(path, (Place(2), "input", "[]"))
    assert checked(path, changed) == ["2"]


def test_a_run_that_switches_its_graph_is_forked(tmp_path: Path) -> None:
    """The graph that an input switches to is found as in a rerun; an edit behind the switch is of its state."""
    path = tmp_path / "s.trace.jsonl"
    graphs: dict[str, Callable[[], BoundGraph]] = {"toy": desk}
    bodies: list[Body | str] = ["one", SwitchGraph(graph="toy", fingerprint=fingerprint(desk())), "two"]
    record(path, desk(), bodies, switch=lambda name: graphs[name]())
    result = made(path, (Place(2), "/mood", "cross"), switch=lambda name: graphs[name]())
    assert result.path is not None
    assert replay(result.path, desk(), switch=lambda name: graphs[name]()).verdict == "same"
    assert "kind cross" in result.path.read_text()


def test_a_run_without_calls_is_forked(tmp_path: Path) -> None:
    """A run in which nodes ask nothing says nothing in a replay; its fork is held against it all the same."""

    def showing(text: str) -> BoundGraph:
        async def show(_: Any, ctx: NodeContext) -> NodeResult:
            ctx.say(f"{text} {ctx.state['mood']}")
            return NodeResult()

        return bound({"show": show}, state={"mood": "calm"})

    path = tmp_path / "silent.trace.jsonl"
    record(path, showing("it is"), ["one", "two"])
    edit = (Place(2), "/mood", "cross")
    result = made(path, edit, graph=showing("it is"))
    assert (result.verdict, compare(path, result.path or path).cause) == ("no replies", "edit")
    with pytest.raises(Diverged, match="before the first edit"):
        made(path, edit, graph=showing("is it"))


def identity(timeline: Timeline, place: Place) -> list[EditReply]:
    """Return edits that give every call of a frame what it got."""
    return [
        EditReply(
            key=made_.key,
            outcome=made_.outcome,
            effect=made_.effect,
            name=str(made_.request.get("model", made_.request.get("name"))),
        )
        for made_ in timeline.effects(place)
    ]


@given(seed=st.integers(0, 400))
@settings(max_examples=15)
def test_edits_that_change_nothing_lead_to_an_equal_run(seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    """With every call answered by hand with what it got, a fork of a random run is equal to it, to the last digest."""
    path = tmp_path_factory.mktemp("same") / "parent"
    graph = random_run(path, seed, most=4)
    timeline = Timeline(path)
    edits = [
        edit
        for index in range(timeline.places)
        for edit in identity(timeline, timeline.place(index))
        if edit.outcome.status in ("ok", "error")
    ]
    if not edits:
        return
    result = fork(timeline, edits, path.with_name("fork"), bound=graph)
    assert result.path is not None
    assert verify(result.path).canonical == verify(path).canonical
    assert set(result.hows) <= {"edited", "cancelled"}


EDITS = st.sampled_from(["reply", "result", "error", "input", "put /unread", "/rows", "put /history/-", "delete /dice"])


@given(seed=st.integers(0, 400), what=EDITS, at=st.floats(0, 1), policy=st.sampled_from(["exact", "slot", "nearest"]))
@settings(max_examples=30)
def test_a_random_edit_of_a_random_run(
    seed: int, what: str, at: float, policy: Policy, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A fork that is written replays, is whole, and its edit heads the comparison; one that is not says which calls it needs."""
    path = tmp_path_factory.mktemp("random") / "parent"
    graph = random_run(path, seed, most=4)
    timeline = Timeline(path)
    place = timeline.place(round(at * (timeline.places - 1)))
    effects = timeline.effects(place) if place.frame else ()
    numbered = f"{what} {len(effects)}" if what in ("reply", "result", "error") else what
    value = {"/rows": "[5]", "put /history/-": '{"role": "user", "content": "?"}', "input": "{}"}.get(what, "other")
    try:
        edit = parse_edit(timeline, place, numbered, value)
    except UsageError:
        return
    result = fork(timeline, [edit], path.with_name("fork"), bound=graph, policy=policy)
    if result.path is None:
        assert result.needed
        return
    assert replay(result.path, graph).verdict == "same"
    assert verify(result.path).counts == result.counts
    assert Timeline(result.path).counts == result.counts
    assert result.unreached == ()
    found = compare(path, result.path)
    assert (found.cause, found.first is not None) == ("edit", True)


# ---------------------------------------------------------------------- shipped recordings


def every_place(name: str, places: Callable[[int], Sequence[int]], folder: Path) -> None:
    """Edit a part of the state that nobody reads at places of a shipped recording: nothing but the state may differ."""
    path = TRACES / f"{name}.trace.jsonl"
    timeline = Timeline(path)
    graph = bind(load_graph(str(timeline.header["graph"]["name"])))
    for index in places(timeline.places):
        place = timeline.place(index)
        edit = parse_edit(timeline, place, "put /nobody_reads_this", "1")
        result = fork(timeline, [edit], folder / f"{place}", bound=graph, switch=lambda name: bind(load_graph(name)))
        assert (result.verdict, result.path is not None) == ("exact" if timeline.counts.calls else "no replies", True)
        found = compare(path, result.path or path)
        assert found.cause == "edit"
        others = {field.pointer for change in found.changes[1:] for field in change.fields}
        assert others <= {"/figures/state"}


def test_an_edit_that_nobody_reads_changes_nothing(tmp_path: Path) -> None:
    """At three places of a shipped recording, an edit of the state that no node reads leaves every record as it was."""
    every_place("conversation-v4-eras", lambda places: (1, places // 2, places - 1), tmp_path)


@pytest.mark.nightly
@pytest.mark.parametrize("name", sorted([path.name.removesuffix(".trace.jsonl") for path in TRACES.glob("*.trace.jsonl")]))
def test_an_edit_that_nobody_reads_changes_nothing_anywhere(name: str, tmp_path: Path) -> None:
    """At every place of every shipped recording."""
    every_place(name, range, tmp_path)
