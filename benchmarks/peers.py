"""Recording a message, against Burr and LangGraph doing the same work in the same run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from benchmarks import peer_pipelines, peer_vcr, recording
from benchmarks.measure import Figure, rounds

MODULES = {
    "burr": "burr.core",
    "langgraph": "langgraph.graph",
    "langgraph-checkpoint-sqlite": "langgraph.checkpoint.sqlite",
    "vcrpy": "vcr",
}
"""Each distribution, and the module that shows that it is there."""
TELEMETRY_OFF = {
    "BURR_TELEMETRY_ENABLED": "false",
    "LANGCHAIN_TRACING_V2": "false",
    "LANGSMITH_TRACING": "false",
    "LANGSMITH_TRACING_V2": "false",
}
ROUNDS = 7


def installed(*names: str) -> bool:
    """Tell whether all these distributions are there, without importing them."""
    for name in names:
        try:
            if find_spec(MODULES[name]) is None:
                return False
        except ModuleNotFoundError:
            # The package that would hold the module is missing.
            return False
    return True


def skipped() -> list[str]:
    """Return a notice for each peer that is not installed."""
    return [f"{name} is not installed: pip install '.[bench]'" for name in MODULES if not installed(name)]


def vcr_seconds_a_call(folder: Path) -> float | None:
    """Return vcrpy's seconds a call, answered from a cassette of 100 with body matching; None where it is not installed."""
    return peer_vcr.seconds_a_call(folder) if installed("vcrpy") else None


def figures(folder: Path) -> Iterator[Figure]:
    """Yield the ratio to each peer that is installed, its time a message by ours."""
    peers = {}
    if installed("burr"):
        peers["Burr with LocalTrackingClient"] = (peer_pipelines.burr, 10)
    if installed("langgraph", "langgraph-checkpoint-sqlite"):
        peers["LangGraph with SqliteSaver"] = (peer_pipelines.langgraph, 80)
    if not peers:
        return
    # Before the first import of a peer: that is when some of them read it.
    os.environ.update(TELEMETRY_OFF)
    path = folder / "peers.trace.jsonl"
    ours = {"ours": lambda: recording.record(path) / (recording.MESSAGES + recording.WARM_UP)}
    times = rounds(ours | {name: partial(seconds, folder) for name, (seconds, _) in peers.items()}, ROUNDS)
    for name, (_, bound) in peers.items():
        yield Figure(
            name=f"{name} / recording a message",
            ratio=times.ratio(name, "ours"),
            bound=bound,
            at_least=True,
            detail=f"{times.median(name) * 1e6:,.0f} us / {times.median('ours') * 1e6:,.0f} us",
        )
