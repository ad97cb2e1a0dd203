"""Which graph a command runs a trace with, and how the graph is called."""

from __future__ import annotations

from frameengine.errors import GraphError
from frameengine.graph.loader import list_graphs, load_graph
from frameengine.graph.registry import BoundGraph, bind
from frameengine.jsonvalue import FrozenMap

RECORDED = "recorded"
"""What --graph says for the definition that stands in the trace."""


def choose_graph(header: FrozenMap, wanted: str | None) -> tuple[BoundGraph | None, str]:
    """Return the graph to replay with, None for the one in the header, and how to call it.

    A shipped graph of the recorded name goes before the recorded definition, so that a graph that was changed is noticed.
    """
    name = str((header.get("graph") or {}).get("name", ""))
    if wanted is not None and wanted != RECORDED:
        bound = bind(load_graph(wanted))
        return bound, f"{bound.graph.name} v{bound.graph.version} (--graph {wanted})"
    if wanted is None and name in [shipped for shipped, _ in list_graphs()]:
        bound = bind(load_graph(name))
        return bound, f"{name} v{bound.graph.version} (as shipped with this version)"
    return None, f"{name} (the definition in the trace)"


def switched_graph(name: str, *, trust: bool) -> tuple[BoundGraph, str]:
    """Return the graph that an input of a trace switches to, and how to call it: a shipped one, unless the trace is trusted.

    The name is the trace's, and one that is a path would load any file, and import the code that it names.
    """
    shipped = name in [known for known, _ in list_graphs()]
    if not (shipped or trust):
        raise GraphError(
            f"the trace switches to graph {name!r}, which is not a shipped one",
            hint="say --trust to load the graphs, and import the code, that the trace names",
            name=name,
        )
    other = bind(load_graph(name))
    version = f"{other.graph.name} v{other.graph.version}"
    return other, f"{version} (as shipped with this version)" if shipped else f"{version} ({name}, which the trace names)"
