"""Pictures of graphs: complete, the same every time, and safe whatever the labels hold."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from frameengine.graph.loader import list_graphs, load_graph
from frameengine.graph.model import EdgeSpec, Graph, NodeSpec
from frameengine.graph.view import cytoscape, dot, mermaid
from frameengine.jsonvalue import freeze

NASTY = 'a"b|c]d#e\\f\n<g>`h`;%%{x}\x1b[0m\u202e'


def graph(condition: str = "x > 1") -> Graph:
    """Return a graph with every kind of edge."""
    return Graph(
        name="picture",
        version=1,
        entry=freeze({"UserMessage": "in", "Tick": "in"}),
        nodes=(
            NodeSpec(name="in", implementation="m:In", model="small"),
            NodeSpec(name="end", implementation="m:End"),
            NodeSpec(name="late", implementation="m:Late", phase="epilogue"),
        ),
        edges=(
            EdgeSpec(source="in", targets=("end", "late"), carries="T"),
            EdgeSpec(source="in", targets=("end",), carries="U", condition=condition, method="call"),
            EdgeSpec(source="late", targets=("in",), kind="state", carries="M"),
        ),
    )


def test_cytoscape_elements() -> None:
    """Each node and each arrow of an edge is an element, with an id of its own and ends that exist (C35)."""
    elements = cytoscape(graph())
    nodes = [element["data"] for element in elements if element["group"] == "nodes"]
    arrows = [element["data"] for element in elements if element["group"] == "edges"]
    assert [node["id"] for node in nodes] == ["in", "end", "late"]
    assert [arrow["id"] for arrow in arrows] == ["in>end#1", "in>late#1", "in>end#2", "late>in#1"]
    assert nodes[0]["entry"] == ["UserMessage", "Tick"]
    assert nodes[0]["model"] == "small"
    assert nodes[2]["phase"] == "epilogue"
    assert arrows[2] == {
        "id": "in>end#2",
        "source": "in",
        "target": "end",
        "label": "U if x > 1",
        "kind": "data",
        "carries": "U",
        "condition": "x > 1",
        "method": "call",
    }
    assert arrows[3]["kind"] == "state"
    freeze(elements)


def test_each_shipped_graph_has_a_picture_of_its_own() -> None:
    """C40: a picture is made from the graph it shows: its nodes, an arrow for each target of an edge, and nothing built in."""
    pictures = {}
    for name, _ in list_graphs():
        shipped = load_graph(name)
        elements = pictures[name] = cytoscape(shipped)
        nodes = [element["data"]["id"] for element in elements if element["group"] == "nodes"]
        arrows = [(element["data"]["source"], element["data"]["target"]) for element in elements if element["group"] == "edges"]
        assert nodes == [node.name for node in shipped.nodes]
        assert arrows == [(edge.source, target) for edge in shipped.edges for target in edge.targets]
    assert pictures["v1-current"] != pictures["v3-framed"] != pictures["v4-eras"]


def test_cytoscape_keeps_what_it_does_not_show() -> None:
    """A condition stays as it was written in the data; only the label is made safe to show."""
    arrow = cytoscape(graph(NASTY))[5]["data"]
    assert arrow["condition"] == NASTY
    assert "\n" not in arrow["label"]
    assert "<U+001B>" in arrow["label"]


def test_mermaid_text() -> None:
    """The chart has numbered nodes, dashed conditional edges, round ends for state edges and a box for the epilogue."""
    assert mermaid(graph()) == (
        "flowchart LR\n"
        '  e0(["UserMessage"])\n'
        '  e1(["Tick"])\n'
        '  n0["in"]\n'
        '  n1["end"]\n'
        '  subgraph epilogue["epilogue"]\n'
        '    n2["late"]\n'
        "  end\n"
        "  e0 --> n0\n"
        "  e1 --> n0\n"
        '  n0 -->|"T"| n1\n'
        '  n0 -->|"T"| n2\n'
        '  n0 -.->|"U if x #62; 1"| n1\n'
        '  n2 --o|"state M"| n0\n'
    )


def test_dot_text() -> None:
    """The drawing has quoted names, dashed conditional edges and a cluster for the epilogue."""
    text = dot(graph())
    assert '  "in" -> "end" [label="T", style=solid, arrowhead=normal];\n' in text
    assert '  "in" -> "end" [label="U if x > 1", style=dashed, arrowhead=normal];\n' in text
    assert '  "late" -> "in" [label="state M", style=solid, arrowhead=odot];\n' in text
    assert '  subgraph cluster_epilogue {\n    label="epilogue";\n    "late";\n  }\n' in text
    assert '  "entry:Tick" -> "in";\n' in text


def test_no_epilogue_no_box() -> None:
    """A graph without an epilogue has no box for one."""
    small = Graph(name="g", version=1, entry=freeze({"Tick": "a"}), nodes=(NodeSpec(name="a", implementation="m:A"),))
    assert "epilogue" not in mermaid(small) + dot(small)


@given(st.text(max_size=30) | st.just(NASTY))
def test_labels_never_break_out(condition: str) -> None:
    """Whatever a condition holds, it adds no line, ends no string and shows no control character."""
    plain, hostile = graph(), graph(condition or "x")
    for draw in (mermaid, dot):
        drawn = draw(hostile)
        assert drawn.count("\n") == draw(plain).count("\n")
        assert all(char.isprintable() or char == "\n" for char in drawn)
    label = re.search(r'n0 -\.->\|"(.*)"\| n1', mermaid(hostile))
    assert label is not None
    assert not re.search(r"[\"|<>`\[\]{}\\%&;]", re.sub(r"#\d+;", "", label[1]))
    for line in dot(hostile).split("\n"):
        assert len(re.findall(r'"(?:\\.|[^"\\])*"', line)) * 2 == len(re.findall(r'(?<!\\)(?:\\\\)*"', line))


def test_same_graph_same_picture() -> None:
    """A graph that was written and read again is drawn byte for byte the same."""
    again = Graph.from_json(graph().to_json())
    assert (mermaid(again), dot(again), cytoscape(again)) == (mermaid(graph()), dot(graph()), cytoscape(graph()))
