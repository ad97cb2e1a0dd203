"""A command of the debugger, and how a typed line finds it: by name, by the start of a name, or by a short form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, TypeAlias

from attrs import frozen

from frameengine.errors import UsageError

if TYPE_CHECKING:
    from frameengine_cli.debugging.session import Answer, Session

Run: TypeAlias = Callable[["Session", str], "Answer"]
Complete: TypeAlias = Callable[["Session"], list[str]]


@frozen(kw_only=True)
class Command:
    """Something that can be typed."""

    name: str
    """Its whole name."""
    short: tuple[str, ...] = ()
    """Short forms, which no other command has."""
    argument: str = ""
    """What may follow it, for people."""
    help: str
    """What it does, in one line."""
    more: str = ""
    """What else there is to know, with an example."""
    repeats: bool = False
    """Whether an empty line after it does it again."""
    run: Run
    """Do it. Raises what a `FrameEngineError` says."""
    complete: Complete | None = None
    """What an argument may begin with here; None where nothing is known."""


def find(commands: Mapping[str, Command], typed: str) -> Command:
    """Return the command that *typed* means. Raises `UsageError`, naming the nearest ones."""
    for command in commands.values():
        if typed == command.name or typed in command.short:
            return command
    begun = [name for name in commands if name.startswith(typed)]
    if len(begun) == 1:
        return commands[begun[0]]
    if begun:
        raise UsageError(f"{typed!r} may be {', '.join(begun)}", hint="type more of it", command=typed, nearest=begun)
    nearest = get_close_matches(typed, commands, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(nearest)}?" if nearest else "help lists the commands"
    raise UsageError(f"there is no command {typed!r}", hint=hint, command=typed, nearest=nearest)


def split(line: str) -> tuple[str, str]:
    """Return the first word of a line, and the rest of it."""
    word, _, rest = line.strip().partition(" ")
    return word, rest.strip()


def no_argument(argument: str, command: str) -> None:
    """Raise `UsageError` where something follows a command that takes nothing."""
    if argument:
        raise UsageError(f"{command} takes no argument, and {argument!r} follows it", hint=f"help {command}")


def pointer_of(argument: str) -> str:
    """Return the pointer into the state that is typed, with or without a slash before it."""
    return argument if argument.startswith("/") else f"/{argument}"


def number_of(argument: str, command: str, usual: int = 1, *, what: str = "number of times") -> int:
    """Return the number that is typed, *usual* where none is. Raises `UsageError`, which calls it *what*."""
    if not argument:
        return usual
    if not argument.isdecimal() or len(argument) > 9 or not int(argument):
        raise UsageError(f"{command} {argument}: that is no {what}", hint=f"{command}, or {command} 3")
    return int(argument)
