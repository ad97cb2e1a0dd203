"""What panels show: rows of text with something to do on them. Made out of `look`, so all of it is safe for a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from io import StringIO
from typing import Final

from attrs import define, field, frozen
from rich.console import Console, RenderableType
from rich.text import Text

from frameengine.debug.place import Place
from frameengine_cli.look import QUIET, words

OPENED, CLOSED = "▾", "▸"
STEP: Final = 2
"""Columns of an indentation."""
BODY_LINES_MAX: Final = 2_000
"""Lines of one opened value; what is beyond is said, and `effect`, `state` and `frame` write it whole."""

_CONSOLE: Final = Console(
    file=StringIO(), width=80, color_system="truecolor", force_terminal=True, markup=False, emoji=False, highlight=False,
    legacy_windows=False,
)  # fmt: skip


@frozen(kw_only=True)
class Row:
    """One line of a panel."""

    text: Text
    """What it says."""
    facts: Text | None = None
    """What stands at the right end, where there is room."""
    place: Place | None = None
    """Where choosing it goes."""
    subject: str = ""
    """What can be edited here: ``reply 1``, ``result 2``, ``input``, or a JSON pointer into the state."""
    stop: str = ""
    """The breakpoint that suits it: ``node pa``, ``tool query_db``."""
    number: int = 0
    """The breakpoint that it is about."""
    fold: str = ""
    """Name of the part that it opens and closes."""
    part: str = ""
    """Name of the innermost part that it belongs to."""
    here: bool = False
    """Whether it is where the session stands."""


@define
class Folds:
    """Which parts a person has opened or closed; the others are as their panel likes."""

    turned: dict[str, bool] = field(factory=dict)
    shown: dict[str, bool] = field(factory=dict)
    """Of the rows that were made last: which parts were open."""
    room: int = 0
    """Rows that can be seen at once."""
    fitting: frozenset[str] = frozenset()
    """Parts that are open because there is room."""
    sought: str = ""
    """The part that is open, with those that it lies in, because something was found there."""

    def is_open(self, name: str, usual: bool) -> bool:
        """Return whether a part is open."""
        opened = self.shown[name] = self.turned.get(name, usual or name in self.fitting or lies_in(self.sought, name))
        return opened

    def seek(self, name: str) -> None:
        """Open a part, whatever was done to it and those that it lies in, until something else is shown."""
        self.sought = name
        self.turned = {turned: opened for turned, opened in self.turned.items() if not lies_in(name, turned)}

    def turn(self, name: str) -> None:
        """Open what is closed, and close what is open."""
        self.turned[name] = not self.shown.get(name, False)

    def turn_all(self) -> None:
        """Open everything that is shown; close it where it is open already."""
        wanted = not all(self.shown.values())
        self.turned.update(dict.fromkeys(self.shown, wanted))


def lies_in(name: str, other: str) -> bool:
    """Return whether a part is another one, or lies in it: its name goes on where that one's ends."""
    return f"{name} ".startswith(f"{other} ")


def lines(body: RenderableType, width: int) -> list[Text]:
    """Return what a screen shows as lines of *width* columns."""
    options = _CONSOLE.options.update(width=max(width, 8), height=None)
    drawn = []
    for segments in _CONSOLE.render_lines(body, options, pad=False):
        line = Text(no_wrap=True)
        for segment in segments:
            line.append(segment.text, segment.style)
        line.rstrip()
        drawn.append(line)
    while drawn and not drawn[-1].plain:
        drawn.pop()
    return drawn


class Outline:
    """Rows with parts that open and close."""

    def __init__(self, folds: Folds, width: int) -> None:
        self.rows: list[Row] = []
        self.width = width
        self._folds = folds
        self._within: list[tuple[int, str]] = []
        folds.shown.clear()

    def line(self, text: Text, depth: int = 0, **rest: object) -> None:
        """Add one row. It belongs to the part above it that is less indented."""
        while self._within and self._within[-1][0] >= depth:
            self._within.pop()
        rest.setdefault("part", self._within[-1][1] if self._within else "")
        self.rows.append(Row(text=_indented(text, depth), **rest))  # type: ignore[arg-type]

    def part(self, name: str, text: Text, *, usual: bool = False, depth: int = 0, **rest: object) -> bool:
        """Add the row of a part that opens and closes; return whether it is open."""
        opened = self._folds.is_open(name, usual)
        sign = words((f"{OPENED if opened else CLOSED} ", QUIET))
        self.line(sign.append_text(text), depth, fold=name, part=name, **rest)
        self._within.append((depth, name))
        return opened

    def body(self, shown: RenderableType, depth: int = 0, **rest: object) -> None:
        """Add the lines of a value."""
        drawn = lines(shown, self.width - depth * STEP)
        for text in drawn[:BODY_LINES_MAX]:
            self.line(text, depth, **rest)
        if len(drawn) > BODY_LINES_MAX:
            self.line(words((f"… {len(drawn) - BODY_LINES_MAX:,} more lines", QUIET)), depth, **rest)

    def gap(self) -> None:
        """Add an empty row, but none at the top and no second one."""
        if self.rows and self.rows[-1].text.plain:
            self.rows.append(Row(text=Text()))


def _indented(text: Text, depth: int) -> Text:
    return Text(" " * (depth * STEP)).append_text(text) if depth else text


def fit(build: Callable[[], Sequence[Row]], folds: Folds, names: Iterable[str]) -> Sequence[Row]:
    """Return the rows that *build* makes with as many of the named parts open as there is room for; the first ones first."""
    folds.fitting = frozenset()
    rows = build()
    for name in names:
        before = folds.fitting
        if name in folds.turned or len(rows) >= folds.room:
            continue
        folds.fitting = before | {name}
        more = build()
        if len(more) <= folds.room:
            rows = more
        else:
            folds.fitting = before
    return rows


def notes(*said: str) -> Sequence[Row]:
    """Return quiet rows, one for each text."""
    return [Row(text=words((text, QUIET))) for text in said]
