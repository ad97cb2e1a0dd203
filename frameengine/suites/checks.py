"""What a step expects: typed assertions, each of which says what it saw where it does not hold (C123)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from frameengine.jsonvalue import FrozenMap, Json
from frameengine.suites.evidence import COMPARE, Check, Evidence, as_json, contains, count, cut, listed, unless
from frameengine.suites.trace_checks import trace_check
from frameengine.suites.words import Problem, Words, json_value

KINDS: Final = ("buttons", "table", "label", "machine", "display")
"""Kinds of controls that a check may ask for."""


def read_check(directive: str, text: str) -> Check | str:
    """Return what a directive expects, or what is wrong with it."""
    words = Words(text)
    try:
        check = _CHECKS[directive](words)
        words.end()
    except Problem as problem:
        return str(problem)
    return check


# ---------------------------------------------------------------------- response and actions


def _response(words: Words) -> Check:
    if words.take("length"):
        return count(words, lambda evidence: len(evidence.response), what="the response's length")
    negated = words.take("not")
    if not words.take("contains"):
        raise Problem('it is contains "…", not contains "…", or length >= N')
    return contains(words, lambda evidence: (evidence.response,), what="the response", negated=negated)


def _buttons(evidence: Evidence) -> tuple[FrozenMap, ...]:
    return tuple([control for control in evidence.controls if control.get("type") == "button"])


def _actions(words: Words) -> Check:
    if words.take("length"):
        return count(words, lambda evidence: len(_buttons(evidence)), what="the number of buttons")
    for what, told in _TOLD.items():
        if words.take("any", what, "contains"):
            return _any(words.texts(), what, told)
    if not words.take("has"):
        raise Problem(
            'it is length >= N, any action contains "…", any control contains "…", has table or buttons, or has no table'
        )
    negated = words.take("no")
    kinds = [_kind(words)]
    while words.take("or"):
        kinds.append(_kind(words))

    def held(evidence: Evidence) -> str:
        there = {kind: [control for control in evidence.controls if _is_kind(control, kind)] for kind in kinds}
        found = any(there.values())
        shown = ", ".join([str(control.get("type")) for control in evidence.controls]) or "nothing"
        return unless(found != negated, f"the surface shows {shown}")

    return Check(fault=held)


def _any(wanted: Sequence[str], what: str, told: Callable[[Evidence], list[str]]) -> Check:
    def fault(evidence: Evidence) -> str:
        shown = told(evidence)
        found = any(item.casefold() in text.casefold() for item in wanted for text in shown)
        return unless(found, f"the {what}s are {listed(shown)}")

    return Check(fault=fault)


def _leaves(value: Json) -> Iterator[str]:
    """Yield the texts and figures in a value, in order."""
    if isinstance(value, FrozenMap | tuple):
        for item in value.values() if isinstance(value, FrozenMap) else value:
            yield from _leaves(item)
    else:
        yield _text(value)


_TOLD: Final[Mapping[str, Callable[[Evidence], list[str]]]] = {
    "action": lambda evidence: [f"{button.get('label', '')} {button.get('action', '')}" for button in _buttons(evidence)],
    "control": lambda evidence: [" ".join(_leaves(control)) for control in evidence.controls],
}
"""What is told of each button, and of each control: everything that stands in it."""


def _kind(words: Words) -> str:
    kind = words.word("a kind of control")
    if kind not in KINDS:
        raise Problem(f"{kind} is no kind of control; there is {', '.join(KINDS)}")
    return kind


def _is_kind(control: FrozenMap, kind: str) -> bool:
    match kind:
        case "buttons":
            return bool(control.get("type") == "button")
        case "machine":
            return "machine_id" in control
        case "display":
            return control.get("type") not in ("button", "table")
        case _:
            return bool(control.get("type") == kind)


# ---------------------------------------------------------------------- state


def _state(words: Words) -> Check:
    place = words.word("a place in the state, such as memory.topic,")
    steps = place.split(".")
    check = _value(words, place, steps)

    def fault(evidence: Evidence) -> str:
        # Of a place that is not there nothing can be said, not even what it is not.
        return f"{place} is not there" if _at(evidence.state, steps) is NOWHERE else check.fault(evidence)

    return Check(fault=fault)


def _value(words: Words, place: str, steps: Sequence[str]) -> Check:
    negated = words.take("not")
    if words.take("contains"):
        return contains(words, lambda evidence: tuple(_parts(_at(evidence.state, steps))), what=place, negated=negated)
    if negated:
        raise Problem('it is not contains "…"')
    if words.take("length"):
        return count(words, lambda evidence: _length(_at(evidence.state, steps)), what=f"the length of {place}")
    comparison = words.comparison()
    wanted = json_value(words.rest())
    ordered = comparison not in ("==", "!=")
    if ordered and not _is_number(wanted):
        raise Problem(f"{comparison} compares numbers, and {cut(_text(wanted))} is none")

    def fault(evidence: Evidence) -> str:
        value = _at(evidence.state, steps)
        if ordered:
            holds = _is_number(value) and COMPARE[comparison](value, wanted)
        else:
            holds = _equal(value, wanted) == (comparison == "==")
        return unless(holds, f"{place} is {cut(_text(value))}")

    return Check(fault=fault)


NOWHERE: Final = object()
"""What stands at a place that the state does not have."""


def _at(state: Json, steps: Sequence[str]) -> Any:
    value: Any = state
    for step in steps:
        if isinstance(value, FrozenMap) and step in value:
            value = value[step]
        elif isinstance(value, tuple) and step.isdecimal() and int(step) < len(value):
            value = value[int(step)]
        else:
            return NOWHERE
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _equal(one: Any, other: Any) -> bool:
    """Return whether two values say the same: 1 is 1.0, the order of members means nothing, and true is no number."""
    if isinstance(one, FrozenMap) and isinstance(other, FrozenMap):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(_equal, one, other))
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else as_json(value)


def _parts(value: Any) -> Iterator[str]:
    """Yield the names, texts and figures in a value, in order; of nothing, none.

    Each as it is, not as JSON writes it: a text with a quote in it would not be found in that.
    """
    if isinstance(value, FrozenMap):
        for name, item in value.items():
            yield name
            yield from _parts(item)
    elif isinstance(value, tuple):
        for item in value:
            yield from _parts(item)
    elif value is not None:
        yield _text(value)


def _length(value: Any) -> int | None:
    return len(value) if isinstance(value, str | tuple | FrozenMap) else None


_CHECKS: Final[Mapping[str, Callable[[Words], Check]]] = {
    "expect_response": _response,
    "expect_actions": _actions,
    "expect_state": _state,
    "expect_trace": trace_check,
}
