"""The states of a run at all its places: folded once while the trace is read, and from a checkpoint when one is asked for."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from frameengine.debug.checkpoint import FOLDING_ERRORS, Checkpoints, Recent, folded, reason_of, whole
from frameengine.debug.layout import Layout
from frameengine.errors import FrameEngineError, TraceError, TraceFormat
from frameengine.graph.loader import list_graphs, load_graph
from frameengine.jsonvalue import EMPTY, freeze, pointer_step, step_name
from frameengine.state import RunState
from frameengine.trace.index import TraceIndex
from frameengine.trace.stored import unresolved

FOLDED_KEPT = 128
"""Folded states that are kept near the current place, so that each step back does not fold anew."""
WHOLE_KEPT = 8
"""Whole states that are kept."""
PROVEN_KEPT = 512
"""Messages of which it is kept whether their digest agrees."""


class States:
    """The states at the positions of a timeline; `enter`, `late` and `frame` take the lines of the run in order."""

    def __init__(self, header: dict[str, Any], index: TraceIndex, layout: Layout) -> None:
        """Begin with the state in a *header*, as it stands in the file; *layout* takes each line before this does."""
        self._index, self._layout = index, layout
        graph = header.get("graph", {})
        self._graph = (graph.get("name"), header.get("fingerprint", {}).get("graph"))
        self._odd = ""
        """Why the initial state of the graph in use is not known."""
        self._own = self._initial = RunState(freeze(graph.get("state", {})))
        given = header.get("state")
        self._now = self._initial if given is None else RunState(freeze(given))
        self._checkpoints = Checkpoints(self._now)
        self._changed = array("q", [0])
        self._resets: dict[int, RunState] = {}
        self._late: dict[int, list[int]] = {}
        self._touched: dict[str, array[int]] = {}
        self._doubts: list[tuple[int, str]] = [(0, "")]
        self._switches: list[tuple[int, int | None]] = [(0, None)]
        self._folded: Recent[RunState] = Recent(FOLDED_KEPT)
        self._whole: Recent[RunState] = Recent(WHOLE_KEPT)
        self._proven: Recent[bool] = Recent(PROVEN_KEPT)

    # ------------------------------------------------------------------ taking lines

    def enter(self, position: int, line: dict[str, Any]) -> None:
        """Take an input that begins a message."""
        kind = line["type"]
        if kind in ("Given", "StateEdit"):
            self._take(position, line)
        elif kind in ("Clear", "SwitchGraph"):
            if kind == "SwitchGraph":
                self._switches.append((position, line["number"]))
                self._odd = self._switch(line["data"])
            self._now = self._resets[position] = self._initial
            self._changed.append(position)
            self._checkpoints.offer(position, self._now)
            self._doubt(position, self._odd)

    def late(self, position: int, number: int, line: dict[str, Any]) -> None:
        """Take an input that came in at the boundary *position*, line *number* of the file: an edit of the state holds there."""
        if line["type"] == "StateEdit":
            self._late.setdefault(position, []).append(number)
            self._take(position, line)
            # Of a run that is still being recorded the state here may have been asked for before.
            self._folded, self._whole = Recent(FOLDED_KEPT), Recent(WHOLE_KEPT)

    def frame(self, position: int, line: dict[str, Any]) -> None:
        """Take a committed frame."""
        for record in line["records"]:
            if "changes" in record:
                self._take(position, line)
                return

    def _take(self, position: int, line: dict[str, Any]) -> None:
        try:
            changes = self._changes(line)
            for change in changes:
                section = step_name(change["at"].split("/", 2)[1])
                known = self._touched.get(section)
                if known is None:
                    self._touched[section] = array("q", [position])
                elif known[-1] != position:
                    known.append(position)
            self._now = folded(self._now, changes, self._index.contents)
        except TraceError:
            raise
        except FOLDING_ERRORS as error:
            self._doubt(position, f"its changes do not fit: {reason_of(error)}")
        if self._changed[-1] != position:
            self._changed.append(position)
        self._checkpoints.offer(position, self._now)

    def _changes(self, line: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the changes of a line, as they stand in it."""
        if line["kind"] == "frame":
            return [change for record in line["records"] if "changes" in record for change in record["changes"]]
        given, contents = line["data"], self._index.contents
        if line["type"] == "StateEdit":
            # Unlike in a record, a long pointer stands there as any text of an input.
            return [
                {**edit, "at": str(contents.get(edit["at"]["$c"]))} if type(edit["at"]) is dict else edit
                for edit in given["changes"]
            ]
        changes = [
            {"op": "set", "at": f"/{pointer_step(name[1:] if name[:1] == '$' else name)}", "value": value}
            for name, value in given.get("state", {}).items()
        ]
        said = given["messages"]
        listed = contents.opened(said["$c"]) if type(said) is dict else said
        return [*changes, *[{"op": "append", "at": "/history", "value": message} for message in listed]]

    def _switch(self, data: dict[str, Any]) -> str:
        """Go on with the initial state of another graph; return why it is not known, empty where it is."""
        name, wanted = data.get("graph"), data.get("fingerprint", {}).get("graph")
        self._initial, found = self._own, self._graph
        if name != self._graph[0]:
            self._initial = RunState(EMPTY)
            try:
                if name not in [shipped for shipped, _ in list_graphs()]:
                    return f"the run goes on with graph {name}, which is not here"
                graph = load_graph(str(name))
            except FrameEngineError as error:
                return f"the run goes on with graph {name}, which cannot be loaded: {error.message}"
            self._initial, found = RunState(unresolved(freeze(graph.state))), (name, graph.digest)
        if wanted is None or wanted == found[1]:
            return ""
        return f"the run goes on with graph {name}, which has changed since"

    def _doubt(self, position: int, reason: str) -> None:
        if reason or self._doubts[-1][1]:
            self._doubts.append((position, reason))

    # ------------------------------------------------------------------ asking

    def doubt(self, position: int) -> str:
        """Return why the state at a position may be another one than the run had; empty where it is known. Raises `TraceError`.

        The digest that stands at the end of a place's message proves all states of the message; that of the message before
        proves those of one whose end is not in the file, as long as its changes can be made.
        """
        layout = self._layout
        since, odd = self._doubts[bisect_right(self._doubts, position, key=lambda doubt: doubt[0]) - 1]
        while position:
            index = layout.within(position)
            if layout.figures_line(index):
                message = layout.place(position).message
                what = f"the changes of message {message} do not lead to the state whose digest was recorded"
                return "" if self._agrees(index) else odd or what
            position = layout.span(index)[0] - 1
            if odd and since > position:
                return odd
        return ""

    def _agrees(self, index: int) -> bool:
        """Return whether the state at the end of a message has the digest that its figures have."""
        known = self._proven.get(index)
        if known is None:
            digest = self._index.line(self._layout.figures_line(index)).value.get("state")
            known = self._proven.put(index, self.at(self._layout.span(index)[1] - 1).digest == digest)
        return known

    def switched(self, position: int) -> int | None:
        """Return the number of the newest input that switched to another graph; None where none did."""
        return self._switches[bisect_right(self._switches, position, key=lambda switch: switch[0]) - 1][1]

    def touched(self, section: str) -> Sequence[int]:
        """Return the positions, ascending, at which a section may have changed."""
        named = self._touched.get(section, ())
        return sorted({*named, *self._resets}) if self._resets else named

    def at(self, position: int) -> RunState:
        """Return the whole state at a position. Raises `TraceError`."""
        # Between two changes all places have one state.
        position = self._changed[bisect_right(self._changed, position) - 1]
        known = self._whole.get(position)
        if known is not None:
            return known
        try:
            return self._whole.put(position, whole(self._fold(position), self._index.contents))
        except TraceError:
            raise
        except FOLDING_ERRORS as error:
            what = f"{self._index.path}: the state refers to what is not in the file: {reason_of(error)}"
            raise TraceFormat(what, hint="the file was not written by this tool", path=str(self._index.path)) from None

    def _fold(self, position: int) -> RunState:
        known = self._folded.get(position)
        if known is not None:
            return known
        start, state = self._checkpoints.before(position)
        changed = self._changed
        first, last = bisect_right(changed, start), bisect_right(changed, position)
        for index in range(last - 1, first - 1, -1):
            nearer = self._folded.get(changed[index])
            if nearer is not None:
                first, state = index + 1, nearer
                break
        for each in changed[first:last]:
            state = self._folded.put(each, self._next(state, each))
        return state

    def _next(self, state: RunState, position: int) -> RunState:
        if position in self._resets:
            return self._resets[position]
        for number in (self._layout.line(position), *self._late.get(position, ())):
            line = self._index.line(number)
            try:
                state = folded(state, self._changes(line.value), self._index.contents)
            except TraceError:
                raise
            except FOLDING_ERRORS:
                continue
        return state
