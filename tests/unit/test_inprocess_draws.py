"""Clock, chance and ids of an agent's own code: recorded by place, given back, counted where nobody asked for them."""

# What is called, and by whom, is what is tested here:
# ruff: noqa: DTZ002, DTZ005, DTZ011, PLW0108

from __future__ import annotations

import asyncio
import datetime as dt
import json
import math
import os
import random
import re
import secrets
import subprocess
import sys
import threading
import time
import uuid
import warnings
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from time import time as now
from typing import Any, cast

import httpx2
import pytest

import frameengine
from agent_models import chat, echoing
from frameengine.errors import CassetteMiss, Diverged, UsageError
from frameengine.inprocess import UncontrolledDraw
from frameengine.inprocess.draws import from_json, to_json
from frameengine.replay.replayer import Replayer

URL = "http://model.test/v1/chat/completions"
ROOT = Path(__file__).parents[2]
ALL: Any = ("clock", "uuid", "random")
uncontrolled = pytest.mark.filterwarnings("ignore::frameengine.inprocess.UncontrolledDraw")
"""What is drawn without a control is meant here."""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return where a recording goes."""
    return tmp_path / "run.trace.jsonl"


def ask(run: Any, text: str) -> str:
    """Ask a model that repeats what it is told; in a replay nothing is asked."""
    with httpx2.Client(transport=run.transport(httpx2.MockTransport(echoing))) as client:
        reply = client.post(URL, json=chat(text))
        reply.raise_for_status()
        said: str = reply.json()["said"]
        return said


def twice(file: Path, agent: Callable[[Any], Any], control: Any = ALL) -> tuple[Any, Any]:
    """Return what an agent returns while it is recorded, and from the recording."""
    with frameengine.recording(file, control=control) as run:
        live = agent(run)
    with frameengine.replaying(file) as replay:
        replayed = agent(replay)
    return live, replayed


def shuffled(count: int) -> list[int]:
    """Return some numbers in any order."""
    numbers = list(range(count))
    random.shuffle(numbers)
    return numbers


class Thing:
    """Something that is no JSON."""


class Moment(datetime):
    """A class of dates of the agent's own."""


THINGS = [Thing() for _ in range(1000)]
DRAWS: dict[str, Callable[[], Any]] = {
    # Each is called by a function: one that was kept in a dict before the block began is out of reach.
    "time": lambda: time.time_ns(),
    "time under a name of its own": lambda: now(),
    "monotonic": lambda: time.monotonic_ns(),
    "perf_counter": lambda: time.perf_counter_ns(),
    "a clock by its number": lambda: time.clock_gettime_ns(time.CLOCK_REALTIME),
    "local time": lambda: tuple(time.localtime()),
    "its zone": lambda: time.localtime().tm_zone,
    "a formatted time": lambda: (time.strftime("%H:%M:%S"), time.ctime()),
    "datetime.now": lambda: datetime.now(),
    "datetime.now, by the module": lambda: dt.datetime.now(dt.UTC),
    "a zone's now": lambda: datetime.now(tz=dt.timezone(dt.timedelta(hours=5))).isoformat(),
    "today": lambda: (dt.date.today(), datetime.today()),
    "a subclass of datetime": lambda: Moment.now(),
    "uuid4": lambda: uuid.uuid4(),
    "uuid1": lambda: uuid.uuid1(),
    "random": lambda: random.random(),
    "gauss": lambda: random.gauss(0, 1),
    "many bits": lambda: random.getrandbits(200),
    "bytes": lambda: random.randbytes(20),
    "choice": lambda: random.choice(THINGS),
    "choices": lambda: random.choices(THINGS, k=5),
    "sample": lambda: random.sample(population=THINGS, k=5),
    "shuffle": lambda: shuffled(100),
    "token": lambda: secrets.token_hex(20),
    "a secret choice": lambda: secrets.choice(range(10**6)),
    "urandom": lambda: os.urandom(16),
}


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS.keys())
def test_what_was_drawn_is_given_back(draw: Callable[[], Any], file: Path) -> None:
    """Each kind of draw gives in the replay what it gave when it was recorded, of the same type, and something else elsewhere."""

    def agent(run: Any) -> list[Any]:
        drawn = [draw() for _ in range(3)]
        ask(run, "x")
        return drawn

    live, replayed = twice(file, agent)
    assert replayed == live
    assert [type(value) for value in replayed] == [type(value) for value in live]


def test_ones_own_objects_are_picked_by_place(file: Path) -> None:
    """What is picked from a list is the agent's own object, as it is in that run."""
    live, replayed = twice(file, lambda run: (random.choice(THINGS), ask(run, "x"))[0])
    assert live is replayed


AGENT = """
import random, sys, time, uuid
from datetime import datetime
from time import time as now
import httpx2
import frameengine

def prompt():
    from datetime import datetime as inner
    return f"{now()} {time.time()} {datetime.now()} {inner.now()} {uuid.uuid4()} {random.random()} {random.choice('abc')}"

def agent(url):
    said = []
    for _ in range(3):
        text = prompt()
        body = {"model": "m", "messages": [{"role": "user", "content": text}]}
        said.append(httpx2.post(url, json=body).json()["choices"][0]["message"]["content"])
    return said

mode, file, url = sys.argv[1:]
block = frameengine.recording(file, control=("clock", "uuid", "random")) if mode == "record" else frameengine.replaying(file)
with block:
    said = agent(url)
print("\\n".join(said))
"""


def test_an_agent_that_prints_time_uuid_and_random_replays_in_another_process(tmp_path: Path) -> None:
    """A program whose prompts hold time, uuid and random prints the same in another process, in another time zone."""
    from model_server import ModelServer

    program = tmp_path / "agent.py"
    program.write_text(AGENT, encoding="utf-8")

    def run(mode: str, url: str, zone: str) -> str:
        command = [sys.executable, str(program), mode, str(tmp_path / "run.trace.jsonl"), url]
        environ = {**os.environ, "TZ": zone, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    with ModelServer() as server:
        url = f"{server.url}/chat/completions"
        recorded = run("record", url, "UTC")
        assert len(server.requests) == 3
    assert run("replay", url, "Asia/Tokyo") == recorded


def test_without_control_the_replay_misses_and_the_places_were_named(file: Path) -> None:
    """What nobody recorded is warned of and counted by place; a prompt that holds it misses, and the miss names the place."""

    def agent(run: Any) -> None:
        for _ in range(2):
            ask(run, f"it is {time.time_ns()}")

    place = r"test_inprocess_draws.py:\d+ time.time_ns is not controlled: control=\(\"clock\",\)"
    with pytest.warns(UncontrolledDraw, match=place), frameengine.recording(file) as run:
        agent(run)
    ((site, name, count),) = run.receipt.uncontrolled
    assert (site.file.rpartition("/")[2], name, count) == ("test_inprocess_draws.py", "time.time_ns", 2)
    assert "time.time_ns()" in Path(__file__).read_text(encoding="utf-8").split("\n")[site.line - 1]
    block = frameengine.replaying(file)
    with pytest.raises(httpx2.HTTPStatusError), block:
        agent(block)
    assert isinstance(block.receipt.problems[0], CassetteMiss)
    assert re.search(place, block.receipt.problems[0].hint)


def test_several_kinds_of_uncontrolled_draws_are_one_line(file: Path) -> None:
    """The warning names the first place, counts the others, and says the whole control that records them."""

    def agent(run: Any) -> None:
        ask(run, "x")
        uuid.uuid4()
        random.random()

    told = r"uuid.uuid4 is not controlled \(and 1 more place\): control=\(\"clock\", \"uuid\", \"random\"\)"
    with pytest.warns(UncontrolledDraw, match=told), frameengine.recording(file, control=("clock",)) as run:
        agent(run)


def test_a_stopwatch_is_no_warning(file: Path) -> None:
    """An agent that times its calls is told of it by the receipt alone."""

    def agent(run: Any) -> None:
        began = time.perf_counter()
        ask(run, "x")
        time.monotonic_ns()
        assert began

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with frameengine.recording(file) as run:
            agent(run)
    assert [name for _, name, _ in run.receipt.uncontrolled] == ["time.perf_counter", "time.monotonic_ns"]


@uncontrolled
def test_only_what_was_asked_for_is_controlled(file: Path) -> None:
    """A control that was not asked for leaves its functions alone, in the replay as well."""
    (live, _), (replayed, _) = twice(file, lambda run: ((random.random(), uuid.uuid4()), ask(run, "x")), control=("uuid",))
    assert live[1] == replayed[1]
    assert live[0] != replayed[0]
    with pytest.raises(UsageError, match="no control"):
        frameengine.recording(file, control=cast("Any", ("weather",)))


OTHER = [(2, 3, "once more"), (0, 1, "drew nothing"), (3, 2, "not drawn again")]


@pytest.mark.parametrize(("recorded", "replayed", "says"), OTHER)
def test_other_draws_are_a_divergence(recorded: int, replayed: int, says: str, file: Path) -> None:
    """An agent that draws more, elsewhere or less than recorded diverges, with file, line and name."""

    def agent(run: Any, count: int) -> None:
        time.time()
        for _ in range(count):
            uuid.uuid4()
        ask(run, "x")

    with frameengine.recording(file, control=ALL) as run:
        agent(run, recorded)
    block = frameengine.replaying(file)
    with pytest.raises(Diverged, match=says) as caught, block:
        agent(block, replayed)
    assert caught.value.fields["name"] == "uuid.uuid4"
    assert caught.value.fields["file"].endswith("test_inprocess_draws.py")
    line = Path(__file__).read_text(encoding="utf-8").split("\n")[caught.value.fields["line"] - 1]
    assert line.strip() == "uuid.uuid4()"


def test_a_draw_of_other_arguments_is_another_draw(file: Path) -> None:
    """A die, a token or a selection of another size is not given the recorded one, which could not have come of it."""
    for draw in (lambda n: random.randint(1, n), lambda n: secrets.token_hex(n), lambda n: random.choices("ab", k=n)):
        with frameengine.recording(file, control=ALL, replace=True) as run:
            ask(run, f"{draw(6)}")
        with frameengine.replaying(file) as run:
            ask(run, f"{draw(6)}")
        block = frameengine.replaying(file)
        with pytest.raises(Diverged, match="drew nothing"), block:
            draw(7)


def test_an_agent_that_swallows_a_divergence_still_fails(file: Path) -> None:
    """A draw that diverges fails the block, also where the agent catches all there is."""
    with frameengine.recording(file, control=ALL) as run:
        ask(run, "x")
    block = frameengine.replaying(file)

    def agent() -> None:
        ask(block, "x")
        try:
            uuid.uuid4()
        except Exception:  # noqa: BLE001 - what is shown is that this does not help
            return

    with pytest.raises(Diverged), block:
        agent()


@uncontrolled
def test_draws_of_tasks_and_threads_are_their_own(file: Path) -> None:
    """Six tasks and six threads that draw and ask at once get their own draws back, whatever order they draw in."""

    async def one(run: Any, number: int) -> str:
        for _ in range(random.randrange(5)):
            await asyncio.sleep(0)
        text = f"{number} {uuid.uuid4()}"
        async with httpx2.AsyncClient(transport=run.async_transport(httpx2.MockTransport(echoing))) as client:
            return str((await client.post(URL, json=chat(text))).json()["said"])

    async def tasks(run: Any) -> list[str]:
        return await asyncio.gather(*[one(run, number) for number in range(6)])

    def threads(run: Any) -> list[str]:
        said = [""] * 6

        def work(number: int) -> None:
            time.sleep(random.random() / 1000)
            said[number] = ask(run, f"{number} {uuid.uuid4()}")

        workers = [threading.Thread(target=work, args=(number,)) for number in range(6)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return said

    for number in range(20):
        target = file.with_name(f"{number}.trace.jsonl")
        live, replayed = twice(target, lambda run: [asyncio.run(tasks(run)), threads(run)], control=("uuid",))
        assert live == replayed


def test_libraries_and_the_standard_library_keep_their_own(file: Path) -> None:
    """What a library draws for itself is neither recorded nor counted."""
    import tempfile

    def agent(run: Any) -> None:
        with tempfile.NamedTemporaryFile():
            json.dumps(ask(run, "x"))

    with frameengine.recording(file, control=ALL) as run:
        agent(run)
    assert run.receipt.draws == 0
    assert run.receipt.uncontrolled == ()


def test_a_recording_with_draws_is_an_ordinary_trace(file: Path) -> None:
    """A trace with draws in it replays as every trace does."""
    with frameengine.recording(file, control=ALL) as run:
        ask(run, str(uuid.uuid4()))
    assert Replayer(file).run().divergence is None


VALUES = [
    0.1,
    17,
    -(10**40),
    "text",
    b"\x00\xff",
    True,
    None,
    [1, 2],
    uuid.UUID(int=7),
    time.localtime(0),
    float("inf"),
    -float("inf"),
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_values_come_back_as_they_were(value: Any) -> None:
    """A drawn value goes through JSON and is the same, and of the same type."""
    from frameengine import foreign
    from frameengine.codec import dumps

    found = from_json(foreign.parse(dumps(to_json(value))))
    assert found == value
    assert type(found) is type(value)


def test_what_is_no_number_and_whether_an_id_is_safe_come_back() -> None:
    """NaN, which JSON has not, and what the system said of an id made by the clock."""
    from frameengine import foreign
    from frameengine.codec import dumps

    def back(value: Any) -> Any:
        return from_json(foreign.parse(dumps(to_json(value))))

    assert math.isnan(back(float("nan")))
    for safe in uuid.SafeUUID:
        assert back(uuid.UUID(int=7, is_safe=safe)).is_safe is safe
