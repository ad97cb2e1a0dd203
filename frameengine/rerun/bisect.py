"""Bisect: the first of several versions of a graph whose replay of a trace diverges."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

from attrs import frozen

from frameengine.errors import (
    DeterminismError,
    ExpressionError,
    FrameEngineError,
    GraphError,
    LimitError,
    NothingCompared,
    UsageError,
)
from frameengine.graph.loader import load_graph
from frameengine.graph.registry import BoundGraph, bind, fingerprint
from frameengine.replay.cause import changed
from frameengine.replay.replayer import Replayer, ReplayResult, check_runs_code

Judgement: TypeAlias = Literal["good", "bad", "untestable"]
Verdict: TypeAlias = Literal["found", "all good", "all bad", "untestable"]
_DIGITS = re.compile("([0-9]+)")


@frozen(kw_only=True)
class Tested:
    """One version, and what a replay with it came to."""

    version: str
    """Its name, or the path of its file."""
    judgement: Judgement
    """good: it replays; bad: it diverges; untestable: it cannot be replayed with at all."""
    result: ReplayResult | None = None
    """The replay, where it came to an end."""
    error: FrameEngineError | None = None
    """What ended it, or kept it from beginning."""
    bound: BoundGraph | None = None
    """The graph with its code, where it could be bound."""


@frozen(kw_only=True)
class BisectResult:
    """What a search among versions came to."""

    verdict: Verdict
    """found; or why there is nothing to find."""
    versions: tuple[str, ...]
    """All versions, the oldest first."""
    tested: tuple[Tested, ...]
    """Those that were tested, in order of version."""
    last_good: Tested | None = None
    """The version before the first bad one, but for skipped ones between them."""
    first_bad: Tested | None = None
    """The first version that diverges, as far as was tested."""
    between: tuple[str, ...] = ()
    """Untestable versions between those two: each of them may be the first bad one."""
    changed: tuple[str, ...] = ()
    """What has another digest in the first bad version than in the last good one."""
    again: tuple[str, ...] = ()
    """Versions after the first bad one that are good: the search assumes that there are none."""

    @property
    def skipped(self) -> tuple[Tested, ...]:
        """The versions that cannot be tested."""
        return tuple([one for one in self.tested if one.judgement == "untestable"])


def versions(place: Path) -> tuple[str, ...]:
    """Return the versions in a folder of graph files, or in a file that lists them, the oldest first.

    In a folder that is by name, numbers in it by value: ``v2`` stands before ``v10``. In a file each line is a path, relative to
    the file, or the name of a graph. Raises `UsageError` where there is none.
    """
    found: list[str] = []
    if place.is_dir():
        found = [str(path) for path in sorted(sorted(place.glob("*.toml")), key=_by_number)]
    elif place.is_file():
        try:
            lines = [line.partition("#")[0].strip() for line in place.read_text(encoding="utf-8").split("\n")]
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(
                f"{place} cannot be read: {error}", hint="write one path or name on a line", path=str(place)
            ) from error
        found = [str(place.parent / line) if line.endswith(".toml") else line for line in lines if line]
    else:
        raise UsageError(f"there is no {place}", hint="name a folder of graph files, or a file that lists them", path=str(place))
    if not found:
        raise UsageError(
            f"{place} has no graphs", hint="put graph files (*.toml) into it, the oldest first by name", path=str(place)
        )
    return tuple(found)


def _by_number(path: Path) -> list[tuple[int, str]]:
    return [(int(part), "") if _DIGITS.fullmatch(part) else (-1, part) for part in _DIGITS.split(path.name)]


class Bisect:
    """One search for the first version that diverges."""

    def __init__(
        self,
        trace: Path,
        listed: Sequence[str],
        *,
        switch: Callable[[str], BoundGraph] | None = None,
        told: Callable[[Tested], None] = lambda _tested: None,
    ) -> None:
        """Search among *listed*, the oldest first; *told* hears of each version that was tested."""
        self._trace = trace
        self._listed = tuple(listed)
        self._switch = switch
        self._told = told
        self._tested: dict[int, Tested] = {}

    def run(self, *, every: bool = False) -> BisectResult:
        """Search by halves, which finds the right version where all that follow a bad one are bad; *every* tests each of them.

        Where oldest and newest are good, halves say nothing of those between, and each is tested. Raises `TraceError` for the
        trace, and `NothingCompared` where it has nothing to compare.
        """
        indices = range(len(self._listed))
        if every:
            self._test_all()
        good = self._nearest(indices)
        bad = self._nearest(reversed(indices))
        if good is None or bad is None:
            return self._told_of("untestable")
        if self._test(good).judgement == "bad":
            return self._told_of("all bad", None, good)
        if every or self._test(bad).judgement == "good":
            self._test_all()
            bad = next((index for index in indices if self._test(index).judgement == "bad"), bad)
            good = max(index for index in indices if index <= bad and self._test(index).judgement == "good")
        if self._test(bad).judgement == "good":
            return self._told_of("all good", bad, None)
        while (middle := self._between(good, bad)) is not None:
            if self._test(middle).judgement == "good":
                good = middle
            else:
                bad = middle
        return self._told_of("found", good, bad)

    def _test_all(self) -> None:
        for index in range(len(self._listed)):
            self._test(index)

    def _nearest(self, indices: Iterable[int]) -> int | None:
        """Return the first of *indices* that can be tested."""
        return next((index for index in indices if self._test(index).judgement != "untestable"), None)

    def _between(self, good: int, bad: int) -> int | None:
        """Return a version between two that can be tested, as near to their middle as there is one."""
        middle = (good + bad) // 2
        return self._nearest(sorted(range(good + 1, bad), key=lambda index: (abs(index - middle), index)))

    def _test(self, index: int) -> Tested:
        if index not in self._tested:
            self._tested[index] = _tested(self._trace, self._listed[index], self._switch)
            self._told(self._tested[index])
        return self._tested[index]

    def _told_of(self, verdict: Verdict, good: int | None = None, bad: int | None = None) -> BisectResult:
        last_good = None if good is None else self._tested[good]
        first_bad = None if bad is None else self._tested[bad]
        return BisectResult(
            verdict=verdict,
            versions=self._listed,
            tested=tuple([self._tested[index] for index in sorted(self._tested)]),
            last_good=last_good,
            first_bad=first_bad,
            between=() if good is None or bad is None else self._listed[good + 1 : bad],
            changed=_changed(last_good, first_bad),
            again=()
            if bad is None
            else tuple([one.version for index, one in sorted(self._tested.items()) if index > bad and one.judgement == "good"]),
        )


def _tested(trace: Path, version: str, switch: Callable[[str], BoundGraph] | None) -> Tested:
    """Replay *trace* with a version. A version's own faults are judged; the trace's are raised."""
    try:
        bound = bind(load_graph(version))
    except (GraphError, ExpressionError) as error:
        return Tested(version=version, judgement="untestable", error=error)
    check_runs_code(bound.graph, trace)
    members: dict[str, Any] = {"version": version, "bound": bound}
    try:
        result = Replayer(trace, bound=bound, switch=switch).run()
    except (GraphError, ExpressionError) as error:
        return Tested(judgement="untestable", error=error, **members)
    except (DeterminismError, LimitError) as error:
        return Tested(judgement="bad", error=error, **members)
    return Tested(judgement="good" if result.divergence is None else "bad", result=result, **members)


def _changed(good: Tested | None, bad: Tested | None) -> tuple[str, ...]:
    if good is None or bad is None or good.bound is None or bad.bound is None:
        return ()
    return tuple([str(change) for change in changed(fingerprint(good.bound), fingerprint(bad.bound))])


def untestable(result: BisectResult) -> NothingCompared:
    """Return the error for versions none of which could be tested."""
    listed = "\n".join([f"{one.version}: {one.error.message if one.error else ''}" for one in result.skipped])
    return NothingCompared(
        f"none of {len(result.versions)} versions can be tested\n{listed}",
        hint="correct the graphs, or install what they need",
        versions=list(result.versions),
    )
