"""Find the conversations in a file of OpenAI messages: JSON, JSON Lines, request bodies, tau-bench results."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import IO, Literal, TypeAlias

from attrs import field, frozen

from frameengine import foreign
from frameengine.errors import LimitError, TraceFormat, TraceNotFound, UsageError, ValueRefused
from frameengine.importers.openai_plan import Note, check_message
from frameengine.jsonvalue import EMPTY, FrozenMap, Json, freeze
from frameengine.limits import FOREIGN_BYTES_MAX, check

Shape: TypeAlias = Literal["auto", "messages", "tau-bench"]
"""What a document holds its messages in: a list or ``messages``; ``traj``; or whichever of them is there."""

_MEMBERS = {"messages": "messages", "traj": "tau-bench"}
_STDIN = "-"


@frozen(kw_only=True)
class Conversation:
    """One conversation, as it stands in its file."""

    messages: tuple[FrozenMap, ...]
    """Chat messages in OpenAI's shape, at least one."""
    model: str = ""
    """The model, where the document names one."""
    tools: tuple[FrozenMap, ...] = ()
    """Tool definitions, where the document has them."""
    params: FrozenMap = field(default=EMPTY)
    """Other members of a request's body."""
    about: FrozenMap = field(default=EMPTY)
    """What else the document says of the conversation: task, trial, reward."""
    notes: tuple[Note, ...] = ()
    """What is odd about the document."""
    source: str = ""
    """The file, and the place in it where it holds several."""


def read_conversations(source: Path | bytes, shape: Shape = "auto") -> Iterator[Conversation]:
    """Yield the conversations of a file, or of the bytes of one, in order.

    A document is a list of messages, ``{"messages": […], …}``, ``{"traj": […], …}``, or a list of such; a file is one document, or
    has one on each line. Raises `TraceNotFound`, `TraceFormat` with the line, `UsageError` where the documents hold no conversations
    of this *shape*, and `LimitError`.
    """
    name = _STDIN if isinstance(source, bytes) else str(source)
    with _open(source) as file:
        count = 0
        for line, document in _documents(file, name):
            for conversation in _conversations(document, shape, f"{name}:{line}" if line else name):
                count += 1
                yield conversation
        if not count:
            raise UsageError(f"{name} holds no conversation", hint="name a file with OpenAI messages in it", path=name)


def _open(source: Path | bytes) -> IO[bytes]:
    if isinstance(source, bytes):
        return BytesIO(source)
    try:
        return source.open("rb")
    except OSError as error:
        raise TraceNotFound(f"{source}: {error.strerror}", hint="check the name and its permissions", path=str(source)) from error


def _documents(file: IO[bytes], name: str) -> Iterator[tuple[int, Json]]:
    """Yield each document with its line; 0 where the file is one document."""
    lines = _lines(file)
    first = next(lines, None)
    if first is None:
        raise TraceFormat(f"{name} is empty", hint="name a file with OpenAI messages in it", path=name, line=1)
    number, raw = first
    second = next(lines, None)
    if second is None:
        yield 0, _parsed(raw, name, number)
        return
    try:
        document = foreign.parse(raw)
    except (ValueRefused, LimitError):
        # A document over several lines, or a first line that is broken: told apart by reading them all as one.
        rest = raw + second[1] + file.read(FOREIGN_BYTES_MAX)
        yield 0, _parsed(rest, name, number, last=second[0])
        return
    yield number, document
    yield second[0], _parsed(second[1], name, second[0])
    for number, raw in lines:
        yield number, _parsed(raw, name, number)


def _lines(file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """Yield each line that is not blank, with its number."""
    number = 0
    while raw := file.readline(FOREIGN_BYTES_MAX + 1):
        number += 1
        check(f"line {number}, in bytes,", FOREIGN_BYTES_MAX, len(raw), "split the document")
        if not raw.isspace():
            yield number, raw
