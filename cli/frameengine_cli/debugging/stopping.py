"""Commands that say where to stop: breakpoints, watchpoints, and lists of all the places where they hold."""

from __future__ import annotations

from typing import Any

from rich.console import RenderableType

from frameengine.debug.naming import a_breakpoint
from frameengine.debug.points import Point
from frameengine.debug.stop import Hit
from frameengine.errors import UsageError
from frameengine_cli import phrases
from frameengine_cli.debugging.command import Command, no_argument, number_of, pointer_of, split
from frameengine_cli.debugging.screens import breakpoint_table, hit_table, noted
from frameengine_cli.debugging.session import Answer, Session, stopped_by_hand
from frameengine_cli.look import Look

HITS_SHOWN = 40
"""Places of a hit list that people are shown; programs get all."""

KINDS = (
    "Kinds: node NAME, frame N, path LABEL, effect model|tool, tool NAME, model NAME, emission EVENT, error, status STATUS, "
    "text TEXT, regex PATTERN, divergence; after each may follow: if CONDITION. A condition alone is 'if CONDITION'."
)


def _added(point: Point) -> Answer:
    return Answer(data={"point": point.to_json()}, screen=lambda _: noted(f"{point.number}: {point.text}"))


def _break(session: Session, argument: str) -> Answer:
    if not argument:
        return _list(session, "")
    return _added(session.debugger.breakpoints.add(argument))


def _once(session: Session, argument: str) -> Answer:
    if not argument:
        raise UsageError("tbreak where?", hint=f"tbreak {a_breakpoint(session.timeline)}")
    return _added(session.debugger.breakpoints.add(argument, once=True))


def _watch(session: Session, argument: str) -> Answer:
    if not argument:
        raise UsageError("watch what?", hint=f"watch {session.section()}")
    return _added(session.debugger.breakpoints.watch(pointer_of(argument)))


def _list(session: Session, argument: str) -> Answer:
    no_argument(argument, "breakpoints")
    held = session.debugger.breakpoints
    points = held.all()
    rows = [(point, held.count(point.number)) for point in points]
    data: dict[str, Any] = {"points": [{**point.to_json(), "hits": hits} for point, hits in rows]}
    return Answer(data=data, screen=lambda look: breakpoint_table(rows, look))


def _numbers(session: Session, argument: str, command: str) -> list[int]:
    """Return the numbers that are typed; all there are where none is."""
    known = [point.number for point in session.debugger.breakpoints.all()]
    if not argument:
        return known
    numbers = []
    for word in argument.replace(",", " ").split():
        if not word.isdecimal() or len(word) > 9 or int(word) not in known:
            listed = ", ".join(map(str, known)) or "none"
            raise UsageError(f"{command} {word}: there is no such breakpoint", hint=f"there are {listed}", known=known)
        numbers.append(int(word))
    return numbers


def _delete(session: Session, argument: str) -> Answer:
    numbers = _numbers(session, argument, "delete")
    for number in numbers:
        session.debugger.breakpoints.delete(number)
    return Answer(data={"deleted": numbers}, screen=lambda _: noted(f"deleted {phrases.count(len(numbers), 'breakpoint')}"))


def _switch(session: Session, argument: str, *, on: bool) -> Answer:
    word = "enable" if on else "disable"
    numbers = _numbers(session, argument, word)
    for number in numbers:
        session.debugger.breakpoints.enable(number, on)
    return Answer(data={f"{word}d": numbers}, screen=lambda _: noted(f"{word}d {phrases.count(len(numbers), 'breakpoint')}"))


def _ignore(session: Session, argument: str) -> Answer:
    number, count = split(argument)
    if not count.isdecimal() or len(count) > 9:
        raise UsageError("ignore which, and how often?", hint="ignore 1 3")
    chosen = number_of(number, "ignore", what="number of a breakpoint")
    session.debugger.breakpoints.ignore(chosen, int(count))
    return Answer(data={"ignore": [chosen, int(count)]}, screen=lambda _: noted(f"{chosen} is passed over {count} times"))


def _hits(session: Session, argument: str) -> Answer:
    held = session.debugger.breakpoints
    if not argument:
        raise UsageError("hits of what?", hint=f"hits {a_breakpoint(session.timeline)}")
    if argument.isdecimal():
        [number] = _numbers(session, argument, "hits")
        point = next(point for point in held.all() if point.number == number)
    else:
        point = held.parse(argument)
    found: list[Hit] = list(session.debugger.hits(point))
    if session.debugger.stopped:
        raise stopped_by_hand("hits")
    data = {"point": point.to_json(), "count": len(found), "hits": [hit.to_json() for hit in found]}

    def screen(_: Look) -> RenderableType:
        return hit_table(point.text, found[:HITS_SHOWN], len(found), session.place)

    return Answer(data=data, screen=screen)


STOPPING = (
    Command(
        name="break", short=("b",), argument="[KIND …] [if CONDITION]", help="stop where something holds",
        more=f"{KINDS} Example: break tool query_db if state.director.plan == None", run=_break,
    ),
    Command(name="tbreak", short=("tb",), argument="KIND …", help="stop there once", more=KINDS, run=_once),
    Command(
        name="watch", short=("wa",), argument="POINTER", help="stop where a value of the state changes",
        more="A JSON pointer into the state. Example: watch /memory/topic", run=_watch,
    ),
    Command(name="breakpoints", short=("bl", "info"), help="list breakpoints and watchpoints, and their stops so far", run=_list),
    Command(name="delete", short=("d",), argument="[NUMBERS]", help="delete breakpoints; all, if no number is said", run=_delete),
    Command(
        name="disable", short=("dis",), argument="[NUMBERS]", help="let breakpoints be, and keep them",
        run=lambda session, argument: _switch(session, argument, on=False),
    ),
    Command(
        name="enable", short=("en",), argument="[NUMBERS]", help="let them stop again",
        run=lambda session, argument: _switch(session, argument, on=True),
    ),
    Command(name="ignore", short=("ig",), argument="NUMBER TIMES", help="pass over the next hits of a breakpoint", run=_ignore),
    Command(
        name="hits", short=("h",), argument="NUMBER|KIND …", help="list every place where it holds, without going there",
        more="Example: hits regex timeout|429", run=_hits,
    ),
)  # fmt: skip
