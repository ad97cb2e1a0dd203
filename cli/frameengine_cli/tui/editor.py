"""The editor of a reply, a result, an input or a value of the state."""

from __future__ import annotations

from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import TextArea

from frameengine.codec import dumps
from frameengine.effects import Call, ModelCall, ModelReply, ToolReply, text_of
from frameengine.inputs import UserMessage
from frameengine.jsonvalue import Json, point
from frameengine.plaintext import visible, visible_json
from frameengine_cli import phrases
from frameengine_cli.look import QUIET, STRONG
from frameengine_cli.tui.bars import Bar
from frameengine_cli.tui.scene import Scene


def held(subject: str, scene: Scene) -> str:
    """Return what stands at a subject as text to edit.

    As it reads where all of it is visible, else as JSON with numbers for what is not: no text from outside is drawn as it is.
    """
    return _written(_value(subject, scene))


def request_of(call: Call) -> str:
    """Return what is asked as text to edit: the arguments of a tool, the text of the last message to a model."""
    effect = call.effect
    if isinstance(effect, ModelCall):
        return _written(text_of(effect.messages[-1]) if effect.messages else "")
    return _written(effect.arguments)


def _value(subject: str, scene: Scene) -> Json:
    if subject.startswith("/"):
        try:
            return point(scene.state, subject)
        except (KeyError, IndexError, TypeError):
            return None
    if subject == "input":
        body = scene.message.input.body if scene.message is not None else None
        return body.text if isinstance(body, UserMessage) else None
    made = scene.effects[int(subject.split()[1]) - 1]
    reply: Any = made.outcome.value
    if isinstance(reply, ModelReply):
        return reply.text if not reply.tool_calls else reply.message
    if isinstance(reply, ToolReply):
        return reply.content if reply.message is None else reply.message.get("content")
    return None


def _written(value: Json) -> str:
    if isinstance(value, str) and visible(value) == value:
        return value
    text = phrases.pretty(value)
    return text if visible(text) == text else visible_json(dumps(value).decode())


class Editor(ModalScreen[str | None]):
    """A text to change; None where it was left as it was."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s,f2", "keep", show=False, priority=True),
        Binding("escape", "drop", show=False, priority=True),
    ]

    def __init__(self, subject: str, text: str, keeps: str = "keeps it for a fork") -> None:
        """Show *text*; *keeps* says what becomes of it."""
        super().__init__()
        self._keeps = keeps
        self._subject = subject
        self._text = text

    def compose(self) -> ComposeResult:
        """Show the text."""
        with Vertical(id="editor"):
            yield Bar(id="editor-what")
            yield TextArea(self._text, soft_wrap=True, tab_behavior="indent", theme="css", id="text")
            yield Bar(id="editor-keys")

    def on_mount(self) -> None:
        """Say what it is, and how to go on."""
        self.query_one("#editor-what", Bar).say(("edit ", QUIET), (self._subject, STRONG), ("  text, or JSON", QUIET))
        keys = (("ctrl+s", STRONG), (f" {self._keeps}   ", QUIET), ("esc", STRONG), (" leaves it as it was", QUIET))
        self.query_one("#editor-keys", Bar).say(*keys)
        self.query_one(TextArea).focus()

    def action_keep(self) -> None:
        """End with the text."""
        text = self.query_one(TextArea).text
        self.dismiss(text if text != self._text else None)

    def action_drop(self) -> None:
        """End without it."""
        self.dismiss(None)
