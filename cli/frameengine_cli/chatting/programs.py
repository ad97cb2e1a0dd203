"""A conversation for programs: one JSON document on each line of stdout."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from frameengine.effects import EffectKey
from frameengine.jsonvalue import FrozenMap
from frameengine.node import TEXT_EVENT
from frameengine.records import Emission
from frameengine_cli import output
from frameengine_cli.chatting.session import Turn


class Programs:
    """Writes each thing when it happens. ``kind`` says what it is, ``ok`` is false for what failed."""

    def __init__(self) -> None:
        self._shown: dict[EffectKey, None] = {}

    def on_preview(self, key: EffectKey, _: int, emission: Emission) -> None:
        """Tell a piece of text at once."""
        if emission.event == TEXT_EVENT:
            self._shown[key] = None
            stream, text = emission.data["stream"], emission.data["text"]
            self._tell("text", {"input": key.input, "node": key.node, "stream": stream, "text": text})

    def on_retract(self, key: EffectKey) -> None:
        """Take texts back."""
        if key in self._shown:
            self._tell("withdrawn", {"input": key.input, "node": key.node}, ok=False)

    def hud(self, event: FrozenMap) -> None:
        """Tell an event of a committed frame."""
        self._tell("hud", {name: value for name, value in event.items() if name not in ("type", "kind", "ok", "schema_version")})

    def turn(self, turn: Turn) -> None:
        """Tell what became of an input."""
        self._shown.clear()
        told = turn.told
        members = {
            **{name: value for name, value in told.trace.wire().items() if name != "kind"},
            "type": told.input.type,
            "response": told.response,
            "controls": turn.controls,
            "problems": turn.problems,
        }
        self._tell("message", members, ok=not turn.failed)

    def result(self, kind: str, members: dict[str, Any], _: Callable[[], Any]) -> None:
        """Tell what a command gave."""
        self._tell(kind, members)

    def _tell(self, kind: str, members: dict[str, Any], *, ok: bool = True) -> None:
        output.document({"kind": kind, **members}, ok=ok)
        sys.stdout.flush()
