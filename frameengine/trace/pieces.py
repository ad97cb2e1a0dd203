"""Pieces of a reply that are shown before it is whole: as far as no secret stands in them, and none may be beginning."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

from attrs import define

from frameengine.effects import Call, EffectKey

Told: TypeAlias = Callable[[Call, str | None], None]
LOOKBACK = 100
"""Code points before what is not shown yet that are looked at again: what makes a secret of a text may stand before it."""
HELD_MAX = 8_192
"""Code points that are held back at most; of a reply that needs more, nothing else is shown until it is whole."""


@define
class _Reply:
    call: Call
    tail: str = ""
    """The end of what has come: at most `LOOKBACK` code points that are shown, then what is held."""
    shown: int = 0
    """Code points of it that are shown."""
    stopped: bool = False
    """Whether the rest is shown by its node alone, which is given placeholders."""


class Pieces:
    """Tells of pieces as far as they are safe. The rest of a reply, from its first secret on, comes with what its node says."""

    def __init__(self, told: Told, spans: Callable[[str], Iterator[tuple[int, int]]], opening: Callable[[str], int]) -> None:
        """*spans* finds secrets in a text, *opening* the place from which on its end may be the beginning of one."""
        self._told = told
        self._spans = spans
        self._opening = opening
        self._replies: dict[EffectKey, _Reply] = {}

    def __call__(self, call: Call, text: str | None) -> None:
        """Take a piece of the reply to *call*; None where the pieces so far do not hold."""
        key = call.key
        if text is None:
            self._replies.pop(key, None)
            self._told(call, None)
            return
        if key not in self._replies:
            # Those of another frame are over.
            self._replies = {other: reply for other, reply in self._replies.items() if other[:2] == key[:2]}
            self._replies[key] = _Reply(call)
        reply = self._replies[key]
        if reply.stopped:
            return
        reply.tail += text
        first = min([start for start, _ in self._spans(reply.tail)], default=None)
        safe = self._opening(reply.tail) if first is None else first
        reply.stopped = first is not None or len(reply.tail) - reply.shown > HELD_MAX
        self._show(reply, safe)
        over = max(reply.shown - LOOKBACK, 0)
        reply.tail, reply.shown = reply.tail[over:], reply.shown - over

    def finish(self, key: EffectKey) -> None:
        """Show what was held of a reply that is whole now, unless a secret stands in it."""
        reply = self._replies.pop(key, None)
        if reply is not None and not reply.stopped and not any(self._spans(reply.tail)):
            self._show(reply, len(reply.tail))

    def _show(self, reply: _Reply, end: int) -> None:
        if end > reply.shown:
            piece, reply.shown = reply.tail[reply.shown : end], end
            self._told(reply.call, piece)
