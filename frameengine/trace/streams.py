"""Secrets that a stream of JSON brings in pieces, a few letters in each: found in the joined text, replaced where they stand.

A stream is any sequence of JSON objects: events, of one line of data or of several; lines; the items of one list. The pieces of
one text stand in the same place of each object; lists within are told apart by the ``index`` beside the text, not by their order.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator

from attrs import frozen

from frameengine.codec import Undecodable, dumps, loads

_LINE = re.compile(r"(?:\A|(?<=[\r\n]))(?:data:)?[ \t]*+(?=\{)")
_BESIDE = re.compile(r"\}\s*+\{")
_EVENTS = re.compile(r"(?:\A|(?<=[\r\n]))data:")
_EVENT_END = re.compile(r"(?:\r\n|\n|\r(?!\n)){2,}")
_LINE_END = re.compile(r"[\r\n]++(?=\{)")
_GAP = r"\s*+(?:data:\s*+)?+"
_TOKEN = re.compile(r'[\r\n]data:|"((?:[^"\\\r\n]|\\.)*+)"|([{}\[\],:])|[^\s"{}\[\],:]+')
_STRING = r'"((?:[^"\\]|\\.)*+)"'
_MEMBER = re.compile(rf'"([^"\\]*+)"{_GAP}:{_GAP}{_STRING}|\[{_GAP}{_STRING}(?={_GAP}[,\]])|([\r\n])')
"""A member whose value is a string, the first string of a list, or the end of a line."""
_TIMES = 4
"""How many members of one name in a line are told apart."""
_SEVERAL = re.compile(rf'index"{_GAP}:{_GAP}[1-9]')
_INDEXES = ("index", "content_index", "output_index")
"""Members that say which of several texts a piece belongs to."""


@frozen
class _Piece:
    """A string of the stream."""

    start: int
    """Where its raw form begins, behind the quote."""
    end: int
    """Where it ends."""
    text: str
    """What it says."""


def streamed(text: str, spans: Callable[[str], Iterable[tuple[int, int]]], placeholder: Callable[[str], str]) -> str:
    """Return *text* with a placeholder, in its pieces, in the place of each secret that *spans* finds across them.

    The spans of a text come in order, and none overlaps another.
    """
    if not _several(text):
        return text
    if not _SEVERAL.search(text) and not any(True for joined in _joined(text) for _ in spans(joined)):
        return text
    texts: dict[str, list[_Piece]] = {}
    for start, end in _parts(text):
        for place, piece in _strings(text, start, end):
            texts.setdefault(place, []).append(piece)
    changed: list[tuple[int, int, str]] = []
    for pieces in texts.values():
        if len(pieces) > 1:
            changed += _replaced(pieces, spans, placeholder)
    return _with(text, sorted(changed))


def _several(text: str) -> bool:
    """Return whether *text* may hold more than one object: the first look, at its outer form alone."""
    if text.count("{") < 2:
        return False
    lines = _LINE.finditer(text)
    return text.lstrip()[:1] == "[" or (next(lines, None) and next(lines, None)) is not None or _BESIDE.search(text) is not None


def _joined(text: str) -> Iterator[str]:
    """Yield what the members of each name say together; where a line has several of one, also the first of each, the second, ….

    The quick look: right where a text stands in the same place of each line, or is the only one of its name.
    """
    named: defaultdict[str, list[str]] = defaultdict(list)
    nth: defaultdict[tuple[str, int], list[str]] = defaultdict(list)
    times: dict[str, int] = {}
    for name, raw, item, ends in _MEMBER.findall(text):
        if ends:
            times = {}
            continue
        time = times[name] = times.get(name, 0) + 1
        named[name].append(raw or item)
        if time <= _TIMES:
            nth[name, time].append(raw or item)
    for raws in [*named.values(), *[raws for (name, _), raws in nth.items() if (name, 2) in nth]]:
        if len(raws) > 1:
            yield _said("".join(raws))


def _parts(text: str) -> Iterator[tuple[int, int]]:
    """Yield where each event, or each line that an object begins, starts and ends: what is broken spoils no other."""
    start = 0
    for end in (_EVENT_END if _EVENTS.search(text) else _LINE_END).finditer(text):
        yield start, end.start()
        start = end.end()
    yield start, len(text)


def _replaced(
    pieces: list[_Piece], spans: Callable[[str], Iterable[tuple[int, int]]], placeholder: Callable[[str], str]
) -> Iterator[tuple[int, int, str]]:
    """Yield place and new raw form of each piece that holds a part of a secret."""
    joined = "".join([piece.text for piece in pieces])
    clean = _with(joined, [(start, end, placeholder(joined[start:end])) for start, end in spans(joined)])
    if clean == joined:
        return
    at = 0
    for piece in pieces:
        new = clean[at : at + len(piece.text)]
        at += len(piece.text)
        if new != piece.text:
            yield piece.start, piece.end, dumps(new).decode()[1:-1]


def _with(text: str, changes: list[tuple[int, int, str]]) -> str:
    """Return *text* with other texts in some places, which come in order."""
    parts, at = [], 0
    for start, end, new in changes:
        parts += [text[at:start], new]
        at = end
    return "".join([*parts, text[at:]])


def _strings(text: str, start: int, end: int) -> Iterator[tuple[str, _Piece]]:
    """Yield the strings of the JSON objects in a part that are values, each with its place in its object."""
    path: list[str] = []
    names: list[str] = [""]
    index = ""
    waiting: list[tuple[str, _Piece]] = []
    last: _Piece | None = None
    for token in _TOKEN.finditer(text, start, end):
        mark = token[2]
        if token[1] is not None:
            last = _Piece(token.start(1), token.end(1), _said(token[1]))
            continue
        if (mark is None and token[0][0] in "\r\n") or not (path or mark == "{"):
            # A further line of the same data, or what stands between objects: the list that they are in too.
            last = last if path else None
            continue
        if mark == ":" and last is not None:
            names[-1], last = last.text, None
            continue
        if last is not None:
            waiting.append(("/".join([*path, names[-1]]), last))
            last = None
        if mark in ("{", "["):
            path.append(names[-1])
            names.append("")
        elif mark in ("}", "]"):
            path.pop()
            names.pop()
            if not path:
                yield from [(f"{index}{place}", piece) for place, piece in waiting]
                index, names, waiting = "", [""], []
        elif mark is None and names[-1] in _INDEXES:
            index += f"{'/'.join(path)}.{names[-1]}={token[0]};"
    yield from [(f"{index}{place}", piece) for place, piece in waiting]


def _said(raw: str) -> str:
    if "\\" not in raw:
        return raw
    try:
        return str(loads(f'"{raw}"'.encode()))
    except (Undecodable, UnicodeEncodeError):
        return raw
