"""The machine's clocks."""

from __future__ import annotations

import time

from frameengine.engine.driver import Clock


def system_clock() -> Clock:
    """Return the machine's wall clock (microseconds) and monotonic clock (seconds)."""
    return Clock(lambda: time.time_ns() // 1000, time.monotonic)
