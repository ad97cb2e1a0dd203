"""Sealed traces in zstd form: read as a stream with a byte budget, whatever the file claims of itself."""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any

from frameengine.errors import TraceFormat

MAGIC = b"\x28\xb5\x2f\xfd"
"""First bytes of a zstd frame."""


def is_compressed(file: IO[bytes]) -> bool:
    """Whether *file*, standing at its start, is a zstd stream. It stays at its start."""
    return file.peek(len(MAGIC))[: len(MAGIC)] == MAGIC  # type: ignore[attr-defined, no-any-return]


def open_compressed(file: IO[bytes], path: Path) -> IO[bytes]:
    """Return the decompressed stream of *file*."""
    try:
        zstd = _zstd()
    except ImportError:
        file.close()
        raise TraceFormat(f"{path} is zstd-compressed", hint="pip install backports.zstd", path=str(path), line=1) from None
    stream: IO[bytes] = _Stream(zstd, file)  # type: ignore[assignment]
    return stream


def _zstd() -> Any:
    try:
        from compression import zstd  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        from backports import zstd
    return zstd


class _Stream:
    """The part of a file object that the reader uses; a broken stream is an OSError, as for any file."""

    def __init__(self, zstd: Any, file: IO[bytes]) -> None:
        self._error = zstd.ZstdError
        self._file = file
        self._stream = zstd.ZstdFile(file)

    def readline(self, size: int) -> bytes:
        try:
            return self._stream.readline(size)  # type: ignore[no-any-return]
        except (self._error, EOFError) as error:
            raise OSError(f"the zstd stream is broken: {error}") from None

    def read(self, size: int) -> bytes:
        try:
            return self._stream.read(size)  # type: ignore[no-any-return]
        except (self._error, EOFError) as error:
            raise OSError(f"the zstd stream is broken: {error}") from None

    def close(self) -> None:
        self._stream.close()
        self._file.close()


def compress(path: Path, target: Path) -> None:
    """Write the zstd form of a sealed trace. Raises `TraceError` where *path* is not a sealed trace."""
    from frameengine.trace.reader import TraceReader

    with TraceReader(path) as reader:
        for _ in reader.lines():
            pass
    zstd = _zstd()
    temporary = target.with_name(target.name + ".part")
    with path.open("rb") as source, zstd.open(temporary, "wb", level=19) as sink:
        while block := source.read(1 << 20):
            sink.write(block)
    temporary.replace(target)
