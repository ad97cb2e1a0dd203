"""What a comparison found: the first difference and its cause, what else differs, and folded what follows from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from attrs import frozen
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from frameengine.diff.result import Change, FieldChange, TraceDiff
from frameengine.reports import parts
from frameengine_cli import phrases
from frameengine_cli.look import BAD, DIFFERS, GOOD, OPEN, QUIET, SAME, STRONG, Look, block, pairs, words
from frameengine_cli.screens.divergence import marked
from frameengine_cli.screens.run import counted

BESIDE = 120
"""Columns from which the two sides of a difference stand beside each other."""
RECORDS = 12
"""Records that differ by themselves and are shown, besides the first; of the others only the number."""
FIELDS = 3
"""Differences of one record that are shown; of the others only the places."""
LINES = 10
"""Lines of a record that is on one side only."""
NAMED = 12
"""Consequences of a message that are named."""


@frozen(kw_only=True)
class Shown:
    """What is on the screen."""

    found: TraceDiff
    """What the comparison found."""
    facts: tuple[str, str] = ("", "")
    """What else is to be said of each side."""
    every: bool = False
    """Whether consequences are opened, and everything is listed."""
    width: int = 100
    """Columns of the screen."""

    @property
    def beside(self) -> bool:
        """Whether there is room for both sides beside each other."""
        return self.width >= BESIDE


def screen(shown: Shown, look: Look) -> RenderableType:
    """Return the whole screen."""
    whole: list[RenderableType] = [_traces(shown), _headline(shown, look)]
    for section in (*_independent(shown, look), *_following(shown, look), *_messages(shown, look)):
        # Without boxes the headline ends with an empty line of its own.
        whole += [Text(""), section] if look.boxes or len(whole) > 2 else [section]
    return Group(*whole)


def _traces(shown: Shown) -> RenderableType:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style=QUIET, no_wrap=True)
    grid.add_column(overflow="fold")
    for name, side, fact in zip(("left", "right"), (shown.found.left, shown.found.right), shown.facts, strict=True):
        about = " · ".join([part for part in (side.graph, counted(side.counts), fact) if part])
        problem = [words((f"{DIFFERS} {side.problem}", BAD))] if side.problem else []
        grid.add_row(name, Group(words((str(side.path), STRONG)), words((about, QUIET)), *problem))
    return grid


def _headline(shown: Shown, look: Look) -> RenderableType:
    found = shown.found
    body: list[RenderableType] = []
    rows: list[tuple[str, RenderableType]] = []
    if found.first is not None:
        group = parts.causes(found)[0]
        body += [_kind(group[0]), *_body(group, shown)]
        rows.append(("cause", words((found.cause, STRONG), (f"  {found.because}" if found.because else "", QUIET))))
        rows.append(("differs", words((parts.tally(found), ""))))
    else:
        same = [message for message in found.messages if message.left is not None and message.right is not None]
        rows.append(("compared", words((f"{phrases.count(len(same), 'message')}, frame by frame", ""))))
        if found.digests:
            rows.append(("changed", words((f"{', '.join(found.digests)}: it made no difference", ""))))
    rows += [("filters", words((line, BAD))) for line in parts.left_out(found)]
    sign = SAME if found.verdict == "same" else DIFFERS
    style = GOOD if found.verdict == "same" else BAD
    return look.panel(Group(*body, pairs(rows)), f"{sign} {parts.headline(found)}", style=style)


def _independent(shown: Shown, look: Look) -> Iterator[RenderableType]:
    """Yield what else differs and follows from nothing."""
    others = parts.causes(shown.found)[1:]
    if not others:
        return
    kept = others if shown.every else others[:RECORDS]
    more = [words((f"{OPEN} {sum(map(len, others[len(kept) :])):,} more (--all)", QUIET))] if len(others) > len(kept) else []
    heading = look.heading("differs by itself", phrases.count(sum(map(len, others)), "record"))
    yield Group(heading, *[_change(group, shown) for group in kept], *more)


def _change(group: Sequence[Change], shown: Shown) -> RenderableType:
    line = words(("  ", ""), (parts.place(group[0]), f"{STRONG} {GOOD}"), ("  ", ""))
    line.append_text(_kind(group[0]))
    return Group(line, *[Padding(each, (0, 0, 0, 4)) for each in _body(group, shown)])


def _kind(change: Change) -> Text:
    what = {"added": "  on the right only", "removed": "  on the left only"}.get(change.kind, "")
    return words((change.kind, f"{STRONG} {BAD}"), (what, QUIET), (f"  {change.effect} call" if change.effect else "", QUIET))


def _body(group: Sequence[Change], shown: Shown) -> Iterator[RenderableType]:
    """Yield each difference once, below all the places that have it."""
    change = group[0]
    groups = parts.alike(change.fields)
    kept = groups if shown.every else groups[:FIELDS]
    for fields in kept:
        yield from _field(fields, shown)
    if len(groups) > len(kept):
        places = [parts.pointer(field) for fields in groups[len(kept) :] for field in fields]
        yield words((f"{OPEN} and {phrases.cut(', '.join(places), 240)} (--all)", QUIET))
    if change.whole is not None:
        style = {"added": GOOD, "removed": BAD}.get(change.kind, QUIET)
        text = phrases.pretty(change.whole)
        yield block(text if shown.every else parts.cut(text, LINES), style)
    if len(group) > 1:
        yield words(("the same at ", QUIET), (parts.places(group[1:], len(group) if shown.every else NAMED), ""))


def _field(group: Sequence[FieldChange], shown: Shown) -> Iterator[RenderableType]:
    kept = group if shown.every else group[:FIELDS]
    for field in kept:
        yield words((parts.pointer(field), ""))
    if len(group) > len(kept):
        yield words((f"{OPEN} the same at {phrases.count(len(group) - len(kept), 'more place')}", QUIET))
    left, right = parts.sides(group[0].left, group[0].right)
    one, other = marked(left, f"{STRONG} {BAD}", "[-", "-]"), marked(right, f"{STRONG} {GOOD}", "{+", "+}")
    yield Padding(_beside(one, other) if shown.beside else pairs([("left", one), ("right", other)]), (0, 0, 0, 2))


def _beside(left: Text, right: Text) -> RenderableType:
    grid = Table.grid(padding=(0, 3, 0, 0), expand=True)
    for _ in range(2):
        grid.add_column(ratio=1, overflow="fold")
    grid.add_row(words(("left", QUIET)), words(("right", QUIET)))
    grid.add_row(left, right)
    return grid


def _following(shown: Shown, look: Look) -> Iterator[RenderableType]:
    """Yield the consequences: folded to their places, or opened."""
    found = shown.found.following
    if not found:
        return
    heading = look.heading("what follows", f"{phrases.count(len(found), 'record')}{'' if shown.every else '; --all opens them'}")
    if shown.every:
        yield Group(heading, *[_change((change,), shown) for change in found])
        return
    rows: list[tuple[str, RenderableType]] = []
    for message, changes in parts.consequences(shown.found):
        all_of_it = f"{parts.alone(message)}, {phrases.count(len(changes), 'record')}"
        told = all_of_it if parts.alone(message) else parts.within(changes, NAMED)
        rows.append((f"  {parts.number(message)}", words((told, ""))))
    yield Group(heading, pairs(rows))


def _messages(shown: Shown, look: Look) -> Iterator[RenderableType]:
    """Yield a table of the messages that differ, where there are several messages."""
    changed = [message for message in shown.found.messages if message.changes]
    if len(shown.found.messages) < 2 or not changed:
        return
    grid = look.table("#", "path", "frames", "calls", "status", "records that differ", right=("#",))
    for message in changed:
        styled = [words((cell, BAD if " → " in cell else "")) for cell in parts.figures(message)]
        count = f"{message.changes:,} {parts.alone(message)}"
        grid.add_row(words((parts.number(message), f"{STRONG} {GOOD}")), *styled, words((count, "")))
    same = len(shown.found.messages) - len(changed)
    yield Group(grid, *([words((f"{SAME} {phrases.count(same, 'message')} the same", QUIET))] if same else []))
