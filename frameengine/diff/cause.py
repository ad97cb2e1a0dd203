"""What the first difference comes from, by the two headers and its first field. A hint may be missing; it must not be wrong."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import TypeAlias

from attrs import evolve, frozen

from frameengine.codec import digest, written
from frameengine.diff.edited import edited
from frameengine.diff.fields import changes
from frameengine.diff.filters import steps_of
from frameengine.diff.result import Cause, Change, FieldChange, TraceDiff
from frameengine.diff.sketch import MessageSketch, Sketch
from frameengine.jsonvalue import EMPTY, MISSING, FrozenMap, Json, point
from frameengine.replay.cause import changed

_Differing: TypeAlias = Callable[[FrozenMap, FrozenMap], tuple[str, ...]]
"""Tells which parts of two graphs differ and matter."""
_STRUCTURE = ("entry", "edges", "conditions", "nodes")
_UNNAMED = ("name", "role", "slot")
"""Members of a node's table that change nothing in what it does."""
_SHOWN_IN = {"model": "model", "budget": "messages", "prompts": "messages"}
"""Members of a node's table that change what a model is asked, each with the member of the request that must differ then."""
_TELLING = 16
"""Bytes of a value's canonical form; a shorter one may stand in two places by chance."""


@frozen
class Suspect:
    """Something that differs between the two runs and could have led to the first difference."""

    cause: Cause
    """What it would be a cause of."""
    text: str
    """What it is, for people."""
    shown: bool = True
    """Whether the place of the difference shows that it may have come from this; else it is no cause even where it is alone."""


def explain(found: TraceDiff, left: Sketch, right: Sketch) -> TraceDiff:
    """Return *found* with the likely cause of its first difference, and with what has another digest in the headers."""
    ours, theirs = left.header.get("fingerprint", EMPTY), right.header.get("fingerprint", EMPTY)
    digests = [str(each) for each in changed(ours, theirs)] if theirs else []
    digests += [suspect.text for suspect in _beginnings(left, right)]
    found = evolve(found, digests=tuple(digests))
    first = found.first
    if first is None:
        return found
    by_hand = edited(left, right, first)
    if by_hand:
        return evolve(found, cause="edit", because=by_hand)
    cause, because = _Circumstances(left, right, first).cause(first)
    return evolve(found, cause=cause, because=because)


def _beginnings(left: Sketch, right: Sketch) -> Iterator[Suspect]:
    """Yield what the two runs began with and is not the same."""
    if left.state_before(0) != right.state_before(0):
        yield Suspect("state", "state at the start")
    for name, text in (("seed", "seed"), ("engine", "version of frameengine")):
        if left.header.get(name) != right.header.get(name):
            yield Suspect("undetermined", text)


class _Circumstances:
    """What may have led to a difference in one message."""

    def __init__(self, left: Sketch, right: Sketch, first: Change) -> None:
        spots = (first.left or first.spot, first.right or first.spot)
        self._ours, self._theirs = (_message(side, spot.input) for side, spot in zip((left, right), spots, strict=True))
        self._sides = left, right
        self._nodes = spots[0].node, spots[1].node
        self._fingerprints = self._ours.fingerprint, self._theirs.fingerprint
        self._graphs = self._ours.graph, self._theirs.graph
        self._changed = tuple(changed(*self._fingerprints)) if all(self._fingerprints) else ()

    def cause(self, first: Change) -> tuple[Cause, str]:
        """Return what *first* comes from, and what that was told from."""
        field = first.fields[0] if first.fields else None
        part, *steps = steps_of(field.pointer) if field else [""]
        if part == "entered" or (first.spot.frame == 0 and part != "figures") or self._is_late(first):
            return "input", "the inputs differ"
        if field is not None and part == "calls" and steps[1:2] == ["outcome"]:
            return self._outcome(first, field)
        proof = None if field is None else self._proof(part, steps, field)
        if proof is not None:
            return proof.cause, f"changed: {proof.text}"
        if not all(self._fingerprints):
            return "undetermined", "a header has no digests of graph, prompts and code"
        suspects = list(dict.fromkeys(self._suspects(first, part, steps)))
        listed = ", ".join([suspect.text for suspect in suspects])
        if len({suspect.cause for suspect in suspects}) == 1:
            if not all(suspect.shown for suspect in suspects):
                return "undetermined", f"changed, but nothing shows that it led here: {listed}"
            return suspects[0].cause, f"changed: {listed}"
        if suspects:
            return "undetermined", f"several changed: {listed}"
        harmless = ", ".join([str(each) for each in self._changed])
        return (
            "undetermined",
            f"what changed does not tell of this place: {harmless}" if harmless else "the headers tell of no change",
        )

    def _is_late(self, first: Change) -> bool:
        return first.spot.frame > 0 and not first.spot.node

    def _outcome(self, first: Change, field: FieldChange) -> tuple[Cause, str]:
        statuses = [side.get("status") if isinstance(side, dict) else side for side in (field.left, field.right)]
        for status, name in zip(statuses, ("left", "right"), strict=True):
            if status == "not_recorded":
                return "undetermined", f"the recording on the {name} stops at this call"
        cause: Cause = "tool result" if first.effect == "tool" else "model reply"
        return cause, "the request is the same, what came back is not"

    def _proof(self, part: str, steps: list[str], field: FieldChange) -> Suspect | None:
        """Return what the differing values themselves show to be the cause, whatever else changed."""
        if part != "calls" or steps[1:2] != ["request"]:
            return None
        specs = self._specs()
        member = steps[2:3]
        if member == ["model"] and specs and (specs[0].get("model"), specs[1].get("model")) == (field.left, field.right):
            return Suspect("graph", f"graph (model of node {self._nodes[0]})")
        if member == ["tools"] and self._stands_in_state("/".join(["", *steps[2:]]), field):
            return Suspect("tool schema", "tool schema (tools in the state at the start)")
        if member == ["messages"] and isinstance(field.left, str) and isinstance(field.right, str):
            ours, theirs = (fingerprint.get("prompts", EMPTY) for fingerprint in self._fingerprints)
            for name in ours:
                if (ours[name], theirs.get(name)) == (digest(field.left), digest(field.right)):
                    return Suspect("prompt", f"prompt {name}")
        return None

    def _stands_in_state(self, pointer: str, field: FieldChange) -> bool:
        """Return whether both values are those of the state at the start, at the same place."""
        values = []
        for side in self._sides:
            try:
                values.append(point(side.state, pointer))
            except KeyError:
                values.append(MISSING)
        return not any(True for _ in changes(values[0], field.left)) and not any(True for _ in changes(values[1], field.right))

    def _state_shows(self, field: FieldChange) -> bool:
        """Return whether what differs stands in the state that its side began with, and not in the other one's."""
        sides = [(field.left, *self._sides), (field.right, *reversed(self._sides))]
        return all(
            value is MISSING or (len(written(value)) >= _TELLING and _holds(own.state, value) and not _holds(other.state, value))
            for value, own, other in sides
        )

    def _begun(self, first: Change) -> Iterator[Suspect]:
        for suspect in _beginnings(*self._sides):
            shown = suspect.cause != "state" or (bool(first.fields) and self._state_shows(first.fields[0]))
            yield evolve(suspect, shown=shown)

    def _suspects(self, first: Change, part: str, steps: list[str]) -> Iterator[Suspect]:
        if first.spot.frame == 0:
            if steps_of(first.fields[0].pointer) == ("figures", "path"):
                yield from self._graph(_paths)
            return
        if first.kind != "changed":
            yield from self._graph(_structure)
            yield from self._begun(first)
        elif part in ("condition", "route"):
            yield from self._graph(self._edges)
            yield from self._begun(first)
        elif part == "phase":
            yield from self._graph(self._spec)
        elif part not in ("input", "now"):
            asked = steps[2] if part == "calls" and steps[1:2] == ["request"] and len(steps) > 2 else ""
            weak = [name for name, member in _SHOWN_IN.items() if member != asked]
            yield from self._graph(self._spec, weak=[f"{name} of node {self._nodes[0]}" for name in weak])
            yield from self._code_and_prompts(asks=asked == "messages")
            yield from self._begun(first)

    def _graph(self, differing: _Differing, weak: Collection[str] = ()) -> Iterator[Suspect]:
        """Yield the graph where parts of it differ that matter; those that are *weak* are no cause by themselves."""
        if not any(each.cause == "graph" for each in self._changed):
            return
        if not all(self._graphs):
            yield Suspect("graph", "graph")
            return
        names = differing(*self._graphs)
        if names:
            yield Suspect("graph", f"graph ({', '.join(names)})", shown=not all(name in weak for name in names))

    def _spec(self, _one: FrozenMap, _other: FrozenMap) -> tuple[str, ...]:
        specs = self._specs()
        if specs is None:
            return ("nodes",)
        one, other = specs
        names = [name for name in {**one, **other} if name not in _UNNAMED and not _equal(one.get(name), other.get(name))]
        return tuple([f"{name} of node {self._nodes[0]}" for name in names])

    def _edges(self, one: FrozenMap, other: FrozenMap) -> tuple[str, ...]:
        ours, theirs = (
            [edge for edge in graph.get("edges", ()) if edge.get("from") == node]
            for graph, node in zip((one, other), self._nodes, strict=True)
        )
        names = [f"edges of node {self._nodes[0]}"] if not _equal(tuple(ours), tuple(theirs)) else []
        names += ["conditions"] if not _equal(one.get("conditions"), other.get("conditions")) else []
        return tuple(names)

    def _code_and_prompts(self, *, asks: bool) -> Iterator[Suspect]:
        specs = self._specs()
        if specs is not None and specs[0].get("implementation") != specs[1].get("implementation"):
            # Another class has other code: the graph says so, and that is the cause.
            return
        used = None if specs is None else [*specs[0].get("prompts", ()), *specs[1].get("prompts", ())]
        for each in self._changed:
            if each.cause == "node code" and self._nodes[0] in each.nodes:
                yield Suspect("node code", str(evolve(each, nodes=(self._nodes[0],))))
            elif each.cause == "prompt" and (used is None or each.name in used):
                yield Suspect("prompt", str(each), shown=asks)

    def _specs(self) -> tuple[FrozenMap, FrozenMap] | None:
        """Return the tables of the node in both graphs; None where one of them has none."""
        found = []
        for graph, name in zip(self._graphs, self._nodes, strict=True):
            spec = next((node for node in graph.get("nodes", ()) if node.get("name") == name), None)
            if spec is None:
                return None
            found.append(spec)
        return found[0], found[1]


def _paths(one: FrozenMap, other: FrozenMap) -> tuple[str, ...]:
    return () if _equal(one.get("paths"), other.get("paths")) else ("paths",)


def _structure(one: FrozenMap, other: FrozenMap) -> tuple[str, ...]:
    return tuple([name for name in _STRUCTURE if not _equal(one.get(name), other.get(name))])


def _holds(whole: Json, value: Json) -> bool:
    """Return whether *whole* is the value, or holds it at any depth."""
    below = whole.values() if isinstance(whole, dict) else whole if isinstance(whole, tuple | list) else ()
    return whole == value or any(_holds(item, value) for item in below)


def _equal(one: Json, other: Json) -> bool:
    return not any(True for _ in changes(one, other))


def _message(side: Sketch, number: int) -> MessageSketch:
    """Return the message of this number; the last one before it where the side has none."""
    found = side.messages[0]
    for message in side.messages:
        if message.number > number:
            break
        found = message
    return found
