"""A comparison or a divergence as a comment on a pull request: the first difference open, the rest folded, of bounded length.

Text from outside stands in code only, inline or fenced, where it is no markup, no link, no picture and no mention.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import Final

from frameengine.diff.result import Change, FieldChange, Message, TraceDiff
from frameengine.diff.result import Side as Trace
from frameengine.jsonvalue import MISSING, Json
from frameengine.plaintext import visible, visible_line
from frameengine.replay.divergence import NOTHING, Divergence
from frameengine.reports import parts

BYTES_MAX: Final = 60_000
"""A comment on GitHub holds 65,536 characters; whoever posts it may want to add a line."""
FIELDS: Final = 6
"""Differences of one record that are shown."""
LINES: Final = 30
"""Lines of a record that is on one side only, and of one side of a difference."""
MESSAGES: Final = 50
"""Rows of the table of messages."""
NAMED: Final = 20
"""Records with the same difference that are named."""
NAME_CHARS: Final = 200
"""Code points of a name or pointer."""
_TICKS = re.compile(r"`+")


def markdown(found: TraceDiff, *, limit: int = BYTES_MAX) -> str:
    """Return a comparison, at most *limit* bytes in UTF-8; what has no room is counted."""
    head = [f"### {'✅' if found.verdict == 'same' else '❌'} {_headline(found)}", *_traces(found)]
    if found.first is not None:
        head += [_cause(found.cause, found.because), f"**differs** {parts.tally(found)}"]
    elif found.digests:
        head.append(f"**changed** without a difference: {', '.join([code(each) for each in found.digests])}")
    head += [f"**filters** {code(line)}" for line in parts.left_out(found)]
    if found.first is not None:
        groups = parts.causes(found)
        head.append(_change(groups[0]))
    table = _messages(found.messages)
    head += [table] if table else []
    folded = [("differs by itself", group) for group in (groups[1:] if found.first is not None else [])]
    folded += [("follows", (change,)) for change in found.following]
    return _bounded(head, [_folded(what, group) for what, group in folded], limit)


def of_divergence(found: Divergence, trace: str, *, limit: int = BYTES_MAX) -> str:
    """Return the first difference between a replay and *trace*, at most *limit* bytes."""
    lines = [f"### ❌ diverged at {code(found.place)}", f"**trace** {code(trace)}", _cause(found.cause, found.because)]
    lines.append(f"**differs** {found.kind}" + (f" {code(found.pointer)}" if found.pointer else ""))
    if found.where:
        lines.append(f"**raised at** {code(found.where)}")
    recorded, replayed = [MISSING if value == NOTHING else value for value in (found.recorded, found.replayed)]
    lines.append(_sides(recorded, replayed))
    return _bounded(lines, [], limit)


def code(text: str) -> str:
    """Return a text from outside on one line, as inline code that nothing in it can end."""
    line = parts.shortened(visible_line(text), NAME_CHARS).replace("|", "¦") or " "
    ticks = "`" * (max([len(run) for run in _TICKS.findall(line)], default=0) + 1)
    return f"{ticks} {line} {ticks}" if ticks != "`" or line.strip() != line or not line.strip() else f"`{line}`"


def fenced(lines: Iterable[str], language: str = "") -> str:
    """Return lines from outside as a block of code that nothing in them can end."""
    text = visible("\n".join(lines))
    ticks = "`" * max(3, max([len(run) for run in _TICKS.findall(text)], default=0) + 1)
    return f"{ticks}{language}\n{text}\n{ticks}"


def _headline(found: TraceDiff) -> str:
    if found.first is None:
        return parts.headline(found)
    return f"differs at {code(parts.place(found.first))}"


def _traces(found: TraceDiff) -> Iterator[str]:
    yield "\n".join(["| | trace | graph | |", "|---|---|---|---|", _row("left", found.left), _row("right", found.right)])


def _row(name: str, side: Trace) -> str:
    counts = f"{side.counts.inputs:,} inputs, {side.counts.frames:,} frames, {side.counts.calls:,} calls"
    problem = f" ⚠️ {code(side.problem)}" if side.problem else ""
    return f"| {name} | {code(str(side.path))} | {code(side.graph)} | {counts}{problem} |"


def _cause(cause: str, because: str) -> str:
    return f"**cause** {cause}" + (f": {code(because)}" if because else "")


def _change(group: Sequence[Change]) -> str:
    change = group[0]
    blocks = [f"{code(parts.place(change))} {change.kind}" + (f", {code(change.effect)} call" if change.effect else "")]
    blocks += _body(change)
    if len(group) > 1:
        blocks.append(f"the same at {code(parts.places(group[1:], NAMED))}")
    return "\n\n".join(blocks)


def _body(change: Change) -> Iterator[str]:
    groups = parts.alike(change.fields)
    for group in groups[:FIELDS]:
        yield _places(group)
        yield _sides(group[0].left, group[0].right)
    if len(groups) > FIELDS:
        yield f"… and {len(groups) - FIELDS:,} more differences of this record"
    if change.whole is not None:
        sign = {"added": "+ ", "removed": "- "}.get(change.kind, "  ")
        text = parts.cut(visible(parts.text_of(change.whole)), LINES)
        yield fenced([sign + parts.shortened(line, NAME_CHARS) for line in text.split("\n")], "diff")


def _places(group: tuple[FieldChange, ...]) -> str:
    named = ", ".join([code(parts.pointer(field)) for field in group[:FIELDS]])
    return named + (f" and {len(group) - FIELDS:,} more places" if len(group) > FIELDS else "")


def _sides(left: Json, right: Json) -> str:
    """Return both sides, the words that differ between ``[- -]`` and ``{+ +}``."""
    lines: list[str] = []
    for side, sign, start, end in zip(parts.sides(left, right), "-+", ("[-", "{+"), ("-]", "+}"), strict=True):
        if side is None:
            continue
        text = "".join([piece.text if piece.tag == "same" else f"{start}{piece.text}{end}" for piece in side])
        lines += [f"{sign} {line}" for line in parts.cut(visible(text), LINES).split("\n")]
    return fenced(lines, "diff")


def _messages(messages: tuple[Message, ...]) -> str:
    changed = [message for message in messages if message.changes]
    if len(messages) < 2 or not changed:
        return ""
    rows = ["| message | path | frames | calls | status | records that differ |", "|---|---|---|---|---|---|"]
    for message in changed[:MESSAGES]:
        cells = [code(cell) for cell in parts.figures(message)]
        rows.append(f"| {parts.number(message)} | {' | '.join(cells)} | {message.changes:,} {parts.alone(message)} |")
    same = len(messages) - len(changed)
    more = [f"\n… and {len(changed) - MESSAGES:,} more messages that differ"] if len(changed) > MESSAGES else []
    return "\n".join(rows + more + ([f"\n{same:,} more the same"] if same else []))


def _folded(what: str, group: Sequence[Change]) -> str:
    change = group[0]
    # In the block of HTML nothing is markup but tags, and in a code element nobody is mentioned.
    place = escape(parts.shortened(visible_line(parts.place(change)), NAME_CHARS))
    head = f"<details><summary><code>{place}</code> {change.kind}, {what}</summary>"
    return "\n\n".join([head, _change(group), "</details>"])


def _bounded(head: list[str], folded: list[str], limit: int) -> str:
    """Return as many blocks as there is room for, and how many are left out."""
    room = limit - 200
    kept: list[str] = []
    for number, part in enumerate([*head, *folded]):
        room -= len(part.encode()) + 2
        if room < 0:
            left = len(head) + len(folded) - number
            kept.append(f"… {left:,} more parts have no room here; `frameengine diff --html FILE` or `--json` has all of them")
            break
        kept.append(part)
    return "\n\n".join(kept) + "\n"
