"""What the shipped nodes can show while a suite runs: an event that cannot come could not be missed (C53)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from difflib import get_close_matches
from typing import Final

from frameengine.graph.model import Graph, NodeSpec
from frameengine.graph.registry import BUILT_IN

_ASKS: Final = "context model_failed parse_failed"
_CARRIES_OUT: Final = "tool_call tool_result tool_refused tool_cached"
_INPUT: Final = f"thinking perceived {_ASKS}"
_EXPERT: Final = f"thinking planned returned done {_CARRIES_OUT} {_ASKS}"
# A sensor also shows what odd a tick says, and its end; ticks of a suite say nothing.
_SHOWN: Final[Mapping[str, str]] = {
    "chat_model": "",
    "chat_tools": "",
    "chat_output": "text",
    "sensor": "started tick",
    "input_v1": _INPUT,
    "input_v2": _INPUT,
    "director_v1": f"thinking planned watched {_ASKS}",
    "director_v2": f"thinking planned {_ASKS}",
    "thinker_v1": (
        "thinking audit controls decided tool_call tool_result tool_refused process_start process_done context parse_failed"
    ),
    "thinker_v2": f"thinking decided {_CARRIES_OUT}",
    "interpreter_v1": f"thinking interpreted {_ASKS}",
    "pa_v1": f"thinking routed text {_ASKS}",
    "eras_expert": _EXPERT,
    "plankiste_expert": _EXPERT,
    "output_v1": "reflex_path streaming done text context parse_failed",
    "ui": "controls control_refused state_refused machine_refused machine_transition text",
    "memorizer_v1": "thinking updated error context parse_failed",
}
SHOWN: Final[Mapping[str, frozenset[str]]] = {name: frozenset(events.split()) for name, events in _SHOWN.items()}
"""Registered name of each shipped implementation -> the events that it can show in a suite."""
_NAMES: Final = {target: name for name, target in BUILT_IN.items()}


def _gets_command(graph: Graph, spec: NodeSpec) -> bool:
    return any(edge.carries == "Command" and spec.name in edge.targets for edge in graph.edges)


def _has_python(graph: Graph, spec: NodeSpec) -> bool:
    return "python" in spec.config.get("tools", ())


_WHERE: Final[Mapping[str, Callable[[Graph, NodeSpec], bool]]] = {
    "reflex_path": _gets_command,
    "process_start": _has_python,
    "process_done": _has_python,
    "returned": lambda graph, spec: bool(spec.config.get("retry")),
}
"""What must be so in a graph for some of the events."""


def shown_by(graph: Graph, spec: NodeSpec) -> frozenset[str] | None:
    """Return the events that a node of *graph* can show in a suite; None where its code is not of this package."""
    events = SHOWN.get(_NAMES.get(spec.implementation, spec.implementation))
    if events is None:
        return None
    return frozenset([event for event in events if event not in _WHERE or _WHERE[event](graph, spec)])


def not_to_be_missed(graph: Graph, node: str, event: str, seen: Collection[tuple[str, str]]) -> str:
    """Return why *event* cannot be missed on *graph*, of *node* where that is not empty; empty where it can.

    What a foreign node shows is not known, so a suite must see it elsewhere (*seen*: node or nothing, and event): that proves it.
    """
    nodes = [shown_by(graph, spec) for spec in graph.nodes if node in ("", spec.name)]
    known = sorted(frozenset().union(*[events for events in nodes if events is not None]))
    proven = [name for where, name in seen if node in ("", where)]
    foreign = None in nodes
    if event in known or (foreign and event in proven):
        return ""
    if near := get_close_matches(event, [*known, *proven], 1):
        meant = f"is it {near[0]}?"
    else:
        meant = "expect it in another step, so that it is proven" if foreign else f"it shows {', '.join(known) or 'none'}"
    return f"{node or graph.name} shows no event {event} that is known, so missing it could not fail; {meant}"
