"""The tables that a query reads: one pass over its words, no parser, for queries that nobody has checked yet (C32).

A name too many costs one look at a table that is not there, a name too few one query without a look before it: neither is unsafe,
because the database tool checks every statement itself.
"""

from __future__ import annotations

import re
from typing import Final

from attrs import define

QUERY_CHARS_MAX: Final = 8_000
"""Length of a query that is read; a longer one is refused by the database tool."""

_TOKEN: Final = re.compile(
    r"'(?:[^']|'')*'?"  # a text
    r"|--[^\n]*|/\*(?:[^*]|\*(?!/))*(?:\*/)?"  # a comment
    r'|"[^"]*"?|`[^`]*`?|\[[^\]]*\]?'  # a quoted name
    r"|\w+|[(),.]"
)
_NAME: Final = re.compile(r"\w{1,64}")
_PASSED_OVER: Final = ("'", "--", "/*")
_ENDS_LIST: Final = frozenset("where group order having limit window union except intersect set".split())
_BEFORE_BODY: Final = frozenset(("materialized", "not"))


@define
class _Level:
    """What is between two brackets."""

    opened_by: str = ""
    """The word before the bracket."""
    query: bool = False
    """Whether a SELECT stands in it."""
    listing: bool = False
    """Whether a comma is followed by another table."""


def tables_in(query: str) -> tuple[str, ...]:
    """Return the names of the tables that *query* reads, as they are written, in order, each once; those it defines left out."""
    if len(query) > QUERY_CHARS_MAX:
        return ()
    tokens = [token for token in _TOKEN.findall(query) if not token.startswith(_PASSED_OVER)]
    found: dict[str, str] = {}
    defined: set[str] = set()
    levels = [_Level()]
    closed = _Level()
    expecting = False
    before: list[str] = ["", ""]
    for index, token in enumerate(tokens):
        word, level = token.lower(), levels[-1]
        following = tokens[index + 1] if index + 1 < len(tokens) else ""
        if word == "(":
            if before[-1] == "as":
                defined.add(closed.opened_by if before[-2] == ")" else _bare(before[-2]))
            levels.append(_Level(opened_by=_bare(before[-1]), listing=expecting))
        elif word == ")":
            closed = levels.pop() if len(levels) > 1 else level
            expecting = False
        elif word == "select":
            level.query, level.listing, expecting = True, False, False
        elif word == "join" or (word == "from" and level.query and before[-1] != "distinct"):
            level.listing = expecting = True
        elif word == ",":
            expecting = level.listing
        elif word in _ENDS_LIST:
            level.listing = expecting = False
        elif expecting and word not in (".", "lateral") and following != ".":
            expecting = False
            if following != "(" and _NAME.fullmatch(_bare(token)):
                found.setdefault(_bare(word), _bare(token))
        if word not in _BEFORE_BODY:
            before = [before[-1], word]
    return tuple([name for key, name in found.items() if key not in defined])


def _bare(token: str) -> str:
    return token.strip('"`[]')
