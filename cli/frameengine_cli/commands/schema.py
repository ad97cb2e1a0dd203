"""``frameengine schema``."""

from __future__ import annotations

from typing import Annotated

import typer

from frameengine_cli.commands import options


def schema(
    kind: Annotated[
        str | None,
        typer.Argument(
            metavar="[KIND]", help="header, input, content, outcome, frame, trace or seal; all without it.", show_default=False
        ),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Print the JSON Schema of a trace's lines.

    Example: frameengine schema frame
    """
    from frameengine.trace.schemas import KINDS, schema_of
    from frameengine_cli import output

    schemas = {name: schema_of(name) for name in ([kind] if kind is not None else KINDS)}
    if as_json:
        output.document({"schemas": schemas})
        return
    from frameengine_cli.phrases import pretty

    output.say(pretty(schemas[kind] if kind is not None else schemas))
