"""Make a message out of its JSON again: a record holds what a node was given as values, and the node wants its class back."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from types import ModuleType, NoneType, SimpleNamespace, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import attrs

from frameengine.errors import UsageError
from frameengine.jsonvalue import FrozenMap, Json, thaw


def message_classes(name: str, modules: Iterator[ModuleType]) -> Iterator[type[Any]]:
    """Yield each attrs class called *name* that a module has, or one that it has imported, once."""
    seen: dict[type[Any], None] = {}
    for module in modules:
        inner = [value for value in vars(module).values() if isinstance(value, ModuleType)]
        for place in (module, *inner):
            found = vars(place).get(name)
            if isinstance(found, type) and attrs.has(found) and found.__name__ == name and found not in seen:
                seen[found] = None
                yield found


def class_name(kind: type[Any]) -> str:
    """Return what `find_class` finds *kind* by: ``module:Class``."""
    return f"{kind.__module__}:{kind.__qualname__}"


def find_class(name: str) -> type[Any]:
    """Return the attrs class that `class_name` named. Raises `UsageError` where it is gone."""
    from importlib import import_module

    module, _, qualname = name.partition(":")
    try:
        found: Any = import_module(module)
        for step in qualname.split("."):
            found = getattr(found, step)
    except (AttributeError, ImportError, ValueError) as error:
        hint = "put it back, or set PYTHONPATH to the folder that its module is in"
        raise UsageError(f"there is no {name}, the class of a recorded message: {error}", hint=hint, name=name) from None
    if not (isinstance(found, type) and attrs.has(found)):
        raise UsageError(f"{name} is no attrs class, and was one of a recorded message", hint="put it back", name=name)
    return found


def restored(kind: type[Any], value: FrozenMap) -> Any:
    """Return the instance of *kind*, an attrs class, whose JSON is *value*. Raises `UsageError` where it takes no such members.

    Members that it does not have are left out, so `messages.to_json` tells whether the class still is what it was.
    """
    members = {}
    for attribute in attrs.fields(kind):
        if attribute.init and attribute.name in value:
            members[attribute.alias] = _typed(_hint(kind, attribute), value[attribute.name])
    try:
        return kind(**members)
    except Exception as error:  # noqa: BLE001 - whatever a class raises says that it does not take this
        hint = "what was recorded no longer fits the class: record again, or let the class take it"
        raise UsageError(f"{class_name(kind)} cannot be made of its record: {error}", hint=hint, name=class_name(kind)) from None


def _hint(kind: type[Any], attribute: attrs.Attribute[Any]) -> Any:
    """Return the type of a field; `Any` where its name leads nowhere when the program runs."""
    import sys

    # A field that a base class in another module brings along is written in that module's names.
    for owner in kind.__mro__:
        names = vars(sys.modules[owner.__module__])
        try:
            return get_type_hints(SimpleNamespace(__annotations__={"it": attribute.type}), names, dict(vars(owner)))["it"]
        except (AttributeError, NameError, SyntaxError, TypeError):
            continue
    return Any


def _typed(hint: Any, value: Json) -> Any:
    """Return a value as its type says; as it is where the type says nothing that JSON has not."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return _one_of([arm for arm in inner if arm is not NoneType], value)
    if type(value) is tuple:
        return _sequence(hint if origin is None else origin, inner, value)
    if type(value) is FrozenMap and isinstance(hint, type) and attrs.has(hint):
        return restored(hint, value)
    if dict in (hint, origin) and type(value) is FrozenMap:
        return thaw(value)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint(value)
    return value


def _sequence(kind: Any, inner: tuple[Any, ...], value: tuple[Json, ...]) -> Any:
    if kind is list:
        return thaw(value)
    if kind is not tuple or not inner:
        return value
    if len(inner) == 2 and inner[1] is Ellipsis:
        return tuple([_typed(inner[0], item) for item in value])
    return tuple([_typed(hint, item) for hint, item in zip(inner, value, strict=True)]) if len(inner) == len(value) else value


def _one_of(arms: list[Any], value: Json) -> Any:
    """Return a value as the first type of a union that makes something of it, the one with just its members first."""
    for arm in sorted(arms, key=lambda arm: not _has_members(arm, value)):
        try:
            made = _typed(arm, value)
        except (UsageError, ValueError):
            continue
        if made is not value:
            return made
    return value


def _has_members(arm: Any, value: Json) -> bool:
    return isinstance(arm, type) and attrs.has(arm) and isinstance(value, dict) and set(value) == set(attrs.fields_dict(arm))
