"""What can be typed beside messages: lines that begin with a slash."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from attrs import frozen

from frameengine.errors import UnknownRef, UsageError
from frameengine.graph.loader import list_graphs
from frameengine.inputs import Clear, Dashboard, Tick
from frameengine.jsonvalue import EMPTY, FrozenMap, Json, point
from frameengine.suites.actions import pressed
from frameengine.ui.controls import action_of
from frameengine_cli import output, phrases
from frameengine_cli.chatting.session import Session
from frameengine_cli.refs import free_name, short_id, stem

if TYPE_CHECKING:
    from frameengine_cli.chatting.talk import Talk

Run: TypeAlias = Callable[["Talk", str], None]


@frozen(kw_only=True)
class Command:
    """Something that can be typed."""

    argument: str
    """What may follow it, for people."""
    help: str
    """What it does, in one line."""
    run: Run
    """Do it."""


def dispatch(talk: Talk, line: str) -> None:
    """Do what a line that begins with a slash says. Raises `UsageError`."""
    typed, _, argument = line[1:].partition(" ")
    command = COMMANDS.get(typed.lower())
    if command is None:
        hint = "/help lists them; to say something that begins with a slash, put a space before it"
        raise UsageError(f"there is no command /{typed}", hint=hint, command=typed)
    command.run(talk, argument.strip())


def _click(talk: Talk, argument: str) -> None:
    buttons = talk.session.buttons
    if argument.isdecimal() and len(argument) < 6:
        if not 1 <= int(argument) <= len(buttons):
            has = f"the screen has {phrases.count(len(buttons), 'button')}" if buttons else "the screen has no buttons"
            raise UsageError(f"there is no button {argument}: {has}", hint="/screen shows them", button=argument)
        talk.session.send(action_of(buttons[int(argument) - 1]))
        return
    action = pressed((argument,), buttons) if argument else None
    if action is None:
        hint = "/screen shows the buttons; say a number, or a part of a label"
        raise UsageError(f"no button is called {argument!r}" if argument else "which button?", hint=hint, button=argument)
    talk.session.send(action)


def _screen(talk: Talk, _: str) -> None:
    from frameengine_cli.chatting.surface import indented, surface
    from frameengine_cli.look import QUIET, words

    ui: FrozenMap = talk.session.state.get("ui", EMPTY)
    empty = words(("  the screen is empty", QUIET))
    shown = talk.session.controls
    talk.show("screen", {"controls": shown}, lambda: indented(surface(ui, output.look(), full=True)) if shown else empty)


def _frames(talk: Talk, argument: str) -> None:
    from frameengine.trace.messages import Message, messages
    from frameengine.trace.reader import TraceReader
    from frameengine_cli.progress import patience
    from frameengine_cli.refs import size
    from frameengine_cli.screens.timeline import timeline

    number = int(argument) if argument.isdecimal() and len(argument) < 10 else 0
    if argument and not number:
        raise UsageError(f"/frames {argument}: that is no number of an input", hint="/frames, or /frames 3")
    found: Message | None = None
    path = talk.session.writer.path
    with TraceReader(path, damaged=True) as reader, patience("reading", size(path), in_bytes=True) as done:
        for message in messages(reader, last=number or None):
            done(reader.offset)
            found = message if number in (0, message.number) else None
    if found is None:
        inputs = talk.session.writer.inputs
        raise UnknownRef(f"no message {argument} was sent" if number else "nothing was said yet", hint="", inputs=inputs)
    kept = found
    talk.show("frames", kept.to_json(), lambda: timeline(kept, output.look()))


def _state(talk: Talk, argument: str) -> None:
    from frameengine_cli.chatting.surface import one_line
    from frameengine_cli.look import QUIET, block, pairs, words

    state = talk.session.state
    try:
        value: Json = point(state, argument)
    except (KeyError, IndexError):
        sections = ", ".join([f"/{name}" for name in state]) or "none"
        raise UsageError(f"the state has nothing at {argument!r}", hint=f"its sections are {sections}", at=argument) from None
    if argument:
        talk.show("state", {"at": argument, "value": value}, lambda: block(phrases.pretty(value)))
        return
    rows = [(f"  /{name}", one_line(words((phrases.value(held), "" if held else QUIET)))) for name, held in state.items()]
    talk.show("state", {"at": "", "value": state}, lambda: pairs(rows))


def _dashboard(talk: Talk, argument: str) -> None:
    from frameengine.errors import FrameEngineError
    from frameengine.foreign import parse

    controls: Any = talk.session.controls
    if argument:
        try:
            controls = parse(argument)
        except FrameEngineError as error:
            raise UsageError(f"/dashboard: {error.message}", hint="give a JSON list of controls, such as []") from None
        if not isinstance(controls, tuple):
            raise UsageError("/dashboard takes a JSON list of controls", hint="/dashboard [] reports an empty screen")
    talk.session.send(Dashboard(controls=controls))


def _tick(talk: Talk, _: str) -> None:
    now = time.localtime()
    talk.session.send(Tick(readings={"offset_minutes": now.tm_gmtoff // 60, "zone": now.tm_zone}))


def _clear(talk: Talk, _: str) -> None:
    left = _left_behind(talk.session.state)
    talk.session.send(Clear())
    talk.note("cleared", f"forgotten: {left}; the trace keeps it")


def _graph(talk: Talk, argument: str) -> None:
    from frameengine_cli.look import GOOD, QUIET, STRONG, pairs, words

    active = talk.session.engine.bound.graph.name
    if argument:
        before = talk.session.switch(argument)
        name = talk.session.engine.bound.graph.name
        left = _left_behind(before)
        talk.note("switched", f"now on {name}; {active} and its {left} are left behind, the trace keeps them", graph=name)
        return
    listed = list_graphs()
    style = f"{STRONG} {GOOD}"
    rows = [(f"  {name}", words((text, style if name == active else QUIET))) for name, text in listed]
    talk.show("graphs", {"active": active, "graphs": [name for name, _ in listed]}, lambda: pairs(rows))


def _left_behind(state: FrozenMap) -> str:
    """Return in words what is lost with *state*."""
    ui = state.get("ui", EMPTY)
    history = phrases.count(len(state.get("history", ())), "message")
    return f"{history}, {phrases.count(len(ui.get('machines', ())), 'machine')} and memory"


def _save(talk: Talk, argument: str) -> None:
    from frameengine.trace.verify import verify

    path = talk.session.writer.path
    if not talk.session.writer.frames:
        raise UsageError("nothing was said yet: there is nothing to save", hint="say something first")
    target = Path(argument).expanduser() if argument else free_name(path.parent, stem(path))
    try:
        talk.session.writer.save(target)
    except UsageError as error:
        error.hint = "choose another name"
        raise
    receipt = verify(target)
    told = f"saved {target}  {short_id(receipt.head)}  sealed, {phrases.count(receipt.counts.inputs, 'input')}"
    talk.note("saved", told, path=str(target), id=short_id(receipt.head))


def _hud(talk: Talk, _: str) -> None:
    talk.note("hud", f"events are {'shown' if talk.toggle_events() else 'hidden'}")


def _help(talk: Talk, _: str) -> None:
    from rich.console import Group

    from frameengine_cli.look import QUIET, pairs, words

    rows = [(f"  /{name} {command.argument}".rstrip(), words((command.help, ""))) for name, command in COMMANDS.items()]
    keys = words(("  Ctrl-C cancels a message under way, and leaves where none is; Ctrl-D leaves. Tab completes.", QUIET))
    talk.show("help", {"commands": list(COMMANDS)}, lambda: Group(pairs(rows), keys))


def _quit(talk: Talk, _: str) -> None:
    talk.leaving = True


COMMANDS: Final[Mapping[str, Command]] = {
    "click": Command(argument="N", help="press button N, or the one with such a label", run=_click),
    "screen": Command(argument="", help="show the controls again, tables whole", run=_screen),
    "frames": Command(argument="[N]", help="show the frames of the last message, or of input N", run=_frames),
    "state": Command(argument="[POINTER]", help="show the state, or a part of it: /state /memory", run=_state),
    "hud": Command(argument="", help="show every event as it comes, or no longer", run=_hud),
    "tick": Command(argument="", help="let the sensor's clock go on", run=_tick),
    "dashboard": Command(argument="[JSON]", help="report what the screen shows; JSON: something else", run=_dashboard),
    "clear": Command(argument="", help="forget the conversation", run=_clear),
    "graph": Command(argument="[NAME]", help="list the graphs, or go on with another, from its beginning", run=_graph),
    "save": Command(argument="[FILE]", help="write a sealed trace of all so far", run=_save),
    "help": Command(argument="", help="show this", run=_help),
    "quit": Command(argument="", help="seal the trace and leave", run=_quit),
}
"""Name -> command, in the order in which they are listed."""


def completions(session: Session, line: str) -> list[str]:
    """Return what can stand in the place of the last word of *line*."""
    command, space, word = line.partition(" ")
    if not space:
        return [f"/{name} " if COMMANDS[name].argument else f"/{name}" for name in COMMANDS if f"/{name}".startswith(command)]
    options: list[str] = []
    if command == "/graph":
        options = [name for name, _ in list_graphs()]
    elif command == "/click":
        options = [str(number) for number in range(1, len(session.buttons) + 1)]
    elif command == "/state":
        options = [at for name, held in session.state.items() for at in (f"/{name}", *_members(name, held))]
    return [option for option in options if option.startswith(word)]


def _members(name: str, held: Json) -> list[str]:
    return [f"/{name}/{key}" for key in held] if isinstance(held, FrozenMap) else []
