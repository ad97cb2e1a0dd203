"""Commands that move: every one of them has its reverse."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from attrs import evolve

from frameengine.debug.debugger import Debugger
from frameengine.debug.place import START, Place, parse_place
from frameengine.debug.stop import Stop
from frameengine.errors import UsageError
from frameengine_cli.debugging.command import Command, no_argument, number_of
from frameengine_cli.debugging.session import Answer, Session

Move = Callable[[Debugger], Stop]


def moved(stop: Stop) -> Answer:
    """Return the answer of a move."""
    return Answer(data=stop.to_json(), stop=stop)


def _times(name: str, move: Move) -> Callable[[Session, str], Answer]:
    """Return a command that moves as often as it is told, or until something else stops it.

    To go on means to go to the next hit, so that as many hits are passed.
    """
    passed = ("breakpoint", "watchpoint") if name.endswith("continue") else ("place",)

    def run(session: Session, argument: str) -> Answer:
        stop, times = Stop(reason="place", where=session.place), number_of(argument, name)
        # A move forgets at its beginning that the one before was to end.
        for done in session.debugger.while_wanted(range(1, times + 1)):
            stop = move(session.debugger)
            if stop.reason not in passed or done == times:
                return moved(stop)
        return moved(evolve(stop, reason="interrupted"))

    return run


def _place(session: Session, argument: str, command: str) -> Place:
    """Return the place that is typed: 2.3, or .3 for a frame of this message."""
    if not argument:
        raise UsageError(f"{command} where?", hint=f"{command} 2.3, {command} .3 in this message, {command} start, {command} end")
    if argument == "end":
        return session.timeline.last
    return parse_place(f"{session.place.message}{argument}" if argument.startswith(".") else argument)


def _goto(session: Session, argument: str) -> Answer:
    return moved(session.debugger.go(_place(session, argument, "goto")))


def _until(session: Session, argument: str) -> Answer:
    return moved(session.debugger.run_to(_place(session, argument, "until")))


def _start(session: Session, argument: str) -> Answer:
    no_argument(argument, "start")
    return moved(session.debugger.go(START))


def _end(session: Session, argument: str) -> Answer:
    no_argument(argument, "end")
    session.debugger.read_all()
    return moved(session.debugger.go(session.timeline.last))


def _both(
    name: str, shorts: tuple[str, str], move: Callable[..., Stop], helps: tuple[str, str], more: str
) -> tuple[Command, ...]:
    """Return a move and its reverse."""
    forth: Move = partial(move, back=False)
    back: Move = partial(move, back=True)
    return tuple([
        Command(name=full, short=(short,), argument="[TIMES]", help=text, more=more, repeats=True, run=_times(full, way))
        for full, short, text, way in zip((name, f"reverse-{name}"), shorts, helps, (forth, back), strict=True)
    ])  # fmt: skip


MOVING = (
    *_both(
        "step", ("s", "rs"), Debugger.step,
        ("go to the end of the next frame", "go back to the end of the frame before"),
        "A message that enters is a place of its own, before its first frame. Example: step 3",
    ),
    *_both(
        "into", ("i", "ri"), Debugger.into,
        ("go into the next frame, effect by effect", "go back by one effect"),
        "Inside a frame the state is the one before it, and of its effects those are shown whose outcomes have arrived.",
    ),
    *_both(
        "next", ("n", "rn"), Debugger.next,
        ("go to the end of this message, or of the next one", "go back to the message before"),
        "Breakpoints on the way stop it.",
    ),
    *_both(
        "continue", ("c", "rc"), Debugger.resume,
        ("go on until something stops it", "go back until something stops it"),
        "Breakpoints and watchpoints stop it, or the end of the run. Ctrl-C stops it where it is.",
    ),
    Command(
        name="until", short=("u",), argument="PLACE", help="go on to a place, or to what stops on the way there",
        more="Forwards or backwards, as the place lies. Example: until 4.2", run=_until,
    ),
    Command(
        name="goto", short=("g", "@"), argument="PLACE", help="go straight to a place, whatever lies on the way",
        more="2 is where message 2 has entered, 2.3 the end of its frame 3, 2.3:1 inside that frame after one effect, .3 frame 3 "
        "of this message. Example: goto 2.3", run=_goto,
    ),
    Command(name="start", help="go to the start of the run", run=_start),
    Command(name="end", help="go to the end of the run", run=_end),
)  # fmt: skip
