"""Reruns: what they are worth, how each call was answered, which calls still need a reply, and versions side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from attrs import frozen
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from frameengine.cassette.match import difference
from frameengine.effects import Call, EffectKey
from frameengine.errors import CassetteMiss
from frameengine.inputs import Input
from frameengine.jsonvalue import Json
from frameengine.rerun.rerun import NodeHits, RerunResult
from frameengine.rerun.stage import Answered, Miss, Moved
from frameengine.rerun.versions import RECORD, Cell, Column, Matrix
from frameengine_cli import phrases
from frameengine_cli.look import BAD, DIFFERS, GOOD, MODEL, OPEN, QUIET, SAME, STRONG, TOOL, Look, pairs, words
from frameengine_cli.refs import short_id
from frameengine_cli.screens.divergence import difference as marked
from frameengine_cli.screens.run import counted

LISTED = 12
"""Calls, messages or inputs that are told one by one; of the others only the number."""
GOT = 120
"""Code points of a reply that stood in."""
OTHER_ANSWER = "≠"
"""Mark of a message whose answer is not that of the first version."""
OTHER_RECORD = "≈"
"""Mark of a message in whose record something else differs."""
SIGNS = {"exact": SAME, "completed": SAME, "approximate": OPEN, "unfinished": DIFFERS, "no replies": OPEN}
WORTH = {
    "exact": "every reply was recorded for an equal request",
    "completed": "recorded replies for equal requests, and new ones for the rest",
    "approximate": "some replies were recorded for other requests",
    "unfinished": "some calls have no reply",
    "no replies": "no call got a reply, so no request was compared",
}


@frozen(kw_only=True)
class Told:
    """What a screen says of a rerun."""

    result: RerunResult
    """What it came to."""
    graph: str
    """How to call its graph."""
    versions: Matrix | None = None
    """The record and the rerun, message by message."""


def receipt(told: Told, look: Look) -> RenderableType:
    """Return what a rerun is worth, how its calls were answered, and how its messages differ from the record."""
    result = told.result
    as_recorded = told.versions is not None and not told.versions.differ
    worth = result.verdict in ("exact", "completed") or (result.verdict == "no replies" and as_recorded)
    good = worth and not (result.unused or result.ignored or result.failed)
    rows = [
        ("graph", _plain(told.graph)),
        ("ran", _plain(counted(result.counts))),
        ("replies", _replies(result)),
        *_left(result),
    ]
    if result.head is not None and result.output is not None:
        rows.append(("written", words((f"{result.output}", ""), (f"  {short_id(result.head)}", QUIET))))
    parts: list[RenderableType] = [pairs(rows)]
    if any(how not in ("exact", "cancelled", "not recorded") for how in result.count):
        parts += [Text(""), by_node(result.nodes, look)]
    loose = [answer for answer in result.answered if answer.loose]
    if loose:
        parts += [Text(""), _loose(loose)]
    if told.versions is not None:
        parts += [Text(""), changed_messages(told.versions)]
    title = f"{SIGNS[result.verdict]} {result.verdict}: {WORTH[result.verdict]}"
    return look.panel(Group(*parts), title, result.path.name, style=GOOD if good else BAD)


def _replies(result: RerunResult) -> Text:
    count = result.count
    told = [f"{number:,} {how}" for how, number in count.items()]
    ambiguous = sum(node.ambiguous for node in result.nodes)
    parts = [(", ".join(told) or "no calls", "")]
    if ambiguous:
        parts.append((f"; {ambiguous:,} of them ambiguous: an equal request got another reply elsewhere", BAD))
    return words(*parts)


def _left(result: RerunResult, *, meant: bool = False) -> list[tuple[str, RenderableType]]:
    """Return rows on what was recorded and is not in the new run, or elsewhere in it; *meant*: as somebody intended."""
    rows: list[tuple[str, RenderableType]] = []
    if result.unused and meant:
        rows.append(("left out", words((f"{len(result.unused):,} recorded replies that nothing asks for any more", QUIET))))
    elif result.unused:
        first = ", ".join([str(entry.key) for entry in result.unused[:4]])
        more = f" and {len(result.unused) - 4:,} more" if len(result.unused) > 4 else ""
        rows.append(("unused", words((f"{len(result.unused):,} of {result.replies:,} recorded replies: {first}{more}", BAD))))
    if result.ignored:
        listed = ", ".join(map(str, result.ignored[:LISTED]))
        rows.append(("ignored", words((f"the graph has no node for input {listed}", BAD))))
    if result.failed:
        listed = ", ".join(map(str, result.failed[:LISTED]))
        rows.append(("failed", words((f"message {listed}, and not when it was recorded", BAD))))
    if result.moved:
        rows.append(("moved", Group(*[words((_moved(moved), BAD)) for moved in result.moved[:LISTED]])))
    return rows


def _moved(moved: Moved) -> str:
    came = "by itself, after the message" if moved.now is None else f"in {moved.now[0]}.{moved.now[1]}"
    return f"input {moved.input}, recorded in {moved.recorded[0]}.{moved.recorded[1]}, came in {came}"


def by_node(nodes: Sequence[NodeHits], look: Look) -> RenderableType:
    """Return the hit rate of each node."""
    grid = look.table("node", "calls", "exact", "slot", "nearest", "supplied", "hit rate", right=_FIGURES)
    for node in nodes:
        supplied = node.hows["script"] + node.hows["live"]
        figures = [node.calls, node.hows["exact"], node.hows["slot"], node.hows["nearest"], supplied]
        style = "" if node.hows["exact"] == node.calls else BAD
        grid.add_row(words((node.node, "")), *[f"{figure:,}" for figure in figures], words((f"{node.rate:.0%}", style)))
    return grid


_FIGURES = ("calls", "exact", "slot", "nearest", "supplied", "hit rate")


def _loose(loose: Sequence[Answered]) -> RenderableType:
    rows: list[RenderableType] = []
    for answer in loose[:LISTED]:
        origin = "as another request was in its place"
        if answer.recorded is not None:
            origin = f"the reply to {answer.recorded.key}, {_alike(answer.similarity)}"
        rows.append(words((f"{answer.key}", STRONG), (f"  {answer.how}, {origin}", QUIET)))
    if len(loose) > LISTED:
        rows.append(words((f"… {len(loose) - LISTED:,} more (--json has all)", QUIET)))
    return Group(*rows)


def _alike(similarity: float) -> str:
    """Return how alike two requests are that are not equal: never all of it."""
    return f"{min(int(similarity * 100), 99)} % alike"


def changed_messages(versions: Matrix) -> RenderableType:
    """Return the messages of two versions that differ, the new one's answer below the recorded one's."""
    one, other = versions.columns
    rows: list[RenderableType] = []
    differing = [(entered, found) for entered in versions.rows if (found := versions.changes(other, entered.number))]
    changed = [(entered, found) for entered, found in differing if found != (RECORD,)]
    whole = phrases.count(len(versions.rows), "message")
    if len(changed) < len(differing):
        note = f"{len(differing) - len(changed)} of {whole} with something else in the record"
        rows.append(words((f"{OTHER_RECORD} {note}: keep the run with -o FILE, then frameengine diff", QUIET)))
    if not changed:
        rows.insert(0, words((f"{SAME} all {whole} as recorded: path, frames, calls and answer", QUIET)))
        return Group(*rows)
    rows.insert(0, words((f"{len(changed)} of {whole} changed", STRONG)))
    for entered, found in changed[:LISTED]:
        rows.append(words((f"{entered.number:>4}  ", f"{STRONG} {GOOD}"), (phrases.cut(phrases.input_line(entered), 60), "")))
        before, after = one.cells.get(entered.number), other.cells.get(entered.number)
        facts: list[tuple[str, RenderableType]] = []
        if before is not None and after is not None:
            if found != ("answer",):
                facts.append(("", words((f"{_way(before)}  →  {_way(after)}", ""))))
            if "answer" in found:
                facts += list(zip(("recorded", "now"), marked(before.answer, after.answer), strict=True))
        else:
            facts.append(("", _plain("a message of its own on one side only")))
        rows.append(Padding(pairs(facts), (0, 0, 0, 6)))
    if len(changed) > LISTED:
        rows.append(words((f"… {len(changed) - LISTED:,} more", QUIET)))
    return Group(*rows)


def _way(cell: Cell) -> str:
    figures = cell.figures
    ended = "" if figures.status == "done" else f", {figures.status}"
    return f"{figures.path} {phrases.count(figures.total_frames, 'frame')} {phrases.count(figures.calls, 'call')}{ended}"


def matrix(versions: Matrix, names: Sequence[str], look: Look) -> RenderableType:
    """Return versions side by side: path and frames of each message, and whether its answer and record are the first's."""
    grid = look.table("#", "input", *names, right=("#",), wide="input")
    for shown, ratio in zip(grid.columns[1:], (3, *[4] * len(names)), strict=True):
        shown.ratio = ratio
    for entered in versions.rows:
        cells = []
        for column in versions.columns:
            cell = column.cells.get(entered.number)
            changes = versions.changes(column, entered.number)
            told = "none" if cell is None else f"{cell.figures.total_frames} {cell.figures.path}"
            status = "" if cell is None or cell.figures.status == "done" else f" {cell.figures.status}"
            mark = OTHER_ANSWER if "answer" in changes else OTHER_RECORD if changes == (RECORD,) else " "
            cells.append(words((mark, BAD), (f" {told}{status}", BAD if changes and changes != (RECORD,) else "")))
        grid.add_row(words((str(entered.number), f"{STRONG} {GOOD}")), words((phrases.input_line(entered), "")), *cells)
    sums = [_sum(versions, column) for column in versions.columns]
    grid.add_row("", words(("frames; messages that differ", QUIET)), *[words((f"  {told}", QUIET)) for told in sums])
    legend = [f"frames and path of each message; {OTHER_ANSWER} another answer than in the first"]
    whole = [versions.whole(column) for column in versions.columns[1:]]
    if any(whole):
        legend[0] += f"; {OTHER_RECORD} something else in its record"
    if not all(whole):
        legend.append("where the graph has other nodes than the first, only path, frames, calls, status and answer are compared")
    return Group(grid, Text(""), *[words((line, QUIET)) for line in legend])


def _sum(versions: Matrix, column: Column) -> str:
    frames = sum(cell.figures.total_frames for cell in column.cells.values())
    differing = sum(bool(versions.changes(column, entered.number)) for entered in versions.rows)
    return f"{frames:,}" if column is versions.columns[0] else f"{frames:,}; {differing}"


def needed(result: RerunResult, inputs: dict[int, Input], look: Look) -> RenderableType:
    """Return the calls that need a reply, each with what it asks otherwise than the recorded call in its place."""
    calls = result.needed
    parts: list[RenderableType] = [
        pairs(
            [
                ("reused", _plain(f"{result.count['exact']:,} of {result.replies:,} recorded replies, for equal requests")),
                ("needed", words((f"{len(calls):,} new {'reply' if len(calls) == 1 else 'replies'}", STRONG))),
            ]
        )
    ]
    shown: int | None = None
    seen: dict[tuple[str, str], EffectKey] = {}
    for miss in calls[:LISTED]:
        number = miss.call.key.input
        if number != shown and number in inputs:
            text = phrases.cut(phrases.input_line(inputs[number]), 80)
            parts += [Text(""), words((f"{number}  ", f"{STRONG} {GOOD}"), (text, ""))]
        shown = number
        parts.append(Padding(_miss(miss, seen), (0, 0, 0, 3)))
    if len(calls) > LISTED:
        parts.append(words((f"… {len(calls) - LISTED:,} more (--json or --template FILE has all)", QUIET)))
    if any(not miss.certain for miss in calls):
        note = "what comes after the first was found with recorded replies standing in: other replies may lead elsewhere"
        parts += [Text(""), words((note, QUIET))]
    title = f"{DIFFERS} {phrases.count(len(calls), 'call')} without a reply"
    return look.panel(Group(*parts), title, result.path.name, style=BAD)


def _miss(miss: Miss, seen: dict[tuple[str, str], EffectKey]) -> RenderableType:
    """Return a call and how it differs from the recorded one in its place; a difference that was *seen* is not told again."""
    rows: list[tuple[str, RenderableType]] = []
    if miss.stand_in is None:
        rows.append(("", _plain("nothing recorded is like it; its message stops here")))
    else:
        key, found = miss.call.key, difference(miss.stand_in.call, miss.call)
        one, other = (Text(), Text()) if found is None else marked(found[1], found[2])
        first = seen.setdefault((one.plain, other.plain), key)
        if found is not None and first == key:
            rows.append(("differs", words((found[0], ""), (f"  from {miss.stand_in.key}", QUIET))))
            rows += [("recorded", one), ("asks", other)]
        elif found is not None:
            rows.append(("differs", words((f"as {first} does", ""))))
        rows.append(("got then", words((phrases.cut(phrases.answered(miss.outcome), GOT), QUIET))))
    return Group(_asked(miss.call.key, miss.call), Padding(pairs(rows), (0, 0, 0, 2)))


def _asked(key: EffectKey, call: Call) -> Text:
    sign = MODEL if call.effect.kind == "model" else TOOL
    return words((f"{sign} ", GOOD), (f"{key}", STRONG), (f"  {call.effect.name}", QUIET))


def missed(error: CassetteMiss, name: str, look: Look) -> RenderableType:
    """Return the recorded calls nearest to one that has no reply, and why each was rejected."""
    rows: list[RenderableType] = []
    for index, near in enumerate(error.fields.get("nearest", ())):
        rows.append(words((_place(near["key"]), STRONG), (f"  {_alike(near['similarity'])}: {near['why']}", "")))
        if index == 0 and "pointer" in near:
            both = list(zip(("recorded", "asks"), marked(near["recorded"], near["asked"]), strict=True))
            rows.append(Padding(pairs(both), (0, 0, 0, 2)))
    body = Group(*rows) if rows else _plain("no unused recorded call is of this kind")
    title = f"{DIFFERS} no reply for {_place(error.fields.get('key', ()))}: the nearest recorded calls"
    return look.panel(body, title, name, style=BAD)


def _place(key: Sequence[Json]) -> str:
    return str(EffectKey(*key)) if len(key) >= 4 else "a call"


def pending(told: Told, target: Path, golden: Path, look: Look) -> RenderableType:
    """Return what a new pending golden holds, and how it differs from its golden."""
    result = told.result
    rows = [
        ("graph", _plain(told.graph)),
        ("replies", _replies(result)),
        *_left(result, meant=True),
        ("written", _plain(str(target))),
        ("beside", _plain(golden.name)),
    ]
    parts: list[RenderableType] = [pairs(rows)]
    if told.versions is not None:
        parts += [Text(""), changed_messages(told.versions)]
    good = result.verdict in ("exact", "completed") and not result.failed
    return look.panel(Group(*parts), f"{SAME if good else OPEN} pending", target.name, style=GOOD if good else BAD)


def _plain(text: str) -> Text:
    return words((text, ""))
