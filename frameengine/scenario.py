"""A scenario: a run written down beforehand. Inputs, the replies of every model, and the tools, scripted or on a database.

docs/cli.md (run) has the format, by an example.
"""

from __future__ import annotations

import shlex
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import evolve, frozen

from frameengine.codec import dumps
from frameengine.effects import Answer, Call, ModelCall, Outcome, ToolReply, failed
from frameengine.engine.driver import virtual_at
from frameengine.engine.stops import Ask
from frameengine.errors import FrameEngineError, ToolFailed, UsageError, ValueRefused
from frameengine.graph.lines import line_numbers, line_of
from frameengine.graph.validate import Place, place_name
from frameengine.inputs import BODIES, Body, UserMessage
from frameengine.jsonvalue import EMPTY, FrozenMap, Json, freeze
from frameengine.performers.scripted import Script
from frameengine.tools.registry import ToolRegistry
from frameengine.tools.sql import Database, MariaDb, database_of, register_sql

_KEYS = ("graph", "seed", "provenance", "inputs", "model", "tools")
_TOOL_KEYS = ("scripted", "databases")


@frozen(kw_only=True)
class Scenario:
    """A scenario, read and checked."""

    path: Path
    """Its file."""
    graph: str | Path
    """Name of the graph, or path of its file."""
    seed: int
    """Seed of the run."""
    provenance: FrozenMap
    """Where all this comes from, for the trace's header."""
    inputs: tuple[Body, ...]
    """What enters the run, in order."""
    model: FrozenMap
    """Node -> replies of its model: texts and chat messages."""
    tools: FrozenMap | None = None
    """Node -> results of its tools; None where the tools are live."""
    databases: Mapping[str, Database]
    """Name -> database that live tools query."""

    def with_databases(self, databases: Mapping[str, Database]) -> Scenario:
        """Return the scenario with its databases in other places. Raises `UsageError` for a name that it does not use."""
        unknown = sorted(databases.keys() - self.databases.keys())
        if unknown:
            known = ", ".join(self.databases) or "none"
            raise UsageError(f"{self.path} uses no database {unknown[0]!r}", hint=f"it uses {known}", database=unknown[0])
        return evolve(self, databases={**self.databases, **databases})

    def performer(self) -> ScenarioPerformer:
        """Return a performer that answers this scenario's run, once. Raises `UsageError` where a database is not there."""
        for name, database in self.databases.items():
            check_database(name, database, f"{self.path}: tools.databases.{name}")
        return ScenarioPerformer(self)


def check_database(name: str, database: Database, where: str) -> None:
    """Raise `UsageError` where a database cannot be opened here; *where* says who named it."""
    if isinstance(database, MariaDb):
        try:
            database.check_installed()
        except ToolFailed as error:
            raise UsageError(f"{where}: {error.message}", hint=error.hint, database=name) from None
    elif not database.is_file():
        hint = f"build it: python fixtures/billing.py {database}"
        raise UsageError(f"{where}: there is no file {database}", hint=hint, database=name)


class ScenarioPerformer:
    """Scripted models; tools scripted, or live on the scenario's databases. All in virtual time."""

    def __init__(self, scenario: Scenario) -> None:
        """Prepare the scripts from their beginning."""
        self.scripts = [Script(scenario.model)]
        if scenario.tools is not None:
            self.scripts.append(Script(scenario.tools))
        self._registry = ToolRegistry()
        self.query_layers = register_sql(self._registry, scenario.databases).layers if scenario.databases else ""
        """What stands between the models and the databases, for the header; empty where there are no databases."""

    def perform(self, ask: Ask) -> list[Answer]:
        """Answer all new effects at once."""
        return [Answer(call.key, self.outcome(call)) for call in ask.new]

    def check_used(self) -> None:
        """Raise `CassetteUnused` where an answer is left over."""
        for script in self.scripts:
            script.check_used()

    def outcome(self, call: Call) -> Outcome:
        """Answer one effect."""
        effect = call.effect
        if isinstance(effect, ModelCall):
            return self.scripts[0](call)
        if len(self.scripts) > 1:
            return self.scripts[1](call)
        at = virtual_at(call.key)
        try:
            return Outcome(value=ToolReply(content=self._registry.run(effect.name, effect.arguments)), at=at)
        except FrameEngineError as error:
            return evolve(failed(error), at=at)


def load_scenario(path: str | Path, *, replies: bool = False) -> Scenario:
    """Return the scenario in a TOML file; with *replies* graph and inputs may be missing, for one that only answers.

    Raises `UsageError` with every problem and its place.
    """
    path = Path(path)
    try:
        text = path.read_bytes().decode().replace("\r\n", "\n")
        document = tomllib.loads(text)
    except OSError as error:
        raise UsageError(
            f"the scenario {path} cannot be read: {error.strerror}", hint="check the path", path=str(path)
        ) from error
    except (ValueError, RecursionError) as error:  # not UTF-8, not TOML, a number without an end; nested without one
        what = "nested too deep" if isinstance(error, RecursionError) else error
        raise UsageError(f"{path}: not TOML: {what}", hint="correct the file there", path=str(path)) from error
    if "nodes" in document and "inputs" not in document:
        hint = f"frameengine run --graph {shlex.quote(str(path))} -m TEXT"
        raise UsageError(f"{path} is a graph, not a scenario: use --graph", hint=hint, path=str(path))
    reader = _Reader(path, whole=not replies)
    scenario = reader.scenario(document)
    if reader.problems:
        numbers = line_numbers(text)
        lines = [f"  {_where(place, line_of(place, numbers))}: {problem}" for place, problem in reader.problems]
        listed = [{"place": place_name(place), "problem": problem} for place, problem in reader.problems]
        count = f"{len(lines)} problem{'s' if len(lines) > 1 else ''}"
        hint = "correct the file; all its problems are listed"
        raise UsageError("\n".join([f"{path}: {count}", *lines]), hint=hint, path=str(path), problems=listed)
    return scenario


def _where(place: Place, line: int | None) -> str:
    return place_name(place) if line is None else f"{place_name(place)} (line {line})"


class _Reader:
    """Reads the document part by part; what is wrong is noted with its place, and stands as something empty."""

    def __init__(self, path: Path, *, whole: bool) -> None:
        self.path = path
        self.whole = whole
        self.problems: list[tuple[Place, str]] = []

    def scenario(self, document: Mapping[str, Any]) -> Scenario:
        self._unknown((), document, _KEYS)
        graph = document.get("graph", None if self.whole else "")
        if not isinstance(graph, str) or (self.whole and not graph):
            self._note(("graph",), "must be the name or the path of a graph")
            graph = ""
        seed = document.get("seed", 0)
        if not isinstance(seed, int) or isinstance(seed, bool):
            self._note(("seed",), "must be a whole number")
            seed = 0
        inputs = document.get("inputs", None if self.whole else [])
        if not isinstance(inputs, list) or (self.whole and not inputs):
            self._note(("inputs",), "must be an array of tables, written as [[inputs]], with at least one")
            inputs = []
        tools = self._table(("tools",), document.get("tools", {}))
        self._unknown(("tools",), tools, _TOOL_KEYS)
        databases = self._table(("tools", "databases"), tools.get("databases", {}))
        if "scripted" in tools and databases:
            self._note(("tools",), "has both scripted results and databases; choose one")
        return Scenario(
            path=self.path,
            graph=self.path.parent / graph if graph.endswith(".toml") else graph,
            seed=seed,
            provenance=self._frozen(("provenance",), self._table(("provenance",), document.get("provenance", {}))),
            inputs=tuple([body for index, item in enumerate(inputs) if (body := self._input(index, item)) is not None]),
            model=freeze({node: [self._reply(*reply) for reply in replies] for node, replies in self._lists("model", document)}),
            tools=freeze(dict(self._results(tools))) if "scripted" in tools else None,
            databases={name: self._database(name, text) for name, text in databases.items()},
        )

    def _input(self, index: int, item: Any) -> Body | None:
        place: Place = ("inputs", index)
        members = dict(self._table(place, item))
        name = members.pop("type", None)
        kind = BODIES.get(name) if isinstance(name, str) else None
        if kind is None:
            self._note((*place, "type"), f"must be one of {', '.join(BODIES)}")
            return None
        if kind is UserMessage and not isinstance(members.get("text", ""), str):
            self._note((*place, "text"), "must be a text")
            return None
        frozen_members = self._frozen(place, members)
        try:
            body: Body = UserMessage.of(**frozen_members) if kind is UserMessage and "text" in members else kind(**frozen_members)
        except (TypeError, ValueError, ValueRefused) as error:
            self._note(place, f"is no {name}: {error}")
            return None
        return body

    def _lists(self, key: str, owner: Mapping[str, Any], *before: str) -> list[tuple[str, list[tuple[Place, Any]]]]:
        place: Place = (*before, key)
        lists = []
        for node, items in self._table(place, owner.get(key, {})).items():
            if isinstance(items, list):
                lists.append((node, [((*place, node, index), item) for index, item in enumerate(items)]))
            else:
                self._note((*place, node), "must be a list, one item for each call of the node")
        return lists

    def _results(self, tools: Mapping[str, Any]) -> list[tuple[str, list[Json]]]:
        return [(node, [self._frozen(*item) for item in items]) for node, items in self._lists("scripted", tools, "tools")]

    def _reply(self, place: Place, item: Any) -> Json:
        """Return a model's reply: a text, a chat message, or the text of a table in JSON."""
        if not isinstance(item, str | dict):
            self._note(place, "must be a text or a table")
            return ""
        value = self._frozen(place, item)
        if isinstance(value, FrozenMap):
            chat = "content" in value or "tool_calls" in value
            return freeze({"role": "assistant", **value}) if chat else dumps(value).decode()
        return value

    def _database(self, name: str, text: Any) -> Database:
        try:
            if isinstance(text, str) and text:
                return database_of(text, self.path.parent)
            problem = "must be the path of a SQLite file, or an address: mariadb://USER@HOST/NAME"
        except UsageError as error:
            problem = f"{error.message}; {error.hint}"
        self._note(("tools", "databases", name), problem)
        return self.path

    def _table(self, place: Place, value: Any) -> Mapping[str, Any]:
        if isinstance(value, dict):
            return value
        self._note(place, "must be a table")
        return {}

    def _frozen(self, place: Place, value: Any) -> Json:
        try:
            return freeze(value)
        except ValueRefused as error:
            self._note(place, f"{error.message}; {error.hint}")
            return EMPTY

    def _unknown(self, place: Place, table: Mapping[str, Any], known: tuple[str, ...]) -> None:
        for key in table:
            if key not in known:
                self._note((*place, key), f"is unknown; there is {', '.join(known)}")

    def _note(self, place: Place, problem: str) -> None:
        self.problems.append((place, problem))
