"""Options and arguments that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

if TYPE_CHECKING:
    from frameengine.performers.model_http.models import Models
    from frameengine.tools.sql import Database

REF_HELP = "A file, '-' for stdin, 'latest', 'latest~1', or the start of a run's name or id."

Ref: TypeAlias = Annotated[str, typer.Argument(metavar="REF", help=REF_HELP, show_default=False)]
Refs: TypeAlias = Annotated[
    list[str], typer.Argument(metavar="REF...", help=f"{REF_HELP} Several give a line for each, and a sum.", show_default=False)
]
Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Traces: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--traces",
        metavar="DIR",
        help="Folder in which names are looked up (else FRAMEENGINE_TRACES, else ./traces).",
        show_default=False,
    ),
]
Exchanges: TypeAlias = Annotated[
    bool, typer.Option("--exchanges", help="Take recorded HTTP calls as they are, not as the conversations in them.")
]
Runs: TypeAlias = Annotated[
    int,
    typer.Option(
        "--runs", metavar="N", min=1, help="Replay in N fresh processes with other hash seeds; exit 1 where they differ."
    ),
]
Force: TypeAlias = Annotated[bool, typer.Option("--force", help="Write over an existing file.")]
Junit: TypeAlias = Annotated[
    Path | None, typer.Option("--junit", metavar="FILE", help="Write the results as JUnit XML.", show_default=False)
]
Sarif: TypeAlias = Annotated[
    Path | None, typer.Option("--sarif", metavar="FILE", help="Write the findings as SARIF.", show_default=False)
]
Github: TypeAlias = Annotated[
    bool, typer.Option("--github", help="Print annotations for GitHub, and add to the summary of the step.")
]

NewTrace: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "-o", "--output", metavar="FILE", help="The trace; a free name in the traces folder without it.", show_default=False
    ),
]
Readable: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--database", metavar="NAME=FILE|URL", help="A database that tools may read.", show_default=False),
]
Replies: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--replies",
        metavar="FILE.toml",
        help="What models answer, by node (as in a scenario); else a scripted stand-in goes by rules.",
        show_default=False,
    ),
]
Trust: TypeAlias = Annotated[
    bool, typer.Option("--trust", help="Import and run the code, and load the graph files, that the trace itself names.")
]
Live: TypeAlias = Annotated[bool, typer.Option("--live", help="Ask the models that are configured; costs what they cost.")]
ModelsFile: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--models",
        metavar="FILE.toml",
        help="Endpoints and models for --live (else FRAMEENGINE_MODELS, ./frameengine.toml, or OPENAI_API_KEY).",
        show_default=False,
    ),
]


def check_serves() -> None:
    """Raise `UsageError` where what a proxy needs is not installed."""
    from importlib.util import find_spec

    from frameengine.errors import UsageError

    if find_spec("uvicorn") is None:
        raise UsageError("the proxy needs uvicorn, which is not installed", hint="pip install 'frameengine[serve]'")


def live_models(*, live: bool, models: Path | None, scripted: str) -> Models | None:
    """Return the models to ask; None without --live. *scripted* is the option that answers instead. Raises `UsageError`."""
    from frameengine.errors import UsageError

    if not live:
        if models is not None:
            raise UsageError("--models says which models are asked, and none is", hint="add --live")
        return None
    if scripted:
        raise UsageError(f"--live asks models, and {scripted} answers for them", hint="leave out one of them")
    from frameengine_cli.endpoints import wanted

    return wanted(models)


def databases(options: list[str]) -> dict[str, Database]:
    """Return the databases of ``NAME=FILE`` and ``NAME=URL`` options by name."""
    from frameengine.errors import UsageError
    from frameengine.tools.sql import database_of

    places: dict[str, Database] = {}
    for option in options:
        name, equals, file = option.partition("=")
        if not (name and equals and file):
            raise UsageError(f"--database {option} is not NAME=FILE or NAME=URL", hint="--database billing=build/billing.sqlite")
        places[name] = database_of(file)
    return places
