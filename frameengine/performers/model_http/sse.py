"""Read a stream of server-sent events by the rules of the WHATWG: bytes in, events out, however the bytes are cut."""

from __future__ import annotations

import re
from collections.abc import Iterator

from attrs import frozen

from frameengine.limits import MODEL_EVENT_BYTES_MAX, check

_NEWLINE = re.compile(rb"\r\n?|\n")
BOM = b"\xef\xbb\xbf"


@frozen
class Event:
    """One event. Its id and its retry time mean nothing here."""

    type: str
    """``message`` where the stream does not say."""
    data: str
    """Its data lines, joined by newlines."""


class Parser:
    """Takes the bytes of one stream. What no blank line ends is no event, so a stream that is cut gives no half of one."""

    def __init__(self) -> None:
        self.replaced = False
        """Whether bytes that are no UTF-8 were replaced by U+FFFD."""
        self._line = bytearray()
        self._first = True
        self._after_cr = False
        self._type = ""
        self._data: list[str] = []
        self._size = 0

    def feed(self, data: bytes) -> Iterator[Event]:
        """Yield the events that *data* completes. Raises `LimitError` for one beyond `limits.MODEL_EVENT_BYTES_MAX`."""
        if not data:
            return
        start = 1 if self._after_cr and data.startswith(b"\n") else 0
        self._after_cr = data.endswith(b"\r")
        for end in _NEWLINE.finditer(data, start):
            self._line += data[start : end.start()]
            start = end.end()
            self._check()
            event = self._take(bytes(self._line))
            self._line.clear()
            if event is not None:
                yield event
        self._line += data[start:]
        self._check()

    def _check(self) -> None:
        actual = self._size + len(self._line)
        check("an event of a model's stream, in bytes,", MODEL_EVENT_BYTES_MAX, actual, "let the endpoint send smaller events")

    def _take(self, raw: bytes) -> Event | None:
        if self._first:
            self._first = False
            raw = raw.removeprefix(BOM)
        if not raw:
            return self._dispatch()
        line = raw.decode(errors="replace")
        self.replaced = self.replaced or ("\ufffd" in line and line.encode() != raw)
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
            self._size += len(raw)
        elif name == "event":
            self._type = value
        return None

    def _dispatch(self) -> Event | None:
        event = Event(self._type or "message", "\n".join(self._data)) if self._data else None
        self._type, self._size = "", 0
        self._data.clear()
        return event
