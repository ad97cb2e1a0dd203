"""Controls: buttons, tables and things to show, read from what models wrote (C67)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from frameengine.codec import dumps
from frameengine.inputs import Action
from frameengine.jsonvalue import EMPTY, FrozenMap, Json, freeze
from frameengine.records import Emission
from frameengine.ui.bindings import binding
from frameengine.ui.values import TEXT_CHARS_MAX, cut, items, name, refused, small, text

CONTROLS_MAX: Final = 50
"""Buttons of one answer, and things that it shows."""
LABEL_CHARS_MAX: Final = 200
"""Length of a button's label."""
COLUMNS_MAX: Final = 50
"""Columns of a table."""
TABLE_ROWS_MAX: Final = 200
"""Rows of one table that are shown."""
TABLE_BYTES_MAX: Final = 64 << 10
"""Encoded size of one table that is shown."""
MACHINE: Final = "machine_id"
"""Member of a machine's control, and of the data of a click on it: which machine it belongs to."""
VALUE: Final = "value"
"""Member of a click's data that holds a payload which is no object."""


def button(value: Json) -> FrozenMap:
    """Return a button ``{type, label, action, payload?, binding?}``. Raises `ValueRefused` where it cannot be one.

    The binding is for the state alone: `surface.current` shows none.
    """
    if not isinstance(value, FrozenMap):
        raise refused("a button is no object")
    action = name(value.get("action"), "its action")
    label = cut(text(value.get("label", action), "its label"), LABEL_CHARS_MAX)
    made: dict[str, Json] = {"type": "button", "label": label, "action": action}
    if value.get("payload") is not None:
        made["payload"] = small(value["payload"], "its payload")
    if value.get("binding") is not None:
        made["binding"] = binding(value["binding"])
    return _frozen(made)


def display(value: Json) -> FrozenMap:
    """Return a thing to show: a table, a button, or ``{type, label?, text?, value?, style?, var?}``.

    ``var`` names a value of the surface that is shown as its ``value``. Raises `ValueRefused` where it cannot be shown.
    """
    if not isinstance(value, FrozenMap):
        raise refused("a thing to show is no object")
    kind = name(value.get("type"), "its type")
    if kind == "button":
        return button(value)
    if kind == "table":
        return table(value)
    made: dict[str, Json] = {"type": kind}
    for member in ("label", "text", "style"):
        if value.get(member) is not None:
            made[member] = text(value[member], f"its {member}")
    if "label" not in made and "text" not in made:
        raise refused("it has neither label nor text")
    if value.get("value") is not None:
        shown = value["value"]
        made["value"] = cut(shown, TEXT_CHARS_MAX) if isinstance(shown, str) else small(shown, "its value")
    if value.get("var") is not None:
        made["var"] = name(value["var"], "its var")
    return _frozen(made)


def table(value: FrozenMap) -> FrozenMap:
    """Return a table ``{type, columns, data, note?}`` of texts; what is beyond the bounds is left out, and the note says so.

    Rows are lists of cells, or objects with a member for each column. Raises `ValueRefused` for any other.
    """
    rows = value.get("data")
    if not isinstance(rows, tuple):
        raise refused("its data is no list of rows")
    columns = value.get("columns")
    if columns is None:
        first = rows[0] if rows else None
        columns = tuple(first) if isinstance(first, FrozenMap) else ()
    if not isinstance(columns, tuple) or not columns or not all(isinstance(column, str) for column in columns):
        raise refused("its columns are no list of names")
    if len(columns) > COLUMNS_MAX:
        raise refused(f"it has {len(columns):,} columns, the bound is {COLUMNS_MAX}")
    kept: list[tuple[str, ...]] = []
    room = TABLE_BYTES_MAX - len(dumps(columns))
    for row in rows[:TABLE_ROWS_MAX]:
        cells = _cells(row, columns)
        room -= len(dumps(cells))
        if room < 0:
            break
        kept.append(cells)
    made: dict[str, Json] = {"type": "table", "columns": columns, "data": tuple(kept)}
    notes = [cut(note, TEXT_CHARS_MAX) for note in items(value.get("notes"))[:5] if isinstance(note, str)]
    if len(kept) < len(rows) or notes:
        made["note"] = "; ".join([f"{len(kept)} of {len(rows)} rows", *notes])
    return _frozen(made)


def action_of(control: FrozenMap) -> Action:
    """Return the click on a button: the one way from a control to an input.

    A payload that is no object becomes the member ``value`` of the data; a machine's button says which machine it belongs to.
    """
    payload = control.get("payload")
    data = payload if isinstance(payload, FrozenMap) else EMPTY if payload is None else {VALUE: payload}
    machine = {MACHINE: control[MACHINE]} if MACHINE in control else {}
    return Action(name=control["action"], data={**data, **machine})


def process_cards(emissions: Iterable[Emission]) -> tuple[FrozenMap, ...]:
    """Return a card for each process that a message's emissions tell of, in the order in which they began.

    A card is the start with what the end says over it, so one that is still running has no ``elapsed`` yet.
    """
    cards: dict[bytes, dict[str, Json]] = {}
    for emission in emissions:
        if emission.event in ("process_start", "process_done"):
            cards.setdefault(dumps(emission.data.get("pid")), {"type": "process"}).update(emission.data)
    return tuple([_frozen(card) for card in cards.values()])


def _cells(row: Json, columns: tuple[str, ...]) -> tuple[str, ...]:
    cells = tuple([row.get(column) for column in columns]) if isinstance(row, FrozenMap) else row
    if not isinstance(cells, tuple) or len(cells) != len(columns):
        raise refused(f"a row has not the {len(columns)} cells of its columns")
    return tuple([_cell(cell) for cell in cells])


def _cell(value: Json) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else dumps(value).decode()


def _frozen(members: dict[str, Json]) -> FrozenMap:
    control: FrozenMap = freeze(members)
    return control
