"""Places in a run: where a debugger can stand."""

from __future__ import annotations

import re
from functools import total_ordering
from typing import Any, Final

from attrs import frozen

from frameengine.errors import UsageError

_WRITTEN = re.compile(r"@?([0-9]{1,9})(?:\.([0-9]{1,9})(?::([0-9]{1,9}))?)?")
_WHOLE: Final = 1 << 62
"""Stands for all effects of a frame where places are compared."""


@total_ordering
@frozen(order=False)
class Place:
    """A boundary of a run, or a stop inside a frame.

    ``Place(2, 0)``: message 2 has entered, no frame of it has run. ``Place(2, 3)``: its frame 3 is committed. ``Place(2, 3, 1)``:
    inside frame 3, which has begun, one of its effects has its outcome; the state is still the one of ``Place(2, 2)``.
    """

    message: int
    """Number of the input; 0 for the start of the run, before anything has entered."""
    frame: int = 0
    """The newest frame that has begun."""
    effects: int | None = None
    """Outcomes that have arrived in that frame, where it is not committed yet; None at a frame boundary."""

    @property
    def boundary(self) -> Place:
        """The frame boundary whose state holds here."""
        return self if self.effects is None else Place(self.message, self.frame - 1)

    @property
    def whole(self) -> Place:
        """The boundary at the end of the frame."""
        return Place(self.message, self.frame)

    def _order(self) -> tuple[int, int, int]:
        return self.message, self.frame, _WHOLE if self.effects is None else self.effects

    def __lt__(self, other: object) -> bool:
        return self._order() < other._order() if isinstance(other, Place) else NotImplemented

    def __str__(self) -> str:
        if not self.message:
            return "start"
        text = f"{self.message}.{self.frame}"
        return text if self.effects is None else f"{text}:{self.effects}"

    def to_json(self) -> dict[str, Any]:
        """Return the place as plain JSON."""
        return {"message": self.message, "frame": self.frame, "effects": self.effects}


START: Final = Place(0)
"""Before anything has entered."""


def parse_place(text: str) -> Place:
    """Return the place that is written as ``2``, ``2.3`` or ``2.3:1``, with or without an ``@`` before it, or as ``start``.

    Raises `UsageError`.
    """
    if text == "start":
        return START
    match = _WRITTEN.fullmatch(text)
    if match is None:
        hint = "write MESSAGE, MESSAGE.FRAME or MESSAGE.FRAME:EFFECTS, such as 2, 2.3 or 2.3:1"
        raise UsageError(f"{text!r} is no place of a run", hint=hint, place=text)
    message, frame, effects = match.groups()
    return Place(int(message), int(frame or 0), None if effects is None else int(effects))
