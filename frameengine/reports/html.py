"""A comparison as a page of its own, to be sent around: everything in one file, opened and folded without a script."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from frameengine import __version__
from frameengine.diff.result import Change, FieldChange, Message, TraceDiff
from frameengine.diff.result import Side as Trace
from frameengine.reports import parts
from frameengine.reports.page import Markup, element, lines, page

RECORDS: Final = 500
"""Records that are on the page; of the others only the number."""
FIELDS: Final = 40
"""Differences of one record that are shown."""
CONTEXT: Final = 60
"""Words around a difference."""
LONG: Final = 4_000
"""Code points of words that differ in one go."""
ROWS: Final = 500
"""Rows of the table of messages."""
NAMED: Final = 30
"""Records that are named in one line."""
LINES: Final = 200
"""Lines of a record that is on one side only."""


def html(found: TraceDiff, *, facts: tuple[str, str] = ("", "")) -> str:
    """Return a comparison as one page; *facts*: what else is to be said of each side."""
    content = [
        element("header", element("h1", parts.headline(found), kind=_tone(found)), _traces(found, facts)),
        _headline(found),
        *_messages(found.messages),
        *_independent(found),
        *_following(found),
        element("footer", f"frameengine {__version__} diff · left {found.left.path} · right {found.right.path}"),
    ]
    return page(f"{parts.headline(found)} · frameengine diff", *content)


def _tone(found: TraceDiff) -> str:
    return "good" if found.verdict == "same" else "bad"


def _traces(found: TraceDiff, facts: tuple[str, str]) -> Markup:
    rows: list[Markup] = []
    for name, side, fact in zip(("left", "right"), (found.left, found.right), facts, strict=True):
        rows += [element("b", name), element("div", _trace(side, fact))]
    return element("div", *rows, kind="traces")


def _trace(side: Trace, fact: str) -> Markup:
    counts = f"{side.counts.inputs:,} inputs, {side.counts.frames:,} frames, {side.counts.calls:,} calls"
    about = " · ".join([part for part in (side.graph, counts, fact) if part])
    problem = [element("p", side.problem, kind="bad")] if side.problem else []
    return lines(element("code", str(side.path)), element("span", f" {about}", kind="quiet"), *problem)


def _headline(found: TraceDiff) -> Markup:
    group = parts.causes(found)[0] if found.first is not None else ()
    facts: list[tuple[str, str | Markup]] = []
    if group:
        cause = lines(element("b", found.cause), element("span", found.because, kind="quiet"))
        facts += [("cause", cause), ("differs", parts.tally(found))]
    else:
        both = [message for message in found.messages if message.left is not None and message.right is not None]
        facts.append(("compared", f"{len(both):,} messages, frame by frame"))
        if found.digests:
            facts.append(("changed", f"{', '.join(found.digests)}: it made no difference"))
    facts += [("filters", line) for line in parts.left_out(found)]
    listed = element("dl", *[lines(element("dt", name), element("dd", told)) for name, told in facts], kind="facts")
    body = [element("b", parts.place(group[0])), element("small", f" {_kind(group[0])}", kind="quiet")] if group else []
    return element(
        "section", *body, *(_body(group) if group else ()), listed, kind="card same" if found.verdict == "same" else "card first"
    )


def _kind(change: Change) -> str:
    where = {"added": ", on the right only", "removed": ", on the left only"}.get(change.kind, "")
    return f"{change.kind}{where}{f', {change.effect} call' if change.effect else ''}"


def _change(group: Sequence[Change], *, opened: bool) -> Markup:
    more = f", the same at {len(group) - 1:,} more" if len(group) > 1 else ""
    summary = element("summary", element("b", parts.place(group[0])), element("small", _kind(group[0]) + more))
    return element("details", summary, element("div", *_body(group), kind="body"), kind="card", opened=opened)


def _body(group: Sequence[Change]) -> list[Markup]:
    change = group[0]
    groups = parts.alike(change.fields)
    body = [_field(fields) for fields in groups[:FIELDS]]
    if len(groups) > FIELDS:
        body.append(element("p", f"… and {len(groups) - FIELDS:,} more differences of this record", kind="more quiet"))
    if change.whole is not None:
        text = parts.shortened(parts.cut(parts.text_of(change.whole), LINES), LONG * 4)
        side = element("div", element("pre", Markup("\n"), text, kind=change.kind), kind="side")
        body.append(element("div", side, kind="field"))
    if len(group) > 1:
        body.append(element("p", f"the same at {parts.places(group[1:], NAMED)}", kind="more quiet"))
    return body


def _field(group: tuple[FieldChange, ...]) -> Markup:
    places = [element("p", element("code", parts.pointer(field))) for field in group[:FIELDS]]
    if len(group) > FIELDS:
        places.append(element("p", f"… and {len(group) - FIELDS:,} more places", kind="quiet"))
    left, right = parts.sides(group[0].left, group[0].right, context=CONTEXT, long=LONG)
    both = element("div", _side("left", "del", left), _side("right", "ins", right), kind="sides")
    return element("div", *places, both, kind="field")


def _side(name: str, mark: str, side: parts.Side | None) -> Markup:
    if side is None or not side:
        nothing = "nothing" if side is None else "the empty text"
        return element("div", element("b", name), element("span", nothing, kind="quiet"), kind="side")
    pieces = [piece.text if piece.tag == "same" else element(mark, _seen(piece.text)) for piece in side]
    # The first line feed of a pre element is not part of its text.
    return element("div", element("b", name), element("pre", Markup("\n"), *pieces), kind="side")


def _seen(text: str) -> str:
    """Return a text in which white space that is all of a difference can be seen."""
    return text.replace("\n", "⏎\n").replace("\t", "⇥\t") if text.isspace() else text


def _messages(messages: tuple[Message, ...]) -> list[Markup]:
    changed = [message for message in messages if message.changes]
    if len(messages) < 2 or not changed:
        return []
    names = ("#", "path", "frames", "calls", "status")
    head = element("tr", *[element("th", name) for name in names], element("th", "differ", kind="number"))
    rows = [_row(message) for message in changed[:ROWS]]
    more = len(messages) - len(changed)
    note = f"{len(changed):,} of {len(messages):,} differ" if more else f"all {len(messages):,} differ"
    if len(changed) > ROWS:
        note += f"; the first {ROWS:,} are listed"
    heading = element("h2", "messages", element("small", note))
    return [heading, element("div", element("table", head, *rows), kind="scroll")]


def _row(message: Message) -> Markup:
    cells = parts.figures(message)
    told = [element("td", cell, kind="bad" if " → " in cell else "") for cell in cells]
    count = f"{message.changes:,} {parts.alone(message)}".rstrip()
    return element("tr", element("td", parts.number(message)), *told, element("td", count, kind="number"))


def _independent(found: TraceDiff) -> list[Markup]:
    others = parts.causes(found)[1:]
    if not others:
        return []
    heading = element("h2", "differs by itself", element("small", _records(sum(len(group) for group in others))))
    return [heading, *[_change(group, opened=True) for group in others[:RECORDS]], *_more(len(others))]


def _following(found: TraceDiff) -> list[Markup]:
    if not found.following:
        return []
    content = [element("h2", "what follows", element("small", _records(len(found.following))))]
    room = RECORDS
    for message, changes in parts.consequences(found):
        kept, room = changes[:room], max(room - len(changes), 0)
        name = f"message {parts.number(message)} {parts.alone(message)}".rstrip()
        told = _records(len(changes)) if parts.alone(message) else parts.within(changes, NAMED)
        body = [_change((change,), opened=False) for change in kept]
        body += [element("p", f"… and {len(changes) - len(kept):,} more", kind="quiet")] if len(changes) > len(kept) else []
        summary = element("summary", element("b", name), element("small", told))
        content.append(element("details", summary, element("div", *body, kind="body"), kind="card message"))
    return content


def _records(count: int) -> str:
    return f"{count:,} record" + ("" if count == 1 else "s")


def _more(count: int) -> list[Markup]:
    return [element("p", f"… and {count - RECORDS:,} more (--json has all)", kind="quiet")] if count > RECORDS else []
