"""The first screen of a conversation: the graph, who answers, what is recorded where."""

from __future__ import annotations

from pathlib import Path

from rich.console import Group, RenderableType
from rich.text import Text

from frameengine.graph.model import Graph
from frameengine_cli.chatting.answering import BUILD, Answering
from frameengine_cli.chatting.surface import indented, one_line
from frameengine_cli.look import GOOD, QUIET, STRONG, pairs, words

TITLE = f"{STRONG} {GOOD}"


def opening(graph: Graph, who: Answering, path: Path) -> RenderableType:
    """Return the screen."""
    build = f"{BUILD}, then --database billing=billing.sqlite"
    data = words((who.data, "")) if who.data else words(("none; ", ""), (build, QUIET))
    rows: list[tuple[str, RenderableType]] = [
        ("answers", words((who.told, ""))),
        ("data", data),
        ("records", words((str(path), ""))),
        *([("try", words((" · ".join(who.tries), QUIET)))] if who.tries else []),
        ("type", words(("/help for what else there is, /quit to leave", QUIET))),
    ]
    title = one_line(words((graph.name, TITLE), ("  ", ""), (graph.description, QUIET)))
    return Group(title, indented(pairs(rows)), Text())
