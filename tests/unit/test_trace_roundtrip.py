"""What is written is what is read, to the last bit: values, canonical forms, digests."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frameengine import codec
from frameengine.effects import (
    Call,
    EffectFailure,
    EffectKey,
    ModelCall,
    ModelReply,
    Outcome,
    ToolCall,
    ToolReply,
    effect_from_json,
)
from frameengine.errors import LimitError
from frameengine.inputs import Action, Dashboard, Given, Input, StateEdit, Tick, UserMessage, Webhook
from frameengine.jsonvalue import FrozenMap, Text, first_difference, freeze, thaw
from frameengine.limits import CONTENT_WINDOW_BYTES, DEPTH_MAX, TEXT_CHUNK, TEXT_SHARED_MIN
from frameengine.records import Emission, Frame, FrameRecord, FrameTrace
from frameengine.state import Change
from frameengine.trace import contents, numbering
from frameengine.trace.compressed import compress
from frameengine.trace.format import outcome_canonical
from frameengine.trace.numbering import LISTS_KEPT
from frameengine.trace.reader import Line, TraceReader
from frameengine.trace.verify import verify
from frameengine.trace.writer import TraceWriter
from sample_traces import DIGEST, LONG, members, write_every_shape

SMALL_WINDOW = 2_000
"""A window that a short run passes many times."""

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30) | st.sampled_from(
    [
        "",
        "x" * (TEXT_SHARED_MIN - 1),
        "x" * TEXT_SHARED_MIN,
        LONG,
        "ü\u2028\x85\x00\U0001f600" * 20,
        "$c",
        '{"$c":1}' * 9,
        "\\" * 50,
    ]
)
KEYS = TEXTS | st.sampled_from(["$", "$$", "$c", "$join", "$list", "$$c", "kind", "chain", "role"])
NUMBERS = st.integers(-(1 << 63), (1 << 64) - 1) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(KEYS, VALUES, max_size=4)
MESSAGES = st.lists(
    OBJECTS | st.sampled_from([{"role": "system", "content": LONG}, {"role": "user", "content": "hi"}, {}]), max_size=5
)
BODIES = st.one_of(
    st.builds(UserMessage, message=OBJECTS, user_id=TEXTS, session_id=TEXTS, channel=TEXTS),
    st.builds(Action, name=TEXTS, data=OBJECTS),
    st.builds(Tick, readings=OBJECTS),
    st.builds(Dashboard, controls=st.lists(VALUES, max_size=3)),
    st.builds(Webhook, source=TEXTS, payload=VALUES),
    st.builds(Given, messages=MESSAGES),
    st.builds(StateEdit, st.lists(st.builds(Change.set, TEXTS, VALUES) | st.builds(Change.append, TEXTS, VALUES), max_size=3)),
)
EFFECTS = st.one_of(
    st.builds(ModelCall, model=TEXTS, messages=MESSAGES, tools=MESSAGES, params=OBJECTS, show=st.booleans()),
    st.builds(ToolCall, TEXTS, VALUES),
)
FAILURES = st.builds(EffectFailure, type=TEXTS, message=TEXTS, fields=OBJECTS)
METAS = OBJECTS.map(freeze)
TIMES = st.integers(0, 1 << 62)


@st.composite
def outcomes(draw: st.DrawFn) -> tuple[Any, Outcome]:
    """Draw an effect and an outcome that fits it."""
    effect = draw(EFFECTS)
    status = draw(st.sampled_from(["ok", "ok", "error", "cancelled", "not_recorded"]))
    more: dict[str, Any] = {"at": draw(TIMES), "meta": draw(METAS)}
    if status == "ok" and isinstance(effect, ModelCall):
        more["value"] = draw(st.builds(ModelReply, message=OBJECTS, finish_reason=TEXTS, usage=OBJECTS, model=TEXTS))
    elif status == "ok":
        replies = st.builds(ToolReply, content=VALUES) | st.builds(ToolReply, message=OBJECTS.map(freeze))
        more["value"] = draw(replies)
    elif status == "error":
        more["error"] = draw(FAILURES)
    more["status"] = status
    return effect, Outcome(**more)


CHANGES = st.one_of(
    st.builds(Change.set, TEXTS, VALUES),
    st.builds(Change.append, TEXTS, VALUES, st.integers(0, 9)),
    st.builds(Change.delete, TEXTS),
)
RECORDS = st.builds(
    FrameRecord,
    frame=st.just(1),
    node=st.sampled_from(["input", "thinker"]),
    phase=st.just("main"),
    input=OBJECTS.map(freeze),
    output=st.none() | OBJECTS.map(freeze),
    emissions=st.lists(st.builds(Emission, event=TEXTS, data=OBJECTS), max_size=2).map(tuple),
    changes=st.lists(CHANGES, max_size=3).map(tuple),
    condition=OBJECTS.map(freeze),
    error=st.none() | st.fixed_dictionaries({"type": TEXTS, "message": TEXTS}).map(freeze),
)
TURNS = st.tuples(BODIES, st.lists(outcomes(), max_size=3), st.lists(RECORDS, max_size=2), METAS)
RUNS = st.lists(TURNS, min_size=1, max_size=6)


def write(path: Path, run: list[Any]) -> list[tuple[bytes, Any]]:
    """Write a run and return, for each line, its canonical form and the values that went in."""
    written: list[tuple[bytes, Any]] = []
    with TraceWriter(path, members()) as writer:
        for number, (body, calls, records, meta) in enumerate(run, start=1):
            entered = Input(number=number, body=body, at=number)
            writer.input(entered)
            written.append((codec.canonical(entered.wire()), entered))
            for index, (effect, outcome) in enumerate(calls):
                call = Call.of(EffectKey(number, 1, "thinker", index), effect)
                writer.outcome(call, outcome)
                written.append((outcome_canonical(call, outcome), (call, outcome)))
            frame = Frame(input=number, frame=1, phase="main", records=tuple(records))
            writer.frame(frame, meta)
            written.append((codec.canonical(frame.wire()), (frame, meta)))
            trace = FrameTrace(input=number, path="x", total_frames=1, frames=1, calls=len(calls), status="done", state=DIGEST)
            writer.trace(trace, meta)
            written.append((codec.canonical(trace.wire()), (trace, meta)))
        writer.seal()
    return written


def whole(value: Any) -> Any:
    """Return a wire form as plain JSON."""
    return codec.loads(codec.dumps(value))


def check(line: Line, form: bytes, value: Any) -> None:
    """Compare one line with what was written."""
    assert line.canonical() == form
    if line.kind == "input":
        assert line.input() == value
        assert codec.canonical(line.input().wire()) == form
    elif line.kind == "outcome":
        call, outcome = value
        read = line.outcome()
        assert line.key() == call.key
        assert read == outcome
        assert read.digest == outcome.digest
        effect = effect_from_json(line.value["effect"], line.data["request"])
        assert outcome_canonical(Call.of(line.key(), effect), read) == form
    else:
        record, meta = value
        assert first_difference(thaw(line.data), whole(record.wire())) is None
        assert line.meta == meta


def check_all(path: Path, written: list[tuple[bytes, Any]]) -> None:
    """Compare a file with what was written to it."""
    with TraceReader(path) as reader:
        lines = 0
        for line, (form, value) in zip(reader.lines(), written, strict=True):
            check(line, form, value)
            lines += 1
        assert lines == len(written)
        assert reader.sealed


@given(run=RUNS)
def test_any_run_is_read_as_it_was_written(run: list[Any]) -> None:
    """Every value, canonical form and digest of a random run comes back equal, and writing it again gives the same forms."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.trace.jsonl")
        check_all(path, write(path, run))


@settings(max_examples=50)
@given(run=RUNS.map(lambda run: run * 3))
def test_any_run_survives_a_window_that_it_passes(run: list[Any]) -> None:
    """Contents that have left the window are written again, and every line finds what it refers to."""
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setattr(numbering, "CONTENT_WINDOW_BYTES", SMALL_WINDOW)
        patch.setattr(contents, "CONTENT_WINDOW_BYTES", SMALL_WINDOW)
        path = Path(folder, "a.trace.jsonl")
        check_all(path, write(path, run))


@settings(max_examples=20)
@given(run=RUNS)
def test_any_run_survives_compression(run: list[Any]) -> None:
    """The zstd form of a trace reads as the trace does."""
    with tempfile.TemporaryDirectory() as folder:
        path, packed = Path(folder, "a.trace.jsonl"), Path(folder, "a.trace.jsonl.zst")
        written = write(path, run)
        compress(path, packed)
        check_all(packed, written)


def test_every_shape_is_read_as_it_was_written(tmp_path: Path) -> None:
    """A trace that holds every kind of input, outcome and record is whole and decodes."""
    path = tmp_path / "a.trace.jsonl"
    with TraceWriter(path, members()) as writer:
        write_every_shape(writer)
        writer.seal()
    with TraceReader(path) as reader:
        for line in reader.lines():
            assert line.data["kind"] == line.kind
    assert verify(path).counts.calls == 7


@pytest.mark.parametrize("length", [TEXT_CHUNK - 1, TEXT_CHUNK, TEXT_CHUNK + 1, 3 * TEXT_CHUNK + 7])
@pytest.mark.parametrize("unit", ["x", "\U0001f600", "\x00", '"'])
def test_a_text_of_any_length_comes_back(tmp_path: Path, length: int, unit: str) -> None:
    """Texts around the size of a piece, in the encodings that take the most room, come back whole."""
    path = tmp_path / "a.trace.jsonl"
    check_all(path, write(path, [(Webhook(source="s", payload=[unit * length, unit * length]), [], [], freeze({}))]))


def nested(depth: int) -> Any:
    """Return a value of so many arrays and objects inside one another."""
    value: Any = "x"
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    return value


def test_a_value_as_deep_as_the_limit_comes_back(tmp_path: Path) -> None:
    """What `freeze` lets through can be read again, wherever in a line it stands."""
    path = tmp_path / "a.trace.jsonl"
    deep = freeze(nested(DEPTH_MAX))
    record = FrameRecord(
        frame=1,
        node="n",
        phase="main",
        input=freeze({"a": nested(DEPTH_MAX - 1)}),
        emissions=(Emission(event="e", data=freeze({"a": nested(DEPTH_MAX - 1)})),),
        changes=(Change.set("/x", deep), Change.append("/x", freeze([nested(DEPTH_MAX - 1)]))),
    )
    calls = [(ToolCall("f", deep), Outcome(value=ToolReply(content=deep), meta=freeze({"a": nested(DEPTH_MAX - 1)})))]
    check_all(path, write(path, [(Webhook(source="s", payload=deep), calls, [record], freeze({}))]))


def test_what_was_put_together_of_frozen_parts_comes_back_or_is_refused(tmp_path: Path) -> None:
    """However deep a value of frozen parts has grown, what the writer took can be read; beyond that it says so at once."""
    value = freeze({"a": "x"})
    taken = 0
    for depth in range(1, 300):
        value = freeze({"a": value}) if depth % 2 else freeze({"a": [value]})
        path = tmp_path / f"{depth}"
        run: list[Any] = [
            (Webhook(source="s", payload=value), [], [], freeze({})),
            (UserMessage(message=value), [], [], freeze({})),
        ]
        if depth % 8 == 0:
            try:
                check_all(path, write(path, run))
            except LimitError:
                break
            taken = depth
    assert DEPTH_MAX < taken < 254


def test_lists_that_are_used_for_long_stay_readable(tmp_path: Path) -> None:
    """Tools that stand in every request of a long conversation are found in the last one, among all the lists of messages."""
    path = tmp_path / "a.trace.jsonl"
    tools = tuple({"type": "function", "function": {"name": f"tool{n}"}} for n in range(3))
    history: list[Any] = []
    run: list[Any] = []
    for number in range(4 * LISTS_KEPT):
        history.append({"role": "user", "content": f"{number} {LONG}"})
        reply = Outcome(value=ModelReply(message={"role": "assistant", "content": str(number)}))
        call = (ModelCall(model="m", messages=tuple(history), tools=tools), reply)
        run.append((Given(messages=()), [call], [], freeze({})))
    check_all(path, write(path, run))


def test_an_empty_list_is_found_after_the_window_has_passed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list without items, which never goes out of date for the writer, is still there for the reader."""
    for module in (numbering, contents):
        monkeypatch.setattr(module, "CONTENT_WINDOW_BYTES", SMALL_WINDOW)
    path = tmp_path / "a.trace.jsonl"
    fill: list[Any] = [(Webhook(source="s", payload=f"{n}" * 600), [], [], freeze({})) for n in range(100, 140)]
    empty: Any = (Given(messages=()), [], [], freeze({}))
    check_all(path, write(path, [empty, *fill, empty]))


def test_many_small_contents_do_not_outrun_the_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader counts the window as the writer does, however short the contents are and however long their lines."""
    window = 20_000
    for module in (numbering, contents):
        monkeypatch.setattr(module, "CONTENT_WINDOW_BYTES", window)
    path = tmp_path / "a.trace.jsonl"
    system = UserMessage(message=freeze({"role": "system", "content": LONG}))
    run: list[Any] = []
    for number in range(3_000):
        body = system if number % 7 == 0 else UserMessage(message=freeze({"n": number}))
        run.append((body, [], [], freeze({})))
    check_all(path, write(path, run))


def test_a_frame_of_many_parallel_calls_can_be_asked_for_all_of_them(tmp_path: Path) -> None:
    """Lines of one frame stay usable while the rest of the frame is read, however many lists they refer to."""
    path = tmp_path / "a.trace.jsonl"
    calls = []
    for number in range(5 * LISTS_KEPT):
        messages = ({"role": "system", "content": LONG}, {"role": "user", "content": f"{number}"})
        calls.append(
            (ModelCall(model="m", messages=messages), Outcome(value=ModelReply(message={"role": "assistant", "n": number})))
        )
    written = write(path, [(Given(messages=()), calls, [], freeze({}))])
    with TraceReader(path) as reader:
        kept = []
        for line in reader.lines():
            if line.kind == "outcome":
                line.outcome(), line.canonical()
            kept.append(line)
        outcomes_written = [(form, value) for form, value in written if isinstance(value, tuple) and isinstance(value[0], Call)]
        for line, (form, value) in zip([line for line in kept if line.kind == "outcome"], outcomes_written, strict=True):
            assert line.canonical() == form
            assert line.outcome() == value[1]


def test_memory_of_the_reader_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a reader remembers does not grow with the file once the window is full."""
    for module in (numbering, contents):
        monkeypatch.setattr(module, "CONTENT_WINDOW_BYTES", SMALL_WINDOW)
    path = tmp_path / "a.trace.jsonl"
    run: list[Any] = [
        (UserMessage(message=freeze({"role": "user", "content": f"{number} {LONG}"})), [], [], freeze({}))
        for number in range(500)
    ]
    write(path, run)
    with TraceReader(path) as reader:
        most = 0
        for line in reader.lines():
            line.canonical()
            most = max(most, len(reader._contents._raw))
    assert most < 4 * SMALL_WINDOW // len(LONG)


def test_repeated_contents_stand_once(tmp_path: Path) -> None:
    """Forty requests that carry the same long message hold it once."""
    path = tmp_path / "a.trace.jsonl"
    message = {"role": "user", "content": "unmistakable " * 30}
    call = (ModelCall(model="m", messages=(message,) * 5), Outcome(status="cancelled"))
    write(path, [(Given(messages=(message,)), [call] * 40, [], freeze({}))])
    assert path.read_bytes().count(b"unmistakable " * 30) == 1
    assert path.stat().st_size < 20_000 < CONTENT_WINDOW_BYTES


def test_types_come_back_as_they_were(tmp_path: Path) -> None:
    """Long texts come back as `Text`, objects as `FrozenMap`, lists as tuples, so that digests are remembered."""
    path = tmp_path / "a.trace.jsonl"
    write(path, [(Webhook(source="s", payload=[LONG, {"a": [LONG]}]), [], [], freeze({}))])
    with TraceReader(path) as reader:
        payload = next(reader.lines()).data["data"]["payload"]
        assert type(reader.header["graph"]) is FrozenMap
    assert type(payload) is tuple
    assert type(payload[0]) is Text
    assert type(payload[1]) is FrozenMap
    assert type(payload[1]["a"][0]) is Text
    assert codec.digest(payload[1]) == codec.digest(freeze({"a": [LONG]}))
