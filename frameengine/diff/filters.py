"""Which differing fields a caller does not want to see: counted all the same."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from attrs import frozen

from frameengine.diff.result import FieldChange, Filtered
from frameengine.errors import NothingCompared, UsageError
from frameengine.jsonvalue import Json, pointer_step

Steps: TypeAlias = tuple[str, ...]
ANY = "*"
"""A step that stands for every member or item."""
_STRUCTURE = (("node",), ("phase",))
"""Where a record stands, not what it holds: if nothing else is left, nothing is compared, unless it was asked for."""


@frozen
class Pattern:
    """A JSON pointer in which ``*`` stands for any one step; it reaches what it names and everything below."""

    text: str
    """As it was given."""
    steps: Steps
    """Its steps, escaped as in a pointer."""

    @classmethod
    def of(cls, text: str) -> Pattern:
        """Read a pattern. Raises `UsageError`."""
        if not text.startswith("/"):
            hint = "write a JSON pointer within a record, such as /calls/*/outcome, or /figures/state and /input/data"
            raise UsageError(f"{text!r} is no JSON pointer", hint=hint, pointer=text)
        return cls(text, steps_of(text))

    def reaches(self, steps: Steps) -> bool:
        """Return whether a place is what this names, or lies below it."""
        return len(steps) >= len(self.steps) and self._agrees(steps)

    def touches(self, steps: Steps) -> bool:
        """Return whether a place is reached, or lies above what is."""
        return self._agrees(steps)

    def covers(self, other: Pattern) -> bool:
        """Return whether all that *other* reaches is reached by this."""
        return len(self.steps) <= len(other.steps) and all(
            mine in (ANY, theirs) for mine, theirs in zip(self.steps, other.steps, strict=False)
        )

    def stands_in(self, value: Json) -> bool:
        """Return whether *value* has a place that this names."""
        places = [value]
        for step in self.steps:
            places = [item for place in places for item in _below(place, step)]
        return bool(places)

    def _agrees(self, steps: Steps) -> bool:
        return all(ANY in (mine, theirs) or mine == theirs for mine, theirs in zip(self.steps, steps, strict=False))


def steps_of(pointer: str) -> Steps:
    """Return the steps of a JSON pointer, escaped as they stand."""
    return tuple(pointer.split("/")[1:])


def _below(value: Json, step: str) -> Sequence[Json]:
    if isinstance(value, dict):
        return [item for name, item in value.items() if step in (ANY, pointer_step(name))]
    if isinstance(value, tuple | list):
        return value if step == ANY else value[int(step) : int(step) + 1] if step.isdecimal() else ()
    return ()


class Filters:
    """What to leave out: *ignore* takes out what it reaches, *only* what it does not touch. Structure is never left out."""

    def __init__(self, ignore: Iterable[str], only: Iterable[str]) -> None:
        """Read the patterns. Raises `UsageError`, or `NothingCompared` where nothing would be left to compare."""
        self._ignore = [Pattern.of(text) for text in dict.fromkeys(ignore)]
        self._only = [Pattern.of(text) for text in dict.fromkeys(only)]
        self._taken = dict.fromkeys([pattern.text for pattern in self._ignore], 0)
        self._unseen = list(self._only)
        self._compared = not (self._ignore or self._only)
        self.outside = 0
        """How many fields *only* left out."""
        wanted = self._only or [Pattern("", (ANY,))]
        if all(any(taken.covers(pattern) for taken in self._ignore) for pattern in wanted):
            raise self._nothing()

    @property
    def ignored(self) -> tuple[Filtered, ...]:
        """What each pattern took out."""
        return tuple([Filtered(pointer=text, count=count) for text, count in self._taken.items() if count])

    @property
    def looking(self) -> bool:
        """Whether a pattern of *only*, or a value that is compared at all, has not been found in any document so far."""
        return bool(self._unseen) or not self._compared

    @property
    def unmatched(self) -> tuple[str, ...]:
        """Patterns that matched nothing."""
        return (*[text for text, count in self._taken.items() if not count], *[pattern.text for pattern in self._unseen])

    def kept(self, fields: Iterable[FieldChange]) -> tuple[FieldChange, ...]:
        """Return the fields that are left, and count the others."""
        return tuple([each for each in fields if self._keeps(each)])

    def look_at(self, record: Json) -> None:
        """Take note of which patterns of *only* stand in a record, and of whether it has a value that is compared."""
        self._unseen = [pattern for pattern in self._unseen if not pattern.stands_in(record)]
        self._compared = self._compared or self._leaves(record, ())

    def check(self, message: int | None = None) -> None:
        """Raise `NothingCompared` where *only* names nothing that either trace has, or the filters leave no value of theirs.

        *message*: number of the message that was compared alone.
        """
        if self._only and len(self._unseen) == len(self._only):
            names = ", ".join([pattern.text for pattern in self._only])
            place = "" if message is None else f" in message {message}"
            raise NothingCompared(f"neither trace has a field {names}{place}", hint="check the pointer", only=names)
        if not self._compared:
            raise self._nothing()

    def _nothing(self) -> NothingCompared:
        only = [pattern.text for pattern in self._only]
        return NothingCompared("the filters leave nothing to compare", hint="ignore less", ignore=[*self._taken], only=only)

    def _leaves(self, value: Json, steps: Steps) -> bool:
        """Return whether the value at *steps* is one that is compared, or holds one; what is empty holds none."""
        if self._only and not any(pattern.touches(steps) for pattern in self._only):
            return False
        if any(pattern.reaches(steps) for pattern in self._ignore):
            return False
        if isinstance(value, dict):
            return any(self._leaves(item, (*steps, pointer_step(name))) for name, item in value.items())
        if isinstance(value, tuple | list):
            return any(self._leaves(item, (*steps, str(index))) for index, item in enumerate(value))
        return any(pattern.reaches(steps) for pattern in self._only) if self._only else steps not in _STRUCTURE

    def _keeps(self, field: FieldChange) -> bool:
        places = [steps_of(pointer) for pointer in dict.fromkeys((field.pointer, field.right_pointer))]
        taken = next((pattern for pattern in self._ignore if any(pattern.reaches(place) for place in places)), None)
        if taken is not None:
            self._taken[taken.text] += 1
            return False
        if self._only and not any(pattern.touches(place) for pattern in self._only for place in places):
            self.outside += 1
            return False
        return True
