"""What a reviewer sees of a pending golden: the file, then each frame that changed, the golden's side and the new one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from frameengine.codec import digest
from frameengine.diff.result import Change, FieldChange
from frameengine.golden import Unsettled
from frameengine.jsonvalue import MISSING, Json, freeze
from frameengine.replay.divergence import NOTHING
from frameengine.review import Candidate, Part, read_value
from frameengine_cli import phrases
from frameengine_cli.look import BAD, DIFFERS, GOOD, OPEN, QUIET, STRONG, Look, block, pairs, words
from frameengine_cli.screens.divergence import difference

KEYS = (
    ("y", "accept it"),
    ("n", "reject the whole file: the pending golden is removed, the golden stays"),
    ("s", "skip it: it stays pending"),
    ("a", "accept it and all that is left of the file"),
    ("q", "stop here, and keep what was decided"),
    ("?", "this help"),
)
"""Each key of a review and what it does. Ctrl-C leaves everything as it was."""


def opening(one: Candidate, number: int, total: int, look: Look) -> RenderableType:
    """Return what is to be judged of one file."""
    rows: list[tuple[str, RenderableType]] = [("pending", words((str(one.pending), "")))]
    rows.append(("changes", words((_summary(one), STRONG))))
    if one.made:
        rows.append(("made by", words(("rerun, ", ""), (one.made, BAD if one.approximate else ""))))
    if one.parts:
        rows.append(("", words(("a trace is chained, so it is taken as a whole, once each changed frame is accepted", QUIET))))
    return look.panel(pairs(rows), f"{OPEN} {one.golden}", f"{number} of {total}", style=GOOD)


def _summary(one: Candidate) -> str:
    if one.unapproved:
        return "all of it: it stands in the golden's place, and nobody approved it"
    if one.new:
        return "a new golden: there was none"
    if not one.is_trace:
        return "the value"
    if not one.parts:
        same = one.before == one.digest
        return "nothing: it is the golden already" if same else "no frame: only what the header says, or times"
    accepted = len(one.parts) - len(one.open)
    return phrases.count(len(one.parts), "frame") + (f", of which {accepted} accepted before" if accepted else "")


def value(one: Candidate) -> RenderableType:
    """Return a new value, or what changed in it."""
    now = read_value(one.pending)
    if one.new:
        return block(phrases.pretty(now))
    return _sides(read_value(one.golden), now)


def part(found: Part, number: int, total: int, look: Look) -> RenderableType:
    """Return all that changed in one frame."""
    place = f"input {found.input}, frame {found.frame}" if found.frame else f"input {found.input} and its figures"
    return Group(look.heading(place, f"change {number} of {total}"), *[_change(change) for change in found.changes])


def _change(change: Change) -> RenderableType:
    moved = f"  {change.left} → {change.right}" if change.left and change.right and change.left != change.right else ""
    follows = "  follows from an earlier change" if change.follows else ""
    name = f"node {change.spot.node}" if change.spot.node else "the message"
    line = words((name, STRONG), (f"  {change.kind}", BAD), (moved, ""), (follows, QUIET))
    body: list[RenderableType] = [*_fields(change.fields)]
    if change.whole is not None:
        style = {"added": GOOD, "removed": BAD}.get(change.kind, "")
        body.append(block(phrases.pretty(change.whole), style))
    return Group(line, *[Padding(each, (0, 0, 0, 2)) for each in body])


def _fields(fields: Sequence[FieldChange]) -> Iterator[RenderableType]:
    """Yield each difference once, below all the places that have it: what a model said goes through many."""
    alike: dict[str, list[FieldChange]] = {}
    for each in fields:
        sides = {name: value for name, value in each.to_json().items() if name in ("left", "right")}
        alike.setdefault(digest(freeze(sides)), []).append(each)
    for same in alike.values():
        yield from [words((each.pointer or "/", STRONG)) for each in same]
        yield Padding(_sides(same[0].left, same[0].right), (0, 0, 0, 2))


def _sides(left: Json, right: Json) -> RenderableType:
    golden, now = difference(*[NOTHING if side is MISSING else side for side in (left, right)])
    return pairs([("golden", golden), ("now", now)])


def prompt(what: str) -> Text:
    """Return the question after a frame or file."""
    return words((f"accept {what}? ", STRONG), (" ".join([key for key, _ in KEYS]), QUIET))


def help_lines() -> RenderableType:
    """Return what each key does."""
    return pairs([*[(key, words((does, ""))) for key, does in KEYS], ("Ctrl-C", words(("leave everything as it was", "")))])


def pending(candidates: Sequence[Candidate], unsettled: Sequence[Unsettled], look: Look) -> RenderableType:
    """Return the list of what waits for a review, and of what else keeps goldens from being the approved ones."""
    parts: list[RenderableType] = []
    if candidates:
        table = look.table("pending", "changes", wide="pending")
        for one in candidates:
            table.add_row(words((str(one.pending), "")), words((_summary(one), "")))
        parts += [table, words(("decide: frameengine snapshot review", QUIET))]
    for wrong in unsettled:
        parts += [words((f"{DIFFERS} ", BAD), (wrong.what, "")), words((f"  try: {wrong.hint}", QUIET))]
    return Group(*parts)
