"""Bisect: the first version that diverges, whatever cannot be tested, and honest words where halving does not hold."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cli_runs import JACKET, record_run
from frameengine.errors import Nondeterminism, TraceIncomplete, UsageError
from frameengine.rerun.bisect import Bisect, BisectResult, versions

GRAPH = (Path(__file__).parents[2] / "frameengine" / "graph" / "definitions" / "tool-loop.toml").read_text(encoding="utf-8")
KINDS = {
    "good": GRAPH.replace("the shape of most agents", "as ever"),
    "bad": GRAPH.replace("when = '\"tools\" not in nodes'", "when = '\"tools\" in nodes'"),
    "untestable": GRAPH.replace('implementation = "chat_output"', 'implementation = "gone:Output"'),
}


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a trace that the tool loop replays."""
    return record_run(tmp_path_factory.mktemp("trace") / "jacket.trace.jsonl", [JACKET])


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return a graph of each kind."""
    folder = tmp_path_factory.mktemp("graphs")
    assert all(text != GRAPH for text in KINDS.values())
    for kind, text in KINDS.items():
        (folder / f"{kind}.toml").write_text(text, encoding="utf-8")
    return {kind: folder / f"{kind}.toml" for kind in KINDS}


class Counted:
    """A history of versions, in which each is a file of its own name and of one of three kinds."""

    def __init__(self, folder: Path, kinds: list[str]) -> None:
        self.paths = []
        for number, kind in enumerate(kinds):
            path = folder / f"v{number}.toml"
            path.write_text(KINDS[kind], encoding="utf-8")
            self.paths.append(str(path))

    def names(self, result: BisectResult) -> tuple[str | None, str | None, list[str]]:
        """Return last good, first bad and those between, without their folder."""
        good = None if result.last_good is None else Path(result.last_good.version).stem
        bad = None if result.first_bad is None else Path(result.first_bad.version).stem
        return good, bad, [Path(name).stem for name in result.between]


@given(good=st.integers(1, 9), bad=st.integers(1, 9), holes=st.sets(st.integers(0, 17), max_size=8))
@settings(max_examples=25)
def test_the_first_bad_version_is_found(
    good: int, bad: int, holes: set[int], trace: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """With untestable versions anywhere, the first bad and the last good one that can be tested are named, and those between."""
    kinds = ["good"] * good + ["bad"] * bad
    for hole in holes & set(range(len(kinds))):
        kinds[hole] = "untestable"
    history = Counted(tmp_path_factory.mktemp("history"), kinds)
    for every in (False, True):
        result = Bisect(trace, history.paths).run(every=every)
        goods = [index for index, kind in enumerate(kinds) if kind == "good"]
        bads = [index for index, kind in enumerate(kinds) if kind == "bad"]
        if goods and bads:
            names = (f"v{goods[-1]}", f"v{bads[0]}", [f"v{index}" for index in range(goods[-1] + 1, bads[0])])
            assert (result.verdict, *history.names(result)) == ("found", *names)
            assert result.first_bad is not None
            assert result.first_bad.result is not None
            assert result.first_bad.result.divergence is not None
            assert result.changed == ("graph",)
        else:
            assert result.verdict == ("all good" if goods else "all bad" if bads else "untestable")
        assert len(result.tested) == len(kinds) or not every


def test_halving_tests_few_versions(trace: Path, tmp_path: Path) -> None:
    """Of 64 versions no more than the two ends and six more are tested."""
    history = Counted(tmp_path, ["good"] * 40 + ["bad"] * 24)
    result = Bisect(trace, history.paths).run()
    assert history.names(result) == ("v39", "v40", [])
    assert len(result.tested) <= 8


def test_versions_that_are_good_again_are_told(trace: Path, tmp_path: Path) -> None:
    """Where a good version follows a bad one, testing all finds the very first bad one and names those that are good again."""
    history = Counted(tmp_path, ["good", "bad", "good", "good", "bad"])
    result = Bisect(trace, history.paths).run(every=True)
    assert history.names(result) == ("v0", "v1", [])
    assert [Path(name).stem for name in result.again] == ["v2", "v3"]


@given(kinds=st.lists(st.sampled_from(["good", "bad", "untestable"]), max_size=8))
@settings(max_examples=15)
def test_a_bad_version_between_good_ends_is_never_green(
    kinds: list[str], trace: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Where oldest and newest replay, each version between them is tested: the first bad one is found, with or without asking."""
    history = Counted(tmp_path_factory.mktemp("history"), ["good", *kinds, "good"])
    result, asked = Bisect(trace, history.paths).run(), Bisect(trace, history.paths).run(every=True)
    assert (result.verdict, result.again, *history.names(result)) == (asked.verdict, asked.again, *history.names(asked))
    assert len(result.tested) == len(kinds) + 2
    assert result.verdict == ("found" if "bad" in kinds else "all good")
    if "bad" in kinds:
        assert history.names(result)[1] == f"v{kinds.index('bad') + 1}"


def test_a_fault_of_the_trace_is_no_fault_of_a_version(trace: Path, files: dict[str, Path], tmp_path: Path) -> None:
    """A damaged trace ends the search; it does not make versions bad."""
    damaged = tmp_path / "damaged.trace.jsonl"
    data = trace.read_bytes()
    damaged.write_bytes(data[: data.rindex(b"\n", 0, -1) + 1])
    with pytest.raises(TraceIncomplete):
        Bisect(damaged, [str(files["good"]), str(files["bad"])]).run()


def test_a_version_that_touches_the_clock_is_bad(trace: Path, files: dict[str, Path], tmp_path: Path) -> None:
    """Code that the guard refuses has ended the replay: that version is bad, and what it touched is told."""
    module = tmp_path / "ticking.py"
    module.write_text(TICKING, encoding="utf-8")
    (tmp_path / "ticking.toml").write_text(GRAPH.replace('"chat_output"', '"ticking:Output"'), encoding="utf-8")
    sys.path.insert(0, str(tmp_path))
    try:
        result = Bisect(trace, [str(files["good"]), str(tmp_path / "ticking.toml")]).run()
    finally:
        sys.path.remove(str(tmp_path))
    assert (result.verdict, result.last_good and result.last_good.version) == ("found", str(files["good"]))
    assert result.first_bad is not None
    assert isinstance(result.first_bad.error, Nondeterminism)


TICKING = """
import time

class Output:
    async def run(self, message, ctx):
        ctx.say(f"{message.text} at {time.time()}")
"""


def test_versions_stand_in_order_of_name_or_as_listed(tmp_path: Path) -> None:
    """Plain digits in names count by value; a list has paths relative to itself and names of shipped graphs; none is an error."""
    for name in ("v10", "v2", "v1b", "v1", "v1²3", "v٣"):
        (tmp_path / f"{name}.toml").write_text(GRAPH, encoding="utf-8")
    assert [Path(name).stem for name in versions(tmp_path)] == ["v1", "v1b", "v1²3", "v2", "v10", "v٣"]
    listed = tmp_path / "versions.txt"
    listed.write_text("# oldest first\nv2.toml\n\ntool-loop  # as shipped\n", encoding="utf-8")
    assert versions(listed) == (str(tmp_path / "v2.toml"), "tool-loop")
    (tmp_path / "none").mkdir()
    for place in (tmp_path / "none", tmp_path / "nowhere"):
        with pytest.raises(UsageError):
            versions(place)
