"""The state of a run: frozen sections, each owned by one part, changed only by recorded changes.

`RunState.apply` is the one place where a state changes, live, in replay and in every view that folds a record.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, TypeAlias

from attrs import field, frozen

from frameengine.codec import Shared, SharedOne, digest
from frameengine.errors import NodeError
from frameengine.jsonvalue import EMPTY, FrozenMap, Json, freeze, frozen_map
from frameengine.limits import DEPTH_MAX, check

Operation: TypeAlias = Literal["set", "append", "delete"]
HISTORY_KEEP = 40
"""Messages of the history window (C16), unless a node says otherwise."""
INDEX_DIGITS = 9
"""Digits of an index in a change's pointer: no list is longer."""


@frozen(kw_only=True)
class Change:
    """One change of the state."""

    op: Operation
    """set, append (to a list) or delete."""
    at: str
    """JSON pointer of the place; its first step is the section."""
    value: Json = field(default=None, converter=freeze)
    """The new value, or what is appended; None for delete."""
    keep: int = 0
    """For append: how many of the newest items stay; 0 keeps all."""

    @classmethod
    def set(cls, at: str, value: Json) -> Change:
        """Put *value* at the pointer *at*; what leads there is made."""
        return cls(op="set", at=at, value=value)

    @classmethod
    def append(cls, at: str, value: Json, keep: int = 0) -> Change:
        """Append *value* to the list at *at*, keeping the newest *keep* items."""
        return cls(op="append", at=at, value=value, keep=keep)

    @classmethod
    def delete(cls, at: str) -> Change:
        """Remove what stands at *at*."""
        return cls(op="delete", at=at)

    def wire(self) -> dict[str, Any]:
        """Return the change as JSON."""
        wire: dict[str, Any] = {"op": self.op, "at": self.at}
        if self.op != "delete":
            wire["value"] = SharedOne(self.value) if type(self.value) is FrozenMap else self.value
        if self.keep:
            wire["keep"] = self.keep
        return wire

    def to_json(self) -> FrozenMap:
        """Return the change as a reader of a trace gives it back."""
        value = {} if self.op == "delete" else {"value": self.value}
        members: FrozenMap = freeze({**self.wire(), **value})
        return members


def change_from_json(value: FrozenMap) -> Change:
    """Return the change that `Change.wire` wrote."""
    return Change(op=value["op"], at=value["at"], value=value.get("value"), keep=value.get("keep", 0))


@frozen
class RunState:
    """The state at a frame boundary: a mapping from section to value."""

    sections: FrozenMap = EMPTY

    def apply(self, changes: Iterable[Change]) -> RunState:
        """Return the state after *changes*. Raises `NodeError` where one does not fit."""
        sections = self.sections
        for change in changes:
            if change.op == "append":
                grown = grow(sections, change.at, change.value, change.keep)
                if grown is not None:
                    sections = grown
                    continue
            steps = [step.replace("~1", "/").replace("~0", "~") for step in change.at.split("/")[1:]]
            if not steps or not change.at.startswith("/"):
                raise NodeError(
                    f"a change needs the pointer of a section, not {change.at!r}", hint="write '/history', '/memory/topic', …"
                )
            check("steps of a change's pointer", DEPTH_MAX, len(steps), "flatten the state")
            sections = _changed(sections, steps, change, change.at)
        return self if sections is self.sections else RunState(sections)

    @property
    def digest(self) -> str:
        """sha256 of the canonical form, in hex; lists of mappings (the history) are digested item by item."""
        return digest({name: _shared(value) for name, value in self.sections.items()})


def grow(sections: FrozenMap, at: str, value: Json, keep: int) -> FrozenMap | None:
    """Return the sections with frozen *value* at the end of a section that is a list; None where *at* points at anything else.

    What the history does with each message: nothing else is looked at.
    """
    name = at[1:]
    items = sections.get(name)
    if type(items) is not tuple or at[:1] != "/" or "/" in name or "~" in name:
        return None
    items = (*items, value)
    grown = frozen_map({**sections, name: items[-keep:] if keep else items})
    grown.dollar = sections.dollar
    return grown


_MAPPINGS = {FrozenMap}


def _shared(value: Json) -> Any:
    if type(value) is tuple and set(map(type, value)) == _MAPPINGS:
        return Shared(value)
    return value


def _changed(value: Json, steps: list[str], change: Change, at: str) -> Json:
    step, rest = steps[0], steps[1:]
    if type(value) is FrozenMap:
        members = dict(value)
        if rest:
            members[step] = _changed(value.get(step, EMPTY), rest, change, at)
        elif change.op == "set":
            members[step] = change.value
        elif change.op == "append":
            members[step] = _appended(value.get(step, ()), change)
        elif step in members:
            del members[step]
        else:
            raise NodeError(f"nothing to delete at {at!r}", hint="delete what is there, or leave the change out")
        return freeze(members)
    if type(value) is tuple and step.isdecimal() and len(step) <= INDEX_DIGITS and int(step) < len(value):
        index = int(step)
        new: tuple[Json, ...]
        if rest:
            new = (_changed(value[index], rest, change, at),)
        elif change.op == "set":
            new = (change.value,)
        elif change.op == "append":
            new = (_appended(value[index], change),)
        else:
            new = ()
        return value[:index] + new + value[index + 1 :]
    raise NodeError(f"the state has no place {at!r} to {change.op}", hint="set the whole section first")


def _appended(items: Json, change: Change) -> tuple[Json, ...]:
    if type(items) is not tuple:
        raise NodeError(f"{change.at!r} is not a list", hint="append to a list, or set the value")
    grown = (*items, change.value)
    return grown[-change.keep :] if change.keep else grown
