"""Traces made of documents, so that an edit of a document is an edit of a trace whose lines all agree."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import evolve

from frameengine.diff.document import document, with_shared
from frameengine.effects import Call, EffectKey, effect_from_json, outcome_from_json
from frameengine.inputs import During, input_from_json
from frameengine.jsonvalue import EMPTY, FrozenMap, freeze, frozen_map, thaw
from frameengine.trace.reader import read_header
from frameengine.trace.writer import TraceWriter

_WRITTEN = ("node", "input", "output", "calls", "emissions", "changes", "route", "condition", "error", "now", "open")
"""Members of a record in the order in which a run writes them."""


class _Wired:
    """What a writer asks of a frame and of a message's figures."""

    def __init__(self, wire: dict[str, Any]) -> None:
        self._wire = wire

    def wire(self) -> dict[str, Any]:
        """Return it as JSON."""
        return self._wire


def plain(path: Path) -> dict[str, Any]:
    """Return the document of a trace, to be edited."""
    whole: dict[str, Any] = thaw(document(path))
    return whole


def write(path: Path, header: Mapping[str, Any], whole: Mapping[str, Any]) -> Path:
    """Write the trace that has this document. Numbers, digests and counts are made anew."""
    members = {name: value for name, value in header.items() if name not in ("kind", "format", "durability", "meta")}
    with TraceWriter(path, freeze(members), replace=True) as writer:
        inputs = 0
        for message in whole["messages"]:
            inputs += 1
            _Message(writer, inputs).write(message)
            inputs = writer.inputs
        writer.seal()
    return path


def edited(path: Path, target: Path, edit: Any, **header: Any) -> Path:
    """Write *path* to *target* with its document changed by *edit* in place; *header*: members that are other ones."""
    whole = copy.deepcopy(plain(path))
    edit(whole)
    return write(target, {**read_header(path), **header}, whole)


class _Message:
    def __init__(self, writer: TraceWriter, number: int) -> None:
        self._writer = writer
        self._number = number
        self._calls = self._main = self._frames = 0

    def write(self, message: Mapping[str, Any]) -> None:
        self._input(message["input"], self._number, None)
        for frame, items in enumerate(message["frames"], start=1):
            for item in items:
                if "entered" in item:
                    during = frame if item["entered"]["type"] == "Cancel" else frame - 1
                    entered = self._writer.inputs + 1
                    self._input(item["entered"], entered, During(input=self._number, frame=during))
            records = [item for item in items if "entered" not in item]
            if records:
                self._frame(frame, records)
        counted = {"total_frames": self._main, "frames": self._frames, "calls": self._calls}
        figures = {name: counted.get(name, value) for name, value in message["figures"].items()}
        self._writer.trace(_Wired({"kind": "trace", "input": self._number, **figures}), EMPTY)  # type: ignore[arg-type]

    def _input(self, value: Mapping[str, Any], number: int, during: During | None) -> None:
        made = input_from_json(frozen_map({"number": number, **freeze(value)}))
        self._writer.input(evolve(made, during=during))

    def _frame(self, frame: int, records: list[dict[str, Any]]) -> None:
        wires = [self._record(frame, freeze(record)) for record in records]
        wire: dict[str, Any] = {"kind": "frame", "input": self._number, "frame": frame}
        if "phase" in records[0]:
            wire["phase"] = records[0]["phase"]
        else:
            self._main = frame
        self._frames += 1
        self._writer.frame(_Wired({**wire, "records": wires}), EMPTY)  # type: ignore[arg-type]

    def _record(self, frame: int, record: FrozenMap) -> dict[str, Any]:
        members = with_shared(record)
        if "calls" in members:
            keys = [EffectKey(self._number, frame, record["node"], index) for index in range(len(record["calls"]))]
            members["calls"] = [self._call(key, call) for key, call in zip(keys, record["calls"], strict=True)]
        return {name: members[name] for name in [*_WRITTEN, *members] if name in members and name != "phase"}

    def _call(self, key: EffectKey, value: FrozenMap) -> list[Any]:
        call = Call.of(key, effect_from_json(value["effect"], value["request"]))
        outcome = outcome_from_json(value["effect"], value["outcome"])
        self._writer.outcome(call, outcome)
        self._calls += 1
        return [key.call, call.effect.kind, call.effect.name, outcome.status, call.digest, outcome.digest]


def patched(whole: Any, operations: Any) -> Any:
    """Return a document with RFC 6902 operations done: add, remove and replace."""
    whole = copy.deepcopy(whole)
    for operation in thaw(operations):
        *path, last = [step.replace("~1", "/").replace("~0", "~") for step in operation["path"].split("/")[1:]]
        parent = whole
        for step in path:
            parent = parent[int(step)] if isinstance(parent, list) else parent[step]
        place: Any = int(last) if isinstance(parent, list) else last
        if operation["op"] == "remove":
            del parent[place]
        elif operation["op"] == "add" and isinstance(parent, list):
            assert place <= len(parent)
            parent.insert(place, operation["value"])
        else:
            assert operation["op"] in ("add", "replace")
            assert operation["op"] == "add" or isinstance(parent, list) or place in parent
            parent[place] = operation["value"]
    return whole
