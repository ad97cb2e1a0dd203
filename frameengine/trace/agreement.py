"""Prove that the lines of a trace tell of each other: records of their outcomes, figures of what was counted. No code runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from frameengine.effects import EffectKey
from frameengine.errors import TraceIntegrity
from frameengine.trace.reader import Line

_HINT = "the file was put together by something else than this tool; record again"


class Agreement:
    """What was read of the message under way, to be held against the line that tells of it."""

    def __init__(self, path: Path) -> None:
        """Say *path* in errors."""
        self._path = path
        self._outcomes: dict[EffectKey, list[Any]] = {}
        self._frames = self._main = self._calls = 0

    def take(self, line: Line) -> None:
        """Take the next line, decoded to its last member. Raises `TraceFormat`, `TraceIntegrity` where it contradicts others."""
        decode(line)
        if line.kind == "outcome":
            self._outcome(line)
        elif line.kind == "frame":
            self._frame(line)
        elif line.kind == "trace":
            self._trace(line)

    def _outcome(self, line: Line) -> None:
        """Keep what a record must say of an outcome, made anew: a line may hold in place what is elsewhere a reference."""
        key, outcome, call = line.key(), line.outcome(), line.call()
        if key in self._outcomes:
            raise self._contradiction(line, f"a second outcome for {key}")
        effect = call.effect
        self._outcomes[key] = [key.call, effect.kind, effect.name, outcome.status, call.digest, outcome.digest]

    def _frame(self, line: Line) -> None:
        data = line.data
        number, frame = data["input"], data["frame"]
        told = [(record["node"], *call) for record in data["records"] for call in record.get("calls", ())]
        kept = {(key.node, *call): key for key, call in self._outcomes.items() if (key.input, key.frame) == (number, frame)}
        for call in told:
            if kept.pop(call, None) is None:
                place = EffectKey(number, frame, call[0], call[1])
                raise self._contradiction(line, f"the record of {place} tells of another call or outcome than the file holds")
        if kept or len(told) != len(self._outcomes):
            key = next(iter(kept.values() or self._outcomes))
            raise self._contradiction(line, f"no record of frame {frame} of input {number} tells of the outcome {key}")
        self._outcomes.clear()
        self._frames += 1
        self._calls += len(told)
        if "phase" not in data:
            self._main = max(self._main, frame)

    def _trace(self, line: Line) -> None:
        counted = {"total_frames": self._main, "frames": self._frames, "calls": self._calls}
        for name, actual in counted.items():
            if line.value[name] != actual:
                raise self._contradiction(line, f"input {line.value['input']} has {actual} {name}, not {line.value[name]}")
        self._frames = self._main = self._calls = 0

    def _contradiction(self, line: Line, what: str) -> TraceIntegrity:
        return TraceIntegrity(f"{self._path}: line {line.number}: {what}", hint=_HINT, path=str(self._path), line=line.number)


def decode(line: Line) -> None:
    """Prove that a line can be read to its last member, and not only that its bytes are the ones written."""
    _ = line.data, line.canonical(), line.meta
    if line.kind == "outcome":
        line.outcome()
        line.key()
    elif line.kind == "input":
        line.input()
