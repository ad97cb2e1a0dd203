"""Who writes a trace: read from the header of a file that is locked, else from the system's list of locks."""

from __future__ import annotations

import os
from pathlib import Path

from frameengine.codec import Undecodable, loads
from frameengine.limits import LINE_BYTES_MAX

LOCKS = Path("/proc/locks")
"""Where Linux lists who holds which lock."""
OWNER_MAX = 200
"""Code points of an owner's name that are shown: the header comes from a file, and may say anything."""


def owner_of(path: Path) -> str:
    """Return what the header says of its writer (``meta.owner``), else the process that holds the lock, else that nobody says."""
    try:
        with path.open("rb") as file:
            header = loads(file.readline(LINE_BYTES_MAX))
        return str(header["meta"]["owner"])[:OWNER_MAX]
    except (OSError, Undecodable, KeyError, TypeError):
        return _holder(path) or "another process (its header does not say which)"


def _holder(path: Path) -> str:
    """Return the process that holds an exclusive lock on *path*; empty where the system does not tell."""
    try:
        status = path.stat()
        locks = LOCKS.read_text(encoding="ascii").split("\n")
    except (OSError, UnicodeDecodeError):
        return ""
    place = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    for line in locks:
        words = line.split()
        # Processes of another namespace are listed as 0 or -1.
        if words[1:4] == ["FLOCK", "ADVISORY", "WRITE"] and words[5] == place and words[4].isdecimal() and words[4] != "0":
            return f"process {words[4]}"
    return ""
