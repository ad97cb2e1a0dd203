"""``frameengine replay``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from frameengine_cli.commands import options

if TYPE_CHECKING:
    from frameengine.graph.registry import BoundGraph
    from frameengine.inputs import Input
    from frameengine.jsonvalue import FrozenMap
    from frameengine.records import FrameTrace
    from frameengine.replay.replayer import ReplayResult

RECORDED = "recorded"
"""What --graph says for the definition that stands in the trace."""


def replay(
    ref: options.Ref,
    *,
    graph: Annotated[
        str | None,
        typer.Option(
            "--graph",
            metavar="NAME|PATH",
            help="Graph to replay with; 'recorded' for the trace's own. Else the shipped one of that name, if there is one.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FILE", help="Write the replayed run as a trace; it may not exist yet.", show_default=False
        ),
    ] = None,
    guard: Annotated[
        Literal["off", "on", "full"], typer.Option("--guard", help="How closely node code is watched for clocks and chance.")
    ] = "on",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print no line for each message.")] = False,
    _bisect: Annotated[
        bool, typer.Option("--bisect", help="Exit codes for 'git bisect run': 0 same, 1 diverged, 125 cannot test.")
    ] = False,
    as_json: options.Json = False,
    traces: options.Traces = None,
) -> None:
    """Run the nodes on what was recorded and compare everything.

    The real code gets the recorded inputs and replies; no model, tool, network or clock is asked. Exit 0 where all is the
    same, 4 at the first difference.

    Example: frameengine replay latest
    """
    from frameengine_cli.refs import opened

    with opened(ref, traces) as path:
        result, used = _replayed(path, graph, guard, output, quiet=quiet or as_json)
    if as_json:
        _document(result, used)
    else:
        _show(result, used)
    if result.divergence is not None:
        raise typer.Exit(4)


def _replayed(path: Path, graph: str | None, level: Any, output: Path | None, *, quiet: bool) -> tuple[ReplayResult, str]:
    from frameengine.engine.guard import Guard
    from frameengine.graph.loader import load_graph
    from frameengine.graph.registry import bind
    from frameengine.replay.replayer import Replayer
    from frameengine.replay.touched import with_touch
    from frameengine.trace.reader import read_header
    from frameengine_cli.failures import Interrupted
    from frameengine_cli.progress import patience
    from frameengine_cli.refs import last_seal

    bound, used = choose_graph(read_header(path), graph)
    seal = last_seal(path)
    total = seal.get("inputs") if seal is not None else None
    watcher = _Watcher(quiet=quiet)

    def switch(name: str) -> BoundGraph:
        return bind(load_graph(name))

    replayer = Replayer(path, bound=bound, guard=Guard(level), output=output, instruments=(watcher,), switch=switch)
    try:
        if sys.stdout.isatty() and not quiet:
            # The lines on the screen tell how far it is; a bar among them would only get in their way.
            result = replayer.run()
        else:
            with patience("replaying", total if isinstance(total, int) else None) as done:
                watcher.done = done
                result = replayer.run()
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted while replaying {watcher.place}", hint="the trace was only read; run it again") from None
    watcher.end(same=result.divergence is None)
    return with_touch(result, bound=bound, switch=switch), used


def choose_graph(header: FrozenMap, wanted: str | None) -> tuple[BoundGraph | None, str]:
    """Return the graph to replay with, None for the one in the header, and how to call it.

    A shipped graph of the recorded name goes before the recorded definition, so that a graph that was changed is noticed.
    """
    from frameengine.graph.loader import list_graphs, load_graph
    from frameengine.graph.registry import bind

    name = str((header.get("graph") or {}).get("name", ""))
    if wanted is not None and wanted != RECORDED:
        bound = bind(load_graph(wanted))
        return bound, f"{bound.graph.name} v{bound.graph.version} (--graph {wanted})"
    if wanted is None and name in [shipped for shipped, _ in list_graphs()]:
        bound = bind(load_graph(name))
        return bound, f"{name} v{bound.graph.version} (as shipped with this version)"
    return None, f"{name} (the definition in the trace)"


class _Watcher:
    """An instrument that tells each message once the next begins: only then has it been compared."""

    def __init__(self, *, quiet: bool) -> None:
        self.quiet = quiet
        self.done: Callable[[int], None] = lambda _done: None
        self.place = "the header"
        self._input: Input | None = None
        self._trace: FrameTrace | None = None

    def on_input(self, entered: Input) -> None:
        """Tell the message before; remember this one."""
        if entered.during is not None:
            return
        self.done(entered.number - 1)
        self._tell("✓")
        self._input, self._trace = entered, None
        self.place = f"input {entered.number}"

    def on_frame(self, frame: Any) -> None:
        """Remember how far it is."""
        self.place = f"input {frame.input}, frame {frame.frame}"

    def on_trace(self, trace: FrameTrace) -> None:
        """Remember the figures."""
        self._trace = trace

    def end(self, *, same: bool) -> None:
        """Tell the last message."""
        self._tell("✓" if same else "✗")

    def _tell(self, sign: str) -> None:
        if self.quiet or self._input is None:
            return
        from frameengine_cli import output, phrases
        from frameengine_cli.look import BAD, GOOD, QUIET, words

        facts: list[tuple[str, str]] = []
        if self._trace is not None:
            trace = self._trace
            frames, calls = phrases.count(trace.frames, "frame"), phrases.count(trace.calls, "call")
            ended = "" if trace.status == "done" else f"  {trace.status}"
            facts = [(f"{trace.path:<20}", QUIET), (f"{frames:>10}", QUIET), (f"{calls:>10}", QUIET), (ended, QUIET)]
        style = GOOD if sign == "✓" else BAD
        number = f"{self._input.number:>4}"
        room = max(output.width() - sum(len(fact) for fact, _ in facts) - 10, 20)
        text = phrases.cut(phrases.input_line(self._input), room)
        output.show(words((f"{sign} ", style), (number, QUIET), ("  ", ""), (f"{text:<{room}}  ", ""), *facts))
        sys.stdout.flush()


def _document(result: ReplayResult, graph: str) -> None:
    from frameengine.codec import tagged
    from frameengine_cli import output
    from frameengine_cli.screens.run import counts_json

    found = result.divergence
    members: dict[str, Any] = {
        "verdict": result.verdict,
        "path": str(result.path),
        "counts": counts_json(result.counts),
        "canonical": tagged(result.canonical),
        "graph": graph,
        "changed": list(result.changed),
        "live_calls": 0,
        "divergence": None if found is None else found.to_json(),
    }
    if found is not None:
        message = f"diverged at {found.place}: {found.kind} {found.pointer}".rstrip()
        members["error"] = {"code": "determinism.diverged", "message": message, "hint": "see divergence", "fields": {}}
    output.document(members, ok=found is None)


def _show(result: ReplayResult, graph: str) -> None:
    from frameengine_cli import output
    from frameengine_cli.screens.divergence import report
    from frameengine_cli.screens.receipt import replayed

    if result.divergence is None:
        output.show(replayed(result, graph, output.look()))
    else:
        output.show(report(result, result.divergence, graph, output.look()))
