"""Regular expressions with a bound: Python's can take for ever on some texts, and nothing in the same process can end them."""

from __future__ import annotations

import signal
import subprocess
import sys
import weakref
from collections.abc import Sequence
from contextlib import suppress
from threading import Lock
from typing import Final

from frameengine.debug import pattern_child
from frameengine.debug.pattern_child import ANSWER, NONE, packed
from frameengine.errors import InternalError, UsageError

SECONDS: Final = 1.0
"""Time of the processor that the texts of one effect may take."""
ALL_SECONDS: Final = 5.0
"""Time that a pattern may lose in all on what is slow: one that takes for ever costs no more, however long the run is."""
LEAST: Final = 0.001
"""What is less than this is nothing: a timer that is set to no microsecond never ends."""
BYTES_A_SECOND: Final = 1 << 20
"""What takes no longer than this is not slow. Usual patterns take a tenth of it."""


class OutOfTime(Exception):
    """A pattern takes too long on a text."""


class Pattern:
    """A pattern, and a process that looks for it."""

    def __init__(self, pattern: str) -> None:
        """Take a pattern that compiles. The process begins when something is asked."""
        self._pattern = pattern
        self._left = ALL_SECONDS
        self._process: subprocess.Popen[bytes] | None = None
        # A run under way asks in its own thread.
        self._lock = Lock()

    def first(self, texts: Sequence[str]) -> int | None:
        """Return the position of the first text that has the pattern; None where none has.

        Raises `OutOfTime`, and `UsageError` once that and what else was slow has taken `ALL_SECONDS`.
        """
        if not texts:
            return None
        with self._lock:
            return self._first(texts)

    def _first(self, texts: Sequence[str]) -> int | None:
        if self._left < LEAST:
            raise self._refused()
        seconds = min(SECONDS, self._left)
        batch = packed(texts, seconds)
        try:
            answer = self._asked(batch)
        except BaseException:
            # Whoever breaks this off leaves a process in the midst of an answer.
            self._end()
            raise
        if len(answer) < ANSWER.size:
            code = self._end()
            if code != -signal.SIGVTALRM:
                raise InternalError(f"the process that looks for a pattern ended with {code}", hint="please report it")
            self._left -= seconds
            raise self._refused() if self._left < LEAST else OutOfTime
        took, found = ANSWER.unpack(answer)
        self._left -= max(took - len(batch) / BYTES_A_SECOND, 0)
        return None if found == NONE else int(found)

    def _refused(self) -> UsageError:
        what = f"regex {self._pattern}: this pattern takes too long: it has had {ALL_SECONDS:g} seconds of the processor"
        return UsageError(what, hint="delete it; one without a repetition inside another is fast, and so is: text TEXT")

    def _asked(self, batch: bytes) -> bytes:
        process = self._process
        if process is None:
            process = self._process = subprocess.Popen(  # noqa: S603 - our own interpreter, our own program
                [sys.executable, "-I", "-S", pattern_child.__file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                # Ctrl-C, and a terminal that is closed, are for this process.
                process_group=0,
            )
            weakref.finalize(self, _ended, process)
            batch = packed([self._pattern]) + batch
        if process.stdin is None or process.stdout is None:
            raise InternalError("a pattern has no pipes", hint="please report it")
        try:
            process.stdin.write(batch)
            process.stdin.flush()
        except BrokenPipeError:
            return b""
        return process.stdout.read(ANSWER.size)

    def _end(self) -> int | None:
        process, self._process = self._process, None
        return None if process is None else _ended(process)


def _ended(process: subprocess.Popen[bytes]) -> int:
    """End a process, unless it has ended; return its exit code, or less than 0 the signal that ended it."""
    if process.poll() is None:
        process.kill()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()
    return process.wait()
