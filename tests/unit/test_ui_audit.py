"""The audit of a screen: whole controls are compared, and whatever a client reports is bounded and named (C77, W58)."""

from __future__ import annotations

from time import perf_counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frameengine.jsonvalue import EMPTY, FrozenMap, freeze, thaw
from frameengine.ui.audit import DIFFERENCES_MAX, LINES_MAX, SCREEN_MAX, audit_lines, mismatch
from frameengine.ui.surface import answered, current

ACTIONS = [{"label": "Send", "action": "send", "payload": {"a": 1, "b": 2.0}}, {"label": "Stop", "action": "stop"}]
ITEMS = [
    {"type": "table", "columns": ["n", "m"], "data": [["1", "x"], ["2", "y"]]},
    {"type": "label", "label": "Total", "value": 3},
]
MACHINE = {"op": "create", "id": "m", "initial": "a", "states": {"a": [{"label": "Next", "action": "next", "go": "a"}]}}
UI, _ = answered(EMPTY, actions=freeze(ACTIONS), items=freeze(ITEMS), values=EMPTY, ops=freeze([MACHINE]))
SCREEN: list[Any] = thaw(current(UI))
LISTING = (
    "The screen shows 5 controls:",
    '- button "Next" (action "next", machine "m")',
    '- button "Send" (action "send", payload {"a":1,"b":2.0})',
    '- button "Stop" (action "stop")',
    '- table (["n","m"], 2 rows)',
    '- label "Total" = 3',
)


def changed(index: int, **members: Any) -> list[Any]:
    """Return the screen with other members of one control."""
    return [{**control, **members} if number == index else control for number, control in enumerate(SCREEN)]


def test_no_dashboard_no_line() -> None:
    """Where the client reported no screen there is nothing to say; a right one is listed without a warning (C77)."""
    assert audit_lines(UI, None) == ()
    assert audit_lines(UI, freeze(SCREEN)) == LISTING
    assert mismatch(UI, freeze(SCREEN)) == ""
    assert audit_lines(EMPTY, ()) == ("The screen is empty.",)


def test_a_client_may_leave_out_and_reorder_members() -> None:
    """Members that nobody sees, their order, and the point of 2.0 make no difference."""
    loose = [{key: control[key] for key in reversed(control) if key not in ("go", "note")} for control in SCREEN]
    loose[1]["payload"] = {"b": 2, "a": 1}
    loose[2]["payload"] = None
    assert mismatch(UI, freeze(loose)) == ""


def test_an_empty_screen_is_a_warning() -> None:
    """A screen without what it should show is told with number and labels, and that they are to be shown again (C77)."""
    lines = audit_lines(UI, ())
    assert lines[0] == "Warning: the screen is empty, and should show 5 controls; offer them again"
    assert lines[1:6] == tuple([f"- missing: {line[2:]}" for line in LISTING[1:]])
    assert lines[6:] == ("The screen is empty.",)


@pytest.mark.parametrize(
    ("screen", "line"),
    [
        (SCREEN[:2] + SCREEN[3:], 'missing: button "Stop" (action "stop")'),
        ([*SCREEN, {"type": "button", "label": "Pay", "action": "pay"}], 'not ours: button "Pay" (action "pay")'),
        ([*SCREEN, SCREEN[2]], 'shown more often than it should be: button "Stop" (action "stop")'),
        (changed(2, label="Halt"), 'changed: button "Stop" (action "stop") shows label "Halt" instead of "Stop"'),
        (changed(1, payload={"a": 2}), 'shows payload {"a":2} instead of {"a":1,"b":2.0}'),
        (changed(3, data=[["1", "x"]]), "shows 1 rows instead of 2"),
        (changed(3, data=[["1", "x"], ["2", "z"]]), "shows another row 2"),
        (changed(3, data=None), "shows no rows"),
        (changed(4, value=4), 'changed: label "Total" = 3 shows value 4 instead of 3'),
        (changed(0, machine_id="other"), 'missing: button "Next" (action "next", machine "m")'),
        ([SCREEN[0], SCREEN[2], SCREEN[1], *SCREEN[3:]], 'in another order: "Next", "Stop", "Send", "table", "Total", where it'),
    ],
)
def test_w58_whole_controls_are_compared(screen: list[Any], line: str) -> None:
    """A missing, foreign, doubled, changed or moved control is told, not only another set of labels (W58)."""
    lines = audit_lines(UI, freeze(screen))
    assert lines[0].startswith("Warning: the screen shows ")
    assert line in "\n".join(lines)
    assert line in mismatch(UI, freeze(screen))


def test_doubles_that_should_be_there_are_right() -> None:
    """Two equal controls are two: one of them alone is a difference."""
    ui, _ = answered(EMPTY, actions=freeze([ACTIONS[1]] * 2), items=(), values=EMPTY, ops=())
    assert mismatch(ui, freeze([SCREEN[2]] * 2)) == ""
    assert "missing: button" in mismatch(ui, freeze([SCREEN[2]]))


@pytest.mark.parametrize(
    ("dashboard", "line"),
    [
        ("<html>", 'the client sent "<html>" for the screen, which is no list of controls'),
        ({"controls": []}, 'the client sent {"controls":[]} for the screen'),
        ([*SCREEN, 7], "control 6 is 7, no control"),
        ([*SCREEN, {"label": "x\ny"}], r'control 6 is {"label":"x\ny"}, no control'),
        ([*SCREEN, {"type": ["button"]}], "no control"),
        (SCREEN * 100, f"it has 500 controls, of which {SCREEN_MAX} are compared"),
    ],
)
def test_a_bad_dashboard_is_named(dashboard: Any, line: str) -> None:
    """What is no screen is said to be none, and no report, however long, becomes a long audit."""
    lines = audit_lines(UI, freeze(dashboard))
    assert line in "\n".join(lines)
    assert len(lines) <= LINES_MAX + 1
    assert all("\n" not in entry and len(entry) < 600 for entry in lines)
    assert mismatch(UI, freeze(dashboard))


def test_many_differences_are_counted() -> None:
    """Of many differences the first are named one by one, the rest is a number."""
    lines = audit_lines(EMPTY, freeze([{"type": "label", "label": str(number)} for number in range(100)]))
    assert [line for line in lines if "more differences" in line] == [f"- and {100 - DIFFERENCES_MAX} more differences"]
    assert len(mismatch(EMPTY, freeze([{"type": "label", "label": "x" * 500}] * 100))) < 1_000


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(-2, 2) | st.sampled_from([1e300, "Send", "send", "", "m"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2),
    max_leaves=5,
)
MEMBERS = ("label", "text", "value", "action", "payload", "columns", "data", "machine_id", "style")
CONTROL = st.fixed_dictionaries(
    {"type": st.sampled_from(["button", "table", "label"]) | VALUES}, optional=dict.fromkeys(MEMBERS, VALUES)
)
ONE_CHANGE = st.tuples(st.integers(0, 4), st.sampled_from(MEMBERS), VALUES)


@given(st.lists(CONTROL | VALUES | st.sampled_from(SCREEN), max_size=6) | VALUES)
def test_any_dashboard_has_an_audit(dashboard: Any) -> None:
    """No dashboard makes the audit raise, and it warns exactly where there is a difference to tell."""
    given_screen = freeze(dashboard)
    lines = audit_lines(UI, given_screen)
    assert bool(lines) == (dashboard is not None)
    assert dashboard is None or lines[0].startswith("Warning: ") == bool(mismatch(UI, given_screen))


@given(ONE_CHANGE)
def test_any_change_of_one_member_is_noticed(change: tuple[int, str, Any]) -> None:
    """Whatever member of a control a client shows otherwise, the audit says so, and stays silent where it is the same."""
    index, member, value = change
    before = SCREEN[index].get(member)
    same = (before == value and isinstance(before, bool) == isinstance(value, bool)) or (before is None and value is None)
    assert bool(mismatch(UI, freeze(changed(index, **{member: value})))) != same


def surface(controls: int) -> FrozenMap:
    """Return a section whose machines show very many controls."""
    states = {"a": [{"label": f"b{number}", "action": "a"} for number in range(20)]}
    ops = [{"op": "create", "id": f"m{number}", "initial": "a", "states": states} for number in range(controls // 20)]
    return answered(EMPTY, actions=(), items=(), values=EMPTY, ops=freeze(ops))[0]


@pytest.mark.nightly
def test_an_audit_takes_linear_time() -> None:
    """Twice the controls on the screen, all of them wrong, take at most 2.6 times as long to audit."""

    def least(count: int) -> float:
        ui = surface(count)
        screen = freeze([{**control, "payload": 1} for control in thaw(current(ui))])
        times = []
        for _ in range(30):
            start = perf_counter()
            audit_lines(ui, screen)
            times.append(perf_counter() - start)
        return min(times)

    assert least(280) <= 2.6 * least(140)
