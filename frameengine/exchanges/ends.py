"""How an answer ends, and what of it waits for that: clients leave at the last event, often before the body's own end."""

from __future__ import annotations

import re

from frameengine.codec import Undecodable, loads
from frameengine.limits import FOREIGN_BYTES_MAX

EVENTS = "text/event-stream"
STREAMS = (EVENTS, "application/x-ndjson", "application/ndjson", "application/jsonl", "application/stream+json")
"""Types of answers that are made to be read piece by piece: events, and JSON documents, one in a line."""
_NEWLINE = re.compile(rb"\r\n?|\n")
_BOM = b"\xef\xbb\xbf"
_DATA = b"data:"
_DONE = b"[DONE]"
_LAST = ("message_stop", "response.completed", "response.incomplete", "response.failed")
"""Types of the last event of Anthropic's messages and of responses."""
_SIGNS = (b"message_stop", b"response.", b'"done"')
"""One of these stands in every document that may be the last: the cheap look before the thorough one."""
_SHORT = 64
"""Bytes up to which a line counts before its newline is there: some clients do not wait for it."""


def is_stream(content_type: str) -> bool:
    """Return whether answers of a type are made to be read piece by piece."""
    return content_type.partition(";")[0].strip().lower() in STREAMS


class EndMark:
    """Looks for the last event of a stream that comes in pieces: whoever has that event takes the answer for whole.

    It goes by what a whole event is, never by what its texts and arguments say; a body that is no stream has no such event.
    """

    def __init__(self, content_type: str) -> None:
        self._events = content_type.partition(";")[0].strip().lower() == EVENTS
        self._looking = is_stream(content_type)
        self._line = bytearray()
        self._after_cr = False
        self._first = True
        self._inside = False
        self.seen = False
        """Whether the last event has come, and no other behind it."""

    def add(self, data: bytes) -> bool:
        """Take a piece; return `seen`."""
        if not self._looking or not data:
            return self.seen
        start = 1 if self._after_cr and data.startswith(b"\n") else 0
        self._after_cr = data.endswith(b"\r")
        for end in _NEWLINE.finditer(data, start):
            self._line += data[start : end.start()]
            start = end.end()
            self._take(bytes(self._line))
            self._line.clear()
        self._line += data[start:]
        if len(self._line) > FOREIGN_BYTES_MAX:
            self._looking = self.seen = False
            self._line.clear()
        elif 0 < len(self._line) <= _SHORT:
            self.seen = self.seen or self._ends(bytes(self._line))
        return self.seen

    def _take(self, line: bytes) -> None:
        """Take a whole line."""
        if self._first:
            self._first, line = False, line.removeprefix(_BOM)
        if not self._events:
            self.seen = self._ends(line) if line.strip() else self.seen
        elif not line:
            self._inside = False
        elif line.startswith(_DATA):
            # None that is spread over several lines is a last one.
            self.seen, self._inside = self._ends(line), True

    def _ends(self, line: bytes) -> bool:
        if self._events:
            if self._inside or not line.startswith(_DATA):
                return False
            line = line[len(_DATA) :].strip()
            if line == _DONE:
                return True
        if not any(sign in line for sign in _SIGNS):
            return False
        try:
            event = loads(line)
        except Undecodable:
            return False
        return isinstance(event, dict) and (event.get("type") in _LAST if self._events else event.get("done") is True)


class Holding:
    """Holds back the end of an answer until it is written down: its last bytes, or the piece with a stream's last event."""

    def __init__(self, length: int | None, content_type: str) -> None:
        """*length* is what the head says of the bytes on the wire; None where it does not."""
        self._left = length
        self._mark = EndMark(content_type)
        self.held = b""
        """What is not handed on yet."""

    @property
    def whole(self) -> bool:
        """Whether all has come that the head or the stream itself said would come."""
        return self._mark.seen if self._left is None else self._left <= 0

    @property
    def exact(self) -> bool:
        """Whether it is the head's length that has been reached: what goes wrong then is no loss."""
        return self._left is not None and self._left <= 0

    def take(self, piece: bytes, plain: bytes) -> bytes:
        """Take what came, as it came and unpacked; return what may be handed on. What was no end after all goes with the next."""
        if self._left is not None:
            self._left -= len(piece)
        self._mark.add(plain)
        waiting = self.held + piece
        self.held = waiting if self.whole else b""
        return b"" if self.whole else waiting

    def flush(self) -> bytes:
        """Return what is held back, which is to be handed on now."""
        held, self.held = self.held, b""
        return held
