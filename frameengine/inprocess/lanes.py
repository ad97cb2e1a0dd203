"""Lanes: which of an agent's tasks, threads and jobs of thread pools is speaking.

Order means something within one of them only: two that run side by side reach the wire in an order that is chance. So every
call and every draw carries its lane. A lane is named by its place in the tree of who started whom, ``main/2/1`` being the first
one started by the second one started by whoever opened the block: addresses and thread numbers would be new in every run.
"""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any
from weakref import WeakKeyDictionary

from frameengine.exchanges.exchange import LATE

ROOT = "main"
"""The lane of the task or thread that opened the block."""


class _Job:
    """One run of a function that was handed to a thread pool."""


class _Here(threading.local):
    """What a thread is at."""

    job: _Job | None = None
    """The job of a pool that it runs."""
    begins: str | None = None
    """The lane of the task that it is starting: an eager one speaks before it is there to be named."""
    unseen: bool = False
    """Whether what it starts gets no lane."""


class Lanes:
    """The lanes of one block. Safe to use from every thread."""

    def __init__(self) -> None:
        self._here = _Here()
        self._names: WeakKeyDictionary[Any, str] = WeakKeyDictionary({self._owner(): ROOT})
        self._children: Counter[str] = Counter()
        # Again from the same thread too: what is collected as garbage meanwhile may speak.
        self._lock = threading.RLock()

    def here(self) -> str:
        """Return the lane of the current task, job or thread; one that nobody was seen starting gets a `LATE` one."""
        owner = self._owner()
        with self._lock:
            name = self._names.get(owner)
            if name is None:
                name = self._names[owner] = self._here.begins or self._next(LATE)
            return name

    @contextmanager
    def starting(self) -> Iterator[Callable[[Any], None]]:
        """Give what is started inside its lane: that order is the program's, who speaks first is chance.

        Yields what is called with it. What is started by somebody without a lane (a server in the same process) is left alone
        until it speaks.
        """
        owner, before = self._owner(), self._here.begins
        with self._lock:
            parent = self._names.get(owner, before)
            name = None if parent is None or self._here.unseen else self._next(parent)
        self._here.begins = name
        try:
            yield lambda started: self._adopt(started, name)
        finally:
            self._here.begins = before

    @contextmanager
    def unseen(self) -> Iterator[None]:
        """Give no lanes to what is started inside: how many threads a pool needs for its jobs is chance."""
        self._here.unseen = True
        try:
            yield
        finally:
            self._here.unseen = False

    def job(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return *function* as a job with a lane of its own, whichever thread of its pool comes to run it."""
        job = _Job()
        with self.starting() as adopt:
            adopt(job)

        def run(*args: Any, **options: Any) -> Any:
            before, self._here.job = self._here.job, job
            try:
                return function(*args, **options)
            finally:
                self._here.job = before

        return run

    def _adopt(self, started: Any, name: str | None) -> None:
        if name is not None:
            with self._lock:
                self._names.setdefault(started, name)

    def _next(self, parent: str) -> str:
        self._children[parent] += 1
        return f"{parent}/{self._children[parent]}"

    def _owner(self) -> Any:
        return running()[1] or self._here.job or threading.current_thread()


def running() -> tuple[ModuleType | None, Any]:
    """Return the task that runs, and its library: asyncio, whichever loop that has, or trio. Two times None outside of both."""
    for library in ("asyncio", "trio"):
        loops: Any = sys.modules.get(library)
        try:
            task = None if loops is None else getattr(loops, "lowlevel", loops).current_task()
        except RuntimeError:  # no loop of this library in this thread
            continue
        if task is not None:
            return loops, task
    return None, None
