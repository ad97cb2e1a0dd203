"""Versions of an agent side by side: traces of the same inputs, message by message."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from attrs import frozen

from frameengine.errors import NothingCompared, UsageError
from frameengine.inputs import Input, SwitchGraph
from frameengine.jsonvalue import EMPTY, FrozenMap, first_difference
from frameengine.node import ANSWER, TEXT_EVENT
from frameengine.replay.divergence import wired
from frameengine.rerun.plan import Figures
from frameengine.trace.canonical import CanonicalDigest
from frameengine.trace.reader import TraceReader

RECORD = "record"
"""The change of a message that differs in none of its figures, nor in its answer."""


@frozen(kw_only=True)
class Cell:
    """One message in one version."""

    figures: Figures
    """How it went."""
    answer: str
    """The text that the user was shown."""
    record: str
    """Canonical digest of its calls, frames and figures, in hex: the epilogue included, what came in left out."""


@frozen(kw_only=True)
class Column:
    """One version: a trace."""

    path: Path
    """Its file."""
    header: FrozenMap
    """Its header."""
    inputs: tuple[Input, ...]
    """All its inputs."""
    cells: dict[int, Cell]
    """Number of an input -> how its message went; those without one entered during another's."""

    @property
    def graph(self) -> str:
        """Name and version of its graph."""
        graph = self.header.get("graph", EMPTY)
        return f"{graph.get('name', '?')} v{graph.get('version', '?')}"

    @property
    def nodes(self) -> tuple[str, ...]:
        """The names of its graph's nodes, which stand in every record."""
        return tuple([node["name"] for node in self.header.get("graph", EMPTY).get("nodes", ())])


@frozen(kw_only=True)
class Matrix:
    """Traces of the same inputs, one column each."""

    columns: tuple[Column, ...]
    """The versions; the first is the one that others are compared with."""

    @property
    def rows(self) -> tuple[Input, ...]:
        """The inputs that have a message in any version, in order."""
        numbers = frozenset(number for column in self.columns for number in column.cells)
        return tuple([entered for entered in self.columns[0].inputs if entered.number in numbers])

    @property
    def differ(self) -> bool:
        """Whether any message of any version differs from the first one's, as far as they are compared."""
        return any(self.changes(column, entered.number) for column in self.columns[1:] for entered in self.rows)

    def whole(self, column: Column) -> bool:
        """Return whether a version's records are compared with the first one's: not between graphs of other nodes.

        A record names nodes, so between such graphs no two are equal, and that would say nothing.
        """
        return column.nodes == self.columns[0].nodes

    def changes(self, column: Column, number: int) -> tuple[str, ...]:
        """Return what differs from the first version in the message of an input: path, frames, calls, status, answer.

        Where none of them does, and whole records are compared, ``record`` says that something else in it differs.
        """
        one, other = self.columns[0].cells.get(number), column.cells.get(number)
        if one is None or other is None:
            return () if one is other else ("place",)
        names = {"path": "path", "total_frames": "frames", "calls": "calls", "status": "status"}
        found = [told for name, told in names.items() if getattr(one.figures, name) != getattr(other.figures, name)]
        if one.answer != other.answer:
            found.append("answer")
        if not found and one.record != other.record and self.whole(column):
            found.append(RECORD)
        return tuple(found)


def matrix(paths: Sequence[Path]) -> Matrix:
    """Read sealed traces of the same inputs. Raises `TraceError`, `UsageError` where inputs differ, `NothingCompared`."""
    columns = tuple([column(path) for path in paths])
    if not columns or not columns[0].cells:
        where = f"{columns[0].path}: no message" if columns else "no trace"
        raise NothingCompared(f"{where}: there is nothing to compare", hint="name traces in which something happens")
    for other in columns[1:]:
        _check_same_inputs(columns[0], other)
    return Matrix(columns=columns)


def _check_same_inputs(one: Column, other: Column) -> None:
    pairs = list(zip(one.inputs, other.inputs, strict=False))
    differing = next((a.number for a, b in pairs if _body(a) != _body(b)), None)
    if differing is None and len(one.inputs) == len(other.inputs):
        return
    if differing is None:
        what = f"{len(one.inputs)} inputs in one, {len(other.inputs)} in the other"
    else:
        found = first_difference(_body(one.inputs[differing - 1]), _body(other.inputs[differing - 1]))
        what = f"input {differing} differs at {found[0] if found else '/'}"
    raise UsageError(
        f"{one.path} and {other.path} are runs of other inputs: {what}",
        hint="run the inputs of one through both graphs: frameengine rerun TRACE --matrix --graph OLD --graph NEW",
        input=differing,
    )


def _body(entered: Input) -> FrozenMap:
    """Return what came in, without the place where it did; the digests of a graph that is switched to are no input."""
    wire = {name: value for name, value in entered.wire().items() if name != "during"}
    if isinstance(entered.body, SwitchGraph):
        wire["data"] = {"graph": entered.body.graph}
    return wired(wire)


def column(path: Path) -> Column:
    """Read one sealed trace. Raises `TraceError`."""
    inputs: list[Input] = []
    cells: dict[int, Cell] = {}
    said: list[str] = []
    record = CanonicalDigest()
    with TraceReader(path) as reader:
        for line in reader.lines():
            if line.kind == "input":
                inputs.append(line.input())
            elif line.kind == "outcome":
                record.outcome(line.key(), line.canonical())
            else:
                record.line(line.canonical())
            if line.kind == "frame" and "phase" not in line.value:
                said += [
                    str(data.get("text", ""))
                    for record in line.data["records"]
                    for event, data in record.get("emissions", ())
                    if event == TEXT_EVENT and data.get("stream") == ANSWER
                ]
            elif line.kind == "trace":
                figures = Figures.of(line.data)
                cells[line.data["input"]] = Cell(figures=figures, answer="".join(said), record=record.hexdigest())
                said, record = [], CanonicalDigest()
        return Column(path=path, header=reader.header, inputs=tuple(inputs), cells=cells)
