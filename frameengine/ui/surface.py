"""The surface as a whole: what it shows, and what an answer or a click makes of it (C70, C73, C74)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from attrs import frozen

from frameengine.codec import dumps
from frameengine.errors import ValueRefused
from frameengine.inputs import Action
from frameengine.jsonvalue import EMPTY, FrozenMap, Json, first_difference, freeze
from frameengine.state import Change
from frameengine.ui.bindings import bound, local
from frameengine.ui.controls import CONTROLS_MAX, MACHINE, button, display
from frameengine.ui.machines import applied, machine_controls, rule_of, transition
from frameengine.ui.values import name, quoted, refused, small

VALUES_MAX: Final = 100
"""Values that the surface remembers."""
VALUES_BYTES_MAX: Final = 64 << 10
"""Encoded size of all of them."""
ANSWER_BYTES_MAX: Final = 128 << 10
"""Encoded size of one answer's controls: with machines and values they fit a line of a trace several times over."""
OPS_MAX: Final = 50
"""Operations on machines of one answer."""
SECTION: Final = "/ui"
"""Where the surface stands in the state."""
CHANGE_DEPTH: Final = 3
"""Steps below the section that a change may name: /ui/machines/ID/current."""


@frozen
class Refusal:
    """Something that an answer asked of the surface, and did not get."""

    kind: str
    """control, state or machine."""
    name: str
    """Which one."""
    reason: str
    """Why."""


@frozen(kw_only=True)
class Handled:
    """A click that the surface answers by itself."""

    ui: FrozenMap
    """The section after it."""
    text: str
    """What to tell the user."""
    moved: str = ""
    """Which machine went from where to where; empty where a binding answered."""


def current(ui: FrozenMap) -> tuple[FrozenMap, ...]:
    """Return what the surface shows: the controls of its machines, then those of the last answer that had any."""
    values: FrozenMap = ui.get("state", EMPTY)
    return tuple([_shown(control, values) for control in (*machine_controls(ui), *ui.get("thinker_controls", ()))])


def answered(
    ui: FrozenMap, *, actions: Sequence[Json], items: Sequence[Json], values: FrozenMap, ops: Sequence[FrozenMap]
) -> tuple[FrozenMap, tuple[Refusal, ...]]:
    """Return the section after an answer, and what of it was refused. An answer that shows nothing leaves what is there."""
    refusals: list[Refusal] = []
    state = _remembered(ui.get("state", EMPTY), values, refusals)
    machines: FrozenMap = ui.get("machines", EMPTY)
    for op in ops[:OPS_MAX]:
        machines, reason = applied(machines, op)
        if reason:
            refusals.append(Refusal("machine", f"{op.get('op')} {quoted(op.get('id'))}", reason))
    controls = _fitting([*_read(actions, button, refusals), *_read(items, display, refusals)], refusals)
    for what, many, most in (("machine", ops, OPS_MAX), ("control", actions, CONTROLS_MAX), ("control", items, CONTROLS_MAX)):
        if len(many) > most:
            refusals.append(Refusal(what, "the rest", f"{len(many):,} in one answer, the bound is {most}"))
    after = {**ui, "state": state, "machines": machines}
    if controls:
        after["thinker_controls"] = controls
        after["bindings"] = bound(ui.get("bindings", EMPTY), [control for control in controls if control["type"] == "button"])
    return _frozen(after), tuple(refusals)


def clicked(ui: FrozenMap, action: Action) -> Handled | None:
    """Return what the surface makes of a click: a machine first, then a binding; None where neither answers it."""
    moved = transition(ui, action)
    if moved is not None:
        return Handled(
            ui=_frozen({**ui, "machines": moved.machines}),
            text=f"{moved.id} → {moved.after}",
            moved=f"{moved.id}: {moved.before} → {moved.after}",
        )
    rule = rule_of(ui, action)
    if rule is None and MACHINE not in action.data:
        rule = ui.get("bindings", EMPTY).get(action.name)
    done = local(ui.get("state", EMPTY), rule, action) if rule is not None else None
    return None if done is None else Handled(ui=_frozen({**ui, "state": done[0]}), text=done[1])


def changes(before: FrozenMap, after: FrozenMap) -> tuple[Change, ...]:
    """Return the changes that lead from one section to the other: a click on a machine changes its current state alone."""
    return tuple(_changes(SECTION, before, after, CHANGE_DEPTH))


def _changes(at: str, old: Json, new: Json, depth: int) -> Iterator[Change]:
    if first_difference(old, new) is None:
        return
    maps = isinstance(old, FrozenMap) and isinstance(new, FrozenMap)
    kept = [key for key in old if key in new] if maps else []
    if depth == 0 or not maps or list(new)[: len(kept)] != kept:
        # Also where members change places: what is set anew comes last.
        yield Change.set(at, new)
        return
    for key in old:
        if key not in new:
            yield Change.delete(f"{at}/{_step(key)}")
    for key, value in new.items():
        place = f"{at}/{_step(key)}"
        if key in old:
            yield from _changes(place, old[key], value, depth - 1)
        else:
            yield Change.set(place, value)


def _remembered(state: FrozenMap, values: FrozenMap, refusals: list[Refusal]) -> FrozenMap:
    for key, value in values.items():
        try:
            known = _frozen({**state, name(key, "the key"): small(value, "the value")})
            if len(known) > VALUES_MAX or len(dumps(known)) > VALUES_BYTES_MAX:
                raise refused(f"the surface remembers at most {VALUES_MAX} values of {VALUES_BYTES_MAX:,} bytes together")
            state = known
        except ValueRefused as error:
            refusals.append(Refusal("state", quoted(key), error.message))
    return state


def _read(given: Sequence[Json], read: Any, refusals: list[Refusal]) -> Iterator[FrozenMap]:
    for number, item in enumerate(given[:CONTROLS_MAX], start=1):
        try:
            yield read(item)
        except ValueRefused as error:
            label = item.get("label") if isinstance(item, FrozenMap) else None
            refusals.append(Refusal("control", quoted(label) if label else f"{read.__name__} {number}", error.message))


def _fitting(controls: Sequence[FrozenMap], refusals: list[Refusal]) -> tuple[FrozenMap, ...]:
    """Return the controls that there is room for."""
    kept, room = [], ANSWER_BYTES_MAX
    for control in controls:
        size = len(dumps(control))
        if size <= room:
            kept.append(control)
            room -= size
        else:
            name = quoted(control.get("label", control["type"]))
            refusals.append(Refusal("control", name, f"the controls of one answer take at most {ANSWER_BYTES_MAX:,} bytes"))
    return tuple(kept)


def _shown(control: FrozenMap, values: FrozenMap) -> FrozenMap:
    """Return a control as it is seen: without its binding, and with the value that it names."""
    if "var" in control:
        return _frozen({**{key: item for key, item in control.items() if key != "var"}, "value": values.get(control["var"])})
    return _frozen({key: item for key, item in control.items() if key != "binding"}) if "binding" in control else control


def _step(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


def _frozen(value: Json) -> FrozenMap:
    frozen_value: FrozenMap = freeze(value)
    return frozen_value
