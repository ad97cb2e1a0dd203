"""The line mode: one command a line, from a person, a file or a program."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import current_thread, main_thread
from typing import Any

from rich.console import Group

from frameengine.errors import FrameEngineError, UsageError
from frameengine_cli import output
from frameengine_cli.chatting.reading import is_interactive, prepare
from frameengine_cli.debugging.command import find, split
from frameengine_cli.debugging.commands import COMMANDS, completions, dispatch
from frameengine_cli.debugging.hangup import ending_with_the_terminal, unwind
from frameengine_cli.debugging.looking import displayed
from frameengine_cli.debugging.screens import shown_rows, stopped
from frameengine_cli.debugging.session import Answer, Session
from frameengine_cli.failures import Interrupted, defect, error_members, report

HISTORY_MAX = 1_000
"""Lines that are remembered for the next time."""


class Lines:
    """Does what lines say, one after another."""

    def __init__(self, session: Session, *, as_json: bool) -> None:
        self.session = session
        self.as_json = as_json
        self.code = 0
        """Exit code of the last command that failed; 0 where none did."""
        self.last = ""
        """The last line that an empty one repeats."""
        self._changed = ""

    def run(self, given: Sequence[str] = ()) -> None:
        """Do what lines say, those that are *given* or else those from stdin, until they end or one of them leaves.

        Where nobody has typed them they are shown before what they give, so that a log can be read.
        """
        typed = not given and is_interactive()
        for line in given or self._lines():
            said = line.strip()
            if said.startswith("#"):
                continue
            if typed:
                # Only somebody who types means "once more" by an empty line; in a file it stands between two things.
                said = said or self.last
            elif said and not self.as_json:
                output.say(f"{self._prompt()}{said}")
                sys.stdout.flush()
            if self.do(said):
                return

    def _lines(self) -> Iterator[str]:
        """Yield the lines that a person types, with history and completion; or those of a pipe."""
        prepare(lambda line: list(completions(self.session, line)))
        if not is_interactive():
            yield from (line.rstrip("\n") for line in sys.stdin)
            return
        with _history():
            while True:
                try:
                    yield input(self._prompt())
                except EOFError:
                    output.say("")
                    return
                except KeyboardInterrupt:
                    held = self.session.live is not None and self.session.live.under_way
                    output.remark("\ncancel ends the message under way, quit leaves" if held else "\nquit leaves")

    def _prompt(self) -> str:
        return f"({self.session.place}) "

    def do(self, line: str) -> bool:
        """Do what one line says; return whether it leaves."""
        if not line:
            return False
        self._warn()
        try:
            with stopping(self.session.interrupt), ending_with_the_terminal(unwind):
                answer = dispatch(self.session, line)
                self._show(line, answer)
                self.code = answer.code or self.code
        except FrameEngineError as error:
            self._fail(line, error)
            return False
        except KeyboardInterrupt:
            if not is_interactive():
                raise
            # The second Ctrl-C: what a person has set up, and the edits that wait, stay.
            self._fail(line, Interrupted(f"{line} was broken off", hint="where says where this is; quit leaves"))
            return False
        except BrokenPipeError:
            raise
        except Exception as error:  # noqa: BLE001 - a defect in one command does not take the session, and its edits, with it
            self._fail(line, defect(error))
            return False
        word, _ = split(line)
        with suppress(UsageError):
            self.last = line if find(COMMANDS, word).repeats else ""
        return answer.leave

    def _warn(self) -> None:
        """Say once that the file is no longer the run that is open."""
        changed = self.session.timeline.changed_on_disk()
        if changed and changed != self._changed:
            name = self.session.source.name
            output.remark(f"{name} is no longer the run that is open: {changed}. What was read stays in sight; open it again")
        self._changed = changed

    def _show(self, line: str, answer: Answer) -> None:
        session, look = self.session, output.look()
        rows = displayed(session) if answer.stop is not None else []
        if self.as_json:
            members = {**self._members(line), **answer.data}
            if rows:
                members["display"] = [{"expression": text, "value": held, "error": wrong or None} for text, held, wrong in rows]
            output.document(members, ok=not answer.code)
        else:
            parts = [] if answer.stop is None else [stopped(session, answer.stop, look)]
            parts += [] if answer.screen is None else [answer.screen(look)]
            parts += [shown_rows(rows)] if rows else []
            if parts:
                output.show(Group(*parts))
        sys.stdout.flush()

    def _members(self, line: str) -> dict[str, Any]:
        """Return what every document has: the command, the place behind it, and of a damaged run what is wrong with the rest."""
        problem, live = self.session.timeline.problem, self.session.live
        members = {"command": line, "place": self.session.place.to_json()}
        return members if problem is None or live is not None else {**members, "damaged": error_members(problem)}

    def _fail(self, line: str, error: FrameEngineError) -> None:
        self.code = error.exit_code
        if self.as_json:
            output.document({**self._members(line), "error": error_members(error)}, ok=False)
            sys.stdout.flush()
        else:
            report(error, as_json=False)


@contextmanager
def stopping(stop: Callable[[], None]) -> Iterator[None]:
    """Let Ctrl-C end the move under way; the second one ends the command, wherever it is."""
    if current_thread() is not main_thread():
        yield
        return
    pressed = False

    def interrupted(*_: Any) -> None:
        nonlocal pressed
        if pressed:
            raise KeyboardInterrupt
        pressed = True
        stop()

    before = signal.signal(signal.SIGINT, interrupted)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _history() -> Iterator[None]:
    """Let lines of the last time be called back, and keep those of this one."""
    try:
        import readline
    except ImportError:
        yield
        return
    history = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "frameengine" / "debug_history"
    with suppress(OSError):
        readline.read_history_file(history)
    try:
        yield
    finally:
        readline.set_completer(None)
        # Where nothing can be kept, nothing is lost but the comfort.
        with suppress(OSError):
            history.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            readline.set_history_length(HISTORY_MAX)
            readline.write_history_file(history)
            history.chmod(0o600)
