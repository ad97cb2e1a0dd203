"""How a stream of events says that nothing follows: clients leave there, often before the body's own end."""

from __future__ import annotations

import re

_END = re.compile(
    rb'^data: ?\[DONE\]|"type": ?"message_stop"|"type": ?"response\.(?:completed|incomplete|failed)"|"done": ?true', re.MULTILINE
)
"""The last event of chat completions, Anthropic's messages, responses, and Ollama. In a text its quotes would be escaped."""
_WINDOW = 64
"""Bytes that such a mark may be spread over."""


class EndMark:
    """Looks for the last event of a stream that comes in pieces. Whoever has that event takes the answer for whole."""

    def __init__(self, content_type: str) -> None:
        # A body that is one JSON document has its own end, and may say anything about done.
        self._looking = content_type.partition(";")[0].strip().lower() != "application/json"
        self._tail = b""
        self.seen = False

    def add(self, data: bytes) -> bool:
        """Take a piece; return whether the last event has begun."""
        if self._looking and not self.seen:
            window = self._tail + data
            self.seen = _END.search(window) is not None
            self._tail = window[-_WINDOW:]
        return self.seen
