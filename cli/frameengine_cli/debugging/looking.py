"""Commands that look: at the place, the frame, its effects, the state, and who changed it."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType

from frameengine.debug.facts import check_names, facts
from frameengine.debug.history import changes, who
from frameengine.errors import FrameEngineError, UnknownRef, UsageError
from frameengine.expr import ExpressionMissing, compile_expression
from frameengine.jsonvalue import Json, point, pointer_step
from frameengine.trace.messages import Made, Step
from frameengine_cli import phrases
from frameengine_cli.debugging.command import Command, no_argument, number_of, pointer_of
from frameengine_cli.debugging.screens import (
    change_table,
    effect_list,
    found_line,
    message_table,
    noted,
    one_change,
    slot,
    state_rows,
    stopped,
    value,
)
from frameengine_cli.debugging.searching import search
from frameengine_cli.debugging.session import Answer, Session, stopped_by_hand
from frameengine_cli.look import Look
from frameengine_cli.screens import frame as frame_screen
from frameengine_cli.screens.timeline import timeline as timeline_screen

EFFECTS_LISTED = 12
"""Effects that are named where there is no such one."""
MESSAGES_AROUND = 8
"""Messages before and behind this one that `messages` shows."""


def _where(session: Session, argument: str) -> Answer:
    no_argument(argument, "where")
    data = {"where": session.place.to_json(), "last": session.timeline.last.to_json()}
    return Answer(data=data, screen=lambda look: stopped(session, None, look))


def _frame(session: Session, argument: str) -> Answer:
    no_argument(argument, "frame")
    step, message = session.frame(), session.message()
    ended = [] if session.place.effects is None else [noted(f"{session.place} lies inside it: this is how it ended")]
    data = {"frame": step.to_json()}
    return Answer(data=data, screen=lambda look: Group(frame_screen.frame(message, step, look), *ended))


def _list(session: Session, argument: str) -> Answer:
    number = number_of(argument, "list", session.place.message or 1, what="number of a message")
    message = session.timeline.message(number)
    return Answer(data={"message": message.to_json()}, screen=lambda look: timeline_screen(message, look))


def _messages(session: Session, argument: str) -> Answer:
    no_argument(argument, "messages")
    listed = session.timeline.messages
    here = session.place.message
    first = max(0, here - 1 - MESSAGES_AROUND)
    around = listed[first : here + MESSAGES_AROUND]
    data = {"count": len(listed), "messages": [row.to_json() for row in listed]}
    return Answer(data=data, screen=lambda look: message_table(around, here, len(listed), look))


def _member(name: str) -> Any:
    """Return a command that shows a member of the frame's records."""

    def run(session: Session, argument: str) -> Answer:
        step = session.frame() if name == "input" else _ended(session, name)
        records = [record for record in step.records if not argument or record["node"] == argument]
        if not records:
            ways = " or ".join([f"{name} {record['node']}" for record in step.records])
            raise UsageError(f"no node {argument!r} ran in this frame", hint=ways, node=argument)
        found = [(str(record["node"]), record.get(name)) for record in records]

        def screen(_: Look) -> RenderableType:
            return Group(*[value(node, held) for node, held in found])

        return Answer(data={name: [{"node": node, name: held} for node, held in found]}, screen=screen)

    return run


def _ended(session: Session, name: str) -> Step:
    """Return the frame, which has ended here. Raises `UsageError` inside it, where it has left nothing behind so far."""
    step = session.frame()
    if session.place.effects is not None:
        raise UsageError(f"{session.place} lies inside the frame: {name} come with its end", hint="step")
    return step


def _effects(session: Session, argument: str) -> Answer:
    no_argument(argument, "effects")
    every = session.effects()
    come = every[: session.place.effects]
    data = {"effects": [made.to_json() for made in come], "outstanding": len(every) - len(come)}
    return Answer(data=data, screen=lambda _: effect_list(come, len(every) - len(come)))


def effect(session: Session, argument: str, command: str) -> Made:
    """Return the effect that is typed, by the number of its arrival, ``#1``, or as it stands in places and hits, ``tools[0]``.

    The newest that has arrived, where none is typed.

    Raises `UsageError` where there is none.
    """
    come = session.effects()[: session.place.effects]
    if not come:
        raise UsageError("this frame has no effect whose outcome has arrived", hint="effects, or into")
    names = [str(number) for number in range(1, len(come) + 1)]
    said = argument.removeprefix("#") or names[-1]
    for number, made in zip(names, come, strict=True):
        if said in (number, slot(made)):
            return made
    listed = ", ".join([f"#{number} {slot(made)}" for number, made in zip(names, come, strict=True)][:EFFECTS_LISTED])
    raise UsageError(f"{command} {argument}: the frame has no such effect", hint=f"it has {listed}", effect=argument)


def _effect(session: Session, argument: str) -> Answer:
    made = effect(session, argument, "effect")
    return Answer(data={"effect": made.to_json()}, screen=lambda _: frame_screen.call(made))


def _state(session: Session, argument: str) -> Answer:
    sections = session.timeline.state(session.place).sections
    argument = argument and pointer_of(argument)
    try:
        held: Json = point(sections, argument)
    except (KeyError, IndexError, TypeError):
        known = ", ".join(_sections(session)) or "none"
        raise UnknownRef(f"the state has nothing at {argument!r} here", hint=f"its sections are {known}", at=argument) from None
    doubt = session.timeline.doubt(session.place)
    data = {"at": argument, "value": held, "doubt": doubt or None}
    shown = value(argument, held) if argument else state_rows(sections)
    return Answer(data=data, screen=lambda _: Group(shown, *doubts(doubt)))


def doubts(doubt: str) -> list[RenderableType]:
    """Return the line that says why the state may be another one than the run had; none where it is known."""
    return [noted(f"the state may be another one than the run had: {doubt}")] if doubt else []


def _changes(session: Session, argument: str) -> Answer:
    if argument:
        pointer = pointer_of(argument)
        found = list(changes(session.timeline, pointer))
        doubt = session.timeline.doubt(found[-1].place if found else session.timeline.last)
        data = {"at": pointer, "changes": [change.to_json() for change in found], "doubt": doubt or None}
        return Answer(data=data, screen=lambda _: Group(change_table(pointer, found, session.place), *doubts(doubt)))
    records = _ended(session, "changes").records
    lines = [f"{record['node']}: {line}" for record in records for line in phrases.changes_line(record.get("changes", ()))]
    data = {"changes": [{"node": record["node"], "changes": record.get("changes", ())} for record in records]}
    return Answer(data=data, screen=lambda _: noted("\n".join(lines) or "the frame changed nothing"))


def _who(session: Session, argument: str) -> Answer:
    if not argument:
        raise UsageError("who changed what?", hint=f"who {session.section()}")
    pointer = pointer_of(argument)
    found = who(session.timeline, pointer, session.place)
    doubt = session.timeline.doubt(session.place if found is None else found.place)
    data = {"at": pointer, "changed": None if found is None else found.to_json(), "doubt": doubt or None}
    return Answer(data=data, screen=lambda _: Group(one_change(pointer, found), *doubts(doubt)))


def _print(session: Session, argument: str) -> Answer:
    if not argument:
        raise UsageError("print what?", hint=f"print {session.section()}, or print len(state)")
    if argument.startswith("/"):
        return _state(session, argument)
    expression = compile_expression(argument)
    check_names(expression)
    names = facts(session.timeline, session.place)
    try:
        result = expression.evaluate(names)
    except ExpressionMissing as error:
        if "calls" in expression.names and not names.get("calls"):
            other = "; effects lists those of other nodes" if session.timeline.effects(session.place) else ""
            error.hint = f"{names.get('node', 'no node')} has no calls at {session.place}{other}"
        raise
    doubt = session.timeline.doubt(session.place) if {"state", "before"} & {*expression.names} else ""
    data = {"expression": argument, "value": result, "doubt": doubt or None}
    return Answer(data=data, screen=lambda _: Group(value(argument, result), *doubts(doubt)))


def _display(session: Session, argument: str) -> Answer:
    if not argument:
        rows = list(session.shown)
        return Answer(data={"display": rows}, screen=lambda _: noted("\n".join(rows) or "nothing is shown at each stop"))
    check_names(compile_expression(argument))
    if argument not in session.shown:
        session.shown.append(argument)
    return Answer(data={"display": list(session.shown)}, screen=lambda _: noted(f"{argument} is shown at each stop"))


def _undisplay(session: Session, argument: str) -> Answer:
    if argument and argument not in session.shown:
        raise UsageError(f"{argument} is not shown", hint="display lists what is")
    session.shown[:] = [text for text in session.shown if argument and text != argument]
    return Answer(data={"display": list(session.shown)})


def _search(session: Session, argument: str) -> Answer:
    back = argument.startswith("?")
    text = argument.lstrip("?").strip() or session.found
    if not text:
        raise UsageError("search for what?", hint="search timeout, or search ? timeout to look backwards")
    session.found = text
    found = search(session, text, back=back)
    if session.debugger.stopped:
        raise stopped_by_hand("search")
    if found is None:
        way, other = ("before this place", f"search {text}") if back else ("after this place", f"search ? {text}")
        raise UnknownRef(f"{text!r} stands nowhere {way}", hint=f"{other} looks the other way", text=text)
    stop = session.debugger.go(found.place)
    return Answer(data={**stop.to_json(), "found": found.to_json()}, stop=stop, screen=lambda _: found_line(found))


def _sections(session: Session) -> list[str]:
    return [f"/{pointer_step(name)}" for name in session.timeline.state(session.place).sections]


LOOKING = (
    Command(name="where", short=("w", "bt"), help="say where this is", run=_where),
    Command(name="list", short=("l",), argument="[MESSAGE]", help="show this message, frame by frame", run=_list),
    Command(name="messages", short=("ms",), help="list the messages around this one", run=_messages),
    Command(name="frame", short=("f",), help="show the frame whole: nothing is cut", run=_frame),
    Command(name="input", short=("in",), argument="[NODE]", help="show what the frame's nodes were given", run=_member("input")),
    Command(name="output", short=("out",), argument="[NODE]", help="show what they returned", run=_member("output")),
    Command(name="emissions", short=("em",), argument="[NODE]", help="show what they showed the user", run=_member("emissions")),
    Command(name="effects", short=("e",), help="list the frame's effects in order of arrival", run=_effects),
    Command(
        name="effect", short=("ef",), argument="[NUMBER]", help="show one whole: request and outcome", run=_effect,
        more="By the number of its arrival, or its node and its place among that one's calls, from 0. Example: effect tools[0]",
    ),
    Command(
        name="state", short=("st",), argument="[POINTER]", help="show the state here, or a part of it", run=_state,
        complete=_sections, more="Example: state /memory/topic",
    ),
    Command(
        name="changes", short=("ch",), argument="[POINTER]", help="show what the frame changed, or every change of a value",
        run=_changes, complete=_sections,
    ),
    Command(
        name="who", argument="POINTER", help="say what changed a value last, and where", run=_who, complete=_sections,
        more="Example: who /director/plan",
    ),
    Command(
        name="print", short=("p",), argument="EXPRESSION", help="work out an expression here", run=_print,
        more="The names are those of a breakpoint's condition: state, before, node, input, output, calls, … "
        "Example: print len(state.history)",
    ),
    Command(name="display", short=("disp",), argument="[EXPRESSION]", help="show its value at every stop", run=_display),
    Command(name="undisplay", argument="[EXPRESSION]", help="show it no more", run=_undisplay),
    Command(
        name="search", short=("/",), argument="[?] TEXT", help="go to the next frame that has a text; with ? to the one before",
        more="In inputs, requests, replies, outputs, emissions, changes. Without a text it goes on. Example: search 429",
        run=_search, repeats=True,
    ),
)  # fmt: skip


def displayed(session: Session) -> list[tuple[str, Json, str]]:
    """Return the expressions that are shown at each stop, with their values, or with what is wrong with them here."""
    rows: list[tuple[str, Json, str]] = []
    names = facts(session.timeline, session.place) if session.shown else {}
    for text in session.shown:
        try:
            rows.append((text, compile_expression(text).evaluate(names), ""))
        except FrameEngineError as error:
            rows.append((text, None, error.message))
    return rows
