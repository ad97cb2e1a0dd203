"""Keep the good part of a damaged trace: its whole messages, sealed, with a note of what was left out.

What is kept is copied byte for byte; only the chain is computed anew, because the header says that the trace was repaired. Its
canonical digest is the one of the same messages in the damaged file.
"""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any

from attrs import evolve, frozen

from frameengine.codec import dumps
from frameengine.errors import TraceError, TraceIncomplete, UsageError
from frameengine.jsonvalue import Json
from frameengine.limits import LINE_BYTES_MAX, check
from frameengine.trace.agreement import decode
from frameengine.trace.files import part_of, published, steady
from frameengine.trace.format import CHAIN_BYTES, GENESIS, linked, seal_wire
from frameengine.trace.reader import Counts, TraceReader
from frameengine.trace.source import open_trace


@frozen(kw_only=True)
class RepairReport:
    """What a repair kept and what it left out. Lines and bytes are those of the damaged file, unpacked."""

    path: Path
    """The damaged trace."""
    target: Path
    """The repaired one."""
    problem: TraceError
    """The first thing wrong."""
    counts: Counts
    """Inputs, frames and calls kept: those of whole messages."""
    kept_lines: int
    """The last good line."""
    kept_bytes: int
    """Where it ends."""
    dropped_lines: int = 0
    """Lines after it, an unfinished one included."""
    dropped_bytes: int = 0
    """Bytes after it, as far as they can be read."""

    def note(self) -> dict[str, Json]:
        """Return the entry of the header's ``repaired``."""
        return {
            "code": self.problem.code,
            "reason": self.problem.message.removeprefix(f"{self.path}: "),
            "kept_lines": self.kept_lines,
            "kept_bytes": self.kept_bytes,
            "dropped_lines": self.dropped_lines,
            "dropped_bytes": self.dropped_bytes,
        }


def repair(path: Path, target: Path, *, replace: bool = False) -> RepairReport:
    """Write the whole messages of a damaged trace to *target*, sealed, and say what was left out.

    A message that was under way is left out: its outcomes alone could not be replayed to an end. Raises `UsageError` where
    nothing is wrong with *path*, where *target* is *path*, or where it exists and *replace* is not said; `TraceError` where
    nothing in it is good, `TraceLocked` while it is being written, and `StorageError`; nothing is written then.
    """
    with steady(path):
        if replace and target.exists() and target.samefile(path):
            raise UsageError(f"{target} is the damaged trace, which stays as it is", hint="choose another name", path=str(target))
        report, header = _prove(path, target)
        report = _with_rest(report)
        with published(target, replace=replace) as sink:
            _copy(report, header, sink)
            sink.flush()
            with TraceReader(part_of(target)) as reader:
                for line in reader.lines():
                    decode(line)
    return report


def _prove(path: Path, target: Path) -> tuple[RepairReport, dict[str, Any]]:
    """Read to the first thing wrong; report what stands before the end of the last whole message, with the header's members."""
    good: RepairReport | None = None
    with TraceReader(path, damaged=True) as reader:
        try:
            for line in reader.lines():
                decode(line)
                if line.kind == "trace":
                    good = RepairReport(
                        path=path,
                        target=target,
                        problem=TraceError(""),
                        counts=reader.counts,
                        kept_lines=reader.line_count,
                        kept_bytes=reader.offset,
                    )
        except TraceError as error:
            reader.problem = error
    if reader.problem is None:
        raise UsageError(f"{path}: nothing to repair", hint="the trace is whole and sealed", path=str(path))
    if good is None:
        raise TraceIncomplete(
            f"{path}: nothing to keep, no message is whole: {reader.problem.message.removeprefix(f'{path}: ')}",
            hint="record again",
            path=str(path),
            line=reader.problem.fields.get("line", 1),
        ) from reader.problem
    return evolve(good, problem=reader.problem), reader.header_line.value


def _with_rest(report: RepairReport) -> RepairReport:
    """Count what follows the good part."""
    lines, size, last = 0, 0, b"\n"
    with open_trace(report.path) as file:
        try:
            left = report.kept_bytes
            while left:
                left -= len(file.read(min(left, LINE_BYTES_MAX)))
            while block := file.read(LINE_BYTES_MAX):
                lines += block.count(b"\n")
                size += len(block)
                last = block
        except OSError:
            # A broken stream was reported as the problem already; what cannot be read cannot be counted.
            pass
    return evolve(report, dropped_lines=lines + (not last.endswith(b"\n")), dropped_bytes=size)


def _copy(report: RepairReport, header: dict[str, Any], sink: IO[bytes]) -> None:
    chain = GENESIS
    with open_trace(report.path) as file:
        file.readline(LINE_BYTES_MAX)
        line, chain = linked(chain, _header_body(header, report))
        check("the header, in bytes,", LINE_BYTES_MAX, len(line), "the trace was repaired too often; keep its parts apart")
        sink.write(line)
        for _ in range(report.kept_lines - 1):
            line, chain = linked(chain, file.readline(LINE_BYTES_MAX)[:-CHAIN_BYTES])
            sink.write(line)
    counts = report.counts
    seal = seal_wire(inputs=counts.inputs, frames=counts.frames, calls=counts.calls, lines=report.kept_lines + 1, head=chain)
    sink.write(linked(chain, dumps(seal)[:-1])[0])


def _header_body(header: dict[str, Any], report: RepairReport) -> bytes:
    """Return the header's body with the note before the meta, which stands last."""
    members = {name: value for name, value in header.items() if name not in ("meta", "chain")}
    members["repaired"] = [*members.get("repaired", []), report.note()]
    if "meta" in header:
        members["meta"] = header["meta"]
    return dumps(members)[:-1]
