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
from codecs import getincrementaldecoder
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

HANG_SECONDS = 120
"""A command that shows nothing new for this long waits for something that will not come."""
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07|\r")


def _own_terminal() -> None:
    """Make the terminal the process's own, so that Ctrl-C is a signal, and let a hang-up end it whoever started the tests."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


class Terminal:
    """A frameengine command whose stdin, stdout and stderr are one terminal."""

    def __init__(
        self,
        *arguments: str | Path,
        cwd: Path,
        columns: int = 100,
        lines: int = 40,
        env: Mapping[str, str] | None = None,
        program: Sequence[str] = ("-m", "frameengine_cli"),
    ) -> None:
        self._side, other = pty.openpty()
        fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.modes = termios.tcgetattr(self._side)
        """How the terminal was set before the command began."""
        kept = {name: value for name, value in os.environ.items() if name not in ("CI", "COLUMNS", "LINES", "NO_COLOR")}
        self.process = subprocess.Popen(
            [sys.executable, *program, *map(str, arguments)],
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
        self.raw = ""
        """All that it has written so far."""
        self._decode = getincrementaldecoder("utf-8")(errors="replace").decode
        self._seen = 0
        self.left = self.modes
        """How the terminal was set when the command had ended."""

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
        self.left = termios.tcgetattr(self._side)
        self.hang_up()
        return self.process.wait(HANG_SECONDS)

    def hang_up(self) -> None:
        """Close the terminal."""
        if self._side >= 0:
            os.close(self._side)
            self._side = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.hang_up()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

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
        text = self._decode(data)
        self.raw += text
        self.shown += _CONTROL.sub("", text)
        return bool(data)
