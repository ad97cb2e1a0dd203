"""What the shipped nodes can show while a suite runs: an event that cannot come could not be missed (C53)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import Final

from frameengine.graph.model import Graph, NodeSpec
from frameengine.graph.registry import BUILT_IN

NEAR: Final = 0.75
"""How like an event a name must be to be a slip of it."""
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
    "http_exchange": "",
    "memorizer_v1": "thinking updated error context parse_failed",
}
SHOWN: Final[Mapping[str, frozenset[str]]] = {name: frozenset(events.split()) for name, events in _SHOWN.items()}
"""Registered name of each shipped implementation -> the events that it can show in a suite."""
_NAMES: Final = {target: name for name, target in BUILT_IN.items()}


def _possible(event: str, graph: Graph, spec: NodeSpec) -> bool:
    """Return whether a node of *graph* is where, and set up as, it must be to show *event*."""
    match event:
        case "reflex_path":
            return any(edge.carries == "Command" and edge.kind == "data" and spec.name in edge.targets for edge in graph.edges)
        case "process_start" | "process_done":
            return "python" in spec.config.get("tools", ())
        case "returned":
            return bool(spec.config.get("retry"))
        case _:
            return True


def shown_by(graph: Graph, spec: NodeSpec) -> frozenset[str] | None:
    """Return the events that a node of *graph* can show in a suite; None where its code is not of this package."""
    events = SHOWN.get(_NAMES.get(spec.implementation, spec.implementation))
    return None if events is None else frozenset([event for event in events if _possible(event, graph, spec)])


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
    fault = f"{node or graph.name} shows no event {event}, so missing it could not fail"
    if near := get_close_matches(event, [*known, *proven], 1, NEAR):
        return f"{fault}; is it {near[0]}?"
    if foreign:
        return f"{fault}; expect it in another step, so that it is proven"
    return f"{fault}; it shows {', '.join(known) or 'none'}" if node else fault
