"""Bytes and digests of JSON: the one place that imports orjson.

There is one encoding: compact JSON in the order in which members were written (the order is data: an exported message keeps it).
The *canonical* form of a value is that encoding with every shared part standing as ``#`` and its digest, so a digest costs the
new parts only, and does not depend on where in which file a part was stored.
"""

from __future__ import annotations

import re
from hashlib import sha256
from operator import attrgetter
from typing import Any

import orjson
from attrs import frozen

from frameengine.errors import LimitError
from frameengine.jsonvalue import FrozenMap, Json, Text
from frameengine.limits import DEPTH_MAX

Fragment = orjson.Fragment
_SUBCLASSES = orjson.OPT_PASSTHROUGH_SUBCLASS
_KNOWN = attrgetter("digest")


@frozen
class Shared:
    """Mappings that are stored once and referred to: the messages of a request, the input of a record."""

    items: tuple[FrozenMap, ...]


@frozen
class SharedOne:
    """One mapping that is stored once and referred to."""

    item: FrozenMap


class Undecodable(ValueError):
    """Bytes that are not JSON of the trace format."""


def dumps(value: Json, default: Any = None) -> bytes:
    """Encode *value*; *default* is asked for frozen mappings, long texts and shared parts."""
    try:
        return orjson.dumps(value, default=default or plain, option=_SUBCLASSES)
    except orjson.JSONEncodeError as error:
        # orjson wraps whatever *default* raises, an interrupt too, which must not be taken for a value that cannot be encoded.
        if error.__cause__ is not None:
            raise error.__cause__ from None
        raise


def written(value: Json) -> bytes:
    """Return plain or frozen JSON written whole: the same for equal values, whichever of their parts are shared."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError as error:
        hint = "this is nested deeper than any value that a run takes: record again"
        raise LimitError(f"a value that cannot be written: {error}", hint=hint, name="depth", bound=DEPTH_MAX) from None


def loads(data: bytes) -> Json:
    """Decode one JSON document of our own. Raises `Undecodable`."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise Undecodable(str(error)) from None


def plain(value: Any) -> Any:
    """Give orjson frozen parts whole: the ``default`` for JSON that leaves the project."""
    if isinstance(value, FrozenMap):
        return dict(value)
    if isinstance(value, Text):
        return str(value)
    if isinstance(value, Shared):
        return value.items
    if isinstance(value, SharedOne):
        return value.item
    raise TypeError(f"{type(value).__qualname__} is not JSON")


def escaped(value: FrozenMap) -> dict[str, Any]:
    """Return a mapping's members with ``$`` doubled at the start of a key, so that references stay unambiguous."""
    if not value.dollar:
        return dict(value)
    return {("$" + key if key[:1] == "$" else key): item for key, item in value.items()}


def canonical(value: Json) -> bytes:
    """Return the canonical form of *value*: long texts and shared mappings stand as ``#`` and their digest."""
    if type(value) is Text:
        return orjson.dumps(str(value))
    return dumps(escaped(value) if type(value) is FrozenMap else value, _by_digest)


def digest(value: Json) -> str:
    """Return sha256 of the canonical form, in hex. Frozen mappings and long texts remember it."""
    kind = type(value)
    if kind is Text:
        known: str | None = value.digest
        if known is None:
            known = value.digest = sha256(orjson.dumps(str(value))).hexdigest()
        return known
    if kind is FrozenMap:
        known = value.digest
        if known is None:
            known = value.digest = sha256(dumps(escaped(value), _by_digest)).hexdigest()
        return known
    return sha256(canonical(value)).hexdigest()


def tagged(hexdigest: str) -> str:
    """Return a digest with the name of its algorithm, as people see it."""
    return f"sha256:{hexdigest}"


def _by_digest(value: Any) -> Any:
    kind = type(value)
    if kind is Text:
        return Fragment("#" + (value.digest or digest(value)))
    if kind is FrozenMap:
        return escaped(value)
    if kind is SharedOne:
        return Fragment("#" + (value.item.digest or digest(value.item)))
    if kind is Shared:
        return Fragment(_digests(value.items))
    raise TypeError(f"{kind.__qualname__} is not JSON")


def _digests(items: tuple[FrozenMap, ...]) -> str:
    if not items:
        return "[]"
    known = list(map(_KNOWN, items))
    try:
        return "[#" + ",#".join(known) + "]"
    except TypeError:  # some were never digested: in a conversation that grows, the last
        first = known.index(None)
        known[first:] = map(digest, items[first:])
        return "[#" + ",#".join(known) + "]"


REFERENCE = re.compile(rb'\{"\$c":(\d+)\}')
"""A reference in an encoded line. No string can hold these bytes (its quotes are escaped), no key of a user either (``$$``)."""
