"""``frameengine replay --runs``: the same replay in several fresh processes, and what differs between them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from attrs import frozen

from frameengine.errors import InternalError

if TYPE_CHECKING:
    from frameengine_cli.commands.replay import How
    from frameengine_cli.refs import Source

EXIT_FLAKY = 1


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
        return "same" if error is None else str(error["message"])

    def to_json(self) -> dict[str, Any]:
        """Return the ending as plain JSON."""
        told = {name: self.document.get(name) for name in ("verdict", "divergence", "error")}
        return {"seeds": list(self.seeds), "exit": self.code, "what": self.what, **told}


def compare_runs(ref: str, how: How, runs: int, folder: Path | None, *, as_json: bool) -> None:
    """Replay *ref* in *runs* processes; leave with 1 where they do not all end alike, else with the code that all have."""
    from frameengine_cli import output
    from frameengine_cli.refs import opened

    with opened(ref, folder) as source:
        endings = _endings(source, how, runs)
    flaky = len(endings) > 1
    code = EXIT_FLAKY if flaky else endings[0].code
    if as_json:
        members = {"verdict": "flaky" if flaky else endings[0].document.get("verdict", "error"), "path": str(source.name)}
        output.document({**members, "runs": runs, "endings": [one.to_json() for one in endings]}, ok=not code)
    else:
        from frameengine_cli.screens.runs import screen

        output.show(screen(endings, runs, str(source.name), output.look()))
    if code:
        raise typer.Exit(code)


def _endings(source: Source, how: How, runs: int) -> list[Ending]:
    """Return every way in which a run ended, those of most runs first."""
    from frameengine_cli.progress import patience

    by_ending: dict[str, list[int]] = {}
    told: dict[str, tuple[int, dict[str, Any]]] = {}
    with patience("replaying", runs) as done:
        for seed in range(1, runs + 1):
            code, document = _run(source.path, how, seed)
            key = json.dumps([code, document], sort_keys=True)
            by_ending.setdefault(key, []).append(seed)
            told[key] = (code, document)
            done(seed)
    endings = [Ending(seeds=tuple(seeds), code=told[key][0], document=told[key][1]) for key, seeds in by_ending.items()]
    return sorted(endings, key=lambda one: (-len(one.seeds), one.seeds))


def _run(path: Path, how: How, seed: int) -> tuple[int, dict[str, Any]]:
    command = [sys.executable, "-m", "frameengine_cli", "replay", "--json", "--guard", how.guard]
    command += ["--graph", how.graph] if how.graph is not None else []
    command += ["--trust"] if how.trust else []
    # The last name may look like an option or a place in a trace; a whole path does not.
    done = subprocess.run(  # noqa: S603 - this very program
        [*command, str(path.absolute())],
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
