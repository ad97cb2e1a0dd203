"""How several replays of one trace ended, and what they did not agree in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.padding import Padding

from frameengine_cli import phrases
from frameengine_cli.look import BAD, DIFFERS, GOOD, QUIET, SAME, STRONG, Look, pairs, words
from frameengine_cli.screens.divergence import difference

if TYPE_CHECKING:
    from frameengine_cli.repeating import Ending

_SEEDS_SHOWN = 12


def screen(endings: Sequence[Ending], runs: int, name: str, look: Look) -> RenderableType:
    """Return the verdict over all runs; where they differ, each way in which they ended."""
    processes = f"{runs} fresh processes, each with another hash seed"
    if len(endings) == 1:
        only = endings[0]
        sign, style = (SAME, GOOD) if only.code == 0 else (DIFFERS, BAD)
        rows: list[tuple[str, RenderableType]] = [("ended", words((only.what, STRONG))), ("in", words((processes, "")))]
        return look.panel(pairs(rows), f"{sign} all alike", name, style=style)
    parts: list[RenderableType] = [pairs([("in", words((processes, "")))])]
    parts += [_ending(one) for one in endings]
    hint = "look for what depends on the order of a set, on hash() or on addresses: docs/guard.md lists what the guard cannot see"
    parts.append(words((hint, QUIET)))
    return look.panel(Group(*parts), f"{DIFFERS} flaky", name, style=BAD)


def _ending(one: Ending) -> RenderableType:
    seeds = ", ".join([str(seed) for seed in one.seeds[:_SEEDS_SHOWN]]) + (", …" if len(one.seeds) > _SEEDS_SHOWN else "")
    line = words((phrases.count(len(one.seeds), "run"), STRONG), (f"  {one.what}", ""), (f"  (hash seed {seeds})", QUIET))
    found = one.document.get("divergence")
    if found is None:
        return line
    recorded, replayed = difference(found["recorded"], found["replayed"])
    return Group(line, Padding(pairs([("recorded", recorded), ("replayed", replayed)]), (0, 0, 0, 2)))
