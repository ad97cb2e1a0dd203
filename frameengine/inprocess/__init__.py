"""Record and replay an agent in its own process: every httpx and httpx2 client, on request clock, chance and ids too."""

from __future__ import annotations

from frameengine.inprocess.block import Receipt
from frameengine.inprocess.record import (
    ExposedSecret,
    Recording,
    UncontrolledDraw,
    UnkeptAnswer,
    UnrecordedConnection,
    recording,
)
from frameengine.inprocess.replay import Replaying, replaying
from frameengine.inprocess.scan import Finding, irreproducible

__all__ = [
    "ExposedSecret",
    "Finding",
    "Receipt",
    "Recording",
    "Replaying",
    "UncontrolledDraw",
    "UnkeptAnswer",
    "UnrecordedConnection",
    "irreproducible",
    "recording",
    "replaying",
]
