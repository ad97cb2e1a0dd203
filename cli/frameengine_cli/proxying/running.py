"""Run a proxy in the foreground until it is told to stop, and say what came of it."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from attrs import asdict, frozen

from frameengine.errors import (
    CassetteAmbiguous,
    CassetteApproximate,
    CassetteMiss,
    CassetteUnused,
    Diverged,
    FrameEngineError,
    NothingCompared,
    UsageError,
)
from frameengine.exchanges.book import Book
from frameengine.exchanges.exchange import Exchange, public_host
from frameengine.exchanges.gather import unkept
from frameengine.exchanges.near import sides
from frameengine.exchanges.recorder import ExchangeRecorder
from frameengine_cli import output, phrases
from frameengine_cli.endpoints import onward, secrets_of
from frameengine_cli.proxying.record import RecordApp
from frameengine_cli.proxying.replay import ReplayApp
from frameengine_cli.proxying.server import leads_to, serve, url_of
from frameengine_cli.refs import typed


@frozen(kw_only=True)
class Recorded:
    """What a recording came to."""

    path: Path
    """The trace."""
    upstream: str
    """Where the answers came from."""
    exchanges: int
    """How many there are."""
    unanswered: int
    """Of these, requests to which no answer came."""
    cut: int
    """Answers that did not come to their end."""
    unkept: int
    """Answers that the agent had, and that are not in the trace: too long, or packed in an unknown way."""
    refused: int
    """Requests that no proxy takes, such as those for a WebSocket: the agent got an error, and none is in the trace."""
    secrets: int
    """Different secrets that were replaced."""
    exposed: int
    """Different secrets that stand in the trace, since they were used as keys only after they were written."""


def sealed(recorder: ExchangeRecorder, apps: Iterable[RecordApp], upstream: str, nothing: NothingCompared) -> Recorded:
    """Seal what *apps* have recorded.

    Raises what failed while it was written, and *nothing* where there was no call; then no file is left, and one that was to be
    replaced is as it was.
    """
    try:
        for app in apps:
            app.raise_problem()
        if recorder.count:
            recorder.seal()
    except FrameEngineError as error:
        if recorder.count and "change" not in error.fields:
            kept = phrases.count(recorder.count, "call")
            error.hint = f"{error.hint}; 'frameengine repair {typed(recorder.path)} -o FILE' keeps {kept}"
        raise
    if not recorder.count:
        recorder.discard()
        raise nothing
    return Recorded(
        path=recorder.path,
        upstream=upstream,
        exchanges=recorder.count,
        unanswered=recorder.unanswered,
        cut=recorder.cut,
        unkept=recorder.unkept,
        refused=recorder.refused,
        secrets=recorder.secrets,
        exposed=recorder.exposed,
    )


class Counting:
    """Shows on a terminal how many calls there were, and says at once what is wrong with one."""

    def __init__(self, verb: str) -> None:
        self._verb = verb
        self._shown = sys.stderr.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")
        self._calls = self._missed = 0

    def kept(self, exchange: Exchange) -> None:
        """Count a call that was recorded."""
        if unkept(exchange.response):
            self._tell(f"not kept: the answer to {exchange.request.name} is {exchange.response.error}; no replay can give it")
        self.answered(exchange)

    def answered(self, _: Exchange) -> None:
        """Count a call."""
        self._calls += 1
        self.show()

    def missed(self, miss: CassetteMiss) -> None:
        """Count a miss, and say why."""
        self._missed += 1
        self._tell(f"missed: {miss.message}")
        for one in miss.fields["nearest"][:1]:
            self._tell(f"  nearest: input {one['input']}, {one['why']}")
            for name, value in sides(one):
                self._tell(f"    {name:8} {value}")
        self.show()

    def _tell(self, remark: str) -> None:
        self.end()
        output.remark(remark)

    def show(self) -> None:
        """Show how many there were."""
        if self._shown:
            missed = f", {self._missed} missed" if self._missed else ""
            sys.stderr.write(f"\r\x1b[2K  {self._verb} {phrases.count(self._calls, 'call')}{missed} · Ctrl-C ends it")
            sys.stderr.flush()

    def end(self) -> None:
        """Take the line away."""
        if self._shown:
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()


def record(upstream: str, target: Path, listener: socket.socket, *, force: bool, as_json: bool) -> Recorded:
    """Record until the server is told to stop, and seal the trace. Raises what `sealed` raises."""
    way = onward(upstream)
    if leads_to(listener, way.url.host, way.url.port):
        hint = "name the server that the agent would use, or another --port"
        raise UsageError("the upstream is this proxy itself: it would ask itself for ever", hint=hint)
    host = public_host(upstream)
    counting = Counting("recorded")
    secrets = [*secrets_of(), *way.secrets]
    provenance = {"recorded": "proxy", "upstream": host, "base": way.path}
    with ExchangeRecorder(target, provenance=provenance, secrets=secrets, replace=force) as recorder:
        app = RecordApp(recorder, way, told=counting.kept)
        url = url_of(listener) + way.path
        serve(app, [listener], started=lambda: _started(url, f"recording {host} into {target}", counting, as_json=as_json))
        counting.end()
        hint = f"point the agent's base URL at the proxy ({url} it was), and let it ask something"
        return sealed(recorder, [app], host, NothingCompared("nothing was captured: no call came", hint=hint))


def replay(book: Book, name: Path, listener: socket.socket, *, base: str, speed: float | None, as_json: bool) -> None:
    """Answer from *book* until the server is told to stop. *base* is the path that the upstream's URL had."""
    counting = Counting("answered")
    app = ReplayApp(book, speed=speed, told=counting.answered, missed=counting.missed)
    url = url_of(listener) + base
    what = f"answering {phrases.count(book.receipt().recorded, 'recorded call')} of {name}"
    serve(app, [listener], started=lambda: _started(url, what, counting, as_json=as_json))
    counting.end()
    app.raise_problem()


def problems_of(book: Book, *, approximate: bool, ambiguous: bool, unused: bool) -> list[FrameEngineError]:
    """Return what is wrong with a replay, the worst last; *approximate*, *ambiguous* and *unused* say what is allowed."""
    receipt = book.receipt()
    found: list[FrameEngineError] = []
    if receipt.approximate and not approximate:
        what = f"{phrases.count(receipt.approximate, 'request')} got the answer of the same place of another conversation"
        found.append(CassetteApproximate(what, hint="record again, or say --allow-approximate", count=receipt.approximate))
    if not receipt.replayed and not receipt.missed:
        return [NothingCompared("nothing was replayed: no call came", hint="point the agent's base URL at the proxy")]
    if receipt.ambiguous and not ambiguous:
        what = f"{phrases.count(receipt.ambiguous, 'request')} may have got the answer of another one, to which it is equal"
        hint = "let them differ, or ask them in turn, and record again; or say --allow-ambiguous"
        found.append(CassetteAmbiguous(what, hint=hint, count=receipt.ambiguous))
    # What a miss was asked for in the place of is left over for that reason alone.
    if receipt.unused and not unused and not receipt.missed:
        left = book.unused()
        first = f"the first: {left[0].request.name}"
        what = f"{phrases.count(len(left), 'recorded call')} of {receipt.recorded} nobody asked for, {first}"
        hint = "the agent asks less than it did: record again, or say --allow-unused"
        found.append(CassetteUnused(what, hint=hint, count=len(left), unused=[one.request.name for one in left[:100]]))
    if receipt.outwaited:
        what = f"{phrases.count(receipt.outwaited, 'answer')} the agent left when it was recorded, and waited for now"
        found.append(Diverged(what, hint="give it the timeout that it had, or record again", count=receipt.outwaited))
    if receipt.missed:
        what = f"{phrases.count(receipt.missed, 'request')} had no recorded answer"
        looser = "" if book.match == "chain" else ", or say --match chain where only ids or settings differ"
        hint = f"each is named with what comes nearest; record again{looser}"
        if receipt.draws:
            hint = f"clock, chance and ids that were recorded are given back by frameengine.replaying() alone; else {hint}"
        found.append(CassetteMiss(what, hint=hint, count=receipt.missed))
    return found


def receipt_json(book: Book) -> dict[str, Any]:
    """Return the figures of a replay as JSON."""
    receipt = book.receipt()
    return {"verdict": receipt.verdict, **asdict(receipt)}


def _started(url: str, what: str, counting: Counting, *, as_json: bool) -> None:
    if as_json:
        output.document({"url": url})
        sys.stdout.flush()
    else:
        output.remark(f"{what}\n  base URL: {url}\n  for clients of OpenAI: export OPENAI_BASE_URL={url}")
    counting.show()
