"""A repair keeps whole messages, byte for byte, and says what it left out."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frameengine.errors import (
    StorageError,
    TraceError,
    TraceFormat,
    TraceIncomplete,
    TraceIntegrity,
    TraceLocked,
    TraceNotFound,
    UsageError,
)
from frameengine.replay.replayer import Replayer
from frameengine.trace.compressed import compress
from frameengine.trace.format import CHAIN_BYTES
from frameengine.trace.reader import TraceReader
from frameengine.trace.repair import RepairReport, repair
from frameengine.trace.verify import verify
from frameengine.trace.writer import TraceWriter
from sample_traces import bodies_of, forged, members, record

MESSAGES = 3


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return the bytes of a sealed trace of three messages."""
    return record(tmp_path_factory.mktemp("good") / "a.trace.jsonl", messages=MESSAGES).read_bytes()


def message_ends(data: bytes) -> list[int]:
    """Return the offsets at which whole messages end."""
    ends, offset = [], 0
    for line in data.split(b"\n")[:-1]:
        offset += len(line) + 1
        if line.startswith(b'{"kind":"trace"'):
            ends.append(offset)
    return ends


def repaired(folder: Path, data: bytes) -> RepairReport:
    """Repair these bytes and check what holds of every repair."""
    path, target = folder / "bad", folder / "repaired"
    path.write_bytes(data)
    target.unlink(missing_ok=True)
    report = repair(path, target)
    assert path.read_bytes() == data
    assert report.path == path
    assert report.target == target
    assert report.kept_bytes + report.dropped_bytes == len(data)
    kept, written = data[: report.kept_bytes].split(b"\n")[1:-1], target.read_bytes().split(b"\n")[1:-2]
    assert [line[: -CHAIN_BYTES + 1] for line in kept] == [line[: -CHAIN_BYTES + 1] for line in written]
    assert report.kept_lines == len(kept) + 1
    receipt = verify(target)
    assert receipt.counts == report.counts
    assert receipt.header["repaired"][-1] == report.note()
    assert not [name for name in folder.iterdir() if name.name.endswith(".part")]
    return report


def test_a_torn_trace_keeps_its_whole_messages(tmp_path: Path, good: bytes) -> None:
    """Cut at any byte, a trace keeps exactly the messages that had ended, and those replay."""
    ends = message_ends(good)
    for cut in [
        *range(ends[0], len(good), 211),
        *[end + shift for end in ends for shift in (-1, 0, 1) if end + shift >= ends[0]],
    ]:
        report = repaired(tmp_path, good[:cut])
        whole = sum(end <= cut for end in ends)
        assert report.counts.inputs == whole
        assert report.kept_bytes == ends[whole - 1]
        assert type(report.problem) is TraceIncomplete
        torn = good[report.kept_bytes : cut]
        assert report.dropped_lines == torn.count(b"\n") + (not torn.endswith(b"\n") and torn != b"")
    assert Replayer(tmp_path / "repaired").run().verdict == "same"


def test_an_unsealed_trace_is_sealed(tmp_path: Path, good: bytes) -> None:
    """A trace that only lacks its seal loses nothing, and shares its canonical digest with the whole one."""
    report = repaired(tmp_path, good[: message_ends(good)[-1]])
    assert (report.dropped_lines, report.dropped_bytes) == (0, 0)
    (tmp_path / "good").write_bytes(good)
    assert verify(tmp_path / "repaired").canonical == verify(tmp_path / "good").canonical
    assert Replayer(tmp_path / "repaired").run().verdict == "same"


def test_a_trace_damaged_in_the_middle_keeps_what_comes_before(tmp_path: Path, good: bytes) -> None:
    """A flipped bit, a lost line and a strange line end what is kept; what follows is counted as left out."""
    ends = message_ends(good)
    place = ends[1] + 40
    damaged = {
        TraceIntegrity: good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :],
        TraceFormat: good[: ends[1]] + b"hello\n" + good[ends[1] :],
    }
    for kind, data in damaged.items():
        report = repaired(tmp_path, data)
        assert type(report.problem) is kind or kind is TraceIntegrity
        assert report.counts.inputs == 2
        assert report.kept_bytes == ends[1]
        assert report.dropped_lines == data[ends[1] :].count(b"\n")
        assert "bad" not in report.note()["reason"]


def test_bytes_after_the_seal_are_left_out(tmp_path: Path, good: bytes) -> None:
    """A sealed trace to which something was added keeps all its messages and loses the rest, its old seal included."""
    report = repaired(tmp_path, good + b"more\nand more")
    assert report.counts.inputs == MESSAGES
    assert report.dropped_lines == 3


def test_a_forged_line_is_left_out(tmp_path: Path, good: bytes) -> None:
    """A line whose chain value holds, but which cannot be decoded, is damage as well."""
    bodies = bodies_of(good)
    index = [index for index, body in enumerate(bodies) if body.startswith(b'{"kind":"input"')][2]
    bodies[index] = bodies[index].replace(b'"UserMessage"', b'"Sigh"')
    report = repaired(tmp_path, forged(bodies))
    assert report.counts.inputs == 2
    assert "Sigh" in report.note()["reason"]


def test_a_repaired_trace_can_be_repaired_again(tmp_path: Path, good: bytes) -> None:
    """The header remembers every repair, the oldest first."""
    ends = message_ends(good)
    first = repaired(tmp_path, good[: ends[2] + 5])
    again = (tmp_path / "repaired").read_bytes()
    second = repaired(tmp_path, again[: message_ends(again)[1] + 9])
    assert verify(tmp_path / "repaired").header["repaired"] == (first.note(), second.note())


def test_the_meta_of_the_header_stays(tmp_path: Path, good: bytes) -> None:
    """What the header says beside its digested members is still there, in its place."""
    repaired(tmp_path, good[:-9])
    with TraceReader(tmp_path / "repaired") as reader:
        assert reader.header_line.meta == {"owner": "test"}
        assert list(reader.header)[-1] == "repaired"


def test_a_whole_trace_is_not_repaired(tmp_path: Path) -> None:
    """There is nothing to repair in a sealed trace, and nothing is written."""
    path = record(tmp_path / "a", messages=1)
    with pytest.raises(UsageError, match="nothing to repair"):
        repair(path, tmp_path / "b")
    assert sorted(found.name for found in tmp_path.iterdir()) == ["a"]


def test_nothing_good_is_an_error(tmp_path: Path, good: bytes) -> None:
    """Where not even one message is whole, the error says so and nothing is written."""
    for data in (b"", b"hello", good[:50], good[: message_ends(good)[0] - 1], b"\0" * 900):
        (tmp_path / "bad").write_bytes(data)
        with pytest.raises(TraceError) as caught:
            repair(tmp_path / "bad", tmp_path / "b")
        assert caught.value.hint
        assert sorted(found.name for found in tmp_path.iterdir()) == ["bad"]
    with pytest.raises(TraceNotFound):
        repair(tmp_path / "missing", tmp_path / "b")


def test_the_target_is_left_alone(tmp_path: Path, good: bytes) -> None:
    """An existing file, the damaged one among them, is never written over."""
    path = tmp_path / "bad"
    path.write_bytes(good[:-9])
    (tmp_path / "b").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for target in (path, tmp_path / "b", tmp_path / "link"):
        with pytest.raises(UsageError, match="exists"):
            repair(path, target)
    with pytest.raises(StorageError):
        repair(path, tmp_path / "no folder" / "b")
    assert (tmp_path / "b").read_text() == "mine"
    with pytest.raises(UsageError, match="stays as it is"):
        repair(path, path, replace=True)
    assert path.read_bytes() == good[:-9]


def test_an_older_target_is_replaced_where_that_is_said(tmp_path: Path, good: bytes) -> None:
    """With *replace* the repaired trace takes the place of what stood there."""
    path, target = tmp_path / "bad", tmp_path / "b"
    path.write_bytes(good[:-9])
    target.write_text("mine")
    repair(path, target, replace=True)
    assert verify(target).counts.inputs


def test_a_trace_that_is_being_written_is_not_repaired(tmp_path: Path) -> None:
    """While a writer is at it, the end of a trace is not damage: the error names the writer."""
    path = tmp_path / "a"
    with TraceWriter(path, members()), pytest.raises(TraceLocked) as caught:
        repair(path, tmp_path / "b")
    assert caught.value.fields["owner"] == "test"


def test_nobody_writes_while_a_trace_is_repaired(tmp_path: Path, good: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """From proving to copying the damaged trace is locked against writers."""
    from frameengine.trace import repair as module

    (tmp_path / "bad").write_bytes(good[:-9])
    locked = []

    def proving(path: Path, target: Path) -> object:
        with path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                locked.append(path)
        return prove(path, target)

    prove = module._prove
    monkeypatch.setattr(module, "_prove", proving)
    repair(tmp_path / "bad", tmp_path / "b")
    assert locked == [tmp_path / "bad"]


def test_a_broken_compressed_trace_is_repaired(tmp_path: Path) -> None:
    """From a zstd file that was cut, the messages that can still be unpacked are kept, in the plain form."""
    path = tmp_path / "a"
    record(path, messages=40)
    compress(path, tmp_path / "a.zst")
    data = (tmp_path / "a.zst").read_bytes()
    (tmp_path / "cut.zst").write_bytes(data[: len(data) * 9 // 10])
    try:
        report = repair(tmp_path / "cut.zst", tmp_path / "b")
    except TraceIncomplete:
        pytest.fail("no message could be unpacked: make the trace of this test longer")
    assert 0 < report.counts.inputs < 40
    assert verify(tmp_path / "b").counts == report.counts


@settings(max_examples=60)
@given(data=st.data())
def test_any_damage_leaves_a_sealed_trace_or_nothing(
    tmp_path_factory: pytest.TempPathFactory, good: bytes, data: st.DataObject
) -> None:
    """Whatever bytes are changed, a repair gives a trace that verifies, or an error and no file."""
    folder = tmp_path_factory.mktemp("damage")
    bad = bytearray(good)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(bad) - 1))
        bad[place : place + data.draw(st.integers(0, 30))] = data.draw(st.binary(max_size=20))
    if bytes(bad) == good:
        return
    try:
        repaired(folder, bytes(bad))
    except TraceError:
        assert sorted(found.name for found in folder.iterdir()) == ["bad"]
