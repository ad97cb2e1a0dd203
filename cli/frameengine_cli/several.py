"""One command on several traces: a line for each, a sum at the end, and the worst exit code."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import typer
from attrs import frozen

from frameengine.errors import FrameEngineError
from frameengine_cli import output
from frameengine_cli.failures import Interrupted, error_members, report


@frozen
class Done:
    """What became of one trace."""

    word: str
    """What is counted at the end."""
    members: dict[str, Any]
    """Its document."""
    code: int = 0
    """Its exit code."""


def each(refs: Sequence[str], run: Callable[[str], Done], *, name: str, as_json: bool) -> None:
    """Run a command on each trace, whatever becomes of the others; leave with the highest of their exit codes.

    *name* is the member of the document that lists them. Whoever presses Ctrl-C means all of them.
    """
    done: list[Done] = []
    for ref in refs:
        try:
            done.append(run(ref))
        except Interrupted:
            raise
        except FrameEngineError as error:
            if not as_json:
                report(error, as_json=False)
            members = {"ok": False, "ref": ref, "error": error_members(error)}
            done.append(Done("in error", members, error.exit_code))
    worst = max(one.code for one in done)
    counts = Counter(one.word for one in done)
    if as_json:
        output.document({name: [one.members for one in done], "sum": dict(counts)}, ok=not worst)
    else:
        output.say(", ".join([f"{times:,} {word}" for word, times in counts.items()]))
    if worst:
        raise typer.Exit(worst)
