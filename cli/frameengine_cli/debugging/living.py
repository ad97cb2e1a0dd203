"""Commands of a run under way: say something, and decide on what its nodes ask."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import evolve
from rich.console import Group, RenderableType
from rich.padding import Padding

from frameengine.debug.pause import Decision, Fail, Skip, typed_answer, typed_failure, typed_request
from frameengine.debug.stop import Stop
from frameengine.effects import Call, Effect, Outcome, plain
from frameengine.errors import UsageError
from frameengine.inputs import UserMessage
from frameengine.jsonvalue import freeze
from frameengine.trace.messages import Made
from frameengine_cli import phrases
from frameengine_cli.debugging.command import Command, no_argument
from frameengine_cli.debugging.live import LOOK_SECONDS, PAUSES, LiveRun, pauses_of
from frameengine_cli.debugging.screens import noted
from frameengine_cli.debugging.session import Answer, Session
from frameengine_cli.look import BAD, MODEL, QUIET, STRONG, TOOL, Look, words
from frameengine_cli.screens import frame as frame_screen
from frameengine_cli.screens.timeline import answer as answer_of
from frameengine_cli.screens.timeline import timeline as timeline_screen

HELD = "‖"
"""Stands before what waits for a person."""
WAYS = "approve · send JSON · answer TEXT · skip · fail TEXT · cancel"
KEYS = "a approve · E edit and send · A answer by hand · x skip · X fail · ctrl+c cancel"
"""The same on the screen."""


def live_of(session: Session) -> LiveRun:
    """Return the run under way. Raises `UsageError` where the session looks at a recorded one."""
    if session.live is None:
        raise UsageError("this run is a recorded one: it cannot be talked to", hint="frameengine debug --graph NAME")
    return session.live


def reached(session: Session, stop: Stop) -> Answer:
    """Go to where the run has come to, and return what there is to see: the call that waits, or the message that has ended."""
    live = live_of(session)
    session.debugger.go(stop.where)
    data = {**stop.to_json(), "under_way": live.under_way, "asks": None if live.asking is None else asked_json(live.asking)}
    call, number = live.asking, stop.where.message
    if call is not None:
        return Answer(data=data, stop=stop, screen=lambda _: asks(call, ways=WAYS if live.waits else KEYS))
    if live.under_way or not number:
        note = f"{HELD} the frame is over; approve begins the next"
        return Answer(data=data, stop=stop, screen=(lambda _: noted(note)) if live.between else None)
    message = session.timeline.message(number)
    data["message"] = {"number": number, "path": message.path, "status": message.status, "answer": answer_of(message)}
    if not live.waits:
        return Answer(data=data, stop=stop)
    return Answer(data=data, stop=stop if stop.hits else None, screen=lambda look: timeline_screen(message, look))


def followed(session: Session) -> Answer | None:
    """Return what a run under way has come to meanwhile; None where nothing is new."""
    stop = live_of(session).look(LOOK_SECONDS)
    return None if stop is None else reached(session, stop)


def asked_json(call: Call) -> dict[str, Any]:
    """Return a call that waits as plain JSON."""
    return {"key": call.key.wire(), "effect": call.effect.kind, "request": plain(call.effect)}


def made_of(call: Call) -> Made:
    """Return a call that waits as one that has no outcome so far."""
    return Made(key=call.key, effect=call.effect.kind, request=plain(call.effect), outcome=Outcome(status="not_recorded"))


def asks(call: Call, *, ways: str = WAYS, whole: bool = False) -> RenderableType:
    """Return a call that waits, and what can be done about it; of a model's messages the last one, unless *whole*."""
    sign = MODEL if call.effect.kind == "model" else TOOL
    head = words((f"{HELD} ", BAD), (f"{call.key} asks  ", STRONG), (f"{sign} {call.effect.name}", ""))
    made = made_of(call)
    parts = [head]
    listed = made.request.get("messages", ())
    if len(listed) > 1 and not whole:
        earlier = phrases.count(len(listed) - 1, "message")
        parts.append(words((f"  {earlier} before this one: asks shows them", QUIET)))
        made = evolve(made, request=freeze({"messages": listed[-1:]}))
    body = Padding(frame_screen.request(made), (0, 0, 0, 2 if call.effect.kind == "tool" else 0))
    return Group(*parts, body, words((f"  {ways}", QUIET)))


def _moves(session: Session, act: Callable[[LiveRun], None]) -> Answer:
    """Let the run go on, and return where it is held next."""
    live = live_of(session)
    act(live)
    if not live.waits:
        return Answer(data={"under_way": True})
    return reached(session, live.until_held())


def _say(session: Session, argument: str) -> Answer:
    if not argument and not live_of(session).inputs:
        raise UsageError("say what?", hint="say How many customers do we have?")

    def enter(live: LiveRun) -> None:
        live.begin(UserMessage.of(argument) if argument else live.inputs[0])
        if not argument:
            del live.inputs[0]

    return _moves(session, enter)


def _approve(session: Session, argument: str) -> Answer:
    no_argument(argument, "approve")
    return _moves(session, LiveRun.go_on)


def _decided(make: Callable[[Effect, str], Decision], needs: str = "") -> Callable[[Session, str], Answer]:
    """Return a command that decides on the call that waits; *needs* is an example of what must follow it."""

    def run(session: Session, argument: str) -> Answer:
        call = live_of(session).asked()
        if needs and not argument:
            raise UsageError("with what?", hint=needs)
        decision = make(call.effect, argument)
        return _moves(session, lambda live: live.decide(decision))

    return run


def _skip(_: Effect, argument: str) -> Skip:
    no_argument(argument, "skip")
    return Skip()


def _fail(_: Effect, argument: str) -> Fail:
    return typed_failure(argument)


def _cancel(session: Session, argument: str) -> Answer:
    no_argument(argument, "cancel")
    return _moves(session, LiveRun.cancel)


def _pause(session: Session, argument: str) -> Answer:
    live = live_of(session)
    if argument:
        live.pauses = pauses_of(argument)
    where = {"effects": "before every effect", "frames": "behind every frame", "off": "at breakpoints only"}[live.pauses]
    return Answer(data={"pause": live.pauses}, screen=lambda _: noted(f"the run is held {where}"))


def _asks(session: Session, argument: str) -> Answer:
    no_argument(argument, "asks")
    call = live_of(session).asking
    data = {"asks": None if call is None else asked_json(call)}

    def screen(_: Look) -> RenderableType:
        return noted("no effect waits for a decision") if call is None else asks(call, whole=True)

    return Answer(data=data, screen=screen)


LIVING = (
    Command(
        name="say", argument="[TEXT]", help="say something to a run under way",
        more="Without a text the next input of the scenario enters. Example: say How many customers do we have?", run=_say,
    ),
    Command(
        name="pause", argument="[effects|frames|off]", help="hold the run before every effect, behind every frame, or not",
        more="Breakpoints hold it besides: those on nodes, models, tools and texts before the effect is done.", run=_pause,
        complete=lambda _: list(PAUSES),
    ),
    Command(name="asks", help="show the effect that waits for a decision, whole", run=_asks),
    Command(name="approve", short=("a",), help="let it be done as it is asked; behind a frame, begin the next", run=_approve),
    Command(
        name="send", argument="JSON|TEXT", help="let another request be done in its place",
        more="Of a tool its arguments, of a model members of the request, or a text in the place of the last message's. The "
        'trace keeps what the node asked, and this beside. Example: send {"query": "SELECT 1", "database": "billing"}',
        run=_decided(typed_request, 'send {"query": "SELECT 1", "database": "billing"}'),
    ),
    Command(
        name="answer", argument="JSON|TEXT", help="give the reply, or the result, by hand: nothing is done",
        more='As edit takes it. Example: answer {"intent": "question"}', run=_decided(typed_answer, "answer It is 12."),
    ),
    Command(name="skip", help="do nothing, and give back nothing: an empty text, or null", run=_decided(_skip)),
    Command(
        name="fail", argument="[TEXT|JSON]", help="do nothing, and let the node see it fail",
        more='Its message, or {"message": …, "type": …, "fields": …}. Example: fail no answer after 30 s', run=_decided(_fail),
    ),
    Command(name="cancel", help="cancel the message under way", run=_cancel),
)  # fmt: skip
