"""Peak memory of replaying a trace of 100,000 frames: it streams."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import Figure
from benchmarks.recording import record, replay

FRAMES = 100_000


def figures(folder: Path) -> Iterator[Figure]:
    """Yield the peak of a child process that replays."""
    path = folder / "long.trace.jsonl"
    subprocess.run([sys.executable, "-m", "benchmarks.memory", "record", str(path)], check=True)
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.memory", "replay", str(path)], check=True, capture_output=True, text=True
    )
    yield Figure(
        name=f"peak memory of replaying {FRAMES:,} frames",
        ratio=int(done.stdout) / 1024,
        bound=150,
        unit="MiB",
        detail=f"{path.stat().st_size / 2**20:,.0f} MiB of trace",
    )


def main() -> None:
    """Record or replay in this process; the replay prints its peak in KiB."""
    what, path = sys.argv[1], Path(sys.argv[2])
    if what == "record":
        record(path, FRAMES // 5 - 40)
    else:
        replay(path)
        sys.stdout.write(str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))


if __name__ == "__main__":
    main()
