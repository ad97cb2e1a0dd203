"""Write the zstd form of a sealed trace. Reading needs nothing of this: `source.open_trace` unpacks as it reads."""

from __future__ import annotations

from pathlib import Path

from frameengine.errors import InternalError, UsageError
from frameengine.trace.files import part_of, published
from frameengine.trace.reader import TraceReader
from frameengine.trace.source import WINDOW_LOG_MAX, is_compressed, open_trace, zstd

LEVEL = 19
"""The highest level whose window every reader grants: a trace is compressed once and kept for long."""
SUFFIX = ".zst"
_BLOCK = 1 << 18


def compress(path: Path, target: Path, *, replace: bool = False) -> None:
    """Write the zstd form of a sealed trace, whole or not at all.

    Raises `TraceError` where *path* is not a sealed trace, `UsageError` where it is compressed already or *target* exists, and
    `StorageError`.
    """
    if is_compressed(path):
        raise UsageError(f"{path} is compressed already", hint="use it as it is: every command reads it", path=str(path))
    head = _head(path)
    module = zstd(path)
    parameter = module.CompressionParameter
    options = {parameter.compression_level: LEVEL, parameter.window_log: WINDOW_LOG_MAX, parameter.checksum_flag: 1}
    with published(target, replace=replace) as sink:
        with open_trace(path) as source, module.ZstdFile(sink, "w", options=options) as packed:
            while block := source.read(_BLOCK):
                packed.write(block)
        sink.flush()
        if _head(part_of(target)) != head:
            raise InternalError(f"{target}: what was packed is not what was read", hint="is something writing to the file?")


def _head(path: Path) -> str:
    """Return the chain value of the seal of a trace, proven line by line."""
    with TraceReader(path) as reader:
        for _ in reader.lines():
            pass
        return reader.head
