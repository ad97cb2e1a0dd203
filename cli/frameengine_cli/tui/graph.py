"""The graph with what happened on it: the nodes of this frame, the way the message took, the edges that were followed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from frameengine.errors import FrameEngineError
from frameengine.graph.loader import list_graphs, load_graph
from frameengine.graph.model import EdgeSpec, Graph, NodeSpec
from frameengine.inputs import SwitchGraph
from frameengine.jsonvalue import EMPTY, FrozenMap
from frameengine_cli.look import BAD, DIFFERS, ENTERS, GOOD, QUIET, SAME, STRONG, words
from frameengine_cli.tui.rows import Folds, Outline, Row, notes
from frameengine_cli.tui.scene import Scene

ACTIVE, RAN, IDLE = "◉", "●", "○"


def graph_of(header: FrozenMap, switched: SwitchGraph | None, *, trust: bool) -> Graph | None:
    """Return the graph in use: the header's, or the one that the run switched to, where that is still what it was.

    That one is a shipped one, unless its name is to be trusted: a trace may name any file.
    """
    try:
        if switched is None:
            return Graph.from_json(header["graph"])
        if not (trust or switched.graph in [name for name, _ in list_graphs()]):
            return None
        graph = load_graph(switched.graph)
    except (FrameEngineError, LookupError, TypeError, AttributeError):
        return None
    return graph if graph.digest == switched.fingerprint.get("graph") else None


def graph_rows(graph: Graph | None, scene: Scene, folds: Folds, width: int) -> Sequence[Row]:
    """Return the graph's nodes in order, each with the edges that leave it."""
    if graph is None:
        return notes("the graph in use here is not recorded, and none of its name is the same", "--trust looks for it elsewhere")
    outline = Outline(folds, width)
    now = {str(record["node"]): record for record in scene.step.records} if scene.step else {}
    ran = _ran(scene)
    for kind, name in graph.entry.items():
        entered = scene.entered is not None and scene.entered.type == kind
        style, arrow = (STRONG, "━▶") if entered else (QUIET, "─▸")
        outline.line(words((f"{ENTERS} {kind}", style), (f" {arrow} ", GOOD if entered else QUIET), (str(name), style)))
    phase = "main"
    for node in graph.nodes:
        if node.phase != phase:
            phase = node.phase
            outline.line(words((f"── {phase} {'─' * 12}", QUIET)))
        _node(outline, node, now.get(node.name), ran.get(node.name, ()))
        edges = [edge for edge in graph.edges if edge.source == node.name]
        for index, edge in enumerate(edges):
            _edge(outline, edge, now.get(node.name), ran=node.name in ran, last=index == len(edges) - 1)
    return outline.rows


def _ran(scene: Scene) -> Mapping[str, tuple[int, ...]]:
    """Return in which frames of the message up to here each node ran."""
    ran: dict[str, tuple[int, ...]] = {}
    for shown in scene.stretch.frames if scene.stretch is not None else ():
        for record in shown.step.records if shown.step is not None and shown.place.frame <= scene.place.frame else ():
            name = str(record["node"])
            ran[name] = (*ran.get(name, ()), shown.place.frame)
    return ran


def _node(outline: Outline, node: NodeSpec, record: FrozenMap | None, frames: tuple[int, ...]) -> None:
    failed = record is not None and record.get("error") is not None
    sign = ACTIVE if record is not None else RAN if frames else IDLE
    style = BAD if failed else GOOD if frames else QUIET
    when = "frame " + ", ".join(map(str, frames[-6:])) if frames else ""
    name = (node.name, f"{STRONG} {style}" if record is not None else STRONG if frames else QUIET)
    text = words((f"{sign} ", f"{STRONG} {style}"), name)
    outline.line(text, stop=f"node {node.name}", facts=words((when, QUIET)), here=record is not None)


def _edge(outline: Outline, edge: EdgeSpec, record: FrozenMap | None, *, ran: bool, last: bool) -> None:
    followed = record is not None and any(target in record.get("route", ()) for target in edge.targets)
    followed = followed and _held(edge, record) is not False
    line, arrow = ("┗━", "▶") if followed else ("└─" if last else "├─", "▸")
    strong = f"{STRONG} {GOOD}" if followed else QUIET
    parts = [(f"  {line}{arrow} ", strong), (", ".join(edge.targets), STRONG if followed else "" if ran else QUIET)]
    if edge.kind != "data":
        parts.append((f"  {edge.kind}", QUIET))
    if edge.condition:
        held = _held(edge, record)
        parts.append((f"  if {edge.condition}", QUIET))
        if held is not None:
            parts.append((f" {SAME if held else DIFFERS}", GOOD if held else BAD))
    outline.line(words(*parts))


def _held(edge: EdgeSpec, record: FrozenMap | None) -> bool | None:
    """Return whether an edge's condition held in this frame; None where it was not asked."""
    found = (EMPTY if record is None else record.get("condition", EMPTY)).get(edge.condition)
    return None if found is None else bool(found)
