"""What a search among versions came to: every version with its judgement, and the first divergence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Group, RenderableType
from rich.text import Text

from frameengine.rerun.bisect import BisectResult, Tested
from frameengine_cli import phrases
from frameengine_cli.look import BAD, DIFFERS, GOOD, OPEN, QUIET, SAME, STRONG, Look, pairs, words
from frameengine_cli.refs import Source
from frameengine_cli.screens.divergence import report

SIGNS = {"good": (SAME, GOOD), "bad": (DIFFERS, BAD), "untestable": (OPEN, BAD)}
AROUND = 20
"""Versions that are listed; of others, those that were not tested are left out."""


def found(result: BisectResult, source: Source, look: Look) -> RenderableType:
    """Return the versions, what the search says of them, and the divergence of the first bad one."""
    first, names = result.first_bad, _names(result.versions)
    parts: list[RenderableType] = [_versions(result, names), Text(""), *_words(result, names)]
    good = result.verdict == "all good"
    screen = look.panel(Group(*parts), _title(result, names), source.name.name, style=GOOD if good else BAD)
    if first is None or first.result is None or first.result.divergence is None:
        return screen
    return Group(screen, report(first.result, first.result.divergence, names[first.version], look, typed=source.typed))


def _names(versions: Sequence[str]) -> Mapping[str, str]:
    """Return how each version is called: its file's name, where that is enough."""
    files = Counter(Path(version).name for version in versions)
    return {version: Path(version).name if files[Path(version).name] == 1 else version for version in versions}


def _title(result: BisectResult, names: Mapping[str, str]) -> str:
    first = "" if result.first_bad is None else names[result.first_bad.version]
    if result.verdict == "found" and result.between:
        return f"{DIFFERS} the first to diverge is {first}, or one that cannot be tested before it"
    if result.verdict == "found":
        return f"{DIFFERS} the first to diverge is {first}"
    if result.verdict == "all bad":
        return f"{DIFFERS} the oldest version diverges already: {first}"
    return f"{SAME} no version that can be tested diverges"


def _versions(result: BisectResult, names: Mapping[str, str]) -> RenderableType:
    """Return a line for each version, in order; one that the search passed over has no sign."""
    tested = {one.version: one for one in result.tested}
    shown = [version for version in result.versions if len(result.versions) <= AROUND or version in tested]
    lines: list[RenderableType] = [_line(names[version], tested.get(version)) for version in shown]
    if len(shown) < len(result.versions):
        lines.append(words((f"… {len(result.versions) - len(shown):,} that needed no test", QUIET)))
    return Group(*lines)


def _line(name: str, one: Tested | None) -> Text:
    if one is None:
        return words((f"  {name}", QUIET), ("  not tested", QUIET))
    sign, style = SIGNS[one.judgement]
    said = ""
    if one.result is not None and one.result.divergence is not None:
        said = f"  diverges at {one.result.divergence.place}"
    elif one.error is not None:
        said = f"  {one.judgement}: {phrases.cut(one.error.message.removeprefix(f'{one.version}: '))}"
    return words((f"{sign} ", style), (name, STRONG), (said, QUIET))


def _words(result: BisectResult, names: Mapping[str, str]) -> list[RenderableType]:
    rows: list[tuple[str, RenderableType]] = [("tested", words((_tested(result), "")))]
    if result.verdict == "found" and result.last_good is not None:
        rows.append(("last good", words((names[result.last_good.version], ""))))
        rows.append(("changed", words((", ".join(result.changed) or "no digest of graph, code or prompts", ""))))
    if result.between:
        rows.append(("or one of", words((", ".join([names[version] for version in result.between]), BAD))))
    lines: list[RenderableType] = [pairs(rows)]
    if result.verdict == "all bad":
        lines.append(words(("nothing before it replays, so no change among these versions can be named: add older ones", "")))
    judged = [one.judgement for one in result.tested if one.judgement != "untestable"]
    if len(judged) > 2 and judged[0] == judged[-1] == "good":
        lines.append(words(("oldest and newest replay, which says nothing of those between: every version was tested", "")))
    if result.again:
        again = ", ".join([names[version] for version in result.again])
        lines.append(words((f"{again} replays again after a version that diverges: there may be several changes to find", BAD)))
    return lines


def _tested(result: BisectResult) -> str:
    skipped = f", {len(result.skipped)} of them cannot be" if result.skipped else ""
    return f"{len(result.tested)} of {phrases.count(len(result.versions), 'version')}{skipped}"
