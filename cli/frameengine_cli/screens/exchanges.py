"""Receipts of proxies: what was recorded of an agent's calls, and what was answered from a recording."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import RenderableType

from frameengine.exchanges.book import Receipt
from frameengine_cli import phrases
from frameengine_cli.look import BAD, DIFFERS, GOOD, QUIET, SAME, Look, pairs, words

if TYPE_CHECKING:
    from frameengine_cli.proxying.running import Recorded


def recorded(done: Recorded, look: Look) -> RenderableType:
    """Return the receipt of a recording."""
    odd = [
        *([f"{done.unanswered} without an answer"] if done.unanswered else []),
        *([f"{done.cut} cut off"] if done.cut else []),
    ]
    rows: list[tuple[str, RenderableType]] = [
        ("holds", words((", ".join([phrases.count(done.exchanges, "call"), *odd]), ""))),
        ("from", words((done.upstream, ""))),
        ("secrets", words((f"{done.secrets} replaced; headers that carry keys are never kept", QUIET))),
    ]
    return look.panel(pairs(rows), f"{SAME} recorded", str(done.path), style=GOOD)


def replayed(receipt: Receipt, name: Path, look: Look, *, good: bool) -> RenderableType:
    """Return the receipt of a replay; *good*: nothing is wrong with it."""
    answered = f"{receipt.replayed} of {phrases.count(receipt.recorded, 'recorded call')}; nothing was sent anywhere"
    rows: list[tuple[str, RenderableType]] = [("answered", words((answered, "")))]
    figures = (("missed", receipt.missed), ("unused", receipt.unused), ("approximate", receipt.approximate))
    rows += [(title, words((str(count), BAD))) for title, count in figures if count]
    if receipt.ambiguous:
        told = f"{receipt.ambiguous}: an equal request of another connection got another answer"
        rows.append(("ambiguous", words((told, ""))))
    sign, style = (SAME, GOOD) if good else (DIFFERS, BAD)
    return look.panel(pairs(rows), f"{sign} {receipt.verdict}", name.name, style=style)
