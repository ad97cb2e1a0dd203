"""What the lines above and below the panels say: the run and its state, how much of it is read, and why a move ended."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias, get_args

from rich.text import Text

from frameengine.debug.place import parse_place
from frameengine.debug.stop import Hit
from frameengine.debug.timeline import Timeline
from frameengine.state import Operation
from frameengine_cli import phrases
from frameengine_cli.debugging.screens import ENDS, HALT
from frameengine_cli.debugging.session import Answer, Session
from frameengine_cli.look import BAD, DIFFERS, GOOD, OPEN, QUIET, SAME, STRONG, words
from frameengine_cli.screens.run import counted, graph_name
from frameengine_cli.tui.rows import Row

Parts: TypeAlias = Sequence[tuple[str, str]]
"""Texts and their styles."""
BAR: Final = 24
"""Columns of the bar that shows how much is read."""
_PLACED = re.compile(r"\W*(\d+\.\d+(?::\d+)?)(?=\s|$)")


def run_of(session: Session) -> tuple[Parts, Text]:
    """Return what run this is and how it is, and for the end of the line what waits and where this is."""
    timeline, live = session.timeline, session.live
    state = (f"{SAME} sealed", GOOD) if timeline.loaded else (f"{OPEN} reading", QUIET)
    if live is not None:
        state = (f"{OPEN} {'held' if live.held else 'under way' if live.under_way else 'recording'}", GOOD)
    elif timeline.problem is not None:
        state = (f"{DIFFERS} DAMAGED, the good part only", f"{STRONG} {BAD}")
    changed = timeline.changed_on_disk()
    if changed:
        state = (f"{DIFFERS} CHANGED ON DISK: {changed}", f"{STRONG} {BAD}")
    about = f"  {graph_name(timeline.header)} · {counted(timeline.counts)}"
    waiting = phrases.count(len(session.edits), "edit") + " unforked  " if session.edits else ""
    here = (str(session.place), f"{STRONG} {GOOD}")
    return [state, (about, QUIET)], words((waiting, f"{STRONG} {BAD}"), here, (f" of {timeline.last} ", QUIET))


def read_so_far(timeline: Timeline, total: int | None) -> Parts:
    """Return how much of a trace is read; *total*: its bytes, where that is known."""
    if timeline.loaded:
        return [(f"{SAME} read  ", GOOD), (counted(timeline.counts), QUIET)]
    filled = round(BAR * min(timeline.read / total, 1)) if total else 0
    figures = phrases.size(timeline.read) + (f" of {phrases.size(total)}" if total else "")
    return [("reading ", QUIET), ("━" * filled, GOOD), ("─" * (BAR - filled), QUIET), (f" {figures}", QUIET)]


def ended(answer: Answer, names: Mapping[int, str]) -> Parts:
    """Return in a line why a move ended where it did; *names* has what breakpoints are about."""
    stop = answer.stop
    if stop is None:
        return ()
    parts = [(f"{stop.where}  ", f"{STRONG} {GOOD}")]
    if stop.reason in ENDS:
        parts.append((f"{ENDS[stop.reason]}  ", BAD if stop.reason == "interrupted" else QUIET))
    told = [(hit.number, _what(hit) or names.get(hit.number, ""), hit.before, hit.after) for hit in stop.hits]
    for index, (number, what, before, after) in enumerate(told):
        # Several effects of a frame may be the same hit to a person.
        if told.index((number, what, before, after)) == index:
            count = told.count((number, what, before, after))
            times = f" {count} times" if count > 1 else ""
            parts += [(f"{HALT} ", BAD), (f"{number} ", QUIET), (what, STRONG), (f"{times}  ", QUIET)]
            if before is not None or after is not None:
                parts += [(phrases.value(before, 40), QUIET), (" → ", BAD), (f"{phrases.value(after, 40)}  ", STRONG)]
    parts += [(f"{note}  ", BAD) for note in stop.notes]
    message = answer.data.get("message")
    if message:
        parts += [(f"{message['status']}  ", GOOD if message["status"] == "done" else BAD), (phrases.cut(message["answer"]), "")]
    found = answer.data.get("found")
    if found:
        parts += [(f"{found['what']}  ", STRONG), (found["around"], "")]
    return parts


def _what(hit: Hit) -> str:
    """Return what was found; of a change of the state also who made it, which no row beside it says."""
    return f"{hit.what} by {hit.node}" if hit.node and hit.what in get_args(Operation) else hit.what


def leading(text: Text) -> Row:
    """Return a line of an answer; one that begins with a place leads there."""
    found = _PLACED.match(text.plain)
    return Row(text=text, place=parse_place(found[1]) if found else None)
