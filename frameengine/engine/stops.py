"""Where a driven message stops, and what the caller gives back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from attrs import frozen

from frameengine.effects import Answer, Call, EffectKey
from frameengine.inputs import Input
from frameengine.jsonvalue import EMPTY
from frameengine.records import Frame


@frozen
class Ask:
    """Nodes wait for effects. Give back answers to any of them, in any order."""

    new: tuple[Call, ...]
    """Effects that were not in the Ask before, in graph and call order."""
    outstanding: Mapping[EffectKey, Call]
    """All effects without an answer, the new ones included."""


@frozen
class Committed:
    """A frame is committed. Give back inputs that came in meanwhile (ticks, dashboards): they enter before the next frame."""

    frame: Frame
    """The frame's records."""
    raised: Mapping[str, str] = EMPTY
    """Name of a node that raised -> file:line in its own code; in no digest."""


Stop: TypeAlias = Ask | Committed


@frozen
class Reply:
    """What a caller gives back at a stop."""

    answers: tuple[Answer, ...] = ()
    """At an Ask: outcomes."""
    late: tuple[Input, ...] = ()
    """At a Committed: inputs that arrived during this message."""
    cancel: bool = False
    """At an Ask: the message is cancelled; every outstanding effect must have an answer."""


NO_REPLY = Reply()
"""What a caller gives back who has nothing to say."""
