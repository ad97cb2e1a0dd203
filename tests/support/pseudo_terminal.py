"""A command in a real pseudo-terminal: what it shows is waited for, keys are pressed, and its end is seen."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping
from pathlib import Path

HANG_SECONDS = 120
"""A command that shows nothing new for this long waits for something that will not come."""
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07|\r")


def _own_terminal() -> None:
    """Make the terminal the process's own, so that Ctrl-C is a signal, and let a hang-up end it whoever started the tests."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


class Terminal:
    """A frameengine command whose stdin, stdout and stderr are one terminal."""

    def __init__(self, *arguments: str | Path, cwd: Path, columns: int = 100, env: Mapping[str, str] | None = None) -> None:
        self._side, other = pty.openpty()
        fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        kept = {name: value for name, value in os.environ.items() if name not in ("CI", "COLUMNS", "LINES", "NO_COLOR")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "frameengine_cli", *map(str, arguments)],
            cwd=cwd,
            env={**kept, "TERM": "xterm-256color", **(env or {})},
            stdin=other,
            stdout=other,
            stderr=other,
            start_new_session=True,
            preexec_fn=_own_terminal,  # noqa: PLW1509 - what a shell does for a command of its own
        )
        os.close(other)
        self.shown = ""
        """All that it has shown so far, without colour."""
        self._seen = 0

    def wait_for(self, text: str) -> str:
        """Return what was shown since the last wait up to *text*, once that stands there."""
        while (found := self.shown.find(text, self._seen)) < 0:
            if not self._read():
                raise AssertionError(f"it ended without showing {text!r}:\n{self.shown[self._seen :]}")
        new, self._seen = self.shown[self._seen : found + len(text)], found + len(text)
        return new

    def press(self, key: str) -> None:
        """Type *key*."""
        os.write(self._side, key.encode())

    def answer(self, prompt: str, key: str) -> str:
        """Wait for *prompt*, type *key*, and return what stood before it."""
        shown = self.wait_for(prompt)
        self.press(key)
        return shown

    def end(self) -> int:
        """Read all that is still shown, and return the exit code."""
        while self._read():
            pass
        os.close(self._side)
        return self.process.wait(HANG_SECONDS)

    def _read(self) -> bool:
        ready, _, _ = select.select([self._side], [], [], HANG_SECONDS)
        if not ready:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"it waits:\n{self.shown[self._seen :]}")
        try:
            data = os.read(self._side, 1 << 16)
        except OSError:
            # Linux says so when the other side is closed.
            return False
        self.shown += _CONTROL.sub("", data.decode(errors="replace"))
        return bool(data)
