"""Run all benchmarks and print one line for each figure; exit 1 where one misses its bound."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from benchmarks import breakpoints, debugging, diff, lookup, memory, peers, plugin, proxy, recording, session, sizes, start

TOPICS = {
    "recording": recording,
    "sizes": sizes,
    "lookup": lookup,
    "session": session,
    "peers": peers,
    "start": start,
    "memory": memory,
    "diff": diff,
    "plugin": plugin,
    "debugging": debugging,
    "breakpoints": breakpoints,
    "proxy": proxy,
}


def main() -> int:
    """Run the topics named on the command line, or all."""
    wanted = sys.argv[1:] or list(TOPICS)
    unknown = [name for name in wanted if name not in TOPICS]
    if unknown:
        sys.stderr.write(f"no topic {', '.join(unknown)}; there are {', '.join(TOPICS)}\n")
        return 2
    missed = 0
    with tempfile.TemporaryDirectory() as folder:
        for name in wanted:
            for figure in TOPICS[name].figures(Path(folder)):
                sys.stdout.write(figure.line() + "\n")
                sys.stdout.flush()
                missed += not figure.met
    for notice in peers.skipped():
        sys.stdout.write(f"skip {notice}\n")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
