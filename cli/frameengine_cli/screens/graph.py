"""A graph on one screen."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from frameengine.codec import tagged
from frameengine.graph.model import Graph
from frameengine_cli.look import GOOD, QUIET, STRONG, Look, block, words


def screen(graph: Graph, look: Look) -> RenderableType:
    """Return a graph's nodes, edges, conditions and path labels."""
    parts: list[RenderableType] = [
        look.heading(f"{graph.name} v{graph.version}", tagged(graph.digest)),
        block(graph.description),
        Text(""),
    ]
    roles = any(node.role != node.name for node in graph.nodes)
    columns = ["node", *(["role"] if roles else []), "implementation", "model", "phase", "entered by"]
    nodes = look.table(*columns, fold=True)
    for node in graph.nodes:
        entries = ", ".join([kind for kind, name in graph.entry.items() if name == node.name])
        cells = (*([node.role] if roles else []), node.implementation, node.model or "", node.phase, entries)
        nodes.add_row(words((node.name, f"{STRONG} {GOOD}")), *[words((cell, "")) for cell in cells])
    parts += [nodes, Text("")]
    edges = look.table("edge", "carries", "if", fold=True)
    for edge in graph.edges:
        kind = "" if edge.kind == "data" else f" ({edge.kind})"
        way = words((edge.source, STRONG), (" → ", QUIET), (", ".join(edge.targets), ""), (kind, QUIET))
        edges.add_row(way, words((edge.carries, "")), words((edge.condition, "")))
    parts.append(edges)
    if graph.conditions or graph.paths:
        named = look.table("name", "stands for", fold=True)
        for name, expression in graph.conditions.items():
            named.add_row(words((name, STRONG)), words((str(expression), "")))
        for path in graph.paths:
            named.add_row(words((f"path {path.label}", STRONG)), words((path.when, "")))
        parts += [Text(""), named]
    return Group(*parts)
