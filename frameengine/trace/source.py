"""Open a trace for reading: a regular file, plain or zstd-compressed, whatever its name says."""

from __future__ import annotations

import errno
import os
import stat
from io import BufferedReader, FileIO
from pathlib import Path
from typing import IO, Any, Self

from frameengine.errors import TraceFormat, TraceNotFound

MAGIC = b"\x28\xb5\x2f\xfd"
"""First bytes of a zstd frame."""
WINDOW_LOG_MAX = 23
"""Unpacking takes at most 2**23 bytes for its window, whatever the file asks for; zstd up to level 19 asks for no more."""

_HINTS = {
    errno.ENOENT: "check the name",
    errno.ENOTDIR: "check the name: a part of the path is a file",
    errno.ENAMETOOLONG: "check the name",
    errno.ELOOP: "check the name: its links go round in circles",
    errno.ENXIO: "name a trace file (*.trace.jsonl)",
}


def open_trace(path: Path) -> IO[bytes]:
    """Return the uncompressed bytes of a trace as a stream. Never blocks on a pipe or a device.

    Raises `TraceNotFound` where there is no regular file, and `TraceFormat` where it cannot be read or unpacked.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        hint = _HINTS.get(error.errno or 0, "check the file's permissions")
        raise TraceNotFound(f"{path}: {error.strerror}", hint=hint, path=str(path)) from error
    except ValueError as error:
        raise TraceNotFound(f"{str(path)!r}: {error}", hint="check the name", path=str(path)) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise TraceNotFound(f"{path} is not a file", hint="name a trace file (*.trace.jsonl)", path=str(path))
    file = BufferedReader(FileIO(descriptor), 1 << 18)
    try:
        return _unpacked(file, path) if file.peek(len(MAGIC))[: len(MAGIC)] == MAGIC else file
    except OSError as error:
        file.close()
        raise TraceFormat(f"{path}: {error}", hint="get the file again", path=str(path), line=1) from error
    except BaseException:
        file.close()
        raise


def is_compressed(path: Path) -> bool:
    """Whether *path* is a zstd file. Raises `TraceError` as `open_trace`."""
    with open_trace(path) as file:
        return isinstance(file, _Unpacked)


def zstd(path: Path) -> Any:
    """Return the module that knows zstd. Raises `TraceFormat` where none is installed."""
    try:
        from compression import zstd as module  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        try:
            from backports import zstd as module  # type: ignore[no-redef, unused-ignore]
        except ImportError:
            hint = "pip install backports.zstd"
            raise TraceFormat(f"{path} needs zstd, which is not installed", hint=hint, path=str(path), line=1) from None
    return module


def _unpacked(file: IO[bytes], path: Path) -> IO[bytes]:
    stream: IO[bytes] = _Unpacked(zstd(path), file)  # type: ignore[assignment]
    return stream


class _Unpacked:
    """The part of a file object that a reader uses; a broken stream is an `OSError`, as for any file that cannot be read."""

    def __init__(self, module: Any, file: IO[bytes]) -> None:
        self._broken = (module.ZstdError, EOFError)
        self._file = file
        self._stream = module.ZstdFile(file, options={module.DecompressionParameter.window_log_max: WINDOW_LOG_MAX})

    def readline(self, size: int) -> bytes:
        try:
            return self._stream.readline(size)  # type: ignore[no-any-return]
        except self._broken as error:
            raise OSError(f"the zstd stream is broken: {error}") from None

    def read(self, size: int) -> bytes:
        try:
            return self._stream.read(size)  # type: ignore[no-any-return]
        except self._broken as error:
            raise OSError(f"the zstd stream is broken: {error}") from None

    def fileno(self) -> int:
        return self._file.fileno()

    def close(self) -> None:
        self._stream.close()
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
