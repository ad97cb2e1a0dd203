"""``frameengine graph``: the graphs that there are, what they are made of, and pictures of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from frameengine_cli.commands import options

if TYPE_CHECKING:
    from frameengine.graph.model import Graph

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True, help="List, show, check and draw graphs.")

Name = Annotated[
    str, typer.Argument(metavar="NAME|PATH", help="A shipped graph, or the path of a .toml file.", show_default=False)
]


@app.command("list")
def list_(as_json: options.Json = False) -> None:
    """List the graphs that are shipped.

    Example: frameengine graph list
    """
    from frameengine.graph.loader import list_graphs
    from frameengine_cli import output

    listed = list_graphs()
    if as_json:
        output.document({"graphs": [{"name": name, "description": description} for name, description in listed]})
        return
    from frameengine_cli.look import GOOD, STRONG, words

    table = output.look().table("graph", "what it is", wide="what it is")
    for name, description in listed:
        table.add_row(words((name, f"{STRONG} {GOOD}")), words((description, "")))
    output.show(table)


@app.command("show")
def show(name: Name, as_json: options.Json = False) -> None:
    """Show a graph's nodes, edges and path labels.

    Example: frameengine graph show tool-loop
    """
    from frameengine.codec import tagged
    from frameengine.graph.loader import load_graph
    from frameengine_cli import output

    graph = load_graph(name)
    if as_json:
        output.document({"graph": graph.to_json(), "digest": tagged(graph.digest)})
        return
    from frameengine_cli.screens.graph import screen

    output.show(screen(graph, output.look()))


@app.command("check")
def check(path: Name, as_json: options.Json = False) -> None:
    """Check a graph: that it holds together, and that its code and prompts are there. All problems are told at once.

    Example: frameengine graph check my-agent.toml
    """
    from frameengine.codec import tagged
    from frameengine.graph.loader import load_graph
    from frameengine.graph.registry import bind, missing
    from frameengine_cli import output, phrases

    bound = bind(load_graph(path, more=missing))
    graph = bound.graph
    if as_json:
        output.document({"verdict": "sound", "name": graph.name, "version": graph.version, "digest": tagged(graph.digest)})
        return
    counts = [
        phrases.count(len(graph.nodes), "node"),
        phrases.count(len(graph.edges), "edge"),
        phrases.count(len(bound.prompts), "prompt"),
    ]
    output.say(f"✓ {graph.name} v{graph.version} is sound: {', '.join(counts)}; code and prompts found")


@app.command("export")
def export(
    name: Name,
    *,
    form: Annotated[Literal["mermaid", "dot", "cytoscape"], typer.Option("--format", help="What to write.")] = "mermaid",
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Where to; stdout without it.", show_default=False)
    ] = None,
    force: options.Force = False,
    as_json: options.Json = False,
) -> None:
    """Write a picture of a graph.

    Example: frameengine graph export tool-loop --format mermaid
    """
    from frameengine.graph.loader import load_graph
    from frameengine_cli import output as out
    from frameengine_cli.refs import check_absent

    drawn = _draw(load_graph(name), form)
    if output is not None:
        check_absent(output, force=force)
        out.save(output, drawn if isinstance(drawn, str) else _encoded(drawn))
        if not as_json:
            out.remark(f"wrote {output}")
    if as_json:
        out.document({"graph": name, "format": form, "output": None if output is None else str(output), "picture": drawn})
    elif output is None:
        out.say((drawn if isinstance(drawn, str) else _encoded(drawn)).rstrip("\n"))


def _draw(graph: Graph, form: str) -> Any:
    from frameengine.graph.view import cytoscape, dot, mermaid

    if form == "cytoscape":
        return cytoscape(graph)
    return mermaid(graph) if form == "mermaid" else dot(graph)


def _encoded(elements: Any) -> str:
    from frameengine.codec import dumps

    return dumps(elements).decode() + "\n"
