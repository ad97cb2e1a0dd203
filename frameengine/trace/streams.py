"""Secrets that a stream of JSON brings in pieces, a few letters in each: found in the joined text, replaced where they stand.

A stream is lines that each hold a JSON object, behind ``data:`` or not. The pieces of one text stand in the same place of
each object; lists are told apart by the ``index`` beside the text, not by their order.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from attrs import frozen

from frameengine.codec import Undecodable, dumps, loads

_LINE = re.compile(r"^(?:data:)?[ \t]*(?=\{)", re.MULTILINE)
_TOKEN = re.compile(r'"((?:[^"\\]|\\.)*+)"|([{}\[\],:])|[^\s"{}\[\],:]+')
_MEMBER = re.compile(r'"([^"\\]*+)"\s*+:\s*+"((?:[^"\\]|\\.)*+)"')
_SEVERAL = re.compile(r'index"\s*+:\s*+[1-9]')
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
    """Return *text* with a placeholder, in its pieces, in the place of each secret that *spans* finds across them."""
    if "\n" not in text:
        return text
    starts = [found.end() for found in _LINE.finditer(text)]
    if len(starts) < 2:
        return text
    if not _SEVERAL.search(text) and not any(True for joined in _joined(text) for _ in spans(joined)):
        return text
    texts: dict[str, list[_Piece]] = {}
    for start in starts:
        end = text.find("\n", start)
        for place, piece in _strings(text, start, len(text) if end < 0 else end):
            texts.setdefault(place, []).append(piece)
    changed: list[tuple[int, int, str]] = []
    for pieces in texts.values():
        if len(pieces) > 1:
            changed += _replaced(pieces, spans, placeholder)
    for start, end, new in sorted(changed, reverse=True):
        text = text[:start] + new + text[end:]
    return text


def _joined(text: str) -> Iterator[str]:
    """Yield what the members of each name say together: the quick look, right where there is one text of each name."""
    named: dict[str, list[str]] = {}
    for name, raw in _MEMBER.findall(text):
        named.setdefault(name, []).append(raw)
    for raws in named.values():
        if len(raws) > 1:
            yield _said("".join(raws))


def _replaced(
    pieces: list[_Piece], spans: Callable[[str], Iterable[tuple[int, int]]], placeholder: Callable[[str], str]
) -> Iterator[tuple[int, int, str]]:
    """Yield place and new raw form of each piece that holds a part of a secret."""
    joined = "".join([piece.text for piece in pieces])
    clean = joined
    for start, end in spans(joined):
        clean = clean[:start] + placeholder(joined[start:end]) + clean[end:]
    if clean == joined:
        return
    at = 0
    for piece in pieces:
        new = clean[at : at + len(piece.text)]
        at += len(piece.text)
        if new != piece.text:
            yield piece.start, piece.end, dumps(new).decode()[1:-1]


def _strings(text: str, start: int, end: int) -> Iterator[tuple[str, _Piece]]:
    """Yield the strings of one JSON object that are values, each with its place."""
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
        if mark == ":" and last is not None:
            names[-1], last = last.text, None
            continue
        if last is not None:
            waiting.append(("/".join([*path, names[-1]]), last))
            last = None
        if mark in ("{", "["):
            path.append(names[-1])
            names.append("")
        elif mark in ("}", "]") and path:
            path.pop()
            names.pop()
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
