"""What a debugger stops at: breakpoints and watchpoints, as values."""

from __future__ import annotations

import re
from typing import Any, Final, Literal, TypeAlias, get_args

from attrs import field, frozen

from frameengine.expr import Expression

Kind: TypeAlias = Literal[
    "node",
    "frame",
    "path",
    "effect",
    "tool",
    "model",
    "emission",
    "error",
    "status",
    "text",
    "regex",
    "divergence",
    "if",
]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
"""What a breakpoint can be about; ``if`` is a condition alone."""
ALONE: Final = ("error", "divergence", "if")
"""Kinds that take no argument."""
_QUOTED: Final = re.compile(r"""(?s)(?P<sign>["'])(?P<held>.*?)(?P=sign)(?:\s+if(?P<condition>\s.*|$))?""")


@frozen(kw_only=True)
class Breakpoint:
    """Something that may hold in a frame."""

    number: int = 0
    """Its number in the debugger, from 1; 0 where it only was parsed."""
    on: Kind
    """What it is about."""
    argument: str = ""
    """The name, number, text or pattern that it wants; empty for kinds that take none."""
    condition: Expression | None = field(default=None)
    """What must hold as well."""
    ignore: int = 0
    """How many of the next stops are passed over."""
    once: bool = False
    """Whether it goes away with its first stop."""
    enabled: bool = True
    """Whether it stops anything."""

    @property
    def reads_state(self) -> bool:
        """Whether it depends on what the state is."""
        return self.condition is not None and bool({"state", "before"} & {*self.condition.names})

    @property
    def sees_calls(self) -> bool:
        """Whether it can hold for a call that is not done yet."""
        about_call = self.condition is not None and "call" in self.condition.names
        return self.on in ("node", "effect", "tool", "model", "text", "regex") or (self.on == "if" and about_call)

    @property
    def text(self) -> str:
        """The breakpoint as it is typed."""
        words: list[str] = [] if self.on == "if" else [self.on]
        if self.on not in ALONE:
            words.append(_quoted(self.argument))
        if self.condition is not None:
            words += ["if", self.condition.text]
        return " ".join(words)

    def to_json(self) -> dict[str, Any]:
        """Return the breakpoint as plain JSON."""
        return {
            "number": self.number,
            "kind": self.on,
            "argument": self.argument,
            "condition": None if self.condition is None else self.condition.text,
            "text": self.text,
            "ignore": self.ignore,
            "once": self.once,
            "enabled": self.enabled,
        }


@frozen(kw_only=True)
class Watchpoint:
    """A value of the state that may change."""

    number: int = 0
    """Its number in the debugger, from 1; 0 where it only was parsed."""
    pointer: str
    """JSON pointer of the value."""
    ignore: int = 0
    """How many of the next stops are passed over."""
    once: bool = False
    """Whether it goes away with its first stop."""
    enabled: bool = True
    """Whether it stops anything."""

    @property
    def reads_state(self) -> bool:
        """Whether it depends on what the state is."""
        return True

    @property
    def text(self) -> str:
        """The watchpoint as it is typed."""
        return self.pointer

    def to_json(self) -> dict[str, Any]:
        """Return the watchpoint as plain JSON."""
        return {
            "number": self.number,
            "kind": "watch",
            "pointer": self.pointer,
            "text": self.text,
            "ignore": self.ignore,
            "once": self.once,
            "enabled": self.enabled,
        }


Point: TypeAlias = Breakpoint | Watchpoint


def split_argument(text: str) -> tuple[str, str]:
    """Return an argument and the text of the condition behind it; each is empty where it is not there.

    A condition begins at the first ``if``. An argument that holds that word, or spaces at an end, stands in quotes: they end
    where the same sign is followed by a condition or by nothing. Within them every sign stands for itself.
    """
    text = text.strip()
    quoted = _QUOTED.fullmatch(text)
    if quoted is not None:
        return quoted["held"], (quoted["condition"] or "").strip()
    argument, _, condition = f" {text} ".partition(" if ")
    return argument.strip(), condition.strip()


def _quoted(argument: str) -> str:
    """Return an argument so that it is read as the same one again."""
    for sign in ("", '"', "'"):
        typed = f"{sign}{argument}{sign}"
        if split_argument(typed) == (argument, "") and split_argument(f"{typed} if x") == (argument, "x"):
            return typed
    return argument
