"""What a suite may miss: the events that the shipped nodes can show, held against what they do show."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from attrs import evolve

import frameengine.nodes
from frameengine.graph.loader import load_graph
from frameengine.graph.model import Graph
from frameengine.graph.registry import BUILT_IN
from frameengine.hud.view import OWNERS
from frameengine.jsonvalue import freeze
from frameengine.node import TEXT_EVENT
from frameengine.suites.events import SHOWN, not_to_be_missed, shown_by
from frameengine.tools.process_events import PROCESS_DONE, PROCESS_START

TABLE = tomllib.loads((Path(__file__).parents[1] / "replay" / "hud_table.toml").read_text(encoding="utf-8"))
EMITS = re.compile(r"""emit\(\s*"(\w+)\"""")
ELSEWHERE = {TEXT_EVENT, PROCESS_START, PROCESS_DONE, "control_refused", "machine_refused", "state_refused"}
"""Events whose names do not stand where they are emitted."""
NO_SUITE = {"stopped": "no tick of a suite says so", "reading_refused": "no tick of a suite has readings"}
"""Events that no act of a suite leads to, and why."""
SELDOM = {
    "memorizer.parse_failed": "a reply of which a part can be read",
    "ui.control_refused": "on v1-current, controls of too many bytes together",
}
"""Events that the runs behind the stored table do not show, and what does."""


@pytest.mark.parametrize("name", TABLE)
def test_what_may_be_missed_on_a_graph_is_what_it_shows(name: str) -> None:
    """C53: the events that a graph can show in a suite are those of the stored table, but for those that are explained."""
    graph = load_graph(name)
    shown = {
        f"{OWNERS.get(event, spec.role)}.{event}"
        for spec in graph.nodes
        for event in shown_by(graph, spec) or ()
        if event != TEXT_EVENT
    }
    stored = {event for event in TABLE[name] if event.partition(".")[2] not in (*NO_SUITE, "frame_trace")}
    assert stored - shown == set()
    assert shown - stored <= set(SELDOM)


def test_every_shipped_implementation_and_event_is_known() -> None:
    """No shipped node is left out, and the events are those that stand in their code."""
    nodes = Path(frameengine.nodes.__file__).parent
    emitted = {name for path in nodes.glob("*.py") for name in EMITS.findall(path.read_text(encoding="utf-8"))}
    assert set(SHOWN) == set(BUILT_IN)
    assert {event for events in SHOWN.values() for event in events} == (emitted | ELSEWHERE) - set(NO_SUITE)


def foreign(graph: Graph) -> Graph:
    """Return *graph* with an output of somebody's own."""
    nodes = [evolve(spec, implementation="mine:Output") if spec.name == "output" else spec for spec in graph.nodes]
    return evolve(graph, nodes=tuple(nodes))


@pytest.mark.parametrize(
    ("graph", "node", "event", "said"),
    [
        ("v3-framed", "", "tool_refused", ""),
        ("v3-framed", "thinker", "tool_refused", ""),
        ("v3-framed", "director", "tool_refused", "director shows no event tool_refused, so missing it could not fail"),
        ("v3-framed", "", "tool_refuesd", "is it tool_refused?"),
        ("v3-framed", "", "fireworks", "v3-framed shows no event fireworks"),
        ("v3-framed", "", "process_start", "v3-framed shows no event process_start"),
        ("v1-current", "thinker", "process_start", ""),
        ("v1-current", "output", "reflex_path", "output shows no event reflex_path"),
        ("v3-framed", "output", "reflex_path", ""),
        ("v4-eras", "expert_eras", "returned", "expert_eras shows no event returned"),
        ("v4-eras", "pa", "routed", ""),
        ("v3-framed", "", "routed", "v3-framed shows no event routed"),
        ("v3-framed", "ui", "perceived", "ui shows no event perceived"),
        ("v3-framed", "output", "tick", "output shows no event tick"),
        ("v3-framed", "sensor", "stopped", "it shows started, tick"),
        ("tool-loop", "model", "text", "model shows no event text"),
    ],
)
def test_an_event_that_cannot_come_cannot_be_missed(graph: str, node: str, event: str, said: str) -> None:
    """Event and node are looked at together, on the graph of the run; what cannot be there is named with what can."""
    found = not_to_be_missed(load_graph(graph), node, event, [])
    assert said in found
    assert bool(found) == bool(said)


def test_an_expert_that_may_return_its_job_can_be_expected_not_to() -> None:
    """Settings of a node count: with retry on, a job can come back, so that it did not is worth a check."""
    graph = load_graph("v4-eras")
    nodes = [
        evolve(spec, config=freeze({**spec.config, "retry": True})) if spec.role == "expert" else spec for spec in graph.nodes
    ]
    assert not_to_be_missed(evolve(graph, nodes=tuple(nodes)), "expert_eras", "returned", []) == ""


@pytest.mark.parametrize(
    ("node", "seen", "may"),
    [
        ("output", [("output", "fireworks")], True),
        ("", [("output", "fireworks")], True),
        ("", [("", "fireworks")], True),
        ("output", [("", "fireworks")], False),
        ("output", [("output", "firework")], False),
        ("output", [], False),
        ("ui", [("", "fireworks"), ("ui", "fireworks")], False),
    ],
)
def test_what_a_foreign_node_shows_is_proven_by_the_suite(node: str, seen: list[tuple[str, str]], may: bool) -> None:
    """An event of a node of one's own may be missed where the suite sees it elsewhere, of the same node where one is named."""
    assert (not_to_be_missed(foreign(load_graph("v3-framed")), node, "fireworks", seen) == "") is may


def test_the_class_of_a_shipped_node_is_the_shipped_node() -> None:
    """A graph may name an implementation by its class."""
    graph = load_graph("v3-framed")
    nodes = tuple([evolve(spec, implementation=BUILT_IN[spec.implementation]) for spec in graph.nodes])
    written = evolve(graph, nodes=nodes)
    assert [shown_by(written, spec) for spec in nodes] == [shown_by(graph, spec) for spec in graph.nodes]
