"""What no digest explains: the node that touched the world is found by replaying once more under the full guard."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from frameengine.engine.driver import Run
from frameengine.engine.message import Engine
from frameengine.graph.loader import parse_graph
from frameengine.graph.registry import BoundGraph, bind
from frameengine.inputs import UserMessage
from frameengine.performers.scripted import Scripted
from frameengine.replay.replayer import Replayer
from frameengine.replay.touched import with_touch
from frameengine.trace.header import header
from frameengine.trace.writer import TraceWriter

HELPER = "import time\n\n\ndef stamp():\n    return time.perf_counter_ns()\n"
NODE = """
from {helper} import stamp
from frameengine.effects import ModelCall
from frameengine.node import NodeResult

TICKS = iter(range(1000))


class Stamping:
    async def run(self, message, ctx):
        reply = await ctx.perform(ModelCall(model="m", messages=[{{"role": "user", "content": "hello"}}]))
        ctx.emit("stamped", at={what})
        return NodeResult()
"""
GRAPH = """
name = "stamping"
version = 1
description = "one node"
[entry]
UserMessage = "stamping"
[[nodes]]
name = "stamping"
implementation = "{module}:Stamping"
"""


def stamping(folder: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> BoundGraph:
    """Return a graph whose one node shows *what*."""
    name = f"stamping_{abs(hash(str(folder)))}"
    (folder / f"{name}_helper.py").write_text(HELPER)
    (folder / f"{name}.py").write_text(NODE.format(helper=f"{name}_helper", what=what))
    monkeypatch.syspath_prepend(str(folder))
    importlib.invalidate_caches()
    for module in (name, f"{name}_helper"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    return bind(parse_graph(GRAPH.format(module=name), "test"))


def recorded(folder: Path, bound: BoundGraph) -> Path:
    """Record one message."""
    path = folder / "run.trace.jsonl"
    with TraceWriter(path, header(bound)) as writer:
        Run(Engine(bound), Scripted({"stamping": ["hi"]}), writer).send(UserMessage.of("hello"))
        writer.seal()
    return path


def test_a_clock_behind_a_helper_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that a helper module reads passes the guard, shows as a divergence, and is then named with what to use instead."""
    bound = stamping(tmp_path, monkeypatch, "stamp()")
    path = recorded(tmp_path, bound)
    result = Replayer(path, bound=bound).run()
    assert result.divergence is not None
    assert (result.divergence.kind, result.divergence.cause) == ("emission", "undetermined")
    explained = with_touch(result, bound=bound).divergence
    assert explained is not None
    assert explained.cause == "node code"
    assert "perf_counter" in explained.because
    assert (explained.pointer, explained.recorded) == (result.divergence.pointer, result.divergence.recorded)


def test_what_the_guard_cannot_see_stays_undetermined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A difference that comes from state kept in a module is no touch, and is blamed on nothing."""
    bound = stamping(tmp_path, monkeypatch, "next(TICKS)")
    path = recorded(tmp_path, bound)
    result = Replayer(path, bound=bound).run()
    assert result.divergence is not None
    assert with_touch(result, bound=bound) == result


def test_a_replay_that_is_the_same_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is replayed again where nothing differs, though the node touches the clock."""
    bound = stamping(tmp_path, monkeypatch, "stamp() * 0")
    result = Replayer(recorded(tmp_path, bound), bound=bound).run()
    assert with_touch(result, bound=bound) is result
