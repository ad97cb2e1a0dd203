"""Who writes a trace: read from the header of a file that is locked."""

from __future__ import annotations

from pathlib import Path

from frameengine.codec import Undecodable, loads
from frameengine.limits import LINE_BYTES_MAX


def owner_of(path: Path) -> str:
    """Return what the header says of its writer (``meta.owner``), or that it does not say."""
    try:
        with path.open("rb") as file:
            header = loads(file.readline(LINE_BYTES_MAX))
        owner = header["meta"]["owner"]
    except (OSError, Undecodable, KeyError, TypeError):
        return "another process (its header does not say which)"
    return str(owner)
