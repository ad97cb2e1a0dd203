"""The conversation itself: a line is taken, said or carried out, until somebody leaves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from frameengine.errors import FrameEngineError
from frameengine.inputs import UserMessage
from frameengine_cli import output
from frameengine_cli.chatting import reading
from frameengine_cli.chatting.commands import completions, dispatch
from frameengine_cli.chatting.people import People
from frameengine_cli.chatting.session import Session
from frameengine_cli.failures import report

CHANNEL = "terminal"
"""Where messages come from, as the input's record says."""


class Talk:
    """A session and whoever types."""

    def __init__(self, session: Session, *, as_json: bool) -> None:
        self.session = session
        self.leaving = False
        """Whether this line was the last one."""
        self.interrupted = False
        """Whether somebody left by Ctrl-C."""
        self.refused = False
        """Whether a command was refused."""
        self._as_json = as_json
        self.prompts = reading.is_interactive() and not as_json
        """Whether somebody types at a terminal."""

    def run(self) -> None:
        """Take lines until one says to leave, or there are no more. Raises what ends the run in mid-message."""
        reading.prepare(lambda line: completions(self.session, line))
        lines = reading.lines(prompt=self.prompts)
        warned = False
        while not self.leaving:
            try:
                line = next(lines, None)
            except KeyboardInterrupt:
                if self.prompts:
                    output.write("\n")
                if warned or not self.prompts:
                    self.interrupted = True
                    return
                warned = True
                output.say("  Ctrl-C once more, Ctrl-D or /quit leaves")
                continue
            warned = False
            if line is None:
                if self.prompts:
                    output.write("\n")
                return
            if line.strip():
                self._take(line)

    def show(self, kind: str, members: dict[str, Any], screen: Callable[[], Any]) -> None:
        """Show what a command gave."""
        self.session.view.result(kind, members, screen)

    def note(self, kind: str, text: str, **members: Any) -> None:
        """Say something about the conversation in one line."""
        from frameengine_cli.look import QUIET, words

        self.show(kind, {"text": text, **members}, lambda: words((f"  {text}", QUIET)))

    def toggle_events(self) -> bool:
        """Show every event, or no longer; return which. Programs get them all the time."""
        view = self.session.view
        if not isinstance(view, People):
            return True
        view.watching = not view.watching
        return view.watching

    def _take(self, line: str) -> None:
        """Say a line, or carry it out; what is refused is told, and the conversation goes on."""
        if not self.prompts and not self._as_json:
            output.say(f"> {line}")
        with reading.cancelling(self.session.cancel) as presses:
            try:
                if line.startswith("/"):
                    dispatch(self, line)
                else:
                    self.session.send(UserMessage.of(line.strip(), channel=CHANNEL))
            except FrameEngineError as error:
                if self.session.engine.closed:
                    raise
                self.refused = True
                report(error, as_json=self._as_json)
        if presses() >= reading.LEAVES:
            self.leaving = self.interrupted = True
