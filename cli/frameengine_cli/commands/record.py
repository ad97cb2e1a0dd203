"""``frameengine record``, and ``frameengine replay --exec``: somebody's agent, started here."""

from __future__ import annotations

import re
import sys
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import typer
from attrs import frozen

from frameengine_cli.commands import options

if TYPE_CHECKING:
    from rich.console import RenderableType

    from frameengine_cli.agents.session import Agent

Isolate: TypeAlias = Annotated[
    bool | None,
    typer.Option(
        "--isolate/--no-isolate",
        help="Give the agent a network in which it reaches nothing but us; without either, at replay, where the machine can.",
        show_default=False,
    ),
]
Also: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--env",
        metavar="NAME",
        help="Another variable that holds the base URL of the OpenAI-compatible endpoint.",
        show_default=False,
    ),
]
Match: TypeAlias = Annotated[
    Literal["exact", "chain"],
    typer.Option(
        "--match", help="With --exec: what a request must have in common with a recorded one: all, or its conversation's place."
    ),
]
Recording: TypeAlias = Annotated[
    str | None,
    typer.Option("--exec", metavar="FILE", help="Answer an agent, the command behind '--', from this.", show_default=False),
]

AllowUnused: TypeAlias = Annotated[
    bool, typer.Option("--allow-unused", help="With --exec: exit 0 though recorded calls were not asked for.")
]
AllowAmbiguous: TypeAlias = Annotated[
    bool, typer.Option("--allow-ambiguous", help="With --exec: exit 0 though equal requests may have got each other's answers.")
]
AllowApproximate: TypeAlias = Annotated[
    bool, typer.Option("--allow-approximate", help="With --exec: exit 0 though answers were recorded for other requests.")
]


_SCRIPT = re.compile(r".+\.(?:pyz?|[cm]?[jt]sx?|rb|pl|php|sh|jl|lua|R)")
"""A file that an interpreter runs."""


@frozen(kw_only=True)
class Terms:
    """How an agent is answered, and what is no failure of that."""

    match: Literal["exact", "chain"] = "exact"
    """What a request must have in common with a recorded one."""
    unused: bool = False
    """Whether recorded calls need not be asked for."""
    ambiguous: bool = False
    """Whether equal requests may have got each other's answers."""
    approximate: bool = False
    """Whether answers may be those to other requests."""
    isolate: bool | None = None
    """Whether it has a network of its own; None for where that can be had."""
    also: tuple[str, ...] = ()
    """Further variables that hold its base URL."""

    def check_unsaid(self) -> None:
        """Raise `UsageError` where something is said of an agent, and none is run."""
        from frameengine.errors import UsageError

        if self != Terms():
            what = "--match, --isolate, --env, --allow-unused, --allow-ambiguous and --allow-approximate are about an agent"
            raise UsageError(what, hint="frameengine replay --exec FILE -- COMMAND")


def record(
    command: Annotated[
        list[str], typer.Argument(metavar="-- COMMAND...", help="The agent: program and arguments.", show_default=False)
    ],
    *,
    upstream: Annotated[
        str | None,
        typer.Option(
            "--upstream",
            metavar="URL",
            help="OpenAI-compatible endpoint; else OPENAI_BASE_URL, else OpenAI's own.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="The trace; without it, a free name in the traces folder, after the agent's script.",
            show_default=False,
        ),
    ] = None,
    isolate: Isolate = None,
    also: Also = None,
    force: options.Force = False,
    as_json: options.Json = False,
    traces: options.Traces = None,
) -> None:
    """Run an agent, in whatever language, and record its model calls.

    Its clients are led here by the variables that they take their base URL from. Exit: the agent's own code where all is well; 5
    where no call came. With --json what the agent prints goes to stderr, and the receipt alone to stdout.

    Example: frameengine record -o agent.trace.jsonl -- python my_agent.py
    """
    from attrs import asdict

    from frameengine_cli import output as out
    from frameengine_cli.agents import session
    from frameengine_cli.refs import check_absent, free_name, traces_folder

    agent = _agent(command, tuple(also or ()), isolate=isolate is True, as_json=as_json)
    target = output or free_name(traces_folder(traces), _name(command))
    check_absent(target, force=force)
    done, ended = session.record(agent, target, upstream=upstream, force=force)
    with out.ending(ended.code(0)):
        if as_json:
            members = {"verdict": "recorded", **asdict(done), "path": str(done.path), "agent": asdict(ended)}
            out.document(members, ok=not ended.exit)
            return
        from frameengine_cli.screens.agents import recorded

        _show(recorded(done, ended, out.look()))


def replay_agent(
    ref: str, command: list[str], terms: Terms, *, output: Path | None, force: bool, as_json: bool, traces: Path | None
) -> None:
    """Run an agent with its model calls answered from a recording, and leave with the exit code of both.

    What it asks this time is recorded in *output*, with the answers that it gets.
    """
    from frameengine_cli import output as out
    from frameengine_cli.agents import session
    from frameengine_cli.failures import error_members, report
    from frameengine_cli.refs import check_absent, opened

    agent = _agent(command, terms.also, isolate=terms.isolate, as_json=as_json)
    with opened(ref, traces) as source:
        if output is not None:
            check_absent(output, force=force, read=source.path)
        done = session.replay(
            agent,
            source,
            match=terms.match,
            approximate=terms.approximate,
            ambiguous=terms.ambiguous,
            unused=terms.unused,
            output=output,
        )
        with out.ending(done.code):
            if as_json:
                problems = [error_members(problem) for problem in done.problems]
                out.document({**done.to_json(), **({"problems": problems} if problems else {})}, ok=not done.code)
                return
            from frameengine_cli.screens.agents import replayed

            _show(replayed(done, source, out.look()))
            for problem in done.problems:
                report(problem, as_json=False)


def _name(command: list[str]) -> str:
    """Return what an agent is called: its script, the module that Python runs, or else the program."""
    program = Path(command[0]).name
    for before, one in pairwise(["", *command]):
        if before == "-m" and program.startswith("python"):
            return Path(one).name
        if _SCRIPT.fullmatch(Path(one).name):
            return Path(one).stem
    return program


def _agent(command: list[str], also: tuple[str, ...], *, isolate: bool | None, as_json: bool) -> Agent:
    """Return how to start an agent. Raises `UsageError` where what a proxy needs is not installed."""
    options.check_serves()
    from frameengine_cli.agents.session import Agent

    return Agent(command=tuple(command), isolate=isolate, also=also, aside=as_json)


def _show(screen: RenderableType) -> None:
    """Show a receipt on stderr: stdout is the agent's."""
    from frameengine_cli import output

    if sys.stderr.isatty() and output.is_terminal():
        output.console(error=True).print(screen)
    else:
        sys.stderr.write(output.plain(screen))
