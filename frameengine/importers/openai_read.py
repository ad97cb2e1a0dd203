"""Find the conversations in a file of OpenAI messages: JSON, JSON Lines, request bodies, tau-bench results."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from io import BytesIO
from itertools import chain
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
_NO_PARAMETER = ("response", "choices")
"""Members beside ``messages`` that came back from a request, and so can be no part of one."""
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

    A document is a list of messages, ``{"messages": […], …}``, ``{"traj": […], …}``, or a list of such; a file is one document,
    or has one on each line. Raises `TraceNotFound`, `TraceFormat` with the line, `LimitError`, and `UsageError` where a document
    holds no conversation of this *shape*.
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
        file = source.open("rb")
    except OSError as error:
        raise TraceNotFound(f"{source}: {error.strerror}", hint="check the name and its permissions", path=str(source)) from error
    if file.seekable():
        return file
    with file:
        return BytesIO(file.read())


def _documents(file: IO[bytes], name: str) -> Iterator[tuple[int, Json]]:
    """Yield each document with its line; 0 where the file is one document."""
    lines = _lines(file)
    first, second = next(lines, None), next(lines, None)
    if first is None:
        raise TraceFormat(f"{name} is empty", hint="name a file with OpenAI messages in it", path=name, line=1)
    if second is not None and _is_document(first[1]):
        for number, raw in chain((first, second), lines):
            yield number, _parsed(raw, name, number)
        return
    # One document over one or several lines, or a first line that is broken: read as one, the error names the line.
    file.seek(0)
    yield 0, _parsed(file.read(FOREIGN_BYTES_MAX + 1), name, 0)


def _lines(file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """Yield each line that is not blank, with its number."""
    number = 0
    while raw := file.readline(FOREIGN_BYTES_MAX + 1):
        number += 1
        check(f"line {number}, in bytes,", FOREIGN_BYTES_MAX, len(raw), "split the file")
        if not raw.isspace():
            yield number, raw


def _is_document(raw: bytes) -> bool:
    try:
        foreign.parse(raw)
    except (ValueRefused, LimitError):
        return False
    return True


def _parsed(raw: bytes, name: str, line: int) -> Json:
    """Return a document; *line* is 0 where it is the whole file."""
    try:
        return foreign.parse(raw)
    except ValueRefused as error:
        where = line or error.fields.get("line", 1)
        what = f"line {line}: {error.message.replace(' at line 1, column ', ' at column ')}" if line else error.message
        raise TraceFormat(f"{name}: {what}", hint=error.hint, path=name, line=where) from None


def _conversations(document: Json, shape: Shape, source: str) -> Iterator[Conversation]:
    """Yield the conversations of one document, or of a list of documents."""
    several = isinstance(document, tuple) and document and not _is_message(document[0])
    places = [(f"{source}[{index}]", item) for index, item in enumerate(document)] if several else [(source, document)]
    for place, item in places:
        try:
            conversation = _conversation(item, shape, place)
        except UsageError as error:
            raise UsageError(f"{place}: {error.message}", hint=error.hint, **error.fields) from None
        yield conversation


def _is_message(value: Json) -> bool:
    return isinstance(value, FrozenMap) and "role" in value


def _conversation(document: Json, shape: Shape, source: str) -> Conversation:
    if isinstance(document, tuple):
        if shape == "tau-bench":
            raise UsageError("a list of messages is not of the shape tau-bench", hint="leave the shape out, or say 'messages'")
        return Conversation(messages=_messages(document), source=source)
    if not isinstance(document, FrozenMap):
        raise UsageError(f"a {type(document).__name__} is no conversation", hint="a conversation is a list of messages")
    if _is_message(document):
        raise UsageError("a message by itself is no conversation", hint="put the messages of a conversation into one list")
    found = [member for member in _MEMBERS if member in document and shape in ("auto", _MEMBERS[member])]
    if not found:
        _refuse_known(document, source)
    if len(found) != 1:
        wanted = " or ".join([repr(member) for member in _MEMBERS if shape in ("auto", _MEMBERS[member])])
        what = "both 'messages' and 'traj'" if found else f"no {wanted}"
        raise UsageError(f"the document has {what}", hint="say which shape it is, or take the messages out of it")
    return _of_members(document, found[0], source)


def _refuse_known(document: FrozenMap, source: str) -> None:
    """Raise `UsageError` for what is something else that is known, with the way from there to a conversation."""
    if document.get("kind") == "header" and "chain" in document:
        file = re.sub(r":\d+$", "", source)
        raise UsageError("this is a trace already", hint=f"frameengine show {shlex.quote(file)}")
    request = document.get("request")
    if isinstance(request, FrozenMap):
        body = request.get("body", request)
        if "messages" in request or isinstance(body, str | FrozenMap):
            what = "the document has a request and its response, and no 'messages' of its own"
            raise UsageError(what, hint='make it {"messages": [...]}: those of the request, and the one of the response')
    if "input" in document or "output" in document:
        what = "the document has 'input' or 'output', as the Responses API has, and no 'messages'"
        raise UsageError(what, hint='make it {"messages": [...]}, as in a chat completion')


def _of_members(document: FrozenMap, member: str, source: str) -> Conversation:
    """Return the conversation of a document, every other member of it kept somewhere."""
    rest = {name: value for name, value in document.items() if name != member}
    model = rest.pop("model") if isinstance(rest.get("model"), str) else ""
    tools: tuple[FrozenMap, ...] = ()
    if isinstance(rest.get("tools"), tuple) and all(isinstance(tool, FrozenMap) for tool in rest["tools"]):
        tools = rest.pop("tools")
    beside = [name for name in _NO_PARAMETER if member == "messages" and name in rest]
    for name in beside:
        del rest[name]
    params = freeze(rest) if member == "messages" else EMPTY
    about = EMPTY if member == "messages" else freeze(rest)
    notes = [Note(what=f"not imported: {', '.join(beside)}, which is no parameter of a request")] if beside else []
    if params:
        notes.append(Note(what=f"kept as parameters of every model call: {', '.join(params)}"))
    if about:
        notes.append(Note(what=f"kept in the header's provenance: {', '.join(about)}"))
    return Conversation(
        messages=_messages(document[member]),
        model=model,
        tools=tools,
        params=params,
        about=about,
        notes=tuple(notes),
        source=source,
    )


def _messages(value: Json) -> tuple[FrozenMap, ...]:
    if not isinstance(value, tuple):
        raise UsageError("the messages are no list", hint="a conversation is a list of messages")
    if not value:
        raise UsageError("a conversation without a message", hint="leave it out of the file")
    for index, message in enumerate(value):
        check_message(message, index)
    return value
