"""What a fresh process does for the determinism tests: record and replay, and print digests as JSON.

::

    child.py runs FOLDER FIRST LAST [hashed]   the random runs of some seeds
    child.py fan FOLDER WIDTH [hashed]         one node with WIDTH effects at once, answered in an order that nothing seeds
    child.py talks FOLDER DATABASE SCENARIO…   scenarios on the shipped graphs, with real queries
    child.py pure TRACE OUTPUT [hashed]        one replay, with the clock, chance and the world taken away

``hashed`` plants a defect, which the tests must notice: a node that takes an order from the hashes of the process, or an observer
that reaches out.
"""

from __future__ import annotations

import gc
import json
import locale
import os
import random
import socket
import sys
import time
import uuid
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Any, NoReturn

import toy
from frameengine.effects import ToolCall
from frameengine.engine.driver import Run
from frameengine.engine.guard import Guard
from frameengine.engine.message import Engine
from frameengine.graph.loader import load_graph
from frameengine.graph.registry import BoundGraph, bind
from frameengine.node import NodeContext, NodeResult
from frameengine.replay.replayer import Replayer
from frameengine.scenario import load_scenario
from frameengine.trace.header import header
from frameengine.trace.verify import verify
from frameengine.trace.writer import TraceWriter

PLANTED = Guard("off", static=False)


def by_hash(texts: list[str]) -> list[str]:
    """Return texts in an order that is another in every process."""
    return list(set(texts))


async def hashed(message: Any, ctx: NodeContext) -> NodeResult:
    """Let the order of a set into the record."""
    await ctx.perform(ToolCall("t"))
    return NodeResult(toy.Note(text=" ".join(by_hash(["one", "two", "three", "four", "five"]))))


def setting() -> dict[str, Any]:
    """Return what shows that the environment of this process took effect."""
    return {
        "hash": hash("a"),
        "zone": time.tzname,
        "locale": locale.setlocale(locale.LC_ALL),
        "folder": str(Path.cwd()),
        "optimised": not __debug__,
        "dev": sys.flags.dev_mode,
        "umask": _umask(),
        "gc": [gc.isenabled(), gc.get_threshold()[0]],
        "recursion": sys.getrecursionlimit(),
    }


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def prepare() -> None:
    """Put in place what only the process itself can set."""
    locale.setlocale(locale.LC_ALL, "")
    time.tzset()
    if "TOY_UMASK" in os.environ:
        os.umask(int(os.environ["TOY_UMASK"], 8))
    if "TOY_GC" in os.environ:
        threshold = int(os.environ["TOY_GC"])
        gc.set_threshold(threshold)
        if not threshold:
            gc.disable()
    if "TOY_RECURSION" in os.environ:
        sys.setrecursionlimit(int(os.environ["TOY_RECURSION"]))


def digests(path: Path, graph: BoundGraph) -> list[str]:
    """Return the canonical digest of a trace, and sha256 of its bytes and of the bytes of its replay's output."""
    output = path.with_suffix(".replayed")
    toy.replay(path, graph, output=output).raise_if_diverged()
    canonical = verify(path).canonical
    if verify(output).canonical != canonical:
        raise AssertionError(path)
    return [canonical, *[sha256(file.read_bytes()).hexdigest() for file in (path, output)]]


def runs(folder: Path, first: int, last: int, *, planted: bool) -> dict[str, Any]:
    """Record and replay the random runs of some seeds."""
    found: dict[str, Any] = {}
    for seed in range(first, last):
        path = folder / f"{seed}.trace.jsonl"
        if planted:
            toy.record(path, toy.bound({"a": hashed}), guard=PLANTED)
            found[str(seed)] = [verify(path).canonical]
            continue
        graph = toy.random_run(path, seed).graph
        found[str(seed)] = digests(path, toy.programmed(graph))
    return found


def fan(folder: Path, width: int, *, planted: bool) -> dict[str, Any]:
    """Record and replay one node with many effects at once."""

    async def many(message: Any, ctx: NodeContext) -> NodeResult:
        answers = await ctx.perform_all([ToolCall("t", {"n": n}) for n in range(width)])
        rows = [json.dumps(answer.content["rows"]) for answer in answers]
        return NodeResult(toy.Note(text=" ".join(by_hash(rows) if planted else rows)))

    path = folder / "fan.trace.jsonl"
    unseeded = random.Random(int.from_bytes(os.urandom(8), "big"))
    toy.record(path, toy.bound({"a": many, "b": toy.pass_on}), performer=toy.Shuffled(unseeded), guard=PLANTED)
    if planted:
        return {"fan": [verify(path).canonical]}
    canonical, _, output = digests(path, toy.bound({"a": many, "b": toy.pass_on}))
    return {"fan": [canonical, output]}


def talks(folder: Path, database: Path, scenarios: Iterable[Path]) -> dict[str, Any]:
    """Record and replay written conversations on the shipped graphs."""
    found: dict[str, Any] = {}
    for file in scenarios:
        scenario = load_scenario(file).with_databases({"billing": database})
        bound = bind(load_graph(scenario.graph))
        path = folder / f"{file.stem}.trace.jsonl"
        with TraceWriter(path, header(bound, seed=scenario.seed)) as writer:
            run = Run(Engine(bound, seed=scenario.seed), scenario.performer(), writer)
            for body in scenario.inputs:
                run.send(body)
            writer.seal()
        found[file.stem] = digests(path, bound)[0]
    return found


def pure(path: Path, output: Path, *, planted: bool) -> dict[str, Any]:
    """Replay once with every source of chance replaced by one that raises, and list what was touched of the world."""
    touched: list[str] = []

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND):
            touched.append(f"writes {args[0]}")
        elif event.startswith(
            ("socket.", "subprocess.", "os.exec", "os.fork", "os.posix_spawn", "os.system", "os.remove", "os.rename")
        ):
            touched.append(event)

    def taken_away(*_: Any, **__: Any) -> NoReturn:
        raise AssertionError("the clock or chance was touched")

    for module, name in ((random, "random"), (os, "urandom"), (uuid, "uuid4")):
        setattr(module, name, taken_away)
    for name in ("time", "time_ns", "monotonic", "perf_counter", "localtime", "gmtime"):
        setattr(time, name, taken_away)
    sys.addaudithook(hook)
    reaches_out = ReachesOut(output.with_suffix(".planted"))
    replayer = Replayer(path, trust=True, output=output, instruments=(reaches_out,) if planted else ())
    result = replayer.run()
    dropped = [str(error) for _, error in replayer.engine.instruments.dropped]
    return {"verdict": result.verdict, "calls": result.counts.calls, "touched": touched, "dropped": dropped}


class ReachesOut:
    """The planted defect: writes a file, makes a socket, and asks the clock."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_trace(self, _: Any) -> None:
        """Touch the world."""
        self.path.write_text("planted")
        socket.socket().close()
        time.time()


def networks() -> list[str]:
    """Return the names of the network interfaces that this process sees."""
    return [name for _, name in socket.if_nameindex()]


def main(what: str, *arguments: str) -> None:
    """Do what the tests ask for."""
    prepare()
    planted = arguments[-1] == "hashed"
    if what == "runs":
        found = runs(Path(arguments[0]), int(arguments[1]), int(arguments[2]), planted=planted)
    elif what == "fan":
        found = fan(Path(arguments[0]), int(arguments[1]), planted=planted)
    elif what == "talks":
        found = talks(Path(arguments[0]), Path(arguments[1]), map(Path, arguments[2:]))
    else:
        interfaces = networks()
        found = {**pure(Path(arguments[0]), Path(arguments[1]), planted=planted), "networks": interfaces}
    sys.stdout.write(json.dumps({"setting": setting(), "found": found}))


if __name__ == "__main__":
    main(*sys.argv[1:])
