"""What was recorded of an agent's calls, call by call; and receipts: of a recording, and of what was answered from one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

from attrs import frozen
from rich.console import RenderableType
from rich.text import Text

from frameengine.exchanges.book import Receipt, exchange_of
from frameengine.exchanges.ends import is_stream
from frameengine.exchanges.exchange import Exchange
from frameengine.exchanges.gather import unkept
from frameengine.trace.messages import Message
from frameengine_cli import phrases
from frameengine_cli.look import BAD, DIFFERS, GOOD, QUIET, SAME, STRONG, Look, pairs, words

if TYPE_CHECKING:
    from frameengine_cli.proxying.running import Recorded

BAD_STATUS = 400
REFUSED = "WebSocket, or no request for a server: no proxy takes these"
NOTE = 36
"""Code points of what is said beside an exchange; its own screen has all of it."""


@frozen(kw_only=True)
class Row:
    """An exchange in the table."""

    number: int
    """The input's number."""
    name: str
    """Method and path."""
    exchange: Exchange | None
    """The exchange; None where its recording stops before the answer."""

    @classmethod
    def of(cls, path: Path, message: Message) -> Self:
        """Return the row of a message of a recording. Raises `TraceFormat` where that is no exchange."""
        call = next(iter(message.calls), None)
        done = call is not None and call.outcome.status != "not_recorded"
        found = exchange_of(path, message.number, call.request, call.outcome) if call is not None and done else None
        return cls(number=message.number, name=str(getattr(message.input.body, "source", "")), exchange=found)

    @property
    def status(self) -> str:
        """``done`` where the answer is there and whole."""
        return "done" if self.exchange is not None and self.exchange.response.complete else "failed"


def table(rows: Sequence[Row], look: Look) -> RenderableType:
    """Return the table of a recording: what was asked, what came of it, and how long both were."""
    grid = look.table("#", "request", "status", "ms", "sent", "came", "", right=("#", "ms", "sent", "came"), wide="request")
    for row in rows:
        number = words((str(row.number), f"{STRONG} {GOOD}"))
        if row.exchange is None:
            stops = words(("the recording stops here", QUIET))
            grid.add_row(number, words((row.name, "")), words((f"{DIFFERS} open", BAD)), "", "", "", stops)
            continue
        request, response = row.exchange.request, row.exchange.response
        good = response.complete and response.status < BAD_STATUS
        lost = unkept(response)
        note = f"not kept: {response.error}" if lost else response.error
        if not note and is_stream(response.headers.get("content-type", "")):
            note = "stream"
        grid.add_row(
            number,
            words((f"{row.name}?{request.query}" if request.query else row.name, "")),
            words((f"{SAME if good else DIFFERS} {response.status or 'none'}", GOOD if good else BAD)),
            f"{response.ms:,.0f}",
            phrases.size(request.size),
            "" if lost else phrases.size(len(response.body)),
            words((phrases.cut(note, NOTE), QUIET)),
        )
    return grid


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
    if done.refused:
        rows.append(("refused", words((f"{done.refused}: {REFUSED}", BAD))))
    if done.exposed:
        rows.append(("exposed", exposed(done.exposed)))
    return look.panel(pairs(rows), f"{SAME} recorded", str(done.path), style=GOOD)


def exposed(count: int) -> Text:
    """Return what is to be said of secrets that stand in a trace."""
    told = f"{phrases.count(count, 'secret')} in the trace, not known to be one when it was written: do not hand it on"
    return words((f"{DIFFERS} {told}", BAD))


def replayed(receipt: Receipt, name: Path, look: Look, *, good: bool, shut: bool = False) -> RenderableType:
    """Return the receipt of a replay; *good*: nothing is wrong with it; *shut*: the agent could reach nothing else."""
    sent = "nothing was sent anywhere" if shut else "the proxy sent nothing (egress was not checked)"
    answered = f"{receipt.replayed} of {phrases.count(receipt.recorded, 'recorded call')}; {sent}"
    rows: list[tuple[str, RenderableType]] = [("answered", words((answered, "")))]
    # What a miss was asked for in the place of is left over for that reason alone.
    named = ("missed", "outwaited", *(() if receipt.missed else ("unused",)), "approximate")
    figures = {name: getattr(receipt, name) for name in named}
    rows += [(title, words((str(count), BAD))) for title, count in figures.items() if count]
    if receipt.refused:
        rows.append(("refused", words((f"{receipt.refused}: {REFUSED}", ""))))
    if receipt.ambiguous:
        told = f"{receipt.ambiguous}: an equal request, under way at once, elsewhere or with another secret, got another answer"
        rows.append(("ambiguous", words((told, BAD))))
    if receipt.draws:
        rows.append(("draws", words((f"{receipt.draws} of clock, chance and ids: not given back by a proxy", QUIET))))
    sign, style = (SAME, GOOD) if good else (DIFFERS, BAD)
    return look.panel(pairs(rows), f"{sign} {receipt.verdict}", name.name, style=style)
