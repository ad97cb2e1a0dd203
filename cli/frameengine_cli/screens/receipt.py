"""Receipts: what was proven of a file, and what a replay compared."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import RenderableType
from rich.text import Text

from frameengine.codec import tagged
from frameengine.jsonvalue import FrozenMap
from frameengine.replay.replayer import ReplayResult
from frameengine.trace.verify import Receipt
from frameengine_cli import phrases
from frameengine_cli.look import BAD, GOOD, OPEN, QUIET, SAME, STRONG, Look, pairs, words
from frameengine_cli.refs import short_id
from frameengine_cli.screens.run import counted, graph_name, origin, repaired


def verified(receipt: Receipt, look: Look) -> RenderableType:
    """Return the receipt of an intact file."""
    rows: list[tuple[str, RenderableType]] = [
        ("file", _plain(str(receipt.path))),
        ("holds", _plain(f"{counted(receipt.counts)}; as the seal says")),
        (
            "size",
            _plain(f"{phrases.size(receipt.size)} in {phrases.count(receipt.lines, 'line')}, each chained to the one before"),
        ),
        ("graph", _plain(graph_name(receipt.header))),
    ]
    if origin(receipt.header):
        rows.append(("from", _plain(origin(receipt.header))))
    rows += [
        ("run id", _plain(short_id(receipt.head))),
        ("chain", _digest(receipt.head)),
        ("canonical", _digest(receipt.canonical)),
    ]
    rows += _repaired(receipt.header)
    if receipt.open:
        rows.append(("open", words((f"{OPEN} the recording stops inside a message", BAD))))
    return look.panel(pairs(rows), f"{SAME} intact", "no code was run", style=GOOD)


def replayed(result: ReplayResult, graph: str, look: Look, *, embedded: bool = False) -> RenderableType:
    """Return the receipt of a replay that found the same; *embedded*: with the graph in the trace, not with one from a file."""
    rows: list[tuple[str, RenderableType]] = [
        ("compared", _plain(f"{counted(result.counts)}; all that the seal states")),
        ("canonical", _digest(result.canonical)),
        ("graph", _plain(graph)),
        ("changed", changed(result, embedded=embedded)),
        ("answers", _plain("all from the record: 0 live calls")),
        *_repaired(result.header),
    ]
    if not result.open:
        return look.panel(pairs(rows), f"{SAME} same", result.path.name, style=GOOD)
    rows.append(("open", words((f"{OPEN} {stops(result.open)}; compared up to there", BAD))))
    return look.panel(pairs(rows), f"{OPEN} same as far as it was recorded", result.path.name, style=BAD)


def same_line(result: ReplayResult, name: str) -> str:
    """Return the receipt of a replay that found the same in one line, as it is told where several are replayed."""
    if not result.open:
        return f"{SAME} same  {name}  {counted(result.counts)}"
    return f"{OPEN} same  {name}  {counted(result.counts)}; {stops(result.open)}"


def stops(numbers: Sequence[int]) -> str:
    """Return where a recording stops, in words: *numbers* are those of its open messages."""
    listed = ", ".join([f"{number:,}" for number in numbers])
    return f"the recording stops inside message{'' if len(numbers) == 1 else 's'} {listed}"


def changed(result: ReplayResult, *, embedded: bool = False) -> Text:
    """Return what has another digest than when it was recorded."""
    graphs = "; graph files were not looked at (--graph FILE)" if embedded else ""
    if not result.fingerprinted:
        return words((f"unknown: the record does not say which code it ran{graphs}", BAD))
    if not result.changed:
        return words((f"{'no code or prompt' if embedded else 'nothing'} since the recording{graphs}", QUIET))
    return words((", ".join(result.changed), STRONG), (f" since the recording, and it made no difference{graphs}", QUIET))


def _repaired(header: FrozenMap) -> list[tuple[str, RenderableType]]:
    """Return the row that tells a repaired trace from a whole one."""
    note = repaired(header)
    return [("repaired", words((f"{OPEN} {note.removeprefix('repaired: ')}", BAD)))] if note else []


def _plain(text: str) -> Text:
    return words((text, ""))


def _digest(hexdigest: str) -> Text:
    return words((tagged(hexdigest), QUIET))
