"""The feed in a file: one JSON object a line, in numbered segments, so that nothing is dropped (C54 to C56, W35, W36)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

from attrs import frozen

from frameengine.codec import dumps
from frameengine.errors import FrameEngineError, UsageError
from frameengine.foreign import parse
from frameengine.jsonvalue import FrozenMap, freeze
from frameengine.trace.files import storage_error

SEGMENT_BYTES: Final = 500_000
"""Size after which a segment is closed and the next begun."""
LAST: Final = 30
"""Lines that a reader gets unless it asks for another number."""


@frozen
class Read:
    """The newest lines of a log."""

    lines: tuple[FrozenMap, ...]
    """Oldest first."""
    skipped: int
    """Lines among the newest that were no JSON objects."""


class FeedLog:
    """A sink that appends each event to ``NAME.jsonl``; full segments are called ``NAME.1.jsonl``, ``NAME.2.jsonl``, ….

    Each line has the session's name and the time of its event, which is read once (W36) and never goes back.
    """

    def __init__(self, path: Path, *, session: str, now: Callable[[], str], segment_bytes: int = SEGMENT_BYTES) -> None:
        """*now* gives the local time with milliseconds, as text that sorts by time."""
        self.path = path
        self._session = session
        self._now = now
        self._bound = segment_bytes
        self._newest = ""

    def __call__(self, told: FrozenMap) -> None:
        """Append one event. Raises `StorageError` where it cannot be written."""
        self._newest = max(self._newest, self._now())
        members = {name: value for name, value in told.items() if name != "type"}
        line = dumps(freeze({"ts": self._newest, "session": self._session, **members})) + b"\n"
        try:
            with self.path.open("ab") as file:
                file.write(line)
                full = file.tell() > self._bound
            if full:
                self.path.rename(_segment(self.path, _count(self.path) + 1))
        except OSError as error:
            raise storage_error(self.path, error) from error


def read(path: Path, last: int = LAST) -> Read:
    """Return the newest *last* lines of the log at *path*; none where there is no such file (C56).

    Raises `UsageError` where *last* is negative; 0 is no line, not all of them (W29).
    """
    if last < 0:
        raise UsageError(f"{last} lines cannot be read", hint="ask for 0 or more", last=last)
    lines: deque[FrozenMap] = deque()
    skipped = 0
    segments = [path, *[_segment(path, number) for number in range(_count(path), 0, -1)]]
    for file in segments:
        if len(lines) >= last:
            break
        try:
            raw = file.read_bytes() if file.exists() else b""
        except OSError as error:
            raise storage_error(file, error) from error
        for line in reversed(raw.split(b"\n")):
            if not line or len(lines) >= last:
                continue
            value = _parsed(line)
            if value is None:
                skipped += 1
            else:
                lines.appendleft(value)
    return Read(tuple(lines), skipped)


def _parsed(line: bytes) -> FrozenMap | None:
    try:
        value = parse(line)
    except FrameEngineError:
        return None
    return value if isinstance(value, FrozenMap) else None


def _segment(path: Path, number: int) -> Path:
    return path.with_name(f"{path.stem}.{number}{path.suffix}")


def _count(path: Path) -> int:
    """Return how many full segments there are; they are numbered without gaps."""
    number = 0
    while _segment(path, number + 1).exists():
        number += 1
    return number
