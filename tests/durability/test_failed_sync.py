"""After a failed sync nothing is acknowledged, nothing is tried again, and what was acknowledged is there."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from frameengine.errors import EngineClosed, StorageError
from frameengine.inputs import Input, Tick
from frameengine.trace import files
from frameengine.trace import writer as module
from frameengine.trace.reader import TraceReader
from frameengine.trace.writer import TraceWriter
from sample_traces import Recording, converse, members

MESSAGES = 2


class Failing:
    """A system call that fails at its *k*-th use, once only: trying again would seem to work."""

    def __init__(self, call: Callable[..., object], k: int, number: int) -> None:
        self.call, self.k, self.number, self.used = call, k, number, 0

    def __call__(self, *arguments: object) -> object:
        """Make the call, or fail."""
        self.used += 1
        if self.used == self.k:
            raise OSError(self.number, os.strerror(self.number))
        return self.call(*arguments)


def run(path: Path, acknowledged: list[int]) -> StorageError | None:
    """Write a durable conversation and return what stopped it."""
    writer = None
    try:
        with TraceWriter(path, members(), durability="durable") as writer:
            acknowledged.append(writer.lines)
            for _ in converse(Recording(writer, acknowledged.append), MESSAGES):
                pass
            writer.seal()
            acknowledged.append(writer.lines)
    except StorageError as error:
        if writer is not None:
            with pytest.raises(EngineClosed):
                writer.input(Input(number=9, body=Tick()))
            with pytest.raises((EngineClosed, StorageError)):
                writer.seal()
        return error
    return None


def uses(monkeypatch: pytest.MonkeyPatch, path: Path, name: str) -> int:
    """Return how often a whole run uses a system call."""
    counting = Failing(getattr(os, name), 0, 0)
    with monkeypatch.context() as patch:
        patch.setattr(os, name, counting)
        assert run(path, []) is None
    path.unlink()
    return counting.used


@pytest.mark.parametrize(
    ("name", "number"), [("fsync", errno.EIO), ("fsync", errno.EDQUOT), ("write", errno.EIO), ("write", errno.ENOSPC)]
)
def test_a_failure_at_any_call_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, number: int) -> None:
    """Whichever sync or write fails, the error names it, the call is not repeated, and no later line is acknowledged."""
    path = tmp_path / "a"
    total = uses(monkeypatch, path, name)
    assert total > 10
    for k in range(1, total + 1):
        acknowledged: list[int] = []
        failing = Failing(getattr(os, name), k, number)
        with monkeypatch.context() as patch:
            patch.setattr(os, name, failing)
            error = run(path, acknowledged)
        assert error is not None, k
        assert error.fields["errno"] == number
        assert error.hint
        assert failing.used == k, "tried again"
        lines = path.read_bytes().count(b"\n")
        assert max(acknowledged, default=0) <= lines
        if lines:
            with TraceReader(path, damaged=True) as reader:
                for line in reader.lines():
                    line.canonical()
            assert max(acknowledged, default=0) <= reader.line_count
            if not reader.sealed:
                assert reader.problem is not None
        path.unlink()


def test_a_writer_that_tries_again_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check above tells a writer that repeats a failed sync from ours."""
    sync = Failing(os.fsync, 3, errno.EIO)

    def stubborn(descriptor: int) -> None:
        try:
            sync(descriptor)
        except OSError:
            sync(descriptor)

    monkeypatch.setattr(os, "fsync", stubborn)
    assert run(tmp_path / "a", []) is None
    assert sync.used > sync.k


def test_each_acknowledged_line_was_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In durable mode every outcome, frame and trace is synced before it is acknowledged, and so is the name of the file."""
    synced: list[int] = []
    folders: list[bool] = []
    sync = os.fsync

    def noting(descriptor: int) -> None:
        sync(descriptor)
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        folders.append(is_folder)
        if not is_folder:
            synced.append(os.fstat(descriptor).st_size)

    monkeypatch.setattr(os, "fsync", noting)
    path = tmp_path / "a"
    with TraceWriter(path, members(), durability="durable") as writer:
        assert folders == [False, True]

        class Checking(Recording):
            def __getattr__(self, name: str) -> Callable[..., None]:
                write = super().__getattr__(name)

                def checked(*values: object) -> None:
                    write(*values)
                    if name != "input":
                        assert synced[-1] == path.stat().st_size, name

                return checked

        for _ in converse(Checking(writer, lambda _: None), MESSAGES):
            pass
        writer.seal()
    assert synced[-1] == path.stat().st_size
    assert folders[-1] is True


def test_a_close_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that is reported as lost only when the file is closed is told; after another failure, that one is."""
    writer = TraceWriter(tmp_path / "a", members())
    close = os.close

    def failing(descriptor: int) -> None:
        close(descriptor)
        raise OSError(errno.EIO, "lost")

    monkeypatch.setattr(os, "close", failing)
    with pytest.raises(StorageError, match="lost"):
        writer.close()
    writer.close()
    monkeypatch.undo()
    writer = TraceWriter(tmp_path / "b", members())
    monkeypatch.setattr(os, "close", failing)
    monkeypatch.setattr(module, "write_all", Failing(files.write_all, 1, errno.ENOSPC))
    with pytest.raises(StorageError) as caught:
        writer.input(Input(number=1, body=Tick()))
    assert caught.value.fields["errno"] == errno.ENOSPC
