"""Who answers a call that no recorded reply was found for: a script, or tools that are really run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal, TypeAlias

from attrs import evolve

from frameengine.effects import Call, ModelCall, Outcome, ToolReply, failed
from frameengine.engine.driver import virtual_at
from frameengine.errors import CassetteMiss, FrameEngineError
from frameengine.jsonvalue import EMPTY, FrozenMap
from frameengine.performers.scripted import Script
from frameengine.scenario import check_database, load_scenario
from frameengine.tools.registry import ToolRegistry
from frameengine.tools.sql import Database, register_sql

Supplied: TypeAlias = Literal["script", "live"]
PLACEHOLDER = "(write this reply)"
"""What a template has where nothing recorded would do; it answers nothing."""
NO_DATABASES: Mapping[str, Database] = MappingProxyType({})


class Supply:
    """Answers by a script and by live tools, as far as they go."""

    def __init__(self, script: Path | None = None, databases: Mapping[str, Database] = NO_DATABASES) -> None:
        """Read *script*, a scenario of which graph and inputs do not matter. Raises `UsageError`, also for a missing database.

        *databases* are what live tools query, by name; those of the script are added to them.
        """
        scenario = None if script is None else load_scenario(script, replies=True)
        files = {**(scenario.databases if scenario is not None else {}), **databases}
        for name, file in files.items():
            check_database(name, file, f"database {name}")
        model, tools = (scenario.model, scenario.tools or EMPTY) if scenario is not None else (EMPTY, EMPTY)
        self._scripts = {"model": Script(_without_placeholders(model)), "tool": Script(_without_placeholders(tools))}
        self._registry = ToolRegistry()
        if files:
            register_sql(self._registry, files)

    def answer(self, call: Call) -> tuple[Supplied, Outcome] | None:
        """Return who answers *call*, and the outcome; None where nobody can. A tool that fails has answered."""
        try:
            return "script", self._scripts[call.effect.kind](call)
        except CassetteMiss:
            pass
        effect = call.effect
        if isinstance(effect, ModelCall) or effect.name not in self._registry.names:
            return None
        at = virtual_at(call.key)
        try:
            return "live", Outcome(value=ToolReply(content=self._registry.run(effect.name, effect.arguments)), at=at)
        except FrameEngineError as error:
            return "live", evolve(failed(error), at=at)

    def check_used(self) -> None:
        """Raise `CassetteUnused` where the script has an answer left over."""
        for script in self._scripts.values():
            script.check_used()


def _without_placeholders(answers: FrozenMap) -> dict[str, tuple[object, ...]]:
    """Return the answers of each node up to the first that is still to be written."""
    kept = {}
    for node, items in answers.items():
        open_at = next((index for index, item in enumerate(items) if item == PLACEHOLDER), len(items))
        kept[node] = items[:open_at]
    return kept
