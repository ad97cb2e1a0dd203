"""The tools as a model that calls functions is told of them, in OpenAI's shape (C68)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from frameengine.jsonvalue import FrozenMap, Json, freeze

_TEXT: Final = {"type": "string"}


def _function(name: str, description: str, needed: Mapping[str, Json], more: Mapping[str, Json] | None = None) -> FrozenMap:
    parameters = {"type": "object", "properties": {**needed, **(more or {})}, "required": [*needed]}
    value: FrozenMap = freeze(
        {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}
    )
    return value


def _list(item: Mapping[str, Json], *needed: str) -> Json:
    return {"type": "array", "items": {"type": "object", "properties": item, "required": [*needed]}}


_BUTTON: Final = {"label": _TEXT, "action": _TEXT, "payload": {}}
_ITEM: Final = {"type": _TEXT, "label": _TEXT, "value": {}}
_LISTED: Final = (
    _function("query_db", "Run one read-only SQL statement: SELECT, DESCRIBE or SHOW.", {"query": _TEXT, "database": _TEXT}),
    _function("python", "Run a Python program without network and files; what it prints comes back.", {"code": _TEXT}),
    _function("emit_actions", "Show buttons below the answer.", {"actions": _list(_BUTTON, "label", "action")}),
    _function("emit_display", "Show figures beside the answer.", {"items": _list(_ITEM, "type", "label")}),
    _function("set_state", "Remember one value for the surface.", {"key": _TEXT, "value": {}}),
    _function(
        "create_machine",
        "Show a small machine of states whose buttons work without you.",
        {"id": _TEXT, "initial": _TEXT, "states": {"type": "object"}},
    ),
    _function("reset_machine", "Put a machine back into its initial state.", {"id": _TEXT}),
    _function("destroy_machine", "Take a machine away.", {"id": _TEXT}),
)
FUNCTIONS: Final[Mapping[str, FrozenMap]] = {item["function"]["name"]: item for item in _LISTED}
"""Name of the tool -> its definition."""
