"""Traces that were imported: what they tell, and the proof that they hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from frameengine.effects import ModelReply, ToolReply
from frameengine.graph.registry import BoundGraph
from frameengine.importers.exchanges import ExchangesReport
from frameengine.inputs import Cancel, Clear, Given, UserMessage
from frameengine.jsonvalue import thaw
from frameengine.replay.replayer import Replayer
from frameengine.trace.reader import TraceReader
from frameengine.trace.verify import verify


def proved(path: Path, report: ExchangesReport, bound: BoundGraph | None = None) -> None:
    """Prove a trace: it verifies, holds what the report says, and replays the same in all that its seal states."""
    receipt, result = verify(path), Replayer(path, bound=bound).run()
    assert result.divergence is None
    assert (result.counts, result.canonical) == (receipt.counts, receipt.canonical)
    assert (receipt.counts.inputs, receipt.counts.calls) == (report.inputs, report.calls)


def told(path: Path) -> list[list[dict[str, Any]]]:
    """Return the messages of each conversation in a trace, folded from inputs and outcomes."""
    found: list[list[dict[str, Any]]] = [[]]
    with TraceReader(path) as reader:
        for line in reader.lines():
            if line.kind == "input":
                body = line.input().body
                if isinstance(body, Clear):
                    found.append([])
                elif isinstance(body, Given):
                    found[-1] += thaw(body.messages)
                elif isinstance(body, UserMessage):
                    found[-1].append(thaw(body.message))
                else:
                    assert isinstance(body, Cancel)
            elif line.kind == "outcome":
                value = line.outcome().value
                if isinstance(value, ModelReply | ToolReply) and value.message is not None:
                    found[-1].append(thaw(value.message))
    return found
