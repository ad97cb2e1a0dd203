"""Files that are written in one go stand whole under their name, or not at all."""

from __future__ import annotations

import errno
import os
import signal
import stat
from pathlib import Path

import pytest

from crash_children import call
from frameengine.errors import StorageError, TraceLocked, UsageError
from frameengine.trace.compressed import compress
from frameengine.trace.files import part_of, published
from frameengine.trace.verify import verify
from sample_traces import record


def test_compression_torn_at_any_size_leaves_nothing(tmp_path: Path) -> None:
    """Killed or failing at any size of the target, compression leaves no target, and the next one succeeds over what is left."""
    source = record(tmp_path / "source", messages=5)
    folder = tmp_path / "packed"
    folder.mkdir()
    target = folder / "a.zst"
    compress(source, target)
    size = target.stat().st_size
    target.unlink()
    cuts = [0, 1, size // 3, size // 2, size - 1]
    for cut, die, ended, left in call("tear_compressed", source=str(source), target=str(target), cuts=cuts):
        assert ended == (-signal.SIGXFSZ if die else errno.EFBIG), cut
        assert left == ([part_of(target).name] if die else [])
    call("tear_compressed", source=str(source), target=str(target), cuts=[size // 2])
    part_of(target).write_bytes(b"left by one that was killed")
    compress(source, target)
    assert [found.name for found in folder.iterdir()] == ["a.zst"]
    assert verify(target).counts.inputs == 5


@pytest.mark.parametrize("replace", [False, True])
def test_a_failure_at_any_step_leaves_the_target_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, replace: bool
) -> None:
    """Whether writing, syncing or putting in place fails, the target is as before and nothing else is left."""
    target = tmp_path / "a"
    if replace:
        target.write_bytes(b"old")

    def failing(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "failed")

    steps: list[tuple[object, str]] = [(os, "fsync"), (Path, "replace") if replace else (os, "link")]
    for owner, name in steps:
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, failing)
            with pytest.raises(StorageError, match="failed"), published(target, replace=replace) as file:
                file.write(b"new")
        assert [found.name for found in tmp_path.iterdir()] == (["a"] if replace else [])
    with pytest.raises(ZeroDivisionError), published(target, replace=replace) as file:
        file.write(b"%d" % (1 // 0))
    assert [found.read_bytes() for found in tmp_path.iterdir()] == ([b"old"] if replace else [])


def test_the_bytes_are_synced_before_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """First the file, then its name, then the folder: a power cut at any moment leaves the old state or the whole new one."""
    order: list[str] = []
    sync, link = os.fsync, os.link

    def syncing(descriptor: int) -> None:
        order.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else f"file of {os.fstat(descriptor).st_size}")
        sync(descriptor)

    def linking(source: Path, target: Path) -> None:
        order.append("name")
        link(source, target)

    monkeypatch.setattr(os, "fsync", syncing)
    monkeypatch.setattr(os, "link", linking)
    with published(tmp_path / "a") as file:
        file.write(b"12345")
    assert order == ["file of 5", "name", "folder"]


def test_a_name_that_is_taken_meanwhile_is_not_written_over(tmp_path: Path) -> None:
    """What comes to stand at the target while the file is written stays, and the writer is told."""
    target = tmp_path / "a"
    with pytest.raises(UsageError, match="exists"), published(target):
        target.write_bytes(b"theirs")
    assert target.read_bytes() == b"theirs"
    assert [found.name for found in tmp_path.iterdir()] == ["a"]


def test_a_file_system_without_links_is_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are no hard links the file is put in place by renaming it; other refusals are told."""

    def refusing(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", refusing)
    number = errno.EPERM
    with published(tmp_path / "a") as file:
        file.write(b"new")
    assert (tmp_path / "a").read_bytes() == b"new"
    number = errno.ENOSPC
    with pytest.raises(StorageError), published(tmp_path / "b") as file:
        file.write(b"new")
    assert [found.name for found in tmp_path.iterdir()] == ["a"]


def test_two_that_publish_the_same_are_told(tmp_path: Path) -> None:
    """While one writes a target, another that wants to is refused."""
    with published(tmp_path / "a") as file, pytest.raises(TraceLocked), published(tmp_path / "a"):
        pass
    assert file.closed
    assert (tmp_path / "a").read_bytes() == b""
