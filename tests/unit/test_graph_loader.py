"""Graphs in files: what is read, what is refused and where the error points."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frameengine import limits
from frameengine.errors import ExpressionError, GraphError, GraphValidation, UnknownGraph
from frameengine.graph.lines import line_numbers
from frameengine.graph.loader import list_graphs, load_graph, parse_graph
from frameengine.graph.model import CUSTOM_PATH, EdgeSpec, Graph, NodeSpec
from frameengine.graph.registry import bind
from frameengine.graph.validate import validate
from frameengine.jsonvalue import FrozenMap, freeze

GOOD = """
name = "toy"        # line 2
version = 3
description = "A toy."

[entry]
UserMessage = "input"

[[nodes]]
name = "input"
implementation = "toys:Input"
role = "ears"
model = "small"
budget = 100
prompts = ["listen"]
[nodes.config]
deep = { list = [1, "#"] }

[[nodes]]
name = "director"
implementation = "toys:Director"

[[nodes]]
name = "output"
implementation = "toys:Output"

[[nodes]]
name = "memorizer"
implementation = "toys:Memorizer"
phase = "epilogue"

[[edges]]
from = "input"
to = "director"
carries = "Command"
condition = "not reflex"

[[edges]]
from = "input"
to = ["output"]
carries = "Command"
condition = "reflex"
method = "call"

[[edges]]
from = "director"
to = ["output", "memorizer"]
carries = "Plan"

[[edges]]
from = "memorizer"
to = "director"
kind = "state"
carries = "Memory"

[conditions]
reflex = 'trivial and state.mood != "bad"'
trivial = 'analysis.complexity == "trivial"'

[[paths]]
label = "reflex"
when = '"director" not in nodes'

[[paths]]
label = "long"
when = 'nodes[1] == "director" and frames == 3'

[state]
history = []
mood = "good"
"""

BASE = """
name = "g"
version = 1
[entry]
UserMessage = "a"
[[nodes]]
name = "a"
implementation = "m:A"
[[nodes]]
name = "b"
implementation = "m:B"
[[edges]]
from = "a"
to = "b"
carries = "T"
"""


UNUSUAL = r'''description = """
[[nodes]]
name = "not this"
\"""
"""
# [[nodes]]
[[ nodes ]] # the first
name = "a#b" # "
config = { a = [
  ["nodes"],
  [1]] }
[nodes.config.deep]
"x" = "[["
[[nodes]]
role = "#"
'''


def problems(text: str) -> dict[str, str]:
    """Return the problems of a graph's text: place -> what is wrong."""
    with pytest.raises(GraphValidation) as caught:
        parse_graph(text, "g.toml")
    listed = caught.value.fields["problems"]
    assert caught.value.message.startswith("g.toml: ")
    for problem in listed:
        assert f"{problem['place']}: {problem['problem']}" in caught.value.message
    return {problem["place"]: problem["problem"] for problem in listed}


def test_reads_every_member() -> None:
    """Every member of the written form arrives in the graph, and what is left out has its default (C35)."""
    graph = parse_graph(GOOD, "toy.toml")
    assert (graph.name, graph.version, graph.description) == ("toy", 3, "A toy.")
    assert graph.entry == {"UserMessage": "input"}
    assert graph.nodes[0] == NodeSpec(
        name="input",
        implementation="toys:Input",
        role="ears",
        slot="ears",
        model="small",
        budget=100,
        config=freeze({"deep": {"list": [1, "#"]}}),
        prompts=("listen",),
    )
    assert graph.nodes[1] == NodeSpec(name="director", implementation="toys:Director", role="director", slot="director")
    assert graph.node("memorizer").phase == "epilogue"
    assert graph.edges[1] == EdgeSpec(source="input", targets=("output",), carries="Command", condition="reflex", method="call")
    assert graph.edges[3].kind == "state"
    assert graph.state == {"history": (), "mood": "good"}
    assert isinstance(graph.state, FrozenMap)


def test_out_edges_are_data_edges_in_order() -> None:
    """Only data edges leave a node, in the order of the file, and a node without any has none (C35)."""
    graph = parse_graph(GOOD, "toy.toml")
    assert [edge.condition for edge in graph.out_edges("input")] == ["not reflex", "reflex"]
    assert graph.out_edges("memorizer") == ()


def test_node_that_is_not_there() -> None:
    """Asking for an unknown node raises an error that lists the known ones."""
    with pytest.raises(GraphError) as caught:
        parse_graph(GOOD, "toy.toml").node("boss")
    assert "input, director, output, memorizer" in caught.value.hint


def test_expression_of_inlines_named_conditions() -> None:
    """A named condition stands for its expression as a whole, through other named ones."""
    graph = parse_graph(GOOD, "toy.toml")
    on, reflex, none, _ = [graph.expression_of(edge) for edge in graph.edges]
    assert on is not None
    assert reflex is not None
    assert none is None
    assert on.names == ("analysis", "state")
    trivial = {"analysis": freeze({"complexity": "trivial"}), "state": graph.state}
    assert (on.evaluate(trivial), reflex.evaluate(trivial)) == (False, True)
    other = graph.expression_of(EdgeSpec(source="x", targets=(), condition="not trivial"))
    assert other is not None
    assert other.evaluate(trivial) is False


def test_path_of_takes_the_first_label_that_holds() -> None:
    """A path's label is the first that holds for its nodes and frames, and one that none fits is custom."""
    graph = parse_graph(GOOD, "toy.toml")
    assert graph.path_of(["input", "output"], 2) == "reflex"
    assert graph.path_of(["input", "director", "output"], 3) == "long"
    assert graph.path_of(["input", "director", "output"], 4) == CUSTOM_PATH


def test_json_form_loads_back() -> None:
    """A graph survives its JSON form, digest included."""
    graph = parse_graph(GOOD, "toy.toml")
    again = Graph.from_json(graph.to_json())
    assert again == graph
    assert again.digest == graph.digest
    assert len(graph.digest) == 64


def test_digest_is_of_meaning_not_of_writing() -> None:
    """Comments, layout and stated defaults leave the digest alone; any other change does not."""
    graph = parse_graph(BASE, "g.toml")
    written_out = BASE.replace('to = "b"', 'to = ["b"] # only b\nkind = "data"').replace("\n", "\r\n")
    assert parse_graph(written_out, "g.toml").digest == graph.digest
    assert parse_graph(BASE.replace('"T"', '"U"'), "g.toml").digest != graph.digest
    assert parse_graph(BASE + "[state]\nx = 1\n", "g.toml").digest != graph.digest


@pytest.mark.parametrize("value", [{}, {"name": "x"}, {"nodes": 5}])
def test_from_json_refuses_what_is_no_graph(value: dict[str, Any]) -> None:
    """JSON that is no graph raises an error of the graph."""
    with pytest.raises(GraphError, match="no graph in JSON form"):
        Graph.from_json(value)


def test_from_json_refuses_unknown_members() -> None:
    """A member that this version does not know is refused instead of being lost."""
    value = parse_graph(BASE, "g.toml").to_json()
    node = {**value["nodes"][0], "colour": "red"}
    with pytest.raises(GraphError, match="colour"):
        Graph.from_json({**value, "nodes": [node]})


@pytest.mark.parametrize(
    ("old", "new", "place", "what"),
    [
        ('name = "g"\n', "", "name", "is missing"),
        ("version = 1", 'version = "1"', "version (line 3)", "must be a whole number"),
        ("version = 1", "version = true", "version (line 3)", "must be a whole number"),
        ("version = 1", "version = 0", "version (line 3)", "count from 1"),
        ("version = 1", "version = 1\ncolour = 2", "colour (line 4)", "unknown"),
        ('name = "g"', 'name = ""', "name (line 2)", "is empty"),
        ('name = "g"', 'name = "../g"', "name (line 2)", "not a name"),
        ('UserMessage = "a"', "", "entry (line 4)", "no input leads"),
        ('UserMessage = "a"', 'UserMessage = "c"', "entry.UserMessage (line 5)", "no node 'c'"),
        ('UserMessage = "a"', "UserMessage = 1", "entry.UserMessage (line 5)", "must be a string"),
        ('name = "b"', 'name = "a"', "nodes[1].name (line 10)", "nodes[0] is called 'a' already"),
        ('name = "b"', "", "nodes[1].name (line 9)", "is missing"),
        ('name = "b"', 'name = "1b"', "nodes[1].name (line 10)", "not a name"),
        ('"m:B"', '"m:"', "nodes[1].implementation (line 11)", "module:Class"),
        ('"m:B"', '"m:B"\nimplementaton = 1', "nodes[1].implementaton (line 12)", "there is implementation"),
        ('"m:B"', '"m:B"\nbudget = 0', "nodes[1].budget (line 12)", "leaves room for nothing"),
        ('"m:B"', '"m:B"\nbudget = -1', "nodes[1].budget (line 12)", "leaves room for nothing"),
        ('"m:B"', '"m:B"\nphase = "late"', "nodes[1].phase (line 12)", "there are main, epilogue"),
        ('"m:B"', '"m:B"\nprompts = "p"', "nodes[1].prompts (line 12)", "list of names"),
        ('"m:B"', '"m:B"\nprompts = ["../p"]', "nodes[1].prompts[0] (line 12)", "not a name"),
        ('"m:B"', '"m:B"\nconfig = { at = 2020-01-01 }', "nodes[1].config (line 12)", "not a JSON type at /at"),
        ('"m:B"', '"m:B"\n[nodes.config]\nx = inf', "nodes[1].config (line 12)", "not a JSON number at /x"),
        ('from = "a"', 'from = "c"', "edges[0].from (line 13)", "no node 'c'"),
        ('to = "b"', 'to = "c"', "edges[0].to (line 14)", "no node 'c'"),
        ('to = "b"', "to = []", "edges[0].to (line 14)", "a node or a list"),
        ('to = "b"', 'to = ["b", "b"]', "edges[0].to (line 14)", "twice"),
        ('carries = "T"', "", "edges[0].carries (line 12)", "is missing"),
        ('carries = "T"', 'carries = "T"\nkind = "magic"', "edges[0].kind (line 16)", "there are data, context, state"),
        (
            'carries = "T"',
            'carries = "T"\ncondition = "x ** 2"',
            "edges[0].condition (line 16)",
            "Pow is not allowed, at column 1",
        ),
        ('carries = "T"', f'carries = "T"\ncondition = "{"x" * 5000}"', "edges[0].condition (line 16)", "the bound is 4,096"),
        (
            'carries = "T"',
            'carries = "T"\n[[paths]]\nlabel = "p"\nwhen = "steps == 1"',
            "paths[0].when (line 18)",
            "no 'steps' here",
        ),
        ('carries = "T"', 'carries = "T"\n[[paths]]\nlabel = "p"\nwhen = "a b"', "paths[0].when (line 18)", "invalid syntax"),
        ('carries = "T"', 'carries = "T"\n[conditions]\nstate = "x"', "conditions.state (line 17)", "state itself"),
        ('carries = "T"', 'carries = "T"\n[conditions]\na-b = "x"', "conditions.a-b (line 17)", "cannot be used"),
        ('carries = "T"', 'carries = "T"\n[conditions]\nlambda = "x"', "conditions.lambda (line 17)", "cannot be used"),
        (
            'carries = "T"',
            'carries = "T"\n[conditions]\nc = "d"\nd = "not c"',
            "conditions.c (line 17)",
            "stands for itself (d -> c -> d)",
        ),
        ('carries = "T"', 'carries = "T"\n[state]\n"a b" = 1', "state.a b (line 17)", "not a name"),
        ('from = "a"\nto = "b"', 'from = "a"\nto = "a"', "nodes[1] (line 9)", "no data edge leads"),
    ],
)
def test_each_problem_has_its_place(old: str, new: str, place: str, what: str) -> None:
    """Every kind of mistake is reported at its place, with the line of the file."""
    assert old in BASE
    found = problems(BASE.replace(old, new, 1))
    assert what in found[place]


def test_base_is_sound() -> None:
    """The text that the mistakes are made in is a graph without one."""
    assert parse_graph(BASE, "g.toml").name == "g"


def test_all_problems_at_once() -> None:
    """One look at a file shows every problem: of writing, of names and of meaning."""
    text = BASE.replace("version = 1", 'version = "x"').replace('to = "b"', 'to = "c"') + 'condition = "("\ncolour = 1\n'
    assert list(problems(text)) == [
        "version (line 3)",
        "edges[0].colour (line 17)",
        "edges[0].to (line 14)",
        "edges[0].condition (line 16)",
        "nodes[1] (line 9)",
    ]


def test_a_bad_condition_is_reported_once() -> None:
    """A named condition that is refused is reported where it stands, not at each edge that uses it."""
    text = BASE + 'condition = "c and x"\n[conditions]\nc = "1 +"\n'
    assert list(problems(text)) == ["conditions.c (line 18)"]


def test_empty_graph() -> None:
    """A graph with neither nodes nor entries is refused for both."""
    assert list(problems('name = "g"\nversion = 1\n')) == ["nodes", "entry"]


def test_too_many_nodes() -> None:
    """A graph above the bound is refused, and one at the bound is not."""
    chain = "".join([f'[[nodes]]\nname = "n{i}"\nimplementation = "m:C"\n' for i in range(limits.GRAPH_NODES_MAX)])
    edges = "".join([f'[[edges]]\nfrom = "n{i}"\nto = "n{i + 1}"\ncarries = "T"\n' for i in range(limits.GRAPH_NODES_MAX - 1)])
    head = 'name = "g"\nversion = 1\n[entry]\nTick = "n0"\n'
    assert len(parse_graph(head + chain + edges, "g.toml").nodes) == limits.GRAPH_NODES_MAX
    more = '[[nodes]]\nname = "last"\nimplementation = "m:C"\n'
    assert "the bound is 1,000" in problems(head + chain + more + edges)["nodes (line 5)"]


def edges(*lines: tuple[str, str, str]) -> str:
    """Return the base graph's nodes and a third, joined by edges given as (from, to, rest)."""
    base = BASE[: BASE.index("[[edges]]")] + '[[nodes]]\nname = "c"\nimplementation = "m:C"\n'
    return base + "".join([f'[[edges]]\nfrom = "{a}"\nto = "{b}"\ncarries = "T"\n{rest}\n' for a, b, rest in lines])


@pytest.mark.parametrize(
    ("lines", "trapped"),
    [
        ([("a", "b", ""), ("b", "c", ""), ("c", "b", "")], True),
        ([("a", "b", ""), ("b", "c", ""), ("c", "c", "")], True),
        ([("a", "b", ""), ("b", "a", ""), ("b", "c", "")], False),
        ([("a", "b", ""), ("b", "c", ""), ("c", "b", 'condition = "x"')], False),
        ([("a", "b", ""), ("b", "c", ""), ("c", "b", 'kind = "state"')], False),
        ([("a", "b", ""), ("a", "c", "")], False),
    ],
)
def test_circle_without_an_exit(lines: list[tuple[str, str, str]], *, trapped: bool) -> None:
    """Data edges that go round are refused unless an edge leaves the circle or one in it has a condition."""
    text = edges(*lines)
    if trapped:
        assert any("circle without an exit" in what for what in problems(text).values())
    else:
        parse_graph(text, "g.toml")


def test_the_same_message_twice() -> None:
    """Two unconditional edges that send one type from one node to one target are refused; a condition or another type helps."""
    twice = problems(edges(("a", "b", ""), ("a", "c", ""), ("a", "b", "")))
    assert twice == {"edges[2] (line 25)": "sends T from a to b, which edges[0] does already"}
    parse_graph(edges(("a", "b", ""), ("a", "c", ""), ("a", "b", 'condition = "x"')), "g.toml")
    parse_graph(edges(("a", "b", ""), ("a", "c", "")) + '[[edges]]\nfrom = "a"\nto = "b"\ncarries = "U"\n', "g.toml")


def test_a_circle_of_several_types_is_allowed() -> None:
    """A node that answers one type with another and a second one with nothing ends the circle, so it is not refused."""
    back = '[[edges]]\nfrom = "c"\nto = "a"\ncarries = "U"\n'
    parse_graph(edges(("a", "b", ""), ("b", "c", "")) + back, "g.toml")
    assert any("circle" in what for what in problems(edges(("a", "b", ""), ("b", "c", "")) + back.replace("U", "T")).values())


def test_an_epilogue_may_start_a_main_node() -> None:
    """A data edge from the epilogue to a node of the main phase is allowed: what it starts there belongs to the epilogue."""
    late = BASE.replace('"m:B"', '"m:B"\nphase = "epilogue"')
    parse_graph(late + '[[edges]]\nfrom = "b"\nto = "a"\ncarries = "U"\n', "g.toml")


def test_nodes_beside_the_flow() -> None:
    """A node that only context or state edges touch needs no way from an entry; one that nothing touches does."""
    alone = problems(edges(("a", "b", "")))
    assert list(alone) == ["nodes[2] (line 12)"]
    parse_graph(edges(("a", "b", ""), ("c", "a", 'kind = "context"')), "g.toml")


def test_validate_takes_graphs_from_anywhere() -> None:
    """A graph that was built in code is checked like one from a file."""
    graph = Graph(name="g", version=1, entry=freeze({"Tick": "gone"}), nodes=(NodeSpec(name="a", implementation="m:A"),))
    assert [problem.place for problem in validate(graph)] == [("entry", "Tick"), ("nodes", 0)]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('name = "g"\nversion = \n', "line 2"),
        ('name = "g"\nversion = 1\n\nx = """', "line 4"),
        ('name = "g"\nname = "h"\n', "line 2"),
        ("x = " + "[" * 5000, "line 1"),
    ],
)
def test_toml_errors_name_the_line(text: str, place: str) -> None:
    """A text that is no TOML is refused with the line of the mistake."""
    assert list(problems(text)) == [place]


def test_lines_in_unusual_writing() -> None:
    """Headers and members inside long strings, comments and nested lists are not taken for tables."""
    numbers = line_numbers(UNUSUAL)
    assert numbers["description",] == 1
    assert numbers["nodes", 0] == 7
    assert numbers["nodes", 0, "name"] == 8
    assert numbers["nodes", 0, "config"] == 9
    assert numbers["nodes", 0, "config", "deep"] == 12
    assert numbers["nodes", 0, "config", "deep", "x"] == 13
    assert numbers["nodes", 1] == 14
    assert numbers["nodes", 1, "role"] == 15
    assert ("nodes", 2) not in numbers


def test_inline_tables_point_at_their_beginning() -> None:
    """A problem inside a table that is written inline is placed on the line where that begins."""
    text = 'name = "g"\nversion = 1\nentry = { UserMessage = "x" }\nnodes = [\n  { name = "a", implementation = "m:A" },\n]\n'
    assert list(problems(text)) == ["entry.UserMessage (line 3)", "nodes[0] (line 4)"]


@given(st.text(max_size=80), st.integers(0, len(GOOD)))
def test_any_text_is_read_or_refused(noise: str, position: int) -> None:
    """No text leads to another error than the one that lists problems."""
    try:
        parse_graph(GOOD[:position] + noise + GOOD[position:], "g.toml")
    except GraphValidation as error:
        assert error.fields["problems"]  # noqa: PT017 - both ends are allowed


def test_tool_loop_is_shipped() -> None:
    """The graph of most agents is found by name: a model and its tools in turns, then the output."""
    graph = load_graph("tool-loop")
    assert [(edge.source, edge.carries, edge.targets) for edge in graph.edges] == [
        ("model", "ToolRequest", ("tools",)),
        ("tools", "ToolResults", ("model",)),
        ("model", "Answer", ("output",)),
    ]
    assert graph.entry == {"UserMessage": "model"}
    assert graph.state == {"history": ()}
    assert graph.path_of(["model", "output"], 2) == "direct"
    assert graph.path_of(["model", "tools", "model", "output"], 4) == "tools"


def test_list_graphs_is_sorted() -> None:
    """Shipped graphs are listed by name, each with a description."""
    listed = list_graphs()
    assert "tool-loop" in [name for name, _ in listed]
    assert list(listed) == sorted(listed)
    assert all(description for _, description in listed)


def test_the_graphs_of_the_agent_are_shipped() -> None:
    """C34, C35: four are listed, load by name and bind to a node for each role; their edges are of three kinds."""
    four = {"v1-current": 7, "v2-director-drives": 8, "v3-framed": 8, "v4-eras": 8}
    assert [name for name, _ in list_graphs() if name.startswith("v")] == list(four)
    for name, nodes in four.items():
        made = bind(load_graph(name))
        assert made.graph.name == name
        assert list(made.implementations) == [spec.name for spec in made.graph.nodes]
        assert len(made.graph.nodes) == nodes
        assert {edge.kind for edge in made.graph.edges} == {"data", "context", "state"}
        assert all(edge.carries for edge in made.graph.edges if edge.kind == "data")
    with pytest.raises(UnknownGraph, match="nope") as caught:
        load_graph("nope")
    assert set(four) <= {*caught.value.fields["known"]}


def test_load_by_path_and_by_folder(tmp_path: Path) -> None:
    """A file is loaded by its path, whatever its name, and by its name from a folder that is searched."""
    (tmp_path / "toy.toml").write_text(GOOD)
    (tmp_path / "copy.toml").write_text(GOOD)
    assert load_graph(tmp_path / "copy.toml") == load_graph(str(tmp_path / "toy.toml")) == load_graph("toy", search=[tmp_path])


def test_name_of_the_file_and_of_the_graph(tmp_path: Path) -> None:
    """A graph found by name must have that name, or the name would lead to another graph next time."""
    (tmp_path / "copy.toml").write_text(GOOD)
    with pytest.raises(GraphValidation, match=r"name \(line 2\): the file is called copy\.toml"):
        load_graph("copy", search=[tmp_path])


def test_shipped_graphs_go_first(tmp_path: Path) -> None:
    """A file in a searched folder does not change what the name of a shipped graph means."""
    (tmp_path / "tool-loop.toml").write_text(BASE)
    assert load_graph("tool-loop", search=[tmp_path]) == load_graph("tool-loop")


def test_unknown_name_offers_the_nearest(tmp_path: Path) -> None:
    """An unknown name is answered with all known ones and those that are spelled like it."""
    (tmp_path / "mine.toml").write_text(BASE)
    with pytest.raises(UnknownGraph) as caught:
        load_graph("tool_lop", search=[tmp_path])
    assert {"mine", "tool-loop"} <= {*caught.value.fields["known"]}
    assert caught.value.fields["nearest"] == ["tool-loop"]
    assert "tool-loop" in caught.value.hint


@pytest.mark.parametrize("name", ["", "..", "a b", "zzz", "no/such", "no.toml", "a\0b", Path("nowhere")])
def test_names_of_nothing(name: str | Path) -> None:
    """Whatever names no graph is an unknown graph, never another error."""
    with pytest.raises(UnknownGraph):
        load_graph(name)


def test_file_that_is_no_text(tmp_path: Path) -> None:
    """A file that is not UTF-8 is refused with the offset of the byte."""
    (tmp_path / "bad.toml").write_bytes(b'name = "\xff"')
    with pytest.raises(GraphValidation, match="byte 8"):
        load_graph(tmp_path / "bad.toml")


def test_unchecked_graph_fails_when_asked() -> None:
    """An expression that nobody validated raises when it is asked for."""
    graph = Graph(name="g", version=1, entry=freeze({}), nodes=(), edges=(EdgeSpec(source="a", targets=("b",), condition="("),))
    with pytest.raises(ExpressionError):
        graph.expression_of(graph.edges[0])
