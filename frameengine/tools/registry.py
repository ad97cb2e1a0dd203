"""Tools by name: what a live performer runs when a node asks for a tool."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import partial
from typing import Any, Final, NoReturn

from attrs import frozen

from frameengine.errors import ToolFailed, UsageError
from frameengine.foreign import carried
from frameengine.jsonvalue import FrozenMap, Json, freeze

_KINDS: Final[Mapping[str, tuple[type[Any], ...]]] = {
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "array": (list, tuple),
    "object": (Mapping,),
}


@frozen(kw_only=True)
class _Tool:
    function: Callable[..., Json]
    schema: FrozenMap


@frozen
class Job:
    """A tool call that can be run, once."""

    run: Callable[[], Json]
    """Run it and return what it gave, frozen. Raises what the tool raises."""
    cancel: Callable[[], object]
    """End it, or do not let it begin. Does nothing for a tool that cannot be ended."""


class ToolRegistry:
    """Functions with their schemas, looked up by name.

    Arguments come from a model, so they are checked against the schema before the function sees them: those that are required
    must be there, those that it does not name are refused, and each must be of its type. What a function raises is the failure
    of the effect.
    """

    def __init__(self) -> None:
        self._tools: dict[str, _Tool] = {}

    def register(self, name: str, function: Callable[..., Json], schema: Mapping[str, Json]) -> None:
        """Add a tool; *schema* has ``description`` and ``parameters`` (JSON Schema of an object). Raises `UsageError`."""
        if name in self._tools:
            raise UsageError(f"there is a tool {name!r} already", hint="give the tool another name", tool=name)
        self._tools[name] = _Tool(function=function, schema=freeze(schema))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all tools, in order of registration."""
        return tuple(self._tools)

    @property
    def schemas(self) -> tuple[FrozenMap, ...]:
        """All tools as OpenAI's ``tools`` member lists them."""
        return tuple(
            [freeze({"type": "function", "function": {"name": name, **tool.schema}}) for name, tool in self._tools.items()]
        )

    def run(self, name: str, arguments: Json) -> Json:
        """Run a tool and return what it gave, frozen; what a trace cannot hold is flagged text (`foreign.carried`).

        Raises `ToolFailed` for a tool that there is not, and for arguments that do not fit it.
        """
        return self.begin(name, arguments).run()

    def begin(self, name: str, arguments: Json) -> Job:
        """Get a call ready. What `run` would raise is raised when it is run, so that calls can begin in order.

        A tool that can be ended has a method ``begin``, with the arguments of the tool, whose result has ``run`` and ``cancel``.
        """
        try:
            tool = self._tool(name)
            checked = _checked(name, arguments, tool.schema.get("parameters", {}))
            begin = getattr(tool.function, "begin", None)
            if begin is None:
                return Job(lambda: carried(tool.function(**checked)), _nothing)
            job = begin(**checked)
        except Exception as error:  # noqa: BLE001 - a tool's own begin may raise anything, as the tool may
            return Job(partial(_raise, error), _nothing)
        return Job(lambda: carried(job.run()), job.cancel)

    def _tool(self, name: str) -> _Tool:
        tool = self._tools.get(name)
        if tool is None:
            near = get_close_matches(name, self.names, 1) or self.names
            hint = f"there is {', '.join(near)}" if near else "no tool is registered"
            raise ToolFailed(
                f"there is no tool {name!r}; known are {', '.join(self.names) or 'none'}", hint=hint, tool=name, known=self.names
            )
        return tool


def _nothing() -> None:
    """Leave a tool that cannot be ended to its work."""


def _raise(error: Exception) -> NoReturn:
    raise error


def _checked(name: str, arguments: Json, parameters: Mapping[str, Json]) -> Mapping[str, Json]:
    if not isinstance(arguments, Mapping):
        raise _bad(name, "its arguments are no JSON object")
    properties = parameters.get("properties", {})
    for key, value in arguments.items():
        if key not in properties:
            raise _bad(name, f"it takes no {key!r}, only {', '.join(properties) or 'nothing'}")
        kind = properties[key].get("type")
        if kind in _KINDS and (not isinstance(value, _KINDS[kind]) or (isinstance(value, bool) and kind != "boolean")):
            raise _bad(name, f"{key!r} must be of type {kind}")
    for key in parameters.get("required", ()):
        if key not in arguments:
            raise _bad(name, f"{key!r} is missing")
    return arguments


def _bad(name: str, what: str) -> ToolFailed:
    return ToolFailed(f"{name}: {what}", hint="see the tool's schema", tool=name)
