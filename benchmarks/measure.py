"""Timing on a noisy machine: interleaved rounds, medians, ratios."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from attrs import field, frozen


@frozen(kw_only=True)
class Figure:
    """One measured ratio and the bound that it is held against."""

    name: str
    """What was measured, against what."""
    ratio: float
    """The measured ratio, or a size in `unit`."""
    bound: float
    """What it should not pass (or reach, where `at_least`)."""
    unit: str = "x"
    """x for ratios."""
    at_least: bool = False
    """Whether the bound is a minimum."""
    detail: str = ""
    """The figures behind it."""

    @property
    def met(self) -> bool:
        """Whether the bound holds."""
        return self.ratio >= self.bound if self.at_least else self.ratio <= self.bound

    def line(self) -> str:
        """Return one line for people."""
        sign = "≥" if self.at_least else "≤"
        mark = "ok  " if self.met else "MISS"
        return f"{mark} {self.name:<58} {self.ratio:>9.2f} {self.unit:<4} {sign} {self.bound:g} {self.unit:<4} {self.detail}"


@frozen
class Times:
    """Seconds of each variant in each round."""

    rounds: Mapping[str, tuple[float, ...]] = field()

    def median(self, name: str) -> float:
        """Return the median of one variant, in seconds."""
        return statistics.median(self.rounds[name])

    def ratio(self, name: str, floor: str) -> float:
        """Return the median over the rounds of one variant's time by another's of the same round."""
        return statistics.median([one / other for one, other in zip(self.rounds[name], self.rounds[floor], strict=True)])


def rounds(variants: Mapping[str, Callable[[], float]], count: int = 5) -> Times:
    """Run every variant once per round, in turn; each returns the seconds it wants counted. One more round warms up."""
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for number in range(count + 1):
        for name, variant in variants.items():
            gc.collect()
            taken = variant()
            if number:
                seconds[name].append(taken)
    return Times({name: tuple(taken) for name, taken in seconds.items()})


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that *work* takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def fresh(path: Path) -> Path:
    """Return *path* with nothing there."""
    path.unlink(missing_ok=True)
    return path
