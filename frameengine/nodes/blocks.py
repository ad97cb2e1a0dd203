"""Fenced blocks in a model's text: find them, tell which ask for a tool, take the controls out, leave what is for reading.

A reply is untrusted. Fences are paired from the top as CommonMark pairs them, so that what stands between two blocks is never
taken for one (W12); a block that is never closed is a reply that was cut off, and asks for nothing. Everything here takes time
that is linear in the length of the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from attrs import frozen

from frameengine import foreign
from frameengine.errors import FrameEngineError
from frameengine.jsonvalue import FrozenMap

PYTHON_TAGS: Final = ("python", "py", "tool_code")
"""Tags of blocks that the Python tool runs."""
SQL_TAGS: Final = ("sql", "sqlite")
"""Tags of blocks that the database tool runs, as one statement."""
CONTROLS_TAG: Final = "controls"
"""Tag of blocks that hold controls."""
HIDDEN_TAGS: Final = (*PYTHON_TAGS, *SQL_TAGS, "sh", "bash", CONTROLS_TAG)
"""Tags of blocks that are not for the reader (C83, W14)."""
TOOL_LINE: Final = "TOOL:"
"""What a reply begins with that names a tool for its first block (C81)."""
CONTROLS_MAX: Final = 50
"""Controls of one reply."""

_OPENING: Final = re.compile(r"( {0,3})(`{3,}|~{3,})(.*)", re.DOTALL)
_INDENTED: Final = 4
"""Spaces from which a line cannot close a block."""


class Block(NamedTuple):
    """A fenced block."""

    tag: str
    """The first word behind the opening fence, in lower case; empty where there is none."""
    body: str
    """What stands between the fences, without the last newline."""
    closed: bool
    """Whether it has a closing fence."""


@frozen
class ToolText:
    """A tool call that a reply made in its text."""

    tool: str
    """Name of the tool: that of the TOOL line, or ``python`` or ``query_db`` by the block's tag."""
    body: str
    """Code, or a statement."""


def blocks(text: str) -> tuple[Block, ...]:
    """Return the fenced blocks of *text*, in order."""
    return tuple([part for part in _parts(text) if isinstance(part, Block)])


def tool_text(text: str) -> ToolText | None:
    """Return the tool call that *text* makes, or None (C81).

    Only a block that is tagged for it runs: an untagged one, a shell command or a block without an end asks for nothing (W14).
    """
    found = [block for block in blocks(text) if block.closed]
    first, _, _ = text.lstrip().partition("\n")
    if first.startswith(TOOL_LINE):
        body = next((block.body for block in found), "")
        name = first[len(TOOL_LINE) :].strip()
        return ToolText(name, body) if name and body.strip() else None
    for block in found:
        if block.body.strip() and block.tag in PYTHON_TAGS:
            return ToolText("python", block.body)
        if block.body.strip() and block.tag in SQL_TAGS:
            return ToolText("query_db", block.body)
    return None


def controls(text: str) -> tuple[tuple[FrozenMap, ...], tuple[str, ...]]:
    """Return the controls of all controls blocks, one list after another (C82), and what was wrong with any of them."""
    found: list[FrozenMap] = []
    problems: list[str] = []
    for number, block in enumerate([block for block in blocks(text) if block.tag == CONTROLS_TAG], start=1):
        if not block.closed:
            problems.append(f"controls block {number} has no end")
            continue
        try:
            value = foreign.parse(block.body)
        except FrameEngineError as error:
            problems.append(f"controls block {number}: {error.message}")
            continue
        if isinstance(value, tuple) and all(isinstance(item, FrozenMap) for item in value):
            found.extend(value)
        else:
            problems.append(f"controls block {number} is no list of objects")
    if len(found) > CONTROLS_MAX:
        problems.append(f"{len(found):,} controls, of which {CONTROLS_MAX} are kept")
    return tuple(found[:CONTROLS_MAX]), tuple(problems)


def readable(text: str) -> str:
    """Return *text* without the blocks that are not for the reader; the text itself where nothing would be left (C19)."""
    kept: list[str] = []
    for part in _parts(text):
        if not isinstance(part, Block):
            kept.append(part)
        elif part.tag not in HIDDEN_TAGS:
            kept.append(f"```{part.tag}\n{part.body}\n```")
    lines = "\n".join(kept).strip()
    if lines.startswith(TOOL_LINE):
        lines = lines.partition("\n")[2].strip()
    return lines or text.strip()


def has_code(text: str) -> bool:
    """Return whether *text* holds a block that looks like code: tagged with anything but controls, or not tagged at all."""
    return any(block.tag != CONTROLS_TAG and block.body.strip() for block in blocks(text))


def _parts(text: str) -> Iterator[str | Block]:
    """Yield the lines of *text* that stand outside of blocks, and the blocks."""
    fence, tag, indent = "", "", 0
    body: list[str] = []
    for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        if fence:
            if _closes(line, fence):
                yield Block(tag, "\n".join(body), closed=True)
                fence, body = "", []
            else:
                spaces = len(line) - len(line.lstrip(" "))
                body.append(line[min(spaces, indent) :])
            continue
        opening = _OPENING.match(line)
        if opening is None or (opening[2][0] == "`" and "`" in opening[3]):
            yield line
            continue
        words = opening[3].split(maxsplit=1)
        fence, tag, indent = opening[2], words[0].lower() if words else "", len(opening[1])
    if fence:
        yield Block(tag, "\n".join(body), closed=False)


def _closes(line: str, fence: str) -> bool:
    stripped = line.lstrip(" ")
    marks = stripped.rstrip(" \t")
    return len(line) - len(stripped) < _INDENTED and len(marks) >= len(fence) and marks == fence[0] * len(marks)
