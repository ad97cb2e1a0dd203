"""Goldens as tests: what pytest and the plugin add to replaying them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.measure import Figure, rounds, timed
from frameengine.graph.loader import load_graph
from frameengine.graph.registry import bind
from frameengine.replay.replayer import Replayer
from frameengine.review import approve_all

GOLDENS = 1_000
GOLDEN = Path(__file__).parents[1] / "traces" / "director-interpreter.trace.jsonl"
"""One message in five frames."""
ROUNDS = 3


def figures(folder: Path) -> Iterator[Figure]:
    """Yield the time of a session on goldens against one of empty tests plus the replays alone."""
    goldens, empty = prepare(folder / "plugin", GOLDENS)
    variants = {
        "goldens": partial(session, goldens, GOLDENS + 1),
        "empty": partial(session, empty, GOLDENS),
        "replays": partial(replays, goldens, GOLDENS),
    }
    times = rounds(variants, ROUNDS)
    floor = [one + other for one, other in zip(times.rounds["empty"], times.rounds["replays"], strict=True)]
    ratios = sorted(ours / theirs for ours, theirs in zip(times.rounds["goldens"], floor, strict=True))
    told = ", ".join([f"{name} {times.median(name):.2f} s" for name in variants])
    yield Figure(
        name=f"{GOLDENS:,} goldens / as many empty tests + their replays",
        ratio=ratios[len(ratios) // 2],
        bound=1.5,
        detail=f"{told}; 5 frames each",
    )


def prepare(folder: Path, count: int) -> tuple[Path, Path]:
    """Return a folder of *count* approved goldens, and one of as many tests that do nothing."""
    goldens, empty = folder / "goldens", folder / "empty"
    goldens.mkdir(parents=True)
    empty.mkdir()
    for number in range(count):
        shutil.copyfile(GOLDEN, goldens / f"golden-{number}.trace.jsonl")
    approve_all(goldens)
    tests = [f"def test_{number}():\n    pass\n" for number in range(count)]
    (empty / "test_empty.py").write_text("\n\n".join(tests), encoding="utf-8")
    return goldens, empty


def session(folder: Path, passed: int) -> float:
    """Return the seconds of a pytest session in a fresh process, in which *passed* tests pass."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        f"--rootdir={folder}",
        "-c",
        "/dev/null",
        str(folder),
    ]
    done: list[subprocess.CompletedProcess[str]] = []
    seconds = timed(lambda: done.append(subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)))
    assert f"{passed} passed" in done[0].stdout, done[0].stdout
    return seconds


def replays(folder: Path, count: int) -> float:
    """Return the seconds of all replays one after another, with a graph that is bound once."""
    bound = bind(load_graph("v3-framed"))
    found: list[str] = []
    seconds = timed(lambda: found.extend(Replayer(path, bound=bound).run().verdict for path in sorted(folder.glob("*.jsonl"))))
    assert found == ["same"] * count
    return seconds
