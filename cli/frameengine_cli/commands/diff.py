"""``frameengine diff``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import typer
from attrs import evolve, frozen

from frameengine_cli.commands import options

if TYPE_CHECKING:
    from frameengine.diff.result import TraceDiff
    from frameengine.errors import FrameEngineError
    from frameengine_cli.refs import Source
    from frameengine_cli.rerunning import Again, Terms

Traces: TypeAlias = Annotated[
    list[str], typer.Argument(metavar="A B", help=f"{options.REF_HELP} With --graph one trace.", show_default=False)
]
Graphs: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--graph",
        metavar="NAME|PATH",
        help="Twice: run one trace through both graphs, and compare what they make of it; 'recorded' for the trace's own.",
        show_default=False,
    ),
]
LoosestWay: TypeAlias = Annotated[
    Literal["exact", "slot", "nearest"],
    typer.Option("--policy", help="With --graph: the loosest way in which a recorded reply may be found."),
]
Approximate: TypeAlias = Annotated[
    bool, typer.Option("--allow-approximate", help="With --graph: exit 0 though replies were recorded for other requests.")
]
Trust: TypeAlias = Annotated[
    bool, typer.Option("--trust", help="With --graph: import the code, and load the graph files, that the trace itself names.")
]
Ignore: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--ignore", metavar="POINTER", help="Leave out this place of each record; '*' is any one step.", show_default=False
    ),
]
Only: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--only", metavar="POINTER", help="Compare this place of each record only.", show_default=False),
]
Number: TypeAlias = Annotated[
    int | None,
    typer.Option("--message", metavar="N", help="Compare one message, by its input's number on the left.", show_default=False),
]
Html: TypeAlias = Annotated[
    Path | None, typer.Option("--html", metavar="FILE", help="Write a page that needs nothing else.", show_default=False)
]


def diff(
    refs: Traces,
    *,
    graph: Graphs = None,
    policy: LoosestWay = "exact",
    allow_approximate: Approximate = False,
    trust: Trust = False,
    ignore: Ignore = None,
    only: Only = None,
    message: Number = None,
    damaged: Annotated[bool, typer.Option("--damaged", help="Compare damaged or unfinished traces as far as they go.")] = False,
    every: Annotated[bool, typer.Option("--all", help="Open what follows from other differences, and list everything.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown, short enough for a comment.")] = False,
    patch: Annotated[bool, typer.Option("--patch", help="Print the RFC 6902 patch from left to right.")] = False,
    html: Html = None,
    github: options.Github = False,
    sarif: options.Sarif = None,
    exchanges: options.Exchanges = False,
    as_json: options.Json = False,
    traces: options.Traces = None,
) -> None:
    """Compare two traces: the first difference and its likely cause, what else differs, and what follows from it.

    Times, meta and headers are no difference. Exit 0 same, 1 differs, 3 a bad file, 5 nothing to compare.

    Examples: frameengine diff latest~1 latest; frameengine diff a.trace.jsonl b.trace.jsonl --ignore /now --html diff.html;
    frameengine diff --graph old.toml --graph new.toml traces/demo.trace.jsonl
    """
    from frameengine_cli.reporting import check_target
    from frameengine_cli.rerunning import Terms, problems_of, tell

    forms = {"--json": as_json, "--markdown": as_markdown, "--patch": patch, "--github": github}
    form = _form([name for name, wanted in forms.items() if wanted])
    _check(refs, graph or [], policy)
    wanted = Wanted(ignore=tuple(ignore or ()), only=tuple(only or ()), message=message, damaged=damaged)
    with ExitStack() as stack:
        if graph:
            terms = Terms(policy=policy, trust=trust)
            pair = stack.enter_context(_through(refs[0], graph, terms, traces, plain=form is not None))
        else:
            pair = stack.enter_context(_named(refs, traces, plain=exchanges or damaged))
        for target in (html, sarif):
            check_target(target, pair.paths)
        found = _compared(pair, wanted)
        if found.verdict == "same" and pair.recordings is not None and _more_to_see(pair.recordings, wanted):
            found = _compared(evolve(pair, paths=pair.recordings), wanted)
    problems = [problem for made in pair.made for problem in problems_of(made.result, allow_approximate, True)]
    _write(found, pair, html, sarif)
    _print(found, pair, form, every=every, ok=found.verdict == "same" and not problems)
    if form != "--json":
        tell(problems)
    worst = {"same": 0, "differs": 1, "incomplete": 3}[found.verdict]
    code = max([worst, *[problem.exit_code for problem in problems]])
    if code:
        raise typer.Exit(code)


@frozen(kw_only=True)
class Wanted:
    """What a user wants to be compared."""

    ignore: tuple[str, ...]
    """Pointers to leave out."""
    only: tuple[str, ...]
    """Pointers to compare alone."""
    message: int | None
    """The one message to compare."""
    damaged: bool
    """Whether damaged files are compared as far as they go."""


@frozen(kw_only=True)
class Pair:
    """Two traces, and how to call them."""

    paths: tuple[Path, Path]
    """Where their bytes are."""
    names: tuple[str, str]
    """What they are called on screens."""
    file: str
    """The file that findings are about."""
    made: tuple[Again, ...] = ()
    """How they were made, where they were."""
    recordings: tuple[Path, Path] | None = None
    """Where both are conversations: the recordings of HTTP calls that these are in."""

    @property
    def facts(self) -> tuple[str, str]:
        """What is to be said of each side besides."""
        told = [_hits(made) for made in self.made] or ["", ""]
        return told[0], told[1]


def _form(wanted: list[str]) -> str | None:
    """Return the one form of stdout that is asked for. Raises `UsageError` for two."""
    from frameengine.errors import UsageError

    if len(wanted) > 1:
        raise UsageError(f"{' and '.join(wanted)} both go to stdout", hint="choose one; --html and --sarif write files")
    return wanted[0] if wanted else None


def _check(refs: list[str], graphs: list[str], policy: str) -> None:
    """Raise `UsageError` where it is not two things that are to be compared."""
    from frameengine.errors import UsageError

    if graphs and (len(graphs), len(refs)) != (2, 1):
        raise UsageError(
            "two graphs are compared on one trace",
            hint="frameengine diff --graph OLD --graph NEW TRACE; for more: rerun --matrix",
        )
    if not graphs and len(refs) != 2:
        count = "one is" if len(refs) == 1 else f"{len(refs)} are"
        raise UsageError(
            f"two traces are compared, and {count} named", hint="frameengine diff A B; for several: frameengine rerun --matrix"
        )
    if not graphs and policy != "exact":
        raise UsageError("--policy is about reruns", hint="add --graph OLD --graph NEW, or leave it out")
    if refs.count("-") > 1:
        raise UsageError("stdin holds one trace", hint="keep the other in a file")


@contextmanager
def _named(refs: list[str], folder: Path | None, *, plain: bool) -> Iterator[Pair]:
    from frameengine_cli.conversing import opened_as_frames

    with opened_as_frames(refs[0], folder, plain=plain) as left, opened_as_frames(refs[1], folder, plain=plain) as right:
        names = str(left.name), str(right.name)
        paths = left.path, right.path
        both = (left.recording, right.recording) if left.recording and right.recording else None
        if both is not None and set(paths) & set(both):
            # One side has no conversation to compare with those of the other.
            paths, both = both, None
        yield Pair(paths=paths, names=names, file=names[1], recordings=both)


@contextmanager
def _through(ref: str, graphs: list[str], terms: Terms, folder: Path | None, *, plain: bool) -> Iterator[Pair]:
    """Give what two graphs make of one trace, for a moment."""
    from tempfile import TemporaryDirectory

    from frameengine_cli.refs import opened

    with opened(ref, folder) as source, TemporaryDirectory(prefix="frameengine-") as kept:
        paths = Path(kept, "left.trace.jsonl"), Path(kept, "right.trace.jsonl")
        made = tuple([_again(source, terms, graph, path, plain=plain) for graph, path in zip(graphs, paths, strict=True)])
        names = f"{source.name} through {graphs[0]}", f"{source.name} through {graphs[1]}"
        yield Pair(paths=paths, names=names, file=str(source.name), made=made)


def _again(source: Source, terms: Terms, graph: str, path: Path, *, plain: bool) -> Again:
    from frameengine_cli.rerunning import again, explained

    with explained(f"{source.name} through {graph}", as_json=plain):
        return again(source, terms, graph, path)


def _hits(made: Again) -> str:
    """Return how the calls of a rerun were answered, and what it left out."""
    result = made.result
    left = {"unused": len(result.unused), "ignored": len(result.ignored)}
    counts = [f"{count:,} {how}" for how, count in [*result.count.items(), *left.items()] if count]
    return ", ".join(counts) if result.verdict == "exact" else f"{result.verdict}: {', '.join(counts)}"


def _compared(pair: Pair, wanted: Wanted) -> TraceDiff:
    from frameengine.diff.compare import compare
    from frameengine.errors import FrameEngineError
    from frameengine_cli.progress import patience
    from frameengine_cli.refs import size

    sizes = [size(path) if path.is_file() else None for path in pair.paths]
    # Each is read twice at most.
    total = None if None in sizes else 2 * sum(each or 0 for each in sizes)
    try:
        with patience("comparing", total, in_bytes=True) as done:
            found = compare(
                *pair.paths,
                ignore=wanted.ignore,
                only=wanted.only,
                message=wanted.message,
                damaged=wanted.damaged,
                done=done,
            )
    except FrameEngineError as error:
        _rename(error, pair)
        raise
    left, right = (evolve(side, path=Path(name)) for side, name in zip((found.left, found.right), pair.names, strict=True))
    return evolve(found, left=left, right=right)


def _more_to_see(recordings: tuple[Path, Path], wanted: Wanted) -> bool:
    """Return whether conversations are the same and their calls are to be compared; where those differ, a line says so.

    Who wants a part of the conversations gets that line alone.
    """
    from frameengine.exchanges.book import read_exchanges
    from frameengine.importers.exchanges import same_calls
    from frameengine_cli.output import remark

    left, right = [list(read_exchanges(path)) for path in recordings]
    if same_calls(left, right):
        return False
    # What is to be ignored of a conversation may be just what its requests differ in.
    part = bool(wanted.only or wanted.message or (wanted.ignore and same_calls(left, right, shown=False)))
    remark("the conversations are the same, their calls are not: " + ("see --exchanges" if part else "here are the calls"))
    return not part


def _rename(error: FrameEngineError, pair: Pair) -> None:
    """Call files that are there for a moment what they are called on screens."""
    for path, name in zip(pair.paths, pair.names, strict=True):
        error.message = error.message.replace(str(path), name)
        error.fields = {key: name if value == str(path) else value for key, value in error.fields.items()}


def _write(found: TraceDiff, pair: Pair, html: Path | None, sarif: Path | None) -> None:
    from frameengine_cli import output

    if html is not None:
        from frameengine.reports.html import html as page

        output.save(html, page(found, facts=pair.facts))
    if sarif is not None:
        from frameengine.reports.finding import of_diff
        from frameengine.reports.sarif import sarif as document

        output.save(sarif, document(of_diff(found, pair.file)))


def _print(found: TraceDiff, pair: Pair, form: str | None, *, every: bool, ok: bool) -> None:
    from frameengine_cli import output

    if form == "--json":
        output.document(_members(found, pair), ok=ok)
    elif form == "--patch":
        from frameengine.codec import dumps
        from frameengine.plaintext import visible_json

        output.write(visible_json(dumps(list(found.patch)).decode()) + "\n")
    elif form == "--markdown":
        from frameengine.reports.markdown import markdown

        output.write(markdown(found))
    elif form == "--github":
        from frameengine.reports.finding import of_diff
        from frameengine.reports.markdown import markdown
        from frameengine_cli.reporting import annotate

        annotate(of_diff(found, pair.file), markdown(found))
    else:
        from frameengine_cli.screens.diff import Shown, screen

        shown = Shown(found=found, facts=pair.facts, every=every, width=output.width())
        output.show(screen(shown, output.look()))


def _members(found: TraceDiff, pair: Pair) -> dict[str, Any]:
    from frameengine.rerun.members import members

    reruns = [{"graph": made.graph, **members(made.result)} for made in pair.made]
    return {**found.to_json(), **({"reruns": reruns} if reruns else {})}
