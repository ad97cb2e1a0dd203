"""Machines: transition tables on the surface, which move from state to state without a model (C71, C72).

A machine is ``{initial, current, states, data}``; a state is ``{buttons, display}``; a button with ``go`` moves to that state.
A machine in the section ``ui`` is sound: its current state exists, and every ``go`` leads to a state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from attrs import frozen

from frameengine.codec import dumps
from frameengine.errors import ValueRefused
from frameengine.inputs import Action
from frameengine.jsonvalue import EMPTY, FrozenMap, Json, freeze
from frameengine.ui.controls import MACHINE, button, display
from frameengine.ui.values import cut, name, quoted, refused, small

MACHINES_MAX: Final = 20
"""Machines on the surface."""
STATES_MAX: Final = 50
"""States of one machine."""
PARTS_MAX: Final = 20
"""Buttons of one state, and things that it shows; members of a machine's data."""
MACHINES_BYTES_MAX: Final = 64 << 10
"""Encoded size of all machines."""
SUMMARY_CHARS_MAX: Final = 400
"""Length of one machine's line."""
_GO: Final = ("go", "target")


@frozen(kw_only=True)
class Moved:
    """A machine that went on."""

    machines: FrozenMap
    """All machines after it."""
    id: str
    """Which one it was."""
    before: str
    """The state it left."""
    after: str
    """The state it is in."""


def applied(machines: FrozenMap, op: FrozenMap) -> tuple[FrozenMap, str]:
    """Return the machines after one operation, and why it was refused; empty where it was not."""
    kind = op.get("op")
    operation = _OPERATIONS.get(kind) if isinstance(kind, str) else None
    if operation is None:
        return machines, f"there is no operation {quoted(kind)}; there are {', '.join(_OPERATIONS)}"
    try:
        key = name(op.get("id"), "the machine's id")
        if kind != "create" and key not in machines:
            raise refused(f"there is no machine {quoted(key)}; there are {', '.join(map(quoted, machines)) or 'none'}")
        changed = operation(machines.get(key, EMPTY), op)
        if changed is None:
            return _frozen({other: machine for other, machine in machines.items() if other != key}), ""
        if key not in machines and len(machines) >= MACHINES_MAX:
            raise refused(f"there are {MACHINES_MAX} machines already")
        after = _frozen({**machines, key: changed})
        size = len(dumps(after))
        if size > MACHINES_BYTES_MAX:
            raise refused(f"the machines take {size:,} bytes, the bound is {MACHINES_BYTES_MAX:,}")
    except ValueRefused as error:
        return machines, error.message
    return after, ""


def transition(ui: FrozenMap, action: Action) -> Moved | None:
    """Return the machine that a click moves on; None where no machine's button stands for it.

    The click's data may say which machine it belongs to, as `controls.action_of` does; else it is the oldest that has
    such a button.
    """
    machines: FrozenMap = ui.get("machines", EMPTY)
    for key, offered in _offered(machines, action):
        if "go" in offered:
            machine = machines[key]
            moved = _frozen({**machines, key: _frozen({**machine, "current": offered["go"]})})
            return Moved(machines=moved, id=key, before=machine["current"], after=offered["go"])
    return None


def rule_of(ui: FrozenMap, action: Action) -> FrozenMap | None:
    """Return the binding of the machine's button that was clicked; None where there is none."""
    machines: FrozenMap = ui.get("machines", EMPTY)
    return next((offered["binding"] for _, offered in _offered(machines, action) if "binding" in offered), None)


def machine_controls(ui: FrozenMap) -> tuple[FrozenMap, ...]:
    """Return what the machines show in their current states; each control says in ``machine_id`` whose it is."""
    controls: list[FrozenMap] = []
    for key, machine in ui.get("machines", EMPTY).items():
        state = machine["states"][machine["current"]]
        data = [{"type": "label", "label": member, "value": value} for member, value in machine["data"].items()]
        controls += [_frozen({**control, MACHINE: key}) for control in (*state["display"], *data, *state["buttons"])]
    return tuple(controls)


def summary_lines(ui: FrozenMap) -> tuple[str, ...]:
    """Return a line for each machine: its state, its states, where its buttons lead, its data."""
    return tuple([_summary(key, machine) for key, machine in ui.get("machines", EMPTY).items()])


def _summary(key: str, machine: FrozenMap) -> str:
    buttons = [
        f"{quoted(offered['label'])} → {quoted(offered.get('go', offered['action']))}"
        for offered in machine["states"][machine["current"]]["buttons"]
    ]
    line = f"machine {quoted(key)} is in state {quoted(machine['current'])} of {', '.join(map(quoted, machine['states']))}"
    line += f"; buttons: {', '.join(buttons)}" if buttons else ""
    line += f"; data: {quoted(machine['data'], 100)}" if machine["data"] else ""
    return cut(line, SUMMARY_CHARS_MAX)


def _offered(machines: FrozenMap, action: Action) -> Iterator[tuple[str, FrozenMap]]:
    """Yield the buttons that a click can mean, with their machines."""
    said = action.data.get(MACHINE)
    # A click that says whose button it was means that machine's alone, also where it is gone.
    for key, machine in machines.items():
        if said is not None and key != said:
            continue
        for offered in machine["states"][machine["current"]]["buttons"]:
            if offered["action"] == action.name:
                yield key, offered


# ---------------------------------------------------------------------- operations

Made = dict[str, Json] | None
"""The machine after an operation; None where it is gone."""


def _create(_: FrozenMap, op: FrozenMap) -> Made:
    """Make a machine; one of the same id is replaced."""
    initial = name(op.get("initial"), "the initial state")
    states = _states(op.get("states"))
    if initial not in states:
        raise refused(f"the initial state {quoted(initial)} is none of its states, {_named(states)}")
    _check_leads(states, states)
    return {"initial": initial, "current": initial, "states": states, "data": {}}


def _add_state(machine: FrozenMap, op: FrozenMap) -> Made:
    """Add a state, or replace one."""
    key = name(op.get("state"), "the state")
    states = {**machine["states"], key: _state(key, op)}
    if len(states) > STATES_MAX:
        raise refused(f"a machine has at most {STATES_MAX} states")
    _check_leads({key: states[key]}, states)
    return {**machine, "states": states}


def _reset(machine: FrozenMap, _: FrozenMap) -> Made:
    """Go back to the initial state, without data."""
    return {**machine, "current": machine["initial"], "data": {}}


def _destroy(_: FrozenMap, __: FrozenMap) -> Made:
    return None


def _update(machine: FrozenMap, op: FrozenMap) -> Made:
    """Set members of the machine's data; null takes one away."""
    given = op.get("data")
    if not isinstance(given, FrozenMap):
        raise refused("data is no object")
    data = {name(member, "a member of data"): small(value, f"data {quoted(member)}") for member, value in given.items()}
    data = {member: value for member, value in {**machine["data"], **data}.items() if value is not None}
    if len(data) > PARTS_MAX:
        raise refused(f"a machine's data has at most {PARTS_MAX} members")
    return {**machine, "data": data}


def _transition(machine: FrozenMap, op: FrozenMap) -> Made:
    target = name(op.get("target"), "the target")
    if target not in machine["states"]:
        raise refused(f"the target {quoted(target)} is none of its states, {_named(machine['states'])}")
    return {**machine, "current": target}


_OPERATIONS: Final[Mapping[str, Callable[[FrozenMap, FrozenMap], Made]]] = {
    "create": _create,
    "add_state": _add_state,
    "reset": _reset,
    "destroy": _destroy,
    "update": _update,
    "transition": _transition,
}


# ---------------------------------------------------------------------- states


def _states(value: Json) -> dict[str, FrozenMap]:
    """Return the states of an object or a list; in a list each is a bare name, or an object that has one."""
    if isinstance(value, FrozenMap):
        pairs: list[tuple[Json, Json]] = list(value.items())
    elif isinstance(value, tuple):
        pairs = [(item.get("name"), item) if isinstance(item, FrozenMap) else (item, None) for item in value]
    else:
        raise refused("states is neither an object nor a list")
    if len(pairs) > STATES_MAX:
        raise refused(f"a machine has at most {STATES_MAX} states, not {len(pairs):,}")
    states: dict[str, FrozenMap] = {}
    for given, state in pairs:
        key = name(given, "the name of a state")
        if key in states:
            raise refused(f"the state {quoted(key)} stands twice")
        states[key] = _state(key, state)
    return states


def _state(key: str, value: Json) -> FrozenMap:
    """Return a state: its name alone shows the name, a text the text, a list the buttons, an object both."""
    try:
        if value is None or isinstance(value, str):
            return _frozen({"buttons": (), "display": (display(_label(value or key)),)})
        if isinstance(value, tuple):
            return _frozen({"buttons": _buttons(value), "display": ()})
        if not isinstance(value, FrozenMap):
            raise refused("it is neither an object, a list nor a text")
        shown = value.get("display") or value.get("content") or ()
        parts = (_label(shown),) if isinstance(shown, str) else shown if isinstance(shown, tuple) else (shown,)
        return _frozen(
            {
                "buttons": _buttons(value.get("buttons") or value.get("actions") or ()),
                "display": tuple([display(_label(part) if isinstance(part, str) else part) for part in _few(parts, "display")]),
            }
        )
    except ValueRefused as error:
        raise refused(f"state {quoted(key)}: {error.message}") from None


def _buttons(value: Json) -> tuple[FrozenMap, ...]:
    buttons = tuple([_button(item) for item in _few(value, "buttons")])
    leads: dict[str, Json] = {}
    for offered in buttons:
        action, go = offered["action"], offered.get("go")
        if leads.setdefault(action, go) != go:
            raise refused(f"two buttons have the action {quoted(action)} and lead to different states")
    return buttons


def _button(value: Json) -> FrozenMap:
    """Return a machine's button. A bare text is its label and the state it leads to; an action is named after either."""
    given: Mapping[str, Json] = value if isinstance(value, FrozenMap) else {"label": value, "go": value}
    go = next((given[member] for member in _GO if given.get(member) is not None), None)
    action = given.get("action") or go or given.get("label")
    made = button(_frozen({**given, "action": action, "label": given.get("label") or action}))
    return made if go is None else _frozen({**made, "go": name(go, "the state that a button leads to")})


def _few(value: Json, what: str) -> tuple[Json, ...]:
    if not isinstance(value, tuple):
        raise refused(f"{what} is no list")
    if len(value) > PARTS_MAX:
        raise refused(f"{what} has {len(value):,} items, the bound is {PARTS_MAX}")
    return value


def _check_leads(states: Mapping[str, FrozenMap], known: Mapping[str, FrozenMap]) -> None:
    for key, state in states.items():
        for offered in state["buttons"]:
            if "go" in offered and offered["go"] not in known:
                label, go = quoted(offered["label"]), quoted(offered["go"])
                raise refused(f"the button {label} of state {quoted(key)} leads to {go}, which is none of {_named(known)}")


def _named(states: Mapping[str, Json]) -> str:
    return cut(", ".join(map(quoted, states)), 200) or "none"


def _label(text: str) -> FrozenMap:
    return _frozen({"type": "label", "label": text})


def _frozen(value: Json) -> FrozenMap:
    frozen_value: FrozenMap = freeze(value)
    return frozen_value
