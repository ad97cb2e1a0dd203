"""Compare what the user's screen shows with what it should, control by control (C77, W58).

Whole controls are compared: order, duplicates, payloads, tables, labels. Two are the same where the user sees the same and a
click on them says the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from frameengine.codec import dumps
from frameengine.jsonvalue import FrozenMap, Json, frozen_map
from frameengine.ui.controls import MACHINE
from frameengine.ui.surface import current
from frameengine.ui.values import quoted

SCREEN_MAX: Final = 300
"""Controls of a screen that are compared."""
LINES_MAX: Final = 60
"""Lines of one audit."""
DIFFERENCES_MAX: Final = 20
"""Differences that are named one by one."""
EXACT: Final = 1 << 53
"""Below it a whole number is the same with and without a point."""
_SEEN: Final = ("type", "label", "text", "value", "style", "action", "payload", "columns", "data", MACHINE)
"""Members that the user sees, or that a click depends on."""


def audit_lines(ui: FrozenMap, dashboard: Json) -> tuple[str, ...]:
    """Return what a node is told of the user's screen: a warning and what differs, if anything does, then what it shows.

    *dashboard* is the list of controls that the client reported; None where it reported none, and then there is no line.
    """
    if dashboard is None:
        return ()
    found = _differences(ui, dashboard)
    lines = [f"Warning: {line}" if index == 0 else f"- {line}" for index, line in enumerate(found)]
    if isinstance(dashboard, tuple):
        lines += [f"The screen shows {len(dashboard)} controls:" if dashboard else "The screen is empty."]
        lines += [f"- {_described(control)}" for control in dashboard[:SCREEN_MAX]]
    more = len(lines) - LINES_MAX
    return tuple(lines) if more <= 0 else (*lines[:LINES_MAX], f"- and {more} more")


def mismatch(ui: FrozenMap, dashboard: Json) -> str:
    """Return in one line how the screen differs from what it should show; empty where it does not."""
    return "; ".join(_differences(ui, dashboard)[:5])


def _differences(ui: FrozenMap, dashboard: Json) -> list[str]:
    """Return a headline and what differs; nothing where the screen is right."""
    if not isinstance(dashboard, tuple):
        return [f"the client sent {quoted(dashboard)} for the screen, which is no list of controls"]
    expected = [_reduced(control) for control in current(ui)]
    odd = [f"control {number} is {quoted(item)}, no control" for number, item in enumerate(dashboard, 1) if not _is_control(item)]
    beyond = [f"it has {len(dashboard):,} controls, of which {SCREEN_MAX} are compared"] if len(dashboard) > SCREEN_MAX else []
    seen = [_reduced(control) for control in dashboard[:SCREEN_MAX] if _is_control(control)]
    found = [*beyond, *_few(odd), *_few([*_compared(expected, seen)])]
    if not found:
        return []
    if not dashboard:
        return [f"the screen is empty, and should show {len(expected)} controls; offer them again", *found]
    return [f"the screen shows {len(dashboard)} controls that are not the {len(expected)} it should; offer them again", *found]


def _compared(expected: Sequence[FrozenMap], seen: Sequence[FrozenMap]) -> Iterator[str]:
    """Yield what is missing, changed, too much, or in another order."""
    missing, extra = _without(expected, seen), _without(seen, expected)
    if not missing and not extra:
        if list(map(_key, expected)) != list(map(_key, seen)):
            yield f"in another order: {_named(seen)}, where it should be {_named(expected)}"
        return
    candidates: dict[bytes, list[FrozenMap]] = {}
    for control in extra:
        candidates.setdefault(_identity(control), []).append(control)
    for control in missing:
        alike = candidates.get(_identity(control))
        if alike:
            yield f"changed: {_described(control)} {_changed(control, alike.pop(0))}"
        else:
            yield f"missing: {_described(control)}"
    known = frozenset(map(_key, expected))
    for control in [control for left in candidates.values() for control in left]:
        yield f"{'shown more often than it should be' if _key(control) in known else 'not ours'}: {_described(control)}"


def _without(these: Sequence[FrozenMap], those: Sequence[FrozenMap]) -> list[FrozenMap]:
    """Return *these* without *those*, each of which takes one away."""
    left: dict[bytes, int] = {}
    for control in those:
        left[_key(control)] = left.get(_key(control), 0) + 1
    kept = []
    for control in these:
        if left.get(_key(control), 0):
            left[_key(control)] -= 1
        else:
            kept.append(control)
    return kept


def _identity(control: FrozenMap) -> bytes:
    """Return what two controls that differ share if they are meant to be the same one."""
    members = {"button": ("action", MACHINE), "table": ("columns",)}.get(control["type"], ("label", "text"))
    return dumps([control["type"], *[_plain(control.get(member)) for member in members]])


def _changed(expected: FrozenMap, seen: FrozenMap) -> str:
    """Return in which members two controls differ."""
    found = []
    for member in _SEEN:
        should, does = expected.get(member), seen.get(member)
        if dumps(_plain(should)) != dumps(_plain(does)):
            instead = f"shows {member} {quoted(does)} instead of {quoted(should)}"
            found.append(_rows(should, does) if member == "data" else instead)
    return ", ".join(found)


def _rows(should: Json, does: Json) -> str:
    if not isinstance(does, tuple) or not isinstance(should, tuple):
        return "shows no rows"
    if len(does) != len(should):
        return f"shows {len(does)} rows instead of {len(should)}"
    first = next(number for number, (one, other) in enumerate(zip(should, does, strict=True), 1) if one != other)
    return f"shows another row {first}"


def _described(control: Json) -> str:
    """Return a control in a few words, on one line."""
    if not isinstance(control, FrozenMap):
        return f"{quoted(control)}, no control"
    match control.get("type"):
        case "button":
            payload = f", payload {quoted(control['payload'])}" if control.get("payload") is not None else ""
            machine = f", machine {quoted(control[MACHINE])}" if MACHINE in control else ""
            return f"button {quoted(control.get('label'))} (action {quoted(control.get('action'))}{payload}{machine})"
        case "table":
            rows = control.get("data")
            count = len(rows) if isinstance(rows, tuple) else "no"
            return f"table ({quoted(control.get('columns'))}, {count} rows)"
        case kind:
            value = f" = {quoted(control['value'])}" if control.get("value") is not None else ""
            name = quoted(kind)[1:-1] if isinstance(kind, str) else f"control of type {quoted(kind)}"
            return f"{name} {quoted(control.get('label', control.get('text')))}{value}"


def _named(controls: Sequence[FrozenMap]) -> str:
    names = [quoted(control.get("label") or control.get("text") or control.get("type"), 30) for control in controls[:10]]
    return ", ".join([*names, "…"] if len(controls) > len(names) else names)


def _reduced(control: FrozenMap) -> FrozenMap:
    """Return what is compared of a control; null counts as not there, as clients leave members out."""
    return frozen_map({member: control[member] for member in _SEEN if control.get(member) is not None})


def _key(control: FrozenMap) -> bytes:
    return dumps({member: _plain(control[member]) for member in _SEEN if member in control})


def _plain(value: Json) -> Json:
    """Return a value as clients may give it back: they keep neither the order of members nor the point of 1.0."""
    if isinstance(value, FrozenMap):
        return {key: _plain(value[key]) for key in sorted(value)}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < EXACT else value


def _is_control(value: Json) -> bool:
    return isinstance(value, FrozenMap) and isinstance(value.get("type"), str)


def _few(lines: list[str]) -> list[str]:
    more = len(lines) - DIFFERENCES_MAX
    return lines if more <= 0 else [*lines[:DIFFERENCES_MAX], f"and {more} more differences"]
