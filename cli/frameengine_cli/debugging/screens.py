"""What the debugger's commands show, in lines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from frameengine.debug.place import Place
from frameengine.debug.stop import Hit, Reason, Stop
from frameengine.jsonvalue import FrozenMap, Json, pointer_step
from frameengine.rerun.stage import APPROXIMATE
from frameengine.trace.messages import Made
from frameengine_cli import phrases
from frameengine_cli.look import (
    BAD,
    DELTA,
    DIFFERS,
    ENTERS,
    GOOD,
    MODEL,
    NODE,
    OPEN,
    QUIET,
    SAME,
    STRONG,
    TOOL,
    Look,
    block,
    pairs,
    words,
)
from frameengine_cli.screens.timeline import frame_lines, status_sign, status_style
from frameengine_cli.spending import broken, calls_failed

if TYPE_CHECKING:
    from frameengine.debug.edit import Edit
    from frameengine.debug.fork import ForkResult
    from frameengine.debug.history import Changed
    from frameengine.debug.points import Point
    from frameengine_cli.debugging.searching import Found
    from frameengine_cli.debugging.session import Session

HALT = "■"
"""Stands before what stopped a move."""
HERE = "▶"
"""Stands before the place in a list."""
ENDS: Final[Mapping[Reason, str]] = {
    "start": "the start of the run", "end": "the end of the run", "interrupted": "stopped on the way",
}  # fmt: skip
"""Why a move ended, where neither its goal nor a hit says it."""


def stopped(session: Session, stop: Stop | None, look: Look) -> RenderableType:
    """Return the place in a few lines: where it is, what stopped there, and what the frame did."""
    place, timeline = session.place, session.timeline
    parts: list[RenderableType] = [_headline(session)]
    parts += (
        [] if stop is None else [*_hit_lines(stop.hits), *[words((f" {HALT} ", QUIET), (note, QUIET)) for note in stop.notes]]
    )
    if stop is not None and stop.reason in ENDS:
        parts.append(words((f" {HALT} ", BAD if stop.reason == "interrupted" else QUIET), (ENDS[stop.reason], QUIET)))
    step = timeline.frame(place) if place.message else None
    if place.effects is not None:
        effects = timeline.effects(place)
        parts.append(effect_list(effects[: place.effects], len(effects) - place.effects))
    elif step is not None:
        parts.append(frame_lines(step, look))
    elif place.message:
        parts.append(words((f" {ENTERS} ", GOOD), (phrases.input_line(timeline.message(place.message).input), "")))
    return Group(*parts)


def _headline(session: Session) -> Text:
    place, timeline = session.place, session.timeline
    if not place.message:
        return words(
            ("start", f"{STRONG} {GOOD}"), (f"  {timeline.counts.inputs:,} inputs, {timeline.counts.frames:,} frames", QUIET)
        )
    message = timeline.message(place.message)
    facts = [message.path, message.status if message.status != "done" else ""]
    within = "has entered" if not place.frame else f"frame {place.frame} of {len(message.steps)}"
    if place.effects is not None:
        within = f"inside {within}"
    if place.whole == timeline.unfinished:
        within = f"inside frame {place.frame}, which {session.uncommitted}"
    parts = [(str(place), f"{STRONG} {GOOD}"), (f"  {within}", ""), (f"  {' · '.join([fact for fact in facts if fact])}", QUIET)]
    return words(*parts)


def _hit_lines(hits: Sequence[Hit]) -> list[Text]:
    """Return what was hit, one line for each breakpoint: several effects of a frame may fit one."""
    lines = []
    for number in dict.fromkeys(hit.number for hit in hits):
        held = [hit for hit in hits if hit.number == number]
        about = ", ".join(dict.fromkeys(_about(hit) for hit in held if _about(hit)))
        parts = [(f" {HALT} ", BAD), (f"{number}  ", STRONG), (held[0].what, ""), (f"  {about}", QUIET)]
        if held[0].before is not None or held[0].after is not None:
            parts += [("  ", ""), *_from_to(held[0].before, held[0].after)]
        lines.append(words(*parts))
    return lines


def _about(hit: Hit) -> str:
    """Return the node, or the effect, that a hit is about."""
    return hit.node if hit.key is None else f"{hit.key.node}[{hit.key.call}]"


def _from_to(before: Json, after: Json) -> list[tuple[str, str]]:
    """Return a change on one line: of a list that grew, or of a mapping, what is new."""
    if isinstance(before, tuple) and isinstance(after, tuple) and after[: len(before)] == before:
        return [(f"+{len(after) - len(before)}: ", QUIET), (phrases.value(after[len(before) :], 60), "")]
    return [(phrases.value(before, 50), QUIET), (" → ", QUIET), (phrases.value(after, 50), "")]


def noted(text: str) -> RenderableType:
    """Return a note."""
    return Group(*[words((line, QUIET if index else "")) for index, line in enumerate(text.split("\n"))])


def value(name: str, held: Json) -> RenderableType:
    """Return a value under its name: texts as they read, the rest as JSON over several lines."""
    shown = (
        block(held) if isinstance(held, str) else block(phrases.pretty(held)) if held is not None else words(("nothing", QUIET))
    )
    return Group(words((name, f"{STRONG} {GOOD}")), Padding(shown, (0, 0, 0, 2)))


def shown_rows(rows: Iterable[tuple[str, Json, str]]) -> RenderableType:
    """Return the expressions that are shown at every stop."""
    lines = [
        words((f" {text} ", QUIET), ("= ", QUIET), (wrong or phrases.value(held), BAD if wrong else ""))
        for text, held, wrong in rows
    ]
    return Group(*lines)


def state_rows(sections: FrozenMap) -> RenderableType:
    """Return the sections of a state, one line each."""
    if not sections:
        return words(("the state is empty", QUIET))
    rows: list[tuple[str, RenderableType]] = []
    for name, held in sections.items():
        text = words((phrases.value(held) if held else "empty", "" if held else QUIET))
        text.no_wrap, text.overflow = True, "ellipsis"
        rows.append((f"/{pointer_step(name)}", text))
    return pairs(rows)


def slot(made: Made) -> str:
    """Return an effect as places and hits name it: its node, and which of that one's calls it is, from 0."""
    return f"{made.key.node}[{made.key.call}]"


def effect_list(come: Sequence[Made], outstanding: int) -> RenderableType:
    """Return effects in order of arrival, numbered, and how many are still awaited."""
    grid = Table.grid(padding=(0, 1, 0, 0), expand=True)
    grid.add_column(justify="right", no_wrap=True, style=QUIET, min_width=2)
    grid.add_column(no_wrap=True, width=1)
    grid.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    grid.add_column(justify="right", no_wrap=True, style=QUIET)
    for number, made in enumerate(come, 1):
        good = made.outcome.status == "ok"
        facts = [phrases.tokens(phrases.usage(made.outcome)), phrases.took(made.outcome)]
        said = words(
            (f"{slot(made)}  ", STRONG),
            (phrases.asked(made), ""),
            ("  ⇒ ", QUIET),
            ("" if good else f"{DIFFERS} ", BAD),
            (phrases.answered(made.outcome), "" if good else BAD),
        )
        sign = words((MODEL if made.effect == "model" else TOOL, GOOD if good else BAD))
        grid.add_row(str(number), sign, said, " · ".join([fact for fact in facts if fact]))
    if outstanding:
        grid.add_row("", "…", words((f"{phrases.count(outstanding, 'effect')} outstanding", QUIET)), "")
    return grid if grid.row_count else words((" no effects", QUIET))


def message_table(rows: Sequence[Any], here: int, count: int, look: Look) -> RenderableType:
    """Return messages, the one that the session stands in marked."""
    table = look.table("", "#", "input", "path", "frames", "calls", "", right=("#", "frames", "calls"), wide="input")
    for row in rows:
        mark = words((HERE if row.number == here else "", GOOD))
        sign = words((status_sign(row.status), status_style(row.status)))
        text = words((phrases.cut(row.text) or row.type, STRONG if row.number == here else ""))
        table.add_row(mark, f"{row.number:,}", text, words((row.path, "")), str(row.frames), str(row.calls), sign)
    return Group(table, words((f"{phrases.count(count, 'message')} in all", QUIET))) if count > len(rows) else table


def breakpoint_table(rows: Sequence[tuple[Point, int]], look: Look) -> RenderableType:
    """Return breakpoints and watchpoints, and how often each was hit."""
    if not rows:
        return noted("no breakpoints; break tool NAME sets one, watch /POINTER stops where a value changes")
    table = look.table("#", "", "stops at", "hits", right=("#", "hits"), wide="stops at")
    for point, hits in rows:
        sign = words((HALT, BAD) if point.enabled else ("□", QUIET))
        table.add_row(str(point.number), sign, words((point.text, "" if point.enabled else QUIET)), f"{hits:,}")
    return table


def hit_table(text: str, hits: Sequence[Hit], count: int, here: Place) -> RenderableType:
    """Return the places where something holds."""
    if not count:
        return noted(f"{text}: holds nowhere in this run")
    lines = [words((text, STRONG), (f"  holds at {phrases.count(count, 'place')}", QUIET))]
    for hit in hits:
        changed = hit.before is not None or hit.after is not None
        lines.append(
            _at_place(hit.place, here, " ", _about(hit), _from_to(hit.before, hit.after) if changed else [(hit.what, QUIET)])
        )
    if count > len(hits):
        lines.append(words((f"   … {count - len(hits):,} more (--json lists all)", QUIET)))
    return Group(*lines)


def _at_place(place: Place, here: Place, sign: str, who: str, what: Sequence[tuple[str, str]]) -> Text:
    """Return what is at a place, on one line."""
    mark = HERE if place == here else sign
    line = words((f" {mark} ", GOOD), (f"{place!s:<8}", STRONG), (f"{who}  ", ""), *what)
    line.no_wrap, line.overflow = True, "ellipsis"
    return line


def change_table(pointer: str, found: Sequence[Changed], here: Place) -> RenderableType:
    """Return every change of a value, oldest first."""
    if not found:
        return noted(f"nothing changes {pointer} in this run")
    head = words((pointer, STRONG), (f"  {phrases.count(len(found), 'change')}", QUIET))
    lines = [_at_place(one.place, here, DELTA, one.node or one.input, _from_to(one.before, one.after)) for one in found]
    return Group(head, *lines)


def one_change(pointer: str, found: Changed | None) -> RenderableType:
    """Return the change that made a value what it is; of a list that grew what is new. None: nothing has changed it."""
    if found is None:
        return noted(f"nothing has changed {pointer} up to here: it is as the run began")
    by = f"{NODE} node {found.node}" if found.node else f"{ENTERS} input {found.input}"
    head = words((pointer, STRONG), ("  changed last at ", QUIET), (str(found.place), f"{STRONG} {GOOD}"), (f" by {by}", ""))
    before, after = found.before, found.after
    rows: list[tuple[str, RenderableType]] = [("before", _one(before)), ("after", _one(after))]
    if isinstance(before, tuple) and isinstance(after, tuple) and after[: len(before)] == before:
        rows = [("before", words((phrases.count(len(before), "item"), QUIET))), ("new", _one(after[len(before) :]))]
    return Group(head, Padding(pairs(rows), (0, 0, 0, 2)))


def _one(held: Json) -> RenderableType:
    return words(("nothing", QUIET)) if held is None else block(held if isinstance(held, str) else phrases.pretty(held))


def found_line(found: Found) -> RenderableType:
    """Return where a text was found."""
    return words((f" {HALT} ", GOOD), (f"{found.what}  ", QUIET), (found.around, ""))


def edit_list(rows: Sequence[Edit]) -> RenderableType:
    """Return the edits that wait for a fork."""
    if not rows:
        return noted("no edit waits; edit reply TEXT, edit result JSON, edit input TEXT, edit /POINTER JSON")
    return Group(*[words((f" {number}  ", QUIET), (edit.text, "")) for number, edit in enumerate(rows, 1)])


def doubts(result: ForkResult) -> list[tuple[str, str]]:
    """Return what is to be known of a fork before it is believed: edits nobody asked for, other code, other replies, no reply."""
    rows = [("not made", f"{edit.text}: the fork never asks for it") for edit in result.unreached]
    if result.divergence is not None:
        rows.append(("diverged", f"the code of now differs from the record at {result.divergence.place}, edit or no edit"))
    loose = {how: count for how, count in result.hows.items() if how in APPROXIMATE}
    if loose:
        said = ", ".join([f"{count:,} {how}" for how, count in loose.items()])
        rows.append(("approximate", f"{said}: replies that were recorded for other requests"))
    refused = calls_failed(broken(result.rerun))
    return rows if refused is None else [*rows, ("failed", refused.message), ("try", refused.hint)]


def forked(result: ForkResult, ways: Sequence[str], look: Look) -> RenderableType:
    """Return what became of a fork: what was changed in it, how its calls were answered, and what is to be known of it.

    *ways*: what may be typed where calls are needed.
    """
    made = [edit for edit in result.edits if edit not in result.unreached]
    answered = ", ".join([f"{count:,} {how}" for how, count in result.hows.items() if count])
    rows: list[tuple[str, RenderableType]] = [
        ("edits", Group(*[words((edit.text, "")) for edit in made]) if made else words(("none was made", BAD))),
        ("answered", words((answered, ""))),
    ]
    calls = [miss.call for miss in result.needed]
    rows += [("needed", words((f"{call.key}: {call.effect.kind} {call.effect.name}", BAD))) for call in calls]
    if result.path is None:
        rows.append(("try", Group(*[words((way, STRONG)) for way in ways])))
        return look.panel(pairs(rows), f"{DIFFERS} fork stops", "nobody answers that: no fork was written", style=BAD)
    if result.dropped:
        dropped = phrases.count(len(result.dropped), "call")
        rows.append(("dropped", words((f"{dropped} of this run, which the fork makes no more", QUIET))))
    for moved in result.rerun.moved:
        rows.append(("moved", words((f"input {moved.input} came in elsewhere", QUIET))))
    doubtful = doubts(result)
    rows += [(name, words((said, BAD))) for name, said in doubtful]
    rows.append(("fork", words((str(result.path), STRONG))))
    sign, style = (OPEN, BAD) if doubtful else (SAME, GOOD)
    return look.panel(pairs(rows), f"{sign} forked at {result.first}", "compare shows what changed", style=style)
