"""Look for processes of this machine: those below this one, and those that carry a mark."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def _each(name: str) -> Iterator[tuple[int, bytes]]:
    """Yield each process with what its file *name* holds; those that end meanwhile are left out."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                yield int(entry.name), (entry / name).read_bytes()
            except OSError:
                continue


def children() -> list[int]:
    """Return the numbers of all processes below this one, the dead ones that nobody buried included."""
    parents = {pid: int(line.rpartition(b")")[2].split()[1]) for pid, line in _each("stat")}
    found, left = [], [os.getpid()]
    while left:
        parent = left.pop()
        below = [pid for pid, above in parents.items() if above == parent]
        found += below
        left += below
    return sorted(found)


def marked(mark: str) -> list[int]:
    """Return the numbers of all processes that have this word on their command line."""
    return [pid for pid, line in _each("cmdline") if mark.encode() in line.split(b"\0")]
