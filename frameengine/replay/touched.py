"""Name what made a node's run differ where no digest does: replay once more under the guard that sees most."""

from __future__ import annotations

from collections.abc import Callable

from attrs import evolve

from frameengine.engine.guard import Guard
from frameengine.errors import Nondeterminism
from frameengine.graph.registry import BoundGraph
from frameengine.inputs import Input
from frameengine.replay.replayer import Replayer, ReplayResult


class _Place:
    """Remembers which input is under way."""

    input = 0

    def on_input(self, entered: Input) -> None:
        """Remember *entered*, unless it came in during another message."""
        if entered.during is None:
            self.input = entered.number


def with_touch(
    result: ReplayResult,
    *,
    bound: BoundGraph | None = None,
    switch: Callable[[str], BoundGraph] | None = None,
    trust: bool = False,
) -> ReplayResult:
    """Return *result*; where its divergence is undetermined and its node touches the world in that frame, with that as the cause.

    *bound*, *switch* and *trust* are those of the replay that found it.
    """
    found = result.divergence
    if found is None or found.cause != "undetermined" or result.changed:
        return result
    place = _Place()
    try:
        Replayer(result.path, bound=bound, guard=Guard("full"), instruments=(place,), switch=switch, trust=trust).run()
    except Nondeterminism as touch:
        if (place.input, touch.fields.get("frame"), touch.fields.get("node")) == (found.input, found.frame, found.node):
            divergence = evolve(found, cause="node code", because=f"{touch.message}: {touch.hint}")
            return evolve(result, divergence=divergence)
    return result
