"""What is wrong with a graph: every problem at once, each with its place.

A place is a path of keys and indices in the written form, such as ``("edges", 3, "condition")``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from keyword import iskeyword
from typing import Final, TypeAlias, get_args

from attrs import frozen

from frameengine import limits
from frameengine.errors import ExpressionError, LimitError
from frameengine.expr import compile_expression
from frameengine.graph.model import EdgeKind, EdgeSpec, Graph
from frameengine.jsonvalue import EMPTY
from frameengine.records import Phase

Place: TypeAlias = tuple[str | int, ...]

NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
"""What graphs, nodes, inputs, messages, prompts and state sections may be called."""
RESERVED: Final = ("message", "state")
"""Names that an edge's condition has anyway."""
PATH_NAMES: Final = ("nodes", "frames")
"""Names that the expression of a path label may use."""
_IMPLEMENTATION: Final = re.compile(r"[A-Za-z][\w-]*|[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


@frozen
class Problem:
    """One thing that is wrong."""

    place: Place
    """Keys and indices that lead to it."""
    text: str
    """What it is."""


def place_name(place: Place) -> str:
    """Write a place as people do: ``edges[3].condition``."""
    steps = "".join([f"[{step}]" if isinstance(step, int) else f".{step}" for step in place])
    return steps.removeprefix(".") or "graph"


def validate(graph: Graph) -> tuple[Problem, ...]:
    """Return everything that is wrong with *graph*. An empty name is passed over: the reader of the file reported it."""
    checks = (_sizes, _names, _choices, _ends, _expressions, _paths, _doubles, _unreachable, _cycles)
    return tuple([problem for check in checks for problem in check(graph)])


def _sizes(graph: Graph) -> Iterator[Problem]:
    if not graph.nodes:
        yield Problem(("nodes",), "the graph has no nodes")
    if not graph.entry:
        yield Problem(("entry",), "no input leads into the graph")
    if len(graph.nodes) > limits.GRAPH_NODES_MAX:
        yield Problem(("nodes",), f"{len(graph.nodes):,} nodes, the bound is {limits.GRAPH_NODES_MAX:,}")


def _names(graph: Graph) -> Iterator[Problem]:
    named: list[tuple[Place, str]] = [(("name",), graph.name)]
    named += [(("entry", kind), kind) for kind in graph.entry]
    named += [(("state", section), section) for section in graph.state]
    for index, node in enumerate(graph.nodes):
        named += [
            (("nodes", index, "name"), node.name),
            (("nodes", index, "role"), node.role),
            (("nodes", index, "slot"), node.slot),
        ]
        named += [(("nodes", index, "prompts", number), prompt) for number, prompt in enumerate(node.prompts)]
    named += [(("edges", index, "carries"), edge.carries) for index, edge in enumerate(graph.edges)]
    for place, name in named:
        if name and not NAME.fullmatch(name):
            yield Problem(place, f"{name!r} is not a name: a letter, then up to 63 letters, digits, _ and -")
    first: dict[str, int] = {}
    for index, node in enumerate(graph.nodes):
        if node.name and first.setdefault(node.name, index) != index:
            yield Problem(("nodes", index, "name"), f"nodes[{first[node.name]}] is called {node.name!r} already")
        if node.implementation and not _IMPLEMENTATION.fullmatch(node.implementation):
            yield Problem(("nodes", index, "implementation"), f"{node.implementation!r} is neither a name nor module:Class")


def _choices(graph: Graph) -> Iterator[Problem]:
    chosen: list[tuple[Place, str, tuple[str, ...]]] = []
    chosen += [(("nodes", index, "phase"), node.phase, get_args(Phase)) for index, node in enumerate(graph.nodes)]
    chosen += [(("edges", index, "kind"), edge.kind, get_args(EdgeKind)) for index, edge in enumerate(graph.edges)]
    for place, value, known in chosen:
        if value not in known:
            yield Problem(place, f"{value!r} is unknown; there are {', '.join(known)}")
    for index, node in enumerate(graph.nodes):
        if node.budget is not None and node.budget < 1:
            yield Problem(("nodes", index, "budget"), f"a budget of {node.budget} tokens leaves room for nothing")
    if graph.version < 1:
        yield Problem(("version",), "versions count from 1")


def _ends(graph: Graph) -> Iterator[Problem]:
    ends: list[tuple[Place, str]] = [(("entry", kind), name) for kind, name in graph.entry.items()]
    for index, edge in enumerate(graph.edges):
        ends.append((("edges", index, "from"), edge.source))
        ends += [(("edges", index, "to"), target) for target in edge.targets]
    known = dict.fromkeys(node.name for node in graph.nodes)
    for place, name in ends:
        if name and name not in known:
            yield Problem(place, f"there is no node {name!r}; there are {', '.join(known)}")


def _expressions(graph: Graph) -> Iterator[Problem]:
    sound: dict[str, str] = {}
    for name, text in graph.conditions.items():
        place = ("conditions", name)
        problems = [Problem(place, problem) for problem in _condition_name(name)] + list(_compiled(place, text, graph.conditions))
        yield from problems
        if not problems:
            sound[name] = text
    for index, edge in enumerate(graph.edges):
        if edge.condition:
            # A condition that is unsound has been reported; here it is a free name.
            yield from _compiled(("edges", index, "condition"), edge.condition, sound)


def _condition_name(name: str) -> Iterator[str]:
    if name in RESERVED:
        yield f"{name!r} is what conditions call the {name} itself"
    elif not NAME.fullmatch(name) or "-" in name or iskeyword(name):
        yield f"{name!r} cannot be used in an expression: a letter, then up to 63 letters, digits and _, and no keyword of Python"


def _compiled(place: Place, text: str, definitions: Mapping[str, str]) -> Iterator[Problem]:
    try:
        compile_expression(text, definitions)
    except ExpressionError as error:
        yield Problem(place, f"{error.message}; {error.hint}")
    except LimitError as error:
        yield Problem(place, error.message)


def _paths(graph: Graph) -> Iterator[Problem]:
    for index, path in enumerate(graph.paths):
        place = ("paths", index, "when")
        problems = list(_compiled(place, path.when, EMPTY)) if path.when else []
        yield from problems
        if path.when and not problems:
            strange = [name for name in compile_expression(path.when).names if name not in PATH_NAMES]
            if strange:
                yield Problem(place, f"there is no {', '.join(map(repr, strange))} here; there are {', '.join(PATH_NAMES)}")


def _doubles(graph: Graph) -> Iterator[Problem]:
    first: dict[tuple[str, str, str], int] = {}
    for index, edge in _data(graph):
        for position, target in enumerate(edge.targets):
            if target in edge.targets[:position]:
                yield Problem(("edges", index, "to"), f"names {target!r} twice")
                continue
            if edge.condition or not edge.source or not target:
                continue
            known = first.setdefault((edge.source, edge.carries, target), index)
            if known != index:
                what = f"sends {edge.carries or 'everything'} from {edge.source} to {target}, which edges[{known}] does already"
                yield Problem(("edges", index), what)


def _unreachable(graph: Graph) -> Iterator[Problem]:
    onward = _onward(graph)
    reached: dict[str, None] = {}
    waiting = list(graph.entry.values())
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached[name] = None
            waiting.extend(onward.get(name, ()))
    touched = dict.fromkeys(end for _, edge in _data(graph) for end in (edge.source, *edge.targets))
    beside = dict.fromkeys(end for edge in graph.edges if edge.kind != "data" for end in (edge.source, *edge.targets))
    for index, node in enumerate(graph.nodes):
        if node.name and node.name not in reached and (node.name in touched or node.name not in beside):
            yield Problem(("nodes", index), f"no data edge leads from an entry to {node.name!r}")


def _cycles(graph: Graph) -> Iterator[Problem]:
    onward = _onward(graph)
    for members in _components(onward):
        if len(members) == 1 and not any(name in onward[name] for name in members):
            continue
        leaving = [(index, edge) for index, edge in _data(graph) if edge.source in members]
        inside = [(index, edge) for index, edge in leaving if any(target in members for target in edge.targets)]
        exits = any(target not in members for _, edge in leaving for target in edge.targets)
        # Where several types go round, a node that has no answer to one of them ends it; of a single type nobody can tell.
        types = {edge.carries for _, edge in inside}
        if not exits and len(types) == 1 and not any(edge.condition for _, edge in inside):
            what = f"a circle without an exit ({', '.join(sorted(members))}): no edge leaves it, none in it has a condition"
            yield Problem(("edges", inside[0][0]), what)


def _data(graph: Graph) -> Iterable[tuple[int, EdgeSpec]]:
    return [(index, edge) for index, edge in enumerate(graph.edges) if edge.kind == "data"]


def _onward(graph: Graph) -> dict[str, list[str]]:
    onward: dict[str, list[str]] = {node.name: [] for node in graph.nodes if node.name}
    for _, edge in _data(graph):
        if edge.source in onward:
            onward[edge.source] += [target for target in edge.targets if target in onward]
    return onward


def _components(onward: Mapping[str, list[str]]) -> Iterator[dict[str, None]]:
    """Yield the strongly connected sets of nodes, without recursion: a chain may be as long as the graph.

    Nodes are put in the order in which a walk leaves them; walking the reversed edges from the last one left finds its whole set.
    """
    left: dict[str, None] = {}
    entered: dict[str, None] = {}
    backward: dict[str, list[str]] = {name: [] for name in onward}
    for name, targets in onward.items():
        for target in targets:
            backward[target].append(name)
    for start in onward:
        walk = [(start, False)]
        while walk:
            name, done = walk.pop()
            if done:
                left[name] = None
            elif name not in entered:
                entered[name] = None
                walk.append((name, True))
                walk.extend((target, False) for target in onward[name])
    taken: dict[str, None] = {}
    for start in reversed(left):
        members: dict[str, None] = {}
        waiting = [] if start in taken else [start]
        while waiting:
            name = waiting.pop()
            if name not in taken:
                taken[name] = members[name] = None
                waiting.extend(backward[name])
        if members:
            yield members
