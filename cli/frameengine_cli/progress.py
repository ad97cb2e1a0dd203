"""Patience: a progress bar on stderr for whatever takes longer than a second, on terminals only."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

WAIT_SECONDS = 1.0


@contextmanager
def patience(what: str, total: int | None = None, *, in_bytes: bool = False) -> Iterator[Callable[[int], None]]:
    """Give a function that takes how much is done; show a bar once a second has passed."""
    if not sys.stderr.isatty():
        yield lambda _done: None
        return
    from threading import Timer

    bar = _Bar(what, total, in_bytes=in_bytes)
    timer = Timer(WAIT_SECONDS, bar.start)
    timer.daemon = True
    timer.start()
    try:
        yield bar.update
    finally:
        timer.cancel()
        timer.join()
        bar.stop()


class _Bar:
    def __init__(self, what: str, total: int | None, *, in_bytes: bool) -> None:
        self._in_bytes = in_bytes
        self._what = what
        self._total = total
        self._done = 0
        self._stop: Callable[[], None] | None = None
        self._show: Callable[[int], None] | None = None

    def start(self) -> None:
        """Show the bar, with what was done so far."""
        from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        from frameengine_cli.look import GOOD
        from frameengine_cli.output import console

        figures = DownloadColumn() if self._in_bytes else MofNCompleteColumn()
        columns = [TextColumn("{task.description}"), BarColumn(complete_style=GOOD), figures, TimeElapsedColumn()]
        bar = Progress(*columns, console=console(error=True), transient=True)
        task = bar.add_task(self._what, total=self._total, completed=self._done)
        self._show = lambda done: bar.update(task, completed=done)
        bar.start()
        self._stop = bar.stop

    def update(self, done: int) -> None:
        """Take how much is done."""
        self._done = done
        if self._show is not None:
            self._show(done)

    def stop(self) -> None:
        """Take the bar away."""
        if self._stop is not None:
            self._stop()
