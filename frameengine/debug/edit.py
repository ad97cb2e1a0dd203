"""Edits: changes of the past, written at a place of a timeline. The run stays as it is; a fork is made of it with them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, TypeAlias

from attrs import evolve, frozen

from frameengine.codec import dumps
from frameengine.debug import typed
from frameengine.debug.place import Place
from frameengine.debug.timeline import Timeline
from frameengine.effects import EffectKey, ModelReply, Outcome, ToolReply, text_of
from frameengine.errors import UsageError
from frameengine.inputs import Body, Input, UserMessage
from frameengine.jsonvalue import FrozenMap, Json, first_difference, thaw
from frameengine.plaintext import visible_line
from frameengine.replay.divergence import wired
from frameengine.state import Change
from frameengine.trace.messages import Made

SHOWN = 100
"""Code points of a value that an edit's text shows."""
_WHAT = re.compile(r"(?:(reply|result|error|input|put|delete)(?:\s+(.*))?|(/.*))", re.DOTALL)
_CALL = re.compile(r"(.+?)(?:\[([0-9]{1,9})\])?")
_KINDS = {"reply": "model", "result": "tool"}
_HOW_TO = "edit reply TEXT, edit result JSON, edit error TEXT, edit input TEXT, edit /POINTER JSON"


@frozen(kw_only=True)
class EditReply:
    """A call gets another outcome."""

    key: EffectKey
    """The call."""
    outcome: Outcome
    """What it gets."""
    effect: str
    """model or tool."""
    name: str
    """Name of the model or tool."""

    @property
    def place(self) -> Place:
        """The frame that the call is made in."""
        return Place(self.key.input, self.key.frame)

    @property
    def what(self) -> str:
        """reply, result or error."""
        return "error" if self.outcome.status == "error" else "reply" if self.effect == "model" else "result"

    @property
    def text(self) -> str:
        """The edit on one line, safe to show."""
        # Models reply in JSON: there it is a text as ever. What only begins like it may be a slip.
        usual = self.effect == "model" and self.outcome.status == "ok"
        return _line(f"{self.what} of {self.key} {self.name}".rstrip(), _said(self.outcome), usual_json=usual)

    def told(self) -> dict[str, Any]:
        """Return what the header of a fork says of it; what the call gets stands in the fork."""
        return {"kind": self.what, "key": self.key.wire()}

    def to_json(self) -> dict[str, Any]:
        """Return the edit as plain JSON."""
        outcome = thaw(wired(self.outcome.wire()))
        return {**self.told(), "effect": self.effect, "name": self.name, "outcome": outcome, "text": self.text}


@frozen(kw_only=True)
class EditInput:
    """An input brings something else."""

    number: int
    """Its number."""
    body: Body
    """What it brings."""
    place: Place
    """Where it comes in."""

    @property
    def text(self) -> str:
        """The edit on one line, safe to show."""
        data = wired(Input(number=self.number, body=self.body).wire())["data"]
        return _line(f"input {self.number}", self.body.text if isinstance(self.body, UserMessage) else data)

    def told(self) -> dict[str, Any]:
        """Return what the header of a fork says of it."""
        return {"kind": "input", "number": self.number, "place": str(self.place)}

    def to_json(self) -> dict[str, Any]:
        """Return the edit as plain JSON."""
        wire = thaw(wired(Input(number=self.number, body=self.body).wire()))
        assert isinstance(wire, dict)  # noqa: S101 - the wire form of an input is an object
        return {**self.told(), "type": wire["type"], "data": wire["data"], "text": self.text}


@frozen(kw_only=True)
class EditState:
    """The state is another one from a frame boundary on."""

    place: Place
    """The boundary."""
    changes: tuple[Change, ...]
    """What is changed there."""

    @property
    def text(self) -> str:
        """The edit on one line, safe to show."""
        said = [f"{change.at} deleted" if change.op == "delete" else _line(change.at, change.value) for change in self.changes]
        return f"state at {self.place}: {', '.join(map(visible_line, said))}"

    def told(self) -> dict[str, Any]:
        """Return what the header of a fork says of it."""
        return {"kind": "state", "place": str(self.place), "at": [change.at for change in self.changes]}

    def to_json(self) -> dict[str, Any]:
        """Return the edit as plain JSON."""
        return {**self.told(), "changes": [thaw(change.to_json()) for change in self.changes], "text": self.text}


Edit: TypeAlias = EditReply | EditInput | EditState


def same_thing(one: Edit, other: Edit) -> bool:
    """Return whether two edits are of one call, of one input, or of one value of the state at one place."""
    if isinstance(one, EditReply) and isinstance(other, EditReply):
        return one.key == other.key
    if isinstance(one, EditInput) and isinstance(other, EditInput):
        return one.number == other.number
    if isinstance(one, EditState) and isinstance(other, EditState):
        at, there = ([change.at for change in each.changes if change.op != "append"] for each in (one, other))
        return one.place == other.place and at == there != []
    return False


def parse_edit(timeline: Timeline, place: Place, what: str, value: str, *, key: EffectKey | None = None) -> Edit:
    """Return the edit that is written as *what* and *value* at a place.

    ======================  ==================================================================
    what                    value
    ======================  ==================================================================
    ``reply [CALL]``        a model's text, or its chat message as a JSON object
    ``result [CALL]``       a tool's result: JSON, or a text
    ``error [CALL]``        the message of a failure, or ``{"message", "type", "fields"}``
    ``input [NUMBER]``      a user's text, or the fields of the input as a JSON object
    ``/pointer``            JSON, or a text, of the type that is there
    ``put /pointer``        any JSON, or a text, also where nothing is; ``/list/-`` appends
    ``delete /pointer``     nothing
    ======================  ==================================================================

    A text in double quotes is the one that JSON reads there: ``""`` is an empty one, which nothing else is.

    CALL is the position of an effect in the frame, from 1, or its node, ``node[1]`` for a node's second; it may be left out where
    there is one to be meant: the one that has just arrived, or the only one. *key* names the call instead. Inside a frame the
    state is that of the boundary before it, which is what its nodes see. Raises `UsageError` where there is nothing of the kind,
    for a value of the wrong type, and for an edit that changes nothing; `UnknownRef` for a place that there is not.
    """
    timeline.index(place)
    matched = _WHAT.fullmatch(what.strip())
    if matched is None:
        raise UsageError(f"edit {what}: that cannot be changed", hint=_HOW_TO)
    kind, argument = matched[1] or "set", matched[2] or matched[3] or ""
    _check_given(kind, what.strip(), value)
    if kind in ("reply", "result", "error"):
        return _reply(_made(timeline, place, kind, argument, key), kind, value)
    if kind == "input":
        return _input(timeline, place, argument, value)
    boundary = place.boundary
    change = typed.state_change(timeline.state(boundary), kind, argument, value)
    return EditState(place=boundary, changes=(change,))


def _check_given(kind: str, what: str, value: str) -> None:
    """Raise `UsageError` where the value is missing, or stands where nothing may follow."""
    if kind == "delete" and value.strip():
        raise UsageError(f"edit {what} takes no value, and {visible_line(value)!r} follows it", hint=f"edit {what}")
    if kind != "delete" and not value.strip():
        raise UsageError(f"edit {what}: what is it to be?", hint=f'edit {what} VALUE; an empty text is ""')


def check_answered(made: Made) -> None:
    """Raise `UsageError` for a call that a Cancel cut off: nobody answered it, and answered it would not have been cut off."""
    if made.outcome.status == "cancelled":
        what = f"{made.key} was cut off by a Cancel: there is no outcome that could be another one"
        raise UsageError(what, hint="edit a call before it, or the state", key=made.key.wire())


def _reply(made: Made, kind: str, value: str) -> EditReply:
    check_answered(made)
    before, name = made.outcome, str(made.request.get("model" if made.effect == "model" else "name", ""))
    if kind == "error":
        outcome = Outcome(status="error", error=typed.failure(value), at=before.at)
    else:
        reply = typed.model_reply(before, value) if kind == "reply" else typed.tool_result(before, value)
        outcome = Outcome(value=reply, at=before.at)
    if _same(before, outcome):
        raise UsageError(f"{made.key} got just that: nothing would change", hint="write another value", key=made.key.wire())
    return EditReply(key=made.key, outcome=outcome, effect=made.effect, name=name)


def _same(before: Outcome, after: Outcome) -> bool:
    """Return whether a node would get the same; token counts, and a reason for the end that nobody knows, are not looked at."""
    if isinstance(before.value, ModelReply) and isinstance(after.value, ModelReply):
        ends = before.value.finish_reason in ("unknown", after.value.finish_reason)
        return ends and first_difference(before.value.message, after.value.message) is None
    return before.digest == after.digest


def _made(timeline: Timeline, place: Place, kind: str, argument: str, key: EffectKey | None) -> Made:
    """Return the call that is meant. Raises `UsageError`."""
    effects = timeline.effects(place) if place.frame else ()
    if not effects:
        raise UsageError(f"no effect was asked for at {place}", hint="step to a frame that has one; effects lists them")
    wanted = _KINDS.get(kind)
    if key is not None:
        found = [made for made in effects if made.key == key]
    elif argument:
        found = _written(effects, argument)
    elif place.effects:
        found = [effects[place.effects - 1]]
    else:
        found = [made for made in effects if wanted in (None, made.effect)]
    fitting = [made for made in found if wanted in (None, made.effect)]
    if len(fitting) == 1:
        return fitting[0]
    rows = [f"{number} {made.key.node}[{made.key.call}] {made.effect}" for number, made in enumerate(effects[:12], 1)]
    if found and not fitting:
        other = "result" if wanted == "model" else "reply"
        way = f"edit {other} #{effects.index(found[0]) + 1} {'TEXT' if other == 'reply' else 'JSON'}"
        raise UsageError(f"{found[0].key} is a {found[0].effect} call, which has no {kind}", hint=way, kind=kind)
    what = f"has {len(fitting)} effects that could be meant" if fitting else "has no such effect"
    raise UsageError(f"frame {place.whole} {what}", hint=f"edit {kind} #NUMBER; it has {', '.join(rows)}", kind=kind)


def _written(effects: Sequence[Made], argument: str) -> list[Made]:
    if argument.isdecimal():
        return list(effects[int(argument) - 1 : int(argument)]) if len(argument) < 10 and int(argument) else []
    matched = _CALL.fullmatch(argument)
    node, number = (matched[1], matched[2]) if matched else ("", None)
    return [made for made in effects if made.key.node == node and (number is None or made.key.call == int(number))]


def _input(timeline: Timeline, place: Place, argument: str, value: str) -> EditInput:
    if not place.message:
        raise UsageError("this is the start of the run: no input has come in", hint="next")
    known = timeline.message(place.message).entered
    found = [entered for entered in known if str(entered.number) == (argument or str(place.message))]
    if not found:
        listed = ", ".join([f"{entered.number} {entered.type}" for entered in known])
        raise UsageError(f"message {place.message} has no input {argument}", hint=f"it has {listed}", input=argument)
    entered = found[0]
    body = typed.input_body(entered, value)
    if first_difference(wired(entered.wire()), wired(evolve(entered, body=body).wire())) is None:
        raise UsageError(f"input {entered.number} brings just that: nothing would change", hint="write another value")
    during = entered.during
    where = Place(entered.number) if during is None else Place(during.input, during.frame)
    return EditInput(number=entered.number, body=body, place=where)


def _said(outcome: Outcome) -> Json:
    value = outcome.value
    if isinstance(value, ModelReply):
        return value.text if not value.tool_calls else value.message
    if isinstance(value, ToolReply):
        return text_of(value.message) if isinstance(value.message, FrozenMap) else value.content
    return "" if outcome.error is None else outcome.error.message


def _line(what: str, value: Json, *, usual_json: bool = False) -> str:
    """Return a value on one line; of a text that reads like JSON that it is one, unless that is usual and it is whole JSON."""
    said = visible_line(str(value) if isinstance(value, str) else dumps(value).decode())
    form = ""
    if isinstance(value, str) and typed.like_json(value):
        form = "" if usual_json and typed.is_json(value) else "the text "
    return f"{visible_line(what)}: {form}{said if len(said) <= SHOWN else said[: SHOWN - 1] + '…'}"
