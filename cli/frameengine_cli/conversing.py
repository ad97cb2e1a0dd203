"""Recordings of somebody's HTTP calls, opened as the conversations in them: what screens about frames need."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from frameengine.errors import FrameEngineError
from frameengine_cli.refs import Source, opened, rename

if TYPE_CHECKING:
    from frameengine.jsonvalue import FrozenMap

EXCHANGES = "exchanges"
"""The graph of a recording of HTTP calls."""


@contextmanager
def opened_as_frames(ref: str, folder: Path | None = None, *, plain: bool = False) -> Iterator[Source]:
    """Give the trace that *ref* names, as `opened` does; in the place of recorded HTTP calls, their conversations.

    Those stand in a file for as long as the block takes, and a line on stderr says so. With *plain* nothing is changed, as
    where there is no conversation in the recording. Raises what `opened` and `read_exchanges` raise.
    """
    with opened(ref, folder) as source:
        if plain or not _is_recording(source.path):
            yield source
            return
        from tempfile import TemporaryDirectory

        with TemporaryDirectory(prefix="frameengine-") as kept:
            converted = _converted(source, Path(kept) / "conversations.trace.jsonl")
            try:
                yield converted
            except FrameEngineError as error:
                rename(error, converted.path, source.name)
                raise


def holds_exchanges(header: FrozenMap) -> bool:
    """Return whether a trace with this header holds HTTP calls."""
    return bool((header.get("graph") or {}).get("name") == EXCHANGES)


def _is_recording(path: Path) -> bool:
    from frameengine.errors import TraceError
    from frameengine.trace.reader import read_header

    try:
        return holds_exchanges(read_header(path))
    except TraceError:
        # Whoever reads it says what is wrong with it.
        return False


def _converted(source: Source, path: Path) -> Source:
    from attrs import evolve

    from frameengine.exchanges.book import read_exchanges
    from frameengine.importers.exchanges import import_exchanges
    from frameengine_cli.output import remark
    from frameengine_cli.progress import patience

    with patience("reading exchanges") as done:
        report = import_exchanges(read_exchanges(source.path), path, source=str(source.name), progress=done)
    if not report.calls:
        remark(f"{source.name}: {report.seen_as}; the exchanges are shown as they are")
        return evolve(source, recording=source.path)
    remark(f"{source.name}: {report.seen_as} (--exchanges shows them plain)")
    return evolve(source, path=path, agent=source.typed or "FILE", recording=source.path)
