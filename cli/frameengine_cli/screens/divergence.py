"""The report of a divergence: where, what, why, and what follows from it."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from frameengine.diff.words import word_parts
from frameengine.jsonvalue import EMPTY, Json
from frameengine.plaintext import visible
from frameengine.replay.divergence import NOTHING, Divergence
from frameengine.replay.replayer import ReplayResult
from frameengine_cli import phrases
from frameengine_cli.look import BAD, DIFFERS, GOOD, QUIET, STRONG, Look, pairs, words
from frameengine_cli.screens.run import counted

CONTEXT_WORDS = 24
"""Words and spaces that are shown before and after a difference."""


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
    left, right = _text(recorded), _text(replayed)
    one, other = (Text() if text else words(("(empty text)", QUIET)) for text in (left, right))
    parts = word_parts(left, right)
    for index, part in enumerate(parts):
        if part.tag == "equal":
            same = _around(part.words, first=index == 0, last=index == len(parts) - 1)
            one.append(same, QUIET)
            other.append(same, QUIET)
        elif part.tag == "removed":
            one.append(f"[-{_joined(part.text)}-]", f"{STRONG} {BAD}")
        else:
            other.append(f"{{+{_joined(part.text)}+}}", f"{STRONG} {GOOD}")
    return one, other


def _whole(value: Json, style: str) -> Text:
    return words((NOTHING, QUIET)) if value == NOTHING else words((_text(value), style))


def _text(value: Json) -> str:
    return value if isinstance(value, str) else phrases.pretty(value)


def _joined(part: str) -> str:
    text = visible(part)
    return text if len(text) <= 400 else f"{text[:300]} … {len(text) - 300:,} more characters"


def _around(parts: tuple[str, ...], *, first: bool, last: bool) -> str:
    """Return equal words between differences, cut in the middle; at the ends only what is next to one."""
    before = () if first else parts[:CONTEXT_WORDS]
    after = () if last else parts[-CONTEXT_WORDS:]
    if len(parts) <= len(before) + len(after):
        return visible("".join(parts))
    if first and last:
        return visible("".join(parts[: CONTEXT_WORDS * 2])) + "…"
    return visible("".join(before)) + " … " + visible("".join(after))
