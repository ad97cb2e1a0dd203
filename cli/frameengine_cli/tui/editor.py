"""The editor of a reply, a result, an input or a value of the state."""

from __future__ import annotations

from typing import ClassVar, Final

import attrs
from attrs import frozen
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import TextArea

from frameengine.codec import dumps
from frameengine.debug.edit import parse_edit
from frameengine.debug.typed import is_json, like_json
from frameengine.effects import Call, ModelCall, ModelReply, ToolReply, text_of
from frameengine.errors import FrameEngineError, UsageError
from frameengine.inputs import Body, Input, UserMessage
from frameengine.jsonvalue import FrozenMap, Json, freeze, point
from frameengine.plaintext import visible, visible_json
from frameengine_cli import phrases
from frameengine_cli.debugging.changing import await_fork
from frameengine_cli.debugging.session import Answer, Session
from frameengine_cli.look import BAD, QUIET, STRONG
from frameengine_cli.tui.bars import Bar
from frameengine_cli.tui.scene import Scene


@frozen(kw_only=True)
class Written:
    """A value as text to edit."""

    value: Json
    """The value; None where there is none so far."""
    text: str
    """How it stands in the editor."""
    coded: bool = False
    """Whether it is a text that stands there as JSON, since not all of it could be seen."""

    @classmethod
    def of(cls, value: Json) -> Written:
        """Write a value.

        As it reads where all of it is visible, else as JSON with numbers for what is not: no text from outside is drawn as it is.
        """
        if isinstance(value, str) and visible(value) == value:
            return cls(value=value, text=value)
        text = phrases.pretty(value)
        shown = text if visible(text) == text and not isinstance(value, str) else visible_json(dumps(value).decode())
        return cls(value=value, text=shown, coded=isinstance(value, str))

    def typed(self, text: str) -> str:
        """Return what was made of the text as an edit takes it: a text stays one, sign by sign, unless it is an object now.

        Raises `UsageError` for what is no JSON where JSON stood, or was meant.
        """
        if self.coded or (not isinstance(self.value, str) and like_json(text)):
            if not is_json(text):
                raise UsageError("this is no JSON, as which it stood there", hint="a text stands in double quotes")
            return text
        if text.lstrip().startswith("{") and is_json(text) and not is_json(str(self.value)):
            return text
        return dumps(text).decode()


NOTHING: Final = Written(value=None, text="")
"""Where JSON or a text may come, and nothing is so far."""


def held(subject: str, scene: Scene) -> Written:
    """Return what stands at a subject."""
    if subject.startswith("/"):
        try:
            return Written.of(point(scene.state, subject))
        except KeyError:
            return NOTHING
    kind, _, number = subject.partition(" ")
    if kind == "input":
        entered = _input(scene, number)
        return NOTHING if entered is None else Written.of(_brought(entered.body))
    reply = scene.effects[int(number) - 1].outcome.value
    if isinstance(reply, ModelReply):
        plain = not reply.tool_calls and isinstance(reply.message.get("content"), str | None)
        return Written.of(reply.text if plain else reply.message)
    if isinstance(reply, ToolReply):
        told = None if reply.message is None else reply.message.get("content")
        return Written.of(reply.content if reply.message is None else told if isinstance(told, str) else reply.message)
    return Written.of("") if kind == "reply" else NOTHING


def keep(session: Session, scene: Scene, subject: str, value: str) -> Answer:
    """Let an edit of what a scene shows at a subject wait for a fork. Raises as `parse_edit`.

    It does not go through a line, in which white space is no part of a value.
    """
    kind, _, number = subject.partition(" ")
    made = scene.effects[int(number) - 1] if kind in ("reply", "result") else None
    what, key = (subject, None) if made is None else (kind, made.key)
    edit = parse_edit(session.timeline, scene.place, what, value, key=key)
    return await_fork(session, edit)


def request_of(call: Call) -> Written:
    """Return what is asked: the arguments of a tool, the text of the last message to a model."""
    effect = call.effect
    if isinstance(effect, ModelCall):
        return Written.of(text_of(effect.messages[-1]) if effect.messages else "")
    return Written.of(effect.arguments)


def _input(scene: Scene, number: str) -> Input | None:
    """Return the input of the message, or by its number one that came in during it."""
    frames = scene.stretch.frames if scene.stretch else ()
    late = [each for shown in frames for each in (*(shown.step.late if shown.step else ()), *shown.behind)]
    return next((each for each in late if str(each.number) == number), None) if number else scene.entered


def _brought(body: Body) -> Json:
    """Return what an input brought: the words of a user, or its fields."""
    if isinstance(body, UserMessage):
        return body.text if isinstance(body.message.get("content"), str) else body.message
    fields: FrozenMap = freeze({field.name: getattr(body, field.name) for field in attrs.fields(type(body))})
    return fields


class Editor(ModalScreen[str | None]):
    """A value to change; ends with what is typed for it, None where it was left as it was."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s,f2", "keep", show=False, priority=True),
        Binding("escape", "drop", show=False, priority=True),
    ]

    def __init__(self, subject: str, written: Written, keeps: str = "keeps it for a fork") -> None:
        """Show a value; *keeps* says what becomes of it."""
        super().__init__()
        self._keeps = keeps
        self._subject = subject
        self._written = written

    def compose(self) -> ComposeResult:
        """Show the text."""
        with Vertical(id="editor"):
            yield Bar(id="editor-what")
            yield TextArea(self._written.text, soft_wrap=True, tab_behavior="indent", theme="css", id="text")
            yield Bar(id="editor-keys")

    def on_mount(self) -> None:
        """Say what it is, and how to go on."""
        form = "as JSON: not all of it could be seen" if self._written.coded else "text, or JSON"
        self.query_one("#editor-what", Bar).say(("edit ", QUIET), (self._subject, STRONG), (f"  {form}", QUIET))
        keys = (("ctrl+s", STRONG), (f" {self._keeps}   ", QUIET), ("esc", STRONG), (" leaves it as it was", QUIET))
        self.query_one("#editor-keys", Bar).say(*keys)
        self.query_one(TextArea).focus()

    def action_keep(self) -> None:
        """End with what was typed; stay where it cannot be taken, so that it is not lost."""
        text = self.query_one(TextArea).text
        if text == self._written.text:
            self.dismiss(None)
            return
        try:
            self.dismiss(self._written.typed(text))
        except FrameEngineError as error:
            self.query_one("#editor-what", Bar).say((error.message, f"{STRONG} {BAD}"), (f"  try: {error.hint}", QUIET))

    def action_drop(self) -> None:
        """End without it."""
        self.dismiss(None)
