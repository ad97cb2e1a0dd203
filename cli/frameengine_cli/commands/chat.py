"""``frameengine chat``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from frameengine_cli.commands import options

if TYPE_CHECKING:
    from frameengine.graph.model import Graph
    from frameengine_cli.chatting.session import Session
    from frameengine_cli.chatting.talk import Talk
    from frameengine_cli.spending import Spending


def chat(
    *,
    graph: Annotated[str, typer.Option("--graph", metavar="NAME|PATH", help="The graph to talk to.")] = "v4-eras",
    database: options.Readable = None,
    replies: options.Replies = None,
    live: options.Live = False,
    models: options.ModelsFile = None,
    output: options.NewTrace = None,
    feed: Annotated[
        Path | None,
        typer.Option("--feed", metavar="FILE.jsonl", help="Append every event to a log, in segments.", show_default=False),
    ] = None,
    unsafe_local: Annotated[
        bool, typer.Option("--unsafe-local", help="Run programs of models even where they cannot be shut in.")
    ] = False,
    force: options.Force = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON document on each line.")] = False,
    traces: options.Traces = None,
) -> None:
    r"""Talk to a graph in the terminal, and record all of it.

    Lines are messages; /help lists what else can be typed. A scripted stand-in answers; with --live the models that are
    configured do.

    Examples: frameengine chat --graph v4-eras --database billing=billing.sqlite; frameengine chat --live;
    printf 'hello\n/frames\n' | frameengine chat
    """
    from frameengine.graph.loader import load_graph
    from frameengine.graph.registry import bind
    from frameengine.hud.log import FeedLog
    from frameengine.performers.clock import system_clock
    from frameengine_cli.chatting.answering import answering
    from frameengine_cli.chatting.people import People
    from frameengine_cli.chatting.programs import Programs
    from frameengine_cli.chatting.session import Session
    from frameengine_cli.chatting.talk import Talk
    from frameengine_cli.commands.options import databases
    from frameengine_cli.refs import free_name, stem, traces_folder
    from frameengine_cli.spending import Spending

    clock = system_clock()
    bound = bind(load_graph(graph))
    asked = options.live_models(live=live, models=models, scripted="--replies" if replies is not None else "")
    data = databases(database or [])
    who = answering(bound.graph, replies=replies, databases=data, unsafe_local=unsafe_local, clock=clock, models=asked)
    target = output or free_name(traces_folder(traces), f"chat-{bound.graph.name}")
    view = Programs() if as_json else People()
    sinks = [] if feed is None else [FeedLog(feed, session=stem(target), now=_now)]
    spent = None if asked is None else Spending()
    session = Session(bound, who, target, view, clock=clock, replace=force, sinks=sinks, watchers=[spent] if spent else [])
    if isinstance(view, People):
        view.session = session
    _talk(talk := Talk(session, as_json=as_json), bound.graph, target)
    _close(talk, target, spent, as_json=as_json)


def _now() -> str:
    """Return the local time to the millisecond, as text that sorts by time."""
    from datetime import datetime

    return datetime.now().astimezone().isoformat(sep=" ", timespec="milliseconds")


def _open(session: Session, graph: Graph) -> None:
    from frameengine_cli.chatting.opening import opening

    who = session.who
    members = {"graph": graph.name, "model": who.told, "databases": who.data, "path": str(session.writer.path)}
    session.view.result("open", members, lambda: opening(graph, who, session.writer.path))


def _talk(talk: Talk, graph: Graph, target: Path) -> None:
    """Hold the conversation. Whatever ends it, the trace is kept: sealed, unless a message is under way."""
    from frameengine.errors import FrameEngineError
    from frameengine_cli.failures import Interrupted
    from frameengine_cli.refs import typed

    repair = f"frameengine repair {typed(target)} -o FILE"
    try:
        _open(talk.session, graph)
        talk.run()
    except KeyboardInterrupt:
        talk.interrupted = True
        if not talk.session.engine.closed:
            return
        talk.session.abandon()
        raise Interrupted(f"interrupted inside a message: {target} is kept without a seal", hint=repair) from None
    except FrameEngineError as error:
        talk.session.abandon()
        error.hint = "; ".join([part for part in (error.hint, f"{target} is kept without a seal: {repair}") if part])
        raise
    except BaseException:
        # A reader of stdout that has gone, for instance: all that was said is kept.
        if talk.session.engine.closed:
            talk.session.abandon()
        else:
            talk.session.close()
        raise


def _close(talk: Talk, target: Path, spent: Spending | None, *, as_json: bool) -> None:
    from frameengine.trace.verify import verify
    from frameengine_cli import output
    from frameengine_cli.failures import EXIT_INTERRUPTED
    from frameengine_cli.refs import short_id, typed
    from frameengine_cli.screens.run import counted, counts_json

    session = talk.session
    ok = not (session.failed or (talk.refused and not talk.prompts))
    members: dict[str, Any] = {"kind": "closed", "path": None}
    said = "nothing was said, so no trace is kept"
    if session.close():
        receipt = verify(target)
        left = session.who.left()
        members = {"kind": "closed", "path": str(target), "id": short_id(receipt.head), "counts": counts_json(receipt.counts)}
        members |= {"replies_left": left} | ({} if spent is None else {"spent": spent.to_json()})
        said = f"recorded {target}  {short_id(receipt.head)}  {counted(receipt.counts)}; {session.who.told}"
        said += "" if spent is None else f"; {spent.told()}"
        said += f"; {left:,} written {'reply' if left == 1 else 'replies'} left" if left else ""
        said += f"\nreplay it: frameengine replay {typed(target)}"
    if as_json:
        output.document(members, ok=ok)
    else:
        output.remark(said)
    if talk.interrupted:
        raise typer.Exit(EXIT_INTERRUPTED)
    if not ok:
        raise typer.Exit(1)
