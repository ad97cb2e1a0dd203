"""The line mode: one command a line, from a person, a file or a program."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import current_thread, main_thread
from typing import Any

from frameengine.errors import FrameEngineError, UsageError
from frameengine_cli import output
from frameengine_cli.chatting.reading import is_interactive
from frameengine_cli.debugging.command import find, split
from frameengine_cli.debugging.commands import COMMANDS, completions, dispatch, screen
from frameengine_cli.debugging.hangup import ending_with_the_terminal, unwind
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

    def run(self, lines: Iterable[str]) -> None:
        """Do what *lines* say, until they end or one of them leaves."""
        for line in lines:
            if line.strip().startswith("#"):
                continue
            # Only somebody who types means "once more" by an empty line; in a file it stands between two things.
            if self.do(line.strip() or (self.last if is_interactive() else "")):
                return

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
            path = self.session.timeline.path
            output.remark(f"{path} is no longer the run that is open: {changed}. What was read stays in sight; open it again")
        self._changed = changed

    def _show(self, line: str, answer: Answer) -> None:
        if self.as_json:
            members = {"command": line, "place": self.session.place.to_json(), **answer.data}
            output.document(members, ok=not answer.code)
            sys.stdout.flush()
            return
        shown = screen(self.session, answer, output.look())
        if shown is not None:
            output.show(shown)
            sys.stdout.flush()

    def _fail(self, line: str, error: FrameEngineError) -> None:
        self.code = error.exit_code
        if self.as_json:
            output.document({"command": line, "place": self.session.place.to_json(), "error": error_members(error)}, ok=False)
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


def typed_lines(session: Session) -> Iterator[str]:
    """Yield the lines that a person types, with history and completion; or those of a pipe."""
    reconfigure = getattr(sys.stdin, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")
    if not is_interactive():
        yield from (line.rstrip("\n") for line in sys.stdin)
        return
    with _editing(session):
        while True:
            try:
                yield input(f"({session.place}) ")
            except EOFError:
                output.say("")
                return
            except KeyboardInterrupt:
                output.remark("\nquit leaves")


@contextmanager
def _editing(session: Session) -> Iterator[None]:
    """Let lines be edited, completed and called back, those of the last time too."""
    try:
        import readline
    except ImportError:
        yield
        return
    history = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "frameengine" / "debug_history"
    with suppress(OSError):
        readline.read_history_file(history)
    readline.set_completer_delims(" \t\n")
    readline.set_completer(lambda _, index: (*completions(session, readline.get_line_buffer()), None)[index])
    libedit = "libedit" in (readline.__doc__ or "")
    readline.parse_and_bind("bind ^I rl_complete" if libedit else "tab: complete")
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
