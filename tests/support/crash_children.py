"""Processes that die, fight and run out of space, so that the tests of durability need not.

Run as a script: ``crash_children.py NAME JSON``; the answer is JSON on stdout. Children are forked here, from a process without
threads.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from frameengine.errors import FrameEngineError, StorageError, TraceError
from frameengine.trace.compressed import compress
from frameengine.trace.reader import TraceReader
from frameengine.trace.writer import TraceWriter
from sample_traces import Recording, converse, members


def call(name: str, *prefix: str, **arguments: Any) -> Any:
    """Run one of the functions below in a process of its own and return its answer."""
    command = [*prefix, sys.executable, __file__, name, json.dumps(arguments)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600, env=environment)
    if done.returncode:
        raise AssertionError(f"{name} ended with {done.returncode}: {done.stderr[-2000:]}")
    return json.loads(done.stdout)


def write(path: Path, *, durability: Any, messages: int, acknowledge: Callable[[int], None]) -> None:
    """Write a sealed conversation; each line is acknowledged by the number of lines that the file then has."""
    with TraceWriter(path, members(), durability=durability) as writer:
        acknowledge(writer.lines)
        for _ in converse(Recording(writer, acknowledge), messages):
            pass
        writer.seal()
        acknowledge(writer.lines)


def forked(work: Callable[[int], int]) -> tuple[int, list[int]]:
    """Run *work* in a forked child that may die; return how it ended and the numbers it wrote to the descriptor it was given."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        code = 99
        try:
            code = work(writing)
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        numbers = [int(number) for number in file.read().split()]
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), numbers


def limited(limit: int, *, die: bool) -> None:
    """Let no file of this process grow beyond *limit* bytes: the next write is cut there, and dies or fails."""
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL if die else signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))


def tear(folder: str, cuts: list[int], durability: str, messages: int) -> list[Any]:
    """Tear a trace at each of *cuts*, dying and failing; return (cut, die, end, acknowledged lines, file) for each."""
    results = []
    _warm_up(Path(folder))
    for cut in cuts:
        for die in (True, False):
            path = Path(folder, f"{cut}-{'die' if die else 'fail'}")

            def work(told: int, path: Path = path, cut: int = cut, die: bool = die) -> int:
                limited(cut, die=die)
                try:
                    write(path, durability=durability, messages=messages, acknowledge=lambda lines: _tell(told, lines))
                except StorageError as error:
                    return int(error.fields["errno"])
                return 0

            ended, acknowledged = forked(work)
            results.append([cut, die, ended, acknowledged, str(path)])
    return results


def _warm_up(folder: Path) -> None:
    """Import once, here, what each child would otherwise import for itself."""
    path = folder / "warm"
    write(path, durability="fast", messages=1, acknowledge=lambda _: None)
    path.unlink()


def tear_compressed(source: str, target: str, cuts: list[int]) -> list[Any]:
    """Compress a trace while no file may grow beyond each of *cuts*; return (cut, die, end, what stands in the folder)."""
    results = []
    for cut in cuts:
        for die in (True, False):

            def work(_: int, cut: int = cut, die: bool = die) -> int:
                limited(cut, die=die)
                try:
                    compress(Path(source), Path(target))
                except StorageError as error:
                    return int(error.fields["errno"])
                return 0

            ended, _ = forked(work)
            results.append([cut, die, ended, sorted(found.name for found in Path(target).parent.iterdir())])
    return results


def _tell(descriptor: int, number: int) -> None:
    os.write(descriptor, b"%d\n" % number)


def fight(folder: str, rounds: int) -> list[Any]:
    """Let 2 to 8 processes open one file at the same moment, round after round; return what each of them met.

    The winner of a round is killed while it holds the file, and two more writers come after it.
    """
    results = []
    for number in range(rounds):
        path = Path(folder, str(number))
        opening, opened = os.pipe()
        answers, answer = os.pipe()
        children = []
        for _ in range(2 + number % 7):
            child = os.fork()
            if child == 0:
                os.close(opened)
                os.read(opening, 1)
                _fighter(path, answer)
            children.append(child)
        os.close(opening)
        os.close(opened)
        os.close(answer)
        lines: list[Any] = []
        with os.fdopen(answers, "rb") as file:
            lines = [json.loads(file.readline()) for _ in children]
            winners = [line["process"] for line in lines if line["met"] == "won"]
            later = _meeting(path, replace=True)
            for child in children:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
        results.append(
            {
                "fighters": lines,
                "winners": winners,
                "later": later,
                "next": _meeting(path),
                "replacing": _meeting(path, replace=True),
            }
        )
    return results


def _fighter(path: Path, answer: int) -> None:
    found = _meeting(path, keep=True)
    os.write(answer, json.dumps(found).encode() + b"\n")
    while True:
        time.sleep(60)


_held: list[TraceWriter] = []


def _meeting(path: Path, *, replace: bool = False, keep: bool = False) -> dict[str, Any]:
    """Open *path* for writing and say what came of it."""
    header = {**members(), "meta": {"owner": f"process {os.getpid()}"}}
    try:
        writer = TraceWriter(path, header, replace=replace)
    except FrameEngineError as error:
        return {"process": os.getpid(), "met": type(error).__name__, "said": error.message, "owner": error.fields.get("owner")}
    if keep:
        _held.append(writer)
    else:
        writer.close()
    return {"process": os.getpid(), "met": "won"}


def fill(folder: str, sizes: list[int]) -> list[Any]:
    """Write a trace to file systems of so many KiB; return for each what was acknowledged, met and recovered."""
    results = []
    for size in sizes:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}k", "none", folder], check=True)
        path = Path(folder, "a")
        acknowledged: list[int] = []
        met: Any = None
        try:
            write(path, durability="durable", messages=400, acknowledge=acknowledged.append)
        except StorageError as error:
            met = [error.fields["errno"], error.hint]
        recovered, problem = 0, ""
        try:
            with TraceReader(path, damaged=True) as reader:
                for line in reader.lines():
                    line.canonical()
                recovered, problem = reader.line_count, type(reader.problem).__name__
        except TraceError as error:
            problem = type(error).__name__
        path.unlink(missing_ok=True)
        again = Path(folder, "b")
        try:
            with TraceWriter(again, members()):
                resumed = True
        except StorageError:
            resumed = False
        results.append(
            {
                "size": size,
                "acknowledged": max(acknowledged, default=0),
                "met": met,
                "recovered": recovered,
                "problem": problem,
                "resumed": resumed,
            }
        )
        subprocess.run(["umount", folder], check=True)
    return results


def read_only(folder: str) -> list[Any]:
    """Write a trace to a file system that is mounted read-only; return what was met."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", folder], check=True)
    subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
    return _denied(Path(folder))


def no_permission(folder: str) -> list[Any]:
    """Write a trace to a folder without the permission to, as a user who is not root; return what was met."""
    _warm_up(Path(folder))
    Path(folder).chmod(0o555)
    if os.geteuid() == 0:
        os.setuid(65534)
    return _denied(Path(folder))


def _denied(folder: Path) -> list[Any]:
    try:
        TraceWriter(folder / "a", members())
    except StorageError as error:
        return [error.fields["errno"], error.hint, error.exit_code]
    return []


def write_for_long(path: str, messages: int) -> int:
    """Write a sealed conversation, for somebody to read meanwhile; return its lines."""
    lines = [0]
    write(Path(path), durability="fast", messages=messages, acknowledge=lines.append)
    return max(lines)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(globals()[sys.argv[1]](**json.loads(sys.argv[2]))))
