"""Record an agent that is started here, or answer it from a recording; and say what came of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from attrs import asdict, frozen

from frameengine.errors import CassetteMiss, FrameEngineError, NothingCompared
from frameengine.exchanges.book import Book, Match, Receipt
from frameengine.exchanges.exchange import public_host
from frameengine.exchanges.recorder import ExchangeRecorder
from frameengine.jsonvalue import FrozenMap
from frameengine.trace.reader import read_header
from frameengine_cli.agents import routes
from frameengine_cli.agents.child import Child, waiting_for_signals
from frameengine_cli.endpoints import secrets_of
from frameengine_cli.proxying.record import RecordApp
from frameengine_cli.proxying.replay import ReplayApp
from frameengine_cli.proxying.running import Counting, Recorded, problems_of
from frameengine_cli.proxying.server import background
from frameengine_cli.refs import Source

SHUT = "nothing but the recording proxy could be reached"
SHUT_REPLAY = "nothing but the recording could be reached"


@frozen(kw_only=True)
class Agent:
    """How an agent is started."""

    command: tuple[str, ...]
    """Program and arguments."""
    isolate: bool | None
    """Whether it has a network of its own; None for where that can be had."""
    also: tuple[str, ...] = ()
    """Further variables that hold the base URL of its OpenAI-compatible endpoint."""
    aside: bool = False
    """Whether what it prints on standard output goes to standard error."""


@frozen(kw_only=True)
class Ended:
    """What became of an agent."""

    exit: int
    """Its exit code; 128 and the number of the signal that ended it."""
    egress: str
    """What it could reach beside the proxy, or that this was not checked."""
    isolated: bool
    """Whether it could reach nothing but the proxy."""

    def code(self, ours: int) -> int:
        """Return the exit code of both: ours where something is wrong, because it says what; else the agent's."""
        return ours or self.exit


@frozen(kw_only=True)
class Replayed:
    """A replay of an agent, and what is wrong with it."""

    receipt: Receipt
    """The figures."""
    agent: Ended
    """What became of the agent."""
    problems: tuple[FrameEngineError, ...]
    """What is wrong, the worst last; empty where nothing is."""
    misses: tuple[CassetteMiss, ...]
    """Requests that had no recorded answer."""

    @property
    def code(self) -> int:
        """The exit code."""
        return self.agent.code(max([problem.exit_code for problem in self.problems], default=0))

    def to_json(self) -> dict[str, Any]:
        """Return figures and misses as plain JSON."""
        misses = [{"message": miss.message, **miss.fields} for miss in self.misses]
        return {"verdict": self.receipt.verdict, **asdict(self.receipt), "agent": asdict(self.agent), "misses": misses}


def record(agent: Agent, target: Path, *, upstream: str | None, force: bool) -> tuple[Recorded, Ended]:
    """Run *agent* with its model calls recorded in *target*, and seal that.

    *upstream* is the OpenAI-compatible endpoint; None for what the environment says. Raises what failed while it was written, and
    `NothingCompared` where there was no call; then no file is left, and one that was to be replaced is as it was.
    """
    environment = dict(os.environ)
    places = routes.upstreams(environment, upstream)
    paths = routes.paths(places)
    counting = _Silent("recorded")
    provenance = {
        "recorded": "agent",
        "upstream": public_host(places[routes.OPENAI.name]),
        "command": agent.command[0],
        "routes": paths,
        "keys": routes.keys_set(environment),
    }
    with waiting_for_signals(), Child(agent.command, isolate=agent.isolate, aside=agent.aside) as child:
        with ExchangeRecorder(target, provenance=provenance, secrets=secrets_of(environment), replace=force) as recorder:
            app = routes.Routed(places, lambda name: RecordApp(recorder, places[name], told=counting.kept))
            try:
                with background(app, [child.listener]):
                    code = child.run({**environment, **routes.leading_here(child.url, paths, agent.also, environment)})
            except BaseException:
                recorder.discard()
                raise
            ended = Ended(exit=code, egress=_egress(child, SHUT), isolated=child.isolated)
            for one in app.apps.values():
                one.raise_problem()
            if not recorder.count:
                recorder.discard()
                raise _nothing("captured", ended)
            recorder.seal()
        hosts = ", ".join([public_host(places[name]) for name in app.apps])
        return (
            Recorded(
                path=target,
                upstream=hosts,
                exchanges=recorder.count,
                unanswered=counting.unanswered,
                cut=counting.cut,
                unkept=counting.unkept,
                secrets=recorder.secrets,
                exposed=recorder.exposed,
            ),
            ended,
        )


def replay(agent: Agent, source: Source, *, match: Match, approximate: bool, unused: bool) -> Replayed:
    """Run *agent* with its model calls answered from the recording *source*.

    *approximate* and *unused* say what is allowed. Raises `TraceError` and `NothingCompared` where there is no recording of
    calls to answer from.
    """
    environment = dict(os.environ)
    header: FrozenMap = read_header(source.path)
    book = Book.read(source.path, match=match, secrets=secrets_of(environment))
    paths = routes.recorded_paths(header, [exchange.request.path for exchange in book.unused()])
    misses: list[CassetteMiss] = []
    with waiting_for_signals(), Child(agent.command, isolate=agent.isolate, aside=agent.aside) as child:
        answering = ReplayApp(book, missed=misses.append)
        app = routes.Routed(paths, lambda _: answering)
        leading = routes.leading_here(child.url, paths, agent.also, environment)
        with background(app, [child.listener]):
            code = child.run({**environment, **leading, **routes.missing_keys(header, environment)})
        ended = Ended(exit=code, egress=_egress(child, SHUT_REPLAY), isolated=child.isolated)
    receipt = book.receipt()
    problems = problems_of(book, approximate=approximate, unused=unused)
    if not receipt.replayed and not receipt.missed:
        problems = [_nothing("replayed", ended)]
    return Replayed(receipt=receipt, agent=ended, problems=tuple(problems), misses=tuple(misses))


class _Silent(Counting):
    """Counts, and leaves the terminal to the agent."""

    def show(self) -> None:
        """Show nothing."""

    def tell(self, remark: str) -> None:
        """Say nothing: the receipt does."""


def _nothing(what: str, ended: Ended) -> NothingCompared:
    names = " or ".join(routes.OPENAI.variables)
    hint = f"does its client take its base URL from {names}? --env NAME names another variable; docs/agents.md lists all"
    message = f"nothing was {what}: no call came (the agent's exit code is {ended.exit})"
    return NothingCompared(message, hint=hint, agent=asdict(ended))


def _egress(child: Child, shut: str) -> str:
    if child.isolated:
        return shut
    return "not checked" + (f": {child.why_not}" if child.why_not else "")
