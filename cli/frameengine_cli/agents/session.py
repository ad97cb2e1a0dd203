"""Record an agent that is started here, or answer it from a recording; and say what came of it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import asdict, evolve, frozen

from frameengine.errors import CassetteMiss, FrameEngineError, NothingCompared
from frameengine.exchanges.book import Book, Match, Receipt
from frameengine.exchanges.exchange import public_host
from frameengine.exchanges.recorder import ExchangeRecorder
from frameengine.exchanges.routes import OPENAI, keys_set, missing_keys
from frameengine.jsonvalue import EMPTY, FrozenMap
from frameengine.trace.reader import read_header
from frameengine_cli.agents import routes
from frameengine_cli.agents.child import Child, waiting_for_signals
from frameengine_cli.endpoints import secrets_of
from frameengine_cli.proxying.record import RecordApp
from frameengine_cli.proxying.replay import ReplayApp
from frameengine_cli.proxying.running import Recorded, problems_of, sealed
from frameengine_cli.proxying.server import background
from frameengine_cli.proxying.wire import Lanes
from frameengine_cli.refs import Source, typed

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
    output: Path | None = None
    """Where what was asked is recorded, with the answers that the agent got; None where it is not."""
    exposed: int = 0
    """Different secrets that stand there, since they were used as keys only after they were written."""

    @property
    def code(self) -> int:
        """The exit code."""
        return self.agent.code(max([problem.exit_code for problem in self.problems], default=0))

    def to_json(self) -> dict[str, Any]:
        """Return figures and misses as plain JSON."""
        misses = [{"message": miss.message, **miss.fields} for miss in self.misses]
        output = {} if self.output is None else {"output": str(self.output), "exposed": self.exposed}
        members = {**asdict(self.receipt), **output, "agent": asdict(self.agent), "misses": misses}
        return {"verdict": self.receipt.verdict, **members}


def record(agent: Agent, target: Path, *, upstream: str | None, force: bool) -> tuple[Recorded, Ended]:
    """Run *agent* with its model calls recorded in *target*, and seal that.

    *upstream* is the OpenAI-compatible endpoint; None for what the environment says. Raises what `sealed` raises, and
    what `Child.run` does.
    """
    environment = dict(os.environ)
    places = routes.upstreams(environment, upstream)
    paths = routes.paths(places)
    provenance = {
        "recorded": "agent",
        "upstream": public_host(places[OPENAI.name]),
        "command": agent.command[0],
        "routes": paths,
        "keys": keys_set(environment),
    }
    with (
        waiting_for_signals(),
        Child(agent.command, isolate=agent.isolate, aside=agent.aside) as child,
        ExchangeRecorder(target, provenance=provenance, secrets=secrets_of(environment), replace=force) as recorder,
    ):
        lanes = Lanes()
        app = routes.Routed(places, lambda name: RecordApp(recorder, places[name], lanes=lanes, route=name))
        try:
            with background(app, [child.listener]):
                code = child.run({**environment, **routes.leading_here(child.url, paths, agent.also, environment)})
        except BaseException:
            recorder.discard()
            raise
        ended = Ended(exit=code, egress=_egress(child, SHUT), isolated=child.isolated)
        hosts = ", ".join([public_host(places[name]) for name in app.apps])
        return sealed(recorder, app.apps.values(), hosts, _nothing("captured", ended)), ended


def replay(
    agent: Agent, source: Source, *, match: Match, approximate: bool, ambiguous: bool, unused: bool, output: Path | None = None
) -> Replayed:
    """Run *agent* with its model calls answered from the recording *source*.

    *approximate*, *ambiguous* and *unused* say what is allowed. What is asked this time is recorded in *output*, with the answers
    that the agent gets; a file that is there is replaced. Raises `TraceError` and `NothingCompared` where there is no recording
    of calls to answer from, and `StorageError` where *output* cannot be written.
    """
    environment = dict(os.environ)
    header: FrozenMap = read_header(source.path)
    book = Book.read(source.path, match=match, secrets=secrets_of(environment))
    paths = routes.recorded_paths(header, [exchange.request for exchange in book.unused()])
    missing = missing_keys(header.get("provenance", EMPTY), environment)
    misses: list[CassetteMiss] = []
    with (
        waiting_for_signals(),
        Child(agent.command, isolate=agent.isolate, aside=agent.aside) as child,
        _asked(output, agent, source, environment) as recorder,
    ):
        answering = ReplayApp(book, missed=misses.append, recorder=recorder)
        app = routes.Routed(paths, lambda _: answering)
        leading = routes.leading_here(child.url, paths, agent.also, environment)
        with background(app, [child.listener]):
            code = child.run({**environment, **leading, **missing})
        answering.raise_problem()
        ended = Ended(exit=code, egress=_egress(child, SHUT_REPLAY), isolated=child.isolated)
    receipt = book.receipt()
    problems = problems_of(book, approximate=approximate, ambiguous=ambiguous, unused=unused)
    if not receipt.replayed and not receipt.missed:
        problems = [_nothing("replayed", ended)]
    for problem in problems:
        if isinstance(problem, CassetteMiss):
            problem.hint = f"{_compared(source, output)}; {problem.hint}"
    done = Replayed(receipt=receipt, agent=ended, problems=tuple(problems), misses=tuple(misses))
    if recorder is None or not recorder.count:
        return done
    return evolve(done, output=output, exposed=recorder.exposed)


@contextmanager
def _asked(
    output: Path | None, agent: Agent, source: Source, environment: Mapping[str, str]
) -> Iterator[ExchangeRecorder | None]:
    """Give a recorder of what is asked, and seal its trace in the end; none where nobody wants it.

    Where nothing was asked, or something failed, no file is left, and one that was to be replaced is as it was.
    """
    if output is None:
        yield None
        return
    before = read_header(source.path).get("provenance", EMPTY)
    kept = {name: before[name] for name in ("upstream", "base", "routes", "keys") if name in before}
    provenance = {**kept, "recorded": "agent", "command": agent.command[0], "answered_from": str(source.name)}
    with ExchangeRecorder(output, provenance=provenance, secrets=secrets_of(environment), replace=True) as recorder:
        try:
            yield recorder
        except BaseException:
            recorder.discard()
            raise
        if recorder.count:
            recorder.seal()
        else:
            recorder.discard()


def _compared(source: Source, output: Path | None) -> str:
    """Return how to see what a changed agent asks otherwise."""
    name = source.typed or "FILE"
    if output is not None:
        return f"frameengine diff {name} {typed(output)}"
    return f"to see what changed, say -o now.trace.jsonl as well, and then: frameengine diff {name} now.trace.jsonl"


def _nothing(what: str, ended: Ended) -> NothingCompared:
    names = " or ".join(OPENAI.variables)
    hint = f"does its client take its base URL from {names}? --env NAME names another variable; docs/agents.md lists all"
    message = f"nothing was {what}: no call came (the agent's exit code is {ended.exit})"
    return NothingCompared(message, hint=hint, agent=asdict(ended))


def _egress(child: Child, shut: str) -> str:
    if child.isolated:
        return shut
    return "not checked" + (f": {child.why_not}" if child.why_not else "")
