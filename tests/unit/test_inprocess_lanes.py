"""Who asks: what an agent starts side by side keeps its own answers and draws, and what cannot be told apart is counted."""

from __future__ import annotations

import asyncio
import random
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import frameengine
from agent_models import chat, echoing
from frameengine.exchanges.book import read_exchanges
from frameengine.exchanges.exchange import LATE

URL = "http://model.test/v1/chat/completions"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return where a recording goes."""
    return tmp_path / "run.trace.jsonl"


def numbering() -> httpx2.MockTransport:
    """Return a model whose answers are numbers, whatever it is asked."""
    numbers = count()
    return httpx2.MockTransport(lambda _: httpx2.Response(200, json={"said": str(next(numbers))}))


def ask(run: Any, inner: Any, text: str = "same") -> str:
    """Ask a model."""
    with httpx2.Client(transport=run.transport(inner)) as client:
        said: str = client.post(URL, json=chat(text)).json()["said"]
        return said


class Turns:
    """Lets jobs go on in a given order."""

    def __init__(self, order: list[int]) -> None:
        self.order = order
        self.events = {number: threading.Event() for number in order}
        self.events[order[0]].set()

    def take(self, number: int, work: Callable[[], Any]) -> Any:
        """Do *work* when it is the turn of *number*."""
        assert self.events[number].wait(10)
        done = work()
        after = self.order[self.order.index(number) + 1 :]
        if after:
            self.events[after[0]].set()
        return done


def pooled(run: Any, inner: Any, order: list[int]) -> list[str]:
    """Ask the same in several jobs of a pool of two threads."""
    turns = Turns(order)
    with ThreadPoolExecutor(2) as pool:
        said: list[str] = list(pool.map(lambda number: turns.take(number, lambda: ask(run, inner)), sorted(order)))
    return said


async def threaded(run: Any, inner: Any, order: list[int]) -> list[str]:
    """Ask the same in several jobs that tasks wait for."""
    turns = Turns(order)
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2))
    jobs = [asyncio.to_thread(turns.take, number, lambda: ask(run, inner)) for number in sorted(order)]
    said: list[str] = await asyncio.gather(*jobs)
    return said


WAYS = {"pool": pooled, "to_thread": lambda *given: asyncio.run(threaded(*given))}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
def test_jobs_of_a_pool_get_their_own_answers(way: Callable[..., list[str]], file: Path) -> None:
    """Of equal requests each job gets the answer that the job of its place got, whichever thread runs it and who is first."""
    with frameengine.recording(file) as run:
        # Two jobs for each of the threads, and then three for one of them.
        live = way(run, numbering(), [0, 1, 3, 2])
    with frameengine.replaying(file) as replay:
        assert way(replay, None, [1, 2, 3, 0]) == live == ["0", "1", "3", "2"]
    assert replay.receipt.ambiguous == 0


def test_two_jobs_on_one_thread_are_two_lanes(file: Path) -> None:
    """Which thread a job gets is no part of its name, nor is how many threads the pool came to need."""

    def agent(run: Any, inner: Any, threads: int) -> list[str]:
        with ThreadPoolExecutor(threads) as pool:
            for _ in range(3):
                pool.submit(lambda: None).result()
            said = [pool.submit(ask, run, inner, f"{number} {uuid.uuid4()}").result() for number in range(2)]
        worker = threading.Thread(target=lambda: said.append(ask(run, inner, str(uuid.uuid4()))))
        worker.start()
        worker.join()
        return said

    with frameengine.recording(file, control=("uuid",)) as run:
        live = agent(run, httpx2.MockTransport(echoing), 1)
    lanes = [exchange.lane for exchange in read_exchanges(file) if exchange.request.method == "POST"]
    assert lanes == ["main/4", "main/5", "main/6"]
    with frameengine.replaying(file) as replay:
        assert agent(replay, None, 5) == live


def test_what_a_job_starts_is_below_it(file: Path) -> None:
    """Tasks and threads that a job starts are its children."""

    def job(run: Any, inner: Any) -> None:
        async def main() -> None:
            async with httpx2.AsyncClient(transport=run.async_transport(inner)) as client:
                await client.post(URL, json=chat("task"))

        worker = threading.Thread(target=ask, args=(run, inner, "thread"))
        worker.start()
        worker.join()
        asyncio.run(main())
        ask(run, inner, "job")

    with frameengine.recording(file) as run, ThreadPoolExecutor(1) as pool:
        pool.submit(job, run, httpx2.MockTransport(echoing)).result()
    lanes = {exchange.request.body["json"]["messages"][0]["content"]: exchange.lane for exchange in read_exchanges(file)}
    assert lanes == {"thread": "main/1/1", "task": "main/1/2", "job": "main/1"}


def test_eager_tasks_have_the_lanes_of_tasks(file: Path) -> None:
    """A task that runs before whoever starts it has it in hand is its starter's child too (Python 3.12 has such tasks)."""

    async def agent(run: Any, inner: Any) -> None:
        asyncio.get_running_loop().set_task_factory(getattr(asyncio, "eager_task_factory", None))

        async def inside(text: str) -> None:
            async with httpx2.AsyncClient(transport=run.async_transport(inner)) as client:
                await client.post(URL, json=chat(text))

        async def outside(number: int) -> None:
            await asyncio.gather(inside(f"{number}a"), inside(f"{number}b"))
            await inside(f"{number}")

        await asyncio.gather(outside(1), outside(2))

    with frameengine.recording(file) as run:
        asyncio.run(agent(run, httpx2.MockTransport(echoing)))
    lanes = {exchange.request.body["json"]["messages"][0]["content"]: exchange.lane for exchange in read_exchanges(file)}
    first, second = [{name: lane for name, lane in lanes.items() if name.startswith(number)} for number in "12"]
    assert first == {"1": "main/1/1", "1a": "main/1/1/1", "1b": "main/1/1/2"}
    assert second == {"2": "main/1/2", "2a": "main/1/2/1", "2b": "main/1/2/2"}


def test_who_was_not_seen_starting_is_never_sure_of_an_answer(file: Path) -> None:
    """Threads that were there before the block ask in an order that is chance: of equal requests each is counted as a guess."""

    def agent(block: Any, inner: Any, order: list[int]) -> list[str]:
        runs: list[Any] = []
        turns, entered = Turns(order), threading.Event()
        said = [""] * len(order)

        def work(number: int) -> None:
            entered.wait(10)
            said[number] = turns.take(number, lambda: ask(runs[0], inner))

        workers = [threading.Thread(target=work, args=(number,)) for number in sorted(order)]
        for worker in workers:
            worker.start()
        with block as run:
            runs.append(run)
            entered.set()
            for worker in workers:
                worker.join()
        return said

    assert agent(frameengine.recording(file), numbering(), [0, 1, 2]) == ["0", "1", "2"]
    assert all(exchange.lane.startswith(LATE) for exchange in read_exchanges(file))
    replay = frameengine.replaying(file, allow_ambiguous=True)
    assert sorted(agent(replay, None, [2, 1, 0])) == ["0", "1", "2"]
    assert replay.receipt.ambiguous == 2


Tree: TypeAlias = "tuple[str, list[Tree]]"
TREES: st.SearchStrategy[Tree] = st.recursive(
    st.tuples(st.sampled_from(["task", "group", "thread", "pool", "to_thread"]), st.just([])),
    lambda below: st.tuples(st.sampled_from(["task", "group", "thread", "pool", "to_thread"]), st.lists(below, max_size=3)),
    max_leaves=8,
)


class Program:
    """An agent that starts others in every way, all of which ask the same by the same clients, in an order that is chance."""

    def __init__(self, run: Any, inner: Any, pauses: random.Random) -> None:
        self.client = httpx2.Client(transport=run.transport(inner))
        self.async_client = httpx2.AsyncClient(transport=run.async_transport(inner))
        self.pool = ThreadPoolExecutor(2)
        self.pauses = pauses
        self.said: dict[str, str] = {}

    def ask(self, name: str) -> None:
        """Ask after a while, and keep the answer under the place in the tree."""
        time.sleep(self.pauses.random() / 1000)
        self.said[name] = self.client.post(URL, json=chat("same")).json()["said"]

    def below(self, name: str, trees: list[Tree]) -> None:
        """Do all that stands in a place, in a thread."""
        self.ask(f"{name}<")
        asyncio.run(self.side_by_side(name, trees))
        self.ask(f"{name}>")

    async def side_by_side(self, name: str, trees: list[Tree]) -> None:
        """Start all of some places, and wait for them."""
        threads: list[threading.Thread] = []
        waiting: list[Any] = []
        async with asyncio.TaskGroup() as group:
            for number, (kind, inside) in enumerate(trees):
                place = f"{name}.{number}"
                if kind == "task":
                    waiting.append(asyncio.create_task(self.task(place, inside)))
                elif kind == "group":
                    group.create_task(self.task(place, inside))
                elif kind == "to_thread":
                    waiting.append(asyncio.ensure_future(asyncio.to_thread(self.below, place, inside)))
                elif kind == "pool" and not inside:
                    waiting.append(asyncio.wrap_future(self.pool.submit(copy_context().run, self.ask, place)))
                else:
                    threads.append(threading.Thread(target=self.below, args=(place, inside)))
                    threads[-1].start()
        await asyncio.gather(*waiting)
        for thread in threads:
            await asyncio.to_thread(thread.join)

    async def task(self, name: str, trees: list[Tree]) -> None:
        """Do all that stands in a place, in a task."""
        for _ in range(self.pauses.randrange(4)):
            await asyncio.sleep(0)
        for end in "<>":
            self.said[name + end] = (await self.async_client.post(URL, json=chat("same"))).json()["said"]
            if end == "<":
                await self.side_by_side(name, trees)


@settings(max_examples=15, deadline=None)
@given(trees=st.lists(TREES, min_size=1, max_size=3), seed=st.integers(0, 2**32))
def test_nothing_that_runs_side_by_side_is_crossed(trees: list[Tree], seed: int) -> None:
    """Tasks, groups, threads, jobs and jobs of a loop, however they start each other, each get their own of equal requests."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "run.trace.jsonl"
        with frameengine.recording(file) as run:
            live = Program(run, numbering(), random.Random(seed))
            live.below("", trees)
            live.pool.shutdown()
        with frameengine.replaying(file) as replay:
            again = Program(replay, None, random.Random(seed + 1))
            again.below("", trees)
            again.pool.shutdown()
        assert again.said == live.said
        assert replay.receipt.ambiguous == 0
