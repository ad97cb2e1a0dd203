"""Nodes that are not a function of their inputs, planted: each is refused by name, or diverges at its place, or both."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

import pytest
from attrs import frozen

from frameengine.effects import ModelCall, ToolCall
from frameengine.engine.guard import Guard
from frameengine.errors import Nondeterminism, ToolFailed
from frameengine.node import NodeContext, NodeResult
from frameengine.replay.divergence import Divergence
from frameengine.state import Change
from toy import Echo, Note, Work, bound, broken, record, replay, reply, text_in

OFF = Guard("off", static=False)
MESSAGES = ["one", "two"]


@frozen(kw_only=True)
class World:
    """A node that touches the world."""

    imports: str = ""
    """What its module imports."""
    body: str
    """Assigns to ``value``."""
    name: str
    """Under which name the guard must refuse it."""
    varies: bool = True
    """Whether two runs in one process see different values; else only another process or machine would."""


WORLDS = {
    "time.time": World(imports="import time", body="value = time.time()", name="time.time"),
    "time_ns": World(imports="from time import time_ns", body="value = time_ns()", name="time.time_ns"),
    "monotonic": World(imports="import time", body="value = time.monotonic()", name="time.monotonic"),
    "datetime.now": World(imports="from datetime import datetime", body="value = datetime.now()", name="datetime.datetime.now"),
    "date.today": World(
        imports="import datetime", body="value = datetime.date.today()", name="datetime.date.today", varies=False
    ),
    "local time": World(imports="import time", body="value = time.localtime(0)[3]", name="time.localtime", varies=False),
    "zone": World(imports="import time", body="value = time.tzname", name="time.tzname", varies=False),
    "random": World(imports="import random", body="value = random.random()", name="random.random"),
    "choice": World(imports="from random import choices", body="value = choices(range(99), k=9)", name="random.choices"),
    "uuid4": World(imports="import uuid", body="value = uuid.uuid4()", name="uuid.uuid4"),
    "urandom": World(imports="import os", body="value = os.urandom(8)", name="os.urandom"),
    "secrets": World(imports="import secrets", body="value = secrets.token_hex()", name="secrets.token_hex"),
    "hash": World(body="value = hash('text')", name="hash", varies=False),
    "id": World(body="value = id(self)", name="id"),
    "set": World(body="value = ' '.join({'a', 'b', 'c'})", name="iteration over a set", varies=False),
    "asyncio.wait": World(imports="import asyncio", body="value = await asyncio.wait([])", name="asyncio.wait"),
    "as_completed": World(
        imports="import asyncio", body="value = list(asyncio.as_completed([]))", name="asyncio.as_completed", varies=False
    ),
    "thread": World(
        imports="import threading", body="value = threading.Thread(target=len).start()", name="threading.Thread", varies=False
    ),
    "thread id": World(
        imports="import threading", body="value = threading.get_ident()", name="threading.get_ident", varies=False
    ),
    "folder": World(imports="import os", body="value = os.getcwd()", name="os.getcwd", varies=False),
    "host": World(imports="import socket", body="value = socket.gethostname()", name="socket.gethostname", varies=False),
    "process": World(imports="import os", body="value = os.getpid()", name="os.getpid", varies=False),
    "temporary name": World(imports="import tempfile", body="value = tempfile.mktemp()", name="tempfile.mktemp"),
    "listing": World(imports="import os", body="value = os.listdir('.')", name="os.listdir", varies=False),
    "glob": World(imports="import glob", body="value = glob.glob('*')", name="glob.glob", varies=False),
    "mtime": World(imports="import os", body="value = os.path.getmtime('.')", name="os.path.getmtime", varies=False),
    "environment": World(imports="import os", body="value = os.environ.get('HOME')", name="os.environ", varies=False),
    "locale": World(imports="import locale", body="value = locale.localeconv()", name="locale.localeconv", varies=False),
    "garbage": World(imports="import gc", body="value = gc.get_count()", name="gc.get_count", varies=False),
    "file": World(body="value = open('/dev/null').close()", name="open", varies=False),
    "database": World(
        imports="import sqlite3", body="value = sqlite3.connect(':memory:').close()", name="sqlite3.connect", varies=False
    ),
    "process started": World(
        imports="import subprocess", body="value = subprocess.call(['true'])", name="subprocess.call", varies=False
    ),
    "live call": World(
        imports="from urllib.request import urlopen",
        body="value = urlopen('http://127.0.0.1:9/')",
        name="urllib.request.urlopen",
        varies=False,
    ),
}


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Return what writes a mutant's module and makes a node of it."""
    monkeypatch.syspath_prepend(str(tmp_path))
    made: list[str] = []

    def node(world: World) -> Any:
        name = f"mutant_{tmp_path.name}".replace("-", "_")
        body = indent(
            dedent(f"await ctx.perform(ToolCall('t'))\n{world.body}\nreturn NodeResult(Note(text=str(value)))\n"), " " * 8
        )
        imports = "from frameengine.effects import ToolCall\nfrom frameengine.node import NodeResult\nfrom toy import Note"
        source = f"{imports}\n{world.imports}\n\n\nclass Node:\n    async def run(self, message, ctx):\n{body}"
        (tmp_path / f"{name}.py").write_text(source)
        importlib.invalidate_caches()
        made.append(name)
        return importlib.import_module(name).Node

    yield node
    for name in made:
        sys.modules.pop(name, None)


@pytest.mark.parametrize("name", WORLDS)
def test_a_node_that_touches_the_world_is_refused_by_name(name: str, make: Any, tmp_path: Path) -> None:
    """N01, N04, N15, N16: the guard refuses it, before or while the node runs, and says what to use; no frame commits."""
    world = WORLDS[name]
    path = tmp_path / "t.trace.jsonl"
    with pytest.raises(Nondeterminism) as caught:
        record(path, bound({"a": make(world)()}))
    assert caught.value.fields["name"] == world.name
    assert caught.value.fields["instead"]
    assert b'"kind":"frame"' not in path.read_bytes()


@pytest.mark.parametrize("name", [name for name, world in WORLDS.items() if world.varies and "await" not in world.body])
def test_without_the_guard_it_diverges(name: str, make: Any, tmp_path: Path) -> None:
    """The comparison is the backstop: with the guard off, replay sees another value in the output of the first frame."""
    kind = make(WORLDS[name])
    path = tmp_path / "t.trace.jsonl"
    kept = [kind(), kind()]
    record(path, bound({"a": kept[0]}), guard=OFF)
    found = replay(path, bound({"a": kept[1]}), guard=OFF).divergence
    assert found is not None
    assert (found.kind, found.input, found.frame, found.node, found.pointer) == ("output", 1, 1, "a", "/output/text")
    assert found.cause == "undetermined"


# ---------------------------------------------------------------------- what no guard sees


class Thing:
    """Something without a repr of its own."""


class ReprOfAnObject:
    """Shows the default repr of an object, which has an address in it."""

    def __init__(self) -> None:
        self.thing = Thing()

    async def run(self, message: Any, ctx: NodeContext) -> NodeResult:
        """Run."""
        await ctx.perform(ToolCall("t"))
        return NodeResult(Note(text=repr(self.thing)))


class ErrorWithAnObject(ReprOfAnObject):
    """Fails with a message that has an address in it."""

    async def run(self, message: Any, ctx: NodeContext) -> NodeResult:
        """Run."""
        await ctx.perform(ToolCall("t"))
        raise ValueError(self.thing)


COUNTER = {"next": 0}


class CountsOnItsModule:
    """Takes ids from a counter that outlives the run: an auto-increment column, a cache that is cold or warm."""

    async def run(self, message: Any, ctx: NodeContext) -> NodeResult:
        """Run."""
        COUNTER["next"] += 1
        await ctx.perform(ToolCall("t", {"id": COUNTER["next"]}))
        return NodeResult(Note())


class AsksOnlyOnce:
    """Fetches a schema once and keeps it: warm, it asks for less."""

    schema: Any = None

    async def run(self, message: Any, ctx: NodeContext) -> NodeResult:
        """Run."""
        if AsksOnlyOnce.schema is None:
            AsksOnlyOnce.schema = (await ctx.perform(ToolCall("schema"))).content
        await ctx.perform(ToolCall("t"))
        return NodeResult(Note())


HIDDEN: dict[str, tuple[type[Any], tuple[Any, ...]]] = {
    "address in a text": (ReprOfAnObject, ("output", 1, "a", None, "/output/text")),
    "address in an error": (ErrorWithAnObject, ("error", 1, "a", None, "/error/message")),
    "counter of a module": (CountsOnItsModule, ("request", 1, "a", 0, "/arguments/id")),
    "warm cache": (AsksOnlyOnce, ("effect name", 1, "a", 0, "/name")),
}


@pytest.mark.parametrize("name", HIDDEN)
def test_what_the_guard_cannot_see_diverges(name: str, tmp_path: Path) -> None:
    """State outside of the run and addresses in texts pass the guard, and are found by comparing (N24)."""
    kind, expected = HIDDEN[name]
    path = tmp_path / "t.trace.jsonl"
    nodes = [kind(), kind()]
    record(path, bound({"a": nodes[0]}))
    found = replay(path, bound({"a": nodes[1]})).divergence
    assert found is not None
    assert (found.kind, found.frame, found.node, found.call, found.pointer) == expected


def test_nan_does_not_get_into_a_record(tmp_path: Path) -> None:
    """A value that compares unequal to itself is refused in the node, live and in replay alike (N21)."""

    async def averages(message: Any, ctx: NodeContext) -> NodeResult:
        await ctx.perform(ToolCall("t"))
        return NodeResult(Note(), (Change.set("/mean", float("nan")),))

    path = tmp_path / "t.trace.jsonl"
    (trace,) = record(path, bound({"a": averages}))
    assert trace.status == "failed"
    assert replay(path, bound({"a": averages})).verdict == "same"


# ---------------------------------------------------------------------- changed code

SYSTEM = "You are helpful."


def agent(
    *,
    system: str = SYSTEM,
    model: str = "m",
    temperature: float = 0.2,
    schema: str = "q",
    retries: int = 2,
    tools: tuple[str, ...] = ("x", "y"),
    keep: int = 4,
    twice: bool = False,
    cut: int = 1_000,
) -> Work:
    """Return an agent of one node, with one thing changed where a mutant changes it."""

    async def work(message: Any, ctx: NodeContext) -> NodeResult:
        asked = {"role": "user", "content": text_in(message)}
        messages = ({"role": "system", "content": system}, *ctx.state["history"][-keep:], asked)
        definition = {"type": "function", "function": {"name": "t", "parameters": {"required": [schema]}}}
        for _ in range(1 + twice):
            answer = await ctx.perform(
                ModelCall(model=model, messages=messages, tools=(definition,), params={"temperature": temperature})
            )
        for attempt in range(retries):
            try:
                await ctx.perform(ToolCall("flaky"))
                break
            except ToolFailed:
                ctx.emit("retry", attempt=attempt)
        await ctx.perform_all([ToolCall(tool) for tool in tools])
        said = answer.text[:cut]
        ctx.say(said)
        history = [Change.append("/history", each) for each in (asked, {"role": "assistant", "content": said})]
        return NodeResult(Note(text=said), history)

    return work


def flaky(call: Any) -> Any:
    """Fail the flaky tool always."""
    return broken(call) if call.effect.name == "flaky" else reply(call)


CHANGES: dict[str, tuple[Work, tuple[str, int, int | None, str]]] = {
    "one letter of a prompt": (agent(system="You are Helpful."), ("request", 1, 0, "/messages/0/content")),
    "one space at the end of a prompt": (agent(system=SYSTEM + " "), ("request", 1, 0, "/messages/0/content")),
    "model": (agent(model="m2"), ("effect name", 1, 0, "/model")),
    "temperature": (agent(temperature=0.3), ("request", 1, 0, "/params/temperature")),
    "tool schema": (agent(schema="query"), ("request", 1, 0, "/tools/0/function/parameters/required/0")),
    "extra retry": (agent(retries=3), ("effect name", 1, 3, "/name")),
    "missing retry": (agent(retries=1), ("effect name", 1, 2, "/name")),
    "swapped calls": (agent(tools=("y", "x")), ("effect name", 1, 3, "/name")),
    "left out call": (agent(tools=("x",)), ("missing", 1, 4, "")),
    "extra call": (agent(tools=("x", "y", "z")), ("extra", 1, 5, "")),
    "history cut shorter": (agent(keep=2), ("request", 3, 0, "/messages/1/content")),
    "context built twice": (agent(twice=True), ("effect kind", 1, 1, "")),
    "truncation inside the log": (agent(cut=10), ("emission", 1, None, "/emissions/2/1/text")),
}


@pytest.mark.parametrize("name", CHANGES)
def test_changed_code_diverges_at_the_first_place(name: str, tmp_path: Path) -> None:
    """The first input, call and pointer that differ are named, and no call is performed to find out (N10, N23)."""
    mutant, (kind, number, call, pointer) = CHANGES[name]
    path = tmp_path / "t.trace.jsonl"
    messages = ["first", "second", "third"]
    record(path, bound({"a": agent()}), messages, Echo(flaky))
    assert replay(path, bound({"a": agent()})).verdict == "same"
    found: Divergence | None = replay(path, bound({"a": mutant}, code={"a": "mutant"})).divergence
    assert found is not None
    assert (found.kind, found.input, found.frame, found.node) == (kind, number, 1, "a")
    assert (found.call, found.pointer, found.cause) == (call, pointer, "node code")


def test_there_are_enough_mutants() -> None:
    """At least twenty-five kinds of nondeterminism are planted, and as many again of what changed code does."""
    assert len(WORLDS) + len(HIDDEN) >= 25
    assert len(CHANGES) >= 12
