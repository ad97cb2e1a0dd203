"""A rerun of unchanged code is the record again: digests, places, times and bytes; real recordings included."""

from __future__ import annotations

import lzma
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frameengine.graph.registry import bind
from frameengine.importers.openai import import_messages, read_conversations, tool_loop
from frameengine.replay.replayer import Replayer, embedded_graph
from frameengine.rerun.rerun import rerun
from frameengine.trace.reader import TraceReader, read_header
from frameengine.trace.verify import verify
from toy import random_run

GOLDENS = sorted((Path(__file__).parents[2] / "traces").glob("*.trace.jsonl"))


def times(path: Path) -> list[tuple[str, int | None]]:
    """Return kind and time of each line."""
    with TraceReader(path) as reader:
        return [(line.kind, line.at) for line in reader.lines()]


@given(seed=st.integers(0, 2**32))
@settings(max_examples=20)
def test_a_random_run_comes_out_the_same(seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Side-by-side nodes, failures, ticks and cancels: the canonical digest, and every count, is the record's."""
    folder = tmp_path_factory.mktemp("run")
    path, target = folder / "one.trace.jsonl", folder / "two.trace.jsonl"
    bound = random_run(path, seed)
    result = rerun(path, bound, output=target)
    one, two = verify(path), verify(target)
    assert (two.canonical, two.counts) == (one.canonical, one.counts)
    # A Cancel may have cut off all that was asked.
    worth = "exact" if result.count["exact"] else "no replies"
    assert (result.verdict, result.counts, result.ignored) == (worth, one.counts, ())
    assert (result.unused, result.moved, result.misses) == ((), (), ())


@pytest.mark.parametrize("path", GOLDENS, ids=lambda path: path.stem)
def test_goldens_come_out_the_same(path: Path, tmp_path: Path) -> None:
    """Each committed trace runs again to its own digest and times, twice to the same bytes, and the new trace replays."""
    bound = bind(embedded_graph(read_header(path), path))
    targets = [tmp_path / "one.trace.jsonl", tmp_path / "two.trace.jsonl"]
    heads = [rerun(path, bound, output=target).head for target in targets]
    assert targets[0].read_bytes() == targets[1].read_bytes()
    receipt = verify(targets[0])
    assert heads == [receipt.head] * 2
    assert receipt.canonical == verify(path).canonical
    assert times(targets[0]) == times(path)
    assert Replayer(targets[0], bound=bound).run().verdict == "same"
    assert sorted(file.name for file in tmp_path.iterdir()) == [target.name for target in targets]


@pytest.mark.data
def test_real_conversations_come_out_the_same(data_dir: Path, tmp_path: Path) -> None:
    """Every fourth of the airline's conversations runs again exactly, and stops where its recording stops."""
    counts: Counter[str] = Counter()
    bound, path, target = tool_loop(), tmp_path / "one.trace.jsonl", tmp_path / "two.trace.jsonl"
    data = lzma.decompress((data_dir / "tau-bench" / "gpt-4o-airline.jsonl.xz").read_bytes())
    for conversation in islice(read_conversations(data, "tau-bench"), 0, None, 4):
        import_messages(conversation, path, bound=bound, replace=True)
        result = rerun(path, bound, output=target, replace=True)
        counts["same"] += verify(target).canonical == verify(path).canonical
        counts[result.verdict] += 1
        counts["left"] += len(result.unused)
        counts["stopped"] += result.count["not recorded"]
    assert counts == {"same": 25, "exact": 25, "left": 0, "stopped": 25}
