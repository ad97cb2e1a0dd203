"""Traces that were changed after they were written, with a chain and a seal that hold: what a forger leaves."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

from frameengine.codec import dumps
from frameengine.jsonvalue import thaw
from frameengine.trace.reader import TraceReader

Edit = Callable[[dict[str, Any]], dict[str, Any] | list[dict[str, Any]] | None]
"""Given a line's members, whole; returns what to write in its place: one line, several, or None to leave the line out."""


def rebuild(path: Path, target: Path, edit: Edit = lambda line: line) -> None:
    """Write *path* to *target* with every line edited, and with a chain and a seal of its own.

    Everything stands in place in the new file, nothing in content lines, so an edit reaches one line only.
    """
    lines: list[tuple[dict[str, Any], dict[str, Any]]] = []
    with TraceReader(path) as reader:
        lines.append((thaw(reader.header_line.data), _side(reader.header_line)))
        lines.extend([(thaw(line.data), _side(line)) for line in reader.lines()])
    bodies = []
    for whole, side in lines:
        edited = edit(whole)
        written = edited if isinstance(edited, list) else [] if edited is None else [edited]
        bodies += [dumps({**_escaped(each), **side})[:-1] for each in written]
    counts = {
        kind: sum(body.startswith(f'{{"kind":"{kind}"'.encode()) for body in bodies) for kind in ("input", "frame", "outcome")
    }
    target.write_bytes(_chained(bodies, counts))


def rechain(path: Path, target: Path, number: int, change: Callable[[bytes], bytes]) -> None:
    """Write *path* to *target* with the bytes of line *number* changed where they stand, and the chain made to hold again."""
    bodies = [line[: line.rindex(b',"chain":"')] for line in path.read_bytes().split(b"\n")[:-1]]
    seal = bodies.pop()
    counts = {kind: int(seal.split(b'"%ss":' % kind.encode())[1].split(b",")[0]) for kind in ("input", "frame", "call")}
    counts["outcome"] = counts.pop("call")
    bodies[number - 1] = change(bodies[number - 1])
    target.write_bytes(_chained(bodies, counts))


def _side(line: Any) -> dict[str, Any]:
    side: dict[str, Any] = {} if line.at is None else {"at": line.at}
    if line.meta:
        side["meta"] = thaw(line.meta)
    return side


def _escaped(value: Any) -> Any:
    if isinstance(value, dict):
        return {("$" + key if key.startswith("$") else key): _escaped(item) for key, item in value.items()}
    return [_escaped(item) for item in value] if isinstance(value, list) else value


def _chained(bodies: list[bytes], counts: dict[str, int]) -> bytes:
    """Return the lines of a file: the chain as the format describes it, computed here and not by the writer."""
    value = "frameengine trace"
    lines = []
    for body in bodies:
        value = sha256(value.encode() + body).hexdigest()
        lines.append(body + f',"chain":"{value}"}}\n'.encode())
    seal = (
        f'{{"kind":"seal","inputs":{counts["input"]},"frames":{counts["frame"]},"calls":{counts["outcome"]},'
        f'"lines":{len(bodies) + 1},"head":"{value}"'
    ).encode()
    return b"".join(lines) + seal + f',"chain":"{sha256(value.encode() + seal).hexdigest()}"}}\n'.encode()
