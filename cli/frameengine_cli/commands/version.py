"""``frameengine version``."""

from __future__ import annotations

from frameengine_cli.commands import options


def version(as_json: options.Json = False) -> None:
    """Say which version this is.

    Example: frameengine version --json
    """
    from platform import python_version

    import frameengine
    from frameengine.trace.format import FORMAT
    from frameengine_cli import output

    if as_json:
        output.document({"version": frameengine.__version__, "trace_format": FORMAT, "python": python_version()})
    else:
        output.say(f"frameengine {frameengine.__version__} (trace format {FORMAT}, Python {python_version()})")
