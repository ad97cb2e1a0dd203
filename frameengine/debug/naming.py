"""What somebody may have meant: names that stand in a run, and where a member of that name is among the facts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from itertools import islice
from typing import Final

from frameengine.debug.facts import NAMES
from frameengine.debug.points import Kind
from frameengine.debug.timeline import Timeline
from frameengine.jsonvalue import EMPTY, FrozenMap, Json

STRETCHES: Final = 20
"""Parts all over a long run from which names are taken."""
PLACES: Final = 2_000
"""Places of a run that are looked at for names."""
NEAR: Final = 0.8
"""How much alike a name must be that stands for a mistyped one, from 0 to 1."""
DEPTH: Final = 5
"""Members of members of … that are looked through for a name."""
_REST: Final = tuple(name for name in NAMES if name not in ("call", "calls", "before"))
"""Facts in which a member is looked for once no effect has it."""


def known(kind: str, timeline: Timeline) -> list[str]:
    """Return the names that a breakpoint of this kind can have in the run, each once, those met first coming first.

    Of a long run only some stretches are looked at. Empty for kinds that have no names.
    """
    found = _OF_RECORDS.get(kind)
    if found is not None:
        names = [name for record in _records(timeline) for name in found(record)]
    else:
        names = [row.path if kind == "path" else row.status for row in timeline.messages] if kind in ("path", "status") else []
    if kind == "node":
        names += [str(node["name"]) for node in timeline.header.get("graph", EMPTY).get("nodes", ())]
    return [name for name in dict.fromkeys(names) if name]


def such_as(kind: Kind, usual: str, timeline: Timeline) -> str:
    """Return a breakpoint of this kind that the run may hold; *usual* where it has no name of the kind."""
    return next((f"{kind} {name}" for name in known(kind, timeline)), usual)


def a_breakpoint(timeline: Timeline) -> str:
    """Return a breakpoint that the run has a place for: on a tool, or else on a node."""
    return such_as("tool", such_as("node", "node NAME", timeline), timeline)


def meant(word: str, rest: str, timeline: Timeline) -> str:
    """Return the breakpoint that somebody means who types a name, or nearly, and leaves its kind out; empty for no such name."""
    kinds = {name: kind for kind in reversed(_KINDS) for name in known(kind, timeline)}
    found = [word] if word in kinds else get_close_matches(word, kinds, 1, NEAR)
    return f"{kinds[found[0]]} {found[0]} {rest}".rstrip() if found and (not rest or rest.startswith("if ")) else ""


def member(name: str, facts: Iterable[Mapping[str, Json]]) -> str:
    """Return how a condition writes the member of this name that lies least deep among the facts; empty where none is there."""
    for each in facts:
        level: list[tuple[str, Json]] = [("call", call) for call in each.get("calls", ())]
        level += [(fact, each[fact]) for fact in _REST if fact in each]
        for _ in range(DEPTH):
            within = [(path, value) for path, value in level if isinstance(value, FrozenMap)]
            level = [(f"{path}.{step}", held) for path, value in within for step, held in value.items() if step.isidentifier()]
            found = next((path for path, _ in level if path.endswith(f".{name}")), None)
            if found is not None:
                return found
    return ""


def _records(timeline: Timeline) -> Iterator[FrozenMap]:
    apart = max(timeline.places // STRETCHES, 1)
    long = min(apart, PLACES // STRETCHES)
    for start in range(1, timeline.places, apart):
        for position in islice(range(start, timeline.places), long):
            yield from timeline.records(timeline.place(position))


def _called(kind: str) -> Callable[[FrozenMap], list[str]]:
    return lambda record: [call[2] for call in record.get("calls", ()) if call[1] == kind]


_OF_RECORDS: Final[Mapping[str, Callable[[FrozenMap], list[str]]]] = {
    "tool": _called("tool"),
    "node": lambda record: [str(record["node"])],
    "model": _called("model"),
    "emission": lambda record: [str(event) for event, _ in record.get("emissions", ())],
}
_KINDS: Final = (*_OF_RECORDS, "path", "status")
"""Kinds that have names, the one that is mostly meant first."""
