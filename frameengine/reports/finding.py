"""A result as CI systems take it: something is wrong at a place of a file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, TypeAlias

from attrs import frozen

from frameengine.diff.result import Change, TraceDiff
from frameengine.errors import FrameEngineError
from frameengine.jsonvalue import MISSING, Json
from frameengine.plaintext import visible, visible_line
from frameengine.replay.divergence import NOTHING, Divergence
from frameengine.reports import parts

Level: TypeAlias = Literal["error", "warning"]
Rule: TypeAlias = Literal["first-difference", "difference", "incomplete", "divergence", "error"]
RULES: Final[dict[Rule, str]] = {
    "first-difference": "The first record that differs between two traces, and what it comes from.",
    "difference": "A record that differs by itself, after the first one.",
    "incomplete": "A trace ends before its seal, so that nothing is known of what came after.",
    "divergence": "The first place where a replay and its record differ.",
    "error": "A trace that could not be looked at.",
}
"""What each kind of finding means."""
NAMED = 20
"""Records with the same difference that are named."""
CONTEXT = 12
"""Words and spaces around a difference; findings are read in lists."""
VALUE_CHARS = 300
"""Code points of words that differ in one go."""


@frozen(kw_only=True)
class Finding:
    """Something that is wrong. All of its text is safe to show."""

    rule: Rule
    """What kind of thing."""
    level: Level
    """error for what makes the result red, warning for what else is to be seen."""
    title: str
    """What it is, in a few words on one line."""
    message: str
    """What is known of it, on several lines."""
    file: str
    """The file that it is about, as somebody named it; empty where it has no name."""
    line: int = 0
    """At which line; 0 for the file as a whole."""
    place: str = ""
    """Where in the run: ``2.3 director``."""


def of_diff(found: TraceDiff, file: str) -> tuple[Finding, ...]:
    """Return the first difference of a comparison, then those that follow from nothing. *file* is what they are about."""
    first = found.first
    if first is None:
        broken = [side for side in (found.left, found.right) if side.problem]
        return tuple([_incomplete(str(side.path), side.problem) for side in broken])
    cause = f"cause: {found.cause}" + (f" ({found.because})" if found.because else "")
    groups = parts.causes(found)
    others = [_difference(group, file, "difference", "warning") for group in groups[1:]]
    return (_difference(groups[0], file, "first-difference", "error", cause, parts.tally(found)), *others)


def of_divergence(found: Divergence, file: str) -> Finding:
    """Return the first difference between a replay and *file*; where a node raised, it is about the line of its code."""
    cause = f"cause: {found.cause}" + (f" ({found.because})" if found.because else "")
    values = [MISSING if value == NOTHING else value for value in (found.recorded, found.replayed)]
    sides = [f"{name}: {told}" for name, told in zip(("recorded", "replayed"), _sides(*values), strict=True)]
    code, _, line = found.where.rpartition(":")
    raised = (code, int(line)) if code and line.isdecimal() else (file, 0)
    about = [] if raised[0] == file else [f"trace: {file}"]
    return Finding(
        rule="divergence",
        level="error",
        title=visible_line(f"diverged at {found.place}"),
        message=visible("\n".join([f"{found.kind} {found.pointer}".rstrip(), *sides, cause, *about])),
        file=visible_line(raised[0]),
        line=raised[1],
        place=visible_line(f"{found.input}.{found.frame} {found.node}".rstrip()),
    )


def of_error(error: FrameEngineError, file: str) -> Finding:
    """Return what kept *file* from being looked at."""
    told = visible(f"{error.message}\ntry: {error.hint}" if error.hint else error.message)
    return Finding(rule="error", level="error", title="not looked at", message=told, file=visible_line(file))


def _difference(group: Sequence[Change], file: str, rule: Rule, level: Level, *more: str) -> Finding:
    change = group[0]
    lines: list[str] = [change.kind]
    if change.fields:
        field = change.fields[0]
        left, right = _sides(field.left, field.right)
        lines = [f"{change.kind} {parts.pointer(field)}", f"left: {left}", f"right: {right}"]
        if len(change.fields) > 1:
            lines.append(f"and {len(change.fields) - 1:,} more fields of this record")
    if len(group) > 1:
        lines.append(f"the same at {parts.places(group[1:], NAMED)}")
    return Finding(
        rule=rule,
        level=level,
        title=visible_line(f"{'differs' if change.kind == 'changed' else change.kind} at {parts.place(change)}"),
        message=visible("\n".join([*lines, *more])),
        file=visible_line(file),
        place=visible_line(parts.place(change)),
    )


def _incomplete(path: str, problem: str) -> Finding:
    return Finding(
        rule="incomplete",
        level="error",
        title="no difference as far as the files go",
        message=visible(problem),
        file=visible_line(path),
    )


def _sides(left: Json, right: Json) -> tuple[str, str]:
    one, other = parts.sides(left, right, context=CONTEXT, long=VALUE_CHARS)
    return _words(one), _words(other)


def _words(side: parts.Side | None) -> str:
    return NOTHING if side is None else "".join([piece.text for piece in side])
