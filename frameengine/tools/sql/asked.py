"""What a query asks for, told by how it begins: the first and coarsest layer, the same for every database."""

from __future__ import annotations

import re
from typing import Any, Final, Literal

from attrs import frozen

from frameengine.errors import ToolFailed

QUERY_CHARS_MAX: Final = 8_000
"""Length of a query."""
READ_ONLY: Final = "only SELECT, DESCRIBE <table> and SHOW TABLES are allowed"

_COMMENT: Final = r"--[^\n]*(?:\n|$)|/\*.*?\*/"
_LEADING: Final = re.compile(rf"(?:\s|{_COMMENT})*", re.DOTALL)
_COMMENTS: Final = re.compile(_COMMENT, re.DOTALL)
_FIRST_WORD: Final = re.compile(r"(?:select|with)\b", re.IGNORECASE)
_SHOW_TABLES: Final = re.compile(r"show\s+tables\s*;?\s*", re.IGNORECASE)
_DESCRIBE: Final = re.compile(r"desc(?:ribe)?\s+(?:(\w+)|([\"`])([^\"`]+)\2)\s*;?\s*", re.IGNORECASE)


@frozen
class Asked:
    """A query that may go on to the next layer."""

    kind: Literal["select", "describe", "tables"]
    """A selection (WITH … SELECT too), a look at one table, or at all their names."""
    text: str
    """The statement without what stands before its first word; of a look at one table, the table's name."""


def read(query: str) -> Asked:
    """Return what *query* asks for. Raises `ToolFailed` where it begins with anything but the words of a read."""
    if len(query) > QUERY_CHARS_MAX:
        raise refused(f"the query has {len(query):,} characters, the bound is {QUERY_CHARS_MAX:,}")
    if "\0" in query:
        raise refused("the query holds a NUL")
    found = _LEADING.match(query)
    rest = query[found.end() :] if found else query
    if _FIRST_WORD.match(rest):
        return Asked("select", rest)
    plain = _COMMENTS.sub(" ", rest).strip()
    if _SHOW_TABLES.fullmatch(plain):
        return Asked("tables", plain)
    described = _DESCRIBE.fullmatch(plain)
    if described is None:
        raise refused(READ_ONLY)
    return Asked("describe", described[1] or described[3])


def refused(what: str, **fields: Any) -> ToolFailed:
    """Return the refusal of a query that is more, or may be more, than a read."""
    return ToolFailed(f"refused: {what}", hint=READ_ONLY, **fields)
