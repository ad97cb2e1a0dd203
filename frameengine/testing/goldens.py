"""Replay a golden as a test does: with a graph that somebody named, so that a change of it is noticed."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path

from frameengine.errors import GraphError, UsageError
from frameengine.golden import divergence_path, must_diverge
from frameengine.graph.loader import list_graphs, load_graph
from frameengine.graph.registry import BoundGraph, bind
from frameengine.plaintext import visible
from frameengine.replay.divergence import Divergence, shortened
from frameengine.replay.replayer import Replayer, ReplayResult, check_runs_code
from frameengine.replay.touched import with_touch
from frameengine.trace.reader import read_header

RECORDED = "recorded"
"""Stands among graph files for the definitions in the traces themselves, with all the code that they name."""
VALUE_WIDTH = 400
"""Code points of a value that a failed test shows."""


class Graphs:
    """The graphs that goldens are replayed with, by name: those of the files, then the shipped ones. Each is bound once."""

    def __init__(self, files: Iterable[Path] = (), *, recorded: bool = False) -> None:
        """*files*: graph files, or folders of them; *recorded*: a trace of another graph brings its own definition and code."""
        self.recorded = recorded
        self._files = tuple(files)
        self._bound: dict[str, BoundGraph] | None = None
        self._named: dict[str, Path] = {}
        self._shipped = {name: None for name, _ in list_graphs()}

    def of(self, path: Path) -> BoundGraph | None:
        """Return the graph for a trace; None for the one in it. Raises `TraceError`, and `GraphError` where nobody named one."""
        name = str((read_header(path).get("graph") or {}).get("name", ""))
        found = self._find(name)
        if found is None and not self.recorded:
            raise GraphError(
                f"{path} was recorded with graph {name!r}, which is neither shipped nor among frames_graphs",
                hint=f"add its file to frames_graphs, so that a change of it is noticed (or {RECORDED!r}: the one in the trace)",
                name=name,
            )
        return found

    def switch(self, name: str) -> BoundGraph:
        """Return the graph that an input switches to. Raises `GraphError` where nobody named it."""
        found = self._find(name)
        if found is None:
            raise GraphError(f"a trace switches to graph {name!r}, which nobody named", hint="add its file to frames_graphs")
        return found

    def option(self, result: ReplayResult) -> str:
        """Return what a command needs to take the graph that a replay began with: nothing for one that is shipped."""
        file = self._named.get(str((result.header.get("graph") or {}).get("name", "")))
        return "" if file is None else f" --graph {file}"

    def _find(self, name: str) -> BoundGraph | None:
        if self._bound is None:
            self._bound = dict(self._load())
        if name not in self._bound and name in self._shipped:
            self._bound[name] = bind(load_graph(name))
        return self._bound.get(name)

    def _load(self) -> Iterator[tuple[str, BoundGraph]]:
        for given in self._files:
            for file in sorted(given.glob("*.toml")) if given.is_dir() else (given,):
                bound = bind(load_graph(file))
                name = bound.graph.name
                if name in self._named:
                    raise UsageError(
                        f"{self._named[name]} and {file} are both graph {name!r}", hint="name one of them in frames_graphs"
                    )
                self._named[name] = file
                yield name, bound


def replay_golden(path: Path, graphs: Graphs) -> ReplayResult:
    """Replay a golden and name the likely cause where it diverges. Raises `TraceError`, `GraphError`, `DeterminismError`.

    Raises `NothingCompared` where no node of the run computes anything, as in a recording of somebody's agent.
    """
    bound = graphs.of(path)
    replayer = Replayer(path, bound=bound, switch=graphs.switch, trust=graphs.recorded)
    check_runs_code(replayer.bound.graph, path)
    result = replayer.run()
    return with_touch(result, bound=bound, switch=graphs.switch, trust=graphs.recorded)


def problem(result: ReplayResult) -> list[str]:
    """Return in lines what is wrong with a golden's replay; nothing where it is as it must be."""
    found = result.divergence
    if must_diverge(result.path):
        lost = [f"{result.path} must diverge, and replays the same", "  try: move it, or record it again"]
        return lost if found is None else _elsewhere(result.path, found)
    if found is None:
        return []
    lines = [f"{result.path} diverged at {found.place}", *_facts(found)]
    if found.consequence is not None:
        lines += [f"  what follows, at {found.consequence.place}", *[f"  {line}" for line in _facts(found.consequence)]]
    return [visible_line_of(line) for line in lines]


def _elsewhere(golden: Path, found: Divergence) -> list[str]:
    """Return in lines that a golden diverges at another place than the one that is written down; nothing where it does not.

    A golden that must diverge would otherwise pass by any defect that makes it do so.
    """
    file = divergence_path(golden)
    now = visible_line_of(f"{found.place}: {found.kind} {found.pointer}".rstrip())
    wanted = file.read_text(encoding="utf-8", errors="replace").removesuffix("\n") if file.exists() else ""
    if wanted == now:
        return []
    what = f"diverges at another place than {file.name} says" if wanted else f"must diverge, and no {file.name} says where"
    lines = [f"{golden} {what}", *([f"  expected  {wanted}"] if wanted else ()), *_facts(found), f"  diverged  {now}"]
    return [*map(visible_line_of, lines), f"  try: echo {shlex.quote(now)} > {file}, if it is meant to"]


def visible_line_of(line: str) -> str:
    """Return a line of a report, safe to show and still one line; its columns stay where they are."""
    return visible(line).replace("\n", " ").replace("\t", " ")


def _facts(found: Divergence) -> list[str]:
    facts = [
        ("differs", f"{found.kind} {found.pointer}".rstrip()),
        ("recorded", shortened(found.recorded, VALUE_WIDTH)),
        ("replayed", shortened(found.replayed, VALUE_WIDTH)),
        ("cause", f"{found.cause}: {found.because}" if found.because else found.cause),
    ]
    if found.where:
        facts.append(("raised at", found.where))
    return [f"  {name:<9} {value}" for name, value in facts]
