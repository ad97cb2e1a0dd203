"""What a screen shows beside the answer: figures, tables, machines in their states, and buttons with numbers."""

from __future__ import annotations

from itertools import groupby

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from frameengine.jsonvalue import EMPTY, FrozenMap
from frameengine.ui.controls import MACHINE
from frameengine.ui.surface import current
from frameengine_cli import phrases
from frameengine_cli.look import GOOD, QUIET, STRONG, Look, words

ROWS = 12
"""Rows of a table, unless all are asked for."""


def surface(ui: FrozenMap, look: Look, *, full: bool = False, before: tuple[FrozenMap, ...] = ()) -> RenderableType:
    """Return all that the section *ui* shows. Buttons are numbered from 1, in the order of `surface.current`.

    A table that was there *before* takes one line: whoever reads along has seen it. *full* shows all rows.
    """
    parts: list[RenderableType] = []
    number = 1
    for machine, group in groupby(current(ui), key=lambda control: control.get(MACHINE, "")):
        controls = tuple(group)
        body = _controls(controls, look, number, before=before, full=full)
        if machine:
            held = ui.get("machines", EMPTY)[machine]
            facts = f"{held['current']} · {phrases.count(len(held['states']), 'state')}"
            body = look.panel(body, machine, facts)
        parts.append(body)
        number += sum(control["type"] == "button" for control in controls)
    return Group(*parts)


def _controls(
    controls: tuple[FrozenMap, ...], look: Look, number: int, *, before: tuple[FrozenMap, ...], full: bool
) -> RenderableType:
    """Return controls in their order; buttons and figures that follow each other share a line."""
    parts: list[RenderableType] = []
    for kind, group in groupby(controls, key=lambda control: str(control["type"])):
        if kind == "table":
            parts += [_known(control) if control in before else _table(control, look, full=full) for control in group]
            continue
        line = Text()
        for control in group:
            line.append_text(Text("    ") if line else Text())
            if kind == "button":
                line.append_text(words((f"[{number}]", f"{STRONG} {GOOD}"), (" ", ""), (str(control["label"]), "")))
                number += 1
            else:
                line.append_text(_figure(control))
        parts.append(line)
    return Group(*parts)


def _figure(control: FrozenMap) -> Text:
    """Return something to show: its label or text, and its value."""
    value = control.get("value")
    shown = "" if value is None else value if isinstance(value, str) else phrases.value(value)
    name = " ".join([str(control[member]) for member in ("label", "text") if member in control])
    return words((name, QUIET if shown else ""), ("  " if shown else "", ""), (shown, STRONG))


def _table(control: FrozenMap, look: Look, *, full: bool) -> RenderableType:
    rows = control["data"] if full else control["data"][:ROWS]
    table = look.table(*[words((column, "")).plain for column in control["columns"]], right=_numbers(control))
    for row in rows:
        table.add_row(*[words((cell, "")) for cell in row])
    left = len(control["data"]) - len(rows)
    notes = [*([f"{left} more rows: /screen"] if left else []), *([str(control["note"])] if "note" in control else [])]
    return Group(table, words(("; ".join(notes), QUIET))) if notes else table


def _known(control: FrozenMap) -> RenderableType:
    columns, rows = ", ".join(control["columns"]), phrases.count(len(control["data"]), "row")
    return words((f"table of {rows} as before ({columns}): /screen", QUIET))


def _numbers(control: FrozenMap) -> list[str]:
    """Return the columns that hold numbers alone."""
    cells = zip(*control["data"], strict=True)
    return [column for column, held in zip(control["columns"], cells, strict=False) if all(map(_is_number, held))]


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return cell in ("", "NULL")
    return True


def indented(body: RenderableType, columns: int = 2) -> RenderableType:
    """Return *body* set in from the left."""
    return Padding(body, (0, 0, 0, columns), expand=False)


def one_line(text: Text) -> Text:
    """Return *text* as one that is cut where its place ends."""
    text.no_wrap, text.overflow = True, "ellipsis"
    return text
