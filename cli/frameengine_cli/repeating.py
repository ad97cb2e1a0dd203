"""The same replay in several fresh processes, each with another hash seed, and how they ended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from attrs import frozen

from frameengine.errors import InternalError
from frameengine_cli.progress import patience
from frameengine_cli.screens.receipt import stops


@frozen(kw_only=True)
class Ending:
    """How some of the runs ended."""

    seeds: tuple[int, ...]
    """Their hash seeds."""
    code: int
    """Their exit code."""
    document: dict[str, Any]
    """What they told."""

    @property
    def what(self) -> str:
        """How they ended, in a line."""
        found = self.document.get("divergence")
        if found is not None:
            node = f", node {found['node']}" if found["node"] else ""
            frame = f", frame {found['frame']}" if found["frame"] else ""
            return f"diverged at input {found['input']}{frame}{node}: {found['kind']} {found['pointer']}".rstrip()
        error = self.document.get("error")
        if error is not None:
            return str(error["message"])
        return f"same; {stops(self.document['open'])}" if self.document.get("open") else "same"

    def to_json(self) -> dict[str, Any]:
        """Return the ending as plain JSON."""
        told = {name: self.document.get(name) for name in ("verdict", "divergence", "error")}
        return {"seeds": list(self.seeds), "exit": self.code, "what": self.what, **told}


def repeated(path: Path, options: Sequence[str], runs: int) -> list[Ending]:
    """Replay a trace in *runs* processes with these options; return every way in which one ended, those of most runs first."""
    by_ending: dict[str, list[int]] = {}
    told: dict[str, tuple[int, dict[str, Any]]] = {}
    with patience("replaying", runs) as done:
        for seed in range(1, runs + 1):
            code, document = _run(path, options, seed)
            key = json.dumps([code, document], sort_keys=True)
            by_ending.setdefault(key, []).append(seed)
            told[key] = (code, document)
            done(seed)
    endings = [Ending(seeds=tuple(seeds), code=told[key][0], document=told[key][1]) for key, seeds in by_ending.items()]
    return sorted(endings, key=lambda one: (-len(one.seeds), one.seeds))


def _run(path: Path, options: Sequence[str], seed: int) -> tuple[int, dict[str, Any]]:
    # The last name may look like an option or a place in a trace; a whole path does not.
    done = subprocess.run(  # noqa: S603 - this very program
        [sys.executable, "-m", "frameengine_cli", "replay", "--json", *options, str(path.absolute())],
        env={**os.environ, "PYTHONHASHSEED": str(seed)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    try:
        document: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        what = done.stderr.decode(errors="replace")[-400:]
        raise InternalError(f"a replay with hash seed {seed} ended with {done.returncode}: {what}", hint="report it") from None
    return done.returncode, document
