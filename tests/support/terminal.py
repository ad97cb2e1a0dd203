"""A program behind a real pseudo-terminal: type, and read what a person would."""

from __future__ import annotations

import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping, Sequence
from fcntl import ioctl
from pathlib import Path
from typing import Self

HANG_SECONDS = 60
"""A program that says nothing expected for so long waits for something that will not come."""
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]|[\x01\x02\x07]")
OWN_TERMINAL = "import os, sys; os.login_tty(0); os.execv(sys.argv[1], sys.argv[1:])"
"""Makes its stdin the terminal that Ctrl-C comes from, and goes on as another program."""


class Terminal:
    """A program, and the screen that it writes on."""

    def __init__(
        self, command: Sequence[str], folder: Path, environment: Mapping[str, str], *, columns: int = 80, lines: int = 24
    ) -> None:
        self._master, slave = pty.openpty()
        ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self._process = subprocess.Popen(
            [sys.executable, "-c", OWN_TERMINAL, *command],
            cwd=folder,
            env=dict(environment),
            stdin=slave,
            stdout=slave,
            stderr=slave,
        )
        os.close(slave)
        self._raw = ""
        self._seen = 0

    @property
    def text(self) -> str:
        """What was written so far, without escapes."""
        return ESCAPE.sub("", self._raw).replace("\r\n", "\n")

    def type(self, text: str) -> None:
        r"""Type *text*; ``\x03`` is Ctrl-C, ``\x04`` Ctrl-D."""
        os.write(self._master, text.encode())

    def expect(self, wanted: str) -> str:
        """Wait until *wanted* is written, after what was waited for before; return what stands between."""
        deadline = time.monotonic() + HANG_SECONDS
        while (found := self.text.find(wanted, self._seen)) < 0:
            assert self._read(deadline), f"{wanted!r} does not come after:\n{self.text}"
        before, self._seen = self.text[self._seen : found], found + len(wanted)
        return before

    def wait(self) -> int:
        """Read to the end and return the exit code."""
        deadline = time.monotonic() + HANG_SECONDS
        while self._read(deadline):
            pass
        return self._process.wait(HANG_SECONDS)

    def _read(self, deadline: float) -> bool:
        ready, _, _ = select.select([self._master], [], [], max(deadline - time.monotonic(), 0))
        try:
            data = os.read(self._master, 65_536) if ready else b""
        except OSError:  # the other side is closed
            data = b""
        self._raw += data.decode(errors="replace")
        return bool(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        os.close(self._master)
