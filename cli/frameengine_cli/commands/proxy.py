"""``frameengine proxy``: record and replay the calls of an agent in any language, by its base URL."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import typer

from frameengine_cli.commands import options

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True, help="Record and replay the calls of any agent, by its base URL.")

Port: TypeAlias = Annotated[
    int, typer.Option("--port", metavar="N", min=0, max=65535, help="Port to listen on; 0 for one that is free.")
]
Host: TypeAlias = Annotated[str, typer.Option("--host", metavar="ADDRESS", help="Address to listen on.")]


@app.callback()
def root() -> None:
    """Record and replay the calls of any agent, by its base URL."""


@app.command("record")
def record(
    *,
    upstream: Annotated[
        str,
        typer.Option(
            "--upstream", metavar="URL", help="Base URL that the agent would use without the proxy.", show_default=False
        ),
    ],
    output: options.NewTrace = None,
    port: Port = 0,
    host: Host = "127.0.0.1",
    force: options.Force = False,
    as_json: options.Json = False,
    traces: options.Traces = None,
) -> None:
    """Hand requests on to a server and its answers back, unchanged, and keep both in a trace. Ctrl-C seals it.

    Any path and any protocol over HTTP. A call is written before the last byte of its answer is handed on. Keys are not kept.

    Example: frameengine proxy record --upstream https://api.openai.com/v1 -o agent.trace.jsonl
    """
    from attrs import asdict

    from frameengine_cli import output as out
    from frameengine_cli.refs import check_absent, free_name, traces_folder

    options.check_serves()
    from frameengine_cli.proxying import running, server

    target = output or free_name(traces_folder(traces), "proxy")
    check_absent(target, force=force)
    with server.listen(host, port) as listener:
        done = running.record(upstream, target, listener, force=force, as_json=as_json)
    if as_json:
        out.document({"verdict": "recorded", **asdict(done), "path": str(done.path)})
        return
    from frameengine_cli.screens.exchanges import recorded

    out.show(recorded(done, out.look()))


@app.command("replay")
def replay(
    ref: options.Ref,
    *,
    match: Annotated[
        Literal["exact", "chain"],
        typer.Option(
            "--match", help="What a request must have in common with a recorded one: all, or its place in the conversation."
        ),
    ] = "exact",
    speed: Annotated[
        float | None,
        typer.Option("--speed", metavar="X", help="X times as fast as it was; at once without it.", show_default=False),
    ] = None,
    port: Port = 0,
    host: Host = "127.0.0.1",
    allow_approximate: Annotated[
        bool, typer.Option("--allow-approximate", help="Exit 0 though answers were recorded for other requests.")
    ] = False,
    allow_ambiguous: Annotated[
        bool, typer.Option("--allow-ambiguous", help="Exit 0 though equal requests may have got each other's answers.")
    ] = False,
    allow_unused: Annotated[
        bool, typer.Option("--allow-unused", help="Exit 0 though recorded calls were not asked for.")
    ] = False,
    as_json: options.Json = False,
    traces: options.Traces = None,
) -> None:
    """Answer an agent from a recording; nothing is sent anywhere. Ctrl-C ends it with a receipt.

    Each recorded answer is used once. A request without one gets the status 404 and is told what came nearest: exit 4, as for
    answers that nobody asked for, or that may belong to another of some equal requests; exit 5 where no call came.

    Example: frameengine proxy replay agent.trace.jsonl --port 8377
    """
    from frameengine.errors import UsageError
    from frameengine.exchanges.book import Book
    from frameengine.trace.reader import read_header
    from frameengine_cli import output as out
    from frameengine_cli.agents.routes import recorded_base
    from frameengine_cli.endpoints import secrets_of
    from frameengine_cli.failures import error_members, report
    from frameengine_cli.refs import opened

    if speed is not None and not 0 < speed < float("inf"):
        raise UsageError(f"--speed {speed} is no speed", hint="1 is as fast as it was; leave it out for at once")
    options.check_serves()
    from frameengine_cli.proxying import running, server

    with opened(ref, traces) as source:
        book = Book.read(source.path, match=match, secrets=secrets_of())
        name = source.name
        # The agent's base URL has this behind the proxy's address.
        base = recorded_base(read_header(source.path), [one.request for one in book.unused()])
    with server.listen(host, port) as listener:
        running.replay(book, name, listener, base=base, speed=speed, as_json=as_json)
    problems = running.problems_of(book, approximate=allow_approximate, ambiguous=allow_ambiguous, unused=allow_unused)
    with out.ending(max([problem.exit_code for problem in problems], default=0)):
        if as_json:
            told = {"problems": [error_members(problem) for problem in problems]} if problems else {}
            out.document({**running.receipt_json(book), **told}, ok=not problems)
            return
        from frameengine_cli.screens.exchanges import replayed

        out.show(replayed(book.receipt(), name, out.look(), good=not problems))
        for problem in problems:
            report(problem, as_json=False)
