"""The written form of a graph, read member by member: what is missing, unknown or of the wrong type is noted, not raised.

Reading goes on with an empty value where something is wrong, so that one look at a file shows everything that is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from frameengine.errors import ValueRefused
from frameengine.graph.model import EdgeSpec, Graph, NodeSpec, PathLabel
from frameengine.graph.validate import Place, Problem
from frameengine.jsonvalue import EMPTY, FrozenMap, Json, freeze


def read_document(document: Mapping[str, Json]) -> tuple[Graph, tuple[Problem, ...]]:
    """Return the graph that *document* describes, as far as it can be read, and what is wrong with the way it is written."""
    problems: list[Problem] = []
    top = _Table(document, (), problems)
    graph = Graph(
        name=top.text("name"),
        version=top.integer("version"),
        description=top.text("description", ""),
        entry=top.texts_by_name("entry"),
        nodes=tuple([_node(table) for table in top.tables("nodes")]),
        edges=tuple([_edge(table) for table in top.tables("edges")]),
        conditions=top.texts_by_name("conditions"),
        paths=tuple([PathLabel(table.text("label"), table.text("when")) for table in top.tables("paths")]),
        state=top.mapping("state"),
    )
    top.close()
    return graph, tuple(problems)


def _node(table: _Table) -> NodeSpec:
    name = table.text("name")
    role = table.text("role", name)
    return NodeSpec(
        name=name,
        implementation=table.text("implementation"),
        role=role,
        slot=table.text("slot", role),
        model=table.text("model", "") or None,
        budget=table.integer("budget", 0) or None,
        phase=table.choice("phase", "main"),
        config=table.mapping("config"),
        prompts=table.texts("prompts"),
    )


def _edge(table: _Table) -> EdgeSpec:
    kind = table.choice("kind", "data")
    return EdgeSpec(
        source=table.text("from"),
        targets=table.texts("to", required=True),
        kind=kind,
        carries=table.text("carries", None if kind == "data" else ""),
        condition=table.text("condition", ""),
        method=table.text("method", ""),
    )


class _Table:
    """One table of the document; `close` notes the members that nobody asked for."""

    def __init__(self, members: Mapping[str, Json], place: Place, problems: list[Problem]) -> None:
        self._members = members
        self._place = place
        self._problems = problems
        self._asked: dict[str, None] = {}

    def text(self, key: str, default: str | None = None) -> str:
        """Return a string. Without a default it must be there and hold something."""
        value: str = self._take(key, str, "a string", default, "")
        if default is None and self._members.get(key) == "":
            self._note((key,), "is empty")
        return value

    def choice(self, key: str, default: str) -> Any:
        """Return a string whose meaning `graph.validate` checks."""
        return self.text(key, default)

    def integer(self, key: str, default: int | None = None) -> int:
        """Return a whole number; one that is not there and has no default reads as 1, which nothing objects to."""
        value: int = self._take(key, int, "a whole number", default, 1)
        if default == 0 and value == 0 and key in self._members:
            self._note((key,), "is 0, which leaves room for nothing")
        return value

    def texts(self, key: str, *, required: bool = False) -> tuple[str, ...]:
        """Return a list of strings; where it is *required* a single string serves as well, and none at all does not."""
        value = self._members.get(key)
        self._asked[key] = None
        if value is None and not required:
            return ()
        if isinstance(value, str) and required and value:
            return (value,)
        if isinstance(value, list | tuple) and all(isinstance(item, str) and item for item in value) and (value or not required):
            return tuple(value)
        wanted = "a node or a list of nodes" if required else "a list of names"
        self._note((key,), "is missing" if value is None else f"must be {wanted}")
        return ()

    def mapping(self, key: str) -> FrozenMap:
        """Return a table of anything that JSON can hold."""
        value = self._take(key, Mapping, "a table", EMPTY, EMPTY)
        try:
            frozen_value: FrozenMap = freeze(value)
        except ValueRefused as error:
            self._note((key,), f"{error.message}; {error.hint}")
            return EMPTY
        return frozen_value

    def texts_by_name(self, key: str) -> FrozenMap:
        """Return a table of strings."""
        good: dict[str, str] = {}
        for name, value in self.mapping(key).items():
            if isinstance(value, str) and value:
                good[name] = value
            else:
                self._note((key, name), "must be a string that is not empty")
        texts: FrozenMap = freeze(good)
        return texts

    def tables(self, key: str) -> Iterator[_Table]:
        """Yield the tables of an array, each closed when the next is asked for."""
        value = self._take(key, list | tuple, f"an array of tables, written as [[{key}]]", (), ())
        for index, members in enumerate(value):
            if isinstance(members, Mapping):
                table = _Table(members, (*self._place, key, index), self._problems)
                yield table
                table.close()
            else:
                self._note((key, index), "must be a table")

    def close(self) -> None:
        """Note every member that has no meaning here."""
        for key in self._members:
            if key not in self._asked:
                near = get_close_matches(key, self._asked, 1) or self._asked
                self._note((key,), f"is unknown; there is {', '.join(near)}")

    def _take(self, key: str, kind: Any, word: str, default: Json, fallback: Json) -> Json:
        self._asked[key] = None
        if key not in self._members:
            if default is None:
                self._note((key,), "is missing")
            return fallback if default is None else default
        value = self._members[key]
        if not isinstance(value, kind) or isinstance(value, bool):
            self._note((key,), f"must be {word}")
            return fallback
        return value

    def _note(self, place: Place, text: str) -> None:
        self._problems.append(Problem((*self._place, *place), text))
