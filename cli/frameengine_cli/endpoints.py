"""Live models for commands: where their configuration stands, and what is kept out of the trace."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from frameengine.errors import UsageError
from frameengine.trace import holders

if TYPE_CHECKING:
    from frameengine.engine.driver import Clock
    from frameengine.performers.model_http.config import Models
    from frameengine.rerun.supply import Supply
    from frameengine.tools.sql import Database
    from frameengine.trace.redact import Redactor

VARIABLE = "FRAMEENGINE_MODELS"
"""Names the file with endpoints and models, where no option does."""


def secrets_of(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Return the values of variables that are called as keys are: a recording holds none of them."""
    return holders.secrets_of(environment)


def redactor_of(models: Models, environment: Mapping[str, str] = os.environ) -> Redactor:
    """Return what keeps the keys of *models* and of the environment out of a recording; a short one passes for a word."""
    from frameengine.trace.redact import Redactor

    redactor = Redactor()
    redactor.know([*models.secrets(), *secrets_of(environment)])
    return redactor


def configured(option: Path | None, environment: Mapping[str, str] = os.environ) -> Models | None:
    """Return the models that are configured: by the option, the variable, the file of this folder, or the usual variables.

    None where nothing is. Raises `UsageError` for a file that cannot be used.
    """
    from frameengine.performers.model_http.config import FILE, load_models, usual_models

    named = option or (Path(environment[VARIABLE]) if environment.get(VARIABLE) else None)
    if named is not None:
        return load_models(named, environment)
    return load_models(Path(FILE), environment) if Path(FILE).is_file() else usual_models(environment)


def supply(
    script: Path | None, databases: Mapping[str, Database], models: Models | None, *, clock: Clock | None = None
) -> Supply | None:
    """Return who answers calls that no recorded reply is found for: *script*, *models*, *databases*; None for nobody."""
    from frameengine.rerun.supply import Supply

    if models is None:
        return Supply(script, databases) if script or databases else None
    from frameengine.performers.clock import system_clock
    from frameengine.performers.model_http.config import NodeModels

    model = NodeModels(models, clock=clock or system_clock())
    return Supply(script, databases, model=model, redactor=redactor_of(models))


def wanted(option: Path | None) -> Models:
    """Return the models that are configured. Raises `UsageError` where none are."""
    models = configured(option)
    if models is None:
        from frameengine.performers.model_http.config import FILE

        hint = f"write {FILE} (docs/live.md), say --models FILE, or set OPENAI_API_KEY; frameengine doctor shows what is found"
        raise UsageError("no live model is configured", hint=hint)
    return models
