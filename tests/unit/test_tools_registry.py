"""Tools by name, and arguments that come from a model."""

from __future__ import annotations

from typing import Any

import pytest

from frameengine.errors import ToolFailed, UsageError
from frameengine.jsonvalue import FrozenMap
from frameengine.tools.registry import ToolRegistry

SCHEMA = {
    "description": "Repeat.",
    "parameters": {
        "type": "object",
        "properties": {"text": {"type": "string"}, "times": {"type": "integer"}, "loud": {"type": "boolean"}},
        "required": ["text"],
    },
}


def repeat(text: str, times: int = 1, loud: bool = False) -> dict[str, Any]:
    """Repeat a text."""
    said = text * times
    return {"said": [said.upper() if loud else said]}


@pytest.fixture
def registry() -> ToolRegistry:
    """Return a registry with one tool."""
    made = ToolRegistry()
    made.register("repeat", repeat, SCHEMA)
    return made


def test_a_tool_runs_and_its_result_is_frozen(registry: ToolRegistry) -> None:
    """Arguments reach the function, and what it gives comes back as frozen JSON."""
    result = registry.run("repeat", {"text": "ab", "times": 2, "loud": True})
    assert isinstance(result, FrozenMap)
    assert result == {"said": ("ABAB",)}


def test_an_unknown_tool_is_refused_with_those_that_there_are(registry: ToolRegistry) -> None:
    """The error names the known tools."""
    with pytest.raises(ToolFailed, match="no tool 'repaet'; known are repeat") as caught:
        registry.run("repaet", {})
    assert caught.value.hint == "there is repeat"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ("text", "no JSON object"),
        (None, "no JSON object"),
        ({}, "'text' is missing"),
        ({"text": 3}, "'text' must be of type string"),
        ({"text": "a", "times": True}, "'times' must be of type integer"),
        ({"text": "a", "times": 1.5}, "'times' must be of type integer"),
        ({"text": "a", "op": "delete"}, "takes no 'op', only text, times, loud"),
    ],
)
def test_arguments_must_fit_the_schema(registry: ToolRegistry, arguments: Any, problem: str) -> None:
    """Missing, unknown and wrongly typed arguments are refused before the function sees them (W07)."""
    with pytest.raises(ToolFailed, match=problem):
        registry.run("repeat", arguments)


def test_schemas_have_the_shape_that_models_are_given(registry: ToolRegistry) -> None:
    """The list of schemas can be sent as the member ``tools`` of a chat request."""
    assert registry.names == ("repeat",)
    assert registry.schemas == ({"type": "function", "function": {"name": "repeat", **registry.schemas[0]["function"]}},)
    assert registry.schemas[0]["function"]["parameters"]["required"] == ("text",)


def test_a_name_is_taken_once(registry: ToolRegistry) -> None:
    """A second tool of one name is a mistake."""
    with pytest.raises(UsageError, match="already"):
        registry.register("repeat", repeat, SCHEMA)
