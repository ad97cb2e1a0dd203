"""Options and arguments that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

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
Force: TypeAlias = Annotated[bool, typer.Option("--force", help="Write over an existing file.")]
