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
        *([f"{done.unkept} not kept: too long, or packed in an unknown way"] if done.unkept else []),
    ]
    rows: list[tuple[str, RenderableType]] = [
        ("holds", words((", ".join([phrases.count(done.exchanges, "call"), *odd]), ""))),
        ("from", words((done.upstream, ""))),
        ("secrets", words((f"{done.secrets} replaced; headers that carry keys are never kept", QUIET))),
    ]
    if done.exposed:
        told = f"{phrases.count(done.exposed, 'secret')} in the trace, written before it was seen to be a key: do not hand it on"
        rows.append(("exposed", words((f"{DIFFERS} {told}", BAD))))
    return look.panel(pairs(rows), f"{SAME} recorded", str(done.path), style=GOOD)


def replayed(receipt: Receipt, name: Path, look: Look, *, good: bool, shut: bool = False) -> RenderableType:
    """Return the receipt of a replay; *good*: nothing is wrong with it; *shut*: the agent could reach nothing else."""
    sent = "nothing was sent anywhere" if shut else "the proxy sent nothing (egress was not checked)"
    answered = f"{receipt.replayed} of {phrases.count(receipt.recorded, 'recorded call')}; {sent}"
    rows: list[tuple[str, RenderableType]] = [("answered", words((answered, "")))]
    figures = {name: getattr(receipt, name) for name in ("missed", "outwaited", "unused", "approximate")}
    rows += [(title, words((str(count), BAD))) for title, count in figures.items() if count]
    if receipt.ambiguous:
        told = f"{receipt.ambiguous}: an equal request of another connection, or with another secret, got another answer"
        rows.append(("ambiguous", words((told, ""))))
    sign, style = (SAME, GOOD) if good else (DIFFERS, BAD)
    return look.panel(pairs(rows), f"{sign} {receipt.verdict}", name.name, style=style)
