"""Bring a trace of an older format up to this one, step by step.

Every format shares the envelope: a line is one JSON object that ends in its chain value, the header names the format, and the
seal says how many lines there are. All else may change. A migration is a function over the lines of one format that yields
those of the next; the members ``chain`` are taken away and the seal is left out, since both are made anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import chain as joined
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any, TypeAlias

from attrs import frozen

from frameengine.codec import Undecodable, dumps, loads
from frameengine.errors import TraceFormat, TraceIncomplete, TraceIntegrity, TraceVersion, UsageError
from frameengine.limits import LINE_BYTES_MAX
from frameengine.trace.files import part_of, published
from frameengine.trace.format import CHAIN_HEAD, CHAIN_TAIL, FORMAT, GENESIS, chained, linked, seal_wire
from frameengine.trace.reader import Counts, TraceReader
from frameengine.trace.source import open_trace

Lines: TypeAlias = Iterator[dict[str, Any]]
"""Decoded lines, content lines included, references not resolved."""
Migration: TypeAlias = Callable[[Lines], Lines]

MIGRATIONS: Mapping[int, Migration] = MappingProxyType({})
"""Format number to what turns its lines into those of the next. Format 1 is the first, so there is none yet."""


@frozen(kw_only=True)
class MigrationReport:
    """What a migration did."""

    path: Path
    """The trace of the older format."""
    target: Path
    """The trace of this one."""
    steps: tuple[int, ...]
    """Format numbers that were left behind, the oldest first."""
    counts: Counts
    """Inputs, frames and calls of the target."""
    lines: int
    """Lines of the target."""


def migrate(path: Path, target: Path, *, migrations: Mapping[int, Migration] = MIGRATIONS) -> MigrationReport:
    """Write a trace of an older format to *target* in this one, whole or not at all, and prove the result.

    Raises `UsageError` where it is of this format already or *target* exists, `TraceVersion` where no way leads from its format
    to this one, another `TraceError` where it is damaged or not sealed, and `StorageError`.
    """
    steps = _steps(path, migrations)
    with published(target) as sink:
        with open_trace(path) as file:
            lines: Lines = _proven(file, path)
            for step in steps:
                lines = migrations[step](lines)
            _write(lines, sink)
        sink.flush()
        with TraceReader(part_of(target)) as reader:
            for line in reader.lines():
                _ = line.data
            counts, count = reader.counts, reader.line_count
    return MigrationReport(path=path, target=target, steps=steps, counts=counts, lines=count)


def _steps(path: Path, migrations: Mapping[int, Migration]) -> tuple[int, ...]:
    """Return the formats to go through, from the one of *path* to the last before this one."""
    with open_trace(path) as file:
        header = _decoded(_line(file, path, 1), path, 1)
    found = header.get("format")
    if header.get("kind") != "header" or type(found) is not int:
        raise TraceFormat(f"{path}: the first line is no header", hint="name a trace", path=str(path), line=1)
    if found == FORMAT:
        raise UsageError(f"{path} has format {FORMAT} already: nothing to migrate", hint="use it as it is", path=str(path))
    steps, reached = [], found
    while reached in migrations:
        steps.append(reached)
        reached += 1
    if reached == FORMAT:
        return tuple(steps)
    engine = str(header.get("engine"))[:40]
    if found > FORMAT:
        hint = f"install a newer frameengine: {engine} wrote it"
    else:
        hint = f"read it with the version that wrote it (frameengine {engine}), or record again"
    supported = [*sorted(migrations), FORMAT]
    raise TraceVersion(
        f"{path} has format {found}, this version migrates from {supported[:-1] or 'none'} to {FORMAT}",
        hint=hint,
        path=str(path),
        line=1,
        found=found,
        supported=supported,
    )


def _proven(file: IO[bytes], path: Path) -> Lines:
    """Yield the lines of a sealed trace of any format but for the seal, each proven to be the one that was written."""
    previous, number = GENESIS, 0
    while raw := _line(file, path, number + 1):
        number += 1
        members = _decoded(raw, path, number)
        body = raw[: -len(CHAIN_HEAD) - len(CHAIN_TAIL) - 64]
        chain = chained(previous, body)
        if raw != body + CHAIN_HEAD + chain + CHAIN_TAIL:
            hint = "migrate an undamaged copy, or repair it with the version that wrote it"
            what = f"{path}: line {number} was changed: its chain value does not hold"
            raise TraceIntegrity(what, hint=hint, path=str(path), line=number)
        if members.get("kind") == "seal":
            if members.get("lines") != number or members.get("head") != previous.decode() or _line(file, path, number + 1):
                what = f"{path}: the seal in line {number} does not fit the file"
                raise TraceIntegrity(what, hint="migrate an undamaged copy", path=str(path), line=number)
            return
        previous = chain
        del members["chain"]
        yield members
    hint = "repair it first, with the version that wrote it"
    raise TraceIncomplete(f"{path}: no seal after line {number}", hint=hint, path=str(path), line=number + 1)


def _line(file: IO[bytes], path: Path, number: int) -> bytes:
    try:
        return file.readline(LINE_BYTES_MAX)
    except OSError as error:
        raise TraceFormat(f"{path}: line {number}: {error}", hint="get the file again", path=str(path), line=number) from error


def _decoded(raw: bytes, path: Path, number: int) -> dict[str, Any]:
    try:
        members = loads(raw)
    except Undecodable as error:
        what = f"{path}: line {number} is not JSON: {error}"
        raise TraceFormat(what, hint="name a file that this tool wrote", path=str(path), line=number) from None
    if type(members) is not dict:
        what = f"{path}: line {number} is not a line of a trace"
        raise TraceFormat(what, hint="name a file that this tool wrote", path=str(path), line=number)
    return members


def _write(lines: Lines, sink: IO[bytes]) -> None:
    """Write migrated lines with a new chain and a new seal."""
    counts = dict.fromkeys(("input", "frame", "outcome"), 0)
    chain, number = GENESIS, 0
    header = next(lines)
    for members in joined([{**header, "format": FORMAT}], lines):
        line, chain = linked(chain, dumps(members)[:-1])
        sink.write(line)
        number += 1
        if members["kind"] in counts:
            counts[members["kind"]] += 1
    seal = seal_wire(inputs=counts["input"], frames=counts["frame"], calls=counts["outcome"], lines=number + 1, head=chain)
    sink.write(linked(chain, dumps(seal)[:-1])[0])
