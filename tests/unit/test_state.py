"""The state: changed by recorded changes only, the same way live, in replay and in views."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frameengine.codec import dumps, loads
from frameengine.errors import FrameEngineError, LimitError, NodeError, ReadOnly, ValueRefused
from frameengine.jsonvalue import EMPTY, freeze, thaw
from frameengine.limits import DEPTH_MAX
from frameengine.replay.divergence import wired
from frameengine.state import Change, RunState, change_from_json

STATE = RunState(freeze({"history": [{"role": "user"}, {"role": "assistant"}], "memory": {"topic": "x", "a/b": {"~": 1}}}))


def after(*changes: Change) -> Any:
    """Return the plain sections after some changes."""
    return thaw(STATE.apply(changes).sections)


@pytest.mark.parametrize(
    ("change", "pointer", "value"),
    [
        (Change.set("/memory/topic", "y"), ("memory", "topic"), "y"),
        (Change.set("/new/deep/er", [1]), ("new",), {"deep": {"er": [1]}}),
        (Change.set("/history/1/role", "tool"), ("history", 1), {"role": "tool"}),
        (Change.set("/memory/a~1b/~0", 2), ("memory", "a/b"), {"~": 2}),
        (Change.append("/history", {"role": "tool"}), ("history", 2), {"role": "tool"}),
        (Change.append("/list", 1), ("list",), [1]),
        (Change.delete("/memory/topic"), ("memory",), {"a/b": {"~": 1}}),
        (Change.delete("/history/0"), ("history",), [{"role": "assistant"}]),
    ],
)
def test_a_change_reaches_its_place(change: Change, pointer: tuple[Any, ...], value: Any) -> None:
    """set, append and delete work at any pointer, through lists and escaped names; what leads there is made."""
    found = after(change)
    for step in pointer:
        found = found[step]
    assert found == value


def test_append_keeps_the_newest() -> None:
    """With keep the list is cut at its old end, and never before it is that long."""
    state = RunState(freeze({"h": []}))
    for number in range(6):
        state = state.apply([Change.append("/h", number, keep=4)])
    assert state.sections["h"] == (2, 3, 4, 5)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (Change.set("", 1), NodeError),
        (Change.set("history", 1), NodeError),
        (Change.delete("/memory/nothing"), NodeError),
        (Change.append("/memory", 1), NodeError),
        (Change.set("/memory/topic/inside", 1), NodeError),
        (Change.set("/history/2/x", 1), NodeError),
        (Change.set("/history/-1", 1), NodeError),
        (Change.set("/history/" + "9" * 5000, 1), NodeError),
        (Change.set("/x" * (DEPTH_MAX + 1), 1), LimitError),
        (Change.set("/lone \ud800", 1), ValueRefused),
    ],
)
def test_a_change_that_does_not_fit_is_refused(change: Change, error: type[FrameEngineError]) -> None:
    """It is an error of the project's own, and nothing of the changes around it stays."""
    with pytest.raises(error):
        STATE.apply([Change.set("/before", 1), change])
    assert "before" not in STATE.sections


def test_a_state_never_changes() -> None:
    """Apply gives another state; the old one, its parts and the digest stay as they were."""
    before, parts = STATE.digest, STATE.sections["memory"]
    changed = STATE.apply([Change.set("/memory/topic", "y")])
    assert (STATE.digest, STATE.sections["memory"]) == (before, parts)
    assert changed.digest != before
    assert changed.sections["history"][0] is STATE.sections["history"][0]
    with pytest.raises(ReadOnly):
        changed.sections["memory"]["topic"] = "z"


def test_no_changes_give_the_same_state() -> None:
    """An empty list of changes costs nothing."""
    assert STATE.apply([]) is STATE


def test_a_changes_value_is_a_copy() -> None:
    """What happens to a list after it went into a change does not reach the state."""
    rows = [1]
    change = Change.set("/rows", rows)
    rows.append(2)
    assert STATE.apply([change]).sections["rows"] == (1,)


def test_the_digest_depends_on_content_and_order_alone() -> None:
    """Equal sections have equal digests, however they came about; another order of members is another state."""
    built = RunState(freeze({"a": {"x": 1}})).apply([Change.set("/b", [{"m": 1}]), Change.append("/b", {"m": 2})])
    assert built.digest == RunState(freeze({"a": {"x": 1}, "b": [{"m": 1}, {"m": 2}]})).digest
    assert built.digest != RunState(freeze({"b": [{"m": 1}, {"m": 2}], "a": {"x": 1}})).digest
    assert RunState().digest == RunState(EMPTY).digest


names = st.sampled_from(["a", "b", "c/d", "~", "0"])
scalars = st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=60)
pointers = st.lists(names, min_size=1, max_size=4).map(
    lambda steps: "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in steps)
)
changes = st.one_of(
    st.builds(Change.set, pointers, scalars | st.lists(scalars, max_size=3) | st.dictionaries(names, scalars, max_size=3)),
    st.builds(Change.append, pointers, scalars, st.integers(0, 3)),
    st.builds(Change.delete, pointers),
)


def model(sections: Any, change: Change) -> Any:
    """Apply a change to plain JSON, the simple way; raise `LookupError` where it does not fit."""
    steps = [step.replace("~1", "/").replace("~0", "~") for step in change.at.split("/")[1:]]
    place = sections
    for step in steps[:-1]:
        if isinstance(place, dict):
            place = place.setdefault(step, {})
        elif isinstance(place, list) and step.isdecimal():
            place = place[int(step)]
        else:
            raise LookupError
    last: Any = steps[-1]
    if isinstance(place, list) and last.isdecimal() and int(last) < len(place):
        last = int(last)
    elif not isinstance(place, dict):
        raise LookupError
    if change.op == "set":
        place[last] = thaw(change.value)
    elif change.op == "delete":
        del place[last]
    else:
        items = place[last] if isinstance(place, list) else place.setdefault(last, [])
        if not isinstance(items, list):
            raise LookupError
        items.append(thaw(change.value))
        place[last] = items[-change.keep :] if change.keep else items
    return sections


@given(st.lists(changes, max_size=12))
def test_changes_do_what_they_do_to_plain_json(applied: list[Change]) -> None:
    """A list of random changes leaves what the same steps leave of plain dicts and lists, and is refused where those fail."""
    state, plain = RunState(), {}
    for change in applied:
        try:
            expected = model(thaw(state.sections), change)
        except LookupError:
            with pytest.raises(NodeError):
                state.apply([change])
            continue
        state, plain = state.apply([change]), expected
        assert dumps(thaw(state.sections)) == dumps(plain)


@given(changes)
def test_a_change_survives_its_wire_form(change: Change) -> None:
    """What a record holds of a change makes the same change again."""
    wire = freeze(loads(dumps(thaw(wired(change.wire())))))
    assert change_from_json(wire) == change
