"""The writer creates private files, refuses what it cannot write whole, and stops for good after a failure."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from frameengine.errors import EngineClosed, LimitError, StorageError, TraceIncomplete, TraceLocked, UsageError
from frameengine.inputs import Cancel, During, Given, Input, Tick, Webhook
from frameengine.jsonvalue import EMPTY, freeze
from frameengine.limits import LINE_BYTES_MAX
from frameengine.records import FrameTrace
from frameengine.state import RunState
from frameengine.trace import files, numbering, owner
from frameengine.trace.header import header
from frameengine.trace.reader import TraceReader, read_header
from frameengine.trace.verify import verify
from frameengine.trace.writer import TraceWriter
from sample_traces import DIGEST, LONG, TOOL_CALL, converse, lines_of, members, record, tool_loop


@pytest.fixture(params=[0o000, 0o022, 0o077, 0o777])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    """Set an umask for the time of a test."""
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path: Path) -> int:
    """Return the permissions of a file."""
    return stat.S_IMODE(path.stat().st_mode)


def done(number: int) -> FrameTrace:
    """Return the figures of an input without frames."""
    return FrameTrace(input=number, path="", total_frames=0, frames=0, calls=0, status="done", state=DIGEST)


def test_a_trace_is_private_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    """Only the owner may read a trace, also one that takes the place of a file that others could read."""
    path = tmp_path / "a"
    with TraceWriter(path, members()):
        assert mode(path) == 0o600
    path.chmod(0o666)
    with TraceWriter(path, members(), replace=True):
        assert mode(path) == 0o600
    with files.published(tmp_path / "b") as file:
        file.write(b"x")
    assert mode(tmp_path / "b") == 0o600


def test_an_existing_trace_is_left_alone(tmp_path: Path) -> None:
    """A file that holds anything is refused unless it is to be replaced; an empty one is taken."""
    path = record(tmp_path / "a", messages=1)
    before = path.read_bytes()
    with pytest.raises(UsageError, match="exists") as caught:
        TraceWriter(path, members())
    assert caught.value.hint
    assert path.read_bytes() == before
    (tmp_path / "b").touch()
    assert verify(record(tmp_path / "b", messages=1)).counts.inputs == 1
    with TraceWriter(path, members(), replace=True) as writer:
        list(converse(writer, 1))
        writer.seal()
    assert path.read_bytes() == before


def test_a_file_that_is_to_be_replaced_stays_until_there_is_something_to_put_there(tmp_path: Path) -> None:
    """Neither opening nor closing nor discarding costs it a byte; the first line behind the header does."""
    path = record(tmp_path / "a", messages=2)
    before = path.read_bytes()
    with TraceWriter(path, members(), replace=True) as writer:
        assert path.read_bytes() == before
        writer.discard()
    with TraceWriter(path, members(), replace=True):
        pass
    assert path.read_bytes() == before
    with TraceWriter(path, members(), replace=True) as writer:
        list(converse(writer, 1))
    assert path.read_bytes() != before
    with TraceWriter(tmp_path / "new", members()) as writer:
        writer.discard()
    assert not (tmp_path / "new").exists()
    with TraceWriter(path, members(), replace=True) as writer:
        writer.seal()
    assert path.read_bytes().count(b"\n") == 2


@pytest.mark.parametrize("change", ["taken", "truncated", "replaced"])
def test_a_file_that_another_hand_was_at_is_not_sealed(change: str, tmp_path: Path) -> None:
    """What was acknowledged is not there, so the seal is refused, with what happened."""
    path = tmp_path / "a"
    with TraceWriter(path, members()) as writer:
        list(converse(writer, 1))
        if change == "truncated":
            os.truncate(path, 10)
        else:
            path.unlink()
        if change == "replaced":
            path.write_bytes(b"x")
        with pytest.raises(StorageError, match="while it was written") as caught:
            writer.seal()
        assert caught.value.hint


def test_the_folder_may_change_while_a_trace_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative name stays the one that was meant when the file was opened."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    with TraceWriter(Path("a"), members()) as writer:
        monkeypatch.chdir(tmp_path / "elsewhere")
        list(converse(writer, 1))
        writer.seal()
    assert verify(tmp_path / "a").counts.inputs == 1


def test_a_fork_writes_nothing_and_is_told(tmp_path: Path) -> None:
    """Two processes would write one chain: the child is refused, and the parent goes on undisturbed."""
    path = tmp_path / "a"
    with TraceWriter(path, members()) as writer:
        child = os.fork()
        if child == 0:
            refused = 0
            for attempt in (writer.seal, writer.discard, lambda: list(converse(writer, 1))):
                try:
                    attempt()
                except UsageError:
                    refused += 1
                except Exception:  # noqa: BLE001 - nothing of the test may go on in the child
                    break
            os._exit(refused)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
        list(converse(writer, 1))
        writer.seal()
    assert verify(path).counts.inputs == 1


def test_a_reader_says_that_a_trace_is_still_being_written(tmp_path: Path) -> None:
    """No seal yet is no damage: whoever reads is told who is at it and to wait; afterwards it is a file without a seal."""
    path = tmp_path / "a"
    with TraceWriter(path, members()) as writer:
        list(converse(writer, 1))
        with pytest.raises(TraceIncomplete, match="being written by test") as caught:
            verify(path)
        assert "wait" in caught.value.hint
    with pytest.raises(TraceIncomplete, match="no seal") as caught:
        verify(path)
    assert "repair" in caught.value.hint


def test_a_second_writer_is_refused_and_told_who_is_first(tmp_path: Path) -> None:
    """While one writer is at a file, another is refused, also one that would replace it, and nothing of it is lost."""
    path = tmp_path / "a"
    with TraceWriter(path, members()) as first:
        for replace in (False, True):
            with pytest.raises(TraceLocked, match="written by test") as caught:
                TraceWriter(path, members(), replace=replace)
            assert caught.value.fields["owner"] == "test"
        list(converse(first, 1))
        first.seal()
    assert verify(path).counts.inputs == 1


def test_an_owner_without_a_name_is_named_by_its_process(tmp_path: Path) -> None:
    """Where the header does not say who writes, the system's list of locks does, if there is one."""
    path = tmp_path / "a"
    with TraceWriter(path, header(tool_loop())), pytest.raises(TraceLocked) as caught:
        TraceWriter(path, members())
    assert caught.value.fields["owner"] in (f"process {os.getpid()}", "another process (its header does not say which)")


def test_who_writes_is_never_guessed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a list of locks, with a strange one, or with the lock of another file, nobody is named."""
    path = tmp_path / "a"
    path.write_bytes(b"")
    unknown = "another process (its header does not say which)"
    status = path.stat()
    place = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}"
    flock = "FLOCK  ADVISORY  WRITE"
    others = [f"1: {flock} 77 {place}:{status.st_ino + 1} 0 EOF", "2: -> FLOCK", f"3: {flock} -1 {place}:{status.st_ino} 0 EOF"]
    lines = "".join([f"{line}\n" for line in others])
    monkeypatch.setattr(owner, "LOCKS", tmp_path / "locks")
    assert owner.owner_of(path) == unknown
    (tmp_path / "locks").write_text(lines)
    assert owner.owner_of(path) == unknown
    (tmp_path / "locks").write_text(f"{lines}4: {flock} 78 {place}:{status.st_ino} 0 EOF\n")
    assert owner.owner_of(path) == "process 78"
    path.write_bytes(b'{"kind":"header","meta":{"owner":"%b"}}\n' % (b"x" * 500))
    assert owner.owner_of(path) == "x" * owner.OWNER_MAX
    assert owner.owner_of(tmp_path / "missing") == unknown


def test_odd_places_are_refused(tmp_path: Path) -> None:
    """A folder, a link, a pipe, a device, a missing folder and an impossible name are refused with a hint."""
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_bytes(b"x")
    places: list[tuple[Path, type[Exception]]] = [
        (tmp_path, StorageError),
        (tmp_path / "link", StorageError),
        (tmp_path / "no folder" / "a", StorageError),
        (tmp_path / "file" / "a", StorageError),
        (tmp_path / ("x" * 300), StorageError),
        (tmp_path / "pipe", UsageError),
        (Path("/dev/null"), UsageError),
        (tmp_path / "a\0b", UsageError),
    ]
    for path, kind in places:
        with pytest.raises(kind) as caught:
            TraceWriter(path, members())
        assert caught.value.hint  # type: ignore[attr-defined]
    assert not (tmp_path / "elsewhere").exists()


def test_every_refusal_of_the_system_has_a_way_out(tmp_path: Path) -> None:
    """Each error number, known or not, becomes one message that names the file, and a hint."""
    for number in sorted(errno.errorcode):
        error = files.storage_error(tmp_path / "a", OSError(number, os.strerror(number)))
        assert str(tmp_path / "a") in error.message
        assert error.hint
        assert error.fields["errno"] == number
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO):
        assert "what was acknowledged" in files.storage_error(tmp_path, OSError(number, "")).hint


def test_a_file_that_was_moved_away_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the file gets another name between opening and locking, no line goes to where nobody looks."""
    path = tmp_path / "a"
    lock = fcntl.flock

    def moving(descriptor: int, operation: int) -> None:
        path.rename(tmp_path / "b")
        lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", moving)
    with pytest.raises(StorageError):
        TraceWriter(path, members())
    assert (tmp_path / "b").read_bytes() == b""


def test_a_file_system_without_locks_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a lock two writers could meet, so there is none."""

    def failing(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", failing)
    with pytest.raises(StorageError) as caught:
        TraceWriter(tmp_path / "a", members())
    assert "locks" in caught.value.hint


def test_a_header_that_is_too_long_is_refused(tmp_path: Path) -> None:
    """A header beyond the length of a line is refused, the file is let go of, and another writer may have it."""
    path = tmp_path / "a"
    state = RunState(freeze({"notes": ["x" * 30] * (LINE_BYTES_MAX // 30)}))
    with pytest.raises(LimitError):
        TraceWriter(path, header(tool_loop(), state=state))
    assert path.read_bytes() == b""
    assert verify(record(path, messages=1)).counts.inputs == 1


def test_the_header_cannot_say_what_the_writer_says(tmp_path: Path) -> None:
    """The members of a header that was read may be given to a writer: kind, format and durability are its own."""
    path = tmp_path / "a"
    given: dict[str, Any] = {"kind": "seal", "format": 7, "durability": "?", "chain": 1, **members()}
    del given["chain"]
    with TraceWriter(path, given, durability="durable"):
        pass
    read = read_header(path)
    assert (read["kind"], read["format"], read["durability"]) == ("header", 1, "durable")
    with TraceWriter(tmp_path / "b", read):
        pass
    assert {**read_header(tmp_path / "b"), "durability": "durable"} == read


def test_a_header_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Dollars in keys, long texts and plain containers in a header come back equal, whether frozen before or not."""
    extra = {"provenance": {"$c": 1, "$$": [{"$join": LONG}]}, "state": {"$x": {"y": (1, 2)}, "note": LONG}}
    for name, given in (("a", {**members(), **extra}), ("b", freeze({**members(), **extra}))):
        with TraceWriter(tmp_path / name, given):
            pass
        read = read_header(tmp_path / name)
        assert read["provenance"] == freeze(extra["provenance"])
        assert RunState(read["state"]).digest == RunState(freeze(extra["state"])).digest
    with pytest.raises(UsageError):
        TraceWriter(tmp_path / "c", {"provenance": {"x": float("nan")}})
    assert not (tmp_path / "c").exists()


def test_an_unknown_durability_is_refused(tmp_path: Path) -> None:
    """A mode that does not exist must not quietly be the weaker one."""
    with pytest.raises(UsageError, match="durability"):
        TraceWriter(tmp_path / "a", members(), durability="Durable")  # type: ignore[arg-type]
    assert not (tmp_path / "a").exists()


def test_a_line_that_is_too_long_ends_the_trace(tmp_path: Path) -> None:
    """A value that no line can hold raises `LimitError`; the writer takes nothing after it, and all before it is readable."""
    path = tmp_path / "a"
    with TraceWriter(path, members()) as writer:
        writer.input(Input(number=1, body=Tick()))
        writer.trace(done(1), EMPTY)
        with pytest.raises(LimitError) as caught:
            writer.input(Input(number=2, body=Webhook(source="s", payload=[LONG, ["x"] * LINE_BYTES_MAX])))
        assert caught.value.fields["bound"] == LINE_BYTES_MAX
        with pytest.raises(EngineClosed):
            writer.trace(done(2), EMPTY)
        with pytest.raises(EngineClosed):
            writer.seal()
    with pytest.raises(TraceIncomplete), TraceReader(path) as reader:
        for _ in reader.lines():
            pass
    assert [line["kind"] for line in lines_of(path)] == ["header", "input", "trace"]


def test_a_list_that_is_too_long_ends_the_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list beyond what a reader takes is refused by the writer."""
    monkeypatch.setattr(numbering, "LIST_ITEMS_MAX", 3)
    with TraceWriter(tmp_path / "a", members()) as writer:
        writer.input(Input(number=1, body=Given(messages=({"a": 1},) * 3)))
        writer.trace(done(1), EMPTY)
        with pytest.raises(LimitError):
            writer.input(Input(number=2, body=Given(messages=({"a": 1},) * 4)))


def test_a_trace_can_be_saved_while_it_is_written(tmp_path: Path) -> None:
    """A saved trace is sealed and private and holds all so far; the other goes on, and what is there is not written over."""
    path, half, whole = [tmp_path / f"{name}.trace.jsonl" for name in ("a", "half", "whole")]
    with TraceWriter(path, members()) as writer:
        for number in (1, 2):
            writer.input(Input(number=number, body=Webhook(source="s")))
            with pytest.raises(UsageError, match=f"input {number} has not ended"):
                writer.save(half)
            writer.trace(done(number), EMPTY)
            writer.save(half if number == 1 else whole)
        with pytest.raises(UsageError, match="exists"):
            writer.save(half)
        writer.seal()
    with TraceReader(half) as reader:
        assert [line.kind for line in reader.lines()] == ["input", "trace"]
        assert reader.sealed
    assert whole.read_bytes() == path.read_bytes()
    assert mode(half) == files.MODE


def test_a_trace_is_not_sealed_inside_a_message(tmp_path: Path) -> None:
    """A seal is refused until the message has ended; a cancel inside it is no message of its own."""
    path = tmp_path / "a"
    with TraceWriter(path, members()) as writer:
        writer.input(Input(number=1, body=Tick()))
        writer.input(Input(number=2, body=Cancel(), during=During(input=1, frame=1)))
        with pytest.raises(UsageError, match="input 1 has not ended"):
            writer.seal()
        writer.trace(done(1), EMPTY)
        writer.seal()
        with pytest.raises(EngineClosed):
            writer.seal()
    with TraceReader(path) as reader:
        assert len(list(reader.lines())) == 3
        assert reader.sealed


def test_two_equal_runs_are_equal_files(tmp_path: Path) -> None:
    """In virtual time the bytes of a trace depend on the run alone."""
    assert record(tmp_path / "a").read_bytes() == record(tmp_path / "b").read_bytes()
    assert TOOL_CALL.name == "find"


def test_short_writes_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system takes a line in pieces, all of it arrives."""
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:7]))
    record(tmp_path / "a", messages=1)
    monkeypatch.undo()
    assert (tmp_path / "a").read_bytes() == record(tmp_path / "b", messages=1).read_bytes()
