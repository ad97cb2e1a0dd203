"""JSON values that cannot change: what records, states, requests and replies are made of.

`freeze` turns plain JSON into frozen JSON and refuses whatever a trace could not give back exactly. Frozen JSON is ordinary to
read (a `FrozenMap` is a ``dict``, a `Text` is a ``str``, lists are tuples), cannot be written to, and remembers its own digest,
so that a message which stands in forty requests is encoded and hashed once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NoReturn, TypeAlias

from frameengine.errors import ReadOnly, ValueRefused
from frameengine.limits import DEPTH_MAX, INTEGER_MAX, INTEGER_MIN, KEYS_MAX, TEXT_SHARED_MIN

Json: TypeAlias = Any
"""A JSON value: None, bool, int, float, str, a sequence of them, or a mapping from str to them."""


class FrozenMap(dict[str, Any]):
    """A JSON object that cannot change. Made by `freeze` only."""

    __slots__ = ("digest", "dollar")

    digest: str | None
    """sha256 of the canonical form in hex, once somebody asked for it (`codec.digest`)."""
    dollar: bool
    """Whether a key starts with ``$``, which the trace format escapes."""

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise ReadOnly("a frozen value cannot be changed", hint="build a new dict: {**value, 'key': new}")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __copy__(self) -> FrozenMap:
        return self

    def __deepcopy__(self, _memo: dict[int, Any]) -> FrozenMap:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return (freeze, (dict(self),))


class Text(str):
    """A string long enough to be stored once (`limits.TEXT_SHARED_MIN`). Made by `freeze` only."""

    __slots__ = ("digest",)

    digest: str | None
    """sha256 of the canonical form in hex, once somebody asked for it (`codec.digest`)."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (freeze, (str(self),))


EMPTY: FrozenMap
_FROZEN = frozenset({FrozenMap, Text, bool, type(None)})
_STRINGS = frozenset({str})


def freeze(value: Json, depth: int = 0) -> Json:
    """Return *value* as frozen JSON.

    Raises `ValueRefused`, with the JSON pointer of the place, for anything a trace could not give back exactly: NaN and infinity,
    integers beyond 64 bit, lone surrogates, keys that are not strings, nesting beyond `limits.DEPTH_MAX`, and types that JSON
    has not.
    """
    kind = type(value)
    if kind is FrozenMap or kind is Text or value is None or kind is bool:
        return value
    if kind is str:
        if not value.isascii():
            _check_text(value)
        return value if len(value) < TEXT_SHARED_MIN else _text(value)
    if kind is int:
        if INTEGER_MIN <= value <= INTEGER_MAX:
            return value
        raise _refused(f"the integer {_short(value)} does not fit in 64 bits", "carry it as a string")
    if kind is float:
        if math.isfinite(value):
            return value
        raise _refused(f"{value} is not a JSON number", "carry it as a string or as null")
    if depth >= DEPTH_MAX:
        raise _refused(f"nested deeper than {DEPTH_MAX}", "flatten the value, or carry it as text")
    if kind is list or kind is tuple or kind is dict or isinstance(value, Mapping):
        if depth:
            return _freeze_parts(value, depth)
        try:
            return _freeze_parts(value, depth)
        except ValueRefused as error:
            raise _located(value, error) from None
    if isinstance(value, str):
        return freeze(str(value), depth)
    raise _refused(f"{kind.__module__}.{kind.__qualname__} is not a JSON type", "convert it to plain JSON first")


def _freeze_parts(value: Any, depth: int) -> Json:
    if isinstance(value, (list, tuple)):
        return tuple([item if type(item) in _FROZEN else freeze(item, depth + 1) for item in value])
    if len(value) > KEYS_MAX:
        raise _refused(f"{len(value):,} keys, the bound is {KEYS_MAX:,}", "use a list of pairs")
    if not set(map(type, value)) <= _STRINGS:
        odd = next(key for key in value if type(key) is not str)
        raise _refused(f"the key {odd!r} is not a string", "use string keys")
    frozen = FrozenMap({key: item if type(item) in _FROZEN else freeze(item, depth + 1) for key, item in value.items()})
    keys = "".join(frozen)
    if not keys.isascii():
        _check_text(keys)
    frozen.digest = None
    frozen.dollar = "$" in keys and any(key[:1] == "$" for key in frozen)
    return frozen


def frozen_map(members: dict[str, Json]) -> FrozenMap:
    """Return a frozen mapping of *members*, whose keys are known to be plain names and whose values are frozen already."""
    frozen = FrozenMap(members)
    frozen.digest = None
    frozen.dollar = False
    return frozen


def _text(value: str) -> Text:
    text = Text(value)
    text.digest = None
    return text


def _check_text(value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise _refused(
            f"the string holds a lone surrogate at {error.start}", "replace it, or carry the bytes in another encoding"
        ) from None


def _refused(what: str, hint: str) -> ValueRefused:
    return ValueRefused(what, hint=hint, pointer="")


def _located(value: Any, error: ValueRefused) -> ValueRefused:
    """Return the refusal with the pointer of what was refused.

    Only the outermost call looks for it, going down step by step: if every level did, the time would double with each of them.
    """
    pointer, depth = "", 0
    while True:
        inside = _refused_part(value, depth)
        if inside is None:
            break
        step, value, error = inside
        pointer, depth = f"{pointer}/{pointer_step(str(step))}", depth + 1
    what = f"{error.message} at {pointer}" if pointer else error.message
    return ValueRefused(what, hint=error.hint, pointer=pointer)


def _refused_part(value: Any, depth: int) -> tuple[Any, Any, ValueRefused] | None:
    if depth > DEPTH_MAX or not isinstance(value, list | tuple | Mapping):
        return None
    for step, item in value.items() if isinstance(value, Mapping) else enumerate(value):
        try:
            freeze(item, depth + 1)
        except ValueRefused as error:
            return step, item, error
    return None


def _short(number: int) -> str:
    return str(number) if abs(number) < 10**30 else "of more than 30 digits"


def thaw(value: Json) -> Json:
    """Return plain, changeable JSON: dicts, lists and plain strings."""
    kind = type(value)
    if kind is Text:
        return str(value)
    if isinstance(value, dict):
        return {key: thaw(item) for key, item in value.items()}
    if kind is tuple or kind is list:
        return [thaw(item) for item in value]
    return value


def point(value: Json, pointer: str) -> Json:
    """Return what stands at a JSON pointer (RFC 6901). Raises `KeyError` where there is nothing."""
    if pointer == "":
        return value
    if not pointer.startswith("/"):
        raise KeyError(pointer)
    for raw in pointer[1:].split("/"):
        step = step_name(raw)
        if isinstance(value, dict):
            value = value[step]
        elif isinstance(value, list | tuple) and step.isdecimal() and int(step) < len(value):
            value = value[int(step)]
        else:
            raise KeyError(pointer)
    return value


class _Missing:
    """What stands where one of two compared values has nothing."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING = _Missing()


def first_difference(one: Json, other: Json, pointer: str = "") -> tuple[str, Json, Json] | None:
    """Return pointer and both values of the first place where two JSON values differ; None where they are equal.

    1 and 1.0 differ, as do true and 1, and mappings whose members stand in another order: each is written differently.
    """
    if one is other:
        return None
    if isinstance(one, dict) and isinstance(other, dict):
        for key in [*one, *[key for key in other if key not in one]]:
            found = first_difference(one.get(key, MISSING), other.get(key, MISSING), f"{pointer}/{pointer_step(key)}")
            if found is not None:
                return found
        if list(one) != list(other):
            return pointer, list(one), list(other)
        return None
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        for index in range(max(len(one), len(other))):
            left = one[index] if index < len(one) else MISSING
            right = other[index] if index < len(other) else MISSING
            found = first_difference(left, right, f"{pointer}/{index}")
            if found is not None:
                return found
        return None
    if isinstance(one, str) and isinstance(other, str):
        return None if one == other else (pointer, one, other)
    same = type(one) is type(other) and one == other and repr(one) == repr(other)
    return None if same else (pointer, one, other)


def pointer_step(key: str) -> str:
    """Return a member's name as a step of a JSON pointer."""
    return key.replace("~", "~0").replace("/", "~1")


def step_name(step: str) -> str:
    """Return the member's name that a step of a JSON pointer stands for."""
    return step.replace("~1", "/").replace("~0", "~")


EMPTY = freeze({})
