"""The report of a divergence: where, what, why, and what follows from it."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from frameengine.jsonvalue import EMPTY, Json
from frameengine.plaintext import visible
from frameengine.replay.divergence import NOTHING, Divergence
from frameengine.replay.replayer import ReplayResult
from frameengine.reports.parts import Side, sides, text_of
from frameengine_cli.look import BAD, DIFFERS, GOOD, QUIET, STRONG, Look, pairs, words
from frameengine_cli.screens.run import counted


def report(result: ReplayResult, found: Divergence, graph: str, look: Look, *, typed: str | None = None) -> RenderableType:
    """Return everything that is known of the first difference between record and replay; *typed* names the trace in a shell."""
    parts: list[RenderableType] = [_difference(found)]
    if found.nearest is not None:
        parts.append(_nearest(found))
    parts.append(
        pairs(
            [
                ("cause", words((found.cause, STRONG), (f"  {found.because}" if found.because else "", QUIET))),
                ("graph", words((graph, ""))),
                ("compared", words((f"{counted(result.counts)} up to here", ""))),
            ]
        )
    )
    if found.consequence is not None:
        parts += [Text(""), words(("what follows from it", STRONG), (f"  {found.consequence.place}", QUIET))]
        parts.append(Padding(_difference(found.consequence), (0, 0, 0, 2)))
    place = f"{found.input}.{found.frame}" if found.frame else str(found.input)
    screen = look.panel(Group(*parts), f"{DIFFERS} diverged at {found.place}", result.path.name, style=BAD)
    return (
        screen if typed is None else Group(screen, words((f"the recorded side whole: frameengine show {typed}@{place}", QUIET)))
    )


def _difference(found: Divergence) -> RenderableType:
    recorded, replayed = difference(found.recorded, found.replayed)
    rows: list[tuple[str, RenderableType]] = [("differs", words((found.kind, STRONG), ("  ", ""), (found.pointer, "")))]
    rows += [("recorded", recorded), ("replayed", replayed)]
    if found.where:
        rows.append(("raised at", words((found.where, STRONG))))
    return pairs(rows)


def _nearest(found: Divergence) -> RenderableType:
    nearest = found.nearest or EMPTY
    key = nearest.get("key", ())
    place = f"{key[0]}.{key[1]} {key[2]}[{key[3]}]" if len(key) >= 4 else "?"
    used = "used by another call" if nearest.get("used") else "unused"
    rows: list[tuple[str, RenderableType]] = [("nearest", words((f"recorded call {place}, {used}", "")))]
    if "kind" in nearest:
        one, other = difference(nearest.get("recorded"), nearest.get("replayed"))
        rows.append(("", words((f"differs in {nearest['kind']} {nearest.get('pointer', '')}", QUIET))))
        rows += [("  recorded", one), ("  replayed", other)]
    return pairs(rows)


def difference(recorded: Json, replayed: Json) -> tuple[Text, Text]:
    """Return both values with the words that differ marked: ``[-gone-]`` and ``{+new+}``, the rest cut to what is around them."""
    if NOTHING in (recorded, replayed):
        return _whole(recorded, BAD), _whole(replayed, GOOD)
    left, right = sides(recorded, replayed)
    return marked(left, f"{STRONG} {BAD}", "[-", "-]"), marked(right, f"{STRONG} {GOOD}", "{+", "+}")


def marked(side: Side | None, style: str, start: str, end: str) -> Text:
    """Return one side of a difference, with *start* and *end* around each run of words that the other one has not."""
    if side is None:
        return words((NOTHING, QUIET))
    text = Text() if side else words(("(empty text)", QUIET))
    for piece in side:
        shown = visible(piece.text)
        text.append(shown if piece.tag == "same" else f"{start}{shown}{end}", QUIET if piece.tag == "same" else style)
    return text


def _whole(value: Json, style: str) -> Text:
    return words((NOTHING, QUIET)) if value == NOTHING else words((text_of(value), style))
