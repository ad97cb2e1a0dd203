"""Receipts of agents that were started here: recorded, or answered from a recording."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType

from frameengine.exchanges.near import sides
from frameengine_cli.look import BAD, GOOD, QUIET, words
from frameengine_cli.refs import typed
from frameengine_cli.screens import exchanges

if TYPE_CHECKING:
    from frameengine_cli.agents.session import Ended, Replayed
    from frameengine_cli.look import Look
    from frameengine_cli.proxying.running import Recorded
    from frameengine_cli.refs import Source

MISSES_SHOWN = 4


def recorded(done: Recorded, agent: Ended, look: Look) -> RenderableType:
    """Return the receipt of a recording, and where to go on."""
    name = typed(done.path)
    onward = [
        words((text, QUIET)) for text in (f"look: frameengine show {name}", f"again: frameengine replay --exec {name} -- …")
    ]
    return Group(exchanges.recorded(done, look), _agent(agent), *onward)


def replayed(done: Replayed, source: Source, look: Look) -> RenderableType:
    """Return the receipt of a replay, and the first of its misses."""
    receipt = exchanges.replayed(done.receipt, source.name, look, good=not done.problems, shut=done.agent.isolated)
    missed: list[RenderableType] = []
    for miss in done.misses[:MISSES_SHOWN]:
        missed.append(words(("✗ ", BAD), (miss.message, "")))
        for one in miss.fields["nearest"][:1]:
            missed.append(words((f"  nearest: input {one['input']}, {one['why']}", QUIET)))
            missed += [words((f"    {name}{' ' * (9 - len(name))}", QUIET), (value, "")) for name, value in sides(one)]
    more = len(done.misses) - MISSES_SHOWN
    missed += [words((f"  and {more} more (--json has all)", QUIET))] if more > 0 else []
    kept = [] if done.output is None else [words(("asked ", QUIET), (str(done.output), ""))]
    kept += [exchanges.exposed(done.exposed)] if done.exposed else []
    return Group(*missed, receipt, _agent(done.agent), *kept)


def _agent(agent: Ended) -> RenderableType:
    style = BAD if agent.exit else GOOD
    shut = "" if not agent.egress.startswith("not checked") else BAD
    return words(("agent ", QUIET), (f"exit {agent.exit}", style), (" · egress ", QUIET), (agent.egress, shut or QUIET))
