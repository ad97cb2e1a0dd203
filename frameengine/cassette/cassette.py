"""What a cassette holds: every recorded call of one or more traces, found by digest, by slot, or one by one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from attrs import define, field, frozen

from frameengine.effects import Call, Effect, EffectKey, Outcome, effect_from_json
from frameengine.errors import CassetteUnused, TraceIntegrity
from frameengine.inputs import SwitchGraph
from frameengine.jsonvalue import EMPTY, FrozenMap, Json
from frameengine.trace.reader import Line, TraceReader


@frozen(kw_only=True)
class Recorded:
    """One recorded call."""

    number: int
    """Position in the cassette, from 0: order of the traces, then of the keys within a frame."""
    source: Path
    """The trace it comes from."""
    call: Call
    """Key and request."""
    outcome: Outcome
    """What came back."""
    slot: str
    """The slot of the node that asked."""
    contract: str
    """The contract of that node's replies; empty where none was declared."""
    nth: int
    """Which call of its slot within its input it was, from 0."""

    @property
    def key(self) -> EffectKey:
        """Where it was asked."""
        return self.call.key

    @property
    def effect(self) -> Effect:
        """What was asked."""
        return self.call.effect


@define
class Cassette:
    """Recorded calls, looked up in constant time whatever their number, each used once."""

    recorded: tuple[Recorded, ...]
    """All calls, in order."""
    _by_digest: dict[str, dict[int, Recorded]] = field(init=False, repr=False, eq=False)
    _by_slot: dict[tuple[int, str, str, str, int], Recorded] = field(init=False, repr=False, eq=False)
    _varied: frozenset[str] = field(init=False, repr=False, eq=False)
    _used: set[int] = field(init=False, repr=False, eq=False, factory=set)

    @_by_digest.default
    def _index_digests(self) -> dict[str, dict[int, Recorded]]:
        index: dict[str, dict[int, Recorded]] = {}
        for entry in self.recorded:
            index.setdefault(entry.call.digest, {})[entry.number] = entry
        return index

    @_varied.default
    def _index_varied(self) -> frozenset[str]:
        equal = ((digest, entries.values()) for digest, entries in self._by_digest.items() if len(entries) > 1)
        return frozenset([digest for digest, entries in equal if len({entry.outcome.digest for entry in entries}) > 1])

    @_by_slot.default
    def _index_slots(self) -> dict[tuple[int, str, str, str, int], Recorded]:
        return {(e.key.input, e.slot, e.contract, e.effect.kind, e.nth): e for e in reversed(self.recorded)}

    @classmethod
    def of(cls, *paths: Path) -> Cassette:
        """Read the calls of sealed traces, each as its frame recorded it. Raises `TraceError`.

        A run that is given twice, by another name or as a copy, counts once: each of its replies was recorded once.
        """
        recorded: list[Recorded] = []
        runs: set[str] = set()
        for path in paths:
            found: list[Recorded] = []
            with TraceReader(path) as reader:
                nodes = _slots(reader.header)
                counts: dict[tuple[int, str, str], int] = {}
                for item in _by_key(reader.lines(), path, nodes):
                    entry = _entry(item, path, len(recorded) + len(found), nodes, counts)
                    if entry is not None:
                        found.append(entry)
                if reader.head not in runs:
                    runs.add(reader.head)
                    recorded += found
        return cls(tuple(recorded))

    def equal(self, digest: str) -> tuple[Recorded, ...]:
        """Return the unused calls whose request has this digest, in order."""
        return tuple(self._by_digest.get(digest, {}).values())

    def varied(self, digest: str) -> bool:
        """Whether calls whose request has this digest, used ones included, got different outcomes."""
        return digest in self._varied

    def was_used(self, digest: str) -> bool:
        """Whether the cassette held a call of this digest, all of them used by now."""
        return digest in self._by_digest and not self._by_digest[digest]

    def in_slot(self, input: int, slot: str, contract: str, kind: str, nth: int) -> Recorded | None:
        """Return the unused nth call of a slot within an input; None where there is none."""
        entry = self._by_slot.get((input, slot, contract, kind, nth))
        return None if entry is None or entry.number in self._used else entry

    def use(self, entry: Recorded) -> Recorded:
        """Take a call out: it answers no other request."""
        self._used.add(entry.number)
        self._by_digest[entry.call.digest].pop(entry.number, None)
        return entry

    def unused(self) -> tuple[Recorded, ...]:
        """Return the calls that answered nothing, in order."""
        return tuple([entry for entry in self.recorded if entry.number not in self._used])

    def check_used(self) -> None:
        """Raise `CassetteUnused` where a call answered nothing."""
        left = self.unused()
        if left:
            keys = [str(entry.key) for entry in left]
            raise CassetteUnused(
                f"{len(left)} of {len(self.recorded)} recorded replies answered nothing, the first at {keys[0]}",
                hint="the new run asks less than the recorded one: allow unused replies if that is meant",
                unused=keys[:100],
                count=len(left),
            )


def _by_key(lines: Iterable[Line], path: Path, nodes: dict[str, tuple[str, str]]) -> Iterable[tuple[Call, Outcome]]:
    """Yield the outcomes of each frame in key order, whatever the order of their arrival; *nodes* follows the graph in use."""
    arrived: dict[EffectKey, tuple[Call, Outcome]] = {}
    for line in lines:
        if line.kind == "outcome":
            key = line.key()
            if key in arrived:
                raise _edited(path, line, f"a second outcome for {key}")
            arrived[key] = (Call.of(key, effect_from_json(line.data["effect"], line.data["request"])), line.outcome())
        elif line.kind in ("frame", "trace"):
            _check_recorded(arrived, line, path)
            for key in sorted(arrived):
                yield arrived[key]
            arrived.clear()
        elif line.kind == "input" and line.value["type"] == "SwitchGraph":
            body = line.input().body
            nodes.clear()
            nodes.update(switched(body.fingerprint if isinstance(body, SwitchGraph) else EMPTY))


def _check_recorded(arrived: Mapping[EffectKey, tuple[Call, Outcome]], line: Line, path: Path) -> None:
    """Raise `TraceIntegrity` where outcome lines are not those of which the frame recorded the digests: somebody edited them."""
    listed: dict[tuple[str, int], tuple[Json, Json]] = {}
    for record in line.data.get("records", ()):
        for call in record.get("calls", ()):
            listed[record["node"], call[0]] = (call[4], call[5])
    for key, (call, outcome) in arrived.items():
        recorded = listed.pop((key.node, key.call), None)
        if (key.input, key.frame) != (line.data["input"], line.data.get("frame")) or recorded != (call.digest, outcome.digest):
            raise _edited(path, line, f"the outcome of {key} is not the one that the frame recorded")
    for node, number in listed:
        raise _edited(path, line, f"the frame records call {number} of node {node}, which has no outcome")


def _edited(path: Path, line: Line, what: str) -> TraceIntegrity:
    return TraceIntegrity(
        f"{path}: line {line.number}: {what}",
        hint="the file was changed after it was written; use the original, or record again",
        path=str(path),
        line=line.number,
        offset=line.offset,
    )


def _entry(
    item: tuple[Call, Outcome],
    path: Path,
    number: int,
    nodes: dict[str, tuple[str, str]],
    counts: dict[tuple[int, str, str], int],
) -> Recorded | None:
    call, outcome = item
    key, effect = call.key, call.effect
    slot, contract = nodes.get(key.node, (key.node, ""))
    place = (key.input, slot, effect.kind)
    nth = counts[place] = counts.get(place, -1) + 1
    if outcome.status == "not_recorded":
        return None
    return Recorded(number=number, source=path, call=call, outcome=outcome, slot=slot, contract=contract, nth=nth)


def switched(fingerprint: FrozenMap) -> dict[str, tuple[str, str]]:
    """Return slot and contract of each node of a graph that was switched to: of it only the fingerprint is recorded."""
    return {name: (name, node.get("contract", "")) for name, node in fingerprint.get("nodes", EMPTY).items()}


def _slots(header: FrozenMap) -> dict[str, tuple[str, str]]:
    """Return slot and contract of each node, from a header."""
    declared = header.get("fingerprint", EMPTY).get("nodes", EMPTY)
    nodes = header.get("graph", EMPTY).get("nodes", ())
    return {node["name"]: (node["slot"], declared.get(node["name"], EMPTY).get("contract", "")) for node in nodes}
