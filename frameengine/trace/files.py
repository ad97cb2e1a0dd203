"""Files that are written whole and by one writer: creating, locking, syncing, and putting in place at once."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from frameengine.errors import FrameEngineError, StorageError, TraceLocked, UsageError
from frameengine.trace.owner import owner_of
from frameengine.trace.source import open_trace

MODE = 0o600
"""Only the owner reads a trace: it holds conversations."""


def create(path: Path, *, replace: bool = False, empty: bool = True) -> int:
    """Open a new file for one writer and return its descriptor; its mode is `MODE`, whatever the umask.

    An existing file is left alone unless *replace*, and even then while somebody writes it; what it holds goes at once, or stays
    until the caller cuts it off where *empty* is false. Raises `TraceLocked`, `UsageError`
    (it exists, or is no regular file) or `StorageError`.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags, MODE)
    except OSError as error:
        raise storage_error(path, error) from error
    except ValueError as error:
        raise UsageError(f"{str(path)!r} cannot be the name of a file: {error}", hint="choose another name") from None
    try:
        _take(descriptor, path, replace=replace, empty=empty)
    except OSError as error:
        os.close(descriptor)
        raise storage_error(path, error) from error
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _take(descriptor: int, path: Path, *, replace: bool, empty: bool) -> None:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise UsageError(f"{path} is not a regular file", hint="choose another name", path=str(path))
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise locked(path) from None
    # Another writer may have put the file elsewhere between opening and locking: its lines would be cut, ours would be nowhere.
    if not os.path.samestat(status, path.stat(follow_symlinks=False)):
        raise FileNotFoundError(errno.ENOENT, "the file was moved away while it was opened")
    if os.fstat(descriptor).st_size:
        if not replace:
            raise _exists(path)
        if empty:
            os.ftruncate(descriptor, 0)
    if stat.S_IMODE(status.st_mode) != MODE:
        os.fchmod(descriptor, MODE)


def locked(path: Path) -> TraceLocked:
    """Return the error that names who writes *path*."""
    owner = owner_of(path)
    return TraceLocked(
        f"{path} is being written by {owner}", hint="wait for it, or choose another name", path=str(path), owner=owner
    )


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of *data*, in as many pieces as the system takes it."""
    written = os.write(descriptor, data)
    while written < len(data):
        data = data[written:]
        written = os.write(descriptor, data)


def sync_folder(path: Path) -> None:
    """Make the name of the file at *path* last through a power cut."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def part_of(target: Path) -> Path:
    """Return where a file stands while `published` has not put it in place."""
    return target.with_name(f".{target.name}.part")


def check_absent(target: Path, *, replace: bool = False) -> None:
    """Raise `UsageError` where *target* exists and is not to be replaced."""
    if not replace and os.path.lexists(target):
        raise _exists(target)


@contextmanager
def published(target: Path, *, replace: bool = False) -> Iterator[IO[bytes]]:
    """Yield a file whose contents stand at *target* once the block has ended well, synced; otherwise nothing stands there.

    Raises what `create` raises; `UsageError` where *target* exists and is not to be replaced.
    """
    check_absent(target, replace=replace)
    part = part_of(target)
    file = os.fdopen(create(part, replace=True), "wb")
    try:
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
            _place(part, target, replace=replace)
            sync_folder(target)
        finally:
            with suppress(FileNotFoundError):
                part.unlink()
            # After a failed write this one fails too, for what is still in memory.
            file.close()
    except OSError as error:
        raise storage_error(target, error) from error


def _place(part: Path, target: Path, *, replace: bool) -> None:
    if replace:
        part.replace(target)
        return
    try:
        # Unlike a rename, a link never takes the place of what came to stand there meanwhile.
        os.link(part, target)
    except FileExistsError:
        raise _exists(target) from None
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP):
            raise
        part.rename(target)


def _exists(target: Path) -> UsageError:
    hint = "choose another name, or write over it with --force (in Python: replace=True)"
    return UsageError(f"{target} exists", hint=hint, path=str(target))


_KEPT = "what was acknowledged is in the file and readable"
_HINTS = {
    errno.ENOSPC: f"free some space; {_KEPT}",
    errno.EDQUOT: f"the quota is used up: free some space; {_KEPT}",
    errno.EFBIG: f"the file size limit is reached; {_KEPT}",
    errno.EIO: f"the device failed: look at the system's log before you trust it again; {_KEPT}",
    errno.EROFS: "choose a folder that can be written to",
    errno.EACCES: "choose a folder that can be written to",
    errno.EPERM: "choose a folder whose file system keeps permissions and lets you write",
    errno.ENOENT: "make the folder first",
    errno.ENOTDIR: "a part of the path is a file; choose another folder",
    errno.EISDIR: "name a file, not a folder",
    errno.ELOOP: "name the file itself, not a link to it",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EMFILE: "too many files are open in this process: close some, or raise 'ulimit -n'",
    errno.ENFILE: "too many files are open on this machine",
    errno.ENOLCK: "choose a folder whose file system has locks",
    errno.EOPNOTSUPP: "choose a folder whose file system has locks",
}


def storage_error(path: Path, error: OSError) -> StorageError:
    """Say what the operating system refused, and what to do about it."""
    hint = _HINTS.get(error.errno or 0, f"see the operating system's message; {_KEPT}")
    return StorageError(f"{path}: {error.strerror or error}", hint=hint, path=str(path), errno=error.errno)


def writer_of(path: Path) -> str:
    """Return who is writing a trace at this moment; empty where nobody is."""
    try:
        with steady(path):
            return ""
    except TraceLocked as error:
        return str(error.fields["owner"])
    except FrameEngineError:
        return ""


@contextmanager
def steady(path: Path) -> Iterator[None]:
    """Keep writers away from a trace that is read more than once. Raises `TraceLocked` where one is at it already."""
    with open_trace(path) as file:
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            raise locked(path) from None
        except OSError as error:
            raise storage_error(path, error) from error
        yield
