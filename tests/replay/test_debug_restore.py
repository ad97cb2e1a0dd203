"""A run that is restored at a place stands there as it stood, and goes on to the same end (D9)."""

from __future__ import annotations

import lzma
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from attrs import evolve

from frameengine.codec import canonical
from frameengine.debug.place import START, Place
from frameengine.debug.restore import Restored, restore
from frameengine.debug.timeline import Timeline
from frameengine.effects import EffectKey, ModelCall, ToolCall, ToolReply
from frameengine.engine.driver import Run
from frameengine.engine.message import Engine
from frameengine.engine.stops import Ask, Committed
from frameengine.errors import Diverged, GraphError, UnknownRef, UsageError
from frameengine.graph.loader import load_graph
from frameengine.graph.registry import BoundGraph, bind, fingerprint
from frameengine.importers.openai import import_messages, read_conversations
from frameengine.inputs import Cancel, SwitchGraph, Tick, UserMessage
from frameengine.node import NodeContext, NodeResult
from frameengine.records import Frame
from frameengine.replay.frames import Lockstep
from frameengine.replay.replayer import Replayer
from frameengine.state import Change
from frameengine.trace.header import header
from frameengine.trace.writer import TraceWriter
from toy import Echo, Meanwhile, Note, Shuffled, bound, random_run, record

ROOT = Path(__file__).parents[2]
GOLDENS = sorted((ROOT / "traces").glob("*.trace.jsonl"))
RANDOM = 40
QUICK = 4


class Straight:
    """Keeps what a strict replay leaves, and the state after each frame."""

    def __init__(self, path: Path, graph: BoundGraph | None) -> None:
        self.left: list[tuple[int, bytes]] = []
        self.states: dict[Place, str] = {}
        self._replayer = Replayer(path, bound=graph, instruments=(self,))
        assert self._replayer.run().divergence is None

    def on_frame(self, frame: Frame) -> None:
        """Keep a frame."""
        self.left.append((frame.input, canonical(frame.wire())))

    def on_trace(self, trace: Any) -> None:
        """Keep the figures of a message."""
        self.left.append((trace.input, canonical(trace.wire())))


def check_every_place(path: Path, graph: BoundGraph | None, *, all_places: bool) -> int:
    """Restore at every boundary of a trace and go on: what comes is the end of the straight run, byte for byte."""
    straight = [form for _, form in Straight(path, graph).left]
    compared = 0
    with Timeline(path) as timeline:
        done = 0
        for position in range(timeline.places):
            place = timeline.place(position)
            if not place.frame and place.message > 1:
                done += 1  # the figures of the message before
            done += bool(place.frame)
            if all_places or position % 4 == 0 or position == timeline.places - 1:
                with restore(timeline, place, graph) as restored:
                    if place.frame:
                        assert isinstance(restored.stop, Committed)
                        assert (restored.stop.frame.input, restored.stop.frame.frame) == (place.message, place.frame)
                    assert [canonical(each.wire()) for each in restored.rest()] == straight[done:], place
                compared += 1
    return compared


@pytest.mark.parametrize("path", GOLDENS, ids=lambda path: path.name.split(".")[0])
def test_every_frame_of_a_golden(path: Path) -> None:
    """Restored at places of each golden and gone on, the frames and figures that come are those of the straight run (D9)."""
    assert check_every_place(path, None, all_places=False) > 2


@pytest.mark.nightly
@pytest.mark.parametrize("path", GOLDENS, ids=lambda path: path.name.split(".")[0])
def test_every_single_frame_of_a_golden(path: Path) -> None:
    """Restored at every place of each golden and gone on, the tail is that of the straight run (D9)."""
    assert check_every_place(path, None, all_places=True) > 2


@pytest.mark.parametrize(
    "seed", [pytest.param(seed, marks=[] if seed < QUICK else [pytest.mark.nightly]) for seed in range(RANDOM)]
)
def test_every_frame_of_a_random_run(tmp_path: Path, seed: int) -> None:
    """Runs with parallel effects, late inputs, cancels, clears and failures are restored at every frame (D9)."""
    path = tmp_path / "random.trace.jsonl"
    graph = random_run(path, seed, most=5)
    assert check_every_place(path, graph, all_places=True) > 1


@pytest.mark.data
@pytest.mark.nightly
def test_every_frame_of_real_recordings(data_dir: Path, tmp_path: Path) -> None:
    """Conversations that another system recorded are restored at every frame as well (D9)."""
    data = lzma.decompress((data_dir / "tau-bench" / "gpt-4o-airline.jsonl.xz").read_bytes())
    for number, conversation in enumerate(read_conversations(data)):
        path = tmp_path / f"{number}.trace.jsonl"
        import_messages(conversation, path)
        assert check_every_place(path, None, all_places=number < 25)


def inside(timeline: Timeline) -> Iterator[Place]:
    """Yield every place inside a frame."""
    for position in range(timeline.places):
        place = timeline.place(position)
        for effects in range(len(timeline.effects(place)) + 1 if place.frame else 0):
            yield Place(place.message, place.frame, effects)


@pytest.mark.parametrize("seed", range(QUICK))
def test_places_inside_frames(tmp_path: Path, seed: int) -> None:
    """Inside a frame the run waits for those effects that were asked for and had no outcome, and goes on to the same end."""
    path = tmp_path / "random.trace.jsonl"
    graph = random_run(path, seed, most=4)
    straight = [form for _, form in Straight(path, graph).left]
    with Timeline(path) as timeline:
        for place in inside(timeline):
            effects = timeline.effects(place)
            with restore(timeline, place, graph) as restored:
                if effects:
                    assert isinstance(restored.stop, Ask)
                    come = {made.key for made in effects[: min(place.effects or 0, len(effects) - 1)]}
                    cut = next((made.outcome.status == "cancelled" for made in effects if made.key in come), False)
                    assert cut or not come & set(restored.stop.outstanding)
                    assert set(restored.stop.outstanding) <= {made.key for made in effects}
                tail = [canonical(each.wire()) for each in restored.rest()]
            assert tail == straight[len(straight) - len(tail) :], place
            assert tail


async def _two(message: Any, ctx: NodeContext) -> NodeResult:
    first, second = await ctx.perform_all([ToolCall("a", {}), ToolCall("b", {})])
    third = await ctx.perform(ToolCall("c", {"of": [str(first.content), str(second.content)]}))
    return NodeResult(Note(text=str(third.content)), [Change.append("/history", {"said": str(third.content)})])


def test_the_first_outcome_is_given_alone(tmp_path: Path) -> None:
    """One outcome into a frame of two parallel calls one call is outstanding; two into it the third call is asked for."""
    graph = bound({"two": _two})
    record(tmp_path / "t", graph)
    timeline = Timeline(tmp_path / "t")
    asked = []
    for effects in range(4):
        with restore(timeline, Place(1, 1, effects), graph) as restored:
            assert isinstance(restored.stop, Ask)
            asked.append(sorted(key.call for key in restored.stop.outstanding))
    assert asked == [[0, 1], [1], [2], [2]]


def test_what_goes_on_may_be_another_reply(tmp_path: Path) -> None:
    """Whoever restores may send something else than was recorded: the run takes it."""
    graph = bound({"two": _two})
    record(tmp_path / "t", graph)
    with restore(Timeline(tmp_path / "t"), Place(1, 1, 2), graph) as restored:
        assert restored.steps is not None
        assert restored.reply is not None
        (answer,) = restored.reply.answers
        other = evolve(answer, outcome=evolve(answer.outcome, value=ToolReply(content="something else")))
        stop = restored.steps.send(evolve(restored.reply, answers=(other,)))
        assert isinstance(stop, Committed)
        assert stop.frame.records[0].output == {"type": "Note", "text": "something else", "n": 0}


def test_a_cancel_is_one_step(tmp_path: Path) -> None:
    """What a Cancel cuts off is answered at once: the places behind it stand where it is about to come."""

    class Cancelling(Echo):
        def __init__(self, made: Run) -> None:
            super().__init__()
            self.made = made

        def perform(self, ask: Ask) -> Any:
            answers = [each for each in super().perform(ask) if each.key.call == 0]
            self.made.inbox.put(Cancel())
            return answers

    graph = bound({"two": _two})
    record(tmp_path / "t", graph, late=Cancelling)
    timeline = Timeline(tmp_path / "t")
    kinds = [type(each).__name__ for each in timeline.arrivals(Place(1, 1))]
    assert kinds == ["Made", "Input", "Made"]
    for effects in (1, 2):
        with restore(timeline, Place(1, 1, effects), graph) as restored:
            assert restored.reply is not None
            assert restored.reply.cancel
            assert [each.status for each in restored.rest() if not isinstance(each, Frame)] == ["cancelled"]


def _changed(text: str) -> Any:
    async def node(message: Any, ctx: NodeContext) -> NodeResult:
        reply = await ctx.perform(ModelCall(model="m", messages=[{"role": "user", "content": text}]))
        return NodeResult(Note(text=reply.text), [Change.append("/history", reply.message)])

    return node


def test_other_code_is_refused(tmp_path: Path) -> None:
    """Code that asks something else than was recorded is given no recorded reply: it is a divergence with its place."""
    record(tmp_path / "t", bound({"node": _changed("one")}), ["a", "b"])
    timeline = Timeline(tmp_path / "t")
    assert restore(timeline, Place(2), bound({"node": _changed("two")})).stop is None
    with pytest.raises(Diverged, match=r"at input 2, frame 1, node node, call 0: request /messages/0/content") as caught:
        restore(timeline, Place(2, 1), bound({"node": _changed("two")}))
    assert "frameengine replay" in caught.value.hint


def test_other_changes_are_refused(tmp_path: Path) -> None:
    """Code that asks the same and changes the state otherwise is refused."""

    async def other(message: Any, ctx: NodeContext) -> NodeResult:
        result: NodeResult = await _changed("one")(message, ctx)
        return NodeResult(result.message, [Change.append("/history", {"role": "user", "content": "other"})])

    record(tmp_path / "t", bound({"node": _changed("one")}), ["a"])
    with pytest.raises(Diverged, match="state"):
        restore(Timeline(tmp_path / "t"), Place(1, 1), bound({"node": other}))


def test_code_that_is_gone(tmp_path: Path) -> None:
    """A trace whose code cannot be imported, or is not registered, says the way out."""
    graph = bound({"node": _changed("one")})
    record(tmp_path / "t", graph)
    timeline = Timeline(tmp_path / "t")
    with pytest.raises(GraphError) as caught:
        restore(timeline, Place(1, 1))
    assert "--graph" in caught.value.hint
    assert "--trust" in caught.value.hint
    gone = bound({"node": _changed("one")}, more={"node": 'implementation = "no_such_module:Node"'})
    record(tmp_path / "gone", gone)
    with pytest.raises(GraphError) as caught:
        restore(Timeline(tmp_path / "gone"), Place(1, 1), trust=True)
    assert "--graph" in caught.value.hint


def test_a_place_that_is_not_there(tmp_path: Path) -> None:
    """A place outside the run is refused, and nothing runs."""
    graph = bound({"node": _changed("one")})
    record(tmp_path / "t", graph)
    with pytest.raises(UnknownRef):
        restore(Timeline(tmp_path / "t"), Place(2), graph)


def test_the_start_of_the_run(tmp_path: Path) -> None:
    """At the start no message is under way, and going on gives the whole run."""
    graph = bound({"node": _changed("one")})
    record(tmp_path / "t", graph, ["a", "b"])
    with restore(Timeline(tmp_path / "t"), START, graph) as restored:
        assert (restored.steps, restored.stop, restored.reply) == (None, None, None)
        assert len(list(restored.rest())) == 4


def test_a_run_that_had_switched(tmp_path: Path) -> None:
    """Behind a switch the other graph is needed: it is asked for, and restored with."""
    one, other = bound({"node": _changed("one")}, name="one"), bound({"node": _changed("other")}, name="other")
    with TraceWriter(tmp_path / "t", header(one)) as writer:
        run = Run(Engine(one, switch={"other": other}.__getitem__), Echo(), writer)
        for body in (UserMessage.of("a"), SwitchGraph(graph="other"), UserMessage.of("b")):
            run.send(body)
        writer.seal()
    timeline = Timeline(tmp_path / "t")
    assert timeline.switched(Place(1, 1)) is None
    assert timeline.switched(Place(2)) == timeline.input(2).body
    # The initial state of a graph that is not here is taken for an empty one, and this one has a history.
    with pytest.raises(UsageError, match="not here"):
        restore(timeline, Place(3, 1), other)
    assert list(restore(timeline, Place(1, 1), one, switch={"other": other}.__getitem__).rest())[-1].status == "done"  # type: ignore[union-attr]


def test_a_run_that_had_switched_to_a_shipped_graph(tmp_path: Path) -> None:
    """Behind a switch to a graph that is here the place needs that graph: it is asked for, or found by *switch*."""
    one, loop = bound({"node": _changed("one")}, name="one"), bind(load_graph("tool-loop"))
    with TraceWriter(tmp_path / "t", header(one)) as writer:
        run = Run(Engine(one, switch=lambda _: loop), Echo(), writer)
        for body in (SwitchGraph(graph="tool-loop", fingerprint=fingerprint(loop)), UserMessage.of("b")):
            run.send(body)
        writer.seal()
    timeline = Timeline(tmp_path / "t")
    with pytest.raises(GraphError) as caught:
        restore(timeline, Place(2, 1))
    assert "--graph tool-loop" in caught.value.hint
    with restore(timeline, Place(2, 1), switch=lambda _: loop) as restored:
        assert restored.engine.bound is loop
        assert len(list(restored.rest())) > 0


def test_a_run_that_switches_on_the_way(tmp_path: Path) -> None:
    """Going on over a switch takes the graph that is found for it."""
    one, other = bound({"node": _changed("one")}, name="one"), bound({"node": _changed("other")}, name="other")
    find = {"other": other}.__getitem__
    with TraceWriter(tmp_path / "t", header(one)) as writer:
        run = Run(Engine(one, switch=find), Echo(), writer)
        for body in (UserMessage.of("a"), SwitchGraph(graph="other"), UserMessage.of("b")):
            run.send(body)
        writer.seal()
    with restore(Timeline(tmp_path / "t"), Place(1, 1), one, switch=find) as restored:
        assert len(list(restored.rest())) == 4


def cut_off(path: Path, graph: BoundGraph, kind: str) -> None:
    """Record a run and cut the file behind the last line of a kind."""
    record(path, graph, ["a", "b"])
    lines = path.read_bytes().split(b"\n")
    last = max(number for number, line in enumerate(lines) if line.startswith(b'{"kind":"%b"' % kind.encode()))
    path.write_bytes(b"\n".join(lines[: last + 1]) + b"\n")


def test_a_frame_that_was_never_committed(tmp_path: Path) -> None:
    """Where the file ends inside a frame its effects are places: the run stands there, and going on there is nothing."""
    graph = bound({"two": _two})
    cut_off(tmp_path / "t", graph, "outcome")
    timeline = Timeline(tmp_path / "t", damaged=True)
    assert timeline.unfinished == Place(2, 1)
    assert timeline.index(Place(2, 1, 1)) == timeline.places
    with restore(timeline, Place(2, 1, 1), graph) as restored:
        assert isinstance(restored.stop, Ask)
        assert [key.call for key in restored.stop.outstanding] == [1]
        assert list(restored.rest()) == []


def test_a_message_without_figures(tmp_path: Path) -> None:
    """Where the file ends behind a frame the run stands at its end, and going on ends there."""
    graph = bound({"two": _two})
    cut_off(tmp_path / "t", graph, "frame")
    timeline = Timeline(tmp_path / "t", damaged=True)
    assert timeline.unfinished is None
    with restore(timeline, Place(2, 1), graph) as restored:
        assert isinstance(restored.stop, Committed)
        assert list(restored.rest()) == []
    with restore(timeline, Place(1, 1), graph) as restored:
        assert len(list(restored.rest())) == 2


def test_nothing_but_the_record_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A planted defect that hands the nodes another outcome than the recorded one is found."""
    graph = bound({"two": _two})
    record(tmp_path / "t", graph, performer=Shuffled(Random(1)))
    real = Lockstep.answer

    def swapped(self: Any, ask: Ask) -> Any:
        answers = real(self, ask)
        if len(answers) == 2:
            answers = [type(answers[0])(one.key, other.outcome) for one, other in zip(answers, answers[::-1], strict=True)]
        return answers

    monkeypatch.setattr(Lockstep, "answer", swapped)
    with pytest.raises(Diverged):
        list(restore(Timeline(tmp_path / "t"), Place(1), graph).rest())


def test_a_restored_run_is_closed(tmp_path: Path) -> None:
    """A message under way is ended with the run that holds it."""
    graph = bound({"two": _two})
    record(tmp_path / "t", graph)
    with restore(Timeline(tmp_path / "t"), Place(1, 1, 0), graph) as restored:
        assert isinstance(restored, Restored)
        steps = restored.steps
    assert steps is not None
    with pytest.raises(StopIteration):
        next(steps)


def test_late_inputs_come_back(tmp_path: Path) -> None:
    """At a boundary where an input came in, it is what goes on."""

    async def slow(message: Any, ctx: NodeContext) -> NodeResult:
        await ctx.perform(ToolCall("a", {}))
        return NodeResult(Note(text="x"))

    graph = bound({"one": slow, "two": slow}, entry={"UserMessage": "one", "Tick": "two"})
    record(tmp_path / "t", graph, late=lambda made: Meanwhile(made, Tick(readings={"clock": 1})))
    timeline = Timeline(tmp_path / "t")
    with restore(timeline, Place(1, 1), graph) as restored:
        assert restored.reply is not None
        assert [type(late.body) for late in restored.reply.late] == [Tick]
    assert EffectKey(1, 2, "two", 0) in [made.key for made in timeline.effects(Place(1, 2))]
