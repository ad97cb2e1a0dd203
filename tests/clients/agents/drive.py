"""Run one client's agent in that client's own environment: live, recorded or replayed; print what it got as JSON.

Usage: drive.py live|record|replay CLIENT BASE_URL [FILE]
"""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext
from importlib import import_module
from pathlib import Path
from typing import Any

import frameengine


def main(mode: str, client: str, url: str, file: str = "") -> None:
    """Run the agent and print what it returned, and how the block ended."""
    agent = import_module(f"{client}_agent")
    block: Any = nullcontext()
    if mode == "record":
        block = frameengine.recording(Path(file))
    elif mode == "replay":
        block = frameengine.replaying(Path(file))
    with block as run:
        results = agent.results(url)
    receipt = (
        {} if run is None else {name: getattr(run.receipt, name) for name in ("recorded", "replayed", "missed", "ambiguous")}
    )
    past = [] if run is None else [[touch.address, touch.where, touch.through] for touch in run.receipt.past]
    sys.stdout.write(json.dumps({"results": results, "receipt": receipt, "past": past}) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
