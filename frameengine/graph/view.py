"""Pictures of a graph: elements for Cytoscape, text for Mermaid and Graphviz. The same graph always gives the same picture."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from attrs import frozen

from frameengine.graph.model import Graph, NodeSpec
from frameengine.jsonvalue import Json

_MERMAID_SAFE: Final = " _.,:=+*/-"
"""Characters that mean nothing to Mermaid inside a quoted label; letters and digits are safe as well."""


@frozen(kw_only=True)
class _Arrow:
    """One edge to one target."""

    id: str
    source: str
    target: str
    kind: str
    carries: str
    condition: str
    method: str

    @property
    def label(self) -> str:
        """What is written at the arrow."""
        parts = (self.kind if self.kind != "data" else "", self.carries, f"if {self.condition}" if self.condition else "")
        return " ".join([part for part in parts if part])


def cytoscape(graph: Graph) -> list[dict[str, Json]]:
    """Return the graph as Cytoscape elements: nodes, then edges, each a mapping with ``group`` and ``data``.

    An edge's id is its source, its target and a number among those with the same ends: it stays when others are added.
    """
    elements: list[dict[str, Json]] = []
    for node in graph.nodes:
        data: dict[str, Json] = {
            "id": node.name,
            "label": _visible(node.name),
            "role": node.role,
            "implementation": node.implementation,
            "model": node.model,
            "phase": node.phase,
            "entry": [kind for kind, name in graph.entry.items() if name == node.name],
        }
        elements.append({"group": "nodes", "data": data})
    for arrow in _arrows(graph):
        data = {
            "id": arrow.id,
            "source": arrow.source,
            "target": arrow.target,
            "label": _visible(arrow.label),
            "kind": arrow.kind,
            "carries": arrow.carries,
            "condition": arrow.condition,
            "method": arrow.method,
        }
        elements.append({"group": "edges", "data": data})
    return elements


def mermaid(graph: Graph) -> str:
    """Return the graph as a Mermaid flow chart: conditional edges dashed, the epilogue in a box of its own."""
    # Numbers, because a node called `end` or `x` would be read as syntax.
    ids = {node.name: f"n{index}" for index, node in enumerate(graph.nodes)}
    lines = ["flowchart LR"]
    lines += [f'  e{index}(["{_for_mermaid(kind)}"])' for index, kind in enumerate(graph.entry)]
    main, epilogue = _phases(graph)
    lines += [f'  {ids[node.name]}["{_for_mermaid(node.name)}"]' for node in main]
    if epilogue:
        lines.append('  subgraph epilogue["epilogue"]')
        lines += [f'    {ids[node.name]}["{_for_mermaid(node.name)}"]' for node in epilogue]
        lines.append("  end")
    lines += [f"  e{index} --> {ids[name]}" for index, name in enumerate(graph.entry.values())]
    for arrow in _arrows(graph):
        line = "-.->" if arrow.condition else "-->" if arrow.kind == "data" else "--o"
        label = f'|"{_for_mermaid(arrow.label)}"|' if arrow.label else ""
        lines.append(f"  {ids[arrow.source]} {line}{label} {ids[arrow.target]}")
    return "\n".join(lines) + "\n"


def dot(graph: Graph) -> str:
    """Return the graph in the language of Graphviz: conditional edges dashed, the epilogue in a cluster of its own."""
    lines = [f"digraph {_for_dot(graph.name)} {{", "  rankdir=LR;", "  node [shape=box];"]
    lines += [f"  {_for_dot('entry:' + kind)} [label={_for_dot(kind)}, shape=oval];" for kind in graph.entry]
    main, epilogue = _phases(graph)
    lines += [f"  {_for_dot(node.name)};" for node in main]
    if epilogue:
        lines += ["  subgraph cluster_epilogue {", '    label="epilogue";']
        lines += [f"    {_for_dot(node.name)};" for node in epilogue]
        lines.append("  }")
    lines += [f"  {_for_dot('entry:' + kind)} -> {_for_dot(name)};" for kind, name in graph.entry.items()]
    for arrow in _arrows(graph):
        style = "dashed" if arrow.condition else "solid"
        head = "normal" if arrow.kind == "data" else "odot"
        ends = f"{_for_dot(arrow.source)} -> {_for_dot(arrow.target)}"
        lines.append(f"  {ends} [label={_for_dot(arrow.label)}, style={style}, arrowhead={head}];")
    return "\n".join([*lines, "}"]) + "\n"


def _arrows(graph: Graph) -> Iterator[_Arrow]:
    counts: dict[tuple[str, str], int] = {}
    for edge in graph.edges:
        for target in edge.targets:
            number = counts[edge.source, target] = counts.get((edge.source, target), 0) + 1
            yield _Arrow(
                id=f"{edge.source}>{target}#{number}",
                source=edge.source,
                target=target,
                kind=edge.kind,
                carries=edge.carries,
                condition=edge.condition,
                method=edge.method,
            )


def _phases(graph: Graph) -> tuple[list[NodeSpec], list[NodeSpec]]:
    return [node for node in graph.nodes if node.phase != "epilogue"], [node for node in graph.nodes if node.phase == "epilogue"]


def _visible(text: str) -> str:
    """Write white space as single spaces and every other character that shows nothing as its number."""
    return "".join([char if char.isprintable() else f"<U+{ord(char):04X}>" for char in re.sub(r"\s+", " ", text)])


def _for_mermaid(text: str) -> str:
    return "".join([char if char.isalnum() or char in _MERMAID_SAFE else f"#{ord(char)};" for char in _visible(text)])


def _for_dot(text: str) -> str:
    escaped = _visible(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
