"""Small graphs, nodes and performers: runs that show one thing each, and random ones that show everything at once."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from random import Random
from types import MappingProxyType
from typing import Any, TypeAlias

from attrs import evolve, field, frozen

from frameengine.codec import digest
from frameengine.effects import Answer, Call, EffectFailure, EffectKey, ModelCall, ModelReply, Outcome, ToolCall, ToolReply
from frameengine.engine.driver import Run, virtual_at
from frameengine.engine.message import Engine
from frameengine.engine.stops import Ask
from frameengine.errors import EffectError
from frameengine.graph.loader import parse_graph
from frameengine.graph.model import Graph
from frameengine.graph.registry import BoundGraph
from frameengine.inputs import Action, Body, Cancel, Clear, Given, Input, Tick, UserMessage
from frameengine.jsonvalue import EMPTY, FrozenMap, freeze
from frameengine.node import Node, NodeContext, NodeResult
from frameengine.records import Frame, FrameTrace
from frameengine.replay.replayer import Replayer, ReplayResult
from frameengine.state import Change, RunState
from frameengine.trace.header import header
from frameengine.trace.writer import TraceWriter

Work: TypeAlias = Callable[[Any, NodeContext], Awaitable[Any]]
"""What a node does; a node itself serves as well."""


@frozen(kw_only=True)
class Note:
    """What toy nodes hand on."""

    text: str = ""
    """Anything."""
    n: int = 0
    """How many nodes it has passed."""


class Do:
    """A node that does what a coroutine function says."""

    def __init__(self, work: Work | None = None) -> None:
        self._work = work

    async def run(self, message: Any, ctx: NodeContext) -> Any:
        """Do it."""
        return None if self._work is None else await self._work(message, ctx)


async def pass_on(message: Any, _: NodeContext) -> NodeResult:
    """Hand a note on."""
    return NodeResult(Note(text=text_in(message), n=getattr(message, "n", 0) + 1))


def text_in(message: Any) -> str:
    """Return the text of a note or of an input."""
    text = getattr(message, "text", None)
    return text if isinstance(text, str) else type(message).__name__


# ---------------------------------------------------------------------- graphs


def edge(source: str, *targets: str, condition: str = "", carries: str = "Note") -> str:
    """Return a data edge in TOML."""
    lines = [f"from = {json.dumps(source)}", f"to = {json.dumps(targets)}", f"carries = {json.dumps(carries)}"]
    if condition:
        lines.append(f"condition = {json.dumps(condition)}")
    return "\n".join(["[[edges]]", *lines])


def graph_toml(
    nodes: Mapping[str, str],
    edges: Iterable[str] = (),
    *,
    entry: Mapping[str, str] | None = None,
    state: Mapping[str, Any] | None = None,
    name: str = "toy",
) -> str:
    """Return a graph in TOML. *nodes*: name to further lines of its table."""
    first = next(iter(nodes))
    entries = {"UserMessage": first} if entry is None else entry
    parts = [f'name = "{name}"\nversion = 1', "[entry]", *[f"{kind} = {json.dumps(node)}" for kind, node in entries.items()]]
    for node, more in nodes.items():
        implementation = "" if "implementation" in more else 'implementation = "toy:Do"\n'
        parts.append(f"[[nodes]]\nname = {json.dumps(node)}\n{implementation}{more}")
    parts += [
        *edges,
        "[state]",
        *[f"{key} = {json.dumps(value)}" for key, value in ({"history": []} if state is None else state).items()],
    ]
    return "\n\n".join(parts) + "\n"


def bound(
    nodes: Mapping[str, Work | Node],
    edges: Iterable[str] | None = None,
    *,
    more: Mapping[str, str] = MappingProxyType({}),
    code: Mapping[str, str] = MappingProxyType({}),
    prompts: Mapping[str, str] = MappingProxyType({}),
    **graph: Any,
) -> BoundGraph:
    """Return a graph whose nodes do what coroutine functions say; without *edges* each hands on to the next.

    *more*: lines of a node's table; *code* and *prompts*: what their digests are made of.
    """
    names = list(nodes)
    if edges is None:
        edges = [edge(one, other) for one, other in pairwise(names)]
    parsed = parse_graph(graph_toml({name: more.get(name, "") for name in names}, edges, **graph), "toy")
    return BoundGraph(
        graph=parsed,
        implementations={name: work if hasattr(work, "run") else Do(work) for name, work in nodes.items()},
        code={name: digest(code.get(name, "as it was")) for name in names},
        prompts={name: digest(prompts.get(name, "as it was")) for spec in parsed.nodes for name in spec.prompts},
    )


# ---------------------------------------------------------------------- performers


def reply(call: Call) -> Outcome:
    """Answer a call with something that depends on its key and request, and on nothing else."""
    value: ModelReply | ToolReply
    if isinstance(call.effect, ModelCall):
        message = freeze({"role": "assistant", "content": f"{call.effect.model} says {call.digest[:12]} at {call.key}"})
        value = ModelReply(message=message, usage=freeze({"total_tokens": call.key.call}))
    else:
        value = ToolReply(content={"tool": call.effect.name, "rows": [call.key.call, call.digest[:6]]})
    return Outcome(value=value, at=virtual_at(call.key))


class Echo:
    """Answers everything at once; *answer* may be another function from call to outcome."""

    def __init__(self, answer: Callable[[Call], Outcome] = reply) -> None:
        self.answer = answer
        self.calls: list[Call] = []

    def perform(self, ask: Ask) -> list[Answer]:
        """Answer all new effects."""
        self.calls += ask.new
        return [Answer(call.key, self.answer(call)) for call in ask.new]


class Meanwhile(Echo):
    """Answers everything at once, and lets inputs in while it does so the first time."""

    def __init__(self, made: Run, *bodies: Body, answer: Callable[[Call], Outcome] = reply) -> None:
        super().__init__(answer)
        self.made, self.bodies = made, bodies

    def perform(self, ask: Ask) -> list[Answer]:
        """Answer all new effects."""
        for body in self.bodies:
            self.made.inbox.put(body)
        self.bodies = ()
        return super().perform(ask)


class Shuffled(Echo):
    """Answers some of what is outstanding, in an order of its own."""

    def __init__(self, chance: Random, answer: Callable[[Call], Outcome] = reply) -> None:
        super().__init__(answer)
        self.chance = chance

    def perform(self, ask: Ask) -> list[Answer]:
        """Answer at least one effect."""
        self.calls += ask.new
        calls = list(ask.outstanding.values())
        self.chance.shuffle(calls)
        return [Answer(call.key, self.answer(call)) for call in calls[: self.chance.randint(1, len(calls))]]


class Awaited:
    """Any performer, for callers inside an event loop."""

    def __init__(self, performer: Any) -> None:
        self.performer = performer

    async def perform(self, ask: Ask) -> list[Answer]:
        """Answer as the performer does."""
        answers: list[Answer] = list(self.performer.perform(ask))
        return answers


def broken(call: Call, message: str = "it broke") -> Outcome:
    """Fail a call."""
    return Outcome(status="error", error=EffectFailure(type="toy.broken", message=message), at=virtual_at(call.key))


# ---------------------------------------------------------------------- runs


@frozen
class Kept:
    """A recorder that keeps everything in memory, in order."""

    lines: list[Any] = field(factory=list)

    def input(self, input: Input) -> None:
        """Keep an input."""
        self.lines.append(input)

    def outcome(self, call: Call, outcome: Outcome) -> None:
        """Keep an outcome with its key."""
        self.lines.append((call.key, outcome))

    def frame(self, frame: Frame, meta: FrozenMap) -> None:
        """Keep a frame."""
        self.lines.append(frame)

    def trace(self, trace: FrameTrace, meta: FrozenMap) -> None:
        """Keep the figures of an input."""
        self.lines.append(trace)

    @property
    def frames(self) -> list[Frame]:
        """The frames."""
        return [line for line in self.lines if isinstance(line, Frame)]

    @property
    def inputs(self) -> list[Input]:
        """The inputs."""
        return [line for line in self.lines if isinstance(line, Input)]

    def records(self, node: str) -> list[Any]:
        """Return all records of one node."""
        return [record for frame in self.frames for record in frame.records if record.node == node]


def run(graph: BoundGraph, performer: Any = None, **engine: Any) -> tuple[Run, Kept]:
    """Return a run that is kept in memory."""
    kept = Kept()
    return Run(Engine(graph, **engine), performer or Echo(), kept), kept


def record(
    path: Path,
    graph: BoundGraph,
    bodies: Iterable[Body | str] = ("hello",),
    performer: Any = None,
    *,
    late: Callable[[Run], Any] | None = None,
    seed: int = 0,
    state: RunState | None = None,
    **engine: Any,
) -> list[FrameTrace]:
    """Record a run to *path* and seal it. *late* makes the performer out of the run, which it can put inputs into."""
    with TraceWriter(path, header(graph, seed=seed, state=state)) as writer:
        made = Run(Engine(graph, seed=seed, state=state, **engine), performer or Echo(), writer)
        if late is not None:
            made.performer = late(made)
        traces = [made.send(UserMessage.of(body) if isinstance(body, str) else body) for body in bodies]
        writer.seal()
    return traces


def replay(path: Path, graph: BoundGraph | None = None, **more: Any) -> ReplayResult:
    """Replay a trace."""
    return Replayer(path, bound=graph, **more).run()


# ---------------------------------------------------------------------- random runs


class Program:
    """A node that does the steps of its configuration, one after another."""

    async def run(self, message: Any, ctx: NodeContext) -> NodeResult:
        """Do the steps; the text of the last one goes into the note that is handed on."""
        text, changes = text_in(message), [Change.append("/log", ctx.next_id(), keep=5)]
        for step, *arguments in ctx.config.config["steps"]:
            text = await getattr(self, f"_{step}")(ctx, text, changes, *arguments)
        return NodeResult(Note(text=text, n=getattr(message, "n", 0) + 1), changes)

    async def _model(self, ctx: NodeContext, text: str, changes: list[Change], times: int) -> str:
        for _ in range(times):
            said = freeze({"role": "user", "content": text})
            answer = await ctx.perform(ModelCall(model="m", messages=(*ctx.state["history"], said)))
            text = answer.text
            changes += [Change.append("/history", message, keep=6) for message in (said, answer.message)]
            ctx.say(text[:7])
            ctx.say(text[7:])
        return text

    async def _tools(self, ctx: NodeContext, text: str, changes: list[Change], width: int) -> str:
        calls = [ToolCall(f"tool{index % 3}", {"of": text, "index": index}) for index in range(width)]
        answers = await ctx.perform_all(calls, keep_failures=True)
        failed = [str(answer) for answer in answers if isinstance(answer, EffectError)]
        rows = [answer.content["rows"] for answer in answers if isinstance(answer, ToolReply)]
        ctx.emit("tools", failed=failed, rows=rows)
        changes.append(Change.set("/rows", rows))
        return digest(rows)[:8]

    async def _time(self, ctx: NodeContext, text: str, changes: list[Change]) -> str:
        return f"{text} at {ctx.now()}"

    async def _chance(self, ctx: NodeContext, text: str, changes: list[Change]) -> str:
        changes.append(Change.set("/dice", [ctx.random.randint(1, 6) for _ in range(3)]))
        return f"{text} {ctx.random.random()}"

    async def _risk(self, ctx: NodeContext, text: str, changes: list[Change]) -> str:
        answer = await ctx.perform(ToolCall("risky", {"of": text}))
        return json.dumps(answer.content["rows"])

    async def _fail(self, ctx: NodeContext, text: str, changes: list[Change]) -> str:
        raise ValueError(f"cannot do {text[:20]}")


def random_graph(chance: Random) -> str:
    """Return a graph in TOML: a root, up to eight branches at once, chains behind them, loops, conditions and an epilogue."""
    nodes = {"root": _program(chance, ["model", 1])}
    edges = []
    branches = [f"b{index}" for index in range(chance.randint(0, 8))]
    nodes.update({name: _program(chance) for name in branches})
    plain = [name for name in branches if chance.random() < 0.7]
    if plain:
        edges.append(edge("root", *plain))
    edges += [
        edge("root", name, condition=chance.choice(["n == 1", 'text < "m"', "state.dice != []"]))
        for name in branches
        if name not in plain
    ]
    for name in branches:
        for depth in range(chance.choice([0, 0, 0, 1, 2])):
            nodes[f"{name}-{depth}"] = _program(chance)
            edges.append(edge(name if depth == 0 else f"{name}-{depth - 1}", f"{name}-{depth}"))
    nodes["loop"] = _program(chance)
    edges += [edge("root", "loop", condition="n < 8"), edge("loop", "loop", condition=f"n < {chance.randint(1, 4)}")]
    nodes["sensor"] = _program(chance)
    nodes["after"] = 'phase = "epilogue"\n' + _program(chance)
    edges.append(edge("root", "after"))
    if branches and chance.random() < 0.2:
        edges.append(edge(branches[0], "after"))
    entry = {"UserMessage": "root", "Action": "root", "Tick": "sensor"}
    return graph_toml(nodes, edges, entry=entry, state={"history": [], "log": [], "rows": [], "dice": []}, name="random")


def _program(chance: Random, *first: list[Any]) -> str:
    steps: list[list[Any]] = [*first]
    for _ in range(chance.randint(0, 3)):
        step = chance.choice(
            ["model", "tools", "time", "chance", "risk", "fail"]
            if chance.random() < 0.2
            else ["model", "tools", "time", "chance"]
        )
        steps.append([step, chance.randint(1, 3)] if step in ("model", "tools") else [step])
    return f'implementation = "toy:Program"\nconfig = {{ steps = {json.dumps(steps)} }}'


def random_inputs(chance: Random, most: int = 10) -> Iterator[Body]:
    """Yield the inputs of a random run; the first one is a message."""
    for number in range(chance.randint(1, most)):
        kind = "say" if number == 0 else chance.choice(["say", "say", "say", "act", "given", "clear", "tick"])
        text = " ".join(chance.choices(["how", "many", "customers", "in", "Zürich", "\u2028", "🙂", "$c", "x" * 50], k=4))
        if kind == "say":
            yield UserMessage.of(text)
        elif kind == "act":
            yield Action(name="click", data={"$text": text})
        elif kind == "given":
            yield Given(messages=({"role": "system", "content": text},))
        elif kind == "clear":
            yield Clear()
        else:
            yield Tick(readings={"clock": number})


class Weather(Shuffled):
    """Answers in a random order, fails some calls, and lets in ticks and now and then a Cancel."""

    def __init__(self, chance: Random, made: Run, *, cancels: bool = True) -> None:
        super().__init__(chance, self._reply)
        self.made = made
        self.cancels = cancels

    def perform(self, ask: Ask) -> list[Answer]:
        """Answer, and sometimes bring an input along."""
        if self.chance.random() < 0.1:
            self.made.inbox.put(Tick(readings={"calls": len(self.calls)}))
        if self.cancels and self.chance.random() < 0.02:
            self.made.inbox.put(Cancel())
        return super().perform(ask)

    def _reply(self, call: Call) -> Outcome:
        odd = int(call.digest[:2], 16) % 8 == 0
        return broken(call, f"no luck with {call.key}") if odd and call.effect.kind == "tool" else reply(call)


def programmed(graph: Graph) -> BoundGraph:
    """Return a random graph with its nodes, without the time that `bind` takes to digest this module for each of them."""
    names = [spec.name for spec in graph.nodes]
    return BoundGraph(
        graph=graph,
        implementations={name: Program() for name in names},
        code={name: digest("program") for name in names},
        prompts={},
    )


def random_run(path: Path, seed: int, *, order: int | None = None, most: int = 10, cancels: bool = True) -> BoundGraph:
    """Record the run of a seed and return its graph. *order* is the seed of everything that is a matter of timing."""
    chance = Random(seed)
    graph = programmed(parse_graph(random_graph(chance), "random"))
    timing = Random(seed if order is None else order)
    record(path, graph, random_inputs(chance, most), late=lambda made: Weather(timing, made, cancels=cancels), seed=seed)
    return graph


def without_times(outcome: Outcome) -> Outcome:
    """Return an outcome without what may differ between two equal runs."""
    return evolve(outcome, at=0, meta=EMPTY)


def key(node: str, call: int = 0, *, input: int = 1, frame: int = 1) -> EffectKey:
    """Return the key of an effect."""
    return EffectKey(input, frame, node, call)


def user(texts: Sequence[str]) -> list[Body]:
    """Return the messages of a user."""
    return [UserMessage.of(text) for text in texts]
