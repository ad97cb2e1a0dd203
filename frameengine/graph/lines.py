"""On which line of a TOML text each table and member stands: ``tomllib`` gives values, and people look for lines."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from frameengine.graph.validate import Place

_SKIPPED: Final = re.compile(r'"""(?:\\.|(?!""").)*"""|\'\'\'.*?\'\'\'|("(?:\\.|[^"\\\n])*"|\'[^\'\n]*\')|#[^\n]*', re.DOTALL)
"""Long strings and comments, in which nothing is a header; short strings are matched so that a # inside them is none."""
_KEY: Final = r'(?:[A-Za-z0-9_-]+|"[^"\n]*"|\'[^\'\n]*\')'
_DOTTED: Final = rf"{_KEY}(?:\s*\.\s*{_KEY})*"
_ARRAY: Final = re.compile(rf"\s*\[\[\s*({_DOTTED})\s*\]\]\s*$")
_TABLE: Final = re.compile(rf"\s*\[\s*({_DOTTED})\s*\]\s*$")
_MEMBER: Final = re.compile(rf"\s*({_DOTTED})\s*=")


def line_numbers(text: str) -> Mapping[Place, int]:
    """Return place -> line number, from 1, for tables written with headers and members written one to a line.

    The text must be valid TOML. Inside of inline tables and lists nothing is found; `line_of` then names the line they begin on.
    """
    found: dict[Place, int] = {}
    counts: dict[Place, int] = {}
    table: Place = ()
    depth = 0
    for number, line in enumerate(_SKIPPED.sub(_blank, text).split("\n"), start=1):
        array, header, member = (pattern.match(line) if depth == 0 else None for pattern in (_ARRAY, _TABLE, _MEMBER))
        if array:
            base = _inside(_steps(array[1]), counts)
            table = (*base, counts.get(base, 0))
            counts[base] = counts.get(base, 0) + 1
            found.setdefault(base, number)
            found[table] = number
        elif header:
            table = _inside(_steps(header[1]), counts)
            found[table] = number
        else:
            if member:
                found.setdefault((*table, *_steps(member[1])), number)
            bare = re.sub(r'"(?:\\.|[^"\\])*"|\'[^\']*\'', "", line)
            depth += sum(map(bare.count, "[{")) - sum(map(bare.count, "]}"))
    return found


def line_of(place: Place, numbers: Mapping[Place, int]) -> int | None:
    """Return the line of *place*, or of the nearest place around it."""
    for end in range(len(place), 0, -1):
        if place[:end] in numbers:
            return numbers[place[:end]]
    return None


def _blank(match: re.Match[str]) -> str:
    if match[1]:
        return match[0]
    return "" if match[0].startswith("#") else '""' + "\n" * match[0].count("\n")


def _steps(dotted: str) -> Place:
    return tuple([key.strip("\"'") for key in re.findall(_KEY, dotted)])


def _inside(steps: Place, counts: Mapping[Place, int]) -> Place:
    """Return the place of a header's keys: a key that names an array of tables means its newest one."""
    place: Place = ()
    for step in steps[:-1]:
        place = (*place, step)
        if place in counts:
            place = (*place, counts[place] - 1)
    return (*place, *steps[-1:])
