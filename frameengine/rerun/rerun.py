"""Rerun: the recorded inputs through changed code or another graph, answered from recorded calls, into a new trace."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from attrs import evolve, frozen

from frameengine.cassette.cassette import Cassette, Recorded
from frameengine.cassette.match import Matcher, Policy
from frameengine.codec import tagged
from frameengine.engine.driver import Run
from frameengine.engine.guard import Guard
from frameengine.engine.message import Engine
from frameengine.errors import CassetteApproximate, CassetteUnused, NothingCompared, UsageError
from frameengine.graph.registry import BoundGraph, fingerprint
from frameengine.inputs import Body, SwitchGraph
from frameengine.jsonvalue import EMPTY, Json, freeze
from frameengine.records import FrameTrace
from frameengine.replay.replayer import check_runs_code
from frameengine.rerun.edited import NO_CALLS, Edited
from frameengine.rerun.plan import Figures, Plan, read_plan, slots
from frameengine.rerun.stage import APPROXIMATE, Answered, How, Miss, Moved, Stage
from frameengine.rerun.supply import Supply
from frameengine.state import RunState
from frameengine.trace.files import check_absent, published
from frameengine.trace.header import header
from frameengine.trace.reader import Counts
from frameengine.trace.reheaded import copy_under
from frameengine.trace.writer import TraceWriter

Verdict: TypeAlias = Literal["exact", "completed", "approximate", "unfinished", "no replies"]
"""Every reply was recorded for an equal request; or some were supplied; or some were recorded for another request; or some are
needed still; or no call got any, so that nothing was looked up."""
HOWS: tuple[How, ...] = get_args(How)
UNASKED: tuple[How, ...] = ("edited", "cancelled", "not recorded")
"""Ways in which a call is answered, or ends, without a reply being looked for."""


@frozen(kw_only=True)
class Rerun:
    """A message of a rerun beside its record."""

    input: int
    """Number of the input."""
    recorded: Figures | None
    """How it went; None for an input that the record has inside another message."""
    now: Figures
    """How it goes now."""


@frozen(kw_only=True)
class NodeHits:
    """How the calls of one node were answered."""

    node: str
    """Its name."""
    hows: Counter[str]
    """Calls by the way in which they were answered (`stage.How`)."""
    ambiguous: int
    """Those for which another reply to an equal request could have been meant."""

    @property
    def calls(self) -> int:
        """All its calls that a reply was looked for."""
        return sum(count for how, count in self.hows.items() if how not in UNASKED)

    @property
    def rate(self) -> float:
        """Part of them that a recorded reply answered, 0 to 1; 1 where there are none."""
        return sum(self.hows[how] for how in ("exact", *APPROXIMATE)) / self.calls if self.calls else 1.0


@frozen(kw_only=True)
class RerunResult:
    """What a rerun came to."""

    path: Path
    """The trace whose inputs were run."""
    parent: str
    """Chain value of its seal, in hex."""
    output: Path | None
    """The new trace; None where none was asked for, or where calls are needed."""
    head: str | None
    """Chain value of its seal, in hex."""
    bound: BoundGraph
    """The graph that the run began with."""
    policy: Policy
    """The loosest way of finding that was allowed."""
    verdict: Verdict
    """What it is worth."""
    counts: Counts
    """Inputs, frames and calls of the new run."""
    messages: tuple[Rerun, ...]
    """Its messages."""
    answered: tuple[Answered, ...]
    """Its calls, and how each was answered."""
    nodes: tuple[NodeHits, ...]
    """The same by node, in order of their first call."""
    replies: int
    """Recorded replies that there were."""
    unused: tuple[Recorded, ...]
    """Those that nothing asked for."""
    misses: tuple[Miss, ...]
    """Calls that no recorded reply was found for."""
    moved: tuple[Moved, ...]
    """Inputs that came in elsewhere than they were recorded."""
    ignored: tuple[int, ...]
    """Inputs for which the graph has no node, and the recorded one had."""

    @property
    def count(self) -> Counter[str]:
        """How many calls were answered in each way."""
        return Counter([answer.how for answer in self.answered])

    @property
    def needed(self) -> tuple[Miss, ...]:
        """Calls that nobody answered."""
        return tuple([miss for miss in self.misses if miss.how == "needed"])

    @property
    def broken(self) -> tuple[Miss, ...]:
        """Calls of live models that failed in the end, whatever their nodes made of it."""
        asked = [miss for miss in self.misses if miss.how == "live" and miss.call.effect.kind == "model"]
        return tuple([miss for miss in asked if miss.outcome.status == "error"])

    @property
    def failed(self) -> tuple[int, ...]:
        """Messages that failed and had not when they were recorded."""
        before = frozenset(each.input for each in self.messages if each.recorded is not None and each.recorded.status == "failed")
        return tuple([each.input for each in self.messages if each.now.status == "failed" and each.input not in before])

    def check_answered(self) -> None:
        """Raise `NothingCompared` where no call got a reply: such a rerun says nothing about the new code's requests."""
        if self.verdict == "no replies":
            raise NothingCompared(
                f"{self.path}: no call of the new run got a reply, so no request was compared with a recorded one",
                hint="look at what changed: keep the run with -o FILE, then frameengine diff",
                path=str(self.path),
            )

    def check_exact(self) -> None:
        """Raise `CassetteApproximate` where a reply, or the lack of one, was recorded for another request."""
        loose = sum(answer.loose for answer in self.answered)
        if loose:
            asked = len(self.answered)
            raise CassetteApproximate(
                f"{self.path}: {loose} of {asked} calls got replies that were recorded for other requests",
                hint="say --allow-approximate if that will do; else answer them with --script FILE",
                count=loose,
                calls=asked,
            )

    def check_used(self) -> None:
        """Raise `CassetteUnused` where the new run left out something that was recorded: a reply, or an input."""
        parts = []
        if self.unused:
            first = self.unused[0].key
            parts.append(f"{len(self.unused)} of {self.replies} recorded replies answered nothing, the first {first}")
        if self.ignored:
            listed = ", ".join(map(str, self.ignored[:10])) + (", …" if len(self.ignored) > 10 else "")
            parts.append(f"graph {self.bound.graph.name} takes no such input as {listed}")
        if parts:
            raise CassetteUnused(
                f"{self.path}: {'; '.join(parts)}",
                hint="say --allow-unused if the new run is meant to leave that out",
                unused=[entry.key.wire() for entry in self.unused[:100]],
                count=len(self.unused),
                ignored=list(self.ignored),
            )


def rerun(
    trace: Path,
    bound: BoundGraph,
    *,
    cassettes: Sequence[Path] = (),
    policy: Policy = "exact",
    on_miss: Supply | None = None,
    explore: bool = False,
    output: Path | None = None,
    replace: bool = False,
    switch: Callable[[str], BoundGraph] | None = None,
    guard: Guard | None = None,
    instruments: Iterable[Any] = (),
    edited: Edited | None = None,
    prove: Callable[[Path], None] | None = None,
) -> RerunResult:
    """Run the inputs of a sealed trace through *bound*, answered from its calls or from those of *cassettes*.

    A call without a reply ends the run, unless *on_miss* answers it. With *explore* it is kept as needed, a recorded reply
    stands in, and nothing is written: all such calls are found in one go. Whether what is left over, or approximate, will do
    is for the caller to judge.

    *edited* is what somebody changed in the recorded run: other outcomes and inputs, edits of the state. *output* takes the new
    run as a sealed trace whose header names its parent, once *prove*, which is given it under another name, has looked at it.
    Raises `CassetteMiss`, `CassetteUnused` where a script has answers left over, `TraceError`, `NothingCompared` where no node
    ran or none is of the agent, and what a run or *prove* raises; nothing stands at *output* then.
    """
    if output is not None:
        check_absent(output, replace=replace)
        if output.exists() and output.samefile(trace):
            raise UsageError(f"{output} is the trace that is run again", hint="choose another name", path=str(output))
    check_runs_code(bound.graph, trace)
    plan = read_plan(trace) if edited is None else edited.plan(read_plan(trace))
    cassette = _cassette(cassettes or (trace,))
    matcher = Matcher(cassette, policy, slots(bound))
    state = _state(plan, bound)
    seed = plan.header.get("seed", 0)
    engine = Engine(bound, seed=seed, state=state, guard=guard, instruments=instruments, switch=switch)
    calls = NO_CALLS if edited is None else edited.calls
    stage = Stage(plan, engine, matcher, on_miss, explore=explore, edited=calls)
    members = header(bound, seed=seed, state=state, clock=str(plan.header.get("clock", "virtual")))
    draft = None if output is None else output.with_name(f".{output.name}.draft")
    try:
        if draft is None:
            traces = _run(plan, stage, None, switch)
        else:
            with TraceWriter(draft, members, replace=True) as writer:
                traces = _run(plan, stage, writer, switch)
                writer.seal()
        result = _result(plan, stage, traces, len(cassette.recorded), bound)
        if on_miss is not None and not result.needed:
            on_miss.check_used()
        if draft is None or output is None or result.needed:
            return result
        if prove is not None:
            prove(draft)
        provenance = _provenance(plan, result, edited)
        with published(output, replace=replace) as sink:
            head = copy_under({**members, "durability": "fast", "provenance": provenance}, draft, sink)
        return evolve(result, output=output, head=head)
    finally:
        if draft is not None:
            with suppress(OSError):
                draft.unlink(missing_ok=True)


def _cassette(paths: Sequence[Path]) -> Cassette:
    """Return the recorded replies; calls that were cut off got none."""
    recorded = Cassette.of(*paths).recorded
    return Cassette(tuple([entry for entry in recorded if entry.outcome.status in ("ok", "error")]))


def _state(plan: Plan, bound: BoundGraph) -> RunState | None:
    """Return the state that the record began with, and what the graph has besides; None for the graph's own."""
    recorded = plan.header.get("state")
    if recorded is None:
        return None
    own = bound.graph.state
    return RunState(freeze({**recorded, **{name: own[name] for name in own if name not in recorded}}))


def _run(plan: Plan, stage: Stage, writer: TraceWriter | None, switch: Callable[[str], BoundGraph] | None) -> list[FrameTrace]:
    run = Run(stage.engine, stage, writer)
    run.inbox = stage
    traces = []
    for message in plan.messages:
        stage.prepare(message)
        traces.append(run.send(_current(message.input.body, switch), stage.came(message.input)))
        # Their numbers stay those of the record: they stand before the next message there, too.
        traces += [run.send(body, at) for body, at in stage.left()]
    return traces


def _current(body: Body, switch: Callable[[str], BoundGraph] | None) -> Body:
    """Return an input with the fingerprint of the graph that it really switches to."""
    if isinstance(body, SwitchGraph) and body.fingerprint and switch is not None:
        return evolve(body, fingerprint=fingerprint(switch(body.graph)))
    return body


def _result(plan: Plan, stage: Stage, traces: list[FrameTrace], replies: int, bound: BoundGraph) -> RerunResult:
    recorded = {message.input.number: message.figures for message in plan.messages if message.input.number}
    messages = tuple(
        [
            Rerun(input=each.input, recorded=recorded.get(plan.recorded(each.input)), now=Figures.of(each.wire()))
            for each in traces
        ]
    )
    ignored = [each.input for each in messages if each.now.path == "ignored" and (each.recorded is None or each.recorded.frames)]
    cancels = [message.cancel.number for message in plan.messages if message.cancel is not None]
    frames = sum(trace.frames for trace in traces)
    if not frames:
        raise NothingCompared(
            f"{plan.path}: graph {bound.graph.name} ran no node for any of the {len(plan.messages)} messages",
            hint=f"its entry table has {', '.join(bound.graph.entry) or 'nothing'}; choose another graph",
            path=str(plan.path),
        )
    answered = tuple(stage.answered.values())
    unused = stage.matcher.cassette.unused()
    lost = [*[number for number in map(plan.recorded, ignored) if number not in cancels], *stage.lost]
    during = sum(len(message.late) + (message.cancel is not None) for message in plan.messages)
    return RerunResult(
        path=plan.path,
        parent=plan.head,
        output=None,
        head=None,
        bound=bound,
        policy=stage.matcher.policy,
        verdict=_verdict(answered),
        counts=Counts(inputs=len(plan.messages) + during, frames=frames, calls=sum(trace.calls for trace in traces)),
        messages=messages,
        answered=answered,
        nodes=_by_node(answered),
        replies=replies,
        unused=unused,
        misses=tuple(stage.misses),
        moved=tuple(stage.moved),
        ignored=tuple(sorted(lost)),
    )


def _verdict(answered: Sequence[Answered]) -> Verdict:
    hows = {answer.how for answer in answered}
    if "needed" in hows:
        return "unfinished"
    if any(answer.loose for answer in answered):
        return "approximate"
    if hows <= {"cancelled", "not recorded"}:
        return "no replies"
    return "completed" if not hows.isdisjoint(("script", "live")) else "exact"


def _by_node(answered: Sequence[Answered]) -> tuple[NodeHits, ...]:
    names = dict.fromkeys(answer.key.node for answer in answered)
    found = []
    for name in names:
        mine = [answer for answer in answered if answer.key.node == name]
        hows: Counter[str] = Counter([answer.how for answer in mine])
        found.append(NodeHits(node=name, hows=hows, ambiguous=sum(answer.ambiguous for answer in mine)))
    return tuple(found)


def _provenance(plan: Plan, result: RerunResult, edited: Edited | None) -> dict[str, Json]:
    """Return where the parent's inputs and replies came from, and what the rerun made of them."""
    counted = {how: result.count[how] for how in HOWS if result.count[how]}
    told = ", ".join([f"{count} {how}" for how, count in counted.items()]) or "no calls"
    parent: dict[str, Json] = {
        "name": plan.path.name,
        "head": tagged(plan.head),
        "policy": result.policy,
        "verdict": result.verdict,
        "replies": result.replies,
        "calls": counted,
        "ambiguous": sum(node.ambiguous for node in result.nodes),
        "unused": len(result.unused),
        "moved": len(result.moved),
    }
    if edited is not None:
        parent.update(edited.told)
    name = "rerun" if edited is None else "fork"
    return {**plan.header.get("provenance", EMPTY), name: f"{result.verdict}: {told}", "parent": parent}
