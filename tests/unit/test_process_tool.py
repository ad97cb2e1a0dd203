"""The Python tool: what comes of code, what ends it, how a run keeps count of it, and that a replay runs nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from frameengine.effects import Call, EffectKey, Outcome, ToolCall, ToolReply
from frameengine.engine.driver import Run
from frameengine.engine.message import Engine
from frameengine.engine.stops import Ask
from frameengine.errors import NoSandbox, ToolFailed, UsageError
from frameengine.inputs import Cancel, UserMessage
from frameengine.jsonvalue import FrozenMap
from frameengine.node import NodeContext, NodeResult
from frameengine.performers.clock import system_clock
from frameengine.performers.faulty import Faulty
from frameengine.performers.live import Live
from frameengine.tools.process import CODE_BYTES_MAX, NAME, Processes, register_python
from frameengine.tools.process_events import output_text, process_done, process_start
from frameengine.tools.registry import ToolRegistry
from frameengine.tools.sandbox.box import Box, Limits, _Kept
from frameengine.tools.sandbox.probe import Sandbox, probe
from frameengine.trace.header import header
from frameengine.trace.reader import TraceReader
from frameengine.trace.writer import TraceWriter
from processes import children, marked
from toy import Kept, bound, replay, run

SLEEPS = "import time\nprint('a', flush=True)\ntime.sleep(60)"
HANG_SECONDS = 30
"""A wait that takes this long waits for something that will not come."""


@pytest.fixture(scope="module")
def sandbox() -> Sandbox:
    """Return what this machine offers."""
    return probe()


@pytest.fixture(params=["sandbox", "unsafe"])
def make(request: pytest.FixtureRequest, sandbox: Sandbox) -> Callable[..., Processes]:
    """Return what makes the tool, once for each way to run code. Where there is no sandbox, that way must refuse."""
    unsafe = request.param == "unsafe"

    def made(limits: Limits | None = None, **more: Any) -> Processes:
        return Processes(limits, unsafe_local=unsafe or bool(sandbox.missing), **more)

    if not unsafe and sandbox.missing:
        with pytest.raises(NoSandbox):
            Processes().execute("print(1)")
    return made


def ask(*codes: str) -> Ask:
    """Return an Ask of one node that runs these programs side by side."""
    calls = [Call.of(EffectKey(1, 1, "a", index), ToolCall(NAME, {"code": code})) for index, code in enumerate(codes)]
    return Ask(tuple(calls), {call.key: call for call in calls})


def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    gate = threading.Event()
    for _ in range(HANG_SECONDS * 100):
        if holds():
            return
        gate.wait(0.01)
    raise AssertionError("it never came")


def test_a_result_holds_what_the_code_did(make: Callable[..., Processes]) -> None:
    """N14: a result has output, exit code, status and the digest of the code, and nothing of the machine."""
    code = "import os, sys\nprint('hé')\nprint('oh', file=sys.stderr)\nprint(os.getcwd(), os.listdir('.'), sorted(os.environ))"
    result = make().execute(code)
    assert isinstance(result, FrozenMap)
    names = "HOME LANG MALLOC_ARENA_MAX PYTHONHASHSEED PYTHONUNBUFFERED PYTHONUTF8 TMPDIR TZ".split()
    assert result == {
        "pid": 1,
        "tool": "python",
        "status": "done",
        "exit_code": 0,
        "stdout": f"hé\n/work [] {names}\n",
        "stderr": "oh\n",
        "stdout_cut": False,
        "stderr_cut": False,
        "limit": None,
        "code_sha256": sha256(code.encode()).hexdigest(),
    }


@pytest.mark.parametrize(
    ("code", "exit_code", "told"),
    [
        ("1 / 0", 1, 'File "/code.py", line 1'),
        ("import sys; sys.exit(7)", 7, ""),
        ("import sys; sys.exit('no')", 1, "no"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", 139, ""),
        ("input()", 1, "EOFError"),
        ("print('", 1, "SyntaxError"),
        ("x = bytearray(1 << 40)", 1, "MemoryError"),
        ("import os; os._exit(255)", 255, ""),
    ],
)
def test_code_that_fails_is_a_result(make: Callable[..., Processes], code: str, exit_code: int, told: str) -> None:
    """Code that raises, exits or dies gives a failed result with its exit code and its complaint; nothing is raised here."""
    result = make().execute(code)
    assert (result["status"], result["exit_code"]) == ("failed", exit_code)
    assert told in result["stderr"]


@pytest.mark.parametrize(
    "code",
    [
        "import time; time.sleep(60)",
        "while True: pass",
        "import signal, time\nfor n in (1, 2, 14, 15, 24): signal.signal(n, lambda *_: None)\nwhile True: time.sleep(1)",
        "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)",
        "import os\nif os.fork(): os.wait()\nos.setsid()\nwhile True: pass",
        "while True: print('x' * 1000)",
        "import os\nos.mkfifo('f'); open('f')",
    ],
)
def test_code_that_does_not_end_is_ended(make: Callable[..., Processes], code: str) -> None:
    """C84: code is killed at its limit of time, whatever it does about signals, and what it had printed is kept."""
    result = make(Limits(wall_seconds=0.5)).execute("print('first')\n" + code)
    assert (result["status"], result["exit_code"], result["limit"]) == ("timed_out", -1, "0.5 s")
    assert result["stdout"].startswith("first\n")
    assert output_text(result).endswith("[ended: more than 0.5 s]")


@pytest.mark.nightly
def test_a_limit_of_processor_time_ends_code(make: Callable[..., Processes]) -> None:
    """Code that ignores the first signal of its limit of processor time is killed by the second."""
    code = "import signal\nsignal.signal(signal.SIGXCPU, lambda *_: print('more', flush=True))\nwhile True: pass"
    result = make(Limits(cpu_seconds=1)).execute(code)
    assert (result["status"], result["exit_code"]) == ("failed", 128 + signal.SIGKILL)
    assert result["stdout"].startswith("more")


def test_code_cannot_end_what_watches_it(sandbox: Sandbox) -> None:
    """Signals to everything that the code can see end nothing but its own children, and its result is its own."""
    code = "import os\nfor n in (1, 2, 9, 15, 19):\n    for pid in (1, -1):\n        try: os.kill(pid, n)\n"
    code += "        except OSError: pass\nprint('still here')\nraise SystemExit(3)"
    if sandbox.missing:
        with pytest.raises(NoSandbox):
            Processes().execute(code)
        return
    result = Processes().execute(code)
    assert (result["stdout"], result["exit_code"]) == ("still here\n", 3)


def test_output_is_kept_up_to_its_limit(make: Callable[..., Processes]) -> None:
    """Of each output its first megabyte is kept and the cut is flagged; the code is not held up by it."""
    code = "import sys\nsys.stdout.write('é' * (1 << 20))\nsys.stderr.write('x' * 100)\nsys.exit(1)"
    result = make(Limits(output_bytes=1001)).execute(code)
    assert (result["stdout"], result["stdout_cut"]) == ("é" * 500, True)
    assert (result["stderr"], result["stderr_cut"], result["exit_code"]) == ("x" * 100, False, 1)
    assert output_text(result) == "é" * 500 + "\n[output cut]\n" + "x" * 100


def test_any_bytes_can_be_printed(make: Callable[..., Processes]) -> None:
    """What is no UTF-8 comes as escapes; escape sequences of a terminal come as they are, for the screen to neutralise."""
    result = make().execute(r"import os; os.write(1, b'\xff\x00\x1b[2J ok\n')")
    assert result["stdout"] == "\\xff\x00\x1b[2J ok\n"


@given(st.lists(st.text(max_size=20).map(str.encode) | st.binary(max_size=20), max_size=6), st.integers(0, 40))
@example(["é".encode()], 1)
def test_a_cut_is_a_prefix(chunks: list[bytes], most: int) -> None:
    """However output arrives, what is kept is its beginning, and half a character at the cut is left out."""
    kept = _Kept(most)
    for chunk in chunks:
        kept.add(chunk)
    whole = b"".join(chunks)
    assert kept.cut == (len(whole) > most)
    assert whole.decode(errors="backslashreplace").startswith(kept.text("")) or not _is_text(whole)
    if not kept.cut:
        assert kept.text("") == whole.decode(errors="backslashreplace")


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


@pytest.mark.parametrize(
    ("code", "told"), [("x" * (CODE_BYTES_MAX + 1), "the bound is 262,144"), ("'\ud800'", "half a character at 1")]
)
def test_code_that_no_file_could_hold_is_refused(code: str, told: str) -> None:
    """Code that is too long, or is no text, is refused before it gets a number."""
    processes = Processes()
    with pytest.raises(ToolFailed, match=told):
        processes.execute(code)
    assert processes.status() == []


def test_a_sandbox_that_cannot_be_made_is_an_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no sandbox, a call fails with what is missing and the way out, and the run goes on."""
    processes = Processes()
    processes._sandbox = Sandbox(missing="unshare: Operation not permitted")
    registry = ToolRegistry()
    register_python(registry, processes)
    (answer,) = Live(tools=registry).perform(ask("print(1)"))
    assert answer.outcome.error is not None
    assert answer.outcome.error.type == "effect.tool.sandbox"
    assert "unshare" in answer.outcome.error.fields["missing"]
    assert processes.stamp() == {"python_tool": "refused"}
    assert [line["status"] for line in processes.status()] == ["failed"]


@pytest.mark.parametrize(
    "arguments", [{"code": "print(1)", "op": "shell"}, {"code": 1}, {}, {"code": ["print(1)"]}, {"code": "1", "tool": "sh"}, "x"]
)
def test_arguments_of_another_form_are_refused(arguments: Any) -> None:
    """T9: arguments that are not code, or that would say what is done with it, start nothing."""
    processes = Processes()
    registry = ToolRegistry()
    register_python(registry, processes)
    with pytest.raises(ToolFailed, match="python: "):
        registry.run(NAME, arguments)
    with pytest.raises(ToolFailed, match="no tool 'sh'"):
        registry.run("sh", {"code": "ls"})
    assert processes.status() == []


# ---------------------------------------------------------------------- one run's processes


def test_a_cancel_ends_a_running_process(make: Callable[..., Processes]) -> None:
    """W30, C85: cancel ends a running process and says so, once; its status stays, and for others cancel says no."""
    processes = make()
    results: list[Any] = []
    worker = threading.Thread(target=lambda: results.append(processes.execute(SLEEPS)))
    worker.start()
    until(lambda: bool(processes.status()) and processes.status()[0]["status"] == "running")
    assert processes.cancel(1) is True
    assert processes.status() == [{"pid": 1, "tool": "python", "status": "cancelled"}]
    assert processes.cancel(1) is False
    worker.join(HANG_SECONDS)
    assert not worker.is_alive()
    assert (results[0]["status"], results[0]["exit_code"], results[0]["limit"]) == ("cancelled", -1, None)
    assert output_text(results[0]).endswith("[cancelled]")
    assert processes.status()[0]["status"] == "cancelled"
    assert processes.execute("pass")["pid"] == 2
    assert (processes.cancel(1), processes.cancel(2), processes.cancel(3)) == (False, False, False)


def test_a_process_that_has_not_begun_can_be_cancelled(make: Callable[..., Processes], monkeypatch: pytest.MonkeyPatch) -> None:
    """C84: a pending process that is cancelled does not begin."""
    processes = make()
    processes.check()
    process = processes.begin("print(1)")
    assert processes.status()[0]["status"] == "pending"
    assert process.cancel()
    monkeypatch.setattr(subprocess, "Popen", None)
    assert process.run()["status"] == "cancelled"
    with pytest.raises(UsageError, match="has run"):
        process.run()


def test_cancels_at_any_moment_leave_a_cancelled_process(make: Callable[..., Processes]) -> None:
    """Wherever in its start a cancel meets a process, the process ends as cancelled and nothing is raised."""
    processes = make()
    processes.check()
    results = []
    for step in range(12):
        process = processes.begin(SLEEPS)
        timer = threading.Timer(step * 0.008, process.cancel)
        timer.start()
        results.append(process.run()["status"])
        timer.join()
    assert results == ["cancelled"] * 12


def test_an_interrupt_ends_the_process(make: Callable[..., Processes]) -> None:
    """An exception in the middle, such as Ctrl-C, passes through when nothing of the code is left."""
    before = children()

    def interrupt() -> None:
        raise KeyboardInterrupt

    isolate = not make().unsafe_local
    with pytest.raises(KeyboardInterrupt):
        Box(SLEEPS, Limits(), isolate=isolate).run(interrupt)
    assert children() == before


def test_each_run_counts_for_itself() -> None:
    """W34: numbers begin with 1 in each run, and refused code takes none."""
    for _ in range(2):
        processes = Processes(unsafe_local=True)
        assert [processes.execute("pass")["pid"] for _ in range(2)] == [1, 2]


def test_numbers_follow_the_order_of_calls(make: Callable[..., Processes]) -> None:
    """Calls side by side get their numbers in the order in which the node made them, whichever ends first."""
    registry = ToolRegistry()
    register_python(registry, make())
    live = Live(tools=registry, threads=4)
    codes = [f"import time; time.sleep({(3 - number) * 0.1}); print({number})" for number in range(4)]
    wanted = ask(*codes)
    outstanding, results, stop = dict(wanted.outstanding), {}, wanted
    while outstanding:
        for answer in live.perform(stop):
            del outstanding[answer.key]
            assert isinstance(answer.outcome.value, ToolReply)
            results[answer.key.call] = answer.outcome.value.content
        stop = Ask((), outstanding)
    live.close()
    assert [(results[call]["pid"], results[call]["stdout"]) for call in range(4)] == [(n + 1, f"{n}\n") for n in range(4)]


def test_times_are_there_with_a_clock_only(make: Callable[..., Processes]) -> None:
    """With a clock, result and status have the seconds that a process took; without one nothing of the machine enters."""
    timed = make(monotonic=system_clock().monotonic)
    result = timed.execute("import time; time.sleep(0.2)")
    assert 0.2 <= result["elapsed"] == timed.status()[0]["elapsed"]
    assert process_done(result)["elapsed"] == result["elapsed"]
    timed.begin("pass")
    assert timed.status()[1]["elapsed"] == 0


def test_events_have_their_payloads() -> None:
    """C53i, C53j: the events of a process have the members and the cuts of their table."""
    result = Processes(unsafe_local=True).execute("print('y' * 600)")
    assert process_start(result, "c" * 300) == {"pid": 1, "tool": "python", "status": "running", "code": "c" * 200}
    done = {"pid": 1, "tool": "python", "status": "done", "exit_code": 0, "output": "y" * 500, "elapsed": 0.0}
    assert process_done(result) == done
    assert output_text(Processes(unsafe_local=True).execute("pass")) == "[no output]"


# ---------------------------------------------------------------------- in an engine


async def use(message: Any, ctx: NodeContext) -> NodeResult:
    """Run what the message says, and show what came of it."""
    reply = await ctx.perform(ToolCall(NAME, {"code": message.text}))
    ctx.emit("process_done", **process_done(reply.content))
    return NodeResult()


def driven(processes: Processes, **more: Any) -> tuple[Run, Kept, Live]:
    """Return a run whose node uses the tool."""
    registry = ToolRegistry()
    register_python(registry, processes)
    live = Live(tools=registry, threads=2, **more)
    made, kept = run(bound({"a": use}), live)
    made.inbox.wake = live.wake
    return made, kept, live


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_cancel_during_a_message_ends_its_process(make: Callable[..., Processes], wrapped: bool) -> None:
    """W30: a Cancel that comes while code runs reaches it: the message ends at once, the process is killed, nothing is left."""
    before = children()
    processes = make()
    made, kept, live = driven(processes)
    if wrapped:
        made.performer = Faulty(live, seed=1, rates={})

    def press() -> None:
        until(lambda: bool(processes.status()) and processes.status()[0]["status"] == "running")
        made.inbox.put(Cancel())

    presser = threading.Thread(target=press)
    presser.start()
    trace = made.send(UserMessage.of(SLEEPS))
    presser.join()
    assert trace.status == "cancelled"
    assert [line[1].status for line in kept.lines if isinstance(line, tuple) and isinstance(line[1], Outcome)] == ["cancelled"]
    assert processes.status()[0]["status"] == "cancelled"
    live.close()
    assert children() == before


def test_a_cancel_lets_nothing_begin_that_waits(make: Callable[..., Processes]) -> None:
    """A Cancel reaches the calls that wait for a thread as well: none of them begins later."""
    processes = make()
    registry = ToolRegistry()
    register_python(registry, processes)
    live = Live(tools=registry, threads=2)
    wanted = ask(*[SLEEPS] * 5)
    worker = threading.Thread(target=lambda: list(live.perform(wanted)))
    worker.start()
    until(lambda: [line["status"] for line in processes.status()].count("running") == 2)
    live.drop(wanted.outstanding)
    worker.join(HANG_SECONDS)
    live.close()
    assert [line["status"] for line in processes.status()] == ["cancelled"] * 5
    live.drop([EffectKey(9, 9, "nobody", 0)])


def test_a_replay_runs_nothing(make: Callable[..., Processes], tmp_path: Path) -> None:
    """T4, N14: a recorded run of the tool replays to the same records, and no process is started for it."""
    processes = make()
    processes.check()
    registry = ToolRegistry()
    register_python(registry, processes)
    path, graph = tmp_path / "a.trace.jsonl", bound({"a": use})
    with started() as recording, TraceWriter(path, header(graph, provenance=processes.stamp())) as writer:
        made = Run(Engine(graph), Live(tools=registry), writer)
        statuses = [made.send(UserMessage.of(text)).status for text in ("print(6 * 7)", "1 / 0")]
        writer.seal()
    assert statuses == ["done", "done"]
    assert len(recording) >= 2
    with started() as replaying:
        result = replay(path, graph)
    assert (result.verdict, replaying) == ("same", [])
    with TraceReader(path) as reader:
        stamp = reader.header["provenance"]["python_tool"]
    assert stamp == ("unsafe-local" if processes.unsafe_local else "+".join(processes.sandbox.walls))


NOTED: list[list[str]] = []
"""What `started` has noted, block by block; empty until it is used, because a hook stays for good."""


@contextmanager
def started() -> Iterator[list[str]]:
    """Note each process that this one starts, by any means."""

    def note(event: str, _: Any) -> None:
        if event in ("subprocess.Popen", "os.fork", "os.exec", "os.posix_spawn", "os.system", "os.forkpty"):
            NOTED[-1].append(event)

    if not NOTED:
        sys.addaudithook(note)
    NOTED.append([])
    yield NOTED[-1]
    NOTED.append([])


# ---------------------------------------------------------------------- nothing is left


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of temporary files, which is empty."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


LEAVES = [
    "pass",
    "import os; os.mkdir('a'); open('a/b', 'w').write('x'); os.chmod('a', 0)",
    "import os\nif os.fork() == 0:\n    os.setsid()\n    import time; time.sleep(60)",
    "import os\nfor n in range(5):\n    if os.fork() == 0: os._exit(0)",
    "1 / 0",
    "open('/tmp/frameengine-left', 'w').close() if __import__('os').getcwd() == '/work' else None",
]


def footprint() -> tuple[Any, ...]:
    """Return what this process has of the machine: processes, open files, threads; and the machine's mounts."""
    files = len(list(Path("/proc/self/fd").iterdir()))
    return children(), files, threading.active_count(), Path("/proc/self/mounts").read_text(encoding="utf-8")


def nothing_left(make: Callable[..., Processes], temporary: Path, times: int) -> None:
    """Run code that leaves all it can, and look for it."""
    processes = make()
    processes.check()
    before = footprint()
    for number in range(times):
        processes.execute(LEAVES[number % len(LEAVES)])
    assert footprint() == before
    assert list(temporary.iterdir()) == []
    assert not Path("/tmp/frameengine-left").exists()
    assert len(processes.status()) == times


def test_nothing_is_left_after_fifty_runs(make: Callable[..., Processes], temporary: Path) -> None:
    """W39: after many runs there is no process, file, mount or open file more than before."""
    nothing_left(make, temporary, 25)


@pytest.mark.nightly
def test_nothing_is_left_after_a_thousand_runs(make: Callable[..., Processes], temporary: Path) -> None:
    """T3: after 1,000 runs there is no process, file, mount or open file more than before."""
    nothing_left(make, temporary, 1_000)


@pytest.mark.nightly
def test_code_is_killed_soon_after_its_limit(make: Callable[..., Processes]) -> None:
    """T3: code that does not end by itself is gone at most 500 ms after its limit."""
    isolate, limits = not make().unsafe_local, Limits(wall_seconds=1)
    codes = ["while True: pass", SLEEPS, "import os\nfor n in range(20):\n    if os.fork() == 0: break\nwhile True: pass"]
    late = []
    for number in range(30):
        began: list[float] = []
        ended = Box(codes[number % len(codes)], limits, isolate=isolate).run(lambda: began.append(time.monotonic()))  # noqa: B023
        late.append(time.monotonic() - began[0] - limits.wall_seconds)
        assert ended.why == "time"
    assert max(late) <= 0.5, sorted(late)


CALLER = """
import sys
from frameengine.tools.process import Processes
from frameengine.tools.sandbox.box import Limits
Processes(Limits(wall_seconds=60), unsafe_local={unsafe}).execute('''
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", {mark!r}], start_new_session=True)
time.sleep(60)
''')
"""


def test_a_caller_that_dies_takes_the_code_with_it(make: Callable[..., Processes], tmp_path: Path) -> None:
    """When the process of the run is killed, its code ends with it, and what that has started and written goes too."""
    mark = f"frameengine-test-orphan-{tmp_path.name}-{make().unsafe_local}"
    command = [sys.executable, "-c", CALLER.format(unsafe=make().unsafe_local, mark=mark)]
    caller = subprocess.Popen(command, env={**os.environ, "TMPDIR": str(tmp_path)})
    until(lambda: bool(marked(mark)))
    caller.kill()
    caller.wait()
    until(lambda: not marked(mark) and not list(tmp_path.iterdir()))
