"""A whole run: where it comes from, and a table of its messages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from attrs import frozen
from rich.console import Group, RenderableType
from rich.text import Text

from frameengine.errors import TraceError
from frameengine.jsonvalue import EMPTY, FrozenMap
from frameengine.trace.messages import Message
from frameengine.trace.reader import Counts
from frameengine_cli import phrases
from frameengine_cli.look import BAD, DIFFERS, GOOD, OPEN, QUIET, SAME, STRONG, Look, words
from frameengine_cli.screens.timeline import status_sign, status_style, token_sum


@frozen(kw_only=True)
class RunFacts:
    """What the head of a screen says of a run."""

    path: Path
    """The file."""
    header: FrozenMap
    """Its header."""
    counts: Counts
    """What was read of it."""
    id: str | None = None
    """The run's id; None without a seal."""
    problem: TraceError | None = None
    """What is wrong with the file."""
    typed: str | None = None
    """How to name the file on a command line; None where that is impossible."""

    def to_json(self) -> dict[str, object]:
        """Return the facts as JSON."""
        return {
            "path": str(self.path),
            "id": self.id,
            "sealed": self.id is not None,
            "header": self.header,
            "counts": counts_json(self.counts),
        }


@frozen(kw_only=True)
class Row:
    """A message in the table."""

    number: int
    """The input's number."""
    kind: str
    """The input's kind."""
    text: str
    """What came in."""
    path: str
    """The way it took."""
    frames: str
    """Its frames: those up to the answer, and with a plus those after it."""
    calls: int
    """Its calls."""
    tokens: tuple[int, int] | None
    """Tokens in and out."""
    status: str
    """How it ended."""

    @classmethod
    def of(cls, message: Message) -> Row:
        """Return a message's row."""
        return cls(
            number=message.number,
            kind=message.input.type,
            text=phrases.input_line(message.input),
            path=message.path,
            frames=phrases.frames(message.main_frames, len(message.steps)).split()[0],
            calls=len(message.calls),
            tokens=token_sum(message),
            status=message.status,
        )


def counts_json(counts: Counts) -> dict[str, int]:
    """Return counts as JSON."""
    return {"inputs": counts.inputs, "frames": counts.frames, "calls": counts.calls}


def counted(counts: Counts) -> str:
    """Return counts in words."""
    return ", ".join(
        [phrases.count(counts.inputs, "input"), phrases.count(counts.frames, "frame"), phrases.count(counts.calls, "call")]
    )


def graph_name(header: FrozenMap) -> str:
    """Return name and version of the graph that was recorded."""
    graph = header.get("graph") or EMPTY
    return f"{graph.get('name', '?')} v{graph.get('version', '?')}"


def origin(header: FrozenMap, *, note: bool = True) -> str:
    """Return where inputs and replies came from: ``inputs, model imported · source chat.json``; without the note, if asked so."""
    grouped: dict[str, list[str]] = {}
    for name, value in (header.get("provenance") or EMPTY).items():
        if isinstance(value, str) and value and (note or name != "note"):
            grouped.setdefault(phrases.cut(value, 60), []).append(str(name))
    return " · ".join([f"{', '.join(names)} {value}" for value, names in grouped.items()])


def repaired(header: FrozenMap) -> str:
    """Return what repairs left out of a trace; empty where it was never repaired."""
    left_out = [
        f"{phrases.count(entry['dropped_lines'], 'line')} ({phrases.size(entry['dropped_bytes'])}) left out"
        for entry in header.get("repaired", ())
    ]
    return f"repaired: {'; '.join(left_out)}" if left_out else ""


def head(facts: RunFacts, *, note: bool = True) -> RenderableType:
    """Return the head of a screen: the file, its id and whether it is whole; *note*: with the note on where it comes from."""
    sealed = facts.id is not None
    sign, state, style = (SAME, "sealed", GOOD) if sealed else (DIFFERS, "not sealed", BAD)
    line = words((facts.path.name, STRONG), ("  ", ""), (facts.id or "no id", QUIET), ("  ", ""), (f"{sign} {state}", style))
    about = [graph_name(facts.header), counted(facts.counts), origin(facts.header, note=note)]
    screen = [line, words((" · ".join([part for part in about if part]), QUIET))]
    if repaired(facts.header):
        screen.append(words((f"{OPEN} {repaired(facts.header)}", BAD)))
    return Group(*screen, Text(""))


def table(rows: Sequence[Row], look: Look, header: FrozenMap = EMPTY) -> RenderableType:
    """Return the table of a run's messages; *header* says where it holds several conversations of an agent, which get headings.

    The `Clear` between two of them goes into the heading, and so does what is given before its first turn.
    """
    starts = _conversations(header)
    heading = ""
    grid = look.table(
        "#", "input", "path", "frames", "calls", "tokens", "status", right=("#", "frames", "calls", "tokens"), wide="input"
    )
    for row in rows:
        if row.number in starts:
            heading = f"conversation {starts[row.number]}"
        folded = bool(heading) and row.kind in ("Clear", "Given") and row.status == "done"
        if folded and row.kind == "Clear":
            continue
        if heading:
            number, about = (str(row.number), f"  {phrases.cut(row.text)}") if folded else ("", "")
            grid.add_row(words((number, QUIET)), words((heading, STRONG), (about, QUIET)))
            heading = ""
        if folded:
            continue
        style = status_style(row.status)
        grid.add_row(
            words((str(row.number), f"{STRONG} {GOOD}")),
            words((phrases.cut(row.text), "")),
            words((row.path, "")),
            row.frames,
            f"{row.calls:,}",
            words((phrases.tokens(row.tokens).removesuffix(" tok"), "")),
            words((f"{status_sign(row.status)} {row.status}", style)),
        )
    return grid


def _conversations(header: FrozenMap) -> dict[int, int]:
    """Return the number of each conversation by its first input; nothing where there is but one, or it was no agent's."""
    about = (header.get("provenance") or EMPTY).get("about")
    listed = about.get("conversations") if isinstance(about, FrozenMap) else None
    # Another import keeps there what a user's file says.
    match listed:
        case (_, _, *_):
            firsts = [one.get("inputs") if isinstance(one, FrozenMap) else None for one in listed]
            return {first[0]: number for number, first in enumerate(firsts, start=1) if isinstance(first, tuple) and first}
        case _:
            return {}


def damage() -> RenderableType:
    """Return the note under the good part of a damaged trace. What is wrong with it is told once, as the command's error."""
    return words((f"{DIFFERS} damaged: ", f"{STRONG} {BAD}"), ("this is the good part only", BAD))
