"""What a step does: say something, click, report the screen, let time pass, begin anew."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import SequenceMatcher
from typing import Any, Final

from attrs import frozen

from frameengine.inputs import Action, Clear, Dashboard, Tick, UserMessage
from frameengine.jsonvalue import FrozenMap, Json
from frameengine.suites.words import Problem, Words, json_value
from frameengine.ui.actions import parse_action
from frameengine.ui.controls import action_of

SHOWN: Final = "as shown"
"""A dashboard that reports what should be on the screen."""
CLOSE_MIN: Final = 0.75
"""How like a label a pattern must be to mean it, where nothing fits better."""
_DURATION: Final = re.compile(r"(\d{1,6}) ?(s|m|h)")
_UNITS: Final = {"s": 1, "m": 60, "h": 3600}


@frozen
class Act:
    """Something that a step does."""

    body: Any = None
    """The input that it sends; None where that depends on the run."""
    patterns: tuple[str, ...] = ()
    """For a click: what the button is called, one of these."""
    seconds: int = 0
    """For a wait: how long."""
    as_shown: bool = False
    """For a dashboard: whether it reports what should be there."""

    @property
    def input(self) -> str:
        """The kind of input that it is."""
        if self.body is not None:
            return type(self.body).__name__
        return Action.__name__ if self.patterns else Tick.__name__ if self.seconds else Dashboard.__name__


def read_act(directive: str, text: str) -> Act | str:
    """Return what a directive does, or what is wrong with it."""
    try:
        return _ACTS[directive](text)
    except Problem as problem:
        return str(problem)


def pressed(patterns: Iterable[str], controls: Iterable[FrozenMap]) -> Action | None:
    """Return the click on the button that one of *patterns* means, or None (C123: the name need not be exact).

    For each pattern in turn: its action's name, its label in any case, a part of either, a label that is spelled much like it.
    """
    buttons = [control for control in controls if control.get("type") == "button"]
    for pattern in patterns:
        ranked = sorted(((_likeness(pattern, button), -place) for place, button in enumerate(buttons)), reverse=True)
        if ranked and ranked[0][0] >= CLOSE_MIN:
            return action_of(buttons[-ranked[0][1]])
    return None


def _likeness(pattern: str, button: FrozenMap) -> float:
    """Return how well *pattern* names *button*: its action, its label, a part of either, a likeness."""
    action, label, wanted = str(button.get("action", "")), str(button.get("label", "")).casefold(), pattern.casefold()
    if pattern == action:
        return 3.0
    if wanted == label:
        return 2.0
    if wanted in label or wanted in action.casefold():
        return 1.0
    return SequenceMatcher(None, wanted, label).ratio() * 0.99


def _send(text: str) -> Act:
    if not text:
        raise Problem("there is nothing to say")
    if text.startswith("ACTION:"):
        action = parse_action(text)
        if isinstance(action, str):
            raise Problem(action)
        return Act(action)
    return Act(UserMessage.of(text))


def _action(text: str) -> Act:
    if text.startswith('"'):
        words = Words(text)
        patterns = words.texts()
        words.end()
        return Act(patterns=patterns)
    if not text:
        raise Problem("it names no button")
    return Act(patterns=(text,))


def _dashboard(text: str) -> Act:
    if text == SHOWN:
        return Act(as_shown=True)
    value: Json = json_value(text) if text else None
    if not isinstance(value, tuple):
        raise Problem(f"it is '{SHOWN}', or a JSON list of controls")
    return Act(Dashboard(controls=value))


def _wait(text: str) -> Act:
    found = _DURATION.fullmatch(text)
    if found is None or int(found[1]) == 0:
        raise Problem("it is a time such as 30s, 10m or 2h")
    return Act(seconds=int(found[1]) * _UNITS[found[2]])


def _clear(text: str) -> Act:
    if text:
        raise Problem("nothing follows it")
    return Act(Clear())


_ACTS: Final = {"send": _send, "action": _action, "dashboard": _dashboard, "wait": _wait, "clear": _clear}
