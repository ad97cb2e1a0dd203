"""How long a person waits for ``frameengine --help``."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import Figure, timed

RUNS = 20


def figures(folder: Path) -> Iterator[Figure]:
    """Yield the ratio of minimum times of fresh processes, taken in turn."""
    ours, floor = [], []
    for _ in range(RUNS):
        ours.append(
            timed(
                lambda: subprocess.run(
                    [sys.executable, "-m", "frameengine_cli", "--help"], check=True, capture_output=True, cwd=folder
                )
            )
        )
        floor.append(
            timed(lambda: subprocess.run([sys.executable, "-c", "import typer"], check=True, capture_output=True, cwd=folder))
        )
    yield Figure(
        name="cold start of --help / python -c 'import typer'",
        ratio=min(ours) / min(floor),
        bound=3,
        detail=f"{min(ours) * 1000:.0f} ms / {min(floor) * 1000:.0f} ms, minimum of {RUNS}",
    )
