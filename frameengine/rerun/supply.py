"""Who answers a call that no recorded reply was found for: a script, a model that is asked, or tools that are really run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal, TypeAlias

from attrs import evolve

from frameengine.effects import Call, ModelCall, ModelReply, Outcome, ToolReply, failed
from frameengine.engine.driver import virtual_at
from frameengine.errors import CassetteMiss, FrameEngineError
from frameengine.jsonvalue import EMPTY, FrozenMap
from frameengine.performers.live import Model
from frameengine.performers.scripted import Script
from frameengine.scenario import check_database, load_scenario
from frameengine.tools.registry import ToolRegistry
from frameengine.tools.sql import Database, register_sql
from frameengine.trace.redact import Redactor

Supplied: TypeAlias = Literal["script", "live"]
PLACEHOLDER = "(write this reply)"
"""What a template has where nothing recorded would do; it answers nothing."""
NO_DATABASES: Mapping[str, Database] = MappingProxyType({})


class Supply:
    """Answers by a script, by a live model and by live tools, as far as they go."""

    def __init__(
        self,
        script: Path | None = None,
        databases: Mapping[str, Database] = NO_DATABASES,
        *,
        model: Model | None = None,
        redactor: Redactor | None = None,
    ) -> None:
        """Read *script*, a scenario of which graph and inputs do not matter. Raises `UsageError`, also for a missing database.

        *databases* are what live tools query, by name; those of the script are added to them. *model* is asked where the script
        has no reply; *redactor* keeps secrets out of what comes back, and puts them into what is sent.
        """
        scenario = None if script is None else load_scenario(script, replies=True)
        files = {**(scenario.databases if scenario is not None else {}), **databases}
        for name, file in files.items():
            check_database(name, file, f"database {name}")
        replies, results = (scenario.model, scenario.tools or EMPTY) if scenario is not None else (EMPTY, EMPTY)
        self._scripts = {"model": Script(_without_placeholders(replies)), "tool": Script(_without_placeholders(results))}
        self._model = model
        self._redactor = redactor or Redactor()
        self._registry = ToolRegistry()
        if files:
            register_sql(self._registry, files)

    def answer(self, call: Call) -> tuple[Supplied, Outcome] | None:
        """Return who answers *call*, and the outcome; None where nobody can. A tool or a model that fails has answered.

        Raises what the model raises where it cannot be asked at all, such as `UsageError` for a key that is not set.
        """
        try:
            return "script", self._scripts[call.effect.kind](call)
        except CassetteMiss:
            pass
        outcome = self._live(self._redactor.leave(call))
        if outcome is None:
            return None
        outcome = self._redactor.outcome(call.key, outcome)
        self._redactor.settle()
        return "live", evolve(outcome, at=virtual_at(call.key))

    def _live(self, call: Call) -> Outcome | None:
        effect = call.effect
        if isinstance(effect, ModelCall):
            reply = None if self._model is None else self._model(call)
            return Outcome(value=reply) if isinstance(reply, ModelReply) else reply
        if effect.name not in self._registry.names:
            return None
        try:
            return Outcome(value=ToolReply(content=self._registry.run(effect.name, effect.arguments)))
        except FrameEngineError as error:
            return failed(error)

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
