"""A terminal that is closed: whatever is under way ends, and leaves nothing half written."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import current_thread, main_thread
from typing import Any, Final

EXIT_HUNG_UP: Final = 129
"""What a shell makes of the signal."""
GRACE_SECONDS: Final = 2.0
"""What is put away until then is; then the process ends."""


class _HungUp(BaseException):
    """Unwinds what is under way."""


def unwind() -> None:
    """Put away what is under way in the main thread, by leaving it."""
    raise _HungUp


@contextmanager
def ending_with_the_terminal(put_away: Callable[[], None]) -> Iterator[None]:
    """Let a closed terminal end the process once *put_away* is done; whoever ignores the signal goes on doing so.

    Nobody is left who could read anything, so nothing is said.
    """
    if current_thread() is not main_thread() or signal.getsignal(signal.SIGHUP) != signal.SIG_DFL:
        yield
        return

    def hung_up(*_: Any) -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        # The kernel ends the process then, also where it waits for something that never comes.
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, GRACE_SECONDS)
        with suppress(Exception):
            put_away()
        os._exit(EXIT_HUNG_UP)

    signal.signal(signal.SIGHUP, hung_up)
    try:
        yield
    except _HungUp:
        os._exit(EXIT_HUNG_UP)
    finally:
        if signal.getsignal(signal.SIGHUP) is hung_up:
            signal.signal(signal.SIGHUP, signal.SIG_DFL)
