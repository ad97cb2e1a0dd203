"""The document form of a trace: what is compared, whole, as plain JSON.

::

    {"messages": [{"input":   {"type": …, "data": …},
                   "frames":  [[{"node": …, "input": …, "calls": [{"effect", "request", "outcome"}], "output": …, …}]],
                   "figures": {"path": …, "total_frames": …, …}}]}

Each frame is the list of its records, in graph order. An input that came in during a message stands before the records of the
frame it came before, as ``{"entered": {"type": …, "data": …}}``. Numbers of inputs, frames and calls are places in lists; times
and meta are left out; the digests in records stand as what they are digests of.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

from attrs import frozen

from frameengine.codec import SharedOne
from frameengine.effects import MAIN_STREAM
from frameengine.inputs import Cancel, Input
from frameengine.jsonvalue import FrozenMap, Json, freeze, frozen_map
from frameengine.replay.divergence import wired
from frameengine.replay.frames import bad_line, read_input
from frameengine.trace.reader import Line, TraceReader

FLOW = ("node", "phase", "input", "calls", "error", "output", "emissions", "changes", "condition", "route", "now", "open")
"""Members of a record in the order in which data flows through a node."""
_OUTCOME = frozenset({"kind", "key", "effect", "request", "outcome", "at", "meta", "chain"})
_FRAME = frozenset({"kind", "input", "frame", "phase", "records", "at", "meta", "chain"})
_NOT_FIGURES = ("kind", "input")
_DRAWN_FROM_PLACE = ("kind", "number", "during")


@frozen
class Step:
    """A line and where it stands."""

    message: int
    """Index of the message, from 0."""
    slot: int
    """The frame that it belongs to, or comes before; 0 for the message's own input."""
    line: Line
    """The line; it can be decoded until the next one is asked for."""


def walk(reader: TraceReader) -> Iterator[Step]:
    """Yield every line with its place. Raises `TraceFormat` where one is out of place, or says more than is compared."""
    message, inputs, number, frame = -1, 0, 0, 0
    for line in reader.lines():
        value = line.value
        if line.kind == "input":
            inputs += 1
            if value["number"] != inputs:
                raise bad_line(line, f"input {value['number']} stands where input {inputs} is expected")
            if "during" not in value:
                if number:
                    raise bad_line(line, f"input {inputs} stands inside the message of input {number}")
                message, number, frame = message + 1, inputs, 0
                yield Step(message, 0, line)
                continue
            if list(value["during"]) != [number, frame + (value["type"] == Cancel.__name__)]:
                raise bad_line(line, f"input {inputs} stands in frame {frame} of input {number}, and says otherwise")
        elif line.kind == "outcome":
            if value["key"][:2] != [number, frame + 1] or not _OUTCOME.issuperset(value):
                raise bad_line(line, f"an outcome that is none of frame {frame + 1} of input {number}, or says more")
        elif line.kind == "frame":
            if [value["input"], value["frame"]] != [number, frame + 1] or not _FRAME.issuperset(value) or not value["records"]:
                raise bad_line(line, f"a frame that is not frame {frame + 1} of input {number}, or says more")
            frame += 1
            yield Step(message, frame, line)
            continue
        elif value["input"] != number:
            raise bad_line(line, f"the figures of input {value['input']} stand where those of input {number} are expected")
        yield Step(message, frame + 1, line)
        if line.kind == "trace":
            number = 0


def input_document(entered: Input) -> FrozenMap:
    """Return an input: its type, its data, and its stream where that is another than the main one."""
    wire = entered.wire()
    return wired({name: value for name, value in wire.items() if name not in _DRAWN_FROM_PLACE})


def figures(line: Line) -> FrozenMap:
    """Return the figures of a message."""
    return frozen_map({name: value for name, value in line.data.items() if name not in _NOT_FIGURES})


Calls: TypeAlias = dict[tuple[str, int], FrozenMap]
"""Node and index of each call of a frame, to its document form."""


def add_call(calls: Calls, line: Line) -> None:
    """Take the call of an outcome's line; its stream is said where it is not the main one."""
    key, data = line.key(), line.data
    call = {"effect": data["effect"], "request": data["request"], "outcome": data["outcome"]}
    calls[key.node, key.call] = frozen_map(call if key.stream == MAIN_STREAM else {**call, "stream": key.stream})


def record_documents(line: Line, calls: Calls) -> list[FrozenMap]:
    """Return the records of a frame's line, with *calls* in the place of their digests."""
    data = line.data
    phase = {"phase": data["phase"]} if "phase" in data else {}
    documents = []
    for record in data["records"]:
        members = {**record, **phase}
        if "calls" in record:
            members["calls"] = tuple([calls[record["node"], number] for number in _numbers(line, record)])
        documents.append(frozen_map({name: members[name] for name in in_flow(members)}))
    return documents


def _numbers(line: Line, record: FrozenMap) -> list[int]:
    """Return the numbers of a record's calls, which a document does not say: they are their places."""
    numbers = [call[0] for call in record["calls"]]
    if numbers != list(range(len(numbers))):
        raise bad_line(line, f"the calls of node {record['node']} are numbered {numbers}")
    return numbers


def with_shared(record: FrozenMap) -> dict[str, Json]:
    """Return a record's members with the parts shared that a writer shares: input, output, and mappings put into the state."""
    members = {name: SharedOne(value) if name in ("input", "output") else value for name, value in record.items()}
    if "changes" in members:
        members["changes"] = [
            {name: SharedOne(value) if type(value) is FrozenMap else value for name, value in change.items()}
            for change in record["changes"]
        ]
    return members


def in_flow(names: dict[str, Json]) -> list[str]:
    """Return names of a record's members in the order of `FLOW`, then those it does not name."""
    return [*[name for name in FLOW if name in names], *[name for name in names if name not in FLOW]]


def document(path: Path, *, damaged: bool = False) -> FrozenMap:
    """Return a whole trace in document form. Raises `TraceError`."""
    messages: list[dict[str, Json]] = []
    with TraceReader(path, damaged=damaged) as reader:
        calls: Calls = {}
        entered: list[Json] = []
        for step in walk(reader):
            line = step.line
            if line.kind == "outcome":
                add_call(calls, line)
            elif line.kind == "input" and step.slot:
                entered.append({"entered": input_document(read_input(line))})
            elif line.kind == "input":
                messages.append({"input": input_document(read_input(line)), "frames": [], "figures": {}})
            elif line.kind == "frame":
                messages[-1]["frames"].append([*entered, *record_documents(line, calls)])
                calls, entered = {}, []
            else:
                messages[-1]["frames"] += [entered] if entered else []
                messages[-1]["figures"] = figures(line)
                calls, entered = {}, []
    return freeze({"messages": messages})  # type: ignore[no-any-return]
