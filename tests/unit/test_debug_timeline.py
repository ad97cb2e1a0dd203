"""Places of a trace, what happened at each, and the states there: against a plain decoding of the whole file."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import pytest
from attrs import frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from frameengine.debug import checkpoint, states
from frameengine.debug.debugger import Debugger
from frameengine.debug.place import START, Place
from frameengine.debug.timeline import Timeline
from frameengine.effects import Call, EffectKey, ModelCall, ModelReply, Outcome, ToolCall
from frameengine.engine.driver import Run
from frameengine.engine.message import Engine
from frameengine.errors import TraceFormat, TraceIncomplete, TraceIntegrity, UnknownRef
from frameengine.graph.loader import load_graph
from frameengine.inputs import Cancel, Clear, Given, Input, StateEdit, SwitchGraph, Tick, UserMessage
from frameengine.jsonvalue import EMPTY, freeze
from frameengine.node import NodeContext, NodeResult
from frameengine.records import Frame, FrameRecord, FrameTrace
from frameengine.replay.replayer import Replayer
from frameengine.state import Change, RunState, change_from_json
from frameengine.trace.compressed import compress
from frameengine.trace.header import header
from frameengine.trace.messages import Made, Message, messages
from frameengine.trace.reader import TraceReader
from frameengine.trace.writer import TraceWriter
from sample_traces import bodies_of, forged
from sample_traces import record as record_talk
from toy import Echo, Meanwhile, Note, bound, pass_on, random_run, record

GOLDENS = sorted((Path(__file__).parents[2] / "traces").rglob("*.trace.jsonl"))
SEEDS = 8


@frozen
class Plain:
    """A trace decoded whole, and its states folded one after another."""

    messages: list[Message]
    states: dict[Place, RunState]

    @classmethod
    def of(cls, path: Path) -> Plain:
        """Decode the good part of a trace."""
        with TraceReader(path, damaged=True) as reader:
            found = list(messages(reader))
            initial = RunState(reader.header["graph"]["state"])
            state = RunState(reader.header["state"]) if "state" in reader.header else initial
        kept = {START: state}
        for message in found:
            body = message.input.body
            if isinstance(body, Clear | SwitchGraph):
                state = initial
            elif isinstance(body, Given | StateEdit):
                state = state.apply(body.changes())
            kept[Place(message.number)] = state
            for step in message.steps:
                for late in step.late:
                    if isinstance(late.body, StateEdit):
                        state = kept[Place(message.number, step.number - 1)] = state.apply(late.body.changes())
                for each in step.records:
                    state = state.apply([change_from_json(change) for change in each.get("changes", ())])
                kept[Place(message.number, step.number)] = state
        return cls(found, kept)


def check_whole(timeline: Timeline, plain: Plain, order: list[int] | None = None) -> None:
    """Compare everything that a timeline says at every place with the plain decoding."""
    places = list(plain.states)
    assert [timeline.place(index) for index in range(timeline.places)] == places
    assert timeline.last == places[-1]
    for index in order or range(len(places)):
        place = places[index]
        assert timeline.index(place) == index
        state = timeline.state(place)
        assert state.sections == plain.states[place].sections
        assert state.digest == plain.states[place].digest
    for number, message in enumerate(plain.messages):
        assert timeline.message(message.number).to_json() == message.to_json()
        shared = [(call.before, call.shared) for call in message.calls]
        assert [(call.before, call.shared) for call in timeline.message(message.number).calls] == shared
        row = timeline.messages[number]
        assert (row.number, row.type, row.path, row.status) == (message.number, message.input.type, message.path, message.status)
        assert (row.frames, row.main_frames, row.calls) == (len(message.steps), message.main_frames, len(message.calls))
        assert timeline.message_index(message.number) == number
        for step in message.steps:
            place = Place(message.number, step.number)
            assert timeline.frame(place) == step
            assert timeline.records(place) == step.records
            assert sorted(timeline.effects(place), key=lambda made: made.key) == list(step.calls)
            assert b'"frame":%d' % step.number in timeline.line(place)
            assert [each for each in timeline.arrivals(place) if not isinstance(each, Made)] == list(step.late)


@pytest.mark.parametrize("path", GOLDENS, ids=lambda path: path.name.split(".")[0])
def test_goldens(path: Path) -> None:
    """A golden says at every place what a plain decoding says, and every state is proven."""
    timeline = Timeline(path)
    check_whole(timeline, Plain.of(path))
    assert all(timeline.state_known(timeline.place(index)) for index in range(timeline.places))


class Rerun:
    """Keeps the digest of the state that the engine had after each frame."""

    def __init__(self) -> None:
        self.engine: Any = None
        self.digests: dict[Place, str] = {}

    def on_frame(self, frame: Frame) -> None:
        """Keep the state."""
        self.digests[Place(frame.input, frame.frame)] = self.engine.state.digest


@pytest.mark.parametrize(
    "path", [path for path in GOLDENS if path.parent.name == "traces"], ids=lambda path: path.name.split(".")[0]
)
def test_folded_is_rerun(path: Path) -> None:
    """The folded state has the digest of the state that the nodes lead to, at every frame of every golden."""
    rerun = Rerun()
    replayer = Replayer(path, instruments=(rerun,))
    rerun.engine = replayer.engine
    assert replayer.run().divergence is None
    timeline = Timeline(path)
    assert len(rerun.digests) == timeline.counts.frames
    assert {place: timeline.state(place).digest for place in rerun.digests} == rerun.digests


@pytest.mark.parametrize("seed", [pytest.param(n, marks=[] if n < SEEDS else [pytest.mark.nightly]) for n in range(200)])
def test_random_runs(tmp_path: Path, seed: int) -> None:
    """A random run says at every place what a plain decoding says, in whatever order it is asked, whatever is kept."""
    random_run(tmp_path / "t", seed)
    timeline, plain = Timeline(tmp_path / "t"), Plain.of(tmp_path / "t")
    order = list(range(timeline.places)) * 2
    Random(seed).shuffle(order)
    check_whole(timeline, plain, order)
    assert all(timeline.state_known(timeline.place(index)) for index in range(timeline.places))
    assert timeline.problem is None


@cache
def _long() -> tuple[Path, Timeline, dict[Place, str]]:
    """Return a run of some length, and the digest of its state at every place."""
    from tempfile import mkdtemp

    path = Path(mkdtemp()) / "t"
    random_run(path, 11, most=40)
    return path, Timeline(path), {place: state.digest for place, state in Plain.of(path).states.items()}


@given(st.lists(st.tuples(st.sampled_from("sibngt"), st.integers(0, 10_000)), max_size=1_000))
@settings(max_examples=20)
def test_a_state_depends_on_the_place_alone(moves: list[tuple[str, int]]) -> None:
    """After up to a thousand moves in any direction the state has the digest that belongs to the place (C173)."""
    path, _, digests = _long()
    debugger = Debugger(Timeline(path))
    for move, choice in moves:
        match move:
            case "s":
                debugger.step()
            case "b":
                debugger.step(back=True)
            case "i":
                debugger.into(back=bool(choice % 2))
            case "n":
                debugger.next(back=bool(choice % 2))
            case "t":
                debugger.timeline.state(debugger.timeline.place(choice % debugger.timeline.places))
            case _:
                debugger.go(debugger.timeline.place(choice % debugger.timeline.places))
        assert debugger.timeline.state(debugger.place).digest == digests[debugger.place.boundary]


@pytest.mark.parametrize("seed", range(4))
def test_forward_then_back(tmp_path: Path, seed: int) -> None:
    """All the way forward and back, frame by frame and effect by effect, every place has one state."""
    random_run(tmp_path / "t", seed)
    debugger = Debugger(Timeline(tmp_path / "t"))
    for name in ("step", "into"):
        seen: list[tuple[Place, str]] = [(START, debugger.timeline.state(START).digest)]
        while getattr(debugger, name)().reason == "place":
            seen.append((debugger.place, debugger.timeline.state(debugger.place).digest))
        back = [seen[-1]]
        while getattr(debugger, name)(back=True).reason == "place" and debugger.place != START:
            back.append((debugger.place, debugger.timeline.state(debugger.place).digest))
        assert back == seen[:0:-1]
        debugger.go(START)


# ---------------------------------------------------------------------- what is folded


def written(path: Path, changes: list[list[Change]]) -> list[str]:
    """Write a run of a message for each list of changes, with its real digests; return the digest after each."""
    graph = bound({"node": pass_on}, state={"history": []})
    folded = RunState(freeze({"history": []}))
    digests = []
    with TraceWriter(path, header(graph, state=folded)) as writer:
        for number, made in enumerate(changes, start=1):
            folded = folded.apply(made)
            writer.input(Input(number=number, body=UserMessage.of(f"message {number}")))
            record = FrameRecord(frame=1, node="node", phase="main", input=freeze({"type": "X"}), changes=tuple(made))
            writer.frame(Frame(input=number, frame=1, phase="main", records=(record,)), EMPTY)
            figures = FrameTrace(input=number, path="p", total_frames=1, frames=1, calls=0, status="done", state=folded.digest)
            writer.trace(figures, EMPTY)
            digests.append(folded.digest)
        writer.seal()
    return digests


LONG = "a text that is long enough to be stored once " * 2
SAID = {"role": "user", "content": LONG, "$c": 7, "parts": [{"text": LONG, "$join": [1, 2]}, LONG]}
KINDS: dict[str, list[list[Change]]] = {
    "inside a message": [
        [Change.append("/history", SAID)],
        [Change.set("/history/0/content", "short")],
        [Change.set("/history/0/parts/0/text", LONG[1:]), Change.delete("/history/0/parts/1")],
        [Change.append("/history/0/parts", SAID)],
        [Change.append("/history", SAID, keep=2)],
    ],
    "a key with a dollar": [
        [Change.set("/$c", SAID)],
        [Change.set("/$c/$c", [LONG, {"$list": [1]}])],
        [Change.append("/$c/$c", SAID)],
        [Change.set("/$$c", 1), Change.delete("/$c/role")],
    ],
    "keys that are escaped in a pointer": [
        [Change.set("/a~1b", {"c~d": LONG})],
        [Change.set("/a~1b/c~0d", [])],
        [Change.append("/a~1b/c~0d", SAID), Change.append("/a~1b/c~0d", "x")],
    ],
    "a section that is a message": [
        [Change.set("/memory", SAID)],
        [Change.set("/memory/new", SAID)],
        [Change.set("/memory/new/content", LONG + "!")],
    ],
    "a long text": [
        [Change.set("/memory", LONG)],
        [Change.set("/memory", {"text": LONG})],
        [Change.set("/memory/text", LONG[2:])],
    ],
    "a list of texts": [
        [Change.set("/memory", [LONG, LONG[1:]])],
        [Change.append("/memory", LONG[2:])],
        [Change.append("/memory", SAID)],
    ],
    "messages in place": [
        [Change.set("/history", [SAID, {"role": "x"}])],
        [Change.append("/history", SAID)],
        [Change.delete("/history/0")],
    ],
    "windows": [[Change.append("/history", {"role": "user", "content": f"{LONG}{n}"}, keep=3)] for n in range(8)],
    "both in one": [
        [Change.set("/history", []), Change.append("/history", SAID), Change.set("/n", 1), Change.append("/history", SAID)]
    ],
    "numbers": [[Change.set("/n", 1.0)], [Change.set("/n", 1)], [Change.set("/n", [True, None, 1e300, 2**63])]],
}


@pytest.mark.parametrize("kind", KINDS)
def test_changes_of_every_kind(tmp_path: Path, kind: str) -> None:
    """Changes that go inside what is stored once, and keys that look like references, are folded as the engine makes them."""
    digests = written(tmp_path / "t", KINDS[kind])
    check_whole(Timeline(tmp_path / "t"), Plain.of(tmp_path / "t"))
    timeline = Timeline(tmp_path / "t")
    assert [timeline.state(Place(number, 1)).digest for number in range(1, len(digests) + 1)] == digests
    assert [timeline.doubt(Place(number, 1)) for number in range(1, len(digests) + 1)] == [""] * len(digests)


_KEYS = st.sampled_from(["a", "$c", "$$c", "b/c", "d~", "0", "history"])
_VALUES = st.recursive(
    st.one_of(st.none(), st.integers(-3, 3), st.sampled_from(["", "x", LONG, LONG[3:], "$c"])),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_KEYS, inner, max_size=3)),
    max_leaves=6,
)


@given(st.data())
@settings(max_examples=60)
def test_changes_of_any_kind(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Random changes at random places of random values lead to the states that the engine would have had."""
    state = RunState(freeze({"history": []}))
    made: list[list[Change]] = []
    for _ in range(data.draw(st.integers(1, 6))):
        steps = data.draw(st.lists(_KEYS, min_size=1, max_size=4))
        at = "".join([f"/{step.replace('~', '~0').replace('/', '~1')}" for step in steps])
        op = data.draw(st.sampled_from(["set", "set", "append", "delete"]))
        value = None if op == "delete" else data.draw(_VALUES)
        change = Change(op=op, at=at, value=value, keep=data.draw(st.integers(0, 2)) if op == "append" else 0)  # type: ignore[arg-type]
        try:
            state = state.apply([change])
        except Exception:  # noqa: BLE001 - a change that does not fit is none that a run has made
            continue
        made.append([change])
    path = tmp_path_factory.mktemp("any") / "t"
    digests = written(path, made)
    timeline = Timeline(path)
    assert [timeline.state(Place(number, 1)).digest for number in range(1, len(digests) + 1)] == digests
    assert all(timeline.state_known(timeline.place(index)) for index in range(timeline.places))


@pytest.mark.parametrize("seed", range(3))
def test_a_fold_that_skips_is_found(tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A planted defect that leaves out the last change of a frame is noticed by the digests, and said."""
    random_run(tmp_path / "t", seed)
    real = checkpoint.folded
    monkeypatch.setattr(states, "folded", lambda state, changes, contents: real(state, changes[:-1], contents))
    timeline = Timeline(tmp_path / "t")
    assert "whose digest was recorded" in timeline.doubt(timeline.last)
    assert timeline.state_known(START)


def test_a_change_that_does_not_fit(tmp_path: Path) -> None:
    """Where a forged record has a change that cannot be made the state is in doubt from there on, until a digest agrees again."""
    written(tmp_path / "t", [[Change.set("/a", 1)], [Change.set("/b", 2)], [Change.set("/c", 3)]])
    bodies = [body.replace(b'"at":"/b"', b'"at":"/a/b"') for body in bodies_of((tmp_path / "t").read_bytes())]
    (tmp_path / "f").write_bytes(forged(bodies[:-1]))
    timeline = Timeline(tmp_path / "f", damaged=True)
    assert [timeline.state_known(Place(number, 1)) for number in (1, 2, 3)] == [True, False, False]
    assert "do not fit" in timeline.doubt(Place(2, 1))
    assert timeline.state(Place(2, 1)).sections == timeline.state(Place(1, 1)).sections


def test_many_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With few checkpoints, near or far, every state is the same: their distance doubles and they stay within their bounds."""
    random_run(tmp_path / "t", 11, most=40)
    plain = Plain.of(tmp_path / "t")
    for most, size in ((1, 1 << 30), (3, 1 << 30), (1_000, 900)):
        monkeypatch.setattr(checkpoint, "CHECKPOINTS_MAX", most)
        monkeypatch.setattr(checkpoint, "CHECKPOINT_BYTES_MAX", size)
        monkeypatch.setattr(checkpoint, "SPACING", 1)
        timeline = Timeline(tmp_path / "t")
        kept = timeline._states._checkpoints
        assert len(kept) <= max(most, 1)
        assert kept.spacing > 1
        assert sum(map(len, kept._states)) <= max(size, len(kept._states[0]))
        order = list(range(timeline.places))
        Random(most).shuffle(order)
        check_whole(timeline, plain, order)


# ---------------------------------------------------------------------- odd traces


async def _work(message: Any, ctx: NodeContext) -> NodeResult:
    first, second = await ctx.perform_all([ToolCall("a", {}), ToolCall("b", {})], keep_failures=True)
    return NodeResult(Note(text=f"{first}{second}"[:60]), [Change.append("/history", {"said": str(first)})])


async def _fail(message: Any, ctx: NodeContext) -> NodeResult:
    raise ValueError("no")


def test_switched_and_cleared(tmp_path: Path) -> None:
    """A Clear goes back to the initial state; behind a switch to a graph that is not here the state is in doubt, and says why."""
    one, other = bound({"work": _work}, name="one"), bound({"work": _work}, name="other", state={"history": [], "more": [1]})
    switch = {"other": other, "one": one}.__getitem__
    with TraceWriter(tmp_path / "t", header(one)) as writer:
        run = Run(Engine(one, switch=switch), Echo(), writer)
        there, back = SwitchGraph(graph="other"), SwitchGraph(graph="one")
        for body in (UserMessage.of("a"), Clear(), UserMessage.of("b"), there, UserMessage.of("c"), back):
            run.send(body)
        writer.seal()
    timeline = Timeline(tmp_path / "t")
    assert timeline.state(Place(2)).sections == {"history": ()}
    assert len(timeline.state(Place(3, 1)).sections["history"]) == 1
    assert [timeline.state_known(Place(number)) for number in (1, 2, 3, 4, 5, 6)] == [True, True, True, False, False, True]
    assert timeline.doubt(Place(5, 1)) == "the run goes on with graph other, which is not here"
    assert timeline.switched(Place(3, 1)) is None
    assert timeline.switched(Place(5, 1)) == SwitchGraph(graph="other")
    assert list(timeline.touched("history")) == [2, 3, 5, 6, 8, 9]


def test_a_switch_to_a_shipped_graph(tmp_path: Path) -> None:
    """Behind a switch to a graph that is here, as it was, the state begins with its initial one and is known."""
    loop, one = load_graph("tool-loop"), bound({"work": _work}, name="one")
    for wanted, known in ((loop.digest, True), (None, True), ("0" * 64, False)):
        path = tmp_path / f"{wanted}"
        fingerprint = {} if wanted is None else {"graph": wanted}
        with TraceWriter(path, header(one)) as writer:
            # The state that the figures have is that of the graph as it is here, or another one.
            other = bound({"work": _work}, name="x", state={**loop.state, **({} if known else {"new": 1})})
            run = Run(Engine(one, switch=lambda _, other=other: other), Echo(), writer)  # type: ignore[misc]
            run.send(SwitchGraph(graph="tool-loop", fingerprint=freeze(fingerprint)))
            writer.seal()
        timeline = Timeline(path)
        assert timeline.state(Place(1)).sections == freeze(loop.state)
        assert timeline.state_known(Place(1)) is known
        assert ("has changed since" in timeline.doubt(Place(1))) is not known


def test_late_inputs_and_a_cancel(tmp_path: Path) -> None:
    """Late inputs and a Cancel stand among the effects of a frame where they came in; edits of the state hold at once."""
    graph = bound({"work": _work, "more": _work}, entry={"UserMessage": "work", "Tick": "more"})
    edit = StateEdit((Change.set("/edited", 1), Change.set(f"/{'long' * 20}", [{"of": LONG}])))
    record(tmp_path / "t", graph, late=lambda made: Meanwhile(made, Tick(readings={"clock": 1}), edit))
    timeline = Timeline(tmp_path / "t")
    assert [type(each).__name__ for each in timeline.arrivals(Place(1, 2))] == ["Input", "Input", "Made", "Made"]
    assert timeline.state(Place(1, 1)).sections["edited"] == 1
    assert timeline.state(Place(1, 1)).sections["long" * 20] == ({"of": LONG},)
    assert timeline.state_known(timeline.last)
    check_whole(timeline, Plain.of(tmp_path / "t"))
    record(tmp_path / "c", graph, late=lambda made: Meanwhile(made, Cancel()))
    timeline = Timeline(tmp_path / "c")
    assert timeline.messages[0].status == "cancelled"
    check_whole(timeline, Plain.of(tmp_path / "c"))


def test_failed_epilogue_and_open(tmp_path: Path) -> None:
    """Messages that failed, that had an epilogue, or in which the recording stops, are places like others."""
    graph = bound({"work": _work, "fail": _fail, "after": _work}, more={"after": 'phase = "epilogue"'})
    record(tmp_path / "t", graph)
    timeline = Timeline(tmp_path / "t")
    assert timeline.messages[0].status == "failed"
    check_whole(timeline, Plain.of(tmp_path / "t"))
    record(tmp_path / "o", bound({"work": _work}), performer=Echo(lambda _: Outcome(status="not_recorded")))
    timeline = Timeline(tmp_path / "o")
    assert timeline.messages[0].status == "open"
    check_whole(timeline, Plain.of(tmp_path / "o"))
    after = bound({"work": _work, "after": _work}, more={"after": 'phase = "epilogue"'})
    record(tmp_path / "e", after)
    timeline = Timeline(tmp_path / "e")
    assert (timeline.messages[0].frames, timeline.messages[0].main_frames) == (2, 1)
    check_whole(timeline, Plain.of(tmp_path / "e"))


@pytest.mark.parametrize("seed", range(3))
def test_every_good_prefix(tmp_path: Path, seed: int) -> None:
    """A file that ends behind any line, or within one, is gone about in up to there; what it says is what a decoding says."""
    random_run(tmp_path / "whole", seed, most=3)
    lines = (tmp_path / "whole").read_bytes().splitlines(keepends=True)
    for end in range(1, len(lines)):
        (tmp_path / "t").write_bytes(b"".join(lines[:end]) + lines[end][: end % 3])
        with pytest.raises(TraceIncomplete):
            Timeline(tmp_path / "t")
        timeline = Timeline(tmp_path / "t", damaged=True)
        assert isinstance(timeline.problem, TraceIncomplete)
        plain = Plain.of(tmp_path / "t")
        check_whole(timeline, plain)
        loose = plain.messages[-1].loose if plain.messages else []
        assert (timeline.unfinished is not None) == bool(loose)
        if timeline.unfinished is not None:
            place = timeline.unfinished
            assert sorted(timeline.effects(place), key=lambda made: made.key) == loose
            assert timeline.index(Place(place.message, place.frame, len(loose))) == timeline.places
            assert timeline.state(Place(place.message, place.frame, 0)) == timeline.state(timeline.last)
            assert timeline.frame(place) is None
            for wrong in (place, Place(place.message, place.frame, len(loose) + 1)):
                with pytest.raises(UnknownRef):
                    timeline.index(wrong)


def test_a_damaged_file(tmp_path: Path) -> None:
    """A byte that was changed ends the good part; with it the timeline says so, without it is refused."""
    record_talk(tmp_path / "t", 3)
    data = bytearray((tmp_path / "t").read_bytes())
    data[len(data) * 2 // 3] ^= 1
    (tmp_path / "t").write_bytes(data)
    with pytest.raises((TraceIntegrity, TraceFormat)):
        Timeline(tmp_path / "t")
    timeline = Timeline(tmp_path / "t", damaged=True)
    assert timeline.problem is not None
    assert 1 < timeline.places < 30
    check_whole(timeline, Plain.of(tmp_path / "t"))
    assert timeline.extend() == 0


@pytest.mark.parametrize("kind", ["trace", "input", "frame", "outcome"])
def test_lines_out_of_place(tmp_path: Path, kind: str) -> None:
    """Lines that are whole and stand where none can are refused by name; with *damaged* they end the good part."""
    random_run(tmp_path / "t", 1)
    bodies = bodies_of((tmp_path / "t").read_bytes())[:-1]
    again = next(body for body in bodies if body.startswith(b'{"kind":"%b"' % kind.encode()))
    (tmp_path / "f").write_bytes(forged([*bodies, again]))
    with pytest.raises((TraceFormat, TraceIncomplete)):
        Timeline(tmp_path / "f")
    timeline = Timeline(tmp_path / "f", damaged=True)
    assert isinstance(timeline.problem, TraceFormat)
    assert f"line {len(bodies) + 1}" in str(timeline.problem)


def test_loading_in_steps(tmp_path: Path) -> None:
    """While a trace is loaded step by step what is there can be used, and at the end it is the whole."""
    random_run(tmp_path / "t", 11)
    whole = Timeline(tmp_path / "t")
    with Timeline(tmp_path / "t", whole=False) as timeline:
        assert (timeline.places, timeline.loaded) == (1, False)
        read = 0
        while not timeline.load(3):
            assert timeline.read > read
            read = timeline.read
            for place in (START, timeline.last):
                assert timeline.state(place) == whole.state(place)
            if timeline.messages:
                assert timeline.messages[0].text == whole.messages[0].text
                timeline.effects(timeline.last)
        assert timeline.loaded
        assert timeline.places == whole.places
        assert timeline.counts == whole.counts
        check_whole(timeline, Plain.of(tmp_path / "t"))


def test_progress(tmp_path: Path) -> None:
    """Loading tells how many bytes are done, to the last."""
    random_run(tmp_path / "t", 1)
    told: list[int] = []
    Timeline(tmp_path / "t", progress=told.append)
    assert told[-1] == (tmp_path / "t").stat().st_size


@pytest.mark.parametrize("seed", range(3))
def test_a_run_that_is_still_recorded(tmp_path: Path, seed: int) -> None:
    """What a writer adds, in pieces of any size, is taken in; at the seal the timeline is that of the whole trace."""
    random_run(tmp_path / "whole", seed, most=4)
    data, chance = (tmp_path / "whole").read_bytes(), Random(seed)
    end = data.index(b"\n") + 1
    path = tmp_path / "t"
    path.write_bytes(data[:end])
    timeline = Timeline(path, damaged=True)
    places = timeline.places
    while end < len(data):
        size = chance.randint(1, 2_000)
        with path.open("ab") as file:
            file.write(data[end : end + size])
        end += size
        places += timeline.extend()
        assert timeline.places == places
        assert timeline.changed_on_disk() == ""
        timeline.state(timeline.last)
        for each in timeline.messages[-1:]:
            timeline.message(each.number)
    assert timeline.problem is None
    assert timeline.extend() == 0
    check_whole(timeline, Plain.of(path))


def test_a_compressed_trace(tmp_path: Path) -> None:
    """A packed trace is gone about in like any other."""
    random_run(tmp_path / "t", 2)
    compress(tmp_path / "t", tmp_path / "t.zst")
    check_whole(Timeline(tmp_path / "t.zst"), Plain.of(tmp_path / "t"))


def test_a_file_that_changes(tmp_path: Path) -> None:
    """A trace that is written over while it is open is told by name, and never read as if it were the same."""
    record_talk(tmp_path / "t", 3)
    timeline = Timeline(tmp_path / "t")
    assert timeline.changed_on_disk() == ""
    data = (tmp_path / "t").read_bytes()
    (tmp_path / "t").write_bytes(data.replace(b"customers", b"guests..."))
    assert timeline.changed_on_disk() == "it was written over"
    with pytest.raises(TraceIntegrity, match="changed while it was open"):
        timeline.message(3)


# ---------------------------------------------------------------------- places, figures


def test_places_that_are_not_there(tmp_path: Path) -> None:
    """Messages, frames and effects outside the run are refused with what there is."""
    record(tmp_path / "t", bound({"work": _work}), ["a", "b"])
    timeline = Timeline(tmp_path / "t")
    for place in (Place(3), Place(1, 2), Place(2, 1, 3), Place(1, 0, 0), Place(0, 1)):
        with pytest.raises(UnknownRef) as caught:
            timeline.index(place)
        assert caught.value.hint
    with pytest.raises(UnknownRef):
        timeline.message(0)
    with pytest.raises(IndexError):
        timeline.messages[2]


def test_figures_of_messages(tmp_path: Path) -> None:
    """Durations, tokens and costs stand in a summary where they were recorded, and are unknown where they were not."""
    record_talk(tmp_path / "t", 2)
    graph = bound({"work": _work})
    with TraceWriter(tmp_path / "m", header(graph)) as writer:
        writer.input(Input(number=1, body=UserMessage.of("how much?")))
        for call in range(2):
            value = ModelReply(message=freeze({"role": "assistant"}), usage=freeze({"prompt_tokens": 10, "completion_tokens": 3}))
            effect = ModelCall(model="m", messages=[{"role": "user"}])
            writer.outcome(
                Call.of(EffectKey(1, 1, "work", call), effect), Outcome(value=value, at=call + 5, meta=freeze({"cost": 0.25}))
            )
        figures = FrameTrace(input=1, path="p", total_frames=0, frames=0, calls=2, status="done", state="")
        writer.trace(figures, freeze({"ms": 12.5}))
        writer.seal()
    row = Timeline(tmp_path / "m").messages[0]
    assert (row.tokens, row.cost, row.ms, row.text) == ((20, 6), 0.5, 12.5, "how much?")
    assert row.to_json()["tokens"] == (20, 6)
    bare = Timeline(tmp_path / "t").messages[0]
    assert (bare.cost, bare.ms, bare.tokens) == (None, None, None)


def test_the_time_of_a_place(tmp_path: Path) -> None:
    """The time at a place is the newest of all that had come in before."""
    record(tmp_path / "t", bound({"work": _work}), ["a", "b"])
    timeline = Timeline(tmp_path / "t")
    times = [timeline.now(timeline.place(index)) for index in range(timeline.places)]
    assert times == [0, 1_000_000_000, 1_001_002_000, 2_000_000_000, 2_001_002_000]
    assert timeline.now(Place(2, 1, 1)) == 2_000_000_000
