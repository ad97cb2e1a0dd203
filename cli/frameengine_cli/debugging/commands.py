"""All commands of the debugger, and the one function that does what a line says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rich.console import Group, RenderableType

from frameengine.errors import FrameEngineError, UsageError
from frameengine_cli.debugging.changing import CHANGING
from frameengine_cli.debugging.command import Command, find, no_argument, split
from frameengine_cli.debugging.living import LIVING
from frameengine_cli.debugging.looking import LOOKING
from frameengine_cli.debugging.moving import MOVING
from frameengine_cli.debugging.session import Answer, Session
from frameengine_cli.debugging.stopping import STOPPING
from frameengine_cli.look import QUIET, STRONG, pairs, words
from frameengine_cli.refs import rename


def _quit(_: Session, argument: str) -> Answer:
    no_argument(argument, "quit")
    return Answer(leave=True)


def _help(_: Session, argument: str) -> Answer:
    if argument:
        command = find(COMMANDS, split(argument)[0])
        return Answer(data={"command": _told(command)}, screen=lambda _: _whole(command))
    data = {"commands": [_told(command) for command in COMMANDS.values()]}
    return Answer(data=data, screen=lambda _: _all())


def _told(command: Command) -> dict[str, str]:
    names = ("name", "argument", "help", "more")
    return {**{name: getattr(command, name) for name in names}, "short": ", ".join(command.short)}


def _whole(command: Command) -> RenderableType:
    short = f"  ({', '.join(command.short)})" if command.short else ""
    parts = [words((f"{command.name} {command.argument}".rstrip(), STRONG), (short, QUIET)), words((f"  {command.help}", ""))]
    return Group(*parts, *([words((f"  {command.more}", QUIET))] if command.more else []))


def _all() -> RenderableType:
    parts: list[RenderableType] = []
    for title, commands in GROUPS.items():
        rows: list[tuple[str, RenderableType]] = []
        for command in commands:
            usage = f"{command.name} {command.argument}".rstrip()
            short = f"  ({', '.join(command.short)})" if command.short else ""
            rows.append((f"  {usage}{short}", words((command.help, ""))))
        parts += [words((title, STRONG)), pairs(rows)]
    return Group(
        *parts, words(("help COMMAND says more; an empty line does the last move again; the start of a name will do", QUIET))
    )


LEAVING = (
    Command(name="help", short=("?",), argument="[COMMAND]", help="list the commands, or tell more of one", run=_help),
    Command(name="quit", short=("q",), help="leave", run=_quit),
)
GROUPS: Final = {
    "move": MOVING,
    "stop": STOPPING,
    "look": LOOKING,
    "change the past": CHANGING,
    "talk to a run under way": LIVING,
    "leave": LEAVING,
}
COMMANDS: Final[dict[str, Command]] = {command.name: command for group in GROUPS.values() for command in group}


def dispatch(session: Session, line: str) -> Answer:
    """Do what a line says. Raises `UsageError` for one that says nothing that is known, and whatever its command raises."""
    word, argument = split(line)
    if not word:
        raise UsageError("nothing was said", hint="help lists the commands")
    for sign in ("@", "/", "?"):
        if word.startswith(sign) and len(word) > 1:
            word, argument = sign, f"{word[1:]} {argument}".strip()
    try:
        return find(COMMANDS, word).run(session, argument)
    except FrameEngineError as error:
        rename(error, session.source.path, session.source.name)
        raise


def completions(session: Session, line: str) -> Iterator[str]:
    """Yield what the last word of a line may become."""
    word, space, rest = line.lstrip().partition(" ")
    if not space:
        yield from [f"{name} " for name in COMMANDS if name.startswith(word)]
        return
    try:
        command = find(COMMANDS, word)
    except UsageError:
        return
    last = rest.split(" ")[-1]
    if command.name == "help":
        yield from [name for name in COMMANDS if name.startswith(last)]
    elif command.complete is not None:
        yield from [text for text in command.complete(session) if text.startswith(last)]
