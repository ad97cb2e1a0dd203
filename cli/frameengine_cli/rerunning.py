"""Reruns as commands make them: which graph, who answers, and a bar while it takes long."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from attrs import field, frozen

from frameengine.cassette.match import Policy
from frameengine.errors import CassetteMiss, FrameEngineError, NodeError, UsageError
from frameengine.graph.registry import BoundGraph, bind
from frameengine.records import FrameTrace
from frameengine.replay.replayer import embedded_graph
from frameengine.rerun.rerun import RerunResult, rerun
from frameengine.rerun.supply import Supply
from frameengine.rerun.versions import Matrix
from frameengine.tools.sql import Database
from frameengine.trace.reader import read_header
from frameengine_cli.endpoints import configured, supply
from frameengine_cli.failures import Interrupted, report
from frameengine_cli.graphs import choose_graph, switched_graph
from frameengine_cli.progress import patience
from frameengine_cli.refs import Source, last_seal, typed
from frameengine_cli.spending import broken, calls_failed

if TYPE_CHECKING:
    from frameengine.performers.model_http.models import Models

OnMiss: TypeAlias = Literal["stop", "script", "live"]


@frozen(kw_only=True)
class Terms:
    """What a user says about how calls are answered."""

    policy: Policy = "exact"
    """The loosest way of finding a recorded reply."""
    on_miss: OnMiss | None = None
    """What a call without one does; None for what the other members say."""
    script: Path | None = None
    """A scenario whose replies are used then."""
    databases: Mapping[str, Database] = field(factory=dict)
    """Databases that tools really query then."""
    models: Path | None = None
    """The file that says which live models are asked then; None for the usual places."""
    cassettes: Sequence[Path] = ()
    """Traces whose replies may be used besides the trace's own."""
    trust: bool = False
    """Whether what only the trace names may be imported."""

    def typed(self, graph: str | None) -> list[str]:
        """Return what a hint must repeat so that it can be pasted: the graph, trust, and replies that are written already."""
        named = [] if graph is None else ["--graph", typed(graph)]
        trusted = ["--trust"] if self.trust else []
        return [*named, *trusted, *([] if self.script is None else ["--script", typed(self.script)])]

    def supply(self) -> Supply | None:
        """Return who answers what the cassette does not, anew for each run. Raises `UsageError` where options contradict."""
        wanted = self.on_miss
        if wanted == "stop" and (self.script or self.databases):
            raise UsageError("--on-miss stop answers nothing", hint="leave it out, or leave out --script and --database")
        if wanted != "live" and self.models is not None:
            raise UsageError("--models says which models are asked, and none is", hint="add --on-miss live")
        if wanted == "script" and self.script is None:
            raise UsageError("--on-miss script needs a script", hint="add --script FILE; --template FILE writes one to fill in")
        models = self._asked if wanted == "live" else None
        if wanted == "live" and models is None and not self.databases:
            hint = "write frameengine.toml (docs/live.md), say --models FILE, or add --database NAME=FILE"
            raise UsageError("--on-miss live asks models that are configured and tools on databases: there are none", hint=hint)
        return supply(self.script, self.databases, models)

    @cached_property
    def _asked(self) -> Models | None:
        """The live models, looked for once however many runs there are."""
        return configured(self.models)


@frozen
class Again:
    """A rerun, how to call its graph, and whether that is the one in the trace, which no file was compared with."""

    result: RerunResult
    graph: str
    embedded: bool


class _Progress:
    """An instrument that counts messages."""

    def __init__(self) -> None:
        self.done = 0
        self.told: Callable[[int], None] = lambda _done: None

    def on_trace(self, trace: FrameTrace) -> None:
        """Count one more."""
        self.done = trace.input
        self.told(self.done)


def again(
    source: Source,
    terms: Terms,
    graph: str | None = None,
    output: Path | None = None,
    *,
    replace: bool = False,
    explore: bool = False,
) -> Again:
    """Run the inputs of *source* through a graph: the one of that name or path, else the shipped one, else the recorded one.

    Raises what `frameengine.rerun.rerun.rerun` raises.
    """
    header = read_header(source.path)
    bound, used = choose_graph(header, graph)
    embedded = bound is None
    if bound is None:
        bound = bind(embedded_graph(header, source.path), trusted=terms.trust)
    switched: dict[str, None] = {}

    def switch(name: str) -> BoundGraph:
        other, called = switched_graph(name, trust=terms.trust)
        switched[called] = None
        return other

    seal, progress = last_seal(source.path), _Progress()
    total = seal.get("inputs") if seal is not None else None
    try:
        with patience("running again", total if isinstance(total, int) else None) as progress.told:
            result = rerun(
                source.path,
                bound,
                cassettes=(source.path, *terms.cassettes),
                policy=terms.policy,
                on_miss=terms.supply(),
                explore=explore,
                output=output,
                replace=replace,
                switch=switch,
                instruments=(progress,),
            )
    except KeyboardInterrupt:
        what = f"interrupted after input {progress.done}"
        raise Interrupted(what, hint="nothing was written; run it again") from None
    return Again(result, ", then ".join([used, *switched]), embedded)


@contextmanager
def explained(name: str, *, as_json: bool) -> Iterator[None]:
    """Show the nearest recorded calls of a miss before it is told; *name* says in which run."""
    import sys

    from frameengine_cli import output
    from frameengine_cli.screens.rerun import missed

    try:
        yield
    except CassetteMiss as error:
        if not as_json:
            output.show(missed(error, name, output.look()))
            sys.stdout.flush()
        error.message = f"{name}: {error.message}"
        raise


def problems_of(result: RerunResult, approximate: bool, unused: bool, versions: Matrix | None = None) -> list[FrameEngineError]:
    """Return what keeps a rerun from being good, but for what is allowed; *versions* are the record and the new run."""
    found: list[FrameEngineError] = []
    checks = [*([] if unused else [result.check_used]), *([] if approximate else [result.check_exact])]
    if versions is not None and versions.differ:
        # Without a reply there is nothing else to judge by than that all came out as it was.
        checks.append(result.check_answered)
    for check in checks:
        try:
            check()
        except FrameEngineError as error:
            found.append(error)
    if result.failed:
        listed = ", ".join(map(str, result.failed[:10]))
        what = f"message {listed} failed, and had not when it was recorded"
        hint = "keep the run with -o FILE, then: frameengine show FILE@MESSAGE"
        found.append(NodeError(what, hint=hint, failed=list(result.failed)))
    refused = calls_failed(broken(result))
    return found if refused is None else [*found, refused]


def tell(problems: Iterable[FrameEngineError]) -> None:
    """Tell each problem on stderr."""
    for problem in problems:
        report(problem, as_json=False)


def publish(draft: Path, target: Path) -> None:
    """Put a finished trace in place as a pending golden."""
    from shutil import copyfileobj

    from frameengine.trace.files import published

    with draft.open("rb") as file, published(target, replace=True) as sink:
        copyfileobj(file, sink)


def nothing_written(target: Path) -> str:
    """Return what to say of a pending golden that was not made; one that stands there was made by code of before."""
    return "nothing was written" + (f", and {target} is left from before" if target.is_symlink() or target.exists() else "")


@contextmanager
def naming_older(target: Path) -> Iterator[None]:
    """Let an error say that nothing was written."""
    try:
        yield
    except FrameEngineError as error:
        error.message += f"; {nothing_written(target)}"
        raise
