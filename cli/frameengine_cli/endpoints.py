"""Live models for commands: where their configuration stands, and what is kept out of the trace."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from frameengine.errors import UsageError

if TYPE_CHECKING:
    from frameengine.performers.model_http.config import Models

VARIABLE = "FRAMEENGINE_MODELS"
"""Names the file with endpoints and models, where no option does."""


def configured(option: Path | None, environment: Mapping[str, str] = os.environ) -> Models | None:
    """Return the models that are configured: by the option, the variable, the file of this folder, or the usual variables.

    None where nothing is. Raises `UsageError` for a file that cannot be used.
    """
    from frameengine.performers.model_http.config import FILE, load_models, usual_models

    named = option or (Path(environment[VARIABLE]) if environment.get(VARIABLE) else None)
    if named is not None:
        return load_models(named, environment)
    return load_models(Path(FILE), environment) if Path(FILE).is_file() else usual_models(environment)


def wanted(option: Path | None) -> Models:
    """Return the models that are configured. Raises `UsageError` where none are."""
    models = configured(option)
    if models is None:
        from frameengine.performers.model_http.config import FILE

        hint = f"write {FILE} (docs/live.md), say --models FILE, or set OPENAI_API_KEY; frameengine doctor shows what is found"
        raise UsageError("no live model is configured", hint=hint)
    return models
